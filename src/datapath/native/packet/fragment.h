// SPDX-License-Identifier: Apache-2.0
// Fragments: judged by their first fragment, in any order, without reassembly.
//
// The first fragment has the ports; its verdict holds for the rest, so only the ports are
// remembered: (port, addresses, protocol, id) -> ports. Later fragments that come before the first
// wait here, and are handed back when it arrives. Fragments that would overwrite the transport
// header are dropped (RFC 1858, 3128), as are tiny first fragments. What overlaps another fragment
// takes the rest of its datagram with it (RFC 5722); an exact copy of one goes where that one went
// and changes nothing (RFC 8200, 4.5).
//
// What waits is limited by the packet buffers that it takes, for each port and in all, and in time.
// A port below its fair share always gets in (shares.h).
//
// A datagram's fragments must come to one worker: a sender with several queues sends them by one,
// as all systems do, or they wait in vain. Each first fragment is judged by itself, so those of
// several workers permit no more than one's.
//
// Threads    one table per worker
// Ownership  a held mbuf belongs to the table until it is handed back or dropped
#pragma once

#include <rte_mbuf.h>
#include <stdint.h>

#include "datapath/frames/packet.h"

struct fragments;

// Takes the mbuf; calls nothing of this file.
typedef void (*fragment_drop)(void *arg, struct rte_mbuf *m, enum drop why);

// Capacity: datagrams known, buffers of fragments that wait. drop: for those that waited in vain.
struct fragments *weft_fragments_new(uint32_t datagrams, uint32_t buffers, fragment_drop drop,
				     void *arg);
void weft_fragments_free(struct fragments *f); // frees what is held, without a word

enum fragment_result {
	FRAGMENT_GO,   // p->key now has the ports: go on as with any packet
	FRAGMENT_HELD, // the mbuf waits
	FRAGMENT_DROP, // *why says why
};

// For a packet with p->fragment != FRAGMENT_NONE, whose length and source have been found good.
// After a FRAGMENT_GO of a first fragment, the caller takes the waiting ones with
// weft_fragments_take() and processes them after it.
enum fragment_result weft_fragment_in(struct fragments *f, struct rte_mbuf *m, struct packet *p,
				      uint32_t now_ms, enum drop *why);

// Up to n waiting fragments of the datagram that p (its first fragment) belongs to.
uint16_t weft_fragments_take(struct fragments *f, const struct packet *p, struct rte_mbuf **out,
			     uint16_t n);

// Forget datagrams older than 30 s, and drop what waits for their first fragment
// (DROP_FRAG_TIMEOUT): so many a call. What may be a copy, as it comes within a second after a
// datagram of its name was whole, waits a second. Cheap when idle.
void weft_fragments_expire(struct fragments *f, uint32_t now_ms);
