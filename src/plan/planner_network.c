// SPDX-License-Identifier: Apache-2.0
// Networks of the plan with their subnets, and the neighbours that their ports make.
#include "plan/planner_priv.h"

#include <errno.h>
#include <string.h>

#include "plan/attr.h"
#include "plan/build.h"

struct walk {
	struct planner *p;
	struct cell *scope;
	struct err *err;
};

static int stage_subnet(const struct object *subnet, void *arg)
{
	struct walk *w = arg;
	struct cell_key key = weft_cell_key(CELL_SUBNET, subnet->id);
	struct plan_subnet *s;
	int ret = weft_plan_build_subnet(
		subnet, weft_model_get(w->p->model, RES_NETWORK, w->scope->key.id), &s, w->err);

	if (ret == 0)
		weft_cells_set(&w->p->cells, weft_cells_stage(&w->p->cells, &key, w->scope), s);
	return ret;
}

static struct cell *neighbour_cell(struct planner *p, struct cell *scope,
				   const struct plan_neighbour *n)
{
	struct cell_key key = weft_cell_key(CELL_NEIGHBOUR, n->port_id);

	memcpy(key.scope, n->network_id, strlen(n->network_id));
	key.prefix.ip = n->ip;
	key.mac = n->mac;
	return weft_cells_stage(&p->cells, &key, scope);
}

void weft_planner_put_neighbour(struct planner *p, struct cell *scope,
				const struct plan_neighbour *n)
{
	weft_cells_set(&p->cells, neighbour_cell(p, scope, n),
		       weft_plan_object_copy(PLAN_NEIGHBOUR, n));
}

static int stage_neighbours(struct planner *p, struct cell *network, const struct object *port,
			    bool there, struct err *err)
{
	struct plan_neighbour *list;
	size_t n;
	int ret = weft_plan_build_neighbours(port, p->host, &list, &n, err);

	if (ret != 0)
		return ret;
	for (size_t i = 0; i < n; i++) {
		if (there)
			weft_planner_put_neighbour(p, network, &list[i]);
		else
			weft_cells_set(&p->cells, neighbour_cell(p, network, &list[i]), NULL);
	}
	free(list);
	return 0;
}

static int fill_neighbours(const struct object *port, void *arg)
{
	struct walk *w = arg;

	return stage_neighbours(w->p, w->scope, port, true, w->err);
}

int weft_planner_stage_network(struct planner *p, struct cell *cell, struct err *err)
{
	struct walk w = {p, cell, err};
	const struct object *o;
	struct plan_network *network;
	bool was = cell->now.refs > 0;
	int ret;

	if (cell->staged.refs == 0) {
		weft_cells_empty(&p->cells, cell);
		weft_cells_set(&p->cells, cell, NULL);
		return 0;
	}
	if (was && !cell->rebuild)
		return 0;
	o = weft_model_get(p->model, RES_NETWORK, cell->key.id);
	if (o == NULL)
		return weft_fail(err, -EINVAL,
				 "network %s: a port of this host is in it, but there is no such "
				 "network",
				 cell->key.id);
	ret = weft_plan_build_network(o, &network, err);
	if (ret != 0)
		return ret;
	weft_cells_set(&p->cells, cell, network);
	// A network's change may reach its subnets: they tell its domain.
	ret = weft_model_each_ref(p->model, REF_NETWORK_SUBNETS, cell->key.id, stage_subnet, &w);
	if (ret == 0 && !was)
		ret = weft_model_each_ref(p->model, REF_NETWORK_PORTS, cell->key.id,
					  fill_neighbours, &w);
	return ret;
}

static struct cell *network_of(struct planner *p, const struct object *o)
{
	struct cell *cell =
		o == NULL ? NULL
			  : weft_planner_cell(p, CELL_NETWORK, attr_text(o->attr, "network_id"));

	return weft_planner_stays_used(cell) ? cell : NULL;
}

// What a change adds to or takes from networks that are in the plan before and after it.
int weft_planner_stage_in_network(struct planner *p, const struct model_change *c, struct err *err)
{
	enum resource type = c->after != NULL ? c->after->type : c->before->type;
	struct cell *was = network_of(p, c->before), *is = network_of(p, c->after);
	int ret = 0;

	if (type == RES_SUBNET) {
		struct walk w = {p, is, err};
		struct cell *old = was == NULL ? NULL
					       : weft_planner_cell(p, CELL_SUBNET, c->before->id);

		if (old != NULL)
			weft_cells_set(&p->cells, old, NULL);
		return is == NULL ? 0 : stage_subnet(c->after, &w);
	}
	if (was != NULL)
		ret = stage_neighbours(p, was, c->before, false, err);
	if (ret == 0 && is != NULL)
		ret = stage_neighbours(p, is, c->after, true, err);
	return ret;
}
