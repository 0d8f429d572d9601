// SPDX-License-Identifier: Apache-2.0
// Vring, from the driver: copied before anything is judged, so that what is judged is what is sent.
#include "datapath/native/io/vhost/vring_priv.h"

#include <errno.h>

#include <rte_branch_prediction.h>
#include <rte_ether.h>
#include <rte_memcpy.h>
#include <rte_prefetch.h>

#include "datapath/native/io/lent.h"
#include "datapath/native/io/vnet.h"
#include "datapath/native/io/extend.h"

// Buffers of 2 KB for PACKET_MAX.

struct reader {
	const struct vring_pieces *p;
	uint16_t at;
	uint32_t offset;
};

static void read_bytes(struct reader *from, void *to, uint32_t len)
{
	uint8_t *out = to;

	while (len > 0) {
		const struct vring_piece *piece = &from->p->at[from->at];
		uint32_t part = RTE_MIN(len, piece->len - from->offset);

		rte_memcpy(out, piece->host + from->offset, part);
		out += part;
		len -= part;
		from->offset += part;
		if (from->offset == piece->len) {
			from->at++;
			from->offset = 0;
		}
	}
}

// Copy the head, and list what is behind it.
static void read_head(struct reader *from, struct rte_mbuf *m, uint32_t len)
{
	struct lent_piece *list = weft_lent_list(m);
	uint16_t n = 0;

	m->pkt_len = len;
	m->data_len = LENT_HEAD;
	read_bytes(from, rte_pktmbuf_mtod(m, void *), LENT_HEAD);
	for (; from->at < from->p->n; from->at++, from->offset = 0) {
		const struct vring_piece *piece = &from->p->at[from->at];

		if (piece->len > from->offset)
			list[n++] = (struct lent_piece) {piece->host + from->offset,
							 piece->len - from->offset};
	}
	weft_lent_set(m, n == 1 ? (const void *)list->at : list);
}

// -EINVAL: no packet; -ENOBUFS: not now.
static int take(const struct vring_state *r, const struct vring_pieces *p, struct rte_mempool *pool,
		struct rte_mbuf *m, bool lend)
{
	struct reader from = {.p = p};
	union {
		struct virtio_net_hdr h;
		uint8_t bytes[12];
	} header;

	if (p->len < r->header_len + sizeof(struct rte_ether_hdr) ||
	    p->len > r->header_len + (uint64_t)PACKET_MAX)
		return -EINVAL;
	uint32_t len = (uint32_t)p->len - r->header_len;
	if (lend && len > LENT_HEAD && p->n <= LENT_PIECES) {
		read_bytes(&from, &header, r->header_len);
		read_head(&from, m, len);
		int ret = weft_vnet_in(&header.h, m);
		if (ret != -ENOTSUP)
			return ret;
		return weft_lent_take(m, pool) < 0 ? -ENOBUFS : weft_vnet_in(&header.h, m);
	}
	if (!weft_extend(pool, m, len))
		return -ENOBUFS;
	read_bytes(&from, &header, r->header_len);
	for (struct rte_mbuf *s = m; s != NULL; s = s->next)
		read_bytes(&from, rte_pktmbuf_mtod(s, void *), s->data_len);
	return weft_vnet_in(&header.h, m);
}

// What is to be read soon: the descriptors, and what they lead to as far as one look tells.
static void prefetch(const struct vring_state *r, uint16_t n)
{
	uint16_t mask = r->size - 1, i;

	for (i = 0; i < n; i++)
		rte_prefetch0(&r->desc[r->avail->ring[(uint16_t)(r->next + i) & mask] & mask]);
}

// Whatever it is. Returns how many chains are done with; *out counts the packets.
static uint16_t pop_any(struct vring_state *r, struct rte_mempool *pool, struct rte_mbuf **pkts,
			uint16_t n, bool lend, uint16_t *out)
{
	struct rte_mbuf *spare[VRING_BURST];
	uint16_t i = 0;

	n = weft_vring_available(r, n);
	if (n == 0 || rte_pktmbuf_alloc_bulk(pool, spare, n) < 0)
		return 0;
	if (!r->packed)
		prefetch(r, n);
	for (; i < n && (!r->packed || weft_vring_has(r, 0)); i++) {
		struct vring_pieces p;
		struct vring_chain c;
		int ret = -EINVAL;

		p.n = 0;
		p.len = 0;
		if (!weft_vring_chain(r, 0, &c, &p))
			break;
		if (likely(c.ok))
			ret = take(r, &p, pool, spare[i], lend);
		if (ret == -ENOBUFS)
			break; // it waits in the ring
		if (lend)
			weft_vring_hold(r, &c);
		else
			weft_vring_give(r, &c, 1);
		if (likely(ret == 0)) {
			pkts[(*out)++] = spare[i];
		} else {
			vring_count(&r->counters->malformed);
			rte_pktmbuf_free(spare[i]);
		}
	}
	rte_pktmbuf_free_bulk(spare + i, n - i);
	return i;
}

uint16_t weft_vring_pop(struct vring_state *r, struct rte_mempool *pool, struct rte_mbuf **pkts,
			uint16_t n, bool lend)
{
	uint16_t begin = weft_vring_base(r), out = 0;

	if (!r->on)
		return 0;
	n = RTE_MIN(n, VRING_BURST);
	if (!r->logged)
		out = weft_vring_pop_plain(r, pool, pkts, n, lend);
	if (out < n)
		pop_any(r, pool, pkts, n - out, lend, &out);
	r->lending = lend && out > 0;
	if (r->lending)
		r->lent_from = begin;
	else
		weft_vring_publish(r, begin);
	return out;
}

void weft_vring_done(struct vring_state *r)
{
	if (!r->lending)
		return;
	r->lending = false;
	weft_vring_publish(r, r->lent_from);
}
