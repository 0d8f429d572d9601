// SPDX-License-Identifier: Apache-2.0
// What the resolver's tests begin with: a router between n1 ("a", "b") and the external network
// "ext", where "local" is a port of this node and "ext" stands for the rest of the world. Behind
// 203.0.113.254 and 2001:db8::fe is the internet.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "datapath/frames/neighbour_frame.h"
#include "datapath/native/outside/resolver.h"
#include "datapath/native/carry/slow.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/testing/testbed.h"

#define UDP(from_port, to_port, size) \
	((struct l4) {.proto = 17, .sport = (from_port), .dport = (to_port), .payload = (size)})

static const struct mac_addr gateway_mac = {{0x52, 0x54, 0, 0, 0, 1}};
static const struct mac_addr other_mac = {{0x52, 0x54, 0, 0, 0, 2}};

static inline void external_router(struct testbed *tb, const char *id, const char *name,
				   const char *ip)
{
	const char *last = strrchr(ip, '.') + 1;
	char interfaces[128];

	snprintf(interfaces, sizeof(interfaces), "!ext|%s|%s/24,2001:db8::%s/64", name, ip, last);
	testbed_router(tb, id, true, interfaces, "");
}

// The router of n1: IPv4 leaves with its own address.
static inline void north_router(struct testbed *tb)
{
	testbed_router_snat(tb, "r",
			    "n1|r1|10.0.1.254/24,fd01::fe/64 "
			    "!ext|rx|203.0.113.1/24,2001:db8::1/64",
			    "0.0.0.0/0|203.0.113.254 ::/0|2001:db8::fe", "203.0.113.1");
}

// Its routers' addresses are still to be announced.
static inline struct testbed *new_north(void)
{
	struct testbed *tb = testbed_new(1024);

	testbed_network(tb, "n1", 1500);
	testbed_provider(tb, "ext", 1500, 0);
	testbed_rule_set(tb, "all", true, "egress 4 any\negress 6 any\ningress 4 any\n");
	testbed_port(tb, "a", "n1", "10.0.1.1 fd01::1", "all");
	testbed_port(tb, "b", "n1", "10.0.1.2", "all");
	testbed_port(tb, "local", "ext", "203.0.113.9", "all");
	north_router(tb);
	testbed_commit(tb);
	return tb;
}

static inline struct testbed *north(void)
{
	struct testbed *tb = new_north();

	testbed_settle(tb);
	return tb;
}

static inline const struct port_policy *policy(struct testbed *tb, const char *port)
{
	return native_policy(&tb->dp.node, weft_tables_port(tb->dp.tables, port)->index,
			     weft_vstore_epoch(tb->dp.node.vs));
}

static inline uint32_t ext(struct testbed *tb)
{
	return policy(tb, "ext")->network_index;
}

static inline struct ip_addr ip_of(const char *text)
{
	struct ip_addr ip;

	assert_int_equal(weft_ip_parse(text, &ip), 0);
	return ip;
}

static inline struct next_hop hop_to(struct testbed *tb, const struct ip_addr *ip)
{
	return (struct next_hop) {
		.network_index = ext(tb),
		.ip = *ip,
		.from = ip_of(ip->family == 4 ? "203.0.113.1" : "2001:db8::1"),
		.from_mac = testbed_mac("rx"),
	};
}

// A packet from `from` to "b" that has been judged so that it must wait for `ip`. It may be an
// address on the way or the destination.
static inline void hold_for(struct testbed *tb, const char *from, const struct ip_addr *ip,
			    bool is_destination)
{
	struct frame f = testbed_frame(from, "b", "10.0.1.1", "10.0.1.2", UDP(1, 2, 8));
	struct rte_mbuf *m = rte_pktmbuf_alloc(tb->dp.node.pool);
	struct next_hop ask = hop_to(tb, ip);

	memcpy(rte_pktmbuf_append(m, (uint16_t)f.len), f.b, f.len);
	ask.is_destination = is_destination;
	weft_resolver_hold(tb->w, m, policy(tb, from)->index, &ask);
	weft_send_flush(tb->w);
	rte_rcu_qsbr_quiescent(tb->dp.node.qsbr, 0);
}

static inline void hold(struct testbed *tb, const char *ip)
{
	struct ip_addr to = ip_of(ip);

	hold_for(tb, "a", &to, false);
}

static inline enum next_hop_state state_of(struct testbed *tb, const char *ip, struct mac_addr *mac)
{
	struct ip_addr to = ip_of(ip);
	uint64_t epoch = weft_vstore_epoch(tb->dp.node.vs);
	struct address_claim claim = weft_claim_address(&tb->dp.node, epoch, ext(tb), &to);
	struct next_hop_at at = {.port = NATIVE_NO_PORT};
	enum next_hop_state state =
		weft_resolver_get(tb->dp.node.resolver, epoch, &claim, ext(tb), &to, &at);

	*mac = at.mac;
	return state;
}

static inline struct resolver_stats stats(struct testbed *tb)
{
	struct resolver_stats s;

	weft_resolver_stats(tb->dp.node.resolver, &s);
	return s;
}

// ARP of some host outside.
static inline struct frame arp_from(const struct mac_addr *mac, uint8_t op, const char *spa,
				    const char *tpa, const char *to)
{
	struct ip_addr sender = ip_of(spa), target = ip_of(tpa);
	struct mac_addr dst = to == NULL ? (struct mac_addr) {{255, 255, 255, 255, 255, 255}}
					 : testbed_mac(to);
	struct frame f = {.len = weft_neighbour_question(f.b, &sender, mac, &target, &dst)};

	f.b[21] = op;
	return f;
}

static inline void says_arp(struct testbed *tb, const char *port, const struct mac_addr *mac,
			    uint8_t op, const char *spa, const char *tpa)
{
	struct frame f =
		arp_from(mac, op, spa, tpa, op == 2 && strcmp(spa, tpa) != 0 ? "rx" : NULL);

	testbed_send(tb, port, &f);
}

static inline void answer_arp(struct testbed *tb, const struct mac_addr *mac, const char *ip)
{
	says_arp(tb, "ext", mac, 2, ip, "203.0.113.1");
}

// The questions that "ext" was given.
static inline uint32_t questions(struct testbed *tb, struct frame *last)
{
	struct frame f;
	uint32_t n = 0;

	while (testbed_receive(tb, "ext", &f)) {
		bool arp = f.b[12] == 0x08 && f.b[13] == 0x06 && f.b[21] == 1 &&
			   memcmp(f.b + 28, f.b + 38, 4) != 0; // no announcement
		bool nd = f.b[12] == 0x86 && f.b[54] == 135;

		if (!arp && !nd)
			continue;
		n++;
		if (last != NULL)
			*last = f;
	}
	return n;
}

static inline uint32_t arrived(struct testbed *tb, const char *port)
{
	struct frame f;
	uint32_t n = 0;

	while (testbed_receive(tb, port, &f))
		n += f.b[12] == 0x08 && f.b[13] == 0;
	return n;
}

static inline void quiet(struct testbed *tb)
{
	struct frame f;

	while (testbed_receive(tb, "ext", &f) || testbed_receive(tb, "local", &f) ||
	       testbed_receive(tb, "a", &f))
		continue;
}

static inline struct testbed *with_gateway(void)
{
	struct testbed *tb = north();

	tb->w->now_ms = 5000;
	weft_resolver_tick(tb->dp.node.resolver, 5000);
	hold(tb, "203.0.113.254");
	answer_arp(tb, &gateway_mac, "203.0.113.254");
	arrived(tb, "b");
	quiet(tb);
	return tb;
}

static inline uint32_t gen_of(struct testbed *tb, const char *port)
{
	return atomic_load(&tb->dp.node.gen[policy(tb, port)->index]);
}
