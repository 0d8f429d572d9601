// SPDX-License-Identifier: Apache-2.0
// Who makes room.
//
// A full table looks at a window of neighbouring pairs, so that the cost is bounded. Successive windows lie far apart, since those
// that were made together stand together: a block of what stays must not be searched from end to end before anything new finds a
// place. Yet each has its turn. A window frees several connections of the lowest class in it, so most additions to a full table
// find what an earlier one freed.
#include <netinet/in.h>

#include "datapath/native/session_table.h"

#define WINDOW	     32u // pairs looked at for one eviction
#define WINDOWS	     8u	 // windows for one eviction, while nothing was found
#define VAIN_WINDOWS 64u // windows in vain in one millisecond
#define EVICT_MANY   16u // connections that one window frees at most

enum class {
	CLASS_EXPIRED,
	CLASS_UNANSWERED,
	CLASS_REFUSED,
	CLASS_CLOSING,
	CLASS_EXCHANGE,
	CLASS_IDLE,
	CLASS_KEEP
};

struct candidate {
	struct session *s; // the original
	uint32_t idle_ms;
	uint32_t timeout_ms;
	uint32_t unanswered; // of its port
	uint16_t port;
	uint8_t class;
};

// One question and one answer, and no connection that TCP would keep: most likely all that will ever be said (DNS). What it
// allowed is over, so a flood of such flows cannot keep others out of the table.
static bool is_exchange(const struct session *s)
{
	return s->key.proto != IPPROTO_TCP && s->packets <= 1 &&
	       weft_session_peer((struct session *)s)->packets <= 1;
}

// Silent for so long that it may well be over, though its time is not.
static bool is_idle(uint32_t idle_ms, uint32_t timeout_ms)
{
	return idle_ms >= timeout_ms / 4;
}

static void classify(const struct session_table *t, struct session *s, uint32_t now_ms,
		     struct candidate *c)
{
	uint8_t state = session_state_get(s);

	*c = (struct candidate) {.s = s, .class = CLASS_KEEP, .port = s->key.in_port};
	if (state == SESSION_FREE || state == SESSION_GONE)
		return;
	uint32_t timeout = weft_session_timeout_ms(t, s);
	c->timeout_ms = timeout;
	c->idle_ms = session_idle_ms(s, now_ms);
	// The reply's line is another one to fetch: only if it can change the answer.
	if (state == SESSION_CLOSING || is_idle(c->idle_ms, timeout))
		c->idle_ms = weft_session_idle_ms(s, now_ms);
	if (c->idle_ms >= timeout || session_lost_a_port(t, s))
		c->class = CLASS_EXPIRED;
	else if ((s->flags & SESSION_REFUSED) != 0)
		c->class = CLASS_REFUSED;
	else if (state == SESSION_CLOSING)
		c->class = CLASS_CLOSING;
	else if (state == SESSION_NEW && c->port < t->max_ports)
		c->class = CLASS_UNANSWERED;
	else if (state == SESSION_ESTABLISHED && is_exchange(s))
		c->class = CLASS_EXCHANGE;
	else if (state == SESSION_ESTABLISHED && is_idle(c->idle_ms, timeout))
		c->class = CLASS_IDLE;
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
	// By how much of its time has passed: hours of a TCP connection are less than minutes of datagrams.
	return (uint64_t)a->idle_ms * b->timeout_ms > (uint64_t)b->idle_ms * a->timeout_ms;
}

// The states in which a connection is still of its class.
static unsigned states_of(enum class class)
{
	if (class == CLASS_EXPIRED || class == CLASS_REFUSED)
		return STATES_ALL;
	if (class == CLASS_EXCHANGE || class == CLASS_IDLE)
		return 1u << SESSION_ESTABLISHED;
	return class == CLASS_CLOSING ? 1u << SESSION_CLOSING : 1u << SESSION_NEW;
}

// Does it go as early as the first: the same class, unanswered of the same port, silent for half as much of its time at least?
static bool goes_like(const struct candidate *c, const struct candidate *best)
{
	if (c->class != best->class)
		return false;
	if (c->class == CLASS_IDLE)
		return 2 * (uint64_t)c->idle_ms * best->timeout_ms >=
		       (uint64_t)best->idle_ms * c->timeout_ms;
	return c->class != CLASS_UNANSWERED || c->port == best->port;
}

// Cut those. The first goes itself, wherever it is in the window.
static uint32_t evict_like(struct session_worker *w, const struct candidate *c, uint32_t n,
			   const struct candidate *best)
{
	struct session *picked[CUT_MAX] = {best->s};
	uint32_t k = 1;

	for (uint32_t i = 0; i < n && k < EVICT_MANY; i++)
		if (c[i].s != best->s && goes_like(&c[i], best))
			picked[k++] = c[i].s;
	return weft_session_cut(w, picked, k, states_of(best->class));
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

// The next window's first pair. Steps of the golden ratio spread evenly; an odd step goes through all of a power of two.
static uint32_t next_window(uint32_t *cursor, uint32_t used)
{
	uint32_t n = (used + WINDOW - 1) / WINDOW;
	uint32_t bits = n > 1 ? 32 - (uint32_t)__builtin_clz(n - 1) : 0;
	uint32_t step = (uint32_t)(UINT64_C(0x9e3779b9) >> (32 - bits)) | 1;

	do {
		*cursor = (*cursor + step) & ((UINT32_C(1) << bits) - 1);
	} while (*cursor >= n);
	return *cursor * WINDOW;
}

// A window's lines: both of a pair, as most that go are looked at whole.
static void fetch(const struct session_family *f, uint32_t begin, uint32_t end)
{
	size_t line = (size_t)1 << f->line_shift;

	for (uint32_t i = begin; i < end; i++) {
		char *pair = (char *)family_pair(f, i);

		rte_prefetch0(pair);
		rte_prefetch0(pair + line);
	}
}

static bool evict_in_window(struct session_worker *w, struct session_family *f, uint32_t port,
			    uint32_t now_ms)
{
	uint32_t used = family_used(f), n = 0, *cursor = &w->cursor[f - w->t->family];
	uint32_t begin = next_window(cursor, used), after = *cursor;
	uint32_t end = RTE_MIN(begin + WINDOW, used);
	struct candidate c[WINDOW], *best = NULL;

	for (uint32_t i = begin; i < end; i++) {
		classify(w->t, family_pair(f, i), now_ms, &c[n]);
		if (c[n].class == CLASS_KEEP || (port != EVICT_ANY_PORT && c[n].port != port))
			continue;
		if (best == NULL || goes_first(&c[n], best))
			best = &c[n];
		n++;
	}
	// The next search is some connections away: it finds its window fetched.
	begin = next_window(&after, used);
	fetch(f, begin, RTE_MIN(begin + WINDOW, used));
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
	return best != NULL && weft_session_cut(w, &best->s, 1, states_of(best->class)) > 0;
}
