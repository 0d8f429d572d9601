// SPDX-License-Identifier: Apache-2.0
// Fixed IPs: which addresses a port gets.
//
// While one port's addresses are chosen they are marked in their subnets, so that one request
// cannot get an address twice; the marks go when the choice is made, and come back when the port
// is put into the model.
#include "model/port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/address_use.h"
#include "model/index.h"
#include "model/resource.h"
#include "model/subnet.h"

enum { MAX_FIXED_IPS = 256 };

struct fixed_ip {
	const struct object *subnet;
	struct ip_addr ip;
	bool fresh; // the port did not have it before
};

struct choice {
	struct model *m;
	const char *network_id;
	const char *device_owner;
	struct mac_addr mac;
	bool is_router;
	bool is_floating; // only one IPv4 address is wanted
	const json_t *before;
	const struct object **subnets;
	size_t n_subnets;
	struct fixed_ip *fixed;
	size_t n_fixed, cap_fixed;
};

static struct address_use *use_of(struct model *m, const char *subnet_id)
{
	struct address_use *u = weft_map_get(m->address_use, subnet_id);
	if (u == NULL) {
		u = weft_address_use_new();
		weft_map_put(m->address_use, subnet_id, u);
	}
	return u;
}

void weft_fixed_ips_index(struct model *m, const json_t *port, bool add)
{
	size_t i;
	json_t *v;
	json_array_foreach(weft_json_array(port, "fixed_ips"), i, v) {
		struct ip_addr ip;
		const char *subnet_id = weft_json_text(v, "subnet_id");
		const char *text = weft_json_text(v, "ip_address");
		if (subnet_id != NULL && text != NULL && weft_ip_parse(text, &ip) == 0)
			weft_address_use_set(use_of(m, subnet_id), &ip, add);
	}
}

bool weft_port_has_subnet(const json_t *port, const char *subnet_id)
{
	size_t i;
	json_t *v;
	json_array_foreach(weft_json_array(port, "fixed_ips"), i, v) {
		if (strcmp(weft_json_text(v, "subnet_id"), subnet_id) == 0)
			return true;
	}
	return false;
}

int weft_fixed_ips_read(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	static const char *const keys[] = {"subnet_id", "ip_address", NULL};
	char buf[128], text[WEFT_IP_STRLEN];
	size_t i;
	json_t *v;
	int ret = weft_attr_list(a, in, MAX_FIXED_IPS, err);
	if (ret < 0)
		return ret;
	weft_auto(json) all = json_array();
	weft_auto(json) seen = json_object();
	json_array_foreach((json_t *)in, i, v) {
		const json_t *ip_in = json_object_get(v, "ip_address");
		const json_t *subnet_in = json_object_get(v, "subnet_id");
		struct ip_addr ip;
		if (!json_is_object(v))
			return weft_attr_bad(a, err, "Invalid data format for fixed IP: '%s'",
					     weft_json_quote(v, buf, sizeof(buf)));
		ret = weft_attr_known_keys(a, v, keys, err);
		if (ret < 0)
			return ret;
		json_t *one = json_object();
		json_array_append_new(all, one);
		if (subnet_in != NULL && !json_is_null(subnet_in)) {
			json_t *id;
			ret = weft_attr_uuid(a, subnet_in, &id, err);
			if (ret < 0)
				return ret;
			json_object_set_new(one, "subnet_id", id);
		}
		if (ip_in == NULL || json_is_null(ip_in))
			continue;
		if (!json_is_string(ip_in) || weft_ip_parse(json_string_value(ip_in), &ip) < 0)
			return weft_attr_bad(a, err, "'%s' is not a valid IP address",
					     weft_json_quote(ip_in, buf, sizeof(buf)));
		weft_ip_text(&ip, text);
		if (json_object_get(seen, text) != NULL)
			return weft_attr_bad(a, err, "Duplicate IP address '%s'", text);
		json_object_set_new(seen, text, json_true());
		json_object_set_new(one, "ip_address", json_string(text));
	}
	*out = weft_take(all);
	return 0;
}

static bool had(const struct choice *c, const struct ip_addr *ip)
{
	char text[WEFT_IP_STRLEN];
	size_t i;
	json_t *v;
	weft_ip_text(ip, text);
	json_array_foreach((json_t *)c->before, i, v) {
		if (strcmp(weft_json_text(v, "ip_address"), text) == 0)
			return true;
	}
	return false;
}

static bool has(const struct choice *c, const struct ip_addr *ip)
{
	for (size_t i = 0; i < c->n_fixed; i++)
		if (weft_ip_equal(&c->fixed[i].ip, ip))
			return true;
	return false;
}

static int take(struct choice *c, const struct object *subnet, const struct ip_addr *ip,
		struct err *err)
{
	struct address_use *u = use_of(c->m, subnet->id);
	bool kept = had(c, ip);
	if (has(c, ip))
		return 0;
	if (!kept && weft_address_use_has(u, ip)) {
		char text[WEFT_IP_STRLEN];
		return weft_fail_as(err, -EBUSY, "IpAddressAlreadyAllocated",
				    "IP address %s already allocated in subnet %s",
				    weft_ip_text(ip, text), subnet->id);
	}
	if (c->n_fixed == c->cap_fixed) {
		c->cap_fixed = c->cap_fixed == 0 ? 4 : 2 * c->cap_fixed;
		c->fixed = realloc(c->fixed, c->cap_fixed * sizeof(*c->fixed));
		if (c->fixed == NULL)
			abort();
	}
	c->fixed[c->n_fixed++] = (struct fixed_ip) {subnet, *ip, !kept};
	weft_address_use_set(u, ip, true);
	return 0;
}

static bool find_free(struct choice *c, const struct object *subnet, struct ip_addr *out)
{
	size_t i;
	json_t *pool;
	json_array_foreach(weft_json_array(subnet->attr, "allocation_pools"), i, pool) {
		struct ip_addr first, last;
		weft_pool_get(pool, &first, &last);
		if (weft_address_use_find(use_of(c->m, subnet->id), &first, &last, out))
			return true;
	}
	return false;
}

static int take_automatic(struct choice *c, const struct object *subnet, struct err *err)
{
	struct ip_prefix cidr = weft_subnet_cidr(subnet->attr);
	struct ip_addr ip = weft_subnet_eui64(&cidr, &c->mac);
	return take(c, subnet, &ip, err);
}

static int exhausted(const struct choice *c, struct err *err)
{
	return weft_fail_as(err, -ENOSPC, "IpAddressGenerationFailure",
			    "No more IP addresses available on network %s.", c->network_id);
}

static const struct object *subnet_by_id(const struct choice *c, const char *id)
{
	for (size_t i = 0; i < c->n_subnets; i++)
		if (strcmp(c->subnets[i]->id, id) == 0)
			return c->subnets[i];
	return NULL;
}

static const struct object *subnet_by_address(const struct choice *c, const struct ip_addr *ip)
{
	for (size_t i = 0; i < c->n_subnets; i++) {
		struct ip_prefix cidr = weft_subnet_cidr(c->subnets[i]->attr);
		if (weft_prefix_contains(&cidr, ip))
			return c->subnets[i];
	}
	return NULL;
}

static int subnet_wanted(const struct choice *c, const char *subnet_id, const struct ip_addr *ip,
			 const struct object **out, struct err *err)
{
	char text[WEFT_IP_STRLEN];
	if (subnet_id == NULL) {
		*out = subnet_by_address(c, ip);
		if (*out == NULL)
			return weft_fail_as(
				err, -EINVAL, "InvalidIpForNetwork",
				"IP address %s is not a valid IP for any of the subnets on "
				"the specified network.",
				weft_ip_text(ip, text));
		return 0;
	}
	if (weft_model_get(c->m, RES_SUBNET, subnet_id) == NULL)
		return weft_resource_not_found(RES_SUBNET, subnet_id, err);
	*out = subnet_by_id(c, subnet_id);
	if (*out == NULL)
		return weft_input_bad(err,
				      "Failed to create port on network %s, because fixed_ips "
				      "included invalid subnet %s",
				      c->network_id, subnet_id);
	return 0;
}

// An address that was asked for by name.
static int take_address(struct choice *c, const char *subnet_id, const char *ip_text,
			struct err *err)
{
	struct ip_addr ip = {0};
	const struct object *subnet;
	weft_ip_parse(ip_text, &ip);
	int ret = subnet_wanted(c, subnet_id, &ip, &subnet, err);
	if (ret < 0)
		return ret;
	struct ip_prefix cidr = weft_subnet_cidr(subnet->attr);
	if (!weft_subnet_is_usable(&cidr, &ip))
		return weft_fail_as(err, -EINVAL, "InvalidIpForSubnet",
				    "IP address %s is not a valid IP for the specified subnet.",
				    ip_text);
	if (!weft_subnet_is_automatic(subnet->attr) || c->is_router)
		return take(c, subnet, &ip, err);

	// There, a host has the address that its MAC makes, and no other.
	struct ip_addr own = weft_subnet_eui64(&cidr, &c->mac);
	if (weft_ip_equal(&own, &ip))
		return take(c, subnet, &ip, err);
	if (had(c, &ip))
		return 0; // of an earlier MAC
	return weft_fail_as(
		err, -EINVAL, "AllocationOnAutoAddressSubnet",
		"IPv6 address %s can not be directly assigned to a port on subnet %s since "
		"the subnet is configured for automatic addresses",
		ip_text, subnet->id);
}

// Any address of a subnet: the one that the port has there already, or a free one.
static int take_from(struct choice *c, const char *subnet_id, struct err *err)
{
	const struct object *subnet;
	struct ip_addr ip;
	size_t i;
	json_t *v;
	int ret = subnet_wanted(c, subnet_id, NULL, &subnet, err);
	if (ret < 0)
		return ret;
	if (weft_subnet_is_automatic(subnet->attr) && !c->is_router)
		return take_automatic(c, subnet, err);
	json_array_foreach((json_t *)c->before, i, v) {
		if (strcmp(weft_json_text(v, "subnet_id"), subnet->id) == 0 &&
		    weft_ip_parse(weft_json_text(v, "ip_address"), &ip) == 0 && !has(c, &ip))
			return take(c, subnet, &ip, err);
	}
	if (!find_free(c, subnet, &ip))
		return exhausted(c, err);
	return take(c, subnet, &ip, err);
}

static int take_wanted(struct choice *c, const json_t *wanted, struct err *err)
{
	size_t i;
	json_t *v;
	int ret = 0;
	// Named addresses first, so that a free choice does not take one of them.
	json_array_foreach((json_t *)wanted, i, v) {
		const char *ip = weft_json_text(v, "ip_address");
		if (ip != NULL)
			ret = take_address(c, weft_json_text(v, "subnet_id"), ip, err);
		if (ret < 0)
			return ret;
	}
	json_array_foreach((json_t *)wanted, i, v) {
		const char *subnet_id = weft_json_text(v, "subnet_id");
		if (weft_json_text(v, "ip_address") != NULL)
			continue;
		if (subnet_id == NULL)
			return weft_input_bad(err,
					      "IP allocation requires subnet_id or ip_address");
		ret = take_from(c, subnet_id, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static bool serves(const struct object *subnet, const char *device_owner)
{
	const json_t *types = weft_json_array(subnet->attr, "service_types");
	return json_array_size(types) == 0 || weft_json_has_text(types, device_owner);
}

// The first subnet of the version that has a free address; `wanted`: there is such a subnet at all.
static bool find_default(struct choice *c, int64_t version, bool special, bool *wanted,
			 const struct object **subnet, struct ip_addr *ip)
{
	for (size_t i = 0; i < c->n_subnets; i++) {
		const json_t *attr = c->subnets[i]->attr;
		bool is_special = json_array_size(json_object_get(attr, "service_types")) > 0;
		if (weft_json_int(attr, "ip_version", 4) != version || is_special != special ||
		    !serves(c->subnets[i], c->device_owner) ||
		    (weft_subnet_is_automatic(attr) && !c->is_router))
			continue;
		*wanted = true;
		*subnet = c->subnets[i];
		if (find_free(c, *subnet, ip))
			return true;
	}
	return false;
}

// One address of each family. Subnets that are made for such ports come first.
static int take_default(struct choice *c, int64_t version, struct err *err)
{
	const struct object *subnet;
	struct ip_addr ip;
	bool wanted = false;
	if (find_default(c, version, true, &wanted, &subnet, &ip) ||
	    find_default(c, version, false, &wanted, &subnet, &ip))
		return take(c, subnet, &ip, err);
	return wanted ? exhausted(c, err) : 0;
}

static int check_served(const struct choice *c, struct err *err)
{
	bool served = c->n_subnets == 0;
	for (size_t i = 0; i < c->n_subnets; i++)
		served |= serves(c->subnets[i], c->device_owner);
	if (served)
		return 0;
	return weft_fail_as(err, -EBUSY, "IpAddressGenerationFailureNoMatchingSubnet",
			    "No valid service subnet for the given device owner, network %s, "
			    "service type %s.",
			    c->network_id, c->device_owner);
}

static int choose(struct choice *c, const json_t *wanted, struct err *err)
{
	int ret = wanted != NULL ? take_wanted(c, wanted, err) : check_served(c, err);
	if (ret == 0 && wanted == NULL)
		ret = take_default(c, 4, err);
	if (c->is_floating)
		return ret;
	if (ret == 0 && wanted == NULL)
		ret = take_default(c, 6, err);
	// Every host on the segment hears the router's advertisement and makes these by itself.
	for (size_t i = 0; i < c->n_subnets && ret == 0 && !c->is_router; i++)
		if (weft_subnet_is_automatic(c->subnets[i]->attr) &&
		    serves(c->subnets[i], c->device_owner))
			ret = take_automatic(c, c->subnets[i], err);
	return ret;
}

int weft_fixed_ips_allocate(struct model *m, const json_t *port, const json_t *wanted,
			    const json_t *before, json_t **out, struct err *err)
{
	struct choice c = {
		.m = m,
		.network_id = weft_json_text(port, "network_id"),
		.device_owner = weft_json_text(port, "device_owner"),
		.is_router = weft_port_is_router(port),
		.is_floating = weft_port_is_floating(port),
		.before = before,
	};
	weft_mac_parse(weft_json_text(port, "mac_address"), &c.mac);
	c.subnets = weft_index_collect(m, REF_NETWORK_SUBNETS, c.network_id, &c.n_subnets);

	int ret = choose(&c, wanted, err);
	json_t *list = ret < 0 ? NULL : json_array();
	for (size_t i = 0; i < c.n_fixed; i++) {
		char text[WEFT_IP_STRLEN];
		const struct fixed_ip *f = &c.fixed[i];
		if (f->fresh)
			weft_address_use_set(use_of(m, f->subnet->id), &f->ip, false);
		if (list != NULL)
			json_array_append_new(list,
					      json_pack("{s:s, s:s}", "subnet_id", f->subnet->id,
							"ip_address", weft_ip_text(&f->ip, text)));
	}
	free(c.fixed);
	free(c.subnets);
	if (ret == 0)
		*out = list;
	return ret;
}
