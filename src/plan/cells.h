// SPDX-License-Identifier: Apache-2.0
// Cells: what the planner knows about the plan, in two versions: in force, and staged by the
// update at hand.
//
// A cell is one named thing: an object of the plan, or something that others use and that is in
// the plan as long as its use count is not zero. Staging touches cells; the touched ones are
// compared to make the batch; commit lets the staged version stand, abort forgets it. So undoing
// an update costs what the update did, and nobody writes undo code.
//
// Cells that come and go with another one (an address set's members, a network's neighbours) hang
// on its list, one level deep.
//
// Ownership  the table owns cells and the objects in them
// Threads    one
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "plan/plan.h"

// In the order in which a batch puts them; a set itself is no object of the plan.
enum cell_kind {
	CELL_NETWORK,  // refs: local ports in it, and interfaces of routers of the plan
	CELL_SUBNET,   // scope: network
	CELL_MEMBER,   // scope: set; refs: how often the address is contributed
	CELL_RULE_SET, // refs: local ports that have it
	CELL_PORT,     // a local port
	// Scope: network; of an address outside: the router or floating IP that has it.
	CELL_NEIGHBOUR,
	CELL_ROUTER,   // a router that local ports can reach
	CELL_FLOATING, // a floating IP that this node translates
	CELL_FORWARDING,
	CELL_SET, // refs: rules that name it
};

struct cell_key {
	uint8_t kind;
	// The object's; of a neighbour: its port's; of a member: its set's.
	char id[WEFT_ID_LEN + 1];
	char scope[WEFT_ID_LEN + 1]; // neighbour: its network's
	struct ip_prefix prefix;     // member, neighbour
	struct mac_addr mac;	     // neighbour
};

struct cell_state {
	uint32_t refs;
	uint32_t ports; // network: of refs, those that are local ports
	void *object;	// as emitted; NULL = not in the plan (members: refs alone says it)
};

struct cell {
	UT_hash_handle hh;
	struct cell_key key;
	struct cell_state now, staged; // staged.object == now.object: unchanged
	bool touched;
	bool rebuild;		  // what it is made from changed
	struct cell *children;	  // of this scope
	struct cell *prev, *next; // among its scope's children
	struct cell *scope;
};

struct cells {
	struct cell *table;
	size_t n_touched, cap;
	struct cell **touched;
};

void weft_cells_fini(struct cells *c);

// A key with only an id; the members and neighbours fill in the rest.
struct cell_key weft_cell_key(enum cell_kind kind, const char *id);
struct cell *weft_cells_get(struct cells *c, const struct cell_key *key); // NULL = not there
// Get or make, and touch.
struct cell *weft_cells_stage(struct cells *c, const struct cell_key *key, struct cell *scope);
void weft_cells_touch(struct cells *c, struct cell *cell);
// Replace the staged object (owned from now on; NULL = gone). An equal one is dropped and the old
// one kept.
void weft_cells_set(struct cells *c, struct cell *cell, void *object);
// Stage all that hangs on the scope away.
void weft_cells_empty(struct cells *c, struct cell *scope);

// The staged version stands (commit) or is forgotten; cells that hold nothing go.
void weft_cells_end(struct cells *c, bool commit);

// The touched cells whose versions differ, as a batch in the plan's order: from what is in force
// to what is staged.
void weft_cells_emit(const struct cells *cells, struct plan_batch *out);
