// SPDX-License-Identifier: Apache-2.0
#include "base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void put_replaces_and_del_removes(void **state)
{
	(void)state;
	struct map *m = weft_map_new();
	int a, b;
	char key[] = "one";
	assert_null(weft_map_put(m, key, &a));
	key[0] = 'X'; // the map has its own copy
	assert_ptr_equal(weft_map_get(m, "one"), &a);
	assert_ptr_equal(weft_map_put(m, "one", &b), &a);
	assert_int_equal(weft_map_count(m), 1);
	assert_ptr_equal(weft_map_del(m, "one"), &b);
	assert_null(weft_map_del(m, "one"));
	assert_null(weft_map_get(m, "one"));
	assert_int_equal(weft_map_count(m), 0);
	weft_map_free(m);
}

static void walk_keeps_insertion_order_and_allows_deletion(void **state)
{
	(void)state;
	struct map *m = weft_map_new();
	int dummy;
	char key[16];
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		weft_map_put(m, key, &dummy);
	}
	int i = 0;
	for (struct map_entry *e = weft_map_first(m), *next; e != NULL; e = next, i++) {
		next = weft_map_next(e);
		snprintf(key, sizeof(key), "k%d", i);
		assert_string_equal(weft_map_key(e), key);
		assert_ptr_equal(weft_map_value(e), &dummy);
		weft_map_del(m, key);
	}
	assert_int_equal(i, 1000);
	assert_int_equal(weft_map_count(m), 0);
	assert_null(weft_map_first(m));
	weft_map_free(m);
	weft_map_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(put_replaces_and_del_removes),
		cmocka_unit_test(walk_keeps_insertion_order_and_allows_deletion),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
