// SPDX-License-Identifier: Apache-2.0
// Who makes room.
//
// A full table looks at a window of neighbouring pairs, so that the cost is bounded. Successive
// windows lie far apart, since those that were made together stand together: a block of what
// stays must not be searched from end to end before anything new finds a place. Yet each has its
// turn. A window frees several connections of the lowest class in it, so most additions to a full
// table find what an earlier one freed.
//
// Established connections that are in use are looked for when nothing else was found. Whose may go
// is decided by what the ports have (may_go), so that whoever has most pays for whoever has little.
#include <netinet/in.h>

#include "datapath/native/session/session_table.h"

#define WINDOW	     32u // pairs looked at for one eviction
#define WINDOWS	     8u	 // windows for one eviction, while nothing was found
#define VAIN_WINDOWS 64u // windows in vain in one millisecond
#define EVICT_MANY   16u // connections that one window frees at most
#define EVICT_DEAR   4u	 // of them, established ones
#define GUEST_TRIES  4u	 // of the oldest guests
#define FLOOD_PARTS \
	64u // more unanswered connections than one of so many parts of the table are a flood

enum class {
	CLASS_EXPIRED,
	CLASS_UNANSWERED,
	CLASS_REFUSED,
	CLASS_CLOSING,
	CLASS_EXCHANGE,
	CLASS_IDLE,
	CLASS_IN_USE,
	CLASS_NONE // nothing is there
};

#define CLASS_CHEAP CLASS_IDLE // so far all are of less worth than a new connection

// For whom room is made.
struct claim {
	uint16_t port, project;
	enum session_limit limit;
	uint32_t all;	// connections that it has, with the new one
	uint32_t fair;	// that each port may have at least
	uint32_t flood; // unanswered ones that are a flood
};

struct candidate {
	struct session *s; // the original
	uint32_t idle_ms;
	uint32_t timeout_ms;
	uint32_t all, unanswered; // of its port
	uint16_t port;
	uint8_t class;
};

// One question and one answer, and no connection that TCP would keep: most likely all that will
// ever be said (DNS). What it allowed is over, so a flood of such flows cannot keep others out of
// the table.
static bool is_exchange(const struct session *s)
{
	const struct session *reply = weft_session_peer((struct session *)s);

	return s->key.proto != IPPROTO_TCP && __atomic_load_n(&s->packets, __ATOMIC_RELAXED) <= 1 &&
	       __atomic_load_n(&reply->packets, __ATOMIC_RELAXED) <= 1;
}

// Silent for so long that it may well be over, though its time is not.
static bool is_idle(uint32_t idle_ms, uint32_t timeout_ms)
{
	return idle_ms >= timeout_ms / 4;
}

static enum class class_of(const struct session_table *t, struct session *s, uint8_t state,
			   const struct candidate *c) {
	if (c->idle_ms >= c->timeout_ms || session_lost_a_port(t, s)) return CLASS_EXPIRED;
	if ((weft_session_flags(s) & SESSION_REFUSED) != 0) return CLASS_REFUSED;
	if (state == SESSION_CLOSING) return CLASS_CLOSING;
	if (state == SESSION_NEW) return CLASS_UNANSWERED;
	if (is_exchange(s)) return CLASS_EXCHANGE;
	return is_idle(c->idle_ms, c->timeout_ms) ? CLASS_IDLE : CLASS_IN_USE;
}

static void classify(const struct session_table *t, struct session *s, uint32_t now_ms,
		     struct candidate *c)
{
	uint8_t state = session_state_get(s);

	*c = (struct candidate) {.s = s, .class = CLASS_NONE, .port = session_payer(s)};
	if (state == SESSION_FREE || state == SESSION_GONE || c->port >= t->max_ports)
		return;
	c->timeout_ms = weft_session_timeout_ms(t, s);
	c->idle_ms = session_idle_ms(s, now_ms);
	// The reply's line is another one to fetch: only if it can change the answer.
	if (state == SESSION_CLOSING || is_idle(c->idle_ms, c->timeout_ms))
		c->idle_ms = weft_session_idle_ms(s, now_ms);
	c->class = class_of(t, s, state, c);
	if (c->class == CLASS_UNANSWERED || c->class == CLASS_IN_USE) {
		uint64_t count = __atomic_load_n(&t->ports[c->port], __ATOMIC_RELAXED);
		c->all = port_all(count);
		c->unanswered = port_unanswered(count);
	}
}

static struct claim claim_of(const struct session_table *t, uint16_t port, enum session_limit limit)
{
	uint32_t paying = __atomic_load_n(&t->paying, __ATOMIC_RELAXED);
	struct claim m = {.port = port,
			  .project = t->project_of[port],
			  .limit = limit,
			  .all = weft_session_port_count(t, port),
			  .flood = t->family[0].pairs / FLOOD_PARTS};

	// A project divides its share among those of its ports that want one.
	m.fair = limit == LIMIT_PROJECT ? m.all : t->family[0].pairs / RTE_MAX(paying, 1u);
	return m;
}

// May it go for this claim? What serves nobody any more may, whosoever it is. Answers that are
// still to come and connections in use are lost by who has more than its part and more than the
// claimant, or is the claimant.
static bool may_go(const struct session_table *t, const struct claim *m, const struct candidate *c)
{
	if (c->port == m->port)
		return true;
	if (m->limit == LIMIT_PORT ||
	    (m->limit == LIMIT_PROJECT && t->project_of[c->port] != m->project))
		return false;
	if (c->class == CLASS_UNANSWERED)
		return c->all > RTE_MAX(m->all, m->fair) || c->unanswered > m->flood;
	if (c->class == CLASS_IN_USE)
		return m->all <= m->fair && c->all > m->fair;
	return true;
}

// Should a go rather than b?
static bool goes_first(const struct candidate *a, const struct candidate *b)
{
	if (a->class != b->class)
		return a->class < b->class;
	if (a->class == CLASS_UNANSWERED && a->unanswered != b->unanswered)
		return a->unanswered > b->unanswered;
	if (a->class == CLASS_IN_USE && a->all != b->all)
		return a->all > b->all;
	// By how much of its time has passed: hours of a TCP connection are less than minutes of
	// datagrams.
	return (uint64_t)a->idle_ms * b->timeout_ms > (uint64_t)b->idle_ms * a->timeout_ms;
}

// The states in which a connection is still of its class.
static unsigned states_of(enum class class)
{
	if (class == CLASS_EXPIRED || class == CLASS_REFUSED)
		return STATES_ALL;
	if (class == CLASS_EXCHANGE || class == CLASS_IDLE || class == CLASS_IN_USE)
		return 1u << SESSION_ESTABLISHED;
	return class == CLASS_CLOSING ? 1u << SESSION_CLOSING : 1u << SESSION_NEW;
}

// Does it go as early as the first: the same class, unanswered or in use of the same port, silent
// for half as much of its time at least?
static bool goes_like(const struct candidate *c, const struct candidate *best)
{
	if (c->class != best->class)
		return false;
	if ((c->class == CLASS_UNANSWERED || c->class == CLASS_IN_USE) && c->port != best->port)
		return false;
	if (c->class == CLASS_IDLE || c->class == CLASS_IN_USE)
		return 2 * (uint64_t)c->idle_ms * best->timeout_ms >=
		       (uint64_t)best->idle_ms * c->timeout_ms;
	return true;
}

// Cut those. The first goes itself, wherever it is in the window.
static uint32_t evict_like(struct session_worker *w, const struct candidate *c, uint32_t n,
			   const struct candidate *best, uint32_t most)
{
	struct session *picked[CUT_MAX] = {best->s};
	uint32_t k = 1;

	for (uint32_t i = 0; i < n && k < most; i++)
		if (c[i].s != best->s && goes_like(&c[i], best))
			picked[k++] = c[i].s;
	return weft_session_cut(w, picked, k, states_of(best->class));
}

// A table without anything to find would be searched for every new flow: so much in vain is enough
// for a millisecond.
static bool is_vain(struct vain *v, uint32_t whose, uint32_t now_ms)
{
	if (v->whose != whose || v->ms != now_ms)
		*v = (struct vain) {.ms = now_ms, .whose = whose};
	return v->windows >= VAIN_WINDOWS;
}

// The next window's first pair. Steps of the golden ratio spread evenly; an odd step goes through
// all of a power of two.
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

// Those of the next window that may go, up to a class.
static bool evict_in_window(struct session_worker *w, struct session_family *f,
			    const struct claim *m, enum class most, uint32_t now_ms)
{
	uint32_t used = family_used(f), n = 0, *cursor = &w->cursor[f - w->t->family];
	uint32_t begin = next_window(cursor, used), after = *cursor;
	uint32_t end = RTE_MIN(begin + WINDOW, used);
	struct candidate c[WINDOW], *best = NULL;

	for (uint32_t i = begin; i < end; i++) {
		classify(w->t, family_pair(f, i), now_ms, &c[n]);
		if (c[n].class > most || !may_go(w->t, m, &c[n]))
			continue;
		if (c[n].class == CLASS_IN_USE) // of its two ends, who spoke last
			c[n].idle_ms = weft_session_idle_ms(c[n].s, now_ms);
		if (best == NULL || goes_first(&c[n], best))
			best = &c[n];
		n++;
	}
	// The next search is some connections away: it finds its window fetched.
	begin = next_window(&after, used);
	fetch(f, begin, RTE_MIN(begin + WINDOW, used));
	if (best == NULL)
		return false;
	if (best->class != CLASS_IN_USE)
		return evict_like(w, c, n, best, EVICT_MANY) > 0;
	// A full table has a grace period to wait for: some ahead.
	n = evict_like(w, c, n, best, m->limit == LIMIT_TABLE ? EVICT_DEAR : 1);
	w->guests.expected += n;
	return n > 0;
}

// In some windows, unless so many were searched in vain.
static bool search(struct session_worker *w, struct session_family *f, const struct claim *m,
		   enum class most, struct vain *v, uint32_t now_ms)
{
	uint32_t used = family_used(f);
	uint32_t whose = m->limit == LIMIT_TABLE && most == CLASS_CHEAP
				 ? UINT32_MAX // the same for all
				 : (uint32_t)m->limit << 16 | m->port;

	for (uint32_t i = 0; i < WINDOWS && i * WINDOW < used; i++) {
		if (is_vain(v, whose, now_ms))
			return false;
		if (evict_in_window(w, f, m, most, now_ms)) {
			v->windows = 0;
			return true;
		}
		v->windows++;
	}
	return false;
}

static struct session *guest_of(const struct session_table *t, uint32_t guest)
{
	return family_pair(&t->family[guest & 1], guest >> 1);
}

// Enough unanswered connections have taken established ones' places: the oldest of this port's
// goes. False: none of the next few is.
static bool evict_guest(struct session_worker *w, const struct session_family *f,
			const struct claim *m)
{
	typeof(w->guests) *g = &w->guests;

	if (g->n < GUESTS)
		return false;
	for (uint32_t i = 0; i < GUEST_TRIES; i++) {
		uint32_t guest = g->pair[g->first++ % GUESTS];
		struct session *s = guest_of(w->t, guest);

		g->n--;
		if (session_state_get(s) != SESSION_NEW)
			continue; // it was answered, or is gone
		if (session_payer(s) == m->port && f == &w->t->family[guest & 1] &&
		    weft_session_cut(w, &s, 1, 1u << SESSION_NEW) > 0) {
			g->expected++;
			return true;
		}
		g->pair[(g->first + g->n++) % GUESTS] = guest;
	}
	return false;
}

void weft_session_added(struct session_worker *w, const struct session_family *f, uint32_t pair)
{
	typeof(w->guests) *g = &w->guests;

	g->expected--;
	if (g->n == GUESTS) { // all of them other ports'
		g->first++;
		g->n--;
	}
	g->pair[(g->first + g->n++) % GUESTS] = pair << 1 | (uint32_t)(f - w->t->family);
}

bool weft_session_evict(struct session_worker *w, struct session_family *f, uint16_t port,
			enum session_limit limit, uint32_t now_ms)
{
	struct claim m = claim_of(w->t, port, limit);

	return search(w, f, &m, CLASS_CHEAP, &w->cheap, now_ms) || evict_guest(w, f, &m) ||
	       search(w, f, &m, CLASS_IN_USE, &w->dear, now_ms);
}

bool weft_session_evict_bucket(struct session_worker *w, struct session_family *f, uint32_t hash,
			       uint16_t port, uint32_t now_ms)
{
	const struct session_bucket *bucket[2] = {bucket_first(f, hash), bucket_second(f, hash)};
	struct claim m = claim_of(w->t, port, LIMIT_TABLE);
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
		if (c[i].class != CLASS_NONE && may_go(w->t, &m, &c[i]) &&
		    (best == NULL || goes_first(&c[i], best)))
			best = &c[i];
	}
	return best != NULL && weft_session_cut(w, &best->s, 1, states_of(best->class)) > 0;
}
