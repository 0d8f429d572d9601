// SPDX-License-Identifier: Apache-2.0
// The whole native datapath: anti-spoofing, services, switching; frames in and out of the testbed.
#include "datapath/native/testing/native_fixture.h"
#include "datapath/native/policy/tables_priv.h"

static void foreign_addresses_are_dropped(void **state)
{
	struct testbed *tb = two_ports("ingress 4 any\n");
	struct frame f = testbed_frame("client", "server", "10.0.0.9", "10.0.0.2", UDP(1, 2, 8));

	(void)state;
	assert_false(testbed_passes(tb, "client", "server", &f));
	assert_int_equal(testbed_drop(tb), DROP_SPOOF_IP);
	f = testbed_frame("somebody", "server", "10.0.0.1", "10.0.0.2", UDP(1, 2, 8));
	assert_false(testbed_passes(tb, "client", "server", &f));
	assert_int_equal(testbed_drop(tb), DROP_SPOOF_MAC);
	f = testbed_arp("client", "10.0.0.9", "10.0.0.2");
	assert_false(testbed_passes(tb, "client", "server", &f));
	assert_int_equal(testbed_drop(tb), DROP_SPOOF_ARP);
	testbed_free(tb);
}

static void pair_removed_cuts_its_flows(void **state)
{
	struct testbed *tb = two_ports("ingress 4 any\n");
	struct frame f = testbed_frame("client", "server", "10.0.0.77", "10.0.0.2", UDP(1, 2, 8));
	struct frame back =
		testbed_frame("server", "client", "10.0.0.2", "10.0.0.77", UDP(2, 1, 8));

	(void)state;
	testbed_port_with(tb, "client", "n1", "10.0.0.1", "out", "-|10.0.0.64/26", true);
	testbed_commit(tb);
	assert_true(testbed_passes(tb, "client", "server", &f));
	assert_true(testbed_passes(tb, "server", "client", &back));
	testbed_port(tb, "client", "n1", "10.0.0.1", "out");
	testbed_commit(tb);
	assert_false(testbed_passes(tb, "server", "client", &back));
	assert_false(testbed_passes(tb, "client", "server", &f));
	assert_int_equal(testbed_drop(tb), DROP_SPOOF_IP);
	testbed_free(tb);
}

static void arp_for_a_known_address_is_answered_and_not_flooded(void **state)
{
	struct testbed *tb = two_ports("");
	struct frame ask = testbed_arp("client", "10.0.0.1", "10.0.0.2"), got;
	struct mac_addr server = testbed_mac("server");

	(void)state;
	testbed_send(tb, "client", &ask);
	assert_true(testbed_receive(tb, "client", &got));
	assert_memory_equal(got.b + 22, server.b, 6);
	assert_false(testbed_receive(tb, "server", &got));
	ask = testbed_arp("client", "10.0.0.1", "10.0.0.50");
	testbed_send(tb, "client", &ask);
	assert_int_equal(testbed_drop(tb), DROP_ARP_UNKNOWN);
	testbed_free(tb);
}

static void arp_for_a_shared_address_reaches_its_owners_only(void **state)
{
	struct testbed *tb = two_ports("");
	struct frame ask = testbed_arp("client", "10.0.0.1", "10.0.0.100");

	(void)state;
	testbed_port_with(tb, "server", "n1", "10.0.0.2", "srv", "-|10.0.0.100", true);
	testbed_port(tb, "third", "n1", "10.0.0.3", "out");
	testbed_commit(tb);
	assert_true(testbed_passes(tb, "client", "server", &ask));
	testbed_free(tb);
}

static void unknown_unicast_is_not_flooded(void **state)
{
	struct testbed *tb = two_ports("ingress 4 any\n");
	struct frame f = testbed_frame("client", "nobody", "10.0.0.1", "10.0.0.2", UDP(1, 2, 8)),
		     got;

	(void)state;
	testbed_send(tb, "client", &f);
	assert_false(testbed_receive(tb, "server", &got));
	assert_int_equal(testbed_drop(tb), DROP_UNKNOWN_DESTINATION);
	testbed_free(tb);
}

static void other_macs_of_an_unfiltered_port_are_learned_but_never_a_known_one(void **state)
{
	struct testbed *tb = two_ports("ingress 4 any\n");
	struct frame to_inner =
		testbed_frame("client", "inner", "10.0.0.1", "10.0.0.9", UDP(1, 2, 8));
	struct frame f = testbed_frame("inner", "server", "10.0.0.9", "10.0.0.2", UDP(3, 4, 8)),
		     got;

	(void)state;
	testbed_port(tb, "third", "n1", "10.0.0.3", NULL);
	testbed_port(tb, "fourth", "n1", "10.0.0.4", NULL);
	testbed_commit(tb);
	// Nobody has been seen to have it: both may.
	testbed_send(tb, "client", &to_inner);
	assert_true(testbed_receive(tb, "third", &got) && testbed_receive(tb, "fourth", &got));
	assert_false(testbed_receive(tb, "server", &got));
	assert_true(testbed_passes(tb, "third", "server", &f)); // as "inner"
	assert_true(testbed_passes(tb, "client", "third", &to_inner));
	f = testbed_frame("client", "nobody", "10.0.0.1", "10.0.0.2", UDP(3, 4, 8));
	testbed_send(tb, "third", &f); // as "client": its MAC stays where it is
	while (testbed_receive(tb, "fourth", &got))
		;
	f = s2c(UDP(7, 8, 8));
	testbed_rule_set(tb, "out", true, "egress 4 any\ningress 4 any\n");
	testbed_rule_set(tb, "srv", true, "egress 4 any\ningress 4 any\n");
	testbed_commit(tb);
	assert_true(testbed_passes(tb, "server", "client", &f));
	testbed_port(tb, "inner", "n1", "10.0.0.9", "srv"); // the plan knows better
	testbed_commit(tb);
	to_inner = testbed_frame("client", "inner", "10.0.0.1", "10.0.0.9", UDP(5, 6, 8));
	testbed_send(tb, "client", &to_inner);
	assert_true(testbed_receive(tb, "inner", &got));
	assert_false(testbed_receive(tb, "third", &got));
	testbed_free(tb);
}

static void equal_addresses_on_two_networks_are_isolated(void **state)
{
	struct testbed *tb = two_ports("ingress 4 any\n");
	struct frame f = c2s(UDP(1, 2, 8)), got;

	(void)state;
	testbed_network(tb, "n2", 1500);
	testbed_port(tb, "other", "n2", "10.0.0.2", "srv");
	testbed_commit(tb);
	assert_true(testbed_passes(tb, "client", "server", &f));
	f = testbed_frame("client", "other", "10.0.0.1", "10.0.0.2", UDP(1, 2, 8));
	testbed_send(tb, "client", &f);
	assert_false(testbed_receive(tb, "other", &got));
	assert_int_equal(testbed_drop(tb), DROP_UNKNOWN_DESTINATION);
	testbed_free(tb);
}

static void broadcast_meets_each_receivers_rules(void **state)
{
	struct testbed *tb = two_ports("ingress 4 udp 5-5\n");
	struct frame f =
		testbed_frame("client", "broadcast", "10.0.0.1", "10.0.0.255", UDP(1, 5, 8));

	(void)state;
	testbed_port(tb, "third", "n1", "10.0.0.3", "out");
	testbed_commit(tb);
	assert_true(testbed_passes(tb, "client", "server", &f)); // and not "third"
	f = testbed_frame("client", "broadcast", "10.0.0.1", "10.0.0.255", UDP(1, 6, 8));
	assert_false(testbed_passes(tb, "client", "server", &f));
	testbed_free(tb);
}

static void longer_than_the_mtu_is_dropped(void **state)
{
	struct testbed *tb = two_ports("ingress 4 any\n");
	struct frame f = c2s(UDP(1, 2, 1300));

	(void)state;
	testbed_network(tb, "n1", 1280);
	testbed_commit(tb);
	assert_false(testbed_passes(tb, "client", "server", &f));
	assert_int_equal(testbed_drop(tb), DROP_OVERSIZE);
	testbed_free(tb);
}

static void port_that_is_down_passes_nothing_either_way(void **state)
{
	struct testbed *tb = two_ports("ingress 4 tcp 22-22\n");

	(void)state;
	open_tcp(tb);
	testbed_port_with(tb, "server", "n1", "10.0.0.2", "srv", "", false);
	testbed_commit(tb);
	assert_false(pass(tb, "server", "client", s2c(TCP(22, 1000, ACK))));
	assert_false(pass(tb, "client", "server", c2s(TCP(1000, 22, ACK))));
	testbed_free(tb);
}

static void deleted_port_leaves_nothing_for_its_successor(void **state)
{
	struct testbed *tb = two_ports("ingress 4 tcp 22-22\n");

	uint16_t index = weft_tables_port(tb->dp.tables, "server")->index;

	(void)state;
	open_tcp(tb);
	tb->dp.tables->next_index = NATIVE_MAX_PORTS - 1; // none that was never used is left
	testbed_del(tb, PLAN_PORT, "server", NULL);
	testbed_commit(tb);
	testbed_port(tb, "server", "n1", "10.0.0.2", "");
	testbed_commit(tb);
	assert_int_equal(weft_tables_port(tb->dp.tables, "server")->index, index);
	assert_false(pass(tb, "client", "server", c2s(TCP(1000, 22, ACK))));
	assert_false(pass(tb, "server", "client", s2c(TCP(22, 1000, ACK))));
	testbed_free(tb);
}

// DHCP renewals go to the gateway's address, so it is answered for where no router is. What else
// is sent there is dropped with the reason, and goes out on no wire.
static void what_is_sent_to_a_gateway_without_router_says_so(void **state)
{
	struct mac_addr service = DATAPATH_SERVICE_MAC;
	struct frame f = testbed_frame("client", "-", "10.0.0.1", "192.0.2.1", UDP(1, 53, 8)), got;

	(void)state;
	for (int provider = 0; provider < 2; provider++) {
		struct testbed *tb = two_ports("");

		if (provider)
			testbed_provider(tb, "n1", 1500, 0);
		testbed_commit(tb);
		memcpy(f.b, service.b, 6);
		testbed_send(tb, "client", &f);
		assert_int_equal(testbed_drop(tb), DROP_SERVICE_ADDRESS);
		if (provider)
			assert_false(testbed_receive(tb, "n1", &got));
		testbed_free(tb);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_sent_to_a_gateway_without_router_says_so),
		cmocka_unit_test(foreign_addresses_are_dropped),
		cmocka_unit_test(pair_removed_cuts_its_flows),
		cmocka_unit_test(arp_for_a_known_address_is_answered_and_not_flooded),
		cmocka_unit_test(arp_for_a_shared_address_reaches_its_owners_only),
		cmocka_unit_test(unknown_unicast_is_not_flooded),
		cmocka_unit_test(
			other_macs_of_an_unfiltered_port_are_learned_but_never_a_known_one),
		cmocka_unit_test(equal_addresses_on_two_networks_are_isolated),
		cmocka_unit_test(broadcast_meets_each_receivers_rules),
		cmocka_unit_test(longer_than_the_mtu_is_dropped),
		cmocka_unit_test(port_that_is_down_passes_nothing_either_way),
		cmocka_unit_test(deleted_port_leaves_nothing_for_its_successor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
