// SPDX-License-Identifier: Apache-2.0
// Flow: what identifies one direction of a connection: where it enters and its 5-tuple.
//
// ICMP echo and the other query types have no ports: `sport` is the identifier and `dport` is
// type << 8 | code (in network order, so as the first two bytes of the ICMP header), so that a
// query and its answer are each other's reverse. Other protocols use 0.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

struct flow_key {
	uint16_t in_port; // index of the port where it enters
	uint8_t proto;	  // IPv4 protocol, final IPv6 next header
	uint8_t family;	  // 4 or 6
	be16_t sport, dport;
	union {
		struct {
			be32_t src4, dst4;
		};
		struct {
			uint8_t src6[16], dst6[16];
		};
	};
};

#define FLOW_KEY4_LEN 16
#define FLOW_KEY6_LEN 40

_Static_assert(sizeof(struct flow_key) == FLOW_KEY6_LEN, "no padding: keys are hashed as bytes");

// The key of the answers to `k`, as they enter at `in_port`. False: such packets have no answer
// (an ICMP type that is no query; so also the answers to queries), so they are judged one by one
// and never make a session.
bool weft_flow_reverse(const struct flow_key *k, uint16_t in_port, struct flow_key *out);

bool weft_flow_equal(const struct flow_key *a, const struct flow_key *b);

// Chosen at random when the program starts.
extern uint64_t weft_flow_secret[4];

static inline uint64_t weft_flow_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

// The table's index and tag come from it. Keyed multiplication instead of CRC32C, at the same
// cost: a CRC is linear, so a guest could compute, whatever the seed, which of its flows fall
// into one bucket, and fill it.
static inline uint32_t weft_flow_hash(const struct flow_key *k)
{
	const uint64_t *secret = weft_flow_secret;
	uint64_t w[FLOW_KEY6_LEN / 8], h;

	if (__builtin_expect(k->family != 6, 1)) {
		memcpy(w, k, FLOW_KEY4_LEN);
		h = weft_flow_mix(w[0] ^ secret[0], w[1] ^ secret[1]);
	} else {
		memcpy(w, k, FLOW_KEY6_LEN);
		h = weft_flow_mix(w[1] ^ secret[0], w[2] ^ secret[1]) ^
		    weft_flow_mix(w[3] ^ secret[2], w[4] ^ secret[3]);
		h = weft_flow_mix(w[0] ^ secret[0], h ^ secret[1]);
	}
	h = weft_flow_mix(h ^ secret[2], secret[3]);
	return (uint32_t)(h >> 32) ^ (uint32_t)h;
}
