// SPDX-License-Identifier: Apache-2.0
// Advertisements through the whole datapath: from plan to what a port is sent, asked for or not.
#include "datapath/native/outside/advertise.h"

#include <stdlib.h>

#include "datapath/native/testing/native_fixture.h"
#include "datapath/native/policy/tables.h"

#define GUEST "fe80::1:1" // of port "a", by an allowed pair

static const struct l4 solicitation = {.proto = 58, .dport = 133 << 8};

static void set_text(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text);
}

static void subnet6(struct testbed *tb, const char *id, const char *network, const char *cidr,
		    const char *gateway, enum plan_v6_mode ra, enum plan_v6_mode address)
{
	struct plan_subnet *s = calloc(1, sizeof(*s));

	set_text(s->id, sizeof(s->id), id);
	set_text(s->network_id, sizeof(s->network_id), network);
	assert_int_equal(weft_prefix_parse(cidr, &s->cidr), 0);
	assert_int_equal(weft_ip_parse(gateway, &s->gateway), 0);
	s->ra = ra;
	s->address = address;
	s->dhcp = true;
	s->lease_s = 86400;
	set_text(s->dns_domain, sizeof(s->dns_domain), "example.test");
	s->n_dns = 1;
	s->dns = calloc(1, sizeof(s->dns[0]));
	assert_int_equal(weft_ip_parse("2001:db8::53", &s->dns[0]), 0);
	weft_plan_batch_add(&tb->batch, PLAN_PUT, PLAN_SUBNET, s);
}

static void router(struct testbed *tb, const char *id, bool admin_up, const char *interfaces)
{
	testbed_router(tb, id, admin_up, interfaces, "");
	testbed_commit(tb);
}

// Network n1 (MTU 1400) with SLAAC and ports "a" and "b"; router r1 if `interfaces` says so.
static struct testbed *lab(const char *interfaces)
{
	struct testbed *tb = testbed_new(1024);

	testbed_network(tb, "n1", 1400);
	subnet6(tb, "n1-6", "n1", "fd00:1::/64", "fd00:1::1", PLAN_V6_SLAAC, PLAN_V6_SLAAC);
	testbed_rule_set(tb, "none", true, "");
	testbed_port_with(tb, "a", "n1", "fd00:1::a", "none", "-|" GUEST "/128", true);
	testbed_port_with(tb, "b", "n1", "fd00:1::b", "none", "", true);
	testbed_commit(tb);
	if (interfaces != NULL)
		router(tb, "r1", true, interfaces);
	return tb;
}

static struct advertiser *advertiser(struct testbed *tb)
{
	return tb->dp.advertiser;
}

// So much later.
static void later(struct testbed *tb, uint32_t ms)
{
	weft_advertiser_tick(advertiser(tb), native_now_ms(&tb->dp.node) + ms);
}

static size_t frames(struct testbed *tb, const char *port)
{
	struct frame f;
	size_t n = 0;

	while (testbed_receive(tb, port, &f))
		n++;
	return n;
}

static uint16_t read16(const struct frame *f, size_t at)
{
	return (uint16_t)(f->b[at] << 8 | f->b[at + 1]);
}

// The next frame that the port got is an advertisement: its router lifetime.
static uint16_t advert(struct testbed *tb, const char *port, struct frame *f)
{
	assert_true(testbed_receive(tb, port, f));
	assert_int_equal(f->b[54], 134);
	return read16(f, 60);
}

// An option of an advertisement, n-th of its type; NULL = not there.
static const uint8_t *option(const struct frame *f, uint8_t type, size_t n)
{
	for (size_t at = 70; at < f->len; at += f->b[at + 1] * 8u)
		if (f->b[at] == type && n-- == 0)
			return f->b + at;
	return NULL;
}

static struct frame ask(const char *from, const char *src)
{
	struct frame f = testbed_frame(from, "all", src, "ff02::2", solicitation);

	memcpy(f.b, "\x33\x33\0\0\0\2", 6);
	return f;
}

static void send_ask(struct testbed *tb, const char *from, const char *src)
{
	struct frame f = ask(from, src);

	testbed_send(tb, from, &f);
}

// ---- Solicited -----------------------------------------------------------------------------

static void solicitation_is_answered_to_the_asker(void **state)
{
	struct testbed *tb = lab("n1|r1-a|fd00:1::1/64");
	struct mac_addr gateway = testbed_mac("r1-a"), guest = testbed_mac("a");
	struct ip_addr source = weft_ip_link_local_of(&gateway), to;
	struct frame f;

	(void)state;
	send_ask(tb, "a", GUEST);
	assert_int_equal(advert(tb, "a", &f), 1800);
	assert_memory_equal(f.b, guest.b, 6);
	assert_memory_equal(f.b + 6, gateway.b, 6);
	assert_memory_equal(f.b + 22, source.b, 16);
	assert_int_equal(weft_ip_parse(GUEST, &to), 0);
	assert_memory_equal(f.b + 38, to.b, 16);
	assert_int_equal(f.b[59], 0); // neither managed nor other
	assert_memory_equal(option(&f, 5, 0) + 4, "\0\0\x05\x78", 4);
	assert_memory_equal(option(&f, 3, 0), "\x03\x04\x40\xc0", 4);
	assert_memory_equal(option(&f, 3, 0) + 16, "\xfd\0\0\1\0\0\0\0", 8);
	assert_null(option(&f, 3, 1));
	assert_non_null(option(&f, 25, 0));
	assert_non_null(option(&f, 31, 0));
	assert_int_equal(frames(tb, "a"), 0);
	assert_int_equal(frames(tb, "b"), 0);
	assert_int_equal(testbed_drop(tb), DROP_NONE);
	testbed_free(tb);
}

static void who_has_no_address_is_answered_by_multicast_and_not_too_often(void **state)
{
	struct testbed *tb = lab("n1|r1-a|fd00:1::1/64");
	struct frame f;

	(void)state;
	tb->w->now_ms = 5000;
	send_ask(tb, "a", "::");
	advert(tb, "a", &f);
	assert_memory_equal(f.b, weft_all_nodes_mac.b, 6);
	assert_memory_equal(f.b + 38, weft_all_nodes.b, 16);
	tb->w->now_ms += 2999;
	send_ask(tb, "a", "::");
	assert_int_equal(frames(tb, "a"), 0);
	send_ask(tb, "a", GUEST);
	assert_int_equal(frames(tb, "a"), 1);
	tb->w->now_ms += 1;
	send_ask(tb, "a", "::");
	assert_int_equal(frames(tb, "a"), 1);
	testbed_free(tb);
}

static void every_router_of_the_network_answers(void **state)
{
	struct testbed *tb = lab("n1|r1-a|fd00:1::1/64");

	(void)state;
	router(tb, "r2", true, "n1|r2-a|fd00:1::2/64");
	send_ask(tb, "a", GUEST);
	assert_int_equal(frames(tb, "a"), 2);
	router(tb, "r2", false, "n1|r2-a|fd00:1::2/64"); // down
	send_ask(tb, "a", GUEST);
	assert_int_equal(frames(tb, "a"), 1);
	testbed_free(tb);
}

static void routers_of_other_networks_and_families_do_not_answer(void **state)
{
	struct testbed *tb = lab(NULL);

	(void)state;
	testbed_network(tb, "n2", 1400);
	subnet6(tb, "n2-6", "n2", "fd00:2::/64", "fd00:2::1", PLAN_V6_SLAAC, PLAN_V6_SLAAC);
	router(tb, "r2", true, "n2|r2-a|fd00:2::1/64");
	router(tb, "r4", true, "n1|r4-a|10.0.0.1/24");
	router(tb, "r6", true, "n1|r6-a|fd00:9::1/64"); // in no advertised subnet
	send_ask(tb, "a", GUEST);
	assert_int_equal(frames(tb, "a"), 0);
	assert_int_equal(testbed_drop(tb), DROP_NONE);
	testbed_free(tb);
}

static void ports_that_may_be_routers_hear_the_question_as_well(void **state)
{
	struct testbed *tb = lab("n1|r1-a|fd00:1::1/64");
	struct frame f;

	(void)state;
	testbed_port(tb, "loose", "n1", "fd00:1::99", NULL);
	testbed_commit(tb);
	send_ask(tb, "a", GUEST);
	assert_int_equal(frames(tb, "a"), 1);
	assert_int_equal(frames(tb, "b"), 0);
	assert_true(testbed_receive(tb, "loose", &f));
	assert_int_equal(f.b[54], 133);
	testbed_free(tb);
}

static void bad_solicitation_is_dropped(void **state)
{
	struct testbed *tb = lab("n1|r1-a|fd00:1::1/64");
	struct frame f = ask("a", GUEST);

	(void)state;
	f.b[21] = 64; // hop limit
	testbed_send(tb, "a", &f);
	assert_int_equal(testbed_drop(tb), DROP_BAD_HEADER);
	assert_int_equal(frames(tb, "a"), 0);
	testbed_free(tb);
}

static void modes_decide_flags_and_prefixes(void **state)
{
	struct testbed *tb = lab(NULL);
	struct frame f;

	(void)state;
	subnet6(tb, "n1-6", "n1", "fd00:1::/64", "fd00:1::1", PLAN_V6_STATELESS, PLAN_V6_STATELESS);
	subnet6(tb, "n1-7", "n1", "fd00:7::/64", "fd00:7::1", PLAN_V6_STATEFUL, PLAN_V6_STATEFUL);
	subnet6(tb, "n1-8", "n1", "fd00:8::/64", "fd00:8::1", PLAN_V6_NONE, PLAN_V6_SLAAC);
	router(tb, "r1", true, "n1|r1-a|fd00:1::1/64,fd00:7::1/64,fd00:8::1/64");
	send_ask(tb, "a", GUEST);
	advert(tb, "a", &f);
	assert_int_equal(f.b[59], 0xc0);
	assert_memory_equal(option(&f, 3, 0), "\x03\x04\x40\xc0", 4);
	assert_memory_equal(option(&f, 3, 1), "\x03\x04\x40\x80", 4);
	assert_memory_equal(option(&f, 3, 1) + 16, "\xfd\0\0\7", 4);
	assert_null(option(&f, 3, 2));
	assert_int_equal(option(&f, 25, 0)[1], 3); // the same resolver of both, once
	testbed_free(tb);
}

// ---- Unasked -------------------------------------------------------------------------------

static void new_router_is_told_three_times_and_then_now_and_then(void **state)
{
	struct testbed *tb = lab("n1|r1-a|fd00:1::1/64");
	struct frame f;

	(void)state;
	later(tb, 0);
	assert_int_equal(advert(tb, "a", &f), 1800);
	assert_memory_equal(f.b, weft_all_nodes_mac.b, 6);
	assert_int_equal(frames(tb, "a"), 0);
	assert_int_equal(frames(tb, "b"), 1);
	later(tb, 7000);
	assert_int_equal(frames(tb, "a"), 0);
	for (uint32_t n = 1; n <= 2; n++) {
		later(tb, n * 17000);
		assert_int_equal(frames(tb, "a"), 1);
	}
	later(tb, 34000 + 199000);
	assert_int_equal(frames(tb, "a"), 0);
	later(tb, 34000 + 601000);
	assert_int_equal(frames(tb, "a"), 1);
	assert_int_equal(weft_advertiser_sent(advertiser(tb)), 4 + 4);
	testbed_free(tb);
}

static void change_is_told_soon_but_not_sooner_than_3_seconds(void **state)
{
	struct testbed *tb = lab("n1|r1-a|fd00:1::1/64");
	struct frame f;

	(void)state;
	later(tb, 0);
	frames(tb, "a");
	testbed_network(tb, "n1", 1300);
	testbed_commit(tb);
	later(tb, 2000);
	while (testbed_receive(tb, "a", &f)) // the old MTU is not withdrawn: it has no lifetime
		fail();
	later(tb, 3100);
	advert(tb, "a", &f);
	assert_memory_equal(option(&f, 5, 0) + 4, "\0\0\x05\x14", 4);
	testbed_free(tb);
}

static void what_does_not_concern_hosts_is_not_told(void **state)
{
	struct testbed *tb = lab("n1|r1-a|fd00:1::1/64");

	(void)state;
	later(tb, 0);
	frames(tb, "a");
	testbed_router(tb, "r1", true, "n1|r1-a|fd00:1::1/64", "fd99::/64|fd00:1::9");
	subnet6(tb, "n1-9", "n1", "fd00:9::/64", "fd00:9::1", PLAN_V6_NONE, PLAN_V6_STATEFUL);
	testbed_commit(tb);
	later(tb, 7000);
	assert_int_equal(frames(tb, "a"), 0);
	testbed_free(tb);
}

static void router_that_goes_says_so_three_times(void **state)
{
	struct testbed *tb = lab("n1|r1-a|fd00:1::1/64");
	struct frame f;

	(void)state;
	later(tb, 0);
	frames(tb, "a");
	testbed_del(tb, PLAN_ROUTER, "r1", NULL);
	testbed_commit(tb);
	for (uint32_t n = 0; n < 3; n++) {
		later(tb, n * 3100);
		assert_int_equal(advert(tb, "a", &f), 0);
		assert_memory_equal(option(&f, 3, 0) + 4, "\0\0\0\0\0\0\0\0", 8);
		assert_memory_equal(option(&f, 25, 0) + 4, "\0\0\0\0", 4);
		assert_int_equal(frames(tb, "a"), 0);
	}
	later(tb, 700000);
	assert_int_equal(frames(tb, "a"), 0);
	testbed_free(tb);
}

static void router_that_is_set_down_says_so(void **state)
{
	struct testbed *tb = lab("n1|r1-a|fd00:1::1/64");
	struct frame f;

	(void)state;
	later(tb, 0);
	frames(tb, "a");
	router(tb, "r1", false, "n1|r1-a|fd00:1::1/64");
	later(tb, 0);
	assert_int_equal(advert(tb, "a", &f), 0);
	router(tb, "r1", true, "n1|r1-a|fd00:1::1/64");
	later(tb, 3100);
	assert_int_equal(advert(tb, "a", &f), 1800);
	later(tb, 7000); // and no more farewell
	assert_int_equal(frames(tb, "a"), 0);
	testbed_free(tb);
}

static void subnet_that_goes_is_withdrawn_while_the_router_stays(void **state)
{
	struct testbed *tb = lab(NULL);
	struct frame f;

	(void)state;
	subnet6(tb, "n1-7", "n1", "fd00:7::/64", "fd00:7::1", PLAN_V6_SLAAC, PLAN_V6_SLAAC);
	router(tb, "r1", true, "n1|r1-a|fd00:1::1/64,fd00:7::1/64");
	later(tb, 0);
	frames(tb, "a");
	testbed_router(tb, "r1", true, "n1|r1-a|fd00:1::1/64", "");
	testbed_del(tb, PLAN_SUBNET, "n1-7", "n1");
	testbed_commit(tb);
	later(tb, 0);
	assert_int_equal(advert(tb, "a", &f), 1800);
	assert_memory_equal(option(&f, 3, 0) + 4, "\0\0\0\0\0\0\0\0", 8);
	assert_memory_equal(option(&f, 3, 0) + 16, "\xfd\0\0\7", 4);
	assert_null(option(&f, 3, 1));
	assert_null(option(&f, 25, 0)); // the other subnet has the same resolver
	testbed_free(tb);
}

static void prefix_of_another_router_is_not_withdrawn(void **state)
{
	struct testbed *tb = lab("n1|r1-a|fd00:1::1/64");
	struct frame f;

	(void)state;
	router(tb, "r2", true, "n1|r2-a|fd00:1::2/64");
	later(tb, 0);
	frames(tb, "a");
	testbed_del(tb, PLAN_ROUTER, "r2", NULL);
	testbed_commit(tb);
	later(tb, 0);
	assert_int_equal(advert(tb, "a", &f), 0);
	assert_null(option(&f, 3, 0));
	assert_null(option(&f, 25, 0));
	testbed_free(tb);
}

static void port_that_is_attached_need_not_wait(void **state)
{
	struct testbed *tb = lab("n1|r1-a|fd00:1::1/64");

	(void)state;
	later(tb, 0);
	frames(tb, "a");
	frames(tb, "b");
	weft_advertise_port(advertiser(tb), weft_tables_port(tb->dp.tables, "b")->index);
	later(tb, 501);
	assert_int_equal(frames(tb, "b"), 1);
	assert_int_equal(frames(tb, "a"), 0);
	weft_advertise_port(advertiser(tb), 4711); // gone before its turn
	later(tb, 501);
	testbed_free(tb);
}

static void ports_that_are_down_are_told_nothing(void **state)
{
	struct testbed *tb = lab("n1|r1-a|fd00:1::1/64");

	(void)state;
	testbed_port_with(tb, "b", "n1", "fd00:1::b", "none", "", false);
	testbed_commit(tb);
	later(tb, 0);
	assert_int_equal(frames(tb, "b"), 0);
	assert_int_equal(frames(tb, "a"), 1);
	testbed_free(tb);
}

// A tick is short, however many ports and networks there are, and nobody is left out.
static void large_networks_are_told_in_several_ticks(void **state)
{
	struct testbed *tb = lab("n1|r1-a|fd00:1::1/64");
	uint64_t sent = 0;
	char id[8];

	(void)state;
	for (int i = 0; i < 300; i++) {
		snprintf(id, sizeof(id), "p%d", i);
		testbed_port(tb, id, "n1", "", "none");
	}
	testbed_commit(tb);
	for (uint64_t all = 302; sent < all;) {
		uint64_t before = sent;

		later(tb, 0);
		sent = weft_advertiser_sent(advertiser(tb));
		assert_int_equal(sent - before, RTE_MIN(all - before, 128U));
	}
	for (int i = 0; i < 300; i++) {
		snprintf(id, sizeof(id), "p%d", i);
		assert_int_equal(frames(tb, id), 1);
	}
	later(tb, 0);
	assert_int_equal(weft_advertiser_sent(advertiser(tb)), sent);
	testbed_free(tb);
}

static void many_networks_take_their_turns(void **state)
{
	struct testbed *tb = testbed_new(1024);
	uint32_t ms = 0;

	(void)state;
	testbed_rule_set(tb, "none", true, "");
	for (int i = 0; i < 200; i++) {
		char net[8], subnet[8], port[8], cidr[32], gateway[32], interface[64];

		snprintf(net, sizeof(net), "m%d", i);
		snprintf(subnet, sizeof(subnet), "s%d", i);
		snprintf(port, sizeof(port), "q%d", i);
		snprintf(cidr, sizeof(cidr), "fd00:%x::/64", i + 1);
		snprintf(gateway, sizeof(gateway), "fd00:%x::1", i + 1);
		snprintf(interface, sizeof(interface), "%s|x%d|%s/64", net, i, gateway);
		testbed_network(tb, net, 1500);
		subnet6(tb, subnet, net, cidr, gateway, PLAN_V6_SLAAC, PLAN_V6_SLAAC);
		testbed_port(tb, port, net, "", "none");
		testbed_router(tb, net, true, interface, "");
	}
	testbed_commit(tb);
	for (; ms < 60000; ms += 100)
		later(tb, ms);
	assert_int_equal(weft_advertiser_sent(advertiser(tb)), 3 * 200);
	for (; ms < 60000 + 601000; ms += 100)
		later(tb, ms);
	assert_in_range(weft_advertiser_sent(advertiser(tb)), 4 * 200, 7 * 200);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(solicitation_is_answered_to_the_asker),
		cmocka_unit_test(who_has_no_address_is_answered_by_multicast_and_not_too_often),
		cmocka_unit_test(every_router_of_the_network_answers),
		cmocka_unit_test(routers_of_other_networks_and_families_do_not_answer),
		cmocka_unit_test(ports_that_may_be_routers_hear_the_question_as_well),
		cmocka_unit_test(bad_solicitation_is_dropped),
		cmocka_unit_test(modes_decide_flags_and_prefixes),
		cmocka_unit_test(new_router_is_told_three_times_and_then_now_and_then),
		cmocka_unit_test(change_is_told_soon_but_not_sooner_than_3_seconds),
		cmocka_unit_test(what_does_not_concern_hosts_is_not_told),
		cmocka_unit_test(router_that_goes_says_so_three_times),
		cmocka_unit_test(router_that_is_set_down_says_so),
		cmocka_unit_test(subnet_that_goes_is_withdrawn_while_the_router_stays),
		cmocka_unit_test(prefix_of_another_router_is_not_withdrawn),
		cmocka_unit_test(port_that_is_attached_need_not_wait),
		cmocka_unit_test(ports_that_are_down_are_told_nothing),
		cmocka_unit_test(large_networks_are_told_in_several_ticks),
		cmocka_unit_test(many_networks_take_their_turns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
