// SPDX-License-Identifier: Apache-2.0
// The native datapath as a whole, one thread, frames in and out.
#include <rte_cycles.h>

#include "datapath/native/testing/native_fixture.h"
#include "datapath/native/policy/tables_priv.h"

// ---- Rules and sessions --------------------------------------------------------------------

static void permitted_flow_passes_both_ways_and_nothing_else(void **state)
{
	struct testbed *tb = two_ports("ingress 4 tcp 22-22\n");

	(void)state;
	open_tcp(tb);
	assert_false(pass(tb, "client", "server", c2s(TCP(1000, 23, SYN))));
	assert_int_equal(testbed_drop(tb), DROP_INGRESS_RULES);
	assert_false(pass(tb, "server", "client", s2c(TCP(22, 1001, SYN))));
	assert_int_equal(testbed_drop(tb), DROP_EGRESS_RULES);
	assert_int_equal(weft_session_count(tb->dp.node.sessions), 1);
	testbed_free(tb);
}

// testbed_send lends every second one: the first to the slow path, the third to the fast one.
static void what_is_lent_arrives_whole(void **state)
{
	struct testbed *tb = two_ports("ingress 4 udp 22-22\n");

	(void)state;
	for (uint16_t size = 0; size <= 1400; size += 70)
		for (int i = 0; i < 4; i++)
			assert_true(pass(tb, "client", "server", c2s(UDP(1000 + size, 22, size))));
	assert_int_equal(tb->w->stats.slow, 21);

	// A fragment waits for its first while the VM has its memory back.
	struct frame f = c2s(UDP(1000, 22, 1200)), first = testbed_fragment(&f, 7, 0, 600),
		     later = testbed_fragment(&f, 7, 600, 608);
	testbed_send(tb, "client", &later);
	assert_false(testbed_receive(tb, "server", &f));
	testbed_send(tb, "client", &first);
	assert_true(testbed_receive(tb, "server", &f));
	assert_memory_equal(f.b, first.b, first.len);
	assert_true(testbed_receive(tb, "server", &f));
	assert_memory_equal(f.b, later.b, later.len);
	testbed_free(tb);
}

static void rule_removed_cuts_the_flow_even_if_only_replies_flow(void **state)
{
	struct testbed *tb = two_ports("ingress 4 tcp 22-22\n");

	(void)state;
	open_tcp(tb);
	testbed_rule_set(tb, "srv", true, "ingress 4 tcp 80-80\n");
	testbed_commit(tb);
	assert_false(pass(tb, "server", "client", s2c(TCP(22, 1000, ACK))));
	assert_int_equal(testbed_drop(tb), DROP_INGRESS_RULES);
	assert_false(pass(tb, "client", "server", c2s(TCP(1000, 22, ACK))));
	testbed_free(tb);
}

static void rule_added_again_lets_the_connection_go_on(void **state)
{
	struct testbed *tb = two_ports("ingress 4 tcp 22-22\n");

	(void)state;
	open_tcp(tb);
	testbed_rule_set(tb, "srv", true, "");
	testbed_commit(tb);
	assert_false(pass(tb, "client", "server", c2s(TCP(1000, 22, ACK))));
	testbed_rule_set(tb, "srv", true, "ingress 4 tcp 22-22\n");
	testbed_commit(tb);
	assert_true(pass(tb, "client", "server", c2s(TCP(1000, 22, ACK))));
	assert_true(pass(tb, "server", "client", s2c(TCP(22, 1000, ACK))));
	testbed_free(tb);
}

static void removing_one_of_two_permitting_rules_cuts_nothing(void **state)
{
	struct testbed *tb = two_ports("ingress 4 tcp 22-22\ningress 4 tcp 1-100 10.0.0.0/24\n");

	(void)state;
	open_tcp(tb);
	testbed_rule_set(tb, "srv", true, "ingress 4 tcp 1-100 10.0.0.0/24\n");
	testbed_commit(tb);
	assert_true(pass(tb, "server", "client", s2c(TCP(22, 1000, ACK))));
	assert_true(pass(tb, "client", "server", c2s(TCP(1000, 22, ACK))));
	assert_int_equal(tb->w->stats.rejudged, 1);
	assert_int_equal(tb->w->stats.revoked, 0);
	testbed_free(tb);
}

static void adding_rules_makes_no_session_stale(void **state)
{
	struct testbed *tb = two_ports("ingress 4 tcp 22-22\n");

	(void)state;
	open_tcp(tb);
	testbed_rule_set(tb, "srv", true, "ingress 4 tcp 22-22\ningress 4 udp\n");
	testbed_commit(tb);
	assert_true(pass(tb, "client", "server", c2s(TCP(1000, 22, ACK))));
	assert_int_equal(tb->w->stats.rejudged, 0);
	testbed_free(tb);
}

static void port_taken_out_of_its_group_is_cut(void **state)
{
	struct testbed *tb = two_ports("ingress 4 tcp 22-22\n");

	(void)state;
	open_tcp(tb);
	testbed_port(tb, "server", "n1", "10.0.0.2", "");
	testbed_commit(tb);
	assert_false(pass(tb, "client", "server", c2s(TCP(1000, 22, ACK))));
	assert_false(pass(tb, "server", "client", s2c(TCP(22, 1000, ACK))));
	testbed_free(tb);
}

static void member_that_leaves_a_remote_group_is_cut_and_others_are_not(void **state)
{
	struct testbed *tb = two_ports("ingress 4 any @friends\n");

	(void)state;
	testbed_member(tb, PLAN_PUT, "friends", "10.0.0.1");
	testbed_member(tb, PLAN_PUT, "friends", "10.0.0.3");
	testbed_port(tb, "third", "n1", "10.0.0.3", "out");
	testbed_commit(tb);
	open_tcp(tb);
	assert_true(pass(tb, "third", "server",
			 testbed_frame("third", "server", "10.0.0.3", "10.0.0.2", UDP(5, 6, 10))));
	testbed_member(tb, PLAN_DEL, "friends", "10.0.0.1");
	testbed_commit(tb);
	assert_false(pass(tb, "server", "client", s2c(TCP(22, 1000, ACK))));
	assert_false(pass(tb, "client", "server", c2s(TCP(1000, 22, ACK))));
	assert_true(pass(tb, "server", "third",
			 testbed_frame("server", "third", "10.0.0.2", "10.0.0.3", UDP(6, 5, 10))));
	testbed_free(tb);
}

static void stateless_group_needs_a_rule_for_each_direction(void **state)
{
	struct testbed *tb = two_ports("ingress 4 udp\n");

	(void)state;
	testbed_rule_set(tb, "out", false, open_out);
	testbed_commit(tb);
	assert_true(pass(tb, "client", "server", c2s(UDP(1, 2, 8))));
	assert_false(pass(tb, "server", "client", s2c(UDP(2, 1, 8))));
	assert_int_equal(testbed_drop(tb), DROP_INGRESS_RULES);
	testbed_rule_set(tb, "out", false, "egress 4 any\ningress 4 udp 1-1\n");
	testbed_commit(tb);
	assert_true(pass(tb, "server", "client", s2c(UDP(2, 1, 8))));
	assert_true(pass(tb, "server", "client", s2c(UDP(2, 1, 8))));
	testbed_free(tb);
}

static void reset_without_a_connection_is_dropped(void **state)
{
	struct testbed *tb = two_ports("ingress 4 tcp\n");

	(void)state;
	assert_false(pass(tb, "client", "server", c2s(TCP(1, 2, RST))));
	assert_int_equal(testbed_drop(tb), DROP_TCP_STATE);
	assert_false(pass(tb, "client", "server", c2s(TCP(1, 2, SYN | RST))));
	assert_int_equal(testbed_drop(tb), DROP_TCP_FLAGS);
	testbed_free(tb);
}

static void server_opens_nothing_in_a_connection_that_it_was_opened_to(void **state)
{
	struct testbed *tb = two_ports("ingress 4 tcp 22-22\n");

	(void)state;
	open_tcp(tb);
	assert_false(pass(tb, "server", "client", s2c(TCP(22, 1000, SYN))));
	assert_int_equal(testbed_drop(tb), DROP_TCP_STATE);
	assert_true(pass(tb, "server", "client", s2c(TCP(22, 1000, ACK))));
	assert_true(pass(tb, "client", "server", c2s(TCP(1000, 22, ACK))));
	// Nor when it has ended it.
	assert_true(pass(tb, "server", "client", s2c(TCP(22, 1000, RST))));
	assert_false(pass(tb, "server", "client", s2c(TCP(22, 1000, SYN))));
	assert_int_equal(testbed_drop(tb), DROP_EGRESS_RULES);
	testbed_free(tb);
}

static void syn_that_opens_a_closed_connection_again_is_judged_again(void **state)
{
	struct testbed *tb = two_ports("ingress 4 tcp 22-22\n");
	uint64_t judged;

	(void)state;
	for (int i = 0; i < 3; i++) {
		open_tcp(tb);
		judged = tb->w->stats.judged;
		assert_true(pass(tb, "server", "client", s2c(TCP(22, 1000, RST | ACK))));
		assert_true(pass(tb, "client", "server", c2s(TCP(1000, 22, SYN))));
		assert_int_equal(tb->w->stats.judged, judged + 1);
		assert_int_equal(weft_session_count(tb->dp.node.sessions), 1);
		assert_true(pass(tb, "server", "client", s2c(TCP(22, 1000, SYN | ACK))));
		assert_true(pass(tb, "client", "server", c2s(TCP(1000, 22, RST))));
	}
	testbed_free(tb);
}

static void flows_go_on_when_the_interface_comes_back(void **state)
{
	struct testbed *tb = two_ports("ingress 4 tcp 22-22\n");
	struct port *server = weft_tables_port(tb->dp.tables, "server");
	struct port_io *io;

	(void)state;
	open_tcp(tb);
	io = atomic_exchange(&server->io, NULL);
	weft_tables_bump(&tb->dp.node, server->index);
	assert_false(pass(tb, "client", "server", c2s(TCP(1000, 22, ACK))));
	assert_int_equal(tb->w->drops[DROP_PORT_DETACHED], 1);
	assert_int_equal(weft_session_count(tb->dp.node.sessions), 1);
	atomic_store(&server->io, io);
	assert_true(pass(tb, "server", "client", s2c(TCP(22, 1000, ACK))));
	assert_true(pass(tb, "client", "server", c2s(TCP(1000, 22, ACK))));
	assert_int_equal(tb->w->stats.sessions_added, 1);
	testbed_free(tb);
}

static void unfiltered_ports_are_not_asked_for_state(void **state)
{
	struct testbed *tb = two_ports("");

	(void)state;
	testbed_port(tb, "client", "n1", "10.0.0.1", NULL);
	testbed_port(tb, "server", "n1", "10.0.0.2", NULL);
	testbed_commit(tb);
	assert_true(pass(tb, "client", "server", c2s(TCP(1, 2, RST))));
	assert_true(pass(tb, "client", "server", c2s(TCP(1, 2, SYN | RST))));
	testbed_free(tb);
}

static void ipv6_and_ipv4_rules_are_separate(void **state)
{
	struct testbed *tb = two_ports("ingress 6 tcp 22-22\n");
	struct frame v6 = testbed_frame("client", "server", "fd00::1", "fd00::2", TCP(9, 22, SYN));

	(void)state;
	assert_false(pass(tb, "client", "server", c2s(TCP(9, 22, SYN))));
	assert_true(testbed_passes(tb, "client", "server", &v6));
	assert_true(pass(tb, "server", "client",
			 testbed_frame("server", "client", "fd00::2", "fd00::1",
				       TCP(22, 9, SYN | ACK))));
	testbed_free(tb);
}

// ---- ICMP and fragments --------------------------------------------------------------------

static void echo_reply_passes_only_after_its_request(void **state)
{
	struct testbed *tb = two_ports("ingress 4 icmp\n");

	(void)state;
	assert_false(pass(tb, "server", "client", s2c(ECHO(false, 7))));
	assert_true(pass(tb, "client", "server", c2s(ECHO(true, 7))));
	assert_true(pass(tb, "server", "client", s2c(ECHO(false, 7))));
	assert_false(pass(tb, "server", "client", s2c(ECHO(false, 8))));
	testbed_free(tb);
}

static void icmp_error_about_a_flow_passes_without_a_rule(void **state)
{
	struct testbed *tb = two_ports("ingress 4 udp\n");
	struct frame out = c2s(UDP(1, 2, 8)), other = c2s(UDP(3, 4, 8));

	(void)state;
	assert_true(testbed_passes(tb, "client", "server", &out));
	assert_true(
		pass(tb, "server", "client",
		     testbed_icmp_error("server", "client", "10.0.0.2", "10.0.0.1", 3, 3, &out)));
	assert_false(
		pass(tb, "server", "client",
		     testbed_icmp_error("server", "client", "10.0.0.2", "10.0.0.1", 3, 3, &other)));
	assert_int_equal(testbed_drop(tb), DROP_ICMP_UNRELATED);
	testbed_free(tb);
}

static void fragments_pass_in_any_order_under_a_port_rule(void **state)
{
	struct testbed *tb = two_ports("ingress 4 udp 2-2\n");
	struct frame whole = c2s(UDP(1, 2, 64)), f[3], got;

	(void)state;
	f[0] = testbed_fragment(&whole, 77, 0, 24);
	f[1] = testbed_fragment(&whole, 77, 24, 24);
	f[2] = testbed_fragment(&whole, 77, 48, 24);
	testbed_send(tb, "client", &f[2]);
	assert_false(testbed_receive(tb, "server", &got));
	testbed_send(tb, "client", &f[0]);
	assert_true(testbed_receive(tb, "server", &got));
	assert_memory_equal(got.b, f[0].b, f[0].len);
	assert_true(testbed_receive(tb, "server", &got));
	assert_memory_equal(got.b, f[2].b, f[2].len);
	assert_true(testbed_passes(tb, "client", "server", &f[1]));
	testbed_free(tb);
}

static void fragments_of_a_forbidden_packet_are_dropped(void **state)
{
	struct testbed *tb = two_ports("ingress 4 udp 3-3\n");
	struct frame whole = c2s(UDP(1, 2, 64)), f[2];

	(void)state;
	f[0] = testbed_fragment(&whole, 78, 0, 24);
	f[1] = testbed_fragment(&whole, 78, 24, 48);
	assert_false(testbed_passes(tb, "client", "server", &f[0]));
	assert_false(testbed_passes(tb, "client", "server", &f[1]));
	assert_int_equal(testbed_drop(tb), DROP_INGRESS_RULES);
	testbed_free(tb);
}

static void fragments_of_a_broadcast_pass_under_a_port_rule(void **state)
{
	struct testbed *tb = two_ports("ingress 4 udp 2-2\n");
	struct frame whole = testbed_frame("client", "broadcast", "10.0.0.1", "10.0.0.255",
					   UDP(1, 2, 64)),
		     f[2];

	(void)state;
	testbed_rule_set(tb, "other", true, "ingress 4 udp 3-3\n");
	testbed_port(tb, "third", "n1", "10.0.0.3", "other");
	testbed_commit(tb);
	f[0] = testbed_fragment(&whole, 79, 0, 24);
	f[1] = testbed_fragment(&whole, 79, 24, 48);
	assert_true(testbed_passes(tb, "client", "server", &f[0])); // and not "third"
	assert_true(testbed_passes(tb, "client", "server", &f[1]));
	testbed_free(tb);
}

static void a_port_begins_with_counters_of_its_own(void **state)
{
	struct testbed *tb = two_ports("ingress 4 any\n");
	uint16_t next = 0;

	(void)state;
	while (native_port(&tb->dp.node, next) != NULL)
		next++;
	tb->w->port_stats[next].rx_packets = 7; // of who had the index before
	tb->w->port_drops[next][DROP_SPOOF_IP] = 7;
	testbed_port(tb, "third", "n1", "10.0.0.77", "out");
	testbed_commit(tb);
	assert_int_equal(weft_tables_port(tb->dp.tables, "third")->index, next);
	assert_int_equal(tb->w->port_stats[next].rx_packets, 0);
	assert_int_equal(tb->w->port_drops[next][DROP_SPOOF_IP], 0);
	testbed_free(tb);
}

static void clock_goes_on_after_months(void **state)
{
	struct testbed *tb = testbed_new(16);

	(void)state;
	// 2^64 / 1000 cycles are 85 days at 2.5 GHz, 53 at 4 GHz.
	for (uint64_t s = 0; s < 86400 * 400; s += 86400) {
		tb->dp.node.tsc_start = rte_rdtsc() - s * tb->dp.node.tsc_hz;
		assert_in_range(native_now_ms(&tb->dp.node) - (uint32_t)(s * 1000), 0, 10000);
	}
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(permitted_flow_passes_both_ways_and_nothing_else),
		cmocka_unit_test(what_is_lent_arrives_whole),
		cmocka_unit_test(rule_removed_cuts_the_flow_even_if_only_replies_flow),
		cmocka_unit_test(rule_added_again_lets_the_connection_go_on),
		cmocka_unit_test(removing_one_of_two_permitting_rules_cuts_nothing),
		cmocka_unit_test(adding_rules_makes_no_session_stale),
		cmocka_unit_test(port_taken_out_of_its_group_is_cut),
		cmocka_unit_test(member_that_leaves_a_remote_group_is_cut_and_others_are_not),
		cmocka_unit_test(stateless_group_needs_a_rule_for_each_direction),
		cmocka_unit_test(reset_without_a_connection_is_dropped),
		cmocka_unit_test(server_opens_nothing_in_a_connection_that_it_was_opened_to),
		cmocka_unit_test(syn_that_opens_a_closed_connection_again_is_judged_again),
		cmocka_unit_test(flows_go_on_when_the_interface_comes_back),
		cmocka_unit_test(unfiltered_ports_are_not_asked_for_state),
		cmocka_unit_test(ipv6_and_ipv4_rules_are_separate),
		cmocka_unit_test(echo_reply_passes_only_after_its_request),
		cmocka_unit_test(icmp_error_about_a_flow_passes_without_a_rule),
		cmocka_unit_test(fragments_pass_in_any_order_under_a_port_rule),
		cmocka_unit_test(fragments_of_a_forbidden_packet_are_dropped),
		cmocka_unit_test(fragments_of_a_broadcast_pass_under_a_port_rule),
		cmocka_unit_test(a_port_begins_with_counters_of_its_own),
		cmocka_unit_test(clock_goes_on_after_months),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
