// SPDX-License-Identifier: Apache-2.0
#include "north/api/page.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

// null, then booleans, numbers and texts; lists and objects are all alike.
static int rank(const json_t *v)
{
	switch (v ? json_typeof(v) : JSON_NULL) {
	case JSON_NULL:
		return 0;
	case JSON_FALSE:
		return 1;
	case JSON_TRUE:
		return 2;
	case JSON_INTEGER:
	case JSON_REAL:
		return 3;
	case JSON_STRING:
		return 4;
	default:
		return 5;
	}
}

static int compare_values(const json_t *a, const json_t *b)
{
	int by_rank = rank(a) - rank(b);

	if (by_rank != 0)
		return by_rank;
	if (json_is_string(a))
		return strcmp(json_string_value(a), json_string_value(b));
	if (json_is_number(a)) {
		double x = json_number_value(a), y = json_number_value(b);
		return (x > y) - (x < y);
	}
	return 0;
}

static int compare_objects(const struct list_options *o, const json_t *a, const json_t *b)
{
	for (size_t i = 0; i < o->n_sorts; i++) {
		const char *attr = o->sorts[i].attr;
		int order = compare_values(json_object_get(a, attr), json_object_get(b, attr));
		if (order != 0)
			return o->sorts[i].descending ? -order : order;
	}
	// The id makes the order total, so that no object is on two pages or on none.
	return compare_values(json_object_get(a, "id"), json_object_get(b, "id"));
}

static int compare_items(const void *a, const void *b, void *arg)
{
	return compare_objects(arg, *(const json_t *const *)a, *(const json_t *const *)b);
}

struct page weft_page_cut(const struct list_options *o, const json_t **items, size_t n,
			  const json_t *marker)
{
	struct page p = {0, n};

	if (o->n_sorts > 0 || o->limit > 0 || marker)
		qsort_r(items, n, sizeof(*items), compare_items, (void *)o);
	if (marker) {
		size_t before = 0, not_after = 0;
		for (size_t i = 0; i < n; i++) {
			int order = compare_objects(o, items[i], marker);
			before += order < 0;
			not_after += order <= 0;
		}
		if (o->reverse)
			p.n = before;
		else
			p = (struct page) {not_after, n - not_after};
	}
	if (o->limit > 0 && p.n > o->limit) {
		if (o->reverse)
			p.start += p.n - o->limit;
		p.n = o->limit;
	}
	return p;
}

static json_t *link_to(const char *rel, const struct target *t, const char *base,
		       const char *marker, bool reverse)
{
	struct text url = {0};
	bool first = true;

	weft_text_add(&url, "%s%s", base, t->path);
	for (size_t i = 0; i < t->query.n; i++) {
		const struct query_arg *a = &t->query.args[i];
		if (strcmp(a->key, "marker") == 0 || strcmp(a->key, "page_reverse") == 0)
			continue;
		weft_query_append(&url, first, a->key, a->value);
		first = false;
	}
	if (marker) {
		weft_query_append(&url, first, "marker", marker);
		first = false;
	}
	if (reverse)
		weft_query_append(&url, first, "page_reverse", "True");
	json_t *link = json_pack("{s:s,s:s}", "rel", rel, "href", url.s);
	weft_text_fini(&url);
	return link;
}

json_t *weft_page_links(const struct list_options *o, const struct target *t, const char *base,
			const json_t *const *items, size_t n)
{
	const char *first = n > 0 ? weft_json_text(items[0], "id") : NULL;
	const char *last = n > 0 ? weft_json_text(items[n - 1], "id") : NULL;
	json_t *links;

	if (o->limit == 0)
		return NULL;
	// A short page is the end of the direction in which it was walked, and only that is known.
	links = json_array();
	if (n >= o->limit || o->reverse)
		json_array_append_new(links, link_to("next", t, base, last, false));
	if (n >= o->limit || !o->reverse)
		json_array_append_new(links, link_to("previous", t, base, first, true));
	return links;
}
