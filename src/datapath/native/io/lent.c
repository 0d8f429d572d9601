// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/lent.h"

#include <errno.h>

// What is taken in will lie where the list was.
static void save_list(const struct rte_mbuf *m, struct lent_piece to[LENT_PIECES])
{
	struct lent_piece one;
	const struct lent_piece *p = weft_lent_pieces(m, &one);

	for (uint32_t left = m->pkt_len - m->data_len; left > 0; left -= p++->len)
		*to++ = *p;
}

// The next len bytes, off what *p leads to.
static void copy(uint8_t *to, struct lent_piece **p, uint32_t len)
{
	while (len > 0) {
		uint32_t part = RTE_MIN(len, (*p)->len);

		memcpy(to, (*p)->at, part);
		to += part;
		len -= part;
		(*p)->at += part;
		(*p)->len -= part;
		if ((*p)->len == 0)
			(*p)++;
	}
}

int weft_lent_take(struct rte_mbuf *m, struct rte_mempool *pool)
{
	struct lent_piece pieces[LENT_PIECES], *from = pieces;
	uint32_t len = m->pkt_len - m->data_len;
	uint16_t part = (uint16_t)RTE_MIN(len, rte_pktmbuf_tailroom(m));
	struct rte_mbuf *more = NULL, **end = &more;
	uint16_t segments = 1;

	// All buffers first: a packet that is half taken in would be neither.
	for (uint32_t left = len - part; left > 0;) {
		struct rte_mbuf *next = rte_pktmbuf_alloc(pool);

		if (next == NULL) {
			rte_pktmbuf_free(more);
			return -ENOMEM;
		}
		next->data_len = (uint16_t)RTE_MIN(left, rte_pktmbuf_tailroom(next));
		left -= next->data_len;
		*end = next;
		end = &next->next;
		segments++;
	}
	save_list(m, pieces);
	copy(rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len), &from, part);
	m->data_len += part;
	for (struct rte_mbuf *s = more; s != NULL; s = s->next)
		copy(rte_pktmbuf_mtod(s, uint8_t *), &from, s->data_len);
	m->next = more;
	m->nb_segs = segments;
	return 0;
}
