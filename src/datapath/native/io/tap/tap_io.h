// SPDX-License-Identifier: Apache-2.0
// Tap I/O: what the receiving and the sending half of a kernel interface share (tap_rx.c,
// tap_tx.c).
//
// One packet socket for both. Received frames stand in a ring that the kernel fills and we read
// without system calls (TPACKET_V2: a slot per frame, released one by one). Slots are made for
// the network's MTU; what is larger, a TCP segment of 64 KB before it is cut, is also queued on
// the socket and fetched from there, in the ring's order. Sending is one sendmmsg() a burst. (A
// ring for sending would be unsafe: over a veth pair the kernel gives a slot back while the
// receiver still reads it.)
#pragma once

#include <rte_mempool.h>
#include <stdbool.h>

#include "datapath/native/io/port_io.h"
#include "datapath/native/io/tap/tap_ring.h"

// The largest packet: 64 KB of IP, Ethernet and two tags; and how many buffers of 2 KB that is.
#define TAP_PACKET_MAX	 (65535 + 22)
#define TAP_SEGMENTS_MAX 33

struct tap_cursor {
	uint8_t *slot;
	uint32_t frame, block;
};

struct tap_io {
	struct port_io io;

	// Receiving: one worker at a time.
	struct tap_cursor next; // slot to read
	struct tap_ring ring;
	struct rte_mempool *pool;
	bool tags_aside;  // a trunk: tags go beside the packets
	uint64_t rx_lost; // large packets that could not be fetched
	uint64_t rx_malformed;

	// Sending: any worker.
	uint64_t tx_refused __rte_cache_aligned;

	// Control thread.
	uint64_t kernel_lost; // for want of a free slot, as far as the kernel was asked
	uint64_t lost_before; // when it was last asked whether it should have a longer ring
	uint32_t mtu;
	int ifindex;
	bool has_long_ring;
} __rte_cache_aligned;

uint16_t weft_tap_rx(struct port_io *io, uint16_t share, struct rte_mbuf **pkts, uint16_t n);
uint16_t weft_tap_tx(struct port_io *io, struct rte_mbuf **pkts, uint16_t n);
