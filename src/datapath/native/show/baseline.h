// SPDX-License-Identifier: Apache-2.0
// Baseline: from where an operator's view counts (`weft reset counters`). Workers' counters and the
// metrics only grow; what is shown is what they have grown since.
//
// Threads    control
#pragma once

#include <jansson.h>

#include "datapath/native/native.h"

// One port's. It is the port's, and goes with it.
struct port_baseline {
	uint32_t at_ms;
	struct port_stats stats;
	uint32_t drops[DROP_COUNT];
	struct port_io_stats io; // of the interface that the port has
};

// The node's.
struct baseline {
	uint32_t at_ms;
	uint64_t drops[DROP_COUNT];
	struct port_io_stats losses;
	struct worker_stats workers[NATIVE_MAX_WORKERS];
};

// What a port's counters are in sum, and its drops; since its baseline if there is one.
struct port_stats weft_native_port_stats(const struct native *dp, const struct port *p);
uint32_t weft_native_port_drops(const struct native *dp, const struct port *p, enum drop reason);
// Of all workers, whatever the baseline.
uint64_t weft_native_drops(const struct native *dp, enum drop reason);
struct worker_stats weft_native_worker_stats(const struct worker *w);
// Take `base` from each of n counters that follow each other.
void weft_native_since(uint64_t *counters, const uint64_t *base, size_t n);
// Add "counters_reset_ago_ms": null = never.
void weft_native_reset_json(const struct native *dp, bool was_reset, uint32_t at_ms, json_t *o);

// port_id NULL: of all. -ENOENT: no such port.
int weft_native_reset_counters(struct native *dp, const char *port_id, struct err *err);
