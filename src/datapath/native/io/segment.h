// SPDX-License-Identifier: Apache-2.0
// Segment: cut a large TCP packet, or a row of UDP datagrams that travel as one, into the packets
// they stand for, where the receiver cannot.
//
// The packets come out one after the other, so that a receiver with a full ring costs no more
// than what it took. Each is a copy with its own headers: length, IPv4 identification and
// checksum, TCP sequence number and flags, and the pseudo-header sum; what remains to be done is
// the checksum, which the flags ask for.
//
// RFC 9293; CWR stands on the first segment only (RFC 3168, section 6.1.2), FIN and PSH on the
// last.
//
// Threads    any; the packet may be shared, it is only read
#pragma once

#include <rte_mbuf.h>
#include <stdbool.h>

// Segments that one call of a port's tx may make, or leave to a kernel to make: 32 packets of 64 KB
// by 536 bytes, the least that hosts are asked to send (RFC 9293, 3.7.1). What is left of the burst
// then finds no place. Others' packets are not to wait for more.
#define SEGMENTS_MOST 4096

// How many packets it stands for.
static inline uint32_t weft_segments_of(const struct rte_mbuf *m)
{
	uint32_t headers = (uint32_t)m->l2_len + m->l3_len + m->l4_len;

	if ((m->ol_flags & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)) == 0)
		return 1;
	return (m->pkt_len - headers + m->tso_segsz - 1) / m->tso_segsz;
}

struct segmenter {
	const struct rte_mbuf *m;
	uint32_t headers; // length of all, which are in the first buffer
	uint32_t offset;  // of the next segment's first byte
	uint16_t index;
};

// m has _TCP_SEG or _UDP_SEG as port_io.h says.
void weft_segment_begin(struct segmenter *s, const struct rte_mbuf *m);
static inline bool weft_segment_done(const struct segmenter *s)
{
	return s->offset >= s->m->pkt_len;
}
// The next one; NULL: no buffer is free.
struct rte_mbuf *weft_segment_next(struct segmenter *s, struct rte_mempool *pool);

// A packet of its own: m's first `headers` bytes, which are in its first buffer, and `len` bytes
// from `offset` on. NULL: no buffer is free.
struct rte_mbuf *weft_copy_part(const struct rte_mbuf *m, uint32_t headers, uint32_t offset,
				uint32_t len, struct rte_mempool *pool);
