// SPDX-License-Identifier: Apache-2.0
// What the two halves of a DPDK port share: ethdev_io.c (control, receiving) and ethdev_tx.c.
#pragma once

#include <rte_ethdev.h>
#include <rte_spinlock.h>

#include "datapath/native/io/ethdev/ethdev_io.h"
#include "datapath/native/packet/limits.h"

struct ethdev_tx_queue {
	rte_spinlock_t lock; // taken if the queue is shared
} __rte_cache_aligned;

struct ethdev_io {
	struct port_io io;
	uint16_t port; // DPDK's number
	uint16_t n_rx, n_tx;
	bool shares_tx;	  // fewer sending queues than threads that send
	bool one_segment; // a packet must lie in one buffer
	uint64_t cannot;  // transmit flags (port_io.h) that are to be done in software
	struct rte_mempool *pool;
	char device[256];

	uint64_t refused, segmented, filled; // by any thread
	struct ethdev_tx_queue tx[NATIVE_MAX_WORKERS + 1];
};

uint16_t weft_ethdev_tx(struct port_io *io, struct rte_mbuf **pkts, uint16_t n);
