// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/packet/ranges.h"

#include <string.h>

static void remove_at(struct ranges *r, uint8_t i)
{
	r->n--;
	memmove(&r->at[i], &r->at[i + 1], (size_t)(r->n - i) * sizeof(r->at[0]));
}

static void insert_at(struct ranges *r, uint8_t i, struct range new)
{
	memmove(&r->at[i + 1], &r->at[i], (size_t)(r->n - i) * sizeof(r->at[0]));
	r->at[i] = new;
	r->n++;
}

enum range_fit weft_ranges_add(struct ranges *r, uint16_t from, uint16_t to)
{
	bool left, right;
	uint8_t i = 0;

	// The first one that ends behind where this one begins.
	while (i < r->n && r->at[i].to <= from)
		i++;
	if (i < r->n && r->at[i].from <= from && to <= r->at[i].to)
		return RANGE_SEEN;
	if (i < r->n && r->at[i].from < to)
		return RANGE_OVERLAP;

	left = i > 0 && r->at[i - 1].to == from;
	right = i < r->n && r->at[i].from == to;
	if (left && right) {
		r->at[i - 1].to = r->at[i].to;
		remove_at(r, i);
	} else if (left) {
		r->at[i - 1].to = to;
	} else if (right) {
		r->at[i].from = from;
	} else if (r->n == RANGES_MAX) {
		r->too_many = true;
	} else {
		insert_at(r, i, (struct range) {from, to});
	}
	return RANGE_NEW;
}
