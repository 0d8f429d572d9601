// SPDX-License-Identifier: Apache-2.0
// Resolver: who goes when the table gets full. Control thread.
#include <stdlib.h>

#include "datapath/native/outside/resolver_priv.h"

struct candidate {
	uint32_t unused_ms, index;
};

static int least_used_first(const void *a, const void *b)
{
	uint32_t x = ((const struct candidate *)a)->unused_ms;
	uint32_t y = ((const struct candidate *)b)->unused_ms;

	return x > y ? -1 : x < y;
}

// The known addresses; or, if port is one, the MACs that are there. The least used first; the
// caller frees them.
static struct candidate *candidates(const struct resolver *r, uint32_t now, uint16_t port,
				    size_t *n)
{
	struct candidate *all = malloc(NEXT_HOPS * sizeof(*all));

	*n = 0;
	for (uint32_t i = 0; all != NULL && i < NEXT_HOPS; i++) {
		const struct hop *h = &r->hops[i];
		uint64_t word = atomic_load_explicit(&h->word, memory_order_acquire);

		if (hop_state(word) != HOP_KNOWN ||
		    (h->key.family == HOP_MAC ? hop_word_port(word) : NATIVE_NO_PORT) != port)
			continue;
		all[(*n)++] = (struct candidate) {now - atomic_load(&h->used_ms), i};
	}
	if (all != NULL)
		qsort(all, *n, sizeof(*all), least_used_first);
	return all;
}

// Sessions may still lead to what goes: they are judged again, and those that need it ask.
void weft_hop_make_room(struct resolver *r, uint32_t now)
{
	size_t n;
	struct candidate *all = candidates(r, now, NATIVE_NO_PORT, &n);

	for (size_t i = 0; i < n && i < KNOWN_ROOM; i++) {
		struct hop *h = &r->hops[all[i].index];
		uint64_t word = atomic_load(&h->word);

		if (hop_state(word) == HOP_KNOWN && atomic_load(&h->held) == 0 &&
		    weft_hop_withdraw(r, h, word))
			weft_hop_changed(r, hop_port(h));
	}
	free(all);
}

// The port with the most MACs; NATIVE_NO_PORT: there are not too many.
static uint16_t crowded_port(const struct resolver *r)
{
	uint32_t most = 0;
	uint16_t port = NATIVE_NO_PORT;

	for (uint16_t i = 0; i < NATIVE_MAX_PORTS; i++) {
		uint32_t n = atomic_load_explicit(&r->macs_of[i], memory_order_relaxed);

		if (n > most) {
			most = n;
			port = i;
		}
	}
	if (most <= MACS_PER_PORT &&
	    atomic_load_explicit(&r->n_macs, memory_order_relaxed) <= MACS_MOST)
		return NATIVE_NO_PORT;
	return port;
}

// Sessions that lead to what goes are right as long as nobody else says that he has the MAC.
void weft_hop_make_mac_room(struct resolver *r, uint32_t now)
{
	struct candidate *all;
	uint16_t port;
	size_t n;

	if (atomic_load_explicit(&r->n_macs, memory_order_relaxed) <= MACS_PER_PORT)
		return;
	port = crowded_port(r);
	if (port == NATIVE_NO_PORT)
		return;
	all = candidates(r, now, port, &n);
	for (size_t i = 0; i < n && i < MACS_ROOM; i++) {
		struct hop *h = &r->hops[all[i].index];
		uint64_t word = atomic_load(&h->word);

		if (hop_state(word) == HOP_KNOWN && weft_hop_withdraw(r, h, word))
			atomic_fetch_add_explicit(&r->mac_evictions, 1, memory_order_relaxed);
	}
	free(all);
}
