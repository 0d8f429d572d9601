// SPDX-License-Identifier: Apache-2.0
// Tables' own structures, shared by tables.c (batches, rule sets, members) and tables_port.c
// (ports, MACs, neighbours), tables_project.c, tables_router.c, tables_nat.c and tables_uplink.c.
#pragma once

#include "base/map.h"
#include "datapath/native/policy/tables.h"

struct rule_set_ctl {
	struct plan_rule_set *plan;
	size_t n_users, cap_users;
	uint16_t *users; // port indexes
};

struct port_ctl {
	struct port *port;
	struct trunk *trunk; // of an uplink, with its VLAN
	uint16_t vlan;
	struct plan_port *plan; // the present policy's (owned by it)
	uint32_t network_index;
};

struct tables {
	struct node *node;
	struct tables_hooks hooks;
	struct map *networks;	  // id -> (void *)(uintptr_t)(index + 1)
	struct map *rule_sets;	  // id -> struct rule_set_ctl
	struct map *ports;	  // id -> struct port_ctl
	struct map *set_users;	  // set id -> struct map of rule set id -> struct rule_set_ctl
	struct map *routers;	  // id -> struct plan_router
	struct map *router_index; // id -> (void *)(uintptr_t)(index + 1)
	// Deleted in the batch at hand. Their indexes stay theirs to its end: the same batch may
	// still take away what names them, and may put them again.
	struct map *gone_networks, *gone_routers; // id -> not NULL
	struct map *floatings;			  // id -> struct floating_ctl (tables_nat.c)
	struct tables_ra *ra;			  // what routers advertise (tables_ra.c)
	uint32_t next_network, next_router;
	uint32_t next_index; // port indexes never used so far
	size_t n_free, first_free;
	// A ring: used before, their grace period over, the oldest first.
	uint16_t free_index[NATIVE_MAX_PORTS];
	size_t n_retired;		  // still waiting for it
	uint8_t n_used[NATIVE_MAX_PORTS]; // by index: how many ports have had it, modulo 256
	struct map *projects;		  // id -> struct project_ctl (tables_project.c)
	struct project_ctl *project_of[NATIVE_MAX_PORTS]; // by port index
	uint16_t last_project;
	bool project_used[NATIVE_MAX_PORTS + 1]; // by number
	// Of the batch that is prepared: the compiled rule sets, by place; NULL: none is.
	struct rules **compiled;
	size_t n_compiled;
	// Ports whose sessions the batch at hand makes stale.
	size_t n_bumps;
	uint16_t bumps[NATIVE_MAX_PORTS];
	bool bumped[NATIVE_MAX_PORTS];
};

void *weft_tables_alloc(size_t size); // zeroed; out of memory aborts (control plane)
uint32_t weft_tables_network_index(struct tables *t, const char *id);
struct rule_set_ctl *weft_tables_rule_set_ctl(struct tables *t, const char *id); // made if missing
void weft_tables_commit(struct tables *t); // what is staged, then the marked ports' generations
void weft_tables_mark(struct tables *t, uint16_t port); // bump after the commit
void weft_tables_mark_all(struct tables *t);
// What leads out of the node by the network's uplink may lead elsewhere now. No uplink: nothing
// does.
void weft_tables_mark_outside(struct tables *t, uint32_t network);
// What leads to one who has an address.
void weft_tables_mark_neighbour(struct tables *t, uint32_t network, const struct neighbour *n);

size_t weft_tables_room(const struct tables *t); // so many more ports
// There must be room for it if it is new.
void weft_tables_port_put(struct tables *t, const struct plan_port *plan, enum port_role role);
void weft_tables_port_del(struct tables *t, const char *id);
void weft_tables_projects_new(struct tables *t);
void weft_tables_projects_free(struct tables *t);
// The port index belongs to that project from now on; "" = to none.
void weft_tables_project_set(struct tables *t, uint16_t port, const char *id);
// A network was put, or is about to be deleted: its uplink follows. put: the uplink's index,
// NATIVE_NO_PORT = it has none.
uint16_t weft_tables_uplink_put(struct tables *t, const struct plan_network *plan);
void weft_tables_uplink_del(struct tables *t, const char *network_id);
bool weft_tables_uplink_takes_index(const struct tables *t, const struct plan_network *plan);
void weft_tables_routers_new(struct tables *t);
void weft_tables_routers_free(struct tables *t);
void weft_tables_router_put(struct tables *t, const struct plan_router *plan);
void weft_tables_router_del(struct tables *t, const char *id);
uint32_t weft_tables_router_index(struct tables *t, const char *id);
void weft_tables_routers_forget(struct tables *t); // at the end of a batch: gone_routers
// A MAC that is a router's. Within a batch it may pass from one owner to another, in any order:
// del takes only what is still the owner's.
void weft_tables_gateway_put(struct tables *t, const struct mac_key *key, const char *owner,
			     const char *router_id, uint16_t interface);
void weft_tables_gateway_del(struct tables *t, const struct mac_key *key, const char *owner);
void weft_tables_nat_new(struct tables *t);
void weft_tables_nat_free(struct tables *t);
void weft_tables_floating_put(struct tables *t, const struct plan_floating *plan);
void weft_tables_floating_del(struct tables *t, const char *id);
void weft_tables_forwarding_put(struct tables *t, const struct plan_forwarding *plan);
void weft_tables_forwarding_del(struct tables *t, const char *floating_id, const char *id);
void weft_tables_neighbour_put(struct tables *t, const struct plan_neighbour *n);
void weft_tables_neighbour_del(struct tables *t, const struct plan_neighbour *n);
void weft_tables_ra_new(struct tables *t);
void weft_tables_ra_free(struct tables *t);
// What advertisements are made of changed: a network, a subnet (NULL = was not, is not there), a
// router. Old and new must live until the batch is staged, and new until it is replaced.
void weft_tables_ra_network(struct tables *t, const char *id);
void weft_tables_ra_subnet(struct tables *t, const struct plan_subnet *old,
			   const struct plan_subnet *new);
void weft_tables_ra_router(struct tables *t, const struct plan_router *old,
			   const struct plan_router *new);
void weft_tables_ra_stage(struct tables *t); // at the end of a batch, before it is committed
