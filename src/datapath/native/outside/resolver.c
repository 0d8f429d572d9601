// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/outside/resolver.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/native/outside/resolver_priv.h"
#include "datapath/native/policy/tables.h"

struct resolver *weft_resolver_new(struct node *node)
{
	struct resolver *r = calloc(1, sizeof(*r));
	size_t hops = NEXT_HOPS * sizeof(r->hops[0]);
	size_t workers = NATIVE_MAX_WORKERS * sizeof(r->workers[0]);

	if (r == NULL)
		abort();
	r->node = node;
	r->hops = aligned_alloc(RTE_CACHE_LINE_SIZE, hops);
	r->chains = calloc(NEXT_HOP_CHAINS, sizeof(r->chains[0]));
	r->workers = aligned_alloc(RTE_CACHE_LINE_SIZE, workers);
	r->macs_of = calloc(NATIVE_MAX_PORTS, sizeof(r->macs_of[0]));
	if (r->hops == NULL || r->chains == NULL || r->workers == NULL || r->macs_of == NULL)
		abort();
	memset(r->hops, 0, hops);
	memset(r->workers, 0, workers);
	for (size_t i = 0; i < NATIVE_MAX_WORKERS; i++) {
		// Large and hardly used: its pages are there once they are touched.
		r->workers[i].ports = calloc(NATIVE_MAX_PORTS, sizeof(struct ask_bucket));
		r->workers[i].moves = calloc(NATIVE_MAX_PORTS, sizeof(struct ask_bucket));
		if (r->workers[i].ports == NULL || r->workers[i].moves == NULL ||
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
		free(rw->moves);
	}
	free(r->workers);
	free(r->macs_of);
	free(r->chains);
	free(r->hops);
	free(r);
}

// ---- Look-ups ------------------------------------------------------------------------------

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

struct hop *weft_hop_claim(struct resolver *r, uint32_t chain)
{
	for (uint32_t i = 0; i < NEXT_HOPS / 4; i++) {
		struct hop *h = &r->hops[(chain + i) % NEXT_HOPS];
		uint64_t word = atomic_load_explicit(&h->word, memory_order_relaxed);

		if (word == HOP_FREE &&
		    atomic_compare_exchange_strong_explicit(
			    &h->word, &word, HOP_MADE, memory_order_acquire, memory_order_relaxed))
			return h;
	}
	return NULL;
}

struct hop *weft_hop_push(struct resolver *r, struct hop *h, uint32_t chain)
{
	_Atomic uint32_t *head = &r->chains[chain];
	uint32_t first = atomic_load_explicit(head, memory_order_acquire);
	struct hop *other;

	do {
		other = weft_hop_find(r, &h->key);
		if (other != NULL) {
			atomic_store_explicit(&h->word, HOP_FREE, memory_order_release);
			return other;
		}
		atomic_store_explicit(&h->next, first, memory_order_relaxed);
	} while (!atomic_compare_exchange_weak_explicit(head, &first, (uint32_t)(h - r->hops) + 1,
							memory_order_acq_rel,
							memory_order_acquire));
	atomic_fetch_add_explicit(&r->in_use, 1, memory_order_relaxed);
	return h;
}

static struct next_hop_at at_of(const struct hop *h, uint64_t word)
{
	return (struct next_hop_at) {
		.mac = hop_mac(word),
		.port = hop_port(h),
	};
}

static void count_use(const struct resolver *r, struct hop *h)
{
	uint32_t now = atomic_load_explicit(&r->now_ms, memory_order_relaxed);

	if (atomic_load_explicit(&h->used_ms, memory_order_relaxed) != now)
		atomic_store_explicit(&h->used_ms, now, memory_order_relaxed);
}

enum next_hop_state weft_resolver_get(const struct resolver *r, uint64_t epoch,
				      const struct address_claim *claim, uint32_t network,
				      const struct ip_addr *ip, struct next_hop_at *at)
{
	struct neighbour_key key = hop_key(network, ip);
	struct hop *h = weft_hop_find(r, &key);
	uint64_t word = h == NULL ? 0 : atomic_load_explicit(&h->word, memory_order_acquire);
	struct next_hop_at found;

	switch (hop_state(word)) {
	case HOP_KNOWN:
		found = at_of(h, word);
		if (!weft_hop_is_allowed(r->node, epoch, claim, network, ip, found.port,
					 &found.mac))
			break;
		count_use(r, h);
		*at = found;
		return NEXT_HOP_KNOWN;
	case HOP_FAILED:
		count_use(r, h);
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

uint16_t weft_resolver_port_of(const struct resolver *r, uint64_t epoch, uint32_t network,
			       const struct mac_addr *mac)
{
	struct neighbour_key key = hop_mac_key(network, mac);
	struct hop *h = weft_hop_find(r, &key);
	uint64_t word = h == NULL ? 0 : atomic_load_explicit(&h->word, memory_order_acquire);
	const struct port_policy *p;

	if (hop_state(word) != HOP_KNOWN)
		return NATIVE_NO_PORT;
	p = native_policy(r->node, hop_word_port(word), epoch);
	if (p == NULL || p->network_index != network ||
	    !weft_claim_mac_allowed(r->node, epoch, p, mac))
		return NATIVE_NO_PORT;
	count_use(r, h);
	return p->index;
}

uint32_t weft_resolver_version(const struct resolver *r)
{
	return atomic_load_explicit(&r->version, memory_order_acquire);
}

bool weft_hop_is_allowed(const struct node *node, uint64_t epoch, const struct address_claim *claim,
			 uint32_t network, const struct ip_addr *ip, uint16_t port,
			 const struct mac_addr *mac)
{
	const struct port_policy *p = native_policy(node, port, epoch);

	return claim->kind != CLAIM_CERTAIN && p != NULL && p->network_index == network &&
	       weft_claim_allows(claim, p, ip, mac);
}

// First the version, then the generation: who composes a session reads them the other way round,
// and does not keep it if the version is not the one that it judged by.
void weft_hop_changed(struct resolver *r, uint16_t port)
{
	atomic_fetch_add_explicit(&r->version, 1, memory_order_acq_rel);
	if (port != NATIVE_NO_PORT)
		weft_tables_bump(r->node, port);
}

// ---- What is heard -------------------------------------------------------------------------

static void report_conflict(struct worker *w, const struct port_policy *in, const struct told *t)
{
	struct resolver *r = w->node->resolver;
	struct resolver_worker *rw = &r->workers[w->id];
	uint32_t tail = atomic_load_explicit(&rw->claim_tail, memory_order_relaxed);

	atomic_fetch_add_explicit(&r->conflicts, 1, memory_order_relaxed);
	if (tail - atomic_load_explicit(&rw->claim_head, memory_order_acquire) == CLAIMS)
		return;
	rw->claims[tail & (CLAIMS - 1)] = (struct claim) {
		.network = in->network_index, .port = in->index, .ip = t->ip, .mac = t->mac};
	atomic_store_explicit(&rw->claim_tail, tail + 1, memory_order_release);
}

// A known next hop has another MAC, or is at another port. RFC 4861, 7.2.5: what does not
// override makes us ask; and so does what comes too soon after the last move, or is one of too
// many.
static bool may_move(struct worker *w, uint16_t port, struct hop *h, const struct told *t)
{
	if (t->overrides &&
	    is_since(w->now_ms, atomic_load_explicit(&h->since_ms, memory_order_relaxed),
		     SETTLE_MS) &&
	    weft_hop_may_move(w, port))
		return true;
	atomic_store_explicit(&h->fresh_ms, w->now_ms - REFRESH_MS, memory_order_relaxed);
	return false;
}

// Sessions lead to where it was: to `was`, or where the plan says as long as nobody answered.
static void tell_moved(struct resolver *r, const struct address_claim *c, enum hop_state state,
		       uint16_t was)
{
	if (state == HOP_KNOWN) {
		atomic_fetch_add_explicit(&r->moves, 1, memory_order_relaxed);
		weft_hop_changed(r, was);
	} else if (state == HOP_FAILED && c->fixed != NULL) {
		weft_hop_changed(r, c->fixed->port);
	}
}

static void take(struct worker *w, uint16_t port, const struct address_claim *c, struct hop *h,
		 const struct told *t)
{
	struct resolver *r = w->node->resolver;
	uint64_t word = atomic_load_explicit(&h->word, memory_order_acquire), next;
	enum hop_state state;
	uint16_t was;
	bool moved;

	do {
		struct mac_addr mac = hop_mac(word);

		state = hop_state(word);
		was = hop_port(h);
		if (state == HOP_FREE || state == HOP_GONE || (state != HOP_KNOWN && !t->has_mac))
			return;
		moved = state == HOP_KNOWN &&
			(was != port || (t->has_mac && !weft_mac_equal(&mac, &t->mac)));
		if (moved && !may_move(w, port, h, t))
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
	if (state == HOP_KNOWN && !moved)
		return;
	atomic_store_explicit(&h->since_ms, w->now_ms, memory_order_relaxed);
	atomic_fetch_add_explicit(&r->changes, 1, memory_order_release);
	tell_moved(r, c, state, was);
}

static void hear(struct worker *w, const struct port_policy *in, uint64_t epoch,
		 const uint8_t *frame, const struct told *t)
{
	struct node *node = w->node;
	uint32_t network = in->network_index;
	struct address_claim c = weft_claim_address(node, epoch, network, &t->ip);
	struct neighbour_key key = hop_key(network, &t->ip);
	struct mac_addr mac = t->mac;
	struct hop *h;

	if (!t->has_mac)
		memcpy(mac.b, frame + 6, 6);
	else if (in->plan->filtered && memcmp(mac.b, frame + 6, 6) != 0)
		return;
	if (!weft_claim_allows(&c, in, &t->ip, &mac)) {
		if (native_is_uplink(in) && c.kind == CLAIM_CERTAIN)
			report_conflict(w, in, t);
		return;
	}
	if (c.kind == CLAIM_CERTAIN || weft_claim_is_routers(node, epoch, network, &mac))
		return;
	h = weft_hop_find(node->resolver, &key);
	if (h == NULL)
		return;
	take(w, in->index, &c, h, t);
	weft_hop_seen(w, in, epoch, &mac);
}

// A filtered port's own MAC is where the plan says. Its announcements, and what it sends from
// another one, can be of one that it shares.
static bool may_teach(const struct port_policy *in, const uint8_t *eth)
{
	return !in->plan->filtered || (eth[0] & 1) != 0 || memcmp(eth + 6, in->plan->mac.b, 6) != 0;
}

bool weft_resolver_heard(struct worker *w, const struct rte_mbuf *m, const struct packet *p)
{
	struct node *node = w->node;
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	uint64_t epoch = weft_vstore_epoch(node->vs);
	const struct port_policy *in = native_policy(node, p->key.in_port, epoch);
	struct mac_addr mac;
	struct told t;

	if (in == NULL || in->role == PORT_METADATA || !in->plan->admin_up)
		return false;
	if (may_teach(in, frame)) {
		memcpy(mac.b, frame + 6, 6);
		weft_hop_seen(w, in, epoch, &mac);
	}
	if (!weft_neighbour_told(frame, rte_pktmbuf_data_len(m), p, &t))
		return false;
	hear(w, in, epoch, frame, &t);
	if (!t.answers)
		return false;
	memcpy(mac.b, frame, 6);
	return weft_claim_is_routers(node, epoch, in->network_index, &mac);
}

// ---- Views ---------------------------------------------------------------------------------

static bool view_of(const struct hop *h, struct next_hop_view *v)
{
	uint64_t word = atomic_load_explicit(&h->word, memory_order_acquire);
	enum hop_state state = hop_state(word);

	if ((state != HOP_ASKING && state != HOP_KNOWN && state != HOP_FAILED) ||
	    h->key.family == HOP_MAC)
		return false;
	*v = (struct next_hop_view) {
		.network_index = h->key.network,
		.ip = hop_ip(h),
		.mac = hop_mac(word),
		.state = state == HOP_KNOWN    ? "known"
			 : state == HOP_FAILED ? "failed"
					       : "asking",
		.port = hop_port(h),
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
		.macs = atomic_load(&r->n_macs),
		.mac_moves = atomic_load(&r->mac_moves),
		.mac_evictions = atomic_load(&r->mac_evictions),
	};
	for (size_t i = 0; i < NEXT_HOPS; i++) {
		const struct hop *h = &r->hops[i];
		enum hop_state state = hop_state(atomic_load(&h->word));

		if (state == HOP_KNOWN && h->key.family == HOP_MAC)
			continue;
		out->known += state == HOP_KNOWN;
		out->asking += state == HOP_MADE || state == HOP_ASKING;
		out->failed += state == HOP_FAILED;
		out->held += atomic_load(&h->held);
	}
}
