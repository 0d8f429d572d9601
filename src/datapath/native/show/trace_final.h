// SPDX-License-Identifier: Apache-2.0
// Trace, at its end: the packet as it leaves, and by what. It is a copy that the packet path's own
// functions have changed.
//
// Threads    control
#pragma once

#include <rte_mbuf.h>

#include "datapath/native/native.h"

// A copy of a frame in a buffer of its own, as those functions want it: one segment, no offloads.
// -ENOMEM.
int weft_trace_copy(struct rte_mbuf *out, const uint8_t *frame, size_t len);
void weft_trace_copy_fini(struct rte_mbuf *m);

void weft_trace_set_frame(json_t *out, const struct rte_mbuf *m); // "frame": hex

// "interface", and "physical_network" and "vlan" of an uplink, of a way out of the node.
void weft_trace_set_way(struct native *dp, const struct port *port, json_t *out);

// [{"port", "interface", "physical_network" and "vlan" of an uplink, "src_mac", "dst_mac", "ttl",
// "packet": "<text>", "frame": "<hex>", "fragments": will it be cut into some}], one for each id
// in out_ports. vlan null: without a tag.
json_t *weft_trace_final(struct native *dp, const struct rte_mbuf *m, const json_t *out_ports);
