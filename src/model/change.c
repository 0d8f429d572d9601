// SPDX-License-Identifier: Apache-2.0
// The public calls of a transaction: read the body by the table, let the resource complete the
// object, put it in.
#include "model/model.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "model/index.h"
#include "model/resource.h"
#include "model/txn.h"

// Put what was given into the object, but what only shapes it.
static void put_given(const struct resource_ops *ops, json_t *obj, const json_t *given)
{
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)given, key, v) {
		const struct attr *a = weft_attr_find(ops->attrs, key);
		if ((a->flags & (ATTR_WRITE_ONLY | ATTR_RENDERED)) == 0)
			json_object_set(obj, key, v);
	}
}

int weft_txn_create(struct txn *t, const struct caller *who, enum resource type, const json_t *body,
		    const struct object **out, struct err *err)
{
	const struct resource_ops *ops = weft_resource_ops(type);
	weft_auto(json) given = NULL;
	int ret = weft_attr_read_create(ops, who, body, &given, err);
	if (ret < 0)
		return ret;

	weft_auto(json) obj = weft_txn_new_attr(t, type, weft_json_text(given, "project_id"));
	put_given(ops, obj, given);
	ret = ops->create(t, who, given, obj, err);
	if (ret < 0)
		return ret;

	const struct object *o = weft_txn_insert(t, type, weft_take(obj));
	if (ops->created != NULL) {
		ret = ops->created(t, o, err);
		if (ret < 0)
			return ret;
	}
	if (out != NULL)
		*out = o;
	return 0;
}

// The object, if the caller may change it; 404 when it is not even visible.
static int get_writable(const struct txn *t, const struct caller *who, enum resource type,
			const char *id, const char *verb, const struct object **out,
			struct err *err)
{
	const struct resource_ops *ops = weft_resource_ops(type);
	const struct model *m = weft_txn_model(t);
	const struct object *o = weft_resource_get(m, who, type, id, err);
	if (o == NULL)
		return -ENOENT;
	bool writable = weft_caller_owns(who, o) ||
			(ops->writable != NULL && ops->writable(m, who, o));
	if (!writable)
		return weft_fail_as(err, -EPERM, "PolicyNotAuthorized",
				    "rule:%s_%s is disallowed by policy", verb, ops->name);
	*out = o;
	return 0;
}

// An update that changes nothing makes no change, so that nobody downstream does work for it.
static const struct object *replace_if_changed(struct txn *t, const struct object *old, json_t *obj)
{
	if (json_equal(old->attr, obj)) {
		json_decref(obj);
		return old;
	}
	return weft_txn_replace(t, old, obj);
}

int weft_txn_update(struct txn *t, const struct caller *who, enum resource type, const char *id,
		    const json_t *body, const struct object **out, struct err *err)
{
	const struct resource_ops *ops = weft_resource_ops(type);
	const struct object *old;
	int ret = get_writable(t, who, type, id, "update", &old, err);
	if (ret < 0)
		return ret;
	weft_auto(json) given = NULL;
	ret = weft_attr_read_update(ops, who, body, &given, err);
	if (ret < 0)
		return ret;

	weft_auto(json) obj = json_copy(old->attr);
	put_given(ops, obj, given);
	if (ops->update != NULL) {
		ret = ops->update(t, who, old, given, obj, err);
		if (ret < 0)
			return ret;
	}
	const struct object *o = replace_if_changed(t, old, weft_take(obj));
	if (out != NULL)
		*out = o;
	return 0;
}

int weft_txn_delete(struct txn *t, const struct caller *who, enum resource type, const char *id,
		    struct err *err)
{
	const struct resource_ops *ops = weft_resource_ops(type);
	const struct object *o;
	int ret = get_writable(t, who, type, id, "delete", &o, err);
	if (ret < 0)
		return ret;
	if (ops->remove != NULL) {
		ret = ops->remove(t, who, o, err);
		if (ret < 0)
			return ret;
	}
	weft_txn_remove(t, o);
	return 0;
}

int weft_txn_set_tags(struct txn *t, const struct caller *who, enum resource type, const char *id,
		      const json_t *tags, const struct object **out, struct err *err)
{
	const struct resource_ops *ops = weft_resource_ops(type);
	const struct attr *a = weft_attr_find(ops->attrs, "tags");
	const struct object *old;
	int ret = get_writable(t, who, type, id, "update", &old, err);
	if (ret < 0)
		return ret;
	if (a == NULL)
		return weft_fail_as(err, -ENOENT, "HTTPNotFound", "The resource %s has no tags",
				    ops->plural);
	json_t *list = NULL;
	ret = a->read(a, tags, &list, err);
	if (ret < 0)
		return ret;
	json_t *obj = json_copy(old->attr);
	json_object_set_new(obj, "tags", list);
	const struct object *o = replace_if_changed(t, old, obj);
	if (out != NULL)
		*out = o;
	return 0;
}
