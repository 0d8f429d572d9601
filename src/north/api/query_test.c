// SPDX-License-Identifier: Apache-2.0
#include "north/api/query.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct target parse(const char *text)
{
	struct target t;
	struct err err;
	assert_int_equal(weft_target_parse(text, &t, &err), 0);
	return t;
}

static void path_is_split_and_json_suffix_and_slashes_are_nothing(void **state)
{
	(void)state;
	static const char *const same[] = {"/v2.0/ports", "/v2.0/ports/", "/v2.0/ports.json",
					   "//v2.0//ports"};
	for (size_t i = 0; i < 4; i++) {
		struct target t = parse(same[i]);
		assert_int_equal(t.n, 2);
		assert_string_equal(t.segments[0], "v2.0");
		assert_string_equal(t.segments[1], "ports");
		weft_target_fini(&t);
	}
	struct target root = parse("/");
	assert_int_equal(root.n, 0);
	weft_target_fini(&root);
}

static void escaped_slash_stays_inside_its_segment(void **state)
{
	(void)state;
	struct target t = parse("/v2.0/networks/x/tags/a%2Fb%20c+d");
	assert_int_equal(t.n, 5);
	assert_string_equal(t.segments[4], "a/b c+d");
	weft_target_fini(&t);
}

static void arguments_keep_their_order_and_repeat(void **state)
{
	(void)state;
	struct target t = parse(
		"/v2.0/ports?name=a+b&id=1&&id=2&empty=&bare&fixed_ips=ip_address%3D10.0.0.1");
	assert_int_equal(t.query.n, 6);
	assert_string_equal(weft_query_get(&t.query, "name"), "a b");
	assert_string_equal(weft_query_get(&t.query, "id"), "1");
	assert_string_equal(t.query.args[2].value, "2");
	assert_string_equal(weft_query_get(&t.query, "empty"), "");
	assert_string_equal(weft_query_get(&t.query, "bare"), "");
	assert_string_equal(weft_query_get(&t.query, "fixed_ips"), "ip_address=10.0.0.1");
	assert_null(weft_query_get(&t.query, "absent"));
	weft_target_fini(&t);
}

static void value_keeps_its_own_equal_signs(void **state)
{
	(void)state;
	struct target t = parse("/v2.0/ports?fixed_ips=subnet_id=abc");
	assert_string_equal(weft_query_get(&t.query, "fixed_ips"), "subnet_id=abc");
	weft_target_fini(&t);
}

static void broken_escapes_nul_and_non_utf8_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {"/v2.0/%zz",	 "/v2.0/%4", "/v2.0/%",	   "/a?x=%00",
					  "/a?x=%ff%fe", "/a?%C3=1", "v2.0/ports", "*"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct target t;
		struct err err;
		assert_int_equal(weft_target_parse(bad[i], &t, &err), -EINVAL);
	}
}

static void deep_path_names_nothing(void **state)
{
	(void)state;
	struct target t;
	struct err err;
	assert_int_equal(weft_target_parse("/1/2/3/4/5/6/7/8/9", &t, &err), -ENOENT);
}

static void appended_arguments_are_escaped(void **state)
{
	(void)state;
	struct text url = {0};
	weft_query_append(&url, true, "fixed_ips", "ip_address=10.0.0.1");
	weft_query_append(&url, false, "name", "a b&c");
	assert_string_equal(url.s, "?fixed_ips=ip_address%3D10.0.0.1&name=a%20b%26c");
	weft_text_fini(&url);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(path_is_split_and_json_suffix_and_slashes_are_nothing),
		cmocka_unit_test(escaped_slash_stays_inside_its_segment),
		cmocka_unit_test(arguments_keep_their_order_and_repeat),
		cmocka_unit_test(value_keeps_its_own_equal_signs),
		cmocka_unit_test(broken_escapes_nul_and_non_utf8_are_refused),
		cmocka_unit_test(deep_path_names_nothing),
		cmocka_unit_test(appended_arguments_are_escaped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
