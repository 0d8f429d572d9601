// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/policy/tables_priv.h"
#include "plan/diff.h"

#include <stdlib.h>
#include <string.h>

// ---- Who hears a network's broadcasts ------------------------------------------------------

// How much of what nobody is known to have may be a port's.
enum unknown { UNKNOWN_ANY, UNKNOWN_SOME, UNKNOWN_NONE };

static enum unknown unknown_of(const struct plan_port *p)
{
	if (!p->filtered)
		return UNKNOWN_ANY;
	for (size_t i = 0; i < p->n_pairs; i++)
		if (p->pairs[i].prefix.len < weft_ip_bits(&p->pairs[i].prefix.ip))
			return UNKNOWN_SOME;
	return UNKNOWN_NONE;
}

// Take the port out of the list and, unless plan is NULL, put it where it belongs.
static void flood_change(struct tables *t, uint32_t network, uint16_t port,
			 const struct plan_port *plan)
{
	const struct flood_list *old = weft_vmap_staged(t->node->floods, &network);
	size_t ends[] = {old == NULL ? 0 : old->n_unfiltered, old == NULL ? 0 : old->n_asked,
			 old == NULL ? 0 : old->n};
	struct flood_list *list =
		weft_tables_alloc(sizeof(*list) + (ends[2] + 1) * sizeof(list->ports[0]));

	for (size_t kind = 0, i = 0; kind < 3; kind++) {
		if (plan != NULL && unknown_of(plan) == kind)
			list->ports[list->n++] = port;
		for (; i < ends[kind]; i++)
			if (old->ports[i] != port)
				list->ports[list->n++] = old->ports[i];
		ends[kind] = list->n;
	}
	list->uplink = old == NULL ? NATIVE_NO_PORT : old->uplink;
	if (native_port(t->node, port)->role == PORT_UPLINK)
		list->uplink = plan == NULL ? NATIVE_NO_PORT : port;
	list->n_unfiltered = ends[UNKNOWN_ANY];
	list->n_asked = ends[UNKNOWN_SOME];
	if (list->n > 0) {
		weft_vmap_put(t->node->floods, &network, list);
		return;
	}
	free(list);
	if (old != NULL)
		weft_vmap_del(t->node->floods, &network);
}

void weft_tables_mark_outside(struct tables *t, uint32_t network)
{
	const struct flood_list *list = weft_vmap_staged(t->node->floods, &network);

	if (list != NULL && list->uplink != NATIVE_NO_PORT)
		weft_tables_mark(t, list->uplink);
}

void weft_tables_mark_neighbour(struct tables *t, uint32_t network, const struct neighbour *n)
{
	if (n->port == NATIVE_NO_PORT)
		weft_tables_mark_outside(t, network);
	else
		weft_tables_mark(t, n->port);
}

// ---- Who has a MAC -------------------------------------------------------------------------

static size_t count_of(const struct mac_owners *o, uint16_t port)
{
	size_t n = 0;

	for (uint16_t i = 0; o != NULL && i < o->n; i++)
		n += o->ports[i] == port;
	return n;
}

// Where the MAC leads changes for those who have it so far. One that nobody has is thought to be
// outside. A remote one is there once for each of its addresses; that one of several comes or
// goes changes nothing.
static void mark_owners(struct tables *t, uint32_t network, const struct mac_owners *old,
			uint16_t port, bool add)
{
	if (port == NATIVE_NO_PORT && count_of(old, port) != (add ? 0 : 1))
		return;
	for (uint16_t i = 0; old != NULL && i < old->n; i++)
		if (old->ports[i] != NATIVE_NO_PORT)
			weft_tables_mark(t, old->ports[i]);
	if (port != NATIVE_NO_PORT && (old == NULL || count_of(old, NATIVE_NO_PORT) > 0))
		weft_tables_mark_outside(t, network);
}

static void owner_change(struct tables *t, uint32_t network, const struct mac_addr *mac,
			 uint16_t port, bool add)
{
	struct mac_key key = {.network = network, .mac = *mac};
	const struct mac_owners *old = weft_vmap_staged(t->node->macs, &key);
	size_t n = old == NULL ? 0 : old->n;
	struct mac_owners *owners =
		weft_tables_alloc(sizeof(*owners) + (n + 1) * sizeof(owners->ports[0]));
	bool removed = false;

	mark_owners(t, network, old, port, add);
	for (size_t i = 0; i < n; i++) {
		if (!add && !removed && old->ports[i] == port) {
			removed = true;
			continue;
		}
		owners->ports[owners->n++] = old->ports[i];
	}
	if (add)
		owners->ports[owners->n++] = port;
	if (owners->n > 0) {
		weft_vmap_put(t->node->macs, &key, owners);
		return;
	}
	free(owners);
	if (old != NULL)
		weft_vmap_del(t->node->macs, &key);
}

static bool has_mac(const struct plan_port *p, const struct mac_addr *mac, size_t before)
{
	if (weft_mac_equal(&p->mac, mac))
		return true;
	for (size_t i = 0; i < before; i++)
		if (weft_mac_equal(&p->pairs[i].mac, mac))
			return true;
	return false;
}

// The MACs of `p` that `other` (may be NULL) does not have, each once.
static void owners_change(struct tables *t, uint32_t network, const struct plan_port *p,
			  const struct plan_port *other, uint16_t port, bool add)
{
	if (other == NULL || !has_mac(other, &p->mac, other->n_pairs))
		owner_change(t, network, &p->mac, port, add);
	for (size_t i = 0; i < p->n_pairs; i++)
		if (!has_mac(p, &p->pairs[i].mac, i) &&
		    (other == NULL || !has_mac(other, &p->pairs[i].mac, other->n_pairs)))
			owner_change(t, network, &p->pairs[i].mac, port, add);
}

// ---- Who uses a rule set -------------------------------------------------------------------

static bool uses(const struct plan_port *p, const char *id)
{
	for (size_t i = 0; p != NULL && i < p->n_rule_sets; i++)
		if (strcmp(p->rule_sets[i], id) == 0)
			return true;
	return false;
}

static void user_add(struct tables *t, const char *id, uint16_t port)
{
	struct rule_set_ctl *c = weft_tables_rule_set_ctl(t, id);

	if (c->n_users == c->cap_users) {
		c->cap_users = c->cap_users == 0 ? 4 : c->cap_users * 2;
		c->users = realloc(c->users, c->cap_users * sizeof(c->users[0]));
		if (c->users == NULL)
			abort();
	}
	c->users[c->n_users++] = port;
}

static void user_remove(struct tables *t, const char *id, uint16_t port)
{
	struct rule_set_ctl *c = weft_map_get(t->rule_sets, id);

	for (size_t i = 0; c != NULL && i < c->n_users; i++)
		if (c->users[i] == port) {
			c->users[i] = c->users[--c->n_users];
			break;
		}
	if (c != NULL && c->n_users == 0 && c->plan == NULL) {
		weft_map_del(t->rule_sets, id);
		free(c->users);
		free(c);
	}
}

static void users_change(struct tables *t, const struct plan_port *before,
			 const struct plan_port *after, uint16_t port)
{
	for (size_t i = 0; after != NULL && i < after->n_rule_sets; i++)
		if (!uses(before, after->rule_sets[i]))
			user_add(t, after->rule_sets[i], port);
	for (size_t i = 0; before != NULL && i < before->n_rule_sets; i++)
		if (!uses(after, before->rule_sets[i]))
			user_remove(t, before->rule_sets[i], port);
}

// ---- Ports ---------------------------------------------------------------------------------

struct retired_port {
	struct tables *t;
	struct port *port;
};

static void retired_free(void *object)
{
	struct retired_port *r = object;

	// Nobody can hold the index any more: it may name another port. Its generation goes on
	// growing.
	r->t->free_index[(r->t->first_free + r->t->n_free++) % NATIVE_MAX_PORTS] = r->port->index;
	r->t->n_retired--;
	weft_vslot_release(r->port->policy);
	free(r->port->baseline);
	free(r->port);
	free(r);
}

// An index is used again as late as possible: by then the clock hand has forgotten its last
// port's sessions, which would otherwise count for the new one. Whoever makes a port has looked
// whether there is room: one that is not there must not be handed out.
static uint16_t index_take(struct tables *t)
{
	uint16_t index;

	if (weft_tables_room(t) == 0)
		abort();
	if (t->next_index < NATIVE_MAX_PORTS - 1)
		return (uint16_t)t->next_index++;
	index = t->free_index[t->first_free];
	t->first_free = (t->first_free + 1) % NATIVE_MAX_PORTS;
	t->n_free--;
	return index;
}

static struct port_ctl *port_new(struct tables *t, const struct plan_port *plan,
				 enum port_role role)
{
	struct port_ctl *c = weft_tables_alloc(sizeof(*c));
	struct port *p = weft_tables_alloc(sizeof(*p));
	const char *id = plan->id;

	p->index = index_take(t);
	p->role = role;
	weft_session_port_gone(t->node->sessions, p->index, false);
	weft_session_port_outside(t->node->sessions, p->index, role == PORT_UPLINK);
	weft_tables_project_set(t, p->index, plan->project_id);
	memcpy(p->id, id, strnlen(id, WEFT_ID_LEN));
	p->policy = weft_vmap_slot_make(t->node->ports, p->id);
	strcpy(p->reason, "its interface has not appeared");
	c->port = p;
	t->hooks.made(t->hooks.arg, p, t->n_used[p->index]++);
	atomic_store_explicit(&t->node->port[p->index], p, memory_order_release);
	weft_map_put(t->ports, id, c);
	return c;
}

static struct port_policy *policy_new(struct tables *t, const struct port *port, uint32_t network,
				      const struct plan_port *plan)
{
	struct node *node = t->node;
	struct port_policy *p = weft_tables_alloc(sizeof(*p));

	p->role = port->role;
	p->index = port->index;
	p->network_index = network;
	p->plan = weft_plan_object_copy(PLAN_PORT, plan);
	p->network = weft_vmap_slot_make(node->networks, p->plan->network_id);
	p->n_rule_sets = plan->n_rule_sets;
	p->rule_sets = weft_tables_alloc((plan->n_rule_sets + 1) * sizeof(p->rule_sets[0]));
	for (size_t i = 0; i < plan->n_rule_sets; i++)
		p->rule_sets[i] = weft_vmap_slot_make(node->rule_sets, p->plan->rule_sets[i]);
	p->n_fixed = plan->n_fixed;
	p->fixed = weft_tables_alloc((plan->n_fixed + 1) * sizeof(p->fixed[0]));
	for (size_t i = 0; i < plan->n_fixed; i++) {
		p->fixed[i].ip = plan->fixed[i].ip;
		p->fixed[i].subnet =
			weft_vmap_slot_make(node->subnets, p->plan->fixed[i].subnet_id);
	}
	return p;
}

// Only VMs have MACs of their own. (Which ones are behind an uplink nobody knows.)
static void macs_change(struct tables *t, const struct port_ctl *c, const struct plan_port *before,
			const struct plan_port *after, uint32_t network)
{
	uint16_t index = c->port->index;
	bool moves = before != NULL && after != NULL && c->network_index != network;

	if (c->port->role != PORT_VM)
		return;
	if (before != NULL)
		owners_change(t, c->network_index, before, moves ? NULL : after, index, false);
	if (after != NULL)
		owners_change(t, network, after, moves ? NULL : before, index, true);
}

void weft_tables_port_put(struct tables *t, const struct plan_port *plan, enum port_role role)
{
	struct port_ctl *c = weft_map_get(t->ports, plan->id);
	const struct plan_port *old = c == NULL ? NULL : c->plan;
	uint32_t network = weft_tables_network_index(t, plan->network_id);
	const struct network *net;
	struct port_policy *policy;
	uint16_t index;

	if (c == NULL)
		c = port_new(t, plan, role);
	index = c->port->index;
	if (old != NULL && c->network_index != network)
		flood_change(t, c->network_index, index, NULL);
	if (old == NULL || c->network_index != network || unknown_of(old) != unknown_of(plan))
		flood_change(t, network, index, plan);
	macs_change(t, c, old, plan, network);
	users_change(t, old, plan, index);
	if (old == NULL || weft_plan_port_has_lost(old, plan))
		weft_tables_mark(t, index);
	policy = policy_new(t, c->port, network, plan);
	weft_vmap_put(t->node->ports, policy->plan->id, policy);
	c->plan = policy->plan;
	c->network_index = network;
	net = weft_vmap_staged(t->node->networks, policy->plan->network_id);
	atomic_store(&t->node->mtu[index], net == NULL ? 0 : net->mtu);
}

void weft_tables_port_del(struct tables *t, const char *id)
{
	struct port_ctl *c = weft_map_get(t->ports, id);
	struct retired_port *r;

	if (c == NULL)
		return;
	flood_change(t, c->network_index, c->port->index, NULL);
	macs_change(t, c, c->plan, NULL, c->network_index);
	users_change(t, c->plan, NULL, c->port->index);
	weft_tables_mark(t, c->port->index);
	weft_vmap_del(t->node->ports, c->port->id);
	t->hooks.detach(t->hooks.arg, c->port);
	atomic_store_explicit(&t->node->port[c->port->index], NULL, memory_order_release);
	weft_session_port_gone(t->node->sessions, c->port->index, true);
	r = weft_tables_alloc(sizeof(*r));
	*r = (struct retired_port) {t, c->port};
	t->n_retired++;
	weft_map_del(t->ports, id);
	weft_vstore_retire(t->node->vs, r, retired_free);
	free(c);
}

// ---- Neighbours ----------------------------------------------------------------------------

static void neighbour_key(struct tables *t, const struct plan_neighbour *n,
			  struct neighbour_key *key)
{
	*key = (struct neighbour_key) {.network = weft_tables_network_index(t, n->network_id),
				       .family = n->ip.family};
	memcpy(key->ip, n->ip.b, sizeof(key->ip));
}

static bool same_neighbour(const struct neighbour *a, const struct plan_neighbour *b)
{
	return weft_mac_equal(&a->mac, &b->mac) && strcmp(a->port_id, b->port_id) == 0;
}

// The list at the key without n, with room for one more. Tells whether n was there and remote.
static struct neighbours *without(const struct neighbours *old, const struct plan_neighbour *n,
				  bool *was_remote)
{
	size_t count = old == NULL ? 0 : old->n;
	struct neighbours *list =
		weft_tables_alloc(sizeof(*list) + (count + 1) * sizeof(list->at[0]));

	*was_remote = false;
	for (size_t i = 0; i < count; i++)
		if (!same_neighbour(&old->at[i], n))
			list->at[list->n++] = old->at[i];
		else
			*was_remote = old->at[i].port == NATIVE_NO_PORT;
	return list;
}

// Somebody has the address who had it not, or had it otherwise: what leads to those who have it
// so far, or to where it was found by asking, may lead to him now. An address that is new to
// everybody costs no session anything.
static void mark_address(struct tables *t, const struct neighbour_key *key,
			 const struct neighbours *old)
{
	const struct flood_list *list = weft_vmap_staged(t->node->floods, &key->network);

	for (size_t i = 0; old != NULL && i < old->n; i++)
		weft_tables_mark_neighbour(t, key->network, &old->at[i]);
	if (!t->hooks.is_asked(t->hooks.arg, key))
		return;
	for (size_t i = 0; list != NULL && i < list->n_asked; i++)
		weft_tables_mark(t, list->ports[i]);
}

static bool has_same(const struct neighbours *list, const struct neighbour *e)
{
	for (size_t i = 0; list != NULL && i < list->n; i++)
		if (weft_mac_equal(&list->at[i].mac, &e->mac) && list->at[i].port == e->port &&
		    list->at[i].from_pair == e->from_pair && list->at[i].any_mac == e->any_mac &&
		    strcmp(list->at[i].port_id, e->port_id) == 0)
			return true;
	return false;
}

void weft_tables_neighbour_put(struct tables *t, const struct plan_neighbour *n)
{
	const struct neighbours *old;
	struct neighbour_key key;
	struct neighbours *list;
	struct port *p = n->local ? weft_tables_port(t, n->port_id) : NULL;
	struct neighbour *e;
	bool was_remote;

	neighbour_key(t, n, &key);
	old = weft_vmap_staged(t->node->neighbours, &key);
	list = without(old, n, &was_remote);
	e = &list->at[list->n++];
	e->mac = n->mac;
	e->port = p == NULL ? NATIVE_NO_PORT : p->index;
	e->from_pair = n->from_pair;
	e->any_mac = n->any_mac;
	memcpy(e->port_id, n->port_id, sizeof(e->port_id));
	if (!has_same(old, e))
		mark_address(t, &key, old);
	if (was_remote && p != NULL)
		owner_change(t, key.network, &n->mac, NATIVE_NO_PORT, false);
	else if (!was_remote && p == NULL)
		owner_change(t, key.network, &n->mac, NATIVE_NO_PORT, true);
	weft_vmap_put(t->node->neighbours, &key, list);
}

void weft_tables_neighbour_del(struct tables *t, const struct plan_neighbour *n)
{
	struct neighbour_key key;
	struct neighbours *list;
	bool was_remote;

	neighbour_key(t, n, &key);
	list = without(weft_vmap_staged(t->node->neighbours, &key), n, &was_remote);
	if (was_remote) {
		weft_tables_mark_outside(t, key.network);
		owner_change(t, key.network, &n->mac, NATIVE_NO_PORT, false);
	}
	if (list->n > 0) {
		weft_vmap_put(t->node->neighbours, &key, list);
		return;
	}
	free(list);
	weft_vmap_del(t->node->neighbours, &key);
}
