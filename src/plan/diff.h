// SPDX-License-Identifier: Apache-2.0
// Diff: what a change takes away. A datapath revokes by it: what may not go on is judged again or
// cut, and a change that only adds touches no connection.
//
// Threads    pure
#pragma once

#include "plan/plan.h"

// Does `after` permit everything that `before` permits? Judged rule by rule (the same content in
// both, or a wider one): a cheap, safe approximation; false when unsure. NULL before = permits
// nothing.
bool weft_plan_rules_only_added(const struct plan_rule_set *before,
				const struct plan_rule_set *after);

// Did the port lose anything that may have allowed a flow: its network, its MAC, a pair, a rule
// set, being up, being without port security?
bool weft_plan_port_has_lost(const struct plan_port *before, const struct plan_port *after);
