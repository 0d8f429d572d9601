// SPDX-License-Identifier: Apache-2.0
// Flow: what identifies one direction of a connection: where it enters and its 5-tuple.
//
// ICMP echo and the other query types have no ports: `sport` is the identifier and `dport` is
// type << 8 | code, so that a query and its answer are each other's reverse. Other protocols use 0.
#pragma once

#include <rte_byteorder.h>
#include <stdbool.h>
#include <stdint.h>

struct flow_key {
	uint16_t in_port; // index of the port where it enters
	uint8_t proto;	  // IPv4 protocol, final IPv6 next header
	uint8_t family;	  // 4 or 6
	rte_be16_t sport, dport;
	union {
		struct {
			rte_be32_t src4, dst4;
		};
		struct {
			uint8_t src6[16], dst6[16];
		};
	};
};

#define FLOW_KEY4_LEN 16
#define FLOW_KEY6_LEN 40

// The key of the answers to `k`, as they enter at `in_port`. False: such packets have no answer (an ICMP type that is
// no query), so they are judged one by one and never make a session.
bool weft_flow_reverse(const struct flow_key *k, uint16_t in_port, struct flow_key *out);

bool weft_flow_equal(const struct flow_key *a, const struct flow_key *b);

// CRC32C based; the table's index and tag come from it.
uint32_t weft_flow_hash(const struct flow_key *k);
