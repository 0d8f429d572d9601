// SPDX-License-Identifier: Apache-2.0
// Resolver: what time does to its entries. Control thread.
#include <rte_rcu_qsbr.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "datapath/native/outside/announce.h"
#include "datapath/native/outside/resolver_priv.h"

// Questions that one tick may send: what is due beyond waits for the next.
#define TICK_QUESTIONS 128
// How often the log tells of one conflict.
#define LOG_AGAIN_MS   60000

// Only answers come in between; then the next tick looks again.
static bool change(struct hop *h, uint64_t from, enum hop_state state, uint8_t tries)
{
	struct mac_addr mac = hop_mac(from);

	return atomic_compare_exchange_strong_explicit(&h->word, &from,
						       hop_word(state, tries, &mac),
						       memory_order_acq_rel, memory_order_relaxed);
}

// ---- Entries that go -----------------------------------------------------------------------

static void unlink_hop(struct resolver *r, const struct hop *h)
{
	_Atomic uint32_t *head = &r->chains[hop_chain(&h->key)];
	uint32_t index = (uint32_t)(h - r->hops) + 1, first = index;
	uint32_t next = atomic_load_explicit(&h->next, memory_order_relaxed), before;

	if (atomic_compare_exchange_strong_explicit(head, &first, next, memory_order_acq_rel,
						    memory_order_acquire))
		return;
	// Others are in front of it, and only this thread takes any away.
	do {
		before = first;
		first = atomic_load_explicit(&r->hops[before - 1].next, memory_order_relaxed);
	} while (first != index);
	atomic_store_explicit(&r->hops[before - 1].next, next, memory_order_release);
}

// What waits for it has been told before (HOP_FAILED), or nothing does.
bool weft_hop_withdraw(struct resolver *r, struct hop *h, uint64_t word)
{
	if (!change(h, word, HOP_GONE, 0))
		return false;
	if (h->key.family == HOP_MAC)
		weft_hop_mac_gone(r, hop_word_port(word));
	unlink_hop(r, h);
	h->token = rte_rcu_qsbr_start(r->node->qsbr);
	return true;
}

static void reuse(struct resolver *r, struct hop *h)
{
	// A worker that found it before it went may have put a packet there after.
	if (atomic_load_explicit(&h->held, memory_order_acquire) > 0 ||
	    rte_rcu_qsbr_check(r->node->qsbr, h->token, false) != 1)
		return;
	atomic_fetch_sub_explicit(&r->in_use, 1, memory_order_relaxed);
	atomic_store_explicit(&h->word, HOP_FREE, memory_order_release);
}

static void fail(struct resolver *r, struct hop *h, uint64_t word, uint32_t now)
{
	if (!change(h, word, HOP_FAILED, 0))
		return;
	atomic_store_explicit(&h->since_ms, now, memory_order_relaxed);
	atomic_fetch_add_explicit(&r->failures, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&r->changes, 1, memory_order_release);
	if (hop_state(word) == HOP_KNOWN)
		weft_hop_changed(r, hop_port(h));
}

// ---- Who asks ------------------------------------------------------------------------------

struct search { // for a router that may ask
	struct hop *h;
	struct ip_addr ip;
	bool found;
};

// Take an address of the interface to ask from: one of the same subnet, or, to ask for a
// link-local address, any.
static void try_interface(struct search *s, const struct router_interface *i)
{
	struct hop *h = s->h;

	for (size_t k = 0; k < i->n_addrs && !s->found; k++) {
		const struct ip_prefix *own = &i->addrs[k];

		s->found = weft_prefix_contains(own, &s->ip) ||
			   (weft_ip_is_link_local(&s->ip) && own->ip.family == 6);
		if (s->found) {
			h->from = own->ip;
			h->from_mac = i->mac;
		}
	}
}

static void try_router(const void *key, void *value, void *arg)
{
	const struct router *router = value;
	struct search *s = arg;

	(void)key;
	for (size_t i = 0; router->admin_up && i < router->n_interfaces; i++)
		if (router->interfaces[i].network_index == s->h->key.network)
			try_interface(s, &router->interfaces[i]);
}

static bool still_has(const struct router_interface *i, const struct hop *h)
{
	for (size_t k = 0; k < i->n_addrs; k++)
		if (weft_ip_equal(&i->addrs[k].ip, &h->from))
			return weft_mac_equal(&i->mac, &h->from_mac);
	return false;
}

// The router that asked first may have gone, or have other addresses; then it asks from those, or
// any other of the network's routers does.
static bool has_asker(struct resolver *r, struct hop *h)
{
	uint64_t epoch = weft_vstore_epoch(r->node->vs);
	struct mac_key key = {.network = h->key.network, .mac = h->from_mac};
	const struct gateway *g = weft_vmap_get(r->node->gateways, &key, epoch);
	const struct router *router = g == NULL ? NULL : weft_vslot_value(g->router, epoch);
	struct search s = {.h = h, .ip = hop_ip(h)};

	if (router != NULL && g->interface < router->n_interfaces &&
	    still_has(&router->interfaces[g->interface], h))
		return true;
	weft_vmap_each(r->node->routers, try_router, &s);
	return s.found;
}

static struct address_claim claim_of(const struct resolver *r, const struct hop *h)
{
	struct ip_addr ip = hop_ip(h);

	return weft_claim_address(r->node, weft_vstore_epoch(r->node->vs), h->key.network, &ip);
}

// Does the plan still leave it to the wire who has the address, and may it be who is known to
// have it?
static bool is_right(const struct resolver *r, const struct hop *h, uint64_t word)
{
	uint64_t epoch = weft_vstore_epoch(r->node->vs);
	struct address_claim claim = claim_of(r, h);
	struct mac_addr mac = hop_mac(word);
	struct ip_addr ip = hop_ip(h);

	return weft_hop_is_allowed(r->node, epoch, &claim, h->key.network, &ip, hop_port(h), &mac);
}

static bool is_mac_right(const struct resolver *r, const struct hop *h, uint64_t word)
{
	uint64_t epoch = weft_vstore_epoch(r->node->vs);
	const struct port_policy *p = native_policy(r->node, hop_word_port(word), epoch);
	struct mac_addr mac;

	memcpy(mac.b, h->key.ip, sizeof(mac.b));
	return p != NULL && p->network_index == h->key.network &&
	       weft_claim_mac_allowed(r->node, epoch, p, &mac);
}

// ---- Questions -----------------------------------------------------------------------------

static void ask(struct resolver *r, struct hop *h, uint64_t word, uint8_t tries, uint32_t now,
		bool unicast)
{
	struct mac_addr mac = hop_mac(word);

	if (r->budget == 0 || !change(h, word, hop_state(word), tries))
		return;
	r->budget--;
	h->asked_ms = now;
	weft_hop_ask(r, NULL, h, unicast ? &mac : NULL);
}

static void asking(struct resolver *r, struct hop *h, uint64_t word, uint32_t now)
{
	if (!is_since(now, h->asked_ms, RETRY_MS))
		return;
	if (hop_tries(word) >= NEXT_HOP_TRIES || !has_asker(r, h))
		fail(r, h, word, now);
	else
		ask(r, h, word, (uint8_t)(hop_tries(word) + 1), now, false);
}

static void known(struct resolver *r, struct hop *h, uint64_t word, uint32_t now)
{
	uint8_t tries = hop_tries(word);
	uint32_t fresh = atomic_load_explicit(&h->fresh_ms, memory_order_relaxed);

	if (r->compare && (!is_right(r, h, word) || !has_asker(r, h))) {
		if (weft_hop_withdraw(r, h, word))
			weft_hop_changed(r, hop_port(h));
		return;
	}
	if (!is_since(now, h->asked_ms, RETRY_MS))
		return;
	if (tries >= NEXT_HOP_TRIES)
		fail(r, h, word, now);
	else if (tries > 0)
		ask(r, h, word, (uint8_t)(tries + 1), now, false);
	else if (is_since(now, fresh, REFRESH_MS))
		ask(r, h, word, 1, now, true);
}

// Nobody answers for an address that the plan gives to a port by fixed IP: packets go there, and
// as long as some do it is asked for now and then. True: it stays.
static bool goes_by_plan(struct resolver *r, struct hop *h, uint64_t word, uint32_t now)
{
	uint32_t used = atomic_load_explicit(&h->used_ms, memory_order_relaxed);
	struct address_claim claim = claim_of(r, h);

	if (claim.kind != CLAIM_ASKED || claim.fixed == NULL || is_since(now, used, UNUSED_MS))
		return false;
	if (is_since(now, h->asked_ms, REFRESH_MS) && has_asker(r, h))
		ask(r, h, word, 0, now, false);
	return true;
}

// Does it count as an unanswered question?
static bool failed(struct resolver *r, struct hop *h, uint64_t word, uint32_t now)
{
	uint32_t since = atomic_load_explicit(&h->since_ms, memory_order_relaxed);
	// When there are too many unanswered questions the answer "nobody" is not kept.
	bool crowded = atomic_load_explicit(&r->unanswered, memory_order_relaxed) >=
		       UNANSWERED_MOST;

	if (goes_by_plan(r, h, word, now))
		return false;
	if (is_since(now, since, crowded ? RETRY_MS : FAILED_MS) &&
	    atomic_load_explicit(&h->held, memory_order_acquire) == 0)
		weft_hop_withdraw(r, h, word);
	return true;
}

// ---- Conflicts -----------------------------------------------------------------------------

static struct seen_conflict *place_for(struct resolver *r, const struct claim *c)
{
	struct seen_conflict *oldest = &r->seen[0];

	for (size_t i = 0; i < r->n_seen; i++) {
		struct seen_conflict *s = &r->seen[i];

		if (s->c.network_index == c->network && weft_ip_equal(&s->c.ip, &c->ip))
			return s;
		if ((int32_t)(s->c.at_ms - oldest->c.at_ms) < 0)
			oldest = s;
	}
	if (r->n_seen < CONFLICTS)
		oldest = &r->seen[r->n_seen++];
	*oldest = (struct seen_conflict) {.c.network_index = c->network, .c.ip = c->ip};
	return oldest;
}

static void remember(struct resolver *r, const struct claim *c, uint32_t now)
{
	const struct port *uplink = native_port(r->node, c->port);
	struct seen_conflict *s = place_for(r, c);
	char ip[WEFT_IP_STRLEN], mac[WEFT_MAC_STRLEN];

	s->c.mac = c->mac;
	s->c.at_ms = now;
	// Its index may be another port's by now.
	if (uplink != NULL && uplink->role == PORT_UPLINK)
		s->c.defended += weft_announce_defend(r->node, uplink->id, &c->ip);
	if (s->c.times++ > 0 && !is_since(now, s->logged_ms, LOG_AGAIN_MS))
		return;
	s->logged_ms = now;
	weft_log_warning("address %s: outside this node %s says that it has it, too",
			 weft_ip_text(&c->ip, ip), weft_mac_text(&c->mac, mac));
}

static void take_claims(struct resolver *r, uint32_t now)
{
	for (uint16_t i = 0; i < NATIVE_MAX_WORKERS; i++) {
		struct resolver_worker *rw = &r->workers[i];
		uint32_t head = atomic_load_explicit(&rw->claim_head, memory_order_relaxed);
		uint32_t tail = atomic_load_explicit(&rw->claim_tail, memory_order_acquire);

		for (; head != tail; head++)
			remember(r, &rw->claims[head & (CLAIMS - 1)], now);
		atomic_store_explicit(&rw->claim_head, head, memory_order_release);
	}
}

// ---- The tick ------------------------------------------------------------------------------

static void age(struct resolver *r, struct hop *h, uint32_t now, uint32_t *n_known,
		uint32_t *n_unanswered)
{
	uint64_t word = atomic_load_explicit(&h->word, memory_order_acquire);

	if (hop_state(word) == HOP_KNOWN && h->key.family == HOP_MAC) {
		if (r->compare && !is_mac_right(r, h, word) && weft_hop_withdraw(r, h, word))
			weft_hop_changed(r, hop_word_port(word));
		return;
	}
	switch (hop_state(word)) {
	case HOP_FREE:
	case HOP_MADE:
		break;
	case HOP_ASKING:
		++*n_unanswered;
		asking(r, h, word, now);
		break;
	case HOP_KNOWN:
		++*n_known;
		known(r, h, word, now);
		break;
	case HOP_FAILED:
		*n_unanswered += failed(r, h, word, now);
		break;
	case HOP_GONE:
		reuse(r, h);
		break;
	}
}

void weft_resolver_tick(struct resolver *r, uint32_t now_ms)
{
	uint32_t n_known = 0, n_unanswered = 0;

	atomic_store_explicit(&r->now_ms, now_ms, memory_order_relaxed);
	take_claims(r, now_ms);
	if (atomic_load_explicit(&r->in_use, memory_order_relaxed) == 0)
		return;
	r->budget = TICK_QUESTIONS;
	r->compare = weft_vstore_epoch(r->node->vs) != r->epoch;
	r->epoch = weft_vstore_epoch(r->node->vs);
	for (size_t i = 0; i < NEXT_HOPS; i++)
		age(r, &r->hops[i], now_ms, &n_known, &n_unanswered);
	// Workers count up meanwhile; what they add is counted exactly the next time.
	atomic_store_explicit(&r->unanswered, n_unanswered, memory_order_relaxed);
	if (n_known > KNOWN_MOST)
		weft_hop_make_room(r, now_ms);
	weft_hop_make_mac_room(r, now_ms);
}
