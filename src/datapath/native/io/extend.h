// SPDX-License-Identifier: Apache-2.0
// Room for a long packet: a chain of buffers.
#pragma once

#include <rte_branch_prediction.h>
#include <rte_common.h>
#include <rte_mbuf.h>
#include <stdbool.h>

#define EXTEND_BUFFERS 33 // of the longest packet, 64 KB and its headers

// Room for len bytes behind an empty first buffer, its lengths set. False: there are not so many
// buffers, or it is too long; m is as it was.
static inline bool weft_extend(struct rte_mempool *pool, struct rte_mbuf *m, uint32_t len)
{
	struct rte_mbuf *more[EXTEND_BUFFERS], *last = m;
	uint32_t room = rte_pktmbuf_tailroom(m), n = 0, left = len - RTE_MIN(len, room);

	if (unlikely(left > 0)) {
		n = (left + room - 1) / room;
		if (n >= EXTEND_BUFFERS || rte_pktmbuf_alloc_bulk(pool, more, n) < 0)
			return false;
	}
	m->pkt_len = len;
	m->nb_segs = (uint16_t)(n + 1);
	m->data_len = (uint16_t)(len - left);
	for (uint32_t i = 0; i < n; i++) {
		more[i]->data_len = (uint16_t)RTE_MIN(left, room);
		left -= more[i]->data_len;
		last->next = more[i];
		last = more[i];
	}
	return true;
}
