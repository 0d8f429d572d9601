// SPDX-License-Identifier: Apache-2.0
// Vhost messages: how they come by a socket, and what is answered.
//
// A front end may send a message in pieces, or only half of one, and may not read its answers:
// nobody waits for it. What comes is taken when it is there; what finds no room in its socket is
// the connection's end. Descriptors that come with a message are the message's, whatever its sense:
// who has dealt with it closes what he did not take.
//
// QEMU's docs/interop/vhost-user.rst.
//
// Threads    under the loop's lock
#pragma once

#include <linux/vhost_types.h>
#include <stdbool.h>
#include <stdint.h>

#include "datapath/native/io/vhost/vhost_memory.h"

#define VHOST_FDS_MAX 8

enum vhost_request {
	VHOST_GET_FEATURES = 1,
	VHOST_SET_FEATURES = 2,
	VHOST_SET_OWNER = 3,
	VHOST_RESET_OWNER = 4,
	VHOST_SET_MEM_TABLE = 5,
	VHOST_SET_LOG_BASE = 6,
	VHOST_SET_LOG_FD = 7,
	VHOST_SET_VRING_NUM = 8,
	VHOST_SET_VRING_ADDR = 9,
	VHOST_SET_VRING_BASE = 10,
	VHOST_GET_VRING_BASE = 11,
	VHOST_SET_VRING_KICK = 12,
	VHOST_SET_VRING_CALL = 13,
	VHOST_SET_VRING_ERR = 14,
	VHOST_GET_PROTOCOL_FEATURES = 15,
	VHOST_SET_PROTOCOL_FEATURES = 16,
	VHOST_GET_QUEUE_NUM = 17,
	VHOST_SET_VRING_ENABLE = 18,
	VHOST_SEND_RARP = 19,
	VHOST_NET_SET_MTU = 20,
	VHOST_REQUESTS,
};

struct vhost_message {
	uint32_t got; // bytes, header and payload
	struct vhost_message_header {
		uint32_t request, flags, size;
	} header;
	union {
		uint64_t u64;
		struct vhost_vring_state state;
		struct vhost_vring_addr addr;
		struct {
			uint32_t n, padding;
			struct vhost_region regions[VRING_REGIONS];
		} memory;
		struct {
			uint64_t size, offset;
		} log;
	} payload;
	int n_fds, fds[VHOST_FDS_MAX];
};

// Take what is there. 1: the message is whole; 0: not yet; -errno: -ECONNRESET is the connection's
// end, all else is the peer's fault.
int weft_vhost_message_read(int fd, struct vhost_message *m);
// As an answer to m: its payload with this size. -errno.
int weft_vhost_message_reply(int fd, struct vhost_message *m, uint32_t size);
// Its descriptor is the caller's now.
int weft_vhost_message_take_fd(struct vhost_message *m);
// Done with: descriptors are closed, and the next one may be read.
void weft_vhost_message_end(struct vhost_message *m);

static inline bool vhost_message_wants_ack(const struct vhost_message *m)
{
	return (m->header.flags & 1u << 3) != 0;
}
