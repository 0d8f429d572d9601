// SPDX-License-Identifier: Apache-2.0
// For tests: the meaning of rules, as directly as it can be written. Linear, and sharing nothing
// with the compiler.
#pragma once

#include <string.h>

#include "datapath/native/rules/rules.h"

typedef bool (*reference_in_set)(const char *set_id, const struct ip_addr *ip, void *arg);

static inline bool reference_match(const struct plan_rule *r, const struct rule_query *q,
				   reference_in_set in_set, void *arg)
{
	struct ip_addr ip = {.family = q->family};

	memcpy(ip.b, q->remote, q->family == 4 ? 4 : 16);
	if (r->direction != q->direction || r->family != q->family)
		return false;
	if (r->proto != -1 && r->proto != q->proto)
		return false;
	if (r->has_ports && (!q->has_l4 || q->port < r->port_min || q->port > r->port_max))
		return false;
	if (r->proto == (r->family == 4 ? 1 : 58) && r->icmp_type != -1) {
		if (!q->has_l4 || r->icmp_type != q->icmp_type)
			return false;
		if (r->icmp_code != -1 && r->icmp_code != q->icmp_code)
			return false;
	}
	if (r->remote == PLAN_REMOTE_PREFIX)
		return weft_prefix_contains(&r->prefix, &ip);
	if (r->remote == PLAN_REMOTE_SET)
		return in_set(r->set_id, &ip, arg);
	return true;
}
