// SPDX-License-Identifier: Apache-2.0
#include "plan/planner.h"

#include "plan/planner_testing.h"

// Networks 0 to 2 (10.0.N.0/24); routers 0 (networks 0 and 1) and 1 (networks 1 and 2). Nothing
// of this host yet.
struct chain {
	struct cloud *c;
	const char *net[3], *subnet[3], *router[2], *inner; // inner: router 1's port on network 1
};

static struct chain chain_new(void)
{
	struct chain s = {.c = cloud_new()};

	for (int i = 0; i < 3; i++) {
		s.net[i] = add(s.c, RES_NETWORK, "{'name': 'n'}");
		s.subnet[i] = add(s.c, RES_SUBNET,
				  "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.%d.0/24'}",
				  s.net[i], i);
	}
	s.router[0] = add(s.c, RES_ROUTER, "{'name': 'r0'}");
	s.router[1] = add(s.c, RES_ROUTER, "{'name': 'r1'}");
	join(s.c, s.router[0], "subnet_id", s.subnet[0], true);
	join(s.c, s.router[0], "subnet_id", s.subnet[1], true);
	s.inner = add(s.c, RES_PORT,
		      "{'network_id': '%s', 'fixed_ips': [{'ip_address': '10.0.1.200'}]}",
		      s.net[1]);
	join(s.c, s.router[1], "port_id", s.inner, true);
	join(s.c, s.router[1], "subnet_id", s.subnet[2], true);
	return s;
}

static const char *local_port(struct chain *s, int network)
{
	return add(s->c, RES_PORT, "{'network_id': '%s', 'binding:host_id': '" HOST "'}",
		   s->net[network]);
}

static void routers_that_no_local_port_reaches_are_not_planned(void **state)
{
	struct chain s = chain_new();

	(void)state;
	assert_int_equal(weft_map_count(s.c->mirror.objects), 0);
	cloud_free(s.c);
}

static void first_local_port_brings_all_that_it_can_reach(void **state)
{
	struct chain s = chain_new();

	(void)state;
	local_port(&s, 0);
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_ROUTER), 2);
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_NETWORK), 3);
	assert_plan_is_right(s.c);
	// A second one brings itself only.
	local_port(&s, 2);
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_ROUTER), 0);
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_NETWORK), 0);
	cloud_free(s.c);
}

static void last_local_port_takes_all_with_it(void **state)
{
	struct chain s = chain_new();
	const char *port = local_port(&s, 1);

	(void)state;
	del(s.c, RES_PORT, port);
	assert_int_equal(weft_map_count(s.c->mirror.objects), 0);
	cloud_free(s.c);
}

static void interface_that_goes_cuts_off_what_is_behind_it(void **state)
{
	struct chain s = chain_new();

	(void)state;
	local_port(&s, 0);
	join(s.c, s.router[0], "subnet_id", s.subnet[1], false);
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_ROUTER), 1); // router 0, with one interface less
	assert_int_equal(count(s.c, PLAN_DEL, PLAN_ROUTER), 1);
	assert_int_equal(count(s.c, PLAN_DEL, PLAN_NETWORK), 2);
	assert_plan_is_right(s.c);
	join(s.c, s.router[0], "subnet_id", s.subnet[1], true);
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_ROUTER), 2);
	assert_plan_is_right(s.c);
	cloud_free(s.c);
}

static void routes_and_admin_state_follow(void **state)
{
	struct chain s = chain_new();

	(void)state;
	local_port(&s, 0);
	set(s.c, RES_ROUTER, s.router[0],
	    "{'routes': [{'destination': '10.0.2.0/24', 'nexthop': '10.0.1.200'}]}");
	assert_int_equal(s.c->last.n, 1);
	assert_int_equal(s.c->last.changes[0].router->n_routes, 1);
	assert_int_equal(s.c->last.changes[0].router->n_interfaces, 2);
	set(s.c, RES_ROUTER, s.router[0], "{'admin_state_up': false}");
	assert_int_equal(s.c->last.n, 1);
	assert_false(s.c->last.changes[0].router->admin_up);
	set(s.c, RES_ROUTER, s.router[0], "{'name': 'other'}");
	assert_int_equal(s.c->last.n, 0);
	cloud_free(s.c);
}

static void interface_that_names_this_host_is_no_port_of_it(void **state)
{
	struct chain s = chain_new();

	(void)state;
	set(s.c, RES_PORT, s.inner, "{'binding:host_id': '" HOST "'}");
	assert_int_equal(weft_map_count(s.c->mirror.objects), 0);
	cloud_free(s.c);
}

static void interface_that_is_switched_off_is_left_out(void **state)
{
	struct chain s = chain_new();

	(void)state;
	local_port(&s, 1);
	set(s.c, RES_PORT, s.inner, "{'admin_state_up': false}");
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_ROUTER), 1);
	assert_plan_is_right(s.c);
	cloud_free(s.c);
}

// The router's interface that has the address; it is there.
static const struct plan_interface *interface_at(const struct cloud *c, const char *router,
						 const char *prefix)
{
	const struct plan_router *r = mirror_get(&c->mirror, PLAN_ROUTER, router);
	char text[WEFT_NET_STRLEN];

	for (size_t i = 0; i < r->n_interfaces; i++) {
		for (size_t k = 0; k < r->interfaces[i].n_addrs; k++) {
			if (strcmp(weft_prefix_text(&r->interfaces[i].addrs[k], text), prefix) == 0)
				return &r->interfaces[i];
		}
	}
	fail_msg("router %s has no interface with %s", router, prefix);
	return NULL;
}

static const struct plan_neighbour *link_local_of(const struct cloud *c,
						  const struct plan_interface *p)
{
	struct ip_addr ip = weft_ip_link_local_of(&p->mac);
	char text[WEFT_IP_STRLEN];

	return mirror_neighbour(&c->mirror, p->network_id, weft_ip_text(&ip, text));
}

static void an_interface_with_ipv6_also_has_its_link_local_address(void **state)
{
	struct chain s = chain_new();
	const char *subnet = add(s.c, RES_SUBNET,
				 "{'network_id': '%s', 'ip_version': 6, 'cidr': '2001:db8::/64', "
				 "'ipv6_ra_mode': 'slaac', 'ipv6_address_mode': 'slaac'}",
				 s.net[0]);
	const struct plan_interface *p;

	(void)state;
	local_port(&s, 0);
	join(s.c, s.router[0], "subnet_id", subnet, true);
	p = interface_at(s.c, s.router[0], "2001:db8::/64");
	assert_int_equal(p->n_addrs, 2);
	assert_int_equal(p->addrs[1].len, 128);
	assert_non_null(link_local_of(s.c, p));
	assert_true(weft_ip_equal(&p->addrs[1].ip, &link_local_of(s.c, p)->ip));
	// The network's IPv4 subnet is on an interface of its own.
	p = interface_at(s.c, s.router[0], "10.0.0.1/24");
	assert_int_equal(p->n_addrs, 1);
	assert_null(link_local_of(s.c, p));
	assert_plan_is_right(s.c);
	cloud_free(s.c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routers_that_no_local_port_reaches_are_not_planned),
		cmocka_unit_test(first_local_port_brings_all_that_it_can_reach),
		cmocka_unit_test(last_local_port_takes_all_with_it),
		cmocka_unit_test(interface_that_goes_cuts_off_what_is_behind_it),
		cmocka_unit_test(routes_and_admin_state_follow),
		cmocka_unit_test(interface_that_names_this_host_is_no_port_of_it),
		cmocka_unit_test(interface_that_is_switched_off_is_left_out),
		cmocka_unit_test(an_interface_with_ipv6_also_has_its_link_local_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
