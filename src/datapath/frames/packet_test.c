// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/packet.h"

#include "datapath/frames/packet_testing.h"

static void tcp_has_its_five_tuple_and_flags(void **state)
{
	(void)state;
	struct packet p;
	struct frame f;
	assert_int_equal(parse(IP4("0028", "0000", "06") TCP_SYN, &p, &f), DROP_NONE);
	assert_int_equal(p.kind, PACKET_IP);
	assert_int_equal(p.key.in_port, 3);
	assert_int_equal(p.key.family, 4);
	assert_int_equal(p.key.proto, 6);
	assert_int_equal(p.key.sport, htobe16(1234));
	assert_int_equal(p.key.dport, htobe16(22));
	assert_int_equal(p.key.src4, htobe32(0x0a000005));
	assert_int_equal(p.key.dst4, htobe32(0x0a000009));
	assert_int_equal(p.tcp_flags, 0x02);
	assert_int_equal(p.ttl, 64);
	assert_int_equal(p.l3, 14);
	assert_int_equal(p.l4, 34);
	assert_int_equal(p.l3_len, 40);
	assert_false(p.has_options);
	assert_int_equal(p.fragment, FRAGMENT_NONE);
	assert_text(&f, &p, "tcp 10.0.0.5:1234 > 10.0.0.9:22 flags S ttl 64");

	assert_int_equal(parse(IP6("0014", "06") TCP_SYN, &p, &f), DROP_NONE);
	assert_int_equal(p.l4, 54);
	assert_int_equal(p.l3_len, 60);
	assert_int_equal(p.key.src6[15], 5);
	assert_int_equal(p.key.dst6[15], 9);
	assert_text(&f, &p, "tcp [2001:db8::5]:1234 > [2001:db8::9]:22 flags S ttl 64");
}

static void ports_are_read_of_every_protocol_that_has_them(void **state)
{
	(void)state;
	static const char *const protocols[] = {"11", "84", "21", "88"}; // udp sctp dccp udplite
	for (size_t i = 0; i < 4; i++) {
		struct frame f = {.len = 0};
		struct packet p;
		frame_add(&f, ETH "0800 4500 0020 0007 0000 40 ");
		frame_add(&f, protocols[i]);
		frame_add(&f, "0000 " IP4_ADDRS "1388 0035 000c 0000 00000000");
		assert_int_equal(weft_packet_parse(f.b, f.len, f.len, 0, &p), DROP_NONE);
		assert_int_equal(p.key.sport, htobe16(5000));
		assert_int_equal(p.key.dport, htobe16(53));
	}
}

static void other_protocols_have_no_ports(void **state)
{
	(void)state;
	struct packet p;
	struct frame f;
	assert_int_equal(parse(IP4("001c", "0000", "2f") UDP_8, &p, &f), DROP_NONE);
	assert_int_equal(p.key.proto, 47);
	assert_int_equal(p.key.sport, 0);
	assert_int_equal(p.key.dport, 0);
	assert_int_equal(p.l4, 34);
	assert_text(&f, &p, "gre 10.0.0.5 > 10.0.0.9 ttl 64");
	// ICMP of the other family is no ICMP.
	assert_int_equal(parse(IP4("001c", "0000", "3a") "8700 0000 00000000", &p, &f), DROP_NONE);
	assert_int_equal(p.key.sport, 0);
	assert_int_equal(p.key.dport, 0);
	assert_null(p.nd_target);
	assert_int_equal(parse(IP6("0008", "01") "0800 0000 00000000", &p, &f), DROP_NONE);
	assert_false(p.icmp_query);
	assert_int_equal(p.key.sport, 0);
}

static void padding_behind_the_packet_is_no_part_of_it(void **state)
{
	(void)state;
	struct packet p;
	struct frame f;
	// An empty UDP datagram in a frame of 60 bytes.
	assert_int_equal(parse(IP4("001c", "0000", "11") UDP_8 "00000000 00000000 00000000 00000000"
							       "0000",
			       &p, &f),
			 DROP_NONE);
	assert_int_equal(p.l3_len, 28);
	// The same padding does not complete a header that the IP length cuts.
	assert_parse(IP4("0018", "0000", "11") UDP_8, DROP_TRUNCATED);
	assert_parse(IP4("001c", "0000", "84") "1388 0035 00000000 00000000", DROP_TRUNCATED);
	assert_parse(IP6("0004", "11") UDP_8, DROP_TRUNCATED);
	assert_parse(IP6("0008", "84") "1388 0035 00000000 00000000", DROP_TRUNCATED);
	assert_parse(IP6("0008", "3c") "2f01 0104 0000 0000 0104 0000 0000 0000", DROP_TRUNCATED);
	assert_parse(IP6("0004", "2c") "1100 0000 00000001 " UDP_8, DROP_TRUNCATED);
}

static void only_the_first_segment_is_read(void **state)
{
	(void)state;
	struct packet p;
	struct frame f = frame_hex(IP4("05dc", "0000", "06") TCP_SYN);
	assert_int_equal(weft_packet_parse(f.b, f.len, 1514, 0, &p), DROP_NONE);
	assert_int_equal(p.l3_len, 1500);
	assert_int_equal(weft_packet_parse(f.b, f.len, 1513, 0, &p), DROP_TRUNCATED);
	assert_int_equal(weft_packet_parse(f.b, f.len - 1, 1514, 0, &p), DROP_TRUNCATED);
}

static void every_shorter_frame_is_truncated(void **state)
{
	(void)state;
	static const char *const whole[] = {
		IP4("0028", "0000", "06") TCP_SYN,
		ETH "0800 4600 002c 0007 0000 4006 0000 " IP4_ADDRS "94040000 " TCP_SYN,
		IP6("0014", "06") TCP_SYN,
		IP6("0018", "3a") ND("87"),
		IP6("0010", "3c") "1100 0104 00000000 " UDP_8,
		ETH ARP_FIXED "0001 " ARP_ADDRS,
	};
	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		struct frame f = frame_hex(whole[i]);
		struct packet p;
		assert_int_equal(weft_packet_parse(f.b, f.len, f.len, 0, &p), DROP_NONE);
		for (size_t n = 0; n < f.len; n++) {
			// On the heap, so that a sanitizer sees one byte too far.
			uint8_t *copy = test_malloc(n + 1);
			memcpy(copy, f.b, n);
			assert_int_equal(weft_packet_parse(copy, n, n, 0, &p), DROP_TRUNCATED);
			test_free(copy);
		}
	}
}

static void impossible_headers_are_refused(void **state)
{
	(void)state;
	// IPv4: version 6, header length 16, total length below the header, option of length 1,
	// option beyond the header.
	assert_parse(ETH "0800 6500 001c 0007 0000 4011 0000 " IP4_ADDRS UDP_8, DROP_BAD_HEADER);
	assert_parse(ETH "0800 4400 001c 0007 0000 4011 0000 " IP4_ADDRS UDP_8, DROP_BAD_HEADER);
	assert_parse(IP4("0013", "0000", "11") UDP_8, DROP_BAD_HEADER);
	assert_parse(ETH "0800 4600 0020 0007 0000 4011 0000 " IP4_ADDRS "94010000" UDP_8,
		     DROP_BAD_HEADER);
	assert_parse(ETH "0800 4600 0020 0007 0000 4011 0000 " IP4_ADDRS "94050000" UDP_8,
		     DROP_BAD_HEADER);
	// IPv6 version 4.
	assert_parse(ETH "86dd 40000000 0008 11 40 " IP6_ADDRS UDP_8, DROP_BAD_HEADER);
	// TCP header of 16 bytes, and longer than the packet; UDP length 7, and longer than the
	// packet.
	assert_parse(IP4("0028", "0000", "06") "04d2 0016 00000000 00000000 4002 2000 0000 0000",
		     DROP_BAD_HEADER);
	assert_parse(IP4("0028", "0000", "06") "04d2 0016 00000000 00000000 6002 2000 0000 0000",
		     DROP_TRUNCATED);
	assert_parse(IP4("001c", "0000", "11") "1388 0035 0007 0000", DROP_BAD_HEADER);
	assert_parse(IP4("001c", "0000", "11") "1388 0035 0009 0000", DROP_TRUNCATED);
}

static void other_ethertypes_are_only_named(void **state)
{
	(void)state;
	struct packet p;
	struct frame f;
	assert_int_equal(parse(ETH "8100 0005 0800 4500", &p, &f), DROP_NONE);
	assert_int_equal(p.kind, PACKET_OTHER);
	assert_int_equal(p.ethertype, 0x8100);
	assert_text(&f, &p, "vlan 5 ethertype 0x0800 fa:16:3e:00:00:0a > fa:16:3e:00:00:0b");
	assert_line(ETH "88cc", "ethertype 0x88cc fa:16:3e:00:00:0a > fa:16:3e:00:00:0b");
	assert_line("0180c2000000 fa163e00000a 0026 4242",
		    "802.3 length 38 fa:16:3e:00:00:0a > 01:80:c2:00:00:00");
}

static void arp_is_read_whole(void **state)
{
	(void)state;
	struct packet p;
	struct frame f;
	char buf[WEFT_IP_STRLEN];
	assert_int_equal(parse(ETH ARP_FIXED "0001 " ARP_ADDRS, &p, &f), DROP_NONE);
	assert_int_equal(p.kind, PACKET_ARP);
	assert_int_equal(p.arp_op, 1);
	assert_int_equal(p.arp_sha.b[5], 0x0a);
	assert_string_equal(weft_ip_text(&p.arp_spa, buf), "10.0.0.5");
	assert_string_equal(weft_ip_text(&p.arp_tpa, buf), "10.0.0.1");
	assert_text(&f, &p, "arp who has 10.0.0.1 tell 10.0.0.5 (fa:16:3e:00:00:0a)");
	assert_line(ETH ARP_FIXED "0002 " ARP_ADDRS, "arp 10.0.0.5 is at fa:16:3e:00:00:0a");
	assert_line(ETH "8035 0001 0800 06 04 0003 " ARP_ADDRS, "rarp op 3 for fa:16:3e:00:00:0a");
	// Another hardware type, protocol, address lengths.
	assert_parse(ETH "0806 0006 0800 06 04 0001 " ARP_ADDRS, DROP_BAD_HEADER);
	assert_parse(ETH "0806 0001 86dd 06 04 0001 " ARP_ADDRS, DROP_BAD_HEADER);
	assert_parse(ETH "0806 0001 0800 08 04 0001 " ARP_ADDRS, DROP_BAD_HEADER);
	assert_parse(ETH "0806 0001 0800 06 10 0001 " ARP_ADDRS, DROP_BAD_HEADER);
}

static void ipv4_options_are_stepped_over(void **state)
{
	(void)state;
	struct packet p;
	struct frame f;
	assert_int_equal(parse(ETH "0800 4600 002c 0007 0000 4006 0000 " IP4_ADDRS
				   "94040000 " TCP_SYN,
			       &p, &f),
			 DROP_NONE);
	assert_true(p.has_options);
	assert_int_equal(p.l4, 38);
	assert_int_equal(p.key.dport, htobe16(22));
}

static void ipv6_extension_headers_are_stepped_over(void **state)
{
	(void)state;
	struct packet p;
	struct frame f;
	// Hop-by-hop (router alert), destination options, routing type 4, AH of 24 bytes, then UDP.
	assert_int_equal(parse(IP6("0038", "00") "3c00 0502 0000 0100 2b00 0104 0000 0000 "
						 "3300 0400 0000 0000 1104 0000 00000001 00000001 "
						 "000000000000000000000000 " UDP_8,
			       &p, &f),
			 DROP_NONE);
	assert_true(p.has_options);
	assert_int_equal(p.key.proto, 17);
	assert_int_equal(p.l4, 54 + 48);
	assert_int_equal(p.key.dport, htobe16(53));
	// ESP, mobility and "no next header" end the chain.
	assert_int_equal(parse(IP6("0010", "3c") "3200 0104 0000 0000 " UDP_8, &p, &f), DROP_NONE);
	assert_int_equal(p.key.proto, 50);
	assert_int_equal(parse(IP6("0008", "87") "3b00 0000 0000 0000 ", &p, &f), DROP_NONE);
	assert_int_equal(p.key.proto, 135);
	assert_int_equal(parse(IP6("0000", "3b"), &p, &f), DROP_NONE);
	assert_int_equal(p.key.proto, 59);
	assert_int_equal(p.l4, 0);
	assert_text(&f, &p, "ipv6-nonxt 2001:db8::5 > 2001:db8::9 ttl 64");
}

static void impossible_extension_headers_are_refused(void **state)
{
	(void)state;
	// Hop-by-hop anywhere but first.
	assert_parse(IP6("0018", "3c") "0000 0104 0000 0000 1100 0104 0000 0000 " UDP_8,
		     DROP_BAD_HEADER);
	// An option that runs out of its header; jumbo payload, with and without a length.
	assert_parse(IP6("0010", "3c") "1100 0105 0000 0000 " UDP_8, DROP_BAD_HEADER);
	assert_parse(IP6("0010", "00") "1100 c204 0001 0000 " UDP_8, DROP_BAD_HEADER);
	assert_parse(IP6("0000", "00") "1100 c204 0001 0000 " UDP_8, DROP_BAD_HEADER);
	// Type 0 routing that still travels; at its end it may pass.
	assert_parse(IP6("0010", "2b") "1100 0001 0000 0000 " UDP_8, DROP_BAD_HEADER);
	assert_parse(IP6("0010", "2b") "1100 0000 0000 0000 " UDP_8, DROP_NONE);
	// Longer than the packet.
	assert_parse(IP6("0010", "3c") "1102 0104 0000 0000 " UDP_8, DROP_TRUNCATED);
	// Two fragment headers; AH of a size that IPv6 does not allow.
	assert_parse(IP6("0018", "2c") "2c00 0000 00000001 1100 0000 00000001 " UDP_8,
		     DROP_BAD_HEADER);
	assert_parse(IP6("0014", "33") "1101 0000 00000001 00000001" UDP_8, DROP_BAD_HEADER);
}

static void a_long_chain_of_headers_is_refused(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= 12; n++) {
		struct frame f = {.len = 0};
		struct packet p;
		frame_add(&f, IP6("0000", "3c"));
		f.b[19] = (uint8_t)(8 * n + 8);
		for (unsigned i = 1; i < n; i++)
			frame_add(&f, "3c00 0104 0000 0000");
		frame_add(&f, "1100 0104 0000 0000" UDP_8);
		assert_int_equal(weft_packet_parse(f.b, f.len, f.len, 0, &p),
				 n <= 8 ? DROP_NONE : DROP_BAD_HEADER);
	}
}

static void ipv4_fragments_say_which_they_are(void **state)
{
	(void)state;
	struct packet p;
	struct frame f;
	assert_int_equal(parse(IP4("0024", "2000", "11") "1388 0035 0400 0000 0000000000000000", &p,
			       &f),
			 DROP_NONE);
	assert_int_equal(p.fragment, FRAGMENT_FIRST);
	assert_int_equal(p.frag_id, 7);
	assert_int_equal(p.key.dport, htobe16(53));
	assert_text(&f, &p, "udp 10.0.0.5:5000 > 10.0.0.9:53 ttl 64 first fragment id 7");
	assert_int_equal(parse(IP4("001c", "00b9", "11") UDP_8, &p, &f), DROP_NONE);
	assert_int_equal(p.fragment, FRAGMENT_LATER);
	assert_int_equal(p.frag_offset, 1480);
	assert_int_equal(p.l4, 0);
	assert_int_equal(p.key.sport, 0);
	assert_text(&f, &p, "udp 10.0.0.5 > 10.0.0.9 ttl 64 fragment id 7 offset 1480");
	// Don't fragment alone is no fragment.
	assert_int_equal(parse(IP4("001c", "4000", "11") UDP_8, &p, &f), DROP_NONE);
	assert_int_equal(p.fragment, FRAGMENT_NONE);
}

static void impossible_fragments_are_refused(void **state)
{
	(void)state;
	// Not a multiple of 8 with more to come; nothing in it; beyond 64 KiB; the transport
	// header cut.
	assert_parse(IP4("0025", "2000", "11") "1388 0035 0400 0000 000000000000000000",
		     DROP_BAD_HEADER);
	assert_parse(IP4("0014", "2000", "11"), DROP_BAD_HEADER);
	assert_parse(IP4("001c", "1fff", "11") UDP_8, DROP_BAD_HEADER);
	assert_parse(IP4("0024", "2000", "06") "04d2 0016 00000000 00000000 5002 2000",
		     DROP_FRAG_TINY);
	// TCP options in the next fragment.
	assert_parse(IP4("002c", "2000", "06") "04d2 0016 00000000 00000000 f002 2000 00000000 "
					       "00000000",
		     DROP_FRAG_TINY);
	// IPv6: the header chain goes on in the next fragment (RFC 7112).
	assert_parse(IP6("0010", "2c") "3c00 0001 00000001 1101 0104 0000 0000", DROP_FRAG_TINY);
	assert_parse(IP6("0010", "2c") "0600 0001 00000001 04d2 0016 00000000", DROP_FRAG_TINY);
}

static void ipv6_fragments_say_which_they_are(void **state)
{
	(void)state;
	struct packet p;
	struct frame f;
	assert_int_equal(parse(IP6("0018", "2c") "1100 0001 01020304 1388 0035 0400 0000 "
						 "0000000000000000",
			       &p, &f),
			 DROP_NONE);
	assert_int_equal(p.fragment, FRAGMENT_FIRST);
	assert_int_equal(p.frag_id, 0x01020304);
	assert_int_equal(p.key.dport, htobe16(53));
	assert_int_equal(parse(IP6("0010", "2c") "1100 05c8 01020304 " UDP_8, &p, &f), DROP_NONE);
	assert_int_equal(p.fragment, FRAGMENT_LATER);
	assert_int_equal(p.frag_offset, 1480);
	assert_int_equal(p.key.proto, 17);
	assert_int_equal(p.l4, 0);
	// The whole datagram in one fragment (RFC 6946) is as good as none.
	assert_int_equal(parse(IP6("0010", "2c") "1100 0000 01020304 " UDP_8, &p, &f), DROP_NONE);
	assert_int_equal(p.fragment, FRAGMENT_NONE);
	assert_int_equal(p.key.dport, htobe16(53));
}

static void dhcp_is_named_in_the_text(void **state)
{
	(void)state;
	struct frame f = frame_hex(IP4("0110", "0000", "11") "0044 0043 00fc 0000");
	struct packet p;
	memset(f.b + f.len, 0, 244);
	memcpy(f.b + f.len + 240, "\x35\x01\x01\xff", 4);
	f.len += 244;
	assert_int_equal(weft_packet_parse(f.b, f.len, f.len, 0, &p), DROP_NONE);
	assert_text(&f, &p, "udp 10.0.0.5:68 > 10.0.0.9:67 dhcp discover ttl 64");
	assert_text(&(struct frame) {.len = 0}, &p, "udp 10.0.0.5:68 > 10.0.0.9:67 dhcp ttl 64");
}

static void text_fits_its_buffer(void **state)
{
	(void)state;
	struct packet p;
	struct frame f;
	char buf[64];
	assert_int_equal(parse(IP4("0028", "0000", "06") TCP_SYN, &p, &f), DROP_NONE);
	for (size_t size = 1; size < sizeof(buf); size++) {
		memset(buf, '#', sizeof(buf));
		weft_packet_text(f.b, f.len, &p, buf, size);
		assert_true(strlen(buf) < size);
		assert_int_equal(buf[size], '#');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_has_its_five_tuple_and_flags),
		cmocka_unit_test(ports_are_read_of_every_protocol_that_has_them),
		cmocka_unit_test(other_protocols_have_no_ports),
		cmocka_unit_test(padding_behind_the_packet_is_no_part_of_it),
		cmocka_unit_test(only_the_first_segment_is_read),
		cmocka_unit_test(every_shorter_frame_is_truncated),
		cmocka_unit_test(impossible_headers_are_refused),
		cmocka_unit_test(other_ethertypes_are_only_named),
		cmocka_unit_test(arp_is_read_whole),
		cmocka_unit_test(ipv4_options_are_stepped_over),
		cmocka_unit_test(ipv6_extension_headers_are_stepped_over),
		cmocka_unit_test(impossible_extension_headers_are_refused),
		cmocka_unit_test(a_long_chain_of_headers_is_refused),
		cmocka_unit_test(ipv4_fragments_say_which_they_are),
		cmocka_unit_test(impossible_fragments_are_refused),
		cmocka_unit_test(ipv6_fragments_say_which_they_are),
		cmocka_unit_test(dhcp_is_named_in_the_text),
		cmocka_unit_test(text_fits_its_buffer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
