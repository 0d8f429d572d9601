// SPDX-License-Identifier: Apache-2.0
// The slow clock hand. It looks at so many pairs a millisecond that it is round in ten seconds; a
// connection lives that much longer than its timeout at most.
#include "datapath/native/session/session_table.h"

#define STEP	      CUT_MAX // pairs looked at together
#define TURN_MS	      10000
#define LEAST	      64u // pairs per millisecond, so small tables turn faster
#define LIMBO_RECLAIM 64u // pairs in limbo from which on every call tries to free them

// Of the pairs [at, at + n): those that the original's last packet does not keep alive, or whose
// port is gone.
static uint32_t find_suspects(struct session_worker *w, struct session_family *f, uint32_t at,
			      uint32_t n, uint32_t now_ms, struct session **suspects)
{
	uint32_t k = 0;

	for (uint32_t i = 0; i < n; i++)
		rte_prefetch0(family_pair(f, at + i));
	for (uint32_t i = 0; i < n; i++) {
		struct session *s = family_pair(f, at + i);
		uint8_t state = session_state_get(s);
		if (likely(state != SESSION_FREE && state != SESSION_GONE)) {
			if (session_idle_ms(s, now_ms) >= weft_session_timeout_ms(w->t, s) ||
			    session_lost_a_port(w->t, s)) {
				rte_prefetch0((char *)s + ((size_t)1 << f->line_shift));
				suspects[k++] = s;
			}
		} else if (state == SESSION_GONE &&
			   __atomic_compare_exchange_n(&s->state, &state, SESSION_FREE, false,
						       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
			weft_session_pair_limbo(w, f, at + i);
		}
	}
	return k;
}

static uint32_t step(struct session_worker *w, struct session_family *f, uint32_t at, uint32_t n,
		     uint32_t now_ms)
{
	struct session *s[STEP];
	uint32_t suspects = find_suspects(w, f, at, n, now_ms, s), k = 0;

	for (uint32_t i = 0; i < suspects; i++)
		if (weft_session_idle_ms(s[i], now_ms) >= weft_session_timeout_ms(w->t, s[i]) ||
		    session_lost_a_port(w->t, s[i]))
			s[k++] = s[i];
	return weft_session_cut(w, s, k, STATES_ALL);
}

// Look at n pairs from where the hand is.
static uint32_t move(struct session_worker *w, struct session_family *f, uint32_t n,
		     uint32_t now_ms)
{
	uint32_t used = family_used(f), removed = 0;
	uint32_t at = __atomic_fetch_add(&f->hand, n, __ATOMIC_RELAXED) % used;

	while (n > 0) {
		uint32_t some = RTE_MIN(RTE_MIN(n, (uint32_t)STEP), used - at);
		removed += step(w, f, at, some, now_ms);
		n -= some;
		at = at + some == used ? 0 : at + some;
	}
	return removed;
}

// What the time since the last call adds to what the hand should have looked at.
static void count_debt(struct session_worker *w, uint32_t now_ms)
{
	uint32_t elapsed = now_ms - w->hand_ms;
	uint32_t workers = RTE_MAX(__atomic_load_n(&w->t->n_workers, __ATOMIC_RELAXED), 1u);

	if (!w->hand_started)
		elapsed = TURN_MS;
	w->hand_started = true;
	w->hand_ms = now_ms;
	if ((int32_t)elapsed <= 0)
		return;
	for (int i = 0; i < FAMILIES; i++) {
		uint64_t used = family_used(&w->t->family[i]);
		uint64_t rate = RTE_MAX(used / TURN_MS / workers + 1, (uint64_t)LEAST);
		w->debt[i] = (uint32_t)RTE_MIN(w->debt[i] + elapsed * rate, used);
	}
}

uint32_t weft_session_expire(struct session_worker *w, uint32_t now_ms, uint32_t budget)
{
	bool is_later = now_ms != w->hand_ms || !w->hand_started;
	uint32_t removed = 0;

	if (is_later)
		count_debt(w, now_ms);
	if (w->t->qsbr != NULL && (is_later || w->limbo.end - w->limbo.begin >= LIMBO_RECLAIM))
		weft_session_reclaim(w);
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
		removed += move(w, &w->t->family[family], n, now_ms);
	}
	return removed;
}
