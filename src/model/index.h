// SPDX-License-Identifier: Apache-2.0
// The model's insides: objects by id, who refers to whom, and what each resource looks up by more
// than its id.
//
// weft_index_replace() is the only function that changes them; doing and undoing are the same
// call with the arguments exchanged.
//
// Ownership  objects belong to the model while they are in it, to the transaction log once they
//            are replaced
// Threads    one (the control thread)
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "model/model.h"

struct address_use;

struct model {
	struct model_config config; // its texts are copies
	json_t *defaults[RES_COUNT];

	struct map *objects[RES_COUNT]; // id -> struct object
	struct map *refs[REF_COUNT];	// id -> map of referrers (id -> struct object)
	struct map *port_status;	// port id -> text (owned)

	struct map *ports_by_prefix;  // first 11 characters of the id -> port
	struct map *ports_by_mac;     // "network mac" -> port
	struct map *segments;	      // "type physical id" -> network
	struct map *default_groups;   // project -> its default security group
	struct map *rules_by_content; // group and everything that makes a rule the same -> rule
	struct map *counts;	      // "type project" -> how many it has
	struct map *quotas;	      // project -> its limits
	struct map *address_use;      // subnet id -> struct address_use
	uint32_t next_vni;	      // where the search for a free one begins
	struct left_out *left_out;
	size_t n_left_out;
};

struct object *weft_object_new(enum resource type, json_t *attr); // takes attr over
void weft_object_free(struct object *o);

// old -> new in every index; old NULL = created, new NULL = deleted. Frees nothing.
void weft_index_replace(struct model *m, const struct object *old, const struct object *new);

size_t weft_index_count_of(const struct model *m, enum resource type, const char *project_id);

// The referrers as an array that stays good while they are changed; the caller frees it. NULL
// when there are none.
const struct object **weft_index_collect(const struct model *m, enum model_ref ref, const char *id,
					 size_t *n);
// What a reference leads to.
enum resource weft_index_ref_to(enum model_ref ref);
// Must it lead somewhere? A port's "device_id" need not: anybody may write anything there.
bool weft_index_ref_is_firm(enum model_ref ref);
size_t weft_index_count(const struct model *m, enum model_ref ref, const char *id);
