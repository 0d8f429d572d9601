// SPDX-License-Identifier: Apache-2.0
// Route: what a router does to a packet once the stages have found its way: TTL, MACs, fragments,
// and what the sender is told when there is no way.
//
// Threads    the worker
#pragma once

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <string.h>

#include "datapath/native/judge/judge.h"

// Take `hops` from the TTL or hop limit; the IPv4 checksum follows (RFC 1624). The IP header is
// at offset 14.
static inline void weft_ttl_decrease(uint8_t *frame, uint8_t family, uint8_t hops)
{
	uint8_t *ip = frame + RTE_ETHER_HDR_LEN;
	uint16_t csum;
	uint32_t sum;

	if (family == 6) {
		ip[7] = (uint8_t)(ip[7] - hops);
		return;
	}
	// The sum that the checksum inverts is less by as much (RFC 1141); 0xffff is written as 0.
	memcpy(&csum, ip + 10, 2);
	sum = (uint32_t)csum + rte_cpu_to_be_16((uint16_t)(hops << 8));
	csum = (uint16_t)(sum + (sum >= 0xffff));
	memcpy(ip + 10, &csum, 2);
	ip[8] = (uint8_t)(ip[8] - hops);
}

// What routers have made of a judged packet, verdict FORWARD: MACs, TTL, addresses and ports as
// they are now. The headers are writable and in the first segment.
void weft_route_rewrite(struct rte_mbuf *m, const struct judge *j);

// Send a judged packet on, verdict FORWARD: MACs, TTL, and addresses and ports as they are now.
// IPv4 is fragmented if it must be and may be. Takes the mbuf.
void weft_route_out(struct worker *w, struct rte_mbuf *m, const struct judge *j);

// Tell the sender why, if j->icmp says what and its port has not been told too often. The mbuf
// stays the caller's.
void weft_route_tell(struct worker *w, const struct rte_mbuf *m, const struct judge *j);
