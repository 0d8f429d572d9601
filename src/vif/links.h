// SPDX-License-Identifier: Apache-2.0
// Links: ports of the plan meet the interfaces that exist.
//
// A port is attached when it is in the plan, administratively up and its interface is there;
// whichever comes last makes it happen, and whichever goes first ends it. A vhost-user port has
// its socket as long as it is in the plan, and is attached while the datapath says that a VM's
// driver is ready. Attaching takes its time, so ports wait for their turn and the loop goes on
// between. An attempt that fails is repeated, ever less often, up to every five seconds. A port
// is ACTIVE in the model exactly while it is attached: the datapath filters from the first packet
// on. Why a port is not is kept as a sentence.
//
// Ownership  borrows everything in its config
// Threads    one (the control thread)
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "datapath/datapath.h"
#include "model/model.h"
#include "plan/planner.h"

struct event_base;
struct links;

struct links_config {
	struct event_base *loop;
	struct model *model;
	const struct planner *planner;
	const struct datapath_ops *ops;
	struct datapath *datapath;
};

int weft_links_new(const struct links_config *config, struct links **out, struct err *err);
// Detaches nothing: the datapath's stop does.
void weft_links_free(struct links *l);

// The plan's port changed, came or went; it is in force. For every port of a batch:
// weft_links_plan_changed.
void weft_links_port_changed(struct links *l, const char *port_id);
void weft_links_plan_changed(struct links *l, const struct plan_batch *batch);

// An interface has this index now; 0: it is gone. (link_changed of link_watch.h; arg is the
// struct links.)
void weft_links_interface_changed(void *arg, const char *name, int ifindex);

// What a datapath tells by itself (datapath_port_event; arg is the struct links).
void weft_links_port_event(void *arg, const char *port_id, bool up, const char *reason);

bool weft_links_has_interface(const struct links *l, const char *name);
// Why a port of the plan is not ACTIVE; NULL when it is, or is not in the plan.
const char *weft_links_reason(const struct links *l, const char *port_id);
// Attach waiting ports for about that long, without waiting for the loop to do it.
void weft_links_work(struct links *l, uint64_t budget_ms);
// How many ports are attached, and how many are in the plan.
void weft_links_count(const struct links *l, size_t *attached, size_t *ports);
