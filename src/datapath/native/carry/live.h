// SPDX-License-Identifier: Apache-2.0
// Live: what becomes of real packets at one port (`weft trace --live`), a bounded sample of them.
//
// One port of the node is watched at a time. Each worker has a ring of its own for what it sees of
// that port; it writes, the control thread reads, neither waits. A worker takes so many packets a
// second and never more than the ring holds; what matched and was not taken is counted.
//
//   what the port sends      the worker takes the packet out of its burst and carries it alone
//                            (weft_live_burst), so all that happens meanwhile happens to it
//   what the port is sent    is seen when the port's queue is flushed; the session, found by the
//                            answer's key, says where it came from and what it was
//   what the port is not     the slow path says where a packet leads before it is refused
//   sent
//
// Nobody else pays: without a watch, workers test one pointer of their own for each burst, each
// flush, and each packet of the slow path. What weftd says unasked (announcements, advertisements)
// does not come by a worker and is not seen.
//
// Here is the workers' side; show/live_watch.h is the control thread's.
//
// Threads    the worker; control makes a `struct live`, and reads its ring
#pragma once

#include "datapath/native/judge/judge.h"
#include "datapath/native/worker/worker.h"

#define LIVE_SLOTS	256 // power of two; of each worker's ring
#define LIVE_BYTES	128 // kept of a packet
#define LIVE_PER_SECOND 100 // by each worker, and as many at once
#define LIVE_OUT	4   // ways out that are told; all are counted

enum live_flow { // what the session table knows of it
	LIVE_NO_FLOW,
	LIVE_FIRST, // this packet made the session
	LIVE_OF_FLOW,
};

struct live_frame {
	uint16_t len;	// of the bytes kept; 0 = not known
	uint32_t total; // of the frame
	uint8_t bytes[LIVE_BYTES];
};

struct live_record {
	uint64_t at;  // rte_rdtsc()
	bool to_port; // or from it
	bool waits;   // for its next hop, or for its first fragment
	bool answered, flooded;
	uint16_t in_port;    // NATIVE_NO_PORT = not known
	uint16_t why;	     // enum drop
	uint8_t flow, state; // enum live_flow, enum session_state
	bool refused, translated;
	uint16_t n_out; // ways out
	uint16_t out[LIVE_OUT];
	struct flow_key came; // to the port, translated: as it was before
	char egress_rule[WEFT_ID_LEN + 1], ingress_rule[WEFT_ID_LEN + 1]; // that permitted it
	struct live_frame here;	  // as the port sent it, or as it is sent
	struct live_frame leaves; // from the port: by its first way out
};

struct live {			  // a worker's part of a watch
	struct onlooker onlooker; // first
	// Never change:
	uint16_t port;
	struct datapath_filter filter;
	// The worker's:
	uint32_t at_ms, spent;	  // of what it may take
	uint16_t in_port;	  // of this burst
	bool in_burst;		  // or a packet goes on that has waited
	const struct rte_mbuf *m; // in hand; NULL = none
	bool tells;		  // the port sent it, and it is taken
	uint16_t leads_to;	  // by what is known of it so far
	uint32_t n_sent, n_lost;  // of it, by all ways out
	enum drop lost;
	struct live_record now;
	uint16_t n_leaving; // records behind the head, of the flush that is going on
	const struct rte_mbuf *leaving[NATIVE_BURST];
	_Atomic uint64_t matched, missed;
	_Atomic uint32_t head; // ever written
	// Control's:
	_Atomic uint32_t tail; // ever read
	struct live_record ring[LIVE_SLOTS];
};

// NULL: nobody watches.
static inline struct live *weft_live(const struct worker *w)
{
	return (struct live *)atomic_load_explicit(&w->onlooker, memory_order_acquire);
}

// In place of what they are called in, while there is a watch.
void weft_live_burst(struct worker *w, uint16_t in_port, struct rte_mbuf **pkts, uint16_t n);
void weft_live_slow(struct worker *w, struct rte_mbuf *m, uint16_t in_port);

// A worker's part of a watch begins: it is an onlooker. Control.
void weft_live_init(struct live *l, uint16_t port, const struct datapath_filter *filter);

// What is found out about the packet in hand.
void weft_live_judged(struct live *l, const struct judge *j);
void weft_live_leads(struct live *l, struct session *s); // where its session leads
// A receiver of a flood does not get it.
void weft_live_refused(struct live *l, struct worker *w, const struct rte_mbuf *m,
		       const struct judge *j, uint16_t port, enum drop why);

// Does a frame match?
bool weft_live_matches(const struct datapath_filter *f, const struct packet *p);
