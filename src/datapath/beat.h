// SPDX-License-Identifier: Apache-2.0
// Beat: the datapath's housekeeping goes on while the control thread works.
//
// A tick asks for next hops again, advertises routers, announces addresses, frees memory. VMs
// notice when it is late; and a request may keep the control thread for a while, with JSON, with an
// fsync, with a long list. So ticks have a thread of their own, and every hook of the datapath is
// called under one lock. To those who call hooks nothing changes: they get a struct datapath_ops
// that takes the lock. A tick that is due goes before the next hook. What a tick tells (on_port) is
// handed to the control thread.
//
// How late ticks came, and how long the control thread's loop stood still, is kept for the
// operator.
//
// Threads    hooks: the control thread; ticks: its own
// Ownership  a beat owns the datapath that it started
#pragma once

#include "datapath/datapath.h"

#define BEAT_MS 100

struct beat;

// Start the datapath `inner`, and its ticks. *out is what hooks are called with, *ops are the
// hooks; stop() of them ends it all. on_port is called from the loop.
int weft_beat_start(const struct datapath_ops *inner, const struct datapath_config *config,
		    struct event_base *loop, datapath_port_event on_port, void *arg,
		    const struct datapath_ops **ops, struct datapath **out, struct err *err);

// How late ticks came, how much of that they waited for a hook to end (the rest is the machine's),
// and how long the control loop stood still, microseconds: the longest of the last minute, and
// since the start.
struct beat_late {
	uint32_t tick_us, tick_ever_us;
	uint32_t held_us, held_ever_us;
	uint32_t loop_us, loop_ever_us;
};
struct beat_late weft_beat_late(struct datapath *beat);
