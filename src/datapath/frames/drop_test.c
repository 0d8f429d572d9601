// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/drop.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_reason_has_a_word_and_a_sentence(void **state)
{
	(void)state;
	for (int i = 0; i < DROP_COUNT; i++) {
		const char *word = weft_drop_word(i), *sentence = weft_drop_sentence(i);
		assert_true(word != NULL && strlen(word) > 0);
		for (const char *c = word; *c; c++) // it becomes a metric's label
			assert_true(islower((unsigned char)*c) || *c == '-');
		assert_true(isupper((unsigned char)sentence[0]));
		assert_int_equal(sentence[strlen(sentence) - 1], '.');
	}
	assert_string_equal(weft_drop_word(DROP_NONE), "none");
	assert_string_equal(weft_drop_word(DROP_SPOOF_MAC), "spoofed-mac");
}

static void words_are_unique(void **state)
{
	(void)state;
	for (int i = 0; i < DROP_COUNT; i++)
		for (int k = 0; k < i; k++)
			assert_string_not_equal(weft_drop_word(i), weft_drop_word(k));
}

static void a_number_that_is_no_reason_is_answered_too(void **state)
{
	(void)state;
	assert_string_equal(weft_drop_word(DROP_COUNT), "unknown");
	assert_string_equal(weft_drop_word((enum drop) - 1), "unknown");
	assert_non_null(weft_drop_sentence(DROP_COUNT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_reason_has_a_word_and_a_sentence),
		cmocka_unit_test(words_are_unique),
		cmocka_unit_test(a_number_that_is_no_reason_is_answered_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
