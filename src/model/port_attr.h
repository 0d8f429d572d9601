// SPDX-License-Identifier: Apache-2.0
// The table of a port's attributes and the readers of those that have a form of their own.
#pragma once

#include "model/attr.h"

extern const struct attr weft_port_attrs[];

// The options of a port after a change: `changes` over `before` (NULL = none); a null value
// removes. New reference.
json_t *weft_dhcp_options_merge(const json_t *before, const json_t *changes);

// Pairs without a MAC get the port's; two that are the same are refused. *out: new reference.
int weft_address_pairs_complete(const json_t *pairs, const char *mac, json_t **out,
				struct err *err);
