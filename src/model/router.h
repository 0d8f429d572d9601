// SPDX-License-Identifier: Apache-2.0
// Routers: what the other resources ask of them, and the pieces that a router is made of, one file each:
// router_interface.c (the ports that join it to networks), router_routes.c (its extra routes).
//
// What holds between requests: every interface has an address; no two subnets of a router overlap; one IPv4 address at most on an
// interface; the IPv6 subnets of one network are on one interface; the next hop of every route is on a connected subnet and is not the
// router itself.
//
// Threads    one (the control thread)
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "model/attr.h"
#include "model/model.h"

extern const struct attr weft_router_attrs[];

// "Bad router request: ..." (400). Returns -EINVAL.
int weft_router_bad(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// The "device_owner" of this router's interfaces.
const char *weft_router_interface_owner(const json_t *router);

// The router that this port is an interface of; NULL when it is none, or the router is not there.
const struct object *weft_router_of_port(const struct model *m, const json_t *port);
// Users do not make, move or undo interfaces through their ports, but may change an interface's addresses as long as the router stays
// what a router may be. `before` is NULL for a new port.
int weft_router_check_port(const struct model *m, const struct caller *who, const json_t *before,
			   const json_t *after, struct err *err);

int weft_router_routes_read(const struct attr *a, const json_t *in, json_t **out, struct err *err);
// Are all the router's routes possible? With `port` in the place of what it is in the model (NULL: all as it is).
int weft_router_check_routes(const struct model *m, const json_t *router, const json_t *port,
			     struct err *err);
// Does no route need this subnet? -EBUSY when one does.
int weft_router_check_unrouted(const struct object *router, const struct object *subnet,
			       struct err *err);
