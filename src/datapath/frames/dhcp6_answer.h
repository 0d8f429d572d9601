// SPDX-License-Identifier: Apache-2.0
// DHCPv6 answers: what a decision turns into on the wire: identity associations and options. The
// inside of the DHCPv6 service.
#pragma once

#include "datapath/frames/dhcp6_message.h"
#include "datapath/frames/services.h"

enum {
	DHCP6_DUID_LEN = 10,
	DHCP6_IPS_MAX = 32, // of one port in one answer
};

// A question with all that its answer is made of.
struct dhcp6_exchange {
	struct dhcp6_question q;
	const struct dhcp6_lease *lease;
	uint8_t duid[DHCP6_DUID_LEN]; // the server's
	uint8_t type;		      // of the answer
	int status;		      // of the whole message, -1 = none
	bool has_rapid;		      // the answer says that it is final
	size_t n_ips;
	// Of each of the lease's addresses; NULL = none.
	const struct dhcp6_ia *holder[DHCP6_IPS_MAX];
};

// Which identity association gets which address: x->holder.
void weft_dhcp6_assign(struct dhcp6_exchange *x);
bool weft_dhcp6_is_leased(const struct dhcp6_exchange *x, const uint8_t *ip);
// The whole message, at most `cap` bytes. What does not fit is left out, the port's own options
// and the wishes last.
size_t weft_dhcp6_write(uint8_t *message, size_t cap, const struct dhcp6_exchange *x);
