// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/check.h"

static int prepare(const struct reconcile *r, const struct plan_batch *batch, size_t *refused,
		   struct err *err)
{
	return batch->n == 0 ? 0 : r->ops->prepare(r->datapath, batch, refused, err);
}

static void apply(const struct reconcile *r, const struct plan_batch *batch)
{
	if (batch->n == 0)
		return;
	r->ops->apply(r->datapath, batch);
	weft_metadata_plan_changed(r->metadata, batch);
}

static void forget(const struct reconcile *r, const struct plan_batch *batch)
{
	if (batch->n > 0)
		r->ops->forget(r->datapath);
}

// ---- A start -------------------------------------------------------------------------------

struct finding {
	struct left_out at;
	struct finding *next;
};

struct search {
	const struct model *model;
	struct finding *found;
};

static int look_at(const struct object *o, void *arg)
{
	struct search *s = arg;
	struct finding *f;
	struct err err = {0};

	if (weft_plan_check(s->model, o, &err) == 0)
		return 0;
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		abort();
	f->at.type = o->type;
	snprintf(f->at.id, sizeof(f->at.id), "%s", o->id);
	snprintf(f->at.reason, sizeof(f->at.reason), "%.190s", err.msg);
	f->next = s->found;
	s->found = f;
	return 0;
}

// What cannot be planned by itself is out; what it takes along has had its turn or has it without
// it.
static void leave_out_unplannable(struct model *m)
{
	for (int type = 0; type < RES_COUNT; type++) {
		struct search s = {m, NULL};

		weft_model_each(m, type, look_at, &s);
		for (struct finding *f = s.found, *next; f != NULL; f = next) {
			next = f->next;
			if (weft_model_get(m, type, f->at.id) != NULL)
				weft_model_leave_out(m, type, f->at.id, f->at.reason);
			free(f);
		}
	}
}

// What the datapath cannot do is out as well. False: nothing in the model is to blame for it.
static bool leave_out_refused(struct model *m, const struct plan_change *c, const char *why)
{
	enum resource type;
	const char *id;

	switch (c->kind) {
	case PLAN_NETWORK:
		type = RES_NETWORK, id = c->network->id;
		break;
	case PLAN_PORT:
		type = RES_PORT, id = c->port->id;
		break;
	case PLAN_RULE_SET:
		type = RES_SECURITY_GROUP, id = c->rule_set->id;
		break;
	default:
		return false;
	}
	if (weft_model_get(m, type, id) == NULL)
		return false;
	weft_model_leave_out(m, type, id, why);
	return true;
}

int weft_reconcile_start(const struct reconcile *r, struct model *m, size_t *n_changes,
			 struct err *err)
{
	struct plan_batch batch = {0};
	size_t refused;
	int ret;

	leave_out_unplannable(m);
	do {
		weft_plan_batch_fini(&batch);
		ret = weft_planner_load(r->planner, &batch, err);
		if (ret != 0)
			break;
		ret = prepare(r, &batch, &refused, err);
		if (ret != 0)
			weft_planner_abort(r->planner);
	} while (ret != 0 && leave_out_refused(m, &batch.changes[refused], err->msg));
	*n_changes = batch.n;
	if (ret == 0) {
		apply(r, &batch);
		weft_planner_commit(r->planner);
		weft_links_plan_changed(r->links, &batch);
	}
	weft_plan_batch_fini(&batch);
	return ret;
}

// ---- A request -----------------------------------------------------------------------------

int weft_reconcile_commit(void *arg, struct txn *t, struct err *err)
{
	const struct reconcile *r = arg;
	struct plan_batch batch = {0};
	size_t n, refused;
	const struct model_change *changes = weft_txn_changes(t, &n);
	int ret = weft_planner_update(r->planner, changes, n, &batch, err);

	if (ret != 0)
		return ret;
	ret = prepare(r, &batch, &refused, err);
	if (ret == 0 && n > 0) {
		ret = r->write(r->store, changes, n, err);
		if (ret != 0)
			forget(r, &batch);
	}
	if (ret == 0) {
		apply(r, &batch);
		weft_planner_commit(r->planner);
		weft_txn_commit(t);
		// After the model's commit: a port's status is of the port as it is now.
		weft_links_plan_changed(r->links, &batch);
	} else {
		weft_planner_abort(r->planner);
	}
	weft_plan_batch_fini(&batch);
	return ret;
}
