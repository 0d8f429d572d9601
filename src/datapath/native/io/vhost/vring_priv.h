// SPDX-License-Identifier: Apache-2.0
// What the two directions of a ring share.
#pragma once

#include "datapath/native/io/vhost/vring.h"

// 64 KB of IP, Ethernet and two tags.
#define PACKET_MAX (65535 + 22)

struct vring_piece {
	uint8_t *host;
	uint64_t guest;
	uint32_t len;
};

// The buffers of one chain, or of several for one packet.
struct vring_pieces {
	uint16_t n;
	uint64_t len;
	struct vring_piece at[VRING_PIECES];
};

struct vring_chain {
	uint16_t id;	// to give it back
	uint16_t slots; // packed: how many it takes in the ring
	bool ok;	// its buffers are there
	uint32_t len;	// split and packed: what was written
};

// How many chains the driver has put there, at most n; the ring is turned off when that cannot
// be. Packed: how many slots, which may be more.
uint16_t weft_vring_available(struct vring_state *r, uint16_t n);
// The chain `ahead` places (split: chains; packed: slots) behind the next one; its buffers are
// added to *p. False: the ring is broken.
bool weft_vring_chain(struct vring_state *r, uint16_t ahead, struct vring_chain *c,
		      struct vring_pieces *p);
// Packed: is there a chain, so many slots behind the next one?
bool weft_vring_has(const struct vring_state *r, uint16_t ahead);

// Give chains back. They are the next ones; the first is shown to the driver last.
void weft_vring_give(struct vring_state *r, const struct vring_chain *chains, uint16_t n);
// The same for one chain that the driver is not shown before weft_vring_publish; at most
// VRING_BURST of them.
void weft_vring_hold(struct vring_state *r, const struct vring_chain *c);
// The burst is complete: `before` is weft_vring_base at its begin.
void weft_vring_publish(struct vring_state *r, uint16_t before);

// Not logged. The first of n that are plain (vring_plain.h).
uint16_t weft_vring_pop_plain(struct vring_state *r, struct rte_mempool *pool,
			      struct rte_mbuf **pkts, uint16_t n, bool lend);
uint16_t weft_vring_push_plain(struct vring_state *r, struct rte_mbuf *const *pkts, uint16_t n);

// The header of a packet that asks for something, for this driver.
void weft_vring_header(const struct vring_state *r, const struct rte_mbuf *m,
		       struct virtio_net_hdr *h);

// Others read it at the same time.
static inline void vring_count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

// The driver's memory was written to.
void weft_vring_note(const struct vring_log *log, uint64_t guest, uint32_t len);

static inline void vring_log(const struct vring_state *r, uint64_t guest, uint32_t len)
{
	if (r->logged)
		weft_vring_note(r->log, guest, len);
}
