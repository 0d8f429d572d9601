// SPDX-License-Identifier: Apache-2.0
#include "model/quota.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "model/index.h"
#include "model/resource.h"
#include "model/txn.h"

static const enum resource limited[] = {RES_NETWORK,
					RES_SUBNET,
					RES_PORT,
					RES_ROUTER,
					RES_FLOATING_IP,
					RES_SECURITY_GROUP,
					RES_SECURITY_GROUP_RULE,
					RES_SUBNET_POOL};

enum { N_LIMITED = sizeof(limited) / sizeof(limited[0]) };

// clang-format off
#define LIMIT(name) ATTR(name, weft_attr_int, ATTR_RW, .initial = "-1", .min = -1, .max = INT32_MAX)

static const struct attr attrs[] = {
	ATTR("id", NULL, 0),
	LIMIT("network"),
	LIMIT("subnet"),
	LIMIT("port"),
	LIMIT("subnetpool"),
	LIMIT("router"),
	LIMIT("floatingip"),
	LIMIT("security_group"),
	LIMIT("security_group_rule"),
	ATTR("created_at", NULL, 0),
	ATTR("updated_at", NULL, 0),
	ATTR("revision_number", NULL, 0),
	ATTR("project_id", weft_attr_text, ATTR_POST, .max = 255),
	ATTR("tenant_id", weft_attr_text, ATTR_RENDERED, .max = 255),
	{0},
};
// clang-format on

static int create(struct txn *t, const struct caller *who, const json_t *given, json_t *obj,
		  struct err *err)
{
	(void)t;
	(void)who;
	(void)given;
	(void)obj;
	(void)err;
	return 0; // the table says it all
}

static void index_quota(struct model *m, const struct object *o, bool add)
{
	if (add)
		weft_map_put(m->quotas, o->project_id, (void *)o);
	else
		weft_map_del(m->quotas, o->project_id);
}

json_t *weft_quota_limits(const struct model *m, const char *project_id)
{
	const struct object *own = weft_map_get(m->quotas, project_id);
	json_t *limits = json_object();
	for (size_t i = 0; i < N_LIMITED; i++) {
		const char *name = weft_resource_name(limited[i]);
		json_int_t limit = own == NULL ? -1 : weft_json_int(own->attr, name, -1);
		json_object_set_new(limits, name, json_integer(limit));
	}
	return limits;
}

static int check_one(const struct model *m, enum resource type, const char *project_id, size_t more,
		     struct err *err)
{
	const struct object *own = weft_map_get(m->quotas, project_id);
	const char *name = weft_resource_name(type);
	int64_t limit = own == NULL ? -1 : weft_json_int(own->attr, name, -1);
	if (limit < 0 || weft_model_count_of(m, type, project_id) + more <= (size_t)limit)
		return 0;
	return weft_fail_as(err, -EBUSY, "OverQuota", "Quota exceeded for resources: ['%s'].",
			    name);
}

int weft_quota_check(const struct model *m, enum resource type, const char *project_id, size_t more,
		     struct err *err)
{
	int ret = check_one(m, type, project_id, more, err);
	// A group begins with two rules.
	if (ret == 0 && type == RES_SECURITY_GROUP)
		ret = check_one(m, RES_SECURITY_GROUP_RULE, project_id, 2 * more, err);
	return ret;
}

int weft_txn_quota_set(struct txn *t, const struct caller *who, const char *project_id,
		       const json_t *body, struct err *err)
{
	const struct object *own = weft_map_get(weft_txn_model(t)->quotas, project_id);
	if (own != NULL)
		return weft_txn_update(t, who, RES_QUOTA, own->id, body, NULL, err);
	weft_auto(json) all = json_copy((json_t *)body);
	json_object_set_new(all, "project_id", json_string(project_id));
	return weft_txn_create(t, who, RES_QUOTA, all, NULL, err);
}

int weft_txn_quota_reset(struct txn *t, const struct caller *who, const char *project_id,
			 struct err *err)
{
	const struct object *own = weft_map_get(weft_txn_model(t)->quotas, project_id);
	if (own == NULL)
		return weft_resource_not_found(RES_QUOTA, project_id, err);
	return weft_txn_delete(t, who, RES_QUOTA, own->id, err);
}

const struct resource_ops weft_quota_ops = {
	.name = "quota",
	.plural = "quotas",
	.not_found = "TenantQuotaNotFound",
	.not_found_text = "Quota for tenant %s could not be found.",
	.attrs = attrs,
	.create = create,
	.index = index_quota,
};
