// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/packet/ranges.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void pieces_in_any_order_are_whole_when_none_is_missing(void **state)
{
	(void)state;
	srand(5);
	for (int round = 0; round < 2000; round++) {
		uint16_t order[] = {0, 1, 2, 3, 4, 5, 6, 7};
		struct ranges r = {0};

		for (int i = 7; i > 0; i--) {
			int k = rand() % (i + 1);
			uint16_t swap = order[i];
			order[i] = order[k];
			order[k] = swap;
		}
		for (int i = 0; i < 8; i++) {
			uint16_t from = (uint16_t)(order[i] * 8);

			assert_false(weft_ranges_whole(&r, 64));
			assert_int_equal(weft_ranges_add(&r, from, from + 8), RANGE_NEW);
			assert_int_equal(weft_ranges_add(&r, from, from + 8), RANGE_SEEN);
		}
		assert_true(weft_ranges_whole(&r, 64));
		assert_false(weft_ranges_whole(&r, 65));
		assert_int_equal(r.n, 1);
	}
}

static void what_covers_a_part_of_what_is_there_overlaps_and_changes_nothing(void **state)
{
	static const uint16_t wrong[][2] = {{0, 9},   {15, 17}, {8, 24}, {12, 24},
					    {0, 100}, {16, 25}, {31, 40}};
	struct ranges r = {0}, before;

	(void)state;
	weft_ranges_add(&r, 8, 16);
	weft_ranges_add(&r, 24, 32);
	before = r;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(weft_ranges_add(&r, wrong[i][0], wrong[i][1]), RANGE_OVERLAP);
		assert_memory_equal(&r, &before, sizeof(r));
	}
	assert_int_equal(weft_ranges_add(&r, 9, 12), RANGE_SEEN);
	assert_memory_equal(&r, &before, sizeof(r));
	assert_int_equal(weft_ranges_add(&r, 16, 24), RANGE_NEW);
	assert_int_equal(r.n, 1);
}

static void too_many_pieces_at_once_are_never_called_whole(void **state)
{
	struct ranges r = {0};

	(void)state;
	for (uint16_t i = 0; i <= RANGES_MAX; i++)
		assert_int_equal(weft_ranges_add(&r, i * 16, i * 16 + 8), RANGE_NEW);
	for (uint16_t i = 0; i <= RANGES_MAX; i++)
		weft_ranges_add(&r, i * 16 + 8, i * 16 + 16);
	assert_false(weft_ranges_whole(&r, 16));
	assert_in_range(r.n, 1, RANGES_MAX);
}

// Against a bit for each byte.
static void any_pieces_are_told_apart_right(void **state)
{
	(void)state;
	srand(11);
	for (int round = 0; round < 20000; round++) {
		uint8_t seen[64] = {0};
		struct ranges r = {0};

		for (int i = 0; i < 10; i++) {
			uint16_t from = (uint16_t)(rand() % 60),
				 to = (uint16_t)(from + 1 + rand() % (63 - from));
			int there = 0;

			for (uint16_t b = from; b < to; b++)
				there += seen[b];
			enum range_fit fit = weft_ranges_add(&r, from, to);
			assert_int_equal(fit, there == 0	   ? RANGE_NEW
					      : there == to - from ? RANGE_SEEN
								   : RANGE_OVERLAP);
			if (fit == RANGE_NEW)
				memset(seen + from, 1, to - from);
			assert_int_equal(weft_ranges_whole(&r, 40),
					 memchr(seen, 0, 40) == NULL && r.n == 1);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_in_any_order_are_whole_when_none_is_missing),
		cmocka_unit_test(what_covers_a_part_of_what_is_there_overlaps_and_changes_nothing),
		cmocka_unit_test(too_many_pieces_at_once_are_never_called_whole),
		cmocka_unit_test(any_pieces_are_told_apart_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
