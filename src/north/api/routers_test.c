// SPDX-License-Identifier: Apache-2.0
#include "north/api/api_testing.h"

// The API before a model with a router and a subnet, and an agent that accepts every change, or
// none.
struct fixture {
	struct asker api;
	char router[37], subnet[37];
};

static unsigned act(struct fixture *f, const char *action, const char *body)
{
	char target[256];
	snprintf(target, sizeof(target), "/v2.0/routers/%s/%s", f->router, action);
	return ask(&f->api, "PUT", target, "%s", body);
}

static unsigned act_on_subnet(struct fixture *f, const char *action)
{
	char body[128];
	snprintf(body, sizeof(body), "{'subnet_id': '%s'}", f->subnet);
	return act(f, action, body);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char body[256];
	asker_init(&f->api);
	*state = f;
	if (ask(&f->api, "POST", "/v2.0/routers", "{'router': {'name': 'r'}}") != 201)
		return -1;
	snprintf(f->router, sizeof(f->router), "%s",
		 weft_json_text(inner(&f->api, "router"), "id"));
	ask(&f->api, "POST", "/v2.0/networks", "{'network': {}}");
	snprintf(body, sizeof(body),
		 "{'subnet': {'network_id': '%s', 'ip_version': 4, 'cidr': '10.1.0.0/24'}}",
		 weft_json_text(inner(&f->api, "network"), "id"));
	if (ask(&f->api, "POST", "/v2.0/subnets", "%s", body) != 201)
		return -1;
	snprintf(f->subnet, sizeof(f->subnet), "%s",
		 weft_json_text(inner(&f->api, "subnet"), "id"));
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	asker_fini(&f->api);
	free(f);
	return 0;
}

static void interface_comes_and_goes_and_the_answer_is_bare(void **state)
{
	struct fixture *f = *state;
	char target[256];
	assert_int_equal(act_on_subnet(f, "add_router_interface"), 200);
	assert_string_equal(weft_json_text(f->api.answer.json, "id"), f->router);
	assert_string_equal(weft_json_text(f->api.answer.json, "subnet_id"), f->subnet);
	assert_int_equal(json_array_size(inner(&f->api, "subnet_ids")), 1);
	snprintf(target, sizeof(target), "/v2.0/ports?device_id=%s&status=ACTIVE", f->router);
	assert_int_equal(look(&f->api, "GET", target), 200);
	assert_int_equal(json_array_size(inner(&f->api, "ports")), 1);

	assert_int_equal(act_on_subnet(f, "add_router_interface"), 400);
	assert_string_equal(error_type(&f->api), "BadRequest");
	snprintf(target, sizeof(target), "/v2.0/routers/%s", f->router);
	assert_int_equal(look(&f->api, "DELETE", target), 409);
	assert_string_equal(error_type(&f->api), "RouterInUse");
	assert_int_equal(act_on_subnet(f, "remove_router_interface"), 200);
	assert_int_equal(act_on_subnet(f, "remove_router_interface"), 404);
	assert_string_equal(error_type(&f->api), "RouterInterfaceNotFoundForSubnet");
	assert_int_equal(look(&f->api, "DELETE", target), 204);
	assert_int_equal(act_on_subnet(f, "add_router_interface"), 404);
	assert_string_equal(error_type(&f->api), "RouterNotFound");
}

static void single_routes_are_answered_with_the_router(void **state)
{
	struct fixture *f = *state;
	static const char one[] =
		"{'router': {'routes': [{'destination': '192.0.2.0/24', 'nexthop': '10.1.0.2'}]}}";
	assert_int_equal(act(f, "add_extraroutes", one), 400);
	assert_string_equal(error_type(&f->api), "InvalidRoutes");
	assert_int_equal(act_on_subnet(f, "add_router_interface"), 200);
	assert_int_equal(act(f, "add_extraroutes", one), 200);
	assert_int_equal(json_array_size(json_object_get(inner(&f->api, "router"), "routes")), 1);
	assert_int_equal(act(f, "remove_extraroutes", one), 200);
	assert_int_equal(json_array_size(json_object_get(inner(&f->api, "router"), "routes")), 0);
	assert_int_equal(act(f, "add_extraroutes", "{'routes': []}"), 400);
	assert_int_equal(act(f, "add_extraroutes", "{'router': {'routes': null}}"), 400);
	assert_int_equal(act(f, "add_extraroutes", ""), 400);
}

static void refused_commit_joins_nothing(void **state)
{
	struct fixture *f = *state;
	f->api.commit_ret = -5;
	assert_int_equal(act_on_subnet(f, "add_router_interface"), 503);
	assert_int_equal(weft_model_count(f->api.core.model, RES_PORT), 0);
	f->api.commit_ret = 0;
	assert_int_equal(act_on_subnet(f, "add_router_interface"), 200);
}

static void bodies_without_sense_and_readers_are_refused(void **state)
{
	struct fixture *f = *state;
	static const char *const bodies[] = {"", "[]", "{}", "{'subnet_id': null}", "'x'"};
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		assert_int_equal(act(f, "add_router_interface", bodies[i]), 400);
		assert_int_equal(act(f, "remove_router_interface", bodies[i]), 400);
	}
	f->api.roles = "reader";
	assert_int_equal(act_on_subnet(f, "add_router_interface"), 403);
}

static void extensions_of_routers_are_those_that_are_real(void **state)
{
	struct fixture *f = *state;
	static const char *const served[] = {
		"router",      "extraroute",	   "extraroute-atomic",		 "dvr",
		"ext-gw-mode", "fip-port-details", "floating-ip-port-forwarding"};
	static const char *const not_served[] = {"l3-ha", "l3-ndp-proxy", "dns-integration"};
	char target[64];
	for (size_t i = 0; i < sizeof(served) / sizeof(served[0]); i++) {
		snprintf(target, sizeof(target), "/v2.0/extensions/%s", served[i]);
		assert_int_equal(look(&f->api, "GET", target), 200);
	}
	for (size_t i = 0; i < sizeof(not_served) / sizeof(not_served[0]); i++) {
		snprintf(target, sizeof(target), "/v2.0/extensions/%s", not_served[i]);
		assert_int_equal(look(&f->api, "GET", target), 404);
	}
}

#define WITH_MODEL(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_MODEL(interface_comes_and_goes_and_the_answer_is_bare),
		WITH_MODEL(single_routes_are_answered_with_the_router),
		WITH_MODEL(refused_commit_joins_nothing),
		WITH_MODEL(bodies_without_sense_and_readers_are_refused),
		WITH_MODEL(extensions_of_routers_are_those_that_are_real),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
