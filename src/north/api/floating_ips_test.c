// SPDX-License-Identifier: Apache-2.0
#include "north/api/api_testing.h"

// The API before a model with a VM behind a router that leads outside, and two floating IPs.
struct fixture {
	struct asker api;
	char external[37], router[37], subnet[37], port[37], first[37], second[37];
};

static const char *below(const char *floating, const char *more)
{
	static char target[256];
	snprintf(target, sizeof(target), "/v2.0/floatingips/%s/port_forwardings%s", floating, more);
	return target;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char network[37], target[128];
	asker_init(&f->api);
	*state = f;
	ask(&f->api, "POST", "/v2.0/networks", "{'network': {'router:external': true}}");
	take_id(&f->api, "network", f->external);
	ask(&f->api, "POST", "/v2.0/subnets",
	    "{'subnet': {'network_id': '%s', 'ip_version': 4, 'cidr': '198.51.100.0/24'}}",
	    f->external);
	ask(&f->api, "POST", "/v2.0/routers",
	    "{'router': {'external_gateway_info': {'network_id': '%s'}}}", f->external);
	take_id(&f->api, "router", f->router);
	ask(&f->api, "POST", "/v2.0/networks", "{'network': {}}");
	take_id(&f->api, "network", network);
	ask(&f->api, "POST", "/v2.0/subnets",
	    "{'subnet': {'network_id': '%s', 'ip_version': 4, 'cidr': '10.1.0.0/24'}}", network);
	take_id(&f->api, "subnet", f->subnet);
	snprintf(target, sizeof(target), "/v2.0/routers/%s/add_router_interface", f->router);
	ask(&f->api, "PUT", target, "{'subnet_id': '%s'}", f->subnet);
	ask(&f->api, "POST", "/v2.0/ports", "{'port': {'network_id': '%s'}}", network);
	take_id(&f->api, "port", f->port);
	ask(&f->api, "POST", "/v2.0/floatingips", "{'floatingip': {'floating_network_id': '%s'}}",
	    f->external);
	take_id(&f->api, "floatingip", f->first);
	ask(&f->api, "POST", "/v2.0/floatingips", "{'floatingip': {'floating_network_id': '%s'}}",
	    f->external);
	take_id(&f->api, "floatingip", f->second);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	asker_fini(&f->api);
	free(f);
	return 0;
}

static unsigned forward(struct fixture *f, const char *floating, int external, int internal)
{
	return ask(&f->api, "POST", below(floating, ""),
		   "{'port_forwarding': {'protocol': 'tcp', 'external_port': %d, "
		   "'internal_port': %d, 'internal_port_id': '%s'}}",
		   external, internal, f->port);
}

static void forwardings_are_below_their_floating_ip(void **state)
{
	struct fixture *f = *state;
	char id[37], more[64];
	assert_int_equal(forward(f, f->first, 80, 8080), 201);
	take_id(&f->api, "port_forwarding", id);
	assert_int_equal(weft_json_int(inner(&f->api, "port_forwarding"), "external_port", 0), 80);
	assert_int_equal(forward(f, f->second, 81, 8081), 201);
	assert_int_equal(look(&f->api, "GET", below(f->first, "")), 200);
	assert_int_equal(json_array_size(inner(&f->api, "port_forwardings")), 1);
	snprintf(more, sizeof(more), "?id=%s", id);
	assert_int_equal(look(&f->api, "GET", below(f->first, more)), 200);
	assert_int_equal(json_array_size(inner(&f->api, "port_forwardings")), 1);
	assert_int_equal(look(&f->api, "GET", below(f->second, more)), 200);
	assert_int_equal(json_array_size(inner(&f->api, "port_forwardings")), 0);
	assert_int_equal(look(&f->api, "GET", below(f->first, "?external_port=81")), 200);
	assert_int_equal(json_array_size(inner(&f->api, "port_forwardings")), 0);

	snprintf(more, sizeof(more), "/%s", id);
	assert_int_equal(look(&f->api, "GET", below(f->first, more)), 200);
	assert_int_equal(look(&f->api, "GET", below(f->second, more)), 404);
	assert_string_equal(error_type(&f->api), "PortForwardingNotFound");
	assert_int_equal(ask(&f->api, "PUT", below(f->first, more),
			     "{'port_forwarding': {'internal_port': 8088}}"),
			 200);
	assert_string_equal(weft_json_text(inner(&f->api, "port_forwarding"),
					   "internal_port_range"),
			    "8088:8088");
	assert_int_equal(look(&f->api, "DELETE", below(f->second, more)), 404);
	assert_int_equal(look(&f->api, "DELETE", below(f->first, more)), 204);
	assert_int_equal(look(&f->api, "GET", below(f->first, more)), 404);
}

static void forwardings_have_no_collection_of_their_own(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(look(&f->api, "GET", "/v2.0/port_forwardings"), 404);
	assert_int_equal(look(&f->api, "GET", "/v2.0/port-forwardings"), 404);
	assert_int_equal(ask(&f->api, "PATCH", below(f->first, ""), "%s", ""), 405);
	assert_int_equal(look(&f->api, "GET", "/v2.0"), 200);
	json_t *r;
	size_t i, n = 0;
	json_array_foreach((json_t *)inner(&f->api, "resources"), i, r) {
		assert_string_not_equal(weft_json_text(r, "name"), "port_forwarding");
		n += strcmp(weft_json_text(r, "name"), "floatingip") == 0;
	}
	assert_int_equal(n, 1);
}

static void path_alone_says_which_floating_ip(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask(&f->api, "POST", below(f->first, ""),
			     "{'port_forwarding': {'floatingip_id': '%s', 'protocol': 'tcp', "
			     "'external_port': 1, 'internal_port': 1, 'internal_port_id': '%s'}}",
			     f->second, f->port),
			 400);
	assert_int_equal(ask(&f->api, "POST", below(f->first, ""), "{}"), 400);
	assert_int_equal(ask(&f->api, "POST", below(f->first, ""), "{'port_forwarding': 'x'}"),
			 400);
	assert_int_equal(ask(&f->api, "POST", below(f->first, ""), "[]"), 400);
	assert_int_equal(ask(&f->api, "POST", below(f->first, ""), "%s", ""), 400);
	assert_int_equal(ask(&f->api, "POST", below("00000000-0000-0000-0000-000000000000", ""),
			     "{'port_forwarding': {}}"),
			 404);
	assert_string_equal(error_type(&f->api), "FloatingIPNotFound");
	assert_int_equal(ask(&f->api, "POST", below(f->first, ""),
			     "{'port_forwardings': [{'protocol': 'udp', 'external_port': 1, "
			     "'internal_port': 1, 'internal_port_id': '%s'}, {'protocol': 'udp', "
			     "'external_port': 2, 'internal_port': 2, 'internal_port_id': '%s'}]}",
			     f->port, f->port),
			 201);
	assert_int_equal(json_array_size(inner(&f->api, "port_forwardings")), 2);
}

static void floating_ips_are_filtered_by_what_they_show(void **state)
{
	struct fixture *f = *state;
	char target[128];
	snprintf(target, sizeof(target), "/v2.0/floatingips/%s", f->first);
	assert_int_equal(ask(&f->api, "PUT", target, "{'floatingip': {'port_id': '%s'}}", f->port),
			 200);
	assert_string_equal(weft_json_text(inner(&f->api, "floatingip"), "router_id"), f->router);
	assert_int_equal(look(&f->api, "GET", "/v2.0/floatingips?status=ACTIVE"), 200);
	assert_int_equal(json_array_size(inner(&f->api, "floatingips")), 1);
	snprintf(target, sizeof(target), "/v2.0/floatingips?router_id=%s&port_id=%s", f->router,
		 f->port);
	assert_int_equal(look(&f->api, "GET", target), 200);
	assert_int_equal(json_array_size(inner(&f->api, "floatingips")), 1);
	assert_int_equal(look(&f->api, "GET", "/v2.0/floatingips?floating_ip_address=198.51.100.4"),
			 200);
	assert_int_equal(json_array_size(inner(&f->api, "floatingips")), 1);
	snprintf(target, sizeof(target), "/v2.0/floatingips/%s/tags/web", f->first);
	assert_int_equal(ask(&f->api, "PUT", target, "%s", ""), 201);
	assert_int_equal(look(&f->api, "GET", "/v2.0/floatingips?tags=web"), 200);
	assert_int_equal(json_array_size(inner(&f->api, "floatingips")), 1);
}

static void readers_and_strangers_change_no_forwarding(void **state)
{
	struct fixture *f = *state;
	f->api.roles = "reader";
	assert_int_equal(forward(f, f->first, 80, 80), 403);
	f->api.roles = "admin";
	assert_int_equal(forward(f, f->first, 80, 80), 201);
}

#define WITH_MODEL(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_MODEL(forwardings_are_below_their_floating_ip),
		WITH_MODEL(forwardings_have_no_collection_of_their_own),
		WITH_MODEL(path_alone_says_which_floating_ip),
		WITH_MODEL(floating_ips_are_filtered_by_what_they_show),
		WITH_MODEL(readers_and_strangers_change_no_forwarding),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
