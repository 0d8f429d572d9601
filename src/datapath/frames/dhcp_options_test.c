// SPDX-License-Identifier: Apache-2.0
// DHCP: which options an answer has, and how they fit into it.
#include "datapath/frames/services.h"

#include "datapath/frames/dhcp_testing.h"

static void without_a_wish_list_everything_is_sent(void **state)
{
	(void)state;
	struct dhcp_lease l = lease();
	struct frame f = question("350101");
	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	assert_option(&f, CODE_MASK, "ffffff00");
	assert_option(&f, CODE_ROUTER, "0a000001");
	assert_option(&f, CODE_DNS, "0a000002 0a000003");
	assert_option(&f, CODE_HOSTNAME, "766d31");
	assert_option(&f, CODE_DOMAIN, "6578616d706c652e74657374");
	assert_option(&f, CODE_MTU, "05aa");
	assert_option(&f, CODE_BROADCAST, "0a0000ff");
	assert_option(&f, CODE_ROUTES, "00 0a000001");
}

static void what_was_not_asked_for_is_not_sent(void **state)
{
	(void)state;
	struct dhcp_lease l = lease();
	struct frame f = question("350101 3701 03");
	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	assert_option(&f, CODE_SERVER_ID, "0a000001");
	assert_option(&f, CODE_MASK, "ffffff00");
	assert_option(&f, CODE_LEASE, "00015180");
	assert_option(&f, CODE_ROUTER, "0a000001");
	assert_no_option(&f, CODE_DNS);
	assert_no_option(&f, CODE_ROUTES);
	assert_int_equal(f.len, BOOTP + DHCP_MIN);
}

static void a_lease_without_extras_has_no_empty_options(void **state)
{
	(void)state;
	struct dhcp_lease l = lease();
	l.gateway.family = 0;
	l.n_dns = 0;
	l.hostname = l.domain = "";
	l.mtu = 0;
	l.prefix_len = 32;
	l.lease_s = UINT32_MAX;
	struct frame f = question("350101");
	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	static const uint8_t absent[] = {CODE_ROUTER, CODE_DNS, CODE_HOSTNAME,
					 CODE_DOMAIN, CODE_MTU, CODE_BROADCAST,
					 CODE_ROUTES, CODE_T1,	CODE_T2};
	for (size_t i = 0; i < sizeof(absent); i++)
		assert_no_option(&f, absent[i]);
	assert_option(&f, CODE_MASK, "ffffffff");
	assert_option(&f, CODE_LEASE, "ffffffff");
}

static void a_server_off_the_subnet_gets_a_route_to_it(void **state)
{
	(void)state;
	struct dhcp_lease l = lease();
	assert_int_equal(weft_ip_parse(WEFT_SERVICE_IPV4, &l.server), 0);
	l.gateway.family = 0;
	struct frame f = question("350101 3702 79f9");
	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	assert_option(&f, CODE_SERVER_ID, "a9fea9fe");
	assert_option(&f, CODE_ROUTES, "20 a9fea9fe 00000000");
	assert_option(&f, CODE_ROUTES_MS, "20 a9fea9fe 00000000");
}

static void the_route_to_the_server_may_be_given(void **state)
{
	(void)state;
	struct dhcp_route own = {.dst = {{4, {169, 254, 169, 254}}, 32}, .via = {4, {10, 0, 0, 9}}};
	struct dhcp_lease l = lease();
	assert_int_equal(weft_ip_parse(WEFT_SERVICE_IPV4, &l.server), 0);
	l.gateway.family = 0;
	l.routes = &own;
	l.n_routes = 1;
	struct frame f = question("350101 3701 79");
	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	assert_option(&f, CODE_ROUTES, "20 a9fea9fe 0a000009");
}

static void a_default_among_the_host_routes_is_the_only_one(void **state)
{
	(void)state;
	struct dhcp_route own = {.dst = {{.family = 4}, 0}, .via = {4, {10, 0, 0, 9}}};
	struct dhcp_lease l = lease();
	l.routes = &own;
	l.n_routes = 1;
	struct frame f = question("350101 3701 79");
	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	assert_option(&f, CODE_ROUTES, "00 0a000009");
}

static void the_resolver_0_0_0_0_means_none(void **state)
{
	(void)state;
	static const struct ip_addr none = {.family = 4};
	struct dhcp_lease l = lease();
	l.dns = &none;
	l.n_dns = 1;
	struct frame f = question("350101");
	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	assert_no_option(&f, CODE_DNS);
}

static void options_overflow_into_file_and_sname(void **state)
{
	(void)state;
	struct dhcp_lease l = lease();
	struct frame f = question("340103");
	// The type in `file`; the wish list in two pieces (RFC 3396), in `file` and `sname`; a
	// second overload counts for nothing.
	memcpy(f.b + BOOTP + BOOTP_FILE, "\x35\x01\x01\x34\x01\x00\x37\x01\x0f\xff", 10);
	memcpy(f.b + BOOTP + BOOTP_SNAME, "\x00\x37\x01\x1a\xff", 5);
	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	assert_option(&f, CODE_TYPE, "02");
	assert_option(&f, CODE_DOMAIN, "6578616d706c652e74657374");
	assert_option(&f, CODE_MTU, "05aa");
	assert_no_option(&f, CODE_ROUTER);
	assert_no_option(&f, CODE_OVERLOAD);
	// Only where option 52 says so.
	f = question("340102");
	memcpy(f.b + BOOTP + BOOTP_FILE, "\x35\x01\x01\xff", 4);
	assert_silent(f, DHCP_NO_ANSWER);
	// A field without an end mark is full of options; one that runs over it is malformed.
	f = question("350101 340102");
	memset(f.b + BOOTP + BOOTP_SNAME, 0, 64);
	memcpy(f.b + BOOTP + BOOTP_SNAME + 62, "\x37\x01", 2);
	assert_silent(f, DHCP_MALFORMED);
}

static void a_ports_own_options_win(void **state)
{
	(void)state;
	static const struct dhcp_option extra[] = {
		{CODE_MTU, 2, (const uint8_t *)"\x23\x28"},
		{CODE_LEASE, 4, (const uint8_t *)"\0\0\x02\x58"},
		{42, 4, (const uint8_t *)"\x0a\0\0\x07"},
		{CODE_TYPE, 1, (const uint8_t *)"\x06"},
		{CODE_SERVER_ID, 4, (const uint8_t *)"\x0a\0\0\x07"},
		{CODE_TFTP_SERVER, 8, (const uint8_t *)"10.0.0.8"},
		{CODE_BOOT_FILE, 8, (const uint8_t *)"boot.ipx"},
		{CODE_HOSTNAME, 0, NULL},
	};
	struct dhcp_lease l = lease();
	l.extra = extra;
	l.n_extra = 8;
	struct frame f = question("350101 3701 1a");
	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	assert_option(&f, CODE_MTU, "2328");
	assert_option(&f, CODE_LEASE, "00000258");
	assert_option(&f, CODE_T1, "0000012c");
	assert_option(&f, CODE_T2, "0000020d");
	assert_option(&f, 42, "0a000007"); // not asked for: somebody wanted it all the same
	assert_option(&f, CODE_HOSTNAME, "");
	assert_option(&f, CODE_TYPE, "02");
	assert_option(&f, CODE_SERVER_ID, "0a000001");
	assert_memory_equal(f.b + BOOTP + BOOTP_SIADDR, "\x0a\0\0\x08", 4);
	assert_string_equal((const char *)f.b + BOOTP + BOOTP_SNAME, "10.0.0.8");
	assert_string_equal((const char *)f.b + BOOTP + BOOTP_FILE, "boot.ipx");
}

static void long_options_are_split_and_sizes_kept(void **state)
{
	(void)state;
	struct dhcp_route many[100];
	for (size_t i = 0; i < 100; i++)
		many[i] = (struct dhcp_route) {.dst = {{4, {172, 16, (uint8_t)i, 0}}, 24},
					       .via = {4, {10, 0, 0, 9}}};
	struct dhcp_lease l = lease();
	l.routes = many;
	l.n_routes = 100;
	// 100 routes of 8 bytes and the default: more than a client must take...
	struct frame f = question("350101 3702 7903");
	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	assert_no_option(&f, CODE_ROUTES);
	assert_option(&f, CODE_ROUTER, "0a000001");
	assert_true(f.len <= 14 + 576);
	// ...but no more than this one says it takes.
	uint8_t value[1024];
	f = question("350101 3702 7903 390205dc");
	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	assert_int_equal(option(&f, CODE_ROUTES, value), 805);
	assert_memory_equal(value + 800, "\x00\x0a\x00\x00\x01", 5);
	// The network's MTU bounds it too.
	l.mtu = 800;
	f = question("350101 3702 7903 390205dc");
	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	assert_no_option(&f, CODE_ROUTES);
}

static void an_answer_is_one_ethernet_frame_at_most(void **state)
{
	(void)state;
	static const uint8_t value[255];
	struct dhcp_option extra[20];
	for (size_t i = 0; i < 20; i++)
		extra[i] = (struct dhcp_option) {(uint8_t)(200 + i), 100, value};
	struct dhcp_lease l = lease();
	l.mtu = 9000;
	l.extra = extra;
	l.n_extra = 20;
	struct frame f = question("350101 39022328");
	struct packet p;
	size_t len;
	assert_int_equal(weft_packet_parse(f.b, f.len, f.len, 0, &p), DROP_NONE);
	assert_int_equal(weft_dhcp_answer(f.b, f.len, sizeof(f.b), &p, &l, &len), DHCP_ANSWERED);
	assert_in_range(len, 1400, 1514);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_wish_list_everything_is_sent),
		cmocka_unit_test(what_was_not_asked_for_is_not_sent),
		cmocka_unit_test(a_lease_without_extras_has_no_empty_options),
		cmocka_unit_test(a_server_off_the_subnet_gets_a_route_to_it),
		cmocka_unit_test(the_route_to_the_server_may_be_given),
		cmocka_unit_test(a_default_among_the_host_routes_is_the_only_one),
		cmocka_unit_test(the_resolver_0_0_0_0_means_none),
		cmocka_unit_test(options_overflow_into_file_and_sname),
		cmocka_unit_test(a_ports_own_options_win),
		cmocka_unit_test(long_options_are_split_and_sizes_kept),
		cmocka_unit_test(an_answer_is_one_ethernet_frame_at_most),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
