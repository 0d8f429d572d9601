// SPDX-License-Identifier: Apache-2.0
// Vhost lab: a VM's end of a vhost-user socket, made by hand, for tests and fuzzers: QEMU's
// messages and a driver with split or packed rings (vhost_lab_packed.c). It may do everything
// that a real one must not.
//
// Memory is one memfd of which both see the same pages; guest physical addresses are offsets into
// it. A ring's buffers are fixed: buffer i of ring r is at lab_buffer(). Packets have a
// virtio-net header of 12 bytes (VIRTIO_F_VERSION_1).
//
// Errors     what must not fail ends the process with a message
// Threads    one for each VM
#pragma once

#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef LAB_RING // who compiles vhost_lab.c for itself may have up to 1,024
#define LAB_RING 256
#endif
#define LAB_PAIRS	 4
#define LAB_RINGS	 (2 * LAB_PAIRS)
#define LAB_BUFFER	 2048
#define LAB_MEMORY	 (LAB_RINGS * (LAB_RING * LAB_BUFFER + 65536))
#define LAB_HEADER	 12
#define LAB_FEATURE(bit) (1ULL << (bit))

// The requests of QEMU's docs/interop/vhost-user.rst.
enum {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_LOG_BASE = 6,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	SET_VRING_ERR = 14,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	SET_VRING_ENABLE = 18,
	SEND_RARP = 19,
	NET_SET_MTU = 20,
	SET_SLAVE_REQ_FD = 21,
	GET_INFLIGHT_FD = 31,
	SET_INFLIGHT_FD = 32,
};

struct lab_ring {
	// Packed: the descriptors and the two event areas lie where desc, avail and used do.
	struct vring vring;
	uint16_t next;	    // of the avail ring, not yet published; packed: chains ever put
	uint16_t last_used; // already seen; packed: chains ever seen
	uint16_t next_buffer;
	int kick, call;
	// Packed: next_buffer is the slot that comes next.
	bool wrap, used_wrap;
	uint16_t used_slot;
	uint16_t slots[LAB_RING]; // of the chain with this id
	uint64_t addr[LAB_RING];  // of its first buffer
};

struct lab_vm {
	int fd, listener, memory_fd;
	uint8_t *memory;
	uint64_t user; // where it lies in QEMU, as the messages say
	unsigned int pairs, moves;
	uint64_t features; // negotiated
	uint64_t protocol; // of the protocol's own features, those that are negotiated
	uint8_t *log;	   // of dirty pages, a bit for each; NULL: none
	int log_fd;
	struct lab_ring rings[LAB_RINGS];
};

// How many this process has open.
unsigned int lab_descriptors(void);

void lab_vm_init(struct lab_vm *vm); // memory and rings; no connection
void lab_vm_fini(struct lab_vm *vm);

// QEMU as client: 0 or -errno. As server: listen, then accept what connects within wait_ms.
int lab_connect(struct lab_vm *vm, const char *path);
void lab_listen(struct lab_vm *vm, const char *path);
bool lab_accept(struct lab_vm *vm, int wait_ms);
void lab_disconnect(struct lab_vm *vm);

// A message of the front-end; fd -1: none. A reply is read where the protocol has one: *reply may
// be NULL. False: the other end hung up.
bool lab_message(struct lab_vm *vm, uint32_t request, const void *payload, uint32_t len,
		 const int *fds, size_t n_fds);
bool lab_ask(struct lab_vm *vm, uint32_t request, const void *payload, uint32_t len, void *reply,
	     uint32_t reply_len);

// What QEMU and the driver do until the device is ready: with these features of those that are
// offered (VERSION_1 is added), and empty rings. With VHOST_USER_F_PROTOCOL_FEATURES all that the
// lab knows of the protocol's features are negotiated as well. Returns when weftd has taken it.
bool lab_start(struct lab_vm *vm, uint64_t features, unsigned int pairs);
bool lab_share_memory(struct lab_vm *vm);
// Other memory with the same content, under rings that are in use. What the other side does
// meanwhile is lost.
bool lab_move_memory(struct lab_vm *vm);
void lab_reset_rings(struct lab_vm *vm);
bool lab_stop(struct lab_vm *vm); // a driver's reset: the rings are taken back
// A message that has no answer has been dealt with.
bool lab_wait(struct lab_vm *vm);

// A migration begins, and what is written to is noted from now on; or it is called off. Under
// rings in use.
bool lab_log_begin(struct lab_vm *vm);
bool lab_log_end(struct lab_vm *vm);
static inline bool lab_is_dirty(const struct lab_vm *vm, size_t page)
{
	return (vm->log[page / 8] >> (page % 8) & 1) != 0;
}
// A migrated VM goes on here: the world should learn where its MAC is.
bool lab_rarp(struct lab_vm *vm, const uint8_t mac[6]);

static inline uint64_t lab_buffer(unsigned int ring, unsigned int i)
{
	return (uint64_t)ring * (LAB_RING * LAB_BUFFER + 65536) + 65536 + (uint64_t)i * LAB_BUFFER;
}

// Put n empty buffers of len bytes into a receiving ring.
void lab_give(struct lab_vm *vm, unsigned int pair, unsigned int n, uint32_t len);
// Send a packet: its header, and the frame in pieces of at most `piece` bytes each (0: all in the
// header's descriptor, which is then as long as need be). False: the ring is full.
bool lab_send(struct lab_vm *vm, unsigned int pair, const struct virtio_net_hdr *h,
	      const void *frame, size_t len, size_t piece);
// Put a chain of descriptors as it is; the first is *d. Then publish it.
void lab_put(struct lab_vm *vm, unsigned int ring, const struct vring_desc *d, unsigned int n);
// How many chains of a ring are not yet used by the other side.
unsigned int lab_pending(struct lab_vm *vm, unsigned int ring);
// The next packet that came, over as many buffers as it took; -1: none.
long lab_receive(struct lab_vm *vm, unsigned int pair, struct virtio_net_hdr *h, void *frame,
		 size_t size);

// Of packed rings; the functions above lead here.
static inline bool lab_is_packed(const struct lab_vm *vm)
{
	return (vm->features >> 34 & 1) != 0; // VIRTIO_F_RING_PACKED
}
void lab_packed_reset(struct lab_ring *r);
void lab_packed_put(struct lab_ring *r, const struct vring_desc *d, unsigned int n);
unsigned int lab_packed_pending(const struct lab_ring *r);
// The next used chain: its buffer's address and length. False: there is none.
bool lab_packed_take(struct lab_ring *r, uint64_t *addr, uint32_t *len);
