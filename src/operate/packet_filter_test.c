// SPDX-License-Identifier: Apache-2.0
#include "operate/packet_filter.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct datapath_filter filter(const char *text)
{
	struct datapath_filter f;
	struct err err = {0};

	if (weft_packet_filter(text, &f, &err) != 0)
		fail_msg("%s", err.msg);
	return f;
}

static void assert_end(const struct datapath_end *e, const char *ip, int port)
{
	char text[WEFT_IP_STRLEN];

	assert_string_equal(e->ip.family == 0 ? "any" : weft_ip_text(&e->ip, text), ip);
	assert_int_equal(e->has_port ? e->port : -1, port);
}

static void a_filter_is_spelled_as_a_packet_is(void **state)
{
	struct datapath_filter f = filter("tcp 10.0.0.5:1234 > 10.0.0.9:22");

	(void)state;
	assert_int_equal(f.protocol, 6);
	assert_end(&f.ends[0], "10.0.0.5", 1234);
	assert_end(&f.ends[1], "10.0.0.9", 22);
	f = filter("udp > [fd00::9]:53");
	assert_int_equal(f.protocol, 17);
	assert_end(&f.ends[0], "any", -1);
	assert_end(&f.ends[1], "fd00::9", 53);
	f = filter("icmp fd00::9");
	assert_int_equal(f.protocol, 1);
	assert_end(&f.ends[0], "fd00::9", -1);
	f = filter("ARP 10.0.0.1");
	assert_int_equal(f.ethertype, 0x0806);
	assert_end(&f.ends[0], "10.0.0.1", -1);
	assert_int_equal(filter("ip proto=47 10.0.0.1").protocol, 47);
}

static void what_is_left_out_is_any(void **state)
{
	struct datapath_filter f = filter("");

	(void)state;
	assert_int_equal(f.protocol, 0);
	assert_end(&f.ends[0], "any", -1);
	f = filter(":443");
	assert_int_equal(f.protocol, 0);
	assert_end(&f.ends[0], "any", 443);
	assert_end(&f.ends[1], "any", -1);
}

static void what_is_none_is_said_with_the_place(void **state)
{
	static const char *const wrong[] = {
		"tpc",
		"tcp >",
		"tcp 10.0.0.300",
		"10.0.0.1 10.0.0.2",
		"10.0.0.1 > :2 :3",
		"ip",
		"ip proto=0",
		":65536",
		"arp :1",
		"tcp 10.0.0.1:x",
		"ip proto=47 > ",
	};
	struct datapath_filter f;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(weft_packet_filter(wrong[i], &f, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "forms: "));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_filter_is_spelled_as_a_packet_is),
		cmocka_unit_test(what_is_left_out_is_any),
		cmocka_unit_test(what_is_none_is_said_with_the_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
