// SPDX-License-Identifier: Apache-2.0
// Worker: what one thread that carries packets has in its hands: its clock, its queues, its
// counters.
//
// Its turn is carry/turn.h; what it shares with others is the node (policy.h).
//
// Threads    the worker; counters are read by any (counter.h)
#pragma once

#include <pthread.h>
#include <rte_mbuf.h>

#include "datapath/native/packet/fragment.h"
#include "datapath/native/policy/policy.h"
#include "datapath/native/worker/priority.h"

struct trunk; // the device of a physical network (outside/uplink.h)

struct port_stats {
	uint64_t rx_packets, rx_bytes; // from the VM
	uint64_t tx_packets, tx_bytes; // to the VM
	uint64_t drops;		       // of packets that it sent
	uint64_t tx_drops;	       // of packets that were for it
};

struct tx_queue { // packets of the present burst for one port
	uint16_t n;
	struct rte_mbuf *pkts[NATIVE_BURST];
};

struct poll { // a worker's share of what a port receives
	struct port *port;
	uint16_t share;
};

struct poll_list {
	uint16_t n, n_trunks;
	struct trunk *trunks[NATIVE_MAX_TRUNKS];
	struct poll polls[];
};

#define DROP_SAMPLES	256 // power of two
#define DROP_SAMPLE_LEN 128

// How many ICMP errors a port may cause by each worker: so many at once, and so many a second.
// Behind an uplink are many hosts: each of them has as much, by a hash of its address, and all of
// them together have more.
#define ICMP_BURST	       20
#define ICMP_PER_SECOND	       100
#define ICMP_SOURCES	       256 // power of two
#define ICMP_UPLINK_BURST      200
#define ICMP_UPLINK_PER_SECOND 1000

struct icmp_bucket {
	uint32_t at_ms;
	uint32_t spent; // of the burst
};

struct drop_sample {
	uint32_t at_ms;
	uint16_t port;
	uint16_t reason;
	uint16_t len;	// of the bytes kept
	uint32_t total; // of the frame
	uint8_t bytes[DROP_SAMPLE_LEN];
};

struct worker_stats {
	uint64_t polls, empty_polls;
	uint64_t packets;     // handled in non-empty polls
	uint64_t busy_cycles; // spent in non-empty polls
	uint64_t fast, slow;  // packets by path
	uint64_t judged;      // flows judged for the first time
	uint64_t rejudged;    // sessions judged again after a policy change
	uint64_t revoked;     // of them, cut
	uint64_t sessions_added, sessions_expired;
	uint64_t related;    // ICMP errors carried for a known flow
	uint64_t translated; // sessions added with an address or a port changed
	uint64_t nat_tries;  // ports tried for them that were in use
	uint64_t advertised; // router advertisements in answer to solicitations
	uint64_t sleeps;
};

// What the next new flow is likely to have in common with the last one (weft_fast_burst).
struct made {
	uint16_t reply_port;
	rte_be32_t src, dst, reply_src, reply_dst; // IPv4
};

struct worker;

// Who watches what becomes of packets (carry/live.h).
struct onlooker {
	// A port's queue is about to be sent; some of it could not be; the rest was.
	void (*leaving)(struct onlooker *o, struct worker *w, uint16_t out_port,
			struct rte_mbuf *const *pkts, uint16_t n);
	void (*lost)(struct onlooker *o, uint16_t out_port, struct rte_mbuf *const *pkts,
		     uint16_t n, enum drop why);
	void (*left)(struct onlooker *o);
	void (*dropped)(struct onlooker *o, struct worker *w, const struct rte_mbuf *m,
			enum drop why);
};

struct worker {
	struct node *node;
	uint16_t id;
	int core;
	uint64_t epoch;	 // of this burst
	uint32_t now_ms; // of this burst
	_Atomic(struct poll_list *) polls;
	_Atomic(struct onlooker *) onlooker; // NULL: nobody watches
	struct session_table *sessions;
	struct session_worker *session_worker;
	struct fragments *fragments;
	struct tx_queue *tx; // by port index
	uint16_t n_dirty;    // ports with something in tx
	bool lent;	     // packets of this burst may be (lent.h)
	uint32_t n_cut;	     // fragments that were made of this burst (route.c)
	struct made made;    // the last session
	uint16_t dirty[NATIVE_MAX_PORTS];
	struct worker_stats stats;
	struct icmp_bucket *icmp;			 // by port index
	struct icmp_bucket (*icmp_source)[ICMP_SOURCES]; // by port index, of uplinks, and by source
	uint32_t *advertised_ms; // by port index: the last advertisement to all nodes, 0 = never
	struct port_stats *port_stats; // by port index
	uint64_t drops[DROP_COUNT];
	uint32_t (*port_drops)[DROP_COUNT]; // by port index, of packets that the port sent
	_Atomic uint32_t n_samples;	    // ever written
	struct drop_sample samples[DROP_SAMPLES];
	pthread_t thread;
	bool started;
	struct priority priority;
};

// Who takes a packet, and says in which hands it is.
typedef void (*packet_sink)(struct worker *w, struct rte_mbuf *m, uint16_t in_port);

// Every drop ends here: counted, sampled, freed. in_port may be NATIVE_NO_PORT.
void weft_drop(struct worker *w, struct rte_mbuf *m, uint16_t in_port, enum drop reason);
// Hand a packet to a port's queue; sent at the end of the burst or when the queue is full.
void weft_send_flush(struct worker *w);
static inline void weft_send(struct worker *w, struct rte_mbuf *m, uint16_t out_port)
{
	struct tx_queue *q = &w->tx[out_port];

	if (q->n == 0)
		w->dirty[w->n_dirty++] = out_port;
	q->pkts[q->n++] = m;
	if (q->n == NATIVE_BURST)
		weft_send_flush(w);
}

int weft_worker_new(struct node *node, uint16_t id, int core, struct worker **out, struct err *err);
void weft_worker_free(struct worker *w); // its thread must have ended
