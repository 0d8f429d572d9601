// SPDX-License-Identifier: Apache-2.0
// The resolver's table, shared by resolver.c (look-ups, answers), resolver_mac.c (where MACs
// are), resolver_hold.c (packets that wait), resolver_tick.c (repeating, refreshing, ageing),
// resolver_room.c (who goes when there are too many) and resolver_ask.c (questions out).
//
// Entries hang in hash chains. Workers push at a chain's head; only the control thread unlinks,
// and it frees an entry after a grace period. So whoever found an entry may look at it until its
// next quiescent point, and pushing needs no more than a compare-and-swap of the head: what was
// seen there cannot have gone and come back meanwhile.
#pragma once

#include "datapath/native/policy/claim.h"
#include "datapath/frames/flow.h"
#include "datapath/frames/neighbour_frame.h"
#include "datapath/native/outside/resolver.h"
#include "datapath/native/packet/shares.h"

#define NEXT_HOPS	 16384
#define NEXT_HOP_CHAINS	 16384 // power of two
#define NEXT_HOP_TRIES	 3
#define NEXT_HOP_PACKETS 3  // wait for one next hop
#define ROUTE_PACKETS	 64 // for one that a route leads to: everybody's first packets do

#define RETRY_MS   1000
#define FAILED_MS  3000
#define REFRESH_MS 30000
#define UNUSED_MS  60000 // what does not answer, and goes by the plan, is forgotten after
// A next hop does not move again so soon: two hosts that quarrel cannot make all sessions stale
// with each packet.
#define SETTLE_MS  1000

// How much of the table may be unanswered questions: those for destinations, and with those for
// routes' next hops.
#define UNANSWERED_MOST 1024
#define UNANSWERED_ALL	1280
#define KNOWN_MOST	2560 // more, and the least used make room, so many at once:
#define KNOWN_ROOM	256
// MACs, of all ports and of one: more, and the least used of the port with the most make room, so
// many at once. Meanwhile there may be as many more.
#define MACS_MOST	8192
#define MACS_PER_PORT	4096
#define MACS_ROOM	256

// New questions of one port, and of one worker: so many at once, and so many a second.
#define PORT_ASKS	      64
#define PORT_ASKS_PER_SECOND  32
#define ALL_ASKS	      256
#define ALL_ASKS_PER_SECOND   256
// What one port takes over from others, addresses and MACs: each time sessions are judged again.
#define PORT_MOVES	      64
#define PORT_MOVES_PER_SECOND 8

// What waits, in packet buffers: at one worker, and of one port. The longest packet takes 33.
#define HELD_MOST     512
#define HELD_PER_PORT 64

#define CLAIMS	  16 // conflicts on their way to control, for each worker; power of two
#define CONFLICTS 64 // remembered

enum hop_state {
	HOP_FREE,
	HOP_MADE,   // by a worker that is about to ask
	HOP_ASKING, // from here on the control thread repeats, refreshes and ages
	HOP_KNOWN,
	HOP_FAILED,
	HOP_GONE, // unlinked; readers may still have it
};

// The family of the key of a MAC, which is in the place of the address. Such an entry is always
// HOP_KNOWN, and the port is in its word.
#define HOP_MAC 2

// One word, by bytes: state, questions sent without an answer, MAC.
static inline uint64_t hop_word(enum hop_state state, uint8_t tries, const struct mac_addr *mac)
{
	uint8_t b[8] = {(uint8_t)state, tries};
	uint64_t word;

	memcpy(b + 2, mac->b, 6);
	memcpy(&word, b, sizeof(word));
	return word;
}

static inline enum hop_state hop_state(uint64_t word)
{
	uint8_t b[8];

	memcpy(b, &word, sizeof(b));
	return (enum hop_state)b[0];
}

static inline uint8_t hop_tries(uint64_t word)
{
	uint8_t b[8];

	memcpy(b, &word, sizeof(b));
	return b[1];
}

static inline struct mac_addr hop_mac(uint64_t word)
{
	struct mac_addr mac;
	uint8_t b[8];

	memcpy(b, &word, sizeof(b));
	memcpy(mac.b, b + 2, 6);
	return mac;
}

// Of a MAC: where it is.
static inline uint64_t hop_port_word(uint16_t port)
{
	struct mac_addr bytes = {0};

	memcpy(bytes.b, &port, sizeof(port));
	return hop_word(HOP_KNOWN, 0, &bytes);
}

static inline uint16_t hop_word_port(uint64_t word)
{
	struct mac_addr bytes = hop_mac(word);
	uint16_t port;

	memcpy(&port, bytes.b, sizeof(port));
	return port;
}

struct hop {
	_Atomic uint64_t word;
	_Atomic uint32_t next; // in its chain: index + 1; 0 = the last
	_Atomic uint32_t used_ms, since_ms;
	_Atomic uint32_t heard_ms; // the last time that what was said of it was believed
	_Atomic uint32_t
		fresh_ms; // it is refreshed REFRESH_MS after: then, or sooner if there is doubt
	_Atomic uint16_t port; // where an address was heard
	_Atomic uint16_t held;
	struct neighbour_key key;
	// The maker's until it is published, then the control thread's:
	uint32_t asked_ms;
	struct ip_addr from;
	struct mac_addr from_mac;
	uint64_t token; // HOP_GONE: of its grace period
} __rte_cache_aligned;

static inline uint16_t hop_port(const struct hop *h)
{
	return atomic_load_explicit(&h->port, memory_order_relaxed);
}

struct ask_bucket {
	uint32_t at_ms, spent;
};

struct waiting {
	struct rte_mbuf *m;
	uint32_t hop;
	uint32_t gen; // of the port that sent it
	uint16_t in_port;
};

struct claim { // for an address that is somebody else's
	uint32_t network;
	uint16_t port; // the network's uplink
	struct ip_addr ip;
	struct mac_addr mac;
};

struct seen_conflict {
	struct address_conflict c;
	uint32_t logged_ms; // the last time that the log told of it
};

struct resolver_worker {
	uint16_t n;
	bool releasing;
	uint32_t seen;			   // of resolver.changes
	struct waiting waiting[HELD_MOST]; // in order of arrival; each takes a buffer at least
	struct shares shares;		   // who has how many buffers
	struct ask_bucket all;
	struct ask_bucket *ports, *moves;	 // by port index
	_Atomic uint32_t claim_head, claim_tail; // control takes at head, the worker puts at tail
	struct claim claims[CLAIMS];
} __rte_cache_aligned;

struct resolver {
	struct node *node;
	struct hop *hops;
	_Atomic uint32_t *chains; // index + 1 of the first
	_Atomic uint32_t now_ms;  // of the last tick
	_Atomic uint32_t in_use, unanswered;
	_Atomic uint32_t changes; // answers and failures: packets that wait may go on
	_Atomic uint32_t version;
	_Atomic uint64_t questions, failures, moves, conflicts;
	_Atomic uint64_t mac_moves, mac_evictions;
	_Atomic uint32_t n_macs;
	_Atomic uint16_t *macs_of;	 // by port index: how many of them are there
	struct resolver_worker *workers; // NATIVE_MAX_WORKERS
	// Control thread only:
	uint32_t budget; // questions that this tick may still send
	uint64_t epoch;	 // of the plan that the entries were compared with
	bool compare;	 // it has changed since
	size_t n_seen;
	struct seen_conflict seen[CONFLICTS];
};

static inline uint32_t hop_chain(const struct neighbour_key *key)
{
	uint64_t w[3], h;

	_Static_assert(sizeof(*key) == sizeof(w), "no padding: keys are hashed as bytes");
	memcpy(w, key, sizeof(w));
	h = weft_flow_mix(w[0] ^ weft_flow_secret[0], w[1] ^ weft_flow_secret[1]);
	h = weft_flow_mix(h ^ w[2], weft_flow_secret[2]);
	return (uint32_t)h & (NEXT_HOP_CHAINS - 1);
}

static inline struct neighbour_key hop_key(uint32_t network, const struct ip_addr *ip)
{
	struct neighbour_key key = {.network = network, .family = ip->family};

	memcpy(key.ip, ip->b, sizeof(key.ip));
	return key;
}

static inline struct neighbour_key hop_mac_key(uint32_t network, const struct mac_addr *mac)
{
	struct neighbour_key key = {.network = network, .family = HOP_MAC};

	memcpy(key.ip, mac->b, sizeof(mac->b));
	return key;
}

static inline struct ip_addr hop_ip(const struct hop *h)
{
	struct ip_addr ip = {.family = h->key.family};

	memcpy(ip.b, h->key.ip, sizeof(ip.b));
	return ip;
}

static inline bool is_since(uint32_t now, uint32_t then, uint32_t ms)
{
	return (int32_t)(now - then) >= (int32_t)ms;
}

// Linked and in use; NULL = not there.
struct hop *weft_hop_find(const struct resolver *r, const struct neighbour_key *key);

// A free entry, which is the caller's (HOP_MADE) until it is pushed; NULL = none near there.
struct hop *weft_hop_claim(struct resolver *r, uint32_t chain);

// Link it, key and all, unless somebody else was faster: then his is returned, and h is free again.
struct hop *weft_hop_push(struct resolver *r, struct hop *h, uint32_t chain);

// What was known to be at the port is elsewhere, or nowhere: the port's sessions are judged
// again. NATIVE_NO_PORT: only those that are being made are not kept.
void weft_hop_changed(struct resolver *r, uint16_t port);

// One more, of so many at once and so many a second?
bool weft_hop_may(struct ask_bucket *b, uint32_t now, uint32_t most, uint32_t per_second);

// May the port take over something that is at another one?
bool weft_hop_may_move(struct worker *w, uint16_t port);

// The port was seen to send from the MAC, or said that it has it.
void weft_hop_seen(struct worker *w, const struct port_policy *in, uint64_t epoch,
		   const struct mac_addr *mac);

// The entry of a MAC is to go; it was at that port.
void weft_hop_mac_gone(struct resolver *r, uint16_t port);

// May it still be what it is? *claim: what the plan says of its address.
bool weft_hop_is_allowed(const struct node *node, uint64_t epoch, const struct address_claim *claim,
			 uint32_t network, const struct ip_addr *ip, uint16_t port,
			 const struct mac_addr *mac);

// Take an entry out. False: it is in use by now.
bool weft_hop_withdraw(struct resolver *r, struct hop *h, uint64_t word);

// Too many of one kind: some of the least used go.
void weft_hop_make_room(struct resolver *r, uint32_t now);
void weft_hop_make_mac_room(struct resolver *r, uint32_t now);

// Ask for h wherever it may be (to NULL), or the one who is thought to have it. w NULL: the
// control thread asks. Returns how many frames went out.
uint32_t weft_hop_ask(struct resolver *r, struct worker *w, const struct hop *h,
		      const struct mac_addr *to);
