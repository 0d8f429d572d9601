// SPDX-License-Identifier: Apache-2.0
// Security group rules: what may be combined, and when two of them say the same.
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/addr.h"
#include "base/json.h"
#include "model/index.h"
#include "model/resource.h"
#include "model/security_group.h"
#include "model/txn.h"

static const char supported[] =
	"ah, dccp, egp, esp, gre, hopopt, icmp, icmpv6, igmp, ip, ipip, ipv6-encap, ipv6-frag, "
	"ipv6-icmp, ipv6-nonxt, ipv6-opts, ipv6-route, ospf, pgm, rsvp, sctp, tcp, udp, udplite, vrrp";

static int invalid_protocol(const json_t *in, struct err *err)
{
	char buf[128];
	return weft_fail_as(
		err, -EINVAL, "SecurityGroupRuleInvalidProtocol",
		"Security group rule protocol %s not supported. Only protocol values [%s] "
		"and integer representations [0 to 255] are supported.",
		json_is_string(in) ? json_string_value(in) : weft_json_quote(in, buf, sizeof(buf)),
		supported);
}

// Names in lower case, numbers without leading zeros. Any protocol is null, and no name ("any" is
// the command line's).
static int read_protocol(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	(void)a;
	char text[32];
	int64_t number;
	size_t i = 0;
	if (weft_attr_integer_of(in, &number)) {
		if (number < 0 || number > 255)
			return invalid_protocol(in, err);
		snprintf(text, sizeof(text), "%d", (int)number);
		*out = json_string(text);
		return 0;
	}
	const char *name = json_string_value(in);
	if (name == NULL || json_string_length(in) >= sizeof(text))
		return invalid_protocol(in, err);
	for (; name[i] != '\0'; i++)
		text[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
	text[i] = '\0';
	if (weft_protocol_number(text, 4) < 0)
		return invalid_protocol(in, err);
	*out = json_string(text);
	return 0;
}

static int read_port(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	(void)a;
	char buf[128];
	int64_t port;
	if (!weft_attr_integer_of(in, &port) || port < 0 || port > 65535)
		return weft_fail_as(err, -EINVAL, "SecurityGroupInvalidPortValue",
				    "Invalid value for port %s",
				    json_is_string(in) ? json_string_value(in)
						       : weft_json_quote(in, buf, sizeof(buf)));
	*out = json_integer(port);
	return 0;
}

static int read_ethertype(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	(void)a;
	char buf[128];
	const char *text = json_string_value(in);
	if (text != NULL && strcasecmp(text, "IPv4") == 0)
		*out = json_string("IPv4");
	else if (text != NULL && strcasecmp(text, "IPv6") == 0)
		*out = json_string("IPv6");
	else
		return weft_fail_as(err, -EINVAL, "SecurityGroupRuleInvalidEtherType",
				    "Security group rule for ethertype '%s' not supported. Allowed "
				    "values are ['IPv4', 'IPv6'].",
				    text != NULL ? text : weft_json_quote(in, buf, sizeof(buf)));
	return 0;
}

// Neutron looks such an id up without asking whether it is one: what is none is not found.
static int read_reference(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	char buf[128];
	if (!json_is_string(in) || json_string_length(in) > 255)
		return weft_attr_bad(a, err, "'%s' is not a valid string",
				     weft_json_quote(in, buf, sizeof(buf)));
	*out = json_incref((json_t *)in);
	return 0;
}

// Host bits are kept, as Neutron does; normalized_cidr has the prefix that is matched.
static int read_prefix(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	(void)a;
	char buf[128];
	struct ip_prefix prefix;
	const char *text = json_string_value(in);
	if (text != NULL && text[0] == '\0') {
		*out = json_null();
		return 0;
	}
	if (text == NULL || weft_prefix_parse(text, &prefix) < 0)
		return weft_fail_as(err, -EINVAL, "InvalidCIDR",
				    "Invalid CIDR %s given as IP prefix.",
				    text != NULL ? text : weft_json_quote(in, buf, sizeof(buf)));
	*out = json_string(weft_prefix_text(&prefix, buf));
	return 0;
}

static const char *const directions[] = {"ingress", "egress", NULL};

// clang-format off
static const struct attr attrs[] = {
	ATTR("id", NULL, 0),
	ATTR("security_group_id", read_reference, ATTR_POST | ATTR_REQUIRED),
	ATTR("direction", weft_attr_choice, ATTR_POST | ATTR_REQUIRED, .values = directions),
	ATTR("ethertype", read_ethertype, ATTR_POST | ATTR_NULL_CLEARS, .initial = "\"IPv4\""),
	ATTR("protocol", read_protocol, ATTR_POST | ATTR_NULL),
	ATTR("port_range_min", read_port, ATTR_POST | ATTR_NULL),
	ATTR("port_range_max", read_port, ATTR_POST | ATTR_NULL),
	ATTR("remote_ip_prefix", read_prefix, ATTR_POST | ATTR_NULL),
	ATTR("remote_group_id", read_reference, ATTR_POST | ATTR_NULL),
	ATTR("remote_address_group_id", weft_attr_uuid, ATTR_POST | ATTR_NULL),
	ATTR("normalized_cidr", NULL, 0),
	ATTR("belongs_to_default_sg", NULL, ATTR_RENDERED),
	ATTR("tags", weft_attr_tags, ATTR_POST | ATTR_NULL_CLEARS, .initial = "[]"),
	ATTRS_TAIL,
	{0},
};
// clang-format on

static uint8_t family_of(const json_t *rule)
{
	const char *ethertype = weft_json_text(rule, "ethertype");
	return ethertype != NULL && strcmp(ethertype, "IPv6") == 0 ? 6 : 4;
}

static int number_of(const json_t *rule)
{
	return weft_protocol_number(weft_json_text(rule, "protocol"), family_of(rule));
}

// Everything that two rules must share to be the same one. "Anyone" has three spellings.
static void content_key(const json_t *rule, char key[256])
{
	static const char *const remotes[] = {"remote_group_id", "remote_address_group_id",
					      "remote_ip_prefix"};
	const char *remote = "";
	for (size_t i = 0; i < 3; i++)
		if (weft_json_text(rule, remotes[i]) != NULL)
			remote = weft_json_text(rule, remotes[i]);
	struct ip_prefix prefix;
	if (weft_json_text(rule, "remote_ip_prefix") != NULL &&
	    weft_prefix_parse(remote, &prefix) == 0 && prefix.len == 0)
		remote = "";
	snprintf(key, 256, "%.36s %.7s %d %d %lld %lld %.60s",
		 weft_json_text(rule, "security_group_id"), weft_json_text(rule, "direction"),
		 family_of(rule), number_of(rule),
		 (long long)weft_json_int(rule, "port_range_min", -1),
		 (long long)weft_json_int(rule, "port_range_max", -1), remote);
}

static void index_rule(struct model *m, const struct object *o, bool add)
{
	char key[256];
	content_key(o->attr, key);
	if (add)
		weft_map_put(m->rules_by_content, key, (void *)o);
	else
		weft_map_del(m->rules_by_content, key);
}

static int load(const struct model *m, json_t *obj, struct err *err)
{
	(void)m;
	if (weft_json_text(obj, "security_group_id") == NULL ||
	    weft_json_text(obj, "direction") == NULL || number_of(obj) == -EINVAL)
		return weft_fail(err, -EINVAL,
				 "stored security group rule %s has no valid group, direction or "
				 "protocol",
				 weft_json_text(obj, "id"));
	return 0;
}

// In IPv6 every name of ICMP means ICMPv6, and protocols of IPv6 alone mean nothing in IPv4.
static int complete_protocol(json_t *obj, struct err *err)
{
	static const int only_v6[] = {IPPROTO_IPV6, IPPROTO_FRAGMENT, IPPROTO_ICMPV6,
				      IPPROTO_NONE, IPPROTO_DSTOPTS,  IPPROTO_ROUTING};
	const char *protocol = weft_json_text(obj, "protocol");
	if (protocol == NULL)
		return 0;
	if (family_of(obj) == 6) {
		if (strcmp(protocol, "icmp") == 0 || strcmp(protocol, "icmpv6") == 0)
			json_object_set_new(obj, "protocol", json_string("ipv6-icmp"));
		else if (strcmp(protocol, "1") == 0)
			json_object_set_new(obj, "protocol", json_string("58"));
		return 0;
	}
	for (size_t i = 0; i < sizeof(only_v6) / sizeof(only_v6[0]); i++)
		if (number_of(obj) == only_v6[i])
			return weft_fail_as(err, -EINVAL,
					    "SecurityGroupEthertypeConflictWithProtocol",
					    "Invalid ethertype IPv4 for protocol %s.", protocol);
	return 0;
}

static int check_icmp(const json_t *obj, struct err *err)
{
	int64_t type = weft_json_int(obj, "port_range_min", -1);
	int64_t code = weft_json_int(obj, "port_range_max", -1);
	if (type > 255)
		return weft_fail_as(
			err, -EINVAL, "SecurityGroupInvalidIcmpValue",
			"Invalid value for ICMP type (port_range_min) %lld. It must be 0 "
			"to 255.",
			(long long)type);
	if (code > 255)
		return weft_fail_as(
			err, -EINVAL, "SecurityGroupInvalidIcmpValue",
			"Invalid value for ICMP code (port_range_max) %lld. It must be 0 "
			"to 255.",
			(long long)code);
	if (type < 0)
		return weft_fail_as(err, -EINVAL, "SecurityGroupMissingIcmpType",
				    "ICMP code (port-range-max) %lld is provided but ICMP type "
				    "(port-range-min) is missing.",
				    (long long)code);
	return 0;
}

static int complete_ports(json_t *obj, struct err *err)
{
	int64_t min = weft_json_int(obj, "port_range_min", -1);
	int64_t max = weft_json_int(obj, "port_range_max", -1);
	const char *protocol = weft_json_text(obj, "protocol");
	if (min < 0 && max < 0)
		return 0;
	if (protocol == NULL)
		return weft_fail_as(err, -EINVAL, "SecurityGroupProtocolRequiredWithPorts",
				    "Must also specify protocol if port range is given.");
	switch (number_of(obj)) {
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return check_icmp(obj, err);
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
	case IPPROTO_UDPLITE:
		break;
	default:
		return weft_fail_as(
			err, -EINVAL, "SecurityGroupInvalidProtocolForPort",
			"Invalid protocol %s for port range, only supported for TCP, UDP, "
			"UDPLITE, SCTP and DCCP.",
			protocol);
	}
	if (min == 0 || max == 0)
		return weft_fail_as(err, -EINVAL, "SecurityGroupInvalidPortValue",
				    "Invalid value for port 0");
	if (min < 0 || max < 0 || min > max)
		return weft_fail_as(
			err, -EINVAL, "SecurityGroupInvalidPortRange",
			"For TCP/UDP protocols, port_range_min must be <= port_range_max");
	if (min == 1 && max == 65535) {
		json_object_set_new(obj, "port_range_min", json_null());
		json_object_set_new(obj, "port_range_max", json_null());
	}
	return 0;
}

static int complete_remote(const struct model *m, const struct caller *who, json_t *obj,
			   struct err *err)
{
	const char *text = weft_json_text(obj, "remote_ip_prefix");
	const char *group = weft_json_text(obj, "remote_group_id");
	const char *addresses = weft_json_text(obj, "remote_address_group_id");
	if ((text != NULL) + (group != NULL) + (addresses != NULL) > 1)
		return weft_fail_as(err, -EINVAL, "SecurityGroupMultipleRemoteEntites",
				    "Only one of remote_ip_prefix, remote_group_id or "
				    "remote_address_group_id may be provided.");
	if (group != NULL && weft_resource_get(m, who, RES_SECURITY_GROUP, group, err) == NULL)
		return -ENOENT;
	if (addresses != NULL &&
	    weft_resource_get(m, who, RES_ADDRESS_GROUP, addresses, err) == NULL)
		return -ENOENT;
	if (text == NULL)
		return 0;

	struct ip_prefix prefix;
	char masked_text[WEFT_NET_STRLEN];
	weft_prefix_parse(text, &prefix);
	if (prefix.ip.family != family_of(obj))
		return weft_fail_as(err, -EINVAL, "SecurityGroupRuleParameterConflict",
				    "Conflicting value ethertype %s for CIDR %s",
				    weft_json_text(obj, "ethertype"), text);
	struct ip_prefix masked = weft_prefix_masked(&prefix);
	json_object_set_new(obj, "normalized_cidr",
			    json_string(weft_prefix_text(&masked, masked_text)));
	return 0;
}

static int check_duplicate(const struct model *m, const json_t *obj, struct err *err)
{
	char key[256];
	content_key(obj, key);
	const struct object *same = weft_map_get(m->rules_by_content, key);
	if (same == NULL)
		return 0;
	return weft_fail_as(err, -EEXIST, "SecurityGroupRuleExists",
			    "Security group rule already exists. Rule id is %s.", same->id);
}

static int create(struct txn *t, const struct caller *who, const json_t *given, json_t *obj,
		  struct err *err)
{
	(void)given;
	const struct model *m = weft_txn_model(t);
	const struct object *group = weft_resource_get(
		m, who, RES_SECURITY_GROUP, weft_json_text(obj, "security_group_id"), err);
	if (group == NULL)
		return -ENOENT;
	// A rule belongs to whoever owns its group, an admin's rule too.
	json_object_set(obj, "project_id", json_object_get(group->attr, "project_id"));
	int ret = complete_protocol(obj, err);
	if (ret == 0)
		ret = complete_ports(obj, err);
	if (ret == 0)
		ret = complete_remote(m, who, obj, err);
	if (ret == 0)
		ret = check_duplicate(m, obj, err);
	if (ret == 0)
		weft_txn_touch(t, RES_SECURITY_GROUP, group->id);
	return ret;
}

static int remove_rule(struct txn *t, const struct caller *who, const struct object *o,
		       struct err *err)
{
	(void)who;
	(void)err;
	weft_txn_touch(t, RES_SECURITY_GROUP, weft_json_text(o->attr, "security_group_id"));
	return 0;
}

int weft_security_group_rule_add(struct txn *t, const struct object *group, const char *direction,
				 const char *ethertype, const char *remote_group_id,
				 struct err *err)
{
	weft_auto(json) body = json_pack("{s:s, s:s, s:s, s:s?}", "security_group_id", group->id,
					 "direction", direction, "ethertype", ethertype,
					 "remote_group_id", remote_group_id);
	return weft_txn_create(t, &weft_caller_model, RES_SECURITY_GROUP_RULE, body, NULL, err);
}

static void render(const struct model *m, const struct object *o, json_t *shown)
{
	const struct object *group =
		weft_model_get(m, RES_SECURITY_GROUP, weft_json_text(o->attr, "security_group_id"));
	bool is_default = group != NULL && weft_security_group_is_default(group);
	json_object_set_new(shown, "belongs_to_default_sg", json_boolean(is_default));
}

const struct resource_ops weft_security_group_rule_ops = {
	.name = "security_group_rule",
	.plural = "security_group_rules",
	.url = "security-group-rules",
	.not_found = "SecurityGroupRuleNotFound",
	.not_found_text = "Security group rule %s does not exist",
	.attrs = attrs,
	.create = create,
	.remove = remove_rule,
	.index = index_rule,
	.load = load,
	.render = render,
};
