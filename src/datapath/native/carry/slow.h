// SPDX-License-Identifier: Apache-2.0
// Slow path: the first packet of a flow, and every packet that is not plain.
//
// Parse in full, hold fragments until their first one is here, look for the session once more
// (what is unusual about a packet may only be an option header), judge again what is stale, judge
// what is new, and carry out the verdict: send, answer, flood, drop, and make the session for
// both directions.
//
// Threads    the worker
// Ownership  takes the mbuf
#pragma once

#include <rte_branch_prediction.h>
#include <rte_ether.h>
#include <string.h>

#include "datapath/native/judge/judge.h"
#include "datapath/native/session/nat.h"
#include "datapath/native/worker/worker.h"
#include "datapath/native/carry/route.h"
#include "datapath/native/packet/wire_len.h"

void weft_slow_packet(struct worker *w, struct rte_mbuf *m, uint16_t in_port);

// What a packet of a live session leaves as: MACs, TTL, addresses and ports.
static inline void weft_session_rewrite(struct rte_mbuf *m, const struct session *s, uint16_t l4)
{
	uint8_t hops = (uint8_t)(weft_session_flags(s) >> SESSION_HOPS_SHIFT);

	memcpy(rte_pktmbuf_mtod(m, void *), s->eth_out, 12);
	if (hops > 0)
		weft_ttl_decrease(rte_pktmbuf_mtod(m, uint8_t *), s->key.family, hops);
	if (unlikely(weft_session_flags(s) & SESSION_NAT))
		weft_nat_carry(m, s, l4);
}

// Send a packet of a live session on its way: MACs, addresses, TTL, counters, out. Shared with
// the fast path. l4: offset of the transport header, 0 = a later fragment.
static inline void weft_session_carry(struct worker *w, struct rte_mbuf *m, struct session *s,
				      uint16_t l4)
{
	uint32_t low = __atomic_load_n(&s->bytes_low, __ATOMIC_RELAXED);
	uint32_t bytes = low + rte_pktmbuf_pkt_len(m);

	weft_session_rewrite(m, s, l4);
	// If several workers carry the direction (session.h), one may undo another's count.
	__atomic_store_n(&s->packets, __atomic_load_n(&s->packets, __ATOMIC_RELAXED) + 1,
			 __ATOMIC_RELAXED);
	__atomic_store_n(&s->bytes_low, bytes, __ATOMIC_RELAXED);
	if (unlikely(bytes < low))
		__atomic_store_n(&s->bytes_high,
				 (uint16_t)(__atomic_load_n(&s->bytes_high, __ATOMIC_RELAXED) + 1),
				 __ATOMIC_RELAXED);
	__atomic_store_n(&s->seen_ms, w->now_ms, __ATOMIC_RELAXED);
	weft_send(w, m, weft_session_out_port(s));
}

// A routed session carries a packet only if its TTL and length allow it; a router must answer
// otherwise.
static inline bool weft_session_fits(const struct worker *w, const struct rte_mbuf *m,
				     const struct session *s, uint8_t ttl)
{
	uint8_t hops = (uint8_t)(weft_session_flags(s) >> SESSION_HOPS_SHIFT);

	return hops == 0 ||
	       (ttl > hops &&
		native_wire_len(m) <= atomic_load_explicit(&w->node->mtu[weft_session_out_port(s)],
							   memory_order_relaxed) +
					      RTE_ETHER_HDR_LEN);
}

// Send clones of a packet to everybody that the judgement's flood is for.
void weft_slow_flood(struct worker *w, struct rte_mbuf *m, struct judge *j);

// Prepare a judgement of a parsed packet, without anything that the session table knows.
void weft_judge_init(struct judge *j, const struct node *node, uint64_t epoch,
		     const struct packet *p, const uint8_t *eth, uint32_t frame_len);

// It was judged for a flow's sake, and goes where that flow does not lead: nothing is permitted
// there for that reason.
static inline bool weft_slow_leads_elsewhere(const struct judge *j)
{
	return j->related_to != NATIVE_NO_PORT &&
	       (j->verdict == VERDICT_FLOOD ||
		(j->verdict == VERDICT_FORWARD && j->out->index != j->related_to));
}

// An ICMP error about a live session, sent to the MAC that the session's packets go to: the
// direction from `in_port` on; else NULL. eth: the error's destination and source MAC.
struct session *weft_session_related(const struct session_table *t, const struct packet *p,
				     const uint8_t *eth);
