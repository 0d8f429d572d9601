// SPDX-License-Identifier: Apache-2.0
// Floating IPs and port forwardings of the plan.
//
// A floating IP is in the plan if its router is, with its gateway on the floating IP's network,
// and if this node is the one that translates it: the port that it leads to is bound here, or
// nowhere (then whoever holds the router's source NAT does; that is this node). One that is only
// forwarded by ports belongs to that holder as well. A floating IP's forwardings are in the plan
// with it.
//
// Whether one is in the plan is asked anew for each that a change names, and for all of a router
// whose way out came or went. So a floating IP or a forwarding costs the same whatever else its
// router has.
#include "plan/planner_priv.h"

#include <string.h>

#include "plan/attr.h"
#include "plan/build.h"

struct walk {
	struct planner *p;
	struct err *err;
};

static bool is_served_here(const struct planner *p, const struct object *port)
{
	return port != NULL &&
	       (weft_plan_port_is_local(port, p->host) || !weft_plan_port_is_bound(port));
}

static bool is_translated_here(struct planner *p, const struct object *floating)
{
	const char *network = attr_text(floating->attr, "floating_network_id");
	const char *port = attr_text(floating->attr, "port_id");
	const struct cell *router =
		weft_planner_cell(p, CELL_ROUTER, attr_text(floating->attr, "router_id"));

	if (router == NULL ||
	    strcmp(weft_planner_external_network(router->staged.object), network) != 0)
		return false;
	return port[0] == '\0' || is_served_here(p, weft_model_get(p->model, RES_PORT, port));
}

static int take_first(const struct object *o, void *arg)
{
	*(const struct object **)arg = o;
	return 1;
}

static int stage_floating(struct planner *p, const char *id, struct err *err)
{
	struct cell_key key = weft_cell_key(CELL_FLOATING, id);
	const struct object *o = weft_model_get(p->model, RES_FLOATING_IP, id), *own_port = NULL;
	struct plan_floating *f = NULL;
	struct plan_neighbour n = {0};
	struct cell *cell = weft_cells_get(&p->cells, &key);

	if (o != NULL && is_translated_here(p, o)) {
		int ret;

		weft_model_each_ref(p->model, REF_FLOATING_IP_PORTS, id, take_first, &own_port);
		ret = weft_plan_build_floating(o, own_port, &f, err);
		if (ret != 0)
			return ret;
	}
	if (cell == NULL && f == NULL)
		return 0;
	cell = weft_cells_stage(&p->cells, &key, NULL);
	weft_cells_empty(&p->cells, cell);
	if (f != NULL) {
		strcpy(n.network_id, f->network_id);
		strcpy(n.port_id, own_port->id);
		n.ip = f->ip;
		n.mac = f->mac;
		weft_planner_put_neighbour(p, cell, &n);
	}
	weft_cells_set(&p->cells, cell, f);
	return 0;
}

static int visit_floating(const struct object *floating, void *arg)
{
	struct walk *w = arg;

	return stage_floating(w->p, floating->id, w->err);
}

static int stage_router_floatings(struct planner *p, struct cell *router, struct err *err)
{
	struct walk w = {p, err};

	if (strcmp(weft_planner_external_network(router->now.object),
		   weft_planner_external_network(router->staged.object)) == 0)
		return 0;
	return weft_model_each_ref(p->model, REF_ROUTER_FLOATING_IPS, router->key.id,
				   visit_floating, &w);
}

// The port that holds a floating IP's address, or one that floating IPs lead to.
static int stage_port_floatings(struct planner *p, const struct model_change *c, struct err *err)
{
	const struct object *port = c->after != NULL ? c->after : c->before;
	struct walk w = {p, err};

	if (weft_plan_is_floating(port))
		return stage_floating(p, attr_text(port->attr, "device_id"), err);
	if (is_served_here(p, c->before) == is_served_here(p, c->after))
		return 0;
	return weft_model_each_ref(p->model, REF_PORT_FLOATING_IPS, port->id, visit_floating, &w);
}

static int stage_forwarding(struct planner *p, const char *id, struct err *err)
{
	struct cell_key key = weft_cell_key(CELL_FORWARDING, id);
	const struct object *o = weft_model_get(p->model, RES_PORT_FORWARDING, id);
	const struct cell *floating =
		o == NULL
			? NULL
			: weft_planner_cell(p, CELL_FLOATING, attr_text(o->attr, "floatingip_id"));
	struct plan_forwarding *f = NULL;
	struct cell *cell = weft_cells_get(&p->cells, &key);

	if (floating != NULL && floating->staged.object != NULL) {
		int ret = weft_plan_build_forwarding(o, &f, err);

		if (ret != 0)
			return ret;
	}
	if (cell == NULL && f == NULL)
		return 0;
	weft_cells_set(&p->cells, weft_cells_stage(&p->cells, &key, NULL), f);
	return 0;
}

static int visit_forwarding(const struct object *forwarding, void *arg)
{
	struct walk *w = arg;

	return stage_forwarding(w->p, forwarding->id, w->err);
}

static int stage_floating_forwardings(struct planner *p, struct cell *floating, struct err *err)
{
	struct walk w = {p, err};

	if ((floating->now.object == NULL) == (floating->staged.object == NULL))
		return 0;
	return weft_model_each_ref(p->model, REF_FLOATING_IP_FORWARDINGS, floating->key.id,
				   visit_forwarding, &w);
}

int weft_planner_stage_nat(struct planner *p, const struct model_change *changes, size_t n,
			   struct err *err)
{
	int ret = weft_planner_stage_touched(p, CELL_ROUTER, stage_router_floatings, err);

	for (size_t i = 0; i < n && ret == 0; i++) {
		const struct object *o = changes[i].after != NULL ? changes[i].after
								  : changes[i].before;

		if (o->type == RES_FLOATING_IP)
			ret = stage_floating(p, o->id, err);
		else if (o->type == RES_PORT)
			ret = stage_port_floatings(p, &changes[i], err);
	}
	if (ret == 0)
		ret = weft_planner_stage_touched(p, CELL_FLOATING, stage_floating_forwardings, err);
	for (size_t i = 0; i < n && ret == 0; i++) {
		const struct object *o = changes[i].after != NULL ? changes[i].after
								  : changes[i].before;

		if (o->type == RES_PORT_FORWARDING)
			ret = stage_forwarding(p, o->id, err);
	}
	return ret;
}
