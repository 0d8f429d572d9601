// SPDX-License-Identifier: Apache-2.0
// NAT and changes of the policy: what is cut, and what goes on.
#include "datapath/native/testing/nat_fixture.h"
#include "datapath/native/policy/tables.h"

static void established_to_web(struct testbed *tb, struct l4 l4)
{
	l4.tcp_flags = SYN;
	assert_true(goes_out(tb, l4, l4));
	assert_true(comes_back(tb, TCP(l4.dport, l4.sport, SYN | ACK),
			       TCP(l4.dport, l4.sport, SYN | ACK)));
	l4.tcp_flags = ACK;
	assert_true(goes_out(tb, l4, l4));
}

static void chosen_port_and_state_outlive_a_change_of_the_rules(void **state)
{
	struct testbed *tb = one_router();
	uint16_t port;

	(void)state;
	assert_int_equal(port_of(tb, "a", "10.0.1.1", WEB, TCP(5000, 80, SYN)), 5000);
	port = port_of(tb, "b", "10.0.1.2", WEB, TCP(5000, 80, SYN));
	testbed_send(tb, "x",
		     (struct frame[]) {summed("x", "rx", WEB, GATEWAY, TCP(80, port, SYN | ACK))});
	assert_int_equal(port_of(tb, "b", "10.0.1.2", WEB, TCP(5000, 80, ACK)), port);
	testbed_rule_set(tb, "web", true, "egress 4 tcp 80-80\n");
	testbed_commit(tb);
	for (int i = 0; i < 2; i++) {
		struct frame got;

		while (testbed_receive(tb, "b", &got))
			;
		assert_true(becomes(tb, "x", summed("x", "rx", WEB, GATEWAY, TCP(80, port, ACK)),
				    "b", summed("r1", "b", WEB, "10.0.1.2", TCP(80, 5000, ACK)),
				    1));
		assert_int_equal(port_of(tb, "b", "10.0.1.2", WEB, TCP(5000, 80, ACK)), port);
	}
	assert_int_equal(tb->w->stats.rejudged, 1);
	assert_int_equal(tb->w->stats.revoked, 0);
	testbed_rule_set(tb, "web", true, "egress 4 tcp 81-81\n");
	testbed_commit(tb);
	assert_int_equal(dropped(tb, "x", summed("x", "rx", WEB, GATEWAY, TCP(80, port, ACK))),
			 DROP_EGRESS_RULES);
	assert_int_equal(port_of(tb, "b", "10.0.1.2", WEB, TCP(5000, 80, ACK)), 0);
	testbed_free(tb);
}

static void removed_floating_ip_cuts_what_it_translated_and_nothing_else(void **state)
{
	struct testbed *tb = one_router();
	uint64_t rejudged;

	(void)state;
	floating_a(tb);
	assert_true(comes_in(tb, TCP(999, 80, SYN)));
	assert_true(answers_out(tb, TCP(80, 999, SYN | ACK)));
	assert_int_equal(port_of(tb, "b", "10.0.1.2", WEB, TCP(1, 80, SYN)), 1);
	testbed_del(tb, PLAN_FLOATING, "f", NULL);
	testbed_commit(tb);
	rejudged = tb->w->stats.rejudged;
	assert_int_equal(port_of(tb, "b", "10.0.1.2", WEB, TCP(1, 80, ACK)), 1);
	assert_int_equal(tb->w->stats.rejudged, rejudged);
	assert_false(comes_in(tb, TCP(999, 80, ACK)));
	assert_false(answers_out(tb, TCP(80, 999, ACK)));
	assert_int_equal(tb->w->stats.revoked, 1);
	testbed_free(tb);
}

static void moved_floating_ip_leads_to_the_new_host_at_once(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	floating_a(tb);
	assert_true(comes_in(tb, TCP(999, 80, SYN)));
	assert_true(answers_out(tb, TCP(80, 999, SYN | ACK)));
	testbed_floating(tb, "f", "r", "ext", FLOATING, "10.0.1.2", "b");
	testbed_commit(tb);
	assert_true(becomes(tb, "x", summed("x", "f", WEB, FLOATING, TCP(999, 80, SYN)), "b",
			    summed("r1", "b", WEB, "10.0.1.2", TCP(999, 80, SYN)), 1));
	assert_false(answers_out(tb, TCP(80, 999, ACK)));
	testbed_free(tb);
}

// Two floating IPs exchange their hosts in one batch: what one gives up the other has taken over
// already.
static void floating_ips_change_places(void **state)
{
	struct testbed *tb = one_router();
	struct l4 syn = TCP(999, 80, SYN);

	(void)state;
	floating_a(tb);
	testbed_floating(tb, "g", "r", "ext", FLOATING_B, "10.0.1.2", "b");
	testbed_commit(tb);
	testbed_floating(tb, "f", "r", "ext", FLOATING, "10.0.1.2", "b");
	testbed_floating(tb, "g", "r", "ext", FLOATING_B, "10.0.1.1", "a");
	testbed_commit(tb);
	assert_true(becomes(tb, "x", summed("x", "f", WEB, FLOATING, syn), "b",
			    summed("r1", "b", WEB, "10.0.1.2", syn), 1));
	assert_true(becomes(tb, "a", summed("a", "r1", "10.0.1.1", WEB, syn), "x",
			    summed("g", "x", FLOATING_B, WEB, syn), 1));
	assert_true(becomes(tb, "b", summed("b", "r1", "10.0.1.2", WEB_2, syn), "x",
			    summed("f", "x", FLOATING, WEB_2, syn), 1));
	testbed_free(tb);
}

static void connection_of_the_routers_address_ends_when_its_host_gets_a_floating_ip(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	established_to_web(tb, TCP(1000, 80, SYN));
	floating_a(tb);
	assert_false(comes_back(tb, TCP(80, 1000, ACK), TCP(80, 1000, ACK)));
	assert_int_equal(tb->w->stats.revoked, 1);
	assert_true(answers_out(tb, TCP(1001, 80, SYN)));
	testbed_free(tb);
}

static void removed_forwarding_cuts_its_flows(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	testbed_floating(tb, "f", "r", "ext", FLOATING, NULL, "");
	testbed_forwarding(tb, "p1", "f", 6, "8080-8080>80", "10.0.1.1", "a");
	testbed_forwarding(tb, "p2", "f", 6, "8081-8081>80", "10.0.1.1", "a");
	testbed_commit(tb);
	assert_true(becomes(tb, "x", summed("x", "f", WEB, FLOATING, TCP(999, 8080, SYN)), "a",
			    summed("r1", "a", WEB, "10.0.1.1", TCP(999, 80, SYN)), 1));
	assert_true(becomes(tb, "x", summed("x", "f", WEB, FLOATING, TCP(1999, 8081, SYN)), "a",
			    summed("r1", "a", WEB, "10.0.1.1", TCP(1999, 80, SYN)), 1));
	testbed_forwarding_del(tb, "p1", "f");
	testbed_commit(tb);
	assert_int_equal(dropped(tb, "x", summed("x", "f", WEB, FLOATING, TCP(999, 8080, SYN))),
			 DROP_NAT_NO_STATE);
	assert_true(becomes(tb, "a", summed("a", "r1", "10.0.1.1", WEB, TCP(80, 1999, SYN | ACK)),
			    "x", summed("f", "x", FLOATING, WEB, TCP(8081, 1999, SYN | ACK)), 1));
	testbed_forwarding(tb, "p2", "f", 6, "8081-8081>443", "10.0.1.1", "a"); // another port
	testbed_commit(tb);
	assert_int_equal(dropped(tb, "x", summed("x", "f", WEB, FLOATING, TCP(1999, 8081, ACK))),
			 DROP_INGRESS_RULES);
	testbed_free(tb);
}

static void other_gateway_address_or_none_cuts(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	established_to_web(tb, TCP(1000, 80, SYN));
	testbed_router_snat(tb, "r", "n1|r1|10.0.1.254/24 !ext|rx|203.0.113.4/24",
			    "0.0.0.0/0|203.0.113.9", "203.0.113.4");
	testbed_commit(tb);
	assert_false(comes_back(tb, TCP(80, 1000, ACK), TCP(80, 1000, ACK)));
	assert_true(becomes(tb, "a", summed("a", "r1", "10.0.1.1", WEB, TCP(1001, 80, SYN)), "x",
			    summed("rx", "x", "203.0.113.4", WEB, TCP(1001, 80, SYN)), 1));
	testbed_router_snat(tb, "r", "n1|r1|10.0.1.254/24 !ext|rx|203.0.113.4/24",
			    "0.0.0.0/0|203.0.113.9", NULL);
	testbed_commit(tb);
	assert_true(becomes(tb, "a", summed("a", "r1", "10.0.1.1", WEB, TCP(1001, 80, SYN)), "x",
			    summed("rx", "x", "10.0.1.1", WEB, TCP(1001, 80, SYN)), 1));
	testbed_free(tb);
}

static void host_that_takes_another_router_takes_its_address(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	testbed_router_snat(tb, "q", "n1|q1|10.0.1.253/24 !ext|qx|203.0.113.6/24",
			    "0.0.0.0/0|203.0.113.9", "203.0.113.6");
	testbed_commit(tb);
	established_to_web(tb, TCP(1000, 80, SYN));
	assert_true(becomes(tb, "a", summed("a", "q1", "10.0.1.1", WEB, TCP(1000, 80, ACK)), "x",
			    summed("qx", "x", "203.0.113.6", WEB, TCP(1000, 80, ACK)), 1));
	testbed_free(tb);
}

// A floating IP belongs to who has the fixed IP on its network: a port without port security may
// be that one, but only there.
static void who_uses_the_fixed_ip_is_cut_with_the_floating_ip(void **state)
{
	struct testbed *tb = one_router();
	struct l4 syn = TCP(1000, 80, SYN);

	(void)state;
	testbed_network(tb, "n3", 1500);
	testbed_port(tb, "u", "n1", "10.0.1.77", NULL);
	testbed_port(tb, "v", "n3", "10.0.3.1", NULL);
	testbed_router_snat(tb, "r",
			    "n1|r1|10.0.1.254/24 n3|r3|10.0.3.254/24 !ext|rx|" GATEWAY "/24",
			    "0.0.0.0/0|203.0.113.9", GATEWAY);
	floating_a(tb);
	assert_true(becomes(tb, "v", summed("v", "r3", "10.0.1.1", WEB, syn), "x",
			    summed("rx", "x", GATEWAY, WEB, syn), 1));
	assert_true(becomes(tb, "u", summed("u", "r1", "10.0.1.1", WEB, syn), "x",
			    summed("f", "x", FLOATING, WEB, syn), 1));
	testbed_del(tb, PLAN_FLOATING, "f", NULL);
	testbed_commit(tb);
	syn.sport = 1001; // of v's
	assert_true(becomes(tb, "u", summed("u", "r1", "10.0.1.1", WEB_2, syn), "x",
			    summed("rx", "x", GATEWAY, WEB_2, syn), 1));
	testbed_send(tb, "u",
		     (struct frame[]) {summed("u", "r1", "10.0.1.1", WEB, TCP(1000, 80, ACK))});
	assert_int_equal(tb->w->stats.revoked, 1);
	testbed_free(tb);
}

// An address that pairs let several ports have: its own port is on no node.
static void floating_ip_of_a_shared_address_is_cut_at_its_present_owner(void **state)
{
	struct testbed *tb = one_router();
	struct l4 l4 = TCP(1000, 80, SYN);

	(void)state;
	testbed_port_with(tb, "b", "n1", "10.0.1.2", "web", "-|10.0.1.100/32", true);
	testbed_floating(tb, "f", "r", "ext", FLOATING, "10.0.1.100", "elsewhere");
	testbed_commit(tb);
	assert_true(becomes(tb, "b", summed("b", "r1", "10.0.1.100", WEB, l4), "x",
			    summed("f", "x", FLOATING, WEB, l4), 1));
	testbed_del(tb, PLAN_FLOATING, "f", NULL);
	testbed_commit(tb);
	l4.tcp_flags = ACK;
	assert_true(becomes(tb, "b", summed("b", "r1", "10.0.1.100", WEB, l4), "x",
			    summed("rx", "x", GATEWAY, WEB, l4), 1));
	assert_int_equal(tb->w->stats.revoked, 1);
	testbed_free(tb);
}

// ---- Next hops outside ---------------------------------------------------------------------

// The same with an uplink: who is outside is asked for. "gw" is its router.
static struct testbed *with_uplink(void)
{
	struct testbed *tb = testbed_new(4096);

	testbed_network(tb, "n1", 1500);
	testbed_provider(tb, "up", 1500, 0);
	testbed_rule_set(tb, "web", true, "egress 4 any\ningress 4 icmp\ningress 4 tcp\n");
	testbed_port(tb, "a", "n1", "10.0.1.1", "web");
	testbed_router_snat(tb, "r", "n1|r1|10.0.1.254/24 !up|rx|" GATEWAY "/24",
			    "0.0.0.0/0|203.0.113.9", GATEWAY);
	testbed_commit(tb);
	testbed_settle(tb);
	return tb;
}

static void drain(struct testbed *tb, const char *port)
{
	struct frame got;

	while (testbed_receive(tb, port, &got))
		;
}

// "gw" or another MAC says that it has 203.0.113.9.
static void says_it_is_the_gateway(struct testbed *tb, const char *who)
{
	struct frame f = testbed_arp(who, "203.0.113.9", GATEWAY);
	struct mac_addr rx = testbed_mac("rx");

	f.b[21] = 2; // reply
	memcpy(f.b, rx.b, 6);
	memcpy(f.b + 32, rx.b, 6);
	testbed_send(tb, "up", &f);
}

static struct frame to_web(struct l4 l4)
{
	return summed("a", "r1", "10.0.1.1", WEB, l4);
}

static void first_packet_waits_for_the_next_hop_and_goes_translated(void **state)
{
	struct testbed *tb = with_uplink();
	struct frame f = to_web(TCP(1000, 80, SYN)), got;

	(void)state;
	testbed_send(tb, "a", &f);
	assert_true(testbed_receive(tb, "up", &got)); // the question
	assert_int_equal(got.b[13], 0x06);
	assert_memory_equal(got.b + 28, "\xcb\x00\x71\x02", 4);
	says_it_is_the_gateway(tb, "gw");
	assert_true(gets(tb, "up", summed("rx", "gw", GATEWAY, WEB, TCP(1000, 80, SYN)), 1));
	assert_true(becomes(tb, "up", summed("gw", "rx", WEB, GATEWAY, TCP(80, 1000, SYN | ACK)),
			    "a", summed("r1", "a", WEB, "10.0.1.1", TCP(80, 1000, SYN | ACK)), 1));
	testbed_free(tb);
}

static void next_hop_that_never_answers_is_told(void **state)
{
	struct testbed *tb = with_uplink();
	struct frame f = to_web(TCP(1000, 80, SYN)), got;

	(void)state;
	testbed_send(tb, "a", &f);
	testbed_pass_time(tb, 10000);
	assert_true(testbed_receive(tb, "a", &got));
	assert_memory_equal(got.b + 34, "\x03\x01", 2);
	assert_memory_equal(got.b + 26, "\x0a\x00\x01\xfe", 4);
	assert_int_equal(testbed_drop(tb), DROP_NEXT_HOP);
	testbed_free(tb);
}

static void answers_may_come_from_another_mac_than_the_next_hops(void **state)
{
	struct testbed *tb = with_uplink();
	struct frame f = to_web(TCP(1000, 80, SYN));

	(void)state;
	testbed_send(tb, "a", &f);
	says_it_is_the_gateway(tb, "gw");
	for (int i = 0; i < 2; i++)
		assert_true(becomes(
			tb, "up", summed("gw-real", "rx", WEB, GATEWAY, TCP(80, 1000, SYN | ACK)),
			"a", summed("r1", "a", WEB, "10.0.1.1", TCP(80, 1000, SYN | ACK)), 1));
	drain(tb, "up");
	assert_true(becomes(tb, "a", to_web(TCP(1000, 80, ACK)), "up",
			    summed("rx", "gw", GATEWAY, WEB, TCP(1000, 80, ACK)), 1));
	assert_true(becomes(tb, "a", to_web(TCP(1000, 80, ACK)), "up",
			    summed("rx", "gw", GATEWAY, WEB, TCP(1000, 80, ACK)), 1));
	assert_int_equal(tb->w->stats.sessions_added, 1);
	testbed_free(tb);
}

static void next_hop_with_a_new_mac_keeps_the_flow_and_its_port(void **state)
{
	struct testbed *tb = with_uplink();
	struct frame f = to_web(TCP(1000, 80, SYN));

	(void)state;
	testbed_send(tb, "a", &f);
	says_it_is_the_gateway(tb, "gw");
	drain(tb, "up");
	assert_true(becomes(tb, "up", summed("gw", "rx", WEB, GATEWAY, TCP(80, 1000, SYN | ACK)),
			    "a", summed("r1", "a", WEB, "10.0.1.1", TCP(80, 1000, SYN | ACK)), 1));
	testbed_pass_time(tb, 2000);
	says_it_is_the_gateway(tb, "gw-2"); // it has taken over
	testbed_pass_time(tb, 200);
	drain(tb, "up");
	assert_true(becomes(tb, "a", to_web(TCP(1000, 80, ACK)), "up",
			    summed("rx", "gw-2", GATEWAY, WEB, TCP(1000, 80, ACK)), 1));
	assert_true(becomes(tb, "up", summed("gw-2", "rx", WEB, GATEWAY, TCP(80, 1000, ACK)), "a",
			    summed("r1", "a", WEB, "10.0.1.1", TCP(80, 1000, ACK)), 1));
	assert_int_equal(tb->w->stats.sessions_added, 1);
	assert_int_equal(tb->w->stats.revoked, 0);
	testbed_free(tb);
}

// While nobody answers for the next hop a flow is not lost: its packets wait, or are dropped, and
// then it goes on.
static void flow_outlives_the_loss_of_its_next_hop(void **state)
{
	struct testbed *tb = with_uplink();
	struct frame f = to_web(TCP(1000, 80, SYN)), got;

	(void)state;
	testbed_send(tb, "a", &f);
	says_it_is_the_gateway(tb, "gw");
	assert_true(becomes(tb, "up", summed("gw", "rx", WEB, GATEWAY, TCP(80, 1000, SYN | ACK)),
			    "a", summed("r1", "a", WEB, "10.0.1.1", TCP(80, 1000, SYN | ACK)), 1));
	testbed_pass_time(tb, 34500); // refreshed in vain
	testbed_rule_set(tb, "web", true, "egress 4 any\n");
	testbed_commit(tb);
	assert_int_equal(dropped(tb, "a", to_web(TCP(1000, 80, ACK))), DROP_NEXT_HOP);
	assert_true(testbed_receive(tb, "a", &got)); // host unreachable
	// What still comes in is of a live flow.
	assert_true(becomes(tb, "up", summed("gw", "rx", WEB, GATEWAY, TCP(80, 1000, ACK)), "a",
			    summed("r1", "a", WEB, "10.0.1.1", TCP(80, 1000, ACK)), 1));
	testbed_pass_time(tb, 30000);
	drain(tb, "up");
	testbed_send(tb, "a", (struct frame[]) {to_web(TCP(1000, 80, ACK))}); // asks again
	drain(tb, "up");
	says_it_is_the_gateway(tb, "gw-2");
	assert_true(gets(tb, "up", summed("rx", "gw-2", GATEWAY, WEB, TCP(1000, 80, ACK)), 1));
	assert_int_equal(tb->w->stats.sessions_added, 1);
	assert_int_equal(tb->w->stats.revoked, 0);
	testbed_free(tb);
}

// Who takes over outside is answered.
static void answers_follow_the_mac_that_asks(void **state)
{
	struct testbed *tb = with_uplink();

	(void)state;
	testbed_floating(tb, "f", "r", "up", FLOATING, "10.0.1.1", "a");
	testbed_commit(tb);
	for (int i = 0; i < 3; i++) {
		const char *gw = i == 0 ? "gw" : "gw-2";
		uint8_t flags = i == 0 ? SYN : ACK;

		assert_true(becomes(tb, "up", summed(gw, "f", WEB, FLOATING, TCP(9, 80, flags)),
				    "a", summed("r1", "a", WEB, "10.0.1.1", TCP(9, 80, flags)), 1));
		drain(tb, "up");
		assert_true(becomes(tb, "a", to_web(TCP(80, 9, flags | ACK)), "up",
				    summed("f", gw, FLOATING, WEB, TCP(80, 9, flags | ACK)), 1));
	}
	assert_int_equal(tb->w->stats.sessions_added, 1);
	testbed_free(tb);
}

// An uplink stands for the whole world: who is let in counts for who lets it in.
static void host_outside_always_gets_in_and_fills_its_hosts_share(void **state)
{
	struct testbed *tb = testbed_new(64);
	int n = 0;

	(void)state;
	testbed_network(tb, "n1", 1500);
	testbed_provider(tb, "up", 1500, 0);
	testbed_rule_set(tb, "web", true, "egress 4 any\ningress 4 udp\n");
	testbed_port(tb, "a", "n1", "10.0.1.1", "web");
	testbed_router_snat(tb, "r", "n1|r1|10.0.1.254/24 !up|rx|" GATEWAY "/24",
			    "0.0.0.0/0|203.0.113.9", GATEWAY);
	testbed_floating(tb, "f", "r", "up", FLOATING, "10.0.1.1", "a");
	testbed_commit(tb);
	for (uint16_t i = 1; i <= 60; i++) {
		struct frame f = summed("gw", "f", WEB, FLOATING, UDP(i, 53, 8));
		struct frame r = summed("a", "r1", "10.0.1.1", WEB, UDP(53, i, 8));

		testbed_send(tb, "up", &f);
		testbed_send(tb, "a", &r);
		testbed_send(tb, "up", &f);
		n += testbed_drop(tb) == DROP_NONE;
		drain(tb, "a");
		drain(tb, "up");
	}
	assert_int_equal(n, 60);
	assert_int_equal(weft_session_port_count(tb->dp.node.sessions,
						 weft_tables_port(tb->dp.tables, "a")->index),
			 32);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chosen_port_and_state_outlive_a_change_of_the_rules),
		cmocka_unit_test(removed_floating_ip_cuts_what_it_translated_and_nothing_else),
		cmocka_unit_test(moved_floating_ip_leads_to_the_new_host_at_once),
		cmocka_unit_test(floating_ips_change_places),
		cmocka_unit_test(
			connection_of_the_routers_address_ends_when_its_host_gets_a_floating_ip),
		cmocka_unit_test(removed_forwarding_cuts_its_flows),
		cmocka_unit_test(other_gateway_address_or_none_cuts),
		cmocka_unit_test(host_that_takes_another_router_takes_its_address),
		cmocka_unit_test(who_uses_the_fixed_ip_is_cut_with_the_floating_ip),
		cmocka_unit_test(floating_ip_of_a_shared_address_is_cut_at_its_present_owner),
		cmocka_unit_test(first_packet_waits_for_the_next_hop_and_goes_translated),
		cmocka_unit_test(next_hop_that_never_answers_is_told),
		cmocka_unit_test(answers_may_come_from_another_mac_than_the_next_hops),
		cmocka_unit_test(next_hop_with_a_new_mac_keeps_the_flow_and_its_port),
		cmocka_unit_test(flow_outlives_the_loss_of_its_next_hop),
		cmocka_unit_test(answers_follow_the_mac_that_asks),
		cmocka_unit_test(host_outside_always_gets_in_and_fills_its_hosts_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
