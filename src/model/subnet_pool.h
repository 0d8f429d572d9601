// SPDX-License-Identifier: Apache-2.0
// Subnet pools: prefixes from which subnets are cut, none of them twice.
//
// Threads    one (the control thread)
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "model/model.h"

// Where the new subnet `obj` is to come from: its "cidr" if it names a pool but none, a check of
// what it named otherwise; and that it goes with the subnets that its network has already. A
// subnet without pool stays as it is.
int weft_subnet_pool_allocate(const struct model *m, const struct caller *who, const json_t *given,
			      json_t *obj, struct err *err);
