// SPDX-License-Identifier: Apache-2.0
// NAT through the whole native datapath: what packets become on their way out and back.
#include "datapath/native/testing/nat_fixture.h"

static void what_leaves_has_the_routers_address_and_answers_come_back(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	assert_true(goes_out(tb, TCP(1000, 80, SYN), TCP(1000, 80, SYN)));
	assert_true(comes_back(tb, TCP(80, 1000, SYN | ACK), TCP(80, 1000, SYN | ACK)));
	assert_true(goes_out(tb, TCP(1000, 80, ACK), TCP(1000, 80, ACK)));
	assert_true(goes_out(tb, TCP(1000, 80, ACK), TCP(1000, 80, ACK)));
	assert_true(comes_back(tb, TCP(80, 1000, ACK), TCP(80, 1000, ACK)));
	assert_true(goes_out(tb, UDP(500, 53, 9), UDP(500, 53, 9)));
	assert_true(comes_back(tb, UDP(53, 500, 33), UDP(53, 500, 33)));
	assert_true(goes_out(tb, ECHO(7), ECHO(7)));
	assert_true(comes_back(tb, ECHO_REPLY(7), ECHO_REPLY(7)));
	assert_int_equal(tb->w->stats.judged, 3);
	assert_int_equal(tb->w->stats.translated, 3);
	testbed_free(tb);
}

static void floating_ip_is_the_fixed_one_both_ways(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	floating_a(tb);
	assert_true(comes_in(tb, TCP(999, 80, SYN)));
	assert_true(answers_out(tb, TCP(80, 999, SYN | ACK)));
	assert_true(comes_in(tb, TCP(999, 80, ACK)));
	assert_true(answers_out(tb, UDP(5, 6, 3)));
	assert_true(comes_in(tb, UDP(6, 5, 3)));
	assert_true(comes_in(tb, ECHO(3)));
	assert_true(answers_out(tb, ECHO_REPLY(3)));
	assert_true(answers_out(tb, PLAIN(47)));
	assert_true(comes_in(tb, PLAIN(47)));
	assert_int_equal(dropped(tb, "x", summed("x", "f", WEB, FLOATING, TCP(999, 81, SYN))),
			 DROP_INGRESS_RULES);
	testbed_free(tb);
}

static void clashing_flows_get_ports_of_their_own_and_others_keep_theirs(void **state)
{
	struct testbed *tb = one_router();
	uint16_t port;

	(void)state;
	assert_int_equal(port_of(tb, "a", "10.0.1.1", WEB, UDP(5000, 53, 8)), 5000);
	port = port_of(tb, "b", "10.0.1.2", WEB, UDP(5000, 53, 8));
	assert_int_not_equal(port, 5000);
	assert_true(port >= 1024);
	assert_int_equal(tb->w->stats.nat_tries, 1);
	assert_true(becomes(tb, "x", summed("x", "rx", WEB, GATEWAY, UDP(53, port, 4)), "b",
			    summed("r1", "b", WEB, "10.0.1.2", UDP(53, 5000, 4)), 1));
	assert_true(comes_back(tb, UDP(53, 5000, 4), UDP(53, 5000, 4)));
	// Elsewhere nobody has it.
	assert_int_equal(port_of(tb, "b", "10.0.1.2", WEB_2, UDP(5000, 53, 8)), 5000);
	assert_int_equal(port_of(tb, "a", "10.0.1.1", WEB, UDP(5000, 54, 8)), 5000);
	// The same goes for the identifiers of echoes.
	assert_int_equal(port_of(tb, "a", "10.0.1.1", WEB, ECHO(77)), 77);
	port = port_of(tb, "b", "10.0.1.2", WEB, ECHO(77));
	assert_int_not_equal(port, 77);
	assert_true(becomes(tb, "x", summed("x", "rx", WEB, GATEWAY, ECHO_REPLY(port)), "b",
			    summed("r1", "b", WEB, "10.0.1.2", ECHO_REPLY(77)), 1));
	testbed_free(tb);
}

static void second_choice_is_the_same_for_all_destinations(void **state)
{
	struct testbed *tb = one_router();
	uint16_t port;

	(void)state;
	assert_int_equal(port_of(tb, "a", "10.0.1.1", WEB, UDP(5000, 53, 8)), 5000);
	assert_int_equal(port_of(tb, "a", "10.0.1.1", WEB_2, UDP(5000, 53, 8)), 5000);
	port = port_of(tb, "b", "10.0.1.2", WEB, UDP(5000, 53, 8));
	assert_int_not_equal(port, 0);
	assert_int_equal(port_of(tb, "b", "10.0.1.2", WEB_2, UDP(5000, 53, 8)), port);
	testbed_free(tb);
}

// A port without port security sends from many addresses.
static void every_low_port_is_used_before_one_is_refused(void **state)
{
	struct testbed *tb = one_router();
	bool used[1024] = {false};
	struct frame got;
	uint16_t port;
	int n = 0;

	(void)state;
	testbed_port(tb, "u", "n1", "10.0.1.99", NULL);
	testbed_router_snat(tb, "r", "n1|r1|10.0.1.254/16 !ext|rx|" GATEWAY "/24",
			    "0.0.0.0/0|203.0.113.9", GATEWAY);
	testbed_commit(tb);
	for (int i = 0; i < 1200; i++) {
		char src[16];

		snprintf(src, sizeof(src), "10.0.%d.%d", 2 + i / 200, 1 + i % 200);
		port = port_of(tb, "u", src, WEB, UDP(53, 53, 8));
		if (port == 0)
			continue;
		assert_true(port < 1024);
		assert_false(used[port]);
		used[port] = true;
		n++;
	}
	assert_true(n > 1000);
	assert_int_equal(testbed_drop(tb), DROP_NAT_EXHAUSTED);
	// The sender is told: administratively prohibited.
	while (testbed_receive(tb, "u", &got))
		assert_memory_equal(got.b + 34, "\x03\x0d", 2);
	testbed_free(tb);
}

static void protocols_without_ports_have_one_flow_to_each_destination(void **state)
{
	static const uint8_t protocols[] = {47, 50, 132};
	struct testbed *tb = one_router();

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct l4 l4 = PLAIN(protocols[i]);

		l4.sport = l4.dport = 700; // SCTP has some
		assert_true(goes_out(tb, l4, l4));
		assert_true(comes_back(tb, l4, l4));
		assert_int_equal(dropped(tb, "b", summed("b", "r1", "10.0.1.2", WEB, l4)),
				 DROP_NAT_EXHAUSTED);
		assert_true(becomes(tb, "b", summed("b", "r1", "10.0.1.2", WEB_2, l4), "x",
				    summed("rx", "x", GATEWAY, WEB_2, l4), 1));
	}
	testbed_free(tb);
}

static void every_transport_with_a_checksum_has_it_right(void **state)
{
	static const uint8_t protocols[] = {6, 17, 33, 136};
	struct testbed *tb = one_router();

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct l4 l4 = {.proto = protocols[i], .sport = 40000, .dport = 9, .payload = 31};
		uint16_t port;

		l4.tcp_flags = SYN;
		assert_int_equal(port_of(tb, "a", "10.0.1.1", WEB, l4), 40000);
		port = port_of(tb, "b", "10.0.1.2", WEB, l4);
		assert_int_not_equal(port, 0);
		assert_int_not_equal(port, 40000);
	}
	testbed_free(tb);
}

static void udp_without_a_checksum_stays_so_and_none_is_made_from_a_zero(void **state)
{
	struct testbed *tb = one_router();
	struct frame f = summed("a", "r1", "10.0.1.1", WEB, UDP(700, 53, 2)), got;
	struct frame want = summed("rx", "x", GATEWAY, WEB, UDP(700, 53, 2));

	(void)state;
	memset(f.b + 40, 0, 2);
	memset(want.b + 40, 0, 2);
	assert_true(becomes(tb, "a", f, "x", want, 1));
	// Payloads whose translated checksum comes out as 0, which is written as 0xffff.
	for (int i = 0, seen = 0; i < 65536 && seen == 0; i++) {
		f = testbed_frame("a", "r1", "10.0.1.1", WEB, UDP(700, 53, 2));
		f.b[42] = (uint8_t)(i >> 8);
		f.b[43] = (uint8_t)i;
		testbed_checksum(&f);
		testbed_send(tb, "a", &f);
		assert_true(testbed_receive(tb, "x", &got));
		assert_true(testbed_checksum_ok(&got));
		assert_false(got.b[40] == 0 && got.b[41] == 0);
		seen = got.b[40] == 0xff && got.b[41] == 0xff;
		assert_false(i == 65535);
	}
	testbed_free(tb);
}

static void what_nobody_asked_for_stays_outside(void **state)
{
	struct testbed *tb = one_router();
	struct frame got;

	(void)state;
	assert_int_equal(dropped(tb, "x", summed("x", "rx", WEB, GATEWAY, TCP(80, 1000, SYN))),
			 DROP_NAT_NO_STATE);
	assert_false(testbed_receive(tb, "x", &got));
	assert_int_equal(dropped(tb, "x", summed("x", "rx", WEB, GATEWAY, UDP(80, 1000, 9))),
			 DROP_NAT_NO_STATE);
	assert_true(testbed_receive(tb, "x", &got)); // traceroute ends here
	assert_memory_equal(got.b + 34, "\x03\x03", 2);
	assert_true(becomes(tb, "x", summed("x", "rx", WEB, GATEWAY, ECHO(9)), "x",
			    summed("rx", "x", GATEWAY, WEB, ECHO_REPLY(9)), 0));
	assert_int_equal(dropped(tb, "x", summed("x", "rx", WEB, "10.0.1.1", TCP(9, 80, SYN))),
			 DROP_NAT_NO_STATE);
	assert_int_equal(dropped(tb, "x", summed("x", "rx", WEB, GATEWAY, ECHO_REPLY(9))),
			 DROP_NAT_NO_STATE);
	// Another host, or another port of the same, is not the one that was asked.
	assert_true(goes_out(tb, UDP(500, 53, 9), UDP(500, 53, 9)));
	assert_int_equal(dropped(tb, "x", summed("x", "rx", WEB_2, GATEWAY, UDP(53, 500, 9))),
			 DROP_NAT_NO_STATE);
	assert_int_equal(dropped(tb, "x", summed("x", "rx", WEB, GATEWAY, UDP(54, 500, 9))),
			 DROP_NAT_NO_STATE);
	assert_false(testbed_receive(tb, "a", &got));
	testbed_free(tb);
}

static void nobody_outside_claims_an_address_of_the_inside(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	floating_a(tb);
	assert_int_equal(dropped(tb, "x",
				 summed("x", "f", "10.0.1.2", FLOATING, TCP(999, 80, SYN))),
			 DROP_REVERSE_PATH);
	assert_int_equal(dropped(tb, "x",
				 summed("x", "rx", "fd01::77", "fd01::1", TCP(999, 80, SYN))),
			 DROP_REVERSE_PATH);
	testbed_free(tb);
}

static void nobody_outside_claims_an_address_that_is_translated_to_here(void **state)
{
	struct testbed *tb = testbed_new(1024);

	(void)state;
	testbed_network(tb, "n1", 1500);
	testbed_provider(tb, "ext", 1500, 0);
	testbed_rule_set(tb, "web", true, "ingress 4 tcp 80-80\n");
	testbed_port(tb, "a", "n1", "10.0.1.1", "web");
	router_r(tb, GATEWAY);
	floating_a(tb);
	assert_int_equal(dropped(tb, "ext", summed("x", "f", GATEWAY, FLOATING, TCP(9, 80, SYN))),
			 DROP_REVERSE_PATH);
	assert_int_equal(dropped(tb, "ext", summed("x", "f", FLOATING, FLOATING, TCP(9, 80, SYN))),
			 DROP_REVERSE_PATH);
	assert_true(becomes(tb, "ext", summed("x", "f", WEB, FLOATING, TCP(9, 80, SYN)), "a",
			    summed("r1", "a", WEB, "10.0.1.1", TCP(9, 80, SYN)), 1));
	testbed_free(tb);
}

static void what_would_go_back_outside_is_refused(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	router_r(tb, NULL);
	testbed_commit(tb);
	assert_int_equal(dropped(tb, "x", summed("x", "rx", WEB, WEB_2, TCP(9, 80, SYN))),
			 DROP_NO_ROUTE);
	testbed_free(tb);
}

static void without_source_nat_and_in_ipv6_it_is_routed(void **state)
{
	struct testbed *tb = one_router();
	struct l4 syn = TCP(999, 80, SYN), reply = TCP(80, 999, SYN | ACK);

	(void)state;
	assert_true(becomes(tb, "a", summed("a", "r1", "fd01::1", "2001:db8:7::1", syn), "x",
			    summed("rx", "x", "fd01::1", "2001:db8:7::1", syn), 1));
	assert_true(becomes(tb, "x", summed("x", "rx", "2001:db8:7::2", "fd01::1", syn), "a",
			    summed("r1", "a", "2001:db8:7::2", "fd01::1", syn), 1));
	router_r(tb, NULL);
	testbed_commit(tb);
	assert_true(becomes(tb, "a", summed("a", "r1", "10.0.1.1", WEB, syn), "x",
			    summed("rx", "x", "10.0.1.1", WEB, syn), 1));
	assert_true(becomes(tb, "x", summed("x", "rx", WEB, "10.0.1.1", reply), "a",
			    summed("r1", "a", WEB, "10.0.1.1", reply), 1));
	assert_true(becomes(tb, "x", summed("x", "rx", WEB_2, "10.0.1.1", syn), "a",
			    summed("r1", "a", WEB_2, "10.0.1.1", syn), 1));
	// A floating IP is translated all the same.
	floating_a(tb);
	assert_true(comes_in(tb, syn));
	assert_int_equal(tb->w->stats.translated, 1);
	testbed_free(tb);
}

static void what_is_not_translated_takes_no_address_of_the_outside(void **state)
{
	struct testbed *tb = one_router();
	struct l4 syn = TCP(999, 80, SYN);

	(void)state;
	testbed_port(tb, "u", "n1", "10.0.1.99", NULL);
	router_r(tb, NULL);
	floating_a(tb);
	assert_int_equal(dropped(tb, "u", summed("u", "r1", FLOATING, WEB, syn)),
			 DROP_REVERSE_PATH);
	assert_int_equal(dropped(tb, "u", summed("u", "r1", "2001:db8::77", "2001:db8:7::1", syn)),
			 DROP_REVERSE_PATH);
	router_r(tb, GATEWAY);
	testbed_commit(tb);
	assert_true(becomes(tb, "u", summed("u", "r1", FLOATING, WEB, syn), "x",
			    summed("rx", "x", GATEWAY, WEB, syn), 1));
	testbed_free(tb);
}

static void forwarded_ports_and_ranges(void **state)
{
	struct testbed *tb = one_router();
	struct frame got;

	(void)state;
	testbed_floating(tb, "f", "r", "ext", FLOATING, NULL, "");
	testbed_forwarding(tb, "p1", "f", 6, "8080-8080>80", "10.0.1.1", "a");
	testbed_forwarding(tb, "p2", "f", 6, "9000-9009>76", "10.0.1.2", "b");
	testbed_commit(tb);
	assert_true(becomes(tb, "x", summed("x", "f", WEB, FLOATING, TCP(999, 8080, SYN)), "a",
			    summed("r1", "a", WEB, "10.0.1.1", TCP(999, 80, SYN)), 1));
	assert_true(becomes(tb, "a", summed("a", "r1", "10.0.1.1", WEB, TCP(80, 999, SYN | ACK)),
			    "x", summed("f", "x", FLOATING, WEB, TCP(8080, 999, SYN | ACK)), 1));
	assert_true(becomes(tb, "x", summed("x", "f", WEB, FLOATING, TCP(999, 9004, SYN)), "b",
			    summed("r1", "b", WEB, "10.0.1.2", TCP(999, 80, SYN)), 1));
	assert_true(becomes(tb, "b", summed("b", "r1", "10.0.1.2", WEB, TCP(80, 999, SYN | ACK)),
			    "x", summed("f", "x", FLOATING, WEB, TCP(9004, 999, SYN | ACK)), 1));
	assert_int_equal(dropped(tb, "x", summed("x", "f", WEB, FLOATING, TCP(999, 9003, SYN))),
			 DROP_INGRESS_RULES);
	assert_int_equal(dropped(tb, "x", summed("x", "f", WEB, FLOATING, TCP(999, 9010, SYN))),
			 DROP_NAT_NO_STATE);
	assert_int_equal(dropped(tb, "x", summed("x", "f", WEB, FLOATING, TCP(999, 8079, SYN))),
			 DROP_NAT_NO_STATE);
	assert_int_equal(dropped(tb, "x", summed("x", "f", WEB, FLOATING, UDP(999, 8080, 8))),
			 DROP_NAT_NO_STATE);
	assert_true(testbed_receive(tb, "x", &got)); // port unreachable
	assert_true(becomes(tb, "x", summed("x", "f", WEB, FLOATING, ECHO(9)), "x",
			    summed("f", "x", FLOATING, WEB, ECHO_REPLY(9)), 0));
	// What the host opens itself leaves by the router's address.
	assert_true(goes_out(tb, TCP(80, 4444, SYN), TCP(80, 4444, SYN)));
	testbed_free(tb);
}

static void fragments_follow_their_first_one(void **state)
{
	struct testbed *tb = one_router();
	struct frame f = summed("a", "r1", "10.0.1.1", WEB, UDP(5000, 53, 1000));
	struct frame want;
	uint16_t port;

	(void)state;
	assert_int_not_equal(port_of(tb, "b", "10.0.1.2", WEB, UDP(5000, 53, 8)), 0);
	port = port_of(tb, "a", "10.0.1.1", WEB, UDP(5000, 53, 8));
	want = summed("rx", "x", GATEWAY, WEB, UDP(port, 53, 1000));
	for (int reversed = 0; reversed < 2; reversed++) {
		struct frame first = testbed_fragment(&f, 7, 0, 600), got;
		struct frame last = testbed_fragment(&f, 7, 600, 408);
		struct frame want_first = testbed_fragment(&want, 7, 0, 600);
		struct frame want_last = testbed_fragment(&want, 7, 600, 408);

		testbed_send(tb, "a", reversed ? &last : &first);
		testbed_send(tb, "a", reversed ? &first : &last);
		age(&want_first, 1);
		age(&want_last, 1);
		assert_true(testbed_receive(tb, "x", &got));
		assert_memory_equal(got.b, want_first.b, want_first.len);
		assert_true(testbed_receive(tb, "x", &got));
		assert_memory_equal(got.b, want_last.b, want_last.len);
	}
	testbed_free(tb);
}

// What another worker carried last may be of a later millisecond than this one's.
static void flow_that_is_younger_than_the_clock_is_not_taken_for_an_old_one(void **state)
{
	struct testbed *tb = one_router();
	struct frame first = summed("x", "f", WEB, FLOATING, TCP(99, 8080, SYN));
	struct frame second = summed("x", "f", WEB, FLOATING, TCP(99, 8081, SYN));

	(void)state;
	testbed_floating(tb, "f", "r", "ext", FLOATING, NULL, "");
	testbed_forwarding(tb, "p1", "f", 6, "8080-8080>80", "10.0.1.1", "a");
	testbed_forwarding(tb, "p2", "f", 6, "8081-8081>80", "10.0.1.1", "a");
	testbed_commit(tb);
	tb->w->now_ms = 1001;
	assert_int_equal(dropped(tb, "x", first), DROP_NONE);
	tb->w->now_ms = 1000;
	assert_int_equal(dropped(tb, "x", second), DROP_SESSION_CLASH);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_leaves_has_the_routers_address_and_answers_come_back),
		cmocka_unit_test(floating_ip_is_the_fixed_one_both_ways),
		cmocka_unit_test(flow_that_is_younger_than_the_clock_is_not_taken_for_an_old_one),
		cmocka_unit_test(clashing_flows_get_ports_of_their_own_and_others_keep_theirs),
		cmocka_unit_test(second_choice_is_the_same_for_all_destinations),
		cmocka_unit_test(every_low_port_is_used_before_one_is_refused),
		cmocka_unit_test(protocols_without_ports_have_one_flow_to_each_destination),
		cmocka_unit_test(every_transport_with_a_checksum_has_it_right),
		cmocka_unit_test(udp_without_a_checksum_stays_so_and_none_is_made_from_a_zero),
		cmocka_unit_test(what_nobody_asked_for_stays_outside),
		cmocka_unit_test(nobody_outside_claims_an_address_of_the_inside),
		cmocka_unit_test(nobody_outside_claims_an_address_that_is_translated_to_here),
		cmocka_unit_test(what_would_go_back_outside_is_refused),
		cmocka_unit_test(without_source_nat_and_in_ipv6_it_is_routed),
		cmocka_unit_test(what_is_not_translated_takes_no_address_of_the_outside),
		cmocka_unit_test(forwarded_ports_and_ranges),
		cmocka_unit_test(fragments_follow_their_first_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
