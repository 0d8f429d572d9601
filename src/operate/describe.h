// SPDX-License-Identifier: Apache-2.0
// Describe: finding an object by what a person writes, and telling what one is.
//
// Threads    one (the control thread)
#pragma once

#include "base/err.h"
#include "base/text.h"
#include "model/model.h"

// By id, by name if only one has it, or by the beginning of an id if only one begins so. -ENOENT,
// or -EINVAL when several are meant (err names some of them).
int weft_find_object(const struct model *m, enum resource type, const char *what,
		     const struct object **out, struct err *err);

// The object's name, "" if it has none or is not there. Good as long as the object.
const char *weft_object_name(const struct model *m, enum resource type, const char *id);

// The name of a datapath's port, as JSON text: a port's, or "uplink:" and the name (or id) of a
// network whose uplink it is.
json_t *weft_port_name(const struct model *m, const char *id);
// "uplink:NETWORK" -> the network. -ENOENT: it is none, or there is no such network.
int weft_find_uplink(const struct model *m, const char *what, const struct object **out,
		     struct err *err);

// A security group rule as a phrase: "ingress IPv4 tcp 22 from group web". NULL-safe: "" for an
// unknown id.
void weft_describe_rule(const struct model *m, const char *rule_id, struct text *out);
