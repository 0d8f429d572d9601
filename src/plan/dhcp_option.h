// SPDX-License-Identifier: Apache-2.0
// DHCPv4 options by name: a port's extra_dhcp_opts into wire format (RFC 2132, 3397, 3442).
//
// Names are those of dnsmasq, which is what Neutron's users write ("mtu", "bootfile-name"), with "interface-mtu"
// and '_' for '-' as other drivers allow; "26", "option:26" and "option:mtu" are the same option. An option that has no
// name is given by number and its value decides the form: addresses, 0x… or aa:bb:… bytes, a number (in as few
// bytes as it needs), else text.
//
// Errors     -EINVAL: err says what is wrong with the name or the value
// Threads    any
#pragma once

#include "base/err.h"
#include "plan/plan.h"

int weft_dhcp_option_encode(const char *name, const char *value, struct plan_dhcp_option *out,
			    struct err *err);
