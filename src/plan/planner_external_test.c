// SPDX-License-Identifier: Apache-2.0
// What is on the link of a router's gateway: every subnet of the external network, and gateways
// outside of their subnets.
#include "plan/planner.h"

#include "plan/planner_testing.h"

// A router between 203.0.113.0/24 and an inner network with a port of this host.
struct scene {
	struct cloud *c;
	const char *out, *router;
};

static struct scene scene_new(const char *gateway)
{
	struct scene s = {.c = cloud_new()};
	const char *net, *subnet;

	s.out = add(s.c, RES_NETWORK, "{'router:external': true}");
	add(s.c, RES_SUBNET,
	    "{'network_id': '%s', 'ip_version': 4, 'cidr': '203.0.113.0/24', 'gateway_ip': '%s'}",
	    s.out, gateway);
	s.router = add(s.c, RES_ROUTER, "{'name': 'r'}");
	net = add(s.c, RES_NETWORK, "{'name': 'n'}");
	subnet = add(s.c, RES_SUBNET,
		     "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.0.0/24'}", net);
	join(s.c, s.router, "subnet_id", subnet, true);
	set(s.c, RES_ROUTER, s.router, "{'external_gateway_info': {'network_id': '%s'}}", s.out);
	add(s.c, RES_PORT, "{'network_id': '%s', 'binding:host_id': '" HOST "'}", net);
	return s;
}

static const struct plan_router *router_of(const struct scene *s)
{
	return mirror_get(&s->c->mirror, PLAN_ROUTER, s->router);
}

// "dst via" of each route, the next hop "link" if it has none.
static void assert_routes(const struct scene *s, const char *want)
{
	const struct plan_router *r = router_of(s);
	char got[512] = "", dst[WEFT_NET_STRLEN], via[WEFT_IP_STRLEN];

	for (size_t i = 0; i < r->n_routes; i++) {
		size_t len = strlen(got);

		snprintf(got + len, sizeof(got) - len, "%s%s %s", i > 0 ? ", " : "",
			 weft_prefix_text(&r->routes[i].dst, dst),
			 r->routes[i].via.family == 0 ? "link"
						      : weft_ip_text(&r->routes[i].via, via));
	}
	assert_string_equal(got, want);
	assert_plan_is_right(s->c);
}

static void every_subnet_of_the_external_network_is_on_the_link(void **state)
{
	struct scene s = scene_new("203.0.113.1");
	const char *more;

	(void)state;
	assert_routes(&s, "0.0.0.0/0 203.0.113.1");
	more = add(s.c, RES_SUBNET,
		   "{'network_id': '%s', 'ip_version': 4, 'cidr': '198.51.100.0/24'}", s.out);
	assert_routes(&s, "198.51.100.0/24 link, 0.0.0.0/0 203.0.113.1");
	add(s.c, RES_SUBNET, "{'network_id': '%s', 'ip_version': 4, 'cidr': '192.0.2.0/25'}",
	    s.out);
	assert_routes(&s, "198.51.100.0/24 link, 192.0.2.0/25 link, 0.0.0.0/0 203.0.113.1");
	del(s.c, RES_SUBNET, more);
	assert_routes(&s, "192.0.2.0/25 link, 0.0.0.0/0 203.0.113.1");
	// Nor do others' subnets matter.
	add(s.c, RES_SUBNET, "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.9.0.0/24'}",
	    add(s.c, RES_NETWORK, "{'name': 'other'}"));
	assert_routes(&s, "192.0.2.0/25 link, 0.0.0.0/0 203.0.113.1");
	cloud_free(s.c);
}

static void gateway_outside_its_subnet_is_a_host_on_the_link(void **state)
{
	struct scene s = scene_new("198.51.100.1");

	(void)state;
	assert_routes(&s, "198.51.100.1/32 link, 0.0.0.0/0 198.51.100.1");
	// Until it is in another one of the network.
	add(s.c, RES_SUBNET, "{'network_id': '%s', 'ip_version': 4, 'cidr': '198.51.100.0/24'}",
	    s.out);
	assert_routes(&s, "198.51.100.0/24 link, 0.0.0.0/0 198.51.100.1");
	cloud_free(s.c);
}

static void route_of_the_users_comes_before_what_is_on_the_link(void **state)
{
	struct scene s = scene_new("203.0.113.1");

	(void)state;
	add(s.c, RES_SUBNET, "{'network_id': '%s', 'ip_version': 4, 'cidr': '198.51.100.0/24'}",
	    s.out);
	set(s.c, RES_ROUTER, s.router,
	    "{'routes': [{'destination': '198.51.100.0/24', 'nexthop': '10.0.0.7'}]}");
	assert_routes(&s, "198.51.100.0/24 10.0.0.7, 0.0.0.0/0 203.0.113.1");
	cloud_free(s.c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_subnet_of_the_external_network_is_on_the_link),
		cmocka_unit_test(gateway_outside_its_subnet_is_a_host_on_the_link),
		cmocka_unit_test(route_of_the_users_comes_before_what_is_on_the_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
