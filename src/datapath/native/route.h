// SPDX-License-Identifier: Apache-2.0
// Route: what a router does to a packet once the stages have found its way: TTL, MACs, fragments, and what the
// sender is told when there is no way.
//
// Threads    the worker
#pragma once

#include "datapath/native/judge.h"

// Take `hops` from the TTL or hop limit; the IPv4 checksum follows (RFC 1624). The IP header is at offset 14.
void weft_ttl_decrease(uint8_t *frame, uint8_t family, uint8_t hops);

// Send a judged packet on, verdict FORWARD: MACs, TTL, and addresses and ports as they are now. IPv4 is fragmented if it must be and
// may be. Takes the mbuf.
void weft_route_out(struct worker *w, struct rte_mbuf *m, const struct judge *j);

// Tell the sender why, if j->icmp says what and its port has not been told too often. The mbuf stays the caller's.
void weft_route_tell(struct worker *w, const struct rte_mbuf *m, const struct judge *j);
