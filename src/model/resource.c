// SPDX-License-Identifier: Apache-2.0
#include "model/resource.h"

#include <errno.h>
#include <string.h>

#include "model/index.h"

static const struct resource_ops *const all[RES_COUNT] = {
	[RES_NETWORK] = &weft_network_ops,
	[RES_SUBNET] = &weft_subnet_ops,
	[RES_PORT] = &weft_port_ops,
	[RES_SECURITY_GROUP] = &weft_security_group_ops,
	[RES_SECURITY_GROUP_RULE] = &weft_security_group_rule_ops,
	[RES_ADDRESS_GROUP] = &weft_address_group_ops,
	[RES_ROUTER] = &weft_router_ops,
	[RES_FLOATING_IP] = &weft_floating_ip_ops,
	[RES_PORT_FORWARDING] = &weft_port_forwarding_ops,
	[RES_QUOTA] = &weft_quota_ops,
	[RES_SUBNET_POOL] = &weft_subnet_pool_ops,
};

const struct caller weft_caller_model = {.project_id = "", .is_admin = true};

const struct resource_ops *weft_resource_ops(enum resource type)
{
	return all[type];
}

const char *weft_resource_name(enum resource type)
{
	return all[type]->name;
}

const char *weft_resource_plural(enum resource type)
{
	return all[type]->plural;
}

bool weft_resource_has_url(enum resource type)
{
	return all[type]->url != NULL;
}

int weft_resource_from_url(const char *segment, enum resource *out)
{
	for (int type = 0; type < RES_COUNT; type++) {
		if (all[type]->url != NULL && strcmp(all[type]->url, segment) == 0) {
			*out = (enum resource)type;
			return 0;
		}
	}
	return -ENOENT;
}

bool weft_resource_has_attr(enum resource type, const char *attr)
{
	const struct attr *a = weft_attr_find(all[type]->attrs, attr);
	return a != NULL && (a->flags & ATTR_WRITE_ONLY) == 0;
}

bool weft_resource_shows_attr(enum resource type, const char *attr, const struct caller *who)
{
	const struct attr *a = weft_attr_find(all[type]->attrs, attr);
	return a != NULL && (a->flags & ATTR_WRITE_ONLY) == 0 &&
	       (who->is_admin || (a->flags & ATTR_ADMIN_SEES) == 0);
}

int weft_resource_check_filter(enum resource type, const char *attr, const char *value,
			       struct err *err)
{
	const struct attr *a = weft_attr_find(all[type]->attrs, attr);
	bool flag;
	if (a == NULL || a->read != weft_attr_bool || weft_attr_bool_of(value, &flag))
		return 0;
	return weft_input_bad(err, "'%.64s' cannot be converted to boolean", value);
}

bool weft_caller_owns(const struct caller *who, const struct object *o)
{
	return who->is_admin ||
	       (who->project_id != NULL && strcmp(who->project_id, o->project_id) == 0);
}

bool weft_model_visible(const struct model *m, const struct caller *who, const struct object *o)
{
	const struct resource_ops *ops = all[o->type];
	return weft_caller_owns(who, o) || (ops->visible != NULL && ops->visible(m, who, o));
}

int weft_resource_not_found(enum resource type, const char *id, struct err *err)
{
	const struct resource_ops *ops = all[type];
	// The sentence around the id is the table's; ids of any length come from URLs.
	const char *hole = strstr(ops->not_found_text, "%s");
	return weft_fail_as(err, -ENOENT, ops->not_found, "%.*s%.255s%s",
			    (int)(hole - ops->not_found_text), ops->not_found_text, id, hole + 2);
}

const struct object *weft_resource_get(const struct model *m, const struct caller *who,
				       enum resource type, const char *id, struct err *err)
{
	const struct object *o = weft_model_get(m, type, id);
	if (o != NULL && weft_model_visible(m, who, o))
		return o;
	weft_resource_not_found(type, id, err);
	return NULL;
}
