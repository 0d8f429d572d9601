// SPDX-License-Identifier: Apache-2.0
// Sessions: the exact-match cache of composed actions.
//
// A session maps one direction of a connection to what the slow path composed for it. Both
// directions are created together, stand side by side in memory (the original direction first)
// and die together. A direction is one cache line (IPv4) or two (IPv6: the second holds the
// addresses).
//
// The index is an array of 64-byte buckets, eight 8-byte words each: the session's number, a tag
// of its hash. A word is published and withdrawn by one atomic store, so look-ups take no lock
// and any worker may add or remove; a removed pair is reused only after every worker has passed a
// quiescent point. When both buckets of a key are full, or the table or a share of it is used up,
// a pair of a lower class makes room: expired, then unanswered (of the port that has most), then
// what the rules refuse by now, then closing, then one question with one answer (no TCP), then
// what was silent for a quarter of its timeout.
//
// Shares: a connection counts for the port of this node that began it, or, if it came from outside,
// that it leads to; and for that port's project. Each may have a share of the table. Within its own
// share a port's new flows take the place of its own oldest ones; a full table is divided fairly: a
// port that has less than its part (the table, divided by the ports that have anything) always gets
// in, and the established flow that was silent longest of a port that has more gives way. Nobody
// else's unanswered or established flows do; so whoever has little loses nothing to whoever has
// much. Of the flows that established ones made room for, 256 may be unanswered (by worker): from
// then on each takes the place of the oldest of its own port. So a flood of first packets costs no
// more.
//
// Revocation: `gen` is the sum of the policy generations of the two ports at composition; both
// only grow, so the sum differs as soon as one did. A stale session is judged again on its next
// packet; nothing walks the table.
//
// A direction's packets may come to several workers at once, in whatever order: a VM chooses the
// queue. So its state, flags and generation change atomically (session_tcp.c, slow_session.c),
// and its MACs are corrected by one worker at a time; who reads them half corrected sends a frame
// to nobody, or by the stages. Its counters are stored without a lock, and then one worker may
// undo another's count.
//
// Time is milliseconds since start in 32 bits, compared by signed difference.
//
// Threads    get: any worker; add, remove, expire, update: any worker with its own
//            session_worker, all of which are made before any of them runs; each: control thread
// Errors     look-ups miss (NULL); add says why not with a drop reason
#pragma once

#include <rte_rcu_qsbr.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "datapath/datapath.h"
#include "datapath/frames/drop.h"
#include "datapath/frames/flow.h"

enum session_state { // of the connection; kept in the original direction's line
	SESSION_FREE,
	SESSION_NEW,	     // unanswered: nothing came back yet
	SESSION_ESTABLISHED, // answered; TCP: handshake complete
	SESSION_CLOSING,     // TCP: FIN both ways, or RST
	SESSION_GONE, // removed; found its way to no free list yet (the table's own business)
};

enum session_flag {
	SESSION_REPLY = 1 << 0, // this is the reply direction (second of the pair)
	// This direction must be judged packet by packet (a stateless group does not permit it).
	SESSION_SLOW = 1 << 1,
	SESSION_NAT = 1 << 3,	       // addresses or ports change: to the peer's key, reversed
	SESSION_PICKED_UP = 1 << 4,    // TCP connection seen first in the middle
	SESSION_FROM_OUTSIDE = 1 << 2, // it counts for the port that the original leads to
	SESSION_UNTRACKED = 1 << 5,    // neither port asks for state: TCP flags never drop a packet
	// On the original: the rules no longer permit this connection. It stays, and is judged
	// again by each packet, so that one from the other end does not pass for the beginning of
	// a flow of its own.
	SESSION_REFUSED = 1 << 6,
	// On the original: a worker writes down what it has found out about the connection: its
	// MACs, its generation, whether it is refused.
	SESSION_CORRECTING = 1 << 7,
	// On the original: a claim whose answers are another connection's (slow_claim.c).
	SESSION_DISPROVED = 1 << 8,
	SESSION_HOPS_SHIFT = 12, // four bits: routers passed, so much is taken from the TTL
};

struct session { // one direction
	struct flow_key4 {
		uint16_t in_port;
		uint8_t proto;
		uint8_t family;
		be16_t sport, dport;
		be32_t src4, dst4; // IPv6: 0, the addresses follow in session6
	} key;
	uint8_t eth_in[12];  // what a packet's destination and source MAC must be
	uint8_t eth_out[12]; // what they become
	uint16_t out_port;
	uint16_t flags;	  // enum session_flag
	uint32_t gen;	  // policy generations of in_port + out_port when composed
	uint32_t seen_ms; // last packet
	uint32_t packets;
	// 48-bit byte counter; of a claim's reply, before its first packet, slow_claim.c's.
	uint32_t bytes_low;
	uint16_t bytes_high;
	// Enum session_state of the connection; in the reply direction a copy that may lag.
	uint8_t state;
	uint8_t tcp_flags; // FIN, SYN, RST and ACK seen in this direction, or'ed; see session_tcp.c
};

struct session6 {
	struct session s;
	uint8_t src6[16], dst6[16];
	uint8_t reserved[32];
};

_Static_assert(sizeof(struct session) == 64, "one cache line");
_Static_assert(sizeof(struct session6) == 128, "two cache lines");

struct session_config {
	uint32_t connections; // capacity, per address family; rounded up to a power of two
	uint32_t port_share_percent, project_share_percent; // of one family's; 0 or 100: no limit
	uint16_t max_ports;				    // port indexes are below this
	bool huge; // ask for huge pages (falls back to transparent ones)
	bool tcp_loose;
	struct datapath_timeouts timeouts;
	struct rte_rcu_qsbr *qsbr; // NULL: single threaded (tests)
};

struct session_table;
struct session_worker; // a worker's free pairs and limbo

int weft_sessions_new(const struct session_config *config, struct session_table **out,
		      struct err *err);
void weft_sessions_free(struct session_table *t);
struct session_worker *weft_session_worker_new(
	struct session_table *t); // NULL: no memory, or more than 128
void weft_session_worker_free(struct session_worker *w);

struct session *weft_session_get(const struct session_table *t, const struct flow_key *key,
				 uint32_t hash);
// n <= 64. out[i] = the session or NULL. Keys with skip bit i set in `skip` are left alone
// (out[i] = NULL). Prefetches buckets, then lines, so that the memory latency of a burst
// overlaps.
void weft_session_get_bulk(const struct session_table *t, const struct flow_key *keys,
			   const uint32_t *hashes, uint16_t n, uint64_t skip, struct session **out);

// Fetch ahead where the index has this key: call it for the reply's key as soon as that is known,
// some 100 ns before add, and add does not wait for memory.
void weft_session_prefetch(const struct session_table *t, const struct flow_key *key);

// Other workers change these.
static inline uint16_t weft_session_flags(const struct session *s)
{
	return __atomic_load_n(&s->flags, __ATOMIC_RELAXED);
}

static inline uint16_t weft_session_out_port(const struct session *s)
{
	return __atomic_load_n(&s->out_port, __ATOMIC_RELAXED);
}

// enum session_state; in the reply direction a copy that may lag.
static inline uint8_t weft_session_state(const struct session *s)
{
	return __atomic_load_n(&s->state, __ATOMIC_RELAXED);
}

static inline struct session *weft_session_peer(struct session *s)
{
	size_t step = s->key.family == 6 ? sizeof(struct session6) : sizeof(struct session);

	return (struct session *)(weft_session_flags(s) & SESSION_REPLY ? (char *)s - step
									: (char *)s + step);
}

// Is it a claim: a translated TCP connection, picked up in the middle, that nobody has answered
// yet? Whether the port that it took is its own is not known then (slow_claim.c).
static inline bool weft_session_is_claim(const struct session *s)
{
	const uint16_t both = SESSION_NAT | SESSION_PICKED_UP;

	return (weft_session_flags(s) & both) == both && weft_session_state(s) == SESSION_NEW;
}

static inline struct session *weft_session_original(struct session *s)
{
	return weft_session_flags(s) & SESSION_REPLY ? weft_session_peer(s) : s;
}

struct session_direction {
	struct flow_key key;
	uint8_t eth_in[12], eth_out[12];
	uint16_t out_port;
	uint16_t flags; // SESSION_REPLY is set by add
};

struct session_new {
	struct session_direction original, reply;
	uint32_t gen;
	uint8_t tcp_flags; // of the first packet, 0 if not TCP
	uint32_t bytes;	   // of the first packet
};

// Make both directions and publish them. NULL with *why = DROP_SESSIONS_FULL, DROP_PORT_SESSIONS
// or DROP_PROJECT_SESSIONS when nothing that may make room was found. If the original key exists
// already (another worker was faster), that session is returned. If the reply's key exists
// already in another connection, that one is outdated (the same addresses now enter at another
// port) and is removed; but if either is translated (SESSION_NAT), the present one keeps its
// place, and the new one fails with DROP_SESSION_CLASH. DROP_INTERNAL: the keys cannot be a pair.
struct session *weft_session_add(struct session_worker *w, const struct session_new *n,
				 uint32_t now_ms, enum drop *why);
// The whole connection, from either direction. False: somebody was faster.
bool weft_session_remove(struct session_worker *w, struct session *s);

// What a packet of an existing session does to its state. TCP: flags as in the header. Returns
// DROP_NONE, or DROP_TCP_FLAGS / DROP_TCP_STATE for a packet that cannot belong (e.g. SYN+FIN).
// Called for every packet that is not a plain ACK of an established connection; cheap enough for
// all. A SYN of either end to a closing connection is a new connection's: *reopened is true,
// nothing is changed, and the caller removes the session and judges the packet as one of no
// session.
enum drop weft_session_update(struct session_table *t, struct session *s, uint8_t tcp_flags,
			      bool *reopened);

// May a packet with these TCP flags open a connection? DROP_NONE, DROP_TCP_FLAGS or DROP_TCP_STATE.
enum drop weft_tcp_may_open(uint8_t tcp_flags, bool loose);

// The slow clock hand: look at up to `budget` pairs and forget idle ones. Returns how many were
// removed. Call every burst or so with a budget of 32 to 64: it paces itself by the time that has
// passed since the worker's last call, so that a full turn takes ten seconds (less in a small
// table), and costs next to nothing within the same millisecond.
uint32_t weft_session_expire(struct session_worker *w, uint32_t now_ms, uint32_t budget);

// Milliseconds of idle time after which this connection expires, by protocol and state.
uint32_t weft_session_timeout_ms(const struct session_table *t, const struct session *original);

// Is no port behind the index any more (true), or a new one (false)? The connections of a port
// that is gone, from and to it, are expired whatever their state: within a turn of the clock hand
// they are forgotten. A new port has none. Control thread.
void weft_session_port_gone(struct session_table *t, uint16_t port, bool gone);

// The port's connections that have no packet later than that are over: from and to it, whatever
// their state. Within a turn of the clock hand they are forgotten; until then they are found, and
// who finds one that is stale asks weft_session_is_over(). One that is marked (SESSION_REFUSED)
// keeps its place: else a packet in the middle of it would be taken for the beginning of a
// permitted flow. Control thread.
void weft_session_port_flush(struct session_table *t, uint16_t port, uint32_t at_ms);
// It is over: one of its ports is gone, or was flushed since its last packet.
bool weft_session_is_over(const struct session_table *t, const struct session *original);
// What was flushed so long ago that nothing of it is left: forget that it was. Control thread, now
// and then.
void weft_session_flush_forget(struct session_table *t, uint32_t now_ms);

// The port stands for those who are not on this node (an uplink): what comes from there counts for
// where it leads to. Control thread, before its first packet.
void weft_session_port_outside(struct session_table *t, uint16_t port, bool outside);

// The port belongs to a project, a number below max_ports + 1; 0 = none, no limit. Control thread,
// before its first packet.
void weft_session_port_project(struct session_table *t, uint16_t port, uint16_t project);

uint32_t weft_session_count(const struct session_table *t);
uint32_t weft_session_capacity(const struct session_table *t); // of each address family
uint32_t weft_session_port_count(const struct session_table *t, uint16_t port);
uint32_t weft_session_port_unanswered(const struct session_table *t,
				      uint16_t port); // of these, NEW
size_t weft_session_memory_for(uint32_t connections); // what a table of that size would reserve
// Of the port's project; 0 if it has none.
uint32_t weft_session_project_count(const struct session_table *t, uint16_t port);
size_t weft_session_memory(const struct session_table *t);		      // bytes reserved
size_t weft_session_memory_of(const struct session_table *t, uint8_t family); // for one family

// Original directions, in table order, possibly changing meanwhile: copies. visit returns false
// to stop.
struct session_copy {
	struct session original, reply;
	struct flow_key key; // of the original, whole
	uint32_t idle_ms, expires_ms;
};
void weft_session_each(struct session_table *t, uint32_t now_ms,
		       bool (*visit)(const struct session_copy *s, void *arg), void *arg);
void weft_session_key(const struct session *s, struct flow_key *out);
