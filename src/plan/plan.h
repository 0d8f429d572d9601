// SPDX-License-Identifier: Apache-2.0
// Plan: what THIS node needs, free of Neutron's vocabulary. The contract with every datapath.
//
// The planner reads model changes and emits the smallest batch of plan changes. A datapath
// applies a batch as a whole: a packet sees the state before it or after it, never a mix. Objects
// are named by ids (text); a change carries the whole new object, except for address sets, whose
// members change one by one (a set may have 100,000s of members).
//
// Which objects are in the plan: the ports bound to this host; the networks, subnets and rule
// sets they use; the sets those rule sets name; the neighbours (every known address) of those
// networks; the routers that those ports can reach, with the networks that they join; of those
// routers' floating IPs the ones that this node translates, and their forwardings. Routers that
// are on an external network and have no port of this host behind them are other nodes', so
// neither they nor their addresses there are in the plan: such an address is asked for on the
// wire.
//
// Ownership  a batch owns its objects; a datapath copies what it keeps
// Threads    one (the control thread)
// Order      within a batch: networks, subnets, set members, rule sets, ports, neighbours,
//            routers, floating IPs, forwardings are put in this order and deleted in the reverse
//            order, so that references always resolve
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"

enum plan_kind {
	PLAN_NETWORK,
	PLAN_SUBNET,
	PLAN_MEMBER, // one member of one address set
	PLAN_RULE_SET,
	PLAN_PORT,
	PLAN_NEIGHBOUR,
	PLAN_ROUTER,
	PLAN_FLOATING,	 // a floating IP that this node translates
	PLAN_FORWARDING, // a forwarded port (or range) of a floating IP
};

enum plan_op { PLAN_PUT, PLAN_DEL };

struct plan_network {
	char id[WEFT_ID_LEN + 1];
	uint32_t mtu; // of the IP layer, bytes
	// Physical network, "" = none (a tenant network; tunnels come later). Such a network goes
	// on outside the node through the device that the configuration gives to the physical
	// network: its uplink.
	char physical[32];
	uint32_t segment; // VLAN id or VNI; 0 = none or untagged
};

struct plan_route {
	struct ip_prefix dst;
	struct ip_addr via; // of a router: family 0 = on the external interface's link
};

// How hosts of an IPv6 subnet get their addresses (Neutron's ipv6_ra_mode and ipv6_address_mode;
// RFC 4862, 8415).
enum plan_v6_mode {
	PLAN_V6_NONE,
	PLAN_V6_SLAAC,	   // autonomous
	PLAN_V6_STATELESS, // autonomous; the rest by DHCPv6
	PLAN_V6_STATEFUL,  // by DHCPv6
};

struct plan_subnet {
	char id[WEFT_ID_LEN + 1];
	char network_id[WEFT_ID_LEN + 1];
	struct ip_prefix cidr;
	struct ip_addr gateway;	   // family 0 = none
	bool dhcp;		   // answer DHCP (by family) for its addresses
	enum plan_v6_mode ra;	   // IPv6: what its routers advertise; NONE = they do not
	enum plan_v6_mode address; // IPv6: what the DHCPv6 server gives
	uint32_t lease_s;	   // 86400
	char dns_domain[256];	   // "" = none
	size_t n_dns, n_routes;
	struct ip_addr *dns;
	struct plan_route *routes; // host routes
};

// One member of one address set (a security group's addresses, or an address group's).
struct plan_member {
	char set_id[WEFT_ID_LEN + 1];
	struct ip_prefix prefix; // masked
};

enum plan_direction { PLAN_EGRESS, PLAN_INGRESS }; // from the VM's point of view
enum plan_remote { PLAN_REMOTE_ANY, PLAN_REMOTE_PREFIX, PLAN_REMOTE_SET };

// Everything a rule admits: packets of `family` and `proto` whose remote end is in `remote`.
// The far end is the source of ingress packets and the destination of egress packets.
struct plan_rule {
	char id[WEFT_ID_LEN + 1];
	enum plan_direction direction;
	uint8_t family; // 4 or 6
	int16_t proto;	// IP protocol / final IPv6 next header; -1 = any
	// TCP, UDP, SCTP, DCCP, UDP-Lite: destination port in [min, max], host order.
	bool has_ports;
	uint16_t port_min, port_max;
	int16_t icmp_type, icmp_code; // ICMP, ICMPv6; -1 = any
	enum plan_remote remote;
	struct ip_prefix prefix; // PLAN_REMOTE_PREFIX, masked
	char set_id[WEFT_ID_LEN + 1];
};

// One security group. Rules only permit; their order does not matter.
struct plan_rule_set {
	char id[WEFT_ID_LEN + 1];
	bool stateful;
	size_t n_rules;
	struct plan_rule *rules;
};

// A (MAC, prefix) pair that a port may use as its source; the port's own fixed IPs come first as
// /32 or /128.
struct plan_pair {
	struct mac_addr mac;
	struct ip_prefix prefix;
};

struct plan_fixed {
	struct ip_addr ip;
	char subnet_id[WEFT_ID_LEN + 1];
};

struct plan_dhcp_option {
	uint8_t family; // 4 or 6
	uint8_t code;	// DHCPv4 option number
	uint8_t len;
	uint8_t value[255]; // already in wire format
};

enum plan_vif { PLAN_VIF_TAP, PLAN_VIF_VHOSTUSER };

struct plan_port {
	char id[WEFT_ID_LEN + 1];
	char network_id[WEFT_ID_LEN + 1];
	char project_id[256];
	// What the port belongs to (Neutron's device_id), for the metadata service; "" = nothing.
	char instance_id[256];
	struct mac_addr mac;
	bool admin_up; // false: nothing passes in either direction
	// Port security: anti-spoofing and rule sets. false: any packet passes, DHCP server
	// included.
	bool filtered;
	bool trusted; // device_owner network:*; implies !filtered
	enum plan_vif vif;
	char vif_name[64]; // "tap…" or "vhu…"
	size_t n_fixed, n_pairs, n_rule_sets, n_options;
	struct plan_fixed *fixed;
	struct plan_pair *pairs;
	char (*rule_sets)[WEFT_ID_LEN + 1]; // all stateful or all stateless
	struct plan_dhcp_option *options;   // extra_dhcp_opts
	char hostname[64];
};

// A known address of a network: answered in ARP and ND, and where its packets go. On an external
// network also the addresses of the gateways and floating IPs of the plan; port_id is then the
// port that holds the address.
struct plan_neighbour {
	char network_id[WEFT_ID_LEN + 1];
	struct ip_addr ip;
	struct mac_addr mac;
	char port_id[WEFT_ID_LEN + 1]; // the port that owns it
	bool local;		       // that port is on this node
	bool from_pair; // an allowed address pair: several ports may share it (VRRP), so the
			// datapath asks the owners instead of answering for them
	// Its port has no port security: the VM may use another MAC than `mac`, and is asked.
	bool any_mac;
};

// A router's interface: the gateway of a network's subnets.
struct plan_interface {
	char port_id[WEFT_ID_LEN + 1];
	char network_id[WEFT_ID_LEN + 1];
	struct mac_addr mac;
	bool external; // the router's gateway: at most one, on an external network
	size_t n_addrs;
	// Its own addresses, which it answers at: those of its subnets first, each with its
	// subnet's length. If one of them is IPv6, the last is the link-local address of its MAC
	// (RFC 4291), with length 128: it lies on every network and so leads nowhere by itself.
	struct ip_prefix *addrs;
};

// A router that one of this node's ports can reach, with all its interfaces. Routes beside the
// connected subnets; the longest prefix wins. The default routes through its gateway are among
// them, and what else is on the external link: the external network's other subnets, and a
// gateway outside its subnet. A next hop that is link-local (fe80::/10) is on the external
// interface.
struct plan_router {
	char id[WEFT_ID_LEN + 1];
	bool admin_up; // false: it answers and forwards nothing
	// IPv4: the source of what leaves by the external interface and has no floating IP.
	// Family 0: it leaves untranslated. (Where several nodes share a router, only the one
	// that holds its SNAT has this; the others' default route will lead there.)
	struct ip_addr snat;
	size_t n_interfaces, n_routes;
	struct plan_interface *interfaces;
	struct plan_route *routes;
};

// A floating IP of a router: translated one for one to a fixed IP, or only by forwarded ports. It
// is in the plan of the node that has the fixed IP's port (or, if the port is bound nowhere, of
// the one that holds the router's SNAT), together with its router.
struct plan_floating {
	char id[WEFT_ID_LEN + 1];
	char router_id[WEFT_ID_LEN + 1];
	char network_id[WEFT_ID_LEN + 1]; // the external one
	struct ip_addr ip;		  // IPv4
	// Its own: ARP for the address is answered with it, and frames to and from the address
	// carry it on the external network; so it may move between nodes without anybody's other
	// addresses.
	struct mac_addr mac;
	struct ip_addr fixed;	       // family 0: only its forwardings count
	char port_id[WEFT_ID_LEN + 1]; // the port that has `fixed`; "" = none
};

// External ports [port_min, port_max] of a floating IP go to fixed_port, fixed_port + 1, ... of
// `fixed`. Host order.
struct plan_forwarding {
	char id[WEFT_ID_LEN + 1];
	char floating_id[WEFT_ID_LEN + 1];
	uint8_t proto; // TCP or UDP
	uint16_t port_min, port_max;
	struct ip_addr fixed;
	uint16_t fixed_port;
	char port_id[WEFT_ID_LEN + 1]; // the port that has `fixed`
};

struct plan_change {
	enum plan_op op;
	enum plan_kind kind;
	union { // PLAN_DEL: the same type, of which only the naming fields count
		struct plan_network *network;	    // id
		struct plan_subnet *subnet;	    // id, network_id
		struct plan_member *member;	    // all
		struct plan_rule_set *rule_set;	    // id
		struct plan_port *port;		    // id
		struct plan_neighbour *neighbour;   // network_id, ip, mac, port_id
		struct plan_router *router;	    // id
		struct plan_floating *floating;	    // id
		struct plan_forwarding *forwarding; // id, floating_id
		void *object;
	};
};

struct plan_batch {
	size_t n, cap;
	struct plan_change *changes;
};

// Frees every object; the batch is empty afterwards.
void weft_plan_batch_fini(struct plan_batch *b);
// Append; takes ownership of object. Out of memory aborts.
void weft_plan_batch_add(struct plan_batch *b, enum plan_op op, enum plan_kind kind, void *object);
void weft_plan_object_free(enum plan_kind kind, void *object);
// Deep copy of one object, same kind.
void *weft_plan_object_copy(enum plan_kind kind, const void *object);
// Same object in every field, and the same order in its lists.
bool weft_plan_object_equal(enum plan_kind kind, const void *a, const void *b);
