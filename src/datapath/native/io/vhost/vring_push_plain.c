// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/vhost/vring_plain.h"

static inline uint8_t *find_place(const struct vring_state *r, uint16_t head, bool packed,
				  uint32_t len, uint16_t *id)
{
	struct vring_desc d = vring_read_head(r, head, packed, id);

	// It is what a driver does to say that it may be written to.
	if (unlikely(d.flags != VRING_DESC_F_WRITE || d.len < len))
		return NULL;
	return vring_host(r->memory, d.addr, len);
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
		vring_copy_head(to, head, m->pkt_len);
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
		struct lent_piece one;
		const uint8_t *rest = weft_lent_pieces(m, &one)->at;

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

static inline void give(struct vring_state *r, uint16_t id, bool packed, uint32_t len)
{
	struct vring_chain c = {.id = id, .slots = 1, .len = len};

	if (packed)
		weft_vring_give(r, &c, 1);
	else
		vring_give_split(r, id, len);
}

static inline uint16_t push(struct vring_state *r, struct rte_mbuf *const *pkts, uint16_t n,
			    bool packed)
{
	uint16_t heads[VRING_BURST], ids[VRING_BURST], there, found;
	uint8_t *to[VRING_BURST];

	there = vring_heads(r, RTE_MIN(n, VRING_BURST), heads, packed);
	for (found = 0; found < there; found++) {
		to[found] = find_place(r, heads[found], packed,
				       r->header_len + pkts[found]->pkt_len, &ids[found]);
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
		give(r, packed ? ids[i] : heads[i], packed, r->header_len + pkts[i]->pkt_len);
	}
	return found;
}

uint16_t weft_vring_push_plain(struct vring_state *r, struct rte_mbuf *const *pkts, uint16_t n)
{
	return r->packed ? push(r, pkts, n, true) : push(r, pkts, n, false);
}
