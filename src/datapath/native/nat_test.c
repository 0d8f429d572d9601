// SPDX-License-Identifier: Apache-2.0
// NAT through the whole native datapath: frames in and out of the testbed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "datapath/native/services.h"
#include "datapath/native/testbed.h"

#define SYN 0x02
#define ACK 0x10

#define TCP(from_port, to_port, flags) \
	((struct l4) {.proto = 6, .sport = (from_port), .dport = (to_port), .tcp_flags = (flags)})
#define UDP(from_port, to_port, size) \
	((struct l4) {.proto = 17, .sport = (from_port), .dport = (to_port), .payload = (size)})
#define ECHO(id, size) ((struct l4) {.proto = 1, .sport = (id), .dport = 0x0800, .payload = (size)})
#define ECHO_REPLY(id, size) \
	((struct l4) {.proto = 1, .sport = (id), .dport = 0x0000, .payload = (size)})

#define GATEWAY	 "203.0.113.2"
#define FLOATING "203.0.113.50"
#define WEB	 "198.51.100.7"

// n1 (10.0.1.0/24: "a" .1, "b" .2) on router "r" by "r1"; "rx" is its gateway on "ext", where "x" (.9) stands for the Internet.
static struct testbed *one_router(void)
{
	struct testbed *tb = testbed_new(4096);

	testbed_network(tb, "n1", 1500);
	testbed_network(tb, "ext", 1500);
	testbed_rule_set(tb, "web", true, "egress 4 any\ningress 4 tcp 80-80\ningress 4 icmp\n");
	testbed_port(tb, "a", "n1", "10.0.1.1", "web");
	testbed_port(tb, "b", "n1", "10.0.1.2", "web");
	testbed_port(tb, "x", "ext", "203.0.113.9", NULL);
	testbed_router_snat(tb, "r", "n1|r1|10.0.1.254/24 !ext|rx|" GATEWAY "/24",
			    "0.0.0.0/0|203.0.113.9", GATEWAY);
	testbed_commit(tb);
	return tb;
}

static struct frame summed(const char *from, const char *to, const char *src, const char *dst,
			   struct l4 l4)
{
	struct frame f = testbed_frame(from, to, src, dst, l4);

	testbed_checksum(&f);
	return f;
}

// Send `f` as `from`; `to` gets exactly `want`, some hops later.
static bool becomes(struct testbed *tb, const char *from, const struct frame *f, const char *to,
		    struct frame want, uint8_t hops)
{
	struct mac_addr mac;
	struct frame got;

	memcpy(mac.b, want.b, 6);
	want.b[22] = (uint8_t)(want.b[22] - hops);
	memset(want.b + 24, 0, 2);
	uint16_t csum = weft_csum(want.b + 14, 20, 0);
	memcpy(want.b + 24, &csum, 2);
	testbed_send(tb, from, f);
	return testbed_receive(tb, to, &got) && got.len == want.len &&
	       memcmp(got.b, want.b, want.len) == 0 && !testbed_receive(tb, to, &got);
}

static bool goes_out(struct testbed *tb, const char *src, struct l4 sent, struct l4 seen)
{
	struct frame f = summed("a", "r1", src, WEB, sent);

	return becomes(tb, "a", &f, "x", summed("rx", "x", GATEWAY, WEB, seen), 1);
}

static bool comes_back(struct testbed *tb, struct l4 sent, struct l4 seen)
{
	struct frame f = summed("x", "rx", WEB, GATEWAY, sent);

	return becomes(tb, "x", &f, "a", summed("r1", "a", WEB, "10.0.1.1", seen), 1);
}

static void what_leaves_has_the_routers_address_and_answers_come_back(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	assert_true(goes_out(tb, "10.0.1.1", TCP(1000, 80, SYN), TCP(1000, 80, SYN)));
	assert_true(comes_back(tb, TCP(80, 1000, SYN | ACK), TCP(80, 1000, SYN | ACK)));
	assert_true(goes_out(tb, "10.0.1.1", TCP(1000, 80, ACK), TCP(1000, 80, ACK)));
	assert_true(goes_out(tb, "10.0.1.1", TCP(1000, 80, ACK), TCP(1000, 80, ACK)));
	assert_true(comes_back(tb, TCP(80, 1000, ACK), TCP(80, 1000, ACK)));
	assert_true(goes_out(tb, "10.0.1.1", UDP(500, 53, 9), UDP(500, 53, 9)));
	assert_true(comes_back(tb, UDP(53, 500, 33), UDP(53, 500, 33)));
	assert_true(goes_out(tb, "10.0.1.1", ECHO(7, 16), ECHO(7, 16)));
	assert_true(comes_back(tb, ECHO_REPLY(7, 16), ECHO_REPLY(7, 16)));
	assert_int_equal(tb->w->stats.judged, 3);
	assert_int_equal(tb->w->stats.translated, 3);
	testbed_free(tb);
}

static void floating_ip_is_the_fixed_one_both_ways(void **state)
{
	struct testbed *tb = one_router();
	struct frame f = summed("x", "f", WEB, FLOATING, TCP(999, 80, SYN));
	struct frame g = summed("a", "r1", "10.0.1.1", WEB, TCP(80, 999, SYN | ACK));
	struct frame own = summed("a", "r1", "10.0.1.1", WEB, UDP(5, 6, 3));

	(void)state;
	testbed_floating(tb, "f", "r", "ext", FLOATING, "10.0.1.1", "a");
	testbed_commit(tb);
	assert_true(becomes(tb, "x", &f, "a", summed("r1", "a", WEB, "10.0.1.1", TCP(999, 80, SYN)),
			    1));
	assert_true(becomes(tb, "a", &g, "x",
			    summed("f", "x", FLOATING, WEB, TCP(80, 999, SYN | ACK)), 1));
	assert_true(becomes(tb, "a", &own, "x", summed("f", "x", FLOATING, WEB, UDP(5, 6, 3)), 1));
	f = summed("x", "f", WEB, FLOATING, UDP(6, 5, 3));
	assert_true(becomes(tb, "x", &f, "a", summed("r1", "a", WEB, "10.0.1.1", UDP(6, 5, 3)), 1));
	f = summed("x", "f", WEB, FLOATING, TCP(999, 81, SYN)); // no rule
	testbed_send(tb, "x", &f);
	assert_int_equal(testbed_drop(tb), DROP_INGRESS_RULES);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_leaves_has_the_routers_address_and_answers_come_back),
		cmocka_unit_test(floating_ip_is_the_fixed_one_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
