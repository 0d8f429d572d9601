// SPDX-License-Identifier: Apache-2.0
// What guests may try: ways around the rules, and ways to be a burden to others. The whole
// datapath, one thread.
#include "datapath/native/carry/fast.h"
#include "datapath/native/testing/native_fixture.h"
#include "datapath/native/policy/tables.h"

#include <stdlib.h>

// ---- Around the rules ----------------------------------------------------------------------

static void dhcp_question_is_no_way_around_the_receivers_rules(void **state)
{
	struct testbed *tb = two_ports("ingress 4 udp 67-67 10.0.0.9/32\n");

	(void)state;
	testbed_rule_set(tb, "out", true, ""); // a client may ask without an egress rule
	testbed_commit(tb);
	assert_false(pass(tb, "client", "server", c2s(UDP(68, 67, 300))));
	assert_int_equal(testbed_drop(tb), DROP_INGRESS_RULES);
	assert_false(pass(tb, "client", "server",
			  testbed_frame("client", "broadcast", "10.0.0.1", "10.0.0.255",
					UDP(68, 67, 300))));
	assert_int_equal(testbed_drop(tb), DROP_INGRESS_RULES);
	testbed_rule_set(tb, "srv", true, "ingress 4 udp 67-67\n");
	testbed_commit(tb);
	assert_true(pass(tb, "client", "server", c2s(UDP(68, 67, 300))));
	// A server it still is not: no session carries its answer.
	assert_false(pass(tb, "server", "client", s2c(UDP(67, 68, 300))));
	assert_int_equal(testbed_drop(tb), DROP_DHCP_SERVER);
	testbed_port(tb, "server", "n1", "10.0.0.2 fd00::2", NULL);
	testbed_commit(tb);
	assert_true(pass(tb, "client", "server", c2s(UDP(68, 67, 300))));
	assert_true(pass(tb, "server", "client", s2c(UDP(67, 68, 300))));
	testbed_free(tb);
}

static void packet_of_a_flow_reaches_nobody_else_past_the_egress_rules(void **state)
{
	struct testbed *tb = two_ports("ingress 4 any\n"); // and no egress

	(void)state;
	testbed_rule_set(tb, "all", true, "ingress 4 any\n");
	testbed_port(tb, "third", "n1", "10.0.0.3", "all");
	testbed_commit(tb);
	assert_true(pass(tb, "client", "server", c2s(UDP(1, 2, 8))));
	assert_false(pass(tb, "server", "third",
			  testbed_frame("server", "third", "10.0.0.2", "10.0.0.1", UDP(2, 1, 8))));
	assert_int_equal(testbed_drop(tb), DROP_EGRESS_RULES);
	assert_false(
		pass(tb, "server", "third",
		     testbed_frame("server", "broadcast", "10.0.0.2", "10.0.0.1", UDP(2, 1, 8))));
	assert_int_equal(testbed_drop(tb), DROP_EGRESS_RULES);
	assert_true(pass(tb, "server", "client", s2c(UDP(2, 1, 8))));
	testbed_free(tb);
}

static void icmp_error_about_a_flow_reaches_nobody_but_its_sender(void **state)
{
	struct testbed *tb = two_ports("ingress 4 any\n"); // and no egress
	struct frame out = c2s(UDP(1, 2, 8)), f;

	(void)state;
	testbed_rule_set(tb, "all", true, "ingress 4 any\n");
	testbed_port(tb, "third", "n1", "10.0.0.3", "all");
	testbed_commit(tb);
	assert_true(testbed_passes(tb, "client", "server", &out));
	f = testbed_icmp_error("server", "third", "10.0.0.2", "10.0.0.1", 3, 3, &out);
	assert_false(testbed_passes(tb, "server", "third", &f));
	assert_int_equal(testbed_drop(tb), DROP_ICMP_UNRELATED);
	f = testbed_icmp_error("server", "broadcast", "10.0.0.2", "10.0.0.1", 3, 3, &out);
	assert_false(testbed_passes(tb, "server", "third", &f));
	f = testbed_icmp_error("server", "client", "10.0.0.2", "10.0.0.1", 3, 3, &out);
	assert_true(testbed_passes(tb, "server", "client", &f));
	testbed_free(tb);
}

// A second, shorter first fragment, for nobody, would make room for a fragment that overwrites
// what the first one said.
static void shorter_first_fragment_opens_no_way_into_the_longer_one(void **state)
{
	struct testbed *tb = two_ports("ingress 4 udp 2-2\n");
	struct frame whole = c2s(UDP(1, 2, 64));
	struct frame shorter =
		testbed_frame("client", "nobody", "10.0.0.1", "10.0.0.2", UDP(1, 2, 64));

	(void)state;
	assert_true(pass(tb, "client", "server", testbed_fragment(&whole, 7, 0, 40)));
	assert_false(pass(tb, "client", "server", testbed_fragment(&shorter, 7, 0, 8)));
	assert_false(pass(tb, "client", "server", testbed_fragment(&whole, 7, 8, 32)));
	assert_int_equal(testbed_drop(tb), DROP_FRAG_OVERLAP);
	testbed_free(tb);
}

// As a guest says it: this is to be segmented, into pieces of so many bytes.
static void send_gso(struct testbed *tb, const char *from, const struct frame *f, uint16_t piece)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(tb->dp.node.pool);

	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, (uint16_t)f->len), f->b, f->len);
	m->l2_len = 14;
	m->l3_len = 20;
	m->l4_len = 20;
	m->tso_segsz = piece;
	m->ol_flags = RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4;
	weft_fast_burst(tb->w, weft_tables_port(tb->dp.tables, from)->index, &m, 1);
	weft_send_flush(tb->w);
}

static void segments_longer_than_the_mtu_are_dropped_like_packets(void **state)
{
	struct testbed *tb = two_ports("ingress 4 any\n");
	struct l4 l4 = {.proto = 6, .sport = 1, .dport = 2, .tcp_flags = SYN, .payload = 1700};
	struct frame f = c2s(l4), got;

	(void)state;
	testbed_network(tb, "n1", 1280);
	testbed_commit(tb);
	tb->w->epoch = weft_vstore_epoch(tb->dp.node.vs);
	for (int i = 0; i < 2; i++) { // the first packet of a flow, then one of its session
		send_gso(tb, "client", &f, 1241);
		assert_false(testbed_receive(tb, "server", &got));
		assert_int_equal(testbed_drop(tb), DROP_OVERSIZE);
		send_gso(tb, "client", &f, 1240);
		assert_true(testbed_receive(tb, "server", &got));
	}
	testbed_free(tb);
}

// ---- A burden to others --------------------------------------------------------------------

// The clock hand's full turn.
static void hand_turns(struct testbed *tb)
{
	for (int i = 0; i < 100; i++)
		weft_session_expire(tb->w->session_worker, tb->w->now_ms += 100, 64);
}

static void fill_share(struct testbed *tb)
{
	for (uint16_t i = 1; i <= 512; i++) {
		assert_true(pass(tb, "client", "server", c2s(UDP(i, 2, 8))));
		assert_true(pass(tb, "server", "client", s2c(UDP(2, i, 8))));
		assert_true(pass(tb, "client", "server", c2s(UDP(i, 2, 8)))); // or it makes room
	}
	// Another one takes the place of one of these.
	assert_true(pass(tb, "client", "server", c2s(UDP(513, 2, 8))));
	assert_true(pass(tb, "server", "client", s2c(UDP(2, 513, 8))));
	assert_true(pass(tb, "client", "server", c2s(UDP(513, 2, 8))));
	assert_int_equal(weft_session_count(tb->dp.node.sessions), 512);
}

static void deleted_port_takes_its_sessions_along(void **state)
{
	struct testbed *tb = two_ports("ingress 4 any\n");

	(void)state;
	fill_share(tb);
	hand_turns(tb);
	assert_int_equal(weft_session_count(tb->dp.node.sessions), 512);
	testbed_del(tb, PLAN_PORT, "server", NULL); // where they lead to
	testbed_commit(tb);
	hand_turns(tb);
	assert_int_equal(weft_session_count(tb->dp.node.sessions), 0);
	testbed_port(tb, "server", "n1", "10.0.0.2", "srv");
	testbed_commit(tb);
	fill_share(tb);
	testbed_del(tb, PLAN_PORT, "client", NULL);
	testbed_commit(tb);
	hand_turns(tb);
	assert_int_equal(weft_session_count(tb->dp.node.sessions), 0);
	testbed_free(tb);
}

// A guest fills its share and is deleted: whoever comes next must not pay for it.
static void new_port_does_not_inherit_a_full_share(void **state)
{
	struct testbed *tb = two_ports("ingress 4 any\n");

	(void)state;
	fill_share(tb);
	testbed_del(tb, PLAN_PORT, "client", NULL);
	testbed_commit(tb);
	testbed_port(tb, "next", "n1", "10.0.0.3", "out");
	testbed_commit(tb);
	assert_true(pass(tb, "next", "server",
			 testbed_frame("next", "server", "10.0.0.3", "10.0.0.2", UDP(1, 2, 8))));
	testbed_free(tb);
}

static void ports_of_a_project_take_its_share_from_each_other(void **state)
{
	struct testbed *tb = two_ports("ingress 4 any\n");
	const struct port *last;

	(void)state;
	tb->project = "greedy";
	testbed_port(tb, "g1", "n1", "10.0.0.3", "out");
	testbed_port(tb, "g2", "n1", "10.0.0.4", "out");
	tb->project = "other";
	testbed_port(tb, "o", "n1", "10.0.0.5", "out");
	testbed_commit(tb);
	last = weft_tables_port(tb->dp.tables, "g2");
	for (uint16_t i = 1; i <= 500; i++) {
		assert_true(
			pass(tb, "g1", "server",
			     testbed_frame("g1", "server", "10.0.0.3", "10.0.0.2", UDP(i, 2, 8))));
		assert_true(
			pass(tb, "g2", "server",
			     testbed_frame("g2", "server", "10.0.0.4", "10.0.0.2", UDP(i, 2, 8))));
		assert_true(
			pass(tb, "o", "server",
			     testbed_frame("o", "server", "10.0.0.5", "10.0.0.2", UDP(i, 2, 8))));
		assert_in_range(weft_session_project_count(tb->dp.node.sessions, last->index), 1,
				768); // of 1,024
	}
	// A port of the project that comes later counts for it, too; and for what else its index
	// was, no more.
	testbed_del(tb, PLAN_PORT, "g1", NULL);
	testbed_commit(tb);
	hand_turns(tb);
	assert_int_equal(weft_session_project_count(tb->dp.node.sessions, last->index),
			 weft_session_port_count(tb->dp.node.sessions, last->index));
	testbed_free(tb);
}

// What a burst of broadcasts takes in buffers is sent and given back before anybody goes short.
static void broadcast_reaches_all_with_few_buffers_left(void **state)
{
	struct testbed *tb = two_ports("ingress 4 any\n");
	struct rte_mbuf **taken = calloc(1 << 17, sizeof(*taken)), *m[8];
	struct frame f = testbed_frame("client", "broadcast", "10.0.0.1", "10.0.0.255",
				       UDP(1, 2, 8)),
		     got;
	uint32_t n = 0;

	(void)state;
	assert_non_null(taken);
	testbed_port(tb, "third", "n1", "10.0.0.3", "srv");
	testbed_commit(tb);
	tb->w->epoch = weft_vstore_epoch(tb->dp.node.vs);
	for (int i = 0; i < 8; i++) {
		m[i] = rte_pktmbuf_alloc(tb->dp.node.pool);
		assert_non_null(m[i]);
		memcpy(rte_pktmbuf_append(m[i], (uint16_t)f.len), f.b, f.len);
	}
	while (n < 1 << 17 && (taken[n] = rte_pktmbuf_alloc(tb->dp.node.pool)) != NULL)
		n++;
	rte_pktmbuf_free_bulk(taken, 3);
	weft_fast_burst(tb->w, weft_tables_port(tb->dp.tables, "client")->index, m, 8);
	weft_send_flush(tb->w);
	rte_pktmbuf_free_bulk(taken + 3, n - 3);
	free(taken);
	for (int i = 0; i < 8; i++) {
		assert_true(testbed_receive(tb, "server", &got));
		assert_true(testbed_receive(tb, "third", &got));
	}
	testbed_free(tb);
}

static void nobody_sends_as_a_group(void **state)
{
	struct testbed *tb = two_ports("ingress 4 any\n");
	struct frame f;

	(void)state;
	testbed_port(tb, "free", "n1", "10.0.0.3", NULL);
	testbed_commit(tb);
	f = testbed_frame("free", "server", "10.0.0.3", "10.0.0.2", UDP(1, 2, 8));
	assert_true(pass(tb, "free", "server", f));
	f.b[6] |= 1;
	assert_false(pass(tb, "free", "server", f));
	assert_int_equal(testbed_drop(tb), DROP_SPOOF_MAC);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dhcp_question_is_no_way_around_the_receivers_rules),
		cmocka_unit_test(packet_of_a_flow_reaches_nobody_else_past_the_egress_rules),
		cmocka_unit_test(icmp_error_about_a_flow_reaches_nobody_but_its_sender),
		cmocka_unit_test(shorter_first_fragment_opens_no_way_into_the_longer_one),
		cmocka_unit_test(segments_longer_than_the_mtu_are_dropped_like_packets),
		cmocka_unit_test(deleted_port_takes_its_sessions_along),
		cmocka_unit_test(new_port_does_not_inherit_a_full_share),
		cmocka_unit_test(ports_of_a_project_take_its_share_from_each_other),
		cmocka_unit_test(broadcast_reaches_all_with_few_buffers_left),
		cmocka_unit_test(nobody_sends_as_a_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
