// SPDX-License-Identifier: Apache-2.0
#include "model/address_use.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct ip_addr ip(const char *text)
{
	struct ip_addr a;
	assert_int_equal(weft_ip_parse(text, &a), 0);
	return a;
}

static void assert_next(struct address_use *u, const char *first, const char *last,
			const char *want)
{
	struct ip_addr lo = ip(first), hi = ip(last), got;
	char buf[WEFT_IP_STRLEN];
	assert_true(weft_address_use_find(u, &lo, &hi, &got));
	assert_string_equal(weft_ip_text(&got, buf), want);
	weft_address_use_set(u, &got, true);
}

static void search_goes_on_where_it_ended_and_wraps(void **state)
{
	(void)state;
	struct address_use *u = weft_address_use_new();
	struct ip_addr lo = ip("10.0.0.1"), hi = ip("10.0.0.4"), got, freed = ip("10.0.0.1");
	assert_next(u, "10.0.0.1", "10.0.0.4", "10.0.0.1");
	weft_address_use_set(u, &freed, false);
	assert_next(u, "10.0.0.1", "10.0.0.4", "10.0.0.2");
	assert_next(u, "10.0.0.1", "10.0.0.4", "10.0.0.3");
	assert_next(u, "10.0.0.1", "10.0.0.4", "10.0.0.4");
	assert_next(u, "10.0.0.1", "10.0.0.4", "10.0.0.1");
	assert_false(weft_address_use_find(u, &lo, &hi, &got));
	weft_address_use_free(u);
}

static void marks_are_idempotent_and_leave_nothing(void **state)
{
	(void)state;
	struct address_use *u = weft_address_use_new();
	struct ip_addr a = ip("10.0.0.1"), b = ip("10.0.4.1");
	assert_true(weft_address_use_is_empty(u));
	weft_address_use_set(u, &a, false);
	weft_address_use_set(u, &a, true);
	weft_address_use_set(u, &a, true);
	assert_true(weft_address_use_has(u, &a));
	assert_false(weft_address_use_has(u, &b));
	weft_address_use_set(u, &a, false);
	assert_true(weft_address_use_is_empty(u));
	weft_address_use_free(u);
}

static void full_chunks_are_skipped_to_the_one_hole(void **state)
{
	(void)state;
	struct address_use *u = weft_address_use_new();
	struct ip_addr lo = ip("10.0.0.0"), a;
	for (uint64_t i = 0; i < 65536; i++) {
		assert_true(weft_ip_add(&lo, i, &a));
		weft_address_use_set(u, &a, i != 51234);
	}
	assert_next(u, "10.0.0.0", "10.0.255.255", "10.0.200.34");
	weft_address_use_free(u);
}

static void ranges_end_at_the_end_of_the_address_space(void **state)
{
	(void)state;
	struct address_use *u = weft_address_use_new();
	struct ip_addr lo = ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"),
		       hi = ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), got;
	assert_next(u, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe",
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe");
	assert_next(u, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe",
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	assert_false(weft_address_use_find(u, &lo, &hi, &got));
	assert_next(u, "255.255.255.255", "255.255.255.255", "255.255.255.255");
	weft_address_use_free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(search_goes_on_where_it_ended_and_wraps),
		cmocka_unit_test(marks_are_idempotent_and_leave_nothing),
		cmocka_unit_test(full_chunks_are_skipped_to_the_one_hole),
		cmocka_unit_test(ranges_end_at_the_end_of_the_address_space),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
