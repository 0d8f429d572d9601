// SPDX-License-Identifier: Apache-2.0
// Quotas, read-only: some clients ask before they create. There are no limits, which Neutron writes as -1.
#include "north/api/call.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"

struct usage {
	const char *project;
	int used;
};

static int count_own(const struct object *o, void *arg)
{
	struct usage *u = arg;

	u->used += strcmp(o->project_id, u->project) == 0;
	return 0;
}

static json_t *limits(const struct api_call *c, const char *project, bool details)
{
	json_t *quota = json_object();

	for (enum resource type = 0; type < RES_COUNT; type++) {
		struct usage u = {.project = project};
		if (!weft_resource_has_url(type))
			continue;
		if (!details) {
			json_object_set_new(quota, weft_resource_name(type), json_integer(-1));
			continue;
		}
		weft_model_each(c->core->model, type, count_own, &u);
		json_object_set_new(quota, weft_resource_name(type),
				    json_pack("{s:i,s:i,s:i}", "limit", -1, "used", u.used,
					      "reserved", 0));
	}
	return quota;
}

static int check_owner(const struct api_call *c, const char *project, struct err *err)
{
	if (c->who.is_admin || strcmp(project, c->who.project_id) == 0)
		return 0;
	return weft_fail(err, -EPERM, "The quota of project %s is not yours to see.", project);
}

// Projects with limits of their own: none.
int weft_handle_quotas(struct api_call *c, struct err *err)
{
	if (!c->who.is_admin)
		return weft_fail_as(err, -EPERM, "AdminRequired",
				    "Only administrators may see the quotas of all projects.");
	return weft_call_answer(c, 200, "quotas", json_array());
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
	return weft_call_answer(c, 200, "quota", limits(c, project, false));
}

int weft_handle_quota_view(struct api_call *c, struct err *err)
{
	const char *project = c->target.segments[2];
	const char *view = c->target.segments[3];
	bool details = strcmp(view, "details") == 0;

	if (!details && strcmp(view, "default") != 0)
		return weft_fail(err, -ENOENT, "The resource could not be found.");
	int ret = check_owner(c, project, err);
	if (ret < 0)
		return ret;
	return weft_call_answer(c, 200, "quota", limits(c, project, details));
}
