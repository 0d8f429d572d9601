// SPDX-License-Identifier: Apache-2.0
// Vhost I/O: a port that is a vhost-user socket (librte_vhost): what its files share.
//
//   vhost_io.c      the socket: made and removed with the port
//   vhost_device.c  who is at its other end: librte_vhost's callbacks
//   vhost_rx.c, vhost_tx.c  bursts
//
// A connection is a *device* while its VM's driver is ready. It has queue pairs, each a ring for what the VM sends (1, 3, ...) and one for
// what it receives (0, 2, ...), which the driver turns on and off. The port uses the device that became ready last.
//
// Leaving    librte_vhost's thread takes a device away at any time (the VM reboots, QEMU dies) and unmaps its memory when its callback
//            returns. So whoever touches a device does it under one of the port's locks: rx_lock, or the lock of a lane. The callback
//            takes the device out of the port and then passes through every lock; after that nobody is inside, and nobody
//            enters. The locks are held for one burst and never while waiting for the control thread or a callback.
// Sending    any thread: by the lane of its queue (several queues may share one). librte_vhost has a lock per queue anyway.
// Trust      rings and headers are the VM's. librte_vhost checks every index and address; what the headers claim is checked against
//            the packet (vnet.h); what takes the worker's time and yields nothing makes its port wait (vhost_rx.c).
//
// QEMU itself is trusted as far as not to truncate the memory that it shares; memory-backend-memfd seals it.
#pragma once

#include <rte_mempool.h>
#include <rte_spinlock.h>
#include <rte_vhost.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "datapath/native/port_io.h"

#define VHOST_PAIRS_MAX 128 // librte_vhost's own limit
#define VHOST_LANES	16  // power of two
#define VHOST_BURST	32  // librte_vhost takes no more at once

// Connections to one socket at a time: a new QEMU may come before the old one's end is seen.
#define VHOST_CONNECTIONS_MAX 4

#define VHOST_HAS(dev, feature) (((dev)->features >> (feature)&1) != 0)

struct vhost_io;

struct vhost_device { // by librte_vhost's number, in a table of its own
	int vid;
	_Atomic(struct vhost_io *) io; // whose socket; NULL: no such connection
	uint64_t features;	       // negotiated; set before the device is the port's
	uint16_t mtu;		       // that QEMU told the VM; 0: none
	_Atomic uint16_t n_pairs;      // one more than the highest that was ever on
	_Atomic uint64_t interrupts;
	_Atomic bool on[2 * VHOST_PAIRS_MAX];	 // the driver uses this ring
	bool begun[2 * VHOST_PAIRS_MAX];	 // it was on before, on this connection
	_Atomic bool quiet[2 * VHOST_PAIRS_MAX]; // it was told not to kick
};

struct vhost_lane {
	rte_spinlock_t lock;
	uint64_t refused;   // what no ring of this guest takes
	uint64_t segmented; // packets cut in software
	uint64_t filled;    // checksums filled in in software
} __rte_cache_aligned;

struct vhost_io {
	struct port_io io;
	struct rte_mempool *pool;
	_Atomic(struct vhost_device *) dev; // NULL: no driver

	// Receiving.
	rte_spinlock_t rx_lock;
	uint16_t next;	     // pair to begin with
	uint32_t strikes;    // polls that took long and yielded nothing
	uint64_t strike_tsc; // when the last one was
	uint64_t wait_tsc;   // until then the port is not polled
	uint64_t malformed;

	// Sending.
	struct vhost_lane lanes[VHOST_LANES];

	// vhost_device.c, under its lock.
	struct vhost_io *next_io;
	unsigned int connections;
	_Atomic uint64_t devices; // how many were ready since the socket was made

	bool server; // in librte_vhost's words: QEMU connects
	char path[108];
} __rte_cache_aligned;

uint16_t weft_vhost_rx(struct port_io *io, struct rte_mbuf **pkts, uint16_t n);
uint16_t weft_vhost_tx(struct port_io *io, struct rte_mbuf **pkts, uint16_t n);

extern const struct rte_vhost_device_ops weft_vhost_callbacks;

// From now on a connection to the socket of this path is the port's.
void weft_vhost_expect(struct vhost_io *v);
// After the socket's end: no callback knows the port any more.
void weft_vhost_forget(struct vhost_io *v);
