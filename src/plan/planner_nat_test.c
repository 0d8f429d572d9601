// SPDX-License-Identifier: Apache-2.0
#include "plan/planner.h"

#include "plan/planner_testing.h"

// An external network (203.0.113.0/24, 2001:db8:e::/64), and a router between it and an inner one
// (10.0.0.0/24). Nothing of this host yet.
struct scene {
	struct cloud *c;
	const char *out, *out4, *out6, *net, *subnet, *router;
};

static const char *inner_network(struct cloud *c, const char *router, const char *cidr,
				 const char **subnet)
{
	const char *net = add(c, RES_NETWORK, "{'name': 'n'}");
	const char *id = add(c, RES_SUBNET, "{'network_id': '%s', 'ip_version': 4, 'cidr': '%s'}",
			     net, cidr);

	join(c, router, "subnet_id", id, true);
	if (subnet != NULL)
		*subnet = id;
	return net;
}

static void set_gateway(struct cloud *c, const char *router, const char *network)
{
	if (network == NULL)
		set(c, RES_ROUTER, router, "{'external_gateway_info': null}");
	else
		set(c, RES_ROUTER, router, "{'external_gateway_info': {'network_id': '%s'}}",
		    network);
}

static struct scene scene_new(void)
{
	struct scene s = {.c = cloud_new()};

	s.out = add(s.c, RES_NETWORK,
		    "{'router:external': true, 'provider:network_type': 'flat', "
		    "'provider:physical_network': 'physnet1'}");
	s.out4 = add(s.c, RES_SUBNET,
		     "{'network_id': '%s', 'ip_version': 4, 'cidr': '203.0.113.0/24', "
		     "'allocation_pools': [{'start': '203.0.113.2', 'end': '203.0.113.250'}]}",
		     s.out);
	s.out6 = add(s.c, RES_SUBNET,
		     "{'network_id': '%s', 'ip_version': 6, 'cidr': '2001:db8:e::/64', "
		     "'gateway_ip': 'fe80::1'}",
		     s.out);
	s.router = add(s.c, RES_ROUTER, "{'name': 'r'}");
	s.net = inner_network(s.c, s.router, "10.0.0.0/24", &s.subnet);
	set_gateway(s.c, s.router, s.out);
	return s;
}

static const char *port_on(struct cloud *c, const char *network, const char *host)
{
	return add(c, RES_PORT, "{'network_id': '%s', 'binding:host_id': '%s'}", network, host);
}

static const char *floating_to(struct scene *s, const char *port)
{
	return add(s->c, RES_FLOATING_IP, "{'floating_network_id': '%s', 'port_id': '%s'}", s->out,
		   port);
}

static const char *free_floating(struct scene *s)
{
	return add(s->c, RES_FLOATING_IP, "{'floating_network_id': '%s'}", s->out);
}

// Port N to port N - 2200.
static const char *forward(struct scene *s, const char *floating, const char *port, int external)
{
	const struct object *o = weft_model_get(s->c->model, RES_PORT, port);
	const char *ip = json_string_value(json_object_get(
		json_array_get(json_object_get(o->attr, "fixed_ips"), 0), "ip_address"));

	return add(s->c, RES_PORT_FORWARDING,
		   "{'floatingip_id': '%s', 'protocol': 'tcp', 'external_port': %d, "
		   "'internal_port': %d, 'internal_port_id': '%s', 'internal_ip_address': '%s'}",
		   floating, external, external - 2200, port, ip);
}

static const struct plan_router *router_of(const struct scene *s)
{
	return mirror_get(&s->c->mirror, PLAN_ROUTER, s->router);
}

static const struct plan_interface *gateway_of(const struct plan_router *r)
{
	for (size_t i = 0; i < r->n_interfaces; i++) {
		if (r->interfaces[i].external)
			return &r->interfaces[i];
	}
	return NULL;
}

static const struct plan_neighbour *outer_neighbour(const struct scene *s, const struct ip_addr *ip)
{
	char text[WEFT_IP_STRLEN];

	return mirror_neighbour(&s->c->mirror, s->out, weft_ip_text(ip, text));
}

static const struct ip_addr *route_to(const struct plan_router *r, const char *prefix)
{
	char text[WEFT_NET_STRLEN];

	for (size_t i = 0; i < r->n_routes; i++) {
		if (strcmp(weft_prefix_text(&r->routes[i].dst, text), prefix) == 0)
			return &r->routes[i].via;
	}
	fail_msg("no route to %s", prefix);
	return NULL;
}

static void assert_ip(const struct ip_addr *ip, const char *expected)
{
	char text[WEFT_IP_STRLEN];

	assert_string_equal(weft_ip_text(ip, text), expected);
}

static void a_gateway_is_an_interface_with_source_nat_and_default_routes(void **state)
{
	struct scene s = scene_new();
	const struct plan_router *r;
	const struct plan_interface *p;
	const struct plan_neighbour *n;

	(void)state;
	port_on(s.c, s.net, HOST);
	r = router_of(&s);
	assert_int_equal(r->n_interfaces, 2);
	p = gateway_of(r);
	assert_string_equal(p->network_id, s.out);
	// An address of each subnet, and the link-local one.
	assert_int_equal(p->n_addrs, 3);
	assert_int_equal(p->addrs[2].len, 128);
	assert_true(weft_ip_equal(&r->snat, &p->addrs[p->addrs[0].ip.family == 4 ? 0 : 1].ip));
	assert_int_equal(r->n_routes, 2);
	assert_ip(route_to(r, "0.0.0.0/0"), "203.0.113.1");
	assert_ip(route_to(r, "::/0"), "fe80::1");
	for (size_t i = 0; i < p->n_addrs; i++) {
		n = outer_neighbour(&s, &p->addrs[i].ip);
		assert_non_null(n);
		assert_true(weft_mac_equal(&n->mac, &p->mac));
		assert_string_equal(n->port_id, p->port_id);
	}
	assert_true(mirror_has(&s.c->mirror, PLAN_SUBNET, s.out4));
	assert_plan_is_right(s.c);
	cloud_free(s.c);
}

static void without_snat_what_leaves_is_not_translated(void **state)
{
	struct scene s = scene_new();

	(void)state;
	port_on(s.c, s.net, HOST);
	set(s.c, RES_ROUTER, s.router,
	    "{'external_gateway_info': {'network_id': '%s', 'enable_snat': false}}", s.out);
	assert_int_equal(s.c->last.n, 1);
	assert_int_equal(router_of(&s)->snat.family, 0);
	assert_int_equal(router_of(&s)->n_routes, 2);
	cloud_free(s.c);
}

static void a_gateway_that_goes_takes_the_outside_along(void **state)
{
	struct scene s = scene_new();

	(void)state;
	port_on(s.c, s.net, HOST);
	set_gateway(s.c, s.router, NULL);
	assert_int_equal(count(s.c, PLAN_DEL, PLAN_NETWORK), 1);
	assert_int_equal(count(s.c, PLAN_DEL, PLAN_NEIGHBOUR), 3);
	assert_null(gateway_of(router_of(&s)));
	assert_int_equal(router_of(&s)->n_routes, 0);
	assert_int_equal(router_of(&s)->snat.family, 0);
	assert_plan_is_right(s.c);
	set_gateway(s.c, s.router, s.out);
	assert_non_null(gateway_of(router_of(&s)));
	// Switched off, it leads nowhere.
	set(s.c, RES_PORT, gateway_of(router_of(&s))->port_id, "{'admin_state_up': false}");
	assert_null(gateway_of(router_of(&s)));
	assert_int_equal(router_of(&s)->n_routes, 0);
	assert_false(mirror_has(&s.c->mirror, PLAN_NETWORK, s.out));
	assert_plan_is_right(s.c);
	cloud_free(s.c);
}

static void the_way_out_follows_the_external_subnet(void **state)
{
	struct scene s = scene_new();

	(void)state;
	port_on(s.c, s.net, HOST);
	set(s.c, RES_SUBNET, s.out4, "{'gateway_ip': '203.0.113.254'}");
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_ROUTER), 1);
	assert_int_equal(s.c->last.n, 2); // and the subnet
	assert_ip(route_to(router_of(&s), "0.0.0.0/0"), "203.0.113.254");
	set(s.c, RES_SUBNET, s.out4, "{'gateway_ip': null}");
	assert_int_equal(router_of(&s)->n_routes, 1);
	set(s.c, RES_SUBNET, s.out4, "{'name': 'x'}");
	assert_int_equal(s.c->last.n, 0);
	assert_plan_is_right(s.c);
	cloud_free(s.c);
}

static void a_default_route_of_the_users_comes_before_the_gateways(void **state)
{
	struct scene s = scene_new();

	(void)state;
	port_on(s.c, s.net, HOST);
	set(s.c, RES_ROUTER, s.router,
	    "{'routes': [{'destination': '0.0.0.0/0', 'nexthop': '10.0.0.7'}]}");
	assert_int_equal(router_of(&s)->n_routes, 2);
	assert_ip(route_to(router_of(&s), "0.0.0.0/0"), "10.0.0.7");
	assert_ip(route_to(router_of(&s), "::/0"), "fe80::1");
	cloud_free(s.c);
}

static void a_shared_external_network_brings_no_other_routers(void **state)
{
	struct scene s = scene_new();
	const char *other = add(s.c, RES_ROUTER, "{'name': 'other'}"), *net, *port;

	(void)state;
	net = inner_network(s.c, other, "10.9.0.0/24", NULL);
	set_gateway(s.c, other, s.out);
	port_on(s.c, net, "node2");
	port_on(s.c, s.net, HOST);
	assert_true(mirror_has(&s.c->mirror, PLAN_ROUTER, s.router));
	assert_false(mirror_has(&s.c->mirror, PLAN_ROUTER, other));
	// A port right on the external network is in the same place as anybody outside.
	port_on(s.c, s.out, HOST);
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_ROUTER), 0);
	// Somebody behind it here: now both are on the external network.
	port = port_on(s.c, net, HOST);
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_ROUTER), 1);
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_NETWORK), 1);
	assert_plan_is_right(s.c);
	del(s.c, RES_PORT, port);
	assert_int_equal(count(s.c, PLAN_DEL, PLAN_ROUTER), 1);
	assert_int_equal(count(s.c, PLAN_DEL, PLAN_NETWORK), 1);
	assert_plan_is_right(s.c);
	cloud_free(s.c);
}

static void a_router_that_others_leave_by_is_needed_as_they_are(void **state)
{
	struct scene s = scene_new();
	const char *transit, *far, *port;

	(void)state;
	// The outside of ours is the inside of another one, with an outside of its own.
	far = add(s.c, RES_NETWORK, "{'router:external': true}");
	add(s.c, RES_SUBNET, "{'network_id': '%s', 'ip_version': 4, 'cidr': '198.51.100.0/24'}",
	    far);
	transit = add(s.c, RES_ROUTER, "{'name': 'transit'}");
	join(s.c, transit, "subnet_id", s.out4, true);
	set_gateway(s.c, transit, far);
	assert_int_equal(weft_map_count(s.c->mirror.objects), 0);
	port = port_on(s.c, s.net, HOST);
	assert_true(mirror_has(&s.c->mirror, PLAN_ROUTER, transit));
	assert_true(mirror_has(&s.c->mirror, PLAN_NETWORK, far));
	assert_plan_is_right(s.c);
	set_gateway(s.c, s.router, NULL);
	assert_false(mirror_has(&s.c->mirror, PLAN_ROUTER, transit));
	assert_plan_is_right(s.c);
	set_gateway(s.c, s.router, s.out);
	assert_true(mirror_has(&s.c->mirror, PLAN_ROUTER, transit));
	del(s.c, RES_PORT, port);
	assert_int_equal(weft_map_count(s.c->mirror.objects), 0);
	cloud_free(s.c);
}

static void routers_that_leave_by_each_other_do_not_keep_each_other(void **state)
{
	struct cloud *c = cloud_new();
	const char *net[2], *subnet[2], *router[2], *first, *port;

	(void)state;
	for (int i = 0; i < 2; i++) {
		net[i] = add(c, RES_NETWORK, "{'router:external': true}");
		subnet[i] = add(c, RES_SUBNET,
				"{'network_id': '%s', 'ip_version': 4, 'cidr': '10.%d.0.0/24'}",
				net[i], i);
		router[i] = add(c, RES_ROUTER, "{'name': 'r'}");
	}
	for (int i = 0; i < 2; i++) {
		join(c, router[i], "subnet_id", subnet[i], true);
		set_gateway(c, router[i], net[1 - i]);
	}
	first = add(c, RES_ROUTER, "{'name': 'first'}");
	port = port_on(c, inner_network(c, first, "10.7.0.0/24", NULL), HOST);
	set_gateway(c, first, net[0]);
	assert_int_equal(count(c, PLAN_PUT, PLAN_ROUTER), 3);
	assert_plan_is_right(c);
	begin(c);
	del(c, RES_PORT, port);
	abort_after_update(c);
	abandon(c);
	assert_plan_is_right(c);
	set_gateway(c, first, NULL);
	assert_int_equal(count(c, PLAN_DEL, PLAN_ROUTER), 2);
	assert_plan_is_right(c);
	set_gateway(c, first, net[1]);
	del(c, RES_PORT, port);
	assert_int_equal(weft_map_count(c->mirror.objects), 0);
	cloud_free(c);
}

static void a_floating_ip_has_its_address_and_mac_outside(void **state)
{
	struct scene s = scene_new();
	const char *port = port_on(s.c, s.net, HOST), *id = floating_to(&s, port);
	const struct plan_floating *f = mirror_get(&s.c->mirror, PLAN_FLOATING, id);
	const struct plan_neighbour *n;

	(void)state;
	assert_int_equal(s.c->last.n, 2); // and the neighbour
	assert_string_equal(f->router_id, s.router);
	assert_string_equal(f->network_id, s.out);
	assert_string_equal(f->port_id, port);
	assert_true(weft_ip_equal(&f->fixed, &weft_planner_port(s.c->planner, port)->fixed[0].ip));
	n = outer_neighbour(&s, &f->ip);
	assert_true(weft_mac_equal(&n->mac, &f->mac));
	assert_false(weft_mac_equal(&f->mac, &gateway_of(router_of(&s))->mac));
	set(s.c, RES_PORT, n->port_id, "{'mac_address': 'fa:16:3e:00:00:99'}");
	f = mirror_get(&s.c->mirror, PLAN_FLOATING, id);
	assert_int_equal(f->mac.b[5], 0x99);
	assert_int_equal(outer_neighbour(&s, &f->ip)->mac.b[5], 0x99);
	assert_int_equal(s.c->last.n, 3); // the neighbour with the old MAC goes
	assert_plan_is_right(s.c);
	del(s.c, RES_FLOATING_IP, id);
	assert_int_equal(s.c->last.n, 2);
	assert_plan_is_right(s.c);
	cloud_free(s.c);
}

static void a_floating_ip_that_leads_nowhere_is_nowhere(void **state)
{
	struct scene s = scene_new();
	const char *port = port_on(s.c, s.net, HOST), *id = free_floating(&s);

	(void)state;
	assert_int_equal(s.c->last.n, 0);
	set(s.c, RES_FLOATING_IP, id, "{'port_id': '%s'}", port);
	assert_int_equal(s.c->last.n, 2);
	set(s.c, RES_FLOATING_IP, id, "{'port_id': null}");
	assert_int_equal(s.c->last.n, 2);
	assert_int_equal(count(s.c, PLAN_DEL, PLAN_FLOATING), 1);
	assert_plan_is_right(s.c);
	cloud_free(s.c);
}

static void a_floating_ip_is_translated_where_its_port_is(void **state)
{
	struct scene s = scene_new();
	const char *port = port_on(s.c, s.net, "node2"), *id;

	(void)state;
	port_on(s.c, s.net, HOST);
	id = floating_to(&s, port);
	assert_int_equal(s.c->last.n, 0); // and nobody here answers for it
	set(s.c, RES_PORT, port, "{'binding:host_id': '" HOST "'}");
	assert_true(mirror_has(&s.c->mirror, PLAN_FLOATING, id));
	set(s.c, RES_PORT, port, "{'binding:host_id': 'node2'}");
	assert_false(mirror_has(&s.c->mirror, PLAN_FLOATING, id));
	assert_plan_is_right(s.c);
	// Bound nowhere: whoever holds the router's source NAT has it.
	set(s.c, RES_PORT, port, "{'binding:host_id': ''}");
	assert_true(mirror_has(&s.c->mirror, PLAN_FLOATING, id));
	assert_plan_is_right(s.c);
	cloud_free(s.c);
}

static void a_floating_ip_moves_with_one_change(void **state)
{
	struct scene s = scene_new();
	const char *a = port_on(s.c, s.net, HOST), *b = port_on(s.c, s.net, HOST);
	const char *id = floating_to(&s, a);

	(void)state;
	set(s.c, RES_FLOATING_IP, id, "{'port_id': '%s'}", b);
	assert_int_equal(s.c->last.n, 1);
	assert_string_equal(s.c->last.changes[0].floating->port_id, b);
	assert_plan_is_right(s.c);
	cloud_free(s.c);
}

static void floating_ips_come_and_go_with_their_router(void **state)
{
	struct scene s = scene_new();
	const char *port = port_on(s.c, s.net, ""), *own, *floating;

	(void)state;
	floating_to(&s, port);
	floating = free_floating(&s);
	forward(&s, floating, port_on(s.c, s.net, "node2"), 2222);
	assert_int_equal(weft_map_count(s.c->mirror.objects), 0);
	own = port_on(s.c, s.net, HOST);
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_FLOATING), 2);
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_FORWARDING), 1);
	assert_plan_is_right(s.c);
	set(s.c, RES_PORT, gateway_of(router_of(&s))->port_id, "{'admin_state_up': false}");
	assert_int_equal(count(s.c, PLAN_DEL, PLAN_FLOATING), 2);
	assert_int_equal(count(s.c, PLAN_DEL, PLAN_FORWARDING), 1);
	assert_plan_is_right(s.c);
	del(s.c, RES_PORT, own);
	assert_int_equal(weft_map_count(s.c->mirror.objects), 0);
	cloud_free(s.c);
}

static void a_forwarding_costs_itself_once_its_floating_ip_is_there(void **state)
{
	struct scene s = scene_new();
	const char *port = port_on(s.c, s.net, HOST), *floating = free_floating(&s), *a, *b;
	const struct plan_forwarding *f;

	(void)state;
	a = forward(&s, floating, port, 2222);
	assert_int_equal(s.c->last.n, 3); // the floating IP and its neighbour
	assert_int_equal(
		((const struct plan_floating *)mirror_get(&s.c->mirror, PLAN_FLOATING, floating))
			->fixed.family,
		0);
	b = forward(&s, floating, port, 2223);
	assert_int_equal(s.c->last.n, 1);
	f = mirror_get(&s.c->mirror, PLAN_FORWARDING, b);
	assert_string_equal(f->floating_id, floating);
	assert_int_equal(f->proto, 6);
	assert_int_equal(f->port_min, 2223);
	assert_int_equal(f->port_max, 2223);
	assert_int_equal(f->fixed_port, 23);
	assert_string_equal(f->port_id, port);
	set(s.c, RES_PORT_FORWARDING, b,
	    "{'external_port_range': '8000:8009', 'internal_port_range': '80:89'}");
	assert_int_equal(s.c->last.n, 1);
	f = mirror_get(&s.c->mirror, PLAN_FORWARDING, b);
	assert_int_equal(f->port_min, 8000);
	assert_int_equal(f->port_max, 8009);
	assert_int_equal(f->fixed_port, 80);
	del(s.c, RES_PORT_FORWARDING, a);
	assert_int_equal(s.c->last.n, 1);
	del(s.c, RES_PORT_FORWARDING, b);
	assert_int_equal(s.c->last.n, 3);
	assert_int_equal(count(s.c, PLAN_DEL, PLAN_FLOATING), 1);
	assert_plan_is_right(s.c);
	cloud_free(s.c);
}

static void one_of_many_floating_ips_costs_itself(void **state)
{
	struct scene s = scene_new();
	const char *id = NULL;

	(void)state;
	begin(s.c);
	for (int i = 0; i < 200; i++)
		id = floating_to(&s, port_on(s.c, s.net, HOST));
	commit(s.c);
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_FLOATING), 200);
	set(s.c, RES_FLOATING_IP, id, "{'port_id': '%s'}", port_on(s.c, s.net, HOST));
	assert_int_equal(s.c->last.n, 1);
	del(s.c, RES_FLOATING_IP, id);
	assert_int_equal(s.c->last.n, 2);
	set(s.c, RES_ROUTER, s.router, "{'admin_state_up': false}");
	assert_int_equal(s.c->last.n, 1);
	assert_plan_is_right(s.c);
	cloud_free(s.c);
}

static void an_aborted_update_leaves_floating_ips_as_they_were(void **state)
{
	struct scene s = scene_new();
	const char *port = port_on(s.c, s.net, HOST), *id = floating_to(&s, port);

	(void)state;
	begin(s.c);
	del(s.c, RES_FLOATING_IP, id);
	set_gateway(s.c, s.router, NULL);
	del(s.c, RES_PORT, port);
	abort_after_update(s.c);
	abandon(s.c);
	assert_true(mirror_has(&s.c->mirror, PLAN_FLOATING, id));
	assert_plan_is_right(s.c);
	del(s.c, RES_PORT, port);
	assert_int_equal(weft_map_count(s.c->mirror.objects), 0);
	cloud_free(s.c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_gateway_is_an_interface_with_source_nat_and_default_routes),
		cmocka_unit_test(without_snat_what_leaves_is_not_translated),
		cmocka_unit_test(a_gateway_that_goes_takes_the_outside_along),
		cmocka_unit_test(the_way_out_follows_the_external_subnet),
		cmocka_unit_test(a_default_route_of_the_users_comes_before_the_gateways),
		cmocka_unit_test(a_shared_external_network_brings_no_other_routers),
		cmocka_unit_test(a_router_that_others_leave_by_is_needed_as_they_are),
		cmocka_unit_test(routers_that_leave_by_each_other_do_not_keep_each_other),
		cmocka_unit_test(a_floating_ip_has_its_address_and_mac_outside),
		cmocka_unit_test(a_floating_ip_that_leads_nowhere_is_nowhere),
		cmocka_unit_test(a_floating_ip_is_translated_where_its_port_is),
		cmocka_unit_test(a_floating_ip_moves_with_one_change),
		cmocka_unit_test(floating_ips_come_and_go_with_their_router),
		cmocka_unit_test(a_forwarding_costs_itself_once_its_floating_ip_is_there),
		cmocka_unit_test(one_of_many_floating_ips_costs_itself),
		cmocka_unit_test(an_aborted_update_leaves_floating_ips_as_they_were),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
