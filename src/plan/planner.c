// SPDX-License-Identifier: Apache-2.0
#include "plan/planner.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "plan/attr.h"
#include "plan/build.h"
#include "plan/planner_priv.h"

struct planner *weft_planner_new(const char *host, const struct model *m)
{
	struct planner *p = plan_alloc(1, sizeof(*p));

	attr_copy(p->host, sizeof(p->host), host);
	p->model = m;
	return p;
}

void weft_planner_free(struct planner *p)
{
	if (p == NULL)
		return;
	weft_cells_fini(&p->cells);
	free(p);
}

struct cell *weft_planner_cell(struct planner *p, enum cell_kind kind, const char *id)
{
	struct cell_key key = weft_cell_key(kind, id);

	return weft_cells_get(&p->cells, &key);
}

struct cell *weft_planner_use(struct planner *p, enum cell_kind kind, const char *id, int delta)
{
	struct cell_key key = weft_cell_key(kind, id);
	struct cell *cell = weft_cells_stage(&p->cells, &key, NULL);

	cell->staged.refs += delta;
	return cell;
}

bool weft_planner_stays_used(const struct cell *cell)
{
	return cell != NULL && cell->now.refs > 0 && cell->staged.refs > 0;
}

// Ports: what they use.

static void use_port(struct planner *p, const struct plan_port *port, int delta)
{
	weft_planner_use(p, CELL_NETWORK, port->network_id, delta)->staged.ports += (uint32_t)delta;
	for (size_t i = 0; i < port->n_rule_sets; i++)
		weft_planner_use(p, CELL_RULE_SET, port->rule_sets[i], delta);
}

static void log_note(void *port_id, const char *text)
{
	weft_log_warning("port %s: %s", (const char *)port_id, text);
}

static bool same_attr(const struct object *a, const struct object *b, const char *key)
{
	return json_equal(json_object_get(a->attr, key), json_object_get(b->attr, key));
}

static int stage_port(struct planner *p, const struct object *before, const struct object *after,
		      struct err *err)
{
	struct cell_key key = weft_cell_key(CELL_PORT, before != NULL ? before->id : after->id);
	struct cell *cell = weft_cells_get(&p->cells, &key);
	struct plan_port *port = NULL;

	if (after != NULL && weft_plan_port_is_local(after, p->host)) {
		int ret = weft_plan_build_port(after, &port, err);

		if (ret != 0)
			return ret;
		cell = weft_cells_stage(&p->cells, &key, NULL);
		if (before == NULL || !same_attr(before, after, "extra_dhcp_opts") ||
		    !same_attr(before, after, "allowed_address_pairs"))
			weft_plan_port_notes(after, log_note, key.id);
	}
	if (cell == NULL)
		return 0;
	if (cell->staged.object != NULL)
		use_port(p, cell->staged.object, -1);
	if (port != NULL)
		use_port(p, port, 1);
	weft_cells_set(&p->cells, cell, port);
	return 0;
}

// An update, in the order in which needs arise: ports need rule sets and networks, rule sets need
// sets.

static void mark_changed(struct planner *p, const struct object *o)
{
	struct cell *cell;

	if (o == NULL)
		return;
	if (o->type == RES_SECURITY_GROUP) {
		weft_planner_mark_rule_set(p, o->id);
	} else if (o->type == RES_SECURITY_GROUP_RULE) {
		weft_planner_mark_rule_set(p, attr_text(o->attr, "security_group_id"));
	} else if (o->type == RES_NETWORK) {
		cell = weft_planner_cell(p, CELL_NETWORK, o->id);
		if (cell != NULL) {
			cell->rebuild = true;
			weft_cells_touch(&p->cells, cell);
		}
	}
}

// A network is changed by each of its subnets, too (its revision), which does not reach what is
// planned of it.
static bool is_same_network(const struct model_change *c)
{
	static const char *const read[] = {"mtu", "admin_state_up", "dns_domain",
					   "provider:physical_network", "provider:segmentation_id"};

	if (c->before == NULL || c->after == NULL || c->after->type != RES_NETWORK)
		return false;
	for (size_t i = 0; i < sizeof(read) / sizeof(read[0]); i++) {
		if (!same_attr(c->before, c->after, read[i]))
			return false;
	}
	return true;
}

int weft_planner_stage_touched(struct planner *p, enum cell_kind kind,
			       int (*stage)(struct planner *, struct cell *, struct err *),
			       struct err *err)
{
	// The list grows behind our back, but never by cells of the kind that is being staged.
	for (size_t i = 0; i < p->cells.n_touched; i++) {
		struct cell *cell = p->cells.touched[i];
		int ret = cell->key.kind == kind ? stage(p, cell, err) : 0;

		if (ret != 0)
			return ret;
	}
	return 0;
}

static int stage_contents(struct planner *p, const struct model_change *c, struct err *err)
{
	enum resource type = c->after != NULL ? c->after->type : c->before->type;
	int ret = 0;

	if (type == RES_PORT) {
		ret = weft_planner_stage_members(p, c->before, -1, err);
		if (ret == 0)
			ret = weft_planner_stage_members(p, c->after, 1, err);
	} else if (type == RES_ADDRESS_GROUP) {
		ret = weft_planner_stage_address_group(p, c, err);
	}
	if (ret == 0 && (type == RES_PORT || type == RES_SUBNET))
		ret = weft_planner_stage_in_network(p, c, err);
	return ret;
}

static int stage_changes(struct planner *p, const struct model_change *changes, size_t n,
			 struct err *err)
{
	int ret = 0;

	for (size_t i = 0; i < n; i++) {
		if (is_same_network(&changes[i]))
			continue;
		mark_changed(p, changes[i].before);
		mark_changed(p, changes[i].after);
	}
	for (size_t i = 0; i < n && ret == 0; i++) {
		const struct object *before = changes[i].before, *after = changes[i].after;

		if ((after != NULL ? after : before)->type == RES_PORT)
			ret = stage_port(p, before, after, err);
	}
	if (ret == 0)
		ret = weft_planner_stage_routers(p, changes, n, err);
	if (ret == 0)
		ret = weft_planner_stage_nat(p, changes, n, err);
	if (ret == 0)
		ret = weft_planner_stage_touched(p, CELL_RULE_SET, weft_planner_stage_rule_set,
						 err);
	for (size_t i = 0; i < n && ret == 0; i++)
		ret = stage_contents(p, &changes[i], err);
	if (ret == 0)
		ret = weft_planner_stage_touched(p, CELL_SET, weft_planner_stage_set, err);
	if (ret == 0)
		ret = weft_planner_stage_touched(p, CELL_NETWORK, weft_planner_stage_network, err);
	return ret;
}

int weft_planner_update(struct planner *p, const struct model_change *changes, size_t n,
			struct plan_batch *out, struct err *err)
{
	int ret = stage_changes(p, changes, n, err);

	if (ret != 0)
		weft_cells_end(&p->cells, false);
	else
		weft_cells_emit(&p->cells, out);
	return ret;
}

struct load {
	struct planner *p;
	struct err *err;
};

static int load_port(const struct object *port, void *arg)
{
	struct load *w = arg;

	return stage_port(w->p, NULL, port, w->err);
}

int weft_planner_load(struct planner *p, struct plan_batch *out, struct err *err)
{
	struct load w = {p, err};
	int ret = weft_model_each(p->model, RES_PORT, load_port, &w);

	// Nothing was in the plan, so everything that the local ports need is read as a whole.
	if (ret != 0)
		weft_cells_end(&p->cells, false);
	else
		ret = weft_planner_update(p, NULL, 0, out, err);
	return ret;
}

void weft_planner_commit(struct planner *p)
{
	weft_cells_end(&p->cells, true);
}

void weft_planner_abort(struct planner *p)
{
	weft_cells_end(&p->cells, false);
}

const struct plan_port *weft_planner_port(const struct planner *p, const char *port_id)
{
	struct cell_key key = weft_cell_key(CELL_PORT, port_id);
	// uthash looks up without writing, but its macros know no const.
	const struct cell *cell = weft_cells_get((struct cells *)&p->cells, &key);

	return cell != NULL ? cell->now.object : NULL;
}

int weft_planner_each_port(const struct planner *p, planner_visit visit, void *arg)
{
	for (const struct cell *c = p->cells.table; c != NULL; c = c->hh.next) {
		int ret = c->key.kind == CELL_PORT && c->now.object != NULL
				  ? visit(c->now.object, arg)
				  : 0;

		if (ret != 0)
			return ret;
	}
	return 0;
}
