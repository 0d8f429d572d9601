// SPDX-License-Identifier: Apache-2.0
// What the tests of the session table share: a table of a given size, keys and connections by
// number.
#pragma once

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/native/session/session_table.h"

#define FIXTURE_PORTS 64

static const struct datapath_timeouts fixture_timeouts = {
	.tcp_opening = 60,
	.tcp_established = 432000,
	.tcp_closing = 20,
	.udp_unanswered = 30,
	.udp_answered = 180,
	.icmp = 25,
	.other = 600,
};

static inline struct session_table *fixture_table(uint32_t connections, uint32_t share_percent,
						  struct rte_rcu_qsbr *qsbr)
{
	const struct session_config config = {
		.connections = connections,
		.port_share_percent = share_percent,
		.max_ports = FIXTURE_PORTS,
		.tcp_loose = true,
		.timeouts = fixture_timeouts,
		.qsbr = qsbr,
	};
	struct session_table *t = NULL;
	struct err err;

	assert_int_equal(weft_sessions_new(&config, &t, &err), 0);
	return t;
}

// Connection number i from a port to another.
static inline struct session_new fixture_new(uint8_t family, uint8_t proto, uint16_t port,
					     uint16_t out_port, uint32_t i)
{
	struct session_new n = {.gen = 7, .bytes = 100};
	struct flow_key *k = &n.original.key;

	k->in_port = port;
	k->proto = proto;
	k->family = family;
	k->sport = (be16_t)i;
	k->dport = htobe16(proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6
				   ? (family == 4 ? 8 << 8 : 128 << 8)
				   : 443);
	if (family == 4) {
		k->src4 = htobe32(0x0a000000 + (i >> 16));
		k->dst4 = htobe32(0x0b000001);
	} else {
		memset(k->src6, 0x20, 16);
		memset(k->dst6, 0x21, 16);
		memcpy(k->src6 + 12, &i, 4);
	}
	assert_true(weft_flow_reverse(k, out_port, &n.reply.key));
	n.original.out_port = out_port;
	n.reply.out_port = port;
	n.tcp_flags = proto == IPPROTO_TCP ? 0x02 : 0;
	return n;
}

static inline struct session *fixture_add(struct session_worker *w, const struct session_new *n,
					  uint32_t now_ms)
{
	enum drop why;

	return weft_session_add(w, n, now_ms, &why);
}

static inline struct session *fixture_get(struct session_table *t, const struct flow_key *k)
{
	return weft_session_get(t, k, weft_flow_hash(k));
}

static inline enum drop fixture_packet(struct session_table *t, struct session *s, uint8_t flags)
{
	bool reopened;

	return weft_session_update(t, s, flags, &reopened);
}

// The first answer, and nothing after it.
static inline void fixture_exchange(struct session_table *t, struct session *original)
{
	if (original->key.proto == IPPROTO_TCP) {
		fixture_packet(t, weft_session_peer(original), 0x12);
		fixture_packet(t, original, 0x10);
	} else {
		fixture_packet(t, weft_session_peer(original), 0);
	}
}

// An answer, and that is not the end of it.
static inline void fixture_answer(struct session_table *t, struct session *original)
{
	fixture_exchange(t, original);
	original->packets += 2;
}
