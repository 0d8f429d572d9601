// SPDX-License-Identifier: Apache-2.0
// Turn: what the thread of a worker does, again and again.
//
// For each port a burst in, the fast path, then whatever was queued goes out; a few steps of the
// session table's clock hand; a quiescent point. A worker that finds nothing for 100 us sleeps,
// longer and longer up to idle_us, and is offline for grace periods meanwhile; so control never
// waits for it.
//
// Threads    start, stop: control; the rest runs in the worker
#pragma once

#include "datapath/native/worker/worker.h"

int weft_worker_start(struct worker *w, struct err *err); // its thread, on its core
// node->stop must be set if it was started; joins and frees.
void weft_worker_stop(struct worker *w);
