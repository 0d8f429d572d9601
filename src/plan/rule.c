// SPDX-License-Identifier: Apache-2.0
#include "plan/rule.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/attr.h"

static bool proto_has_ports(int16_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP ||
	       proto == IPPROTO_DCCP || proto == IPPROTO_UDPLITE;
}

static int rule_proto(const struct object *o, struct plan_rule *r, struct err *err)
{
	const json_t *v = json_object_get(o->attr, "protocol");
	const char *text = json_string_value(v);
	char number[24];
	int proto;

	r->proto = -1;
	if (json_is_integer(v)) {
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		text = number;
	}
	if (text == NULL || strcmp(text, "any") == 0)
		return 0;
	proto = weft_protocol_number(text, r->family);
	if (proto == -EINVAL)
		return weft_fail(err, -EINVAL, "security group rule %s: protocol \"%s\" is unknown",
				 o->id, text);
	if (proto > 0 || strcmp(text, "hopopt") == 0)
		r->proto = proto;
	return 0;
}

// -1 = not given.
static int32_t port_range(const struct object *o, const char *key)
{
	const json_t *v = json_object_get(o->attr, key);

	if (json_is_string(v))
		return atoi(json_string_value(v));
	return json_is_integer(v) ? json_integer_value(v) : -1;
}

static int rule_ports(const struct object *o, struct plan_rule *r, struct err *err)
{
	int32_t min = port_range(o, "port_range_min"), max = port_range(o, "port_range_max");

	r->icmp_type = r->icmp_code = -1;
	if (min < 0 && max < 0)
		return 0;
	if ((r->family == 4 && r->proto == IPPROTO_ICMP) ||
	    (r->family == 6 && r->proto == IPPROTO_ICMPV6)) {
		if (min < 0 || min > 255 || max > 255)
			return weft_fail(err, -EINVAL,
					 "security group rule %s: ICMP type %d code %d", o->id, min,
					 max);
		r->icmp_type = min;
		r->icmp_code = max < 0 ? -1 : max;
		return 0;
	}
	if (!proto_has_ports(r->proto) || min < 1 || max < min || max > 65535)
		return weft_fail(err, -EINVAL,
				 "security group rule %s: ports %d to %d of protocol %d", o->id,
				 min, max, r->proto);
	r->has_ports = !(min == 1 && max == 65535);
	r->port_min = r->has_ports ? min : 0;
	r->port_max = r->has_ports ? max : 0;
	return 0;
}

static int rule_remote(const struct object *o, struct plan_rule *r, struct err *err)
{
	const char *group = json_string_value(json_object_get(o->attr, "remote_group_id"));
	const char *addresses =
		json_string_value(json_object_get(o->attr, "remote_address_group_id"));
	const char *prefix = json_string_value(json_object_get(o->attr, "remote_ip_prefix"));

	r->remote = PLAN_REMOTE_ANY;
	if (group != NULL || addresses != NULL) {
		r->remote = PLAN_REMOTE_SET;
		attr_copy(r->set_id, sizeof(r->set_id), group != NULL ? group : addresses);
	} else if (prefix != NULL) {
		struct ip_prefix p;

		if (weft_prefix_parse(prefix, &p) != 0 || p.ip.family != r->family)
			return weft_fail(err, -EINVAL,
					 "security group rule %s: %s is not an IPv%u prefix", o->id,
					 prefix, r->family);
		if (p.len > 0) {
			r->remote = PLAN_REMOTE_PREFIX;
			r->prefix = weft_prefix_masked(&p);
		}
	}
	return 0;
}

int weft_plan_rule(const struct object *o, struct plan_rule *out, struct err *err)
{
	const char *type = json_string_value(json_object_get(o->attr, "ethertype"));
	const char *direction = json_string_value(json_object_get(o->attr, "direction"));
	struct plan_rule r = {0};
	int ret;

	if (direction == NULL ||
	    (strcmp(direction, "ingress") != 0 && strcmp(direction, "egress") != 0))
		return weft_fail(err, -EINVAL,
				 "security group rule %s: its direction is neither ingress nor "
				 "egress",
				 o->id);
	strcpy(r.id, o->id);
	r.direction = direction[0] == 'i' ? PLAN_INGRESS : PLAN_EGRESS;
	r.family = type != NULL && strcasecmp(type, "IPv6") == 0 ? 6 : 4;
	ret = rule_proto(o, &r, err);
	if (ret == 0)
		ret = rule_ports(o, &r, err);
	if (ret == 0)
		ret = rule_remote(o, &r, err);
	if (ret == 0)
		*out = r;
	return ret;
}
