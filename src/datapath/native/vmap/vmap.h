// SPDX-License-Identifier: Apache-2.0
// Versioned maps: how policy changes reach the workers, a batch at a time.
//
// The control thread stages puts and deletes in any number of maps, then commits: one store of
// the epoch makes all of them visible at once. A worker reads the epoch once per burst and every
// look-up takes it, so a packet is judged by the old policy or by the new one, never by a mix.
// Nobody waits for anybody: superseded values are freed after every worker has passed a quiescent
// point (rte_rcu_qsbr).
//
// A slot is the stable place of one key. It may be kept by pointer while it is held:
// weft_vmap_slot_make returns it held, weft_vslot_hold adds a hold, and weft_vslot_release in the
// holder's free function (so after the holder's own grace period) takes one back. Who forgets to
// release keeps a small empty slot in memory; nothing ever dangles. A slot that nobody holds goes
// after its key was deleted and no reader can see it any more; weft_vmap_free leaves held slots,
// empty, to their holders.
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
// After every map is freed and no reader is left: what still waits is freed.
void weft_vstore_free(struct vstore *vs);
uint64_t weft_vstore_epoch(const struct vstore *vs); // load-acquire; readers: once a burst
// Make everything staged visible; returns the new epoch. What it supersedes is freed by this or a
// later commit or reclaim.
uint64_t weft_vstore_commit(struct vstore *vs);
// Free what no reader can hold any more; never blocks. Returns how many values still wait.
size_t weft_vstore_reclaim(struct vstore *vs);
// Hand over any other object to be freed after a grace period; if something is staged, after one
// that begins with the commit, because until then readers may find the object through what the
// batch replaces.
void weft_vstore_retire(struct vstore *vs, void *object, void (*free_object)(void *));

typedef void (*vmap_free)(void *value); // may be NULL

// Keys are compared as key_len (1 to 64) bytes: what a struct or text does not use must be zero.
struct vmap *weft_vmap_new(struct vstore *vs, size_t key_len, vmap_free free_value);
// No reader may look at the map any more. Frees its values, superseded and staged ones too.
void weft_vmap_free(struct vmap *m);

// NULL = not there at that epoch. A slot found this way is good until the reader's next quiescent
// point.
void *weft_vmap_get(const struct vmap *m, const void *key, uint64_t epoch);
struct vslot *weft_vmap_slot(const struct vmap *m, const void *key, uint64_t epoch);
void *weft_vslot_value(const struct vslot *s, uint64_t epoch);
const void *weft_vslot_key(const struct vslot *s); // key_len bytes, as long as the slot

// Staged value if there is one, else the current: what the control thread builds the next step on.
void *weft_vmap_staged(const struct vmap *m, const void *key);
// A slot for the key, made if missing (then empty until put): for values that refer to others by
// slot. Held: release it when done.
struct vslot *weft_vmap_slot_make(struct vmap *m, const void *key);
void weft_vslot_hold(struct vslot *s);
void weft_vslot_release(struct vslot *s); // NULL is fine

// The last of several puts and deletes of a key in a batch counts. value is not NULL. Out of
// memory aborts.
void weft_vmap_put(struct vmap *m, const void *key, void *value);
void weft_vmap_del(struct vmap *m, const void *key); // a key that is not there: nothing
size_t weft_vmap_count(const struct vmap *m);	     // committed, present
// Committed values, in no order; control thread. visit may stage changes of this map, but not
// make slots in it.
void weft_vmap_each(const struct vmap *m, void (*visit)(const void *key, void *value, void *arg),
		    void *arg);
