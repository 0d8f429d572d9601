// SPDX-License-Identifier: Apache-2.0
// A watch (carry/live.h) begins, is read, and ends: also by itself, if nobody reads it or its port
// is gone.
//
// Threads    control
// Errors     0 or -errno, err says which port
#pragma once

#include "datapath/native/native.h"

#define LIVE_LEASE_MS 3000 // for how long nobody may read it

// *watch: its number. -ENOENT unknown port, -EBUSY somebody watches already.
int weft_native_watch(struct native *dp, const char *port_id, const struct datapath_filter *filter,
		      uint32_t *watch, struct err *err);
// What was seen since the last time, as datapath.h says. -ENOENT: that watch has ended.
int weft_native_watched(struct native *dp, uint32_t watch, json_t **out, struct err *err);
void weft_native_unwatch(struct native *dp, uint32_t watch);
void weft_native_watch_tick(struct native *dp);
void weft_native_watch_port_gone(struct native *dp, uint16_t port);
void weft_native_watch_stop(struct native *dp); // no worker runs any more
