// SPDX-License-Identifier: Apache-2.0
// Routers: identity, state and what may be set.
#include "model/router.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/index.h"
#include "model/port.h"
#include "model/resource.h"
#include "model/txn.h"

int weft_router_bad(struct err *err, const char *fmt, ...)
{
	char reason[WEFT_ERR_MAX];
	va_list args;
	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	return weft_fail_as(err, -EINVAL, "BadRequest", "Bad router request: %s.", reason);
}

static int read_ha(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	int ret = weft_attr_bool(a, in, out, err);
	if (ret == 0 && json_is_true(*out))
		return weft_router_bad(err, "routers do not move between nodes here, so ha can "
					    "only be false");
	return ret;
}

static int refuse_flavor(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	int ret = weft_attr_text(a, in, out, err);
	if (ret < 0)
		return ret;
	json_decref(*out);
	return weft_fail_as(err, -ENOENT, "FlavorNotFound", "Flavor %s could not be found.",
			    json_string_value(in));
}

// clang-format off
const struct attr weft_router_attrs[] = {
	ATTRS_HEAD,
	ATTR("status", NULL, 0, .initial = "\"ACTIVE\""),
	ATTR("admin_state_up", weft_attr_bool, ATTR_RW, .initial = "true"),
	ATTR("external_gateway_info", weft_router_gateway_read, ATTR_RW | ATTR_NULL),
	ATTR("routes", weft_router_routes_read, ATTR_PUT | ATTR_NULL_CLEARS, .initial = "[]"),
	ATTR("distributed", weft_attr_bool, ATTR_RW | ATTR_ADMIN | ATTR_ADMIN_SEES, .initial = "false"),
	ATTR("ha", read_ha, ATTR_RW | ATTR_ADMIN | ATTR_ADMIN_SEES, .initial = "false"),
	ATTR("flavor_id", refuse_flavor, ATTR_POST | ATTR_NULL, .max = 36),
	ATTR("tags", weft_attr_tags, ATTR_POST | ATTR_NULL_CLEARS, .initial = "[]"),
	ATTRS_TAIL,
	{0},
};
// clang-format on

const char *weft_router_interface_owner(const json_t *router)
{
	return weft_json_bool(router, "distributed", false) ? "network:router_interface_distributed"
							    : "network:router_interface";
}

static int create(struct txn *t, const struct caller *who, const json_t *given, json_t *obj,
		  struct err *err)
{
	const json_t *info = json_object_get(given, "external_gateway_info");
	return info == NULL ? 0 : weft_router_gateway_set(t, who, NULL, info, obj, err);
}

// The ports of a router that becomes distributed, or ceases to be, say so too.
static int change_distributed(struct txn *t, const struct object *old, const json_t *obj,
			      struct err *err)
{
	if (weft_json_bool(obj, "admin_state_up", true))
		return weft_router_bad(err,
				       "Cannot change the 'distributed' attribute of active "
				       "routers. Please set router %s admin_state_up to False "
				       "prior to upgrade",
				       old->id);
	weft_auto(json) body = json_pack("{s:s}", "device_owner", weft_router_interface_owner(obj));
	size_t n;
	const struct object **ports =
		weft_index_collect(weft_txn_model(t), REF_ROUTER_PORTS, old->id, &n);
	int ret = 0;
	for (size_t i = 0; i < n && ret == 0; i++)
		ret = weft_txn_update(t, &weft_caller_model, RES_PORT, ports[i]->id, body, NULL,
				      err);
	free(ports);
	return ret;
}

static int update(struct txn *t, const struct caller *who, const struct object *old,
		  const json_t *given, json_t *obj, struct err *err)
{
	const json_t *info = json_object_get(given, "external_gateway_info");
	int ret = info == NULL ? 0 : weft_router_gateway_set(t, who, old, info, obj, err);
	if (ret == 0 && json_object_get(given, "routes") != NULL)
		ret = weft_router_check_routes(weft_txn_model(t), obj, NULL, err);
	if (ret == 0 && weft_json_bool(obj, "distributed", false) !=
				weft_json_bool(old->attr, "distributed", false))
		ret = change_distributed(t, old, obj, err);
	return ret;
}

static int remove_router(struct txn *t, const struct caller *who, const struct object *o,
			 struct err *err)
{
	(void)who;
	if (weft_index_count(weft_txn_model(t), REF_ROUTER_PORTS, o->id) > 0)
		return weft_fail_as(err, -EBUSY, "RouterInUse", "Router %s still has ports", o->id);
	const struct object *gateway = weft_router_gateway_port(weft_txn_model(t), o->id);
	if (gateway != NULL)
		weft_port_remove(t, gateway);
	return 0;
}

const struct resource_ops weft_router_ops = {
	.name = "router",
	.plural = "routers",
	.url = "routers",
	.not_found = "RouterNotFound",
	.not_found_text = "Router %s could not be found",
	.attrs = weft_router_attrs,
	.create = create,
	.update = update,
	.remove = remove_router,
};
