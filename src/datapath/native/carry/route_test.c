// SPDX-License-Identifier: Apache-2.0
// Routing through the whole native datapath: frames in and out of the testbed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "datapath/frames/services.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/testing/testbed.h"

#define SYN 0x02
#define ACK 0x10

#define TCP(from_port, to_port, flags) \
	((struct l4) {.proto = 6, .sport = (from_port), .dport = (to_port), .tcp_flags = (flags)})
#define UDP(from_port, to_port, size) \
	((struct l4) {.proto = 17, .sport = (from_port), .dport = (to_port), .payload = (size)})

// n1 (10.0.1.0/24, "a") and n2 (10.0.2.0/24, MTU 1400, "b") on router "r" by its interfaces "r1"
// and "r2".
static struct testbed *two_networks(const char *b_rules)
{
	struct testbed *tb = testbed_new(1024);

	testbed_network(tb, "n1", 1500);
	testbed_network(tb, "n2", 1400);
	testbed_rule_set(tb, "out", true, "egress 4 any\negress 6 any\n");
	testbed_rule_set(tb, "in", true, b_rules);
	testbed_port(tb, "a", "n1", "10.0.1.1 fd01::1", "out");
	testbed_port(tb, "b", "n2", "10.0.2.1 fd02::1", "in");
	testbed_router(tb, "r", true,
		       "n1|r1|10.0.1.254/24,fd01::fe/64 n2|r2|10.0.2.254/24,fd02::fe/64", "");
	testbed_commit(tb);
	return tb;
}

static struct frame a2b(struct l4 l4)
{
	return testbed_frame("a", "r1", "10.0.1.1", "10.0.2.1", l4);
}

static struct frame b2a(struct l4 l4)
{
	return testbed_frame("b", "r2", "10.0.2.1", "10.0.1.1", l4);
}

static bool routed(struct testbed *tb, const char *from, const char *to, struct frame f,
		   const char *gateway, uint8_t hops)
{
	struct frame got;

	testbed_send(tb, from, &f);
	testbed_as_routed(&f, gateway, to, hops);
	return testbed_receive(tb, to, &got) && got.len == f.len && memcmp(got.b, f.b, f.len) == 0;
}

// The ICMP error that `port` was sent, or NULL.
static const uint8_t *told(struct testbed *tb, const char *port, struct frame *got)
{
	if (!testbed_receive(tb, port, got))
		return NULL;
	return got->b + (got->b[14] >> 4 == 4 ? 34 : 54);
}

static void routed_flow_has_new_macs_and_one_less_ttl_both_ways(void **state)
{
	struct testbed *tb = two_networks("ingress 4 tcp 22-22\ningress 6 tcp 22-22\n");
	struct frame v6 = testbed_frame("a", "r1", "fd01::1", "fd02::1", TCP(1000, 22, SYN));

	(void)state;
	assert_true(routed(tb, "a", "b", a2b(TCP(1000, 22, SYN)), "r2", 1));
	assert_true(routed(tb, "b", "a", b2a(TCP(22, 1000, SYN | ACK)), "r1", 1));
	assert_true(routed(tb, "a", "b", a2b(TCP(1000, 22, ACK)), "r2", 1));
	assert_true(routed(tb, "b", "a", b2a(TCP(22, 1000, ACK)), "r1", 1));
	assert_int_equal(tb->w->stats.judged, 1);
	assert_true(routed(tb, "a", "b", v6, "r2", 1));
	assert_true(routed(tb, "b", "a",
			   testbed_frame("b", "r2", "fd02::1", "fd01::1", TCP(22, 1000, SYN | ACK)),
			   "r1", 1));
	testbed_free(tb);
}

static void rules_hold_across_the_router(void **state)
{
	struct testbed *tb = two_networks("ingress 4 tcp 22-22\n");
	struct frame got;

	(void)state;
	assert_true(routed(tb, "a", "b", a2b(TCP(1000, 22, SYN)), "r2", 1));
	assert_false(routed(tb, "a", "b", a2b(TCP(1000, 23, SYN)), "r2", 1));
	assert_int_equal(testbed_drop(tb), DROP_INGRESS_RULES);
	testbed_rule_set(tb, "in", true, "");
	testbed_commit(tb);
	assert_false(routed(tb, "b", "a", b2a(TCP(22, 1000, ACK)), "r1", 1));
	assert_false(testbed_receive(tb, "a", &got));
	testbed_free(tb);
}

static void what_a_network_needs_no_rules_for_needs_them_behind_a_router(void **state)
{
	static const uint8_t types[] = {130, 134, 136};
	struct testbed *tb = two_networks("ingress 4 tcp 22-22\n");
	struct frame f, got;

	(void)state;
	testbed_port_with(tb, "a", "n1", "10.0.1.1 fd01::1", NULL, "", true);
	testbed_commit(tb);
	f = a2b(UDP(67, 68, 300));
	testbed_send(tb, "a", &f);
	assert_int_equal(testbed_drop(tb), DROP_INGRESS_RULES);
	f = testbed_frame("a", "r1", "fd01::1", "fd02::1", UDP(547, 546, 100));
	testbed_send(tb, "a", &f);
	assert_int_equal(testbed_drop(tb), DROP_INGRESS_RULES);
	for (size_t i = 0; i < sizeof(types); i++) {
		f = testbed_frame("a", "r1", "fd01::1", "fd02::1",
				  (struct l4) {.proto = 58,
					       .dport = (uint16_t)(types[i] << 8),
					       .payload = 24});
		testbed_send(tb, "a", &f);
		assert_int_equal(testbed_drop(tb), DROP_NOT_ROUTABLE);
	}
	assert_false(testbed_receive(tb, "b", &got));
	// A server behind the router may be admitted like anybody else.
	testbed_rule_set(tb, "in", true, "ingress 4 udp 68-68\n");
	testbed_commit(tb);
	assert_true(routed(tb, "a", "b", a2b(UDP(67, 68, 300)), "r2", 1));
	testbed_free(tb);
}

static void last_hop_is_told_to_the_sender(void **state)
{
	struct testbed *tb = two_networks("ingress 4 udp\n");
	struct frame f = a2b(UDP(1, 2, 8)), got;
	const uint8_t *icmp;

	(void)state;
	f.b[22] = 1;
	testbed_send(tb, "a", &f);
	assert_int_equal(testbed_drop(tb), DROP_TTL);
	icmp = told(tb, "a", &got);
	assert_non_null(icmp);
	assert_int_equal(icmp[0], 11);
	assert_memory_equal(got.b + 26, "\x0a\x00\x01\xfe", 4); // the router, on the sender's side
	assert_memory_equal(icmp + 8, f.b + 14, 28);
	assert_int_equal(weft_csum(got.b + 14, 20, 0), 0);
	assert_int_equal(weft_csum(icmp, got.len - 34, 0), 0);
	// The same on a flow that has a session.
	assert_true(routed(tb, "a", "b", a2b(UDP(1, 2, 8)), "r2", 1));
	testbed_send(tb, "a", &f);
	assert_non_null(icmp = told(tb, "a", &got));
	assert_int_equal(icmp[0], 11);
	assert_false(testbed_receive(tb, "b", &got));
	testbed_free(tb);
}

static void unreachable_destinations_are_told_and_how(void **state)
{
	struct testbed *tb = two_networks("ingress 4 any\n");
	struct frame f = testbed_frame("a", "r1", "10.0.1.1", "10.0.9.9", UDP(1, 2, 8)), got;
	const uint8_t *icmp;

	(void)state;
	testbed_send(tb, "a", &f);
	assert_int_equal(testbed_drop(tb), DROP_NO_ROUTE);
	assert_non_null(icmp = told(tb, "a", &got));
	assert_memory_equal(icmp, "\x03\x00", 2);
	f = testbed_frame("a", "r1", "10.0.1.1", "10.0.2.77", UDP(1, 2, 8));
	testbed_send(tb, "a", &f);
	assert_int_equal(testbed_drop(tb), DROP_NO_NEIGHBOUR);
	assert_non_null(icmp = told(tb, "a", &got));
	assert_memory_equal(icmp, "\x03\x01", 2);
	f = testbed_frame("a", "r1", "fd01::1", "fd02::77", UDP(1, 2, 8));
	testbed_send(tb, "a", &f);
	assert_non_null(icmp = told(tb, "a", &got));
	assert_memory_equal(icmp, "\x01\x03", 2);
	assert_int_equal(
		weft_csum(icmp, got.len - 54,
			  weft_csum_pseudo6(got.b + 22, got.b + 38, 58, (uint32_t)(got.len - 54))),
		0);
	testbed_free(tb);
}

static void too_long_is_told_with_the_mtu_or_fragmented(void **state)
{
	struct testbed *tb = two_networks("ingress 4 udp\ningress 6 udp\n");
	struct frame f = a2b(UDP(1, 2, 1400)), got;
	const uint8_t *icmp;
	size_t total = 0, n = 0;
	uint16_t csum;

	(void)state;
	f.b[20] = 0x40; // don't fragment
	memset(f.b + 24, 0, 2);
	csum = weft_csum(f.b + 14, 20, 0);
	memcpy(f.b + 24, &csum, 2);
	testbed_send(tb, "a", &f);
	assert_int_equal(testbed_drop(tb), DROP_TOO_BIG);
	assert_non_null(icmp = told(tb, "a", &got));
	assert_memory_equal(icmp, "\x03\x04", 2);
	assert_int_equal(icmp[6] << 8 | icmp[7], 1400);
	f = a2b(UDP(1, 2, 1400));
	testbed_send(tb, "a", &f);
	for (; testbed_receive(tb, "b", &got); n++) {
		assert_true(got.len <= 1414);
		assert_int_equal(weft_csum(got.b + 14, 20, 0), 0);
		total += got.len - 34;
	}
	assert_int_equal(n, 2);
	assert_int_equal(total, 1408);
	f = testbed_frame("a", "r1", "fd01::1", "fd02::1", UDP(1, 2, 1400));
	testbed_send(tb, "a", &f);
	assert_non_null(icmp = told(tb, "a", &got));
	assert_int_equal(icmp[0], 2);
	assert_int_equal(icmp[6] << 8 | icmp[7], 1400);
	testbed_free(tb);
}

static void router_that_is_down_or_gone_carries_nothing(void **state)
{
	struct testbed *tb = two_networks("ingress 4 udp\n");

	(void)state;
	assert_true(routed(tb, "a", "b", a2b(UDP(1, 2, 8)), "r2", 1));
	testbed_router(tb, "r", false, "n1|r1|10.0.1.254/24 n2|r2|10.0.2.254/24", "");
	testbed_commit(tb);
	assert_false(routed(tb, "a", "b", a2b(UDP(1, 2, 8)), "r2", 1));
	assert_int_equal(testbed_drop(tb), DROP_ROUTER_DOWN);
	testbed_router(tb, "r", true, "n1|r1|10.0.1.254/24 n2|r2|10.0.2.254/24", "");
	testbed_commit(tb);
	assert_true(routed(tb, "a", "b", a2b(UDP(1, 2, 8)), "r2", 1));
	testbed_router(tb, "r", true, "n1|r1|10.0.1.254/24", ""); // an interface is removed
	testbed_commit(tb);
	assert_false(routed(tb, "b", "a", b2a(UDP(2, 1, 8)), "r1", 1));
	assert_false(routed(tb, "a", "b", a2b(UDP(1, 2, 8)), "r2", 1));
	assert_int_equal(testbed_drop(tb), DROP_NO_ROUTE);
	testbed_del(tb, PLAN_ROUTER, "r", NULL);
	testbed_commit(tb);
	assert_false(routed(tb, "a", "b", a2b(UDP(1, 2, 8)), "r2", 1));
	testbed_free(tb);
}

static void routers_in_series_and_extra_routes(void **state)
{
	struct testbed *tb = two_networks("ingress 4 udp\n");

	(void)state;
	testbed_network(tb, "n3", 1500);
	testbed_port(tb, "c", "n3", "10.0.3.1", "in");
	testbed_router(tb, "r", true, "n1|r1|10.0.1.254/24 n2|r2|10.0.2.254/24",
		       "10.0.3.0/24|10.0.2.253");
	testbed_router(tb, "s", true, "n2|s2|10.0.2.253/24 n3|s3|10.0.3.254/24",
		       "10.0.1.0/24|10.0.2.254");
	testbed_commit(tb);
	assert_true(routed(tb, "a", "c",
			   testbed_frame("a", "r1", "10.0.1.1", "10.0.3.1", UDP(1, 2, 8)), "s3",
			   2));
	assert_true(routed(tb, "c", "a",
			   testbed_frame("c", "s3", "10.0.3.1", "10.0.1.1", UDP(2, 1, 8)), "r1",
			   2));
	testbed_free(tb);
}

static void replies_may_come_through_another_router(void **state)
{
	struct testbed *tb = two_networks("ingress 4 udp\n");

	(void)state;
	testbed_router(tb, "q", true, "n1|q1|10.0.1.253/24 n2|q2|10.0.2.253/24", "");
	testbed_commit(tb);
	assert_true(routed(tb, "a", "b", a2b(UDP(1, 2, 8)), "r2", 1));
	// b's gateway is the other router: a's groups let in only what answers.
	assert_true(routed(tb, "b", "a",
			   testbed_frame("b", "q2", "10.0.2.1", "10.0.1.1", UDP(2, 1, 8)), "q1",
			   1));
	assert_true(routed(tb, "b", "a",
			   testbed_frame("b", "q2", "10.0.2.1", "10.0.1.1", UDP(2, 1, 8)), "q1",
			   1));
	assert_false(routed(tb, "b", "a",
			    testbed_frame("b", "q2", "10.0.2.1", "10.0.1.1", UDP(2, 9, 8)), "q1",
			    1));
	testbed_free(tb);
}

static void unroutable_and_endless_packets_are_dropped(void **state)
{
	struct testbed *tb = two_networks("ingress 4 any\n");
	struct frame f = testbed_frame("a", "r1", "10.0.1.1", "169.254.1.1", UDP(1, 2, 8)), got;

	(void)state;
	testbed_send(tb, "a", &f);
	assert_int_equal(testbed_drop(tb), DROP_NOT_ROUTABLE);
	testbed_router(tb, "r", true, "n1|r1|10.0.1.254/24 n2|r2|10.0.2.254/24",
		       "10.7.0.0/16|10.0.2.253");
	testbed_router(tb, "s", true, "n2|s2|10.0.2.253/24", "10.7.0.0/16|10.0.2.254");
	testbed_commit(tb);
	f = testbed_frame("a", "r1", "10.0.1.1", "10.7.1.1", UDP(1, 2, 8));
	testbed_send(tb, "a", &f);
	assert_int_equal(testbed_drop(tb), DROP_ROUTE_LOOP);
	assert_false(testbed_receive(tb, "b", &got));
	testbed_free(tb);
}

static void errors_are_limited(void **state)
{
	struct testbed *tb = two_networks("");
	struct frame f = testbed_frame("a", "r1", "10.0.1.1", "10.0.9.9", UDP(1, 2, 8)), got;
	int n = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		testbed_send(tb, "a", &f);
	while (testbed_receive(tb, "a", &got))
		n++;
	assert_int_equal(n, ICMP_BURST);
	testbed_free(tb);
}

// How many of n packets from a host outside, on their last hop, it is told of.
static int told_outside(struct testbed *tb, const char *src, int n)
{
	bool v6 = strchr(src, ':') != NULL;
	struct frame f = testbed_frame("x", "rx", src, v6 ? "fd01::1" : "10.0.1.1", UDP(1, 2, 8)),
		     got;
	int n_told = 0;

	f.b[v6 ? 21 : 22] = 1;
	for (int i = 0; i < n; i++)
		testbed_send(tb, "ext", &f);
	while (testbed_receive(tb, "ext", &got))
		n_told += got.b[v6 ? 54 : 34] == (v6 ? 3 : 11);
	return n_told;
}

// Two of them may have one hash.
static int hosts_told(struct testbed *tb, const char *format, int n)
{
	char src[64];
	int n_told = 0;

	for (int i = 0; i < n; i++) {
		snprintf(src, sizeof(src), format, i + 1);
		n_told += told_outside(tb, src, 1);
	}
	return n_told;
}

static void host_outside_uses_up_only_its_own_errors(void **state)
{
	struct testbed *tb = two_networks("");
	struct frame f = testbed_frame("a", "r1", "10.0.1.1", "10.0.9.9", UDP(1, 2, 8)), got;

	(void)state;
	testbed_provider(tb, "ext", 1500, 0);
	testbed_router(tb, "r", true,
		       "n1|r1|10.0.1.254/24,fd01::fe/64 "
		       "ext|rx|203.0.113.1/24,2001:db8:ffff::1/64",
		       "");
	testbed_commit(tb);
	assert_int_equal(told_outside(tb, "203.0.113.200", 100), ICMP_BURST);
	assert_int_equal(told_outside(tb, "203.0.113.200", 1), 0);
	assert_in_range(hosts_told(tb, "198.51.100.%d", 50), 40, 50);
	// An IPv6 host may have all addresses of a subnet.
	assert_in_range(hosts_told(tb, "2001:db8::%d", 50), 1, ICMP_BURST);
	assert_in_range(hosts_told(tb, "2001:db8:0:%d::1", 50), 40, 50);
	testbed_pass_time(tb, 1000);
	assert_int_equal(told_outside(tb, "203.0.113.200", 100), ICMP_BURST);
	// All of them together are limited, too, and are no matter of a VM's.
	for (int i = 0; i < 30; i++)
		hosts_told(tb, "198.51.100.%d", 50);
	assert_int_equal(tb->w->icmp[weft_tables_port(tb->dp.tables, "ext")->index].spent,
			 ICMP_UPLINK_BURST);
	testbed_send(tb, "a", &f);
	assert_true(testbed_receive(tb, "a", &got));
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routed_flow_has_new_macs_and_one_less_ttl_both_ways),
		cmocka_unit_test(rules_hold_across_the_router),
		cmocka_unit_test(what_a_network_needs_no_rules_for_needs_them_behind_a_router),
		cmocka_unit_test(last_hop_is_told_to_the_sender),
		cmocka_unit_test(unreachable_destinations_are_told_and_how),
		cmocka_unit_test(too_long_is_told_with_the_mtu_or_fragmented),
		cmocka_unit_test(router_that_is_down_or_gone_carries_nothing),
		cmocka_unit_test(routers_in_series_and_extra_routes),
		cmocka_unit_test(replies_may_come_through_another_router),
		cmocka_unit_test(unroutable_and_endless_packets_are_dropped),
		cmocka_unit_test(errors_are_limited),
		cmocka_unit_test(host_outside_uses_up_only_its_own_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
