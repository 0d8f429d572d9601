// SPDX-License-Identifier: Apache-2.0
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

struct map_entry {
	UT_hash_handle hh;
	void *val;
	char key[];
};

struct map {
	struct map_entry *head;
};

struct map *weft_map_new(void)
{
	struct map *map = calloc(1, sizeof(*map));
	if (map == NULL)
		abort();
	return map;
}

void weft_map_free(struct map *map)
{
	if (map == NULL)
		return;
	struct map_entry *e, *next;
	HASH_ITER(hh, map->head, e, next) {
		HASH_DEL(map->head, e);
		free(e);
	}
	free(map);
}

static struct map_entry *find(const struct map *map, const char *key)
{
	struct map_entry *e;
	HASH_FIND_STR(map->head, key, e);
	return e;
}

void *weft_map_get(const struct map *map, const char *key)
{
	struct map_entry *e = find(map, key);
	return e == NULL ? NULL : e->val;
}

void *weft_map_put(struct map *map, const char *key, void *val)
{
	struct map_entry *e = find(map, key);
	if (e != NULL) {
		void *old = e->val;
		e->val = val;
		return old;
	}
	size_t len = strlen(key);
	e = calloc(1, sizeof(*e) + len + 1);
	if (e == NULL)
		abort();
	memcpy(e->key, key, len + 1);
	e->val = val;
	HASH_ADD_KEYPTR(hh, map->head, e->key, len, e);
	return NULL;
}

void *weft_map_del(struct map *map, const char *key)
{
	struct map_entry *e = find(map, key);
	if (e == NULL)
		return NULL;
	void *val = e->val;
	HASH_DEL(map->head, e);
	free(e);
	return val;
}

size_t weft_map_count(const struct map *map)
{
	return HASH_COUNT(map->head);
}

struct map_entry *weft_map_first(const struct map *map)
{
	return map->head;
}

struct map_entry *weft_map_next(const struct map_entry *e)
{
	return e->hh.next;
}

const char *weft_map_key(const struct map_entry *e)
{
	return e->key;
}

void *weft_map_value(const struct map_entry *e)
{
	return e->val;
}
