// SPDX-License-Identifier: Apache-2.0
// Who is outside moves, comes here or goes, by the plan alone: flows that go on follow, and none
// stays at the old place.
#include "datapath/native/testing/resolver_fixture.h"

static const struct mac_addr m1 = {{2, 1, 1, 1, 1, 1}}, m2 = {{2, 2, 2, 2, 2, 2}};

// A port of another node with this MAC.
static void remote(struct testbed *tb, enum plan_op op, const char *network, const char *ip,
		   const struct mac_addr *mac)
{
	struct plan_neighbour *n = calloc(1, sizeof(*n));

	snprintf(n->network_id, sizeof(n->network_id), "%s", network);
	snprintf(n->port_id, sizeof(n->port_id), "remote");
	n->ip = ip_of(ip);
	n->mac = *mac;
	weft_plan_batch_add(&tb->batch, op, PLAN_NEIGHBOUR, n);
}

static struct frame from_a(const char *dst)
{
	return testbed_frame("a", "r1", "10.0.1.1", dst, UDP(1000, 2000, 8));
}

// Sends the flow's next packet. True: a port got it, with this MAC as its destination.
static bool goes_to(struct testbed *tb, const char *from, struct frame f, const char *port,
		    const struct mac_addr *mac)
{
	struct frame got;

	while (testbed_receive(tb, port, &got))
		continue;
	testbed_send(tb, from, &f);
	while (testbed_receive(tb, port, &got))
		if (got.b[12] == 0x08 && got.b[13] == 0 && got.b[23] == 17)
			return memcmp(got.b, mac->b, 6) == 0;
	return false;
}

static void flow_follows_a_remote_address_to_another_mac(void **state)
{
	struct testbed *tb = north();

	(void)state;
	remote(tb, PLAN_PUT, "ext", "203.0.113.50", &m1);
	testbed_commit(tb);
	assert_true(goes_to(tb, "a", from_a("203.0.113.50"), "ext", &m1));
	assert_true(goes_to(tb, "a", from_a("203.0.113.50"), "ext", &m1));
	for (int i = 0; i < 2; i++) { // whichever comes first in the batch
		const struct mac_addr *from = i == 0 ? &m1 : &m2, *to = i == 0 ? &m2 : &m1;

		if (i == 1)
			remote(tb, PLAN_DEL, "ext", "203.0.113.50", from);
		remote(tb, PLAN_PUT, "ext", "203.0.113.50", to);
		if (i == 0)
			remote(tb, PLAN_DEL, "ext", "203.0.113.50", from);
		testbed_commit(tb);
		assert_true(goes_to(tb, "a", from_a("203.0.113.50"), "ext", to));
	}
	assert_int_equal(weft_session_count(tb->dp.node.sessions), 1);
	testbed_free(tb);
}

static void flow_to_a_remote_address_that_goes_asks_the_wire(void **state)
{
	struct testbed *tb = north();
	struct frame f = from_a("203.0.113.50");

	(void)state;
	remote(tb, PLAN_PUT, "ext", "203.0.113.50", &m1);
	testbed_commit(tb);
	assert_true(goes_to(tb, "a", f, "ext", &m1));
	remote(tb, PLAN_DEL, "ext", "203.0.113.50", &m1);
	testbed_commit(tb);
	quiet(tb);
	testbed_send(tb, "a", &f);
	assert_int_equal(questions(tb, NULL), 1);
	answer_arp(tb, &m2, "203.0.113.50");
	assert_true(goes_to(tb, "a", f, "ext", &m2));
	testbed_free(tb);
}

static void known_next_hop_that_the_plan_comes_to_know_is_the_plans(void **state)
{
	struct testbed *tb = north();
	struct mac_addr late = testbed_mac("late");
	struct frame f = from_a("203.0.113.50");

	(void)state;
	testbed_send(tb, "a", &f);
	answer_arp(tb, &m1, "203.0.113.50");
	assert_true(goes_to(tb, "a", f, "ext", &m1));
	remote(tb, PLAN_PUT, "ext", "203.0.113.50", &m2);
	testbed_commit(tb);
	assert_true(goes_to(tb, "a", f, "ext", &m2));
	testbed_pass_time(tb, 200);
	assert_true(goes_to(tb, "a", f, "ext", &m2));
	// A port of this node.
	remote(tb, PLAN_DEL, "ext", "203.0.113.50", &m2);
	testbed_port(tb, "late", "ext", "203.0.113.50", "all");
	testbed_commit(tb);
	assert_true(goes_to(tb, "a", f, "late", &late));
	testbed_free(tb);
}

static void next_hop_that_is_withdrawn_is_asked_for_anew(void **state)
{
	struct testbed *tb = with_gateway();
	uint32_t before = gen_of(tb, "ext");
	struct mac_addr mac;

	(void)state;
	assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_KNOWN);
	remote(tb, PLAN_PUT, "ext", "203.0.113.254", &m1);
	testbed_commit(tb);
	before = gen_of(tb, "ext");
	testbed_pass_time(tb, 200);
	assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_UNKNOWN);
	assert_true(gen_of(tb, "ext") != before);
	testbed_free(tb);
}

static struct frame from_local(const char *to)
{
	return testbed_frame("local", to, "203.0.113.9", "203.0.113.50", UDP(1, 2, 8));
}

// Live migration to this node, with the VM's MAC and all; and away.
static void flow_follows_a_vm_from_node_to_node(void **state)
{
	struct testbed *tb = north();
	struct mac_addr mac = testbed_mac("vm");

	(void)state;
	remote(tb, PLAN_PUT, "ext", "203.0.113.50", &mac);
	testbed_commit(tb);
	for (int i = 0; i < 2; i++) {
		assert_true(goes_to(tb, "local", from_local("vm"), "ext", &mac));
		assert_true(goes_to(tb, "a", from_a("203.0.113.50"), "ext", &mac));
		testbed_port(tb, "vm", "ext", "203.0.113.50", "all");
		remote(tb, PLAN_DEL, "ext", "203.0.113.50", &mac);
		testbed_commit(tb);
		assert_true(goes_to(tb, "local", from_local("vm"), "vm", &mac));
		assert_true(goes_to(tb, "a", from_a("203.0.113.50"), "vm", &mac));
		testbed_del(tb, PLAN_PORT, "vm", NULL);
		remote(tb, PLAN_PUT, "ext", "203.0.113.50", &mac);
		testbed_commit(tb);
	}
	testbed_free(tb);
}

// Its MAC was nobody's for a while, as of a VM that is shelved: what was sent to it went out.
static void flow_to_a_mac_that_comes_here_goes_there(void **state)
{
	struct testbed *tb = north();
	struct mac_addr mac = testbed_mac("vm");

	(void)state;
	assert_true(goes_to(tb, "local", from_local("vm"), "ext", &mac));
	assert_true(goes_to(tb, "local", from_local("vm"), "ext", &mac));
	testbed_port(tb, "vm", "ext", "203.0.113.50", "all");
	testbed_commit(tb);
	assert_true(goes_to(tb, "local", from_local("vm"), "vm", &mac));
	testbed_free(tb);
}

static void flow_follows_a_floating_ip_to_this_node(void **state)
{
	struct testbed *tb = with_gateway();
	struct mac_addr b = testbed_mac("b");

	(void)state;
	// By way of the gateway: it is on another subnet of the external network.
	assert_true(goes_to(tb, "a", from_a("198.51.100.5"), "ext", &gateway_mac));
	testbed_floating(tb, "f", "r", "ext", "198.51.100.5", "10.0.1.2", "b");
	testbed_commit(tb);
	assert_true(goes_to(tb, "a", from_a("198.51.100.5"), "b", &b));
	testbed_free(tb);
}

// The price of the above: what has nothing to do with it is left alone.
static void address_that_is_new_to_everybody_makes_nothing_stale(void **state)
{
	struct testbed *tb = with_gateway();
	uint32_t before;

	(void)state;
	before = gen_of(tb, "ext") + gen_of(tb, "local") + gen_of(tb, "a");
	remote(tb, PLAN_PUT, "ext", "203.0.113.60", &m1);
	testbed_commit(tb);
	remote(tb, PLAN_PUT, "ext", "203.0.113.61", &m1);
	testbed_commit(tb);
	remote(tb, PLAN_PUT, "ext", "203.0.113.61", &m1);
	testbed_commit(tb);
	testbed_pass_time(tb, 200);
	assert_int_equal(gen_of(tb, "ext") + gen_of(tb, "local") + gen_of(tb, "a"), before);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flow_follows_a_remote_address_to_another_mac),
		cmocka_unit_test(flow_to_a_remote_address_that_goes_asks_the_wire),
		cmocka_unit_test(known_next_hop_that_the_plan_comes_to_know_is_the_plans),
		cmocka_unit_test(next_hop_that_is_withdrawn_is_asked_for_anew),
		cmocka_unit_test(flow_follows_a_vm_from_node_to_node),
		cmocka_unit_test(flow_to_a_mac_that_comes_here_goes_there),
		cmocka_unit_test(flow_follows_a_floating_ip_to_this_node),
		cmocka_unit_test(address_that_is_new_to_everybody_makes_nothing_stale),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
