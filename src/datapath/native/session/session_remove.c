// SPDX-License-Identifier: Apache-2.0
// Removing connections, one or many.
#include "datapath/native/session/session_table.h"

void weft_session_withdraw(const struct session_family *f, uint32_t hash, uint32_t line)
{
	struct session_bucket *b = bucket_first(f, hash);
	uint64_t word = word_make(hash, line);

	for (int i = 0; i < 2; i++, b = bucket_second(f, hash)) {
		for (uint32_t hits = bucket_match(b, word_tag(hash)); hits != 0; hits &= hits - 1) {
			uint64_t *place = &b->word[__builtin_ctz(hits)];
			if (__atomic_load_n(place, __ATOMIC_RELAXED) == word) {
				__atomic_store_n(place, 0, __ATOMIC_RELEASE);
				return;
			}
		}
	}
}

// Whoever wins the change to FREE takes the connection apart.
static bool take_apart(struct session_worker *w, struct session_family *f, struct session *original,
		       const uint32_t *hash, unsigned states)
{
	uint8_t state = session_state_get(original);
	uint32_t line = line_of(f, original);

	for (;;) {
		if (!(states >> state & 1))
			return false;
		if (state_swap(w->t, &original->state, state, SESSION_FREE))
			break;
		state = session_state_get(original);
	}
	weft_session_withdraw(f, hash[0], line);
	weft_session_withdraw(f, hash[1], line + 1);
	port_discharge(w->t, session_payer(original), state == SESSION_NEW);
	__atomic_store_n(&w->count, w->count - 1, __ATOMIC_RELAXED);
	weft_session_pair_limbo(w, f, line >> 1);
	return true;
}

static uint32_t hash_of(const struct session *s)
{
	struct flow_key key;

	weft_session_key(s, &key);
	return weft_flow_hash(&key);
}

// In passes over all of them, each waiting for one kind of memory: the lines, the index.
uint32_t weft_session_cut(struct session_worker *w, struct session *const *originals, uint32_t n,
			  unsigned states)
{
	uint32_t hash[CUT_MAX][2], done = 0;

	if (n == 0)
		return 0;
	struct session_family *f = family_of(w->t, originals[0]->key.family);
	size_t pair_len = (size_t)2 << f->line_shift;
	for (uint32_t i = 0; i < n; i++)
		for (size_t at = RTE_CACHE_LINE_SIZE; at < pair_len; at += RTE_CACHE_LINE_SIZE)
			rte_prefetch0((char *)originals[i] + at);
	for (uint32_t i = 0; i < n; i++) {
		hash[i][0] = hash_of(originals[i]);
		hash[i][1] = hash_of(weft_session_peer(originals[i]));
		rte_prefetch0(bucket_first(f, hash[i][0]));
		rte_prefetch0(bucket_first(f, hash[i][1]));
	}
	for (uint32_t i = 0; i < n; i++)
		done += take_apart(w, f, originals[i], hash[i], states);
	return done;
}

bool weft_session_remove(struct session_worker *w, struct session *s)
{
	s = weft_session_original(s);
	return weft_session_cut(w, &s, 1, STATES_ALL) > 0;
}
