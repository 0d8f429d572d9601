// SPDX-License-Identifier: Apache-2.0
// Joining a router to networks. By subnet, the router gets a port with the gateway's address; by
// port, it takes the port with the addresses that it has.
#include "model/router.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/json.h"
#include "base/text.h"
#include "model/address_use.h"
#include "model/index.h"
#include "model/port.h"
#include "model/resource.h"
#include "model/subnet.h"
#include "model/txn.h"

// What one call does: the router, the interface that it came to, and the subnets that it was about.
struct joining {
	struct txn *t;
	struct model *m;
	const struct caller *who;
	const struct object *router;
	char port_id[WEFT_ID_LEN + 1];
	char network_id[WEFT_ID_LEN + 1];
	json_t *subnet_ids;
};

static const struct object *subnet_of(const struct model *m, const json_t *fixed)
{
	return weft_model_get(m, RES_SUBNET, weft_json_text(fixed, "subnet_id"));
}

// What the router may take of a subnet of somebody else's: nothing by subnet, the pools'
// addresses by port.
static int check_pools(const struct joining *j, const json_t *port, struct err *err)
{
	size_t i, k;
	json_t *fixed, *pool;
	json_array_foreach(weft_json_array(port, "fixed_ips"), i, fixed) {
		const struct object *subnet = subnet_of(j->m, fixed);
		struct ip_addr ip = {0}, first, last;
		bool inside = subnet == NULL || weft_caller_owns(j->who, subnet);
		weft_ip_parse(weft_json_text(fixed, "ip_address"), &ip);
		for (k = 0; !inside; k++) {
			pool = json_array_get(json_object_get(subnet->attr, "allocation_pools"), k);
			if (pool == NULL)
				return weft_router_bad(
					err,
					"Cannot add interface to router because specified port %s "
					"has an IP address out of the allocation pool of subnet "
					"%s, which is not owned by the project making the request",
					weft_json_text(port, "id"), subnet->id);
			weft_pool_get(pool, &first, &last);
			inside = weft_ip_compare(&ip, &first) >= 0 &&
				 weft_ip_compare(&ip, &last) <= 0;
		}
	}
	return 0;
}

static int check_new_subnet(const struct joining *j, const struct object *subnet, struct err *err)
{
	if (weft_json_text(subnet->attr, "gateway_ip") == NULL)
		return weft_router_bad(err, "Subnet for router interface must have a gateway IP");
	if (!weft_caller_owns(j->who, subnet))
		return weft_router_bad(err,
				       "Cannot add interface to router because subnet %s is not "
				       "owned by project making the request",
				       subnet->id);
	if (weft_json_text(subnet->attr, "ipv6_address_mode") != NULL &&
	    weft_json_text(subnet->attr, "ipv6_ra_mode") == NULL)
		return weft_router_bad(err,
				       "IPv6 subnet %s configured to receive RAs from an external "
				       "router cannot be added to Neutron Router",
				       subnet->id);
	return weft_router_check_subnet(j->m, j->router, subnet, NULL, err);
}

static int check_gateway_free(const struct joining *j, const struct object *subnet, struct err *err)
{
	struct ip_addr gateway = {0};
	const char *text = weft_json_text(subnet->attr, "gateway_ip");
	const struct address_use *use = weft_map_get(j->m->address_use, subnet->id);
	weft_ip_parse(text, &gateway);
	if (use == NULL || !weft_address_use_has(use, &gateway))
		return 0;
	return weft_fail_as(err, -EBUSY, "IpAddressInUse",
			    "Unable to complete operation for network %s. The IP address %s is in "
			    "use.",
			    weft_json_text(subnet->attr, "network_id"), text);
}

static void about(struct joining *j, const struct object *port)
{
	snprintf(j->port_id, sizeof(j->port_id), "%s", port->id);
	snprintf(j->network_id, sizeof(j->network_id), "%s",
		 weft_json_text(port->attr, "network_id"));
}

static int add_by_subnet(struct joining *j, const char *subnet_id, struct err *err)
{
	const struct object *subnet = weft_resource_get(j->m, j->who, RES_SUBNET, subnet_id, err),
			    *port;
	if (subnet == NULL)
		return -ENOENT;
	int ret = check_new_subnet(j, subnet, err);
	if (ret == 0)
		ret = check_gateway_free(j, subnet, err);
	if (ret < 0)
		return ret;

	// The IPv6 subnets of a network share the interface, so that it has one link-local
	// address for all of them.
	const char *network_id = weft_json_text(subnet->attr, "network_id");
	const char *gateway = weft_json_text(subnet->attr, "gateway_ip");
	json_t *fixed = json_pack("{s:s, s:s}", "subnet_id", subnet->id, "ip_address", gateway);
	const struct object *joined = weft_json_int(subnet->attr, "ip_version", 4) == 6
					      ? weft_router_v6_port(j->m, j->router, network_id)
					      : NULL;
	if (joined != NULL) {
		json_t *list = json_copy(json_object_get(joined->attr, "fixed_ips"));
		json_array_append_new(list, fixed);
		weft_auto(json) body = json_pack("{s:o}", "fixed_ips", list);
		ret = weft_txn_update(j->t, &weft_caller_model, RES_PORT, joined->id, body, &port,
				      err);
	} else {
		weft_auto(json) body = json_pack("{s:s, s:s, s:[o], s:s, s:s}", "project_id",
						 j->router->project_id, "network_id", network_id,
						 "fixed_ips", fixed, "device_id", j->router->id,
						 "device_owner",
						 weft_router_interface_owner(j->router->attr));
		ret = weft_txn_create(j->t, &weft_caller_model, RES_PORT, body, &port, err);
	}
	if (ret < 0)
		return ret;
	json_array_append_new(j->subnet_ids, json_string(subnet->id));
	about(j, port);
	return 0;
}

static void add_subnet_ids(struct joining *j, const json_t *port)
{
	size_t i;
	json_t *fixed;
	json_array_foreach(weft_json_array(port, "fixed_ips"), i, fixed) {
		json_array_append(j->subnet_ids, json_object_get(fixed, "subnet_id"));
	}
}

static int add_by_port(struct joining *j, const char *port_id, struct err *err)
{
	const struct object *port = weft_model_get(j->m, RES_PORT, port_id);
	if (port == NULL || !weft_caller_owns(j->who, port))
		return weft_resource_not_found(RES_PORT, port_id, err);
	const char *device_id = weft_json_text(port->attr, "device_id");
	if (device_id != NULL && device_id[0] != '\0')
		return weft_router_port_in_use(port->attr, err);
	int ret = weft_router_check_interface(j->m, j->router, port->attr, err);
	if (ret == 0)
		ret = check_pools(j, port->attr, err);
	if (ret < 0)
		return ret;
	weft_auto(json) body = json_pack("{s:s, s:s}", "device_id", j->router->id, "device_owner",
					 weft_router_interface_owner(j->router->attr));
	ret = weft_txn_update(j->t, &weft_caller_model, RES_PORT, port_id, body, &port, err);
	if (ret < 0)
		return ret;
	add_subnet_ids(j, port->attr);
	about(j, port);
	return 0;
}

static int remove_by_port(struct joining *j, const char *port_id, const char *subnet_id,
			  struct err *err)
{
	const struct object *port = weft_model_get(j->m, RES_PORT, port_id);
	if (port == NULL || weft_router_of_port(j->m, port->attr) != j->router)
		return weft_fail_as(err, -ENOENT, "RouterInterfaceNotFound",
				    "Router %s does not have an interface with id %s",
				    j->router->id, port_id);
	if (subnet_id != NULL && !weft_port_has_subnet(port->attr, subnet_id))
		return weft_fail_as(err, -EINVAL, "SubnetMismatchForPort",
				    "Subnet on port %s does not match the requested subnet %s.",
				    port_id, subnet_id);
	size_t i;
	json_t *fixed;
	json_array_foreach(weft_json_array(port->attr, "fixed_ips"), i, fixed) {
		const struct object *subnet = subnet_of(j->m, fixed);
		int ret = subnet == NULL ? 0
					 : weft_router_check_unneeded(j->m, j->router, subnet, err);
		if (ret < 0)
			return ret;
	}
	add_subnet_ids(j, port->attr);
	about(j, port);
	weft_port_remove(j->t, port);
	return 0;
}

static json_t *without_subnet(const json_t *fixed_ips, const char *subnet_id)
{
	json_t *kept = json_array();
	size_t i;
	json_t *fixed;
	json_array_foreach((json_t *)fixed_ips, i, fixed) {
		if (strcmp(weft_json_text(fixed, "subnet_id"), subnet_id) != 0)
			json_array_append(kept, fixed);
	}
	return kept;
}

static const struct object *find_port_on(const struct joining *j, const char *subnet_id)
{
	const struct object *found = NULL;
	size_t n;
	const struct object **ports = weft_index_collect(j->m, REF_ROUTER_PORTS, j->router->id, &n);
	for (size_t i = 0; i < n && found == NULL; i++)
		if (weft_port_has_subnet(ports[i]->attr, subnet_id))
			found = ports[i];
	free(ports);
	return found;
}

static int remove_by_subnet(struct joining *j, const char *subnet_id, struct err *err)
{
	const struct object *port = find_port_on(j, subnet_id);
	const struct object *subnet = weft_model_get(j->m, RES_SUBNET, subnet_id);
	if (subnet == NULL || (port == NULL && !weft_model_visible(j->m, j->who, subnet)))
		return weft_resource_not_found(RES_SUBNET, subnet_id, err);
	if (port == NULL)
		return weft_fail_as(err, -ENOENT, "RouterInterfaceNotFoundForSubnet",
				    "Router %s has no interface on subnet %s", j->router->id,
				    subnet_id);
	int ret = weft_router_check_unneeded(j->m, j->router, subnet, err);
	if (ret < 0)
		return ret;
	about(j, port);
	json_array_append_new(j->subnet_ids, json_string(subnet_id));
	json_t *kept = without_subnet(json_object_get(port->attr, "fixed_ips"), subnet_id);
	weft_auto(json) body = json_pack("{s:o}", "fixed_ips", kept);
	if (json_array_size(kept) > 0)
		return weft_txn_update(j->t, &weft_caller_model, RES_PORT, port->id, body, NULL,
				       err);
	weft_port_remove(j->t, port);
	return 0;
}

// "port_id" and "subnet_id" of a body; NULL where one is absent.
static int read_body(const json_t *body, const char **port_id, const char **subnet_id,
		     struct err *err)
{
	static const char *const keys[] = {"port_id", "subnet_id"};
	const char **values[] = {port_id, subnet_id};
	char buf[128];
	for (size_t i = 0; i < 2; i++) {
		const json_t *v = json_object_get(body, keys[i]);
		*values[i] = json_string_value(v);
		if (v != NULL && (*values[i] == NULL || weft_uuid_check(*values[i]) < 0))
			return weft_router_bad(err, "%s: %s is not a valid UUID", keys[i],
					       weft_json_quote(v, buf, sizeof(buf)));
	}
	if (*port_id == NULL && *subnet_id == NULL)
		return weft_router_bad(err, "Either subnet_id or port_id must be specified");
	return 0;
}

static int begin(struct joining *j, struct txn *t, const struct caller *who, const char *id,
		 struct err *err)
{
	struct model *m = weft_txn_model(t);
	*j = (struct joining) {.t = t, .m = m, .who = who};
	j->router = weft_resource_get(m, who, RES_ROUTER, id, err);
	if (j->router == NULL)
		return -ENOENT;
	j->subnet_ids = json_array();
	return 0;
}

// On success the router has changed too, and *info says what happened.
static int finish(struct joining *j, int ret, json_t **info)
{
	weft_auto(json) subnet_ids = j->subnet_ids;
	if (ret < 0)
		return ret;
	const struct object *router = weft_txn_replace(j->t, j->router, json_copy(j->router->attr));
	if (info != NULL)
		*info = json_pack("{s:s, s:s, s:s, s:s, s:s, s:O, s:O, s:O}", "id", router->id,
				  "tenant_id", router->project_id, "project_id", router->project_id,
				  "port_id", j->port_id, "network_id", j->network_id, "subnet_id",
				  json_array_get(subnet_ids, 0), "subnet_ids", subnet_ids, "tags",
				  json_object_get(router->attr, "tags"));
	return 0;
}

int weft_txn_router_add_interface(struct txn *t, const struct caller *who, const char *id,
				  const json_t *body, json_t **info, struct err *err)
{
	struct joining j;
	const char *port_id, *subnet_id;
	int ret = begin(&j, t, who, id, err);
	if (ret < 0)
		return ret;
	ret = read_body(body, &port_id, &subnet_id, err);
	if (ret == 0 && port_id != NULL && subnet_id != NULL)
		ret = weft_router_bad(err, "Cannot specify both subnet-id and port-id");
	if (ret == 0)
		ret = port_id != NULL ? add_by_port(&j, port_id, err)
				      : add_by_subnet(&j, subnet_id, err);
	return finish(&j, ret, info);
}

int weft_txn_router_remove_interface(struct txn *t, const struct caller *who, const char *id,
				     const json_t *body, json_t **info, struct err *err)
{
	struct joining j;
	const char *port_id, *subnet_id;
	int ret = begin(&j, t, who, id, err);
	if (ret < 0)
		return ret;
	ret = read_body(body, &port_id, &subnet_id, err);
	if (ret == 0)
		ret = port_id != NULL ? remove_by_port(&j, port_id, subnet_id, err)
				      : remove_by_subnet(&j, subnet_id, err);
	return finish(&j, ret, info);
}
