// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/carry/fast.h"

#include <rte_branch_prediction.h>
#include <rte_ether.h>
#include <rte_prefetch.h>
#include <string.h>

#include "datapath/native/carry/live.h"
#include "datapath/native/packet/counter.h"
#include "datapath/native/carry/slow.h"
#include "datapath/frames/numbers.h"

#define AHEAD 4

#define L4_OFFSET4 34
#define L4_OFFSET6 54

// Headers as they lie in a frame; all loads go through memcpy-like packed access.
struct __attribute__((packed)) frame4 {
	uint8_t eth[12];
	rte_be16_t type;
	uint8_t version_ihl, tos;
	rte_be16_t total_len, id, frag;
	uint8_t ttl, proto;
	rte_be16_t csum;
	rte_be32_t src, dst;
	rte_be16_t sport, dport;
};

struct __attribute__((packed)) frame6 {
	uint8_t eth[12];
	rte_be16_t type;
	rte_be32_t version_flow;
	rte_be16_t payload_len;
	uint8_t next, hops;
	uint8_t src[16], dst[16];
	rte_be16_t sport, dport;
};

// What one burst knows of its packets.
struct fast {
	struct flow_key key[NATIVE_BURST];
	uint32_t hash[NATIVE_BURST];
	uint8_t tcp_flags[NATIVE_BURST];
	uint64_t slow; // bit i: not plain, no key
	struct session *ses[NATIVE_BURST];
};

// Transport part of a plain packet: ports, or an echo's identifier. False: not plain.
static inline bool parse_l4(const struct rte_mbuf *m, uint32_t l3_end, uint16_t l4,
			    rte_be16_t sport, rte_be16_t dport, struct flow_key *k,
			    uint8_t *tcp_flags)
{
	const uint8_t *p = rte_pktmbuf_mtod_offset(m, const uint8_t *, l4);
	uint32_t len = RTE_MIN((uint32_t)rte_pktmbuf_data_len(m), l3_end);

	*tcp_flags = 0;
	k->sport = sport;
	k->dport = dport;
	switch (k->proto) {
	case PROTO_TCP:
		if (unlikely(len < l4 + 20u))
			return false;
		*tcp_flags = p[13];
		return true;
	case PROTO_UDP:
		return likely(len >= l4 + 8u);
	case PROTO_ICMP:
		if (len < l4 + 8u || (p[0] != 8 && p[0] != 0))
			return false;
		break;
	case PROTO_ICMPV6:
		if (len < l4 + 8u || (p[0] != 128 && p[0] != 129))
			return false;
		break;
	default:
		return false;
	}
	memcpy(&k->sport, p + 4, 2);
	k->dport = rte_cpu_to_be_16((uint16_t)(p[0] << 8 | p[1]));
	return true;
}

static inline bool parse4(const struct rte_mbuf *m, struct flow_key *k, uint8_t *tcp_flags)
{
	const struct frame4 *f = rte_pktmbuf_mtod(m, const struct frame4 *);
	uint32_t l3_end = RTE_ETHER_HDR_LEN + (uint32_t)rte_be_to_cpu_16(f->total_len);

	// No options, no fragments, whole.
	if (unlikely(f->version_ihl != 0x45 || (f->frag & RTE_BE16(0x3fff)) != 0 ||
		     l3_end > rte_pktmbuf_pkt_len(m)))
		return false;
	k->family = 4;
	k->proto = f->proto;
	k->src4 = f->src;
	k->dst4 = f->dst;
	return parse_l4(m, l3_end, L4_OFFSET4, f->sport, f->dport, k, tcp_flags);
}

static inline bool parse6(const struct rte_mbuf *m, struct flow_key *k, uint8_t *tcp_flags)
{
	const struct frame6 *f = rte_pktmbuf_mtod(m, const struct frame6 *);
	uint32_t l3_end;

	if (unlikely(rte_pktmbuf_data_len(m) < L4_OFFSET6 + 8 ||
		     (f->version_flow & RTE_BE32(0xf0000000)) != RTE_BE32(0x60000000)))
		return false;
	l3_end = L4_OFFSET6 + (uint32_t)rte_be_to_cpu_16(f->payload_len);
	if (unlikely(l3_end > rte_pktmbuf_pkt_len(m)))
		return false;
	k->family = 6;
	k->proto = f->next;
	memcpy(k->src6, f->src, 32);
	return parse_l4(m, l3_end, L4_OFFSET6, f->sport, f->dport, k, tcp_flags);
}

// The key of a plain packet: Ethernet, IPv4 or IPv6 without options or fragments, TCP, UDP or echo.
static inline bool parse_plain(const struct rte_mbuf *m, uint16_t in_port, struct flow_key *k,
			       uint8_t *tcp_flags)
{
	const struct frame4 *f = rte_pktmbuf_mtod(m, const struct frame4 *);

	if (unlikely(rte_pktmbuf_data_len(m) < L4_OFFSET4 + 8))
		return false;
	k->in_port = in_port;
	if (likely(f->type == RTE_BE16(RTE_ETHER_TYPE_IPV4)))
		return parse4(m, k, tcp_flags);
	if (f->type == RTE_BE16(RTE_ETHER_TYPE_IPV6))
		return parse6(m, k, tcp_flags);
	return false;
}

// Must this packet's flags be looked at? A reply's line keeps a copy of the state, so that plain
// packets of an established connection touch one line only.
static inline bool needs_update(const struct session *s, uint8_t tcp_flags)
{
	return weft_session_state(s) != SESSION_ESTABLISHED ||
	       (tcp_flags & (TCP_FIN | TCP_SYN | TCP_RST)) != 0 ||
	       (s->key.proto == PROTO_TCP && tcp_flags == 0);
}

static inline uint8_t ttl_of(const struct rte_mbuf *m, const struct session *s)
{
	return s->key.family == 4 ? rte_pktmbuf_mtod(m, const struct frame4 *)->ttl
				  : rte_pktmbuf_mtod(m, const struct frame6 *)->hops;
}

// True: carried or dropped here. False: the slow path's.
static inline bool carry(struct worker *w, struct rte_mbuf *m, struct session *s, uint8_t tcp_flags)
{
	uint16_t flags = weft_session_flags(s);

	// A policy change bumps a generation instead of walking the table: a stale session is
	// judged again on its next packet, in either direction.
	if (unlikely(memcmp(rte_pktmbuf_mtod(m, const void *), s->eth_in, 12) != 0 ||
		     native_session_gen(s) !=
			     native_gen(w->node, s->key.in_port, weft_session_out_port(s)) ||
		     (flags & SESSION_SLOW) != 0))
		return false;
	if (flags >> SESSION_HOPS_SHIFT != 0 && unlikely(!weft_session_fits(w, m, s, ttl_of(m, s))))
		return false;
	if (unlikely(needs_update(s, tcp_flags))) {
		bool reopened = false;

		if (unlikely(weft_session_is_claim(s)))
			return false;
		enum drop why = weft_session_update(w->sessions, s, tcp_flags, &reopened);

		if (reopened || (why != DROP_NONE && !(weft_session_flags(s) & SESSION_UNTRACKED)))
			return false;
	}
	weft_session_carry(w, m, s, s->key.family == 4 ? L4_OFFSET4 : L4_OFFSET6);
	return true;
}

static void drop_all(struct worker *w, uint16_t in_port, struct rte_mbuf **pkts, uint16_t n,
		     enum drop why)
{
	for (uint16_t i = 0; i < n; i++)
		weft_drop(w, pkts[i], in_port, why);
}

// The next packet seems to be of a new flow, too: most likely to the same port as the last one,
// and translated like it if its addresses are the same, so its reply's place in the index can be
// fetched meanwhile.
static inline void expect_next(struct worker *w, const struct fast *f, uint16_t next, uint16_t n)
{
	const struct flow_key *key = &f->key[next];
	struct flow_key reply;

	if (next >= n || f->ses[next] != NULL || (f->slow >> next & 1) != 0 ||
	    !weft_flow_reverse(key, w->made.reply_port, &reply))
		return;
	if (key->family == 4 && key->src4 == w->made.src && key->dst4 == w->made.dst) {
		reply.src4 = w->made.reply_src;
		reply.dst4 = w->made.reply_dst;
	}
	weft_session_prefetch(w->sessions, &reply);
}

// Three passes, so that each waits for one kind of memory: headers (prefetched ahead), hash
// buckets and sessions (the bulk look-up overlaps them), then the packets again.
void weft_fast_carry(struct worker *w, uint16_t in_port, struct rte_mbuf **pkts, uint16_t n)
{
	const struct port_policy *policy = native_policy(w->node, in_port, w->epoch);
	const struct network *net = policy == NULL ? NULL
						   : weft_vslot_value(policy->network, w->epoch);
	struct port_stats *stats = &w->port_stats[in_port];
	uint64_t bytes = 0;
	uint32_t max_len;
	struct fast f;

	if (unlikely(net == NULL || !policy->plan->admin_up)) {
		drop_all(w, in_port, pkts, n, DROP_PORT_DOWN);
		return;
	}
	max_len = net->mtu + RTE_ETHER_HDR_LEN;
	w->n_cut = 0;
	f.slow = 0;
	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];
		uint32_t len = rte_pktmbuf_pkt_len(m);

		if (i + AHEAD < n)
			rte_prefetch0(rte_pktmbuf_mtod(pkts[i + AHEAD], void *));
		bytes += len;
		if (unlikely(!parse_plain(m, in_port, &f.key[i], &f.tcp_flags[i]) ||
			     (len > max_len && native_wire_len(m) > max_len)))
			f.slow |= UINT64_C(1) << i;
		else
			f.hash[i] = weft_flow_hash(&f.key[i]);
	}
	COUNT(stats->rx_packets, n);
	COUNT(stats->rx_bytes, bytes);

	weft_session_get_bulk(w->sessions, f.key, f.hash, n, f.slow, f.ses);

	for (uint16_t i = 0; i < n; i++) {
		struct session *s = f.ses[i];

		// A packet earlier in this burst may have ended the session that was found for
		// this one.
		if (likely(s != NULL && carry(w, pkts[i], s, f.tcp_flags[i]))) {
			COUNT(w->stats.fast, 1);
			continue;
		}
		COUNT(w->stats.slow, 1);
		expect_next(w, &f, (uint16_t)(i + 1), n);
		weft_slow_packet(w, pkts[i], in_port);
	}
}

void weft_fast_burst(struct worker *w, uint16_t in_port, struct rte_mbuf **pkts, uint16_t n)
{
	if (unlikely(weft_live(w) != NULL))
		weft_live_burst(w, in_port, pkts, n);
	else
		weft_fast_carry(w, in_port, pkts, n);
}
