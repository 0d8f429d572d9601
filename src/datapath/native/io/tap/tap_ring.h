// SPDX-License-Identifier: Apache-2.0
// Tap rings: packet sockets with a receive ring, made ahead of need and unmade in the background.
//
// The kernel waits for RCU grace periods when a ring is made and when its socket is closed: 10 to
// 20 ms each time, and there may be a thousand ports when weftd starts or stops. Waiting in
// parallel costs no more than waiting once. So when rings are asked for in quick succession,
// threads make some more; and sockets are always closed by a thread. Threads come when there is
// work and go after a second without, and what was made in vain goes with them.
//
// Threads    any
#pragma once

#include <stddef.h>
#include <stdint.h>

// The virtio-net header that the kernel puts in front of each packet, and wants there.
#define TAP_VNET_LEN 10

struct tap_ring {
	int fd; // not bound yet: nothing arrives
	uint8_t *memory;
	size_t len;
	// Slots (TPACKET_V2) do not cross blocks.
	uint32_t block_size, frame_size;
	uint32_t frames_per_block, blocks;
};

enum tap_ring_use {
	TAP_RING_PORT, // one VM's: there are hundreds
	TAP_RING_LONG, // of one that has lost packets; made by the calling thread
	// Of many: a physical network's, say. Always made by the calling thread, so in its
	// network namespace.
	TAP_RING_TRUNK,
};

// A ring whose slots hold a frame of this MTU; larger frames, and all segments to be cut, come by
// the socket. -errno, with *what = what was refused.
int weft_tap_ring_get(uint32_t mtu, enum tap_ring_use use, struct tap_ring *out, const char **what);
// Memory for a port's ring, at an MTU of 1500: before there is any. Default: 128 KB.
void weft_tap_ring_size(uint32_t kb);
void weft_tap_ring_put(const struct tap_ring *r);

// For tests: how many rings there are in advance.
unsigned int weft_tap_ring_stock(void);
