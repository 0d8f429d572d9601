// SPDX-License-Identifier: Apache-2.0
// Extra routes: where a router sends what is for none of its own subnets.
#include "model/router.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/json.h"
#include "model/floating_ip.h"
#include "model/index.h"
#include "model/resource.h"
#include "model/subnet.h"
#include "model/subnet_attr.h"
#include "model/txn.h"

// Neutron's default for the routes of one router; and what a request may list at most, to bound
// the look for duplicates.
enum { MAX_ROUTES = 30, MAX_LISTED = 256 };

int weft_router_routes_read(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	int ret = weft_attr_list(a, in, MAX_LISTED, err);
	return ret < 0 ? ret : weft_host_routes_read(a, in, out, err);
}

static int invalid(const json_t *route, const char *reason, struct err *err)
{
	char buf[256];
	return weft_fail_as(err, -EINVAL, "InvalidRoutes", "Invalid format for routes: %s, %s",
			    weft_json_quote(route, buf, sizeof(buf)), reason);
}

struct next_hop {
	struct ip_addr ip;
	bool is_connected, is_own;
};

static void look_at(const struct model *m, const json_t *port, struct next_hop *hop)
{
	size_t i;
	json_t *fixed;
	json_array_foreach(weft_json_array(port, "fixed_ips"), i, fixed) {
		struct ip_addr own = {0};
		const struct object *subnet =
			weft_model_get(m, RES_SUBNET, weft_json_text(fixed, "subnet_id"));
		weft_ip_parse(weft_json_text(fixed, "ip_address"), &own);
		hop->is_own |= weft_ip_equal(&own, &hop->ip);
		if (subnet == NULL)
			continue;
		struct ip_prefix cidr = weft_subnet_cidr(subnet->attr);
		hop->is_connected |= weft_prefix_contains(&cidr, &hop->ip);
	}
}

static void look_at_all(const struct model *m, enum model_ref ref, const json_t *router,
			const json_t *port, struct next_hop *hop)
{
	const char *port_id = weft_json_text(port, "id");
	size_t n;
	const struct object **ports = weft_index_collect(m, ref, weft_json_text(router, "id"), &n);
	for (size_t i = 0; i < n; i++) {
		bool changes = port_id != NULL && strcmp(ports[i]->id, port_id) == 0;
		look_at(m, changes ? port : ports[i]->attr, hop);
	}
	free(ports);
}

static int check_route(const struct model *m, const json_t *router, const json_t *port,
		       const json_t *route, struct err *err)
{
	struct ip_prefix dst = {0};
	struct next_hop hop = {0};
	weft_prefix_parse(weft_json_text(route, "destination"), &dst);
	weft_ip_parse(weft_json_text(route, "nexthop"), &hop.ip);
	if (dst.ip.family != hop.ip.family)
		return invalid(route, "the nexthop is of another IP version than the destination",
			       err);

	look_at_all(m, REF_ROUTER_PORTS, router, port, &hop);
	look_at_all(m, REF_ROUTER_GATEWAY_PORTS, router, port, &hop);
	if (!hop.is_connected)
		return invalid(route, "the nexthop is not connected with router", err);
	if (hop.is_own)
		return invalid(route, "the nexthop is used by router", err);
	return 0;
}

int weft_router_check_routes(const struct model *m, const json_t *router, const json_t *port,
			     struct err *err)
{
	const json_t *routes = weft_json_array(router, "routes");
	size_t i;
	json_t *route;
	if (json_array_size(routes) > MAX_ROUTES)
		return weft_fail_as(err, -EINVAL, "RoutesExhausted",
				    "Unable to complete operation for %s. The number of routes "
				    "exceeds the maximum %d.",
				    weft_json_text(router, "id"), MAX_ROUTES);
	json_array_foreach((json_t *)routes, i, route) {
		int ret = check_route(m, router, port, route, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int weft_router_check_unrouted(const json_t *router, const struct object *subnet, struct err *err)
{
	struct ip_prefix cidr = weft_subnet_cidr(subnet->attr);
	size_t i;
	json_t *route;
	json_array_foreach(weft_json_array(router, "routes"), i, route) {
		struct ip_addr hop = {0};
		weft_ip_parse(weft_json_text(route, "nexthop"), &hop);
		if (weft_prefix_contains(&cidr, &hop))
			return weft_fail_as(err, -EBUSY, "RouterInterfaceInUseByRoute",
					    "Router interface for subnet %s on router %s cannot be "
					    "deleted, as it is required by one or more routes.",
					    subnet->id, weft_json_text(router, "id"));
	}
	return 0;
}

int weft_router_check_unneeded(const struct model *m, const struct object *router,
			       const struct object *subnet, struct err *err)
{
	int ret = weft_router_check_unrouted(router->attr, subnet, err);
	return ret < 0 ? ret : weft_floating_ips_check_unused(m, router, subnet, err);
}

static bool has_route(const json_t *routes, const json_t *route)
{
	for (size_t i = 0; i < json_array_size(routes); i++)
		if (json_equal(json_array_get(routes, i), route))
			return true;
	return false;
}

// Those of `routes` that are not in `others`, after what `out` has.
static void append_missing(json_t *out, const json_t *routes, const json_t *others)
{
	size_t i;
	json_t *route;
	json_array_foreach((json_t *)routes, i, route) {
		if (!has_route(others, route))
			json_array_append(out, route);
	}
}

int weft_txn_router_change_routes(struct txn *t, const struct caller *who, const char *id,
				  const json_t *routes, bool add, const struct object **out,
				  struct err *err)
{
	const struct object *old = weft_resource_get(weft_txn_model(t), who, RES_ROUTER, id, err);
	if (old == NULL)
		return -ENOENT;
	weft_auto(json) named = NULL;
	int ret = weft_router_routes_read(weft_attr_find(weft_router_attrs, "routes"), routes,
					  &named, err);
	if (ret < 0)
		return ret;
	const json_t *now = weft_json_array(old->attr, "routes");
	json_t *list = json_array();
	append_missing(list, now, add ? NULL : named);
	if (add)
		append_missing(list, named, now);
	weft_auto(json) body = json_pack("{s:o}", "routes", list);
	return weft_txn_update(t, who, RES_ROUTER, id, body, out, err);
}
