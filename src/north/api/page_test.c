// SPDX-License-Identifier: Apache-2.0
#include "north/api/page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

// Five objects: ids e..a in the order of creation; names y, x, y, x, y; sizes 1..5.
static json_t *five(void)
{
	json_t *list = json_array();
	for (int i = 0; i < 5; i++) {
		char id[2] = {(char)('e' - i), '\0'};
		json_array_append_new(list, json_pack("{s:s,s:s,s:i}", "id", id, "name",
						      i % 2 ? "x" : "y", "size", i + 1));
	}
	return list;
}

static bool any_attr(const void *arg, const char *attr)
{
	(void)arg;
	(void)attr;
	return true;
}

// The ids of the page that a query asks for, as one word; links (may be NULL) gets its links.
static const char *page_of(const char *query, json_t **links)
{
	static char ids[16];
	weft_auto(json) list = five();
	const json_t *items[5], *marker = NULL;
	struct list_options o;
	struct target t;
	struct err err;
	char url[256];

	snprintf(url, sizeof(url), "/v2.0/things?%s", query);
	assert_int_equal(weft_target_parse(url, &t, &err), 0);
	assert_int_equal(weft_list_options_parse(&t.query, any_attr, NULL, &o, &err), 0);
	for (size_t i = 0; i < 5; i++) {
		items[i] = json_array_get(list, i);
		if (o.marker && strcmp(weft_json_text(items[i], "id"), o.marker) == 0)
			marker = items[i];
	}
	struct page p = weft_page_cut(&o, items, 5, marker);
	for (size_t i = 0; i < p.n; i++)
		ids[i] = weft_json_text(items[p.start + i], "id")[0];
	ids[p.n] = '\0';
	if (links)
		*links = weft_page_links(&o, &t, "http://h:1", items + p.start, p.n);
	weft_list_options_fini(&o);
	weft_target_fini(&t);
	return ids;
}

static void without_arguments_the_order_of_creation_is_kept(void **state)
{
	(void)state;
	json_t *links;
	assert_string_equal(page_of("", &links), "edcba");
	assert_null(links);
}

static void several_sort_keys_have_their_directions_and_ids_decide_the_rest(void **state)
{
	(void)state;
	assert_string_equal(page_of("sort_key=size&sort_dir=desc", NULL), "abcde");
	assert_string_equal(page_of("sort_key=name", NULL), "bdace");
	assert_string_equal(
		page_of("sort_key=name&sort_key=size&sort_dir=desc&sort_dir=desc", NULL), "acebd");
	assert_string_equal(page_of("sort_key=absent", NULL), "abcde");
}

static void sort_key_that_repeats_decides_nothing_more(void **state)
{
	char query[8192] = "sort_key=name&sort_dir=asc";
	struct list_options o;
	struct target t;
	struct err err;

	(void)state;
	assert_string_equal(page_of("sort_key=name&sort_key=name&sort_key=size&"
				    "sort_dir=asc&sort_dir=desc&sort_dir=desc",
				    NULL),
			    "bdace");
	for (unsigned i = 0; i < 239; i++)
		strcat(query, "&sort_key=name&sort_dir=desc");
	char url[8400];
	snprintf(url, sizeof(url), "/v2.0/things?%s", query);
	assert_int_equal(weft_target_parse(url, &t, &err), 0);
	assert_int_equal(weft_list_options_parse(&t.query, any_attr, NULL, &o, &err), 0);
	assert_int_equal(o.n_sorts, 1);
	assert_false(o.sorts[0].descending);
	weft_list_options_fini(&o);
	weft_target_fini(&t);
}

static void marker_and_limit_walk_forwards(void **state)
{
	(void)state;
	assert_string_equal(page_of("limit=2", NULL), "ab");
	assert_string_equal(page_of("limit=2&marker=b", NULL), "cd");
	assert_string_equal(page_of("limit=2&marker=d", NULL), "e");
	assert_string_equal(page_of("limit=2&marker=e", NULL), "");
	assert_string_equal(page_of("limit=2&marker=d&sort_key=name", NULL), "ac");
	assert_string_equal(page_of("limit=0", NULL), "edcba");
}

static void page_reverse_walks_backwards_in_the_same_order(void **state)
{
	(void)state;
	assert_string_equal(page_of("limit=2&marker=e&page_reverse=True", NULL), "cd");
	assert_string_equal(page_of("limit=2&marker=b&page_reverse=True", NULL), "a");
	assert_string_equal(page_of("limit=2&page_reverse=True", NULL), "de");
	assert_string_equal(page_of("limit=2&marker=a&page_reverse=True", NULL), "");
}

static const char *href_of(const json_t *links, const char *rel)
{
	json_t *link;
	size_t i;
	json_array_foreach(links, i, link) {
		if (strcmp(weft_json_text(link, "rel"), rel) == 0)
			return weft_json_text(link, "href");
	}
	return NULL;
}

static void links_lead_to_both_neighbours_and_keep_the_question(void **state)
{
	(void)state;
	json_t *links;
	page_of("limit=2&marker=a&name=x&sort_key=id", &links);
	assert_string_equal(href_of(links, "next"),
			    "http://h:1/v2.0/things?limit=2&name=x&sort_key=id&marker=c");
	assert_string_equal(
		href_of(links, "previous"),
		"http://h:1/v2.0/things?limit=2&name=x&sort_key=id&marker=b&page_reverse=True");
	json_decref(links);
}

static void short_page_ends_its_direction(void **state)
{
	(void)state;
	json_t *links;
	page_of("limit=2&marker=d", &links);
	assert_null(href_of(links, "next"));
	assert_non_null(href_of(links, "previous"));
	json_decref(links);

	page_of("limit=2&marker=b&page_reverse=True", &links);
	assert_null(href_of(links, "previous"));
	assert_non_null(href_of(links, "next"));
	json_decref(links);

	// Past the end there is no object to go on from: backwards begins at the last page.
	page_of("limit=2&marker=e", &links);
	assert_string_equal(href_of(links, "previous"),
			    "http://h:1/v2.0/things?limit=2&page_reverse=True");
	json_decref(links);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_arguments_the_order_of_creation_is_kept),
		cmocka_unit_test(several_sort_keys_have_their_directions_and_ids_decide_the_rest),
		cmocka_unit_test(sort_key_that_repeats_decides_nothing_more),
		cmocka_unit_test(marker_and_limit_walk_forwards),
		cmocka_unit_test(page_reverse_walks_backwards_in_the_same_order),
		cmocka_unit_test(links_lead_to_both_neighbours_and_keep_the_question),
		cmocka_unit_test(short_page_ends_its_direction),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
