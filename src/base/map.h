// SPDX-License-Identifier: Apache-2.0
// Map: text key -> pointer, for control threads (uthash underneath; insertion order is kept).
//
// Ownership  keys are copied; values belong to the caller
// Threads    one at a time
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct map;
struct map_entry;

struct map *weft_map_new(void);
void weft_map_free(struct map *map);			    // values are left alone
void *weft_map_get(const struct map *map, const char *key); // NULL = not there
void *weft_map_put(struct map *map, const char *key,
		   void *val);			      // returns the replaced value or NULL
void *weft_map_del(struct map *map, const char *key); // returns the removed value or NULL
size_t weft_map_count(const struct map *map);

// for (struct map_entry *e = weft_map_first(m); e; e = weft_map_next(e)); deleting the entry at
// hand is allowed after the next one has been taken.
struct map_entry *weft_map_first(const struct map *map);
struct map_entry *weft_map_next(const struct map_entry *e);
const char *weft_map_key(const struct map_entry *e);
void *weft_map_value(const struct map_entry *e);
