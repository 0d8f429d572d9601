// SPDX-License-Identifier: Apache-2.0
// Next hops: asking, waiting, refreshing, failing.
#include "datapath/native/testing/resolver_fixture.h"

static void first_packet_asks_everybody_and_goes_on_with_the_answer(void **state)
{
	struct testbed *tb = north();
	struct frame q, f;
	struct mac_addr mac;

	(void)state;
	quiet(tb);
	hold(tb, "203.0.113.254");
	assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_UNKNOWN);
	assert_int_equal(questions(tb, &q), 1);
	assert_memory_equal(q.b, "\xff\xff\xff\xff\xff\xff", 6);
	assert_memory_equal(q.b + 22, testbed_mac("rx").b, 6);
	assert_memory_equal(q.b + 28, "\xcb\x00\x71\x01", 4);
	assert_memory_equal(q.b + 38, "\xcb\x00\x71\xfe", 4);
	assert_false(testbed_receive(tb, "local", &f)); // its addresses are known
	assert_int_equal(arrived(tb, "b"), 0);
	answer_arp(tb, &gateway_mac, "203.0.113.254");
	assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_KNOWN);
	assert_memory_equal(mac.b, gateway_mac.b, 6);
	assert_int_equal(arrived(tb, "b"), 1);
	assert_int_equal(stats(tb).held, 0);
	testbed_free(tb);
}

static void ipv6_asks_the_solicited_node_group(void **state)
{
	struct testbed *tb = north();
	struct ip_addr target = ip_of("2001:db8::ab:cdef");
	struct frame q, f;
	struct mac_addr mac;

	(void)state;
	quiet(tb);
	hold(tb, "2001:db8::ab:cdef");
	assert_int_equal(questions(tb, &q), 1);
	assert_memory_equal(q.b, "\x33\x33\xff\xab\xcd\xef", 6);
	assert_memory_equal(q.b + 38, "\xff\x02\0\0\0\0\0\0\0\0\0\1\xff\xab\xcd\xef", 16);
	assert_int_equal(q.b[21], 255);
	// The answer, solicited and to the router.
	f.len = weft_neighbour_announcement(f.b, ANNOUNCE_REPLY, &target, &gateway_mac);
	testbed_send(tb, "ext", &f);
	assert_int_equal(state_of(tb, "2001:db8::ab:cdef", &mac), NEXT_HOP_KNOWN);
	assert_memory_equal(mac.b, gateway_mac.b, 6);
	testbed_free(tb);
}

static void question_is_repeated_three_times_and_then_nobody_asks_for_a_while(void **state)
{
	struct testbed *tb = north();
	struct mac_addr mac;

	(void)state;
	quiet(tb);
	hold(tb, "203.0.113.254");
	assert_int_equal(questions(tb, NULL), 1);
	testbed_pass_time(tb, 900);
	assert_int_equal(questions(tb, NULL), 0);
	testbed_pass_time(tb, 2000);
	assert_int_equal(questions(tb, NULL), 2);
	assert_int_equal(arrived(tb, "b"), 0);
	testbed_pass_time(tb, 200);
	assert_int_equal(questions(tb, NULL), 0);
	assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_FAILED);
	assert_int_equal(stats(tb).failures, 1);
	assert_int_equal(stats(tb).held,
			 0); // it was judged again, and here its way needs no next hop
	assert_int_equal(arrived(tb, "b"), 1);
	testbed_pass_time(tb, 2500);
	assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_FAILED);
	testbed_pass_time(tb, 700);
	assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_UNKNOWN);
	hold(tb, "203.0.113.254");
	assert_int_equal(questions(tb, NULL), 1);
	testbed_free(tb);
}

static void answer_that_comes_late_is_taken(void **state)
{
	struct testbed *tb = north();
	struct mac_addr mac;

	(void)state;
	hold(tb, "203.0.113.254");
	testbed_pass_time(tb, 3200);
	assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_FAILED);
	answer_arp(tb, &gateway_mac, "203.0.113.254");
	assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_KNOWN);
	testbed_free(tb);
}

// The protocol's packets that "ext" was given; ARP and ND not counted.
static uint32_t udp_sent_out(struct testbed *tb)
{
	struct frame f;
	uint32_t n = 0;

	while (testbed_receive(tb, "ext", &f))
		n += f.b[12] == 0x08 && f.b[13] == 0x00 && f.b[23] == 17;
	return n;
}

static void fragments_do_not_overtake_the_first_that_waits(void **state)
{
	struct testbed *tb = north();
	struct frame f = testbed_frame("a", "r1", "10.0.1.1", "198.51.100.7", UDP(1, 2, 1000));
	struct frame first = testbed_fragment(&f, 7, 0, 600),
		     last = testbed_fragment(&f, 7, 600, 408);
	struct frame answer = arp_from(&gateway_mac, 2, "203.0.113.254", "203.0.113.1", "rx");
	struct rte_mbuf *m = rte_pktmbuf_alloc(tb->dp.node.pool);

	(void)state;
	testbed_send(tb, "a", &first);
	assert_int_equal(udp_sent_out(tb), 0);
	// The answer, and before the worker goes on with what waits, the last fragment.
	memcpy(rte_pktmbuf_append(m, (uint16_t)answer.len), answer.b, answer.len);
	weft_slow_packet(tb->w, m, policy(tb, "ext")->index);
	testbed_send(tb, "a", &last);
	assert_int_equal(udp_sent_out(tb), 2);
	testbed_free(tb);
}

static void more_packets_wait_for_the_next_hop_of_a_route(void **state)
{
	struct testbed *tb = north();

	(void)state;
	for (int i = 0; i < 32; i++) {
		hold(tb, "203.0.113.254");
		hold_for(tb, "b", &(struct ip_addr) {4, {203, 0, 113, 254}}, false);
	}
	assert_int_equal(testbed_drop(tb), DROP_NONE);
	assert_int_equal(stats(tb).held, 64);
	answer_arp(tb, &gateway_mac, "203.0.113.254");
	assert_int_equal(arrived(tb, "b"), 32);
	assert_int_equal(stats(tb).held, 0);
	testbed_free(tb);
}

static void few_packets_wait_for_one_next_hop_and_few_of_one_port(void **state)
{
	struct testbed *tb = north();
	struct ip_addr to = ip_of("203.0.113.254");
	char ip[32];

	(void)state;
	for (int i = 0; i < 3; i++)
		hold_for(tb, "a", &to, true);
	assert_int_equal(testbed_drop(tb), DROP_NONE);
	hold_for(tb, "a", &to, true);
	assert_int_equal(testbed_drop(tb), DROP_NEXT_HOP_WAIT);
	for (int i = 0; i < 61; i++) {
		snprintf(ip, sizeof(ip), "203.0.113.%d", 100 + i);
		hold(tb, ip);
	}
	assert_int_equal(stats(tb).held, 64);
	assert_int_equal(testbed_drop(tb), DROP_NONE);
	hold(tb, "203.0.113.200");
	assert_int_equal(testbed_drop(tb), DROP_NEXT_HOP_WAIT);
	hold_for(tb, "b", &(struct ip_addr) {4, {203, 0, 113, 201}}, false);
	assert_int_equal(stats(tb).held, 65); // another port's has a place
	answer_arp(tb, &gateway_mac, "203.0.113.254");
	assert_int_equal(arrived(tb, "b"), 3);
	assert_int_equal(stats(tb).held, 62);
	testbed_free(tb);
}

// By whole packets: what is on the link is asked for in its own name, and limited; the gateway, which
// a route leads to, is not.
static void who_scans_the_link_is_limited_and_the_route_is_not(void **state)
{
	struct testbed *tb = north();
	char ip[32];

	(void)state;
	for (int i = 0; i < 80; i++) {
		snprintf(ip, sizeof(ip), "203.0.113.%d", 20 + i);
		struct frame f = testbed_frame("a", "r1", "10.0.1.1", ip, UDP(5000, 53, 8));
		testbed_send(tb, "a", &f);
	}
	assert_int_equal(stats(tb).questions, 64);
	struct frame far = testbed_frame("a", "r1", "10.0.1.1", "198.51.100.1", UDP(5000, 53, 8));
	testbed_send(tb, "a", &far);
	assert_int_equal(stats(tb).questions, 64 + 1);
	testbed_free(tb);
}

static void nobody_fills_the_table_from_outside(void **state)
{
	struct testbed *tb = north();
	struct mac_addr mac;

	(void)state;
	answer_arp(tb, &gateway_mac, "203.0.113.254");
	says_arp(tb, "ext", &gateway_mac, 1, "203.0.113.254", "203.0.113.254");
	assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_UNKNOWN);
	assert_int_equal(stats(tb).known, 0);
	testbed_free(tb);
}

static void answer_to_a_router_is_consumed_and_an_announcement_is_passed_on(void **state)
{
	struct testbed *tb = north();
	struct frame f;

	(void)state;
	quiet(tb);
	hold(tb, "203.0.113.254");
	testbed_drop(tb);
	answer_arp(tb, &gateway_mac, "203.0.113.254");
	assert_int_equal(tb->w->drops[DROP_SERVICE_DONE], 1);
	assert_false(testbed_receive(tb, "local", &f));
	says_arp(tb, "ext", &gateway_mac, 1, "203.0.113.254", "203.0.113.254");
	assert_true(testbed_receive(tb, "local", &f));
	testbed_free(tb);
}

// ---- Refresh -------------------------------------------------------------------------------

static void known_next_hop_is_asked_by_unicast_and_kept_by_its_answer(void **state)
{
	struct testbed *tb = with_gateway();
	uint32_t gen = gen_of(tb, "ext");
	struct mac_addr mac;
	struct frame q;

	(void)state;
	testbed_pass_time(tb, 29900);
	assert_int_equal(questions(tb, NULL), 0);
	testbed_pass_time(tb, 200);
	assert_int_equal(questions(tb, &q), 1);
	assert_memory_equal(q.b, gateway_mac.b, 6);
	assert_memory_equal(q.b + 6, testbed_mac("rx").b, 6);
	answer_arp(tb, &gateway_mac, "203.0.113.254");
	testbed_pass_time(tb, 5000);
	assert_int_equal(questions(tb, NULL), 0);
	assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_KNOWN);
	assert_int_equal(gen_of(tb, "ext"), gen);
	testbed_free(tb);
}

static void next_hop_that_is_heard_of_need_not_be_asked(void **state)
{
	struct testbed *tb = with_gateway();

	(void)state;
	testbed_pass_time(tb, 20000);
	says_arp(tb, "ext", &gateway_mac, 1, "203.0.113.254", "203.0.113.1");
	quiet(tb);
	testbed_pass_time(tb, 20000);
	assert_int_equal(questions(tb, NULL), 0);
	testbed_free(tb);
}

static void known_next_hop_that_is_silent_fails_and_its_sessions_are_judged_again(void **state)
{
	struct testbed *tb = with_gateway();
	uint32_t gen = gen_of(tb, "ext"), version = weft_resolver_version(tb->dp.node.resolver);
	struct mac_addr mac;
	struct frame q;

	(void)state;
	testbed_pass_time(tb, 30100);
	assert_int_equal(questions(tb, &q), 1);
	assert_memory_equal(q.b, gateway_mac.b, 6);
	testbed_pass_time(tb, 2000);
	assert_int_equal(questions(tb, &q), 2);
	assert_memory_equal(q.b, "\xff\xff\xff\xff\xff\xff", 6);
	// While it is asked it is still used.
	assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_KNOWN);
	assert_int_equal(gen_of(tb, "ext"), gen);
	testbed_pass_time(tb, 1000);
	assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_FAILED);
	assert_true(gen_of(tb, "ext") != gen);
	assert_true(weft_resolver_version(tb->dp.node.resolver) != version);
	testbed_free(tb);
}

static void packet_of_a_port_that_went_meanwhile_is_dropped(void **state)
{
	struct testbed *tb = north();

	(void)state;
	hold(tb, "203.0.113.254");
	testbed_del(tb, PLAN_PORT, "a", "n1");
	testbed_commit(tb);
	answer_arp(tb, &gateway_mac, "203.0.113.254");
	assert_int_equal(arrived(tb, "b"), 0);
	assert_int_equal(testbed_drop(tb), DROP_NEXT_HOP_WAIT);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_packet_asks_everybody_and_goes_on_with_the_answer),
		cmocka_unit_test(ipv6_asks_the_solicited_node_group),
		cmocka_unit_test(question_is_repeated_three_times_and_then_nobody_asks_for_a_while),
		cmocka_unit_test(answer_that_comes_late_is_taken),
		cmocka_unit_test(fragments_do_not_overtake_the_first_that_waits),
		cmocka_unit_test(more_packets_wait_for_the_next_hop_of_a_route),
		cmocka_unit_test(few_packets_wait_for_one_next_hop_and_few_of_one_port),
		cmocka_unit_test(who_scans_the_link_is_limited_and_the_route_is_not),
		cmocka_unit_test(nobody_fills_the_table_from_outside),
		cmocka_unit_test(answer_to_a_router_is_consumed_and_an_announcement_is_passed_on),
		cmocka_unit_test(known_next_hop_is_asked_by_unicast_and_kept_by_its_answer),
		cmocka_unit_test(next_hop_that_is_heard_of_need_not_be_asked),
		cmocka_unit_test(
			known_next_hop_that_is_silent_fails_and_its_sessions_are_judged_again),
		cmocka_unit_test(packet_of_a_port_that_went_meanwhile_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
