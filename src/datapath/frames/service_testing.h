// SPDX-License-Identifier: Apache-2.0
// What holds for every answer of the datapath's own services by UDP.
#pragma once

#include "datapath/frames/frame_hex.h"
#include "datapath/frames/services.h"

// It is a packet that fills its frame, from their MAC, and its checksum holds. Where its
// addresses and its UDP begin.
static inline void frame_assert_from_service(const struct frame *f, size_t addresses, size_t udp)
{
	struct packet p;

	assert_int_equal(weft_packet_parse(f->b, f->len, f->len, 0, &p), DROP_NONE);
	assert_int_equal(p.l3_len, f->len - 14);
	assert_int_equal(frame_sum(f->b + addresses, f->len - addresses,
				   17 + (uint32_t)(f->len - udp)),
			 0xffff);
	assert_memory_equal(f->b + 6, weft_service_mac.b, 6);
}
