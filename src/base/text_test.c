// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void text_grows_by_any_amount(void **state)
{
	(void)state;
	struct text t = {0};
	for (int i = 0; i < 1000; i++)
		weft_text_add(&t, "%d,", i % 10);
	assert_int_equal(t.len, 2000);
	assert_int_equal(strlen(t.s), 2000);
	weft_text_add(&t, "%*s", 5000, "x");
	assert_int_equal(strlen(t.s), 7000);
	weft_text_fini(&t);
	assert_null(t.s);
}

static void uuid_is_random_version_4(void **state)
{
	(void)state;
	char a[37], b[37];
	weft_uuid_new(a);
	weft_uuid_new(b);
	assert_string_not_equal(a, b);
	assert_int_equal(a[14], '4');
	assert_non_null(strchr("89ab", a[19]));
	assert_int_equal(weft_uuid_check(a), 0);
}

static void malformed_uuid_is_refused(void **state)
{
	(void)state;
	assert_true(weft_uuid_check("") < 0);
	assert_true(weft_uuid_check("a6f9d2f0-5c0e-4a35-9a2e-0a0b0c0d0e0") < 0);
	assert_true(weft_uuid_check("a6f9d2f0-5c0e-4a35-9a2e-0a0b0c0d0e0f0") < 0);
	assert_true(weft_uuid_check("a6f9d2f005c0e-4a35-9a2e-0a0b0c0d0e0f") < 0);
	assert_true(weft_uuid_check("g6f9d2f0-5c0e-4a35-9a2e-0a0b0c0d0e0f") < 0);
	assert_int_equal(weft_uuid_check("A6F9D2F0-5c0e-4a35-9a2e-0a0b0c0d0e0f"), 0);
}

static void time_is_utc(void **state)
{
	(void)state;
	char buf[21];
	weft_time_text(0, buf);
	assert_string_equal(buf, "1970-01-01T00:00:00Z");
	weft_time_text(1769860800, buf);
	assert_string_equal(buf, "2026-01-31T12:00:00Z");
	uint64_t before = weft_now_ms();
	assert_true(weft_now_ms() >= before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_grows_by_any_amount),
		cmocka_unit_test(uuid_is_random_version_4),
		cmocka_unit_test(malformed_uuid_is_refused),
		cmocka_unit_test(time_is_utc),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
