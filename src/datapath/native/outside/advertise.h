// SPDX-License-Identifier: Apache-2.0
// Advertisements: when routers tell the hosts of their networks who they are (RFC 4861, 6.2).
//
// Which routers advertise what is policy (tables_ra.c): a list per network, read by workers, who
// answer solicitations with it. Here is what is said unasked: three times soon after a change and
// then every 200 to 600 seconds; to a port that was just attached; and three times with lifetime
// 0 what holds no longer.
//
// Every network with such a router, and every withdrawal, is one campaign in a heap by its next
// time, so a tick costs what is due. A tick sends a bounded number of frames; who is not reached
// by then is reached by the next ones.
//
// Threads    control
// Ownership  adverts belong to the versioned map; a withdrawal keeps its own copy
#pragma once

#include "datapath/native/policy/policy.h"
#include "datapath/frames/services.h"

// ff02::1, and its MAC.
extern const struct ip_addr weft_all_nodes;
extern const struct mac_addr weft_all_nodes_mac;

struct advertiser;
struct campaign;

struct advertiser *weft_advertiser_new(struct node *node);
void weft_advertiser_free(struct advertiser *a);
// Send what is due. Called about ten times a second.
void weft_advertiser_tick(struct advertiser *a, uint32_t now_ms);
uint64_t weft_advertiser_sent(const struct advertiser *a); // frames, ever

// What the routers of a network advertise changes; NULL: nothing. *campaign is kept for the network
// by the caller, at first NULL.
void weft_advertise_change(struct advertiser *a, uint32_t network, const struct adverts *old,
			   const struct adverts *new, struct campaign **campaign);
// A port was attached: it need not wait for the next time.
void weft_advertise_port(struct advertiser *a, uint16_t port);
