// SPDX-License-Identifier: Apache-2.0
#include "north/api/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

// The API before a model with a router and a subnet, and an agent that accepts every change, or none.
struct fixture {
	struct api_core core;
	int commit_ret;
	const char *roles;
	struct api_answer answer; // the last one
	char router[37], subnet[37];
};

static int fake_commit(void *arg, struct txn *t, struct err *err)
{
	struct fixture *f = arg;
	if (f->commit_ret < 0)
		return weft_fail(err, f->commit_ret, "the disk is full");
	weft_txn_commit(t);
	return 0;
}

// Ask, and answer the status; the body stays in f->answer. The body is JSON with single quotes.
static unsigned ask(struct fixture *f, const char *method, const char *target, const char *body)
{
	char text[1024];
	snprintf(text, sizeof(text), "%s", body);
	for (char *p = text; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	struct api_request rq = {.method = method,
				 .target = target,
				 .host = "127.0.0.1:9696",
				 .roles = f->roles,
				 .content_type = "application/json",
				 .body = text,
				 .body_len = strlen(text)};
	weft_answer_fini(&f->answer);
	weft_api_handle(&f->core, &rq, &f->answer);
	return f->answer.status;
}

static unsigned act(struct fixture *f, const char *action, const char *body)
{
	char target[256];
	snprintf(target, sizeof(target), "/v2.0/routers/%s/%s", f->router, action);
	return ask(f, "PUT", target, body);
}

static unsigned act_on_subnet(struct fixture *f, const char *action)
{
	char body[128];
	snprintf(body, sizeof(body), "{'subnet_id': '%s'}", f->subnet);
	return act(f, action, body);
}

static const json_t *inner(const struct fixture *f, const char *key)
{
	return json_object_get(f->answer.json, key);
}

static const char *error_type(const struct fixture *f)
{
	return weft_json_text(inner(f, "NeutronError"), "type");
}

static int setup(void **state)
{
	struct model_config config = {.host = "node-1", .default_mtu = 1500};
	struct fixture *f = calloc(1, sizeof(*f));
	char body[256];
	f->core.model = weft_model_new(&config);
	f->core.hooks = (struct api_hooks) {.arg = f, .commit = fake_commit};
	*state = f;
	if (ask(f, "POST", "/v2.0/routers", "{'router': {'name': 'r'}}") != 201)
		return -1;
	snprintf(f->router, sizeof(f->router), "%s", weft_json_text(inner(f, "router"), "id"));
	ask(f, "POST", "/v2.0/networks", "{'network': {}}");
	snprintf(body, sizeof(body),
		 "{'subnet': {'network_id': '%s', 'ip_version': 4, 'cidr': '10.1.0.0/24'}}",
		 weft_json_text(inner(f, "network"), "id"));
	if (ask(f, "POST", "/v2.0/subnets", body) != 201)
		return -1;
	snprintf(f->subnet, sizeof(f->subnet), "%s", weft_json_text(inner(f, "subnet"), "id"));
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	weft_answer_fini(&f->answer);
	weft_model_free(f->core.model);
	free(f);
	return 0;
}

static void interface_comes_and_goes_and_the_answer_is_bare(void **state)
{
	struct fixture *f = *state;
	char target[256];
	assert_int_equal(act_on_subnet(f, "add_router_interface"), 200);
	assert_string_equal(weft_json_text(f->answer.json, "id"), f->router);
	assert_string_equal(weft_json_text(f->answer.json, "subnet_id"), f->subnet);
	assert_int_equal(json_array_size(inner(f, "subnet_ids")), 1);
	snprintf(target, sizeof(target), "/v2.0/ports?device_id=%s&status=ACTIVE", f->router);
	assert_int_equal(ask(f, "GET", target, ""), 200);
	assert_int_equal(json_array_size(inner(f, "ports")), 1);

	assert_int_equal(act_on_subnet(f, "add_router_interface"), 400);
	assert_string_equal(error_type(f), "BadRequest");
	snprintf(target, sizeof(target), "/v2.0/routers/%s", f->router);
	assert_int_equal(ask(f, "DELETE", target, ""), 409);
	assert_string_equal(error_type(f), "RouterInUse");
	assert_int_equal(act_on_subnet(f, "remove_router_interface"), 200);
	assert_int_equal(act_on_subnet(f, "remove_router_interface"), 404);
	assert_string_equal(error_type(f), "RouterInterfaceNotFoundForSubnet");
	assert_int_equal(ask(f, "DELETE", target, ""), 204);
	assert_int_equal(act_on_subnet(f, "add_router_interface"), 404);
	assert_string_equal(error_type(f), "RouterNotFound");
}

static void single_routes_are_answered_with_the_router(void **state)
{
	struct fixture *f = *state;
	static const char one[] =
		"{'router': {'routes': [{'destination': '192.0.2.0/24', 'nexthop': '10.1.0.2'}]}}";
	assert_int_equal(act(f, "add_extraroutes", one), 400);
	assert_string_equal(error_type(f), "InvalidRoutes");
	assert_int_equal(act_on_subnet(f, "add_router_interface"), 200);
	assert_int_equal(act(f, "add_extraroutes", one), 200);
	assert_int_equal(json_array_size(json_object_get(inner(f, "router"), "routes")), 1);
	assert_int_equal(act(f, "remove_extraroutes", one), 200);
	assert_int_equal(json_array_size(json_object_get(inner(f, "router"), "routes")), 0);
	assert_int_equal(act(f, "add_extraroutes", "{'routes': []}"), 400);
	assert_int_equal(act(f, "add_extraroutes", "{'router': {'routes': null}}"), 400);
	assert_int_equal(act(f, "add_extraroutes", ""), 400);
}

static void refused_commit_joins_nothing(void **state)
{
	struct fixture *f = *state;
	f->commit_ret = -5;
	assert_int_equal(act_on_subnet(f, "add_router_interface"), 503);
	assert_int_equal(weft_model_count(f->core.model, RES_PORT), 0);
	f->commit_ret = 0;
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
	f->roles = "reader";
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
		assert_int_equal(ask(f, "GET", target, ""), 200);
	}
	for (size_t i = 0; i < sizeof(not_served) / sizeof(not_served[0]); i++) {
		snprintf(target, sizeof(target), "/v2.0/extensions/%s", not_served[i]);
		assert_int_equal(ask(f, "GET", target, ""), 404);
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
