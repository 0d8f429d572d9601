// SPDX-License-Identifier: Apache-2.0
// From touched cells to a batch.
#include "plan/cells.h"

#include <string.h>

#include "plan/attr.h"

static struct plan_member *member_of(const struct cell_key *key)
{
	struct plan_member *m = plan_alloc(1, sizeof(*m));

	memcpy(m->set_id, key->id, sizeof(m->set_id));
	m->prefix = key->prefix;
	return m;
}

// An object that only names: what PLAN_DEL needs.
static void *name_of(const struct cell_key *key, const void *object)
{
	struct plan_rule_set *set;
	struct plan_port *port;
	struct plan_subnet *subnet;
	struct plan_router *router;
	struct plan_floating *floating;
	struct plan_forwarding *forwarding;

	switch (key->kind) {
	case CELL_RULE_SET:
		set = plan_alloc(1, sizeof(*set));
		memcpy(set->id, key->id, sizeof(set->id));
		return set;
	case CELL_PORT:
		port = plan_alloc(1, sizeof(*port));
		memcpy(port->id, key->id, sizeof(port->id));
		return port;
	case CELL_SUBNET:
		subnet = plan_alloc(1, sizeof(*subnet));
		memcpy(subnet->id, key->id, sizeof(subnet->id));
		strcpy(subnet->network_id, ((const struct plan_subnet *)object)->network_id);
		return subnet;
	case CELL_NETWORK:
		return weft_plan_object_copy(PLAN_NETWORK, object);
	case CELL_ROUTER:
		router = plan_alloc(1, sizeof(*router));
		memcpy(router->id, key->id, sizeof(router->id));
		return router;
	case CELL_FLOATING:
		floating = plan_alloc(1, sizeof(*floating));
		memcpy(floating->id, key->id, sizeof(floating->id));
		return floating;
	case CELL_FORWARDING:
		forwarding = plan_alloc(1, sizeof(*forwarding));
		memcpy(forwarding->id, key->id, sizeof(forwarding->id));
		strcpy(forwarding->floating_id,
		       ((const struct plan_forwarding *)object)->floating_id);
		return forwarding;
	default:
		return weft_plan_object_copy(PLAN_NEIGHBOUR, object);
	}
}

static void emit(struct plan_batch *out, enum plan_op op, const struct cell_key *key,
		 const struct cell_state *from, const struct cell_state *to)
{
	enum plan_kind kind = (enum plan_kind)key->kind;

	if (kind == PLAN_MEMBER) {
		if (op == PLAN_PUT ? from->refs == 0 && to->refs > 0
				   : from->refs > 0 && to->refs == 0)
			weft_plan_batch_add(out, op, kind, member_of(key));
	} else if (from->object != to->object && (op == PLAN_PUT) == (to->object != NULL)) {
		weft_plan_batch_add(out, op, kind,
				    op == PLAN_PUT ? weft_plan_object_copy(kind, to->object)
						   : name_of(key, from->object));
	}
}

_Static_assert((int)CELL_NETWORK == PLAN_NETWORK && (int)CELL_SUBNET == PLAN_SUBNET &&
		       (int)CELL_MEMBER == PLAN_MEMBER && (int)CELL_RULE_SET == PLAN_RULE_SET &&
		       (int)CELL_PORT == PLAN_PORT && (int)CELL_NEIGHBOUR == PLAN_NEIGHBOUR &&
		       (int)CELL_ROUTER == PLAN_ROUTER && (int)CELL_FLOATING == PLAN_FLOATING &&
		       (int)CELL_FORWARDING == PLAN_FORWARDING,
	       "cells of the plan's objects are numbered like them");

void weft_cells_emit(const struct cells *cells, struct plan_batch *out)
{
	for (int step = 0; step < 2 * CELL_SET; step++) {
		enum plan_op op = step < CELL_SET ? PLAN_PUT : PLAN_DEL;
		int kind = op == PLAN_PUT ? step : 2 * CELL_SET - 1 - step;

		for (size_t i = 0; i < cells->n_touched; i++) {
			const struct cell *c = cells->touched[i];

			if (c->key.kind == kind)
				emit(out, op, &c->key, &c->now, &c->staged);
		}
	}
}
