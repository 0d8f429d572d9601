// SPDX-License-Identifier: Apache-2.0
// Resolver: where MACs are that the plan gives to nobody, or to several ports. Who sent from one
// last has it.
#include <string.h>

#include "datapath/native/outside/resolver_priv.h"

static bool is_host_mac(const struct mac_addr *mac)
{
	static const struct mac_addr zero;

	return !weft_mac_is_multicast(mac) && !weft_mac_equal(mac, &zero);
}

// Where nobody but those outside may have unknown MACs, there is nothing to tell apart: they are
// behind the uplink.
static bool is_of_use(const struct node *node, uint64_t epoch, const struct port_policy *in)
{
	const struct flood_list *list;

	if (!native_is_uplink(in))
		return !in->plan->filtered;
	list = weft_vmap_get(node->floods, &in->network_index, epoch);
	return list != NULL && list->n_unfiltered > 1;
}

static void mac_at(struct resolver *r, uint16_t port)
{
	atomic_fetch_add_explicit(&r->n_macs, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&r->macs_of[port], 1, memory_order_relaxed);
}

void weft_hop_mac_gone(struct resolver *r, uint16_t port)
{
	atomic_fetch_sub_explicit(&r->n_macs, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&r->macs_of[port], 1, memory_order_relaxed);
}

static bool has_room(const struct resolver *r, uint16_t port)
{
	return atomic_load_explicit(&r->n_macs, memory_order_relaxed) < MACS_MOST + MACS_ROOM &&
	       atomic_load_explicit(&r->macs_of[port], memory_order_relaxed) <
		       MACS_PER_PORT + MACS_ROOM;
}

// Until now it was with any of its owners: sessions may lead there. That one is learned which
// nobody has marks nothing: any VM without port security could make all flows stale.
static void tell_first(struct worker *w, const struct port_policy *in, uint64_t epoch,
		       const struct mac_owners *owners)
{
	struct node *node = w->node;
	const struct flood_list *list = weft_vmap_get(node->floods, &in->network_index, epoch);
	uint16_t uplink = list == NULL ? NATIVE_NO_PORT : list->uplink;

	for (uint16_t i = 0; owners != NULL && i < owners->n; i++) {
		uint16_t port = owners->ports[i] == NATIVE_NO_PORT ? uplink : owners->ports[i];

		if (port != NATIVE_NO_PORT && port != in->index)
			weft_hop_changed(node->resolver, port);
	}
}

static void learn(struct worker *w, const struct port_policy *in, uint64_t epoch,
		  const struct neighbour_key *key, const struct mac_owners *owners)
{
	struct resolver *r = w->node->resolver;
	uint32_t chain = hop_chain(key);
	struct hop *h;

	if (!has_room(r, in->index))
		return;
	h = weft_hop_claim(r, chain);
	if (h == NULL)
		return;
	h->key = *key;
	atomic_store_explicit(&h->used_ms, w->now_ms, memory_order_relaxed);
	atomic_store_explicit(&h->since_ms, w->now_ms, memory_order_relaxed);
	if (weft_hop_push(r, h, chain) != h)
		return;
	mac_at(r, in->index);
	atomic_store_explicit(&h->word, hop_port_word(in->index), memory_order_release);
	tell_first(w, in, epoch, owners);
}

// It is at a port that may not have it any more; or it has been where it is for a while.
static bool may_leave(struct worker *w, const struct port_policy *in, uint64_t epoch,
		      const struct mac_addr *mac, struct hop *h, uint16_t was)
{
	const struct port_policy *p = native_policy(w->node, was, epoch);

	if (p == NULL || p->network_index != in->network_index ||
	    !weft_claim_mac_allowed(w->node, epoch, p, mac))
		return true;
	return is_since(w->now_ms, atomic_load_explicit(&h->since_ms, memory_order_relaxed),
			SETTLE_MS) &&
	       weft_hop_may_move(w, in->index);
}

static void move(struct worker *w, const struct port_policy *in, uint64_t epoch,
		 const struct mac_addr *mac, struct hop *h)
{
	struct resolver *r = w->node->resolver;
	uint64_t word = atomic_load_explicit(&h->word, memory_order_acquire);
	uint16_t was = hop_word_port(word);

	if (hop_state(word) != HOP_KNOWN)
		return;
	if (was == in->index) {
		atomic_store_explicit(&h->used_ms, w->now_ms, memory_order_relaxed);
		return;
	}
	if (!may_leave(w, in, epoch, mac, h, was) ||
	    !atomic_compare_exchange_strong_explicit(&h->word, &word, hop_port_word(in->index),
						     memory_order_acq_rel, memory_order_relaxed))
		return;
	weft_hop_mac_gone(r, was);
	mac_at(r, in->index);
	atomic_store_explicit(&h->used_ms, w->now_ms, memory_order_relaxed);
	atomic_store_explicit(&h->since_ms, w->now_ms, memory_order_relaxed);
	atomic_fetch_add_explicit(&r->mac_moves, 1, memory_order_relaxed);
	weft_hop_changed(r, was);
}

bool weft_hop_may_move(struct worker *w, uint16_t port)
{
	return weft_hop_may(&w->node->resolver->workers[w->id].moves[port], w->now_ms, PORT_MOVES,
			    PORT_MOVES_PER_SECOND);
}

void weft_hop_seen(struct worker *w, const struct port_policy *in, uint64_t epoch,
		   const struct mac_addr *mac)
{
	struct node *node = w->node;
	struct mac_key owned = {.network = in->network_index, .mac = *mac};
	const struct mac_owners *owners;
	struct neighbour_key key;
	struct hop *h;

	if (!is_host_mac(mac))
		return;
	owners = weft_vmap_get(node->macs, &owned, epoch);
	if ((owners == NULL && !is_of_use(node, epoch, in)) ||
	    !weft_claim_mac_allowed(node, epoch, in, mac))
		return;
	key = hop_mac_key(in->network_index, mac);
	h = weft_hop_find(node->resolver, &key);
	if (h != NULL)
		move(w, in, epoch, mac, h);
	else
		learn(w, in, epoch, &key, owners);
}
