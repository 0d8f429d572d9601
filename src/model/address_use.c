// SPDX-License-Identifier: Apache-2.0
#include "model/address_use.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

typedef unsigned __int128 u128;

enum { CHUNK_BITS = 10, CHUNK_SIZE = 1 << CHUNK_BITS, WORD_BITS = 64 };

struct chunk {
	UT_hash_handle hh;
	u128 number; // address >> CHUNK_BITS
	unsigned used;
	uint64_t words[CHUNK_SIZE / WORD_BITS];
};

struct address_use {
	struct chunk *chunks;
	u128 next; // where the next search begins
};

static u128 number_of(const struct ip_addr *ip)
{
	u128 v = 0;
	for (size_t i = 0; i < weft_ip_bits(ip) / 8u; i++)
		v = v << 8 | ip->b[i];
	return v;
}

static struct ip_addr address_of(u128 v, uint8_t family)
{
	struct ip_addr ip = {.family = family};
	for (size_t i = weft_ip_bits(&ip) / 8u; i-- > 0; v >>= 8)
		ip.b[i] = (uint8_t)v;
	return ip;
}

struct address_use *weft_address_use_new(void)
{
	struct address_use *u = calloc(1, sizeof(*u));
	if (u == NULL)
		abort();
	return u;
}

void weft_address_use_free(struct address_use *u)
{
	if (u == NULL)
		return;
	struct chunk *c, *next;
	HASH_ITER(hh, u->chunks, c, next) {
		HASH_DEL(u->chunks, c);
		free(c);
	}
	free(u);
}

static struct chunk *chunk_of(const struct address_use *u, u128 v)
{
	struct chunk *c;
	u128 number = v >> CHUNK_BITS;
	HASH_FIND(hh, u->chunks, &number, sizeof(number), c);
	return c;
}

static bool bit(const struct chunk *c, u128 v)
{
	unsigned at = (unsigned)(v % CHUNK_SIZE);
	return (c->words[at / WORD_BITS] >> (at % WORD_BITS) & 1) != 0;
}

bool weft_address_use_is_empty(const struct address_use *u)
{
	return u->chunks == NULL;
}

bool weft_address_use_has(const struct address_use *u, const struct ip_addr *ip)
{
	u128 v = number_of(ip);
	const struct chunk *c = chunk_of(u, v);
	return c != NULL && bit(c, v);
}

void weft_address_use_set(struct address_use *u, const struct ip_addr *ip, bool used)
{
	u128 v = number_of(ip);
	struct chunk *c = chunk_of(u, v);
	if (c == NULL) {
		if (!used)
			return;
		c = calloc(1, sizeof(*c));
		if (c == NULL)
			abort();
		c->number = v >> CHUNK_BITS;
		HASH_ADD(hh, u->chunks, number, sizeof(c->number), c);
	}
	if (bit(c, v) == used)
		return;
	unsigned at = (unsigned)(v % CHUNK_SIZE);
	c->words[at / WORD_BITS] ^= 1ull << (at % WORD_BITS);
	c->used += used ? 1 : -1u;
	if (c->used == 0) {
		HASH_DEL(u->chunks, c);
		free(c);
	}
}

static bool scan(const struct address_use *u, u128 from, u128 to, u128 *out)
{
	for (u128 v = from; v <= to;) {
		const struct chunk *c = chunk_of(u, v);
		u128 end = v | (CHUNK_SIZE - 1); // last of this chunk
		if (c == NULL || c->used < CHUNK_SIZE) {
			for (; v <= end && v <= to; v++) {
				if (c == NULL || !bit(c, v)) {
					*out = v;
					return true;
				}
				if (v == end)
					break; // v + 1 may not exist
			}
		}
		if (end + 1 == 0)
			return false;
		v = end + 1;
	}
	return false;
}

bool weft_address_use_find(struct address_use *u, const struct ip_addr *first,
			   const struct ip_addr *last, struct ip_addr *out)
{
	u128 lo = number_of(first), hi = number_of(last);
	u128 from = u->next >= lo && u->next <= hi ? u->next : lo;
	u128 v;
	if (!scan(u, from, hi, &v) && (from == lo || !scan(u, lo, from - 1, &v)))
		return false;
	u->next = v + 1;
	*out = address_of(v, first->family);
	return true;
}
