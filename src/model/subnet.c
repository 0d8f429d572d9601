// SPDX-License-Identifier: Apache-2.0
// Subnets: what their addresses may be, and who still uses them.
#include "model/subnet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/address_use.h"
#include "model/index.h"
#include "model/network.h"
#include "model/port.h"
#include "model/resource.h"
#include "model/router.h"
#include "model/subnet_attr.h"
#include "model/subnet_pool.h"
#include "model/txn.h"

enum { AUTOMATIC_PREFIX = 64 };

struct ip_prefix weft_subnet_cidr(const json_t *subnet)
{
	struct ip_prefix cidr = {0};
	const char *text = weft_json_text(subnet, "cidr");
	if (text != NULL)
		weft_prefix_parse(text, &cidr);
	return cidr;
}

bool weft_subnet_is_loopback(const struct ip_prefix *prefix)
{
	static const struct ip_addr one = {.family = 6, .b = {[15] = 1}};
	return prefix->ip.family == 4 ? prefix->ip.b[0] == 127 : weft_ip_equal(&prefix->ip, &one);
}

static struct ip_addr gateway_of(const json_t *subnet)
{
	struct ip_addr gateway = {0};
	const char *text = weft_json_text(subnet, "gateway_ip");
	if (text != NULL)
		weft_ip_parse(text, &gateway);
	return gateway;
}

static bool is_automatic_mode(const char *mode)
{
	return mode != NULL &&
	       (strcmp(mode, "slaac") == 0 || strcmp(mode, "dhcpv6-stateless") == 0);
}

bool weft_subnet_is_automatic(const json_t *subnet)
{
	return is_automatic_mode(weft_json_text(subnet, "ipv6_address_mode")) ||
	       is_automatic_mode(weft_json_text(subnet, "ipv6_ra_mode"));
}

struct ip_addr weft_subnet_eui64(const struct ip_prefix *cidr, const struct mac_addr *mac)
{
	struct ip_addr ip = weft_ip_link_local_of(mac);
	struct ip_addr net = weft_prefix_first(cidr);
	memcpy(ip.b, net.b, 8);
	return ip;
}

static int check_family(const json_t *obj, const char *name, const char *text, uint8_t family,
			struct err *err)
{
	int64_t version = weft_json_int(obj, "ip_version", 4);
	if (family == version)
		return 0;
	return weft_input_bad(err, "%s '%s' does not match the ip_version '%lld'", name, text,
			      (long long)version);
}

static int check_cidr(const json_t *obj, struct err *err)
{
	const char *text = weft_json_text(obj, "cidr");
	if (text == NULL)
		return weft_fail_as(err, -EINVAL, "BadRequest",
				    "Bad subnets request: a subnetpool must be specified in the "
				    "absence of a cidr.");
	struct ip_prefix cidr = weft_subnet_cidr(obj);
	int ret = check_family(obj, "cidr", text, cidr.ip.family, err);
	if (ret < 0)
		return ret;
	if (cidr.len == 0)
		return weft_input_bad(err, "0 is not allowed as CIDR prefix length");
	if (!weft_json_bool(obj, "enable_dhcp", true))
		return 0;
	if (weft_ip_bits(&cidr.ip) - cidr.len < 2)
		return weft_input_bad(err, "Subnet has a prefix length that is incompatible with "
					   "DHCP service enabled");
	if (weft_ip_is_multicast(&cidr.ip))
		return weft_input_bad(
			err, "Multicast IP subnet is not supported if enable_dhcp is True");
	if (cidr.ip.family == 4 && weft_subnet_is_loopback(&cidr))
		return weft_input_bad(err,
				      "Loopback IP subnet is not supported if enable_dhcp is True");
	return 0;
}

static int check_ipv6_modes(const json_t *obj, struct err *err)
{
	const char *ra = weft_json_text(obj, "ipv6_ra_mode");
	const char *address = weft_json_text(obj, "ipv6_address_mode");
	if (ra == NULL && address == NULL)
		return 0;
	if (weft_json_int(obj, "ip_version", 4) != 6)
		return weft_input_bad(err, "ipv6_ra_mode and ipv6_address_mode are not valid when "
					   "ip_version is 4");
	if (!weft_json_bool(obj, "enable_dhcp", true))
		return weft_input_bad(err, "ipv6_ra_mode or ipv6_address_mode cannot be set when "
					   "enable_dhcp is set to False");
	if (ra != NULL && address != NULL && strcmp(ra, address) != 0)
		return weft_input_bad(
			err,
			"ipv6_ra_mode set to '%s' with ipv6_address_mode set to '%s' is "
			"not valid. If both attributes are set, they must be the same "
			"value",
			ra, address);
	struct ip_prefix cidr = weft_subnet_cidr(obj);
	if (weft_subnet_is_automatic(obj) && cidr.len != AUTOMATIC_PREFIX)
		return weft_input_bad(err,
				      "Invalid CIDR %s for IPv6 address mode. OpenStack uses the "
				      "EUI-64 address format, which requires the prefix to be /64",
				      weft_json_text(obj, "cidr"));
	return 0;
}

static int check_overlap(const struct model *m, const json_t *obj, const char *network_id,
			 struct err *err)
{
	struct ip_prefix cidr = weft_subnet_cidr(obj);
	bool overlaps = false;
	size_t n;
	const struct object **all = weft_index_collect(m, REF_NETWORK_SUBNETS, network_id, &n);
	for (size_t i = 0; i < n; i++) {
		struct ip_prefix other = weft_subnet_cidr(all[i]->attr);
		overlaps |= weft_prefix_overlaps(&cidr, &other);
	}
	free(all);
	if (!overlaps)
		return 0;
	return weft_input_bad(
		err,
		"Requested subnet with cidr: %s for network: %s overlaps with another "
		"subnet",
		weft_json_text(obj, "cidr"), network_id);
}

// The gateway may lie outside the subnet (it is then reached on-link), but cannot be an address
// that no host may have.
static int check_gateway(const json_t *obj, struct err *err)
{
	struct ip_addr gateway = gateway_of(obj);
	if (gateway.family == 0)
		return 0;
	int ret = check_family(obj, "gateway_ip", weft_json_text(obj, "gateway_ip"), gateway.family,
			       err);
	if (ret < 0)
		return ret;
	struct ip_prefix cidr = weft_subnet_cidr(obj);
	if ((weft_prefix_contains(&cidr, &gateway) && !weft_subnet_is_usable(&cidr, &gateway)) ||
	    weft_ip_is_multicast(&gateway))
		return weft_input_bad(err, "Gateway is not valid on subnet");
	return 0;
}

static int check_services(const json_t *obj, struct err *err)
{
	size_t i;
	json_t *v;
	json_t *servers = weft_json_array(obj, "dns_nameservers");
	json_t *routes = weft_json_array(obj, "host_routes");
	json_array_foreach(servers, i, v) {
		struct ip_addr ip = {0};
		weft_ip_parse(json_string_value(v), &ip);
		int ret = check_family(obj, "dns_nameserver", json_string_value(v), ip.family, err);
		if (ret < 0)
			return ret;
	}
	json_array_foreach(routes, i, v) {
		struct ip_addr via = {0};
		struct ip_prefix dst = {0};
		weft_prefix_parse(weft_json_text(v, "destination"), &dst);
		weft_ip_parse(weft_json_text(v, "nexthop"), &via);
		int ret = check_family(obj, "destination", weft_json_text(v, "destination"),
				       dst.ip.family, err);
		if (ret == 0)
			ret = check_family(obj, "nexthop", weft_json_text(v, "nexthop"), via.family,
					   err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static void set_default_gateway(json_t *obj)
{
	struct ip_prefix cidr = weft_subnet_cidr(obj);
	struct ip_addr gateway, last;
	char text[WEFT_IP_STRLEN];
	// In IPv6 the first of all, which is the routers' own (RFC 4291, 2.6.1): all others are
	// hosts'.
	weft_subnet_usable(&cidr, &gateway, &last);
	if (cidr.ip.family == 6)
		gateway = weft_prefix_first(&cidr);
	json_object_set_new(obj, "gateway_ip", json_string(weft_ip_text(&gateway, text)));
}

static int create(struct txn *t, const struct caller *who, const json_t *given, json_t *obj,
		  struct err *err)
{
	struct model *m = weft_txn_model(t);
	const char *network_id = weft_json_text(obj, "network_id");
	const struct object *network = weft_resource_get(m, who, RES_NETWORK, network_id, err);
	if (network == NULL)
		return -ENOENT;
	if (!weft_caller_owns(who, network))
		return weft_fail_as(err, -EPERM, "PolicyNotAuthorized",
				    "rule:create_subnet is disallowed by policy");

	int ret = weft_subnet_pool_allocate(m, who, given, obj, err);
	if (ret == 0)
		ret = check_cidr(obj, err);
	if (ret == 0)
		ret = check_ipv6_modes(obj, err);
	if (ret == 0)
		ret = check_overlap(m, obj, network_id, err);
	if (ret == 0)
		ret = weft_network_check_mtu(m, network_id, weft_json_int(network->attr, "mtu", 0),
					     weft_json_int(obj, "ip_version", 4), err);
	if (ret < 0)
		return ret;

	if (json_object_get(given, "gateway_ip") == NULL)
		set_default_gateway(obj);
	ret = check_gateway(obj, err);
	if (ret == 0)
		ret = check_services(obj, err);
	if (ret < 0)
		return ret;

	struct ip_prefix cidr = weft_subnet_cidr(obj);
	struct ip_addr gateway = gateway_of(obj);
	if (json_is_array(json_object_get(given, "allocation_pools")))
		return weft_pools_check(json_object_get(obj, "allocation_pools"), &cidr, &gateway,
					err);
	json_object_set_new(obj, "allocation_pools", weft_pools_default(&cidr, &gateway));
	return 0;
}

// Ports that are there already get their address in a subnet whose addresses make themselves.
// What only holds a floating IP has no other address, and of a router's ports only the gateway is
// a host among others.
static int join_ports(struct txn *t, const struct object *o, struct err *err)
{
	size_t n;
	int ret = 0;
	const struct object **ports = weft_index_collect(weft_txn_model(t), REF_NETWORK_PORTS,
							 weft_json_text(o->attr, "network_id"), &n);
	for (size_t i = 0; i < n && ret == 0; i++)
		if (!weft_port_is_router(ports[i]->attr) && !weft_port_is_gateway(ports[i]->attr) &&
		    !weft_port_is_floating(ports[i]->attr))
			ret = weft_port_join_subnet(t, ports[i], o->id, err);
	free(ports);
	return ret;
}

static int created(struct txn *t, const struct object *o, struct err *err)
{
	weft_txn_touch(t, RES_NETWORK, weft_json_text(o->attr, "network_id"));
	int ret = weft_subnet_is_automatic(o->attr) ? join_ports(t, o, err) : 0;
	size_t n;
	const struct object **gateways =
		weft_index_collect(weft_txn_model(t), REF_NETWORK_GATEWAY_PORTS,
				   weft_json_text(o->attr, "network_id"), &n);
	for (size_t i = 0; i < n && ret == 0; i++)
		ret = weft_router_gateway_meet(t, gateways[i], o, err);
	free(gateways);
	return ret;
}

// A router's interface that has the gateway's address holds it.
static int check_gateway_unused(const struct model *m, const struct object *old, struct err *err)
{
	const char *gateway = weft_json_text(old->attr, "gateway_ip");
	const struct object *holder = NULL;
	size_t n;
	const struct object **ports = weft_index_collect(m, REF_SUBNET_PORTS, old->id, &n);
	for (size_t i = 0; i < n && gateway != NULL && holder == NULL; i++) {
		size_t j;
		json_t *fixed;
		if (!weft_port_is_router(ports[i]->attr))
			continue;
		json_array_foreach(weft_json_array(ports[i]->attr, "fixed_ips"), j, fixed) {
			if (strcmp(weft_json_text(fixed, "ip_address"), gateway) == 0)
				holder = ports[i];
		}
	}
	free(ports);
	if (holder == NULL)
		return 0;
	return weft_fail_as(err, -EBUSY, "GatewayIpInUse",
			    "Current gateway ip %s already in use by port %s. Unable to update.",
			    gateway, holder->id);
}

static int update(struct txn *t, const struct caller *who, const struct object *old,
		  const json_t *given, json_t *obj, struct err *err)
{
	(void)who;
	int ret = check_cidr(obj, err);
	if (ret == 0)
		ret = check_ipv6_modes(obj, err);
	if (ret == 0)
		ret = check_gateway(obj, err);
	if (ret == 0)
		ret = check_services(obj, err);
	if (ret == 0 && !json_equal(json_object_get(obj, "gateway_ip"),
				    json_object_get(old->attr, "gateway_ip")))
		ret = check_gateway_unused(weft_txn_model(t), old, err);
	if (ret < 0)
		return ret;

	if (json_is_null(json_object_get(given, "allocation_pools")))
		json_object_set(obj, "allocation_pools",
				json_object_get(old->attr, "allocation_pools"));
	struct ip_prefix cidr = weft_subnet_cidr(obj);
	struct ip_addr gateway = gateway_of(obj);
	if (!json_equal(obj, old->attr))
		weft_txn_touch(t, RES_NETWORK, weft_json_text(obj, "network_id"));
	return weft_pools_check(json_object_get(obj, "allocation_pools"), &cidr, &gateway, err);
}

// Addresses that made themselves, and service ports, go with the subnet; any other address keeps
// it alive.
static int remove_subnet(struct txn *t, const struct caller *who, const struct object *o,
			 struct err *err)
{
	(void)who;
	size_t n;
	const struct object **ports =
		weft_index_collect(weft_txn_model(t), REF_SUBNET_PORTS, o->id, &n);
	bool in_use = false;
	for (size_t i = 0; i < n; i++)
		in_use |=
			!weft_port_is_auto_deleted(ports[i]->attr) &&
			(weft_port_is_router(ports[i]->attr) || !weft_subnet_is_automatic(o->attr));
	for (size_t i = 0; i < n && !in_use; i++)
		weft_port_drop_subnet(t, ports[i], o->id);
	free(ports);
	if (in_use)
		return weft_fail_as(
			err, -EBUSY, "SubnetInUse",
			"Unable to complete operation on subnet %s: One or more ports have "
			"an IP allocation from this subnet.",
			o->id);
	weft_txn_touch(t, RES_NETWORK, weft_json_text(o->attr, "network_id"));
	return 0;
}

// The record of used addresses goes with the subnet; a changed subnet keeps it as long as an
// address is used.
static void index_subnet(struct model *m, const struct object *o, bool add)
{
	struct address_use *u = weft_map_get(m->address_use, o->id);
	if (!add && u != NULL && weft_address_use_is_empty(u)) {
		weft_map_del(m->address_use, o->id);
		weft_address_use_free(u);
	}
}

static int load(const struct model *m, json_t *obj, struct err *err)
{
	(void)m;
	if (weft_subnet_cidr(obj).ip.family == 0 || weft_json_text(obj, "network_id") == NULL)
		return weft_fail(err, -EINVAL, "stored subnet %s has no valid cidr or network_id",
				 weft_json_text(obj, "id"));
	return 0;
}

static const struct object *network_of(const struct model *m, const struct object *o)
{
	return weft_model_get(m, RES_NETWORK, weft_json_text(o->attr, "network_id"));
}

static void render(const struct model *m, const struct object *o, json_t *shown)
{
	const struct object *network = network_of(m, o);
	json_object_set_new(shown, "shared",
			    json_boolean(network != NULL && weft_network_is_shared(network)));
}

static bool visible(const struct model *m, const struct caller *who, const struct object *o)
{
	const struct object *network = network_of(m, o);
	return network != NULL &&
	       (weft_network_is_shared(network) || weft_caller_owns(who, network));
}

static bool writable(const struct model *m, const struct caller *who, const struct object *o)
{
	const struct object *network = network_of(m, o);
	return network != NULL && weft_caller_owns(who, network);
}

const struct resource_ops weft_subnet_ops = {
	.name = "subnet",
	.plural = "subnets",
	.url = "subnets",
	.not_found = "SubnetNotFound",
	.not_found_text = "Subnet %s could not be found.",
	.attrs = weft_subnet_attrs,
	.create = create,
	.created = created,
	.update = update,
	.remove = remove_subnet,
	.index = index_subnet,
	.load = load,
	.render = render,
	.visible = visible,
	.writable = writable,
};
