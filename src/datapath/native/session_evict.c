// SPDX-License-Identifier: Apache-2.0
// Who makes room, and the slow clock hand.
//
// A full table looks at a window of neighbouring pairs, further on each time, so that the cost is bounded and every
// pair has its turn. A window frees several connections of the lowest class in it, so most additions to a full table find
// what an earlier one freed.
#include "datapath/native/session_table.h"

#define WINDOW	       32u   // pairs looked at for one eviction
#define WINDOWS	       8u    // windows for one eviction, while nothing was found
#define VAIN_WINDOWS   64u   // windows in vain in one millisecond
#define EVICT_MANY     8u    // connections that one window frees at most
#define AHEAD	       8u    // lines prefetched
#define HAND_TURN_MS   10000 // the clock hand's full turn
#define HAND_LEAST     64u   // pairs per millisecond, so small tables turn faster
#define STATES_OF(cls) ((cls) == CLASS_CLOSING ? 1u << SESSION_CLOSING : 1u << SESSION_NEW)

enum class { CLASS_EXPIRED, CLASS_UNANSWERED, CLASS_CLOSING, CLASS_KEEP };

struct candidate {
	struct session *s; // the original
	uint32_t idle_ms;
	uint32_t unanswered; // of its port
	uint16_t port;
	uint8_t class;
};

static void classify(const struct session_table *t, struct session *s, uint32_t now_ms,
		     struct candidate *c)
{
	uint8_t state = session_state_get(s);

	*c = (struct candidate) {.s = s, .class = CLASS_KEEP, .port = s->key.in_port};
	if (state == SESSION_FREE || state == SESSION_GONE)
		return;
	uint32_t timeout = weft_session_timeout_ms(t, s);
	c->idle_ms = session_idle_ms(s, now_ms);
	// The reply's line is another one to fetch: only if it can change the answer.
	if (state == SESSION_CLOSING || c->idle_ms >= timeout)
		c->idle_ms = weft_session_idle_ms(s, now_ms);
	if (c->idle_ms >= timeout || port_is_gone(t, s->key.in_port) ||
	    port_is_gone(t, s->out_port))
		c->class = CLASS_EXPIRED;
	else if (state == SESSION_CLOSING)
		c->class = CLASS_CLOSING;
	else if (state == SESSION_NEW && c->port < t->max_ports)
		c->class = CLASS_UNANSWERED;
	if (c->class == CLASS_UNANSWERED)
		c->unanswered =
			port_unanswered(__atomic_load_n(&t->ports[c->port], __ATOMIC_RELAXED));
}

// Should a go rather than b?
static bool goes_first(const struct candidate *a, const struct candidate *b)
{
	if (a->class != b->class)
		return a->class < b->class;
	if (a->unanswered != b->unanswered)
		return a->unanswered > b->unanswered;
	return a->idle_ms > b->idle_ms;
}

// False: it was answered, or taken by another worker, in the meantime.
static bool evict(struct session_worker *w, const struct candidate *c)
{
	return weft_session_cut(w, c->s,
				c->class == CLASS_EXPIRED ? STATES_ALL : STATES_OF(c->class));
}

static void prefetch_words(const struct session_worker *w, struct session *s)
{
	struct flow_key key;

	weft_session_key(s, &key);
	weft_session_prefetch(w->t, &key);
	weft_session_key(weft_session_peer(s), &key);
	weft_session_prefetch(w->t, &key);
}

// Of those that go as early as the first: the same class, and for unanswered ones the same port.
static uint32_t evict_like(struct session_worker *w, const struct candidate *c, uint32_t n,
			   const struct candidate *best)
{
	uint32_t picked[WINDOW], k = 0, done = 0;

	for (uint32_t i = 0; i < n && k < EVICT_MANY; i++) {
		if (c[i].class != best->class || c[i].s == best->s ||
		    (best->class == CLASS_UNANSWERED && c[i].port != best->port))
			continue;
		if (k == EVICT_MANY - 1)
			break;
		picked[k++] = i;
		prefetch_words(w, c[i].s);
	}
	done += evict(w, best);
	for (uint32_t i = 0; i < k; i++)
		done += evict(w, &c[picked[i]]);
	return done;
}

// A table full of established connections would be searched for every new flow: so much in vain is enough for a
// millisecond.
static bool search_is_vain(struct session_worker *w, uint32_t port, uint32_t now_ms)
{
	if (w->vain_port != port || w->vain_ms != now_ms) {
		w->vain_port = port;
		w->vain_ms = now_ms;
		w->vain = 0;
	}
	return w->vain >= VAIN_WINDOWS;
}

static bool evict_in_window(struct session_worker *w, struct session_family *f, uint32_t port,
			    uint32_t now_ms)
{
	uint32_t used = family_used(f), n = 0, *cursor = &w->cursor[f - w->t->family];
	struct candidate c[WINDOW], *best = NULL;

	if (*cursor >= used)
		*cursor = 0;
	for (uint32_t i = 0; i < AHEAD; i++)
		rte_prefetch0(family_pair(f, (*cursor + i) % used));
	for (uint32_t i = 0; i < RTE_MIN(WINDOW, used); i++) {
		rte_prefetch0(family_pair(f, (*cursor + AHEAD) % used));
		classify(w->t, family_pair(f, *cursor), now_ms, &c[n]);
		if (++*cursor == used)
			*cursor = 0;
		if (c[n].class == CLASS_KEEP || (port != EVICT_ANY_PORT && c[n].port != port))
			continue;
		if (best == NULL || goes_first(&c[n], best))
			best = &c[n];
		n++;
	}
	return best != NULL && evict_like(w, c, n, best) > 0;
}

bool weft_session_evict(struct session_worker *w, struct session_family *f, uint32_t port,
			uint32_t now_ms)
{
	uint32_t used = family_used(f);

	for (uint32_t i = 0; i < WINDOWS && i * WINDOW < used; i++) {
		if (search_is_vain(w, port, now_ms))
			return false;
		if (evict_in_window(w, f, port, now_ms)) {
			w->vain = 0;
			return true;
		}
		w->vain++;
	}
	return false;
}

bool weft_session_evict_bucket(struct session_worker *w, struct session_family *f, uint32_t hash,
			       uint32_t now_ms)
{
	const struct session_bucket *bucket[2] = {bucket_first(f, hash), bucket_second(f, hash)};
	struct candidate c[2 * BUCKET_WORDS], *best = NULL;
	uint64_t word[2 * BUCKET_WORDS];

	for (int i = 0; i < 2 * BUCKET_WORDS; i++) {
		word[i] = __atomic_load_n(&bucket[i / BUCKET_WORDS]->word[i % BUCKET_WORDS],
					  __ATOMIC_ACQUIRE);
		if (word[i] == 0)
			return true; // another worker made room
		rte_prefetch0(family_pair(f, (uint32_t)word[i] >> 1));
	}
	for (int i = 0; i < 2 * BUCKET_WORDS; i++) {
		classify(w->t, family_pair(f, (uint32_t)word[i] >> 1), now_ms, &c[i]);
		if (c[i].class != CLASS_KEEP && (best == NULL || goes_first(&c[i], best)))
			best = &c[i];
	}
	return best != NULL && evict(w, best);
}

static bool is_expired(const struct session_table *t, struct session *s, uint32_t now_ms)
{
	struct candidate c;

	classify(t, s, now_ms, &c);
	return c.class == CLASS_EXPIRED;
}

// Look at n pairs from where the hand is.
static uint32_t hand_move(struct session_worker *w, struct session_family *f, uint32_t n,
			  uint32_t now_ms)
{
	uint32_t used = family_used(f), removed = 0;
	uint32_t at = __atomic_fetch_add(&f->hand, n, __ATOMIC_RELAXED) % used;

	for (uint32_t i = 0; i < n; i++, at = at + 1 == used ? 0 : at + 1) {
		struct session *s = family_pair(f, at);
		uint8_t gone = SESSION_GONE;
		rte_prefetch0(family_pair(f, (at + AHEAD) % used));
		if (unlikely(session_state_get(s) == SESSION_GONE)) {
			if (__atomic_compare_exchange_n(&s->state, &gone, SESSION_FREE, false,
							__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
				weft_session_pair_limbo(w, f, at);
		} else if (is_expired(w->t, s, now_ms)) {
			removed += weft_session_cut(w, s, STATES_ALL);
		}
	}
	return removed;
}

// What the time since the last call adds to what the hand should have looked at.
static void count_debt(struct session_worker *w, uint32_t now_ms)
{
	uint32_t elapsed = now_ms - w->hand_ms;
	uint32_t workers = RTE_MAX(__atomic_load_n(&w->t->n_workers, __ATOMIC_RELAXED), 1u);

	if (!w->hand_started)
		elapsed = HAND_TURN_MS;
	w->hand_started = true;
	w->hand_ms = now_ms;
	if ((int32_t)elapsed <= 0)
		return;
	for (int i = 0; i < FAMILIES; i++) {
		uint64_t used = family_used(&w->t->family[i]);
		uint64_t rate = RTE_MAX(used / HAND_TURN_MS / workers + 1, (uint64_t)HAND_LEAST);
		w->debt[i] = (uint32_t)RTE_MIN(w->debt[i] + elapsed * rate, used);
	}
}

uint32_t weft_session_expire(struct session_worker *w, uint32_t now_ms, uint32_t budget)
{
	uint32_t removed = 0;

	if (now_ms != w->hand_ms || !w->hand_started) {
		count_debt(w, now_ms);
		if (w->t->qsbr != NULL)
			weft_session_reclaim(w);
	}
	if (likely((w->debt[0] | w->debt[1]) == 0))
		return 0;
	// The families take turns to be first, so that neither starves the other of a small budget.
	for (uint32_t i = 0; i < FAMILIES; i++) {
		uint32_t family = (now_ms + i) % FAMILIES;
		uint32_t n = RTE_MIN(budget, w->debt[family]);
		if (n == 0)
			continue;
		w->debt[family] -= n;
		budget -= n;
		removed += hand_move(w, &w->t->family[family], n, now_ms);
	}
	return removed;
}
