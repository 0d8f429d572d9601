// SPDX-License-Identifier: Apache-2.0
// Play: all VMs at once. What each class sends, how it is answered, and what must not arrive.
//
// Errors are counted, and the first ones told: a packet that was sent when the policy forbade it
// and arrived; one that arrived at another VM than its own, with any byte other than it must
// have, twice, or behind a later one of its class.
#pragma once

#include <jansson.h>

#include "tests/stress/frame.h"

#define CONNS_MAX   64
#define ERRORS_TOLD 20

struct conn {				   // a TCP client's
	uint32_t flow, exchanges, version; // version: of the class, when it was last answered
	double at;			   // when it last sent something
	bool open, busy;		   // busy: waits for an answer
	uint8_t state, tries;
	uint32_t heard;	      // answers to this connection since the latest change
	uint32_t server_flow; // that the other end heard of last
};

struct play {
	struct vm vms[VMS_MAX];
	struct class classes[CLASSES_MAX];
	struct conn conns[CLASSES_MAX][CONNS_MAX];
	unsigned int n_vms, n_classes, turn;
	double now, begun, emitted, heard; // seconds; heard: the latest arrival
	double rate; // packets a second of a class of weight 1; 0: as many as there is room for
	bool sending;
	uint64_t errors, random;
	json_t *told;
	uint64_t broadcasts, copies, connections, abandoned;
};

double play_now(void);
void play_error(struct play *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Of a packet of a class: what is wrong, and which packet it is.
void play_wrong(struct play *p, const struct class *c, const struct tag *t, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
// Put a packet of a class into its sender's ring; false: no room. stamp: usually the class's.
bool play_send(struct play *p, struct class *c, struct tag *t, enum stamp stamp, uint16_t payload);
void play_receive(void *arg, unsigned int vm, const uint8_t *frame, uint32_t len, bool late);
void play_lost(void *arg, const struct vm_slot *slot, unsigned int vm);
// What the classes have to send now; how many packets that was.
unsigned int play_emit(struct play *p);
json_t *play_report(struct play *p); // report.c

// play_tcp.c
unsigned int play_tcp_emit(struct play *p, struct class *c, unsigned int n);
void play_tcp_seen(struct play *p, struct class *c, const struct tag *t);

static inline uint32_t play_random(struct play *p, uint32_t n)
{
	p->random = p->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((p->random >> 33) % n);
}
