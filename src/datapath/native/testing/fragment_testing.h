// SPDX-License-Identifier: Apache-2.0
// What the tests of fragments share: pieces of datagrams, and what became of them.
#pragma once

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/native/testing/eal_testing.h"
#include "datapath/native/packet/fragment.h"

static struct rte_mempool *pool;

// Bytes [from, from + len) of a datagram's payload, which begins with a transport header with
// these ports.
struct piece {
	uint8_t family, proto;
	uint16_t in_port, sport, dport;
	uint32_t id, from, len;
	bool more;
	bool dest_options; // IPv6: a header between the fragment header and the transport
	uint8_t src;
	uint8_t sum;	  // of the whole datagram: its checksum says so
	uint16_t buffers; // that it lies in; 0 is 1. Each but the first has 8 bytes
};

static int n_dropped[DROP_COUNT];

static inline void count_dropped(void *arg, struct rte_mbuf *m, enum drop why)
{
	(void)arg;
	n_dropped[why]++;
	rte_pktmbuf_free(m);
}

static inline struct fragments *fragments_of(uint32_t datagrams, uint32_t buffers)
{
	memset(n_dropped, 0, sizeof(n_dropped));
	return weft_fragments_new(datagrams, buffers, count_dropped, NULL);
}

static inline struct rte_mbuf *spread(struct rte_mbuf *m, uint16_t buffers)
{
	if (buffers > 1)
		assert_int_equal(rte_pktmbuf_trim(m, (uint16_t)(8 * (buffers - 1))), 0);
	for (uint16_t i = 1; i < buffers; i++) {
		struct rte_mbuf *more = rte_pktmbuf_alloc(pool);

		rte_pktmbuf_append(more, 8);
		assert_int_equal(rte_pktmbuf_chain(m, more), 0);
	}
	return m;
}

static inline struct rte_mbuf *frame_of(const struct piece *c)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint32_t header = c->family == 4 ? 20 : 48;
	uint8_t *b = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(14 + header + c->len)),
		*ip = b + 14;
	uint8_t *payload = ip + header;

	memset(b, 0, 14 + header + c->len);
	b[12] = c->family == 4 ? 0x08 : 0x86;
	b[13] = c->family == 4 ? 0x00 : 0xdd;
	if (c->family == 4) {
		uint16_t frag = (uint16_t)(c->from / 8 | (c->more ? 0x2000 : 0));
		ip[0] = 0x45;
		ip[2] = (uint8_t)((20 + c->len) >> 8);
		ip[3] = (uint8_t)(20 + c->len);
		ip[4] = (uint8_t)(c->id >> 8);
		ip[5] = (uint8_t)c->id;
		ip[6] = (uint8_t)(frag >> 8);
		ip[7] = (uint8_t)frag;
		ip[8] = 64;
		ip[9] = c->proto;
		memcpy(ip + 12, (uint8_t[]) {10, 0, 0, c->src, 10, 0, 0, 200}, 8);
	} else {
		uint16_t frag = (uint16_t)(c->from | c->more);
		ip[0] = 0x60;
		ip[4] = (uint8_t)((8 + c->len) >> 8);
		ip[5] = (uint8_t)(8 + c->len);
		ip[6] = IPPROTO_FRAGMENT;
		ip[7] = 64;
		ip[8] = ip[24] = 0x20;
		ip[23] = c->src;
		ip[40] = c->dest_options ? IPPROTO_DSTOPTS : c->proto;
		ip[42] = (uint8_t)(frag >> 8);
		ip[43] = (uint8_t)frag;
		for (int i = 0; i < 4; i++)
			ip[44 + i] = (uint8_t)(c->id >> (24 - 8 * i));
	}
	if (c->from != 0)
		return spread(m, c->buffers);
	if (c->dest_options) {
		payload[0] = c->proto;
		payload[2] = 1; // PadN
		payload[3] = 4;
		payload += 8;
	}
	if (c->proto == IPPROTO_ICMP || c->proto == IPPROTO_ICMPV6) {
		payload[0] = c->family == 4 ? 8 : 128;
		payload[4] = (uint8_t)(c->sport >> 8);
		payload[5] = (uint8_t)c->sport;
		return m;
	}
	payload[0] = (uint8_t)(c->sport >> 8);
	payload[1] = (uint8_t)c->sport;
	payload[2] = (uint8_t)(c->dport >> 8);
	payload[3] = (uint8_t)c->dport;
	payload[4] = 0x20; // UDP length
	payload[7] = c->sum;
	if (c->proto == IPPROTO_TCP) {
		payload[12] = 0x50;
		payload[13] = 0x02;
	}
	return m;
}

struct outcome {
	enum fragment_result result;
	enum drop why;
	struct packet p;
	struct rte_mbuf *m;
};

static inline struct outcome in_mbuf(struct fragments *f, struct rte_mbuf *m, uint16_t in_port,
				     uint32_t now_ms)
{
	struct outcome o = {.m = m};

	assert_int_equal(weft_packet_parse(rte_pktmbuf_mtod(m, uint8_t *), m->data_len, m->pkt_len,
					   in_port, &o.p),
			 DROP_NONE);
	assert_int_not_equal(o.p.fragment, FRAGMENT_NONE);
	o.result = weft_fragment_in(f, m, &o.p, now_ms, &o.why);
	return o;
}

static inline struct outcome in(struct fragments *f, const struct piece *c, uint32_t now_ms)
{
	return in_mbuf(f, frame_of(c), c->in_port, now_ms);
}

// For those that go or drop: the mbuf is the caller's.
static inline struct outcome in_done(struct fragments *f, const struct piece *c, uint32_t now_ms)
{
	struct outcome o = in(f, c, now_ms);

	if (o.result != FRAGMENT_HELD)
		rte_pktmbuf_free(o.m);
	return o;
}

static inline struct piece piece(uint8_t family, uint8_t proto, uint32_t id, uint32_t from,
				 uint32_t len, bool more)
{
	return (struct piece) {.family = family,
			       .proto = proto,
			       .in_port = 3,
			       .sport = 4000,
			       .dport = 53,
			       .id = id,
			       .from = from,
			       .len = len,
			       .more = more,
			       .src = 1};
}

static inline void assert_ports(const struct outcome *o, uint16_t sport, uint16_t dport)
{
	assert_int_equal(o->result, FRAGMENT_GO);
	assert_int_equal(rte_be_to_cpu_16(o->p.key.sport), sport);
	assert_int_equal(rte_be_to_cpu_16(o->p.key.dport), dport);
}

static inline int all_free(void)
{
	return rte_mempool_in_use_count(pool) == 0;
}

static inline int start_eal(void **state)
{
	(void)state;
	return eal_testing_start_alone(1023, &pool);
}

static inline int stop_eal(void **state)
{
	(void)state;
	return eal_testing_stop_alone(pool);
}
