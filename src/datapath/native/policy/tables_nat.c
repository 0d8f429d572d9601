// SPDX-License-Identifier: Apache-2.0
// Tables: floating IPs and the ports that they forward.
//
// A floating IP is one value with its forwardings, so that a packet finds all of them at one
// epoch. What a change takes away concerns those who may have its fixed IPs: their sessions are
// judged again, and cut if they would be translated otherwise. A flow that was translated to the
// router's address is one of them once its host has a floating IP.
#include "datapath/native/policy/tables_priv.h"

#include <stdlib.h>
#include <string.h>

struct floating_ctl {
	struct plan_floating *plan;
	struct map *forwardings; // id -> struct plan_forwarding
};

static void floating_free(void *value)
{
	struct floating *f = value;

	weft_vslot_release(f->router);
	free(f->forwardings);
	free(f);
}

static void ctl_free(struct floating_ctl *c)
{
	for (struct map_entry *e = weft_map_first(c->forwardings); e; e = weft_map_next(e))
		weft_plan_object_free(PLAN_FORWARDING, weft_map_value(e));
	weft_map_free(c->forwardings);
	weft_plan_object_free(PLAN_FLOATING, c->plan);
	free(c);
}

void weft_tables_nat_new(struct tables *t)
{
	struct node *node = t->node;

	t->floatings = weft_map_new();
	node->floatings = weft_vmap_new(node->vs, sizeof(struct floating_key), floating_free);
	node->floatings_of = weft_vmap_new(node->vs, sizeof(struct floating_key), floating_free);
}

void weft_tables_nat_free(struct tables *t)
{
	for (struct map_entry *e = weft_map_first(t->floatings); e; e = weft_map_next(e))
		ctl_free(weft_map_value(e));
	weft_map_free(t->floatings);
	weft_vmap_free(t->node->floatings);
	weft_vmap_free(t->node->floatings_of);
}

// ---- What workers read ---------------------------------------------------------------------

static rte_be32_t ip4_of(const struct ip_addr *ip)
{
	rte_be32_t out = 0;

	if (ip->family == 4)
		memcpy(&out, ip->b, 4);
	return out;
}

static int by_port(const void *a, const void *b)
{
	const struct forwarding *x = a, *y = b;

	return x->proto != y->proto ? x->proto - y->proto : x->port_min - y->port_min;
}

static struct floating *compile(struct tables *t, const struct floating_ctl *c)
{
	struct floating *f = weft_tables_alloc(sizeof(*f));
	char router[WEFT_ID_LEN + 1] = {0};

	memcpy(f->id, c->plan->id, sizeof(f->id));
	memcpy(router, c->plan->router_id, strnlen(c->plan->router_id, WEFT_ID_LEN));
	f->router = weft_vmap_slot_make(t->node->routers, router);
	f->ip = ip4_of(&c->plan->ip);
	f->fixed = ip4_of(&c->plan->fixed);
	f->mac = c->plan->mac;
	f->forwardings =
		weft_tables_alloc((weft_map_count(c->forwardings) + 1) * sizeof(f->forwardings[0]));
	for (struct map_entry *e = weft_map_first(c->forwardings); e; e = weft_map_next(e)) {
		const struct plan_forwarding *p = weft_map_value(e);

		f->forwardings[f->n_forwardings++] = (struct forwarding) {
			.proto = p->proto,
			.port_min = p->port_min,
			.port_max = p->port_max,
			.fixed_port = p->fixed_port,
			.fixed = ip4_of(&p->fixed),
		};
	}
	qsort(f->forwardings, f->n_forwardings, sizeof(f->forwardings[0]), by_port);
	return f;
}

struct keys { // where a floating IP is found
	struct floating_key own, fixed;
	struct mac_key mac;
};

static struct keys keys_of(struct tables *t, const struct plan_floating *p)
{
	uint32_t network = weft_tables_network_index(t, p->network_id);

	return (struct keys) {
		.own = {network, ip4_of(&p->ip)},
		.fixed = {weft_tables_router_index(t, p->router_id), ip4_of(&p->fixed)},
		.mac = {.network = network, .mac = p->mac},
	};
}

static void publish(struct tables *t, const struct floating_ctl *c)
{
	struct keys k = keys_of(t, c->plan);

	weft_tables_gateway_put(t, &k.mac, c->plan->id, c->plan->router_id, GATEWAY_FLOATING);
	weft_vmap_put(t->node->floatings, &k.own, compile(t, c));
	if (k.fixed.ip != 0)
		weft_vmap_put(t->node->floatings_of, &k.fixed, compile(t, c));
}

static bool is_staged(const struct vmap *map, const struct floating_key *key, const char *id)
{
	const struct floating *f = weft_vmap_staged(map, key);

	return f != NULL && strcmp(f->id, id) == 0;
}

// Within a batch another one may already have taken over an address of it, or its MAC.

static void publish_forwardings(struct tables *t, const struct floating_ctl *c)
{
	struct keys k = keys_of(t, c->plan);

	if (is_staged(t->node->floatings, &k.own, c->plan->id))
		weft_vmap_put(t->node->floatings, &k.own, compile(t, c));
	if (is_staged(t->node->floatings_of, &k.fixed, c->plan->id))
		weft_vmap_put(t->node->floatings_of, &k.fixed, compile(t, c));
}

static void withdraw(struct tables *t, const struct floating_ctl *c)
{
	struct keys k = keys_of(t, c->plan);

	weft_tables_gateway_del(t, &k.mac, c->plan->id);
	if (is_staged(t->node->floatings, &k.own, c->plan->id))
		weft_vmap_del(t->node->floatings, &k.own);
	if (is_staged(t->node->floatings_of, &k.fixed, c->plan->id))
		weft_vmap_del(t->node->floatings_of, &k.fixed);
}

// ---- Whose sessions are concerned ----------------------------------------------------------

// The ports of the network that may have the address: by fixed IP or pair, by a pair for a
// prefix, or because nobody asks.
static void mark_network(struct tables *t, uint32_t network, const struct ip_addr *ip)
{
	struct neighbour_key key = {.network = network, .family = ip->family};
	const struct neighbours *n;
	const struct flood_list *any = weft_vmap_staged(t->node->floods, &network);

	memcpy(key.ip, ip->b, sizeof(key.ip));
	n = weft_vmap_staged(t->node->neighbours, &key);
	for (size_t i = 0; n != NULL && i < n->n; i++)
		if (n->at[i].port != NATIVE_NO_PORT)
			weft_tables_mark(t, n->at[i].port);
	for (size_t i = 0; any != NULL && i < any->n_asked; i++)
		weft_tables_mark(t, any->ports[i]);
}

static void mark_fixed(struct tables *t, const char *router_id, const char *port_id,
		       const struct ip_addr *fixed)
{
	const struct plan_router *r = weft_map_get(t->routers, router_id);
	const struct port_ctl *owner = weft_map_get(t->ports, port_id);

	if (fixed->family == 0)
		return;
	if (r == NULL) {
		weft_tables_mark_all(t);
		return;
	}
	if (owner != NULL)
		weft_tables_mark(t, owner->port->index);
	for (size_t i = 0; i < r->n_interfaces; i++)
		for (size_t k = 0; k < r->interfaces[i].n_addrs; k++)
			if (weft_prefix_contains(&r->interfaces[i].addrs[k], fixed))
				mark_network(t,
					     weft_tables_network_index(t,
								       r->interfaces[i].network_id),
					     fixed);
}

static void mark_forwarding(struct tables *t, const struct floating_ctl *c,
			    const struct plan_forwarding *p)
{
	mark_fixed(t, c->plan->router_id, p->port_id, &p->fixed);
}

static void mark_floating(struct tables *t, const struct floating_ctl *c)
{
	mark_fixed(t, c->plan->router_id, c->plan->port_id, &c->plan->fixed);
	for (struct map_entry *e = weft_map_first(c->forwardings); e; e = weft_map_next(e))
		mark_forwarding(t, c, weft_map_value(e));
}

// ---- Changes -------------------------------------------------------------------------------

void weft_tables_floating_put(struct tables *t, const struct plan_floating *plan)
{
	struct floating_ctl *c = weft_map_get(t->floatings, plan->id);
	bool was_here = c != NULL && weft_ip_equal(&c->plan->ip, &plan->ip);

	if (c == NULL) {
		c = weft_tables_alloc(sizeof(*c));
		c->forwardings = weft_map_new();
		weft_map_put(t->floatings, plan->id, c);
	} else {
		withdraw(t, c);
		mark_floating(t, c);
		weft_plan_object_free(PLAN_FLOATING, c->plan);
	}
	c->plan = weft_plan_object_copy(PLAN_FLOATING, plan);
	mark_floating(t, c);
	// It may have been another node's, or a host's outside; then what goes there goes out,
	// perhaps by way of the gateway.
	if (!was_here)
		weft_tables_mark_outside(t, weft_tables_network_index(t, plan->network_id));
	publish(t, c);
}

void weft_tables_floating_del(struct tables *t, const char *id)
{
	struct floating_ctl *c = weft_map_del(t->floatings, id);

	if (c == NULL)
		return;
	withdraw(t, c);
	mark_floating(t, c);
	ctl_free(c);
}

void weft_tables_forwarding_put(struct tables *t, const struct plan_forwarding *plan)
{
	struct floating_ctl *c = weft_map_get(t->floatings, plan->floating_id);
	struct plan_forwarding *old;

	if (c == NULL)
		return;
	old = weft_map_get(c->forwardings, plan->id);
	weft_map_put(c->forwardings, plan->id, weft_plan_object_copy(PLAN_FORWARDING, plan));
	if (old != NULL) { // a new one takes nothing away
		mark_forwarding(t, c, old);
		weft_plan_object_free(PLAN_FORWARDING, old);
	}
	publish_forwardings(t, c);
}

void weft_tables_forwarding_del(struct tables *t, const char *floating_id, const char *id)
{
	struct floating_ctl *c = weft_map_get(t->floatings, floating_id);
	struct plan_forwarding *old = c == NULL ? NULL : weft_map_del(c->forwardings, id);

	if (old == NULL)
		return;
	mark_forwarding(t, c, old);
	weft_plan_object_free(PLAN_FORWARDING, old);
	publish_forwardings(t, c);
}

void weft_tables_each_floating(const struct tables *t,
			       void (*visit)(const struct plan_floating *plan,
					     const struct plan_forwarding *const *forwardings,
					     size_t n, void *arg),
			       void *arg)
{
	for (struct map_entry *e = weft_map_first(t->floatings); e; e = weft_map_next(e)) {
		const struct floating_ctl *c = weft_map_value(e);
		const struct plan_forwarding **list = weft_tables_alloc(
			(weft_map_count(c->forwardings) + 1) * sizeof(const void *));
		size_t n = 0;

		for (struct map_entry *f = weft_map_first(c->forwardings); f; f = weft_map_next(f))
			list[n++] = weft_map_value(f);
		visit(c->plan, list, n, arg);
		free(list);
	}
}
