// SPDX-License-Identifier: Apache-2.0
// Tables: from a batch of plan changes to the versioned maps that workers read.
//
// A batch is applied in three steps. Prepare does all that can fail (rules are compiled, capacity
// is checked) and touches nothing. Stage puts the new values into the maps, unseen. Commit makes
// them visible at once and then makes stale the sessions of ports that something was taken from:
// a change that only adds cuts nothing and costs no session anything.
//
// Threads    control
#pragma once

#include "datapath/native/policy/policy.h"

struct trunk;	 // the device of a physical network (outside/uplink.h)
struct campaign; // of advertisements (outside/advertise.h)

// Who wires the rooms listens here. arg comes first.
struct tables_hooks {
	void *arg;
	// A port is about to be seen by workers; so many had its index before.
	void (*made)(void *arg, struct port *p, uint32_t before);
	// An attached port that leaves the plan is to be taken off its interface.
	void (*detach)(void *arg, struct port *p);
	// The physical network's; NULL: this node has none of that name.
	struct trunk *(*trunk)(void *arg, const char *physical);
	// Has somebody asked the wire for this address?
	bool (*is_asked)(void *arg, const struct neighbour_key *key);
	// What the routers of a network advertise changes; NULL: nothing. *campaign is the
	// listener's.
	void (*advertise)(void *arg, uint32_t network, const struct adverts *old,
			  const struct adverts *new, struct campaign **campaign);
};

struct tables *weft_tables_new(struct node *node, const struct tables_hooks *hooks);
void weft_tables_free(struct tables *t); // workers must have stopped

// As datapath_ops.prepare, .apply and .forget.
int weft_tables_prepare(struct tables *t, const struct plan_batch *batch, size_t *refused,
			struct err *err);
void weft_tables_apply(struct tables *t, const struct plan_batch *batch);
void weft_tables_forget(struct tables *t);

// The port of an id, NULL = not in the plan. A network's id names its uplink.
struct port *weft_tables_port(const struct tables *t, const char *id);
const struct plan_port *weft_tables_plan(const struct tables *t, const char *id);
// The VMs' ports.
void weft_tables_each_port(const struct tables *t,
			   void (*visit)(struct port *p, const struct plan_port *plan, void *arg),
			   void *arg);
void weft_tables_each_uplink(const struct tables *t,
			     void (*visit)(struct port *p, struct trunk *trunk, uint16_t vlan,
					   void *arg),
			     void *arg);
void weft_tables_each_rule_set(const struct tables *t,
			       void (*visit)(const struct plan_rule_set *plan, size_t users,
					     void *arg),
			       void *arg);
void weft_tables_each_router(const struct tables *t,
			     void (*visit)(const struct plan_router *plan, void *arg), void *arg);
// forwardings: n of them, in no order.
void weft_tables_each_floating(const struct tables *t,
			       void (*visit)(const struct plan_floating *plan,
					     const struct plan_forwarding *const *forwardings,
					     size_t n, void *arg),
			       void *arg);
const struct plan_rule_set *weft_tables_rule_set(const struct tables *t, const char *id);
void weft_tables_bump(struct node *node, uint16_t port);
