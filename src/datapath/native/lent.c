// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/lent.h"

#include <errno.h>

int weft_lent_take(struct rte_mbuf *m, struct rte_mempool *pool)
{
	const uint8_t *rest = weft_lent_rest(m);
	uint32_t len = m->pkt_len - m->data_len;
	uint16_t part = (uint16_t)RTE_MIN(len, rte_pktmbuf_tailroom(m));
	struct rte_mbuf *more = NULL, **end = &more, *last = m;
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
	memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len), rest, part);
	m->data_len += part;
	rest += part;
	for (last = more; last != NULL; last = last->next) {
		memcpy(rte_pktmbuf_mtod(last, void *), rest, last->data_len);
		rest += last->data_len;
	}
	m->next = more;
	m->nb_segs = segments;
	return 0;
}
