// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/vmap/vmap.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "datapath/native/vmap/vmap_priv.h"

#define FIRST_SIZE 16
#define KEY_MAX	   64
#define CACHE_LINE 64

// ---- The table -----------------------------------------------------------------------------

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

// Tenants choose addresses, hence keys: the seed keeps them from choosing collisions.
static uint64_t hash_key(const struct vmap *m, const uint8_t *key)
{
	uint64_t h = m->seed;
	uint64_t word;
	uint32_t half;
	size_t n = m->key_len;

	for (; n >= sizeof(word); n -= sizeof(word), key += sizeof(word)) {
		memcpy(&word, key, sizeof(word));
		h = mix(h ^ word, 0x9e3779b97f4a7c15);
	}
	if (n >= sizeof(half)) { // nearly all keys end so
		memcpy(&half, key, sizeof(half));
		h = mix(h ^ half, 0xd6e8feb86659fd93);
		n -= sizeof(half);
		key += sizeof(half);
	}
	if (n > 0) {
		word = 0;
		memcpy(&word, key, n);
		h = mix(h ^ word, 0xd6e8feb86659fd93);
	}
	return mix(h, 0xa0761d6478bd642f);
}

static struct vslot *find(const struct vmap *m, const void *key, uint64_t hash)
{
	const struct vmap_table *t = atomic_load_explicit(&m->table, memory_order_acquire);

	for (size_t i = hash & t->mask;; i = (i + 1) & t->mask) {
		const struct vmap_entry *e = &t->entries[i];
		struct vslot *s = atomic_load_explicit(&e->slot, memory_order_acquire);

		if (s == NULL)
			return NULL;
		if (e->hash == hash && s != VSLOT_GONE && memcmp(s->key, key, m->key_len) == 0)
			return s;
	}
}

void weft_vmap_forget(struct vmap *m, struct vslot *s)
{
	struct vmap_table *t = atomic_load_explicit(&m->table, memory_order_relaxed);
	size_t i = s->hash & t->mask;

	while (atomic_load_explicit(&t->entries[i].slot, memory_order_relaxed) != s)
		i = (i + 1) & t->mask;
	atomic_store_explicit(&t->entries[i].slot, VSLOT_GONE, memory_order_release);
	m->slots--;
	s->in_table = false;
}

static struct vmap_table *table_new(size_t size)
{
	struct vmap_table *t = weft_vmap_alloc(sizeof(*t) + size * sizeof(t->entries[0]));

	t->mask = size - 1;
	return t;
}

static void table_insert(struct vmap_table *t, struct vslot *s)
{
	size_t i = s->hash & t->mask;

	while (atomic_load_explicit(&t->entries[i].slot, memory_order_relaxed) != NULL)
		i = (i + 1) & t->mask;
	t->entries[i].hash = s->hash;
	atomic_store_explicit(&t->entries[i].slot, s, memory_order_release);
}

static void table_done(struct retired *r)
{
	free((char *)r - offsetof(struct vmap_table, retired));
}

// Readers go on in the old table, which has every slot that they can want, until they have passed
// a quiescent point.
static void table_rebuild(struct vmap *m)
{
	struct vmap_table *old = atomic_load_explicit(&m->table, memory_order_relaxed);
	struct vmap_table *t;
	size_t size = FIRST_SIZE;

	while (size < 4 * m->slots)
		size *= 2;
	t = table_new(size);
	for (size_t i = 0; i <= old->mask; i++) {
		struct vslot *s = atomic_load_explicit(&old->entries[i].slot, memory_order_relaxed);

		if (s != NULL && s != VSLOT_GONE)
			table_insert(t, s);
	}
	m->used = m->slots;
	atomic_store_explicit(&m->table, t, memory_order_release);
	weft_vstore_retire_node(m->vs, &old->retired, m, table_done);
}

static struct vslot *slot_new(size_t key_len)
{
	size_t size = RTE_ALIGN_CEIL(sizeof(struct vslot) + key_len, CACHE_LINE);
	struct vslot *s = aligned_alloc(CACHE_LINE, size);

	if (s == NULL)
		abort();
	memset(s, 0, size);
	return s;
}

static struct vslot *find_or_make(struct vmap *m, const void *key)
{
	uint64_t hash = hash_key(m, key);
	struct vslot *s = find(m, key, hash);
	struct vmap_table *t = atomic_load_explicit(&m->table, memory_order_relaxed);

	if (s != NULL)
		return s;
	if (2 * (m->used + 1) > t->mask + 1) {
		table_rebuild(m);
		t = atomic_load_explicit(&m->table, memory_order_relaxed);
	}
	s = slot_new(m->key_len);
	s->map = m;
	s->hash = hash;
	s->in_table = true;
	memcpy(s->key, key, m->key_len);
	m->used++;
	m->slots++;
	table_insert(t, s);
	return s;
}

// ---- The map -------------------------------------------------------------------------------

struct vmap *weft_vmap_new(struct vstore *vs, size_t key_len, vmap_free free_value)
{
	struct vmap *m = weft_vmap_alloc(sizeof(*m));

	if (key_len == 0 || key_len > KEY_MAX)
		abort();
	m->vs = vs;
	m->key_len = key_len;
	m->free_value = free_value;
	if (getrandom(&m->seed, sizeof(m->seed), GRND_NONBLOCK) != sizeof(m->seed))
		m->seed = (uintptr_t)m; // at boot, before the kernel has entropy
	atomic_init(&m->table, table_new(FIRST_SIZE));
	return m;
}

void weft_vmap_free(struct vmap *m)
{
	struct vmap_table *t;

	if (m == NULL)
		return;
	weft_vstore_finish(m->vs, m);
	t = atomic_load_explicit(&m->table, memory_order_relaxed);
	for (size_t i = 0; i <= t->mask; i++) {
		struct vslot *s = atomic_load_explicit(&t->entries[i].slot, memory_order_relaxed);

		if (s != NULL && s != VSLOT_GONE)
			weft_vslot_orphan(s);
	}
	weft_vstore_finish(m->vs, m); // slots that only other slots of the map held
	free(t);
	free(m);
}

struct vslot *weft_vmap_slot(const struct vmap *m, const void *key, uint64_t epoch)
{
	struct vslot *s = find(m, key, hash_key(m, key));

	return s == NULL || weft_vslot_value(s, epoch) == NULL ? NULL : s;
}

void *weft_vmap_get(const struct vmap *m, const void *key, uint64_t epoch)
{
	const struct vslot *s = find(m, key, hash_key(m, key));

	return s == NULL ? NULL : weft_vslot_value(s, epoch);
}

void *weft_vmap_staged(const struct vmap *m, const void *key)
{
	const struct vslot *s = find(m, key, hash_key(m, key));
	const struct version *v = s == NULL ? NULL : weft_vslot_head(s);

	return v == NULL ? NULL : v->value;
}

struct vslot *weft_vmap_slot_make(struct vmap *m, const void *key)
{
	struct vslot *s = find_or_make(m, key);

	s->holds++;
	return s;
}

void weft_vmap_put(struct vmap *m, const void *key, void *value)
{
	weft_vslot_stage(find_or_make(m, key), value);
}

void weft_vmap_del(struct vmap *m, const void *key)
{
	struct vslot *s = find(m, key, hash_key(m, key));

	if (s != NULL)
		weft_vslot_stage(s, NULL);
}

size_t weft_vmap_count(const struct vmap *m)
{
	return m->count;
}

void weft_vmap_each(const struct vmap *m, void (*visit)(const void *key, void *value, void *arg),
		    void *arg)
{
	const struct vmap_table *t = atomic_load_explicit(&m->table, memory_order_relaxed);

	for (size_t i = 0; i <= t->mask; i++) {
		struct vslot *s = atomic_load_explicit(&t->entries[i].slot, memory_order_relaxed);
		const struct version *v;

		if (s == NULL || s == VSLOT_GONE)
			continue;
		v = weft_vslot_head(s);
		if (s->staged)
			v = v->older;
		if (v != NULL && v->value != NULL)
			visit(s->key, v->value, arg);
	}
}
