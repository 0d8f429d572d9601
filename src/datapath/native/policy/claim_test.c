// SPDX-License-Identifier: Apache-2.0
// What only the wire knows, on this node's own networks: through a router "r" from "far" on n2 to
// n1, where a port may have other addresses and MACs than the plan says.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "datapath/frames/neighbour_frame.h"
#include "datapath/native/outside/resolver.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/testing/testbed.h"

#define UDP(from_port, to_port) \
	((struct l4) {.proto = 17, .sport = (from_port), .dport = (to_port), .payload = 8})

static void router(struct testbed *tb, const char *routes)
{
	testbed_router(tb, "r", true,
		       "n1|r1|10.0.0.254/24,fd01::fe/64 n2|r2|10.0.9.254/24,fd09::fe/64", routes);
}

// What routers announce inside is over before others listen.
static void commit(struct testbed *tb)
{
	testbed_commit(tb);
	testbed_settle(tb);
}

static struct testbed *two_networks(void)
{
	struct testbed *tb = testbed_new(1024);

	testbed_network(tb, "n1", 1500);
	testbed_network(tb, "n2", 1500);
	testbed_rule_set(tb, "all", true,
			 "egress 4 any\negress 6 any\ningress 4 any\ningress 6 any\n");
	testbed_port(tb, "far", "n2", "10.0.9.1 fd09::1", "all");
	testbed_port(tb, "plain", "n1", "10.0.0.1 fd01::1", "all");
	router(tb, "");
	return tb;
}

static struct ip_addr ip_of(const char *text)
{
	struct ip_addr ip;

	assert_int_equal(weft_ip_parse(text, &ip), 0);
	return ip;
}

// Does the port hear a question about the address, and nothing else? Its MAC as destination: by
// unicast.
static bool is_asked(struct testbed *tb, const char *port, const char *ip)
{
	struct ip_addr target = ip_of(ip);
	struct frame got;

	if (!testbed_receive(tb, port, &got))
		return false;
	if (target.family == 4)
		return got.b[13] == 0x06 && got.b[21] == 1 && memcmp(got.b + 38, target.b, 4) == 0;
	return got.b[54] == 135 && memcmp(got.b + 62, target.b, 16) == 0;
}

// "I have ip", from a port, as a host with that name's MAC.
static void says(struct testbed *tb, const char *port, const char *host, const char *ip)
{
	struct ip_addr own = ip_of(ip);
	struct mac_addr mac = testbed_mac(host);
	struct frame f;

	f.len = weft_neighbour_announcement(f.b, ANNOUNCE_REQUEST, &own, &mac);
	testbed_send(tb, port, &f);
}

static void quiet(struct testbed *tb)
{
	static const char *const ports[] = {"far", "plain", "u", "v", "m1", "m2"};
	struct frame got;

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		while (weft_tables_port(tb->dp.tables, ports[i]) != NULL &&
		       testbed_receive(tb, ports[i], &got))
			;
}

static void send_far(struct testbed *tb, const char *ip, uint16_t sport)
{
	const char *src = strchr(ip, ':') == NULL ? "10.0.9.1" : "fd09::1";
	struct frame f = testbed_frame("far", "r2", src, ip, UDP(sport, 53));

	testbed_send(tb, "far", &f);
}

// The next that the port gets is a routed packet, for that host's MAC.
static bool gets(struct testbed *tb, const char *port, const char *host)
{
	struct mac_addr mac = testbed_mac(host), r1 = testbed_mac("r1");
	struct frame got;

	return testbed_receive(tb, port, &got) && memcmp(got.b, mac.b, 6) == 0 &&
	       memcmp(got.b + 6, r1.b, 6) == 0 && !(got.b[12] == 0x08 && got.b[13] == 0x06);
}

// ---- A port without port security ----------------------------------------------------------

static void vm_without_port_security_is_reached_at_the_mac_that_it_takes(void **state)
{
	struct testbed *tb = two_networks();
	struct frame got, back;

	(void)state;
	testbed_port(tb, "u", "n1", "10.0.0.5 fd01::5", NULL);
	commit(tb);
	for (int i = 0; i < 2; i++) {
		const char *ip = i == 0 ? "10.0.0.5" : "fd01::5";

		send_far(tb, ip, 1);
		assert_true(is_asked(tb, "u", ip));
		says(tb, "u", "other", ip);
		assert_true(gets(tb, "u", "other")); // it has waited
		assert_false(testbed_receive(tb, "u", &got));
	}
	// Its answers are of the same flow.
	back = testbed_frame("other", "r1", "10.0.0.5", "10.0.9.1", UDP(53, 1));
	quiet(tb);
	testbed_send(tb, "u", &back);
	assert_true(testbed_receive(tb, "far", &got));
	// It takes another one: flows that are there follow.
	testbed_pass_time(tb, 1100);
	says(tb, "u", "third", "10.0.0.5");
	quiet(tb);
	send_far(tb, "10.0.0.5", 1);
	assert_true(gets(tb, "u", "third"));
	back = testbed_frame("third", "r1", "10.0.0.5", "10.0.9.1", UDP(53, 1));
	testbed_send(tb, "u", &back);
	assert_true(testbed_receive(tb, "far", &got));
	// With port security it has only its own.
	testbed_port(tb, "u", "n1", "10.0.0.5 fd01::5", "all");
	commit(tb);
	quiet(tb);
	send_far(tb, "10.0.0.5", 1);
	assert_true(gets(tb, "u", "u"));
	testbed_free(tb);
}

static void vm_that_answers_nothing_is_reached_as_the_plan_says(void **state)
{
	struct testbed *tb = two_networks();
	struct resolver_stats s;
	struct frame got;

	(void)state;
	testbed_port(tb, "u", "n1", "10.0.0.5", NULL);
	commit(tb);
	send_far(tb, "10.0.0.5", 1);
	quiet(tb);
	testbed_pass_time(tb, 4000);
	while (testbed_receive(tb, "u", &got) && got.b[13] == 0x06)
		;
	assert_int_equal(got.b[23], 17); // what has waited
	// From then on nothing waits, nor is it asked for with each packet.
	for (uint16_t i = 0; i < 20; i++) {
		testbed_pass_time(tb, 1000);
		send_far(tb, "10.0.0.5", (uint16_t)(i + 2));
		assert_true(gets(tb, "u", "u"));
	}
	weft_resolver_stats(tb->dp.node.resolver, &s);
	assert_in_range(s.questions, 3, 4);
	// It speaks after all.
	says(tb, "u", "other", "10.0.0.5");
	quiet(tb);
	send_far(tb, "10.0.0.5", 2);
	assert_true(gets(tb, "u", "other"));
	testbed_free(tb);
}

static void unknown_address_behind_an_unfiltered_port_is_reached_through_a_router(void **state)
{
	struct testbed *tb = two_networks();
	struct frame got;

	(void)state;
	commit(tb);
	send_far(tb, "10.0.0.77", 1); // nobody may have it: nobody is asked
	assert_int_equal(testbed_drop(tb), DROP_NO_NEIGHBOUR);
	assert_false(testbed_receive(tb, "plain", &got));
	testbed_port(tb, "u", "n1", "10.0.0.5", NULL);
	commit(tb);
	quiet(tb);
	send_far(tb, "10.0.0.77", 1);
	assert_true(is_asked(tb, "u", "10.0.0.77"));
	assert_false(testbed_receive(tb, "plain", &got));
	// One with port security cannot say that it has it.
	says(tb, "plain", "plain", "10.0.0.77");
	assert_true(!gets(tb, "plain", "plain"));
	says(tb, "u", "inner", "10.0.0.77");
	assert_true(gets(tb, "u", "inner"));
	// Nor can anybody have what is another's: neither address nor MAC.
	says(tb, "u", "inner", "10.0.0.1");
	quiet(tb);
	send_far(tb, "10.0.0.1", 1);
	assert_true(gets(tb, "plain", "plain"));
	testbed_free(tb);
}

// ---- Pairs ---------------------------------------------------------------------------------

static void address_of_a_pair_for_a_prefix_is_reached_through_a_router(void **state)
{
	struct testbed *tb = two_networks();
	struct frame got;

	(void)state;
	testbed_port_with(tb, "v", "n1", "10.0.0.6 fd01::6", "all",
			  "-|10.0.0.192/28 -|fd01::1:0/112", true);
	commit(tb);
	for (int i = 0; i < 2; i++) {
		const char *ip = i == 0 ? "10.0.0.199" : "fd01::1:7";

		send_far(tb, ip, 1);
		assert_true(is_asked(tb, "v", ip));
		assert_false(testbed_receive(tb, "plain", &got));
		says(tb, "v", "v", ip);
		assert_true(gets(tb, "v", "v"));
		quiet(tb);
	}
	send_far(tb, "10.0.0.208", 1); // not in it
	assert_int_equal(testbed_drop(tb), DROP_NO_NEIGHBOUR);
	// The pair goes, and with it what was learned by it.
	testbed_port(tb, "v", "n1", "10.0.0.6 fd01::6", "all");
	commit(tb);
	quiet(tb);
	send_far(tb, "10.0.0.199", 1);
	assert_false(testbed_receive(tb, "v", &got));
	testbed_free(tb);
}

static void such_an_address_may_be_the_next_hop_of_a_route(void **state)
{
	struct testbed *tb = two_networks();

	(void)state;
	testbed_port_with(tb, "v", "n1", "10.0.0.6", "all", "-|10.0.0.192/28 -|172.16.0.0/16",
			  true);
	testbed_port(tb, "u", "n1", "10.0.0.5", NULL);
	router(tb, "172.16.0.0/16|10.0.0.199 172.17.0.0/16|10.0.0.5 172.18.0.0/16|10.0.0.77");
	commit(tb);
	send_far(tb, "172.16.1.1", 1);
	assert_true(is_asked(tb, "v", "10.0.0.199"));
	says(tb, "v", "v", "10.0.0.199");
	assert_true(gets(tb, "v", "v"));
	quiet(tb);
	send_far(tb, "172.17.1.1", 1);
	assert_true(is_asked(tb, "u", "10.0.0.5"));
	says(tb, "u", "other", "10.0.0.5");
	assert_true(gets(tb, "u", "other"));
	send_far(tb, "172.18.1.1", 1);
	assert_true(is_asked(tb, "u", "10.0.0.77"));
	says(tb, "u", "inner", "10.0.0.77");
	assert_true(gets(tb, "u", "inner"));
	testbed_free(tb);
}

static void standby_that_takes_over_a_fixed_address_is_followed_by_routers(void **state)
{
	struct testbed *tb = two_networks();
	static const char *const order[] = {"m2", "m1", "m2"};

	(void)state;
	testbed_port(tb, "m1", "n1", "10.0.0.11", "all");
	testbed_port_with(tb, "m2", "n1", "10.0.0.12", "all", "-|10.0.0.11", true);
	commit(tb);
	send_far(tb, "10.0.0.11", 1);
	assert_true(is_asked(tb, "m1", "10.0.0.11") && is_asked(tb, "m2", "10.0.0.11"));
	says(tb, "m1", "m1", "10.0.0.11");
	assert_true(gets(tb, "m1", "m1"));
	for (size_t i = 0; i < 3; i++) {
		testbed_pass_time(tb, 1100);
		says(tb, order[i], order[i], "10.0.0.11");
		quiet(tb);
		send_far(tb, "10.0.0.11", 1); // the flow that is there, and a new one
		assert_true(gets(tb, order[i], order[i]));
		send_far(tb, "10.0.0.11", (uint16_t)(i + 2));
		assert_true(gets(tb, order[i], order[i]));
	}
	// Somebody who may not.
	testbed_pass_time(tb, 1100);
	says(tb, "plain", "plain", "10.0.0.11");
	quiet(tb);
	send_far(tb, "10.0.0.11", 9);
	assert_true(gets(tb, "m2", "m2"));
	testbed_free(tb);
}

// ---- Questions for one host ----------------------------------------------------------------

static struct frame solicit(const char *from, const char *src, const char *target)
{
	struct ip_addr own = ip_of(src), ip = ip_of(target);
	struct mac_addr mac = testbed_mac(from);
	struct frame f = {.len = weft_neighbour_question(f.b, &own, &mac, &ip, NULL)};

	return f;
}

static struct frame to_one(struct frame f, const char *host)
{
	struct mac_addr mac = testbed_mac(host);

	memcpy(f.b, mac.b, 6);
	return f;
}

// Whether it is a router, and still there, only it knows.
static void question_to_a_hosts_mac_is_for_that_host(void **state)
{
	struct testbed *tb = two_networks();
	struct frame arp = testbed_arp("m1", "10.0.0.11", "10.0.0.1"), f, got;

	(void)state;
	testbed_port(tb, "m1", "n1", "10.0.0.11 fd01::11", "all");
	commit(tb);
	f = to_one(arp, "plain");
	assert_true(testbed_passes(tb, "m1", "plain", &f));
	f = to_one(solicit("m1", "fd01::11", "fd01::1"), "plain");
	assert_true(testbed_passes(tb, "m1", "plain", &f));
	// To everybody it is answered here, and so is what a router is asked.
	testbed_send(tb, "m1", &arp);
	assert_true(testbed_receive(tb, "m1", &got) && !testbed_receive(tb, "plain", &got));
	f = solicit("m1", "fd01::11", "fd01::1");
	testbed_send(tb, "m1", &f);
	assert_true(testbed_receive(tb, "m1", &got) && !testbed_receive(tb, "plain", &got));
	f = to_one(testbed_arp("m1", "10.0.0.11", "10.0.0.254"), "r1");
	testbed_send(tb, "m1", &f);
	assert_true(testbed_receive(tb, "m1", &got));
	f = to_one(solicit("m1", "fd01::11", "fd01::fe"), "r1");
	testbed_send(tb, "m1", &f);
	assert_true(testbed_receive(tb, "m1", &got));
	assert_int_equal(got.b[58] & 0x80, 0x80); // a router
	testbed_free(tb);
}

// Its VM may be a router, or at another MAC: what the plan would say of it may be wrong.
static void question_about_a_port_without_port_security_is_for_its_vm(void **state)
{
	struct testbed *tb = two_networks();
	struct frame f, got;

	(void)state;
	testbed_port(tb, "u", "n1", "10.0.0.5 fd01::5", NULL);
	commit(tb);
	f = testbed_arp("plain", "10.0.0.1", "10.0.0.5");
	assert_true(testbed_passes(tb, "plain", "u", &f));
	f = solicit("plain", "fd01::1", "fd01::5");
	assert_true(testbed_passes(tb, "plain", "u", &f));
	// Its own probe is no question to anybody.
	f = testbed_arp("u", "0.0.0.0", "10.0.0.5");
	testbed_send(tb, "u", &f);
	assert_false(testbed_receive(tb, "u", &got) || testbed_receive(tb, "plain", &got));
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vm_without_port_security_is_reached_at_the_mac_that_it_takes),
		cmocka_unit_test(vm_that_answers_nothing_is_reached_as_the_plan_says),
		cmocka_unit_test(
			unknown_address_behind_an_unfiltered_port_is_reached_through_a_router),
		cmocka_unit_test(address_of_a_pair_for_a_prefix_is_reached_through_a_router),
		cmocka_unit_test(such_an_address_may_be_the_next_hop_of_a_route),
		cmocka_unit_test(standby_that_takes_over_a_fixed_address_is_followed_by_routers),
		cmocka_unit_test(question_to_a_hosts_mac_is_for_that_host),
		cmocka_unit_test(question_about_a_port_without_port_security_is_for_its_vm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
