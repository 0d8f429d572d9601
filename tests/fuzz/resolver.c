// SPDX-License-Identifier: Apache-2.0
// What an uplink may tell about neighbours: any ARP and ND, between packets of VMs that need next
// hops, changes of routers, and time.
//
// The input is a list of steps, each an opcode and its arguments (enum op). What must hold after
// every step:
//   - the MAC of a known next hop is a host's, and somebody has said it
//   - nothing is known that was never asked for, and nothing that the plan has
//   - what leaves by the uplink is a question or an announcement of ours, or leads to a MAC that
//     was said
// and after the last: every packet buffer is back in the pool.
#include "datapath/native/outside/resolver.h"

#include <string.h>

#include "datapath/frames/neighbour_frame.h"
#include "datapath/frames/packet.h"
#include "datapath/native/testing/testbed.h"
#include "fuzz.h"

enum op {
	OP_RAW,	  // from (uplink or a port of the network), length, frame
	OP_ARP,	  // operation, sender, its MAC, target
	OP_ND,	  // type, who, its MAC, flags, hop limit, whether the checksum is right
	OP_SEND,  // by the VM: to which address
	OP_TIME,  // tenths of a second
	OP_PLAN,  // which change
	OP_REPLY, // a VM's flow is answered: source port
	OP_COUNT,
};

enum { HOSTS = 8, MACS = 6, STEPS_MAX = 128 };

static const char *const hosts[HOSTS] = {
	"203.0.113.254", "203.0.113.20", "203.0.113.1", "203.0.113.9",
	"2001:db8::fe",	 "2001:db8::20", "2001:db8::1", "fe80::1",
};
#define GATEWAYS 0x11 // of routes: hosts 0 and 4
#define OURS	 0x4c // the router's and "local"'s: hosts 2, 3 and 6

struct run {
	struct testbed *tb;
	const uint8_t *in, *end;
	uint32_t asked; // hosts that a packet was sent to or through, by bit
	bool raw;	// any MAC may have been said
};

static uint8_t take(struct run *r)
{
	return r->in < r->end ? *r->in++ : 0;
}

static struct mac_addr mac_of(uint8_t i)
{
	if (i % MACS == 0) // a group's
		return (struct mac_addr) {{0x01, 0, 0x5e, 0, 0, 1}};
	if (i % MACS == 1)
		return (struct mac_addr) {{0}};
	return (struct mac_addr) {{0x52, 0x54, 0, 0, 0, i % MACS}};
}

static bool was_said(const struct run *r, const uint8_t *mac)
{
	for (uint8_t i = 1; i < MACS; i++) {
		struct mac_addr m = mac_of(i);
		if (memcmp(m.b, mac, 6) == 0)
			return true;
	}
	return r->raw;
}

static struct ip_addr host(uint8_t i)
{
	struct ip_addr ip;
	fuzz_assert(weft_ip_parse(hosts[i % HOSTS], &ip) == 0);
	return ip;
}

// ---- What must hold ------------------------------------------------------------------------

static void check_hop(const struct next_hop_view *v, void *arg)
{
	const struct run *r = arg;
	static const uint8_t zero[6];
	uint32_t which = 0;

	for (uint8_t i = 0; i < HOSTS; i++) {
		struct ip_addr ip = host(i);
		if (weft_ip_equal(&ip, &v->ip))
			which = 1u << i;
	}
	fuzz_assert((which & OURS) == 0);
	fuzz_assert((which & r->asked) != 0);
	if (strcmp(v->state, "known") != 0)
		return;
	fuzz_assert((v->mac.b[0] & 1) == 0 && memcmp(v->mac.b, zero, 6) != 0);
	fuzz_assert(was_said(r, v->mac.b));
}

static void check_out(const struct run *r, const struct frame *f)
{
	struct mac_addr router = testbed_mac("rx"), second = testbed_mac("sx");
	struct mac_addr local = testbed_mac("local");
	struct packet p;

	fuzz_assert(weft_packet_parse(f->b, f->len, f->len, 0, &p) == DROP_NONE);
	if (memcmp(f->b + 6, local.b, 6) == 0)
		return; // switched
	fuzz_assert(memcmp(f->b + 6, router.b, 6) == 0 || memcmp(f->b + 6, second.b, 6) == 0);
	fuzz_assert((f->b[0] & 1) != 0 || was_said(r, f->b));
	if ((f->b[0] & 1) != 0)
		fuzz_assert(p.kind == PACKET_ARP || (p.key.proto == 58 && p.ttl == 255));
}

static void check(struct run *r)
{
	struct resolver_stats s;
	struct frame f;

	weft_resolver_stats(r->tb->dp.node.resolver, &s);
	fuzz_assert(s.known + s.asking + s.failed <= HOSTS);
	fuzz_assert(s.held <= 32 * 3); // of each of three ports
	weft_resolver_each(r->tb->dp.node.resolver, check_hop, r);
	while (testbed_receive(r->tb, "ext", &f))
		check_out(r, &f);
	while (testbed_receive(r->tb, "a", &f) || testbed_receive(r->tb, "local", &f))
		continue;
}

// ---- Steps ---------------------------------------------------------------------------------

static void send_raw(struct run *r)
{
	const char *from = (take(r) & 1) != 0 ? "local" : "ext";
	struct frame f = {.len = take(r)};

	if (f.len > (size_t)(r->end - r->in))
		f.len = (size_t)(r->end - r->in);
	memcpy(f.b, r->in, f.len);
	r->in += f.len;
	r->raw = true;
	testbed_send(r->tb, from, &f);
}

static void send_arp(struct run *r)
{
	uint8_t op = take(r), to = take(r);
	struct ip_addr spa = host(take(r) % 4), tpa = host(take(r) % 4);
	struct mac_addr sha = mac_of(take(r)), router = testbed_mac("rx");
	struct mac_addr all = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
	struct frame f;

	f.len = weft_neighbour_question(f.b, &spa, &sha, &tpa, (to & 1) != 0 ? &router : &all);
	f.b[21] = op % 4;
	testbed_send(r->tb, (to & 2) != 0 ? "local" : "ext", &f);
}

static uint16_t nd_sum(const struct frame *f)
{
	uint32_t sum = 58 + (uint32_t)(f->len - 54);
	for (size_t i = 22; i < f->len; i++)
		sum += i % 2 == 0 ? (uint32_t)f->b[i] << 8 : f->b[i];
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void send_nd(struct run *r)
{
	struct ip_addr who = host(4 + take(r) % 4);
	struct mac_addr mac = mac_of(take(r)), router = testbed_mac("rx");
	uint8_t how = take(r), flags = take(r);
	struct frame f;
	uint16_t sum;

	f.len = (how & 1) != 0 ? weft_neighbour_announcement(f.b, ANNOUNCE_REPLY, &who, &mac)
			       : weft_neighbour_question(f.b, &who, &mac, &who, &router);
	f.b[58] = flags;
	f.b[21] = (how & 2) != 0 ? 64 : 255;
	if ((how & 4) != 0)
		f.b[79] = 0; // the option's length
	if ((how & 8) != 0)
		memcpy(f.b, router.b, 6);
	f.b[56] = f.b[57] = 0;
	sum = nd_sum(&f);
	f.b[56] = (uint8_t)(sum >> 8);
	f.b[57] = (uint8_t)(sum ^ ((how & 16) != 0));
	testbed_send(r->tb, (how & 32) != 0 ? "local" : "ext", &f);
}

static void send_packet(struct run *r)
{
	static const char *const far[2] = {"198.51.100.7", "2001:db8:e::7"};
	uint8_t i = take(r) % (HOSTS + 2);
	const char *dst = i < HOSTS ? hosts[i] : far[i - HOSTS];
	bool v6 = strchr(dst, ':') != NULL;
	struct l4 l4 = {.proto = 17, .sport = take(r), .dport = 53, .payload = 8};
	struct frame f = testbed_frame("a", "r1", v6 ? "fd01::1" : "10.0.1.1", dst, l4);

	r->asked |= i < HOSTS ? 1u << i : GATEWAYS;
	testbed_send(r->tb, "a", &f);
}

static void send_reply(struct run *r)
{
	struct l4 l4 = {.proto = 17, .sport = 53, .dport = take(r), .payload = 8};
	struct frame f = testbed_frame("ext", "rx", "198.51.100.7", "203.0.113.1", l4);
	struct mac_addr mac = mac_of(2 + take(r) % (MACS - 2));

	memcpy(f.b + 6, mac.b, 6);
	testbed_send(r->tb, "ext", &f);
}

static void put_router(struct run *r)
{
	testbed_router_snat(r->tb, "r",
			    "n1|r1|10.0.1.254/24,fd01::fe/64 "
			    "!ext|rx|203.0.113.1/24,2001:db8::1/64",
			    "0.0.0.0/0|203.0.113.254 ::/0|2001:db8::fe", "203.0.113.1");
}

static void change_plan(struct run *r)
{
	switch (take(r) % 4) {
	case 0:
		testbed_del(r->tb, PLAN_ROUTER, "r", NULL);
		break;
	case 1:
		put_router(r);
		break;
	case 2:
		testbed_router(r->tb, "s", true, "!ext|sx|203.0.113.2/24,2001:db8::2/64", "");
		break;
	case 3:
		testbed_del(r->tb, PLAN_ROUTER, "s", NULL);
		break;
	}
	testbed_commit(r->tb);
}

static void step(struct run *r)
{
	switch ((enum op)(take(r) % OP_COUNT)) {
	case OP_RAW:
		send_raw(r);
		break;
	case OP_ARP:
		send_arp(r);
		break;
	case OP_ND:
		send_nd(r);
		break;
	case OP_SEND:
		send_packet(r);
		break;
	case OP_TIME:
		testbed_pass_time(r->tb, take(r) * 100u);
		break;
	case OP_PLAN:
		change_plan(r);
		break;
	case OP_REPLY:
		send_reply(r);
		break;
	case OP_COUNT:
		break;
	}
	check(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static unsigned pool_size;
	struct run r = {.tb = testbed_new(1024), .in = data, .end = data + len};
	struct rte_mempool *pool = r.tb->dp.node.pool;

	if (pool_size == 0)
		pool_size = rte_mempool_avail_count(pool);
	testbed_network(r.tb, "n1", 1500);
	testbed_provider(r.tb, "ext", 1500, 0);
	testbed_rule_set(r.tb, "all", true, "egress 4 any\negress 6 any\ningress 4 any\n");
	testbed_port(r.tb, "a", "n1", "10.0.1.1 fd01::1", "all");
	testbed_port(r.tb, "local", "ext", "203.0.113.9", "all");
	put_router(&r);
	testbed_commit(r.tb);
	for (unsigned i = 0; i < STEPS_MAX && r.in < r.end; i++)
		step(&r);
	testbed_free(r.tb);
	fuzz_assert(rte_mempool_avail_count(pool) == pool_size);
	return 0;
}
