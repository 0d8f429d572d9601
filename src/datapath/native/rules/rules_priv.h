// SPDX-License-Identifier: Apache-2.0
// Compiled rules in memory: what rules_compile.c builds and rules.c searches. One allocation,
// flat arrays.
//
// Rules fall into classes by their remote end: class 0 of a table is "any", then one class for
// each prefix, then one for each set. The table's `starts` cut the address space where any prefix
// begins or ends; start_class says which is the longest prefix of each piece, and the class's
// parent the next shorter one that contains it, down to class 0.
//
// A class has at most one entry for each protocol; the entry has disjoint intervals of keys
// (destination port, or ICMP type << 8 | code), each with one of the rules that permit it. What a
// wider rule of the same class covers is left out.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "datapath/native/rules/sets.h"

#define RULE_NONE   UINT32_MAX
#define RULE_TABLES 4 // direction and family

typedef unsigned __int128 rule_addr; // an address as a number

typedef char rule_id[WEFT_ID_LEN + 1];

struct rule_class {
	uint32_t any;	 // the rule that permits every packet of the class, or RULE_NONE
	uint32_t parent; // class; 0 is its own
	uint32_t protos; // index of the first
	uint32_t n_protos;
};

struct rule_proto {
	uint32_t proto;
	uint32_t any;	// the rule that permits the whole protocol, or RULE_NONE
	uint32_t first; // index of the first interval
	uint32_t n;
};

struct rule_table {
	const void *starts; // uint32_t (IPv4) or rule_addr (IPv6), the first is 0
	const uint32_t *start_class;
	const struct rule_class *classes;
	const uint32_t *sets;	   // numbers, sorted
	uint32_t n_classes;	   // 0: nothing is permitted
	uint32_t n_starts, n_sets; // 0: no prefixes, no sets
	uint32_t set_class;	   // class of the first set
};

struct rules {
	struct rule_table tables[RULE_TABLES];
	const struct rule_proto *protos;
	const uint16_t *key_first; // intervals
	const uint16_t *key_last;
	const uint32_t *key_rule;
	const rule_id *ids;
	struct sets *sets;
	size_t size;
	bool stateful;
};

static inline unsigned int rule_table_of(unsigned int direction, uint8_t family)
{
	return direction * 2 + (family == 6);
}

// Where a rule's or packet's type and code count: ICMP in IPv4, ICMPv6 in IPv6.
static inline bool rule_is_icmp(uint8_t family, int proto)
{
	return proto == (family == 6 ? 58 : 1);
}
