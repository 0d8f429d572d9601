// SPDX-License-Identifier: Apache-2.0
// Cut: an IPv4 packet into the fragments that a network carries, where its sender allows it (RFC
// 791, 2.3).
//
// They come out one after the other, each a copy with its own header: length, offset, checksum, and
// in all but the first only the options that are to be copied. What is a fragment itself is cut
// into smaller ones of the same datagram. It may lie in any number of buffers; its headers are in
// the first. Its transport checksum must be complete (weft_vnet_fill).
//
// Threads    any; the packet is only read
#pragma once

#include <rte_mbuf.h>
#include <stdbool.h>

#define CUT_HEADER_MAX 60

struct cutter {
	const struct rte_mbuf *m;
	uint32_t header, at, end; // of the next fragment's data, in the frame
	uint32_t room;		  // bytes of an IP packet that the network carries
	uint16_t offset;	  // of the next fragment, in units of 8 bytes
	bool more;		  // behind the last one there are others
	uint8_t ip[CUT_HEADER_MAX];
};

// m: an Ethernet frame with an IPv4 packet, parsed; mtu: at least 68 (RFC 791).
void weft_cut_begin(struct cutter *c, const struct rte_mbuf *m, uint32_t mtu);
static inline bool weft_cut_done(const struct cutter *c)
{
	return c->at >= c->end;
}
// The next one; NULL: no buffer is free.
struct rte_mbuf *weft_cut_next(struct cutter *c, struct rte_mempool *pool);
