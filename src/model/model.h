// SPDX-License-Identifier: Apache-2.0
// Model: the Neutron objects of one cloud, in memory, and the rules that keep them consistent. No
// I/O.
//
// Every resource is described by one table of attributes (name, type, default, who may set it at
// creation and afterwards), as Neutron's own attribute map is, plus a few functions for what a
// table cannot say: references, allocation, overlaps, what may be deleted. Objects are immutable:
// a change makes a new object that replaces the old one, so a transaction is undone by putting
// the old ones back.
//
// A request is one transaction: begin, any number of create/update/delete, then commit or abort.
// A refused call leaves the transaction unusable but for abort; after abort the model is what it
// was. The list of changes of a transaction (weft_txn_changes) is what the store writes and what
// the planner reads.
//
// Ownership  the model owns objects; a `const struct object *` is good until the transaction that
//            replaces or deletes it is committed and released (weft_txn_free)
// Errors     0 or -errno, err->kind is Neutron's exception name (PortNotFound, IpAddressInUse,
//            ...): -ENOENT 404, -EINVAL 400, -EEXIST/-EBUSY/-ENOSPC 409, -EPERM 403
// Threads    one (the control thread)
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"

enum resource {
	RES_NETWORK,
	RES_SUBNET,
	RES_PORT,
	RES_SECURITY_GROUP,
	RES_SECURITY_GROUP_RULE,
	RES_ADDRESS_GROUP,
	// Its interfaces are ports: see REF_ROUTER_PORTS; so is its gateway:
	// REF_ROUTER_GATEWAY_PORTS.
	RES_ROUTER,
	RES_FLOATING_IP,     // holds its address with a port of its own: see REF_FLOATING_IP_PORTS
	RES_PORT_FORWARDING, // of a floating IP: some of its ports, each leading to a port of a VM
	RES_QUOTA,	     // what one project may have; see quota.h
	RES_SUBNET_POOL,     // prefixes that subnets are cut from
	RES_COUNT,
};

// What refers to what: weft_model_each_ref() walks the left side's referrers.
enum model_ref {
	REF_NETWORK_SUBNETS,	 // network id -> subnets
	REF_NETWORK_PORTS,	 // network id -> ports
	REF_SUBNET_PORTS,	 // subnet id -> ports with a fixed IP in it
	REF_GROUP_PORTS,	 // security group id -> ports that have it
	REF_GROUP_RULES,	 // security group id -> its rules
	REF_REMOTE_GROUP_RULES,	 // security group id -> rules that name it as remote group
	REF_ADDRESS_GROUP_RULES, // address group id -> rules that name it
	REF_ROUTER_PORTS, // router id -> its interface ports (a port's "device_id" is its router)
	REF_NETWORK_ROUTER_PORTS, // network id -> the interface ports of any router on it
	// Routers and the outside. A router's gateway is a port on an external network
	// ("device_owner" network:router_gateway, "device_id" the router): none or one. It is no
	// interface, so REF_ROUTER_PORTS does not have it.
	REF_ROUTER_GATEWAY_PORTS,  // router id -> its gateway port
	REF_NETWORK_GATEWAY_PORTS, // network id -> the gateway ports of any router on it
	// Floating IP id -> the port that holds its address (and has its MAC).
	REF_FLOATING_IP_PORTS,
	REF_NETWORK_FLOATING_IPS, // external network id -> floating IPs with an address there
	// Router id -> floating IPs that it translates: associated ones, and those with
	// forwardings.
	REF_ROUTER_FLOATING_IPS,
	REF_PORT_FLOATING_IPS,	     // port id -> floating IPs that lead to one of its addresses
	REF_FLOATING_IP_FORWARDINGS, // floating IP id -> its port forwardings
	REF_PORT_FORWARDINGS,	     // port id -> forwardings that lead to one of its addresses
	REF_POOL_SUBNETS,	     // subnet pool id -> subnets that were cut from it
	REF_COUNT,
};

struct object {
	enum resource type;
	char id[WEFT_ID_LEN + 1];
	char project_id[256];
	// All attributes in the API's form, "id" and "project_id" included; never mutated.
	json_t *attr;
};

struct model_change {
	const struct object *before; // NULL = created
	const struct object *after;  // NULL = deleted
};

struct model_config {
	const char *host;	    // this node's host name
	const char *default_vif;    // "tap" | "vhostuser"
	const char *vhostuser_mode; // "client" | "server"
	const char *run_dir;	    // for binding:vif_details
	// Largest MTU of a flat or VLAN network, and that of a new one of any kind. 0: 1500
	uint32_t physnet_mtu;
	// What flat and VLAN networks can be on; the names are copied.
	const char *const *physical_networks;
	size_t n_physical_networks;
};

// What the planner reads of routers and the outside, all of it in `attr`:
//
// router         "external_gateway_info": null or {"network_id", "enable_snat",
//                "external_fixed_ips": [{"subnet_id", "ip_address"}]}, always the addresses of
//                the gateway port
// floating IP    "floating_network_id", "floating_ip_address"; "port_id", "fixed_ip_address"
//                (null when it is associated with no port), "router_id" (null when nothing leads
//                anywhere). Its MAC is that of its port (REF_FLOATING_IP_PORTS)
// forwarding     "floatingip_id", "protocol" ("tcp", "udp"), "external_port_range" and
//                "internal_port_range" (always there: "first:last", equally long),
//                "internal_port_id", "internal_ip_address". Its router is the floating IP's
//
// A change of a gateway changes its router too. A floating IP and a forwarding are in the list of
// changes themselves, and a forwarding that comes or goes may change its floating IP
// ("router_id").

// Who asks.
struct caller {
	const char *project_id;
	bool is_admin;
};

struct model;
struct txn;

struct model *weft_model_new(const struct model_config *config);
void weft_model_free(struct model *m);

// What is stored and not in the model, and why: it is damaged, its references are lost, nobody
// can carry it out. It stays stored as it is, and is nobody's: nothing in the model refers to it.
struct left_out {
	enum resource type;
	char id[64];
	char reason[192]; // a sentence
};

// Put a stored object back at start (no validation but its form; indexes are built). attr stays
// the caller's. What follows from the configuration (a port's vif_type and vif_details) is made
// anew.
int weft_model_load(struct model *m, enum resource type, json_t *attr, struct err *err);

// The object is out, with all that refers to it; it may never have been in. Only at start, before
// anybody knows it.
void weft_model_leave_out(struct model *m, enum resource type, const char *id, const char *reason);
// After all is loaded: what refers to something that is not there is out.
void weft_model_check_references(struct model *m);
// It is not stored any more. All of that type and id; other entries may move.
void weft_model_left_out_forget(struct model *m, enum resource type, const char *id);
const struct left_out *weft_model_left_out(const struct model *m, size_t *n);

struct txn *weft_txn_begin(struct model *m);
// Create one object from a request body's inner object (borrowed). *out (may be NULL) is the new
// object.
int weft_txn_create(struct txn *t, const struct caller *who, enum resource type, const json_t *body,
		    const struct object **out, struct err *err);
int weft_txn_update(struct txn *t, const struct caller *who, enum resource type, const char *id,
		    const json_t *body, const struct object **out, struct err *err);
int weft_txn_delete(struct txn *t, const struct caller *who, enum resource type, const char *id,
		    struct err *err);
// Address groups: PUT /address-groups/{id}/add_addresses and remove_addresses.
int weft_txn_address_group_change(struct txn *t, const struct caller *who, const char *id,
				  const json_t *addresses, bool add, const struct object **out,
				  struct err *err);
// Routers: PUT /routers/{id}/add_router_interface and remove_router_interface. body is
// {"subnet_id"} or {"port_id"} (to remove: or both); *info (new reference; may be NULL) is
// Neutron's answer. An interface is a port: one is made, changed, taken or deleted, and the
// router itself is changed as well (its revision), so that every change of what a router does has
// the router in the list of changes.
int weft_txn_router_add_interface(struct txn *t, const struct caller *who, const char *id,
				  const json_t *body, json_t **info, struct err *err);
int weft_txn_router_remove_interface(struct txn *t, const struct caller *who, const char *id,
				     const json_t *body, json_t **info, struct err *err);
// Routers: PUT /routers/{id}/add_extraroutes and remove_extraroutes. What is there (or not)
// already is no error.
int weft_txn_router_change_routes(struct txn *t, const struct caller *who, const char *id,
				  const json_t *routes, bool add, const struct object **out,
				  struct err *err);
// Tags (any resource with tags): replace the whole list. Neutron's tag calls are built on it by
// the API.
int weft_txn_set_tags(struct txn *t, const struct caller *who, enum resource type, const char *id,
		      const json_t *tags, const struct object **out, struct err *err);
// A project's default security group is made when the project is first seen (Neutron does the
// same on the first list or create); no change when it exists.
int weft_txn_ensure_default_group(struct txn *t, const char *project_id, struct err *err);

// The net changes so far, in the order made; an object created and deleted in one transaction is
// absent.
const struct model_change *weft_txn_changes(const struct txn *t, size_t *n);
void weft_txn_commit(struct txn *t); // cannot fail; changes stay readable until weft_txn_free
void weft_txn_abort(struct txn *t);  // everything back as before
void weft_txn_free(struct txn *t);   // aborts if neither was called

// NULL: nothing has it, or id is NULL.
const struct object *weft_model_get(const struct model *m, enum resource type, const char *id);
size_t weft_model_count(const struct model *m, enum resource type);
size_t weft_model_count_of(const struct model *m, enum resource type, const char *project_id);
// Callbacks return 0 to go on; anything else stops the walk and is returned.
typedef int (*model_visit)(const struct object *o, void *arg);
int weft_model_each(const struct model *m, enum resource type, model_visit visit, void *arg);
int weft_model_each_ref(const struct model *m, enum model_ref ref, const char *id,
			model_visit visit, void *arg);
// The port whose id begins with the 11 characters of a tap name; NULL = none.
const struct object *weft_model_port_by_prefix(const struct model *m, const char *prefix11);

// Visible to the caller: own project's, shared ones, or anything for an admin.
bool weft_model_visible(const struct model *m, const struct caller *who, const struct object *o);
// The object as the API shows it (new reference): attr plus run-time fields (port status, a
// group's rules).
json_t *weft_model_render(const struct model *m, const struct object *o);
// The same without what nobody sees, and what only an admin sees (binding:*, provider:*), when
// the caller is none.
json_t *weft_model_render_for(const struct model *m, const struct caller *who,
			      const struct object *o);

// A port's status is run-time state, not configuration: it is not stored and starts as "DOWN".
void weft_model_set_port_status(struct model *m, const char *port_id, const char *status);

// Names: "network" / "networks" as in URLs with '_' for '-' in bodies ("security_group",
// "security_groups").
const char *weft_resource_name(enum resource type);
const char *weft_resource_plural(enum resource type);
// Has it a collection of its own in URLs? (Port forwardings are below their floating IP, quotas
// are by project.)
bool weft_resource_has_url(enum resource type);
// "networks", "security-groups" (URL form) -> resource; -ENOENT.
int weft_resource_from_url(const char *segment, enum resource *out);
bool weft_resource_has_attr(enum resource type, const char *attr);
// Has it, and this caller may see it (and so filter and sort by it).
bool weft_resource_shows_attr(enum resource type, const char *attr, const struct caller *who);

// A security group rule's protocol ("tcp", "6", "ipv6-icmp"; NULL = any) as a number; -1 = any,
// -EINVAL = no protocol. In IPv6 "icmp" and "1" mean ICMPv6 (58). family is 4 or 6.
int weft_protocol_number(const char *protocol, uint8_t family);
