// SPDX-License-Identifier: Apache-2.0
// Worker: a thread that polls its share of the ports.
//
// One turn: for each port a burst in, the fast path, then whatever was queued goes out; a few steps of the
// session table's clock hand; a quiescent point. A worker that finds nothing for 100 us sleeps, longer and
// longer up to idle_us, and is offline for grace periods meanwhile; so control never waits for it.
//
// Threads    start, stop, poll list: control; the rest runs in the worker
#pragma once

#include "datapath/native/native.h"

// Of this thread, among those that send and receive packets: a worker's id + 1, 0 for all others (the control thread).
extern _Thread_local uint16_t weft_thread_number;

int weft_worker_new(struct native *dp, uint16_t id, int core, struct worker **out, struct err *err);
int weft_worker_start(struct worker *w, struct err *err); // its thread, on its core
void weft_worker_stop(struct worker *w); // dp->stop must be set if it was started; joins and frees

// What there is to poll changed: a port, how many shares it has, a trunk. Each share of a port is given to one worker: the next one's
// to the next worker. A worker whose part stays the same keeps its list. Control thread.
void weft_workers_set_ports(struct native *dp);
