// SPDX-License-Identifier: Apache-2.0
// Router interfaces: which ports may join a router to networks, and what may become of them.
#include "model/router.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/json.h"
#include "model/index.h"
#include "model/port.h"
#include "model/resource.h"
#include "model/subnet.h"

static const struct object *subnet_of(const struct model *m, const json_t *fixed)
{
	return weft_model_get(m, RES_SUBNET, weft_json_text(fixed, "subnet_id"));
}

static bool is_v6(const json_t *fixed)
{
	return strchr(weft_json_text(fixed, "ip_address"), ':') != NULL;
}

static size_t count_family(const json_t *port, bool v6)
{
	size_t i, n = 0;
	json_t *fixed;
	json_array_foreach(weft_json_array(port, "fixed_ips"), i, fixed) {
		n += is_v6(fixed) == v6;
	}
	return n;
}

// Is the new subnet apart from one that the router has already?
static int check_apart(const struct object *new, const struct object *has, struct err *err)
{
	if (strcmp(new->id, has->id) == 0)
		return weft_router_bad(err, "Router already has a port on subnet %s", has->id);
	struct ip_prefix a = weft_subnet_cidr(new->attr), b = weft_subnet_cidr(has->attr);
	if (!weft_prefix_overlaps(&a, &b))
		return 0;
	return weft_router_bad(err, "Cidr %s of subnet %s overlaps with cidr %s of subnet %s",
			       weft_json_text(new->attr, "cidr"), new->id,
			       weft_json_text(has->attr, "cidr"), has->id);
}

static int check_apart_from_outside(const struct model *m, const struct object *subnet,
				    const struct object *gateway, struct err *err)
{
	size_t n;
	int ret = 0;
	const struct object **subnets = weft_index_collect(
		m, REF_NETWORK_SUBNETS, weft_json_text(gateway->attr, "network_id"), &n);
	for (size_t i = 0; i < n && ret == 0; i++)
		ret = check_apart(subnet, subnets[i], err);
	free(subnets);
	return ret;
}

int weft_router_check_subnet(const struct model *m, const struct object *router,
			     const struct object *subnet, const char *but_port, struct err *err)
{
	size_t n;
	int ret = 0;
	const struct object **ports = weft_index_collect(m, REF_ROUTER_PORTS, router->id, &n);
	for (size_t i = 0; i < n && ret == 0; i++) {
		size_t j;
		json_t *fixed;
		if (but_port != NULL && strcmp(ports[i]->id, but_port) == 0)
			continue;
		json_array_foreach(weft_json_array(ports[i]->attr, "fixed_ips"), j, fixed) {
			const struct object *has = subnet_of(m, fixed);
			if (has != NULL && ret == 0)
				ret = check_apart(subnet, has, err);
		}
	}
	free(ports);
	const struct object *gateway = weft_router_gateway_port(m, router->id);
	if (ret < 0 || gateway == NULL || (but_port != NULL && strcmp(gateway->id, but_port) == 0))
		return ret;
	return check_apart_from_outside(m, subnet, gateway, err);
}

const struct object *weft_router_v6_port(const struct model *m, const struct object *router,
					 const char *network_id)
{
	const struct object *found = NULL;
	size_t n;
	const struct object **ports = weft_index_collect(m, REF_ROUTER_PORTS, router->id, &n);
	for (size_t i = 0; i < n && found == NULL; i++)
		if (strcmp(weft_json_text(ports[i]->attr, "network_id"), network_id) == 0 &&
		    count_family(ports[i]->attr, true) > 0)
			found = ports[i];
	free(ports);
	return found;
}

int weft_router_check_interface(const struct model *m, const struct object *router,
				const json_t *port, struct err *err)
{
	const char *id = weft_json_text(port, "id");
	const char *network_id = weft_json_text(port, "network_id");
	size_t i;
	json_t *fixed;
	if (json_array_size(weft_json_array(port, "fixed_ips")) == 0)
		return weft_router_bad(err, "Router port must have at least one fixed IP");
	if (count_family(port, true) > 0) {
		const struct object *other = weft_router_v6_port(m, router, network_id);
		if (other != NULL && strcmp(other->id, id) != 0)
			return weft_router_bad(
				err,
				"Router already contains IPv6 port %s belonging to network id %s. "
				"Only one IPv6 port from the same network subnet can be connected "
				"to a router",
				other->id, network_id);
	}
	json_array_foreach(weft_json_array(port, "fixed_ips"), i, fixed) {
		const struct object *subnet = subnet_of(m, fixed);
		int ret = subnet == NULL ? 0 : weft_router_check_subnet(m, router, subnet, id, err);
		if (ret < 0)
			return ret;
	}
	if (count_family(port, false) > 1)
		return weft_router_bad(err, "Cannot have multiple IPv4 subnets on router port");
	return 0;
}

int weft_router_port_in_use(const json_t *port, struct err *err)
{
	return weft_fail_as(err, -EBUSY, "PortInUse",
			    "Unable to complete operation on port %s for network %s. Port already "
			    "has an attached device %s.",
			    weft_json_text(port, "id"), weft_json_text(port, "network_id"),
			    weft_json_text(port, "device_id"));
}

const struct object *weft_router_of_port(const struct model *m, const json_t *port)
{
	if (port == NULL || (!weft_port_is_interface(port) && !weft_port_is_gateway(port)))
		return NULL;
	return weft_model_get(m, RES_ROUTER, weft_json_text(port, "device_id"));
}

// The addresses of an interface change: those that go are needed by no route, those that come
// suit the router.
static int check_addresses(const struct model *m, const struct object *router, const json_t *before,
			   const json_t *after, struct err *err)
{
	size_t i;
	json_t *fixed;
	json_array_foreach(weft_json_array(before, "fixed_ips"), i, fixed) {
		const struct object *subnet = subnet_of(m, fixed);
		if (subnet == NULL || weft_port_has_subnet(after, subnet->id))
			continue;
		int ret = weft_router_check_unneeded(m, router, subnet, err);
		if (ret < 0)
			return ret;
	}
	int ret = weft_router_check_interface(m, router, after, err);
	return ret < 0 ? ret : weft_router_check_routes(m, router->attr, after, err);
}

// What keeps the port: a router, or a floating IP.
static const struct object *keeper_of(const struct model *m, const json_t *port)
{
	const struct object *router = weft_router_of_port(m, port);
	if (router != NULL || port == NULL || !weft_port_is_floating(port))
		return router;
	return weft_model_get(m, RES_FLOATING_IP, weft_json_text(port, "device_id"));
}

static int refuse_new(const struct caller *who, const struct object *keeper, struct err *err)
{
	if (!weft_caller_owns(who, keeper))
		return weft_fail_as(err, -EBUSY, "DeviceIDNotOwnedByTenant",
				    "The following device_id %s is not owned by your tenant or "
				    "matches another tenants router.",
				    keeper->id);
	return weft_router_bad(err,
			       "%s %s gets its ports from its own calls, not from a port's "
			       "device_id and device_owner",
			       weft_resource_name(keeper->type), keeper->id);
}

int weft_router_check_port(const struct model *m, const struct caller *who, const json_t *before,
			   const json_t *after, struct err *err)
{
	const struct object *was = keeper_of(m, before);
	const struct object *is = keeper_of(m, after);
	if (who == &weft_caller_model || (was == NULL && is == NULL))
		return 0;
	if (was == NULL)
		return refuse_new(who, is, err);
	if (is != was || !json_equal(json_object_get(before, "device_owner"),
				     json_object_get(after, "device_owner")))
		return weft_router_port_in_use(before, err);
	if (json_equal(json_object_get(before, "fixed_ips"), json_object_get(after, "fixed_ips")))
		return 0;
	if (was->type == RES_FLOATING_IP)
		return weft_router_port_in_use(before, err);
	if (weft_port_is_gateway(after))
		return weft_router_check_routes(m, was->attr, after, err);
	return check_addresses(m, was, before, after, err);
}
