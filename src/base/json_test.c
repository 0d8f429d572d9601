// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void wrong_type_reads_as_absent(void **state)
{
	(void)state;
	weft_auto(json) o =
		json_pack("{s:s, s:i, s:b, s:[s], s:n}", "t", "x", "i", 7, "b", 1, "a", "one", "n");
	assert_string_equal(weft_json_text(o, "t"), "x");
	assert_null(weft_json_text(o, "i"));
	assert_null(weft_json_text(o, "n"));
	assert_null(weft_json_text(NULL, "t"));
	assert_int_equal(weft_json_int(o, "i", -1), 7);
	assert_int_equal(weft_json_int(o, "t", -1), -1);
	assert_true(weft_json_bool(o, "b", false));
	assert_true(weft_json_bool(o, "i", true));
	assert_non_null(weft_json_array(o, "a"));
	assert_null(weft_json_array(o, "t"));
	assert_true(weft_json_has_text(weft_json_array(o, "a"), "one"));
	assert_false(weft_json_has_text(weft_json_array(o, "a"), "two"));
	assert_false(weft_json_has_text(NULL, "one"));
}

static void need_says_what_is_wrong(void **state)
{
	(void)state;
	weft_auto(json) o = json_pack("{s:s, s:i}", "t", "x", "i", 7);
	struct err err;
	const char *text;
	int64_t n;
	assert_int_equal(weft_json_need_text(o, "t", &text, &err), 0);
	assert_string_equal(text, "x");
	assert_int_equal(weft_json_need_text(o, "i", &text, &err), -EINVAL);
	assert_string_equal(err.msg, "'i' must be a string");
	assert_int_equal(weft_json_need_text(o, "z", &text, &err), -EINVAL);
	assert_string_equal(err.msg, "'z' is missing");
	assert_int_equal(weft_json_need_int(o, "i", &n, &err), 0);
	assert_int_equal(n, 7);
	assert_int_equal(weft_json_need_int(o, "t", &n, &err), -EINVAL);
	assert_int_equal(weft_json_need_int(NULL, "t", &n, &err), -EINVAL);
}

static void quote_is_cut_to_the_buffer(void **state)
{
	(void)state;
	weft_auto(json) v = json_string("0123456789");
	char buf[32], small[8];
	assert_string_equal(weft_json_quote(v, buf, sizeof(buf)), "\"0123456789\"");
	assert_string_equal(weft_json_quote(v, small, sizeof(small)), "\"012...");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_type_reads_as_absent),
		cmocka_unit_test(need_says_what_is_wrong),
		cmocka_unit_test(quote_is_cut_to_the_buffer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
