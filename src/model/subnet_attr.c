// SPDX-License-Identifier: Apache-2.0
#include "model/subnet_attr.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "model/subnet.h"

enum { MAX_NAMESERVERS = 5, MAX_HOST_ROUTES = 20, MAX_SERVICE_TYPES = 64 };

static int read_cidr(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	struct ip_prefix cidr;
	char buf[128], good[WEFT_NET_STRLEN];
	const char *text = json_string_value(in);
	if (text == NULL || weft_prefix_parse(text, &cidr) < 0)
		return weft_attr_bad(a, err, "'%s' is not a valid IP subnet",
				     text != NULL ? text : weft_json_quote(in, buf, sizeof(buf)));
	struct ip_prefix masked = weft_prefix_masked(&cidr);
	weft_prefix_text(&masked, good);
	if (strchr(text, '/') == NULL)
		return weft_attr_bad(a, err, "'%s' is not a valid IP subnet", text);
	*out = json_string(good);
	return 0;
}

static int read_ip_version(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	int64_t version;
	char buf[128];
	if (!weft_attr_integer_of(in, &version) || (version != 4 && version != 6))
		return weft_attr_bad(a, err, "'%s' is not in [4, 6]",
				     weft_json_quote(in, buf, sizeof(buf)));
	*out = json_integer(version);
	return 0;
}

static int read_nameservers(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	size_t i;
	json_t *v;
	int ret = weft_attr_list(a, in, SIZE_MAX, err);
	if (ret < 0)
		return ret;
	if (json_array_size(in) > MAX_NAMESERVERS)
		return weft_fail_as(err, -EINVAL, "DNSNameServersExhausted",
				    "Unable to complete operation. The number of DNS nameservers "
				    "exceeds the limit %d.",
				    MAX_NAMESERVERS);
	weft_auto(json) all = json_array();
	json_array_foreach((json_t *)in, i, v) {
		json_t *ip;
		ret = weft_attr_ip(a, v, &ip, err);
		if (ret < 0)
			return ret;
		bool twice = weft_json_has_text(all, json_string_value(ip));
		json_array_append_new(all, ip);
		if (twice)
			return weft_attr_bad(a, err, "Duplicate nameserver '%s'",
					     json_string_value(v));
	}
	*out = weft_take(all);
	return 0;
}

static int read_route(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	static const char *const keys[] = {"destination", "nexthop", NULL};
	char buf[128], dst_text[WEFT_NET_STRLEN], via_text[WEFT_IP_STRLEN];
	struct ip_prefix dst;
	struct ip_addr via;
	const char *destination = weft_json_text(in, "destination");
	const char *nexthop = weft_json_text(in, "nexthop");
	if (destination == NULL || nexthop == NULL)
		return weft_attr_bad(a, err,
				     "Invalid data format for hostroute: '%s'. A destination and a "
				     "nexthop are needed",
				     weft_json_quote(in, buf, sizeof(buf)));
	int ret = weft_attr_known_keys(a, in, keys, err);
	if (ret < 0)
		return ret;
	struct ip_prefix masked = {0};
	if (weft_prefix_parse(destination, &dst) == 0)
		masked = weft_prefix_masked(&dst);
	if (masked.ip.family == 0 || strchr(destination, '/') == NULL ||
	    !weft_ip_equal(&masked.ip, &dst.ip))
		return weft_attr_bad(a, err, "'%s' is not a valid CIDR", destination);
	if (weft_subnet_is_loopback(&dst))
		return weft_attr_bad(a, err, "'%s' is not a routable CIDR", destination);
	if (weft_ip_parse(nexthop, &via) < 0)
		return weft_attr_bad(a, err, "'%s' is not a valid IP address", nexthop);
	*out = json_pack("{s:s, s:s}", "destination", weft_prefix_text(&dst, dst_text), "nexthop",
			 weft_ip_text(&via, via_text));
	return 0;
}

int weft_host_routes_read(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	char buf[128];
	size_t i;
	json_t *v;
	weft_auto(json) all = json_array();
	json_array_foreach((json_t *)in, i, v) {
		json_t *route = NULL;
		int ret = read_route(a, v, &route, err);
		if (ret < 0)
			return ret;
		json_array_append_new(all, route);
		for (size_t j = 0; j < i; j++)
			if (json_equal(route, json_array_get(all, j)))
				return weft_attr_bad(a, err, "Duplicate hostroute '%s'",
						     weft_json_quote(v, buf, sizeof(buf)));
	}
	*out = weft_take(all);
	return 0;
}

static int read_host_routes(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	int ret = weft_attr_list(a, in, SIZE_MAX, err);
	if (ret < 0)
		return ret;
	if (json_array_size(in) > MAX_HOST_ROUTES)
		return weft_fail_as(
			err, -EINVAL, "HostRoutesExhausted",
			"Unable to complete operation. The number of host routes exceeds "
			"the limit %d.",
			MAX_HOST_ROUTES);
	return weft_host_routes_read(a, in, out, err);
}

// Which ports get their addresses here, by their device_owner: that is "kind:what", of whatever
// kind.
static int read_service_types(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	char buf[128];
	size_t i;
	json_t *v;
	int ret = weft_attr_list(a, in, MAX_SERVICE_TYPES, err);
	if (ret < 0)
		return ret;
	json_array_foreach((json_t *)in, i, v) {
		const char *text = json_string_value(v);
		if (text == NULL || json_string_length(v) > 255)
			return weft_fail_as(err, -EINVAL, "InvalidInputSubnetServiceType",
					    "Subnet service type %s is not a string.",
					    weft_json_quote(v, buf, sizeof(buf)));
		if (strchr(text, ':') == NULL)
			return weft_fail_as(err, -EINVAL, "InvalidSubnetServiceType",
					    "Subnet service type %s does not correspond to a valid "
					    "device owner.",
					    text);
	}
	*out = json_incref((json_t *)in);
	return 0;
}

static int read_use_default_pool(const struct attr *a, const json_t *in, json_t **out,
				 struct err *err)
{
	int ret = weft_attr_bool(a, in, out, err);
	if (ret == 0 && json_is_true(*out))
		return weft_fail_as(err, -EINVAL, "BadRequest",
				    "Bad subnets request: No default subnetpool found.");
	return ret;
}

static const char *const ipv6_modes[] = {"dhcpv6-stateful", "dhcpv6-stateless", "slaac", NULL};

// clang-format off
const struct attr weft_subnet_attrs[] = {
	ATTRS_HEAD,
	ATTR("network_id", weft_attr_uuid, ATTR_POST | ATTR_REQUIRED),
	ATTR("ip_version", read_ip_version, ATTR_POST | ATTR_REQUIRED),
	ATTR("cidr", read_cidr, ATTR_POST | ATTR_NULL),
	ATTR("gateway_ip", weft_attr_ip, ATTR_RW | ATTR_NULL),
	ATTR("allocation_pools", weft_pools_read, ATTR_RW | ATTR_NULL),
	ATTR("enable_dhcp", weft_attr_bool, ATTR_RW, .initial = "true"),
	ATTR("dns_nameservers", read_nameservers, ATTR_RW | ATTR_NULL_CLEARS, .initial = "[]"),
	ATTR("host_routes", read_host_routes, ATTR_RW | ATTR_NULL_CLEARS, .initial = "[]"),
	ATTR("ipv6_ra_mode", weft_attr_choice, ATTR_POST | ATTR_NULL, .values = ipv6_modes),
	ATTR("ipv6_address_mode", weft_attr_choice, ATTR_POST | ATTR_NULL, .values = ipv6_modes),
	ATTR("subnetpool_id", weft_attr_uuid, ATTR_POST | ATTR_NULL),
	ATTR("use_default_subnetpool", read_use_default_pool, ATTR_POST | ATTR_WRITE_ONLY),
	ATTR("prefixlen", weft_attr_int, ATTR_POST | ATTR_NULL | ATTR_WRITE_ONLY, .min = 0, .max = 128),
	ATTR("service_types", read_service_types, ATTR_RW | ATTR_NULL_CLEARS, .initial = "[]"),
	ATTR("shared", weft_attr_bool, ATTR_RENDERED | ATTR_HIDDEN),
	ATTR("tags", weft_attr_tags, ATTR_POST | ATTR_NULL_CLEARS, .initial = "[]"),
	ATTRS_TAIL,
	{0},
};
// clang-format on
