// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/resolver.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/native/resolver_priv.h"
#include "datapath/native/tables.h"
#include "datapath/native/worker.h"

struct resolver *weft_resolver_new(struct native *dp)
{
	struct resolver *r = calloc(1, sizeof(*r));
	size_t hops = NEXT_HOPS * sizeof(r->hops[0]);
	size_t workers = NATIVE_MAX_WORKERS * sizeof(r->workers[0]);

	if (r == NULL)
		abort();
	r->dp = dp;
	r->hops = aligned_alloc(RTE_CACHE_LINE_SIZE, hops);
	r->chains = calloc(NEXT_HOP_CHAINS, sizeof(r->chains[0]));
	r->workers = aligned_alloc(RTE_CACHE_LINE_SIZE, workers);
	if (r->hops == NULL || r->chains == NULL || r->workers == NULL)
		abort();
	memset(r->hops, 0, hops);
	memset(r->workers, 0, workers);
	for (size_t i = 0; i < NATIVE_MAX_WORKERS; i++) {
		// Large and hardly used: its pages are there once they are touched.
		r->workers[i].ports = calloc(NATIVE_MAX_PORTS, sizeof(struct ask_bucket));
		if (r->workers[i].ports == NULL ||
		    !weft_shares_init(&r->workers[i].shares, HELD_MOST, HELD_PER_PORT))
			abort();
	}
	return r;
}

void weft_resolver_free(struct resolver *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < NATIVE_MAX_WORKERS; i++) {
		struct resolver_worker *rw = &r->workers[i];

		for (uint16_t k = 0; k < rw->n; k++)
			rte_pktmbuf_free(rw->waiting[k].m);
		weft_shares_fini(&rw->shares);
		free(rw->ports);
	}
	free(r->workers);
	free(r->chains);
	free(r->hops);
	free(r);
}

// ---- Look-ups --------------------------------------------------------------------------------------

struct hop *weft_hop_find(const struct resolver *r, const struct neighbour_key *key)
{
	uint32_t next = atomic_load_explicit(&r->chains[hop_chain(key)], memory_order_acquire);

	while (next != 0) {
		struct hop *h = &r->hops[next - 1];
		uint64_t word = atomic_load_explicit(&h->word, memory_order_acquire);

		if (memcmp(&h->key, key, sizeof(*key)) == 0 && hop_state(word) != HOP_GONE)
			return h;
		next = atomic_load_explicit(&h->next, memory_order_acquire);
	}
	return NULL;
}

enum next_hop_state weft_resolver_get(const struct resolver *r, uint32_t network_index,
				      const struct ip_addr *ip, struct mac_addr *mac)
{
	struct neighbour_key key = hop_key(network_index, ip);
	uint32_t now = atomic_load_explicit(&r->now_ms, memory_order_relaxed);
	struct hop *h = weft_hop_find(r, &key);
	uint64_t word = h == NULL ? 0 : atomic_load_explicit(&h->word, memory_order_acquire);

	switch (hop_state(word)) {
	case HOP_KNOWN:
		if (atomic_load_explicit(&h->used_ms, memory_order_relaxed) != now)
			atomic_store_explicit(&h->used_ms, now, memory_order_relaxed);
		*mac = hop_mac(word);
		return NEXT_HOP_KNOWN;
	case HOP_FAILED:
		return NEXT_HOP_FAILED;
	case HOP_FREE:
	case HOP_MADE:
	case HOP_ASKING:
	case HOP_GONE:
		break;
	}
	return NEXT_HOP_UNKNOWN;
}

bool weft_resolver_has(const struct resolver *r, const struct neighbour_key *key)
{
	return weft_hop_find(r, key) != NULL;
}

uint32_t weft_resolver_version(const struct resolver *r)
{
	return atomic_load_explicit(&r->version, memory_order_acquire);
}

// First the version, then the generations: who composes a session reads them the other way round, and does not keep it if
// the version is not the one that it judged by.
void weft_hop_changed(struct resolver *r, uint32_t network)
{
	struct native *dp = r->dp;
	const struct flood_list *list =
		weft_vmap_get(dp->floods, &network, weft_vstore_epoch(dp->vs));

	atomic_fetch_add_explicit(&r->version, 1, memory_order_acq_rel);
	for (size_t i = 0; list != NULL && i < list->n_asked; i++)
		weft_tables_bump(dp, list->ports[i]);
}

// ---- What is heard ---------------------------------------------------------------------------------

// Does the plan give the address to somebody? *rightful: he may have that MAC.
static bool is_planned(const struct native *dp, uint64_t epoch, uint32_t network,
		       const struct told *t, bool *rightful)
{
	struct neighbour_key key = hop_key(network, &t->ip);
	const struct neighbours *n = weft_vmap_get(dp->neighbours, &key, epoch);
	struct floating_key own = {.scope = network};
	const struct floating *f = NULL;

	*rightful = false;
	for (size_t i = 0; n != NULL && i < n->n; i++)
		*rightful = *rightful || n->at[i].from_pair || !t->has_mac ||
			    weft_mac_equal(&n->at[i].mac, &t->mac);
	if (t->ip.family == 4) {
		memcpy(&own.ip, t->ip.b, 4);
		f = weft_vmap_get(dp->floatings, &own, epoch);
	}
	if (f != NULL)
		*rightful = *rightful || !t->has_mac || weft_mac_equal(&f->mac, &t->mac);
	return f != NULL || (n != NULL && n->n > 0);
}

static void report_conflict(struct worker *w, const struct port_policy *in, const struct told *t)
{
	struct resolver *r = w->dp->resolver;
	struct resolver_worker *rw = &r->workers[w->id];
	uint32_t tail = atomic_load_explicit(&rw->claim_tail, memory_order_relaxed);

	atomic_fetch_add_explicit(&r->conflicts, 1, memory_order_relaxed);
	if (tail - atomic_load_explicit(&rw->claim_head, memory_order_acquire) == CLAIMS)
		return;
	rw->claims[tail & (CLAIMS - 1)] = (struct claim) {
		.network = in->network_index, .port = in->index, .ip = t->ip, .mac = t->mac};
	atomic_store_explicit(&rw->claim_tail, tail + 1, memory_order_release);
}

// A known next hop has another MAC. RFC 4861, 7.2.5: what does not override makes us ask; and so does what comes too soon after the last move.
static bool may_move(struct hop *h, const struct told *t, uint32_t now)
{
	if (t->overrides &&
	    is_since(now, atomic_load_explicit(&h->since_ms, memory_order_relaxed), SETTLE_MS))
		return true;
	atomic_store_explicit(&h->fresh_ms, now - REFRESH_MS, memory_order_relaxed);
	return false;
}

static void take(struct worker *w, uint16_t port, struct hop *h, const struct told *t)
{
	struct resolver *r = w->dp->resolver;
	uint64_t word = atomic_load_explicit(&h->word, memory_order_acquire), next;
	bool known, moved;

	do {
		struct mac_addr mac = hop_mac(word);

		known = hop_state(word) == HOP_KNOWN;
		if (hop_state(word) == HOP_FREE || hop_state(word) == HOP_GONE ||
		    (!known && !t->has_mac))
			return;
		moved = known && t->has_mac && !weft_mac_equal(&mac, &t->mac);
		if (moved && !may_move(h, t, w->now_ms))
			return;
		next = hop_word(HOP_KNOWN, 0, t->has_mac ? &t->mac : &mac);
	} while (next != word &&
		 !atomic_compare_exchange_weak_explicit(&h->word, &word, next, memory_order_acq_rel,
							memory_order_acquire));
	atomic_store_explicit(&h->port, port, memory_order_relaxed);
	// Whoever moved is asked soon whether it is really there.
	atomic_store_explicit(&h->heard_ms, w->now_ms, memory_order_relaxed);
	atomic_store_explicit(&h->fresh_ms, moved ? w->now_ms - REFRESH_MS + RETRY_MS : w->now_ms,
			      memory_order_relaxed);
	if (known && !moved)
		return;
	atomic_store_explicit(&h->since_ms, w->now_ms, memory_order_relaxed);
	atomic_fetch_add_explicit(&r->changes, 1, memory_order_release);
	if (moved) {
		atomic_fetch_add_explicit(&r->moves, 1, memory_order_relaxed);
		weft_hop_changed(r, h->key.network);
	}
}

// A filtered port may speak for its own addresses.
static bool may_say(const struct port_policy *in, const uint8_t *eth, const struct told *t)
{
	if (!in->plan->filtered)
		return true;
	return weft_pair_allowed(in, eth + 6, t->ip.family, t->ip.b) &&
	       (!t->has_mac || memcmp(t->mac.b, eth + 6, 6) == 0);
}

// Of those who share an address by allowed pairs, routers send to the one that said last that he has it (tables_learn.c).
static void hear_holder(struct worker *w, const struct port_policy *in, const struct neighbours *n,
			const struct told *t)
{
	for (size_t i = 1; n != NULL && i < n->n; i++)
		if (native_is_neighbour(&n->at[i], in, &t->mac) && n->at[i].from_pair &&
		    !native_is_neighbour(&n->at[0], in, &t->mac)) {
			weft_worker_learned(w, &(struct learned) {.port = in->index,
								  .mac = t->mac,
								  .ip = t->ip});
			return;
		}
}

bool weft_resolver_heard(struct worker *w, const struct rte_mbuf *m, const struct packet *p)
{
	struct native *dp = w->dp;
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	const struct port_policy *in;
	struct neighbour_key key;
	struct mac_key to;
	uint64_t epoch;
	struct told t;
	struct hop *h;
	bool rightful;

	if (!weft_neighbour_told(frame, rte_pktmbuf_data_len(m), p, &t))
		return false;
	epoch = weft_vstore_epoch(dp->vs);
	in = native_policy(dp, p->key.in_port, epoch);
	if (in == NULL || in->role == PORT_METADATA || !in->plan->admin_up ||
	    !may_say(in, frame, &t))
		return false;
	if (is_planned(dp, epoch, in->network_index, &t, &rightful)) {
		key = hop_key(in->network_index, &t.ip);
		hear_holder(w, in, weft_vmap_get(dp->neighbours, &key, epoch), &t);
		if (!rightful && native_is_uplink(in))
			report_conflict(w, in, &t);
	} else {
		key = hop_key(in->network_index, &t.ip);
		h = weft_hop_find(dp->resolver, &key);
		if (h != NULL)
			take(w, in->index, h, &t);
	}
	if (!t.answers)
		return false;
	to = (struct mac_key) {.network = in->network_index};
	memcpy(to.mac.b, frame, 6);
	return weft_vmap_get(dp->gateways, &to, epoch) != NULL;
}

// ---- Views -----------------------------------------------------------------------------------------

static bool view_of(const struct hop *h, struct next_hop_view *v)
{
	uint64_t word = atomic_load_explicit(&h->word, memory_order_acquire);
	enum hop_state state = hop_state(word);

	if (state != HOP_ASKING && state != HOP_KNOWN && state != HOP_FAILED)
		return false;
	*v = (struct next_hop_view) {
		.network_index = h->key.network,
		.ip = hop_ip(h),
		.mac = hop_mac(word),
		.state = state == HOP_KNOWN    ? "known"
			 : state == HOP_FAILED ? "failed"
					       : "asking",
		.port = atomic_load_explicit(&h->port, memory_order_relaxed),
		.since_ms = atomic_load_explicit(&h->since_ms, memory_order_relaxed),
		.heard_ms = atomic_load_explicit(&h->heard_ms, memory_order_relaxed),
		.held = atomic_load_explicit(&h->held, memory_order_relaxed),
	};
	v->has_mac = state != HOP_ASKING && v->port != NATIVE_NO_PORT;
	return true;
}

void weft_resolver_each(const struct resolver *r,
			void (*visit)(const struct next_hop_view *v, void *arg), void *arg)
{
	struct next_hop_view v;

	for (size_t i = 0; i < NEXT_HOPS; i++)
		if (view_of(&r->hops[i], &v))
			visit(&v, arg);
}

void weft_resolver_each_conflict(const struct resolver *r,
				 void (*visit)(const struct address_conflict *c, void *arg),
				 void *arg)
{
	for (size_t i = 0; i < r->n_seen; i++)
		visit(&r->seen[i].c, arg);
}

void weft_resolver_stats(const struct resolver *r, struct resolver_stats *out)
{
	*out = (struct resolver_stats) {
		.questions = atomic_load(&r->questions),
		.failures = atomic_load(&r->failures),
		.moves = atomic_load(&r->moves),
		.conflicts = atomic_load(&r->conflicts),
	};
	for (size_t i = 0; i < NEXT_HOPS; i++) {
		const struct hop *h = &r->hops[i];
		enum hop_state state = hop_state(atomic_load(&h->word));

		out->known += state == HOP_KNOWN;
		out->asking += state == HOP_MADE || state == HOP_ASKING;
		out->failed += state == HOP_FAILED;
		out->held += atomic_load(&h->held);
	}
}
