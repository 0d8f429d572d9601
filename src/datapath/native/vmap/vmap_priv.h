// SPDX-License-Identifier: Apache-2.0
// What vstore.c (versions, commits, grace periods) and vmap.c (the hash table) share.
#pragma once

#include <stdatomic.h>
#include <sys/queue.h>

#include "datapath/native/vmap/vmap.h"

// Something that no new reader can find, waiting for those that may still look at it. Nodes are
// embedded in what they stand for, and are done in the order in which they were retired.
struct retired {
	TAILQ_ENTRY(retired) link;
	uint64_t token;	  // of rte_rcu_qsbr_start
	struct vmap *map; // NULL: not part of a map
	void (*done)(struct retired *r);
};
TAILQ_HEAD(retired_list, retired);

// A value from an epoch on, until the next newer version's epoch. A slot's versions form a list,
// newest first; at most the first is staged (its epoch is not yet reached, so readers step over
// it).
struct version {
	uint64_t from;
	void *value; // NULL: deleted
	struct version *older;
	struct vslot *slot;
	struct retired retired; // of what is older
};

struct vslot {
	union {
		struct retired retired;
		TAILQ_ENTRY(vslot) staged_link;
	};
	struct vmap *map; // NULL: outlived its map
	uint64_t hash;
	uint32_t holds;
	bool in_table;
	bool staged;
	struct version *_Atomic head; // what readers want begins here, in a cache line of its own
	uint8_t key[];
};
TAILQ_HEAD(staged_list, vslot);

_Static_assert(offsetof(struct vslot, head) == 64, "head and key share a cache line");

struct vstore {
	_Atomic uint64_t epoch;
	struct rte_rcu_qsbr *qsbr;
	struct staged_list staged;
	struct retired_list pending; // objects, until the commit
	struct retired_list retired;
	size_t n_retired;
	bool reclaiming;
};

// Open addressing, linear probing. A slot that goes leaves VSLOT_GONE behind until the table is
// rebuilt, so that a probe never ends early.
struct vmap_entry {
	uint64_t hash; // written before the slot, never changed
	struct vslot *_Atomic slot;
};

struct vmap_table {
	struct retired retired;
	size_t mask;
	struct vmap_entry entries[];
};

#define VSLOT_GONE ((struct vslot *)1)

struct vmap {
	struct vmap_table *_Atomic table;
	struct vstore *vs;
	vmap_free free_value;
	size_t key_len;
	uint64_t seed;
	size_t used;  // entries that are not empty, VSLOT_GONE included
	size_t slots; // in the table
	size_t count; // committed, present
};

void *weft_vmap_alloc(size_t size); // zeroed; out of memory aborts

// Call done(r) after a grace period that begins now.
void weft_vstore_retire_node(struct vstore *vs, struct retired *r, struct vmap *map,
			     void (*done)(struct retired *r));
// All that waits on behalf of the map is done now: it has no readers any more.
void weft_vstore_finish(struct vstore *vs, const struct vmap *map);

static inline struct version *weft_vslot_head(const struct vslot *s)
{
	return atomic_load_explicit(&s->head, memory_order_acquire);
}

void weft_vslot_stage(struct vslot *s, void *value); // NULL: delete
void weft_vslot_drop_if_dead(struct vslot *s);
void weft_vslot_orphan(
	struct vslot *s); // the map goes: free the versions and, unless held, the slot
void weft_vmap_forget(struct vmap *m, struct vslot *s); // take it out of the table
