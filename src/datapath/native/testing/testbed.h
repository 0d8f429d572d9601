// SPDX-License-Identifier: Apache-2.0
// Testbed: the whole native datapath on one thread, with ports that are memory. For unit tests
// and fuzzing: policy in as plan batches, frames in, frames and drop reasons out. No worker runs;
// the test is the worker.
//
// Names are used as ids ("net1", "a"); addresses are text. Failures of the testbed itself abort.
#pragma once

#include "datapath/native/native.h"
#include "plan/plan.h"

struct testbed {
	struct native dp;
	struct worker *w;
	struct plan_batch batch; // what testbed_commit() applies
	const char *project;	 // of ports that are put from now on; NULL = of none
	uint32_t n_sent; // every second long frame is lent (lent.h), each other of those in pieces
};

struct testbed *testbed_new(uint32_t sessions);
// dp.node.stop is set for workers that were started. Every packet buffer is back, or it aborts.
void testbed_free(struct testbed *tb);
// One more worker, on core 0; not started, and offline for grace periods. Before anything is
// carried.
struct worker *testbed_worker(struct testbed *tb);

// Each appends to the batch.
void testbed_network(struct testbed *tb, const char *id, uint32_t mtu);
// One on the physical network "physical": its VLAN, or 0, its untagged frames. What is outside is
// a port named as the network.
void testbed_provider(struct testbed *tb, const char *id, uint32_t mtu, uint32_t vlan);
// From now on what is outside is this device, with tags and all (uplink.h), and not ports named
// as the networks. It is the caller's; closed with the testbed. After a change of networks: once
// more.
void testbed_trunk(struct testbed *tb, struct port_io *device);
void testbed_subnet(struct testbed *tb, const char *id, const char *network, const char *cidr,
		    const char *gateway, bool dhcp);
// Rules, one per line: "<ingress|egress> <4|6> <any|tcp|udp|icmp|number> [min-max|type/code]
// [prefix|@set]".
void testbed_rule_set(struct testbed *tb, const char *id, bool stateful, const char *rules);
void testbed_member(struct testbed *tb, enum plan_op op, const char *set, const char *prefix);
// groups: names separated by spaces; "" = none; NULL = port security off. ips: separated by
// spaces, each in the subnet "<network>-4" or "<network>-6" if there is one. The port's MAC is
// 02:00:00:00:00:<last byte of name's hash>; see testbed_mac. Also the neighbours.
void testbed_port(struct testbed *tb, const char *id, const char *network, const char *ips,
		  const char *groups);
// The same with extra pairs "mac|prefix mac|prefix" ("-" as MAC: the port's own) and flags.
void testbed_port_with(struct testbed *tb, const char *id, const char *network, const char *ips,
		       const char *groups, const char *pairs, bool admin_up);
// A router. interfaces: "network|name|address/len[,address/len] ...": its MAC is
// testbed_mac(name); "!network" is the external one. routes: "prefix|via ...", no via: on the
// external link. The interfaces' addresses become neighbours, as the planner makes them.
void testbed_router(struct testbed *tb, const char *id, bool admin_up, const char *interfaces,
		    const char *routes);
// The same, with the address that it gives to what leaves by the external interface; NULL = none.
void testbed_router_snat(struct testbed *tb, const char *id, const char *interfaces,
			 const char *routes, const char *snat);
// A floating IP with the MAC testbed_mac(id), and its neighbour. fixed: NULL = only its
// forwardings; port: who has `fixed`.
void testbed_floating(struct testbed *tb, const char *id, const char *router, const char *network,
		      const char *ip, const char *fixed, const char *port);
// ports: "min-max>first inner", of `fixed`.
void testbed_forwarding(struct testbed *tb, const char *id, const char *floating, uint8_t proto,
			const char *ports, const char *fixed, const char *port);
void testbed_forwarding_del(struct testbed *tb, const char *id, const char *floating);
void testbed_del(struct testbed *tb, enum plan_kind kind, const char *id, const char *network);
void testbed_commit(struct testbed *tb);
// The metadata proxy: a port named "metadata", what is sent there goes from testbed_mac("here")
// to testbed_mac("proxy").
void testbed_metadata(struct testbed *tb);

struct mac_addr testbed_mac(const char *port);

// ---- Frames ----

// Its size is no multiple of a page: a row of them does not lie in a few sets of the cache only.
struct frame {
	size_t len;
	uint8_t b[4096 + 120];
};

struct l4 { // what goes on top
	uint8_t proto;
	uint16_t sport, dport; // ICMP: identifier, type << 8 | code
	uint8_t tcp_flags;
	size_t payload;
};

// An IPv4 or IPv6 packet between ports by their MACs; addresses as text.
struct frame testbed_frame(const char *from, const char *to, const char *src, const char *dst,
			   struct l4 l4);
struct frame testbed_arp(const char *from, const char *sender_ip, const char *target_ip);
// An ICMP error (type, code) from `src`, about `about` as it arrived.
struct frame testbed_icmp_error(const char *from, const char *to, const char *src, const char *dst,
				uint8_t type, uint8_t code, const struct frame *about);
// The n-th fragment of an IPv4 frame: bytes [from, from + len) of its payload (multiples of 8 but
// for the last).
struct frame testbed_fragment(const struct frame *f, uint16_t id, size_t from, size_t len);

// Fill in the transport checksum of an IPv4 frame (TCP, UDP, UDP-Lite, DCCP, ICMP); UDP: 0
// becomes 0xffff.
void testbed_checksum(struct frame *f);
// Are the IPv4 header's checksum and the transport's right? A UDP checksum of 0 is.
bool testbed_checksum_ok(const struct frame *f);
// The same frame some routers later: MACs, TTL, header checksum.
void testbed_as_routed(struct frame *f, const char *from, const char *to, uint8_t hops);

// ---- Running ----

// Send one frame as the port's VM through the fast path and flush.
void testbed_send(struct testbed *tb, const char *port, const struct frame *f);
// The same of a VM that leaves the transport checksum of TCP or UDP over IPv4 to the device, and
// has a longer payload than `segment` cut, unless that is 0. It takes the frame as it is, checksum
// aside.
void testbed_send_offloaded(struct testbed *tb, const char *port, const struct frame *f,
			    uint16_t segment);
// The clock goes on, and with it what the control thread does ten times a second for next hops
// and announcements.
void testbed_pass_time(struct testbed *tb, uint32_t ms);
// What there is to announce is announced, and nobody has received it; the clock stays.
void testbed_settle(struct testbed *tb);
// Take the oldest frame that the port's VM was given; false = none.
bool testbed_receive(struct testbed *tb, const char *port, struct frame *out);
// Send; true if exactly `to` got exactly this frame's payload (other ports nothing).
bool testbed_passes(struct testbed *tb, const char *from, const char *to, const struct frame *f);
// The reason of the latest drop since the last call, DROP_NONE = nothing was dropped.
enum drop testbed_drop(struct testbed *tb);
