// SPDX-License-Identifier: Apache-2.0
// Addresses and MACs that several ports share, or that a port has for others: virtual routers,
// allowed address pairs.
#include "datapath/native/testing/native_fixture.h"
#include "datapath/native/policy/tables.h"

// A frame as if from or to the virtual router's MAC.
static struct frame virtual(struct frame f, size_t at)
{
	static const uint8_t mac[6] = {0x00, 0x00, 0x5e, 0x00, 0x01, 0x05};

	memcpy(f.b + at, mac, 6);
	if (f.b[12] == 0x08 && f.b[13] == 0x06)
		memcpy(f.b + 22, mac, 6);
	return f;
}

#define TO_VIRTUAL(l4)	 virtual(testbed_frame("client", "-", "10.0.0.1", "10.0.0.100", l4), 0)
#define FROM_VIRTUAL(l4) virtual(testbed_frame("-", "client", "10.0.0.100", "10.0.0.1", l4), 6)

static void shared_mac_leads_to_the_owner_that_last_spoke_from_it(void **state)
{
	struct testbed *tb = two_ports("ingress 4 tcp 22-22\n");
	static const char pair[] = "00:00:5e:00:01:05|10.0.0.100";
	struct frame announce = virtual(testbed_arp("-", "10.0.0.100", "10.0.0.100"), 6), got;

	(void)state;
	testbed_port_with(tb, "m1", "n1", "10.0.0.11", "srv", pair, true);
	testbed_port_with(tb, "m2", "n1", "10.0.0.12", "srv", pair, true);
	testbed_commit(tb);
	testbed_send(tb, "client", &announce); // not its MAC
	assert_int_equal(testbed_drop(tb), DROP_SPOOF_MAC);
	testbed_send(tb, "m1", &announce);
	while (testbed_receive(tb, "client", &got) || testbed_receive(tb, "server", &got) ||
	       testbed_receive(tb, "m2", &got))
		;
	assert_true(pass(tb, "client", "m1", TO_VIRTUAL(TCP(1000, 22, SYN))));
	assert_true(pass(tb, "m1", "client", FROM_VIRTUAL(TCP(22, 1000, SYN | ACK))));
	assert_true(pass(tb, "client", "m1", TO_VIRTUAL(TCP(1000, 22, ACK))));
	// The other takes over: what was on the way to the first one follows it.
	testbed_pass_time(tb, 1100);
	testbed_send(tb, "m2", &announce);
	while (testbed_receive(tb, "client", &got) || testbed_receive(tb, "server", &got) ||
	       testbed_receive(tb, "m1", &got))
		;
	assert_true(pass(tb, "client", "m2", TO_VIRTUAL(TCP(1000, 22, ACK))));
	assert_true(pass(tb, "m2", "client", FROM_VIRTUAL(TCP(22, 1000, ACK))));
	testbed_port(tb, "m2", "n1", "10.0.0.12", "srv"); // only one is left
	testbed_commit(tb);
	assert_true(pass(tb, "client", "m1", TO_VIRTUAL(TCP(1001, 22, SYN))));
	testbed_free(tb);
}

static void shared_address_moves_between_ports_with_macs_of_their_own(void **state)
{
	struct testbed *tb = two_ports("");
	struct frame announce = testbed_arp("m2", "10.0.0.100", "10.0.0.100"), got;

	(void)state;
	testbed_rule_set(tb, "web", true, "ingress 4 tcp 80-80\n");
	testbed_port_with(tb, "m1", "n1", "10.0.0.11", "web", "-|10.0.0.100", true);
	testbed_port_with(tb, "m2", "n1", "10.0.0.12", "web", "-|10.0.0.100", true);
	testbed_commit(tb);
	assert_true(pass(tb, "client", "m1",
			 testbed_frame("client", "m1", "10.0.0.1", "10.0.0.100", TCP(9, 80, SYN))));
	assert_true(pass(tb, "m1", "client",
			 testbed_frame("m1", "client", "10.0.0.100", "10.0.0.1",
				       TCP(80, 9, SYN | ACK))));
	testbed_send(tb, "m2", &announce);
	assert_true(testbed_receive(tb, "client", &got));
	assert_true(testbed_receive(tb, "server", &got));
	assert_true(testbed_receive(tb, "m1", &got));
	// The same connection at the other one, which will refuse it; and a new one.
	assert_true(pass(tb, "client", "m2",
			 testbed_frame("client", "m2", "10.0.0.1", "10.0.0.100", TCP(9, 80, ACK))));
	assert_true(pass(tb, "m2", "client",
			 testbed_frame("m2", "client", "10.0.0.100", "10.0.0.1", TCP(80, 9, RST))));
	assert_true(pass(tb, "client", "m2",
			 testbed_frame("client", "m2", "10.0.0.1", "10.0.0.100", TCP(9, 80, SYN))));
	assert_true(pass(tb, "m2", "client",
			 testbed_frame("m2", "client", "10.0.0.100", "10.0.0.1",
				       TCP(80, 9, SYN | ACK))));
	assert_int_equal(weft_session_count(tb->dp.node.sessions), 1);
	testbed_free(tb);
}

static bool routed(struct testbed *tb, const char *to, struct l4 l4)
{
	struct frame f = testbed_frame("far", "r2", "10.0.9.1", "10.0.0.100", l4), got;

	testbed_send(tb, "far", &f);
	return testbed_receive(tb, to, &got) && got.b[23] == 6;
}

static bool is_asked(struct testbed *tb, const char *port)
{
	struct frame got;

	return testbed_receive(tb, port, &got) && got.b[13] == 0x06 && got.b[21] == 1;
}

static void router_sends_to_the_owner_that_last_announced_a_shared_address(void **state)
{
	struct testbed *tb = two_ports("");
	const char *ports[] = {"m2", "m1", "m2"};
	struct frame got;

	(void)state;
	testbed_network(tb, "n2", 1500);
	testbed_rule_set(tb, "web", true, "ingress 4 tcp 80-80\n");
	testbed_port(tb, "far", "n2", "10.0.9.1", "out");
	testbed_port_with(tb, "m1", "n1", "10.0.0.11", "web", "-|10.0.0.100", true);
	testbed_port_with(tb, "m2", "n1", "10.0.0.12", "web", "-|10.0.0.100", true);
	testbed_router(tb, "r", true, "n1|r1|10.0.0.254/24 n2|r2|10.0.9.254/24", "");
	testbed_commit(tb);
	got = testbed_frame("far", "r2", "10.0.9.1", "10.0.0.100", TCP(9, 80, SYN));
	testbed_send(tb, "far", &got);
	assert_true(is_asked(tb, "m1") && is_asked(tb, "m2"));
	got = testbed_arp("m1", "10.0.0.100", "10.0.0.254");
	got.b[21] = 2;
	testbed_send(tb, "m1", &got);
	assert_true(testbed_receive(tb, "m1", &got)); // what has waited
	for (size_t i = 0; i < 3; i++) {
		struct frame announce = testbed_arp(ports[i], "10.0.0.100", "10.0.0.100");
		const char *other = i % 2 == 0 ? "m1" : "m2";

		testbed_pass_time(tb, 1100);
		testbed_send(tb, ports[i], &announce);
		while (testbed_receive(tb, other, &got) || testbed_receive(tb, ports[i], &got))
			;
		// What was the other's is his now, who will refuse it.
		assert_true(routed(tb, ports[i], TCP(9, 80, ACK)));
		assert_true(routed(tb, ports[i], TCP((uint16_t)(10 + i), 80, SYN)));
		assert_false(testbed_receive(tb, other, &got));
	}
	// A client may not say that it is his.
	got = testbed_arp("client", "10.0.0.100", "10.0.0.100");
	testbed_send(tb, "client", &got);
	assert_true(routed(tb, "m2", TCP(99, 80, SYN)));
	testbed_free(tb);
}

static struct frame solicit(const char *from, const char *src, const char *target)
{
	struct frame f = testbed_frame(from, "broadcast", src, "ff02::1:ff00:70",
				       (struct l4) {.proto = 58, .dport = 135 << 8, .payload = 16});
	struct ip_addr ip;

	assert_int_equal(weft_ip_parse(target, &ip), 0);
	memcpy(f.b + 62, ip.b, 16);
	return f;
}

static void port_with_a_pair_for_a_prefix_is_asked_for_its_addresses(void **state)
{
	struct testbed *tb = two_ports("");
	struct frame answer = testbed_arp("pods", "10.0.0.70", "10.0.0.1");
	struct mac_addr client = testbed_mac("client");

	(void)state;
	testbed_port(tb, "third", "n1", "10.0.0.3", "srv");
	testbed_port_with(tb, "pods", "n1", "10.0.0.11", "srv", "-|10.0.0.64/26 -|fd00::/64", true);
	testbed_commit(tb);
	assert_true(pass(tb, "client", "pods", testbed_arp("client", "10.0.0.1", "10.0.0.70")));
	assert_true(pass(tb, "client", "pods", solicit("client", "fd00::1", "fd00::70")));
	memcpy(answer.b, client.b, 6);
	answer.b[21] = 2;
	assert_true(testbed_passes(tb, "pods", "client", &answer));
	assert_false(pass(tb, "client", "pods", testbed_arp("client", "10.0.0.1", "10.0.0.50")));
	assert_int_equal(testbed_drop(tb), DROP_ARP_UNKNOWN);
	assert_false(pass(tb, "client", "pods", solicit("client", "fd00::1", "fd00:1::70")));
	assert_int_equal(testbed_drop(tb), DROP_ND_UNKNOWN);
	// What the plan knows is still answered here, prefix or not.
	assert_false(pass(tb, "client", "pods", solicit("client", "fd00::1", "fd00::2")));
	testbed_port(tb, "pods", "n1", "10.0.0.11",
		     NULL); // hears all of them, and is first among the ports
	testbed_commit(tb);
	assert_true(pass(tb, "client", "pods", testbed_arp("client", "10.0.0.1", "10.0.0.50")));
	testbed_port(tb, "pods", "n1", "10.0.0.11", "srv");
	testbed_commit(tb);
	assert_false(pass(tb, "client", "pods", testbed_arp("client", "10.0.0.1", "10.0.0.70")));
	testbed_port_with(tb, "pods", "n1", "10.0.0.11", "srv", "-|10.0.0.64/26", true);
	testbed_commit(tb);
	assert_true(pass(tb, "client", "pods", testbed_arp("client", "10.0.0.1", "10.0.0.70")));
	testbed_free(tb);
}

// The DHCP server is found at the gateway's address, unless the gateway itself may be.
static void gateway_that_no_port_has_may_be_behind_an_unfiltered_port(void **state)
{
	struct testbed *tb = two_ports("");
	struct frame ask = testbed_arp("client", "10.0.0.1", "10.0.0.254"), got;

	(void)state;
	testbed_send(tb, "client", &ask);
	assert_true(testbed_receive(tb, "client", &got));
	testbed_port(tb, "router", "n1", "10.0.0.3", NULL);
	testbed_commit(tb);
	assert_true(testbed_passes(tb, "client", "router", &ask));
	// Whether anybody has it (RFC 5227), before it takes it: an answer would be a conflict.
	ask = testbed_arp("router", "0.0.0.0", "10.0.0.254");
	testbed_send(tb, "router", &ask);
	assert_false(testbed_receive(tb, "router", &got));
	// Renewals are answered whatever MAC they go to, and rebinding needs none.
	ask = testbed_arp("client", "10.0.0.1", "169.254.169.254");
	testbed_subnet(tb, "n1-4", "n1", "10.0.0.0/24", NULL, true);
	testbed_commit(tb);
	testbed_send(tb, "client", &ask);
	assert_true(testbed_receive(tb, "client", &got));
	testbed_free(tb);
}

// The MAC with which the asker is answered.
static bool answered(struct testbed *tb, const char *from, struct frame question,
		     struct mac_addr *mac)
{
	struct frame got;

	testbed_send(tb, from, &question);
	while (testbed_receive(tb, from, &got)) {
		bool arp = got.b[13] == 0x06 && got.b[21] == 2;

		if (!arp && !(got.b[12] == 0x86 && got.b[54] == 136))
			continue;
		memcpy(mac->b, got.b + (arp ? 22 : 6), 6);
		return true;
	}
	return false;
}

static bool hears(struct testbed *tb, const char *port)
{
	struct frame got;
	bool any = false;

	while (testbed_receive(tb, port, &got))
		any = true;
	return any;
}

// Whoever has an unused pair for it must not make it silent for the others.
static void gateway_is_answered_for_whoever_has_a_pair_for_its_address(void **state)
{
	struct testbed *tb = two_ports("");
	struct mac_addr gw = testbed_mac("gw"), mac;
	struct frame arp = testbed_arp("client", "10.0.0.1", "10.0.0.254");
	struct frame nd = solicit("client", "fd00::1", "fd00::fe");

	(void)state;
	testbed_router(tb, "r", true, "n1|gw|10.0.0.254/24,fd00::fe/64", "");
	testbed_port_with(tb, "m1", "n1", "10.0.0.11", "srv", "-|10.0.0.254 -|fd00::fe", true);
	testbed_commit(tb);
	for (int i = 0; i < 2; i++) {
		assert_true(answered(tb, "client", i == 0 ? arp : nd, &mac));
		assert_true(weft_mac_equal(&mac, &gw));
		// Should it be in use there, it may say so itself.
		assert_true(hears(tb, "m1"));
		assert_false(hears(tb, "server"));
	}
	// Also when nobody else is to be asked: the holder's own question.
	assert_true(answered(tb, "m1", testbed_arp("m1", "10.0.0.11", "10.0.0.254"), &mac));
	assert_true(weft_mac_equal(&mac, &gw));
	testbed_free(tb);
}

static void gateway_on_a_physical_network_is_answered_for_inside_and_outside(void **state)
{
	struct testbed *tb = two_ports("");
	struct mac_addr gw = testbed_mac("gw"), mac;

	(void)state;
	testbed_provider(tb, "n1", 1500, 0);
	testbed_router(tb, "r", true, "n1|gw|10.0.0.254/24", "");
	testbed_port_with(tb, "m1", "n1", "10.0.0.11", "srv", "-|10.0.0.254", true);
	testbed_commit(tb);
	assert_true(answered(tb, "client", testbed_arp("client", "10.0.0.1", "10.0.0.254"), &mac));
	assert_true(weft_mac_equal(&mac, &gw));
	assert_false(hears(tb, "n1"));
	assert_true(hears(tb, "m1"));
	assert_true(answered(tb, "n1", testbed_arp("host", "10.0.0.200", "10.0.0.254"), &mac));
	assert_true(weft_mac_equal(&mac, &gw));
	assert_true(hears(tb, "m1"));
	testbed_free(tb);
}

static void answered_question_reaches_pair_holders_unchanged(void **state)
{
	struct testbed *tb = two_ports("");
	struct frame arp = testbed_arp("client", "10.0.0.1", "10.0.0.254"), got;

	(void)state;
	testbed_router(tb, "r", true, "n1|gw|10.0.0.254/24", "");
	testbed_port_with(tb, "m1", "n1", "10.0.0.11", "srv", "-|10.0.0.254", true);
	testbed_commit(tb);
	testbed_send(tb, "client", &arp);
	assert_true(testbed_receive(tb, "m1", &got));
	assert_int_equal(got.len, arp.len);
	assert_memory_equal(got.b, arp.b, arp.len);
	assert_false(testbed_receive(tb, "m1", &got));
	assert_true(testbed_receive(tb, "client", &got));
	assert_false(testbed_receive(tb, "client", &got));
	testbed_free(tb);
}

static void services_are_answered_for_whoever_has_a_pair_for_their_address(void **state)
{
	struct testbed *tb = two_ports("");
	struct frame metadata = testbed_arp("client", "10.0.0.1", "169.254.169.254");
	struct frame gateway = testbed_arp("client", "10.0.0.1", "10.0.0.254");
	struct mac_addr mac, service = DATAPATH_SERVICE_MAC;

	(void)state;
	testbed_port_with(tb, "m1", "n1", "10.0.0.11", "srv", "-|169.254.169.254 -|10.0.0.254",
			  true);
	testbed_commit(tb);
	// While there is no metadata service, the VM may be one; and a VM that has the gateway's
	// address is the gateway.
	assert_false(answered(tb, "client", metadata, &mac));
	assert_false(answered(tb, "client", gateway, &mac));
	assert_true(hears(tb, "m1"));
	testbed_metadata(tb);
	assert_true(answered(tb, "client", metadata, &mac));
	assert_true(weft_mac_equal(&mac, &service));
	testbed_free(tb);
	// The DHCP server of a subnet without gateway has that address as well.
	tb = two_ports("");
	testbed_port_with(tb, "m1", "n1", "10.0.0.11", "srv", "-|169.254.169.254", true);
	testbed_subnet(tb, "n1-4", "n1", "10.0.0.0/24", NULL, true);
	testbed_commit(tb);
	assert_true(answered(tb, "client", metadata, &mac));
	assert_true(weft_mac_equal(&mac, &service));
	testbed_free(tb);
}

static void port_of_another_node_is_answered_for_whoever_has_a_pair_for_its_address(void **state)
{
	struct testbed *tb = two_ports("");
	struct mac_addr far = testbed_mac("far"), mac;
	struct plan_neighbour *n = calloc(1, sizeof(*n));

	(void)state;
	strcpy(n->network_id, "n1");
	strcpy(n->port_id, "far");
	n->mac = far;
	assert_int_equal(weft_ip_parse("10.0.0.50", &n->ip), 0);
	weft_plan_batch_add(&tb->batch, PLAN_PUT, PLAN_NEIGHBOUR, n);
	testbed_port_with(tb, "m1", "n1", "10.0.0.11", "srv", "-|10.0.0.50 -|10.0.0.2", true);
	testbed_commit(tb);
	assert_true(answered(tb, "client", testbed_arp("client", "10.0.0.1", "10.0.0.50"), &mac));
	assert_true(weft_mac_equal(&mac, &far));
	// A VM of this node speaks for itself: it may have handed its address over.
	assert_false(answered(tb, "client", testbed_arp("client", "10.0.0.1", "10.0.0.2"), &mac));
	assert_true(hears(tb, "server"));
	assert_true(hears(tb, "m1"));
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shared_mac_leads_to_the_owner_that_last_spoke_from_it),
		cmocka_unit_test(router_sends_to_the_owner_that_last_announced_a_shared_address),
		cmocka_unit_test(shared_address_moves_between_ports_with_macs_of_their_own),
		cmocka_unit_test(port_with_a_pair_for_a_prefix_is_asked_for_its_addresses),
		cmocka_unit_test(gateway_that_no_port_has_may_be_behind_an_unfiltered_port),
		cmocka_unit_test(gateway_is_answered_for_whoever_has_a_pair_for_its_address),
		cmocka_unit_test(gateway_on_a_physical_network_is_answered_for_inside_and_outside),
		cmocka_unit_test(answered_question_reaches_pair_holders_unchanged),
		cmocka_unit_test(services_are_answered_for_whoever_has_a_pair_for_their_address),
		cmocka_unit_test(
			port_of_another_node_is_answered_for_whoever_has_a_pair_for_its_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
