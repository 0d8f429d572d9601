// SPDX-License-Identifier: Apache-2.0
// Native: the whole of the DPDK datapath, for those who wire it and for those who show it.
//
// Threads    control
#pragma once

#include "datapath/datapath.h"
#include "datapath/native/policy/policy.h"
#include "datapath/native/worker/worker.h"

struct live_watch;
struct baseline;

struct native {
	struct node node;
	datapath_port_event on_port;
	void *on_port_arg;
	bool huge;
	uint16_t n_workers;
	struct worker *workers[NATIVE_MAX_WORKERS];
	struct tables *tables;	       // the control thread's side of the policy (policy/tables.h)
	struct advertiser *advertiser; // (outside/advertise.h)
	uint32_t vhost_seen;	       // of weft_vhost_changes()
	uint32_t rings_seen_ms;	       // when ports were asked for losses
	struct port_io_stats gone;     // of interfaces that were closed
	struct baseline *baseline;     // from where counters are shown (show/baseline.h); NULL = 0
	struct live_watch *watch;      // (show/live_watch.h) NULL: none
	uint32_t n_watches;	       // ever
	uint16_t n_trunks;
	struct trunk *trunks[NATIVE_MAX_TRUNKS]; // fixed at start, in the configuration's order
};

// What there is to poll changed: a port, how many shares it has, a trunk. Each share of a port is
// given to one worker: the next one's to the next worker. A worker whose part stays the same keeps
// its list.
void weft_workers_set_ports(struct native *dp);
