// SPDX-License-Identifier: Apache-2.0
// Resolver: the MACs of next hops outside the node, on networks with an uplink. (Those of the node and of the plan
// are known without asking.)
//
// A table of fixed size that all workers share without a lock: an entry's key is written once, before the entry is published;
// its MAC and state are one 64-bit word. The worker whose packet needs an unknown next hop asks (ARP, RFC 826; ND, RFC 4861)
// and keeps the packet, a few for each next hop, and goes on with it when somebody's worker has heard the answer.
// A question is repeated three times, a second apart; then the packets are dropped and their senders told that the host is
// unreachable, and for some seconds nobody asks again. A known next hop is asked again every 30 seconds (by unicast first), and a
// MAC that changed makes the sessions of the network's uplink stale. While it does not answer the last known MAC is used, until it has
// failed for good.
//
// Threads    get: any reader; hold, heard, turn: workers; tick, each: control
#pragma once

#include "datapath/native/judge.h"

enum next_hop_state {
	NEXT_HOP_UNKNOWN, // ask: VERDICT_RESOLVE
	NEXT_HOP_KNOWN,
	NEXT_HOP_FAILED, // did not answer lately: DROP_NEXT_HOP
};

struct resolver *weft_resolver_new(struct native *dp);
void weft_resolver_free(struct resolver *r);

// No side effects.
enum next_hop_state weft_resolver_get(const struct resolver *r, uint32_t network_index,
				      const struct ip_addr *ip, struct mac_addr *mac);

// Takes the packet that was judged VERDICT_RESOLVE, asks for j->ask if nobody has, and gives the packet to weft_slow_packet
// again when the answer is there. A packet for which there is no place is dropped (DROP_NEXT_HOP_WAIT).
void weft_resolver_hold(struct worker *w, struct rte_mbuf *m, const struct judge *j);

// An uplink's packet told that `ip` is at `mac` (ARP sender; ND target or source with link-layer option). Only what is asked for or known already
// is taken; nobody fills the table from outside.
void weft_resolver_heard(struct worker *w, uint16_t uplink, uint32_t network_index,
			 const struct ip_addr *ip, const struct mac_addr *mac);

// Each turn of a worker: costs nothing when no packet waits.
void weft_resolver_turn(struct worker *w);
