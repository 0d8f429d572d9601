// SPDX-License-Identifier: Apache-2.0
// Routers of the plan: those that local ports can reach, perhaps through others.
//
// Networks and routers form a graph, joined by interfaces; a part of it that is connected is in
// the plan as a whole if it is needed: if a local port is on one of its networks. (Use counts
// alone would not do: two networks of a router would keep each other in use.) A part is looked at
// again when one of its routers changes, or when a network's first local port comes or the last
// one goes.
//
// A gateway does not connect: all routers of a cloud have theirs on the same few external
// networks, and those that no local port is behind are other nodes' business. But what is needed
// leads out by its gateway, so need goes that one way: a router of the plan brings the external
// network, and the part which has that network as an inner one (a router between two external
// networks, say). It never goes the other way: a port that sits on an external network needs no
// router that has a gateway there. Such a router is in the plan if somebody is behind it here,
// which is when its addresses lead anywhere on this node.
//
// Parts can need each other in a circle. So a part without local ports asks where its need comes
// from, from gateway to gateway back to a local port, and it asks again whenever a router with a
// gateway on it comes into the plan or leaves it (`again`). A router that is not in the plan yet,
// or not any more, may make an answer wrong; it is put right when that router's turn has come,
// which ends, since the answer of parts with local ports is always right, then that of the next
// ones, and so on.
#include "plan/planner_priv.h"

#include <string.h>

#include "base/map.h"
#include "plan/attr.h"
#include "plan/build.h"

// One update's search. Keys are the ids of networks and routers.
struct search {
	struct planner *p;
	struct map *done;  // looked at
	struct map *again; // networks where a gateway came or went since
	struct err *err;
};

// The part of the graph at hand. Values in the maps are the objects; the work list is the map
// itself, walked in order of insertion while it grows.
struct part {
	struct planner *p;
	struct map *networks; // id -> itself
	struct map *routers;  // id -> struct object
	bool upstream;	      // and all from which need may come, until it is found
	bool needed;
};

static struct part part_new(struct planner *p)
{
	return (struct part) {.p = p, .networks = weft_map_new(), .routers = weft_map_new()};
}

static void part_free(struct part *part)
{
	weft_map_free(part->networks);
	weft_map_free(part->routers);
}

static const struct plan_router *planned(struct planner *p, const char *id)
{
	const struct cell *cell = weft_planner_cell(p, CELL_ROUTER, id);

	return cell == NULL ? NULL : cell->staged.object;
}

static bool has_local_ports(struct planner *p, const char *network_id)
{
	const struct cell *cell = weft_planner_cell(p, CELL_NETWORK, network_id);

	return cell != NULL && cell->staged.ports > 0;
}

static int meet_router(const struct object *port, void *arg)
{
	struct part *part = arg;
	const char *id = attr_text(port->attr, "device_id");
	const struct object *router = weft_model_get(part->p->model, RES_ROUTER, id);

	if (router != NULL)
		weft_map_put(part->routers, id, (void *)router);
	return 0;
}

// A router of the plan that leads out here. Mostly there is a local port right behind it; then
// the search is over.
static int meet_gateway(const struct object *port, void *arg)
{
	struct part *part = arg;
	const struct plan_router *r = planned(part->p, attr_text(port->attr, "device_id"));
	const struct plan_interface *out = weft_plan_external(r);

	if (out == NULL || strcmp(out->port_id, port->id) != 0)
		return 0;
	for (size_t i = 0; i < r->n_interfaces && !part->needed; i++)
		part->needed = &r->interfaces[i] != out &&
			       has_local_ports(part->p, r->interfaces[i].network_id);
	return part->needed ? 1 : meet_router(port, part);
}

static int meet_network(const struct object *port, void *arg)
{
	struct part *part = arg;

	weft_map_put(part->networks, attr_text(port->attr, "network_id"), part);
	return 0;
}

static void meet_routers(struct part *part, const char *network_id)
{
	part->needed = part->needed || has_local_ports(part->p, network_id);
	weft_model_each_ref(part->p->model, REF_NETWORK_ROUTER_PORTS, network_id, meet_router,
			    part);
	if (part->upstream && !part->needed)
		weft_model_each_ref(part->p->model, REF_NETWORK_GATEWAY_PORTS, network_id,
				    meet_gateway, part);
}

// Everything that hangs together with what is in the two maps.
static void complete(struct part *part)
{
	struct map_entry *n = NULL, *r = NULL;
	bool grown = true;

	while (grown && !(part->upstream && part->needed)) {
		grown = false;
		for (struct map_entry *next = n == NULL ? weft_map_first(part->networks)
							: weft_map_next(n);
		     next != NULL; next = weft_map_next(next)) {
			meet_routers(part, weft_map_key(next));
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

// Does need come to the part, which has no local ports, through somebody's gateway?
static bool is_needed_from_elsewhere(const struct part *part)
{
	struct part up = part_new(part->p);

	up.upstream = true;
	for (struct map_entry *e = weft_map_first(part->networks); e != NULL; e = weft_map_next(e))
		weft_map_put(up.networks, weft_map_key(e), &up);
	complete(&up);
	part_free(&up);
	return up.needed;
}

static void use_networks(struct planner *p, const struct plan_router *r, int delta)
{
	for (size_t i = 0; r != NULL && i < r->n_interfaces; i++)
		weft_planner_use(p, CELL_NETWORK, r->interfaces[i].network_id, delta);
}

const char *weft_planner_external_network(const struct plan_router *r)
{
	const struct plan_interface *p = weft_plan_external(r);

	return p == NULL ? "" : p->network_id;
}

// The router's own addresses on the external network.
static void put_gateway_neighbours(struct planner *p, struct cell *router)
{
	const struct plan_interface *out = weft_plan_external(router->staged.object);

	weft_cells_empty(&p->cells, router);
	for (size_t i = 0; out != NULL && i < out->n_addrs; i++) {
		struct plan_neighbour n = {.ip = out->addrs[i].ip, .mac = out->mac};

		strcpy(n.network_id, out->network_id);
		strcpy(n.port_id, out->port_id);
		weft_planner_put_neighbour(p, router, &n);
	}
}

static void set_router(struct search *s, const char *id, struct plan_router *router)
{
	struct cell_key key = weft_cell_key(CELL_ROUTER, id);
	struct cell *cell = weft_cells_get(&s->p->cells, &key);
	const char *was, *is = weft_planner_external_network(router);

	if (cell == NULL && router == NULL)
		return;
	cell = weft_cells_stage(&s->p->cells, &key, NULL);
	was = weft_planner_external_network(cell->staged.object);
	if (was[0] != '\0' && strcmp(was, is) != 0)
		weft_map_put(s->again, was, s);
	if (is[0] != '\0' && strcmp(was, is) != 0)
		weft_map_put(s->again, is, s);
	use_networks(s->p, router, 1);
	use_networks(s->p, cell->staged.object, -1);
	weft_cells_set(&s->p->cells, cell, router);
	put_gateway_neighbours(s->p, cell);
}

static int stage_router(struct search *s, const struct object *o, bool needed)
{
	struct plan_router *router = NULL;
	int ret = needed ? weft_plan_build_router(s->p->model, o, &router, s->err) : 0;

	if (ret == 0)
		set_router(s, o->id, router);
	return ret;
}

// `anew`: its routers may have changed; else only whether they are needed.
static int stage_part(struct search *s, struct part *part, bool anew)
{
	int ret = 0;

	complete(part);
	if (!part->needed && weft_map_count(part->routers) > 0)
		part->needed = is_needed_from_elsewhere(part);
	for (struct map_entry *e = weft_map_first(part->routers); e != NULL && ret == 0;
	     e = weft_map_next(e)) {
		weft_map_put(s->done, weft_map_key(e), part);
		if (anew || (planned(s->p, weft_map_key(e)) != NULL) != part->needed)
			ret = stage_router(s, weft_map_value(e), part->needed);
	}
	for (struct map_entry *e = weft_map_first(part->networks); e != NULL; e = weft_map_next(e))
		weft_map_put(s->done, weft_map_key(e), part);
	return ret;
}

// The part that a network or a router is in, unless it has been looked at.
static int stage_around(struct search *s, enum cell_kind kind, const char *id)
{
	struct part part;
	const struct object *o;
	int ret = 0;

	if (id[0] == '\0' || weft_map_get(s->done, id) != NULL)
		return 0;
	part = part_new(s->p);
	if (kind == CELL_NETWORK) {
		weft_map_put(part.networks, id, &part);
	} else {
		o = weft_model_get(s->p->model, RES_ROUTER, id);
		if (o != NULL)
			weft_map_put(part.routers, id, (void *)o);
		else
			set_router(s, id, NULL);
	}
	ret = stage_part(s, &part, true);
	part_free(&part);
	return ret;
}

// Where a changed router was, is, and what it no longer joins.
static int stage_router_change(struct search *s, const char *id)
{
	const struct cell *cell = weft_planner_cell(s->p, CELL_ROUTER, id);
	struct plan_router *old = cell == NULL || cell->now.object == NULL
					  ? NULL
					  : weft_plan_object_copy(PLAN_ROUTER, cell->now.object);
	int ret = stage_around(s, CELL_ROUTER, id);

	for (size_t i = 0; old != NULL && i < old->n_interfaces && ret == 0; i++)
		ret = stage_around(s, CELL_NETWORK, old->interfaces[i].network_id);
	weft_plan_object_free(PLAN_ROUTER, old);
	return ret;
}

static int stage_object(struct search *s, const struct object *o)
{
	if (o == NULL)
		return 0;
	if (o->type == RES_ROUTER)
		return stage_router_change(s, o->id);
	if (o->type == RES_PORT && (weft_plan_is_router_port(o) || weft_plan_is_gateway(o)))
		return stage_router_change(s, attr_text(o->attr, "device_id"));
	return 0;
}

static int reroute(const struct object *port, void *arg)
{
	struct search *s = arg;
	const char *id = attr_text(port->attr, "device_id");

	if (planned(s->p, id) == NULL || weft_map_get(s->done, id) != NULL)
		return 0;
	return stage_router(s, weft_model_get(s->p->model, RES_ROUTER, id), true);
}

// All subnets of an external network are on the link of the routers with a gateway there, and
// their way out is the gateway of those that they have an address in.
static int stage_subnet_gateway(struct search *s, const struct model_change *c)
{
	const struct object *o = c->after != NULL ? c->after : c->before;

	if (o->type != RES_SUBNET || (c->before != NULL && c->after != NULL &&
				      json_equal(json_object_get(c->before->attr, "gateway_ip"),
						 json_object_get(c->after->attr, "gateway_ip"))))
		return 0;
	return weft_model_each_ref(s->p->model, REF_NETWORK_GATEWAY_PORTS,
				   attr_text(o->attr, "network_id"), reroute, s);
}

// The first local port of a network came, or the last one went.
static int stage_settled(struct search *s)
{
	int ret = 0;

	for (size_t i = 0; i < s->p->cells.n_touched && ret == 0; i++) {
		const struct cell *c = s->p->cells.touched[i];

		if (c->key.kind == CELL_NETWORK && (c->now.ports > 0) != (c->staged.ports > 0))
			ret = stage_around(s, CELL_NETWORK, c->key.id);
	}
	return ret;
}

static int stage_again(struct search *s)
{
	struct map_entry *e;
	int ret = 0;

	while (ret == 0 && (e = weft_map_first(s->again)) != NULL) {
		struct part part = part_new(s->p);

		weft_map_put(part.networks, weft_map_key(e), &part);
		weft_map_del(s->again, weft_map_key(e));
		ret = stage_part(s, &part, false);
		part_free(&part);
	}
	return ret;
}

int weft_planner_stage_routers(struct planner *p, const struct model_change *changes, size_t n,
			       struct err *err)
{
	struct search s = {p, weft_map_new(), weft_map_new(), err};
	int ret = 0;

	for (size_t i = 0; i < n && ret == 0; i++) {
		ret = stage_object(&s, changes[i].before);
		if (ret == 0)
			ret = stage_object(&s, changes[i].after);
	}
	if (ret == 0)
		ret = stage_settled(&s);
	for (size_t i = 0; i < n && ret == 0; i++)
		ret = stage_subnet_gateway(&s, &changes[i]);
	if (ret == 0)
		ret = stage_again(&s);
	weft_map_free(s.done);
	weft_map_free(s.again);
	return ret;
}
