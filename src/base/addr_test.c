// SPDX-License-Identifier: Apache-2.0
#include "base/addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct ip_addr ip(const char *text)
{
	struct ip_addr a;
	assert_int_equal(weft_ip_parse(text, &a), 0);
	return a;
}

static struct ip_prefix net(const char *text)
{
	struct ip_prefix p;
	assert_int_equal(weft_prefix_parse(text, &p), 0);
	return p;
}

static void mac_is_read_and_written(void **state)
{
	(void)state;
	struct mac_addr mac, other;
	char buf[WEFT_MAC_STRLEN];
	assert_int_equal(weft_mac_parse("FA:16:3e:00:0a:ff", &mac), 0);
	assert_string_equal(weft_mac_text(&mac, buf), "fa:16:3e:00:0a:ff");
	assert_int_equal(weft_mac_parse("fa-16-3e-00-0a-ff", &other), 0);
	assert_true(weft_mac_equal(&mac, &other));
	assert_false(weft_mac_is_multicast(&mac));
	const char *bad[] = {"",
			     "fa:16:3e:00:0a",
			     "fa:16:3e:00:0a:fg",
			     "fa:16-3e:00:0a:ff",
			     "fa:16:3e:00:0a:ff ",
			     "fa163e000aff",
			     "fa:16:3e:00:0a:f"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(weft_mac_parse(bad[i], &other) < 0);
	assert_true(weft_mac_equal(&mac, &other)); // refused text leaves it alone
}

static void address_text_is_canonical(void **state)
{
	(void)state;
	static const char *pairs[][2] = {
		{"10.0.0.1", "10.0.0.1"},
		{"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
		{"2001:db8:0:1:0:0:0:0", "2001:db8:0:1::"},
		{"::", "::"},
		{"fe80::1", "fe80::1"},
	};
	char buf[WEFT_IP_STRLEN];
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct ip_addr a = ip(pairs[i][0]);
		assert_string_equal(weft_ip_text(&a, buf), pairs[i][1]);
	}
	struct ip_addr a;
	assert_true(weft_ip_parse("010.0.0.1", &a) < 0);
	assert_true(weft_ip_parse("10.0.0", &a) < 0);
	assert_true(weft_ip_parse("10.0.0.1/8", &a) < 0);
	assert_true(weft_ip_parse("", &a) < 0);
}

static void prefix_text_is_strict(void **state)
{
	(void)state;
	struct ip_prefix p;
	char buf[WEFT_NET_STRLEN];
	p = net("10.0.0.5");
	assert_string_equal(weft_prefix_text(&p, buf), "10.0.0.5/32");
	p = net("2001:db8::5");
	assert_string_equal(weft_prefix_text(&p, buf), "2001:db8::5/128");
	p = net("0.0.0.0/0");
	assert_int_equal(p.len, 0);
	const char *bad[] = {"10.0.0.0/33", "10.0.0.0/",    "10.0.0.0/ 8", "10.0.0.0/+8",
			     "10.0.0.0/8x", "::/129",	    "/8",	   "10.0.0.0/8/8",
			     "10.0.0.0/-1", "10.0.0.0/0008"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(weft_prefix_parse(bad[i], &p) < 0);
}

static void host_bits_are_masked_at_any_length(void **state)
{
	(void)state;
	char buf[WEFT_NET_STRLEN];
	struct ip_prefix p = net("10.20.255.77/18");
	struct ip_prefix masked = weft_prefix_masked(&p);
	assert_string_equal(weft_prefix_text(&masked, buf), "10.20.192.0/18");
	assert_true(weft_prefix_equal(&p, &masked));
	struct ip_addr last = weft_prefix_last(&p);
	assert_string_equal(weft_ip_text(&last, buf), "10.20.255.255");
	p = net("2001:db8:ffff::1/33");
	struct ip_addr first = weft_prefix_first(&p);
	assert_string_equal(weft_ip_text(&first, buf), "2001:db8:8000::");
	p = net("1.2.3.4/0");
	first = weft_prefix_first(&p);
	assert_string_equal(weft_ip_text(&first, buf), "0.0.0.0");
}

static void containment_stops_at_the_prefix_and_the_family(void **state)
{
	(void)state;
	struct ip_prefix p = net("10.0.0.0/23");
	struct ip_addr a = ip("10.0.1.255"), b = ip("10.0.2.0"), c = ip("::a00:0");
	assert_true(weft_prefix_contains(&p, &a));
	assert_false(weft_prefix_contains(&p, &b));
	assert_false(weft_prefix_contains(&p, &c));
	struct ip_prefix inner = net("10.0.1.0/24"), outer = net("10.0.0.0/8"),
			 aside = net("10.0.2.0/23"), any6 = net("::/0");
	assert_true(weft_prefix_overlaps(&p, &inner));
	assert_true(weft_prefix_overlaps(&inner, &p));
	assert_true(weft_prefix_overlaps(&p, &outer));
	assert_false(weft_prefix_overlaps(&p, &aside));
	assert_false(weft_prefix_overlaps(&any6, &p));
	assert_false(weft_prefix_equal(&p, &inner));
}

static void addition_carries_and_stays_in_the_family(void **state)
{
	(void)state;
	struct ip_addr a = ip("10.0.0.255"), out, want;
	assert_true(weft_ip_add(&a, 1, &out));
	want = ip("10.0.1.0");
	assert_true(weft_ip_equal(&out, &want));
	a = ip("255.255.255.255");
	assert_false(weft_ip_add(&a, 1, &out));
	a = ip("0.0.0.1");
	assert_false(weft_ip_add(&a, 1ull << 32, &out));
	a = ip("2001:db8::ffff:ffff:ffff:ffff");
	assert_true(weft_ip_add(&a, 1, &out));
	want = ip("2001:db8:0:1::");
	assert_true(weft_ip_equal(&out, &want));
	a = ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	assert_false(weft_ip_add(&a, 1, &out));
}

static void order_is_by_family_then_bytes(void **state)
{
	(void)state;
	struct ip_addr a = ip("9.255.0.0"), b = ip("10.0.0.0"), c = ip("::1");
	assert_true(weft_ip_compare(&a, &b) < 0);
	assert_true(weft_ip_compare(&b, &a) > 0);
	assert_true(weft_ip_compare(&b, &c) < 0);
	assert_int_equal(weft_ip_compare(&c, &c), 0);
}

static void special_ranges_are_recognised(void **state)
{
	(void)state;
	struct ip_addr m4 = ip("239.1.1.1"), u4 = ip("223.1.1.1"), m6 = ip("ff02::1"),
		       l6 = ip("febf::1"), g6 = ip("fec0::1"), l4 = ip("169.254.169.254");
	assert_true(weft_ip_is_multicast(&m4));
	assert_false(weft_ip_is_multicast(&u4));
	assert_true(weft_ip_is_multicast(&m6));
	assert_true(weft_ip_is_link_local(&l6));
	assert_false(weft_ip_is_link_local(&g6));
	assert_true(weft_ip_is_link_local(&l4));
}

static void link_local_address_is_eui64_of_the_mac(void **state)
{
	(void)state;
	struct mac_addr mac;
	char buf[WEFT_IP_STRLEN];
	assert_int_equal(weft_mac_parse("fa:16:3e:01:02:03", &mac), 0);
	struct ip_addr a = weft_ip_link_local_of(&mac);
	assert_string_equal(weft_ip_text(&a, buf), "fe80::f816:3eff:fe01:203");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mac_is_read_and_written),
		cmocka_unit_test(address_text_is_canonical),
		cmocka_unit_test(prefix_text_is_strict),
		cmocka_unit_test(host_bits_are_masked_at_any_length),
		cmocka_unit_test(containment_stops_at_the_prefix_and_the_family),
		cmocka_unit_test(addition_carries_and_stays_in_the_family),
		cmocka_unit_test(order_is_by_family_then_bytes),
		cmocka_unit_test(special_ranges_are_recognised),
		cmocka_unit_test(link_local_address_is_eui64_of_the_mac),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
