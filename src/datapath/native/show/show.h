// SPDX-License-Identifier: Apache-2.0
// Show: what the native datapath knows of itself, as JSON and as metrics.
//
// Threads    control; counters of running workers are read as they are
#pragma once

#include "datapath/native/native.h"

int weft_native_show(struct native *dp, enum datapath_show what, const char *id, size_t limit,
		     json_t **out, struct err *err);
void weft_native_metrics(struct native *dp, struct text *out);

// A protocol's word, or its number.
json_t *weft_native_protocol_json(uint8_t proto);

// One port's whole JSON, its drops by reason included (show_port.c).
json_t *weft_native_port_json(struct native *dp, const struct port *p,
			      const struct plan_port *plan);
// Next hops and address conflicts (show_neighbours.c), with their metrics.
json_t *weft_native_neighbours_json(struct native *dp);
void weft_native_neighbour_metrics(struct native *dp, struct text *out);
// Devices of physical networks and the networks on them (show_uplink.c), with their metrics.
json_t *weft_native_uplinks_json(struct native *dp);
void weft_native_uplink_metrics(struct native *dp, struct text *out);
// What an interface of a router advertises to hosts, null = nothing (show_adverts.c), and how
// often.
json_t *weft_native_advert_json(struct native *dp, const struct plan_interface *p);
void weft_native_advert_metrics(struct native *dp, struct text *out);
// Floating IPs with their forwardings; translated sessions, how many each address has, and what
// was refused (show_nat.c), with their metrics.
json_t *weft_native_floatings_json(struct native *dp);
json_t *weft_native_nat_json(struct native *dp, const struct port *only, size_t limit);
void weft_native_nat_metrics(struct native *dp, struct text *out);
// What is compiled for a port (weft explain).
json_t *weft_native_policy_json(struct native *dp, const struct plan_port *plan);
// A word for its original direction's line.
const char *weft_native_session_state(const struct session *original);
// How many the port has, from it and to it.
uint32_t weft_native_count_sessions(struct native *dp, const struct port *only);
json_t *weft_native_sessions_json(struct native *dp, const struct port *only, size_t limit);
// What is lost where no worker sees it (show_io.c): of all that is and was attached; its metrics,
// by port as well. gone: before an interface is closed.
json_t *weft_native_losses_json(const struct native *dp);
void weft_native_loss_metrics(const struct native *dp, struct text *out);
void weft_native_io_gone(struct native *dp, const struct port_io *io);
// Of all that is and was attached, since the start.
struct port_io_stats weft_native_losses(const struct native *dp);
// Add "kind", "interface_counters" (since `base`, unless that is NULL) and, of a vhost-user port,
// "guest": its driver.
void weft_native_io_json(struct port_io *io, const struct port_io_stats *base, json_t *o);
