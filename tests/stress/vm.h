// SPDX-License-Identifier: Apache-2.0
// VM: a port's other end with its rings, and an exact account of what went through them.
//
// Rings are ours (vhost_lab.h), not a driver's, so that it is known to the packet what the other
// side took out of a ring and what it put in, even if the connection was cut under way: what it
// never took was not sent, and what it put in before it noticed has arrived. A cut connection's
// memory stays for a while (old), so that what still comes is seen.
//
// Threads    one
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "datapath/native/testing/vhost_lab.h"

#define VMS_MAX	    8
#define OLD_MAX	    16
#define VM_FRAME    1600 // longest frame
#define OLD_SECONDS 4	 // after which nobody has a cut connection's memory any more

enum stamp { // what the policy says of a packet at the moment when it is put into the ring
	STAMP_ALLOWED,
	STAMP_FORBIDDEN,
	STAMP_CHANGING, // may arrive or not
	STAMPS,
};

struct vm_slot { // of the sending ring: what to take back if it is never taken
	uint8_t class, dir, stamp;
};

struct vm_rings {
	struct lab_vm lab;
	struct vm_slot slots[LAB_RING];
	uint16_t used; // of the sending ring, checked so far
	double cut_at; // 0: connected
};

struct vm {
	char name[16], path[108];
	uint8_t mac[6], gateway[6], gateway6[6];
	uint8_t ip[4], ip6[16];
	struct vm_rings *rings;	       // NULL: not connected
	struct vm_rings *old[OLD_MAX]; // cut
	unsigned int n_old, connections, disorders;
	uint64_t arrived;		     // whatever it was
	uint64_t sent[STAMPS], seen[STAMPS]; // by this VM; of those, seen by whoever got them
	uint64_t asked, answered, icmp_errors, adverts; // ARP; not ours; not counted by weftd
	uint64_t never_taken, late; // at cuts: left in the ring; came afterwards
	uint64_t ring_full;	    // not sent: no place
};

// What came: the frame lies in the ring until the function returns. late: by a connection that is
// cut.
typedef void vm_receive_fn(void *arg, unsigned int vm, const uint8_t *frame, uint32_t len,
			   bool late);
// What was put into a ring and never taken.
typedef void vm_lost_fn(void *arg, const struct vm_slot *slot, unsigned int vm);

bool vm_connect(struct vm *v, uint64_t features);
// graceful: the driver is reset first, as when a VM shuts down; else the socket just ends.
void vm_cut(struct vm *v, bool graceful, double now);

// Places in the sending ring.
unsigned int vm_room(struct vm *v);
// A place for the next frame; vm_put() takes it. Only when there is room.
uint8_t *vm_frame(struct vm *v);
void vm_put(struct vm *v, uint32_t len, struct vm_slot slot);
void vm_publish(struct vm *v);

// How many came. `old` connections are looked after, too; those that are over are let go (all:
// now).
unsigned int vm_receive(struct vm *v, unsigned int index, unsigned int budget, vm_receive_fn *fn,
			void *arg);
void vm_bury(struct vm *v, unsigned int index, double now, bool all, vm_receive_fn *fn,
	     vm_lost_fn *lost, void *arg);
// Nothing is in the sending ring that was put there before the place `until` (vm_mark).
uint16_t vm_mark(const struct vm *v);
bool vm_passed(struct vm *v, uint16_t until);
