// SPDX-License-Identifier: Apache-2.0
// Where pairs come from and where they go: a worker's own stack first, then what others gave
// away, then fresh ones.
#include "datapath/native/session/session_table.h"

#define PREFETCH_AHEAD 6
#define LOW_PAIRS      32u  // a stack lower than this is refilled
#define SEGMENT_PAIRS  32u  // pairs worth a grace period of their own
#define LIMBO_ENOUGH   256u // evict no more while so many are about to become free

static inline struct spill *spill_of(const struct session_family *f, uint32_t pair)
{
	return (struct spill *)family_line(f, pair << 1 | 1);
}

// Treiber's stack; the generation keeps a head that went and came back from being taken for
// unchanged.
static void spill_push(struct session_worker *w, struct session_family *f, int family)
{
	uint32_t *from = &w->free[family].pair[w->free[family].n - PAIRS_PER_SPILL];
	struct spill *spill = spill_of(f, from[0]);
	uint64_t head = __atomic_load_n(&f->spilled, __ATOMIC_RELAXED), next;

	memcpy(spill->pair, from + 1, sizeof(spill->pair));
	spill->n = PAIRS_PER_SPILL - 1;
	w->free[family].n -= PAIRS_PER_SPILL;
	do {
		__atomic_store_n(&spill->next, (uint32_t)head, __ATOMIC_RELAXED);
		next = ((head >> 32) + 1) << 32 | (from[0] + 1);
	} while (!__atomic_compare_exchange_n(&f->spilled, &head, next, false, __ATOMIC_RELEASE,
					      __ATOMIC_RELAXED));
}

static bool spill_pop(struct session_worker *w, struct session_family *f, int family)
{
	uint64_t head = __atomic_load_n(&f->spilled, __ATOMIC_ACQUIRE), next;
	struct spill *spill;

	do {
		if ((uint32_t)head == 0)
			return false;
		// If another worker takes it first this reads nonsense, and the exchange fails.
		spill = spill_of(f, (uint32_t)head - 1);
		next = ((head >> 32) + 1) << 32 | __atomic_load_n(&spill->next, __ATOMIC_RELAXED);
	} while (!__atomic_compare_exchange_n(&f->spilled, &head, next, false, __ATOMIC_ACQUIRE,
					      __ATOMIC_ACQUIRE));

	uint32_t *to = &w->free[family].pair[w->free[family].n];
	to[0] = (uint32_t)head - 1;
	memcpy(to + 1, spill->pair, spill->n * sizeof(*to));
	w->free[family].n += spill->n + 1;
	return true;
}

static bool take_fresh(struct session_worker *w, struct session_family *f, int family)
{
	if (__atomic_load_n(&f->fresh, __ATOMIC_RELAXED) >= f->pairs)
		return false;
	// Few at once if there are few: what lies in one worker's stack is out of the others'
	// reach.
	uint32_t n = RTE_MAX(RTE_MIN((uint32_t)PAIRS_PER_SPILL, f->pairs / 64), 1u);
	uint32_t start = __atomic_fetch_add(&f->fresh, n, __ATOMIC_ACQ_REL);
	if (start >= f->pairs)
		return false;
	n = RTE_MIN(n, f->pairs - start);
	for (uint32_t i = n; i-- > 0;) // the lowest is taken first
		w->free[family].pair[w->free[family].n++] = start + i;
	return true;
}

static inline uint32_t low_mark(const struct session_family *f)
{
	return RTE_MIN(LOW_PAIRS, f->pairs / 16);
}

// Nothing is left to refill the stack with. What is removed becomes free only after the others'
// quiescent points, so that is begun before the stack is empty.
static void make_room(struct session_worker *w, struct session_family *f, int family, uint16_t port,
		      uint32_t now_ms)
{
	if (w->t->qsbr != NULL) {
		weft_session_reclaim(w);
		if (w->free[family].n >= low_mark(f) ||
		    w->limbo.end - w->limbo.begin >= RTE_MIN(LIMBO_ENOUGH, f->pairs / 16))
			return;
	} else if (w->free[family].n > 0) {
		return;
	}
	weft_session_evict(w, f, port, LIMIT_TABLE, now_ms);
}

bool weft_session_pairs_are_short(const struct session_worker *w, const struct session_family *f)
{
	return w->free[f - w->t->family].n < low_mark(f) &&
	       (uint32_t)__atomic_load_n(&f->spilled, __ATOMIC_RELAXED) == 0 &&
	       __atomic_load_n(&f->fresh, __ATOMIC_RELAXED) >= f->pairs;
}

uint32_t weft_session_pair_take(struct session_worker *w, struct session_family *f, uint16_t port,
				uint32_t now_ms)
{
	int family = (int)(f - w->t->family);
	typeof(w->free[0]) *stack = &w->free[family];

	if (unlikely(stack->n < low_mark(f)) && !spill_pop(w, f, family) &&
	    !take_fresh(w, f, family))
		make_room(w, f, family, port, now_ms);
	if (unlikely(stack->n == 0))
		return PAIR_NONE;
	if (likely(stack->n > PREFETCH_AHEAD)) {
		char *ahead = (char *)family_pair(f, stack->pair[stack->n - 1 - PREFETCH_AHEAD]);
		for (size_t i = 0; i < (size_t)2 << f->line_shift; i += RTE_CACHE_LINE_SIZE)
			__builtin_prefetch(ahead + i, 1);
	}
	return stack->pair[--stack->n];
}

// Nobody holds it any more.
void weft_session_pair_give(struct session_worker *w, struct session_family *f, uint32_t pair)
{
	int family = (int)(f - w->t->family);

	// Room stays for what spill_pop() and take_fresh() add.
	if (w->free[family].n >= WORKER_FREE_PAIRS - PAIRS_PER_SPILL)
		spill_push(w, f, family);
	w->free[family].pair[w->free[family].n++] = pair;
}

// Others may still hold it.
void weft_session_pair_limbo(struct session_worker *w, struct session_family *f, uint32_t pair)
{
	if (w->t->qsbr == NULL) {
		weft_session_pair_give(w, f, pair);
		return;
	}
	if (w->limbo.end - w->limbo.begin == WORKER_LIMBO_PAIRS)
		weft_session_reclaim(w);
	if (unlikely(w->limbo.end - w->limbo.begin == WORKER_LIMBO_PAIRS)) {
		// Someone has not been quiescent for long. The clock hand will find it.
		__atomic_store_n(&family_pair(f, pair)->state, SESSION_GONE, __ATOMIC_RELEASE);
		return;
	}
	w->limbo.pair[w->limbo.end++ % WORKER_LIMBO_PAIRS] = pair << 1 |
							     (uint32_t)(f - w->t->family);
}

// A grace period costs all workers something, so it is not begun for a few pairs while another is
// under way.
static void close_segment(struct session_worker *w)
{
	uint32_t open = w->limbo.end - w->limbo.closed;
	uint32_t segments = w->limbo.last - w->limbo.first;

	if (open == 0 || segments == LIMBO_SEGMENTS || (open < SEGMENT_PAIRS && segments > 0))
		return;
	w->limbo.closed = w->limbo.end;
	w->limbo.segment[w->limbo.last % LIMBO_SEGMENTS].token = rte_rcu_qsbr_start(w->t->qsbr);
	w->limbo.segment[w->limbo.last % LIMBO_SEGMENTS].end = w->limbo.end;
	w->limbo.last++;
}

void weft_session_reclaim(struct session_worker *w)
{
	while (w->limbo.first != w->limbo.last) {
		typeof(w->limbo.segment[0]) *s = &w->limbo.segment[w->limbo.first % LIMBO_SEGMENTS];
		if (rte_rcu_qsbr_check(w->t->qsbr, s->token, false) == 0)
			break;
		for (; w->limbo.begin != s->end; w->limbo.begin++) {
			uint32_t entry = w->limbo.pair[w->limbo.begin % WORKER_LIMBO_PAIRS];
			weft_session_pair_give(w, &w->t->family[entry & 1], entry >> 1);
		}
		w->limbo.first++;
	}
	close_segment(w);
}

// Hand everything to the other workers.
void weft_session_pairs_fini(struct session_worker *w)
{
	for (; w->limbo.begin != w->limbo.end; w->limbo.begin++) {
		uint32_t entry = w->limbo.pair[w->limbo.begin % WORKER_LIMBO_PAIRS];
		struct session *s = family_pair(&w->t->family[entry & 1], entry >> 1);
		__atomic_store_n(&s->state, SESSION_GONE, __ATOMIC_RELEASE);
	}
	for (int i = 0; i < FAMILIES; i++) {
		struct session_family *f = &w->t->family[i];
		while (w->free[i].n >= PAIRS_PER_SPILL)
			spill_push(w, f, i);
		while (w->free[i].n > 0) {
			uint32_t pair = w->free[i].pair[--w->free[i].n];
			__atomic_store_n(&family_pair(f, pair)->state, SESSION_GONE,
					 __ATOMIC_RELEASE);
		}
	}
}
