// SPDX-License-Identifier: Apache-2.0
// One run: packets between the two VMs of a pair for some time, counted and verified.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "packets.h"
#include "ports.h"

struct run {
	struct pair *pair;
	struct way way[2];
	uint32_t users;	 // that come again, both ways; 0: none
	uint32_t *order; // of the users; NULL: their numbers'
	bool fresh;	 // A opens new flows
	bool known;	 // the switch knows the users already
	double seconds, rate, known_s;
	uint32_t *latency; // histogram, or NULL
};

// The latency histogram, calloc'ed.
uint32_t *run_histogram(void);
// The users 0 to n - 1 shuffled, always in the same way; NULL if there is no memory. The caller
// frees it.
uint32_t *run_shuffled(uint32_t n);
json_t *run_measure(struct run *r);
