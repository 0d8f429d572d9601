// SPDX-License-Identifier: Apache-2.0
// Reconcile: one transaction of the API, carried through all parts, or through none.
//
//   model (open transaction) -> plan (staged) -> datapath (applied) -> store (written) -> commit of model and plan
//
// The order makes each failure harmless:
//   - the plan cannot be made, or the datapath refuses the batch: nothing is in force, nothing is stored
//   - the store cannot be written: the datapath gets the inverse batch and is as before. For that moment packets were
//     judged by a policy that was never acknowledged; the other order would need to take back what is on disk, which a
//     kill in between would make permanent
//   - killed anywhere: the datapath dies with us, what was written is the truth at the next start, and nothing
//     was acknowledged that was not written
// Writing the store is the last step that can fail. Should the datapath refuse to go back (it may only refuse for
// want of memory), the process ends itself: a restart from the store is the one state that is surely right.
//
// Threads    one (the control thread)
#pragma once

#include "agent/links.h"
#include "agent/metadata.h"
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
	// The store's write: durable when it returns 0, nothing written otherwise.
	int (*write)(void *store, const struct model_change *changes, size_t n, struct err *err);
	void *store;
};

// The whole plan of the model as it is, into an empty datapath. *n_changes = how many plan changes that took.
int weft_reconcile_start(const struct reconcile *r, size_t *n_changes, struct err *err);

// api_hooks.commit; arg is a struct reconcile. On failure the transaction is still open and nothing has changed.
int weft_reconcile_commit(void *arg, struct txn *t, struct err *err);
