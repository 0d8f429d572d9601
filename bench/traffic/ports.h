// SPDX-License-Identifier: Apache-2.0
// Pairs of virtio-user ports, each on a switch's two vhost-user sockets: the ends are the VMs A
// (0) and B (1).
//
// A stream is what one end has to send of one kind: a burst is made, and what the switch does not
// take stays staged for the next try, so that nothing is lost before the switch.
#pragma once

#include <rte_mbuf.h>
#include <stddef.h>
#include <stdint.h>

#define BURST 32

struct stream {
	uint32_t next; // user, or place in the order
	uint16_t n, done;
	struct rte_mbuf *staged[BURST]; // made but not yet taken by the switch
	uint64_t sent;
};

struct end { // one of the two VMs
	uint16_t port;
	struct stream known, fresh, answers; // answers are never staged
	uint64_t received, received_fresh, bad, checked;
};

struct pair {
	char name[64];
	struct end end[2];
	uint32_t fresh; // the next 5-tuple never used before
};

extern struct rte_mempool *tx_pool, *rx_pool;

// Both make the reason an English phrase, or NULL if all is well.
const char *pair_open(const char *name, const char *a, const char *b);
const char *pair_close(const char *name);
struct pair *pair_find(const char *name);

// What is staged goes back to the pool.
void stream_forget(struct stream *s);
// Empty the rings of what an earlier run left, and set the counters to 0.
void pair_drain(struct pair *p);
