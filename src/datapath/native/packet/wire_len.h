// SPDX-License-Identifier: Apache-2.0
// How long a packet is on the wire, though it may be segmented only later.
#pragma once

#include <rte_common.h>
#include <rte_mbuf.h>

// How long the frame is on the wire, or, if it is segmented later, the longest that is made of
// it. The sender says how long its segments are to be; it may not be believed that they fit.
static inline uint32_t native_wire_len(const struct rte_mbuf *m)
{
	uint32_t len = rte_pktmbuf_pkt_len(m);
	uint32_t segment = (uint32_t)(m->l2_len + m->l3_len + m->l4_len + m->tso_segsz);

	if ((m->ol_flags & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)) == 0)
		return len;
	return RTE_MIN(len, segment);
}
