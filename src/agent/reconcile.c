// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile.h"

#include <stdlib.h>

#include "base/log.h"

// Who keeps what the datapath has follows every batch that it takes, also one that is taken back.
static int apply(const struct reconcile *r, const struct plan_batch *batch, struct err *err)
{
	int ret = batch->n == 0 ? 0 : r->ops->apply(r->datapath, batch, err);

	if (ret == 0)
		weft_metadata_plan_changed(r->metadata, batch);
	return ret;
}

int weft_reconcile_start(const struct reconcile *r, size_t *n_changes, struct err *err)
{
	struct plan_batch batch = {0};
	int ret = weft_planner_load(r->planner, &batch, err);

	*n_changes = batch.n;
	if (ret == 0) {
		ret = apply(r, &batch, err);
		if (ret == 0)
			weft_planner_commit(r->planner);
		else
			weft_planner_abort(r->planner);
	}
	if (ret == 0)
		weft_links_plan_changed(r->links, &batch);
	weft_plan_batch_fini(&batch);
	return ret;
}

// The store could not be written: the datapath goes back to the plan in force. Ports that the batch had deleted come back
// without their interfaces, so they are attached again.
static void go_back(const struct reconcile *r, const struct plan_batch *batch)
{
	struct plan_batch inverse = {0};
	struct err err = {0};
	int ret;

	weft_planner_inverse(r->planner, &inverse);
	ret = apply(r, &inverse, &err);
	weft_plan_batch_fini(&inverse);
	if (ret != 0) {
		weft_log_error("the datapath cannot take back a change that was not stored: %s; "
			       "weftd ends, a restart begins from what is stored",
			       err.msg);
		abort();
	}
	for (size_t i = 0; i < batch->n; i++) {
		const struct plan_change *c = &batch->changes[i];

		if (c->op == PLAN_DEL && c->kind == PLAN_PORT)
			weft_links_reattach(r->links, c->port->id);
	}
}

int weft_reconcile_commit(void *arg, struct txn *t, struct err *err)
{
	const struct reconcile *r = arg;
	struct plan_batch batch = {0};
	size_t n;
	const struct model_change *changes = weft_txn_changes(t, &n);
	int ret = weft_planner_update(r->planner, changes, n, &batch, err);

	if (ret != 0)
		return ret;
	ret = apply(r, &batch, err);
	if (ret == 0 && n > 0) {
		ret = r->write(r->store, changes, n, err);
		if (ret != 0)
			go_back(r, &batch);
	}
	if (ret == 0) {
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
