// SPDX-License-Identifier: Apache-2.0
// Adding connections.
#include <netinet/in.h>

#include "datapath/native/session/session_table.h"
#include "datapath/frames/numbers.h"

#define FIRST_FILL  6 // words in the first bucket from which on the emptier of the two is taken
#define CLASHES_MAX 4 // outdated connections that an add removes before it gives up

enum placed { PLACED, PLACE_TAKEN, PLACE_NONE };

// Where in its two buckets a word should go; NULL: both are full. Most words sit in their first
// bucket, so most look-ups fetch only one; but not so many that it overflows.
static inline uint64_t *choose_place(struct session_bucket *first, struct session_bucket *second)
{
	uint32_t empty = bucket_match(first, 0), empty2 = bucket_match(second, 0);
	int n = __builtin_popcount(empty);

	if (n <= BUCKET_WORDS - FIRST_FILL && __builtin_popcount(empty2) > n)
		return &second->word[__builtin_ctz(empty2)];
	return empty == 0 ? NULL : &first->word[__builtin_ctz(empty)];
}

// Publish a line under its key. PLACE_TAKEN: the key is there already, *found.
static enum placed place_word(struct session_worker *w, struct session_family *f,
			      const struct flow_key *key, uint32_t hash, uint32_t line,
			      uint16_t port, uint32_t now_ms, struct session **found)
{
	struct session_bucket *first = bucket_first(f, hash), *second = bucket_second(f, hash);
	uint32_t *stripe = &w->t->stripe[(hash >> 6) % SESSION_STRIPES];

	for (;;) {
		uint32_t before = __atomic_load_n(stripe, __ATOMIC_ACQUIRE);
		*found = bucket_find(f, first, key, word_tag(hash));
		if (*found == NULL)
			*found = bucket_find(f, second, key, word_tag(hash));
		if (*found != NULL)
			return PLACE_TAKEN;

		uint64_t *place = choose_place(first, second);
		if (unlikely(place == NULL)) {
			if (!weft_session_evict_bucket(w, f, hash, port, now_ms))
				return PLACE_NONE;
			continue;
		}
		if (unlikely(!word_swap(w->t, place, 0, word_make(hash, line))))
			continue;
		if (has_one_writer(w->t) ||
		    likely(__atomic_compare_exchange_n(stripe, &before, before + 1, false,
						       __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)))
			return PLACED;
		// Someone else placed a word meanwhile; it may have been for the same key.
		__atomic_store_n(place, 0, __ATOMIC_RELEASE);
	}
}

// Straight into its place, which nobody reads: put together elsewhere it would have to be read
// back.
static void fill_line(struct session *s, const struct session_direction *d,
		      const struct session_new *n, uint16_t flags, uint32_t now_ms)
{
	memset((char *)s + sizeof(s->key), 0,
	       sizeof(*s) - sizeof(s->key)); // state FREE until both words are published
	if (d->key.family == 6) {
		memset(&s->key, 0, sizeof(s->key));
		memcpy(&s->key, &d->key, 8);
		memcpy(((struct session6 *)s)->src6, d->key.src6, 32);
	} else {
		memcpy(&s->key, &d->key, sizeof(s->key));
	}
	memcpy(s->eth_in, d->eth_in, sizeof(s->eth_in));
	memcpy(s->eth_out, d->eth_out, sizeof(s->eth_out));
	s->out_port = d->out_port;
	s->flags = d->flags | flags;
	s->gen = n->gen;
	s->seen_ms = now_ms;
}

static void fill_pair(struct session *s, const struct session_new *n, uint16_t payer,
		      uint32_t now_ms)
{
	struct session *reply;
	uint16_t flags = payer != n->original.key.in_port ? SESSION_FROM_OUTSIDE : 0;

	if (n->original.key.proto == IPPROTO_TCP && !(n->tcp_flags & TCP_SYN))
		flags |= SESSION_PICKED_UP;
	fill_line(s, &n->original, n, flags, now_ms);
	s->packets = 1;
	s->bytes_low = n->bytes;
	s->tcp_flags = n->tcp_flags & 0x17;
	reply = (struct session *)((char *)s + (n->original.key.family == 6
							? sizeof(struct session6)
							: sizeof(struct session)));
	fill_line(reply, &n->reply, n, flags | SESSION_REPLY, now_ms);
	reply->state = SESSION_NEW;
}

// The lower key comes first, whichever direction it is.
static bool reply_first(const struct session_new *n, uint32_t hash, uint32_t reply_hash)
{
	if (hash != reply_hash)
		return reply_hash < hash;
	return memcmp(&n->reply.key, &n->original.key,
		      n->original.key.family == 6 ? FLOW_KEY6_LEN : FLOW_KEY4_LEN) < 0;
}

struct publication { // of one pair, on its way into the index
	const struct session_new *n;
	struct session_family *f;
	uint32_t hash[2]; // original, reply
	uint32_t pair;
	uint16_t payer;
};

static enum placed publish(struct session_worker *w, const struct publication *p, uint32_t now_ms,
			   struct session **found)
{
	int first = reply_first(p->n, p->hash[0], p->hash[1]);
	const struct flow_key *key[2] = {&p->n->original.key, &p->n->reply.key};
	enum placed placed;

	for (int i = 0, d = first; i < 2; i++, d = !first) {
		placed = place_word(w, p->f, key[d], p->hash[d], p->pair << 1 | (uint32_t)d,
				    p->payer, now_ms, found);
		if (placed != PLACED) {
			if (i == 1)
				weft_session_withdraw(p->f, p->hash[first],
						      p->pair << 1 | (uint32_t)first);
			return placed;
		}
	}
	return PLACED;
}

// Someone has one of the keys. Its direction that is our original, or NULL with *why; DROP_NONE:
// try again.
static struct session *settle_clash(struct session_worker *w, const struct session_new *n,
				    struct session *found, enum drop *why)
{
	struct session *peer = weft_session_peer(found);

	if (session_has_key(found, &n->original.key))
		return found;
	if (session_has_key(peer, &n->original.key))
		return peer;
	if ((n->original.flags | weft_session_flags(found)) & SESSION_NAT) {
		*why = DROP_SESSION_CLASH;
		return NULL;
	}
	weft_session_remove(w, found);
	*why = DROP_NONE;
	return NULL;
}

static struct session *publish_or_find(struct session_worker *w, const struct publication *p,
				       uint32_t now_ms, enum drop *why)
{
	struct session *ours = family_pair(p->f, p->pair), *found;

	for (int i = 0; i < CLASHES_MAX; i++) {
		switch (publish(w, p, now_ms, &found)) {
		case PLACED:
			return ours;
		case PLACE_NONE:
			*why = DROP_SESSIONS_FULL;
			return NULL;
		case PLACE_TAKEN:
			found = settle_clash(w, p->n, found, why);
			if (found != NULL || *why != DROP_NONE)
				return found;
		}
	}
	*why = DROP_SESSIONS_FULL;
	return NULL;
}

// What comes from outside counts for the port that it leads to: who is outside has none here.
static uint16_t payer_of(const struct session_table *t, const struct session_new *n)
{
	uint16_t in = n->original.key.in_port, out = n->original.out_port;
	bool outside = __atomic_load_n(&t->outside[in], __ATOMIC_RELAXED);

	return unlikely(outside) && out < t->max_ports ? out : in;
}

static inline bool has_its_share(const struct session_table *t, uint16_t port)
{
	uint16_t project = __atomic_load_n(&t->project_of[port], __ATOMIC_RELAXED);

	return weft_session_port_count(t, port) >= t->port_share ||
	       (project != 0 &&
		__atomic_load_n(&t->projects[project], __ATOMIC_RELAXED) >= t->project_share);
}

// Count the connection for its port and project. DROP_NONE, or whose share is used up while nothing
// of it may make room.
static enum drop charge(struct session_worker *w, struct session_family *f, uint16_t port,
			uint32_t now_ms)
{
	struct session_table *t = w->t;
	struct session_family *other = &t->family[f == &t->family[0]];
	uint32_t of_port = port_all(port_charge(t, port, 1, 1));
	uint32_t of_project = project_charge(t, port, 1);
	enum session_limit limit = of_port >= t->port_share ? LIMIT_PORT : LIMIT_PROJECT;

	if (likely(of_port < t->port_share && of_project < t->project_share))
		return DROP_NONE;
	if (weft_session_evict(w, f, port, limit, now_ms) ||
	    weft_session_evict(w, other, port, limit, now_ms))
		return DROP_NONE;
	port_discharge(t, port, 1);
	return limit == LIMIT_PORT ? DROP_PORT_SESSIONS : DROP_PROJECT_SESSIONS;
}

static bool is_pair(const struct session_table *t, const struct session_new *n)
{
	const struct flow_key *o = &n->original.key, *r = &n->reply.key;

	return o->in_port < t->max_ports && o->family == r->family &&
	       (o->family == 4 || o->family == 6) && !weft_flow_equal(o, r);
}

struct session *weft_session_add(struct session_worker *w, const struct session_new *n,
				 uint32_t now_ms, enum drop *why)
{
	struct session_table *t = w->t;
	struct publication p = {.n = n, .f = family_of(t, n->original.key.family)};

	*why = DROP_NONE;
	if (unlikely(!is_pair(t, n))) {
		*why = DROP_INTERNAL;
		return NULL;
	}
	p.hash[0] = weft_flow_hash(&n->original.key);
	p.hash[1] = weft_flow_hash(&n->reply.key);
	p.payer = payer_of(t, n);
	struct session *s;
	// Whether the key exists is found when its word is placed; but nothing may make room for
	// one that does.
	if (unlikely(has_its_share(t, p.payer) || weft_session_pairs_are_short(w, p.f))) {
		s = weft_session_get(t, &n->original.key, p.hash[0]);
		if (s != NULL)
			return s;
	}
	*why = charge(w, p.f, p.payer, now_ms);
	if (unlikely(*why != DROP_NONE))
		return NULL;
	p.pair = weft_session_pair_take(w, p.f, p.payer, now_ms);
	if (unlikely(p.pair == PAIR_NONE)) {
		port_discharge(t, p.payer, 1);
		*why = DROP_SESSIONS_FULL;
		return NULL;
	}

	struct session *ours = family_pair(p.f, p.pair);
	fill_pair(ours, n, p.payer, now_ms);
	s = publish_or_find(w, &p, now_ms, why);
	if (unlikely(s != ours)) {
		// One of its words may have been seen for a moment.
		weft_session_pair_limbo(w, p.f, p.pair);
		port_discharge(t, p.payer, 1);
		return s;
	}
	__atomic_store_n(&w->count, w->count + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&ours->state, SESSION_NEW, __ATOMIC_RELEASE);
	if (unlikely(w->guests.expected > 0))
		weft_session_added(w, p.f, p.pair);
	return ours;
}
