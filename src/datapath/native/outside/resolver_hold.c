// SPDX-License-Identifier: Apache-2.0
// Resolver: packets that wait for the MAC of their next hop.
#include <rte_branch_prediction.h>
#include <string.h>

#include "datapath/native/outside/resolver_priv.h"

bool weft_hop_may(struct ask_bucket *b, uint32_t now, uint32_t most, uint32_t per_second)
{
	uint32_t regained = (uint32_t)((uint64_t)(now - b->at_ms) * per_second / 1000);

	if (regained > 0) {
		b->spent = regained >= b->spent ? 0 : b->spent - regained;
		b->at_ms = now;
	}
	if (b->spent >= most)
		return false;
	b->spent++;
	return true;
}

// What is asked for because somebody sends there is limited; what a route leads to is not.
static bool may_ask(struct worker *w, uint16_t in_port, const struct next_hop *ask)
{
	struct resolver *r = w->node->resolver;
	struct resolver_worker *rw = &r->workers[w->id];
	uint32_t unanswered = atomic_load_explicit(&r->unanswered, memory_order_relaxed);

	if (!ask->is_destination)
		return unanswered < UNANSWERED_ALL;
	return unanswered < UNANSWERED_MOST &&
	       weft_hop_may(&rw->ports[in_port], w->now_ms, PORT_ASKS, PORT_ASKS_PER_SECOND) &&
	       weft_hop_may(&rw->all, w->now_ms, ALL_ASKS, ALL_ASKS_PER_SECOND);
}

// ---- Making an entry -----------------------------------------------------------------------

static struct hop *make(struct worker *w, uint16_t in_port, const struct next_hop *ask,
			const struct neighbour_key *key)
{
	struct resolver *r = w->node->resolver;
	uint32_t chain = hop_chain(key);
	uint64_t word = HOP_MADE;
	struct hop *h, *linked;

	if (!may_ask(w, in_port, ask))
		return NULL;
	h = weft_hop_claim(r, chain);
	if (h == NULL)
		return NULL;
	h->key = *key;
	h->from = ask->from;
	h->from_mac = ask->from_mac;
	h->asked_ms = w->now_ms;
	atomic_store_explicit(&h->used_ms, w->now_ms, memory_order_relaxed);
	atomic_store_explicit(&h->fresh_ms, w->now_ms, memory_order_relaxed);
	atomic_store_explicit(&h->since_ms, w->now_ms, memory_order_relaxed);
	atomic_store_explicit(&h->port, NATIVE_NO_PORT, memory_order_relaxed);
	linked = weft_hop_push(r, h, chain);
	if (linked != h)
		return linked;
	atomic_fetch_add_explicit(&r->unanswered, 1, memory_order_relaxed);
	weft_hop_ask(r, w, h, NULL);
	// Somebody may have told already.
	atomic_compare_exchange_strong_explicit(&h->word, &word,
						hop_word(HOP_ASKING, 1, &(struct mac_addr) {0}),
						memory_order_release, memory_order_relaxed);
	return h;
}

// ---- Waiting -------------------------------------------------------------------------------

// It waits no longer, neither here nor for its next hop.
static void leave(struct resolver *r, struct resolver_worker *rw, const struct waiting *p)
{
	atomic_fetch_sub_explicit(&r->hops[p->hop].held, 1, memory_order_release);
	weft_shares_sub(&rw->shares, p->in_port, p->m->nb_segs);
}

// The oldest packet of the port gives way.
static void push_out(struct worker *w, struct resolver_worker *rw, uint16_t port)
{
	struct waiting p;
	uint16_t i = 0;

	while (rw->waiting[i].in_port != port)
		i++;
	p = rw->waiting[i];
	rw->n--;
	memmove(&rw->waiting[i], &rw->waiting[i + 1], (size_t)(rw->n - i) * sizeof(p));
	leave(w->node->resolver, rw, &p);
	weft_drop(w, p.m, port, DROP_NEXT_HOP_WAIT);
}

static bool make_room(struct worker *w, struct resolver_worker *rw, uint16_t in_port, uint32_t n)
{
	enum share_answer answer;
	uint16_t who;

	while ((answer = weft_shares_ask(&rw->shares, in_port, n, &who)) == SHARE_IF)
		push_out(w, rw, who);
	return answer == SHARE_YES;
}

static bool is_asked(const struct hop *h)
{
	enum hop_state state = hop_state(atomic_load_explicit(&h->word, memory_order_acquire));

	return state == HOP_MADE || state == HOP_ASKING;
}

static uint32_t port_gen(const struct worker *w, uint16_t port)
{
	return atomic_load_explicit(&w->node->gen[port], memory_order_acquire);
}

static bool wait_for(struct worker *w, struct hop *h, struct rte_mbuf *m, uint16_t in_port,
		     bool is_destination)
{
	struct resolver *r = w->node->resolver;
	struct resolver_worker *rw = &r->workers[w->id];
	uint32_t most = is_destination ? NEXT_HOP_PACKETS : ROUTE_PACKETS;

	if (atomic_fetch_add_explicit(&h->held, 1, memory_order_acq_rel) >= most ||
	    !make_room(w, rw, in_port, m->nb_segs)) {
		atomic_fetch_sub_explicit(&h->held, 1, memory_order_release);
		return false;
	}
	weft_shares_add(&rw->shares, in_port, m->nb_segs);
	rw->waiting[rw->n++] = (struct waiting) {
		.m = m,
		.hop = (uint32_t)(h - r->hops),
		.gen = port_gen(w, in_port),
		.in_port = in_port,
	};
	if (!is_asked(h)) // meanwhile: look in the next turn
		rw->seen = atomic_load_explicit(&r->changes, memory_order_relaxed) - 1;
	return true;
}

// What is known may not be so any more, because the plan has changed: ask anew.
static void doubt(struct worker *w, struct hop *h, const struct neighbour_key *key)
{
	struct resolver *r = w->node->resolver;
	uint64_t epoch = weft_vstore_epoch(w->node->vs);
	uint64_t word = atomic_load_explicit(&h->word, memory_order_acquire);
	uint16_t port = hop_port(h);
	struct mac_addr mac = hop_mac(word);
	struct ip_addr ip = hop_ip(h);
	struct address_claim claim = weft_claim_address(w->node, epoch, key->network, &ip);

	if (hop_state(word) != HOP_KNOWN ||
	    weft_hop_is_allowed(w->node, epoch, &claim, key->network, &ip, port, &mac) ||
	    !atomic_compare_exchange_strong_explicit(
		    &h->word, &word, hop_word(HOP_ASKING, 1, &(struct mac_addr) {0}),
		    memory_order_acq_rel, memory_order_relaxed))
		return;
	weft_hop_ask(r, w, h, NULL);
}

void weft_resolver_hold(struct worker *w, struct rte_mbuf *m, uint16_t in_port,
			const struct next_hop *ask)
{
	struct resolver *r = w->node->resolver;
	struct resolver_worker *rw = &r->workers[w->id];
	struct neighbour_key key = hop_key(ask->network_index, &ask->ip);
	struct hop *h;

	// It has waited before, and whom it waited for has gone.
	if (rw->releasing) {
		weft_drop(w, m, in_port, DROP_NEXT_HOP);
		return;
	}
	h = weft_hop_find(r, &key);
	if (h == NULL)
		h = make(w, in_port, ask, &key);
	else
		doubt(w, h, &key);
	if (h == NULL || !wait_for(w, h, m, in_port, ask->is_destination))
		weft_drop(w, m, in_port, DROP_NEXT_HOP_WAIT);
}

// The port may have gone, and its index may be another's.
static void let_go(struct worker *w, const struct waiting *p, packet_sink go_on)
{
	if (port_gen(w, p->in_port) != p->gen)
		weft_drop(w, p->m, p->in_port, DROP_NEXT_HOP_WAIT);
	else
		go_on(w, p->m, p->in_port);
}

static void release(struct worker *w, struct resolver *r, struct resolver_worker *rw,
		    packet_sink go_on)
{
	struct waiting go[HELD_MOST];
	uint16_t n = 0, left = 0;

	for (uint16_t i = 0; i < rw->n; i++) {
		if (is_asked(&r->hops[rw->waiting[i].hop])) {
			rw->waiting[left++] = rw->waiting[i];
			continue;
		}
		leave(r, rw, &rw->waiting[i]);
		go[n++] = rw->waiting[i];
	}
	rw->n = left;
	if (n == 0)
		return;
	w->epoch = weft_vstore_epoch(w->node->vs);
	w->n_cut = 0;
	rw->releasing = true;
	for (uint16_t i = 0; i < n; i++)
		let_go(w, &go[i], go_on);
	rw->releasing = false;
	weft_send_flush(w);
}

void weft_resolver_turn(struct worker *w, packet_sink go_on)
{
	struct resolver *r = w->node->resolver;
	struct resolver_worker *rw = &r->workers[w->id];
	uint32_t changes;

	if (likely(rw->n == 0) || rw->releasing)
		return;
	changes = atomic_load_explicit(&r->changes, memory_order_acquire);
	if (changes == rw->seen)
		return;
	rw->seen = changes;
	release(w, r, rw, go_on);
}
