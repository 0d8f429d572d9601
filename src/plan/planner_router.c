// SPDX-License-Identifier: Apache-2.0
// Routers of the plan: those that local ports can reach, perhaps through others.
//
// Networks and routers form a graph; a part of it that is connected is in the plan as a whole if a local port is on
// one of its networks. (Use counts alone would not do: two networks of a router would keep each other in use.) A part is
// looked at again when one of its routers changes, or when a network's first local port comes or the last one goes.
#include "plan/planner_priv.h"

#include <string.h>

#include "base/map.h"
#include "plan/attr.h"
#include "plan/build.h"

// The part of the graph at hand. Values in the maps are the objects; the work list is the map itself, walked in order
// of insertion while it grows.
struct part {
	struct planner *p;
	struct map *networks; // id -> itself
	struct map *routers;  // id -> struct object
	bool needed;
};

static int meet_router(const struct object *port, void *arg)
{
	struct part *part = arg;
	const char *id = attr_text(port->attr, "device_id");
	const struct object *router = weft_model_get(part->p->model, RES_ROUTER, id);

	if (router != NULL)
		weft_map_put(part->routers, id, (void *)router);
	return 0;
}

static int meet_network(const struct object *port, void *arg)
{
	struct part *part = arg;

	weft_map_put(part->networks, attr_text(port->attr, "network_id"), part);
	return 0;
}

// Everything that hangs together with what is in the two maps.
static void complete(struct part *part)
{
	struct map_entry *n = NULL, *r = NULL;
	bool grown = true;

	while (grown) {
		grown = false;
		for (struct map_entry *next = n == NULL ? weft_map_first(part->networks)
							: weft_map_next(n);
		     next != NULL; next = weft_map_next(next)) {
			const struct cell *cell =
				weft_planner_cell(part->p, CELL_NETWORK, weft_map_key(next));

			part->needed = part->needed || (cell != NULL && cell->staged.ports > 0);
			weft_model_each_ref(part->p->model, REF_NETWORK_ROUTER_PORTS,
					    weft_map_key(next), meet_router, part);
			n = next;
			grown = true;
		}
		for (struct map_entry *next = r == NULL ? weft_map_first(part->routers)
							: weft_map_next(r);
		     next != NULL; next = weft_map_next(next)) {
			weft_model_each_ref(part->p->model, REF_ROUTER_PORTS, weft_map_key(next),
					    meet_network, part);
			r = next;
			grown = true;
		}
	}
}

static void use_networks(struct planner *p, const struct plan_router *r, int delta)
{
	for (size_t i = 0; r != NULL && i < r->n_interfaces; i++)
		weft_planner_use(p, CELL_NETWORK, r->interfaces[i].network_id, delta);
}

static void set_router(struct planner *p, const char *id, struct plan_router *router)
{
	struct cell_key key = weft_cell_key(CELL_ROUTER, id);
	struct cell *cell = weft_cells_get(&p->cells, &key);

	if (cell == NULL && router == NULL)
		return;
	cell = weft_cells_stage(&p->cells, &key, NULL);
	use_networks(p, router, 1);
	use_networks(p, cell->staged.object, -1);
	weft_cells_set(&p->cells, cell, router);
}

static int stage_part(struct part *part, struct map *done, struct err *err)
{
	int ret = 0;

	complete(part);
	for (struct map_entry *e = weft_map_first(part->routers); e != NULL && ret == 0;
	     e = weft_map_next(e)) {
		struct plan_router *router = NULL;

		weft_map_put(done, weft_map_key(e), part);
		if (part->needed)
			ret = weft_plan_build_router(part->p->model, weft_map_value(e), &router,
						     err);
		if (ret == 0)
			set_router(part->p, weft_map_key(e), router);
	}
	for (struct map_entry *e = weft_map_first(part->networks); e != NULL; e = weft_map_next(e))
		weft_map_put(done, weft_map_key(e), part);
	return ret;
}

// The part that a network or a router is in, unless it has been looked at.
static int stage_around(struct planner *p, struct map *done, enum cell_kind kind, const char *id,
			struct err *err)
{
	struct part part = {.p = p};
	const struct object *o;
	int ret = 0;

	if (id[0] == '\0' || weft_map_get(done, id) != NULL)
		return 0;
	part.networks = weft_map_new();
	part.routers = weft_map_new();
	if (kind == CELL_NETWORK) {
		weft_map_put(part.networks, id, &part);
	} else {
		o = weft_model_get(p->model, RES_ROUTER, id);
		if (o != NULL)
			weft_map_put(part.routers, id, (void *)o);
		else
			set_router(p, id, NULL);
	}
	ret = stage_part(&part, done, err);
	weft_map_free(part.networks);
	weft_map_free(part.routers);
	return ret;
}

// Where a changed router was, is, and what it no longer joins.
static int stage_router_change(struct planner *p, struct map *done, const char *id, struct err *err)
{
	const struct cell *cell = weft_planner_cell(p, CELL_ROUTER, id);
	struct plan_router *old = cell == NULL || cell->now.object == NULL
					  ? NULL
					  : weft_plan_object_copy(PLAN_ROUTER, cell->now.object);
	int ret = stage_around(p, done, CELL_ROUTER, id, err);

	for (size_t i = 0; old != NULL && i < old->n_interfaces && ret == 0; i++)
		ret = stage_around(p, done, CELL_NETWORK, old->interfaces[i].network_id, err);
	weft_plan_object_free(PLAN_ROUTER, old);
	return ret;
}

static int stage_object(struct planner *p, struct map *done, const struct object *o,
			struct err *err)
{
	if (o == NULL)
		return 0;
	if (o->type == RES_ROUTER)
		return stage_router_change(p, done, o->id, err);
	if (o->type == RES_PORT && weft_plan_is_router_port(o))
		return stage_router_change(p, done, attr_text(o->attr, "device_id"), err);
	return 0;
}

int weft_planner_stage_routers(struct planner *p, const struct model_change *changes, size_t n,
			       struct err *err)
{
	struct map *done = weft_map_new();
	int ret = 0;

	for (size_t i = 0; i < n && ret == 0; i++) {
		ret = stage_object(p, done, changes[i].before, err);
		if (ret == 0)
			ret = stage_object(p, done, changes[i].after, err);
	}
	for (size_t i = 0; i < p->cells.n_touched && ret == 0; i++) {
		const struct cell *c = p->cells.touched[i];

		if (c->key.kind == CELL_NETWORK && (c->now.ports > 0) != (c->staged.ports > 0)) {
			char id[WEFT_ID_LEN + 1];

			attr_copy(id, sizeof(id), c->key.id);
			ret = stage_around(p, done, CELL_NETWORK, id, err);
		}
	}
	weft_map_free(done);
	return ret;
}
