// SPDX-License-Identifier: Apache-2.0
// Frame: what a packet of a class looks like when it is sent and when it must arrive.
//
// A packet carries a tag behind its transport header (a fragment: behind its IP header): class,
// flow, sequence, when it was sent, and what the policy said of it then. From the tag alone the
// whole frame can be made again as its receiver must see it; so checking one is comparing all its
// bytes: addresses, TTL, checksums, payload.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/stress/vm.h"

#define CLASSES_MAX 64
#define TAG_MAGIC   0x5e77
#define NOBODY	    0xff

enum kind {
	KIND_UDP,   // asks, and is answered
	KIND_TCP,   // handshake, requests and answers, FIN both ways
	KIND_ICMP,  // echo
	KIND_FRAG,  // datagrams of three fragments, in four orders
	KIND_BCAST, // to all of the network
	KIND_FLOOD, // each packet is a flow; every fourth is answered
	KIND_ARP,   // for the gateway: no tag
};

enum order { ORDER_FORWARD, ORDER_BACKWARD, ORDER_OVERLAP, ORDER_NO_LAST, ORDERS };

struct tag {
	uint16_t magic;
	uint8_t class, dir; // dir: 0 asks, 1 answers
	uint8_t stamp, first;
	uint8_t target; // VM that it is for, or that answers
	uint8_t l4;	// TCP: flags; fragment: order << 4 | number
	uint32_t seq, flow, version, us;
	uint16_t len, zero; // of the frame
};
_Static_assert(sizeof(struct tag) == 28, "no padding");

struct heard { // answers that came while the class's version was this one
	uint32_t version, n;
};

struct count {
	uint64_t sent[STAMPS], seen[STAMPS];
};

struct class
{
	char name[32], note[96]; // note: the latest change
	enum kind kind;
	uint8_t id, from, family, hops;
	bool routed;	  // through the sender's gateway; else to the receiver's MAC
	bool steady;	  // no change touches it
	bool pressed;	  // its sessions may make room for others at any time: answers may be lost
	bool spoofed_mac; // sent with a MAC that is not the sender's
	uint8_t src[16], dst[16]; // as sent
	uint8_t got_src[16],
		got_dst[16]; // as it must arrive; got_dst all zero: the receiver's own address
	uint16_t sport, dport;
	uint32_t flows;
	double weight;
	// KIND_BCAST: VMs that get a copy; else those that it may come to while that changes.
	uint64_t receivers;

	enum stamp stamp;
	uint8_t target;
	uint32_t version; // grows with each change
	uint32_t seq[2];
	uint32_t next_flow;
	uint32_t last_seq[2][VMS_MAX];
	bool any_seq[2][VMS_MAX];
	struct heard *heard; // per flow; NULL: nobody counts
	double due;	     // packets that the rate owes it
	struct count count[2];
	uint64_t first_sent, first_seen; // answers to flows that had too few since the change
};

// The tag says everything but the bytes. arrived: as the receiver must get it (NOBODY: the
// target). Returns its length.
size_t frame_make(const struct class *c, const struct vm *vms, const struct tag *t, bool arrived,
		  uint8_t receiver, uint8_t *out);
// Length of a class's frame with so many bytes behind the tag.
uint16_t frame_length(const struct class *c, const struct tag *t, uint16_t payload);
// Where the tag is in a frame that arrived; NULL: there can be none.
const uint8_t *frame_find_tag(const uint8_t *frame, uint32_t len);

size_t frame_make_arp(const struct class *c, const struct vm *vm, bool spoofed, uint8_t *out);
void frame_init(void);
