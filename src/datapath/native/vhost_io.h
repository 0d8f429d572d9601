// SPDX-License-Identifier: Apache-2.0
// Vhost I/O: a port that is a vhost-user socket (librte_vhost): what its files share.
//
//   vhost_io.c      the socket: made and removed with the port
//   vhost_device.c  who is at its other end: librte_vhost's callbacks
//   vhost_rx.c, vhost_tx.c  bursts
//   vring.h         one ring
//
// librte_vhost speaks the protocol: sockets, features, memory, where the rings are. What is in the rings is read and written here, because
// its own functions for that trust a driver to make its buffers large enough for a header.
//
// A connection is a *device* while its VM's driver is ready. It has queue pairs, each a ring for what the VM sends (1, 3, ...) and one for
// what it receives (0, 2, ...), which the driver turns on and off. The port uses the device that became ready last.
//
// Leaving    librte_vhost's thread takes rings, memory or the whole device away at any time (the VM reboots, memory is added, QEMU dies),
//            and unmaps memory when its callback returns. So whoever touches a ring holds its lock: a share's for those that the VM sends by,
//            a lane's for those that it receives by; and the callback turns the ring off under the same lock. The
//            locks are held for one burst (a share's until what was lent of it is sent) and never while waiting for anybody: in particular not for librte_vhost's own locks, which its
//            thread may hold during a callback.
// Sending    any thread: by the lane of its queue (several queues may share one).
// Receiving  pair p belongs to share p modulo their number (as many as workers); each share has a worker that takes it.
//
// Interrupts are written by workers to a descriptor that QEMU gives. It is looked at when its ring begins: what is no eventfd is never written to, and
// an eventfd is made not to block.
//
// QEMU itself is trusted as far as not to truncate the memory that it shares (memory-backend-memfd seals it), and as not to make such an
// eventfd block again while its ring is in use, which nobody can forbid to those who share it.
#pragma once

#include <rte_mempool.h>
#include <rte_spinlock.h>
#include <rte_vhost.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "datapath/native/port_io.h"
#include "datapath/native/vring.h"

#define VHOST_PAIRS_MAX	      128 // librte_vhost's own limit
#define VHOST_LANES	      16  // power of two
// Connections to one socket at a time: a new QEMU may come before the old one's end is seen.
#define VHOST_CONNECTIONS_MAX 4

#define VHOST_HAS(dev, feature) (((dev)->features >> (feature)&1) != 0)

#define VHOST_RARP_ASKED (1ULL << 48)

struct vhost_io;

struct vhost_device { // by librte_vhost's number, in a table of its own
	int vid;
	_Atomic(struct vhost_io *) io; // whose socket; NULL: no such connection
	uint64_t features;	       // negotiated; set before the device is the port's
	uint16_t mtu;		       // that QEMU told the VM; 0: none
	_Atomic uint16_t n_pairs;      // one more than the highest that was ever on
	_Atomic uint16_t n_sending;    // the same, of those that the driver has on for sending now
	bool sends[VHOST_PAIRS_MAX];   // which these are
	bool is_mute;		       // a ring's interrupts were given up
	struct vring_memory memory;    // changes only while all rings are off
	bool begun[2 * VHOST_PAIRS_MAX];	       // it was on before, on this connection
	struct vring_state rings[2 * VHOST_PAIRS_MAX]; // each under its lock
};

struct vhost_lane {
	rte_spinlock_t lock;
	struct vring_counters counters;
	uint64_t segmented; // packets cut in software
	uint64_t filled;    // checksums filled in in software
} __rte_cache_aligned;

struct vhost_share {
	rte_spinlock_t lock;
	uint16_t next;		     // of its pairs, the one to begin with
	struct vhost_device *lender; // between lend and done, whose packets are out
	struct vring_counters counters;
} __rte_cache_aligned;

struct vhost_io {
	struct port_io io;
	struct rte_mempool *pool;
	_Atomic(struct vhost_device *) dev; // NULL: no driver

	// Sending.
	struct vhost_lane lanes[VHOST_LANES];

	// vhost_device.c, under its lock.
	struct vhost_io *next_io;
	unsigned int connections;
	_Atomic uint64_t devices; // how many were ready since the socket was made

	_Atomic uint64_t
		rarp; // the MAC that QEMU asks to announce, its first byte the lowest, and VHOST_RARP_ASKED; 0: none

	bool server; // in librte_vhost's words: QEMU connects
	char path[108];

	// Receiving.
	uint16_t n_shares;
	struct vhost_share shares[];
} __rte_cache_aligned;

static inline rte_spinlock_t *vhost_lock(struct vhost_io *v, uint16_t ring)
{
	return ring % 2 == 1 ? &v->shares[ring / 2 % v->n_shares].lock
			     : &v->lanes[ring / 2 % VHOST_LANES].lock;
}

static inline struct vring_counters *vhost_counters(struct vhost_io *v, uint16_t ring)
{
	return ring % 2 == 1 ? &v->shares[ring / 2 % v->n_shares].counters
			     : &v->lanes[ring / 2 % VHOST_LANES].counters;
}

uint16_t weft_vhost_rx(struct port_io *io, uint16_t share, struct rte_mbuf **pkts, uint16_t n);
uint16_t weft_vhost_lend(struct port_io *io, uint16_t share, struct rte_mbuf **pkts, uint16_t n);
void weft_vhost_done(struct port_io *io, uint16_t share);
uint16_t weft_vhost_shares(const struct port_io *io);
uint16_t weft_vhost_tx(struct port_io *io, struct rte_mbuf **pkts, uint16_t n);

extern const struct rte_vhost_device_ops weft_vhost_callbacks;

// From now on a connection to the socket of this path is the port's.
void weft_vhost_expect(struct vhost_io *v);
// After the socket's end: no callback knows the port any more.
void weft_vhost_forget(struct vhost_io *v);
