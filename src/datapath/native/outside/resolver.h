// SPDX-License-Identifier: Apache-2.0
// Resolver: what only the wire knows. The plan says who may have an address or a MAC (claim.h);
// where that leaves a doubt, or the plan knows nobody, this table says who has it: the MAC and
// the port of an address, the port of a MAC.
//
//   address   next hops outside; of this node's networks what several ports share by allowed
//             pairs, what a port without port security has (its MAC is its own affair), what lies
//             in a pair for a prefix. It is asked for when a router needs it; VMs ask for
//             themselves
//   MAC       those that several ports share, and those behind ports without port security. They
//             are heard, never asked for
//
// A table of fixed size that all workers share without a lock: an entry's key is written once,
// before the entry is published; its MAC (of a MAC: its port) and state are one 64-bit word. The
// worker whose packet needs an unknown next hop asks (ARP, RFC 826; ND, RFC 4861) all who may
// have it, and keeps the packet, a few for each next hop and more for one that a route leads to,
// and goes on with it when somebody's worker has heard the answer. A question is repeated three
// times, a second apart; then the packets are dropped and their senders told that the host is
// unreachable, and for some seconds nobody asks again; unless the plan gives the address to
// somebody by fixed IP: then they go there. A known next hop is asked again every 30 seconds (by
// unicast first), and one that has another MAC or port makes stale the sessions of the port where
// it was. While it does not answer the last known MAC is used, until it has failed for good.
//
// What is heard of an address is taken if it is asked for or known; who may have it and said so
// last, has it. So a virtual router's standby, a MAC of its own or not, is followed by its first
// announcement. Nothing moves twice within a second, and what one port takes over from others is
// limited: two that quarrel cannot make all sessions stale with each packet.
//
// Anybody can make a router ask, by sending to many addresses of a subnet. So each port may ask
// for so many new next hops a second, unanswered questions have a part of the table to
// themselves, and known next hops never make room for them. The next hops of routes are exempt:
// there are as many as the plan has. MACs have a part of the table, too, and each port a part of
// that; of the port that has the most the least used go.
//
// Claims for an address that the plan gives to somebody else are not believed; those from the
// physical network are counted and shown as conflicts, and floating IPs and routers' own
// addresses are defended (announce.h).
//
// Threads    get: any reader; hold, heard, turn: workers; tick, each: control
// Ownership  hold takes the mbuf; packets that still wait are freed with the resolver
#pragma once

#include "base/text.h"
#include "datapath/frames/packet.h"
#include "datapath/native/policy/claim.h"
#include "datapath/native/worker/worker.h"

enum next_hop_state {
	NEXT_HOP_UNKNOWN, // ask: VERDICT_RESOLVE
	NEXT_HOP_KNOWN,
	NEXT_HOP_FAILED, // did not answer lately: DROP_NEXT_HOP
};

struct resolver *weft_resolver_new(struct node *node);
void weft_resolver_free(struct resolver *r); // workers must have stopped

// Whose MAC must be known before the packet can go on.
struct next_hop {
	uint32_t network_index;
	struct ip_addr ip;
	struct ip_addr from; // the asking router's address there, and its MAC
	struct mac_addr from_mac;
	bool is_destination; // the packet is for it; else a route leads there
};

struct next_hop_at {
	struct mac_addr mac;
	uint16_t port; // where it was heard
};

// Of an address that is not certain; claim: what the plan says of it. No side effects, but that
// it counts as a use (when the table is full, the least used go).
enum next_hop_state weft_resolver_get(const struct resolver *r, uint64_t epoch,
				      const struct address_claim *claim, uint32_t network,
				      const struct ip_addr *ip, struct next_hop_at *at);

// Where the MAC was seen last, if the plan does not give it to one port alone; NATIVE_NO_PORT =
// nowhere. It counts as a use.
uint16_t weft_resolver_port_of(const struct resolver *r, uint64_t epoch, uint32_t network,
			       const struct mac_addr *mac);

// Is there anything about the address: has somebody asked for it?
bool weft_resolver_has(const struct resolver *r, const struct neighbour_key *key);

// Changes whenever a known next hop moved or failed. What was judged before is not to be kept
// after.
uint32_t weft_resolver_version(const struct resolver *r);

// Takes a packet of the port that must wait, and asks for the next hop if nobody has. It comes back
// by weft_resolver_turn when the answer is there, or when there is none: then it is judged as for a
// failed next hop. A packet for which there is no place is dropped (DROP_NEXT_HOP_WAIT).
void weft_resolver_hold(struct worker *w, struct rte_mbuf *m, uint16_t in_port,
			const struct next_hop *ask);

// What a packet from any port tells about where its sender's MAC is, and ARP or ND about who has
// an address, is remembered, if it may be said by that port. Of addresses only what is asked for
// or known already is taken; nobody fills the table from outside. True: it was an answer to one
// of the routers, and so is of no further use. The mbuf stays the caller's.
bool weft_resolver_heard(struct worker *w, const struct rte_mbuf *m, const struct packet *p);

// Each turn of a worker, and before what must not overtake the packets that wait: costs nothing
// when none does. go_on takes those that wait no longer: weft_slow_packet.
void weft_resolver_turn(struct worker *w, packet_sink go_on);

// Ten times a second: questions are repeated, next hops refreshed, entries given up and reused.
void weft_resolver_tick(struct resolver *r, uint32_t now_ms);

struct next_hop_view {
	uint32_t network_index;
	struct ip_addr ip;
	bool has_mac;
	struct mac_addr mac;
	const char *state; // "known", "asking", "failed"
	uint16_t port;	   // where it was heard; NATIVE_NO_PORT = nowhere
	uint32_t since_ms; // it has been so
	// The last time that it was heard of, and believed; where it was heard at all.
	uint32_t heard_ms;
	uint32_t held; // packets that wait for it
};

void weft_resolver_each(const struct resolver *r,
			void (*visit)(const struct next_hop_view *v, void *arg), void *arg);

// Somebody outside says that he has an address of ours.
struct address_conflict {
	uint32_t network_index;
	struct ip_addr ip;
	struct mac_addr mac; // his
	uint64_t times, defended;
	uint32_t at_ms; // the last time
};

void weft_resolver_each_conflict(const struct resolver *r,
				 void (*visit)(const struct address_conflict *c, void *arg),
				 void *arg);

struct resolver_stats {
	uint64_t questions; // sent, by all routers
	uint64_t failures;  // next hops that did not answer
	uint64_t moves;	    // known next hops whose MAC changed
	uint64_t conflicts;
	uint64_t mac_moves, mac_evictions;
	uint32_t known, asking, failed; // entries
	uint32_t held;			// packets that wait
	uint32_t macs;
};

void weft_resolver_stats(const struct resolver *r, struct resolver_stats *out);
