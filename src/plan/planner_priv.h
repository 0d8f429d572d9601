// SPDX-License-Identifier: Apache-2.0
// Planner's own structure, shared by planner.c and planner_router.c.
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

// After the ports are staged: the routers that local ports can reach now, and the networks that they use.
int weft_planner_stage_routers(struct planner *p, const struct model_change *changes, size_t n,
			       struct err *err);
