// SPDX-License-Identifier: Apache-2.0
// Reconcile: one transaction of the API, carried through all parts, or through none.
//
//   model (open transaction) -> plan (staged) -> datapath (prepared) -> store (written) ->
//   datapath (applied) -> commit of plan and model -> interfaces
//
// Nothing that others see happens before the store has it: no packet is judged by, and no VM's
// socket or interface is touched for, a change that is not durable. So each failure is harmless:
//   - the plan cannot be made, or the datapath cannot do the batch: it says so when it prepares,
//     before anything is stored
//   - the store cannot be written: the datapath forgets what it prepared; it never was in force
//   - whether the store has it is not known (-EINPROGRESS): as before for everybody but the one
//     who asked, who gets no answer
//   - killed anywhere: what was written is the truth at the next start. It may be a change that
//     nobody was told of, and nobody was told of one that is not there
// Once the store has it nothing can refuse it: applying what was prepared cannot fail (datapath.h).
//
// At a start the store is there already, so nobody can be refused. What cannot be planned, or
// what the datapath cannot do, is left out, with its reason and with what refers to it
// (weft_model_leave_out); the rest runs. That is also how a change that was stored elsewhere
// would be taken: it is a fact, not a request.
//
// Threads    one (the control thread)
#pragma once

#include "vif/links.h"
#include "metadata/metadata.h"
#include "base/err.h"
#include "datapath/datapath.h"
#include "model/model.h"
#include "plan/planner.h"

struct reconcile {
	struct planner *planner;
	const struct datapath_ops *ops;
	struct datapath *datapath;
	struct links *links;
	struct metadata *metadata; // may be NULL
	// The store's write: durable when it returns 0, nothing written otherwise; -EINPROGRESS:
	// one or the other.
	int (*write)(void *store, const struct model_change *changes, size_t n, struct err *err);
	void *store;
};

// The whole plan of the model, into an empty datapath; objects that cannot be planned or carried
// out leave the model. *n_changes = how many plan changes that took.
int weft_reconcile_start(const struct reconcile *r, struct model *m, size_t *n_changes,
			 struct err *err);

// api_hooks.commit; arg is a struct reconcile. On failure the transaction is still open and
// nothing has changed.
int weft_reconcile_commit(void *arg, struct txn *t, struct err *err);
