// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/packet/shares.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static void a_port_gets_its_share_and_no_more(void **state)
{
	struct shares s;
	uint16_t who;

	(void)state;
	assert_true(weft_shares_init(&s, 100, 25));
	assert_int_equal(weft_shares_ask(&s, 7, 25, &who), SHARE_YES);
	assert_int_equal(weft_shares_ask(&s, 7, 26, &who), SHARE_NO);
	weft_shares_add(&s, 7, 20);
	assert_int_equal(weft_shares_ask(&s, 7, 5, &who), SHARE_YES);
	assert_int_equal(weft_shares_ask(&s, 7, 6, &who), SHARE_NO);
	assert_int_equal(weft_shares_ask(&s, 8, 25, &who), SHARE_YES);
	weft_shares_sub(&s, 7, 20);
	assert_int_equal(weft_shares_of(&s, 7), 0);
	assert_int_equal(weft_shares_ask(&s, 7, 25, &who), SHARE_YES);
	weft_shares_fini(&s);
}

static void when_all_is_taken_who_has_most_gives_way_to_who_has_less(void **state)
{
	struct shares s;
	uint16_t who = 0;

	(void)state;
	assert_true(weft_shares_init(&s, 10, 10));
	weft_shares_add(&s, 1, 3);
	weft_shares_add(&s, 2, 6);
	weft_shares_add(&s, 3, 1);
	assert_int_equal(weft_shares_ask(&s, 9, 1, &who), SHARE_IF);
	assert_int_equal(who, 2);
	assert_int_equal(weft_shares_ask(&s, 1, 2, &who), SHARE_IF);
	assert_int_equal(weft_shares_ask(&s, 1, 3, &who), SHARE_NO); // it would have as much
	assert_int_equal(weft_shares_ask(&s, 2, 1, &who), SHARE_NO);
	weft_shares_sub(&s, 2, 1);
	assert_int_equal(weft_shares_ask(&s, 9, 1, &who), SHARE_YES);
	weft_shares_fini(&s);
}

// However many flood: the one that comes last and needs little gets it, and nobody is left with
// more than others may have.
static void many_that_want_all_end_up_with_equal_shares(void **state)
{
	struct shares s;

	(void)state;
	assert_true(weft_shares_init(&s, 1024, 256));
	for (int round = 0; round < 1024; round++) {
		for (uint16_t port = 0; port < 50; port++) {
			enum share_answer answer;
			uint16_t who;

			while ((answer = weft_shares_ask(&s, port, 1, &who)) == SHARE_IF)
				weft_shares_sub(&s, who, 1);
			if (answer == SHARE_YES)
				weft_shares_add(&s, port, 1);
		}
	}
	assert_int_equal(s.used, 1024);
	for (uint16_t port = 0; port < 50; port++)
		assert_in_range(weft_shares_of(&s, port), 1024 / 50, 1024 / 50 + 1);
	weft_shares_fini(&s);
}

// Against a plain count.
static void any_changes_are_counted_right(void **state)
{
	static uint32_t count[60000];
	struct shares s;
	uint32_t used = 0;

	(void)state;
	srand(3);
	assert_true(weft_shares_init(&s, 500, 100));
	for (int i = 0; i < 200000; i++) {
		uint16_t port = (uint16_t)(rand() % 40 * 1501), who = UINT16_MAX;
		uint32_t n = 1 + (uint32_t)rand() % 33, top = 0;
		enum share_answer answer = weft_shares_ask(&s, port, n, &who);

		for (uint32_t k = 0; k < 40; k++)
			top = count[k * 1501] > top ? count[k * 1501] : top;
		assert_int_equal(s.top, top);
		if (count[port] + n > 100 || (used + n > 500 && top <= count[port] + n)) {
			assert_int_equal(answer, SHARE_NO);
			n = count[port];
			weft_shares_sub(&s, port, n);
			count[port] -= n;
			used -= n;
		} else if (used + n > 500) {
			assert_int_equal(answer, SHARE_IF);
			assert_int_equal(count[who], top);
			weft_shares_sub(&s, who, 1);
			count[who]--;
			used--;
		} else {
			assert_int_equal(answer, SHARE_YES);
			weft_shares_add(&s, port, n);
			count[port] += n;
			used += n;
		}
		assert_int_equal(s.used, used);
		assert_int_equal(weft_shares_of(&s, port), count[port]);
	}
	weft_shares_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_port_gets_its_share_and_no_more),
		cmocka_unit_test(when_all_is_taken_who_has_most_gives_way_to_who_has_less),
		cmocka_unit_test(many_that_want_all_end_up_with_equal_shares),
		cmocka_unit_test(any_changes_are_counted_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
