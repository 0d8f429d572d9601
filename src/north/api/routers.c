// SPDX-License-Identifier: Apache-2.0
// What can be done to a router beside changing it: interfaces come and go, and single routes.
#include "north/api/call.h"

#include <errno.h>

#include "base/json.h"

typedef int (*interface_call)(struct txn *t, const struct caller *who, const char *id,
			      const json_t *body, json_t **info, struct err *err);

// The body is {"subnet_id": ...} or {"port_id": ...} itself, and so is the answer.
static int change_interface(struct api_call *c, interface_call change, struct err *err)
{
	weft_auto(json) info = NULL;
	struct txn *t = weft_txn_begin(c->core->model);

	int ret = change(t, &c->who, c->id, c->body, &info, err);
	if (ret < 0) {
		weft_txn_free(t);
		return ret;
	}
	ret = weft_call_commit(c, t, err);
	if (ret < 0)
		return ret;
	c->out->status = 200;
	c->out->json = weft_take(info);
	return 0;
}

int weft_handle_add_router_interface(struct api_call *c, struct err *err)
{
	return change_interface(c, weft_txn_router_add_interface, err);
}

int weft_handle_remove_router_interface(struct api_call *c, struct err *err)
{
	return change_interface(c, weft_txn_router_remove_interface, err);
}

// The body is {"router": {"routes": [...]}}; the answer is the router.
static int change_routes(struct api_call *c, bool add, struct err *err)
{
	const json_t *routes = json_object_get(json_object_get(c->body, "router"), "routes");
	const struct object *o;

	if (routes == NULL)
		return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
				    "Unable to find 'routes' of 'router' in request body");
	struct txn *t = weft_txn_begin(c->core->model);
	int ret = weft_txn_router_change_routes(t, &c->who, c->id, routes, add, NULL, err);
	if (ret < 0) {
		weft_txn_free(t);
		return ret;
	}
	ret = weft_call_commit(c, t, err);
	if (ret == 0)
		ret = weft_call_get(c, RES_ROUTER, c->id, &o, err);
	return ret < 0 ? ret : weft_call_answer(c, 200, "router", weft_call_view(c, o));
}

int weft_handle_add_extraroutes(struct api_call *c, struct err *err)
{
	return change_routes(c, true, err);
}

int weft_handle_remove_extraroutes(struct api_call *c, struct err *err)
{
	return change_routes(c, false, err);
}
