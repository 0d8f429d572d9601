// SPDX-License-Identifier: Apache-2.0
// Vhost I/O: a port that is a vhost-user socket: what its files share.
//
//   vhost_io.c        the port: made and removed
//   vhost_loop.c      the thread that serves all sockets
//   vhost_socket.c    a port's socket: who connects, or whom it connects to
//   vhost_message.h   one message, as it comes and is answered
//   vhost_protocol.c  what messages mean
//   vhost_device.c    rings and devices: on, off, ready, gone
//   vhost_memory.h    what a front end shares; vhost_guard.h: when it takes it back
//   vhost_rx.c, vhost_tx.c  bursts
//   vring.h           one ring
//
// QEMU's end of the socket is the *front end*. It belongs to a VM, so it may be the VM's: nothing
// that it says, does not say, gives or takes back may hurt anybody but its own port. A message that
// cannot be is the end of its connection; nobody waits for what does not come; what came with it is
// closed.
//
// A connection is a *device* while its VM's driver is ready. It has queue pairs, each a ring for
// what the VM sends (1, 3, ...) and one for what it receives (0, 2, ...), which the driver turns on
// and off. The port uses the device that became ready last.
//
// Leaving    The loop's thread takes rings, memory or the whole device away at any time (the VM
//            reboots, memory is added, QEMU dies). So whoever touches a ring holds its lock: a
//            share's for those that the VM sends by, a lane's for those that it receives by; and
//            the thread turns a ring off under the same lock before its memory goes. The locks are
//            held for one burst (a share's until what was lent of it is sent) and never while
//            waiting for anybody.
// Sending    any thread: by the lane of its queue (several queues may share one).
// Receiving  pair p belongs to share p modulo their number (as many as workers); each share has a
//            worker that takes it.
// Loop       what is not for workers is under the loop's lock: its thread holds it while it serves
//            an event, the control thread when it makes, looks at or removes a port. Workers never
//            take it.
//
// Interrupts are written by workers to a descriptor that QEMU gives. It is looked at when its ring
// begins: what is no eventfd is never written to, and an eventfd is made not to block. That QEMU
// makes it block again while its ring is in use, nobody can forbid to those who share it.
#pragma once

#include <rte_mempool.h>
#include <rte_spinlock.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "datapath/native/io/port_io.h"
#include "datapath/native/io/vhost/vhost_message.h"
#include "datapath/native/io/vhost/vring.h"

#define VHOST_PAIRS_MAX	      128
#define VHOST_LANES	      16 // power of two
// Connections to one socket at a time: a new QEMU may come before the old one's end is seen.
#define VHOST_CONNECTIONS_MAX 4

#define VHOST_HAS(dev, feature) \
	((atomic_load_explicit(&(dev)->features, memory_order_relaxed) >> (feature)&1) != 0)

#define VHOST_RARP_ASKED (1ULL << 48)

struct vhost_io;

struct vhost_watch { // a descriptor that the loop looks at
	int fd;	     // < 0: none
	void (*ready)(struct vhost_watch *w);
};

struct vhost_setup { // of a ring, by what the front end said
	uint16_t size, base;
	bool has_addr, kicked, called, enabled;
	bool started; // all of it is there, and the ring was turned on
	bool paused;  // and will be again
	bool begun;   // it was on before, on this connection
	int call;     // < 0: none
	struct vhost_vring_addr addr;
};

struct vhost_device { // a connection
	struct vhost_io *io;
	// Memory of its own is (vhost_guard.h): what it says is worth nothing any more.
	_Atomic bool missing;

	// Under the loop's lock.
	struct vhost_watch watch;
	struct vhost_message message;
	uint64_t negotiated, protocol;	 // features
	uint16_t mtu;			 // that QEMU told the VM; 0: none
	uint16_t n_setup;		 // rings that were spoken of, from 0 on
	bool is_up;			 // the first pair is on
	bool is_mute;			 // a ring's interrupts were given up
	bool sends[VHOST_PAIRS_MAX];	 // which pairs the driver has on for sending
	struct vhost_mapping log_map[2]; // the one in use, and the place of the next
	uint8_t log_at;

	// For workers. Memory changes only while all rings are off, the log under all their locks.
	_Atomic uint64_t features;  // negotiated when it became ready
	_Atomic uint16_t n_pairs;   // one more than the highest that was ever on
	_Atomic uint16_t n_sending; // the same, of those that the driver has on for sending now
	struct vhost_shared memory;
	struct vring_log log;
	struct vhost_setup setup[2 * VHOST_PAIRS_MAX]; // under the loop's lock
	struct vring_state rings[2 * VHOST_PAIRS_MAX]; // each under its own
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

	_Atomic uint64_t devices; // how many were ready since the socket was made
	// The MAC that QEMU asks to announce, its first byte the lowest, and VHOST_RARP_ASKED; 0:
	// none.
	_Atomic uint64_t rarp;

	// Under the loop's lock.
	struct vhost_io *next_io;
	struct vhost_watch socket; // that others connect to
	bool waits;		   // for its socket to be tried again
	uint64_t warned_ms;	   // of a front end's fault; 0: never
	bool server;		   // QEMU connects
	char path[108];		   // "": it has left
	struct vhost_device connections[VHOST_CONNECTIONS_MAX];

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

// ---- The loop (vhost_loop.c); but for the first three under its lock ----

// The port is served from now on; the first one starts the thread. -errno.
int weft_vhost_loop_add(struct vhost_io *v);
// The last one ends it.
void weft_vhost_loop_remove(struct vhost_io *v);
void weft_vhost_loop_lock(bool on);
int weft_vhost_watch(struct vhost_watch *w);
void weft_vhost_rest(struct vhost_watch *w);	// until it is watched again
void weft_vhost_unwatch(struct vhost_watch *w); // and close it
// The port's socket is tried again a little later.
void weft_vhost_try_again(struct vhost_io *v);

// ---- A port's socket (vhost_socket.c), under the lock ----

int weft_vhost_socket_open(struct vhost_io *v, gid_t group, struct err *err);
void weft_vhost_socket_close(struct vhost_io *v);
// As often as it waits for that.
void weft_vhost_socket_try(struct vhost_io *v);

// ---- A connection (vhost_device.c, vhost_protocol.c), under the lock ----

// Takes the descriptor. -errno: it is closed.
int weft_vhost_device_begin(struct vhost_io *v, int fd);
void weft_vhost_device_end(struct vhost_device *d);
// What is known of a ring has changed: it is turned on or off, and the device with it.
void weft_vhost_ring_changed(struct vhost_device *d, uint16_t ring);
void weft_vhost_ring_off(struct vhost_device *d, uint16_t ring);
// Around what changes under a ring in use, or under all: they stop, and go on where they were.
void weft_vhost_pause_ring(struct vhost_device *d, uint16_t ring);
void weft_vhost_resume_ring(struct vhost_device *d, uint16_t ring);
void weft_vhost_pause(struct vhost_device *d);
void weft_vhost_resume(struct vhost_device *d);
// Another log, between two packets: none is lost. The former one may go then.
void weft_vhost_change_log(struct vhost_device *d, const struct vring_log *log);
// Whether written memory is noted in the log: at once.
void weft_vhost_set_logged(struct vhost_device *d, bool on);
// Of what a front end does: now, or it was warned of lately.
bool weft_vhost_may_warn(struct vhost_io *v);
// Changes that control wants to look at (weft_vhost_changes).
void weft_vhost_tell(void);
// The next messages have come, or the connection's end.
void weft_vhost_serve(struct vhost_watch *w);
