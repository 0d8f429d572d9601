// SPDX-License-Identifier: Apache-2.0
// A node with a router to the outside, for the tests of NAT.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "datapath/frames/services.h"
#include "datapath/native/testing/testbed.h"

#define SYN 0x02
#define RST 0x04
#define ACK 0x10

#define TCP(from_port, to_port, flags) \
	((struct l4) {.proto = 6, .sport = (from_port), .dport = (to_port), .tcp_flags = (flags)})
#define UDP(from_port, to_port, size) \
	((struct l4) {.proto = 17, .sport = (from_port), .dport = (to_port), .payload = (size)})
#define ECHO(id)       ((struct l4) {.proto = 1, .sport = (id), .dport = 0x0800, .payload = 16})
#define ECHO_REPLY(id) ((struct l4) {.proto = 1, .sport = (id), .dport = 0x0000, .payload = 16})
#define PLAIN(number)  ((struct l4) {.proto = (number), .payload = 16})

#define GATEWAY	   "203.0.113.2"
#define FLOATING   "203.0.113.50"
#define FLOATING_B "203.0.113.51"
#define WEB	   "198.51.100.7"
#define WEB_2	   "198.51.100.8"

// n1 (10.0.1.0/24: "a" .1, "b" .2) on router "r" by "r1"; "rx" is its gateway on "ext", where "x"
// (.9) stands for the Internet.
static inline void router_r(struct testbed *tb, const char *snat)
{
	testbed_router_snat(tb, "r",
			    "n1|r1|10.0.1.254/24,fd01::fe/64 !ext|rx|" GATEWAY "/24,2001:db8::2/64",
			    "0.0.0.0/0|203.0.113.9 ::/0|2001:db8::9", snat);
}

// A host on "ext" that sends for all others, and whose answers to ARP need not be waited for.
static inline void internet(struct testbed *tb, const char *name, const char *ips)
{
	testbed_rule_set(tb, "internet", false,
			 "egress 4 any\negress 6 any\ningress 4 any\ningress 6 any\n");
	testbed_port_with(tb, name, "ext", ips, "internet", "-|0.0.0.0/0 -|::/0", true);
}

static inline struct testbed *one_router(void)
{
	struct testbed *tb = testbed_new(4096);

	testbed_network(tb, "n1", 1500);
	testbed_network(tb, "ext", 1500);
	testbed_rule_set(tb, "web", true,
			 "egress 4 any\negress 6 any\ningress 4 tcp 80-80\ningress 4 icmp\n"
			 "ingress 6 tcp 80-80\n");
	testbed_port(tb, "a", "n1", "10.0.1.1 fd01::1", "web");
	testbed_port(tb, "b", "n1", "10.0.1.2", "web");
	internet(tb, "x", "203.0.113.9 2001:db8::9");
	router_r(tb, GATEWAY);
	testbed_commit(tb);
	return tb;
}

// "s": n2 (10.0.2.0/24: "c" .1) by "s1", and on the same outside by "sx" (.3).
static inline void second_router(struct testbed *tb)
{
	testbed_network(tb, "n2", 1500);
	testbed_port(tb, "c", "n2", "10.0.2.1", "web");
	testbed_router_snat(tb, "s", "n2|s1|10.0.2.254/24 !ext|sx|203.0.113.3/24",
			    "0.0.0.0/0|203.0.113.9", "203.0.113.3");
	testbed_commit(tb);
}

static inline struct frame summed(const char *from, const char *to, const char *src,
				  const char *dst, struct l4 l4)
{
	struct frame f = testbed_frame(from, to, src, dst, l4);

	if (f.b[14] >> 4 == 4)
		testbed_checksum(&f);
	return f;
}

static inline void age(struct frame *f, uint8_t hops)
{
	uint16_t csum;

	if (f->b[14] >> 4 == 6) {
		f->b[21] = (uint8_t)(f->b[21] - hops);
		return;
	}
	f->b[22] = (uint8_t)(f->b[22] - hops);
	memset(f->b + 24, 0, 2);
	csum = weft_csum(f->b + 14, 20, 0);
	memcpy(f->b + 24, &csum, 2);
}

// Does `to` get exactly `want` (some hops later), and nothing more?
static inline bool gets(struct testbed *tb, const char *to, struct frame want, uint8_t hops)
{
	struct frame got;

	age(&want, hops);
	return testbed_receive(tb, to, &got) && got.len == want.len &&
	       memcmp(got.b, want.b, want.len) == 0 && !testbed_receive(tb, to, &got);
}

static inline bool becomes(struct testbed *tb, const char *from, struct frame f, const char *to,
			   struct frame want, uint8_t hops)
{
	testbed_send(tb, from, &f);
	return gets(tb, to, want, hops);
}

// "a" (10.0.1.1) to WEB; x gets it from the router's address.
static inline bool goes_out(struct testbed *tb, struct l4 sent, struct l4 seen)
{
	return becomes(tb, "a", summed("a", "r1", "10.0.1.1", WEB, sent), "x",
		       summed("rx", "x", GATEWAY, WEB, seen), 1);
}

static inline bool comes_back(struct testbed *tb, struct l4 sent, struct l4 seen)
{
	return becomes(tb, "x", summed("x", "rx", WEB, GATEWAY, sent), "a",
		       summed("r1", "a", WEB, "10.0.1.1", seen), 1);
}

// WEB to the floating IP "f" of "a".
static inline bool comes_in(struct testbed *tb, struct l4 l4)
{
	return becomes(tb, "x", summed("x", "f", WEB, FLOATING, l4), "a",
		       summed("r1", "a", WEB, "10.0.1.1", l4), 1);
}

static inline bool answers_out(struct testbed *tb, struct l4 l4)
{
	return becomes(tb, "a", summed("a", "r1", "10.0.1.1", WEB, l4), "x",
		       summed("f", "x", FLOATING, WEB, l4), 1);
}

static inline void floating_a(struct testbed *tb)
{
	testbed_floating(tb, "f", "r", "ext", FLOATING, "10.0.1.1", "a");
	testbed_commit(tb);
}

static inline enum drop dropped(struct testbed *tb, const char *from, struct frame f)
{
	testbed_drop(tb);
	testbed_send(tb, from, &f);
	return testbed_drop(tb);
}

static inline uint16_t source_port(const struct frame *f)
{
	return (uint16_t)(f->b[34] << 8 | f->b[35]);
}

// The port that x sees when `src` sends `l4` to dst; 0 = nothing came. Its checksums must be right.
static inline uint16_t port_of(struct testbed *tb, const char *from, const char *src,
			       const char *dst, struct l4 l4)
{
	struct frame f = summed(from, "r1", src, dst, l4), got;

	testbed_send(tb, from, &f);
	if (!testbed_receive(tb, "x", &got))
		return 0;
	assert_true(testbed_checksum_ok(&got));
	return l4.proto == 1 ? (uint16_t)(got.b[38] << 8 | got.b[39]) : source_port(&got);
}
