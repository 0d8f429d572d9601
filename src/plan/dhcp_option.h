// SPDX-License-Identifier: Apache-2.0
// DHCP options by name: a port's extra_dhcp_opts into wire format (RFC 2132, 3397, 3442; DHCPv6:
// RFC 3646, 5908, 5970).
//
// Names are those of dnsmasq, which is what Neutron's users write ("mtu", "bootfile-name"), with
// "interface-mtu" and '_' for '-' as other drivers allow; "26", "option:26" and "option:mtu" are
// the same option, and so are "23", "option6:23" and "option6:dns-server". An option that has no
// name is given by number and its value decides the form: addresses (or prefixes, as RFC 3442 has
// them), aa:bb:… bytes, a number (in as few bytes as it needs, or in 1, 2 or 4: "5b", "5s",
// "5i"), else text. So dnsmasq 2.90 reads them, from the file that Neutron writes: quotes make
// text of anything. What does not fit its option is refused here; dnsmasq sends what is left of
// it.
//
// Errors     -EINVAL: err says what is wrong with the name or the value
// Threads    any
#pragma once

#include "base/err.h"
#include "plan/plan.h"

// family: 4 or 6, which are two sets of names and numbers.
int weft_dhcp_option_encode(uint8_t family, const char *name, const char *value,
			    struct plan_dhcp_option *out, struct err *err);
