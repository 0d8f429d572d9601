// SPDX-License-Identifier: Apache-2.0
// Security groups: what the other resources ask of them.
//
// Threads    one (the control thread)
#pragma once

#include "base/err.h"
#include "model/model.h"

// The project's default group, made in this transaction if need be; NULL for the empty project,
// which has none.
const struct object *weft_security_group_default(struct txn *t, const char *project_id,
						 struct err *err);
bool weft_security_group_is_default(const struct object *group);

// A rule of the model's own making: any protocol, one family, to anyone (remote_group_id NULL) or
// from a group.
int weft_security_group_rule_add(struct txn *t, const struct object *group, const char *direction,
				 const char *ethertype, const char *remote_group_id,
				 struct err *err);
