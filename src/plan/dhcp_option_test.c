// SPDX-License-Identifier: Apache-2.0
#include "plan/dhcp_option.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void expect(const char *name, const char *value, uint8_t code, const void *bytes, size_t len)
{
	struct plan_dhcp_option o;
	struct err err = {0};

	if (weft_dhcp_option_encode(4, name, value, &o, &err) != 0)
		fail_msg("%s", err.msg);
	assert_int_equal(o.family, 4);
	assert_int_equal(o.code, code);
	assert_int_equal(o.len, len);
	assert_memory_equal(o.value, bytes, len);
}

static void refuse(const char *name, const char *value)
{
	struct plan_dhcp_option o;
	struct err err = {0};

	assert_int_equal(weft_dhcp_option_encode(4, name, value, &o, &err), -EINVAL);
	assert_non_null(strstr(err.msg, name));
}

static void an_option_has_one_code_however_it_is_named(void **state)
{
	(void)state;
	expect("mtu", "1400", 26, "\x05\x78", 2);
	expect("interface-mtu", "1400", 26, "\x05\x78", 2);
	expect("26", "1400", 26, "\x05\x78", 2);
	expect("option:mtu", "1400", 26, "\x05\x78", 2);
	expect("option:26", "1400", 26, "\x05\x78", 2);
	expect("bootfile_name", "pxelinux.0", 67, "pxelinux.0", 10);
}

static void addresses_are_a_list_of_four_bytes_each(void **state)
{
	(void)state;
	expect("dns-server", "10.0.0.2,10.0.0.3", 6, "\x0a\0\0\x02\x0a\0\0\x03", 8);
	expect("dns-server", "10.0.0.2, 10.0.0.3", 6, "\x0a\0\0\x02\x0a\0\0\x03", 8);
	expect("server-ip-address", "192.0.2.1", 150, "\xc0\0\x02\x01", 4);
	refuse("ntp-server", "2001:db8::1");
	refuse("router", "not-an-address");
}

static void search_domains_are_labels(void **state)
{
	(void)state;
	expect("domain-search", "a.example,b", 119, "\1a\7example\0\1b\0", 14);
	refuse("domain-search", "a..b");
}

static void classless_routes_carry_only_significant_bytes(void **state)
{
	(void)state;
	expect("classless-static-route", "10.1.128.0/17,10.0.0.1,0.0.0.0/0,10.0.0.9", 121,
	       "\x11\x0a\x01\x80\x0a\0\0\x01\0\x0a\0\0\x09", 13);
	refuse("classless-static-route", "10.1.0.0/16");
}

static void a_number_without_a_name_takes_its_form_from_the_value(void **state)
{
	(void)state;
	expect("224", "de:ad", 224, "\xde\xad", 2);
	expect("224", "300", 224, "\x01\x2c", 2);
	expect("224", "7", 224, "\x07", 1);
	expect("224", "10.0.0.1", 224, "\x0a\0\0\x01", 4);
	expect("224", "some text", 224, "some text", 9);
}

// What dnsmasq 2.90 sent for these.
static void values_are_read_as_dnsmasq_reads_them(void **state)
{
	(void)state;
	expect("224", "0xdeadbeef", 224, "0xdeadbeef", 10);
	expect("224", "de:ad:be:ef", 224, "\xde\xad\xbe\xef", 4);
	expect("224", "f:0", 224, "\x0f\0", 2);
	expect("224", "1:2", 224, "\1\2", 2);
	expect("224", "*:01", 224, "*:01", 4);
	expect("224", "aa:g", 224, "aa:g", 4);
	expect("224", "dead", 224, "dead", 4);
	expect("224", "70000", 224, "\0\1\x11\x70", 4);
	expect("224", "4294967295", 224, "\xff\xff\xff\xff", 4);
	expect("224", "5b", 224, "\5", 1);
	expect("224", "5s", 224, "\0\5", 2);
	expect("224", "5i", 224, "\0\0\0\5", 4);
	expect("224", "-1", 224, "\xff\xff\xff\xff", 4);
	expect("224", "-1s", 224, "\xff\xff", 2);
	expect("224", "-128b", 224, "\x80", 1);
	expect("224", "1h", 224, "1h", 2);
	expect("224", "10.0.0.0/24", 224, "\x18\x0a\0\0", 4);
	expect("224", "10.0.0.0/24,10.0.0.1", 224, "\x18\x0a\0\0\x0a\0\0\1", 8);
	expect("224", "10.0.0.1,x", 224, "10.0.0.1,x", 10);
	expect("224", "\"1\"", 224, "1", 1);
	expect("224", "\"a,b\"", 224, "a,b", 3);
	expect("224", "a\"b c\"d", 224, "ab cd", 5);
	expect("224", "\"a\\\"b\"", 224, "a\"b", 3);
	expect("224", "\"a\\\\b\"", 224, "a\\b", 3);
	expect("224", "a #b", 224, "a", 1);
	expect("224", "a#b", 224, "a#b", 3);
	expect("224", "  lead ", 224, "lead", 4);
	expect("249", "10.1.128.1/17,10.0.0.1", 249, "\x11\x0a\1\x80\x0a\0\0\1", 8);
	expect("time-offset", "-18000", 2, "\xff\xff\xb9\xb0", 4);
	expect("domain-name", "1234", 15, "1234", 4);
	expect("domain-name", "\"quoted, text\"", 15, "quoted, text", 12);
	expect("root-path", "/srv/x,nolock", 17, "/srv/x,nolock", 13);
	expect("bootfile-name", "01:02:03", 67, "01:02:03", 8);
	expect("66", "10.0.0.7", 66, "10.0.0.7", 8);
	expect("posix-timezone", "EST5EDT4,M3.2.0/02:00", 100, "EST5EDT4,M3.2.0/02:00", 21);
	expect("vendor-class", "PXEClient", 60, "PXEClient", 9);
	expect("vendor-class", "01:02", 60, "\1\2", 2);
	expect("vendor-class", "1234", 60, "\4\xd2", 2);
	expect("user-class", "a:b", 77, "\x0a\x0b", 2);
	expect("netbios-scope", "12", 47, "\x0c", 1);
	expect("43", "01:04:ff", 43, "\1\4\xff", 3);
	expect("vendor-id-encap", "foo", 125, "foo", 3);
	expect("client-arch", "7", 93, "\0\7", 2);
	expect("client-machine-id", "00:11", 97, "\0\x11", 2);
	expect("rapid-commit", "1", 80, "\1", 1);
	expect("sip-server", "10.0.0.5,10.0.0.6", 120, "\1\x0a\0\0\5\x0a\0\0\6", 9);
	expect("sip-server", "a.example", 120, "\0\1a\7example\0", 12);
	expect("T1", "90s", 58, "\0\0\0\x5a", 4);
	expect("T2", "2H", 59, "\0\0\x1c\x20", 4);
	expect("T2", "1w", 59, "\0\x09\x3a\x80", 4);
	expect("T2", "infinite", 59, "\xff\xff\xff\xff", 4);
	expect("58", "3600", 58, "\0\0\x0e\x10", 4);
	// It refuses these, too.
	refuse("ntp-server", "pool.ntp.org");
	refuse("dns-server", "fd00::1");
	// It sends what its own limits leave of these; nobody can want that.
	refuse("mtu", "abc");
	refuse("224", "300b");
	refuse("T1", "1x");
	refuse("T1", "8000w");
	refuse("time-offset", "-2147483649");
}

static void expect6(const char *name, const char *value, uint8_t code, const void *bytes,
		    size_t len)
{
	struct plan_dhcp_option o;
	struct err err = {0};

	if (weft_dhcp_option_encode(6, name, value, &o, &err) != 0)
		fail_msg("%s", err.msg);
	assert_int_equal(o.family, 6);
	assert_int_equal(o.code, code);
	assert_int_equal(o.len, len);
	assert_memory_equal(o.value, bytes, len);
}

static void dhcpv6_has_names_and_numbers_of_its_own(void **state)
{
	struct plan_dhcp_option o;
	struct err err = {0};

	(void)state;
	expect6("dns-server", "2001:db8::1", 23, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	expect6("option6:dns-server", "::1,::2", 23,
		"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 32);
	expect6("domain_search", "a.example,b", 24, "\1a\7example\0\1b\0", 14);
	expect6("ntp-server", "::3", 56, "\0\1\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\3", 20);
	expect6("ntp-server", "ff05::101,a.b", 56,
		"\0\2\0\x10\xff\5\0\0\0\0\0\0\0\0\0\0\0\0\1\1\0\3\0\5\1a\1b\0", 29);
	expect6("dns-server", "[::1], [::2]", 23,
		"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 32);
	expect6("information-refresh-time", "10m", 32, "\0\0\2\x58", 4);
	expect6("bootfile-url", "tftp://[::1]/x", 59, "tftp://[::1]/x", 14);
	expect6("bootfile-param", "root,quiet", 60, "\0\4root\0\5quiet", 13);
	expect6("information-refresh-time", "600", 32, "\0\0\2\x58", 4);
	expect6("200", "::1", 200, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	assert_int_equal(weft_dhcp_option_encode(6, "mtu", "1400", &o, &err), -EINVAL);
	assert_int_equal(weft_dhcp_option_encode(6, "dns-server", "10.0.0.1", &o, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "IPv6"));
}

static void nonsense_is_refused_with_its_name(void **state)
{
	char text[300];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	refuse("no-such-option", "1");
	refuse("0", "1");
	refuse("255", "1");
	refuse("mtu", "65536");
	refuse("mtu", "-1");
	refuse("default-ttl", "256");
	refuse("domain-name", "");
	refuse("domain-name", text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_option_has_one_code_however_it_is_named),
		cmocka_unit_test(addresses_are_a_list_of_four_bytes_each),
		cmocka_unit_test(search_domains_are_labels),
		cmocka_unit_test(classless_routes_carry_only_significant_bytes),
		cmocka_unit_test(a_number_without_a_name_takes_its_form_from_the_value),
		cmocka_unit_test(values_are_read_as_dnsmasq_reads_them),
		cmocka_unit_test(dhcpv6_has_names_and_numbers_of_its_own),
		cmocka_unit_test(nonsense_is_refused_with_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
