// SPDX-License-Identifier: Apache-2.0
// Vring, what nearly every packet of a split ring is: one buffer, or a header and one buffer. Passes over the whole burst,
// so that each waits for one kind of memory: the ring, descriptors, packets. They end at the first packet that is anything else.
#include "datapath/native/vring_priv.h"

#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_ether.h>
#include <rte_prefetch.h>

#include "datapath/native/lent.h"
#include "datapath/native/vnet.h"

// One read of each field; what stands there afterwards does not matter. Descriptors of a ring are aligned (vring.c).
static inline struct vring_desc read_desc(const struct vring_state *r, uint16_t i)
{
	const uint64_t *at = (const uint64_t *)(const void *)&r->desc[i];
	uint64_t word[2] = {
		__atomic_load_n(&at[0], __ATOMIC_RELAXED),
		__atomic_load_n(&at[1], __ATOMIC_RELAXED),
	};
	struct vring_desc d;

	_Static_assert(sizeof(d) == sizeof(word), "two words");
	memcpy(&d, word, sizeof(d));
	return d;
}

// Where len bytes at a guest's address are; NULL: nowhere, or not in one region.
static inline uint8_t *host_of(const struct vring_memory *m, uint64_t guest, uint32_t len)
{
	for (uint32_t i = 0; i < m->n; i++) {
		uint64_t offset = guest - m->at[i].guest; // huge if it lies before

		if (offset < m->at[i].size)
			return len <= m->at[i].size - offset ? m->at[i].host + offset : NULL;
	}
	return NULL;
}

// The chains that are there, at most n: whose heads exist.
static uint16_t read_heads(struct vring_state *r, uint16_t n, uint16_t *heads)
{
	uint16_t there = weft_vring_available(r, n);

	for (uint16_t i = 0; i < there; i++) {
		heads[i] = __atomic_load_n(&r->avail->ring[(uint16_t)(r->next + i) & (r->size - 1)],
					   __ATOMIC_RELAXED);
		if (unlikely(heads[i] >= r->size))
			return i;
		rte_prefetch0(&r->desc[heads[i]]);
	}
	return there;
}

static inline void give(struct vring_state *r, uint16_t head, uint32_t len)
{
	struct vring_used_elem *e = &r->used->ring[r->next++ & (r->size - 1)];

	e->id = head;
	e->len = len;
}

// 1 to LENT_HEAD bytes, and no other is read or written.
static inline void copy_head(uint8_t *to, const uint8_t *from, uint32_t len)
{
	if (len > 64) {
		uint8_t first[64], last[64];

		memcpy(first, from, 64);
		memcpy(last, from + len - 64, 64);
		memcpy(to, first, 64);
		memcpy(to + len - 64, last, 64);
	} else if (len >= 32) {
		uint8_t first[32], last[32];

		memcpy(first, from, 32);
		memcpy(last, from + len - 32, 32);
		memcpy(to, first, 32);
		memcpy(to + len - 32, last, 32);
	} else {
		memcpy(to, from, len);
	}
}

// ---- From the driver -------------------------------------------------------------------------------

struct plain {
	const uint8_t *header, *data;
	uint32_t len;
};

static inline bool find_sent(const struct vring_state *r, uint16_t head, struct plain *p)
{
	const uint16_t other = VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE;
	struct vring_desc d = read_desc(r, head);

	if (unlikely((d.flags & other) != 0 || d.len < r->header_len))
		return false;
	p->header = host_of(r->memory, d.addr, d.len);
	if (unlikely(p->header == NULL))
		return false;
	p->data = p->header + r->header_len;
	p->len = d.len - r->header_len;
	if ((d.flags & VRING_DESC_F_NEXT) == 0)
		return true;
	if (p->len > 0 || d.next >= r->size)
		return false;
	d = read_desc(r, d.next);
	if ((d.flags & (other | VRING_DESC_F_NEXT)) != 0)
		return false;
	p->data = host_of(r->memory, d.addr, d.len);
	p->len = d.len;
	return p->data != NULL;
}

// False: it is longer than we copy here, or asks for what takes more than a flag.
static inline bool take(const struct plain *p, bool lend, struct rte_mbuf *m)
{
	struct virtio_net_hdr h;

	memcpy(&h, p->header, sizeof(h));
	rte_compiler_barrier(); // it is as it is now
	if (unlikely(p->len < sizeof(struct rte_ether_hdr) || p->len > PACKET_MAX ||
		     (p->len > LENT_HEAD && !lend)))
		return false;
	// As it comes from the pool, a buffer has one reference and nothing behind it.
	m->data_off = RTE_PKTMBUF_HEADROOM;
	m->ol_flags = 0;
	m->pkt_len = p->len;
	m->data_len = (uint16_t)RTE_MIN(p->len, (uint32_t)LENT_HEAD);
	if (p->len <= LENT_HEAD) {
		copy_head(rte_pktmbuf_mtod(m, uint8_t *), p->data, p->len);
	} else {
		memcpy(rte_pktmbuf_mtod(m, void *), p->data, LENT_HEAD);
		weft_lent_set(m, p->data + LENT_HEAD);
	}
	return (h.flags | h.gso_type) == 0 || weft_vnet_in(&h, m) == 0;
}

uint16_t weft_vring_pop_plain(struct vring_state *r, struct rte_mempool *pool,
			      struct rte_mbuf **pkts, uint16_t n, bool lend)
{
	uint16_t heads[VRING_BURST], there = read_heads(r, n, heads), found, i;
	struct plain plain[VRING_BURST];

	for (found = 0; found < there && find_sent(r, heads[found], &plain[found]); found++) {
		rte_prefetch0(plain[found].data);
		rte_prefetch0(plain[found].data + RTE_CACHE_LINE_SIZE);
	}
	if (found == 0 || unlikely(rte_mempool_get_bulk(pool, (void **)pkts, found) < 0))
		return 0;
	for (i = 0; i < found && likely(take(&plain[i], lend, pkts[i])); i++)
		give(r, heads[i], 0);
	if (unlikely(i < found))
		rte_mempool_put_bulk(pool, (void **)&pkts[i], found - i);
	return i;
}

// ---- To the driver ---------------------------------------------------------------------------------

static inline uint8_t *find_place(const struct vring_state *r, uint16_t head, uint32_t len)
{
	struct vring_desc d = read_desc(r, head);

	// It is what a driver does to say that it may be written to.
	if (unlikely(d.flags != VRING_DESC_F_WRITE || d.len < len))
		return NULL;
	return host_of(r->memory, d.addr, len);
}

static inline void copy(uint8_t *to, const struct rte_mbuf *m)
{
	const uint8_t *head = rte_pktmbuf_mtod(m, const uint8_t *);

	if (weft_is_lent(m)) {
		struct lent_piece one;
		const struct lent_piece *piece = weft_lent_pieces(m, &one);

		memcpy(to, head, m->data_len);
		to += m->data_len;
		for (uint32_t left = m->pkt_len - m->data_len; left > 0; left -= piece++->len) {
			memmove(to, piece->at, piece->len); // a VM may send from where it receives
			to += piece->len;
		}
	} else if (m->pkt_len <= LENT_HEAD && m->nb_segs == 1) {
		copy_head(to, head, m->pkt_len);
	} else {
		for (; m != NULL; m = m->next) {
			memcpy(to, rte_pktmbuf_mtod(m, const void *), m->data_len);
			to += m->data_len;
		}
	}
}

static inline void prefetch_rest(const struct rte_mbuf *m)
{
	if (weft_is_lent(m)) {
		const uint8_t *rest = weft_lent_rest(m);

		for (int i = 0; i < 4; i++)
			rte_prefetch0(rest + i * RTE_CACHE_LINE_SIZE);
	}
}

static inline void put_header(const struct vring_state *r, uint8_t *to, const struct rte_mbuf *m)
{
	struct virtio_net_hdr_mrg_rxbuf h = {.num_buffers = 1};

	if ((m->ol_flags & RTE_MBUF_F_TX_L4_MASK) != 0)
		weft_vring_header(r, m, &h.hdr);
	if (likely(r->header_len == sizeof(h)))
		memcpy(to, &h, sizeof(h));
	else
		memcpy(to, &h, sizeof(h.hdr));
}

uint16_t weft_vring_push_plain(struct vring_state *r, struct rte_mbuf *const *pkts, uint16_t n)
{
	uint16_t heads[VRING_BURST], there = read_heads(r, RTE_MIN(n, VRING_BURST), heads), found;
	uint8_t *to[VRING_BURST];

	for (found = 0; found < there; found++) {
		to[found] = find_place(r, heads[found], r->header_len + pkts[found]->pkt_len);
		if (unlikely(to[found] == NULL))
			break;
		__builtin_prefetch(to[found], 1);
		__builtin_prefetch(to[found] + RTE_CACHE_LINE_SIZE, 1);
	}
	for (uint16_t i = 0; i < found; i++) {
		if (i + 1 < found)
			prefetch_rest(pkts[i + 1]);
		put_header(r, to[i], pkts[i]);
		copy(to[i] + r->header_len, pkts[i]);
		give(r, heads[i], r->header_len + pkts[i]->pkt_len);
	}
	return found;
}
