// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/vhost/vring_plain.h"

#include <rte_ether.h>

#include "datapath/native/io/vnet.h"

#define PIECES 256 // for a burst
#define AHEAD  4

// A packet and where it is, without the header: in one piece, or in some of the burst's.
struct sent {
	const uint8_t *header, *data;
	uint32_t len;
	uint16_t first, n, id;
};

struct burst {
	uint16_t n;
	struct lent_piece at[PIECES];
};

static inline bool add(struct burst *b, struct sent *s, const uint8_t *at, uint32_t len)
{
	if (len == 0)
		return true;
	if (unlikely(b->n == PIECES || len > PACKET_MAX))
		return false;
	b->at[b->n++] = (struct lent_piece) {at, len};
	s->len += len;
	return true;
}

// Entry i of n. A packed ring's table is a chain of all its entries.
static inline struct vring_desc read_entry(const void *table, uint32_t i, uint32_t n, bool packed)
{
	struct vring_desc d = vring_read(table, i);
	struct vring_packed_desc p;

	if (packed) {
		memcpy(&p, &d, sizeof(p));
		d.flags = p.flags & (VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT);
		d.flags |= i + 1 < n ? VRING_DESC_F_NEXT : 0;
		d.next = (uint16_t)(i + 1);
	}
	return d;
}

// A chain or a table, from its first descriptor on.
static bool find_pieces(const struct vring_state *r, struct vring_desc d, bool packed,
			struct burst *b, struct sent *s)
{
	const uint16_t other = VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE;
	const void *table = r->desc;
	uint32_t n = r->size, skip = r->header_len;

	if ((d.flags & VRING_DESC_F_INDIRECT) != 0) {
		n = d.len / sizeof(d);
		table = vring_host(r->memory, d.addr, d.len);
		if ((d.flags & VRING_DESC_F_NEXT) != 0 || table == NULL || n == 0 || n > r->size)
			return false;
		d = read_entry(table, 0, n, packed);
	} else if (packed) {
		return false; // it goes on in the next slot
	}
	s->len = 0;
	s->first = b->n;
	for (int i = 0; i < LENT_PIECES; i++) {
		const uint8_t *at = vring_host(r->memory, d.addr, d.len);

		if ((d.flags & other) != 0 || at == NULL || d.len < skip)
			return false;
		if (skip > 0)
			s->header = at;
		if (!add(b, s, at + skip, d.len - skip))
			return false;
		skip = 0;
		if ((d.flags & VRING_DESC_F_NEXT) == 0) {
			s->n = b->n - s->first;
			s->data = b->at[s->first].at;
			return s->n > 0;
		}
		if (d.next >= n)
			return false;
		d = read_entry(table, d.next, n, packed);
	}
	return false;
}

// If it is plain: its header in the first piece.
static inline bool find(const struct vring_state *r, uint16_t head, bool packed, struct burst *b,
			struct sent *s)
{
	struct vring_desc d = vring_read_head(r, head, packed, &s->id);

	if ((d.flags & (VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT)) != 0)
		return find_pieces(r, d, packed, b, s);
	s->header = vring_host(r->memory, d.addr, d.len);
	if (unlikely((d.flags & VRING_DESC_F_WRITE) != 0 || d.len < r->header_len ||
		     s->header == NULL))
		return false;
	s->data = s->header + r->header_len;
	s->len = d.len - r->header_len;
	s->n = 1;
	return true;
}

// One look ahead. What is there may be anything.
static inline bool has_table(const struct vring_state *r, uint16_t head, bool packed)
{
	return ((packed ? r->slots[head].flags : r->desc[head].flags) & VRING_DESC_F_INDIRECT) != 0;
}

static void prefetch_table(const struct vring_state *r, uint16_t head, bool packed)
{
	uint16_t id;

	if (has_table(r, head, packed))
		rte_prefetch0(vring_host(r->memory, vring_read_head(r, head, packed, &id).addr,
					 sizeof(struct vring_desc)));
}

// Copy the head, and lend what is behind it.
static void take_pieces(struct lent_piece *piece, uint16_t n, uint32_t head, struct rte_mbuf *m)
{
	const struct lent_piece *end = piece + n;
	uint8_t *to = rte_pktmbuf_mtod(m, uint8_t *);

	for (; piece->len < head; piece++) {
		memcpy(to, piece->at, piece->len);
		to += piece->len;
		head -= piece->len;
	}
	vring_copy_head(to, piece->at, head);
	piece->at += head;
	piece->len -= head;
	if (piece->len == 0)
		piece++;
	if (end - piece == 1) {
		weft_lent_set(m, piece->at);
	} else if (piece < end) {
		memcpy(weft_lent_list(m), piece, (size_t)(end - piece) * sizeof(*piece));
		weft_lent_set(m, weft_lent_list(m));
	}
}

// False: it is longer than we copy here, or asks for what takes more than a flag.
static inline bool take(struct burst *b, const struct sent *s, bool lend, struct rte_mbuf *m)
{
	uint32_t head = RTE_MIN(s->len, (uint32_t)LENT_HEAD);
	struct virtio_net_hdr h;

	memcpy(&h, s->header, sizeof(h));
	rte_compiler_barrier(); // it is as it is now
	if (unlikely(s->len < sizeof(struct rte_ether_hdr) || s->len > PACKET_MAX ||
		     (s->len > LENT_HEAD && !lend)))
		return false;
	// As it comes from the pool, a buffer has one reference and nothing behind it.
	m->data_off = RTE_PKTMBUF_HEADROOM;
	m->ol_flags = 0;
	m->pkt_len = s->len;
	m->data_len = (uint16_t)head;
	if (s->n > 1) {
		take_pieces(&b->at[s->first], s->n, head, m);
	} else if (s->len <= LENT_HEAD) {
		vring_copy_head(rte_pktmbuf_mtod(m, uint8_t *), s->data, s->len);
	} else {
		memcpy(rte_pktmbuf_mtod(m, void *), s->data, LENT_HEAD);
		weft_lent_set(m, s->data + LENT_HEAD);
	}
	return (h.flags | h.gso_type) == 0 || weft_vnet_in(&h, m) == 0;
}

static inline void give(struct vring_state *r, uint16_t id, bool packed, bool lend)
{
	struct vring_chain c = {.id = id, .slots = 1};

	if (packed && lend)
		weft_vring_hold(r, &c);
	else if (packed)
		weft_vring_give(r, &c, 1);
	else
		vring_give_split(r, id, 0);
}

static inline uint16_t pop(struct vring_state *r, struct rte_mempool *pool, struct rte_mbuf **pkts,
			   uint16_t n, bool lend, bool packed)
{
	uint16_t heads[VRING_BURST], there = vring_heads(r, n, heads, packed), found, i;
	struct sent sent[VRING_BURST];
	struct burst b;

	// A driver that has tables mostly has them all the time.
	bool tables = there > 0 && has_table(r, heads[0], packed);

	b.n = 0;
	for (i = 1; tables && i < RTE_MIN(there, AHEAD); i++)
		prefetch_table(r, heads[i], packed);
	for (found = 0; found < there; found++) {
		struct sent *s = &sent[found];

		if (tables && found + AHEAD < there)
			prefetch_table(r, heads[found + AHEAD], packed);
		if (!find(r, heads[found], packed, &b, s))
			break;
		rte_prefetch0(s->data);
		rte_prefetch0(s->data + RTE_CACHE_LINE_SIZE);
		if (s->n > 1)
			rte_prefetch0(b.at[s->first + 1].at);
	}
	if (found == 0 || unlikely(rte_mempool_get_bulk(pool, (void **)pkts, found) < 0))
		return 0;
	for (i = 0; i < found && likely(take(&b, &sent[i], lend, pkts[i])); i++)
		give(r, packed ? sent[i].id : heads[i], packed, lend);
	if (unlikely(i < found))
		rte_mempool_put_bulk(pool, (void **)&pkts[i], found - i);
	return i;
}

uint16_t weft_vring_pop_plain(struct vring_state *r, struct rte_mempool *pool,
			      struct rte_mbuf **pkts, uint16_t n, bool lend)
{
	return r->packed ? pop(r, pool, pkts, n, lend, true) : pop(r, pool, pkts, n, lend, false);
}
