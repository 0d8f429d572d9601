// SPDX-License-Identifier: Apache-2.0
// Announce: hosts and switches outside are told where an address of ours is, before they would ask.
//
// A floating IP that comes or moves, and the addresses of a router's interfaces that come or
// change, are announced on their network, so that nobody goes on sending to a MAC that has them
// no longer: three times outside, twice inside, a second apart. IPv4 by gratuitous ARP in both of
// its forms (RFC 5227, 5944), IPv6 by unsolicited advertisements (RFC 4861, 7.2.6); so are all of
// a network's when its uplink comes up. To the uplink, and to the network's ports on this node.
// Thousands of addresses are spread over time: what comes new goes before repetitions, and an
// address waits at most once.
//
// A VM that came from another node by migration is announced once each time that QEMU asks (it
// does so several times), to the uplink of its network, by RARP; if the MAC is one that its port
// may use.
//
// An address that somebody else outside claims is defended by one more announcement, at most once
// in ten seconds (RFC 5227, 2.4 (c)): those who believed the claim come back, and two machines
// that quarrel do not fill the network.
//
// Threads    control
#pragma once

#include "datapath/native/policy/policy.h"

struct announcer *weft_announcer_new(struct node *node);
void weft_announcer_free(struct announcer *a);

// A batch has been applied.
void weft_announce_batch(struct node *node, const struct plan_batch *batch);
// The uplink of a network has been attached, or its carrier is back.
void weft_announce_network(struct node *node, uint32_t network_index);

// QEMU asks for an announcement of this MAC of a VM's port.
void weft_announce_vm(struct node *node, struct port *p, const struct mac_addr *mac);

// Somebody outside claims an address of the network. True: it is one that is announced, and is
// defended.
bool weft_announce_defend(struct node *node, const char *network_id, const struct ip_addr *ip);

// Ten times a second.
void weft_announcer_tick(struct announcer *a, uint32_t now_ms);

uint64_t weft_announcer_sent(
	const struct announcer *a); // addresses announced, each repetition counted
uint64_t weft_announcer_defended(const struct announcer *a); // claims that were answered so
size_t weft_announcer_waiting(const struct announcer *a);
