// SPDX-License-Identifier: Apache-2.0
// Policy: what a packet reads.
//
// What the plan says lives in versioned maps: a worker reads the epoch once per burst and sees one
// consistent plan. Ports have an index, stable for their life, that sessions and queues use; a
// generation per index makes sessions stale when something was taken away.
//
// Threads    the control thread changes; workers read by epoch
#pragma once

#include <rte_cycles.h>
#include <rte_mempool.h>
#include <rte_rcu_qsbr.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "datapath/datapath.h"
#include "datapath/frames/drop.h"
#include "datapath/frames/services.h"
#include "datapath/native/io/port_io.h"
#include "datapath/native/packet/limits.h"
#include "datapath/native/rules/rules.h"
#include "datapath/native/rules/sets.h"
#include "datapath/native/session/session.h"
#include "datapath/native/vmap/vmap.h"

// ---- Immutable values of versioned maps --------------------------------------------------

struct network {
	uint32_t index;
	char id[WEFT_ID_LEN + 1];
	uint32_t mtu;
	// Index of the port that stands for the rest of a provider network; NATIVE_NO_PORT =
	// none.
	uint16_t uplink;
};

struct subnet {
	struct plan_subnet *plan; // deep copy
};

// The ports of a network on this node: who gets its broadcasts.
struct flood_list {
	size_t n;
	size_t n_unfiltered; // the ports without port security come first
	// Then those with a pair for a whole prefix; both kinds have addresses that are not
	// known.
	size_t n_asked;
	// Of them, the one that stands for the rest of a provider network; NATIVE_NO_PORT = none.
	uint16_t uplink;
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
	// The rest of one provider network, outside the node: a VLAN of a trunk, or its untagged
	// frames. Its plan_port is made up: id = the network's id, port security off. Whatever
	// MAC and address nobody on the node has is behind it.
	PORT_UPLINK,
	PORT_METADATA, // the node's metadata proxy; in no network
};

#define TRUNK_VLANS	 4096
#define METADATA_PORT_ID "metadata"

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
	// Source of what leaves by the external interface without a floating IP; 0 =
	// untranslated.
	rte_be32_t snat;
	size_t n_interfaces, n_routes;
	struct router_interface *interfaces;
	struct router_route *routes; // longest prefix first
	uint16_t external;	     // index of its external interface; ROUTER_NO_EXTERNAL = none
};

#define ROUTER_NO_EXTERNAL UINT16_MAX

// a MAC that is a router's: an interface's, or a floating IP's on the external network.
struct gateway {
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

// What one router's interface advertises.
struct advert {
	struct ra ra;
	// Of one of the prefixes' subnets: on a provider network it advertises outside, too.
	bool is_gateway;
};

struct adverts { // of a network
	size_t n;
	struct advert at[];
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

// ---- Ports, and what is shared -------------------------------------------------------------

struct port { // one per index in use
	uint16_t index;
	enum port_role role; // of an uplink `id` is its network's
	char id[WEFT_ID_LEN + 1];
	struct vslot *policy;	      // struct port_policy
	_Atomic(struct port_io *) io; // NULL: not attached
	rte_be32_t metadata_source;   // towards the metadata proxy (metadata_port.h); never changes
	// Control thread only:
	// That receives its share 0; share s is worker (worker + s) modulo their number.
	uint16_t worker;
	uint16_t shares;		// that workers receive now (port_io.h)
	bool told_up;			// what on_port was told last; vhost-user ports only
	char ifname[64];		// or the name of its socket
	char reason[256];		// why it is not attached; "" when it is
	struct port_baseline *baseline; // of its counters as shown (show/baseline.h); NULL = 0
	uint64_t announced, announce_refused; // MACs, as QEMU asked (announce.h)
};

struct resolver;  // who has what, where only the wire knows (outside/resolver.h)
struct announcer; // what is said there unasked (outside/announce.h)

// What all rooms from here on share. The control thread changes it, workers read it.
struct node {
	struct datapath_config config;
	uint64_t tsc_hz, tsc_start;
	struct rte_mempool *pool;
	struct rte_rcu_qsbr *qsbr;
	struct session_table *sessions;
	uint32_t priority;  // of workers while they nap; 0: as everybody's
	cpu_set_t affinity; // of the control thread before it left their cores
	_Atomic bool stop;  // what workers watch

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
	struct vmap *adverts;	   // network index -> struct adverts (below)
	struct vmap *floatings;	   // struct floating_key by own address -> struct floating
	struct vmap *floatings_of; // struct floating_key by fixed IP -> struct floating
	struct sets *sets;

	_Atomic(struct port *) port[NATIVE_MAX_PORTS]; // by index
	_Atomic uint32_t mtu[NATIVE_MAX_PORTS];	       // of the port's network
	_Atomic uint32_t gen[NATIVE_MAX_PORTS];	       // policy generation, only grows
	_Atomic uint16_t metadata_port; // index of the PORT_METADATA port; NATIVE_NO_PORT = none
	uint8_t metadata_eth[12];	// destination and source MAC of what leaves by it
	struct resolver *resolver;
	struct announcer *announcer;
};

// Control thread: what the node says by itself (announcements, advertisements). Lost when the
// port is detached or full.
void weft_send_now(struct node *node, struct rte_mbuf *m, uint16_t out_port);

// Milliseconds since start. Whole seconds by themselves: cycles times 1000 would overflow within
// months.
static inline uint32_t native_now_ms(const struct node *node)
{
	uint64_t cycles = rte_rdtsc() - node->tsc_start;

	return (uint32_t)(cycles / node->tsc_hz * 1000 +
			  cycles % node->tsc_hz * 1000 / node->tsc_hz);
}

static inline uint32_t native_gen(const struct node *node, uint16_t in, uint16_t out)
{
	return atomic_load_explicit(&node->gen[in], memory_order_acquire) +
	       atomic_load_explicit(&node->gen[out], memory_order_acquire);
}

// Another worker may judge the session again at the same time: its generation is read before what
// depends on it.
static inline uint32_t native_session_gen(const struct session *s)
{
	return __atomic_load_n(&s->gen, __ATOMIC_ACQUIRE);
}

static inline struct port *native_port(const struct node *node, uint16_t index)
{
	return index < NATIVE_MAX_PORTS
		       ? atomic_load_explicit(&node->port[index], memory_order_acquire)
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

static inline const struct port_policy *native_policy(const struct node *node, uint16_t index,
						      uint64_t epoch)
{
	const struct port *p = native_port(node, index);

	return p == NULL ? NULL : weft_vslot_value(p->policy, epoch);
}

// Is this for that port? A physical network has its own routers: ours speaks there only for subnets
// whose gateway it is.
static inline bool advert_is_for(const struct advert *a, const struct port_policy *port)
{
	return a->is_gateway || !native_is_uplink(port);
}
