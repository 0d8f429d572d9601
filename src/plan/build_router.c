// SPDX-License-Identifier: Apache-2.0
#include "plan/build.h"

#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "model/port.h"
#include "plan/attr.h"

static void router_free(struct plan_router *r)
{
	weft_plan_object_free(PLAN_ROUTER, r);
}
DEFINE_AUTO(router, struct plan_router *, router_free)

bool weft_plan_is_router_port(const struct object *port)
{
	return weft_port_is_interface(port->attr);
}

struct building {
	const struct model *model;
	struct plan_router *router;
	size_t cap;
	struct err *err;
};

static int add_address(struct building *b, const struct object *port, const json_t *fixed,
		       struct plan_interface *p)
{
	const char *ip = attr_text(fixed, "ip_address");
	const struct object *subnet =
		weft_model_get(b->model, RES_SUBNET, attr_text(fixed, "subnet_id"));
	struct ip_prefix *addr = &p->addrs[p->n_addrs], cidr;

	if (subnet == NULL || weft_ip_parse(ip, &addr->ip) != 0 ||
	    weft_prefix_parse(attr_text(subnet->attr, "cidr"), &cidr) != 0)
		return weft_fail(b->err, -EINVAL, "port %s: '%s' is no address of a known subnet",
				 port->id, ip);
	addr->len = cidr.len;
	p->n_addrs++;
	return 0;
}

// Hosts learn it from router advertisements as their default gateway (RFC 4861, 6.2.1).
static void add_link_local(struct plan_interface *p)
{
	bool has_v6 = false;

	for (size_t i = 0; i < p->n_addrs; i++)
		has_v6 = has_v6 || p->addrs[i].ip.family == 6;
	if (has_v6)
		p->addrs[p->n_addrs++] =
			(struct ip_prefix) {.ip = weft_ip_link_local_of(&p->mac), .len = 128};
}

static int add_interface(const struct object *port, void *arg)
{
	struct building *b = arg;
	const json_t *list = json_object_get(port->attr, "fixed_ips"), *v;
	struct plan_router *r = b->router;
	struct plan_interface *p;
	size_t i;
	int ret;

	// An interface that is switched off leads nowhere and answers nobody.
	if (!json_is_true(json_object_get(port->attr, "admin_state_up")))
		return 0;
	if (r->n_interfaces == b->cap) {
		b->cap = b->cap == 0 ? 4 : b->cap * 2;
		r->interfaces = realloc(r->interfaces, b->cap * sizeof(*r->interfaces));
		if (r->interfaces == NULL)
			abort();
	}
	p = &r->interfaces[r->n_interfaces++];
	memset(p, 0, sizeof(*p));
	attr_copy(p->port_id, sizeof(p->port_id), port->id);
	attr_copy(p->network_id, sizeof(p->network_id), attr_text(port->attr, "network_id"));
	p->external = weft_port_is_gateway(port->attr);
	if (weft_mac_parse(attr_text(port->attr, "mac_address"), &p->mac) != 0)
		return weft_fail(b->err, -EINVAL, "port %s: its MAC address is none", port->id);
	p->addrs = plan_alloc(json_array_size(list) + 1, sizeof(*p->addrs));
	json_array_foreach(list, i, v) {
		ret = add_address(b, port, v, p);
		if (ret != 0)
			return ret;
	}
	add_link_local(p);
	return 0;
}

static int add_routes(const struct object *o, struct plan_router *r, struct err *err)
{
	const json_t *list = json_object_get(o->attr, "routes"), *v;
	size_t i;

	r->routes = plan_alloc(json_array_size(list), sizeof(*r->routes));
	json_array_foreach(list, i, v) {
		struct plan_route *route = &r->routes[r->n_routes++];

		if (weft_prefix_parse(attr_text(v, "destination"), &route->dst) != 0 ||
		    weft_ip_parse(attr_text(v, "nexthop"), &route->via) != 0)
			return weft_fail(err, -EINVAL, "router %s: route %zu is none", o->id, i);
	}
	return 0;
}

static bool has_default_route(const struct plan_router *r, uint8_t family)
{
	for (size_t i = 0; i < r->n_routes; i++) {
		if (r->routes[i].dst.len == 0 && r->routes[i].dst.ip.family == family)
			return true;
	}
	return false;
}

// ---- What is on the external link ----------------------------------------------------------

static struct plan_route *new_route(struct building *b)
{
	struct plan_router *r = b->router;

	r->routes = realloc(r->routes, (r->n_routes + 1) * sizeof(*r->routes));
	if (r->routes == NULL)
		abort();
	r->routes[r->n_routes] = (struct plan_route) {0};
	return &r->routes[r->n_routes++];
}

// The router leads there already, by an interface or by a route that the user gave.
static bool leads_to(const struct plan_router *r, const struct ip_prefix *dst)
{
	for (size_t i = 0; i < r->n_interfaces; i++)
		for (size_t k = 0; k < r->interfaces[i].n_addrs; k++) {
			struct ip_prefix p = weft_prefix_masked(&r->interfaces[i].addrs[k]);

			if (weft_prefix_equal(&p, dst))
				return true;
		}
	for (size_t i = 0; i < r->n_routes; i++) {
		struct ip_prefix p = weft_prefix_masked(&r->routes[i].dst);

		if (weft_prefix_equal(&p, dst))
			return true;
	}
	return false;
}

static bool is_on_link(const struct plan_router *r, const struct plan_interface *out,
		       const struct ip_addr *ip)
{
	if (ip->family == 6 && weft_ip_is_link_local(ip))
		return true;
	for (size_t k = 0; k < out->n_addrs; k++)
		if (weft_prefix_contains(&out->addrs[k], ip))
			return true;
	for (size_t i = 0; i < r->n_routes; i++)
		if (r->routes[i].via.family == 0 && weft_prefix_contains(&r->routes[i].dst, ip))
			return true;
	return false;
}

// All subnets of the external network are on its link, also those that the router has no address
// in.
static int add_subnet(const struct object *subnet, void *arg)
{
	struct building *b = arg;
	struct ip_prefix cidr;

	if (weft_prefix_parse(attr_text(subnet->attr, "cidr"), &cidr) != 0)
		return weft_fail(b->err, -EINVAL, "subnet %s: \"%s\" is no prefix", subnet->id,
				 attr_text(subnet->attr, "cidr"));
	cidr = weft_prefix_masked(&cidr);
	if (!leads_to(b->router, &cidr))
		new_route(b)->dst = cidr;
	return 0;
}

static int by_destination(const void *a, const void *b)
{
	const struct plan_route *x = a, *y = b;

	return x->dst.ip.family != y->dst.ip.family ? x->dst.ip.family - y->dst.ip.family
	       : x->dst.len != y->dst.len	    ? x->dst.len - y->dst.len
						    : memcmp(x->dst.ip.b, y->dst.ip.b, 16);
}

// Before the default routes, whose next hops may be outside of their subnets: such a one is a
// host on the link.
static int add_external_link(struct building *b, const struct plan_interface *out)
{
	struct plan_router *r = b->router;
	size_t before = r->n_routes;
	int ret =
		weft_model_each_ref(b->model, REF_NETWORK_SUBNETS, out->network_id, add_subnet, b);

	// Their order in the index means nothing.
	if (ret == 0 && r->n_routes - before > 1)
		qsort(r->routes + before, r->n_routes - before, sizeof(*r->routes), by_destination);
	return ret;
}

static void add_default_route(struct building *b, const struct plan_interface *out,
			      const struct ip_addr *via)
{
	struct plan_route *route;

	if (has_default_route(b->router, via->family))
		return;
	if (!is_on_link(b->router, out, via))
		new_route(b)->dst = (struct ip_prefix) {*via, weft_ip_bits(via)};
	route = new_route(b);
	route->dst.ip.family = via->family;
	route->via = *via;
}

// Out by the external subnets' gateways: one way for each family, the first; a route that the
// user gave comes before it.
static int add_default_routes(struct building *b, const struct plan_interface *out)
{
	const struct object *port = weft_model_get(b->model, RES_PORT, out->port_id);
	const json_t *list = json_object_get(port->attr, "fixed_ips"), *v;
	size_t i;

	json_array_foreach(list, i, v) {
		const struct object *subnet =
			weft_model_get(b->model, RES_SUBNET, attr_text(v, "subnet_id"));
		const char *gateway = subnet != NULL ? attr_text(subnet->attr, "gateway_ip") : "";
		struct ip_addr via;

		if (gateway[0] == '\0')
			continue;
		if (weft_ip_parse(gateway, &via) != 0)
			return weft_fail(b->err, -EINVAL, "subnet %s: \"%s\" is not an address",
					 subnet->id, gateway);
		add_default_route(b, out, &via);
	}
	return 0;
}

const struct plan_interface *weft_plan_external(const struct plan_router *r)
{
	for (size_t i = 0; r != NULL && i < r->n_interfaces; i++) {
		if (r->interfaces[i].external)
			return &r->interfaces[i];
	}
	return NULL;
}

// What the gateway brings besides an interface.
static int add_gateway(struct building *b, const struct object *o)
{
	struct plan_router *r = b->router;
	const json_t *info = json_object_get(o->attr, "external_gateway_info");
	const struct plan_interface *p = weft_plan_external(r);
	int ret;

	if (p == NULL)
		return 0;
	for (size_t i = 0; i < p->n_addrs && r->snat.family == 0; i++) {
		if (p->addrs[i].ip.family == 4 &&
		    !json_is_false(json_object_get(info, "enable_snat")))
			r->snat = p->addrs[i].ip;
	}
	ret = add_external_link(b, p);
	return ret != 0 ? ret : add_default_routes(b, p);
}

static int by_port(const void *a, const void *b)
{
	return strcmp(((const struct plan_interface *)a)->port_id,
		      ((const struct plan_interface *)b)->port_id);
}

int weft_plan_build_router(const struct model *m, const struct object *o, struct plan_router **out,
			   struct err *err)
{
	weft_auto(router) r = plan_alloc(1, sizeof(*r));
	struct building b = {m, r, 0, err};
	int ret;

	attr_copy(r->id, sizeof(r->id), o->id);
	r->admin_up = json_is_true(json_object_get(o->attr, "admin_state_up"));
	ret = weft_model_each_ref(m, REF_ROUTER_PORTS, o->id, add_interface, &b);
	if (ret == 0)
		ret = weft_model_each_ref(m, REF_ROUTER_GATEWAY_PORTS, o->id, add_interface, &b);
	if (ret == 0)
		ret = add_routes(o, r, err);
	if (ret == 0)
		ret = add_gateway(&b, o);
	if (ret != 0)
		return ret;
	if (r->n_interfaces > 0)
		qsort(r->interfaces, r->n_interfaces, sizeof(*r->interfaces), by_port);
	*out = weft_take(r);
	return 0;
}
