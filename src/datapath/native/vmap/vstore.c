// SPDX-License-Identifier: Apache-2.0
// Versions, commits and grace periods: the part of vmap.h that knows nothing of keys.
#include "datapath/native/vmap/vmap.h"

#include <stdlib.h>

#include "datapath/native/vmap/vmap_priv.h"

void *weft_vmap_alloc(size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL)
		abort();
	return p;
}

// ---- Grace periods -------------------------------------------------------------------------

static uint64_t token_now(struct vstore *vs)
{
	return vs->qsbr == NULL ? 0 : rte_rcu_qsbr_start(vs->qsbr);
}

static void retire(struct vstore *vs, struct retired *r, struct vmap *map,
		   void (*done)(struct retired *r), uint64_t token)
{
	r->token = token;
	r->map = map;
	r->done = done;
	TAILQ_INSERT_TAIL(&vs->retired, r, link);
	vs->n_retired++;
}

static void unlist(struct vstore *vs, struct retired *r)
{
	TAILQ_REMOVE(&vs->retired, r, link);
	vs->n_retired--;
}

// What is freed may retire more (a value that was the last holder of a slot): that waits its turn
// at the end.
size_t weft_vstore_reclaim(struct vstore *vs)
{
	struct retired *r;

	if (vs->reclaiming)
		return vs->n_retired;
	vs->reclaiming = true;
	while ((r = TAILQ_FIRST(&vs->retired)) != NULL) {
		if (vs->qsbr != NULL && rte_rcu_qsbr_check(vs->qsbr, r->token, false) != 1)
			break;
		unlist(vs, r);
		r->done(r);
	}
	vs->reclaiming = false;
	return vs->n_retired;
}

// Without readers nothing waits.
static void reclaim_if_alone(struct vstore *vs)
{
	if (vs->qsbr == NULL)
		weft_vstore_reclaim(vs);
}

void weft_vstore_retire_node(struct vstore *vs, struct retired *r, struct vmap *map,
			     void (*done)(struct retired *r))
{
	retire(vs, r, map, done, token_now(vs));
	reclaim_if_alone(vs);
}

// What is done may retire more of the same map, or free other maps: so the list is taken first,
// and looked at again.
void weft_vstore_finish(struct vstore *vs, const struct vmap *map)
{
	struct retired_list mine;
	struct retired *r, *next;
	bool found;

	do {
		found = false;
		TAILQ_INIT(&mine);
		for (r = TAILQ_FIRST(&vs->retired); r != NULL; r = next) {
			next = TAILQ_NEXT(r, link);
			if (r->map != map)
				continue;
			unlist(vs, r);
			TAILQ_INSERT_TAIL(&mine, r, link);
			found = true;
		}
		for (r = TAILQ_FIRST(&mine); r != NULL; r = next) {
			next = TAILQ_NEXT(r, link);
			r->done(r);
		}
	} while (found);
}

struct retired_object {
	struct retired retired;
	void *object;
	void (*free_object)(void *);
};

static void object_done(struct retired *r)
{
	struct retired_object *o = (struct retired_object *)r;

	o->free_object(o->object);
	free(o);
}

// With a batch under way readers may come by the object until it is committed, through what the
// batch replaces: only then its grace period begins.
void weft_vstore_retire(struct vstore *vs, void *object, void (*free_object)(void *))
{
	struct retired_object *o = weft_vmap_alloc(sizeof(*o));

	o->object = object;
	o->free_object = free_object;
	if (TAILQ_EMPTY(&vs->staged)) {
		weft_vstore_retire_node(vs, &o->retired, NULL, object_done);
		return;
	}
	o->retired.done = object_done;
	TAILQ_INSERT_TAIL(&vs->pending, &o->retired, link);
}

static void retire_pending(struct vstore *vs, uint64_t token)
{
	struct retired *r;

	while ((r = TAILQ_FIRST(&vs->pending)) != NULL) {
		TAILQ_REMOVE(&vs->pending, r, link);
		retire(vs, r, NULL, r->done, token);
	}
}

// ---- Slots and versions --------------------------------------------------------------------

static void version_free(struct version *v, vmap_free free_value)
{
	if (v->value != NULL && free_value != NULL)
		free_value(v->value);
	free(v);
}

static void slot_done(struct retired *r)
{
	struct vslot *s = (struct vslot *)((char *)r - offsetof(struct vslot, retired));

	free(weft_vslot_head(s));
	free(s);
}

// An empty slot that nobody holds and no reader needs leaves the table, then memory.
void weft_vslot_drop_if_dead(struct vslot *s)
{
	const struct version *v = weft_vslot_head(s);
	struct vmap *m = s->map;

	if (s->holds > 0 || s->staged || (v != NULL && (v->value != NULL || v->older != NULL)))
		return;
	if (m == NULL) {
		slot_done(&s->retired);
		return;
	}
	if (!s->in_table)
		return; // waits already
	weft_vmap_forget(m, s);
	weft_vstore_retire_node(m->vs, &s->retired, m, slot_done);
}

void weft_vslot_hold(struct vslot *s)
{
	s->holds++;
}

void weft_vslot_release(struct vslot *s)
{
	if (s == NULL)
		return;
	s->holds--;
	weft_vslot_drop_if_dead(s);
}

// Every reader has an epoch at which r's version counts, so none goes on to what is older.
static void older_done(struct retired *r)
{
	struct version *v = (struct version *)((char *)r - offsetof(struct version, retired));
	struct version *older = v->older;
	struct vslot *s = v->slot;

	v->older = NULL;
	s->holds++; // the value may be its own slot's last holder
	version_free(older, s->map->free_value);
	weft_vslot_release(s);
}

void weft_vslot_stage(struct vslot *s, void *value)
{
	struct vmap *m = s->map;
	struct version *v = weft_vslot_head(s);
	struct version *next;

	if (s->staged) { // no reader has looked at the value
		void *before = v->value;

		v->value = value;
		if (before != NULL && before != value && m->free_value != NULL)
			m->free_value(before);
		return;
	}
	if (value == NULL && (v == NULL || v->value == NULL))
		return;
	next = weft_vmap_alloc(sizeof(*next));
	next->from = weft_vstore_epoch(m->vs) + 1;
	next->value = value;
	next->older = v;
	next->slot = s;
	s->staged = true;
	TAILQ_INSERT_TAIL(&m->vs->staged, s, staged_link);
	atomic_store_explicit(&s->head, next, memory_order_release);
}

void weft_vslot_orphan(struct vslot *s)
{
	struct vmap *m = s->map;
	struct version *v = weft_vslot_head(s);

	if (s->staged)
		TAILQ_REMOVE(&m->vs->staged, s, staged_link);
	s->staged = false;
	atomic_store_explicit(&s->head, NULL, memory_order_relaxed);
	s->holds++;
	while (v != NULL) {
		struct version *older = v->older;

		version_free(v, m->free_value);
		v = older;
	}
	s->map = NULL;
	weft_vslot_release(s);
}

void *weft_vslot_value(const struct vslot *s, uint64_t epoch)
{
	const struct version *v = weft_vslot_head(s);

	while (v != NULL && v->from > epoch)
		v = v->older;
	return v == NULL ? NULL : v->value;
}

const void *weft_vslot_key(const struct vslot *s)
{
	return s->key;
}

// ---- The store -----------------------------------------------------------------------------

struct vstore *weft_vstore_new(struct rte_rcu_qsbr *qsbr)
{
	struct vstore *vs = weft_vmap_alloc(sizeof(*vs));

	vs->qsbr = qsbr;
	TAILQ_INIT(&vs->staged);
	TAILQ_INIT(&vs->pending);
	TAILQ_INIT(&vs->retired);
	atomic_init(&vs->epoch, 1);
	return vs;
}

void weft_vstore_free(struct vstore *vs)
{
	if (vs == NULL)
		return;
	vs->qsbr = NULL;
	retire_pending(vs, 0);
	weft_vstore_reclaim(vs);
	free(vs);
}

uint64_t weft_vstore_epoch(const struct vstore *vs)
{
	return atomic_load_explicit(&vs->epoch, memory_order_acquire);
}

uint64_t weft_vstore_commit(struct vstore *vs)
{
	uint64_t epoch = weft_vstore_epoch(vs) + 1;
	struct vslot *s;
	uint64_t token;

	if (TAILQ_EMPTY(&vs->staged)) {
		weft_vstore_reclaim(vs);
		return epoch - 1;
	}
	atomic_store_explicit(&vs->epoch, epoch, memory_order_release);
	token = token_now(vs);
	while ((s = TAILQ_FIRST(&vs->staged)) != NULL) {
		struct version *v = weft_vslot_head(s);

		TAILQ_REMOVE(&vs->staged, s, staged_link);
		s->staged = false;
		s->map->count += v->value != NULL;
		if (v->older != NULL) {
			s->map->count -= v->older->value != NULL;
			retire(vs, &v->retired, s->map, older_done, token);
		} else {
			weft_vslot_drop_if_dead(s); // put and deleted in one batch
		}
	}
	retire_pending(vs, token);
	weft_vstore_reclaim(vs);
	return epoch;
}
