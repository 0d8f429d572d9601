// SPDX-License-Identifier: Apache-2.0
// Native: the DPDK datapath's own state, shared by its files and by nobody else.
//
// Policy (what the plan says) lives in versioned maps: a worker reads the epoch once per burst and sees one
// consistent plan. Ports have an index, stable for their life, that sessions and queues use; a generation per index
// makes sessions stale when something was taken away.
//
// Threads    the control thread changes; workers read policy by epoch, own their `struct worker`, and share only
//            the session table and the generations
#pragma once

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_rcu_qsbr.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "datapath/datapath.h"
#include "datapath/frames/drop.h"
#include "datapath/native/packet/fragment.h"
#include "datapath/native/io/port_io.h"
#include "datapath/native/carry/priority.h"
#include "datapath/native/rules/rules.h"
#include "datapath/native/session/session.h"
#include "datapath/native/rules/sets.h"
#include "datapath/native/vmap/vmap.h"

#define NATIVE_MAX_PORTS   16384
#define NATIVE_MAX_WORKERS 32
#define NATIVE_NO_PORT	   UINT16_MAX
#define NATIVE_MAX_TRUNKS  32 // physical networks
#define NATIVE_BURST	   32

// ---- Policy: immutable values of versioned maps --------------------------------------------------

struct network {
	uint32_t index;
	char id[WEFT_ID_LEN + 1];
	uint32_t mtu;
	uint16_t uplink; // index of the port that stands for the rest of a provider network; NATIVE_NO_PORT = none
};

struct subnet {
	struct plan_subnet *plan; // deep copy
};

// The ports of a network on this node: who gets its broadcasts.
struct flood_list {
	size_t n;
	size_t n_unfiltered; // the ports without port security come first
	size_t n_asked; // then those with a pair for a whole prefix; both kinds have addresses that are not known
	uint16_t uplink; // of them, the one that stands for the rest of a provider network; NATIVE_NO_PORT = none
	uint16_t ports[];
};

// Which local ports may have a MAC (several when an allowed pair is shared); NATIVE_NO_PORT = a
// port on another node. Which of several has it the resolver knows.
struct mac_owners {
	uint16_t n;
	uint16_t ports[];
};

// Is the port one of several owners? (NATIVE_NO_PORT: is one on another node?)
static inline bool native_shares_mac(const struct mac_owners *o, uint16_t port)
{
	bool is_owner = false;

	for (uint16_t i = 0; i < o->n; i++)
		is_owner = is_owner || o->ports[i] == port;
	return is_owner && o->n > 1;
}

struct neighbour {
	struct mac_addr mac;
	uint16_t port; // NATIVE_NO_PORT = on another node
	bool from_pair;
	bool any_mac; // no port security: it may use another MAC
	char port_id[WEFT_ID_LEN + 1];
};

// Who may have an address (claim.h).
struct neighbours {
	size_t n;
	struct neighbour at[];
};

struct port_fixed {
	struct ip_addr ip;
	struct vslot *subnet; // struct subnet
};

// What is behind a port index.
enum port_role {
	PORT_VM,
	PORT_UPLINK, // the rest of one provider network, outside the node: a VLAN of a trunk, or its untagged frames. Its
	// plan_port is made up: id = the network's id, port security off. Whatever MAC and address nobody on
	// the node has is behind it.
	PORT_METADATA, // the node's metadata proxy; in no network
};

struct port_policy {
	enum port_role role;
	uint16_t index;
	uint32_t network_index;
	struct vslot *network; // struct network
	size_t n_rule_sets;
	struct vslot **rule_sets; // struct rules
	size_t n_fixed;
	struct port_fixed *fixed;
	struct plan_port *plan; // deep copy: MAC, pairs, flags, options
};

struct router_interface {
	uint32_t network_index;
	struct vslot *network; // struct network
	struct mac_addr mac;
	bool external; // the router's gateway
	size_t n_addrs;
	struct ip_prefix *addrs; // own addresses, each with its subnet's length
};

struct router_route {
	struct ip_prefix dst;
	struct ip_addr via; // family 0: connected
	uint16_t interface; // that leads there
};

struct router {
	uint32_t index; // stable for the router's life
	char id[WEFT_ID_LEN + 1];
	bool admin_up;
	rte_be32_t
		snat; // source of what leaves by the external interface without a floating IP; 0 = untranslated
	size_t n_interfaces, n_routes;
	struct router_interface *interfaces;
	struct router_route *routes; // longest prefix first
	uint16_t external;	     // index of its external interface; ROUTER_NO_EXTERNAL = none
};

#define ROUTER_NO_EXTERNAL UINT16_MAX

struct gateway { // a MAC that is a router's: an interface's, or a floating IP's on the external network
	struct vslot *router;	     // struct router
	uint16_t interface;	     // GATEWAY_FLOATING: whichever is the external one
	char owner[WEFT_ID_LEN + 1]; // the router's id, or the floating IP's
};

#define GATEWAY_FLOATING UINT16_MAX

// A forwarded port or range of a floating IP; host order.
struct forwarding {
	uint8_t proto;
	uint16_t port_min, port_max, fixed_port;
	rte_be32_t fixed;
};

// A floating IP; in two maps, by its own address and by the fixed IP.
struct floating {
	char id[WEFT_ID_LEN + 1];
	struct vslot *router; // struct router
	rte_be32_t ip;
	rte_be32_t fixed; // 0: only its forwardings
	struct mac_addr mac;
	size_t n_forwardings; // sorted by protocol and port, and they do not overlap
	struct forwarding *forwardings;
};

// Keys of the maps, zero-filled.
struct mac_key {
	uint32_t network;
	struct mac_addr mac;
	uint8_t zero[2];
};

struct neighbour_key {
	uint32_t network;
	uint8_t family, zero[3];
	uint8_t ip[16];
};

struct floating_key { // by own address: the external network's index; by fixed IP: the router's
	uint32_t scope;
	rte_be32_t ip;
};

// ---- Ports and workers ---------------------------------------------------------------------------

struct trunk;	  // the device of a physical network (uplink.h)
struct resolver;  // who has what, where only the wire knows (resolver.h)
struct announcer; // what routers say there (announce.h)

struct port { // one per index in use
	uint16_t index;
	enum port_role role; // of an uplink `id` is its network's
	char id[WEFT_ID_LEN + 1];
	struct vslot *policy;	      // struct port_policy
	_Atomic(struct port_io *) io; // NULL: not attached
	rte_be32_t metadata_source;   // towards the metadata proxy (metadata_port.h); never changes
	// Control thread only:
	uint16_t worker; // that receives its share 0; share s is worker (worker + s) modulo their number
	uint16_t shares;		      // that workers receive now (port_io.h)
	bool told_up;			      // what on_port was told last; vhost-user ports only
	char ifname[64];		      // or the name of its socket
	char reason[256];		      // why it is not attached; "" when it is
	uint64_t announced, announce_refused; // MACs, as QEMU asked (announce.h)
};

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

// How many ICMP errors a port may cause by each worker: so many at once, and so many a second. Behind an uplink are many hosts: each of them has
// as much, by a hash of its address, and all of them together have more.
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

struct worker {
	struct native *dp;
	uint16_t id;
	int core;
	uint64_t epoch;	 // of this burst
	uint32_t now_ms; // of this burst
	_Atomic(struct poll_list *) polls;
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

struct native {
	struct datapath_config config;
	datapath_port_event on_port;
	void *on_port_arg;
	bool huge;
	_Atomic bool stop;
	uint32_t priority;  // of workers while they nap; 0: as everybody's
	cpu_set_t affinity; // of the control thread before it left their cores
	uint64_t tsc_hz, tsc_start;

	struct rte_mempool *pool;
	struct rte_rcu_qsbr *qsbr;
	struct session_table *sessions;
	uint16_t n_workers;
	struct worker *workers[NATIVE_MAX_WORKERS];

	// Policy
	struct vstore *vs;
	struct vmap *networks;	   // id -> struct network
	struct vmap *subnets;	   // id -> struct subnet
	struct vmap *ports;	   // id -> struct port_policy
	struct vmap *rule_sets;	   // id -> struct rules
	struct vmap *macs;	   // struct mac_key -> struct mac_owners
	struct vmap *neighbours;   // struct neighbour_key -> struct neighbours
	struct vmap *floods;	   // network index -> struct flood_list
	struct vmap *routers;	   // id -> struct router
	struct vmap *gateways;	   // struct mac_key -> struct gateway
	struct vmap *adverts;	   // network index -> struct adverts (advertise.h)
	struct vmap *floatings;	   // struct floating_key by own address -> struct floating
	struct vmap *floatings_of; // struct floating_key by fixed IP -> struct floating
	struct sets *sets;

	_Atomic(struct port *) port[NATIVE_MAX_PORTS]; // by index
	_Atomic uint32_t mtu[NATIVE_MAX_PORTS];	       // of the port's network
	_Atomic uint32_t gen[NATIVE_MAX_PORTS];	       // policy generation, only grows
	uint32_t vhost_seen;			       // of weft_vhost_changes()
	uint32_t rings_seen_ms;			       // when ports were asked for losses
	struct port_io_stats gone;		       // of interfaces that were closed
	struct tables *tables; // the control thread's side of the policy (tables.h)

	uint16_t n_trunks;
	struct trunk *trunks[NATIVE_MAX_TRUNKS]; // fixed at start, in the configuration's order
	struct resolver *resolver;
	struct announcer *announcer;
	_Atomic uint16_t metadata_port; // index of the PORT_METADATA port; NATIVE_NO_PORT = none
	uint8_t metadata_eth[12];	// destination and source MAC of what leaves by it
};

// ---- Small things used everywhere ------------------------------------------------------------------

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
// Control thread: what the node says by itself (announcements, advertisements). Lost when the port is detached or full.
void weft_send_now(struct native *dp, struct rte_mbuf *m, uint16_t out_port);

// Milliseconds since start. Whole seconds by themselves: cycles times 1000 would overflow within months.
static inline uint32_t native_now_ms(const struct native *dp)
{
	uint64_t cycles = rte_rdtsc() - dp->tsc_start;

	return (uint32_t)(cycles / dp->tsc_hz * 1000 + cycles % dp->tsc_hz * 1000 / dp->tsc_hz);
}

static inline uint32_t native_gen(const struct native *dp, uint16_t in, uint16_t out)
{
	return atomic_load_explicit(&dp->gen[in], memory_order_acquire) +
	       atomic_load_explicit(&dp->gen[out], memory_order_acquire);
}

// Another worker may judge the session again at the same time: its generation is read before what depends on it.
static inline uint32_t native_session_gen(const struct session *s)
{
	return __atomic_load_n(&s->gen, __ATOMIC_ACQUIRE);
}

// How long the frame is on the wire, or, if it is segmented later, the longest that is made of it. The sender says how
// long its segments are to be; it may not be believed that they fit.
static inline uint32_t native_wire_len(const struct rte_mbuf *m)
{
	uint32_t len = rte_pktmbuf_pkt_len(m);
	uint32_t segment = (uint32_t)(m->l2_len + m->l3_len + m->l4_len + m->tso_segsz);

	if ((m->ol_flags & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)) == 0)
		return len;
	return RTE_MIN(len, segment);
}

static inline struct port *native_port(const struct native *dp, uint16_t index)
{
	return index < NATIVE_MAX_PORTS
		       ? atomic_load_explicit(&dp->port[index], memory_order_acquire)
		       : NULL;
}

// Why nothing can be sent to the port now; DROP_NONE = it can. p NULL: it is not there.
static inline enum drop native_send_drop(const struct port *p)
{
	const struct port_io *io = p == NULL ? NULL
					     : atomic_load_explicit(&p->io, memory_order_acquire);

	if (io == NULL)
		return DROP_PORT_DETACHED;
	if (atomic_load_explicit(&io->up, memory_order_relaxed))
		return DROP_NONE;
	return p->role == PORT_UPLINK ? DROP_NO_CARRIER : DROP_PORT_DETACHED;
}

static inline bool native_is_uplink(const struct port_policy *p)
{
	return p->role == PORT_UPLINK;
}

static inline const struct port_policy *native_policy(const struct native *dp, uint16_t index,
						      uint64_t epoch)
{
	const struct port *p = native_port(dp, index);

	return p == NULL ? NULL : weft_vslot_value(p->policy, epoch);
}
