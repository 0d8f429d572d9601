// SPDX-License-Identifier: Apache-2.0
// Vring: one ring that is shared with a VM's driver, split or packed, from the device's end.
//
// Everything in it is the VM's and may change at any moment: each index, address and length is
// read once, checked, and used as it was read. A buffer's address is the VM's physical one; it is
// looked up in the memory that the VM shares, piece by piece, and nothing outside is ever
// touched. A chain that leads nowhere is given back unused and counted; a ring whose own indices
// are impossible is left alone until its driver sets it up anew.
//
// Lending: a long packet may stay where it is but for its head (lent.h), so that between VMs its
// payload is copied once. Its burst's buffers are shown to the driver when the caller is done
// with it. Not lent is what needs to be read whole (vnet.h), or is in more pieces than lent.h has
// room for.
//
// A burst is taken or given as a whole: the driver sees it, and is interrupted if it wants to be,
// when it is complete.
//
// Virtio 1.1, sections 2.6 (split), 2.7 (packed), 5.1.6 (the header of a packet).
//
// Threads    one at a time
// Ownership  the memory is the caller's: it must be mapped as long as a ring is in use
#pragma once

#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

#define VRING_PIECES  256 // of a chain, or of the chains for one packet
#define VRING_REGIONS 8	  // as many descriptors as a message may have
#define VRING_BURST   32

struct vring_region {
	uint64_t guest, size;
	uint8_t *host;
};

struct vring_memory {
	uint32_t n;
	struct vring_region at[VRING_REGIONS];
};

struct vring_log { // of dirty pages of 4 KB, a bit for each
	uint8_t *bits;
	uint64_t size; // in bytes
};

struct vring_place { // where a ring is, in the process; NULL: nowhere
	uint16_t index, size;
	void *desc, *avail, *used; // packed: slots, the driver's events, the device's
};

struct vring_counters {
	uint64_t malformed;  // chains that lead nowhere, and packets that cannot be
	uint64_t refused;    // packets that no chain can hold
	uint64_t interrupts; // sent to the driver
	// Times that a ring began without a way to interrupt its driver, as QEMU gave a wrong
	// one.
	uint64_t mute;
};

struct vring_state { // "vring" is the standard header's
	bool on;     // in use
	bool paused; // it was, and will be again (vhost_device.c)
	bool packed, event_idx, mergeable, ecn, logged;
	bool wrap;    // packed: the wrap counter of the lap
	bool lending; // chains are given back, but not shown to the driver yet (weft_vring_done)
	bool signalled_valid; // event index: `signalled` is known
	uint8_t header_len;   // 10 or 12
	uint16_t index;	      // among the device's
	uint16_t size, next;  // the next chain's place; split: a free running index
	uint16_t lent_from;   // if lending: where the first of them was
	uint16_t signalled;   // place at the last interrupt
	int call;	      // whom to interrupt; < 0: nobody
	const struct vring_memory *memory;
	const struct vring_log *log;
	union {
		struct vring_desc *desc;
		struct vring_packed_desc *slots;
	};
	union {
		struct vring_avail *avail;
		struct vring_packed_desc_event *driver;
	};
	union {
		struct vring_used *used;
		struct vring_packed_desc_event *device;
	};
	struct vring_counters *counters;
	// Packed: what is given back, but not yet written there.
	uint16_t n_held;
	struct vring_held {
		uint16_t id, slots;
	} held[VRING_BURST];
};

// Does a ring of these features lie there, in this memory?
bool weft_vring_fits(const struct vring_memory *memory, const struct vring_place *place,
		     uint64_t features);
// Use a ring with these features, from `base` on (vhost_packed.h). The driver is interrupted, as
// it may have missed something, by `call` (vhost_io.h says what that must be; < 0: not at all).
// False: the ring does not fit.
bool weft_vring_begin(struct vring_state *r, const struct vring_place *place, uint64_t features,
		      const struct vring_memory *memory, const struct vring_log *log,
		      struct vring_counters *counters, uint16_t base, int call);
// Where the next one begins.
uint16_t weft_vring_base(const struct vring_state *r);

// Packets that the driver sends; with their flags set as in port_io.h. How many. lend: long ones
// may be lent (lent.h), and the driver gets no buffer of this burst back before weft_vring_done,
// which need not be called if there is none.
uint16_t weft_vring_pop(struct vring_state *r, struct rte_mempool *pool, struct rte_mbuf **pkts,
			uint16_t n, bool lend);
void weft_vring_done(struct vring_state *r);
// Packets for the driver, as it can take them (flags it has not negotiated are not there any
// more). How many are done with, in order: the rest finds no place now. They may be lent. One
// that no place can hold is done with, and counted.
uint16_t weft_vring_push(struct vring_state *r, struct rte_mbuf *const *pkts, uint16_t n);
