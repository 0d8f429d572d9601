// SPDX-License-Identifier: Apache-2.0
// Rules: a security group compiled for look-ups that do not grow with the number of rules.
//
// Rules only permit, so a look-up asks whether any rule matches. Per direction and family: the
// remote address selects the prefixes that contain it (one binary search, then the enclosing
// prefixes), the sets that contain it (sets.h) and "any"; each of these has, per protocol, sorted
// disjoint port intervals. All is binary search in flat arrays.
//
// A rule without a port range or ICMP type also matches later fragments, whose transport header
// is elsewhere; a rule with one does not. A port range is of the destination port. An ICMP type
// without a code stands for all its codes. 0.0.0.0/0 and ::/0 are any address of the family; no
// rule of one family matches packets of the other.
//
// Threads    compile and free: control; permit: workers, no allocation
// Ownership  compiled rules are immutable and own all they refer to (rule ids are copied); they
//            hold their sets' numbers, so they are freed before the sets
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "datapath/native/rules/sets.h"
#include "plan/plan.h"

struct rules;

struct rule_query {
	enum plan_direction direction;
	uint8_t family;
	uint8_t proto;
	bool has_l4;   // false: a later fragment of unknown ports: only rules without ports match
	uint16_t port; // destination port, host order
	uint8_t icmp_type, icmp_code;
	const void *remote; // 4 or 16 bytes, network order
};

// Compile; -EINVAL names the rule. Set ids become numbers through `sets`.
int weft_rules_compile(const struct plan_rule_set *plan, struct sets *sets, struct rules **out,
		       struct err *err);
void weft_rules_free(struct rules *r);

bool weft_rules_stateful(const struct rules *r);
size_t weft_rules_memory(const struct rules *r); // bytes
// NULL, or the id of a rule that permits (stable text inside r).
const char *weft_rules_permit(const struct rules *r, const struct sets *sets, uint64_t epoch,
			      const struct rule_query *q);
