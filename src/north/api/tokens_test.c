// SPDX-License-Identifier: Apache-2.0
#include "north/api/tokens.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/weft-tokens-XXXXXX";

// As careful administrators do: a new file that takes the old one's place.
static void write_file(const char *text)
{
	char fresh[64];
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	FILE *f = fopen(fresh, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(rename(fresh, path), 0);
}

static int setup(void **state)
{
	(void)state;
	int fd = mkstemp(path);
	close(fd);
	return fd < 0;
}

static int teardown(void **state)
{
	(void)state;
	return unlink(path);
}

static void token_tells_project_and_roles_and_guesses_tell_nothing(void **state)
{
	(void)state;
	struct token_owner o;
	struct tokens *t;
	struct err err;
	write_file("# ours\n\n s3cret red admin,member # the boss\nother blue reader\n");
	assert_int_equal(weft_tokens_open(path, &t, &err), 0);
	assert_true(weft_tokens_get(t, "s3cret", &o));
	assert_string_equal(o.project, "red");
	assert_string_equal(o.roles, "admin,member");
	assert_true(weft_tokens_get(t, "other", &o));
	assert_string_equal(o.project, "blue");
	assert_false(weft_tokens_get(t, "s3cre", &o));
	assert_false(weft_tokens_get(t, "s3crets", &o));
	assert_false(weft_tokens_get(t, "", &o));
	assert_false(weft_tokens_get(t, "#", &o));
	weft_tokens_close(t);
}

static void changed_file_is_read_again_and_a_broken_one_changes_nothing(void **state)
{
	(void)state;
	struct token_owner o;
	struct tokens *t;
	struct err err;
	write_file("one red member\n");
	assert_int_equal(weft_tokens_open(path, &t, &err), 0);
	write_file("two red member\n");
	assert_false(weft_tokens_get(t, "one", &o));
	assert_true(weft_tokens_get(t, "two", &o));
	write_file("three red\n");
	assert_true(weft_tokens_get(t, "two", &o));
	assert_false(weft_tokens_get(t, "three", &o));
	weft_tokens_close(t);
}

static void error_names_the_line_but_not_the_token(void **state)
{
	(void)state;
	struct tokens *t;
	struct err err;
	write_file("good red member\ns3cret\n");
	assert_int_equal(weft_tokens_open(path, &t, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "line 2"));
	assert_null(strstr(err.msg, "s3cret"));
	assert_int_equal(weft_tokens_open("/nonexistent/tokens", &t, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "/nonexistent/tokens"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(token_tells_project_and_roles_and_guesses_tell_nothing),
		cmocka_unit_test(changed_file_is_read_again_and_a_broken_one_changes_nothing),
		cmocka_unit_test(error_names_the_line_but_not_the_token),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
