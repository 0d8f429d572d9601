// SPDX-License-Identifier: Apache-2.0
// Answers through the whole datapath: who is answered what, by DHCPv6 and by a router at its
// link-local address.
#include "datapath/native/carry/answer.h"

#include <stdlib.h>

#include "datapath/native/testing/native_fixture.h"
#include "datapath/frames/services.h"

#define GUEST "fe80::1:1"

enum { MESSAGE = 62, SOLICIT = 1, INFORMATION_REQUEST = 11, ADVERTISE = 2, REPLY = 7 };

static void subnet6(struct testbed *tb, const char *id, const char *cidr, enum plan_v6_mode address,
		    bool dhcp)
{
	struct plan_subnet *s = calloc(1, sizeof(*s));

	snprintf(s->id, sizeof(s->id), "%s", id);
	snprintf(s->network_id, sizeof(s->network_id), "n1");
	snprintf(s->dns_domain, sizeof(s->dns_domain), "example.test");
	assert_int_equal(weft_prefix_parse(cidr, &s->cidr), 0);
	s->address = address;
	s->dhcp = dhcp;
	s->lease_s = 3600;
	weft_plan_batch_add(&tb->batch, PLAN_PUT, PLAN_SUBNET, s);
}

// Port "a" with an address of n1-6, and "server" without port security.
static struct testbed *lab(enum plan_v6_mode address, bool dhcp)
{
	struct testbed *tb = testbed_new(1024);

	testbed_network(tb, "n1", 1500);
	subnet6(tb, "n1-6", "fd00:1::/64", address, dhcp);
	testbed_rule_set(tb, "none", true, "");
	testbed_port_with(tb, "a", "n1", "fd00:1::a", "none", "-|" GUEST "/128", true);
	testbed_port(tb, "server", "n1", "fd00:1::5", NULL);
	testbed_commit(tb);
	return tb;
}

// To all servers: an identifier, one IA_NA.
static struct frame question(uint8_t type)
{
	static const uint8_t options[] = {0, 1, 0,  10, 0, 3, 0, 1, 2, 0, 0, 0, 0, 1, 0,
					  3, 0, 12, 0,	0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0};
	size_t len = type == INFORMATION_REQUEST ? 14 : sizeof(options);
	struct frame f =
		testbed_frame("a", "all", GUEST, "ff02::1:2", UDP(546, 547, (uint16_t)(4 + len)));

	f.b[MESSAGE] = type;
	memcpy(f.b + MESSAGE + 4, options, len);
	memcpy(f.b, "\x33\x33\0\1\0\2", 6);
	return f;
}

// What the guest is answered: the type of the message; 0 = nothing.
static uint8_t answered(struct testbed *tb, uint8_t type, struct frame *out)
{
	struct frame f = question(type);

	testbed_send(tb, "a", &f);
	return testbed_receive(tb, "a", out) ? out->b[MESSAGE] : 0;
}

static bool contains(const struct frame *f, const void *bytes, size_t len)
{
	return memmem(f->b, f->len, bytes, len) != NULL;
}

static void stateful_subnet_gives_the_ports_address(void **state)
{
	struct testbed *tb = lab(PLAN_V6_STATEFUL, true);
	struct ip_addr ip, from = weft_ip_link_local_of(&weft_service_mac);
	struct frame f;

	(void)state;
	assert_int_equal(answered(tb, SOLICIT, &f), ADVERTISE);
	assert_int_equal(weft_ip_parse("fd00:1::a", &ip), 0);
	assert_true(contains(&f, ip.b, 16));
	assert_true(contains(&f, "\0\0\x0e\x10\0\0\x0e\x10", 8)); // its lifetimes
	assert_true(contains(&f, "\7example\4test", 14));
	assert_memory_equal(f.b + 22, from.b, 16);
	assert_false(testbed_receive(tb, "server", &f));
	assert_int_equal(answered(tb, INFORMATION_REQUEST, &f), REPLY);
	testbed_free(tb);
}

static void stateless_subnet_gives_information_only(void **state)
{
	struct testbed *tb = lab(PLAN_V6_STATELESS, true);
	struct frame f;

	(void)state;
	assert_int_equal(answered(tb, INFORMATION_REQUEST, &f), REPLY);
	assert_int_equal(answered(tb, SOLICIT, &f), 0);
	assert_int_equal(testbed_drop(tb), DROP_NONE); // consumed
	testbed_free(tb);
}

// Then a port that may be one is the server.
static void other_subnets_leave_the_question_to_other_servers(void **state)
{
	static const struct {
		enum plan_v6_mode address;
		bool dhcp;
	} of[] = {{PLAN_V6_SLAAC, true}, {PLAN_V6_NONE, true}, {PLAN_V6_STATEFUL, false}};

	(void)state;
	for (size_t i = 0; i < RTE_DIM(of); i++) {
		struct testbed *tb = lab(of[i].address, of[i].dhcp);
		struct frame f;

		assert_int_equal(answered(tb, SOLICIT, &f), 0);
		assert_true(testbed_receive(tb, "server", &f));
		assert_int_equal(f.b[MESSAGE], SOLICIT);
		testbed_free(tb);
	}
}

static void addresses_of_stateful_subnets_only_are_leased(void **state)
{
	struct testbed *tb = lab(PLAN_V6_STATEFUL, true);
	struct plan_port *p;
	struct ip_addr ip;
	struct frame f;

	(void)state;
	subnet6(tb, "slaac", "fd00:2::/64", PLAN_V6_SLAAC, true);
	subnet6(tb, "more", "fd00:3::/64", PLAN_V6_STATEFUL, true);
	testbed_port_with(tb, "a", "n1", "fd00:1::a fd00:2::a fd00:3::a", "none", "-|" GUEST "/128",
			  true);
	for (size_t i = 0; i < tb->batch.n; i++) {
		p = tb->batch.changes[i].port;
		if (tb->batch.changes[i].kind != PLAN_PORT)
			continue;
		snprintf(p->fixed[1].subnet_id, sizeof(p->fixed[1].subnet_id), "slaac");
		snprintf(p->fixed[2].subnet_id, sizeof(p->fixed[2].subnet_id), "more");
		p->n_options = 2;
		p->options = calloc(2, sizeof(p->options[0]));
		p->options[0] = (struct plan_dhcp_option) {6, 59, 3, "url"};
		p->options[1] = (struct plan_dhcp_option) {4, 67, 4, "file"};
	}
	testbed_commit(tb);
	assert_int_equal(answered(tb, SOLICIT, &f), ADVERTISE);
	assert_int_equal(weft_ip_parse("fd00:1::a", &ip), 0);
	assert_true(contains(&f, ip.b, 16));
	assert_int_equal(weft_ip_parse("fd00:2::a", &ip), 0);
	assert_false(contains(&f, ip.b, 16));
	assert_int_equal(weft_ip_parse("fd00:3::a", &ip), 0);
	assert_true(contains(&f, ip.b, 16));
	assert_true(contains(&f, "\0\x3b\0\3url", 7));
	assert_false(contains(&f, "file", 4));
	testbed_free(tb);
}

static void malformed_and_foreign_questions_are_dropped(void **state)
{
	struct testbed *tb = lab(PLAN_V6_STATEFUL, true);
	struct frame f = question(SOLICIT);

	(void)state;
	f.b[MESSAGE + 7] = 200; // the first option runs over the end
	testbed_send(tb, "a", &f);
	assert_int_equal(testbed_drop(tb), DROP_DHCP_BAD);
	f = question(12); // a relay agent's
	testbed_send(tb, "a", &f);
	assert_int_equal(testbed_drop(tb), DROP_NONE);
	assert_false(testbed_receive(tb, "a", &f));
	assert_false(testbed_receive(tb, "server", &f));
	testbed_free(tb);
}

// By unicast, an existing lease of another server is renewed; rules decide whether it may be asked.
static void another_server_may_be_asked_by_unicast(void **state)
{
	struct testbed *tb = lab(PLAN_V6_NONE, false);
	struct frame f = testbed_frame("a", "server", GUEST, "fd00:1::5", UDP(546, 547, 30));

	(void)state;
	assert_true(testbed_passes(tb, "a", "server", &f));
	testbed_free(tb);
}

// ---- A router's link-local address ---------------------------------------------------------

static struct testbed *lab_with_router(char link_local[WEFT_IP_STRLEN])
{
	struct testbed *tb = lab(PLAN_V6_SLAAC, true);
	struct mac_addr mac = testbed_mac("r1-a");
	struct ip_addr ip = weft_ip_link_local_of(&mac);
	char interface[128];

	weft_ip_text(&ip, link_local);
	snprintf(interface, sizeof(interface), "n1|r1-a|fd00:1::1/64,%s/128", link_local);
	testbed_router(tb, "r1", true, interface, "");
	testbed_commit(tb);
	return tb;
}

static void routers_link_local_address_is_a_routers(void **state)
{
	char router[WEFT_IP_STRLEN];
	struct testbed *tb = lab_with_router(router);
	struct mac_addr mac = testbed_mac("r1-a");
	struct ip_addr ip = weft_ip_link_local_of(&mac);
	struct l4 solicit = {.proto = 58, .dport = 135 << 8, .payload = 16};
	struct frame f = testbed_frame("a", "r1-a", GUEST, router, solicit);

	(void)state;
	memcpy(f.b + 62, ip.b, 16);
	testbed_send(tb, "a", &f);
	assert_true(testbed_receive(tb, "a", &f));
	assert_int_equal(f.b[54], 136);
	assert_int_equal(f.b[58], 0xe0); // router, solicited, override
	assert_memory_equal(f.b + 80, mac.b, 6);
	testbed_free(tb);
}

static void routers_link_local_address_answers_echo(void **state)
{
	char router[WEFT_IP_STRLEN];
	struct testbed *tb = lab_with_router(router);
	struct l4 echo = {.proto = 58, .dport = 128 << 8, .sport = 7, .payload = 8};
	struct frame f;

	(void)state;
	testbed_rule_set(tb, "none", true, open_out);
	testbed_commit(tb);
	f = testbed_frame("a", "r1-a", GUEST, router, echo);
	testbed_send(tb, "a", &f);
	assert_true(testbed_receive(tb, "a", &f));
	assert_int_equal(f.b[54], 129);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stateful_subnet_gives_the_ports_address),
		cmocka_unit_test(stateless_subnet_gives_information_only),
		cmocka_unit_test(other_subnets_leave_the_question_to_other_servers),
		cmocka_unit_test(addresses_of_stateful_subnets_only_are_leased),
		cmocka_unit_test(malformed_and_foreign_questions_are_dropped),
		cmocka_unit_test(another_server_may_be_asked_by_unicast),
		cmocka_unit_test(routers_link_local_address_is_a_routers),
		cmocka_unit_test(routers_link_local_address_answers_echo),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
