// SPDX-License-Identifier: Apache-2.0
// A router's gateway: its port on an external network. "external_gateway_info" asks for it, and
// always says what it came to.
#include "model/router.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/json.h"
#include "model/index.h"
#include "model/network.h"
#include "model/port.h"
#include "model/resource.h"
#include "model/subnet.h"
#include "model/txn.h"

static int read_part(const struct attr *a, const json_t *in, json_t *info, struct err *err)
{
	static const struct attr parts[] = {
		ATTR("network_id", weft_attr_uuid, 0),
		ATTR("enable_snat", weft_attr_bool, 0),
		ATTR("external_fixed_ips", weft_fixed_ips_read, 0),
		{0},
	};
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)in, key, v) {
		const struct attr *part = weft_attr_find(parts, key);
		json_t *out = NULL;
		if (part == NULL)
			return weft_attr_bad(a, err, "unexpected key '%.64s'", key);
		int ret = part->read(part, v, &out, err);
		if (ret < 0)
			return ret;
		json_object_set_new(info, key, out);
	}
	return 0;
}

// {} says no gateway, as null does. What was not given is absent in *out.
int weft_router_gateway_read(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	char buf[128];
	if (!json_is_object(in))
		return weft_attr_bad(a, err, "'%s' is not a dictionary",
				     weft_json_quote(in, buf, sizeof(buf)));
	if (json_object_size(in) == 0) {
		*out = json_null();
		return 0;
	}
	weft_auto(json) info = json_object();
	int ret = read_part(a, in, info, err);
	if (ret < 0)
		return ret;
	if (json_object_get(info, "network_id") == NULL)
		return weft_attr_bad(a, err, "network_id is missing");
	*out = weft_take(info);
	return 0;
}

const struct object *weft_router_gateway_port(const struct model *m, const char *router_id)
{
	size_t n;
	const struct object **ports =
		weft_index_collect(m, REF_ROUTER_GATEWAY_PORTS, router_id, &n);
	const struct object *port = n == 0 ? NULL : ports[0];
	free(ports);
	return port;
}

// No route needs a subnet where the router had an address and has none any more.
static int check_routes_stay(const struct model *m, const json_t *router, const json_t *before,
			     const json_t *after, struct err *err)
{
	size_t i;
	json_t *fixed;
	json_array_foreach(weft_json_array(before, "fixed_ips"), i, fixed) {
		const char *subnet_id = weft_json_text(fixed, "subnet_id");
		const struct object *subnet = weft_model_get(m, RES_SUBNET, subnet_id);
		if (subnet == NULL || weft_port_has_subnet(after, subnet_id))
			continue;
		int ret = weft_router_check_unrouted(router, subnet, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int remove_gateway(struct txn *t, const json_t *router, const struct object *port,
			  struct err *err)
{
	const struct model *m = weft_txn_model(t);
	const char *id = weft_json_text(router, "id");
	if (weft_index_count(m, REF_ROUTER_FLOATING_IPS, id) > 0)
		return weft_fail_as(err, -EBUSY, "RouterExternalGatewayInUseByFloatingIp",
				    "Gateway cannot be updated for router %s, since a gateway to "
				    "external network %s is required by one or more floating IPs.",
				    id, weft_json_text(port->attr, "network_id"));
	int ret = check_routes_stay(m, router, port->attr, NULL, err);
	if (ret == 0)
		weft_port_remove(t, port);
	return ret;
}

// The router takes no address of which the outside's own router thinks it is its.
static int check_addresses(const struct model *m, const char *network_id, const json_t *fixed_ips,
			   struct err *err)
{
	size_t n, i;
	json_t *fixed;
	int ret = 0;
	const struct object **subnets = weft_index_collect(m, REF_NETWORK_SUBNETS, network_id, &n);
	json_array_foreach((json_t *)fixed_ips, i, fixed) {
		const char *ip = weft_json_text(fixed, "ip_address");
		for (size_t j = 0; j < n && ip != NULL && ret == 0; j++) {
			const char *gateway = weft_json_text(subnets[j]->attr, "gateway_ip");
			if (gateway != NULL && strcmp(gateway, ip) == 0)
				ret = weft_router_bad(
					err, "External IP %s is the same as the gateway IP", ip);
		}
	}
	free(subnets);
	return ret;
}

// The router's networks are apart from all of the outside network's subnets, not only from those
// where it gets an address.
static int check_apart(const struct model *m, const struct object *router, const char *network_id,
		       struct err *err)
{
	size_t n;
	int ret = 0;
	const struct object **subnets = weft_index_collect(m, REF_NETWORK_SUBNETS, network_id, &n);
	for (size_t i = 0; i < n && ret == 0; i++)
		ret = weft_router_check_subnet(m, router, subnets[i], NULL, err);
	free(subnets);
	return ret;
}

static int check_network(const struct model *m, const struct caller *who, const char *network_id,
			 struct err *err)
{
	const struct object *network = weft_resource_get(m, who, RES_NETWORK, network_id, err);
	if (network == NULL)
		return -ENOENT;
	if (!weft_network_is_external(network))
		return weft_router_bad(err, "Network %s is not an external network", network_id);
	return 0;
}

// Nobody's port, so that users do not see what is the operator's business.
static int create_gateway(struct txn *t, const struct object *old, const json_t *obj,
			  const json_t *info, const struct object **out, struct err *err)
{
	const char *network_id = weft_json_text(info, "network_id");
	const json_t *fixed_ips = json_object_get(info, "external_fixed_ips");
	int ret = 0;
	if (old != NULL)
		ret = check_apart(weft_txn_model(t), old, network_id, err);
	if (ret < 0)
		return ret;
	weft_auto(json) body = json_pack("{s:s, s:s, s:s, s:s}", "project_id", "", "network_id",
					 network_id, "device_id", weft_json_text(obj, "id"),
					 "device_owner", WEFT_GATEWAY_OWNER);
	if (json_array_size(fixed_ips) > 0)
		json_object_set(body, "fixed_ips", (json_t *)fixed_ips);
	return weft_txn_create(t, &weft_caller_model, RES_PORT, body, out, err);
}

static int move_gateway(struct txn *t, const json_t *router, const json_t *info,
			const struct object **port, struct err *err)
{
	json_t *wanted = json_object_get(info, "external_fixed_ips");
	if (json_array_size(wanted) == 0)
		return 0;
	const struct object *before = *port; // good until the transaction ends
	weft_auto(json) body = json_pack("{s:O}", "fixed_ips", wanted);
	int ret = weft_txn_update(t, &weft_caller_model, RES_PORT, before->id, body, port, err);
	if (ret == 0)
		ret = check_routes_stay(weft_txn_model(t), router, before->attr, (*port)->attr,
					err);
	return ret;
}

// Only an admin chooses addresses of the outside, or lets inner ones out untranslated.
static int check_rights(const struct caller *who, const struct object *old, const json_t *info,
			struct err *err)
{
	static const char *const admins[] = {"enable_snat", "external_fixed_ips"};
	for (size_t i = 0; i < 2 && !who->is_admin; i++)
		if (json_object_get(info, admins[i]) != NULL)
			return weft_fail_as(
				err, -EPERM, "PolicyNotAuthorized",
				"rule:%s_router:external_gateway_info:%s is disallowed by policy",
				old == NULL ? "create" : "update", admins[i]);
	return 0;
}

static void say(json_t *router, const json_t *fixed_ips, const char *network_id, bool snat)
{
	json_object_set_new(router, "external_gateway_info",
			    json_pack("{s:s, s:b, s:O}", "network_id", network_id, "enable_snat",
				      snat, "external_fixed_ips", fixed_ips));
}

int weft_router_gateway_set(struct txn *t, const struct caller *who, const struct object *old,
			    const json_t *info, json_t *obj, struct err *err)
{
	const struct model *m = weft_txn_model(t);
	const char *network_id = weft_json_text(info, "network_id");
	const struct object *port = old == NULL ? NULL : weft_router_gateway_port(m, old->id);
	int ret = check_rights(who, old, info, err);
	if (ret == 0 && network_id != NULL)
		ret = check_network(m, who, network_id, err);
	if (ret == 0 && network_id != NULL)
		ret = check_addresses(m, network_id, json_object_get(info, "external_fixed_ips"),
				      err);
	if (ret < 0)
		return ret;

	bool stays = port != NULL && network_id != NULL &&
		     strcmp(weft_json_text(port->attr, "network_id"), network_id) == 0;
	if (port != NULL && !stays)
		ret = remove_gateway(t, obj, port, err);
	if (ret == 0 && network_id == NULL)
		json_object_set_new(obj, "external_gateway_info", json_null());
	if (ret < 0 || network_id == NULL)
		return ret;
	ret = stays ? move_gateway(t, obj, info, &port, err)
		    : create_gateway(t, old, obj, info, &port, err);
	if (ret < 0)
		return ret;
	say(obj, json_object_get(port->attr, "fixed_ips"), network_id,
	    weft_json_bool(info, "enable_snat", true));
	return 0;
}

void weft_router_gateway_follow(struct txn *t, const json_t *port)
{
	const struct object *router = weft_router_of_port(weft_txn_model(t), port);
	if (router == NULL || !weft_port_is_gateway(port))
		return;
	json_t *obj = json_copy(router->attr);
	const json_t *info = json_object_get(obj, "external_gateway_info");
	say(obj, json_object_get(port, "fixed_ips"), weft_json_text(port, "network_id"),
	    weft_json_bool(info, "enable_snat", true));
	weft_txn_replace(t, router, obj);
}

// Has the port an address of that version that did not make itself?
static bool has_allocated(const struct model *m, const json_t *port, int64_t version)
{
	size_t i;
	json_t *fixed;
	json_array_foreach(weft_json_array(port, "fixed_ips"), i, fixed) {
		const struct object *subnet =
			weft_model_get(m, RES_SUBNET, weft_json_text(fixed, "subnet_id"));
		if (subnet != NULL && weft_json_int(subnet->attr, "ip_version", 4) == version &&
		    !weft_subnet_is_automatic(subnet->attr))
			return true;
	}
	return false;
}

int weft_router_gateway_meet(struct txn *t, const struct object *port, const struct object *subnet,
			     struct err *err)
{
	const struct model *m = weft_txn_model(t);
	const struct object *router = weft_router_of_port(m, port->attr);
	struct err why = {0};
	if (router == NULL)
		return 0;
	if (!weft_subnet_is_automatic(subnet->attr) &&
	    has_allocated(m, port->attr, weft_json_int(subnet->attr, "ip_version", 4)))
		return 0;
	// The outside may grow whatever users have inside: who cannot use the new subnet does
	// without.
	if (weft_router_check_subnet(m, router, subnet, port->id, &why) < 0)
		return 0;
	int ret = weft_port_join_subnet(t, port, subnet->id, err);
	return ret == -ENOSPC ? 0 : ret;
}
