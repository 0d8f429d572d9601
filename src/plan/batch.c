// SPDX-License-Identifier: Apache-2.0
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

static const size_t object_size[] = {
	[PLAN_NETWORK] = sizeof(struct plan_network),
	[PLAN_SUBNET] = sizeof(struct plan_subnet),
	[PLAN_MEMBER] = sizeof(struct plan_member),
	[PLAN_RULE_SET] = sizeof(struct plan_rule_set),
	[PLAN_PORT] = sizeof(struct plan_port),
	[PLAN_NEIGHBOUR] = sizeof(struct plan_neighbour),
	[PLAN_ROUTER] = sizeof(struct plan_router),
	[PLAN_FLOATING] = sizeof(struct plan_floating),
	[PLAN_FORWARDING] = sizeof(struct plan_forwarding),
};

// A NULL list of nothing stays NULL.
static void *dup_list(const void *list, size_t n, size_t size)
{
	void *copy;

	if (n == 0)
		return NULL;
	copy = calloc(n, size);
	if (copy == NULL)
		abort();
	memcpy(copy, list, n * size);
	return copy;
}

void weft_plan_object_free(enum plan_kind kind, void *object)
{
	if (object == NULL)
		return;
	if (kind == PLAN_SUBNET) {
		struct plan_subnet *s = object;

		free(s->dns);
		free(s->routes);
	} else if (kind == PLAN_RULE_SET) {
		free(((struct plan_rule_set *)object)->rules);
	} else if (kind == PLAN_PORT) {
		struct plan_port *p = object;

		free(p->fixed);
		free(p->pairs);
		free(p->rule_sets);
		free(p->options);
	} else if (kind == PLAN_ROUTER) {
		struct plan_router *r = object;

		for (size_t i = 0; i < r->n_interfaces; i++)
			free(r->interfaces[i].addrs);
		free(r->interfaces);
		free(r->routes);
	}
	free(object);
}

void *weft_plan_object_copy(enum plan_kind kind, const void *object)
{
	void *copy = dup_list(object, 1, object_size[kind]);

	if (kind == PLAN_SUBNET) {
		struct plan_subnet *s = copy;

		s->dns = dup_list(s->dns, s->n_dns, sizeof(*s->dns));
		s->routes = dup_list(s->routes, s->n_routes, sizeof(*s->routes));
	} else if (kind == PLAN_RULE_SET) {
		struct plan_rule_set *r = copy;

		r->rules = dup_list(r->rules, r->n_rules, sizeof(*r->rules));
	} else if (kind == PLAN_PORT) {
		struct plan_port *p = copy;

		p->fixed = dup_list(p->fixed, p->n_fixed, sizeof(*p->fixed));
		p->pairs = dup_list(p->pairs, p->n_pairs, sizeof(*p->pairs));
		p->rule_sets = dup_list(p->rule_sets, p->n_rule_sets, sizeof(*p->rule_sets));
		p->options = dup_list(p->options, p->n_options, sizeof(*p->options));
	} else if (kind == PLAN_ROUTER) {
		struct plan_router *r = copy;

		r->interfaces = dup_list(r->interfaces, r->n_interfaces, sizeof(*r->interfaces));
		for (size_t i = 0; i < r->n_interfaces; i++)
			r->interfaces[i].addrs = dup_list(r->interfaces[i].addrs,
							  r->interfaces[i].n_addrs,
							  sizeof(*r->interfaces[i].addrs));
		r->routes = dup_list(r->routes, r->n_routes, sizeof(*r->routes));
	}
	return copy;
}

// Structs have padding and text has rubbish behind its NUL, so fields are compared one by one.

static bool prefix_same(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->len == b->len && weft_ip_equal(&a->ip, &b->ip);
}

static bool network_equal(const struct plan_network *a, const struct plan_network *b)
{
	return strcmp(a->id, b->id) == 0 && a->mtu == b->mtu && a->segment == b->segment &&
	       strcmp(a->physical, b->physical) == 0;
}

static bool routes_equal(const struct plan_route *a, const struct plan_route *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!prefix_same(&a[i].dst, &b[i].dst) || !weft_ip_equal(&a[i].via, &b[i].via))
			return false;
	}
	return true;
}

static bool subnet_equal(const struct plan_subnet *a, const struct plan_subnet *b)
{
	if (strcmp(a->id, b->id) != 0 || strcmp(a->network_id, b->network_id) != 0 ||
	    !prefix_same(&a->cidr, &b->cidr) || !weft_ip_equal(&a->gateway, &b->gateway) ||
	    a->dhcp != b->dhcp || a->ra != b->ra || a->address != b->address ||
	    a->lease_s != b->lease_s || strcmp(a->dns_domain, b->dns_domain) != 0 ||
	    a->n_dns != b->n_dns || a->n_routes != b->n_routes)
		return false;
	for (size_t i = 0; i < a->n_dns; i++) {
		if (!weft_ip_equal(&a->dns[i], &b->dns[i]))
			return false;
	}
	return routes_equal(a->routes, b->routes, a->n_routes);
}

static bool member_equal(const struct plan_member *a, const struct plan_member *b)
{
	return strcmp(a->set_id, b->set_id) == 0 && prefix_same(&a->prefix, &b->prefix);
}

static bool rule_equal(const struct plan_rule *a, const struct plan_rule *b)
{
	return strcmp(a->id, b->id) == 0 && a->direction == b->direction &&
	       a->family == b->family && a->proto == b->proto && a->has_ports == b->has_ports &&
	       a->port_min == b->port_min && a->port_max == b->port_max &&
	       a->icmp_type == b->icmp_type && a->icmp_code == b->icmp_code &&
	       a->remote == b->remote && prefix_same(&a->prefix, &b->prefix) &&
	       strcmp(a->set_id, b->set_id) == 0;
}

static bool rule_set_equal(const struct plan_rule_set *a, const struct plan_rule_set *b)
{
	if (strcmp(a->id, b->id) != 0 || a->stateful != b->stateful || a->n_rules != b->n_rules)
		return false;
	for (size_t i = 0; i < a->n_rules; i++) {
		if (!rule_equal(&a->rules[i], &b->rules[i]))
			return false;
	}
	return true;
}

static bool port_lists_equal(const struct plan_port *a, const struct plan_port *b)
{
	if (a->n_fixed != b->n_fixed || a->n_pairs != b->n_pairs ||
	    a->n_rule_sets != b->n_rule_sets || a->n_options != b->n_options)
		return false;
	for (size_t i = 0; i < a->n_fixed; i++) {
		if (!weft_ip_equal(&a->fixed[i].ip, &b->fixed[i].ip) ||
		    strcmp(a->fixed[i].subnet_id, b->fixed[i].subnet_id) != 0)
			return false;
	}
	for (size_t i = 0; i < a->n_pairs; i++) {
		if (!weft_mac_equal(&a->pairs[i].mac, &b->pairs[i].mac) ||
		    !prefix_same(&a->pairs[i].prefix, &b->pairs[i].prefix))
			return false;
	}
	for (size_t i = 0; i < a->n_rule_sets; i++) {
		if (strcmp(a->rule_sets[i], b->rule_sets[i]) != 0)
			return false;
	}
	for (size_t i = 0; i < a->n_options; i++) {
		const struct plan_dhcp_option *x = &a->options[i], *y = &b->options[i];

		if (x->family != y->family || x->code != y->code || x->len != y->len ||
		    memcmp(x->value, y->value, x->len) != 0)
			return false;
	}
	return true;
}

static bool port_equal(const struct plan_port *a, const struct plan_port *b)
{
	return strcmp(a->id, b->id) == 0 && strcmp(a->network_id, b->network_id) == 0 &&
	       strcmp(a->project_id, b->project_id) == 0 &&
	       strcmp(a->instance_id, b->instance_id) == 0 && weft_mac_equal(&a->mac, &b->mac) &&
	       a->admin_up == b->admin_up && a->filtered == b->filtered &&
	       a->trusted == b->trusted && a->vif == b->vif &&
	       strcmp(a->vif_name, b->vif_name) == 0 && strcmp(a->hostname, b->hostname) == 0 &&
	       port_lists_equal(a, b);
}

static bool neighbour_equal(const struct plan_neighbour *a, const struct plan_neighbour *b)
{
	return strcmp(a->network_id, b->network_id) == 0 && weft_ip_equal(&a->ip, &b->ip) &&
	       weft_mac_equal(&a->mac, &b->mac) && strcmp(a->port_id, b->port_id) == 0 &&
	       a->local == b->local && a->from_pair == b->from_pair && a->any_mac == b->any_mac;
}

static bool interface_equal(const struct plan_interface *a, const struct plan_interface *b)
{
	if (strcmp(a->port_id, b->port_id) != 0 || strcmp(a->network_id, b->network_id) != 0 ||
	    !weft_mac_equal(&a->mac, &b->mac) || a->external != b->external ||
	    a->n_addrs != b->n_addrs)
		return false;
	for (size_t i = 0; i < a->n_addrs; i++) {
		if (!prefix_same(&a->addrs[i], &b->addrs[i]))
			return false;
	}
	return true;
}

static bool router_equal(const struct plan_router *a, const struct plan_router *b)
{
	if (strcmp(a->id, b->id) != 0 || a->admin_up != b->admin_up ||
	    !weft_ip_equal(&a->snat, &b->snat) || a->n_interfaces != b->n_interfaces ||
	    a->n_routes != b->n_routes)
		return false;
	for (size_t i = 0; i < a->n_interfaces; i++) {
		if (!interface_equal(&a->interfaces[i], &b->interfaces[i]))
			return false;
	}
	return routes_equal(a->routes, b->routes, a->n_routes);
}

static bool floating_equal(const struct plan_floating *a, const struct plan_floating *b)
{
	return strcmp(a->id, b->id) == 0 && strcmp(a->router_id, b->router_id) == 0 &&
	       strcmp(a->network_id, b->network_id) == 0 && weft_ip_equal(&a->ip, &b->ip) &&
	       weft_mac_equal(&a->mac, &b->mac) && weft_ip_equal(&a->fixed, &b->fixed) &&
	       strcmp(a->port_id, b->port_id) == 0;
}

static bool forwarding_equal(const struct plan_forwarding *a, const struct plan_forwarding *b)
{
	return strcmp(a->id, b->id) == 0 && strcmp(a->floating_id, b->floating_id) == 0 &&
	       a->proto == b->proto && a->port_min == b->port_min && a->port_max == b->port_max &&
	       weft_ip_equal(&a->fixed, &b->fixed) && a->fixed_port == b->fixed_port &&
	       strcmp(a->port_id, b->port_id) == 0;
}

bool weft_plan_object_equal(enum plan_kind kind, const void *a, const void *b)
{
	switch (kind) {
	case PLAN_NETWORK:
		return network_equal(a, b);
	case PLAN_SUBNET:
		return subnet_equal(a, b);
	case PLAN_MEMBER:
		return member_equal(a, b);
	case PLAN_RULE_SET:
		return rule_set_equal(a, b);
	case PLAN_PORT:
		return port_equal(a, b);
	case PLAN_NEIGHBOUR:
		return neighbour_equal(a, b);
	case PLAN_ROUTER:
		return router_equal(a, b);
	case PLAN_FLOATING:
		return floating_equal(a, b);
	case PLAN_FORWARDING:
		return forwarding_equal(a, b);
	}
	abort();
}

void weft_plan_batch_fini(struct plan_batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		weft_plan_object_free(b->changes[i].kind, b->changes[i].object);
	free(b->changes);
	*b = (struct plan_batch) {0};
}

void weft_plan_batch_add(struct plan_batch *b, enum plan_op op, enum plan_kind kind, void *object)
{
	if (b->n == b->cap) {
		b->cap = b->cap == 0 ? 16 : b->cap * 2;
		b->changes = realloc(b->changes, b->cap * sizeof(*b->changes));
		if (b->changes == NULL)
			abort();
	}
	b->changes[b->n++] = (struct plan_change) {.op = op, .kind = kind, .object = object};
}
