// SPDX-License-Identifier: Apache-2.0
// Resources: one struct of hooks per kind of object; what its table of attributes cannot say.
//
// To add a resource: an enum value in model.h, a file with its table and hooks, a line in
// resource.c, and a line in index.c for each way in which it refers to others.
//
// Threads    one (the control thread)
// Errors     hooks return 0 or -errno with Neutron's exception name; a failure ends the transaction
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "model/attr.h"
#include "model/model.h"

struct resource_ops {
	const char *name, *plural;
	const char *url;	    // NULL: no collection of its own, but one below another object
	const char *not_found;	    // Neutron's exception name
	const char *not_found_text; // its sentence, with one %s for the id
	const struct attr *attrs;   // ends with a row without name

	// Complete a new object: `obj` has defaults and what was `given`; check references,
	// allocate.
	int (*create)(struct txn *t, const struct caller *who, const json_t *given, json_t *obj,
		      struct err *err);
	// What comes with a new object (NULL: nothing).
	int (*created)(struct txn *t, const struct object *o, struct err *err);
	// Complete a changed object: `obj` is a copy of old with what was `given` put in.
	int (*update)(struct txn *t, const struct caller *who, const struct object *old,
		      const json_t *given, json_t *obj, struct err *err);
	// Refuse the deletion, or delete what hangs on the object (the object itself goes
	// afterwards).
	int (*remove)(struct txn *t, const struct caller *who, const struct object *o,
		      struct err *err);
	// Keep what is looked up by more than the id (NULL: nothing). Cannot fail: create and
	// update have checked.
	void (*index)(struct model *m, const struct object *o, bool add);
	// Add run-time and derived fields to the shown object (NULL: none).
	void (*render)(const struct model *m, const struct object *o, json_t *shown);
	// A stored object is loaded: check what the indexes rely on, renew what follows from the
	// configuration (NULL: nothing).
	int (*load)(const struct model *m, json_t *obj, struct err *err);
	// More than own objects (NULL: nothing more).
	bool (*visible)(const struct model *m, const struct caller *who, const struct object *o);
	// May this caller, who sees it, change it? (NULL: its project and admins.)
	bool (*writable)(const struct model *m, const struct caller *who, const struct object *o);
};

extern const struct resource_ops weft_network_ops, weft_subnet_ops, weft_port_ops,
	weft_security_group_ops, weft_security_group_rule_ops, weft_address_group_ops,
	weft_router_ops, weft_floating_ip_ops, weft_port_forwarding_ops, weft_quota_ops,
	weft_subnet_pool_ops;

const struct resource_ops *weft_resource_ops(enum resource type);

// What a list is to be filtered by: refuse what is no boolean where the attribute is one (400).
int weft_resource_check_filter(enum resource type, const char *attr, const char *value,
			       struct err *err);

// The object if the caller may see it; otherwise NULL with the resource's "not found" in err.
const struct object *weft_resource_get(const struct model *m, const struct caller *who,
				       enum resource type, const char *id, struct err *err);
int weft_resource_not_found(enum resource type, const char *id, struct err *err); // -ENOENT

// The caller that rules of the model itself act as.
extern const struct caller weft_caller_model;

// Owner or admin?
bool weft_caller_owns(const struct caller *who, const struct object *o);
