// SPDX-License-Identifier: Apache-2.0
// What the unit tests of routers share.
#pragma once

#include "model/model_testing.h"

__attribute__((format(printf, 1, 2))) static inline json_t *body_of(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	json_t *body = body_va(fmt, args);
	va_end(args);
	return body;
}

// Its id: the object is another one after every change of its interfaces.
static inline const char *router_new(struct model *m, const struct caller *who,
				     char id[WEFT_ID_LEN + 1])
{
	const struct object *o;
	assert_done(post(m, who, RES_ROUTER, &o, "{'name': 'r'}"));
	return memcpy(id, o->id, WEFT_ID_LEN + 1);
}

// A subnet of alice's on a network of its own; `more` begins with a comma.
static inline const struct object *subnet_new(struct model *m, const char *version,
					      const char *cidr, const char *more)
{
	const struct object *network, *o;
	assert_done(post(m, &alice, RES_NETWORK, &network, "{}"));
	assert_done(post(m, &alice, RES_SUBNET, &o,
			 "{'network_id': '%s', 'ip_version': %s, 'cidr': '%s' %s}", network->id,
			 version, cidr, more));
	return o;
}

static inline int change_interface(struct model *m, const struct caller *who, const char *id,
				   bool add, json_t **info, const char *fmt, va_list args)
{
	weft_auto(json) body = body_va(fmt, args);
	weft_auto(json) answer = NULL;
	struct txn *t = weft_txn_begin(m);
	last_err = (struct err) {0};
	int ret = add ? weft_txn_router_add_interface(t, who, id, body, &answer, &last_err)
		      : weft_txn_router_remove_interface(t, who, id, body, &answer, &last_err);
	finish(t, ret);
	if (info != NULL)
		*info = weft_take(answer);
	return ret;
}

__attribute__((format(printf, 5, 6))) static inline int join(struct model *m,
							     const struct caller *who,
							     const char *id, json_t **info,
							     const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	int ret = change_interface(m, who, id, true, info, fmt, args);
	va_end(args);
	return ret;
}

__attribute__((format(printf, 5, 6))) static inline int leave(struct model *m,
							      const struct caller *who,
							      const char *id, json_t **info,
							      const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	int ret = change_interface(m, who, id, false, info, fmt, args);
	va_end(args);
	return ret;
}

// The interface by which the router joined that subnet.
static inline const struct object *joined(struct model *m, const char *router,
					  const struct object *subnet)
{
	weft_auto(json) info = NULL;
	assert_done(join(m, &alice, router, &info, "{'subnet_id': '%s'}", subnet->id));
	return weft_model_get(m, RES_PORT, weft_json_text(info, "port_id"));
}

static inline int change_routes(struct model *m, const char *id, const json_t *routes, bool add)
{
	struct txn *t = weft_txn_begin(m);
	last_err = (struct err) {0};
	int ret = weft_txn_router_change_routes(t, &alice, id, routes, add, NULL, &last_err);
	finish(t, ret);
	return ret;
}

static inline const json_t *routes_of(const struct model *m, const char *router)
{
	return json_object_get(weft_model_get(m, RES_ROUTER, router)->attr, "routes");
}

static inline void assert_route(const struct model *m, const char *router, size_t i,
				const char *dst, const char *via)
{
	const json_t *route = json_array_get(routes_of(m, router), i);
	assert_string_equal(weft_json_text(route, "destination"), dst);
	assert_string_equal(weft_json_text(route, "nexthop"), via);
}
