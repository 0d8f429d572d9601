// SPDX-License-Identifier: Apache-2.0
// Versioned maps: how policy changes reach the workers, a batch at a time.
//
// The control thread stages puts and deletes in any number of maps, then commits: one store of the
// epoch makes all of them visible at once. A worker reads the epoch once per burst and every look-up takes
// it, so a packet is judged by the old policy or by the new one, never by a mix. Nobody waits for anybody:
// superseded values are freed after every worker has passed a quiescent point (rte_rcu_qsbr).
//
// A slot is the stable place of one key: it may be kept by pointer as long as the key is mapped or the
// holder is itself a value that will be freed later in the same way (weft_vslot_hold/release count such holders).
//
// Threads    get and slot_value: any registered reader; everything else: the control thread
// Ownership  values belong to the map once put; free_value is called on the control thread
#pragma once

#include <rte_rcu_qsbr.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vstore; // the epoch, what is staged, what waits to be freed
struct vmap;
struct vslot;

// qsbr may be NULL (tests without readers): then commits free at once.
struct vstore *weft_vstore_new(struct rte_rcu_qsbr *qsbr);
void weft_vstore_free(struct vstore *vs);	     // after every map is freed
uint64_t weft_vstore_epoch(const struct vstore *vs); // load-acquire; readers: once a burst
// Make everything staged visible; returns the new epoch.
uint64_t weft_vstore_commit(struct vstore *vs);
// Forget everything staged (staged values are freed).
void weft_vstore_abort(struct vstore *vs);
// Free what no reader can hold any more; never blocks. Returns how many values still wait.
size_t weft_vstore_reclaim(struct vstore *vs);
// Hand over any other object to be freed after a grace period.
void weft_vstore_retire(struct vstore *vs, void *object, void (*free_object)(void *));

typedef void (*vmap_free)(void *value); // may be NULL

struct vmap *weft_vmap_new(struct vstore *vs, size_t key_len, vmap_free free_value);
void weft_vmap_free(struct vmap *m);

// NULL = not there at that epoch.
void *weft_vmap_get(const struct vmap *m, const void *key, uint64_t epoch);
struct vslot *weft_vmap_slot(const struct vmap *m, const void *key, uint64_t epoch);
void *weft_vslot_value(const struct vslot *s, uint64_t epoch);

// Staged value if there is one, else the current: what the control thread builds the next step on.
void *weft_vmap_staged(const struct vmap *m, const void *key);
// A slot for the key, made if missing (then empty until put): for values that refer to others by slot.
struct vslot *weft_vmap_slot_make(struct vmap *m, const void *key);

void weft_vmap_put(struct vmap *m, const void *key, void *value); // out of memory aborts
void weft_vmap_del(struct vmap *m, const void *key);
size_t weft_vmap_count(const struct vmap *m); // committed, present
// Committed values, in no order; control thread.
void weft_vmap_each(const struct vmap *m, void (*visit)(const void *key, void *value, void *arg),
		    void *arg);
