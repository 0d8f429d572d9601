// SPDX-License-Identifier: Apache-2.0
// What tests by chance share: the model's insides as text, and objects picked at random.
#pragma once

#include "model/address_use.h"
#include "model/index.h"
#include "model/model_testing.h"

// Every index as text: what look-ups would answer, so that a forgotten undo shows.
static inline char *index_dump(const struct model *m)
{
	weft_auto(json) all = json_object();
	char key[128];
	for (int ref = 0; ref < REF_COUNT; ref++)
		for (struct map_entry *e = weft_map_first(m->refs[ref]); e; e = weft_map_next(e))
			for (struct map_entry *r = weft_map_first(weft_map_value(e)); r;
			     r = weft_map_next(r)) {
				const struct object *o = weft_map_value(r);
				snprintf(key, sizeof(key), "%d %s %s", ref, weft_map_key(e),
					 weft_map_key(r));
				json_object_set_new(
					all, key,
					json_integer(weft_json_int(o->attr, "revision_number", 0)));
			}
	const struct map *maps[] = {m->ports_by_prefix, m->ports_by_mac, m->segments,
				    m->default_groups, m->rules_by_content};
	for (size_t i = 0; i < 5; i++)
		for (struct map_entry *e = weft_map_first(maps[i]); e; e = weft_map_next(e)) {
			const struct object *o = weft_map_value(e);
			assert_ptr_equal(o, weft_model_get(m, o->type, o->id));
			json_object_set_new(all, weft_map_key(e), json_string(o->id));
		}
	// A subnet's record of use may be there, empty, or not: only used addresses count.
	for (struct map_entry *e = weft_map_first(m->address_use); e; e = weft_map_next(e))
		for (int i = 0; i < 256; i++) {
			struct ip_addr ip = {.family = 4, .b = {10, 0, 0, (uint8_t)i}};
			snprintf(key, sizeof(key), "%s %d", weft_map_key(e), i);
			if (weft_address_use_has(weft_map_value(e), &ip))
				json_object_set_new(all, key, json_true());
		}
	return json_dumps(all, JSON_SORT_KEYS | JSON_COMPACT);
}

struct pick {
	size_t left;
	const struct object *o;
};

static int pick_one(const struct object *o, void *arg)
{
	struct pick *p = arg;
	p->o = o;
	return p->left-- == 0;
}

static inline const struct object *any(const struct model *m, enum resource type)
{
	struct pick p = {0};
	size_t n = weft_model_count(m, type);
	if (n == 0)
		return NULL;
	p.left = (size_t)rand() % n;
	weft_model_each(m, type, pick_one, &p);
	return p.o;
}
