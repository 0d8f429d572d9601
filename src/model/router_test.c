// SPDX-License-Identifier: Apache-2.0
#include "model/router.h"

#include <errno.h>

#include "model/index.h"
#include "model/router_testing.h"

static void new_router_is_shown_as_neutron_shows_it(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *o;
	assert_done(post(m, &alice, RES_ROUTER, &o, "{'name': 'r', 'tags': ['a']}"));
	weft_auto(json) shown = weft_model_render(m, o);
	assert_string_equal(weft_json_text(shown, "status"), "ACTIVE");
	assert_string_equal(weft_json_text(shown, "tenant_id"), "alice");
	assert_true(weft_json_bool(shown, "admin_state_up", false));
	assert_false(weft_json_bool(shown, "distributed", true));
	assert_false(weft_json_bool(shown, "ha", true));
	assert_true(json_is_null(json_object_get(shown, "external_gateway_info")));
	assert_true(json_is_null(json_object_get(shown, "flavor_id")));
	assert_int_equal(json_array_size(json_object_get(shown, "routes")), 0);
	assert_null(json_object_get(shown, "enable_ndp_proxy"));
	weft_auto(json) members = weft_model_render_for(m, &alice, o);
	assert_null(json_object_get(members, "distributed"));
	assert_false(weft_model_visible(m, &bob, o));
	assert_refused(put(m, &bob, RES_ROUTER, o->id, NULL, "{'name': 'mine'}"), -ENOENT,
		       "RouterNotFound");
	weft_model_free(m);
}

static void what_a_router_cannot_be_is_refused(void **state)
{
	(void)state;
	struct model *m = model_new();
	char id[WEFT_ID_LEN + 1];
	const char *r = router_new(m, &alice, id);
	static const struct {
		const char *body, *kind;
		int code;
	} cases[] = {
		{"{'external_gateway_info': 'x'}", "HTTPBadRequest", -EINVAL},
		{"{'external_gateway_info': {'network_id': 'x'}}", "HTTPBadRequest", -EINVAL},
		{"{'external_gateway_info': {'enable_snat': true}}", "HTTPBadRequest", -EINVAL},
		{"{'external_gateway_info': {'qos_policy_id': null}}", "HTTPBadRequest", -EINVAL},
		{"{'ha': true}", "BadRequest", -EINVAL},
		{"{'flavor_id': 'gold'}", "FlavorNotFound", -ENOENT},
		{"{'routes': []}", "HTTPBadRequest", -EINVAL},
		{"{'status': 'DOWN'}", "HTTPBadRequest", -EINVAL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_refused(post(m, &admin, RES_ROUTER, NULL, "%s", cases[i].body),
			       cases[i].code, cases[i].kind);
	assert_done(put(m, &alice, RES_ROUTER, r, NULL, "{'external_gateway_info': {}}"));
	assert_refused(post(m, &alice, RES_ROUTER, NULL, "{'distributed': true}"), -EPERM,
		       "PolicyNotAuthorized");
	weft_model_free(m);
}

static void router_becomes_distributed_only_while_it_is_down(void **state)
{
	(void)state;
	struct model *m = model_new();
	char id[WEFT_ID_LEN + 1];
	const char *r = router_new(m, &alice, id);
	const struct object *port = joined(m, r, subnet_new(m, "4", "10.1.0.0/24", ""));
	char port_id[WEFT_ID_LEN + 1];
	snprintf(port_id, sizeof(port_id), "%s", port->id);
	assert_string_equal(text_of(port, "device_owner"), "network:router_interface");
	assert_refused(put(m, &admin, RES_ROUTER, r, NULL, "{'distributed': true}"), -EINVAL,
		       "BadRequest");
	assert_done(put(m, &admin, RES_ROUTER, r, NULL,
			"{'distributed': true, 'admin_state_up': false}"));
	port = weft_model_get(m, RES_PORT, port_id);
	assert_string_equal(text_of(port, "device_owner"), "network:router_interface_distributed");
	assert_int_equal(weft_index_count(m, REF_ROUTER_PORTS, r), 1);
	weft_model_free(m);
}

static void next_hops_are_on_connected_subnets_and_not_the_router(void **state)
{
	(void)state;
	struct model *m = model_new();
	char id[WEFT_ID_LEN + 1];
	const char *r = router_new(m, &alice, id);
	joined(m, r, subnet_new(m, "4", "10.1.0.0/24", ""));
	joined(m, r, subnet_new(m, "6", "2001:db8:1::/64", ""));
	static const struct {
		const char *dst, *via;
	} bad[] = {
		{"192.0.2.0/24", "10.9.0.1"},	     {"192.0.2.0/24", "10.1.0.1"},
		{"192.0.2.0/24", "2001:db8:1::2"},   {"2001:db8:9::/48", "10.1.0.2"},
		{"2001:db8:9::/48", "2001:db8:1::"},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(put(m, &alice, RES_ROUTER, r, NULL,
				   "{'routes': [{'destination': '%s', 'nexthop': '%s'}]}",
				   bad[i].dst, bad[i].via),
			       -EINVAL, "InvalidRoutes");
	assert_done(put(m, &alice, RES_ROUTER, r, NULL,
			"{'routes': [{'destination': '192.0.2.0/24', 'nexthop': '10.1.0.2'},"
			" {'destination': '2001:db8:9::/48', 'nexthop': '2001:DB8:1::2'}]}"));
	assert_route(m, r, 0, "192.0.2.0/24", "10.1.0.2");
	assert_route(m, r, 1, "2001:db8:9::/48", "2001:db8:1::2");
	assert_refused(put(m, &alice, RES_ROUTER, r, NULL,
			   "{'routes': [{'destination': '0.0.0.0/0', 'nexthop': '10.1.0.2'},"
			   " {'destination': '0.0.0.0/0', 'nexthop': '10.1.0.2'}]}"),
		       -EINVAL, "HTTPBadRequest");
	assert_done(put(m, &alice, RES_ROUTER, r, NULL, "{'routes': null}"));
	assert_int_equal(json_array_size(routes_of(m, r)), 0);
	weft_model_free(m);
}

static void a_router_has_thirty_routes_at_most(void **state)
{
	(void)state;
	struct model *m = model_new();
	char id[WEFT_ID_LEN + 1];
	const char *r = router_new(m, &alice, id);
	joined(m, r, subnet_new(m, "4", "10.1.0.0/24", ""));
	weft_auto(json) routes = json_array();
	for (int i = 0; i < 31; i++) {
		char dst[32];
		snprintf(dst, sizeof(dst), "192.168.%d.0/24", i);
		json_array_append_new(routes, json_pack("{s:s, s:s}", "destination", dst, "nexthop",
							"10.1.0.2"));
	}
	assert_refused(change_routes(m, r, routes, true), -EINVAL, "RoutesExhausted");
	json_array_remove(routes, 30);
	assert_done(change_routes(m, r, routes, true));
	weft_model_free(m);
}

static void single_routes_come_and_go_and_may_be_there_already(void **state)
{
	(void)state;
	struct model *m = model_new();
	char id[WEFT_ID_LEN + 1];
	const char *r = router_new(m, &alice, id);
	joined(m, r, subnet_new(m, "4", "10.1.0.0/24", ""));
	weft_auto(json) one = body_of("[{'destination': '192.0.2.0/24', 'nexthop': '10.1.0.2'}]");
	weft_auto(json) two = body_of("[{'destination': '192.0.2.0/24', 'nexthop': '10.1.0.2'},"
				      " {'destination': '192.0.2.0/24', 'nexthop': '10.1.0.3'}]");
	assert_done(change_routes(m, r, one, true));
	assert_done(change_routes(m, r, two, true));
	assert_int_equal(json_array_size(routes_of(m, r)), 2);
	assert_route(m, r, 1, "192.0.2.0/24", "10.1.0.3");
	assert_done(change_routes(m, r, one, false));
	assert_done(change_routes(m, r, one, false));
	assert_int_equal(json_array_size(routes_of(m, r)), 1);
	assert_route(m, r, 0, "192.0.2.0/24", "10.1.0.3");
	assert_refused(change_routes(m, "a6f9d2f0-5c0e-4a35-9a2e-0a0b0c0d0e0f", one, true), -ENOENT,
		       "RouterNotFound");
	weft_model_free(m);
}

static void router_with_interfaces_is_kept(void **state)
{
	(void)state;
	struct model *m = model_new();
	char id[WEFT_ID_LEN + 1];
	const char *r = router_new(m, &alice, id);
	const struct object *subnet = subnet_new(m, "4", "10.1.0.0/24", "");
	joined(m, r, subnet);
	assert_refused(drop(m, &alice, RES_ROUTER, r), -EBUSY, "RouterInUse");
	assert_refused(drop(m, &alice, RES_SUBNET, subnet->id), -EBUSY, "SubnetInUse");
	assert_refused(drop(m, &alice, RES_NETWORK, text_of(subnet, "network_id")), -EBUSY,
		       "NetworkInUse");
	assert_refused(put(m, &alice, RES_SUBNET, subnet->id, NULL, "{'gateway_ip': null}"), -EBUSY,
		       "GatewayIpInUse");
	assert_done(leave(m, &alice, r, NULL, "{'subnet_id': '%s'}", subnet->id));
	assert_done(drop(m, &alice, RES_ROUTER, r));
	assert_done(drop(m, &alice, RES_NETWORK, text_of(subnet, "network_id")));
	weft_model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_router_is_shown_as_neutron_shows_it),
		cmocka_unit_test(what_a_router_cannot_be_is_refused),
		cmocka_unit_test(router_becomes_distributed_only_while_it_is_down),
		cmocka_unit_test(next_hops_are_on_connected_subnets_and_not_the_router),
		cmocka_unit_test(a_router_has_thirty_routes_at_most),
		cmocka_unit_test(single_routes_come_and_go_and_may_be_there_already),
		cmocka_unit_test(router_with_interfaces_is_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
