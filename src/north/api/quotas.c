// SPDX-License-Identifier: Apache-2.0
// Quotas: what a project may have, and what it has. No limit is written -1, as Neutron does.
#include "north/api/call.h"

#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "model/quota.h"

DEFINE_AUTO(txn, struct txn *, weft_txn_free)

// Each limit with what is used of it.
static json_t *details(const struct api_call *c, const char *project)
{
	weft_auto(json) limits = weft_quota_limits(c->core->model, project);
	json_t *quota = json_object();

	for (enum resource type = 0; type < RES_COUNT; type++) {
		const char *name = weft_resource_name(type);
		json_t *limit = json_object_get(limits, name);
		size_t used = weft_model_count_of(c->core->model, type, project);
		if (limit != NULL)
			json_object_set_new(quota, name,
					    json_pack("{s:O,s:I,s:i}", "limit", limit, "used",
						      (json_int_t)used, "reserved", 0));
	}
	return quota;
}

static int check_admin(const struct api_call *c, struct err *err)
{
	if (c->who.is_admin)
		return 0;
	return weft_fail_as(err, -EPERM, "AdminRequired",
			    "Only administrators may do this with quotas.");
}

static int check_owner(const struct api_call *c, const char *project, struct err *err)
{
	return strcmp(project, c->who.project_id) == 0 ? 0 : check_admin(c, err);
}

static int add_own_limits(const struct object *o, void *arg)
{
	json_t *quota = json_object();
	const char *key;
	json_t *v;

	json_object_foreach(o->attr, key, v) {
		if (json_is_integer(v) && strcmp(key, "revision_number") != 0)
			json_object_set(quota, key, v);
	}
	json_object_set_new(quota, "project_id", json_string(o->project_id));
	json_object_set_new(quota, "tenant_id", json_string(o->project_id));
	json_array_append_new(arg, quota);
	return 0;
}

// Projects with limits of their own.
int weft_handle_quotas(struct api_call *c, struct err *err)
{
	int ret = check_admin(c, err);
	if (ret < 0)
		return ret;
	json_t *all = json_array();
	weft_model_each(c->core->model, RES_QUOTA, add_own_limits, all);
	return weft_call_answer(c, 200, "quotas", all);
}

int weft_handle_quota(struct api_call *c, struct err *err)
{
	const char *project = c->target.segments[2];

	if (strcmp(project, "tenant") == 0 || strcmp(project, "project") == 0)
		return weft_call_answer(c, 200, project,
					json_pack("{s:s,s:s}", "tenant_id", c->who.project_id,
						  "project_id", c->who.project_id));
	int ret = check_owner(c, project, err);
	if (ret < 0)
		return ret;
	return weft_call_answer(c, 200, "quota", weft_quota_limits(c->core->model, project));
}

int weft_handle_quota_update(struct api_call *c, struct err *err)
{
	const char *project = c->target.segments[2];
	const json_t *quota = json_object_get(c->body, "quota");

	int ret = check_admin(c, err);
	if (ret < 0)
		return ret;
	if (!json_is_object(quota))
		return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
				    "Unable to find 'quota' in request body");
	weft_auto(txn) t = weft_txn_begin(c->core->model);
	ret = weft_txn_quota_set(t, &c->who, project, quota, err);
	if (ret == 0)
		ret = weft_call_commit(c, weft_take(t), err);
	if (ret < 0)
		return ret;
	return weft_call_answer(c, 200, "quota", weft_quota_limits(c->core->model, project));
}

int weft_handle_quota_reset(struct api_call *c, struct err *err)
{
	int ret = check_admin(c, err);
	if (ret < 0)
		return ret;
	weft_auto(txn) t = weft_txn_begin(c->core->model);
	ret = weft_txn_quota_reset(t, &c->who, c->target.segments[2], err);
	if (ret == 0)
		ret = weft_call_commit(c, weft_take(t), err);
	c->out->status = 204;
	return ret;
}

int weft_handle_quota_view(struct api_call *c, struct err *err)
{
	const char *project = c->target.segments[2];
	const char *view = c->target.segments[3];
	bool is_details = strcmp(view, "details") == 0;

	if (!is_details && strcmp(view, "default") != 0)
		return weft_fail(err, -ENOENT, "The resource could not be found.");
	int ret = check_owner(c, project, err);
	if (ret < 0)
		return ret;
	return weft_call_answer(c, 200, "quota",
				is_details ? details(c, project)
					   : weft_quota_limits(c->core->model, ""));
}
