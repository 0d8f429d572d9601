// SPDX-License-Identifier: Apache-2.0
// Where MACs are that the plan gives to nobody: behind the ports without port security "u" and
// "v", or outside.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "datapath/native/outside/resolver_priv.h"
#include "datapath/native/testing/testbed.h"

#define UDP(from_port, to_port) \
	((struct l4) {.proto = 17, .sport = (from_port), .dport = (to_port), .payload = 8})

static struct testbed *bridges(void)
{
	struct testbed *tb = testbed_new(1024);

	testbed_network(tb, "n1", 1500);
	testbed_rule_set(tb, "out", true, "egress 4 any\n");
	testbed_port(tb, "plain", "n1", "10.0.0.1", "out");
	testbed_port(tb, "u", "n1", "10.0.0.5", NULL);
	testbed_port(tb, "v", "n1", "10.0.0.6", NULL);
	testbed_commit(tb);
	return tb;
}

static struct resolver_stats stats(struct testbed *tb)
{
	struct resolver_stats s;

	weft_resolver_stats(tb->dp.node.resolver, &s);
	return s;
}

static void quiet(struct testbed *tb)
{
	struct frame got;

	while (testbed_receive(tb, "plain", &got) || testbed_receive(tb, "u", &got) ||
	       testbed_receive(tb, "v", &got))
		;
}

// The port sends as the host, to "plain", who takes no such thing.
static void speaks(struct testbed *tb, const char *port, const char *host)
{
	struct frame f = testbed_frame(host, "plain", "10.0.0.99", "10.0.0.1", UDP(1, 2));

	testbed_send(tb, port, &f);
	testbed_drop(tb);
}

static void speak(struct testbed *tb, const char *port, uint32_t from, uint32_t n)
{
	char host[16];

	for (uint32_t i = from; i < from + n; i++) {
		snprintf(host, sizeof(host), "h%u", i);
		speaks(tb, port, host);
	}
}

// What "plain" sends to the host comes to this port, and to no other.
static bool leads_to(struct testbed *tb, const char *host, const char *port)
{
	struct frame f = testbed_frame("plain", host, "10.0.0.1", "10.0.0.99", UDP(5, 6));

	return testbed_passes(tb, "plain", port, &f);
}

static void mac_that_moves_to_another_port_is_followed_but_not_with_each_packet(void **state)
{
	struct testbed *tb = bridges();

	(void)state;
	speaks(tb, "u", "inner");
	assert_true(leads_to(tb, "inner", "u"));
	speaks(tb, "v", "inner"); // too soon
	assert_true(leads_to(tb, "inner", "u"));
	testbed_pass_time(tb, 1100);
	speaks(tb, "v", "inner");
	assert_true(leads_to(tb, "inner", "v")); // the flow that led to u
	for (int i = 0; i < 10; i++)
		speaks(tb, i % 2 == 0 ? "u" : "v", "inner");
	assert_int_equal(stats(tb).mac_moves, 1);
	testbed_pass_time(tb, 1100);
	speaks(tb, "u", "inner");
	assert_true(leads_to(tb, "inner", "u"));
	assert_int_equal(stats(tb).macs, 1);
	testbed_free(tb);
}

static void port_that_takes_over_many_macs_gets_so_many_a_second(void **state)
{
	struct testbed *tb = bridges();

	(void)state;
	speak(tb, "v", 0, 300);
	testbed_pass_time(tb, 1100);
	speak(tb, "u", 0, 300);
	assert_int_equal(stats(tb).mac_moves, PORT_MOVES);
	testbed_pass_time(tb, 1000);
	speak(tb, "u", 0, 300);
	assert_in_range(stats(tb).mac_moves, PORT_MOVES + 1,
			PORT_MOVES + 2 * PORT_MOVES_PER_SECOND);
	testbed_free(tb);
}

static void thousands_of_macs_are_known_and_of_more_the_least_used_go(void **state)
{
	struct testbed *tb = bridges();

	(void)state;
	speaks(tb, "v", "quiet");
	speak(tb, "u", 0, 100);
	testbed_pass_time(tb, 1000);
	speak(tb, "u", 100, MACS_PER_PORT - 100);
	assert_int_equal(stats(tb).macs, MACS_PER_PORT + 1);
	testbed_pass_time(tb, 1000);
	assert_int_equal(stats(tb).mac_evictions, 0);
	speak(tb, "u", 0, 1); // in use
	for (uint32_t i = 0; i < 20; i++) {
		speak(tb, "u", MACS_PER_PORT + 100 * i, 100);
		testbed_pass_time(tb, 100);
	}
	assert_in_range(stats(tb).macs, MACS_PER_PORT - MACS_ROOM, MACS_PER_PORT + MACS_ROOM);
	assert_in_range(stats(tb).mac_evictions, 2000 - MACS_ROOM, 2000 + MACS_ROOM);
	quiet(tb);
	assert_true(leads_to(tb, "h0", "u"));
	assert_true(leads_to(tb, "quiet", "v")); // another port's cost it nothing
	assert_false(leads_to(tb, "h1", "u"));	 // both may have it now
	testbed_free(tb);
}

// More than there is room for, between two ticks.
static void macs_never_fill_the_table(void **state)
{
	struct testbed *tb = bridges();

	(void)state;
	speak(tb, "u", 0, 3 * MACS_PER_PORT);
	assert_int_equal(stats(tb).macs, MACS_PER_PORT + MACS_ROOM);
	speaks(tb, "v", "inner");
	assert_true(leads_to(tb, "inner", "v"));
	testbed_free(tb);
}

static void only_port_that_may_have_a_mac_gets_it_and_may_answer(void **state)
{
	struct testbed *tb = bridges();
	struct frame back = testbed_frame("inner", "plain", "10.0.0.99", "10.0.0.1", UDP(6, 5));

	(void)state;
	testbed_port(tb, "v", "n1", "10.0.0.6", "out");
	testbed_commit(tb);
	assert_true(leads_to(tb, "inner", "u"));
	assert_true(testbed_passes(tb, "u", "plain", &back)); // without a rule: it is an answer
	testbed_free(tb);
}

static void mac_of_a_port_that_gets_port_security_is_forgotten(void **state)
{
	struct testbed *tb = bridges();

	(void)state;
	speaks(tb, "u", "inner");
	assert_true(leads_to(tb, "inner", "u"));
	testbed_port(tb, "u", "n1", "10.0.0.5", "out");
	testbed_commit(tb);
	assert_true(leads_to(tb, "inner", "v"));
	testbed_pass_time(tb, 200);
	assert_int_equal(stats(tb).macs, 0);
	testbed_free(tb);
}

static void macs_outside_are_told_from_those_behind_a_port(void **state)
{
	struct testbed *tb = testbed_new(1024);
	struct frame out = testbed_frame("plain", "outside", "10.0.0.1", "10.0.0.99", UDP(5, 6));
	struct frame in = testbed_frame("outside", "plain", "10.0.0.99", "10.0.0.1", UDP(1, 2));
	struct frame to_inner =
		testbed_frame("outside", "inner", "10.0.0.99", "10.0.0.7", UDP(1, 2));
	struct frame got;

	(void)state;
	testbed_provider(tb, "n1", 1500, 0);
	testbed_rule_set(tb, "out", true, "egress 4 any\n");
	testbed_port(tb, "plain", "n1", "10.0.0.1", "out");
	testbed_commit(tb);
	testbed_send(tb, "n1", &in);
	assert_int_equal(stats(tb).macs, 0); // nowhere else to look
	assert_true(testbed_passes(tb, "plain", "n1", &out));
	testbed_port(tb, "u", "n1", "10.0.0.5", NULL);
	testbed_commit(tb);
	testbed_send(tb, "n1", &in);
	assert_int_equal(stats(tb).macs, 1);
	out.b[35] = 7; // another flow
	assert_true(testbed_passes(tb, "plain", "n1", &out));
	// From outside, what nobody is known to have may be behind the port; what is outside is
	// not sent there.
	testbed_send(tb, "n1", &to_inner);
	assert_true(testbed_receive(tb, "u", &got));
	memcpy(to_inner.b, to_inner.b + 6, 6);
	to_inner.b[11] ^= 1;
	testbed_send(tb, "n1", &to_inner);
	assert_false(testbed_receive(tb, "u", &got));
	// It moves to the port here, and its flows follow.
	testbed_pass_time(tb, 1100);
	speaks(tb, "u", "outside");
	assert_true(testbed_passes(tb, "plain", "u", &out));
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			mac_that_moves_to_another_port_is_followed_but_not_with_each_packet),
		cmocka_unit_test(port_that_takes_over_many_macs_gets_so_many_a_second),
		cmocka_unit_test(thousands_of_macs_are_known_and_of_more_the_least_used_go),
		cmocka_unit_test(macs_never_fill_the_table),
		cmocka_unit_test(only_port_that_may_have_a_mac_gets_it_and_may_answer),
		cmocka_unit_test(mac_of_a_port_that_gets_port_security_is_forgotten),
		cmocka_unit_test(macs_outside_are_told_from_those_behind_a_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
