// SPDX-License-Identifier: Apache-2.0
#include "operate/packet_text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static bool resolve(void *arg, const struct ip_addr *ip, struct mac_addr *out)
{
	char text[WEFT_IP_STRLEN];

	(void)arg;
	weft_ip_text(ip, text);
	if (strcmp(text, "10.0.0.9") != 0 && strcmp(text, "2001:db8::9") != 0)
		return false;
	weft_mac_parse("fa:16:3e:00:00:09", out);
	return true;
}

static struct packet_sender sender(void)
{
	struct packet_sender s = {.resolve = resolve};

	weft_mac_parse("fa:16:3e:00:00:05", &s.mac);
	weft_ip_parse("10.0.0.5", &s.ip4);
	weft_ip_parse("2001:db8::5", &s.ip6);
	return s;
}

static void expect(const char *text, const char *hex)
{
	struct packet_sender from = sender();
	uint8_t frame[PACKET_FRAME_MAX];
	char got[1024] = "";
	struct err err = {0};
	size_t len;

	if (weft_packet_from_text(text, &from, frame, &len, &err) != 0)
		fail_msg("%s", err.msg);
	for (size_t i = 0; i < len; i++)
		sprintf(got + 2 * i, "%02x", frame[i]);
	assert_string_equal(got, hex);
}

static void refuse(const char *text, const char *part)
{
	struct packet_sender from = sender();
	uint8_t frame[PACKET_FRAME_MAX];
	struct err err = {0};
	size_t len;

	assert_int_equal(weft_packet_from_text(text, &from, frame, &len, &err), -EINVAL);
	if (strstr(err.msg, part) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", err.msg, part);
}

#define MACS "fa163e000009fa163e000005"

// The expected frames, checksums included, were made with scapy.
static void a_tcp_packet_is_a_syn_from_the_port(void **state)
{
	const char *hex = MACS "080045000028000140004006"
			       "26c2"
			       "0a0000050a000009"
			       "9c400016000000010000000050"
			       "02ffff"
			       "ff7d"
			       "0000";

	(void)state;
	expect("tcp 10.0.0.9:22", hex);
	expect("tcp > 10.0.0.9:22", hex);
	expect("TCP 10.0.0.5:40000 > 10.0.0.9:22 syn", hex);
	expect("tcp 10.0.0.5 -> [10.0.0.9]:22 SYN ttl=64", hex);
}

static void the_length_and_the_checksum_of_udp_cover_the_payload(void **state)
{
	(void)state;
	expect("udp [2001:db8::5]:53 > [2001:db8::9]:99 len=3",
	       MACS "86dd60000000000b1140"
		    "20010db8000000000000000000000005"
		    "20010db8000000000000000000000009"
		    "00350063000ba3c0000000");
}

static void icmp_takes_its_version_from_the_addresses(void **state)
{
	(void)state;
	expect("icmp 10.0.0.9 type=3 code=1", MACS "08004500001c0001400040"
						   "01"
						   "26d3"
						   "0a0000050a000009"
						   "0301fcfc00010001");
	expect("icmp 2001:db8::9", MACS "86dd6000000000083a40"
					"20010db8000000000000000000000005"
					"20010db8000000000000000000000009"
					"8000243b0001"
					"0001");
}

static void arp_asks_and_announces(void **state)
{
	(void)state;
	expect("arp who-has 10.0.0.1", "fffffffffffffa163e0000050806"
				       "0001080006040001fa163e0000050a000005"
				       "0000000000000a000001");
	expect("arp reply 10.0.0.1 is-at 02:00:00:00:00:01 dmac=fa:16:3e:00:00:09",
	       MACS "0806"
		    "00010800060400020200000000010a000001"
		    "0000000000000a000001");
}

static void neighbour_discovery_goes_to_the_solicited_node(void **state)
{
	(void)state;
	expect("nd who-has 2001:db8::9", "3333ff000009fa163e00000586dd6000000000203aff"
					 "20010db8000000000000000000000005"
					 "ff0200000000000000000001ff000009"
					 "8700"
					 "e5f9"
					 "0000000020010db8000000000000000000000009"
					 "0101fa163e000005");
}

static void tags_macs_and_other_protocols_are_given_as_keys(void **state)
{
	(void)state;
	expect("ip 10.0.0.9 proto=47 vlan=7 smac=02:00:00:00:00:01 len=2",
	       "fa163e0000090200000000018100000708004500001600014000402f"
	       "26ab"
	       "0a0000050a0000090000");
	expect("ether type=0x88cc", "fffffffffffffa163e00000588cc"
				    "0000000000000000000000000000000000000000000000"
				    "0000000000000000000000000000000000000000000000");
}

static void an_address_that_nobody_has_goes_to_a_mac_that_nobody_has(void **state)
{
	struct packet_sender from = sender();
	uint8_t frame[PACKET_FRAME_MAX];
	struct err err;
	size_t len;

	(void)state;
	assert_int_equal(weft_packet_from_text("udp 10.0.0.77:1", &from, frame, &len, &err), 0);
	assert_memory_equal(frame, "\xfe\xff\xff\xff\xff\xff", 6);
	assert_int_equal(weft_packet_from_text("udp 224.0.0.251:1", &from, frame, &len, &err), 0);
	assert_memory_equal(frame, "\x01\x00\x5e\x00\x00\xfb", 6);
	assert_int_equal(weft_packet_from_text("dhcp discover", &from, frame, &len, &err), 0);
	assert_memory_equal(frame, "\xff\xff\xff\xff\xff\xff", 6);
	assert_int_equal(len, 14 + 20 + 8 + 244);
}

static void bad_text_shows_where_it_went_wrong_and_the_form(void **state)
{
	(void)state;
	refuse("", "a packet begins with its kind");
	refuse("tpc 10.0.0.9:22", "at \"tpc\"");
	refuse("tcp 10.0.0.9", "needs a port");
	refuse("tcp 10.0.0.9:99999", "destination address");
	refuse("tcp 10.0.0.5 > 2001:db8::9", "port");
	refuse("tcp 10.0.0.5 > [2001:db8::9]:1", "different families");
	refuse("tcp 10.0.0.9:22 snyack", "at \"snyack\"");
	refuse("udp 10.0.0.9:22 syn", "at \"syn\"");
	refuse("tcp 10.0.0.9:22 ttl=256", "out of range");
	refuse("tcp 10.0.0.9:22 type=8", "unknown here");
	refuse("icmp 10.0.0.9:1", "no ports");
	refuse("ip 10.0.0.9", "proto=");
	refuse("arp 10.0.0.9", "who-has or reply");
	refuse("arp who-has 2001:db8::9", "IPv4");
	refuse("tcp 10.0.0.9:22 =", "at \"\"");
	refuse("udp 10.0.0.9:", "forms: ");
}

static void a_frame_is_read_as_hexadecimal(void **state)
{
	uint8_t frame[PACKET_FRAME_MAX];
	struct err err;
	size_t len;

	(void)state;
	assert_int_equal(weft_packet_from_hex("ff:ff:ff:ff:ff:ff fa163e000005 88CC 01", frame, &len,
					      &err),
			 0);
	assert_int_equal(len, 15);
	assert_memory_equal(frame + 12, "\x88\xcc\x01", 3);
	assert_int_equal(weft_packet_from_hex("ffff", frame, &len, &err), -EINVAL);
	assert_int_equal(weft_packet_from_hex("fg", frame, &len, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tcp_packet_is_a_syn_from_the_port),
		cmocka_unit_test(the_length_and_the_checksum_of_udp_cover_the_payload),
		cmocka_unit_test(icmp_takes_its_version_from_the_addresses),
		cmocka_unit_test(arp_asks_and_announces),
		cmocka_unit_test(neighbour_discovery_goes_to_the_solicited_node),
		cmocka_unit_test(tags_macs_and_other_protocols_are_given_as_keys),
		cmocka_unit_test(an_address_that_nobody_has_goes_to_a_mac_that_nobody_has),
		cmocka_unit_test(bad_text_shows_where_it_went_wrong_and_the_form),
		cmocka_unit_test(a_frame_is_read_as_hexadecimal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
