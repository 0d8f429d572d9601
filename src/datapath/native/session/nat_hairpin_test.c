// SPDX-License-Identifier: Apache-2.0
// NAT between hosts of the same node: to floating IPs, one's own included, within one router and
// across two.
#include "datapath/native/testing/nat_fixture.h"

static void two_floating_ips_of_one_router_see_each_other_by_them(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	floating_a(tb);
	testbed_floating(tb, "g", "r", "ext", FLOATING_B, "10.0.1.2", "b");
	testbed_commit(tb);
	assert_true(becomes(tb, "a", summed("a", "r1", "10.0.1.1", FLOATING_B, TCP(99, 80, SYN)),
			    "b", summed("r1", "b", FLOATING, "10.0.1.2", TCP(99, 80, SYN)), 2));
	assert_true(becomes(tb, "b",
			    summed("b", "r1", "10.0.1.2", FLOATING, TCP(80, 99, SYN | ACK)), "a",
			    summed("r1", "a", FLOATING_B, "10.0.1.1", TCP(80, 99, SYN | ACK)), 2));
	assert_true(becomes(tb, "a", summed("a", "r1", "10.0.1.1", FLOATING_B, TCP(99, 80, ACK)),
			    "b", summed("r1", "b", FLOATING, "10.0.1.2", TCP(99, 80, ACK)), 2));
	assert_int_equal(tb->w->stats.sessions_added, 1);
	testbed_free(tb);
}

static void host_without_one_comes_from_the_routers_address(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	floating_a(tb);
	assert_true(becomes(tb, "b", summed("b", "r1", "10.0.1.2", FLOATING, TCP(99, 80, SYN)), "a",
			    summed("r1", "a", GATEWAY, "10.0.1.1", TCP(99, 80, SYN)), 2));
	assert_true(becomes(tb, "a", summed("a", "r1", "10.0.1.1", GATEWAY, TCP(80, 99, SYN | ACK)),
			    "b", summed("r1", "b", FLOATING, "10.0.1.2", TCP(80, 99, SYN | ACK)),
			    2));
	testbed_free(tb);
}

static void ones_own_floating_ip_leads_back(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	floating_a(tb);
	assert_true(becomes(tb, "a", summed("a", "r1", "10.0.1.1", FLOATING, TCP(99, 80, SYN)), "a",
			    summed("r1", "a", FLOATING, "10.0.1.1", TCP(99, 80, SYN)), 2));
	assert_true(becomes(tb, "a",
			    summed("a", "r1", "10.0.1.1", FLOATING, TCP(80, 99, SYN | ACK)), "a",
			    summed("r1", "a", FLOATING, "10.0.1.1", TCP(80, 99, SYN | ACK)), 2));
	assert_true(becomes(tb, "a", summed("a", "r1", "10.0.1.1", FLOATING, ECHO(4)), "a",
			    summed("r1", "a", FLOATING, "10.0.1.1", ECHO(4)), 2));
	assert_true(becomes(tb, "a", summed("a", "r1", "10.0.1.1", FLOATING, ECHO_REPLY(4)), "a",
			    summed("r1", "a", FLOATING, "10.0.1.1", ECHO_REPLY(4)), 2));
	// From the very port that it goes to it would be its own answer.
	assert_int_equal(dropped(tb, "a",
				 summed("a", "r1", "10.0.1.1", FLOATING, TCP(80, 80, SYN))),
			 DROP_SESSION_CLASH);
	testbed_free(tb);
}

static void floating_ip_of_another_router_is_reached_through_both(void **state)
{
	struct testbed *tb = one_router();
	struct l4 syn = TCP(99, 80, SYN), reply = TCP(80, 99, SYN | ACK);

	(void)state;
	second_router(tb);
	testbed_floating(tb, "g", "s", "ext", FLOATING_B, "10.0.2.1", "c");
	testbed_commit(tb);
	assert_true(becomes(tb, "a", summed("a", "r1", "10.0.1.1", FLOATING_B, syn), "c",
			    summed("s1", "c", GATEWAY, "10.0.2.1", syn), 2));
	assert_true(becomes(tb, "c", summed("c", "s1", "10.0.2.1", GATEWAY, reply), "a",
			    summed("r1", "a", FLOATING_B, "10.0.1.1", reply), 2));
	// Its inner address is not reached, nor is anything that is not translated there.
	assert_int_equal(dropped(tb, "a", summed("a", "r1", "10.0.1.1", "203.0.113.3", syn)),
			 DROP_NAT_NO_STATE);
	assert_true(becomes(tb, "a", summed("a", "r1", "10.0.1.1", "203.0.113.3", ECHO(5)), "a",
			    summed("r1", "a", "203.0.113.3", "10.0.1.1", ECHO_REPLY(5)), 0));
	testbed_free(tb);
}

static void router_that_does_not_translate_leads_to_its_floating_ips_all_the_same(void **state)
{
	struct testbed *tb = one_router();
	struct l4 syn = TCP(99, 80, SYN), reply = TCP(80, 99, SYN | ACK);

	(void)state;
	testbed_network(tb, "n2", 1500);
	testbed_port(tb, "c", "n2", "10.0.2.1", "web");
	testbed_router_snat(tb, "r",
			    "n1|r1|10.0.1.254/24 n2|r2|10.0.2.254/24 !ext|rx|" GATEWAY "/24",
			    "0.0.0.0/0|203.0.113.9", NULL);
	floating_a(tb);
	assert_true(becomes(tb, "c", summed("c", "r2", "10.0.2.1", FLOATING, syn), "a",
			    summed("r1", "a", "10.0.2.1", "10.0.1.1", syn), 2));
	assert_true(becomes(tb, "a", summed("a", "r1", "10.0.1.1", "10.0.2.1", reply), "c",
			    summed("r2", "c", FLOATING, "10.0.2.1", reply), 2));
	// Not from further away.
	assert_int_equal(dropped(tb, "x", summed("x", "f", "10.0.2.1", FLOATING, TCP(98, 80, SYN))),
			 DROP_REVERSE_PATH);
	testbed_free(tb);
}

static void forwarded_port_is_reached_from_inside(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	testbed_floating(tb, "f", "r", "ext", FLOATING, NULL, "");
	testbed_forwarding(tb, "p1", "f", 6, "8080-8080>80", "10.0.1.1", "a");
	testbed_commit(tb);
	assert_true(becomes(tb, "b", summed("b", "r1", "10.0.1.2", FLOATING, TCP(99, 8080, SYN)),
			    "a", summed("r1", "a", GATEWAY, "10.0.1.1", TCP(99, 80, SYN)), 2));
	assert_true(becomes(tb, "a", summed("a", "r1", "10.0.1.1", GATEWAY, TCP(80, 99, SYN | ACK)),
			    "b", summed("r1", "b", FLOATING, "10.0.1.2", TCP(8080, 99, SYN | ACK)),
			    2));
	testbed_free(tb);
}

// Groups see the translated remote: who is admitted by inner address is not admitted by his
// floating one.
static void receivers_groups_see_the_floating_ip(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	floating_a(tb);
	testbed_floating(tb, "g", "r", "ext", FLOATING_B, "10.0.1.2", "b");
	testbed_rule_set(tb, "inner", true, "ingress 4 tcp 80-80 10.0.1.1/32\n");
	testbed_port(tb, "b", "n1", "10.0.1.2", "inner");
	testbed_commit(tb);
	assert_int_equal(dropped(tb, "a",
				 summed("a", "r1", "10.0.1.1", FLOATING_B, TCP(99, 80, SYN))),
			 DROP_INGRESS_RULES);
	testbed_rule_set(tb, "inner", true, "ingress 4 tcp 80-80 " FLOATING "/32\n");
	testbed_commit(tb);
	assert_true(becomes(tb, "a", summed("a", "r1", "10.0.1.1", FLOATING_B, TCP(99, 80, SYN)),
			    "b", summed("r1", "b", FLOATING, "10.0.1.2", TCP(99, 80, SYN)), 2));
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_floating_ips_of_one_router_see_each_other_by_them),
		cmocka_unit_test(host_without_one_comes_from_the_routers_address),
		cmocka_unit_test(ones_own_floating_ip_leads_back),
		cmocka_unit_test(floating_ip_of_another_router_is_reached_through_both),
		cmocka_unit_test(
			router_that_does_not_translate_leads_to_its_floating_ips_all_the_same),
		cmocka_unit_test(forwarded_port_is_reached_from_inside),
		cmocka_unit_test(receivers_groups_see_the_floating_ip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
