// SPDX-License-Identifier: Apache-2.0
#include "model/txn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "model/index.h"

enum txn_state { TXN_OPEN, TXN_COMMITTED, TXN_ABORTED };

// The log has every step, so that undoing is doing it backwards; the net list has one pair per
// object. (Net pairs alone could not be undone one by one: two ports may have exchanged their
// addresses.)
struct txn {
	struct model *m;
	enum txn_state state;
	struct model_change *log, *net, *shown;
	size_t n_log, cap_log, n_net, cap_net;
	struct map *net_of; // object id -> its place in net, plus one
};

static void append(struct model_change **list, size_t *n, size_t *cap, const struct object *before,
		   const struct object *after)
{
	if (*n == *cap) {
		*cap = *cap == 0 ? 16 : 2 * *cap;
		*list = realloc(*list, *cap * sizeof(**list));
		if (*list == NULL)
			abort();
	}
	(*list)[(*n)++] = (struct model_change) {before, after};
}

static void step(struct txn *t, const struct object *before, const struct object *after)
{
	assert(t->state == TXN_OPEN);
	weft_index_replace(t->m, before, after);
	append(&t->log, &t->n_log, &t->cap_log, before, after);

	const char *id = before != NULL ? before->id : after->id;
	size_t place = (size_t)(uintptr_t)weft_map_get(t->net_of, id);
	if (place != 0) {
		t->net[place - 1].after = after;
		return;
	}
	append(&t->net, &t->n_net, &t->cap_net, before, after);
	weft_map_put(t->net_of, id, (void *)(uintptr_t)t->n_net);
}

struct txn *weft_txn_begin(struct model *m)
{
	struct txn *t = calloc(1, sizeof(*t));
	if (t == NULL)
		abort();
	t->m = m;
	t->net_of = weft_map_new();
	return t;
}

struct model *weft_txn_model(const struct txn *t)
{
	return t->m;
}

static void set_time(json_t *attr, const char *key)
{
	char now[21];
	weft_time_text(time(NULL), now);
	json_object_set_new(attr, key, json_string(now));
}

json_t *weft_txn_new_attr(const struct txn *t, enum resource type, const char *project_id)
{
	json_t *attr = json_copy(t->m->defaults[type]);
	char id[WEFT_ID_LEN + 1];
	weft_uuid_new(id);
	json_object_set_new(attr, "id", json_string(id));
	json_object_set_new(attr, "project_id", json_string(project_id));
	set_time(attr, "created_at");
	json_object_set(attr, "updated_at", json_object_get(attr, "created_at"));
	json_object_set_new(attr, "revision_number", json_integer(1));
	return attr;
}

const struct object *weft_txn_insert(struct txn *t, enum resource type, json_t *attr)
{
	struct object *o = weft_object_new(type, attr);
	step(t, NULL, o);
	return o;
}

const struct object *weft_txn_replace(struct txn *t, const struct object *old, json_t *attr)
{
	int64_t revision = weft_json_int(old->attr, "revision_number", 0);
	json_object_set_new(attr, "revision_number", json_integer(revision + 1));
	set_time(attr, "updated_at");
	struct object *o = weft_object_new(old->type, attr);
	step(t, old, o);
	return o;
}

void weft_txn_remove(struct txn *t, const struct object *o)
{
	step(t, o, NULL);
}

void weft_txn_touch(struct txn *t, enum resource type, const char *id)
{
	const struct object *o = weft_model_get(t->m, type, id);
	if (o != NULL && weft_map_get(t->net_of, id) == NULL)
		weft_txn_replace(t, o, json_copy(o->attr));
}

const struct model_change *weft_txn_changes(const struct txn *t, size_t *n)
{
	// The list is a cache of what net says, not a part of the transaction's state.
	struct txn *mutable = (struct txn *)t;
	free(mutable->shown);
	mutable->shown = calloc(t->n_net + 1, sizeof(*t->shown));
	if (t->shown == NULL)
		abort();
	*n = 0;
	for (size_t i = 0; i < t->n_net; i++)
		if (t->net[i].before != NULL || t->net[i].after != NULL)
			t->shown[(*n)++] = t->net[i];
	return t->shown;
}

void weft_txn_commit(struct txn *t)
{
	assert(t->state == TXN_OPEN);
	t->state = TXN_COMMITTED;
	for (size_t i = 0; i < t->n_net; i++)
		if (t->net[i].after == NULL && t->net[i].before != NULL &&
		    t->net[i].before->type == RES_PORT)
			free(weft_map_del(t->m->port_status, t->net[i].before->id));
}

void weft_txn_abort(struct txn *t)
{
	assert(t->state == TXN_OPEN);
	t->state = TXN_ABORTED;
	for (size_t i = t->n_log; i-- > 0;)
		weft_index_replace(t->m, t->log[i].after, t->log[i].before);
}

void weft_txn_free(struct txn *t)
{
	if (t == NULL)
		return;
	if (t->state == TXN_OPEN)
		weft_txn_abort(t);
	// Each object was put in once and taken out at most once, so this frees each loser once.
	for (size_t i = 0; i < t->n_log; i++) {
		const struct object *gone = t->state == TXN_COMMITTED ? t->log[i].before
								      : t->log[i].after;
		weft_object_free((struct object *)gone);
	}
	weft_map_free(t->net_of);
	free(t->log);
	free(t->net);
	free(t->shown);
	free(t);
}
