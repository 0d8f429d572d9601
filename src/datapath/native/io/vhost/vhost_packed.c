// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/vhost/vhost_packed.h"

#include <stdbool.h>

#define WRAP (1u << 15)

// A lap ends with the ring, and the next one has the other wrap counter. With the device at
// `next` in a lap of `wrap`, what lies behind is to be used in this lap, or was used in the last;
// and what lies before was used in this lap, or is to be used in the next.
static bool may_be(uint16_t flags, bool behind, bool wrap)
{
	bool available = flags >> VRING_PACKED_DESC_F_AVAIL & 1;
	bool used = (flags >> VRING_PACKED_DESC_F_USED & 1) == available;

	return available == (used == behind ? !wrap : wrap);
}

// How many from the first one on may lie before the position.
static uint16_t before(const struct vring_packed_desc *ring, uint16_t size, bool wrap)
{
	uint16_t n = 0;

	while (n < size && may_be(__atomic_load_n(&ring[n].flags, __ATOMIC_RELAXED), false, wrap))
		n++;
	return n;
}

// What may lie before in a lap may not lie behind in it: so there is one position at most.
static bool is_rest_behind(const struct vring_packed_desc *ring, uint16_t size, uint16_t next,
			   bool wrap)
{
	for (uint16_t i = next; i < size; i++)
		if (!may_be(__atomic_load_n(&ring[i].flags, __ATOMIC_RELAXED), true, wrap))
			return false;
	return true;
}

uint16_t weft_vhost_packed_base(const struct vring_packed_desc *ring, uint16_t size, uint16_t base)
{
	for (int lap = 0; lap < 2; lap++) {
		uint16_t next = before(ring, size, lap != 0);

		// At the ring's end it is at 0 in the next lap, which is tried too.
		if (next < size && is_rest_behind(ring, size, next, lap != 0))
			return next | (lap != 0 ? WRAP : 0);
	}
	return (base & (WRAP - 1)) < size ? base : WRAP;
}
