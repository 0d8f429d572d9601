// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/carry/route.h"

#include <rte_ether.h>
#include <string.h>

#include "datapath/native/io/cut.h"
#include "datapath/native/session/nat.h"
#include "datapath/native/io/segment.h"
#include "datapath/frames/services.h"
#include "datapath/native/carry/slow.h"
#include "datapath/native/io/vnet.h"

// Fragments that one burst may become: some 50 packets of 64 KB, by 1,400 bytes. What is left of it
// then is lost.
#define CUT_MOST 4096

// Its transport checksum is complete. False: it was not sent whole, for want of buffers, or because
// more was to be cut than is good for others.
static bool cut(struct worker *w, const struct rte_mbuf *m, const struct judge *j, uint32_t mtu)
{
	struct cutter c;

	for (weft_cut_begin(&c, m, mtu); !weft_cut_done(&c);) {
		struct rte_mbuf *part = w->n_cut == CUT_MOST ? NULL
							     : weft_cut_next(&c, w->node->pool);

		if (part == NULL)
			return false;
		w->n_cut++;
		weft_send(w, part, j->out->index);
	}
	return true;
}

// What is to be segmented first is: a fragment is no segment.
static bool cut_segments(struct worker *w, const struct rte_mbuf *m, const struct judge *j,
			 uint32_t mtu)
{
	struct segmenter s;
	bool whole = true;

	for (weft_segment_begin(&s, m); whole && !weft_segment_done(&s);) {
		struct rte_mbuf *segment = weft_segment_next(&s, w->node->pool);

		if (segment == NULL)
			return false;
		weft_vnet_fill(segment);
		whole = cut(w, segment, j, mtu);
		rte_pktmbuf_free(segment);
	}
	return whole;
}

static void fragment(struct worker *w, struct rte_mbuf *m, const struct judge *j, uint32_t mtu)
{
	bool whole;

	if (m->ol_flags & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)) {
		whole = cut_segments(w, m, j, mtu);
	} else {
		if (m->ol_flags & RTE_MBUF_F_TX_L4_MASK)
			weft_vnet_fill(m);
		whole = cut(w, m, j, mtu);
	}
	if (whole)
		rte_pktmbuf_free(m);
	else
		weft_drop(w, m, j->in->index, w->n_cut == CUT_MOST ? DROP_TOO_BIG : DROP_NO_BUFFER);
}

void weft_route_rewrite(struct rte_mbuf *m, const struct judge *j)
{
	memcpy(rte_pktmbuf_mtod(m, void *), j->eth_out, sizeof(j->eth_out));
	weft_ttl_decrease(rte_pktmbuf_mtod(m, uint8_t *), j->pkt->key.family, j->hops);
	if (j->quote != NULL)
		weft_nat_rewrite_error(m, j->pkt, &j->now, j->quote);
	else if (judge_translates(j))
		weft_nat_rewrite(m, j->pkt, &j->now);
}

void weft_route_out(struct worker *w, struct rte_mbuf *m, const struct judge *j)
{
	uint32_t mtu = atomic_load_explicit(&w->node->mtu[j->out->index], memory_order_relaxed);

	weft_route_rewrite(m, j);
	if (j->wire_len <= mtu + RTE_ETHER_HDR_LEN)
		weft_send(w, m, j->out->index);
	else if (j->pkt->key.family == 4 && !j->dont_fragment)
		fragment(w, m, j, mtu);
	else
		weft_drop(w, m, j->in->index, DROP_TOO_BIG);
}

static bool has_token(struct icmp_bucket *b, uint32_t now_ms, uint32_t burst, uint32_t per_second)
{
	uint32_t each_ms = 1000 / per_second;
	uint32_t regained = (now_ms - b->at_ms) / each_ms;

	if (regained >= b->spent) {
		b->spent = 0;
		b->at_ms = now_ms;
	} else {
		b->spent -= regained;
		b->at_ms += regained * each_ms;
	}
	return b->spent < burst;
}

// Nobody can find out who shares a bucket with him. IPv6: of its 128 bits a host has 64 to itself.
static uint32_t source_hash(const struct flow_key *k)
{
	uint64_t source = k->src4;

	if (k->family == 6)
		memcpy(&source, k->src6, sizeof(source));
	return (uint32_t)weft_flow_mix(source ^ weft_flow_secret[0],
				       k->family ^ weft_flow_secret[1]) &
	       (ICMP_SOURCES - 1);
}

// Token buckets: what cannot be told now is not told. A host outside that has used up its own
// takes none of the others'.
static bool may_tell(struct worker *w, const struct judge *j)
{
	uint16_t port = j->in->index;
	struct icmp_bucket *all = &w->icmp[port], *own = all;

	if (native_is_uplink(j->in)) {
		own = &w->icmp_source[port][source_hash(&j->pkt->key)];
		if (!has_token(all, w->now_ms, ICMP_UPLINK_BURST, ICMP_UPLINK_PER_SECOND))
			return false;
	}
	if (!has_token(own, w->now_ms, ICMP_BURST, ICMP_PER_SECOND))
		return false;
	own->spent++;
	if (all != own)
		all->spent++;
	return true;
}

void weft_route_tell(struct worker *w, const struct rte_mbuf *m, const struct judge *j)
{
	struct rte_mbuf *told;
	size_t len;

	if (j->icmp.from.family == 0 || !may_tell(w, j))
		return;
	told = rte_pktmbuf_alloc(w->node->pool);
	if (told == NULL)
		return;
	len = weft_icmp_error(rte_pktmbuf_mtod(m, const uint8_t *), rte_pktmbuf_data_len(m), j->pkt,
			      j->icmp.type, j->icmp.code, j->icmp.mtu, &j->icmp.from,
			      rte_pktmbuf_mtod(told, uint8_t *));
	if (len == 0 || rte_pktmbuf_append(told, (uint16_t)len) == NULL) {
		rte_pktmbuf_free(told);
		return;
	}
	weft_send(w, told, j->in->index);
}
