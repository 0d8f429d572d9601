// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/packet.h"

#include "datapath/frames/packet_testing.h"

static void icmp_queries_have_identifier_and_type_as_ports(void **state)
{
	(void)state;
	struct packet p;
	struct frame f;
	assert_int_equal(parse(IP4("001c", "0000", "01") "0800 0000 1234 0001", &p, &f), DROP_NONE);
	assert_true(p.icmp_query);
	assert_false(p.icmp_error);
	assert_int_equal(p.key.sport, htobe16(0x1234));
	assert_int_equal(p.key.dport, htobe16(8 << 8));
	assert_text(&f, &p, "icmp 10.0.0.5 > 10.0.0.9 echo request id 4660 ttl 64");
	static const char *const queries4[] = {"00", "08", "0d", "0e", "0f", "10", "11", "12"};
	for (size_t i = 0; i < sizeof(queries4) / sizeof(queries4[0]); i++) {
		f = frame_hex(IP4("001c", "0000", "01"));
		frame_add(&f, queries4[i]);
		frame_add(&f, "00 0000 1234 0001");
		assert_int_equal(weft_packet_parse(f.b, f.len, f.len, 0, &p), DROP_NONE);
		assert_true(p.icmp_query);
	}
	assert_int_equal(parse(IP6("0008", "3a") "8100 0000 1234 0001", &p, &f), DROP_NONE);
	assert_true(p.icmp_query);
	assert_text(&f, &p, "icmp6 2001:db8::5 > 2001:db8::9 echo reply id 4660 ttl 64");
	// Router advertisement: neither query nor error; its type is in the key all the same.
	assert_int_equal(parse(IP4("001c", "0000", "01") "0900 0000 1234 0001", &p, &f), DROP_NONE);
	assert_false(p.icmp_query);
	assert_int_equal(p.key.sport, 0);
	assert_int_equal(p.key.dport, htobe16(9 << 8));
}

#define UNREACHABLE	   "0303 0000 00000000 "
#define QUOTE(frag, proto) "4500 0044 0009 " frag " 40 " proto " 0000 0a000009 0a000005 "

static void icmp_error_quotes_the_flow_it_is_about(void **state)
{
	(void)state;
	struct packet p;
	struct frame f;
	// Eight bytes of the transport are enough, whatever the quoted packet's own length says.
	assert_int_equal(parse(IP4("0038", "0000", "01")
				       UNREACHABLE QUOTE("0000", "11") "0035 0fa0 0030 4a1a",
			       &p, &f),
			 DROP_NONE);
	assert_true(p.icmp_error);
	assert_true(p.inner_ok);
	assert_int_equal(p.inner.in_port, 0);
	assert_int_equal(p.inner.proto, 17);
	assert_int_equal(p.inner.sport, htobe16(53));
	assert_int_equal(p.inner.dport, htobe16(4000));
	assert_int_equal(p.inner.src4, htobe32(0x0a000009));
	assert_int_equal(p.inner_l3, 42);
	assert_int_equal(p.inner_l4, 62);
	assert_text(&f, &p,
		    "icmp 10.0.0.5 > 10.0.0.9 unreachable code 3 about "
		    "udp 10.0.0.9:53 > 10.0.0.5:4000 ttl 64");
	// Its first fragment is as good; of a query it is the identifier.
	assert_int_equal(parse(IP4("0038", "0000", "01")
				       UNREACHABLE QUOTE("2000", "01") "0800 0000 1234 0001",
			       &p, &f),
			 DROP_NONE);
	assert_true(p.inner_ok);
	assert_int_equal(p.inner.sport, htobe16(0x1234));
	assert_int_equal(p.inner.dport, htobe16(8 << 8));
}

static void icmp_error_with_an_unusable_quote_says_so(void **state)
{
	(void)state;
	static const char *const bad[] = {
		// Seven bytes of transport; nothing; a later fragment; the other family; an error
		// about an error.
		IP4("0037", "0000", "01") UNREACHABLE QUOTE("0000", "11") "0035 0fa0 0030 4a",
		IP4("001c", "0000", "01") UNREACHABLE,
		IP4("0038", "0000", "01") UNREACHABLE QUOTE("0001", "11") "0035 0fa0 0030 4a1a",
		IP4("0038", "0000", "01") UNREACHABLE "6500 0044 0009 0000 40 11 0000 0a000009 "
						      "0a000005 0035 0fa0 0030 4a1a",
		IP4("0038", "0000", "01") UNREACHABLE QUOTE("0000", "01") "0300 0000 1234 0001",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct packet p;
		struct frame f;
		assert_int_equal(parse(bad[i], &p, &f), DROP_NONE);
		assert_true(p.icmp_error);
		assert_false(p.inner_ok);
		assert_int_equal(p.inner_l4, 0);
	}
}

static void icmp6_error_quotes_through_extension_headers(void **state)
{
	(void)state;
	struct packet p;
	struct frame f;
	assert_int_equal(parse(IP6("0040", "3a") "0200 0000 00000500 60000000 001c 3c 40 " IP6_ADDRS
						 "0600 0104 0000 0000 0050 0fa0 00000000",
			       &p, &f),
			 DROP_NONE);
	assert_true(p.inner_ok);
	assert_int_equal(p.inner.proto, 6);
	assert_int_equal(p.inner.dport, htobe16(4000));
	assert_int_equal(p.inner_l3, 62);
	assert_int_equal(p.inner_l4, 110);
	assert_text(&f, &p,
		    "icmp6 2001:db8::5 > 2001:db8::9 packet too big code 0 about "
		    "tcp [2001:db8::5]:80 > [2001:db8::9]:4000 ttl 64");
}

static void neighbour_discovery_has_its_target(void **state)
{
	(void)state;
	struct packet p;
	struct frame f;
	assert_int_equal(parse(IP6("0018", "3a") ND("87"), &p, &f), DROP_NONE);
	assert_ptr_equal(p.nd_target, f.b + 62);
	assert_text(&f, &p,
		    "icmp6 2001:db8::5 > 2001:db8::9 neighbour solicitation "
		    "for 2001:db8::9 ttl 64");
	assert_int_equal(parse(IP6("0018", "3a") ND("88"), &p, &f), DROP_NONE);
	assert_non_null(p.nd_target);
	assert_parse(IP6("0017", "3a") ND("87"), DROP_TRUNCATED);
}

static void neighbour_discovery_does_not_hide_in_fragments(void **state)
{
	(void)state;
	assert_parse(IP6("0020", "2c") "3a00 0000 00000001 " ND("88"), DROP_BAD_HEADER);
	assert_parse(IP6("0020", "2c") "3a00 0001 00000001 " ND("86"), DROP_BAD_HEADER);
	// Echo may be fragmented.
	assert_parse(IP6("0020", "2c") "3a00 0001 00000001 " ND("80"), DROP_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(icmp_queries_have_identifier_and_type_as_ports),
		cmocka_unit_test(icmp_error_quotes_the_flow_it_is_about),
		cmocka_unit_test(icmp_error_with_an_unusable_quote_says_so),
		cmocka_unit_test(icmp6_error_quotes_through_extension_headers),
		cmocka_unit_test(neighbour_discovery_has_its_target),
		cmocka_unit_test(neighbour_discovery_does_not_hide_in_fragments),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
