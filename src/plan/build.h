// SPDX-License-Identifier: Apache-2.0
// From one object of the model to the plan's form of it: pure functions of the objects they are
// given.
//
// Everything that is derived from a port (its plan object, its neighbours, the members that it
// contributes to its groups' sets) depends on that port object alone. So the planner can take
// back what the object before a change contributed and add what the object after it does, without
// looking at anything else.
//
// Ownership  *out is the caller's (weft_plan_object_free, or free() for arrays)
// Errors     -EINVAL: the object is not one that the API would have taken; err names it
// Threads    any
#pragma once

#include "base/err.h"
#include "model/model.h"
#include "plan/plan.h"

struct plan_prefixes {
	size_t n;
	struct ip_prefix *prefix;
};

// Bound to this host and attachable there. Routers' ports and those of floating IPs never are:
// nothing is attached to them, whatever host they name.
bool weft_plan_port_is_local(const struct object *port, const char *host);
// Bound to some host and attachable there.
bool weft_plan_port_is_bound(const struct object *port);

int weft_plan_build_network(const struct object *o, struct plan_network **out, struct err *err);
// The domain that DHCP tells comes from the subnet's network, which may be NULL.
int weft_plan_build_subnet(const struct object *o, const struct object *network,
			   struct plan_subnet **out, struct err *err);
// The rule set of a security group with its rules, sorted by id.
int weft_plan_build_rule_set(const struct model *m, const struct object *group,
			     struct plan_rule_set **out, struct err *err);
int weft_plan_build_port(const struct object *o, struct plan_port **out, struct err *err);
// What of the port is stored but has no effect here: a sentence for each.
void weft_plan_port_notes(const struct object *o, void (*note)(void *arg, const char *text),
			  void *arg);

// A router with its interfaces, its gateway among them, sorted by port id, and routes.
int weft_plan_build_router(const struct model *m, const struct object *o, struct plan_router **out,
			   struct err *err);
// Its external interface; NULL = none, or there is no router.
const struct plan_interface *weft_plan_external(const struct plan_router *r);
// Is the port a router's interface? A gateway is none.
bool weft_plan_is_router_port(const struct object *port);
// A router's gateway, and the port that holds a floating IP's address. They are no neighbours by
// themselves: the router and the floating IP of the plan are, so that an address that another
// node answers for is asked for on the wire.
bool weft_plan_is_gateway(const struct object *port);
bool weft_plan_is_floating(const struct object *port);

// A floating IP that is associated or has forwardings, with the MAC of its own port.
int weft_plan_build_floating(const struct object *o, const struct object *own_port,
			     struct plan_floating **out, struct err *err);
int weft_plan_build_forwarding(const struct object *o, struct plan_forwarding **out,
			       struct err *err);

// The addresses by which the port is found on its network: fixed IPs, host-sized allowed pairs
// and the IPv6 link-local address of every allowed MAC (of a router's interface only if it has an
// IPv6 address); each (address, MAC) once. A port that is bound to no host, and is no router's
// interface, has none: nothing could be delivered there, and the port that reserves a virtual
// address must not hide the ports that serve it.
int weft_plan_build_neighbours(const struct object *port, const char *host,
			       struct plan_neighbour **out, size_t *n, struct err *err);
// What the port adds to the set of each of its groups: fixed IPs and allowed pairs, prefixes too;
// masked. A pair of a whole family (0.0.0.0/0, ::/0) is left out: by address alone it would make
// the whole world a member. Neutron's Open vSwitch driver admits such sources with the pair's MAC
// only, which a set cannot say.
int weft_plan_build_members(const struct object *port, struct plan_prefixes *out, struct err *err);
// An address group's addresses [from, to) of its list; masked.
int weft_plan_build_addresses(const struct object *group, size_t from, size_t to,
			      struct plan_prefixes *out, struct err *err);
