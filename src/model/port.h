// SPDX-License-Identifier: Apache-2.0
// Ports: what the other resources ask of them, and the pieces that a port is made of, one file
// each: port_binding.c (where and how it is attached), fixed_ips.c (its addresses), port_show.c
// (what is made when it is shown).
//
// Threads    one (the control thread)
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "model/attr.h"
#include "model/model.h"

// The "device_owner" of a router's gateway, and of the port that holds a floating IP's address.
#define WEFT_GATEWAY_OWNER     "network:router_gateway"
#define WEFT_FLOATING_IP_OWNER "network:floatingip"

// device_owner network:* : a service's port, never filtered.
bool weft_port_is_trusted(const json_t *port);
// A router's port: its addresses are the router's own business (no automatic IPv6 addresses).
bool weft_port_is_router(const json_t *port);
// A router's interface: such a port whose "device_id" says which router's. Only
// weft_txn_router_add_interface() makes one of a router that exists.
bool weft_port_is_interface(const json_t *port);
// A router's gateway: a port on an external network whose "device_id" says which router's.
bool weft_port_is_gateway(const json_t *port);
// The port that holds a floating IP's address; its "device_id" says which one's.
bool weft_port_is_floating(const json_t *port);
// A service made it and it goes with its network or subnet.
bool weft_port_is_auto_deleted(const json_t *port);

const char *weft_port_status(const struct model *m, const struct object *port);
void weft_port_render(const struct model *m, const struct object *port, json_t *shown);

// Take a port out; what leads to its addresses leads nowhere then.
void weft_port_remove(struct txn *t, const struct object *port);
// Has it an address in this subnet?
bool weft_port_has_subnet(const json_t *port, const char *subnet_id);
// The last address of a subnet that goes is taken from the port.
void weft_port_drop_subnet(struct txn *t, const struct object *port, const char *subnet_id);
// A new SLAAC subnet: the port gets its address in it.
int weft_port_join_subnet(struct txn *t, const struct object *port, const char *subnet_id,
			  struct err *err);

// binding:vif_type and binding:vif_details from host, profile and configuration.
void weft_port_bind(const struct model *m, json_t *port);
int weft_port_read_profile(const struct attr *a, const json_t *in, json_t **out, struct err *err);

// Validated addresses of a port from what it asked for: list of {"subnet_id"?, "ip_address"?}, or
// NULL for the default. `before` is what it has now (NULL: a new port). *out: new list of both.
int weft_fixed_ips_allocate(struct model *m, const json_t *port, const json_t *wanted,
			    const json_t *before, json_t **out, struct err *err);
int weft_fixed_ips_read(const struct attr *a, const json_t *in, json_t **out, struct err *err);
// Mark or clear the addresses of a port in their subnets.
void weft_fixed_ips_index(struct model *m, const json_t *port, bool add);
