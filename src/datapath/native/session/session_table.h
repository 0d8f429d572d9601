// SPDX-License-Identifier: Apache-2.0
// The session table's inside: what session*.c share. Nobody else includes this.
//
// A family (IPv4, IPv6) has an array of pairs and an index over their lines, both reserved at
// start and touched only as used. A pair is in one of four places:
//
//   fresh     never used: at or above the family's `fresh` mark
//   free      in a worker's stack, or spilled by one worker for any other
//   in use    state NEW, ESTABLISHED or CLOSING; two words of the index lead to it
//   limbo     removed, unreachable for new look-ups, but a worker may still hold it
//
// What makes this safe without locks:
//   - Words are published by compare-and-swap into an empty place and withdrawn by storing zero.
//     Only whoever won the change of the pair's state to FREE withdraws its words and puts it
//     into limbo, so that happens once.
//   - The state stays FREE until both words are published: nobody can remove what is half there.
//   - Two workers that add one key at once both publish, then race to bump the key's stripe. The
//     loser withdraws, looks again and finds the winner's. Pairs publish the lower key first, so
//     that also two workers that add the two directions of one connection meet at the same key.
//   - A table with one worker has one writer, which does all this with plain stores: locked
//     instructions cost half as much as all the rest. So workers are made before any of them
//     runs.
//   - A pair leaves limbo only after every reader has passed a quiescent point (rte_rcu_qsbr).
#pragma once

// ThreadSanitizer does not see that a vector's words are read each at once.
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
#define BUCKET_BY_VECTOR
#include <emmintrin.h>
#endif
#include <rte_branch_prediction.h>
#include <rte_common.h>
#include <rte_prefetch.h>

#include "datapath/native/session/session.h"

#define BUCKET_WORDS	   8
#define SESSION_STRIPES	   1024
#define SESSION_WORKERS	   128
#define PAIR_NONE	   UINT32_MAX
#define PAIRS_PER_SPILL	   15
#define WORKER_FREE_PAIRS  64
#define WORKER_LIMBO_PAIRS 4096
#define LIMBO_SEGMENTS	   8
#define FAMILIES	   2
#define GUESTS		   256u

// A word: the hash's upper half (63..48), in use (47), zero (46..32), the line's number (31..0).
#define WORD_USED (UINT64_C(1) << 47)

struct session_bucket {
	uint64_t word[BUCKET_WORDS];
} __rte_cache_aligned;

struct session_family {
	struct session_bucket *buckets;
	char *lines;
	uint32_t bucket_mask;
	uint32_t pairs;	     // capacity
	uint32_t line_shift; // log2 of a line's size
	size_t buckets_len, lines_len;

	uint32_t fresh __rte_cache_aligned; // pairs below were handed out at least once
	uint32_t hand;			    // where the clock hand is, modulo fresh
	uint64_t spilled;		    // stack of struct spill: generation << 32 | pair + 1
};

// Free pairs that no worker wants to keep; it lies in the reply line of the first of them.
struct spill {
	uint32_t next; // pair + 1 of the next spill
	uint32_t n;    // how many pairs besides the one that it lies in
	uint32_t pair[PAIRS_PER_SPILL - 1];
};

_Static_assert(sizeof(struct spill) <= sizeof(struct session), "fits a line");

enum timeout_class { TIMEOUT_TCP, TIMEOUT_UDP, TIMEOUT_ICMP, TIMEOUT_OTHER, TIMEOUT_CLASSES };

// Whose connections are over, whatever their timeout.
enum port_end {
	PORT_GOOD,
	PORT_GONE,    // all of the port's
	PORT_FLUSHED, // those that have had no packet since
};

struct session_table {
	struct session_family family[FAMILIES]; // IPv4, IPv6
	uint64_t *ports;      // unanswered << 32 | all, by who pays (session_payer)
	bool *outside;	      // by port
	uint8_t *ended;	      // enum port_end, by port
	uint32_t *flushed_ms; // by port, if it is PORT_FLUSHED
	uint32_t n_flushed;   // of those; control's
	uint16_t *project_of; // by port; 0 = of none
	uint32_t *projects;   // connections, by project
	uint32_t max_ports;
	uint32_t port_share, project_share; // connections that one may have; UINT32_MAX: no limit
	uint32_t paying;		    // ports that have any
	bool tcp_loose;
	uint32_t timeout_ms[TIMEOUT_CLASSES][SESSION_CLOSING + 1];
	struct rte_rcu_qsbr *qsbr;
	struct session_worker *workers[SESSION_WORKERS]; // NULL: unused place
	uint32_t n_workers;
	int64_t count_gone; // what workers that are gone have added minus removed
	uint32_t stripe[SESSION_STRIPES] __rte_cache_aligned;
};

struct session_worker {
	struct session_table *t;
	uint16_t place;		   // in t->workers
	int64_t count;		   // added minus removed; only this worker writes it
	uint32_t hand_ms;	   // until when `debt` is counted
	bool hand_started;	   // hand_ms is set
	uint32_t debt[FAMILIES];   // pairs the clock hand should have looked at
	uint32_t cursor[FAMILIES]; // the window that it searched last for a pair to evict
	struct vain {
		uint32_t windows; // searched in vain since something was found,
		uint32_t ms;	  // in this millisecond,
		uint32_t whose;	  // for them
	} cheap, dear; // what is of less worth than an established connection; one of those
	// Unanswered connections that an established one made room for, the oldest first: pair << 1
	// | family.
	struct {
		uint32_t first, n;
		uint32_t pair[GUESTS];
		uint32_t expected; // so many of the next connections that are added are some
	} guests;
	struct {
		uint32_t n;
		uint32_t pair[WORKER_FREE_PAIRS];
	} free[FAMILIES];
	// A ring of removed pairs, in segments that each wait for a token; [closed, end) is not
	// yet covered by one.
	struct {
		uint32_t begin, closed, end;
		uint32_t first, last; // segments, modulo their number
		struct {
			uint64_t token;
			uint32_t end;
		} segment[LIMBO_SEGMENTS];
		uint32_t pair[WORKER_LIMBO_PAIRS]; // << 1 | family
	} limbo;
} __rte_cache_aligned;

static inline struct session_family *family_of(const struct session_table *t, uint8_t family)
{
	return (struct session_family *)&t->family[family == 6];
}

static inline struct session *family_line(const struct session_family *f, uint32_t line)
{
	return (struct session *)(f->lines + ((size_t)line << f->line_shift));
}

static inline struct session *family_pair(const struct session_family *f, uint32_t pair)
{
	return family_line(f, pair << 1);
}

static inline uint32_t line_of(const struct session_family *f, const struct session *s)
{
	return (uint32_t)((size_t)((const char *)s - f->lines) >> f->line_shift);
}

// How many pairs were ever in use; what walks the table stops there, so it touches no fresh memory.
static inline uint32_t family_used(const struct session_family *f)
{
	return RTE_MIN(__atomic_load_n(&f->fresh, __ATOMIC_ACQUIRE), f->pairs);
}

static inline struct session_bucket *bucket_first(const struct session_family *f, uint32_t hash)
{
	return &f->buckets[hash & f->bucket_mask];
}

// Always another one than the first: the difference is odd.
static inline struct session_bucket *bucket_second(const struct session_family *f, uint32_t hash)
{
	uint32_t away = (2 * (hash >> 16) + 1) * UINT32_C(0x5bd1e995);

	return &f->buckets[(hash ^ away) & f->bucket_mask];
}

static inline uint64_t word_make(uint32_t hash, uint32_t line)
{
	return (uint64_t)(hash >> 16) << 48 | WORD_USED | line;
}

// The upper half of the words that may be this hash's.
static inline uint32_t word_tag(uint32_t hash)
{
	return (hash & 0xffff0000) | (uint32_t)(WORD_USED >> 32);
}

// Bit i is set if the upper half of word i is `tag`; 0 finds the empty ones. Each word is read at
// once, but not all together: whoever uses a word reads it again.
static inline uint32_t bucket_match(const struct session_bucket *b, uint32_t tag)
{
#ifdef BUCKET_BY_VECTOR
	const __m128 *w = (const __m128 *)b->word;
	__m128i want = _mm_set1_epi32((int)tag);
	__m128i low = _mm_castps_si128(_mm_shuffle_ps(w[0], w[1], 0xdd)); // the upper halves
	__m128i high = _mm_castps_si128(_mm_shuffle_ps(w[2], w[3], 0xdd));
	__m128i hit = _mm_packs_epi32(_mm_cmpeq_epi32(low, want), _mm_cmpeq_epi32(high, want));

	return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(hit, _mm_setzero_si128()));
#else
	uint32_t hit = 0;

	for (int i = 0; i < BUCKET_WORDS; i++) {
		uint64_t word = __atomic_load_n(&b->word[i], __ATOMIC_RELAXED);
		hit |= (uint32_t)((uint32_t)(word >> 32) == tag) << i;
	}
	return hit;
#endif
}

static inline bool session_has_key(const struct session *s, const struct flow_key *key)
{
	const struct session6 *s6 = (const struct session6 *)s;
	uint64_t a[2], b[2];

	if (likely(key->family != 6)) {
		memcpy(a, &s->key, sizeof(a));
		memcpy(b, key, sizeof(b));
		return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0;
	}
	return memcmp(&s->key, key, 8) == 0 && memcmp(s6->src6, key->src6, 32) == 0;
}

static inline uint8_t session_state_get(const struct session *original)
{
	return __atomic_load_n(&original->state, __ATOMIC_ACQUIRE);
}

static inline uint32_t session_idle_ms(const struct session *s, uint32_t now_ms)
{
	uint32_t idle = now_ms - __atomic_load_n(&s->seen_ms, __ATOMIC_RELAXED);

	return (int32_t)idle < 0 ? 0 : idle; // another worker's clock may be ahead
}

static inline uint32_t port_all(uint64_t count)
{
	return (uint32_t)count;
}

static inline uint32_t port_unanswered(uint64_t count)
{
	return (uint32_t)(count >> 32);
}

static inline enum port_end port_end(const struct session_table *t, uint16_t port)
{
	return port < t->max_ports ? __atomic_load_n(&t->ended[port], __ATOMIC_ACQUIRE) : PORT_GOOD;
}

static inline bool was_flushed(const struct session_table *t, uint16_t port,
			       const struct session *a, const struct session *b)
{
	uint32_t at = __atomic_load_n(&t->flushed_ms[port], __ATOMIC_RELAXED);

	return (int32_t)(at - __atomic_load_n(&a->seen_ms, __ATOMIC_RELAXED)) >= 0 &&
	       (int32_t)(at - __atomic_load_n(&b->seen_ms, __ATOMIC_RELAXED)) >= 0;
}

// The connection is over because of one of its ports, whatever its timeout. What the rules refuse
// is over by a flush for who judges it, but keeps its place, and so its mark.
static inline bool session_is_over(const struct session_table *t, const struct session *s,
				   bool judged)
{
	const struct session *peer = (const struct session *)weft_session_peer((struct session *)s);
	const uint16_t ports[] = {s->key.in_port, weft_session_out_port(s)};

	for (int i = 0; i < 2; i++) {
		enum port_end end = port_end(t, ports[i]);

		if (likely(end == PORT_GOOD))
			continue;
		if (end == PORT_GONE)
			return true;
		if ((judged || !(weft_session_flags(s) & SESSION_REFUSED)) &&
		    was_flushed(t, ports[i], s, peer))
			return true;
	}
	return false;
}

static inline bool session_lost_a_port(const struct session_table *t, const struct session *s)
{
	return session_is_over(t, s, false);
}

static inline bool has_one_writer(const struct session_table *t)
{
	return __atomic_load_n(&t->n_workers, __ATOMIC_RELAXED) <= 1;
}

// The port that a connection counts for.
static inline uint16_t session_payer(const struct session *original)
{
	return weft_session_flags(original) & SESSION_FROM_OUTSIDE ? weft_session_out_port(original)
								   : original->key.in_port;
}

// Change a count; returns what it was.
static inline uint32_t count_add(const struct session_table *t, uint32_t *count, int by)
{
	uint32_t before;

	if (!has_one_writer(t))
		return __atomic_fetch_add(count, (uint32_t)by, __ATOMIC_RELAXED);
	before = *count;
	__atomic_store_n(count, before + (uint32_t)by, __ATOMIC_RELAXED);
	return before;
}

// Change a port's counts; returns what they were.
static inline uint64_t port_charge(struct session_table *t, uint16_t port, int all, int unanswered)
{
	uint64_t by = ((uint64_t)(int64_t)unanswered << 32) + (uint64_t)(int64_t)all, before;

	if (!has_one_writer(t)) {
		before = __atomic_fetch_add(&t->ports[port], by, __ATOMIC_RELAXED);
	} else {
		before = t->ports[port];
		__atomic_store_n(&t->ports[port], before + by, __ATOMIC_RELAXED);
	}
	if (all > 0 && unlikely(port_all(before) == 0))
		count_add(t, &t->paying, 1);
	if (all < 0 && unlikely(port_all(before) == 1))
		count_add(t, &t->paying, -1);
	return before;
}

// The same for the project of the port; returns what it was. Control changes it, too, when a port
// comes to a project while connections of its index are left.
static inline uint32_t project_charge(struct session_table *t, uint16_t port, int by)
{
	uint16_t project = __atomic_load_n(&t->project_of[port], __ATOMIC_RELAXED);

	return project == 0
		       ? 0
		       : __atomic_fetch_add(&t->projects[project], (uint32_t)by, __ATOMIC_RELAXED);
}

// A connection is gone, or was not made after all.
static inline void port_discharge(struct session_table *t, uint16_t port, int unanswered)
{
	port_charge(t, port, -1, -unanswered);
	project_charge(t, port, -1);
}

// *word from `from` to `to`; false: it is something else.
static inline bool word_swap(const struct session_table *t, uint64_t *word, uint64_t from,
			     uint64_t to)
{
	if (!has_one_writer(t))
		return __atomic_compare_exchange_n(word, &from, to, false, __ATOMIC_SEQ_CST,
						   __ATOMIC_RELAXED);
	__atomic_store_n(word, to, __ATOMIC_RELEASE);
	return true;
}

static inline bool state_swap(const struct session_table *t, uint8_t *state, uint8_t from,
			      uint8_t to)
{
	if (!has_one_writer(t))
		return __atomic_compare_exchange_n(state, &from, to, false, __ATOMIC_ACQ_REL,
						   __ATOMIC_RELAXED);
	if (*state != from)
		return false;
	__atomic_store_n(state, to, __ATOMIC_RELEASE);
	return true;
}

static inline struct session *bucket_find(const struct session_family *f,
					  const struct session_bucket *b,
					  const struct flow_key *key, uint32_t tag)
{
	for (uint32_t hits = bucket_match(b, tag); hits != 0; hits &= hits - 1) {
		uint64_t word = __atomic_load_n(&b->word[__builtin_ctz(hits)], __ATOMIC_ACQUIRE);
		if (unlikely((uint32_t)(word >> 32) != tag))
			continue; // withdrawn since
		struct session *s = family_line(f, (uint32_t)word);
		if (likely(session_has_key(s, key)))
			return s;
	}
	return NULL;
}

// session.c
bool weft_session_state_change(struct session_table *t, struct session *original, uint8_t from,
			       uint8_t to);
uint32_t weft_session_idle_ms(const struct session *original, uint32_t now_ms);

// session_remove.c
#define STATES_ALL (1u << SESSION_NEW | 1u << SESSION_ESTABLISHED | 1u << SESSION_CLOSING)
#define CUT_MAX	   32
// Remove those of the connections that are in one of the states (bits); how many that were. They
// are of one family.
uint32_t weft_session_cut(struct session_worker *w, struct session *const *originals, uint32_t n,
			  unsigned states);
void weft_session_withdraw(const struct session_family *f, uint32_t hash, uint32_t line);

// session_pairs.c
// The next pair may cost another connection its place.
bool weft_session_pairs_are_short(const struct session_worker *w, const struct session_family *f);
uint32_t weft_session_pair_take(struct session_worker *w, struct session_family *f, uint16_t port,
				uint32_t now_ms);
void weft_session_pair_give(struct session_worker *w, struct session_family *f, uint32_t pair);
void weft_session_pair_limbo(struct session_worker *w, struct session_family *f, uint32_t pair);
void weft_session_reclaim(struct session_worker *w);
void weft_session_pairs_fini(struct session_worker *w);

// session_evict.c
enum session_limit { // what is used up
	LIMIT_TABLE,
	LIMIT_PROJECT, // of the port's project
	LIMIT_PORT,
};
// Make room for a connection of the port, which is counted already: free some others among the next
// few of the table. False: there was none that may go.
bool weft_session_evict(struct session_worker *w, struct session_family *f, uint16_t port,
			enum session_limit limit, uint32_t now_ms);
// The same among those in the two buckets of a hash.
bool weft_session_evict_bucket(struct session_worker *w, struct session_family *f, uint32_t hash,
			       uint16_t port, uint32_t now_ms);
// The connection was added. Did an established one make room for it?
void weft_session_added(struct session_worker *w, const struct session_family *f, uint32_t pair);
