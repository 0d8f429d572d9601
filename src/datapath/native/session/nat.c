// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/session/nat.h"

#include <rte_branch_prediction.h>
#include <rte_common.h>
#include <string.h>

#include "datapath/frames/numbers.h"

#define L3 14 // what NAT sees has an untagged Ethernet header

#define LOW_PORTS 1024u // ports below stay below (RFC 4787, REQ-3)

// ---- Checksums (RFC 1624) ------------------------------------------------------------------
// A difference is a sum of 16-bit words, as they lie in memory, not folded: some thousand fit.

static inline uint32_t change16(uint16_t from, uint16_t to)
{
	return (uint32_t)(uint16_t)~from + to;
}

static inline uint32_t change32(uint32_t from, uint32_t to)
{
	return change16((uint16_t)from, (uint16_t)to) +
	       change16((uint16_t)(from >> 16), (uint16_t)(to >> 16));
}

static inline uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

static inline uint16_t load16(const uint8_t *at)
{
	uint16_t v;

	memcpy(&v, at, 2);
	return v;
}

static inline void store16(uint8_t *at, uint16_t v)
{
	memcpy(at, &v, 2);
}

static inline uint32_t load32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, 4);
	return v;
}

// The field at `at` is an inverted sum. Returns by how much itself changed, for sums that cover it.
static inline uint32_t update(uint8_t *at, uint32_t change)
{
	uint16_t before = load16(at), after = (uint16_t)~fold((uint16_t)~before + change);

	store16(at, after);
	return change16(before, after);
}

// ---- One header ----------------------------------------------------------------------------

// Writes the addresses; returns the difference.
static inline uint32_t set_addresses(uint8_t *ip, uint32_t src, uint32_t dst)
{
	uint32_t change = change32(load32(ip + 12), src) + change32(load32(ip + 16), dst);

	memcpy(ip + 12, &src, 4);
	memcpy(ip + 16, &dst, 4);
	return change;
}

static inline uint32_t set_port(uint8_t *at, rte_be16_t port)
{
	uint32_t change = change16(load16(at), port);

	store16(at, port);
	return change;
}

// Where a protocol with ports has its checksum, over a pseudo-header; 0: it has neither, or none
// that the addresses touch.
static inline uint32_t checksum_offset(uint8_t proto)
{
	switch (proto) {
	case PROTO_TCP:
		return 16;
	case PROTO_UDP:
	case PROTO_UDPLITE:
	case PROTO_DCCP:
		return 6;
	default:
		return 0;
	}
}

// Ports and transport checksum. addresses: the difference of the pseudo-header. Returns the
// difference of the whole, 0 if it has no checksum. room: bytes that are there.
static inline uint32_t set_transport(uint8_t *l4, size_t room, uint8_t proto, uint32_t addresses,
				     const struct flow_key *to)
{
	uint32_t at = checksum_offset(proto), change;

	if (proto == PROTO_ICMP) {
		change = set_port(l4 + 4, to->sport);
		return change + update(l4 + 2, change);
	}
	if (at == 0)
		return 0;
	change = set_port(l4, to->sport) + set_port(l4 + 2, to->dport);
	if (at + 2 > room)
		return change;
	if (proto == PROTO_UDP && load16(l4 + at) == 0) // the sender made none
		return change;
	change += update(l4 + at, addresses + change);
	if (proto == PROTO_UDP && load16(l4 + at) == 0) // 0 would mean that there is none
		change += set_port(l4 + at, 0xffff);
	return change;
}

// The transport checksum is still to be made: what stands there is the pseudo-header's sum, not
// inverted (port_io.h).
static void set_unfinished(uint8_t *l4, uint8_t proto, uint32_t addresses,
			   const struct flow_key *to)
{
	uint32_t at = checksum_offset(proto);

	if (at == 0)
		return;
	set_port(l4, to->sport);
	set_port(l4 + 2, to->dport);
	store16(l4 + at, fold(load16(l4 + at) + addresses));
}

static inline void rewrite(struct rte_mbuf *m, uint16_t l4, uint8_t proto,
			   const struct flow_key *to)
{
	uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);
	uint32_t addresses = set_addresses(frame + L3, to->src4, to->dst4);

	update(frame + L3 + 10, addresses);
	if (unlikely(l4 == 0))
		return;
	if (unlikely((m->ol_flags & RTE_MBUF_F_TX_L4_MASK) != 0))
		set_unfinished(frame + l4, proto, addresses, to);
	else
		set_transport(frame + l4, SIZE_MAX, proto, addresses, to);
}

void weft_nat_leaves_as(const struct session *s, struct flow_key *out)
{
	const struct session *peer = weft_session_peer((struct session *)s);

	weft_session_key(s, out);
	if (!(weft_session_flags(s) & SESSION_NAT))
		return;
	out->src4 = peer->key.dst4;
	out->dst4 = peer->key.src4;
	if (s->key.proto == PROTO_ICMP) {
		out->sport = peer->key.sport;
	} else {
		out->sport = peer->key.dport;
		out->dport = peer->key.sport;
	}
}

void weft_nat_error_leaves_as(const struct session *s, const struct packet *error,
			      struct flow_key *out, struct flow_key *quote)
{
	struct flow_key flow;

	weft_nat_leaves_as(s, &flow);
	weft_session_key(weft_session_peer((struct session *)s), quote);
	*out = error->key;
	if (error->key.family != 4)
		return;
	// Whoever speaks behind a translated source is not to be seen from there.
	if (flow.src4 != s->key.src4)
		out->src4 = flow.src4;
	out->dst4 = flow.dst4;
}

void weft_nat_carry(struct rte_mbuf *m, const struct session *s, uint16_t l4)
{
	const struct session *peer = weft_session_peer((struct session *)s);
	bool icmp = s->key.proto == PROTO_ICMP;
	const struct flow_key to = {
		.src4 = peer->key.dst4,
		.dst4 = peer->key.src4,
		.sport = icmp ? peer->key.sport : peer->key.dport,
		.dport = peer->key.sport,
	};

	rewrite(m, l4, s->key.proto, &to);
}

void weft_nat_rewrite(struct rte_mbuf *m, const struct packet *p, const struct flow_key *to)
{
	// An ICMP message that is no query has no identifier to change.
	bool has_ports = p->key.proto != PROTO_ICMP || p->icmp_query;

	rewrite(m, has_ports ? p->l4 : 0, p->key.proto, to);
}

void weft_nat_rewrite_error(struct rte_mbuf *m, const struct packet *p, const struct flow_key *to,
			    const struct flow_key *quote)
{
	uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *), *inner = frame + p->inner_l3;
	size_t seen = RTE_MIN((size_t)rte_pktmbuf_data_len(m), (size_t)p->l3 + p->l3_len);
	uint32_t addresses = set_addresses(inner, quote->src4, quote->dst4), change = addresses;

	change += update(inner + 10, addresses);
	if (p->inner_l4 != 0)
		change += set_transport(frame + p->inner_l4, seen - p->inner_l4, quote->proto,
					addresses, quote);
	update(frame + p->l4 + 2, change);
	update(frame + L3 + 10, set_addresses(frame + L3, to->src4, to->dst4));
}

// ---- Ports of shared addresses -------------------------------------------------------------

static bool has_ports_to_choose(uint8_t proto)
{
	return proto == PROTO_ICMP || checksum_offset(proto) != 0;
}

bool weft_nat_candidate(const struct flow_key *key, uint32_t n, rte_be16_t *sport)
{
	uint16_t own = rte_be_to_cpu_16(key->sport);
	uint32_t first, size;
	uint64_t end, h;

	if (n == 0) {
		*sport = key->sport;
		return true;
	}
	if (n >= NAT_TRIES || !has_ports_to_choose(key->proto))
		return false;
	first = own < LOW_PORTS && key->proto != PROTO_ICMP ? 1 : LOW_PORTS;
	size = first == 1 ? LOW_PORTS - 1 : 65536 - LOW_PORTS;
	end = (uint64_t)key->src4 << 32 | (uint64_t)own << 16 | key->proto;
	h = weft_flow_mix(end ^ weft_flow_secret[0],
			  weft_flow_secret[1] ^ (n * UINT64_C(0x9e3779b97f4a7c15)));
	h = weft_flow_mix(h ^ weft_flow_secret[2], weft_flow_secret[3]);
	*sport = rte_cpu_to_be_16((uint16_t)(first + (uint32_t)h % size));
	return true;
}
