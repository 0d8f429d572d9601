// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/services.h"

#include "datapath/frames/dhcp_testing.h"

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
		cmocka_unit_test(a_request_for_the_lease_is_acknowledged),
		cmocka_unit_test(a_request_for_another_address_is_refused_by_broadcast),
		cmocka_unit_test(a_renewal_is_answered_by_unicast),
		cmocka_unit_test(the_broadcast_flag_is_honoured),
		cmocka_unit_test(inform_gets_options_but_no_lease),
		cmocka_unit_test(what_is_not_for_us_is_not_answered),
		cmocka_unit_test(malformed_messages_are_told_apart),
		cmocka_unit_test(a_checksum_is_never_zero),
		cmocka_unit_test(no_room_no_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
