// SPDX-License-Identifier: Apache-2.0
// Vhost memory: what a front end shares by a descriptor, mapped: a VM's memory in regions, and the
// log of dirty pages.
//
// The front end's word is checked before it is mapped: it must be a file that is as long as it
// says, so that nothing is missing from the start. A file that can be sealed is sealed against
// becoming shorter; for others there is the guard (vhost_guard.h).
//
// Threads    under the loop's lock; the VM's memory and the log change only while no ring uses them
// Ownership  descriptors stay the caller's: a mapping needs none
// Errors     -errno, and nothing is mapped
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/native/io/vhost/vring.h"

// A table of all of a connection's regions is no longer than this: address space is not the front
// end's to use up.
#define VHOST_MEMORY_MAX (1ULL << 42)

struct vhost_mapping {
	void *at;
	size_t len; // 0: nothing
	int guard;
};

// As it stands in a SET_MEM_TABLE message.
struct vhost_region {
	uint64_t guest, size, user, offset;
};

struct vhost_shared {
	struct vring_memory table; // what rings use
	uint64_t user[VRING_REGIONS];
	struct vhost_mapping map[VRING_REGIONS];
};

// hit: as of vhost_guard.h.
int weft_vhost_memory_map(struct vhost_shared *m, const struct vhost_region *regions,
			  const int *fds, uint32_t n, _Atomic bool *hit);
void weft_vhost_memory_unmap(struct vhost_shared *m);
// Where an address of the front end's process is; NULL: not in the memory.
void *weft_vhost_memory_find(const struct vhost_shared *m, uint64_t user);

int weft_vhost_log_map(struct vring_log *log, struct vhost_mapping *map, int fd, uint64_t size,
		       uint64_t offset, _Atomic bool *hit);
void weft_vhost_log_unmap(struct vring_log *log, struct vhost_mapping *map);
