// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/policy/tables.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/native/policy/tables_priv.h"
#include "plan/diff.h"

void *weft_tables_alloc(size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL)
		abort();
	return p;
}

static void subnet_free(void *value)
{
	struct subnet *s = value;

	weft_plan_object_free(PLAN_SUBNET, s->plan);
	free(s);
}

static void policy_free(void *value)
{
	struct port_policy *p = value;

	weft_vslot_release(p->network);
	for (size_t i = 0; i < p->n_rule_sets; i++)
		weft_vslot_release(p->rule_sets[i]);
	for (size_t i = 0; i < p->n_fixed; i++)
		weft_vslot_release(p->fixed[i].subnet);
	weft_plan_object_free(PLAN_PORT, p->plan);
	free(p->rule_sets);
	free(p->fixed);
	free(p);
}

static void rules_free(void *value)
{
	weft_rules_free(value);
}

struct tables *weft_tables_new(struct node *node, const struct tables_hooks *hooks)
{
	struct tables *t = weft_tables_alloc(sizeof(*t));

	t->node = node;
	atomic_store(&node->metadata_port, NATIVE_NO_PORT);
	t->hooks = *hooks;
	t->networks = weft_map_new();
	t->gone_networks = weft_map_new();
	t->rule_sets = weft_map_new();
	t->ports = weft_map_new();
	t->set_users = weft_map_new();
	node->networks = weft_vmap_new(node->vs, WEFT_ID_LEN + 1, free);
	node->subnets = weft_vmap_new(node->vs, WEFT_ID_LEN + 1, subnet_free);
	node->ports = weft_vmap_new(node->vs, WEFT_ID_LEN + 1, policy_free);
	node->rule_sets = weft_vmap_new(node->vs, WEFT_ID_LEN + 1, rules_free);
	node->macs = weft_vmap_new(node->vs, sizeof(struct mac_key), free);
	node->neighbours = weft_vmap_new(node->vs, sizeof(struct neighbour_key), free);
	node->floods = weft_vmap_new(node->vs, sizeof(uint32_t), free);
	node->sets = weft_sets_new(node->vs);
	weft_tables_projects_new(t);
	weft_tables_routers_new(t);
	weft_tables_ra_new(t);
	weft_tables_nat_new(t);
	return t;
}

static void rule_set_ctl_free(struct rule_set_ctl *c)
{
	if (c->plan != NULL)
		weft_plan_object_free(PLAN_RULE_SET, c->plan);
	free(c->users);
	free(c);
}

void weft_tables_free(struct tables *t)
{
	struct node *node = t->node;

	weft_tables_forget(t);
	for (struct map_entry *e = weft_map_first(t->rule_sets); e; e = weft_map_next(e))
		rule_set_ctl_free(weft_map_value(e));
	for (struct map_entry *e = weft_map_first(t->ports); e; e = weft_map_next(e)) {
		struct port_ctl *c = weft_map_value(e);

		weft_vslot_release(c->port->policy);
		free(c->port->baseline);
		free(c->port);
		free(c);
	}
	for (struct map_entry *e = weft_map_first(t->set_users); e; e = weft_map_next(e))
		weft_map_free(weft_map_value(e));
	weft_map_free(t->networks);
	weft_map_free(t->gone_networks);
	weft_map_free(t->rule_sets);
	weft_map_free(t->ports);
	weft_map_free(t->set_users);
	weft_tables_ra_free(t);
	weft_tables_nat_free(t);
	weft_tables_routers_free(t);
	weft_tables_projects_free(t);
	weft_vmap_free(node->floods);
	weft_vmap_free(node->neighbours);
	weft_vmap_free(node->macs);
	weft_vmap_free(node->ports);
	weft_vmap_free(node->rule_sets);
	weft_vmap_free(node->subnets);
	weft_vmap_free(node->networks);
	weft_sets_free(node->sets);
	free(t);
}

void weft_tables_mark(struct tables *t, uint16_t port)
{
	if (t->bumped[port])
		return;
	t->bumped[port] = true;
	t->bumps[t->n_bumps++] = port;
}

void weft_tables_bump(struct node *node, uint16_t port)
{
	atomic_fetch_add_explicit(&node->gen[port], 1, memory_order_release);
}

uint32_t weft_tables_network_index(struct tables *t, const char *id)
{
	uintptr_t known = (uintptr_t)weft_map_get(t->networks, id);

	if (known == 0) {
		known = ++t->next_network;
		weft_map_put(t->networks, id, (void *)known);
	}
	return (uint32_t)known - 1;
}

// ---- Networks, subnets ---------------------------------------------------------------------

static void network_put(struct tables *t, const struct plan_network *plan)
{
	struct network *n = weft_tables_alloc(sizeof(*n));

	n->index = weft_tables_network_index(t, plan->id);
	memcpy(n->id, plan->id, sizeof(n->id));
	n->mtu = plan->mtu;
	n->uplink = weft_tables_uplink_put(t, plan);
	weft_vmap_put(t->node->networks, n->id, n);
	weft_tables_ra_network(t, plan->id);
	for (struct map_entry *e = weft_map_first(t->ports); e; e = weft_map_next(e)) {
		struct port_ctl *c = weft_map_value(e);

		if (c->network_index == n->index)
			atomic_store(&t->node->mtu[c->port->index], n->mtu);
	}
}

static void id_key(char key[WEFT_ID_LEN + 1], const char *id)
{
	memset(key, 0, WEFT_ID_LEN + 1);
	memcpy(key, id, strnlen(id, WEFT_ID_LEN));
}

static void network_del(struct tables *t, const char *id)
{
	char key[WEFT_ID_LEN + 1];

	id_key(key, id);
	weft_tables_uplink_del(t, id);
	weft_vmap_del(t->node->networks, key);
	weft_tables_ra_network(t, id);
	weft_map_put(t->gone_networks, id, t);
}

static void networks_forget(struct tables *t)
{
	struct map_entry *e;

	while ((e = weft_map_first(t->gone_networks)) != NULL) {
		char key[WEFT_ID_LEN + 1];

		id_key(key, weft_map_key(e));
		if (weft_vmap_staged(t->node->networks, key) == NULL)
			weft_map_del(t->networks, key);
		weft_map_del(t->gone_networks, key);
	}
}

static void subnet_put(struct tables *t, const struct plan_subnet *plan)
{
	struct subnet *s = weft_tables_alloc(sizeof(*s)), *old;

	s->plan = weft_plan_object_copy(PLAN_SUBNET, plan);
	old = weft_vmap_staged(t->node->subnets, s->plan->id);
	weft_tables_ra_subnet(t, old == NULL ? NULL : old->plan, s->plan);
	weft_vmap_put(t->node->subnets, s->plan->id, s);
}

static void subnet_del(struct tables *t, const char *id)
{
	struct subnet *old;
	char key[WEFT_ID_LEN + 1];

	id_key(key, id);
	old = weft_vmap_staged(t->node->subnets, key);
	if (old != NULL)
		weft_tables_ra_subnet(t, old->plan, NULL);
	weft_vmap_del(t->node->subnets, key);
}

// ---- Rule sets and members -----------------------------------------------------------------

struct rule_set_ctl *weft_tables_rule_set_ctl(struct tables *t, const char *id)
{
	struct rule_set_ctl *c = weft_map_get(t->rule_sets, id);

	if (c == NULL) {
		c = weft_tables_alloc(sizeof(*c));
		weft_map_put(t->rule_sets, id, c);
	}
	return c;
}

static void set_users_change(struct tables *t, struct rule_set_ctl *c, bool add)
{
	for (size_t i = 0; i < c->plan->n_rules; i++) {
		const struct plan_rule *r = &c->plan->rules[i];
		struct map *users;

		if (r->remote != PLAN_REMOTE_SET)
			continue;
		users = weft_map_get(t->set_users, r->set_id);
		if (add && users == NULL) {
			users = weft_map_new();
			weft_map_put(t->set_users, r->set_id, users);
		}
		if (add) {
			weft_map_put(users, c->plan->id, c);
		} else if (users != NULL) {
			weft_map_del(users, c->plan->id);
			if (weft_map_count(users) == 0) {
				weft_map_del(t->set_users, r->set_id);
				weft_map_free(users);
			}
		}
	}
}

static void mark_users(struct tables *t, const struct rule_set_ctl *c)
{
	for (size_t i = 0; i < c->n_users; i++)
		weft_tables_mark(t, c->users[i]);
}

static void rule_set_put(struct tables *t, const struct plan_rule_set *plan, struct rules *compiled)
{
	struct rule_set_ctl *c = weft_tables_rule_set_ctl(t, plan->id);

	if (c->plan != NULL) {
		if (c->plan->stateful != plan->stateful ||
		    !weft_plan_rules_only_added(c->plan, plan))
			mark_users(t, c);
		set_users_change(t, c, false);
		weft_plan_object_free(PLAN_RULE_SET, c->plan);
	}
	c->plan = weft_plan_object_copy(PLAN_RULE_SET, plan);
	set_users_change(t, c, true);
	weft_vmap_put(t->node->rule_sets, c->plan->id, compiled);
}

static void rule_set_del(struct tables *t, const char *id)
{
	struct rule_set_ctl *c = weft_map_get(t->rule_sets, id);
	char key[WEFT_ID_LEN + 1];

	if (c == NULL)
		return;
	id_key(key, id);
	mark_users(t, c);
	if (c->plan != NULL) {
		set_users_change(t, c, false);
		weft_plan_object_free(PLAN_RULE_SET, c->plan);
		c->plan = NULL;
	}
	weft_vmap_del(t->node->rule_sets, key);
	if (c->n_users == 0) {
		weft_map_del(t->rule_sets, id);
		rule_set_ctl_free(c);
	}
}

// A member that goes may have been all that allowed a flow; one that comes takes nothing away.
static void member_change(struct tables *t, const struct plan_member *m, bool add)
{
	struct map *users;

	if (add) {
		weft_sets_add(t->node->sets, m->set_id, &m->prefix);
		return;
	}
	weft_sets_remove(t->node->sets, m->set_id, &m->prefix);
	users = weft_map_get(t->set_users, m->set_id);
	if (users == NULL)
		return;
	for (struct map_entry *e = weft_map_first(users); e; e = weft_map_next(e))
		mark_users(t, weft_map_value(e));
}

size_t weft_tables_room(const struct tables *t)
{
	return NATIVE_MAX_PORTS - 1 - t->next_index + t->n_free;
}

// ---- Batches -------------------------------------------------------------------------------

static int check(const struct tables *t, const struct plan_change *c, size_t *new_ports,
		 struct err *err)
{
	size_t room = weft_tables_room(t);

	if (c->kind == PLAN_PORT && weft_map_get(t->ports, c->port->id) == NULL &&
	    ++*new_ports > room)
		return weft_fail(err, -ENOSPC, "port %s: this node has its limit of %d ports",
				 c->port->id, NATIVE_MAX_PORTS - 1);
	if (c->kind == PLAN_NETWORK && weft_tables_uplink_takes_index(t, c->network) &&
	    ++*new_ports > room)
		return weft_fail(err, -ENOSPC,
				 "network %s: this node has its limit of %d ports, and the "
				 "network's uplink is one",
				 c->network->id, NATIVE_MAX_PORTS - 1);
	return 0;
}

int weft_tables_prepare(struct tables *t, const struct plan_batch *batch, size_t *refused,
			struct err *err)
{
	size_t new_ports = 0;
	int ret = 0;

	weft_tables_forget(t);
	t->compiled = weft_tables_alloc((batch->n + 1) * sizeof(struct rules *));
	t->n_compiled = batch->n;
	for (size_t i = 0; ret == 0 && i < batch->n; i++) {
		const struct plan_change *c = &batch->changes[i];

		*refused = i;
		if (c->op != PLAN_PUT)
			continue;
		ret = check(t, c, &new_ports, err);
		if (ret == 0 && c->kind == PLAN_RULE_SET)
			ret = weft_rules_compile(c->rule_set, t->node->sets, &t->compiled[i], err);
	}
	if (ret != 0)
		weft_tables_forget(t);
	return ret;
}

void weft_tables_forget(struct tables *t)
{
	for (size_t i = 0; i < t->n_compiled; i++)
		if (t->compiled[i] != NULL)
			weft_rules_free(t->compiled[i]);
	free(t->compiled);
	t->compiled = NULL;
	t->n_compiled = 0;
}

static void stage_put(struct tables *t, const struct plan_change *c, struct rules *compiled)
{
	switch (c->kind) {
	case PLAN_NETWORK:
		network_put(t, c->network);
		break;
	case PLAN_SUBNET:
		subnet_put(t, c->subnet);
		break;
	case PLAN_MEMBER:
		member_change(t, c->member, true);
		break;
	case PLAN_RULE_SET:
		rule_set_put(t, c->rule_set, compiled);
		break;
	case PLAN_PORT:
		weft_tables_port_put(t, c->port, PORT_VM);
		break;
	case PLAN_NEIGHBOUR:
		weft_tables_neighbour_put(t, c->neighbour);
		break;
	case PLAN_ROUTER:
		weft_tables_router_put(t, c->router);
		break;
	case PLAN_FLOATING:
		weft_tables_floating_put(t, c->floating);
		break;
	case PLAN_FORWARDING:
		weft_tables_forwarding_put(t, c->forwarding);
		break;
	}
}

static void stage_del(struct tables *t, const struct plan_change *c)
{
	switch (c->kind) {
	case PLAN_NETWORK:
		network_del(t, c->network->id);
		break;
	case PLAN_SUBNET:
		subnet_del(t, c->subnet->id);
		break;
	case PLAN_MEMBER:
		member_change(t, c->member, false);
		break;
	case PLAN_RULE_SET:
		rule_set_del(t, c->rule_set->id);
		break;
	case PLAN_PORT:
		weft_tables_port_del(t, c->port->id);
		break;
	case PLAN_NEIGHBOUR:
		weft_tables_neighbour_del(t, c->neighbour);
		break;
	case PLAN_ROUTER:
		weft_tables_router_del(t, c->router->id);
		break;
	case PLAN_FLOATING:
		weft_tables_floating_del(t, c->floating->id);
		break;
	case PLAN_FORWARDING:
		weft_tables_forwarding_del(t, c->forwarding->floating_id, c->forwarding->id);
		break;
	}
}

void weft_tables_commit(struct tables *t)
{
	// First the new policy, then the generations: who sees a new generation also sees its
	// policy.
	weft_vstore_commit(t->node->vs);
	for (size_t i = 0; i < t->n_bumps; i++) {
		weft_tables_bump(t->node, t->bumps[i]);
		t->bumped[t->bumps[i]] = false;
	}
	t->n_bumps = 0;
}

void weft_tables_apply(struct tables *t, const struct plan_batch *batch)
{
	assert(t->n_compiled == batch->n);
	for (size_t i = 0; i < batch->n; i++)
		if (batch->changes[i].op == PLAN_PUT)
			stage_put(t, &batch->changes[i], t->compiled[i]);
		else
			stage_del(t, &batch->changes[i]);
	free(t->compiled); // the rule sets are the tables' now
	t->compiled = NULL;
	t->n_compiled = 0;

	weft_tables_ra_stage(t);
	networks_forget(t);
	weft_tables_routers_forget(t);
	weft_tables_commit(t);
}

// ---- Look-ups for the control thread -------------------------------------------------------

struct port *weft_tables_port(const struct tables *t, const char *id)
{
	struct port_ctl *c = weft_map_get(t->ports, id);

	return c == NULL ? NULL : c->port;
}

const struct plan_port *weft_tables_plan(const struct tables *t, const char *id)
{
	struct port_ctl *c = weft_map_get(t->ports, id);

	return c == NULL ? NULL : c->plan;
}

void weft_tables_each_port(const struct tables *t,
			   void (*visit)(struct port *p, const struct plan_port *plan, void *arg),
			   void *arg)
{
	for (struct map_entry *e = weft_map_first(t->ports); e; e = weft_map_next(e)) {
		struct port_ctl *c = weft_map_value(e);

		if (c->port->role == PORT_VM)
			visit(c->port, c->plan, arg);
	}
}

void weft_tables_each_uplink(const struct tables *t,
			     void (*visit)(struct port *p, struct trunk *trunk, uint16_t vlan,
					   void *arg),
			     void *arg)
{
	for (struct map_entry *e = weft_map_first(t->ports); e; e = weft_map_next(e)) {
		struct port_ctl *c = weft_map_value(e);

		if (c->port->role == PORT_UPLINK)
			visit(c->port, c->trunk, c->vlan, arg);
	}
}

void weft_tables_each_rule_set(const struct tables *t,
			       void (*visit)(const struct plan_rule_set *plan, size_t users,
					     void *arg),
			       void *arg)
{
	for (struct map_entry *e = weft_map_first(t->rule_sets); e; e = weft_map_next(e)) {
		struct rule_set_ctl *c = weft_map_value(e);

		if (c->plan != NULL)
			visit(c->plan, c->n_users, arg);
	}
}

const struct plan_rule_set *weft_tables_rule_set(const struct tables *t, const char *id)
{
	struct rule_set_ctl *c = weft_map_get(t->rule_sets, id);

	return c == NULL ? NULL : c->plan;
}
