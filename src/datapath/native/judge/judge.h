// SPDX-License-Identifier: Apache-2.0
// Judge: what the slow path decides about one packet: the fixed list of stages, one file each.
//
//   admit      admin state, tags, lengths, frames that no bridge forwards   stage_admit.c
//   anti-spoof source MAC and IP, ARP, ND, DHCP server, RA                  stage_spoof.c
//   service    ARP, ND, DHCP: answered here, or passed on where that is right  stage_service.c
//   egress     the sender's security groups                                 stage_rules.c
//   metadata   to the node's metadata proxy                                 stage_metadata.c
//   route      routers on the way: next network, next MAC, TTL, NAT        stage_route.c,
//              stage_nat.c
//   switch     the destination MAC                                          stage_switch.c
//   ingress    the receiver's security groups                               stage_rules.c
//
// A judgement reads the policy and the parsed packet and writes only its own struct: the slow path,
// the re-judging of a stale session, the trace and the fuzzer run the same code. What is done
// with the verdict (send, answer, install a session) is slow.c's business.
//
// Threads    any registered reader of the policy; no allocation unless a recorder is set
#pragma once

#include <jansson.h>

#include "datapath/native/outside/resolver.h"
#include "datapath/frames/packet.h"

enum verdict {
	VERDICT_FORWARD, // to one port; a session may be made
	VERDICT_FLOOD,	 // to every port in `flood` whose ingress stage permits
	VERDICT_ANSWER,	 // by a local service
	VERDICT_RESOLVE, // it must wait until the next hop's MAC is known: `ask`
	VERDICT_DROP,
};

enum answer {
	ANSWER_ARP,
	ANSWER_ND,
	ANSWER_DHCP,
	ANSWER_DHCP6,
	ANSWER_ECHO,
	// By every router that advertises itself to the port; ports that may be routers hear the
	// question, too.
	ANSWER_RA,
};

enum stage_result {
	STAGE_NEXT, // go on with the next stage
	STAGE_DONE, // the verdict is final
};

// What a router tells a sender (RFC 792, 1191, 4443).
struct icmp_error {
	uint8_t type, code; // of the packet's family
	uint32_t mtu;	    // fragmentation needed, packet too big
	struct ip_addr from;
};

// Who gets a flooded packet.
enum flood_to {
	FLOOD_ALL,	  // every port of the network but the sender
	FLOOD_UNFILTERED, // only ports without port security: they may have any address and MAC
	FLOOD_ASKED,	  // those, and the ports with a pair for a prefix that `asked` is in
	FLOOD_OWNERS,	  // the ports in `owners`: they share an address or a MAC
};

struct judge {
	// In
	const struct node *node;
	uint64_t epoch;
	uint32_t next_hops; // weft_resolver_version, before any next hop was looked up
	const struct port_policy *in;
	const struct packet *pkt;
	const uint8_t *eth; // destination and source MAC, 12 bytes
	uint32_t frame_len; // whole
	uint32_t wire_len;  // of the longest segment, if it is segmented later (GSO)
	bool dont_fragment; // IPv4
	bool rejudge; // a session's original direction, not a packet: no services, any TCP flags
	// An ICMP error about a live session: the port that session leads to; else
	// NATIVE_NO_PORT.
	uint16_t related_to;
	// The packet is of a translated session, or an error about one: what it becomes. Nothing
	// is translated anew.
	const struct flow_key *binding; // NULL = none
	const struct flow_key
		*quote; // of an error: what the packet that it quotes becomes; NULL = it stays
	json_t *record; // trace: an array that each stage appends to; NULL = no trace

	// Out
	enum verdict verdict;
	enum drop why; // VERDICT_DROP
	enum answer answer;
	struct mac_addr answer_mac;	   // ARP, ND
	bool answer_is_router;		   // ND: the target is a router's
	const struct port_fixed *dhcp_for; // the address that DHCP leases
	enum flood_to flood;
	uint16_t owners[64]; // FLOOD_OWNERS; ANSWER: who hears the question as well
	uint16_t n_owners;
	uint32_t network_index; // where it is now: the sender's, then behind each router
	uint8_t eth_out[12];	// its MACs there
	// Its addresses and ports there: what the routers so far have made of pkt->key. Rules and
	// routes look at this one; in_port stays the sender's.
	struct flow_key now;
	// now.sport (an echo's identifier) may still be changed so that the reply's key is free:
	// source NAT to a shared address. The port itself is chosen when the session is made
	// (nat.h). Otherwise now is final.
	bool pick_port;
	struct ip_addr
		nat_router;  // pick_port: the address that tells the sender when no port is free
	struct next_hop ask; // VERDICT_RESOLVE
	// Where the next hop was heard; NATIVE_NO_PORT = nowhere, or it is the plan's.
	uint16_t next_port;
	uint8_t hops; // routers passed
	// The router that gave it another destination, counted from 1; 0 = none did.
	uint8_t renamed_by;
	struct icmp_error icmp; // VERDICT_DROP: what the sender is told; from.family 0 = nothing
	struct ip_addr asked;	// FLOOD_ASKED
	const struct port_policy *out; // FORWARD
	bool base_service;	       // ARP, ND, DHCP, …: allowed without rules
	// DHCP question to a server that is a port: leaves without a rule, enters by rules.
	bool asks_server;
	enum drop if_nobody;			// the reason when a flood finds no receiver
	const char *egress_rule, *ingress_rule; // ids of permitting rules; NULL = none was needed
};

struct stage {
	const char *name;
	enum stage_result (*run)(struct judge *j);
};

extern const struct stage weft_stages[];
extern const size_t weft_n_stages;

// Run the stages. The verdict is in *j; a stage list that ends without one is a drop.
void weft_judge(struct judge *j);

// The port that stands for the rest of a provider network, outside the node; NATIVE_NO_PORT = none.
uint16_t weft_judge_uplink(const struct judge *j, uint32_t network_index);

// FLOOD: the ports to go through; the sender may be among them. Returns how many.
size_t weft_judge_receivers(const struct judge *j, const uint16_t **ports);

// The ingress stage alone, for one receiver of a flood. DROP_NONE = may have it.
enum drop weft_judge_receiver(struct judge *j, const struct port_policy *out);

// May replies to what was judged FORWARD pass? Checks the reply's source and, where groups are
// stateless, the rules for the reply direction. DROP_NONE = as part of the session.
enum drop weft_judge_reply(const struct judge *j);

// Does this port's security want connections followed (stateful groups)?
bool weft_judge_tracks(const struct judge *j, const struct port_policy *p);

// Has a router changed an address or a port?
static inline bool judge_translates(const struct judge *j)
{
	return j->pick_port || !weft_flow_equal(&j->now, &j->pkt->key);
}

static inline enum stage_result judge_drop(struct judge *j, enum drop why)
{
	j->verdict = VERDICT_DROP;
	j->why = why;
	return STAGE_DONE;
}

// Trace only: append a line for the stage; a no-op without a recorder.
void weft_judge_note(struct judge *j, const char *stage, const char *verdict, const char *rule,
		     const char *fmt, ...) __attribute__((format(printf, 5, 6)));

enum stage_result weft_stage_admit(struct judge *j);
enum stage_result weft_stage_spoof(struct judge *j);
enum stage_result weft_stage_service(struct judge *j);
enum stage_result weft_stage_egress(struct judge *j);
enum stage_result weft_stage_metadata(struct judge *j);
enum stage_result weft_stage_route(struct judge *j);
enum stage_result weft_stage_switch(struct judge *j);
enum stage_result weft_stage_ingress(struct judge *j);

// Does any of the port's groups permit this? The rule's id or NULL.
const char *weft_rules_of_port(const struct judge *j, const struct port_policy *p,
			       const struct rule_query *q);

// Do the hosts of an IPv6 subnet ask a DHCPv6 server, and is it this one?
static inline bool answer_has_dhcp6(const struct plan_subnet *s)
{
	return s->dhcp && (s->address == PLAN_V6_STATELESS || s->address == PLAN_V6_STATEFUL);
}
