// SPDX-License-Identifier: Apache-2.0
// The planner's own structure, and the steps of an update, one file for each kind of need.
#pragma once

#include "plan/cells.h"
#include "plan/planner.h"

struct planner {
	char host[256];
	const struct model *model;
	struct cells cells;
};

struct cell *weft_planner_cell(struct planner *p, enum cell_kind kind,
			       const char *id); // NULL = not there
// Stage a cell with `delta` more uses.
struct cell *weft_planner_use(struct planner *p, enum cell_kind kind, const char *id, int delta);
// Whether what hangs on the cell is kept up change by change. One that becomes used in this
// update is read from the model as a whole instead, one that becomes unused is emptied as a
// whole.
bool weft_planner_stays_used(const struct cell *cell);

// All touched cells of the kind; staging one must touch no others of it.
int weft_planner_stage_touched(struct planner *p, enum cell_kind kind,
			       int (*stage)(struct planner *, struct cell *, struct err *),
			       struct err *err);

// planner_router.c. After the ports are staged: the routers that local ports can reach now, and
// the networks that they use.
int weft_planner_stage_routers(struct planner *p, const struct model_change *changes, size_t n,
			       struct err *err);
// "" = it has no way out, or there is no router.
const char *weft_planner_external_network(const struct plan_router *r);

// planner_nat.c. After the routers.
int weft_planner_stage_nat(struct planner *p, const struct model_change *changes, size_t n,
			   struct err *err);

// planner_set.c. What a change does to what stays in the plan; a rule set or address set that was
// touched.
void weft_planner_mark_rule_set(struct planner *p, const char *group_id);
int weft_planner_stage_rule_set(struct planner *p, struct cell *cell, struct err *err);
int weft_planner_stage_members(struct planner *p, const struct object *port, int delta,
			       struct err *err);
int weft_planner_stage_address_group(struct planner *p, const struct model_change *c,
				     struct err *err);
int weft_planner_stage_set(struct planner *p, struct cell *set, struct err *err);

// planner_network.c. What a port's or subnet's change does to networks that stay in the plan; a
// network that was touched.
int weft_planner_stage_in_network(struct planner *p, const struct model_change *c, struct err *err);
int weft_planner_stage_network(struct planner *p, struct cell *cell, struct err *err);
// It comes and goes with the scope: a network, or what has the address outside.
void weft_planner_put_neighbour(struct planner *p, struct cell *scope,
				const struct plan_neighbour *n);
