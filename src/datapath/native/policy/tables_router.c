// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/policy/tables_priv.h"

#include <stdlib.h>
#include <string.h>

// A router's values hold slots of what they name.
static void router_free(void *value)
{
	struct router *r = value;

	for (size_t i = 0; i < r->n_interfaces; i++) {
		weft_vslot_release(r->interfaces[i].network);
		free(r->interfaces[i].addrs);
	}
	free(r->interfaces);
	free(r->routes);
	free(r);
}

static void gateway_free(void *value)
{
	struct gateway *g = value;

	weft_vslot_release(g->router);
	free(g);
}

void weft_tables_routers_new(struct tables *t)
{
	t->routers = weft_map_new();
	t->router_index = weft_map_new();
	t->gone_routers = weft_map_new();
	t->node->routers = weft_vmap_new(t->node->vs, WEFT_ID_LEN + 1, router_free);
	t->node->gateways = weft_vmap_new(t->node->vs, sizeof(struct mac_key), gateway_free);
}

void weft_tables_routers_free(struct tables *t)
{
	for (struct map_entry *e = weft_map_first(t->routers); e; e = weft_map_next(e))
		weft_plan_object_free(PLAN_ROUTER, weft_map_value(e));
	weft_map_free(t->routers);
	weft_map_free(t->router_index);
	weft_map_free(t->gone_routers);
	weft_vmap_free(t->node->gateways);
	weft_vmap_free(t->node->routers);
}

static struct ip_prefix masked(const struct ip_prefix *p)
{
	return weft_prefix_masked(p);
}

static int longest_first(const void *a, const void *b)
{
	return ((const struct router_route *)b)->dst.len -
	       ((const struct router_route *)a)->dst.len;
}

static int external_of(const struct plan_router *r)
{
	for (size_t i = 0; i < r->n_interfaces; i++)
		if (r->interfaces[i].external)
			return (int)i;
	return -1;
}

// The interface on whose link the next hop is; -1 = none. A link-local one is outside, and so is
// none.
static int interface_of(const struct plan_router *r, const struct ip_addr *ip)
{
	if (ip->family == 0 || (ip->family == 6 && weft_ip_is_link_local(ip)))
		return external_of(r);
	for (size_t i = 0; i < r->n_interfaces; i++)
		for (size_t k = 0; k < r->interfaces[i].n_addrs; k++)
			if (weft_prefix_contains(&r->interfaces[i].addrs[k], ip))
				return (int)i;
	for (size_t i = 0; i < r->n_routes; i++)
		if (r->routes[i].via.family == 0 && weft_prefix_contains(&r->routes[i].dst, ip))
			return external_of(r);
	return -1;
}

static void add_routes(struct router *r, const struct plan_router *plan)
{
	size_t most = plan->n_routes;

	for (size_t i = 0; i < plan->n_interfaces; i++)
		most += plan->interfaces[i].n_addrs;
	r->routes = weft_tables_alloc((most + 1) * sizeof(r->routes[0]));
	for (size_t i = 0; i < plan->n_interfaces; i++)
		for (size_t k = 0; k < plan->interfaces[i].n_addrs; k++)
			r->routes[r->n_routes++] =
				(struct router_route) {.dst = masked(&plan->interfaces[i].addrs[k]),
						       .interface = (uint16_t)i};
	for (size_t i = 0; i < plan->n_routes; i++) {
		int out = interface_of(plan, &plan->routes[i].via);

		// A next hop that is on no interface leads nowhere (the API refuses it).
		if (out >= 0)
			r->routes[r->n_routes++] =
				(struct router_route) {.dst = masked(&plan->routes[i].dst),
						       .via = plan->routes[i].via,
						       .interface = (uint16_t)out};
	}
	qsort(r->routes, r->n_routes, sizeof(r->routes[0]), longest_first);
}

uint32_t weft_tables_router_index(struct tables *t, const char *id)
{
	uintptr_t known = (uintptr_t)weft_map_get(t->router_index, id);

	if (known == 0) {
		known = ++t->next_router;
		weft_map_put(t->router_index, id, (void *)known);
	}
	return (uint32_t)known - 1;
}

static struct router *compile(struct tables *t, const struct plan_router *plan)
{
	struct router *r = weft_tables_alloc(sizeof(*r));

	memcpy(r->id, plan->id, strnlen(plan->id, WEFT_ID_LEN));
	r->index = weft_tables_router_index(t, plan->id);
	r->admin_up = plan->admin_up;
	r->external = ROUTER_NO_EXTERNAL;
	if (plan->snat.family == 4)
		memcpy(&r->snat, plan->snat.b, 4);
	r->n_interfaces = plan->n_interfaces;
	r->interfaces = weft_tables_alloc((plan->n_interfaces + 1) * sizeof(r->interfaces[0]));
	for (size_t i = 0; i < plan->n_interfaces; i++) {
		const struct plan_interface *p = &plan->interfaces[i];
		struct router_interface *o = &r->interfaces[i];
		char key[WEFT_ID_LEN + 1] = {0};

		memcpy(key, p->network_id, strnlen(p->network_id, WEFT_ID_LEN));
		o->network_index = weft_tables_network_index(t, p->network_id);
		o->network = weft_vmap_slot_make(t->node->networks, key);
		o->mac = p->mac;
		o->external = p->external;
		if (p->external)
			r->external = (uint16_t)i;
		o->n_addrs = p->n_addrs;
		o->addrs = weft_tables_alloc((p->n_addrs + 1) * sizeof(o->addrs[0]));
		for (size_t k = 0; k < p->n_addrs; k++)
			o->addrs[k] = p->addrs[k];
	}
	add_routes(r, plan);
	return r;
}

// Sessions that a router may have carried, perhaps together with others: all ports of this node
// is the simple answer that is never wrong, and routers change rarely. They are judged once more;
// nothing is lost.
void weft_tables_mark_all(struct tables *t)
{
	for (struct map_entry *e = weft_map_first(t->ports); e; e = weft_map_next(e))
		weft_tables_mark(t, ((struct port_ctl *)weft_map_value(e))->port->index);
}

void weft_tables_gateway_put(struct tables *t, const struct mac_key *key, const char *owner,
			     const char *router_id, uint16_t interface)
{
	struct gateway *g = weft_tables_alloc(sizeof(*g));
	char id[WEFT_ID_LEN + 1] = {0};

	memcpy(id, router_id, strnlen(router_id, WEFT_ID_LEN));
	g->router = weft_vmap_slot_make(t->node->routers, id);
	g->interface = interface;
	memcpy(g->owner, owner, strnlen(owner, WEFT_ID_LEN));
	weft_vmap_put(t->node->gateways, key, g);
}

void weft_tables_gateway_del(struct tables *t, const struct mac_key *key, const char *owner)
{
	const struct gateway *g = weft_vmap_staged(t->node->gateways, key);

	if (g != NULL && strncmp(g->owner, owner, WEFT_ID_LEN) == 0)
		weft_vmap_del(t->node->gateways, key);
}

static void gateways_change(struct tables *t, const struct plan_router *plan, bool add)
{
	for (size_t i = 0; plan != NULL && i < plan->n_interfaces; i++) {
		const struct plan_interface *p = &plan->interfaces[i];
		struct mac_key key = {.network = weft_tables_network_index(t, p->network_id),
				      .mac = p->mac};

		if (add)
			weft_tables_gateway_put(t, &key, plan->id, plan->id, (uint16_t)i);
		else
			weft_tables_gateway_del(t, &key, plan->id);
	}
}

void weft_tables_router_put(struct tables *t, const struct plan_router *plan)
{
	struct plan_router *old = weft_map_get(t->routers, plan->id), *copy;
	struct router *r = compile(t, plan);

	gateways_change(t, old, false);
	gateways_change(t, plan, true);
	weft_vmap_put(t->node->routers, r->id, r);
	copy = weft_plan_object_copy(PLAN_ROUTER, plan);
	weft_tables_ra_router(t, old, copy);
	weft_map_put(t->routers, plan->id, copy);
	if (old == NULL) // nothing can have passed through it yet
		return;
	weft_plan_object_free(PLAN_ROUTER, old);
	weft_tables_mark_all(t);
}

void weft_tables_router_del(struct tables *t, const char *id)
{
	struct plan_router *old = weft_map_del(t->routers, id);
	char key[WEFT_ID_LEN + 1] = {0};

	if (old == NULL)
		return;
	gateways_change(t, old, false);
	memcpy(key, id, strnlen(id, WEFT_ID_LEN));
	weft_vmap_del(t->node->routers, key);
	weft_tables_ra_router(t, old, NULL);
	weft_map_put(t->gone_routers, id, t);
	weft_plan_object_free(PLAN_ROUTER, old);
	weft_tables_mark_all(t);
}

void weft_tables_routers_forget(struct tables *t)
{
	struct map_entry *e;

	while ((e = weft_map_first(t->gone_routers)) != NULL) {
		if (weft_map_get(t->routers, weft_map_key(e)) == NULL)
			weft_map_del(t->router_index, weft_map_key(e));
		weft_map_del(t->gone_routers, weft_map_key(e));
	}
}

void weft_tables_each_router(const struct tables *t,
			     void (*visit)(const struct plan_router *plan, void *arg), void *arg)
{
	for (struct map_entry *e = weft_map_first(t->routers); e; e = weft_map_next(e))
		visit(weft_map_value(e), arg);
}
