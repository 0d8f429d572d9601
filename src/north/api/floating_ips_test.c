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

// The API before a model with a VM behind a router that leads outside, and two floating IPs.
struct fixture {
	struct api_core core;
	const char *roles;
	struct api_answer answer; // the last one
	char external[37], router[37], subnet[37], port[37], first[37], second[37];
};

static int fake_commit(void *arg, struct txn *t, struct err *err)
{
	(void)arg;
	(void)err;
	weft_txn_commit(t);
	return 0;
}

// Ask, and answer the status; the body stays in f->answer. The body is JSON with single quotes, target and body are printf's.
__attribute__((format(printf, 4, 5))) static unsigned ask(struct fixture *f, const char *method,
							  const char *target, const char *body, ...)
{
	char text[1024];
	va_list args;
	va_start(args, body);
	vsnprintf(text, sizeof(text), body, args);
	va_end(args);
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

static unsigned look(struct fixture *f, const char *target)
{
	return ask(f, "GET", target, "%s", "");
}

static const json_t *inner(const struct fixture *f, const char *key)
{
	return json_object_get(f->answer.json, key);
}

static const char *error_type(const struct fixture *f)
{
	return weft_json_text(inner(f, "NeutronError"), "type");
}

static void take_id(const struct fixture *f, const char *key, char id[37])
{
	const char *got = weft_json_text(inner(f, key), "id");
	if (got == NULL)
		fail_msg("no %s: %s", key, weft_json_text(inner(f, "NeutronError"), "message"));
	snprintf(id, 37, "%s", got);
}

static const char *below(const char *floating, const char *more)
{
	static char target[256];
	snprintf(target, sizeof(target), "/v2.0/floatingips/%s/port_forwardings%s", floating, more);
	return target;
}

static int setup(void **state)
{
	struct model_config config = {.host = "node-1", .default_mtu = 1500};
	struct fixture *f = calloc(1, sizeof(*f));
	char network[37], target[128];
	f->core.model = weft_model_new(&config);
	f->core.hooks = (struct api_hooks) {.arg = f, .commit = fake_commit};
	*state = f;
	ask(f, "POST", "/v2.0/networks", "{'network': {'router:external': true}}");
	take_id(f, "network", f->external);
	ask(f, "POST", "/v2.0/subnets",
	    "{'subnet': {'network_id': '%s', 'ip_version': 4, 'cidr': '198.51.100.0/24'}}",
	    f->external);
	ask(f, "POST", "/v2.0/routers",
	    "{'router': {'external_gateway_info': {'network_id': '%s'}}}", f->external);
	take_id(f, "router", f->router);
	ask(f, "POST", "/v2.0/networks", "{'network': {}}");
	take_id(f, "network", network);
	ask(f, "POST", "/v2.0/subnets",
	    "{'subnet': {'network_id': '%s', 'ip_version': 4, 'cidr': '10.1.0.0/24'}}", network);
	take_id(f, "subnet", f->subnet);
	snprintf(target, sizeof(target), "/v2.0/routers/%s/add_router_interface", f->router);
	ask(f, "PUT", target, "{'subnet_id': '%s'}", f->subnet);
	ask(f, "POST", "/v2.0/ports", "{'port': {'network_id': '%s'}}", network);
	take_id(f, "port", f->port);
	ask(f, "POST", "/v2.0/floatingips", "{'floatingip': {'floating_network_id': '%s'}}",
	    f->external);
	take_id(f, "floatingip", f->first);
	ask(f, "POST", "/v2.0/floatingips", "{'floatingip': {'floating_network_id': '%s'}}",
	    f->external);
	take_id(f, "floatingip", f->second);
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

static unsigned forward(struct fixture *f, const char *floating, int external, int internal)
{
	return ask(f, "POST", below(floating, ""),
		   "{'port_forwarding': {'protocol': 'tcp', 'external_port': %d, "
		   "'internal_port': %d, 'internal_port_id': '%s'}}",
		   external, internal, f->port);
}

static void forwardings_are_below_their_floating_ip(void **state)
{
	struct fixture *f = *state;
	char id[37], more[64];
	assert_int_equal(forward(f, f->first, 80, 8080), 201);
	take_id(f, "port_forwarding", id);
	assert_int_equal(weft_json_int(inner(f, "port_forwarding"), "external_port", 0), 80);
	assert_int_equal(forward(f, f->second, 81, 8081), 201);
	assert_int_equal(look(f, below(f->first, "")), 200);
	assert_int_equal(json_array_size(inner(f, "port_forwardings")), 1);
	snprintf(more, sizeof(more), "?id=%s", id);
	assert_int_equal(look(f, below(f->first, more)), 200);
	assert_int_equal(json_array_size(inner(f, "port_forwardings")), 1);
	assert_int_equal(look(f, below(f->second, more)), 200);
	assert_int_equal(json_array_size(inner(f, "port_forwardings")), 0);
	assert_int_equal(look(f, below(f->first, "?external_port=81")), 200);
	assert_int_equal(json_array_size(inner(f, "port_forwardings")), 0);

	snprintf(more, sizeof(more), "/%s", id);
	assert_int_equal(look(f, below(f->first, more)), 200);
	assert_int_equal(look(f, below(f->second, more)), 404);
	assert_string_equal(error_type(f), "PortForwardingNotFound");
	assert_int_equal(ask(f, "PUT", below(f->first, more),
			     "{'port_forwarding': {'internal_port': 8088}}"),
			 200);
	assert_string_equal(weft_json_text(inner(f, "port_forwarding"), "internal_port_range"),
			    "8088:8088");
	assert_int_equal(ask(f, "DELETE", below(f->second, more), "%s", ""), 404);
	assert_int_equal(ask(f, "DELETE", below(f->first, more), "%s", ""), 204);
	assert_int_equal(look(f, below(f->first, more)), 404);
}

static void forwardings_have_no_collection_of_their_own(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(look(f, "/v2.0/port_forwardings"), 404);
	assert_int_equal(look(f, "/v2.0/port-forwardings"), 404);
	assert_int_equal(ask(f, "PATCH", below(f->first, ""), "%s", ""), 405);
	assert_int_equal(look(f, "/v2.0"), 200);
	json_t *r;
	size_t i, n = 0;
	json_array_foreach((json_t *)inner(f, "resources"), i, r) {
		assert_string_not_equal(weft_json_text(r, "name"), "port_forwarding");
		n += strcmp(weft_json_text(r, "name"), "floatingip") == 0;
	}
	assert_int_equal(n, 1);
}

static void path_alone_says_which_floating_ip(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask(f, "POST", below(f->first, ""),
			     "{'port_forwarding': {'floatingip_id': '%s', 'protocol': 'tcp', "
			     "'external_port': 1, 'internal_port': 1, 'internal_port_id': '%s'}}",
			     f->second, f->port),
			 400);
	assert_int_equal(ask(f, "POST", below(f->first, ""), "{}"), 400);
	assert_int_equal(ask(f, "POST", below(f->first, ""), "{'port_forwarding': 'x'}"), 400);
	assert_int_equal(ask(f, "POST", below(f->first, ""), "[]"), 400);
	assert_int_equal(ask(f, "POST", below(f->first, ""), "%s", ""), 400);
	assert_int_equal(ask(f, "POST", below("00000000-0000-0000-0000-000000000000", ""),
			     "{'port_forwarding': {}}"),
			 404);
	assert_string_equal(error_type(f), "FloatingIPNotFound");
	assert_int_equal(ask(f, "POST", below(f->first, ""),
			     "{'port_forwardings': [{'protocol': 'udp', 'external_port': 1, "
			     "'internal_port': 1, 'internal_port_id': '%s'}, {'protocol': 'udp', "
			     "'external_port': 2, 'internal_port': 2, 'internal_port_id': '%s'}]}",
			     f->port, f->port),
			 201);
	assert_int_equal(json_array_size(inner(f, "port_forwardings")), 2);
}

static void floating_ips_are_filtered_by_what_they_show(void **state)
{
	struct fixture *f = *state;
	char target[128];
	snprintf(target, sizeof(target), "/v2.0/floatingips/%s", f->first);
	assert_int_equal(ask(f, "PUT", target, "{'floatingip': {'port_id': '%s'}}", f->port), 200);
	assert_string_equal(weft_json_text(inner(f, "floatingip"), "router_id"), f->router);
	assert_int_equal(look(f, "/v2.0/floatingips?status=ACTIVE"), 200);
	assert_int_equal(json_array_size(inner(f, "floatingips")), 1);
	snprintf(target, sizeof(target), "/v2.0/floatingips?router_id=%s&port_id=%s", f->router,
		 f->port);
	assert_int_equal(look(f, target), 200);
	assert_int_equal(json_array_size(inner(f, "floatingips")), 1);
	assert_int_equal(look(f, "/v2.0/floatingips?floating_ip_address=198.51.100.4"), 200);
	assert_int_equal(json_array_size(inner(f, "floatingips")), 1);
	snprintf(target, sizeof(target), "/v2.0/floatingips/%s/tags/web", f->first);
	assert_int_equal(ask(f, "PUT", target, "%s", ""), 201);
	assert_int_equal(look(f, "/v2.0/floatingips?tags=web"), 200);
	assert_int_equal(json_array_size(inner(f, "floatingips")), 1);
}

static void readers_and_strangers_change_no_forwarding(void **state)
{
	struct fixture *f = *state;
	f->roles = "reader";
	assert_int_equal(forward(f, f->first, 80, 80), 403);
	f->roles = "admin";
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
