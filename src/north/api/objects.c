// SPDX-License-Identifier: Apache-2.0
// One object, or several made at once: POST, GET, PUT and DELETE.
#include "north/api/call.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "model/quota.h"
#include "model/resource.h"

typedef char object_id[WEFT_ID_LEN + 1];

DEFINE_AUTO(ids, object_id *, free)
DEFINE_AUTO(txn, struct txn *, weft_txn_free)

// The inner object of {"network": {...}}.
static int need_inner(const struct api_call *c, const char *name, const json_t **out,
		      struct err *err)
{
	if (c->body == NULL)
		return weft_fail_as(err, -EINVAL, "HTTPBadRequest", "Resource body required");
	const json_t *inner = json_object_get(c->body, name);
	if (inner == NULL)
		return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
				    "Unable to find '%s' in request body", name);
	if (!json_is_object(inner))
		return weft_fail_as(err, -EINVAL, "HTTPBadRequest", "'%s' must be an object", name);
	*out = inner;
	return 0;
}

// Whose it will be.
static const char *project_of(const struct api_call *c, const json_t *item)
{
	const char *project = weft_json_text(item, "project_id");

	if (project == NULL)
		project = weft_json_text(item, "tenant_id");
	return project == NULL || !c->who.is_admin ? c->who.project_id : project;
}

// A project gets its default group before its first object, within the same transaction.
static int ensure_default_group(const struct api_call *c, struct txn *t, const json_t *item,
				struct err *err)
{
	const char *project = project_of(c, item);

	// What is no project id at all is for the model to refuse, in its own words.
	if (*project == '\0' || strlen(project) > 255)
		return 0;
	return weft_txn_ensure_default_group(t, project, err);
}

static int create_one(struct api_call *c, struct txn *t, const json_t *item, object_id id,
		      struct err *err)
{
	const struct object *o = NULL;

	int ret = ensure_default_group(c, t, item, err);
	if (ret == 0)
		ret = weft_txn_create(t, &c->who, c->type, item, &o, err);
	if (ret < 0)
		return ret;
	snprintf(id, sizeof(object_id), "%s", o->id);
	return 0;
}

// The object within {"network": {...}} in a list, or the object itself.
static const json_t *item_of(const struct api_call *c, const json_t *items, size_t i)
{
	const json_t *item = json_array_get(items, i);
	const json_t *inner = json_object_get(item, weft_resource_name(c->type));

	return json_is_object(inner) ? inner : item;
}

// A request counts as a whole, before anything of it is there: so a project's first group brings
// the default one with it, whatever its limit.
static int check_quotas(const struct api_call *c, const json_t *items, struct err *err)
{
	weft_auto(json) wanted = json_object();
	const char *project;
	json_t *n;

	for (size_t i = 0; i < json_array_size(items); i++) {
		project = project_of(c, item_of(c, items, i));
		json_object_set_new(wanted, project,
				    json_integer(weft_json_int(wanted, project, 0) + 1));
	}
	json_object_foreach(wanted, project, n) {
		int ret = weft_quota_check(c->core->model, c->type, project,
					   (size_t)json_integer_value(n), err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int create_bulk(struct api_call *c, const json_t *items, struct err *err)
{
	size_t n = json_array_size(items);
	weft_auto(ids) ids = calloc(n + 1, sizeof(*ids));
	weft_auto(txn) t = weft_txn_begin(c->core->model);

	if (n == 0)
		return weft_fail_as(err, -EINVAL, "HTTPBadRequest", "Resource body required");
	if (n > API_BULK_MAX)
		return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
				    "%zu '%s' in one request: at most %d are allowed", n,
				    weft_resource_plural(c->type), API_BULK_MAX);
	int ret = check_quotas(c, items, err);
	for (size_t i = 0; i < n && ret == 0; i++) {
		const json_t *item = item_of(c, items, i);
		if (!json_is_object(item))
			return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
					    "Item %zu of '%s' must be an object", i + 1,
					    weft_resource_plural(c->type));
		ret = create_one(c, t, item, ids[i], err);
	}
	if (ret < 0)
		return ret;
	ret = weft_call_commit(c, weft_take(t), err);
	if (ret < 0)
		return ret;

	// Read after the commit: a later item may have changed an earlier one.
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(
			list, weft_call_view(c, weft_model_get(c->core->model, c->type, ids[i])));
	return weft_call_answer(c, 201, weft_resource_plural(c->type), list);
}

int weft_handle_create(struct api_call *c, struct err *err)
{
	const char *name = weft_resource_name(c->type);
	const json_t *bulk = json_object_get(c->body, weft_resource_plural(c->type));
	const json_t *item;
	object_id id;

	if (json_is_array(bulk))
		return create_bulk(c, bulk, err);
	int ret = need_inner(c, name, &item, err);
	if (ret < 0)
		return ret;

	ret = weft_quota_check(c->core->model, c->type, project_of(c, item), 1, err);
	if (ret < 0)
		return ret;
	weft_auto(txn) t = weft_txn_begin(c->core->model);
	ret = create_one(c, t, item, id, err);
	if (ret == 0)
		ret = weft_call_commit(c, weft_take(t), err);
	if (ret < 0)
		return ret;
	return weft_call_answer(c, 201, name,
				weft_call_view(c, weft_model_get(c->core->model, c->type, id)));
}

// If-Match: revision_number=N
static int check_revision(const struct api_call *c, const char *id, struct err *err)
{
	const struct object *o = weft_model_get(c->core->model, c->type, id);
	int64_t expected;
	char end;

	if (c->rq->if_match == NULL || o == NULL)
		return 0;
	if (sscanf(c->rq->if_match, "revision_number=%" SCNd64 "%c", &expected, &end) != 1)
		return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
				    "Invalid If-Match header: 'revision_number=N' is expected");
	int64_t current = weft_json_int(o->attr, "revision_number", 0);
	if (current != expected)
		return weft_fail(err, -ESTALE,
				 "Constrained to %" PRId64 ", but current revision is %" PRId64,
				 expected, current);
	return 0;
}

int weft_handle_show(struct api_call *c, struct err *err)
{
	const struct object *o;

	int ret = weft_call_get(c, c->type, c->id, &o, err);
	if (ret < 0)
		return ret;
	return weft_call_answer(c, 200, weft_resource_name(c->type), weft_call_view(c, o));
}

static int answer_changed(struct api_call *c, struct err *err)
{
	const struct object *o = weft_model_get(c->core->model, c->type, c->id);

	if (o == NULL)
		return weft_resource_not_found(c->type, c->id, err);
	return weft_call_answer(c, 200, weft_resource_name(c->type), weft_call_view(c, o));
}

int weft_handle_update(struct api_call *c, struct err *err)
{
	const struct object *o;
	const json_t *item;

	// As Neutron: what nobody could change is refused before it is looked for.
	int ret = need_inner(c, weft_resource_name(c->type), &item, err);
	if (ret == 0)
		ret = weft_attr_check_update(weft_resource_ops(c->type), item, err);
	if (ret == 0)
		ret = weft_call_get(c, c->type, c->id, &o, err);
	if (ret == 0)
		ret = check_revision(c, c->id, err);
	if (ret < 0)
		return ret;

	weft_auto(txn) t = weft_txn_begin(c->core->model);
	ret = weft_txn_update(t, &c->who, c->type, c->id, item, NULL, err);
	if (ret == 0)
		ret = weft_call_commit(c, weft_take(t), err);
	return ret < 0 ? ret : answer_changed(c, err);
}

int weft_handle_delete(struct api_call *c, struct err *err)
{
	const struct object *o;

	int ret = weft_call_get(c, c->type, c->id, &o, err);
	if (ret == 0)
		ret = check_revision(c, c->id, err);
	if (ret < 0)
		return ret;

	weft_auto(txn) t = weft_txn_begin(c->core->model);
	ret = weft_txn_delete(t, &c->who, c->type, c->id, err);
	if (ret == 0)
		ret = weft_call_commit(c, weft_take(t), err);
	c->out->status = 204;
	return ret;
}

// The body is {"addresses": [...]}, as clients send it, or the same within "address_group".
static int change_addresses(struct api_call *c, bool add, struct err *err)
{
	const struct object *o;

	c->type = RES_ADDRESS_GROUP;
	int ret = weft_call_get(c, c->type, c->id, &o, err);
	if (ret < 0)
		return ret;
	const json_t *group = json_object_get(c->body, "address_group");
	const json_t *addresses = weft_json_array(group ? group : c->body, "addresses");
	if (addresses == NULL)
		return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
				    "Unable to find 'addresses' (a list) in request body");

	weft_auto(txn) t = weft_txn_begin(c->core->model);
	ret = weft_txn_address_group_change(t, &c->who, c->id, addresses, add, NULL, err);
	if (ret == 0)
		ret = weft_call_commit(c, weft_take(t), err);
	return ret < 0 ? ret : answer_changed(c, err);
}

int weft_handle_add_addresses(struct api_call *c, struct err *err)
{
	return change_addresses(c, true, err);
}

int weft_handle_remove_addresses(struct api_call *c, struct err *err)
{
	return change_addresses(c, false, err);
}
