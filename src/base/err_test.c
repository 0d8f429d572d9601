// SPDX-License-Identifier: Apache-2.0
#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"

static void failure_carries_code_kind_and_sentence(void **state)
{
	(void)state;
	struct err err = {0};
	assert_int_equal(weft_fail_as(&err, -ENOENT, "PortNotFound", "Port %s", "p1"), -ENOENT);
	assert_string_equal(err.kind, "PortNotFound");
	assert_string_equal(err.msg, "Port p1");
	// A caller may wrap the message of the same err.
	assert_int_equal(weft_fail(&err, -EINVAL, "line 3: %s", err.msg), -EINVAL);
	assert_null(err.kind);
	assert_string_equal(err.msg, "line 3: Port p1");
	assert_int_equal(weft_fail(NULL, -EIO, "nobody listens"), -EIO);
}

static void message_stays_one_line(void **state)
{
	(void)state;
	struct err err;
	weft_fail(&err, -EINVAL, "a\nb\tc%c", 0x7f);
	assert_string_equal(err.msg, "a b c ");
}

static void cut_never_splits_a_character(void **state)
{
	(void)state;
	struct err err;
	char text[3 * WEFT_ERR_MAX + 1];
	for (size_t shift = 0; shift < 3; shift++) {
		memset(text, 'x', shift);
		for (size_t i = 0; i < WEFT_ERR_MAX - 1; i++)
			memcpy(text + shift + 3 * i, "\xe2\x82\xac", 3); // the euro sign
		text[shift + 3 * (WEFT_ERR_MAX - 1)] = '\0';
		weft_fail(&err, -EINVAL, "%s", text);
		size_t len = strlen(err.msg);
		assert_true(len > WEFT_ERR_MAX - 5);
		assert_int_equal((len - shift) % 3, 0);
	}
}

static void log_levels_have_names(void **state)
{
	(void)state;
	enum log_level level;
	assert_int_equal(weft_log_level_parse("warning", &level), 0);
	assert_int_equal(level, LOG_LEVEL_WARNING);
	assert_int_equal(weft_log_level_parse("loud", &level), -EINVAL);
	assert_int_equal(level, LOG_LEVEL_WARNING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failure_carries_code_kind_and_sentence),
		cmocka_unit_test(message_stays_one_line),
		cmocka_unit_test(cut_never_splits_a_character),
		cmocka_unit_test(log_levels_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
