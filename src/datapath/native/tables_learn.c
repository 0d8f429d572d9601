// SPDX-License-Identifier: Apache-2.0
// Learned: what workers see or hear and the plan does not say.
//
// A port without port security may be a bridge or a router of its own, with MACs that no plan knows; new flows then
// reach them without any flooding. A MAC that an allowed pair gives to several ports (a virtual router's) is in use at one of them:
// flows to it lead to the port that last sent from it, so they have a session, and those of its predecessor are judged again. An address that
// allowed pairs give to several ports (of a virtual router without a MAC of its own) is at the one that last said so by ARP or ND:
// routers send there.
#include "datapath/native/tables_priv.h"

#include <string.h>

static void forget_one(struct tables *t, struct port_ctl *c, size_t i)
{
	weft_tables_owner_change(t, c->network_index, &c->learned[i], c->port->index, false);
	memmove(&c->learned[i], &c->learned[i + 1], (c->n_learned - i - 1) * sizeof(c->learned[0]));
	c->n_learned--;
}

void weft_tables_forget_learned(struct tables *t, struct port_ctl *c)
{
	while (c->n_learned > 0)
		forget_one(t, c, c->n_learned - 1);
}

static bool unlearn_from(struct tables *t, struct port_ctl *c, const struct mac_addr *mac)
{
	for (size_t i = 0; i < c->n_learned; i++)
		if (weft_mac_equal(&c->learned[i], mac)) {
			forget_one(t, c, i);
			return true;
		}
	return false;
}

void weft_tables_unlearn(struct tables *t, uint32_t network, const struct mac_addr *mac)
{
	struct mac_key key = {.network = network, .mac = *mac};
	const struct mac_owners *owners = weft_vmap_staged(t->dp->macs, &key);

	// A learned MAC has one owner; forgetting it replaces the list, so look no further.
	for (size_t i = 0; owners != NULL && i < owners->n; i++) {
		const struct port *p = native_port(t->dp, owners->ports[i]);
		struct port_ctl *c = p == NULL ? NULL : weft_map_get(t->ports, p->id);

		if (c != NULL && unlearn_from(t, c, mac))
			return;
	}
}

// Which of its owners a shared MAC leads to. The uplink speaks for all on other nodes.
static bool take_speaker(struct tables *t, const struct mac_key *key, const struct mac_owners *old,
			 const struct port *p)
{
	uint16_t port = p->index, owner = p->role == PORT_UPLINK ? NATIVE_NO_PORT : port;
	size_t size = sizeof(*old) + old->n * sizeof(old->ports[0]);
	struct mac_owners *owners;

	if (!native_shares_mac(old, owner) || old->speaker == port)
		return false;
	owners = weft_tables_alloc(size);
	memcpy(owners, old, size);
	owners->speaker = port;
	for (size_t i = 0; i < old->n; i++)
		if (old->ports[i] != NATIVE_NO_PORT)
			weft_tables_mark(t, old->ports[i]);
	if (old->speaker != NATIVE_NO_PORT)
		weft_tables_mark(t, old->speaker);
	weft_vmap_put(t->dp->macs, key, owners);
	return true;
}

// Routers send to the first of those who have an address by pairs: put the one there who said that he has it now.
static bool take_holder(struct tables *t, uint32_t network, const struct port *p,
			const struct learned *l)
{
	struct neighbour_key key = {.network = network, .family = l->ip.family};
	uint16_t port = p->role == PORT_UPLINK ? NATIVE_NO_PORT : p->index;
	const struct neighbours *old;
	struct neighbours *list;
	size_t at = 0;

	memcpy(key.ip, l->ip.b, sizeof(key.ip));
	old = weft_vmap_staged(t->dp->neighbours, &key);
	while (old != NULL && at < old->n &&
	       (old->at[at].port != port || !old->at[at].from_pair ||
		(port == NATIVE_NO_PORT && !weft_mac_equal(&old->at[at].mac, &l->mac))))
		at++;
	if (old == NULL || at == 0 || at == old->n)
		return false;
	list = weft_tables_alloc(sizeof(*list) + old->n * sizeof(list->at[0]));
	list->n = old->n;
	list->at[0] = old->at[at];
	memcpy(&list->at[1], old->at, at * sizeof(list->at[0]));
	memcpy(&list->at[at + 1], &old->at[at + 1], (old->n - at - 1) * sizeof(list->at[0]));
	weft_tables_mark_neighbour(t, network, &old->at[0]);
	weft_tables_mark_neighbour(t, network, &list->at[0]);
	weft_vmap_put(t->dp->neighbours, &key, list);
	return true;
}

static bool take(struct tables *t, const struct learned *l)
{
	const struct port *p = native_port(t->dp, l->port);
	struct port_ctl *c = p == NULL ? NULL : weft_map_get(t->ports, p->id);
	struct mac_key key = {.mac = l->mac};
	const struct mac_owners *owners;

	if (c == NULL)
		return false;
	key.network = c->network_index;
	if (l->ip.family != 0)
		return take_holder(t, key.network, p, l);
	owners = weft_vmap_staged(t->dp->macs, &key);
	if (owners != NULL) // the plan's, or learned before
		return take_speaker(t, &key, owners, p);
	if (c->plan->filtered || p->role != PORT_VM)
		return false;
	if (c->n_learned == LEARNED_MAX)
		forget_one(t, c, 0);
	c->learned[c->n_learned++] = l->mac;
	weft_tables_owner_change(t, c->network_index, &l->mac, c->port->index, true);
	return true;
}

void weft_tables_learn(struct tables *t)
{
	bool changed = false;

	for (uint16_t i = 0; i < t->dp->n_workers; i++) {
		struct worker *w = t->dp->workers[i];
		uint32_t head = atomic_load_explicit(&w->learn_head, memory_order_relaxed);
		uint32_t tail = atomic_load_explicit(&w->learn_tail, memory_order_acquire);

		for (; head != tail; head++)
			changed = take(t, &w->learn[head & (LEARN_RING - 1)]) || changed;
		atomic_store_explicit(&w->learn_head, head, memory_order_release);
	}
	if (changed)
		weft_tables_commit(t);
}
