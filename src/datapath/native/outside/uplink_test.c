// SPDX-License-Identifier: Apache-2.0
// Networks on a physical network: what passes between their ports and the outside.
#include "datapath/native/outside/uplink.h"

#include <errno.h>

#include "datapath/native/testing/native_fixture.h"
#include "datapath/frames/services.h"
#include "datapath/native/policy/tables_priv.h"

// Network n1, untagged, with "client" and "server" as in two_ports(); outside hosts are names
// that no port has.
static struct testbed *on_a_provider_network(const char *server_rules)
{
	struct testbed *tb = testbed_new(1024);

	testbed_provider(tb, "n1", 1500, 0);
	testbed_subnet(tb, "n1-4", "n1", "10.0.0.0/24", "10.0.0.254", true);
	testbed_rule_set(tb, "out", true, open_out);
	testbed_rule_set(tb, "srv", true, server_rules);
	testbed_port(tb, "client", "n1", "10.0.0.1 fd00::1", "out");
	testbed_port(tb, "server", "n1", "10.0.0.2 fd00::2", "srv");
	testbed_commit(tb);
	return tb;
}

static struct frame to_outside(struct l4 l4)
{
	return testbed_frame("client", "outside", "10.0.0.1", "10.0.0.200", l4);
}

static struct frame from_outside(const char *to, const char *to_ip, struct l4 l4)
{
	return testbed_frame("outside", to, "10.0.0.200", to_ip, l4);
}

static void what_nobody_here_has_is_outside_and_its_answers_come_back(void **state)
{
	struct testbed *tb = on_a_provider_network("ingress 4 tcp 22-22\n");

	(void)state;
	assert_true(pass(tb, "client", "n1", to_outside(TCP(1000, 80, SYN))));
	assert_true(pass(tb, "n1", "client",
			 from_outside("client", "10.0.0.1", TCP(80, 1000, SYN | ACK))));
	assert_true(pass(tb, "client", "n1", to_outside(TCP(1000, 80, ACK))));
	assert_int_equal(tb->w->stats.judged, 1);
	assert_int_equal(tb->w->stats.fast, 2);
	// Inside nothing goes by way of it.
	assert_true(pass(tb, "client", "server", c2s(TCP(1000, 22, SYN))));
	testbed_free(tb);
}

static void rules_hold_for_what_comes_from_outside(void **state)
{
	struct testbed *tb = on_a_provider_network("ingress 4 tcp 22-22\n");

	(void)state;
	assert_true(pass(tb, "n1", "server", from_outside("server", "10.0.0.2", TCP(9, 22, SYN))));
	assert_false(pass(tb, "n1", "server", from_outside("server", "10.0.0.2", TCP(9, 23, SYN))));
	assert_int_equal(testbed_drop(tb), DROP_INGRESS_RULES);
	// The rule goes, and the flow with it.
	testbed_rule_set(tb, "srv", true, "");
	testbed_commit(tb);
	assert_false(pass(tb, "n1", "server", from_outside("server", "10.0.0.2", TCP(9, 22, ACK))));
	testbed_free(tb);
}

static void nothing_from_outside_goes_back_there(void **state)
{
	struct testbed *tb = on_a_provider_network("");
	struct frame f = from_outside("stranger", "10.0.0.77", UDP(5, 6, 8)), got;

	(void)state;
	testbed_send(tb, "n1", &f);
	assert_int_equal(testbed_drop(tb), DROP_UNKNOWN_DESTINATION);
	assert_false(testbed_receive(tb, "n1", &got));
	// Nor was the sender's MAC learned: it may be anywhere.
	f = testbed_frame("client", "outside", "10.0.0.1", "10.0.0.200", UDP(7, 8, 8));
	assert_true(pass(tb, "client", "n1", f));
	assert_int_equal(weft_tables_port(tb->dp.tables, "n1")->role, PORT_UPLINK);
	testbed_free(tb);
}

static void broadcast_goes_out_and_comes_in_by_the_rules(void **state)
{
	struct testbed *tb = on_a_provider_network("ingress 4 udp 5353-5353\n");
	struct frame out =
		testbed_frame("client", "broadcast", "10.0.0.1", "10.0.0.255", UDP(1, 5353, 8));
	struct frame in =
		testbed_frame("outside", "broadcast", "10.0.0.200", "10.0.0.255", UDP(1, 5353, 8));
	struct frame other =
		testbed_frame("outside", "broadcast", "10.0.0.200", "10.0.0.255", UDP(1, 5354, 8));
	struct frame got;

	(void)state;
	testbed_send(tb, "client", &out);
	assert_true(testbed_receive(tb, "n1", &got));
	assert_true(testbed_receive(tb, "server", &got));
	assert_true(pass(tb, "n1", "server", in));
	assert_false(pass(tb, "n1", "server", other));
	testbed_free(tb);
}

static void own_frames_that_come_back_are_a_loop(void **state)
{
	struct testbed *tb = on_a_provider_network("ingress 4 any\n");
	struct frame arp = testbed_arp("client", "10.0.0.1", "10.0.0.2");
	struct frame routed;

	(void)state;
	testbed_send(tb, "n1", &arp);
	assert_int_equal(testbed_drop(tb), DROP_UPLINK_LOOP);
	assert_false(pass(tb, "n1", "server", c2s(UDP(1, 2, 8))));
	assert_int_equal(testbed_drop(tb), DROP_UPLINK_LOOP);
	testbed_router(tb, "r", true, "n1|gw|10.0.0.254/24", "");
	testbed_commit(tb);
	routed = testbed_frame("gw", "server", "10.9.9.9", "10.0.0.2", UDP(1, 2, 8));
	assert_false(pass(tb, "n1", "server", routed));
	assert_int_equal(testbed_drop(tb), DROP_UPLINK_LOOP);
	testbed_free(tb);
}

// The MAC that a question got as its answer; false: none.
static bool answered(struct testbed *tb, const char *port, struct frame question,
		     struct mac_addr *mac)
{
	struct frame got;

	testbed_send(tb, port, &question);
	if (!testbed_receive(tb, port, &got))
		return false;
	memcpy(mac->b, got.b + 22, sizeof(mac->b));
	return got.b[21] == 2;
}

static void add_remote(struct testbed *tb, const char *port, const char *ip, bool from_pair,
		       const struct mac_addr *mac)
{
	struct plan_neighbour *n = calloc(1, sizeof(*n));

	strcpy(n->network_id, "n1");
	assert_int_equal(weft_ip_parse(ip, &n->ip), 0);
	n->mac = *mac;
	strcpy(n->port_id, port);
	n->from_pair = from_pair;
	weft_plan_batch_add(&tb->batch, PLAN_PUT, PLAN_NEIGHBOUR, n);
}

static void questions_from_outside_are_answered_for_what_lives_here(void **state)
{
	struct testbed *tb = on_a_provider_network("");
	struct mac_addr remote = testbed_mac("remote"), gw = testbed_mac("gw");
	struct mac_addr server = testbed_mac("server"), mac;

	(void)state;
	add_remote(tb, "remote", "10.0.0.50", false, &remote);
	testbed_router(tb, "r", true, "n1|gw|10.0.0.254/24", "");
	testbed_commit(tb);
	assert_true(answered(tb, "n1", testbed_arp("outside", "10.0.0.200", "10.0.0.2"), &mac));
	assert_true(weft_mac_equal(&mac, &server));
	assert_true(answered(tb, "n1", testbed_arp("outside", "10.0.0.200", "10.0.0.254"), &mac));
	assert_true(weft_mac_equal(&mac, &gw));
	// Its own node says so.
	assert_false(answered(tb, "n1", testbed_arp("outside", "10.0.0.200", "10.0.0.50"), &mac));
	assert_false(answered(tb, "n1", testbed_arp("outside", "10.0.0.200", "10.0.0.99"), &mac));
	assert_int_equal(testbed_drop(tb), DROP_NONE);
	// Ports here are told of both.
	assert_true(answered(tb, "client", testbed_arp("client", "10.0.0.1", "10.0.0.50"), &mac));
	assert_true(weft_mac_equal(&mac, &remote));
	testbed_free(tb);
}

static void questions_about_unknown_addresses_go_out(void **state)
{
	struct testbed *tb = on_a_provider_network("");
	struct frame reply = testbed_arp("outside", "10.0.0.200", "10.0.0.1");
	struct mac_addr client = testbed_mac("client");

	(void)state;
	assert_true(pass(tb, "client", "n1", testbed_arp("client", "10.0.0.1", "10.0.0.200")));
	reply.b[21] = 2;
	memcpy(reply.b, client.b, 6);
	assert_true(pass(tb, "n1", "client", reply));
	testbed_free(tb);
}

static void ports_of_other_nodes_are_reached_through_it(void **state)
{
	struct testbed *tb = on_a_provider_network("");
	struct mac_addr remote = testbed_mac("remote");
	struct frame f = testbed_frame("client", "remote", "10.0.0.1", "10.0.0.50", UDP(1, 2, 8));

	(void)state;
	add_remote(tb, "remote", "10.0.0.50", false, &remote);
	testbed_commit(tb);
	assert_true(pass(tb, "client", "n1", f));
	// What a switch floods because it does not know better is for another node.
	f = testbed_frame("outside", "remote", "10.0.0.200", "10.0.0.50", UDP(1, 2, 8));
	testbed_send(tb, "n1", &f);
	assert_int_equal(testbed_drop(tb), DROP_NOT_LOCAL);
	testbed_free(tb);
}

// A virtual router's MAC, at a port here and at one on another node: it leads to whoever spoke
// last.
static void shared_mac_moves_between_a_port_here_and_another_node(void **state)
{
	struct testbed *tb = on_a_provider_network("");
	struct mac_addr mac = testbed_mac("virtual");
	struct frame f = testbed_frame("client", "virtual", "10.0.0.1", "10.0.0.100", UDP(1, 2, 8));
	struct frame announce = testbed_arp("virtual", "10.0.0.100", "10.0.0.100"), got;
	char text[WEFT_MAC_STRLEN], pairs[64];

	(void)state;
	snprintf(pairs, sizeof(pairs), "%s|10.0.0.100/32", weft_mac_text(&mac, text));
	testbed_rule_set(tb, "any", true, "ingress 4 any\negress 4 any\n");
	testbed_port_with(tb, "m1", "n1", "10.0.0.11", "any", pairs, true);
	add_remote(tb, "m2", "10.0.0.100", true, &mac);
	testbed_commit(tb);
	// Nobody has spoken: both hear it.
	testbed_send(tb, "client", &f);
	assert_true(testbed_receive(tb, "m1", &got) && testbed_receive(tb, "n1", &got));
	testbed_send(tb, "n1", &announce);
	while (testbed_receive(tb, "m1", &got) || testbed_receive(tb, "client", &got) ||
	       testbed_receive(tb, "server", &got))
		;
	assert_true(pass(tb, "client", "n1", f));
	testbed_pass_time(tb, 1100);
	testbed_send(tb, "m1", &announce);
	while (testbed_receive(tb, "n1", &got) || testbed_receive(tb, "client", &got) ||
	       testbed_receive(tb, "server", &got))
		;
	assert_true(pass(tb, "client", "m1", f));
	testbed_free(tb);
}

static void dhcp_of_the_plan_stays_here(void **state)
{
	struct testbed *tb = on_a_provider_network("");
	struct frame ask = testbed_frame("client", "broadcast", "0.0.0.0", "255.255.255.255",
					 UDP(68, 67, 300));
	struct frame got;

	(void)state;
	testbed_send(tb, "client", &ask);
	assert_false(testbed_receive(tb, "n1", &got));
	// Nor is one from outside answered from the plan.
	ask = testbed_frame("outside", "broadcast", "0.0.0.0", "255.255.255.255", UDP(68, 67, 300));
	testbed_send(tb, "n1", &ask);
	assert_false(testbed_receive(tb, "n1", &got));
	assert_false(testbed_receive(tb, "server", &got));
	testbed_free(tb);
}

static void deleted_network_takes_its_uplink_along(void **state)
{
	struct testbed *tb = on_a_provider_network("");
	uint16_t index = weft_tables_port(tb->dp.tables, "n1")->index;

	(void)state;
	testbed_del(tb, PLAN_PORT, "client", NULL);
	testbed_del(tb, PLAN_PORT, "server", NULL);
	testbed_del(tb, PLAN_SUBNET, "n1-4", "n1");
	testbed_del(tb, PLAN_NETWORK, "n1", NULL);
	testbed_commit(tb);
	assert_null(weft_tables_port(tb->dp.tables, "n1"));
	assert_null(native_port(&tb->dp.node, index));
	testbed_free(tb);
}

static void networks_without_a_configured_physical_network_have_none(void **state)
{
	struct testbed *tb = two_ports("");

	(void)state;
	assert_null(weft_tables_port(tb->dp.tables, "n1"));
	assert_false(pass(tb, "client", "server", to_outside(UDP(1, 2, 8))));
	assert_int_equal(testbed_drop(tb), DROP_UNKNOWN_DESTINATION);
	testbed_free(tb);
}

// For a moment there are two: the old one's index may be in a worker's hands.
static void full_node_refuses_an_uplink_that_takes_one_more_port(void **state)
{
	struct testbed *tb = on_a_provider_network("");
	uint16_t index = weft_tables_port(tb->dp.tables, "n1")->index;
	size_t refused;
	struct err err;

	(void)state;
	tb->dp.tables->next_index = NATIVE_MAX_PORTS - 1;
	testbed_provider(tb, "n1", 1500, 7);
	assert_int_equal(weft_tables_prepare(tb->dp.tables, &tb->batch, &refused, &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "n1"));
	weft_plan_batch_fini(&tb->batch);
	assert_int_equal(weft_tables_port(tb->dp.tables, "n1")->index, index);
	assert_true(pass(tb, "client", "n1", to_outside(UDP(1, 2, 8))));
	testbed_provider(tb, "n1", 1400, 0); // the same one
	testbed_commit(tb);
	testbed_del(tb, PLAN_PORT, "server", NULL);
	testbed_commit(tb);
	testbed_provider(tb, "n1", 1400, 7);
	testbed_commit(tb);
	assert_int_not_equal(weft_tables_port(tb->dp.tables, "n1")->index, index);
	testbed_free(tb);
}

static void what_comes_from_outside_counts_for_the_port_it_leads_to(void **state)
{
	struct testbed *tb = on_a_provider_network("ingress 4 udp\n");
	uint16_t uplink = weft_tables_port(tb->dp.tables, "n1")->index;
	uint16_t server = weft_tables_port(tb->dp.tables, "server")->index;

	(void)state;
	for (uint16_t i = 1; i <= 700; i++) {
		assert_true(pass(tb, "n1", "server",
				 from_outside("server", "10.0.0.2", UDP(i, 53, 8))));
		assert_true(pass(tb, "server", "n1",
				 testbed_frame("server", "outside", "10.0.0.2", "10.0.0.200",
					       UDP(53, i, 8))));
		assert_true(pass(tb, "n1", "server",
				 from_outside("server", "10.0.0.2", UDP(i, 53, 8))));
		assert_int_equal(weft_session_port_count(tb->dp.node.sessions, uplink), 0);
		assert_in_range(weft_session_port_count(tb->dp.node.sessions, server), 1,
				512); // of 1,024
	}
	// So there is room for others.
	for (uint16_t i = 1; i <= 500; i++)
		assert_true(pass(tb, "client", "n1", to_outside(UDP(i, 2, 8))));
	assert_int_equal(weft_session_port_count(tb->dp.node.sessions, uplink), 0);
	assert_in_range(weft_session_port_count(tb->dp.node.sessions, server), 500, 512);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_nobody_here_has_is_outside_and_its_answers_come_back),
		cmocka_unit_test(rules_hold_for_what_comes_from_outside),
		cmocka_unit_test(nothing_from_outside_goes_back_there),
		cmocka_unit_test(broadcast_goes_out_and_comes_in_by_the_rules),
		cmocka_unit_test(own_frames_that_come_back_are_a_loop),
		cmocka_unit_test(questions_from_outside_are_answered_for_what_lives_here),
		cmocka_unit_test(questions_about_unknown_addresses_go_out),
		cmocka_unit_test(ports_of_other_nodes_are_reached_through_it),
		cmocka_unit_test(shared_mac_moves_between_a_port_here_and_another_node),
		cmocka_unit_test(dhcp_of_the_plan_stays_here),
		cmocka_unit_test(deleted_network_takes_its_uplink_along),
		cmocka_unit_test(networks_without_a_configured_physical_network_have_none),
		cmocka_unit_test(full_node_refuses_an_uplink_that_takes_one_more_port),
		cmocka_unit_test(what_comes_from_outside_counts_for_the_port_it_leads_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
