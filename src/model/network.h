// SPDX-License-Identifier: Apache-2.0
// Networks: what the other resources ask of them.
//
// Threads    one (the control thread)
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "model/model.h"

// Routers' gateways and floating IPs may be on it.
bool weft_network_is_external(const struct object *network);
// Every project may have ports on it, and sees its subnets.
bool weft_network_is_shared(const struct object *network);

// Does this MTU suit the network's subnets and one more of that IP version (0 = none)? -EBUSY
// when not.
int weft_network_check_mtu(const struct model *m, const char *network_id, int64_t mtu,
			   int64_t new_ip_version, struct err *err);
