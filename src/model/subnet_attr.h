// SPDX-License-Identifier: Apache-2.0
// The table of a subnet's attributes and the readers of those that have a form of their own.
#pragma once

#include "model/attr.h"

extern const struct attr weft_subnet_attrs[];

// A list of {"destination", "nexthop"}, each once, in one form. The caller has checked that it is
// a list, and not too long.
int weft_host_routes_read(const struct attr *a, const json_t *in, json_t **out, struct err *err);
