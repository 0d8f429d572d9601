// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

// What a line becomes on a stderr that is a file; journal: $JOURNAL_STREAM says that this file is
// it.
static void line_of(bool journal, char out[64])
{
	FILE *file = tmpfile();
	int before = dup(STDERR_FILENO);
	struct stat st;
	char stream[64];

	assert_non_null(file);
	assert_int_equal(fstat(fileno(file), &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino + (journal ? 0 : 1));
	setenv("JOURNAL_STREAM", stream, 1);
	dup2(fileno(file), STDERR_FILENO);
	weft_log(LOG_LEVEL_WARNING, "port %s: it went", "a");
	dup2(before, STDERR_FILENO);
	close(before);
	unsetenv("JOURNAL_STREAM");
	rewind(file);
	memset(out, 0, 64);
	assert_true(fread(out, 1, 63, file) > 0);
	fclose(file);
}

static void levels_are_numbers_for_the_journal_and_words_for_everybody_else(void **state)
{
	char line[64];

	(void)state;
	line_of(true, line);
	assert_string_equal(line, "<4>port a: it went\n");
	line_of(false, line);
	assert_string_equal(line, "warning: port a: it went\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels_are_numbers_for_the_journal_and_words_for_everybody_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
