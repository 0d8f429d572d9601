// SPDX-License-Identifier: Apache-2.0
// Lent packets: the head of a packet is ours, the rest lies in the memory of the VM that sent it.
//
// A port whose `lend` is called instead of `rx` may hand out packets whose data_len is less than
// their pkt_len although they have one segment: the first LENT_HEAD bytes, what is judged and
// changed, are a private copy; the rest stays where the VM put it until `done` is called for the
// port. A port that takes lent packets copies from there, once. So what was judged is what is
// sent, whatever the VM does meanwhile: it can only change its payload.
//
// The rest may be in several pieces, as a driver puts pages together. Then they are listed in the
// packet's own buffer, behind its head, where there is nothing else: so the list lives as long as
// the packet, and only who has the packet can change it.
//
// Who reads, keeps, cuts or clones more of a packet than its head, or hands it to somebody who
// may, takes the rest in first (weft_lent_take). Freeing needs nothing. That is the slow path (at
// its door) and the sending to all other kinds of ports.
//
// Threads    those of the packet
#pragma once

#include <rte_mbuf.h>
#include <stdbool.h>
#include <string.h>

#define LENT_HEAD 128 // longer than all headers of a plain packet

#define LENT_PIECES 32 // a Linux driver has up to 19

struct lent_piece {
	const uint8_t *at;
	uint32_t len; // not 0
};

static inline bool weft_is_lent(const struct rte_mbuf *m)
{
	return m->nb_segs == 1 && m->data_len < m->pkt_len;
}

// The place for a list. A VM's memory is never there.
static inline struct lent_piece *weft_lent_list(const struct rte_mbuf *m)
{
	return (struct lent_piece *)(void *)((char *)m->buf_addr + RTE_PKTMBUF_HEADROOM +
					     LENT_HEAD);
}

// Where the rest is, or its list: in the mbuf's field for a hash, which no VM's port fills in.
static inline const void *weft_lent_rest(const struct rte_mbuf *m)
{
	const void *rest;

	_Static_assert(sizeof(m->hash.fdir) == sizeof(rest), "room for a pointer");
	memcpy(&rest, &m->hash.fdir, sizeof(rest));
	return rest;
}

static inline void weft_lent_set(struct rte_mbuf *m, const void *rest)
{
	memcpy(&m->hash.fdir, &rest, sizeof(rest));
}

// The pieces that the rest is in; their lengths add up to its own. *one is the caller's.
static inline const struct lent_piece *weft_lent_pieces(const struct rte_mbuf *m,
							struct lent_piece *one)
{
	const void *rest = weft_lent_rest(m);

	if (rest == weft_lent_list(m))
		return weft_lent_list(m);
	*one = (struct lent_piece) {rest, m->pkt_len - m->data_len};
	return one;
}

// Copy the rest in, so that the packet is like any other. -ENOMEM: no buffer; nothing has changed.
int weft_lent_take(struct rte_mbuf *m, struct rte_mempool *pool);
