// SPDX-License-Identifier: Apache-2.0
// What a translating router has inside is not to be seen from outside, its own addresses there
// included.
#include "datapath/native/testing/nat_fixture.h"

#define INSIDE	  "10.0.1.254"
#define INSIDE_6  "fd01::fe"
#define LINK	  "fe80::1" // the router's, on n1
#define OUTSIDE_6 "2001:db8::2"

#define ECHO_6(id) ((struct l4) {.proto = 58, .sport = (id), .dport = 0x8000, .payload = 16})

static bool is_answered(struct testbed *tb, const char *who, struct frame f)
{
	struct frame got;
	bool any = false;

	while (testbed_receive(tb, who, &got)) // what routers say by themselves
		;
	testbed_send(tb, who, &f);
	while (testbed_receive(tb, who, &got))
		any = true;
	return any;
}

// Echo, UDP (port unreachable) and a packet whose TTL ends: all that a router says about IPv4.
static int answers_of(struct testbed *tb, const char *who, const char *router, const char *src,
		      const char *dst)
{
	struct frame last = summed(who, router, src, dst, UDP(1, 2, 3));

	last.b[22] = 1;
	testbed_pass_time(tb, 10000); // what may be told is limited
	return is_answered(tb, who, summed(who, router, src, dst, ECHO(1))) +
	       is_answered(tb, who, summed(who, router, src, dst, UDP(1, 2, 3))) +
	       is_answered(tb, who, last);
}

static void router_is_reached_from_outside_at_its_outside_address_only(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	assert_int_equal(answers_of(tb, "x", "rx", WEB, GATEWAY), 3);
	assert_int_equal(answers_of(tb, "x", "rx", WEB, INSIDE), 0);
	assert_int_equal(dropped(tb, "x", summed("x", "rx", WEB, INSIDE, ECHO(1))),
			 DROP_NAT_NO_STATE);
	assert_int_equal(dropped(tb, "x", summed("x", "rx", WEB, INSIDE, TCP(1, 80, SYN))),
			 DROP_NAT_NO_STATE);
	// By the MAC of a floating IP, too.
	floating_a(tb);
	assert_int_equal(answers_of(tb, "x", "f", WEB, INSIDE), 0);
	// From inside it has both.
	assert_int_equal(answers_of(tb, "a", "r1", "10.0.1.1", INSIDE), 3);
	assert_int_equal(answers_of(tb, "a", "r1", "10.0.1.1", GATEWAY), 3);
	testbed_free(tb);
}

static void router_that_does_not_translate_is_reached_at_all_its_addresses(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	router_r(tb, NULL);
	testbed_commit(tb);
	assert_int_equal(answers_of(tb, "x", "rx", WEB, GATEWAY), 3);
	assert_int_equal(answers_of(tb, "x", "rx", WEB, INSIDE), 3);
	testbed_free(tb);
}

static void ipv6_is_routed_but_a_links_address_ends_there(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	testbed_router_snat(tb, "r",
			    "n1|r1|10.0.1.254/24," INSIDE_6 "/64," LINK "/128 !ext|rx|" GATEWAY
			    "/24," OUTSIDE_6 "/64,fe80::2/128",
			    "0.0.0.0/0|203.0.113.9 ::/0|2001:db8::9", GATEWAY);
	testbed_commit(tb);
	assert_true(is_answered(tb, "x", summed("x", "rx", "2001:db8::9", OUTSIDE_6, ECHO_6(1))));
	assert_true(is_answered(tb, "x", summed("x", "rx", "2001:db8::9", INSIDE_6, ECHO_6(1))));
	assert_true(is_answered(tb, "x", summed("x", "rx", "fe80::9", "fe80::2", ECHO_6(1))));
	assert_false(is_answered(tb, "x", summed("x", "rx", "fe80::9", LINK, ECHO_6(1))));
	assert_int_equal(dropped(tb, "x", summed("x", "rx", "fe80::9", LINK, ECHO_6(1))),
			 DROP_NOT_ROUTABLE);
	testbed_free(tb);
}

static void who_is_nobody_is_not_answered(void **state)
{
	static const char *const nobody[] = {"0.0.0.0", "127.0.0.1", "224.0.0.1",
					     "255.255.255.255"};
	static const char *const nobody_6[] = {"::", "::1", "ff02::1"};
	struct testbed *tb = one_router();

	(void)state;
	testbed_port(tb, "x", "ext", "203.0.113.9 2001:db8::9", NULL); // it may send as anybody
	testbed_commit(tb);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(answers_of(tb, "x", "rx", nobody[i], GATEWAY), 0);
		assert_int_equal(dropped(tb, "x", summed("x", "rx", nobody[i], GATEWAY, ECHO(1))),
				 DROP_NOT_ROUTABLE);
	}
	for (size_t i = 0; i < 3; i++)
		assert_false(
			is_answered(tb, "x", summed("x", "rx", nobody_6[i], OUTSIDE_6, ECHO_6(1))));
	testbed_free(tb);
}

// Two routers behind the floating IP: the second one's complaint comes from the floating IP.
static void second_router_behind_a_floating_ip_is_not_seen(void **state)
{
	struct testbed *tb = one_router();
	struct frame f, got;

	(void)state;
	testbed_network(tb, "deep", 1500);
	testbed_port(tb, "d", "deep", "10.0.9.1", "web");
	testbed_router_snat(tb, "r", "n1|r1|10.0.1.254/24 !ext|rx|" GATEWAY "/24",
			    "0.0.0.0/0|203.0.113.9 10.0.9.0/24|10.0.1.253", GATEWAY);
	testbed_router(tb, "deeper", true, "n1|q1|10.0.1.253/24 deep|q2|10.0.9.254/24",
		       "0.0.0.0/0|10.0.1.254");
	testbed_floating(tb, "fd", "r", "ext", FLOATING_B, "10.0.9.1", "d");
	testbed_commit(tb);
	for (uint8_t ttl = 1; ttl <= 2; ttl++) {
		f = testbed_frame("x", "fd", WEB, FLOATING_B, TCP(1, 80, SYN));
		f.b[22] = ttl;
		testbed_checksum(&f);
		testbed_send(tb, "x", &f);
		assert_true(testbed_receive(tb, "x", &got));
		assert_int_equal(got.b[34], 11);
		// The first router is on x's own network; nobody behind it is known there.
		assert_memory_equal(got.b + 26, ttl == 1 ? "\xcb\x00\x71\x02" : "\xcb\x00\x71\x33",
				    4);
		assert_memory_equal(got.b + 42 + 16, "\xcb\x00\x71\x33", 4);
	}
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(router_is_reached_from_outside_at_its_outside_address_only),
		cmocka_unit_test(router_that_does_not_translate_is_reached_at_all_its_addresses),
		cmocka_unit_test(ipv6_is_routed_but_a_links_address_ends_there),
		cmocka_unit_test(who_is_nobody_is_not_answered),
		cmocka_unit_test(second_router_behind_a_floating_ip_is_not_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
