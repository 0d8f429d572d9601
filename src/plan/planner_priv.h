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
// Whether what hangs on the cell is kept up change by change. One that becomes used in this update is read from the
// model as a whole instead, one that becomes unused is emptied as a whole.
bool weft_planner_stays_used(const struct cell *cell);

// planner_router.c. After the ports are staged: the routers that local ports can reach now, and the networks that they use.
int weft_planner_stage_routers(struct planner *p, const struct model_change *changes, size_t n,
			       struct err *err);

// planner_set.c. What a change does to what stays in the plan; a rule set or address set that was touched.
void weft_planner_mark_rule_set(struct planner *p, const char *group_id);
int weft_planner_stage_rule_set(struct planner *p, struct cell *cell, struct err *err);
int weft_planner_stage_members(struct planner *p, const struct object *port, int delta,
			       struct err *err);
int weft_planner_stage_address_group(struct planner *p, const struct model_change *c,
				     struct err *err);
int weft_planner_stage_set(struct planner *p, struct cell *set, struct err *err);

// planner_network.c. What a port's or subnet's change does to networks that stay in the plan; a network that was touched.
int weft_planner_stage_in_network(struct planner *p, const struct model_change *c, struct err *err);
int weft_planner_stage_network(struct planner *p, struct cell *cell, struct err *err);
