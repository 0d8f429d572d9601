// SPDX-License-Identifier: Apache-2.0
#include "model/port_attr.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/addr.h"
#include "base/json.h"
#include "model/port.h"

enum { MAX_ADDRESS_PAIRS = 10, MAX_DHCP_OPTIONS = 256, DNS_LABEL_MAX = 63 };

static int read_mac(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	static const struct mac_addr zero;
	struct mac_addr mac;
	char buf[128];
	const char *text = json_string_value(in);
	if (text == NULL || weft_mac_parse(text, &mac) < 0 || weft_mac_equal(&mac, &zero) ||
	    weft_mac_is_multicast(&mac))
		return weft_attr_bad(a, err, "'%s' is not a valid MAC address",
				     text != NULL ? text : weft_json_quote(in, buf, sizeof(buf)));
	*out = json_string(weft_mac_text(&mac, buf));
	return 0;
}

static int read_pair_address(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	struct ip_prefix prefix;
	char buf[128];
	const char *text = json_string_value(in);
	if (text == NULL || weft_prefix_parse(text, &prefix) < 0)
		return weft_attr_bad(a, err, "'%s' is not a valid IP address or subnet",
				     text != NULL ? text : weft_json_quote(in, buf, sizeof(buf)));
	// One form for equal texts, so that duplicates show; an address stays an address.
	*out = json_string(strchr(text, '/') == NULL ? weft_ip_text(&prefix.ip, buf)
						     : weft_prefix_text(&prefix, buf));
	return 0;
}

static int read_address_pairs(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	static const char *const keys[] = {"ip_address", "mac_address", NULL};
	char buf[128];
	size_t i;
	json_t *v;
	if (!json_is_array(in))
		return weft_attr_bad(a, err, "Allowed address pairs must be a list, not '%s'",
				     weft_json_quote(in, buf, sizeof(buf)));
	if (json_array_size(in) > MAX_ADDRESS_PAIRS)
		return weft_fail_as(err, -EINVAL, "AllowedAddressPairExhausted",
				    "The number of allowed address pair exceeds the maximum %d.",
				    MAX_ADDRESS_PAIRS);
	weft_auto(json) all = json_array();
	json_array_foreach((json_t *)in, i, v) {
		const json_t *ip_in = json_object_get(v, "ip_address");
		const json_t *mac_in = json_object_get(v, "mac_address");
		json_t *ip = NULL, *mac = NULL;
		if (ip_in == NULL)
			return weft_fail_as(err, -EINVAL, "AllowedAddressPairsMissingIP",
					    "AllowedAddressPair must contain ip_address");
		int ret = weft_attr_known_keys(a, v, keys, err);
		if (ret == 0 && mac_in != NULL && !json_is_null(mac_in))
			ret = read_mac(a, mac_in, &mac, err);
		if (ret < 0)
			return ret;
		json_t *pair = json_object();
		json_array_append_new(all, pair);
		if (mac != NULL)
			json_object_set_new(pair, "mac_address", mac);
		ret = read_pair_address(a, ip_in, &ip, err);
		if (ret < 0)
			return ret;
		json_object_set_new(pair, "ip_address", ip);
	}
	*out = weft_take(all);
	return 0;
}

int weft_address_pairs_complete(const json_t *pairs, const char *mac, json_t **out, struct err *err)
{
	weft_auto(json) all = json_array();
	size_t i;
	json_t *v;
	json_array_foreach((json_t *)pairs, i, v) {
		json_t *pair = json_copy(v);
		if (json_object_get(pair, "mac_address") == NULL)
			json_object_set_new(pair, "mac_address", json_string(mac));
		json_array_append_new(all, pair);
		for (size_t j = 0; j < i; j++)
			if (json_equal(pair, json_array_get(all, j)))
				return weft_fail_as(err, -EINVAL, "DuplicateAddressPairInRequest",
						    "Request contains duplicate address pair: "
						    "mac_address %s ip_address %s.",
						    weft_json_text(pair, "mac_address"),
						    weft_json_text(pair, "ip_address"));
	}
	*out = weft_take(all);
	return 0;
}

static int read_dhcp_option(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	static const char *const keys[] = {"opt_name", "opt_value", "ip_version", NULL};
	char buf[128];
	const char *name = weft_json_text(in, "opt_name");
	const json_t *value = json_object_get(in, "opt_value");
	const json_t *version = json_object_get(in, "ip_version");
	int64_t family = 4;
	if (name == NULL || name[0] == '\0' || strlen(name) > 64)
		return weft_attr_bad(a, err, "Invalid data format for extra dhcp option: '%s'",
				     weft_json_quote(in, buf, sizeof(buf)));
	if (value == NULL || (!json_is_null(value) && !json_is_string(value)) ||
	    json_string_length(value) > 255)
		return weft_attr_bad(a, err, "opt_value of '%s' must be a string or null", name);
	if (version != NULL && !json_is_null(version) &&
	    (!weft_attr_integer_of(version, &family) || (family != 4 && family != 6)))
		return weft_attr_bad(a, err, "'%s' is not in [4, 6]",
				     weft_json_quote(version, buf, sizeof(buf)));
	int ret = weft_attr_known_keys(a, in, keys, err);
	if (ret < 0)
		return ret;
	*out = json_pack("{s:s, s:O, s:I}", "opt_name", name, "opt_value", value, "ip_version",
			 (json_int_t)family);
	return 0;
}

static bool same_option(const json_t *a, const json_t *b)
{
	return strcmp(weft_json_text(a, "opt_name"), weft_json_text(b, "opt_name")) == 0 &&
	       weft_json_int(a, "ip_version", 4) == weft_json_int(b, "ip_version", 4);
}

static int read_dhcp_options(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	size_t i;
	json_t *v;
	int ret = weft_attr_list(a, in, MAX_DHCP_OPTIONS, err);
	if (ret < 0)
		return ret;
	weft_auto(json) all = json_array();
	json_array_foreach((json_t *)in, i, v) {
		json_t *option = NULL;
		ret = read_dhcp_option(a, v, &option, err);
		if (ret < 0)
			return ret;
		json_array_append_new(all, option);
		for (size_t j = 0; j < i; j++)
			if (same_option(option, json_array_get(all, j)))
				return weft_attr_bad(a, err, "Duplicate extra dhcp option '%s'",
						     weft_json_text(option, "opt_name"));
	}
	*out = weft_take(all);
	return 0;
}

json_t *weft_dhcp_options_merge(const json_t *before, const json_t *changes)
{
	json_t *all = json_array();
	size_t i, j;
	json_t *old, *new;
	json_array_foreach((json_t *)before, i, old) {
		bool changed = false;
		json_array_foreach((json_t *)changes, j, new) {
			changed |= same_option(old, new);
		}
		if (!changed)
			json_array_append(all, old);
	}
	json_array_foreach((json_t *)changes, j, new) {
		if (json_is_string(json_object_get(new, "opt_value")))
			json_array_append(all, new);
	}
	return all;
}

// A host name or a dotted name, as RFC 1123 has them.
static int read_dns_name(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	int ret = weft_attr_text(a, in, out, err);
	if (ret < 0)
		return ret;
	const char *text = json_string_value(*out);
	size_t label = 0;
	for (const char *c = text; *c != '\0'; c++) {
		bool dot = *c == '.', edge = label == 0 || c[1] == '\0' || c[1] == '.';
		label = dot ? 0 : label + 1;
		if ((dot && edge && (c == text || c[-1] == '.')) || label > DNS_LABEL_MAX ||
		    (!dot && !isalnum((unsigned char)*c) && (*c != '-' || edge))) {
			json_decref(*out);
			return weft_attr_bad(a, err, "'%s' not a valid PQDN or FQDN", text);
		}
	}
	return 0;
}

static const char *const vnic_types[] = {"accelerator-direct",
					 "accelerator-direct-physical",
					 "baremetal",
					 "direct",
					 "direct-physical",
					 "macvtap",
					 "normal",
					 "remote-managed",
					 "smart-nic",
					 "vdpa",
					 "virtio-forwarder",
					 NULL};

// clang-format off
const struct attr weft_port_attrs[] = {
	ATTRS_HEAD,
	ATTR("network_id", weft_attr_uuid, ATTR_POST | ATTR_REQUIRED),
	ATTR("status", NULL, ATTR_RENDERED),
	ATTR("admin_state_up", weft_attr_bool, ATTR_RW, .initial = "true"),
	ATTR("mac_address", read_mac, ATTR_RW | ATTR_NET_OWNER | ATTR_ADMIN_PUT),
	ATTR("fixed_ips", weft_fixed_ips_read, ATTR_RW),
	ATTR("device_id", weft_attr_text, ATTR_RW | ATTR_NULL_CLEARS, .initial = "\"\"", .max = 255),
	ATTR("device_owner", weft_attr_text, ATTR_RW | ATTR_NULL_CLEARS, .initial = "\"\"", .max = 255),
	ATTR("security_groups", weft_attr_uuids, ATTR_RW | ATTR_NULL_CLEARS, .initial = "[]"),
	ATTR("port_security_enabled", weft_attr_bool, ATTR_RW | ATTR_NET_OWNER),
	ATTR("allowed_address_pairs", read_address_pairs, ATTR_RW | ATTR_NULL_CLEARS | ATTR_NET_OWNER, .initial = "[]"),
	ATTR("extra_dhcp_opts", read_dhcp_options, ATTR_RW | ATTR_NULL_CLEARS, .initial = "[]"),
	ATTR("binding:host_id", weft_attr_text, ATTR_RW | ATTR_NULL_CLEARS | ATTR_ADMIN | ATTR_ADMIN_SEES, .initial = "\"\"", .max = 255),
	ATTR("binding:vnic_type", weft_attr_choice, ATTR_RW, .initial = "\"normal\"", .values = vnic_types),
	ATTR("binding:profile", weft_port_read_profile, ATTR_RW | ATTR_NULL_CLEARS | ATTR_ADMIN | ATTR_ADMIN_SEES, .initial = "{}"),
	ATTR("binding:vif_type", NULL, ATTR_ADMIN_SEES, .initial = "\"unbound\""),
	ATTR("binding:vif_details", NULL, ATTR_ADMIN_SEES, .initial = "{}"),
	ATTR("dns_name", read_dns_name, ATTR_RW | ATTR_NULL_CLEARS, .initial = "\"\"", .max = 255),
	ATTR("dns_assignment", NULL, ATTR_RENDERED),
	ATTR("ip_allocation", NULL, ATTR_RENDERED),
	ATTR("tags", weft_attr_tags, ATTR_POST | ATTR_NULL_CLEARS, .initial = "[]"),
	ATTRS_TAIL,
	{0},
};
// clang-format on
