// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/session/session.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "datapath/native/io/huge.h"
#include "datapath/native/session/session_table.h"

#define HUGE_LOG2	21
#define HUGE_PAGE	(1u << HUGE_LOG2)
#define CONNECTIONS_MIN 16
#define CONNECTIONS_MAX (1u << 28)
#define TIMEOUT_MAX_MS	(INT32_MAX - 60000) // signed differences of a 32-bit clock
// For how long it is known that a port was flushed: many turns of the clock hand.
#define FLUSH_MEMORY_MS 600000
#define WORDS_PER_PAIR	4 // two are used: at most half of the index is full

// Address space; the kernel gives memory as it is touched. Huge pages of the pool are the
// exception: they are taken at once, and if there are not enough, transparent ones do.
static void *reserve(size_t *len, bool huge)
{
	char *p;

	*len = RTE_ALIGN_CEIL(*len, (size_t)HUGE_PAGE);
	p = huge ? weft_huge_map(*len, HUGE_LOG2) : NULL;
	if (p != NULL)
		return p;
	p = mmap(NULL, *len + HUGE_PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;

	// Transparent huge pages need their alignment; give back what is around it.
	char *start = RTE_PTR_ALIGN_CEIL(p, HUGE_PAGE);
	if (start > p)
		munmap(p, (size_t)(start - p));
	if (p + HUGE_PAGE > start)
		munmap(start + *len, (size_t)(p + HUGE_PAGE - start));
	madvise(start, *len, MADV_HUGEPAGE); // an advice: without it all works, slower
	return start;
}

static int family_init(struct session_family *f, uint32_t pairs, uint32_t line_shift, bool huge)
{
	uint32_t buckets = pairs * WORDS_PER_PAIR / BUCKET_WORDS;

	f->pairs = pairs;
	f->line_shift = line_shift;
	f->bucket_mask = buckets - 1;
	f->buckets_len = (size_t)buckets * sizeof(struct session_bucket);
	f->lines_len = (size_t)pairs << (line_shift + 1);
	f->buckets = reserve(&f->buckets_len, huge);
	if (f->buckets == NULL)
		return -ENOMEM;
	f->lines = reserve(&f->lines_len, huge);
	return f->lines == NULL ? -ENOMEM : 0;
}

size_t weft_session_memory_for(uint32_t connections)
{
	size_t pairs = rte_align64pow2(RTE_MAX(connections, (uint32_t)CONNECTIONS_MIN));
	size_t index = WORDS_PER_PAIR * sizeof(struct session_bucket) / BUCKET_WORDS;

	return pairs * (2 * index + (1 << 7) + (1 << 8));
}

static void set_timeouts(struct session_table *t, const struct datapath_timeouts *o)
{
	const uint32_t seconds[TIMEOUT_CLASSES][3] = {
		[TIMEOUT_TCP] = {o->tcp_opening, o->tcp_established, o->tcp_closing},
		[TIMEOUT_UDP] = {o->udp_unanswered, o->udp_answered, o->udp_answered},
		[TIMEOUT_ICMP] = {o->icmp, o->icmp, o->icmp},
		[TIMEOUT_OTHER] = {o->other, o->other, o->other},
	};

	for (int c = 0; c < TIMEOUT_CLASSES; c++)
		for (int s = 0; s < 3; s++)
			t->timeout_ms[c][SESSION_NEW + s] = (uint32_t)RTE_MIN(
				seconds[c][s] * UINT64_C(1000), (uint64_t)TIMEOUT_MAX_MS);
}

// All of it: the table is the limit, of both families together.
static uint32_t share_of(uint32_t pairs, uint32_t percent)
{
	if (percent == 0 || percent >= 100)
		return UINT32_MAX;
	return (uint32_t)RTE_MAX((uint64_t)pairs * percent / 100, UINT64_C(1));
}

int weft_sessions_new(const struct session_config *config, struct session_table **out,
		      struct err *err)
{
	if (config->connections > CONNECTIONS_MAX)
		return weft_fail(err, -EINVAL, "sessions: %" PRIu32 " are more than %u",
				 config->connections, CONNECTIONS_MAX);

	uint32_t pairs = rte_align32pow2(RTE_MAX(config->connections, (uint32_t)CONNECTIONS_MIN));
	struct session_table *t = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*t));
	if (t == NULL)
		return weft_fail(err, -ENOMEM, "sessions: no memory");
	memset(t, 0, sizeof(*t));
	t->max_ports = config->max_ports;
	t->port_share = share_of(pairs, config->port_share_percent);
	t->project_share = share_of(pairs, config->project_share_percent);
	t->tcp_loose = config->tcp_loose;
	t->qsbr = config->qsbr;
	set_timeouts(t, &config->timeouts);

	t->ports = calloc(RTE_MAX(t->max_ports, 1u), sizeof(*t->ports));
	t->ended = calloc(RTE_MAX(t->max_ports, 1u), sizeof(*t->ended));
	t->flushed_ms = calloc(RTE_MAX(t->max_ports, 1u), sizeof(*t->flushed_ms));
	t->outside = calloc(RTE_MAX(t->max_ports, 1u), sizeof(*t->outside));
	t->project_of = calloc(RTE_MAX(t->max_ports, 1u), sizeof(*t->project_of));
	t->projects = calloc(t->max_ports + 1u, sizeof(*t->projects));
	if (t->ports == NULL || t->ended == NULL || t->flushed_ms == NULL || t->outside == NULL ||
	    t->project_of == NULL || t->projects == NULL ||
	    family_init(&t->family[0], pairs, 6, config->huge) < 0 ||
	    family_init(&t->family[1], pairs, 7, config->huge) < 0) {
		weft_sessions_free(t);
		return weft_fail(err, -ENOMEM, "sessions: no memory for %" PRIu32 " connections",
				 pairs);
	}
	*out = t;
	return 0;
}

void weft_sessions_free(struct session_table *t)
{
	if (t == NULL)
		return;
	for (int i = 0; i < FAMILIES; i++) {
		struct session_family *f = &t->family[i];
		if (f->buckets != NULL)
			munmap(f->buckets, f->buckets_len);
		if (f->lines != NULL)
			munmap(f->lines, f->lines_len);
	}
	free(t->ports);
	free(t->ended);
	free(t->flushed_ms);
	free(t->outside);
	free(t->project_of);
	free(t->projects);
	free(t);
}

struct session_worker *weft_session_worker_new(struct session_table *t)
{
	uint16_t place = 0;

	while (place < SESSION_WORKERS && t->workers[place] != NULL)
		place++;
	if (place == SESSION_WORKERS)
		return NULL;

	struct session_worker *w = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*w));
	if (w == NULL)
		return NULL;
	memset(w, 0, sizeof(*w));
	w->t = t;
	w->place = place;
	// Else all of them search the same windows at the same time, and each finds what another
	// one cuts.
	for (int i = 0; i < FAMILIES; i++)
		w->cursor[i] = place * UINT32_C(0x51ed270b);
	__atomic_store_n(&t->workers[place], w, __ATOMIC_RELEASE);
	__atomic_fetch_add(&t->n_workers, 1, __ATOMIC_RELAXED);
	return w;
}

void weft_session_worker_free(struct session_worker *w)
{
	if (w == NULL)
		return;
	struct session_table *t = w->t;
	weft_session_pairs_fini(w);
	t->count_gone += w->count;
	__atomic_store_n(&t->workers[w->place], NULL, __ATOMIC_RELEASE);
	__atomic_fetch_sub(&t->n_workers, 1, __ATOMIC_RELAXED);
	free(w);
}

struct session *weft_session_get(const struct session_table *t, const struct flow_key *key,
				 uint32_t hash)
{
	const struct session_family *f = family_of(t, key->family);
	uint32_t tag = word_tag(hash);
	struct session *s = bucket_find(f, bucket_first(f, hash), key, tag);

	return s != NULL ? s : bucket_find(f, bucket_second(f, hash), key, tag);
}

void weft_session_prefetch(const struct session_table *t, const struct flow_key *key)
{
	const struct session_family *f = family_of(t, key->family);
	uint32_t hash = weft_flow_hash(key);

	rte_prefetch0(bucket_first(f, hash));
	rte_prefetch0(bucket_second(f, hash));
}

// The line of the first word that has the tag, prefetched; nearly always the right one. NULL: none.
static inline struct session *bucket_guess(const struct session_family *f,
					   const struct session_bucket *b, uint32_t tag)
{
	uint32_t hits = bucket_match(b, tag);

	if (hits == 0)
		return NULL;
	uint64_t word = __atomic_load_n(&b->word[__builtin_ctz(hits)], __ATOMIC_ACQUIRE);
	if (unlikely(word == 0)) // withdrawn meanwhile
		return NULL;
	struct session *s = family_line(f, (uint32_t)word);
	rte_prefetch0(s);
	if (f->line_shift == 7)
		rte_prefetch0(((struct session6 *)s)->src6);
	return s;
}

void weft_session_get_bulk(const struct session_table *t, const struct flow_key *keys,
			   const uint32_t *hashes, uint16_t n, uint64_t skip, struct session **out)
{
	uint64_t second = 0;

	for (uint16_t i = 0; i < n; i++)
		rte_prefetch0(bucket_first(family_of(t, keys[i].family), hashes[i]));

	for (uint16_t i = 0; i < n; i++) {
		const struct session_family *f = family_of(t, keys[i].family);
		out[i] = NULL;
		if (unlikely(skip >> i & 1))
			continue;
		out[i] = bucket_guess(f, bucket_first(f, hashes[i]), word_tag(hashes[i]));
		if (out[i] == NULL) {
			second |= UINT64_C(1) << i;
			rte_prefetch0(bucket_second(f, hashes[i]));
		}
	}

	for (; second != 0; second &= second - 1) {
		int i = __builtin_ctzll(second);
		const struct session_family *f = family_of(t, keys[i].family);
		out[i] = bucket_guess(f, bucket_second(f, hashes[i]), word_tag(hashes[i]));
	}

	for (uint16_t i = 0; i < n; i++) {
		if (out[i] == NULL)
			continue;
		if (unlikely(!session_has_key(out[i], &keys[i])))
			out[i] = weft_session_get(t, &keys[i], hashes[i]);
		else if (weft_session_flags(out[i]) & SESSION_NAT) // it leaves as the peer's key
			rte_prefetch0(weft_session_peer(out[i]));
	}
}

// Every change of state goes through here, so a change is seen once and the counts stay right.
bool weft_session_state_change(struct session_table *t, struct session *original, uint8_t from,
			       uint8_t to)
{
	if (!state_swap(t, &original->state, from, to))
		return false;
	__atomic_store_n(&weft_session_peer(original)->state, to, __ATOMIC_RELAXED);
	int unanswered = (to == SESSION_NEW) - (from == SESSION_NEW);
	if (unanswered != 0)
		port_charge(t, session_payer(original), 0, unanswered);
	return true;
}

uint32_t weft_session_timeout_ms(const struct session_table *t, const struct session *original)
{
	uint8_t state = session_state_get(original);
	enum timeout_class c = TIMEOUT_OTHER;

	if (original->key.proto == IPPROTO_TCP)
		c = TIMEOUT_TCP;
	else if (original->key.proto == IPPROTO_UDP)
		c = TIMEOUT_UDP;
	else if (original->key.proto == IPPROTO_ICMP || original->key.proto == IPPROTO_ICMPV6)
		c = TIMEOUT_ICMP;
	return t->timeout_ms[c][state <= SESSION_CLOSING ? state : SESSION_FREE];
}

uint32_t weft_session_idle_ms(const struct session *original, uint32_t now_ms)
{
	const struct session *reply = weft_session_peer((struct session *)original);

	return RTE_MIN(session_idle_ms(original, now_ms), session_idle_ms(reply, now_ms));
}

static void set_end(struct session_table *t, uint16_t port, enum port_end end)
{
	t->n_flushed -= t->ended[port] == PORT_FLUSHED;
	t->n_flushed += end == PORT_FLUSHED;
	__atomic_store_n(&t->ended[port], end, __ATOMIC_RELEASE);
}

void weft_session_port_gone(struct session_table *t, uint16_t port, bool gone)
{
	if (port < t->max_ports)
		set_end(t, port, gone ? PORT_GONE : PORT_GOOD);
}

void weft_session_port_flush(struct session_table *t, uint16_t port, uint32_t at_ms)
{
	if (port >= t->max_ports || port_end(t, port) == PORT_GONE)
		return;
	__atomic_store_n(&t->flushed_ms[port], at_ms, __ATOMIC_RELAXED);
	set_end(t, port, PORT_FLUSHED);
}

bool weft_session_is_over(const struct session_table *t, const struct session *original)
{
	return session_is_over(t, original, true);
}

void weft_session_flush_forget(struct session_table *t, uint32_t now_ms)
{
	for (uint32_t i = 0; t->n_flushed > 0 && i < t->max_ports; i++)
		if (t->ended[i] == PORT_FLUSHED &&
		    (int32_t)(now_ms - t->flushed_ms[i]) > FLUSH_MEMORY_MS)
			set_end(t, (uint16_t)i, PORT_GOOD);
}

void weft_session_port_outside(struct session_table *t, uint16_t port, bool outside)
{
	if (port < t->max_ports)
		__atomic_store_n(&t->outside[port], outside, __ATOMIC_RELAXED);
}

void weft_session_port_project(struct session_table *t, uint16_t port, uint16_t project)
{
	uint32_t has = weft_session_port_count(t, port);

	if (port >= t->max_ports || project > t->max_ports)
		return;
	// Its last port's connections are forgotten by now, as a rule.
	if (t->project_of[port] != 0)
		__atomic_fetch_sub(&t->projects[t->project_of[port]], has, __ATOMIC_RELAXED);
	if (project != 0)
		__atomic_fetch_add(&t->projects[project], has, __ATOMIC_RELAXED);
	__atomic_store_n(&t->project_of[port], project, __ATOMIC_RELAXED);
}

uint32_t weft_session_count(const struct session_table *t)
{
	int64_t count = t->count_gone;

	for (int i = 0; i < SESSION_WORKERS; i++) {
		struct session_worker *w = __atomic_load_n(&t->workers[i], __ATOMIC_ACQUIRE);
		if (w != NULL)
			count += __atomic_load_n(&w->count, __ATOMIC_RELAXED);
	}
	return count < 0 ? 0 : (uint32_t)count;
}

uint32_t weft_session_capacity(const struct session_table *t)
{
	return t->family[0].pairs;
}

uint32_t weft_session_port_count(const struct session_table *t, uint16_t port)
{
	if (port >= t->max_ports)
		return 0;
	return port_all(__atomic_load_n(&t->ports[port], __ATOMIC_RELAXED));
}

uint32_t weft_session_project_count(const struct session_table *t, uint16_t port)
{
	uint16_t project = port < t->max_ports ? t->project_of[port] : 0;

	return project == 0 ? 0 : __atomic_load_n(&t->projects[project], __ATOMIC_RELAXED);
}

uint32_t weft_session_port_unanswered(const struct session_table *t, uint16_t port)
{
	if (port >= t->max_ports)
		return 0;
	return port_unanswered(__atomic_load_n(&t->ports[port], __ATOMIC_RELAXED));
}

size_t weft_session_memory_of(const struct session_table *t, uint8_t family)
{
	const struct session_family *f = family_of(t, family);

	return f->buckets_len + f->lines_len;
}

size_t weft_session_memory(const struct session_table *t)
{
	return sizeof(*t) + t->max_ports * (sizeof(*t->ports) + sizeof(*t->projects)) +
	       weft_session_memory_of(t, 4) + weft_session_memory_of(t, 6);
}

void weft_session_key(const struct session *s, struct flow_key *out)
{
	const struct session6 *s6 = (const struct session6 *)s;

	memset(out, 0, sizeof(*out));
	memcpy(out, &s->key, s->key.family == 6 ? 8 : FLOW_KEY4_LEN);
	if (s->key.family == 6)
		memcpy(out->src6, s6->src6, 32);
}

// False: it was removed, and perhaps reused, meanwhile; so what was copied may be half of one and
// half of another.
static bool copy_pair(struct session *s, struct session_copy *c)
{
	uint8_t state = session_state_get(s);

	if (state == SESSION_FREE || state == SESSION_GONE)
		return false;
	weft_session_key(s, &c->key);
	c->original = *s;
	c->reply = *weft_session_peer(s);
	if (c->reply.packets == 0)
		c->reply.bytes_low = 0;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	state = session_state_get(s);
	c->original.state = state;
	c->reply.state = state;
	return state != SESSION_FREE && state != SESSION_GONE && session_has_key(s, &c->key);
}

void weft_session_each(struct session_table *t, uint32_t now_ms,
		       bool (*visit)(const struct session_copy *s, void *arg), void *arg)
{
	for (int i = 0; i < FAMILIES; i++) {
		const struct session_family *f = &t->family[i];
		for (uint32_t pair = 0; pair < family_used(f); pair++) {
			struct session *s = family_pair(f, pair);
			struct session_copy c;
			if (!copy_pair(s, &c) || session_lost_a_port(t, s))
				continue;
			uint32_t timeout = weft_session_timeout_ms(t, &c.original);
			c.idle_ms = RTE_MIN(session_idle_ms(&c.original, now_ms),
					    session_idle_ms(&c.reply, now_ms));
			c.expires_ms = timeout > c.idle_ms ? timeout - c.idle_ms : 0;
			if (!visit(&c, arg))
				return;
		}
	}
}
