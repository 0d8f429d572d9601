// SPDX-License-Identifier: Apache-2.0
// Shares: of something that there is only so much of (packet buffers that wait, say), who has how
// much, so that nobody can take what others need.
//
// There is so much in all, and a port may have so much of it. When all of it is taken, a port that
// has less than the one that has most still gets in: that one gives something up first. So whoever
// floods, alone or from many ports, competes with himself, and a port that needs little finds it.
//
// Asking and counting cost the same however many ports there are: ports with the same count are in
// a list.
//
// Threads    one table per worker
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct shares {
	uint32_t all, each; // limits
	uint32_t used, top; // the most that a port has
	struct share *ports;
	uint32_t *with; // by count: the first of the ports that have so much, + 1
};

// False: no memory.
bool weft_shares_init(struct shares *s, uint32_t all, uint32_t each);
void weft_shares_fini(struct shares *s);

enum share_answer {
	SHARE_YES,
	SHARE_NO,
	SHARE_IF, // *who, who has most, gives something up first; then ask again
};

// May the port have n more?
enum share_answer weft_shares_ask(const struct shares *s, uint16_t port, uint32_t n, uint16_t *who);
void weft_shares_add(struct shares *s, uint16_t port, uint32_t n);
void weft_shares_sub(struct shares *s, uint16_t port, uint32_t n);
uint32_t weft_shares_of(const struct shares *s, uint16_t port);
