// SPDX-License-Identifier: Apache-2.0
// Routers: what the other resources ask of them, and the pieces that a router is made of, one
// file each: router_interface.c (what its interfaces may be), router_join.c (the calls that make
// and undo them), router_routes.c (its extra routes), router_gateway.c (its port on an external
// network).
//
// What holds between requests: every interface has an address; no two subnets of a router
// overlap; one IPv4 address at most on an interface; the IPv6 subnets of one network are on one
// interface; the next hop of every route is on a connected subnet and is not the router itself;
// its "external_gateway_info" says what its gateway port is.
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

// The router that this port is an interface or the gateway of; NULL when it is none, or the
// router is not there.
const struct object *weft_router_of_port(const struct model *m, const json_t *port);
// Users do not make, move or undo interfaces, gateways and floating IPs through their ports, but
// may change an interface's or a gateway's addresses as long as the router stays what a router
// may be. `before` is NULL for a new port.
int weft_router_check_port(const struct model *m, const struct caller *who, const json_t *before,
			   const json_t *after, struct err *err);

// May a port with these attributes be an interface of the router?
int weft_router_check_interface(const struct model *m, const struct object *router,
				const json_t *port, struct err *err);
// Is this subnet apart from those of all the router's interfaces, and of the network outside, but
// for one port (NULL: for none)?
int weft_router_check_subnet(const struct model *m, const struct object *router,
			     const struct object *subnet, const char *but_port, struct err *err);
// The router's interface that has the network's IPv6 subnets; NULL = none.
const struct object *weft_router_v6_port(const struct model *m, const struct object *router,
					 const char *network_id);
int weft_router_port_in_use(const json_t *port, struct err *err); // -EBUSY, PortInUse

int weft_router_routes_read(const struct attr *a, const json_t *in, json_t **out, struct err *err);
// Are all the router's routes possible? With `port` in the place of what it is in the model
// (NULL: all as it is).
int weft_router_check_routes(const struct model *m, const json_t *router, const json_t *port,
			     struct err *err);
// Does no route need this subnet? -EBUSY when one does.
int weft_router_check_unrouted(const json_t *router, const struct object *subnet, struct err *err);
// Does neither a route nor a floating IP need the router's interface on this subnet?
int weft_router_check_unneeded(const struct model *m, const struct object *router,
			       const struct object *subnet, struct err *err);

int weft_router_gateway_read(const struct attr *a, const json_t *in, json_t **out, struct err *err);
const struct object *weft_router_gateway_port(const struct model *m, const char *router_id);
// The gateway comes, changes or goes as `info` asks (null: none), and obj, the router to be, says
// so. `old` is NULL for a new router.
int weft_router_gateway_set(struct txn *t, const struct caller *who, const struct object *old,
			    const json_t *info, json_t *obj, struct err *err);
// A gateway's port has these attributes now: its router says so. Nothing when it is no gateway.
void weft_router_gateway_follow(struct txn *t, const json_t *port);
// The gateway's network has a new subnet: the gateway gets an address in it if it has none of
// that kind.
int weft_router_gateway_meet(struct txn *t, const struct object *port, const struct object *subnet,
			     struct err *err);
