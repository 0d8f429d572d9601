// SPDX-License-Identifier: Apache-2.0
#include "plan/build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "plan/attr.h"
#include "plan/dhcp_option.h"

static void free_port(struct plan_port *p)
{
	weft_plan_object_free(PLAN_PORT, p);
}

DEFINE_AUTO(port, struct plan_port *, free_port)

static bool is_trusted(const struct object *o)
{
	return strncmp(attr_text(o->attr, "device_owner"), "network:", 8) == 0;
}

static bool is_filtered(const struct object *o)
{
	return !is_trusted(o) && !json_is_false(json_object_get(o->attr, "port_security_enabled"));
}

bool weft_plan_port_is_bound(const struct object *port)
{
	const char *vif = attr_text(port->attr, "binding:vif_type");

	return attr_text(port->attr, "binding:host_id")[0] != '\0' && strcmp(vif, "unbound") != 0 &&
	       strcmp(vif, "binding_failed") != 0;
}

bool weft_plan_port_is_local(const struct object *port, const char *host)
{
	return strcmp(attr_text(port->attr, "binding:host_id"), host) == 0 &&
	       weft_plan_port_is_bound(port) && !weft_plan_is_router_port(port) &&
	       !weft_plan_is_gateway(port) && !weft_plan_is_floating(port);
}

static struct ip_prefix host_prefix(const struct ip_addr *ip)
{
	return (struct ip_prefix) {.ip = *ip, .len = weft_ip_bits(ip)};
}

// Each pair once; the first of its kind stays.
static void add_pair(struct plan_port *p, const struct mac_addr *mac,
		     const struct ip_prefix *prefix)
{
	for (size_t i = 0; i < p->n_pairs; i++) {
		if (weft_mac_equal(&p->pairs[i].mac, mac) &&
		    p->pairs[i].prefix.len == prefix->len &&
		    weft_ip_equal(&p->pairs[i].prefix.ip, &prefix->ip))
			return;
	}
	p->pairs[p->n_pairs++] = (struct plan_pair) {.mac = *mac, .prefix = *prefix};
}

static int port_mac(const struct object *o, const char *text, struct mac_addr *out, struct err *err)
{
	if (weft_mac_parse(text, out) != 0)
		return weft_fail(err, -EINVAL, "port %s: \"%s\" is not a MAC address", o->id, text);
	return 0;
}

static int port_fixed(const struct object *o, struct plan_port *p, struct err *err)
{
	const json_t *list = json_object_get(o->attr, "fixed_ips"), *v;
	size_t i;

	p->fixed = plan_alloc(json_array_size(list), sizeof(*p->fixed));
	json_array_foreach(list, i, v) {
		struct plan_fixed *f = &p->fixed[p->n_fixed++];

		if (weft_ip_parse(attr_text(v, "ip_address"), &f->ip) != 0)
			return weft_fail(err, -EINVAL, "port %s: fixed IP \"%s\" is not an address",
					 o->id, attr_text(v, "ip_address"));
		attr_copy(f->subnet_id, sizeof(f->subnet_id), attr_text(v, "subnet_id"));
	}
	return 0;
}

// Fixed IPs first, then the allowed address pairs, then the link-local addresses of all those MACs.
static int port_pairs(const struct object *o, struct plan_port *p, struct err *err)
{
	const json_t *list = json_object_get(o->attr, "allowed_address_pairs"), *v;
	size_t i, n_given;

	p->pairs = plan_alloc((p->n_fixed + json_array_size(list)) * 2 + 1, sizeof(*p->pairs));
	for (i = 0; i < p->n_fixed; i++) {
		struct ip_prefix prefix = host_prefix(&p->fixed[i].ip);

		add_pair(p, &p->mac, &prefix);
	}
	json_array_foreach(list, i, v) {
		const char *text = attr_text(v, "mac_address");
		struct mac_addr mac = p->mac;
		struct ip_prefix prefix;
		int ret = text[0] == '\0' ? 0 : port_mac(o, text, &mac, err);

		if (ret != 0)
			return ret;
		text = attr_text(v, "ip_address");
		if (weft_prefix_parse(text, &prefix) != 0)
			return weft_fail(err, -EINVAL,
					 "port %s: allowed address \"%s\" is not an address or "
					 "prefix",
					 o->id, text);
		prefix = weft_prefix_masked(&prefix);
		add_pair(p, &mac, &prefix);
	}
	n_given = p->n_pairs;
	for (i = 0; i <= n_given; i++) {
		const struct mac_addr *mac = i == 0 ? &p->mac : &p->pairs[i - 1].mac;
		struct ip_addr ip = weft_ip_link_local_of(mac);
		struct ip_prefix prefix = host_prefix(&ip);

		add_pair(p, mac, &prefix);
	}
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void port_rule_sets(const struct object *o, struct plan_port *p)
{
	const json_t *list = json_object_get(o->attr, "security_groups"), *v;
	size_t i;

	p->rule_sets = plan_alloc(json_array_size(list), sizeof(*p->rule_sets));
	if (!p->filtered)
		return;
	json_array_foreach(list, i, v)
		attr_copy(p->rule_sets[p->n_rule_sets++], sizeof(*p->rule_sets),
			  json_string_value(v));
	// Their order means nothing, so a new order is no change.
	qsort(p->rule_sets, p->n_rule_sets, sizeof(*p->rule_sets), compare_ids);
}

// One of the extra_dhcp_opts into wire format: 0, or the sentence why it has no effect. An empty
// value asks for nothing and gets *out with code 0.
static int port_option(const json_t *v, struct plan_dhcp_option *out, struct err *err)
{
	const char *name = attr_text(v, "opt_name"), *value = attr_text(v, "opt_value");
	uint8_t family;

	*out = (struct plan_dhcp_option) {0};
	if (value[0] == '\0')
		return 0;
	family = json_integer_value(json_object_get(v, "ip_version")) == 6 ? 6 : 4;
	return weft_dhcp_option_encode(family, name, value, out, err);
}

static void port_options(const struct object *o, struct plan_port *p)
{
	const json_t *list = json_object_get(o->attr, "extra_dhcp_opts"), *v;
	size_t i;

	p->options = plan_alloc(json_array_size(list), sizeof(*p->options));
	json_array_foreach(list, i, v) {
		if (port_option(v, &p->options[p->n_options], NULL) == 0 &&
		    p->options[p->n_options].code != 0)
			p->n_options++;
	}
}

void weft_plan_port_notes(const struct object *o, void (*note)(void *arg, const char *text),
			  void *arg)
{
	const json_t *list = json_object_get(o->attr, "extra_dhcp_opts"), *v;
	size_t i;

	json_array_foreach(list, i, v) {
		struct plan_dhcp_option option;
		struct err err = {0};

		if (port_option(v, &option, &err) != 0)
			note(arg, err.msg);
	}
}

// As Neutron's dns_assignment: the port's own name, else one made of its first address, IPv4
// preferred.
static void port_hostname(const struct object *o, struct plan_port *p)
{
	const char *name = attr_text(o->attr, "dns_name");
	const struct ip_addr *ip = NULL;
	char text[WEFT_IP_STRLEN];

	for (size_t i = 0; i < p->n_fixed; i++) {
		if (ip == NULL || (ip->family == 6 && p->fixed[i].ip.family == 4))
			ip = &p->fixed[i].ip;
	}
	if (name[0] != '\0') {
		attr_copy(p->hostname, sizeof(p->hostname), name);
	} else if (ip != NULL) {
		snprintf(p->hostname, sizeof(p->hostname), "host-%s", weft_ip_text(ip, text));
		for (char *c = p->hostname; *c != '\0'; c++)
			*c = *c == '.' || *c == ':' ? '-' : *c;
	}
}

int weft_plan_build_port(const struct object *o, struct plan_port **out, struct err *err)
{
	weft_auto(port) p = plan_alloc(1, sizeof(*p));
	int ret;

	strcpy(p->id, o->id);
	attr_copy(p->network_id, sizeof(p->network_id), attr_text(o->attr, "network_id"));
	attr_copy(p->project_id, sizeof(p->project_id), o->project_id);
	attr_copy(p->instance_id, sizeof(p->instance_id), attr_text(o->attr, "device_id"));
	p->admin_up = !json_is_false(json_object_get(o->attr, "admin_state_up"));
	p->trusted = is_trusted(o);
	p->filtered = is_filtered(o);
	p->vif = strcmp(attr_text(o->attr, "binding:vif_type"), "vhostuser") == 0
			 ? PLAN_VIF_VHOSTUSER
			 : PLAN_VIF_TAP;
	snprintf(p->vif_name, sizeof(p->vif_name), "%s%.11s",
		 p->vif == PLAN_VIF_TAP ? "tap" : "vhu", o->id);
	ret = port_mac(o, attr_text(o->attr, "mac_address"), &p->mac, err);
	if (ret == 0)
		ret = port_fixed(o, p, err);
	if (ret == 0)
		ret = port_pairs(o, p, err);
	if (ret != 0)
		return ret;
	port_rule_sets(o, p);
	port_options(o, p);
	port_hostname(o, p);
	*out = weft_take(p);
	return 0;
}

// The parts of a port that its neighbours and members come from.
static int port_addresses(const struct object *o, struct plan_port **out, struct err *err)
{
	weft_auto(port) p = plan_alloc(1, sizeof(*p));
	int ret = port_mac(o, attr_text(o->attr, "mac_address"), &p->mac, err);

	if (ret == 0)
		ret = port_fixed(o, p, err);
	if (ret == 0)
		ret = port_pairs(o, p, err);
	if (ret == 0)
		*out = weft_take(p);
	return ret;
}

int weft_plan_build_neighbours(const struct object *port, const char *host,
			       struct plan_neighbour **out, size_t *n, struct err *err)
{
	weft_auto(port) p = NULL;
	struct plan_neighbour *list;
	struct ip_addr own_link_local;
	bool local = weft_plan_port_is_local(port, host);
	bool is_router = weft_plan_is_router_port(port), has_v6 = false;
	bool any_mac = !is_router && !is_filtered(port);
	size_t count = 0;
	int ret;

	*out = NULL;
	*n = 0;
	if ((attr_text(port->attr, "binding:host_id")[0] == '\0' && !is_router) ||
	    weft_plan_is_gateway(port) || weft_plan_is_floating(port))
		return 0;
	ret = port_addresses(port, &p, err);
	if (ret != 0)
		return ret;
	own_link_local = weft_ip_link_local_of(&p->mac);
	for (size_t i = 0; i < p->n_fixed; i++)
		has_v6 = has_v6 || p->fixed[i].ip.family == 6;
	list = plan_alloc(p->n_pairs, sizeof(*list));
	for (size_t i = 0; i < p->n_pairs; i++) {
		const struct plan_pair *pair = &p->pairs[i];
		struct plan_neighbour *v = &list[count];

		if (pair->prefix.len != weft_ip_bits(&pair->prefix.ip) ||
		    (is_router && !has_v6 && pair->prefix.ip.family == 6))
			continue;
		attr_copy(v->network_id, sizeof(v->network_id),
			  attr_text(port->attr, "network_id"));
		strcpy(v->port_id, port->id);
		v->ip = pair->prefix.ip;
		v->mac = pair->mac;
		v->local = local;
		v->any_mac = any_mac;
		v->from_pair = i >= p->n_fixed && !(weft_mac_equal(&pair->mac, &p->mac) &&
						    weft_ip_equal(&v->ip, &own_link_local));
		count++;
	}
	*out = list;
	*n = count;
	return 0;
}

int weft_plan_build_members(const struct object *port, struct plan_prefixes *out, struct err *err)
{
	const json_t *list = json_object_get(port->attr, "allowed_address_pairs"), *v;
	struct plan_prefixes m = {0};
	weft_auto(port) p = NULL;
	size_t i;
	int ret = port_addresses(port, &p, err);

	if (ret != 0)
		return ret;
	m.prefix = plan_alloc(p->n_fixed + json_array_size(list), sizeof(*m.prefix));
	for (i = 0; i < p->n_fixed; i++)
		m.prefix[m.n++] = host_prefix(&p->fixed[i].ip);
	json_array_foreach(list, i, v) {
		struct ip_prefix prefix;

		if (weft_prefix_parse(attr_text(v, "ip_address"), &prefix) == 0 && prefix.len > 0)
			m.prefix[m.n++] = weft_prefix_masked(&prefix);
	}
	*out = m;
	return 0;
}
