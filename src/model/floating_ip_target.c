// SPDX-License-Identifier: Apache-2.0
// Where floating IPs lead: to a fixed IP of a port, by a router between its subnet and the
// external network.
#include "model/floating_ip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/json.h"
#include "model/index.h"
#include "model/port.h"
#include "model/resource.h"
#include "model/router.h"
#include "model/subnet.h"
#include "model/txn.h"

const json_t *weft_floating_ip_fixed(const json_t *fixed_ips, const char *ip)
{
	size_t i;
	json_t *fixed;
	json_array_foreach((json_t *)fixed_ips, i, fixed) {
		if (strcmp(weft_json_text(fixed, "ip_address"), ip) == 0)
			return fixed;
	}
	return NULL;
}

size_t weft_floating_ip_v4(const json_t *port, const json_t **first)
{
	size_t i, n = 0;
	json_t *fixed;
	json_array_foreach(weft_json_array(port, "fixed_ips"), i, fixed) {
		if (strchr(weft_json_text(fixed, "ip_address"), ':') == NULL && n++ == 0)
			*first = fixed;
	}
	return n;
}

static bool leads_outside(const struct model *m, const struct object *router,
			  const char *external_id)
{
	const struct object *gateway = weft_router_gateway_port(m, router->id);
	return gateway != NULL &&
	       strcmp(weft_json_text(gateway->attr, "network_id"), external_id) == 0;
}

// The router's address on the subnet; NULL = none.
static const char *address_on(const json_t *interface, const char *subnet_id)
{
	size_t i;
	json_t *fixed;
	json_array_foreach(weft_json_array(interface, "fixed_ips"), i, fixed) {
		if (strcmp(weft_json_text(fixed, "subnet_id"), subnet_id) == 0)
			return weft_json_text(fixed, "ip_address");
	}
	return NULL;
}

const struct object *weft_floating_ip_router(const struct model *m, const struct object *port,
					     const json_t *fixed, const char *external_id)
{
	const char *subnet_id = weft_json_text(fixed, "subnet_id");
	const struct object *subnet = weft_model_get(m, RES_SUBNET, subnet_id);
	const char *gateway = subnet == NULL ? NULL : weft_json_text(subnet->attr, "gateway_ip");
	const struct object *found = NULL;
	bool is_gateway = false;
	size_t n;
	const struct object **interfaces = weft_index_collect(
		m, REF_NETWORK_ROUTER_PORTS, weft_json_text(port->attr, "network_id"), &n);
	for (size_t i = 0; i < n && !is_gateway; i++) {
		const struct object *router = weft_router_of_port(m, interfaces[i]->attr);
		const char *ip = address_on(interfaces[i]->attr, subnet_id);
		if (router == NULL || ip == NULL || !leads_outside(m, router, external_id))
			continue;
		is_gateway = gateway != NULL && strcmp(gateway, ip) == 0;
		if (found == NULL || is_gateway)
			found = router;
	}
	free(interfaces);
	return found;
}

// The fixed IP of the port that is meant: the one that was given, or its only IPv4 address.
static int choose_fixed(const struct object *port, const char *ip, const json_t **out,
			struct err *err)
{
	if (ip != NULL && strchr(ip, ':') != NULL)
		return weft_floating_ip_bad(err,
					    "Cannot process floating IP association with %s, since "
					    "that is not an IPv4 address",
					    ip);
	if (ip != NULL) {
		*out = weft_floating_ip_fixed(json_object_get(port->attr, "fixed_ips"), ip);
		if (*out == NULL)
			return weft_floating_ip_bad(err, "Port %s does not have fixed ip %s",
						    port->id, ip);
		return 0;
	}
	size_t n = weft_floating_ip_v4(port->attr, out);
	if (n == 0)
		return weft_floating_ip_bad(err,
					    "Cannot add floating IP to port %s that has no fixed "
					    "IPv4 addresses",
					    port->id);
	if (n > 1)
		return weft_floating_ip_bad(err,
					    "Port %s has multiple fixed IPv4 addresses. Must "
					    "provide a specific IPv4 address when assigning a "
					    "floating IP",
					    port->id);
	return 0;
}

// One fixed IP has one floating IP of each external network at most.
static int check_single(const struct model *m, const json_t *obj, const struct object *port,
			const char *ip, struct err *err)
{
	const char *id = weft_json_text(obj, "id");
	const char *network_id = weft_json_text(obj, "floating_network_id");
	bool taken = false;
	size_t n;
	const struct object **all = weft_index_collect(m, REF_PORT_FLOATING_IPS, port->id, &n);
	for (size_t i = 0; i < n; i++)
		taken |= strcmp(all[i]->id, id) != 0 &&
			 strcmp(weft_json_text(all[i]->attr, "fixed_ip_address"), ip) == 0 &&
			 strcmp(weft_json_text(all[i]->attr, "floating_network_id"), network_id) ==
				 0;
	free(all);
	if (!taken)
		return 0;
	return weft_fail_as(err, -EBUSY, "FloatingIPPortAlreadyAssociated",
			    "Cannot associate floating IP %s (%s) with port %s using fixed IP %s, "
			    "as that fixed IP already has a floating IP on external network %s.",
			    weft_json_text(obj, "floating_ip_address"), id, port->id, ip,
			    network_id);
}

// A port that a distributed router forwards ports to has no floating IP as well, as in Neutron.
static int check_port(const struct model *m, const struct caller *who, const json_t *obj,
		      const struct object *port, struct err *err)
{
	const char *owner = weft_json_text(port->attr, "device_owner");
	if (!who->is_admin && strcmp(port->project_id, weft_json_text(obj, "project_id")) != 0)
		return weft_floating_ip_bad(err,
					    "Cannot process floating IP association with Port %s, "
					    "since that port is owned by a different tenant",
					    port->id);
	if (owner != NULL && strcmp(owner, "network:dhcp") == 0)
		return weft_floating_ip_bad(err, "Port %s is unable to be assigned a floating IP",
					    port->id);
	bool refused = false;
	size_t n;
	const struct object **all = weft_index_collect(m, REF_PORT_FORWARDINGS, port->id, &n);
	for (size_t i = 0; i < n; i++) {
		const struct object *floating_ip = weft_model_get(
			m, RES_FLOATING_IP, weft_json_text(all[i]->attr, "floatingip_id"));
		const char *router_id =
			floating_ip == NULL ? NULL : weft_json_text(floating_ip->attr, "router_id");
		const struct object *router =
			router_id == NULL ? NULL : weft_model_get(m, RES_ROUTER, router_id);
		refused |= router != NULL && weft_json_bool(router->attr, "distributed", false);
	}
	free(all);
	if (!refused)
		return 0;
	return weft_fail_as(err, -EINVAL, "PortHasPortForwarding",
			    "Cannot associate floating IP to port %s because it already has a Port "
			    "Forwarding binding.",
			    port->id);
}

static void set_target(json_t *obj, json_t *port_id, json_t *ip, json_t *router_id)
{
	json_object_set_new(obj, "port_id", port_id);
	json_object_set_new(obj, "fixed_ip_address", ip);
	json_object_set_new(obj, "router_id", router_id);
}

static int lead_to(const struct model *m, const struct caller *who, const char *port_id,
		   const char *wanted_ip, json_t *obj, struct err *err)
{
	const char *external_id = weft_json_text(obj, "floating_network_id");
	const struct object *port = weft_resource_get(m, who, RES_PORT, port_id, err);
	const json_t *fixed = NULL;
	if (port == NULL)
		return -ENOENT;
	int ret = check_port(m, who, obj, port, err);
	if (ret == 0)
		ret = choose_fixed(port, wanted_ip, &fixed, err);
	if (ret < 0)
		return ret;
	const char *ip = weft_json_text(fixed, "ip_address");
	const struct object *router = weft_floating_ip_router(m, port, fixed, external_id);
	if (router == NULL)
		return weft_fail_as(err, -ENOENT, "ExternalGatewayForFloatingIPNotFound",
				    "External network %s is not reachable from subnet %s.  "
				    "Therefore, cannot associate Port %s with a Floating IP.",
				    external_id, weft_json_text(fixed, "subnet_id"), port->id);
	ret = check_single(m, obj, port, ip, err);
	if (ret == 0)
		set_target(obj, json_string(port->id), json_string(ip), json_string(router->id));
	return ret;
}

int weft_floating_ip_associate(const struct model *m, const struct caller *who,
			       const struct object *old, const json_t *given, json_t *obj,
			       struct err *err)
{
	const json_t *port = json_object_get(given, "port_id");
	const char *ip = weft_json_text(given, "fixed_ip_address");
	if (ip != NULL && !json_is_string(port))
		return weft_floating_ip_bad(
			err, "fixed_ip_address cannot be specified without a port_id");
	bool forwards = old != NULL &&
			weft_index_count(m, REF_FLOATING_IP_FORWARDINGS, old->id) > 0;
	if (json_is_string(port) && forwards)
		return weft_fail_as(err, -EBUSY, "FipInUseByPortForwarding",
				    "Floating IP %s in use by Port Forwarding resources.", old->id);
	if (json_is_string(port))
		return lead_to(m, who, json_string_value(port), ip, obj, err);
	// As Neutron: who changes something else leaves it where it is, who says nothing at all
	// takes it away.
	if (port == NULL && old != NULL && json_object_size(given) > 0) {
		json_object_set(obj, "fixed_ip_address",
				json_object_get(old->attr, "fixed_ip_address"));
		return 0;
	}
	set_target(obj, json_null(), json_null(),
		   forwards ? json_incref(json_object_get(old->attr, "router_id")) : json_null());
	return 0;
}

static bool is_in(const json_t *o, const char *key, const struct ip_prefix *cidr)
{
	struct ip_addr ip = {0};
	const char *text = weft_json_text(o, key);
	return text != NULL && weft_ip_parse(text, &ip) == 0 && weft_prefix_contains(cidr, &ip);
}

static bool leads_into(const struct model *m, const struct object *floating_ip,
		       const struct ip_prefix *cidr)
{
	bool leads = is_in(floating_ip->attr, "fixed_ip_address", cidr);
	size_t n;
	const struct object **all =
		weft_index_collect(m, REF_FLOATING_IP_FORWARDINGS, floating_ip->id, &n);
	for (size_t i = 0; i < n; i++)
		leads |= is_in(all[i]->attr, "internal_ip_address", cidr);
	free(all);
	return leads;
}

int weft_floating_ips_check_unused(const struct model *m, const struct object *router,
				   const struct object *subnet, struct err *err)
{
	struct ip_prefix cidr = weft_subnet_cidr(subnet->attr);
	bool used = false;
	size_t n;
	const struct object **all = weft_index_collect(m, REF_ROUTER_FLOATING_IPS, router->id, &n);
	for (size_t i = 0; i < n; i++)
		used |= leads_into(m, all[i], &cidr);
	free(all);
	if (!used)
		return 0;
	return weft_fail_as(err, -EBUSY, "RouterInterfaceInUseByFloatingIP",
			    "Router interface for subnet %s on router %s cannot be deleted, as it "
			    "is required by one or more floating IPs.",
			    subnet->id, router->id);
}

void weft_floating_ips_leave(struct txn *t, const char *port_id, const json_t *fixed_ips)
{
	const struct model *m = weft_txn_model(t);
	size_t n;
	const struct object **all = weft_index_collect(m, REF_PORT_FLOATING_IPS, port_id, &n);
	for (size_t i = 0; i < n; i++) {
		if (weft_floating_ip_fixed(fixed_ips,
					   weft_json_text(all[i]->attr, "fixed_ip_address")))
			continue;
		json_t *obj = json_copy(all[i]->attr);
		set_target(obj, json_null(), json_null(), json_null());
		weft_txn_replace(t, all[i], obj);
	}
	free(all);
	all = weft_index_collect(m, REF_PORT_FORWARDINGS, port_id, &n);
	for (size_t i = 0; i < n; i++)
		if (weft_floating_ip_fixed(
			    fixed_ips, weft_json_text(all[i]->attr, "internal_ip_address")) == NULL)
			weft_port_forwarding_remove(t, all[i]);
	free(all);
}
