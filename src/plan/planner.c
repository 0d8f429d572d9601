// SPDX-License-Identifier: Apache-2.0
#include "plan/planner.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "plan/attr.h"
#include "plan/build.h"
#include "plan/cells.h"
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

// Whether what hangs on the cell is kept up change by change. One that becomes used in this update is read from the
// model as a whole instead, one that becomes unused is emptied as a whole.
static bool stays_used(const struct cell *cell)
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

// Rule sets, and the sets that their rules name.

static void mark_rule_set(struct planner *p, const char *group_id)
{
	struct cell *cell = weft_planner_cell(p, CELL_RULE_SET, group_id);

	if (cell == NULL)
		return;
	cell->rebuild = true;
	weft_cells_touch(&p->cells, cell);
}

static void use_sets(struct planner *p, const struct plan_rule_set *set, int delta)
{
	for (size_t i = 0; set != NULL && i < set->n_rules; i++) {
		if (set->rules[i].remote == PLAN_REMOTE_SET)
			weft_planner_use(p, CELL_SET, set->rules[i].set_id, delta);
	}
}

static int stage_rule_set(struct planner *p, struct cell *cell, struct err *err)
{
	const struct object *group;
	struct plan_rule_set *set = NULL;
	int ret;

	if (cell->staged.refs > 0) {
		if (cell->now.object != NULL && !cell->rebuild)
			return 0;
		group = weft_model_get(p->model, RES_SECURITY_GROUP, cell->key.id);
		if (group == NULL)
			return weft_fail(err, -EINVAL,
					 "security group %s: a port of this host has it, but there "
					 "is no such group",
					 cell->key.id);
		ret = weft_plan_build_rule_set(p->model, group, &set, err);
		if (ret != 0)
			return ret;
	}
	use_sets(p, cell->staged.object, -1);
	use_sets(p, set, 1);
	weft_cells_set(&p->cells, cell, set);
	return 0;
}

// Sets' members.

static void count_members(struct planner *p, struct cell *set, const struct plan_prefixes *m,
			  int delta)
{
	struct cell_key key = weft_cell_key(CELL_MEMBER, set->key.id);

	for (size_t i = 0; i < m->n; i++) {
		key.prefix = m->prefix[i];
		weft_cells_stage(&p->cells, &key, set)->staged.refs += delta;
	}
}

// What a port contributes to those of its groups that rules of this host name.
static int stage_members(struct planner *p, const struct object *port, int delta, struct err *err)
{
	const json_t *v,
		*groups = port == NULL ? NULL : json_object_get(port->attr, "security_groups");
	struct plan_prefixes m = {0};
	size_t i;

	json_array_foreach(groups, i, v) {
		struct cell *set = weft_planner_cell(p, CELL_SET, json_string_value(v));

		if (!stays_used(set))
			continue;
		if (m.prefix == NULL) {
			int ret = weft_plan_build_members(port, &m, err);

			if (ret != 0)
				return ret;
		}
		count_members(p, set, &m, delta);
	}
	free(m.prefix);
	return 0;
}

static int count_addresses(struct planner *p, struct cell *set, const struct object *group,
			   size_t from, size_t to, int delta, struct err *err)
{
	struct plan_prefixes m;
	int ret = weft_plan_build_addresses(group, from, to, &m, err);

	if (ret != 0)
		return ret;
	count_members(p, set, &m, delta);
	free(m.prefix);
	return 0;
}

// One address more or less in a long list: what both lists begin and end with is left alone.
static int stage_address_group(struct planner *p, const struct model_change *c, struct err *err)
{
	struct cell *set =
		weft_planner_cell(p, CELL_SET, c->before != NULL ? c->before->id : c->after->id);
	const json_t *old, *new;
	size_t n_old, n_new, head = 0, tail = 0;
	int ret = 0;

	if (!stays_used(set))
		return 0;
	old = c->before != NULL ? json_object_get(c->before->attr, "addresses") : NULL;
	new = c->after != NULL ? json_object_get(c->after->attr, "addresses") : NULL;
	n_old = json_array_size(old);
	n_new = json_array_size(new);
	while (head < n_old && head < n_new &&
	       json_equal(json_array_get(old, head), json_array_get(new, head)))
		head++;
	while (head + tail < n_old && head + tail < n_new &&
	       json_equal(json_array_get(old, n_old - 1 - tail),
			  json_array_get(new, n_new - 1 - tail)))
		tail++;
	if (c->before != NULL)
		ret = count_addresses(p, set, c->before, head, n_old - tail, -1, err);
	if (ret == 0 && c->after != NULL)
		ret = count_addresses(p, set, c->after, head, n_new - tail, 1, err);
	return ret;
}

struct walk {
	struct planner *p;
	struct cell *scope;
	struct err *err;
};

static int fill_from_port(const struct object *port, void *arg)
{
	struct walk *w = arg;
	struct plan_prefixes m;
	int ret = weft_plan_build_members(port, &m, w->err);

	if (ret != 0)
		return ret;
	count_members(w->p, w->scope, &m, 1);
	free(m.prefix);
	return 0;
}

static void empty_scope(struct planner *p, struct cell *scope)
{
	for (struct cell *child = scope->children; child != NULL; child = child->next) {
		child->staged.refs = 0;
		weft_cells_set(&p->cells, child, NULL);
	}
}

static int stage_set(struct planner *p, struct cell *set, struct err *err)
{
	struct walk w = {p, set, err};
	const struct object *group;

	if ((set->now.refs > 0) == (set->staged.refs > 0))
		return 0;
	if (set->staged.refs == 0) {
		empty_scope(p, set);
		return 0;
	}
	group = weft_model_get(p->model, RES_ADDRESS_GROUP, set->key.id);
	if (group != NULL)
		return count_addresses(p, set, group, 0,
				       json_array_size(json_object_get(group->attr, "addresses")),
				       1, err);
	return weft_model_each_ref(p->model, REF_GROUP_PORTS, set->key.id, fill_from_port, &w);
}

// Networks with their subnets and neighbours.

static int stage_subnet(const struct object *subnet, void *arg)
{
	struct walk *w = arg;
	struct cell_key key = weft_cell_key(CELL_SUBNET, subnet->id);
	struct plan_subnet *s;
	int ret = weft_plan_build_subnet(
		subnet, weft_model_get(w->p->model, RES_NETWORK, w->scope->key.id), &s, w->err);

	if (ret == 0)
		weft_cells_set(&w->p->cells, weft_cells_stage(&w->p->cells, &key, w->scope), s);
	return ret;
}

static int stage_neighbours(struct planner *p, struct cell *network, const struct object *port,
			    bool there, struct err *err)
{
	struct plan_neighbour *list;
	size_t n;
	int ret = weft_plan_build_neighbours(port, p->host, &list, &n, err);

	if (ret != 0)
		return ret;
	for (size_t i = 0; i < n; i++) {
		struct cell_key key = weft_cell_key(CELL_NEIGHBOUR, port->id);
		struct cell *cell;

		memcpy(key.scope, network->key.id, sizeof(key.scope));
		key.prefix.ip = list[i].ip;
		key.mac = list[i].mac;
		cell = weft_cells_stage(&p->cells, &key, network);
		weft_cells_set(&p->cells, cell,
			       there ? weft_plan_object_copy(PLAN_NEIGHBOUR, &list[i]) : NULL);
	}
	free(list);
	return 0;
}

static int fill_neighbours(const struct object *port, void *arg)
{
	struct walk *w = arg;

	return stage_neighbours(w->p, w->scope, port, true, w->err);
}

static int stage_network(struct planner *p, struct cell *cell, struct err *err)
{
	struct walk w = {p, cell, err};
	const struct object *o;
	struct plan_network *network;
	bool was = cell->now.refs > 0;
	int ret;

	if (cell->staged.refs == 0) {
		empty_scope(p, cell);
		weft_cells_set(&p->cells, cell, NULL);
		return 0;
	}
	if (was && !cell->rebuild)
		return 0;
	o = weft_model_get(p->model, RES_NETWORK, cell->key.id);
	if (o == NULL)
		return weft_fail(err, -EINVAL,
				 "network %s: a port of this host is in it, but there is no such "
				 "network",
				 cell->key.id);
	ret = weft_plan_build_network(o, &network, err);
	if (ret != 0)
		return ret;
	weft_cells_set(&p->cells, cell, network);
	// A network's change may reach its subnets: they tell its domain.
	ret = weft_model_each_ref(p->model, REF_NETWORK_SUBNETS, cell->key.id, stage_subnet, &w);
	if (ret == 0 && !was)
		ret = weft_model_each_ref(p->model, REF_NETWORK_PORTS, cell->key.id,
					  fill_neighbours, &w);
	return ret;
}

static struct cell *network_of(struct planner *p, const struct object *o)
{
	struct cell *cell =
		o == NULL ? NULL
			  : weft_planner_cell(p, CELL_NETWORK, attr_text(o->attr, "network_id"));

	return stays_used(cell) ? cell : NULL;
}

// What a change adds to or takes from networks that are in the plan before and after it.
static int stage_in_network(struct planner *p, const struct model_change *c, struct err *err)
{
	enum resource type = c->after != NULL ? c->after->type : c->before->type;
	struct cell *was = network_of(p, c->before), *is = network_of(p, c->after);
	int ret = 0;

	if (type == RES_SUBNET) {
		struct walk w = {p, is, err};
		struct cell *old = was == NULL ? NULL
					       : weft_planner_cell(p, CELL_SUBNET, c->before->id);

		if (old != NULL)
			weft_cells_set(&p->cells, old, NULL);
		return is == NULL ? 0 : stage_subnet(c->after, &w);
	}
	if (was != NULL)
		ret = stage_neighbours(p, was, c->before, false, err);
	if (ret == 0 && is != NULL)
		ret = stage_neighbours(p, is, c->after, true, err);
	return ret;
}

// An update, in the order in which needs arise: ports need rule sets and networks, rule sets need sets.

static void mark_changed(struct planner *p, const struct object *o)
{
	struct cell *cell;

	if (o == NULL)
		return;
	if (o->type == RES_SECURITY_GROUP) {
		mark_rule_set(p, o->id);
	} else if (o->type == RES_SECURITY_GROUP_RULE) {
		mark_rule_set(p, attr_text(o->attr, "security_group_id"));
	} else if (o->type == RES_NETWORK) {
		cell = weft_planner_cell(p, CELL_NETWORK, o->id);
		if (cell != NULL) {
			cell->rebuild = true;
			weft_cells_touch(&p->cells, cell);
		}
	}
}

static int stage_touched(struct planner *p, enum cell_kind kind,
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
		ret = stage_members(p, c->before, -1, err);
		if (ret == 0)
			ret = stage_members(p, c->after, 1, err);
	} else if (type == RES_ADDRESS_GROUP) {
		ret = stage_address_group(p, c, err);
	}
	if (ret == 0 && (type == RES_PORT || type == RES_SUBNET))
		ret = stage_in_network(p, c, err);
	return ret;
}

static int stage_changes(struct planner *p, const struct model_change *changes, size_t n,
			 struct err *err)
{
	int ret = 0;

	for (size_t i = 0; i < n; i++) {
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
		ret = stage_touched(p, CELL_RULE_SET, stage_rule_set, err);
	for (size_t i = 0; i < n && ret == 0; i++)
		ret = stage_contents(p, &changes[i], err);
	if (ret == 0)
		ret = stage_touched(p, CELL_SET, stage_set, err);
	if (ret == 0)
		ret = stage_touched(p, CELL_NETWORK, stage_network, err);
	return ret;
}

int weft_planner_update(struct planner *p, const struct model_change *changes, size_t n,
			struct plan_batch *out, struct err *err)
{
	int ret = stage_changes(p, changes, n, err);

	if (ret != 0)
		weft_cells_end(&p->cells, false);
	else
		weft_cells_emit(&p->cells, false, out);
	return ret;
}

static int load_port(const struct object *port, void *arg)
{
	struct walk *w = arg;

	return stage_port(w->p, NULL, port, w->err);
}

int weft_planner_load(struct planner *p, struct plan_batch *out, struct err *err)
{
	struct walk w = {p, NULL, err};
	int ret = weft_model_each(p->model, RES_PORT, load_port, &w);

	// Nothing was in the plan, so everything that the local ports need is read as a whole.
	if (ret != 0)
		weft_cells_end(&p->cells, false);
	else
		ret = weft_planner_update(p, NULL, 0, out, err);
	return ret;
}

void weft_planner_inverse(struct planner *p, struct plan_batch *out)
{
	weft_cells_emit(&p->cells, true, out);
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
