// SPDX-License-Identifier: Apache-2.0
// Planner: model changes in, the smallest batch of plan changes out.
//
// The planner keeps the plan that is in force and counts who needs what: local ports need their
// network and rule sets, rule sets need the sets that their rules name, an address is a member of
// a set as often as ports contribute it. A change only touches what it names; a thing whose count
// leaves or reaches zero enters the plan or goes with all that hangs on it (a network's subnets
// and neighbours, a set's members), read from the model's reference indexes. What comes out equal
// to what is in force is not emitted. So an update costs what it changes, whatever the size of
// the cloud.
//
// An update is staged until the datapath and the store have taken it:
//
//   weft_planner_update -> batch -> datapath, store -> weft_planner_commit, or weft_planner_abort
//   and all is as before
//
// Ownership  the planner borrows the model; batches are the caller's (weft_plan_batch_fini)
// Errors     0 or -errno; a failed update has staged nothing
// Threads    one (the control thread)
#pragma once

#include "base/err.h"
#include "model/model.h"
#include "plan/plan.h"

struct planner;

struct planner *weft_planner_new(const char *host, const struct model *m);
void weft_planner_free(struct planner *p);

// Stage everything that this host needs of the model as it is. The planner must be empty.
int weft_planner_load(struct planner *p, struct plan_batch *out, struct err *err);

// Stage the changes of an open transaction: the model already shows them.
int weft_planner_update(struct planner *p, const struct model_change *changes, size_t n,
			struct plan_batch *out, struct err *err);

void weft_planner_commit(struct planner *p);
void weft_planner_abort(struct planner *p);

// A local port of the plan in force, NULL = not here. Good until the next commit.
const struct plan_port *weft_planner_port(const struct planner *p, const char *port_id);
// Non-zero from visit stops the walk and is returned.
typedef int (*planner_visit)(const struct plan_port *port, void *arg);
int weft_planner_each_port(const struct planner *p, planner_visit visit, void *arg);
