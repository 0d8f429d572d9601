// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/services.h"

#include "datapath/native/dhcp_message.h"
#include "datapath/native/frame_hex.h"

enum { BOOTP = 42, OPTIONS = BOOTP + DHCP_OPTIONS };

static const struct ip_addr dns[] = {{4, {10, 0, 0, 2}}, {6, {0x20, 1}}, {4, {10, 0, 0, 3}}};
static const struct dhcp_route routes[] = {
	{.dst = {{4, {192, 168, 2, 77}}, 24}, .via = {4, {10, 0, 0, 254}}}};

static struct dhcp_lease lease(void)
{
	return (struct dhcp_lease) {
		.client = {{0xfa, 0x16, 0x3e, 0, 0, 0x0a}},
		.ip = {4, {10, 0, 0, 5}},
		.server = {4, {10, 0, 0, 1}},
		.gateway = {4, {10, 0, 0, 1}},
		.prefix_len = 24,
		.lease_s = 86400,
		.mtu = 1450,
		.hostname = "vm1",
		.domain = "example.test",
		.dns = dns,
		.n_dns = 3,
	};
}

// A question from 0.0.0.0 by broadcast with these options (an end mark is added); BOOTP fields are zero but for those that
// every question has.
static struct frame question(const char *options)
{
	struct frame f = frame_hex("ffffffffffff fa163e00000a 0800 4500 0000 0001 0000 4011 0000 "
				   "00000000 ffffffff 0044 0043 0000 0000 01010600 01020304");
	f.len = BOOTP + DHCP_COOKIE;
	memcpy(f.b + BOOTP + BOOTP_CHADDR, "\xfa\x16\x3e\x00\x00\x0a", 6);
	frame_add(&f, "63825363");
	frame_add(&f, options);
	frame_add(&f, "ff");
	f.b[16] = (uint8_t)((f.len - 14) >> 8);
	f.b[17] = (uint8_t)(f.len - 14);
	f.b[38] = (uint8_t)((f.len - 34) >> 8);
	f.b[39] = (uint8_t)(f.len - 34);
	return f;
}

static enum dhcp_result answer(struct frame *f, const struct dhcp_lease *l)
{
	struct packet p;
	size_t len;
	assert_int_equal(weft_packet_parse(f->b, f->len, f->len, 0, &p), DROP_NONE);
	enum dhcp_result result = weft_dhcp_answer(f->b, f->len, 1514, &p, l, &len);
	if (result != DHCP_ANSWERED) {
		assert_int_equal(len, 0);
		return result;
	}
	f->len = len;
	// Whatever the answer: it is a packet, and its checksums hold.
	assert_int_equal(weft_packet_parse(f->b, len, len, 0, &p), DROP_NONE);
	assert_int_equal(p.l3_len, len - 14);
	assert_int_equal(frame_sum(f->b + 14, 20, 0), 0xffff);
	assert_int_equal(frame_sum(f->b + 26, len - 26, 17 + (uint32_t)(len - 34)), 0xffff);
	assert_memory_equal(f->b + 6, weft_service_mac.b, 6);
	return result;
}

static void assert_silent(struct frame f, enum dhcp_result why)
{
	struct dhcp_lease l = lease();
	struct frame before = f;
	assert_int_equal(answer(&f, &l), why);
	assert_memory_equal(f.b, before.b, f.len);
}

// The option's value in an answer, put together; -1 = not there.
static int option(const struct frame *f, uint8_t code, uint8_t *out)
{
	int len = -1;
	for (size_t i = OPTIONS; f->b[i] != CODE_END; i += f->b[i + 1] + 2u) {
		assert_true(i + 2 + f->b[i + 1] < f->len);
		if (f->b[i] != code)
			continue;
		len = len < 0 ? 0 : len;
		memcpy(out + len, f->b + i + 2, f->b[i + 1]);
		len += f->b[i + 1];
	}
	return len;
}

static void assert_option(const struct frame *f, uint8_t code, const char *hex)
{
	uint8_t value[1024];
	struct frame expected = frame_hex(hex);
	assert_int_equal(option(f, code, value), expected.len);
	assert_memory_equal(value, expected.b, expected.len);
}

static void assert_no_option(const struct frame *f, uint8_t code)
{
	uint8_t value[1024];
	assert_int_equal(option(f, code, value), -1);
}

static void a_discover_gets_the_offer_byte_by_byte(void **state)
{
	(void)state;
	struct dhcp_lease l = lease();
	l.routes = routes;
	l.n_routes = 1;
	struct frame f = question("350101 3708 790301060f1c1a0c 3d0701fa163e00000a");
	struct frame e =
		frame_hex("fa163e00000a 027765667401 0800 4500 0173 0000 4000 4011 2575 "
			  "0a000001 0a000005 0043 0044 015f c0bd "
			  "02010600 01020304 0000 0000 00000000 0a000005 00000000 00000000 "
			  "fa163e00000a");
	e.len = BOOTP + DHCP_COOKIE;
	frame_add(&e, "63825363 350102 36040a000001 3d0701fa163e00000a 330400015180 3a040000a8c0 "
		      "3b0400012750 0104ffffff00 790d18c0a8020a0000fe000a000001 03040a000001 "
		      "06080a0000020a000003 0f0c6578616d706c652e74657374 1c040a0000ff 1a0205aa "
		      "0c03766d31 ff");
	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	assert_int_equal(f.len, e.len);
	assert_memory_equal(f.b, e.b, e.len);
}

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

static void a_request_for_the_lease_is_acknowledged(void **state)
{
	(void)state;
	struct dhcp_lease l = lease();
	struct frame f = question("350103 32040a000005 36040a000001");
	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	assert_option(&f, CODE_TYPE, "05");
	assert_memory_equal(f.b + BOOTP + BOOTP_YIADDR, l.ip.b, 4);
	assert_memory_equal(f.b + 30, l.ip.b, 4);
	assert_memory_equal(f.b, l.client.b, 6);
	// Rebooting: no server identifier.
	f = question("350103 32040a000005");
	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	assert_option(&f, CODE_TYPE, "05");
}

static void a_request_for_another_address_is_refused_by_broadcast(void **state)
{
	(void)state;
	struct dhcp_lease l = lease();
	static const char *const wrong[] = {
		"350103 32040a000006 36040a000001", // selecting
		"350103 3204c0a80005",		    // rebooting, from another network
		"350103"};
	for (size_t i = 0; i < 3; i++) {
		struct frame f = question(wrong[i]);
		assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
		assert_option(&f, CODE_TYPE, "06");
		assert_option(&f, CODE_SERVER_ID, "0a000001");
		assert_no_option(&f, CODE_LEASE);
		assert_memory_equal(f.b + BOOTP + BOOTP_YIADDR, "\0\0\0\0", 4);
		assert_memory_equal(f.b + 30, "\xff\xff\xff\xff", 4);
		assert_memory_equal(f.b, "\xff\xff\xff\xff\xff\xff", 6);
	}
}

static void a_renewal_is_answered_by_unicast(void **state)
{
	(void)state;
	struct dhcp_lease l = lease();
	struct frame f = question("350103");
	memcpy(f.b + 26, l.ip.b, 4);
	memcpy(f.b + 30, l.server.b, 4);
	memcpy(f.b + BOOTP + BOOTP_CIADDR, l.ip.b, 4);
	f.b[BOOTP + BOOTP_FLAGS] = 0x80; // means nothing to one that has an address
	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	assert_option(&f, CODE_TYPE, "05");
	assert_memory_equal(f.b + BOOTP + BOOTP_CIADDR, l.ip.b, 4);
	assert_memory_equal(f.b + 30, l.ip.b, 4);
	assert_memory_equal(f.b, l.client.b, 6);
	// The address was taken away meanwhile.
	f = question("350103");
	memcpy(f.b + BOOTP + BOOTP_CIADDR, "\x0a\x00\x00\x06", 4);
	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	assert_option(&f, CODE_TYPE, "06");
}

static void the_broadcast_flag_is_honoured(void **state)
{
	(void)state;
	struct dhcp_lease l = lease();
	struct frame f = question("350101");
	f.b[BOOTP + BOOTP_FLAGS] = 0x80;
	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	assert_memory_equal(f.b + 30, "\xff\xff\xff\xff", 4);
	assert_memory_equal(f.b, "\xff\xff\xff\xff\xff\xff", 6);
	assert_int_equal(f.b[BOOTP + BOOTP_FLAGS], 0x80);
}

static void inform_gets_options_but_no_lease(void **state)
{
	(void)state;
	struct dhcp_lease l = lease();
	struct frame f = question("350108 3703 033306");
	memcpy(f.b + BOOTP + BOOTP_CIADDR, l.ip.b, 4);
	assert_int_equal(answer(&f, &l), DHCP_ANSWERED);
	assert_option(&f, CODE_TYPE, "05");
	assert_option(&f, CODE_ROUTER, "0a000001");
	assert_no_option(&f, CODE_LEASE);
	assert_memory_equal(f.b + BOOTP + BOOTP_YIADDR, "\0\0\0\0", 4);
	assert_memory_equal(f.b + 30, l.ip.b, 4);
}

static void what_is_not_for_us_is_not_answered(void **state)
{
	(void)state;
	assert_silent(question("350103 32040a000005 36040a000009"),
		      DHCP_NO_ANSWER);					// another server
	assert_silent(question("350104 32040a000005"), DHCP_NO_ANSWER); // decline
	assert_silent(question("350107"), DHCP_NO_ANSWER);		// release
	assert_silent(question("350102"), DHCP_NO_ANSWER);		// an offer
	assert_silent(question("0c03766d31"), DHCP_NO_ANSWER);		// plain BOOTP
	struct frame f = question("350101");
	f.b[BOOTP] = 2; // a reply
	assert_silent(f, DHCP_NO_ANSWER);
	f = question("350101");
	f.b[BOOTP + BOOTP_HLEN] = 8;
	assert_silent(f, DHCP_NO_ANSWER);
	f = question("350101");
	f.b[BOOTP + BOOTP_GIADDR] = 10; // through a relay agent
	assert_silent(f, DHCP_NO_ANSWER);
	f = question("350101");
	f.b[BOOTP + BOOTP_CHADDR + 5]++; // another's lease
	assert_silent(f, DHCP_NO_ANSWER);
	f = question("350101");
	memcpy(f.b + 30, "\x0a\x00\x00\x09", 4); // unicast to another
	assert_silent(f, DHCP_NO_ANSWER);
	f = question("350101");
	f.b[37] = 69; // another port
	assert_silent(f, DHCP_NO_ANSWER);
}

static void malformed_messages_are_told_apart(void **state)
{
	(void)state;
	assert_silent(question("350101 3705 01"), DHCP_MALFORMED); // runs over the end
	assert_silent(question("35020101"), DHCP_MALFORMED);	   // type of two bytes
	assert_silent(question("350101 32030a0000"), DHCP_MALFORMED);
	assert_silent(question("350101 340104"), DHCP_MALFORMED); // overload of an unknown kind
	struct frame f = question("350101");
	f.b[BOOTP + DHCP_COOKIE]++;
	assert_silent(f, DHCP_MALFORMED);
	f = question("");
	f.len = BOOTP + DHCP_COOKIE; // nothing behind the BOOTP part
	f.b[16] = (uint8_t)((f.len - 14) >> 8);
	f.b[17] = (uint8_t)(f.len - 14);
	f.b[38] = (uint8_t)((f.len - 34) >> 8);
	f.b[39] = (uint8_t)(f.len - 34);
	assert_silent(f, DHCP_MALFORMED);
}

static void options_overflow_into_file_and_sname(void **state)
{
	(void)state;
	struct dhcp_lease l = lease();
	struct frame f = question("340103");
	// The type in `file`; the wish list in two pieces (RFC 3396), in `file` and `sname`; a second overload counts for nothing.
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

static void a_checksum_is_never_zero(void **state)
{
	(void)state;
	struct dhcp_lease l = lease();
	// Among all values of one word there is one for which the sum comes out as 0.
	for (uint32_t xid = 0; xid <= UINT16_MAX; xid++) {
		struct packet p;
		size_t len;
		struct frame f = question("350101");
		f.b[BOOTP + BOOTP_XID] = (uint8_t)(xid >> 8);
		f.b[BOOTP + BOOTP_XID + 1] = (uint8_t)xid;
		weft_packet_parse(f.b, f.len, f.len, 0, &p);
		weft_dhcp_answer(f.b, f.len, sizeof(f.b), &p, &l, &len);
		assert_true(f.b[40] != 0 || f.b[41] != 0);
	}
}

static void no_room_no_answer(void **state)
{
	(void)state;
	struct dhcp_lease l = lease();
	struct frame f = question("350101");
	struct packet p;
	size_t len;
	assert_int_equal(weft_packet_parse(f.b, f.len, f.len, 0, &p), DROP_NONE);
	assert_int_equal(weft_dhcp_answer(f.b, f.len, 341, &p, &l, &len), DHCP_NO_ANSWER);
	// Only the first segment of a longer frame is here.
	assert_int_equal(weft_dhcp_answer(f.b, f.len - 1, 1514, &p, &l, &len), DHCP_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_discover_gets_the_offer_byte_by_byte),
		cmocka_unit_test(without_a_wish_list_everything_is_sent),
		cmocka_unit_test(what_was_not_asked_for_is_not_sent),
		cmocka_unit_test(a_lease_without_extras_has_no_empty_options),
		cmocka_unit_test(a_server_off_the_subnet_gets_a_route_to_it),
		cmocka_unit_test(the_route_to_the_server_may_be_given),
		cmocka_unit_test(a_default_among_the_host_routes_is_the_only_one),
		cmocka_unit_test(the_resolver_0_0_0_0_means_none),
		cmocka_unit_test(a_request_for_the_lease_is_acknowledged),
		cmocka_unit_test(a_request_for_another_address_is_refused_by_broadcast),
		cmocka_unit_test(a_renewal_is_answered_by_unicast),
		cmocka_unit_test(the_broadcast_flag_is_honoured),
		cmocka_unit_test(inform_gets_options_but_no_lease),
		cmocka_unit_test(what_is_not_for_us_is_not_answered),
		cmocka_unit_test(malformed_messages_are_told_apart),
		cmocka_unit_test(options_overflow_into_file_and_sname),
		cmocka_unit_test(a_ports_own_options_win),
		cmocka_unit_test(long_options_are_split_and_sizes_kept),
		cmocka_unit_test(an_answer_is_one_ethernet_frame_at_most),
		cmocka_unit_test(a_checksum_is_never_zero),
		cmocka_unit_test(no_room_no_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
