// SPDX-License-Identifier: Apache-2.0
// Security groups: the default one of each project, and what a group may become while ports have
// it.
#include "model/security_group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "model/index.h"
#include "model/resource.h"
#include "model/txn.h"

static const char default_name[] = "default";

static int default_exists(struct err *err)
{
	return weft_fail_as(err, -EEXIST, "SecurityGroupDefaultAlreadyExists",
			    "Default security group already exists.");
}

// "default", in any letters, is the model's to give.
static int read_name(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	int ret = weft_attr_text(a, in, out, err);
	if (ret < 0 || strcasecmp(json_string_value(*out), default_name) != 0)
		return ret;
	json_decref(*out);
	return default_exists(err);
}

// clang-format off
static const struct attr attrs[] = {
	ATTR("id", NULL, 0),
	ATTR("name", read_name, ATTR_RW, .initial = "\"\"", .max = 255),
	ATTR("stateful", weft_attr_bool, ATTR_RW, .initial = "true"),
	ATTR("shared", NULL, 0, .initial = "false"),
	ATTR("security_group_rules", NULL, ATTR_RENDERED),
	ATTR("tags", weft_attr_tags, ATTR_POST | ATTR_NULL_CLEARS, .initial = "[]"),
	ATTRS_TAIL,
	{0},
};
// clang-format on

bool weft_security_group_is_default(const struct object *group)
{
	const char *name = weft_json_text(group->attr, "name");
	return name != NULL && strcmp(name, default_name) == 0;
}

static void index_group(struct model *m, const struct object *o, bool add)
{
	if (!weft_security_group_is_default(o))
		return;
	if (add)
		weft_map_put(m->default_groups, o->project_id, (void *)o);
	else
		weft_map_del(m->default_groups, o->project_id);
}

const struct object *weft_security_group_default(struct txn *t, const char *project_id,
						 struct err *err)
{
	struct model *m = weft_txn_model(t);
	const struct object *group = weft_map_get(m->default_groups, project_id);
	if (group != NULL || project_id[0] == '\0')
		return group;
	json_t *attr = weft_txn_new_attr(t, RES_SECURITY_GROUP, project_id);
	json_object_set_new(attr, "name", json_string(default_name));
	json_object_set_new(attr, "description", json_string("Default security group"));
	group = weft_txn_insert(t, RES_SECURITY_GROUP, attr);
	return weft_security_group_ops.created(t, group, err) < 0 ? NULL : group;
}

int weft_txn_ensure_default_group(struct txn *t, const char *project_id, struct err *err)
{
	const struct object *group = weft_security_group_default(t, project_id, err);
	return group == NULL && project_id[0] != '\0' ? -EINVAL : 0;
}

static int create(struct txn *t, const struct caller *who, const json_t *given, json_t *obj,
		  struct err *err)
{
	(void)who;
	(void)given;
	// As Neutron: a project's first group brings the default one with it.
	return weft_txn_ensure_default_group(t, weft_json_text(obj, "project_id"), err);
}

// Every group lets its members speak; the default one lets them hear each other.
static int created(struct txn *t, const struct object *o, struct err *err)
{
	static const char *const families[] = {"IPv4", "IPv6"};
	for (size_t i = 0; i < 2; i++) {
		int ret = weft_security_group_rule_add(t, o, "egress", families[i], NULL, err);
		if (ret == 0 && weft_security_group_is_default(o))
			ret = weft_security_group_rule_add(t, o, "ingress", families[i], o->id,
							   err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int in_use(const struct object *o, struct err *err)
{
	return weft_fail_as(err, -EBUSY, "SecurityGroupInUse", "Security Group %s in use.", o->id);
}

static int update(struct txn *t, const struct caller *who, const struct object *old,
		  const json_t *given, json_t *obj, struct err *err)
{
	(void)who;
	if (json_object_get(given, "name") != NULL && weft_security_group_is_default(old))
		return weft_fail_as(err, -EBUSY, "SecurityGroupCannotUpdateDefault",
				    "Updating default security group not allowed.");
	// Connections of the ports at hand were judged by the old kind.
	if (!json_equal(json_object_get(obj, "stateful"), json_object_get(old->attr, "stateful")) &&
	    weft_index_count(weft_txn_model(t), REF_GROUP_PORTS, old->id) > 0)
		return in_use(old, err);
	return 0;
}

// Its rules go with it, and so do those of other groups that name it as their remote group.
static int remove_group(struct txn *t, const struct caller *who, const struct object *o,
			struct err *err)
{
	struct model *m = weft_txn_model(t);
	if (weft_security_group_is_default(o) && !who->is_admin)
		return weft_fail_as(err, -EBUSY, "SecurityGroupCannotRemoveDefault",
				    "Insufficient rights for removing default security group.");
	if (weft_index_count(m, REF_GROUP_PORTS, o->id) > 0)
		return in_use(o, err);
	static const enum model_ref refs[] = {REF_GROUP_RULES, REF_REMOTE_GROUP_RULES};
	for (size_t r = 0; r < 2; r++) {
		size_t n;
		const struct object **rules = weft_index_collect(m, refs[r], o->id, &n);
		for (size_t i = 0; i < n; i++) {
			const char *group_id = weft_json_text(rules[i]->attr, "security_group_id");
			if (strcmp(group_id, o->id) != 0)
				weft_txn_touch(t, RES_SECURITY_GROUP, group_id);
			weft_txn_remove(t, rules[i]);
		}
		free(rules);
	}
	return 0;
}

static void render(const struct model *m, const struct object *o, json_t *shown)
{
	json_t *rules = json_array();
	size_t n;
	const struct object **all = weft_index_collect(m, REF_GROUP_RULES, o->id, &n);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(rules, weft_model_render(m, all[i]));
	free(all);
	json_object_set_new(shown, "security_group_rules", rules);
}

const struct resource_ops weft_security_group_ops = {
	.name = "security_group",
	.plural = "security_groups",
	.url = "security-groups",
	.not_found = "SecurityGroupNotFound",
	.not_found_text = "Security group %s does not exist",
	.attrs = attrs,
	.create = create,
	.created = created,
	.update = update,
	.remove = remove_group,
	.index = index_group,
	.render = render,
};
