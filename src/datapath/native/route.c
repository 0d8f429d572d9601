// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/route.h"

#include <errno.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_ip_frag.h>
#include <string.h>

#include "datapath/native/nat.h"
#include "datapath/native/services.h"
#include "datapath/native/slow.h"

#define MAX_FRAGMENTS 64

// Fragments are cut from a packet whose transport checksum is complete.
static bool finish_checksum(struct rte_mbuf *m)
{
	uint64_t kind = m->ol_flags & RTE_MBUF_F_TX_L4_MASK;
	struct rte_ipv4_hdr *ip;
	uint16_t csum, at;

	if (kind == 0)
		return true;
	if (m->nb_segs != 1 || (kind != RTE_MBUF_F_TX_UDP_CKSUM && kind != RTE_MBUF_F_TX_TCP_CKSUM))
		return false;
	ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, m->l2_len);
	at = (uint16_t)(m->l2_len + m->l3_len + (kind == RTE_MBUF_F_TX_UDP_CKSUM ? 6 : 16));
	memset(rte_pktmbuf_mtod_offset(m, void *, at), 0, 2);
	csum = rte_ipv4_udptcp_cksum(ip, rte_pktmbuf_mtod_offset(m, void *, m->l2_len + m->l3_len));
	memcpy(rte_pktmbuf_mtod_offset(m, void *, at), &csum, 2);
	m->ol_flags &= ~RTE_MBUF_F_TX_OFFLOAD_MASK;
	return true;
}

static void fragment(struct worker *w, struct rte_mbuf *m, const struct judge *j, uint32_t mtu)
{
	struct rte_mbuf *parts[MAX_FRAGMENTS];
	uint8_t eth[RTE_ETHER_HDR_LEN];
	int32_t n = -EINVAL;

	memcpy(eth, rte_pktmbuf_mtod(m, void *), sizeof(eth));
	if (finish_checksum(m) && rte_pktmbuf_adj(m, RTE_ETHER_HDR_LEN) != NULL)
		n = rte_ipv4_fragment_packet(m, parts, MAX_FRAGMENTS, (uint16_t)mtu, w->dp->pool,
					     w->dp->pool);
	if (n < 0) {
		weft_drop(w, m, j->in->index, n == -ENOMEM ? DROP_NO_BUFFER : DROP_TOO_BIG);
		return;
	}
	for (int32_t i = 0; i < n; i++) {
		struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(parts[i], struct rte_ipv4_hdr *);
		char *head;

		ip->hdr_checksum = 0;
		ip->hdr_checksum = rte_ipv4_cksum(ip);
		parts[i]->ol_flags &= ~RTE_MBUF_F_TX_OFFLOAD_MASK;
		head = rte_pktmbuf_prepend(parts[i], RTE_ETHER_HDR_LEN);
		if (head == NULL) {
			weft_drop(w, parts[i], j->in->index, DROP_INTERNAL);
			continue;
		}
		memcpy(head, eth, sizeof(eth));
		weft_send(w, parts[i], j->out->index);
	}
	rte_pktmbuf_free(m);
}

void weft_route_out(struct worker *w, struct rte_mbuf *m, const struct judge *j)
{
	uint32_t mtu = atomic_load_explicit(&w->dp->mtu[j->out->index], memory_order_relaxed);

	memcpy(rte_pktmbuf_mtod(m, void *), j->eth_out, sizeof(j->eth_out));
	weft_ttl_decrease(rte_pktmbuf_mtod(m, uint8_t *), j->pkt->key.family, j->hops);
	if (j->quote != NULL)
		weft_nat_rewrite_error(m, j->pkt, &j->now, j->quote);
	else if (judge_translates(j))
		weft_nat_rewrite(m, j->pkt, &j->now);
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

// Token buckets: what cannot be told now is not told. A host outside that has used up its own takes none of the others'.
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
	told = rte_pktmbuf_alloc(w->dp->pool);
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
