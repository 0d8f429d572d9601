// SPDX-License-Identifier: Apache-2.0
// Ranges: which bytes of a datagram have been seen, in whatever order its fragments come and
// however often.
//
// Neighbours are merged, so a datagram in order is one range. One that is in too many pieces at
// once is never called whole; nothing else is wrong about it.
//
// Threads    pure
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define RANGES_MAX 12

struct ranges {
	uint8_t n;
	bool too_many; // some were not noted
	struct range {
		uint16_t from, to;
	} at[RANGES_MAX]; // sorted, with gaps between them
};

enum range_fit {
	RANGE_NEW,
	RANGE_SEEN,    // all of it is there already
	RANGE_OVERLAP, // a part of it is there already; nothing has changed
};

enum range_fit weft_ranges_add(struct ranges *r, uint16_t from, uint16_t to); // from < to

// Is everything up to `to` there?
static inline bool weft_ranges_whole(const struct ranges *r, uint16_t to)
{
	return r->n == 1 && !r->too_many && r->at[0].from == 0 && r->at[0].to >= to;
}
