// SPDX-License-Identifier: Apache-2.0
#include "plan/build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "plan/attr.h"
#include "plan/rule.h"

// Neutron's own default, and what a port's dns_assignment says.
#define DEFAULT_DOMAIN "openstacklocal"

static void free_subnet(struct plan_subnet *s)
{
	weft_plan_object_free(PLAN_SUBNET, s);
}

static void free_rule_set(struct plan_rule_set *r)
{
	weft_plan_object_free(PLAN_RULE_SET, r);
}

DEFINE_AUTO(subnet, struct plan_subnet *, free_subnet)
DEFINE_AUTO(rule_set, struct plan_rule_set *, free_rule_set)

static int get_prefix(const char *kind, const struct object *o, const char *text,
		      struct ip_prefix *out, struct err *err)
{
	if (weft_prefix_parse(text, out) != 0)
		return weft_fail(err, -EINVAL, "%s %s: \"%s\" is not an address or prefix", kind,
				 o->id, text);
	*out = weft_prefix_masked(out);
	return 0;
}

static int get_ip(const char *kind, const struct object *o, const char *text, struct ip_addr *out,
		  struct err *err)
{
	if (weft_ip_parse(text, out) != 0)
		return weft_fail(err, -EINVAL, "%s %s: \"%s\" is not an address", kind, o->id,
				 text);
	return 0;
}

int weft_plan_build_network(const struct object *o, struct plan_network **out, struct err *err)
{
	const json_t *mtu = json_object_get(o->attr, "mtu");
	const json_t *segment = json_object_get(o->attr, "provider:segmentation_id");
	struct plan_network *n;

	if (!json_is_integer(mtu) || json_integer_value(mtu) < 68 ||
	    json_integer_value(mtu) > 65535)
		return weft_fail(err, -EINVAL, "network %s: its mtu is not from 68 to 65535",
				 o->id);
	n = plan_alloc(1, sizeof(*n));
	strcpy(n->id, o->id);
	n->mtu = json_integer_value(mtu);
	n->segment = json_is_integer(segment) ? json_integer_value(segment) : 0;
	attr_copy(n->physical, sizeof(n->physical),
		  attr_text(o->attr, "provider:physical_network"));
	*out = n;
	return 0;
}

static int subnet_lists(const struct object *o, struct plan_subnet *s, struct err *err)
{
	const json_t *dns = json_object_get(o->attr, "dns_nameservers");
	const json_t *routes = json_object_get(o->attr, "host_routes");
	const json_t *v;
	size_t i;
	int ret;

	s->dns = plan_alloc(json_array_size(dns), sizeof(*s->dns));
	json_array_foreach(dns, i, v) {
		const char *text = json_string_value(v);

		ret = get_ip("subnet", o, text != NULL ? text : "", &s->dns[s->n_dns++], err);
		if (ret != 0)
			return ret;
	}
	s->routes = plan_alloc(json_array_size(routes), sizeof(*s->routes));
	json_array_foreach(routes, i, v) {
		struct plan_route *r = &s->routes[s->n_routes++];

		ret = get_prefix("subnet", o, attr_text(v, "destination"), &r->dst, err);
		if (ret == 0)
			ret = get_ip("subnet", o, attr_text(v, "nexthop"), &r->via, err);
		if (ret != 0)
			return ret;
	}
	return 0;
}

static enum plan_v6_mode v6_mode(const struct object *o, const char *key)
{
	const char *mode = attr_text(o->attr, key);

	if (strcmp(mode, "slaac") == 0)
		return PLAN_V6_SLAAC;
	if (strcmp(mode, "dhcpv6-stateless") == 0)
		return PLAN_V6_STATELESS;
	return strcmp(mode, "dhcpv6-stateful") == 0 ? PLAN_V6_STATEFUL : PLAN_V6_NONE;
}

// The name that DHCP tells, without the dot that Neutron stores at the end of a full name.
static void set_domain(struct plan_subnet *s, const struct object *network)
{
	const char *name = network != NULL ? attr_text(network->attr, "dns_domain") : "";
	size_t len;

	attr_copy(s->dns_domain, sizeof(s->dns_domain), name[0] != '\0' ? name : DEFAULT_DOMAIN);
	len = strlen(s->dns_domain);
	if (len > 0 && s->dns_domain[len - 1] == '.')
		s->dns_domain[len - 1] = '\0';
}

int weft_plan_build_subnet(const struct object *o, const struct object *network,
			   struct plan_subnet **out, struct err *err)
{
	weft_auto(subnet) s = plan_alloc(1, sizeof(*s));
	const char *gateway = attr_text(o->attr, "gateway_ip");
	int ret;

	strcpy(s->id, o->id);
	attr_copy(s->network_id, sizeof(s->network_id), attr_text(o->attr, "network_id"));
	ret = get_prefix("subnet", o, attr_text(o->attr, "cidr"), &s->cidr, err);
	if (ret == 0 && gateway[0] != '\0')
		ret = get_ip("subnet", o, gateway, &s->gateway, err);
	if (ret == 0)
		ret = subnet_lists(o, s, err);
	if (ret != 0)
		return ret;
	s->ra = v6_mode(o, "ipv6_ra_mode");
	s->address = v6_mode(o, "ipv6_address_mode");
	// As Neutron's DHCP agent: it leaves a network that is down alone.
	s->dhcp = json_is_true(json_object_get(o->attr, "enable_dhcp")) &&
		  (network == NULL ||
		   !json_is_false(json_object_get(network->attr, "admin_state_up")));
	// Neutron's DHCP agent serves a subnet that says nothing of either as it did before there
	// were modes.
	if (s->cidr.ip.family == 6 && s->dhcp && s->ra == PLAN_V6_NONE &&
	    s->address == PLAN_V6_NONE)
		s->address = PLAN_V6_STATEFUL;
	// Hosts of other IPv6 subnets have no question to a DHCPv6 server.
	if (s->cidr.ip.family == 6)
		s->dhcp = s->dhcp &&
			  (s->address == PLAN_V6_STATELESS || s->address == PLAN_V6_STATEFUL);
	s->lease_s = 86400;
	set_domain(s, network);
	*out = weft_take(s);
	return 0;
}

struct rules {
	struct plan_rule_set *set;
	size_t cap;
	struct err *err;
};

static int add_rule(const struct object *o, void *arg)
{
	struct rules *r = arg;

	if (r->set->n_rules == r->cap) {
		r->cap = r->cap == 0 ? 8 : r->cap * 2;
		r->set->rules = realloc(r->set->rules, r->cap * sizeof(*r->set->rules));
		if (r->set->rules == NULL)
			abort();
	}
	return weft_plan_rule(o, &r->set->rules[r->set->n_rules++], r->err);
}

static int compare_rules(const void *a, const void *b)
{
	return strcmp(((const struct plan_rule *)a)->id, ((const struct plan_rule *)b)->id);
}

int weft_plan_build_rule_set(const struct model *m, const struct object *group,
			     struct plan_rule_set **out, struct err *err)
{
	weft_auto(rule_set) set = plan_alloc(1, sizeof(*set));
	struct rules rules = {.set = set, .err = err};
	int ret;

	strcpy(set->id, group->id);
	set->stateful = !json_is_false(json_object_get(group->attr, "stateful"));
	ret = weft_model_each_ref(m, REF_GROUP_RULES, group->id, add_rule, &rules);
	if (ret != 0)
		return ret;
	if (set->n_rules > 1)
		qsort(set->rules, set->n_rules, sizeof(*set->rules), compare_rules);
	*out = weft_take(set);
	return 0;
}

int weft_plan_build_addresses(const struct object *group, size_t from, size_t to,
			      struct plan_prefixes *out, struct err *err)
{
	const json_t *list = json_object_get(group->attr, "addresses");
	struct plan_prefixes p = {.prefix = plan_alloc(to - from, sizeof(*p.prefix))};

	for (size_t i = from; i < to; i++) {
		const char *text = json_string_value(json_array_get(list, i));
		int ret = get_prefix("address group", group, text != NULL ? text : "",
				     &p.prefix[p.n++], err);
		if (ret != 0) {
			free(p.prefix);
			return ret;
		}
	}
	*out = p;
	return 0;
}
