// SPDX-License-Identifier: Apache-2.0
// Rule sets of the plan, and the address sets that their rules name, member by member.
#include "plan/planner_priv.h"

#include <errno.h>

#include "plan/attr.h"
#include "plan/build.h"

void weft_planner_mark_rule_set(struct planner *p, const char *group_id)
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

int weft_planner_stage_rule_set(struct planner *p, struct cell *cell, struct err *err)
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
int weft_planner_stage_members(struct planner *p, const struct object *port, int delta,
			       struct err *err)
{
	const json_t *v,
		*groups = port == NULL ? NULL : json_object_get(port->attr, "security_groups");
	struct plan_prefixes m = {0};
	size_t i;

	json_array_foreach(groups, i, v) {
		struct cell *set = weft_planner_cell(p, CELL_SET, json_string_value(v));

		if (!weft_planner_stays_used(set))
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
int weft_planner_stage_address_group(struct planner *p, const struct model_change *c,
				     struct err *err)
{
	struct cell *set =
		weft_planner_cell(p, CELL_SET, c->before != NULL ? c->before->id : c->after->id);
	const json_t *old, *new;
	size_t n_old, n_new, head = 0, tail = 0;
	int ret = 0;

	if (!weft_planner_stays_used(set))
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

int weft_planner_stage_set(struct planner *p, struct cell *set, struct err *err)
{
	struct walk w = {p, set, err};
	const struct object *group;

	if ((set->now.refs > 0) == (set->staged.refs > 0))
		return 0;
	if (set->staged.refs == 0) {
		weft_cells_empty(&p->cells, set);
		return 0;
	}
	group = weft_model_get(p->model, RES_ADDRESS_GROUP, set->key.id);
	if (group != NULL)
		return count_addresses(p, set, group, 0,
				       json_array_size(json_object_get(group->attr, "addresses")),
				       1, err);
	return weft_model_each_ref(p->model, REF_GROUP_PORTS, set->key.id, fill_from_port, &w);
}
