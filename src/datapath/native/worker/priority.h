// SPDX-License-Identifier: Apache-2.0
// Priority: workers go before everything else on their cores, and starve nothing.
//
// A worker at normal priority that wakes from a nap waits for whoever runs on its core; on a busy
// machine that is milliseconds, with control groups in between more than a second. So a worker
// that naps is in the class of SCHED_FIFO: it runs as soon as it wakes, and it naps again soon.
// One that has not napped for PRIORITY_RUN_MS would, in that class, keep the core's kernel
// threads (ksoftirqd among them) from running, and the kernel would stop it for 50 ms in every
// second (sched_rt_runtime_us). So it goes back to the normal class, and returns after some naps.
//
// A thread that holds a lock must not be kept waiting by a worker that spins for it. So there is
// a core left for the others, and they stay there; if there is none, or with poll = busy, all is
// at normal priority.
//
// Threads    prepare, finish: control, before the first worker and after the last; the rest runs
//            in the worker
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct node;
struct worker;

#define PRIORITY_RUN_MS 10
#define PRIORITY_RESTS	16

// Of one worker.
struct priority {
	_Atomic bool high; // it is in the class of SCHED_FIFO now
	uint32_t rests;	   // naps since it left that class
	uint64_t awake;	   // the clock when it last woke
};

// Of the datapath: can workers have it (node->config.priority), on these cores? The calling
// thread, and those that it makes from now on, leave the workers' cores to them then. Says in the
// log why not.
void weft_priority_prepare(struct node *node, const int *cores, uint16_t n);
void weft_priority_finish(struct node *node);

void weft_priority_begin(struct worker *w);
void weft_priority_rested(struct worker *w, uint64_t clock); // after a nap
void weft_priority_leave(struct worker *w);

// In every turn; costs a comparison.
#define weft_priority_turn(w, clock)                                              \
	do {                                                                      \
		if (unlikely((w)->priority.high &&                                \
			     (clock) - (w)->priority.awake >                      \
				     (w)->node->tsc_hz / 1000 * PRIORITY_RUN_MS)) \
			weft_priority_leave(w);                                   \
	} while (0)
