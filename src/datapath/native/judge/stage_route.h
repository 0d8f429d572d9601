// SPDX-License-Identifier: Apache-2.0
// The route stage's own parts: stage_route.c finds the way, stage_nat.c translates on it. Nobody
// else includes this.
#pragma once

#include "datapath/native/judge/judge.h"

struct hop { // the router at hand
	const struct router *router;
	const struct router_interface *in;
};

// Drop, and tell the sender, unless that must not be told (RFC 1122, 3.2.2; RFC 4443, 2.4). Types
// and codes by family.
struct refusal {
	enum drop why;
	uint8_t type4, code4, type6, code6;
	uint32_t mtu;
};
enum stage_result weft_route_refuse(struct judge *j, const struct hop *h, struct refusal r);

// The router's own address of that family on the interface; family 0 = none.
struct ip_addr weft_route_own_address(const struct router_interface *i, uint8_t family);

// For one of the router's own addresses.
enum stage_result weft_route_own(struct judge *j, const struct hop *h, enum drop nobody);

const struct router_route *weft_route_find(const struct router *r, const struct ip_addr *dst);

// A packet that came in by the external interface: is it for a floating IP? STAGE_NEXT:
// j->now.dst is where it goes on to.
enum stage_result weft_nat_arrive(struct judge *j, const struct hop *h);

// A packet that leaves by the external interface: what its source becomes there. *mac: the MAC
// that it leaves with.
enum stage_result weft_nat_leave(struct judge *j, const struct hop *h,
				 const struct router_interface *out, struct mac_addr *mac);

// Is the address a floating IP on that network? NULL = not one of this node's.
const struct floating *weft_nat_floating(const struct judge *j, uint32_t network, rte_be32_t ip);
