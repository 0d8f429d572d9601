// SPDX-License-Identifier: Apache-2.0
#include "model/router.h"

#include <errno.h>

#include "model/gateway_testing.h"

static void gateway_is_a_port_of_nobodys_on_the_external_network(void **state)
{
	(void)state;
	struct world w = world_new();
	int64_t revision = weft_json_int(router_of(&w)->attr, "revision_number", 0);
	assert_done(set_gateway(&w, &alice, w.external, ""));
	const struct object *port = gateway_of(&w);
	assert_string_equal(text_of(port, "device_owner"), "network:router_gateway");
	assert_string_equal(text_of(port, "device_id"), w.router);
	assert_string_equal(text_of(port, "network_id"), w.external);
	assert_string_equal(port->project_id, "");
	assert_string_equal(ip_of(port, 0), "198.51.100.2");
	assert_false(weft_model_visible(w.m, &alice, port));
	assert_string_equal(weft_json_text(gateway_info(&w), "network_id"), w.external);
	assert_true(weft_json_bool(gateway_info(&w), "enable_snat", false));
	assert_true(json_equal(json_object_get(gateway_info(&w), "external_fixed_ips"),
			       json_object_get(port->attr, "fixed_ips")));
	assert_int_equal(weft_json_int(router_of(&w)->attr, "revision_number", 0), revision + 1);
	assert_int_equal(weft_index_count(w.m, REF_NETWORK_GATEWAY_PORTS, w.external), 1);
	assert_int_equal(weft_index_count(w.m, REF_ROUTER_PORTS, w.router), 1);
	weft_auto(json) shown = weft_model_render(w.m, port);
	assert_string_equal(weft_json_text(shown, "status"), "ACTIVE");

	// Asked for once more, it is the same one.
	assert_done(set_gateway(&w, &alice, w.external, ""));
	assert_ptr_equal(gateway_of(&w), port);
	assert_int_equal(weft_json_int(router_of(&w)->attr, "revision_number", 0), revision + 1);
	assert_done(clear_gateway(&w));
	assert_true(json_is_null(gateway_info(&w)));
	assert_int_equal(weft_index_count(w.m, REF_NETWORK_PORTS, w.external), 0);
	world_free(&w);
}

static void gateway_may_come_with_the_router_and_goes_with_it(void **state)
{
	(void)state;
	struct world w = world_new();
	const struct object *o;
	assert_done(post(w.m, &alice, RES_ROUTER, &o,
			 "{'external_gateway_info': {'network_id': '%s'}}", w.external));
	const struct object *port = only(w.m, REF_NETWORK_GATEWAY_PORTS, w.external);
	assert_string_equal(text_of(port, "device_id"), o->id);
	assert_done(drop(w.m, &alice, RES_ROUTER, o->id));
	assert_int_equal(weft_index_count(w.m, REF_NETWORK_PORTS, w.external), 0);
	world_free(&w);
}

static void gateway_moves_to_another_network(void **state)
{
	(void)state;
	struct world w = world_new();
	const struct object *other = external_new(w.m, "203.0.113.0/24");
	assert_done(set_gateway(&w, &alice, w.external, ""));
	assert_done(set_gateway(&w, &alice, other->id, ""));
	assert_string_equal(ip_of(gateway_of(&w), 0), "203.0.113.2");
	assert_int_equal(weft_index_count(w.m, REF_NETWORK_PORTS, w.external), 0);
	world_free(&w);
}

static void gateway_has_one_address_of_each_family(void **state)
{
	(void)state;
	struct world w = world_new();
	assert_done(post(w.m, &admin, RES_SUBNET, NULL,
			 "{'network_id': '%s', 'ip_version': 6, 'cidr': '2001:db8:f::/64'}",
			 w.external));
	assert_done(post(w.m, &admin, RES_SUBNET, NULL,
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '192.0.2.0/24'}",
			 w.external));
	assert_done(set_gateway(&w, &alice, w.external, ""));
	assert_int_equal(json_array_size(json_object_get(gateway_of(&w)->attr, "fixed_ips")), 2);
	assert_string_equal(ip_of(gateway_of(&w), 1), "2001:db8:f::1");
	world_free(&w);
}

static void gateway_gets_an_address_of_a_family_that_comes_later(void **state)
{
	(void)state;
	struct world w = world_new();
	const struct object *v6, *overlapping;
	assert_done(set_gateway(&w, &alice, w.external, ""));
	assert_done(post(w.m, &admin, RES_SUBNET, NULL,
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '192.0.2.0/24'}",
			 w.external));
	assert_int_equal(json_array_size(json_object_get(gateway_info(&w), "external_fixed_ips")),
			 1);
	assert_done(post(w.m, &admin, RES_SUBNET, &v6,
			 "{'network_id': '%s', 'ip_version': 6, 'cidr': '2001:db8:f::/64', "
			 "'ipv6_ra_mode': 'slaac', 'ipv6_address_mode': 'slaac'}",
			 w.external));
	assert_int_equal(json_array_size(json_object_get(gateway_info(&w), "external_fixed_ips")),
			 2);
	assert_true(json_equal(json_object_get(gateway_info(&w), "external_fixed_ips"),
			       json_object_get(gateway_of(&w)->attr, "fixed_ips")));
	// It goes with its subnet, and the router says so.
	assert_done(drop(w.m, &admin, RES_SUBNET, v6->id));
	assert_int_equal(json_array_size(json_object_get(gateway_info(&w), "external_fixed_ips")),
			 1);
	// A subnet like one inside is no use to this router, which is no reason to refuse it.
	joined(w.m, w.router, subnet_new(w.m, "6", "2001:db8:1::/64", ""));
	assert_done(post(w.m, &admin, RES_SUBNET, &overlapping,
			 "{'network_id': '%s', 'ip_version': 6, 'cidr': '2001:db8:1::/60'}",
			 w.external));
	assert_int_equal(json_array_size(json_object_get(gateway_info(&w), "external_fixed_ips")),
			 1);
	world_free(&w);
}

static void admins_choose_addresses_and_translation(void **state)
{
	(void)state;
	struct world w = world_new();
	assert_refused(set_gateway(&w, &alice, w.external, ", 'enable_snat': true"), -EPERM,
		       "PolicyNotAuthorized");
	assert_refused(set_gateway(&w, &alice, w.external,
				   ", 'external_fixed_ips': [{'ip_address': '198.51.100.7'}]"),
		       -EPERM, "PolicyNotAuthorized");
	assert_done(set_gateway(&w, &admin, w.external,
				", 'enable_snat': false,"
				" 'external_fixed_ips': [{'ip_address': '198.51.100.7'}]"));
	char id[WEFT_ID_LEN + 1];
	keep(id, gateway_of(&w));
	assert_string_equal(ip_of(gateway_of(&w), 0), "198.51.100.7");
	assert_false(weft_json_bool(gateway_info(&w), "enable_snat", true));
	assert_done(set_gateway(&w, &admin, w.external,
				", 'external_fixed_ips': [{'ip_address': '198.51.100.8'}]"));
	assert_string_equal(gateway_of(&w)->id, id);
	const json_t *fixed =
		json_array_get(json_object_get(gateway_info(&w), "external_fixed_ips"), 0);
	assert_string_equal(weft_json_text(fixed, "ip_address"), "198.51.100.8");
	assert_true(weft_json_bool(gateway_info(&w), "enable_snat", false));
	// What was the gateway's is free again.
	assert_done(post(w.m, &admin, RES_PORT, NULL,
			 "{'network_id': '%s', 'fixed_ips': [{'ip_address': '198.51.100.7'}]}",
			 w.external));
	assert_refused(set_gateway(&w, &admin, w.external,
				   ", 'external_fixed_ips': [{'ip_address': '198.51.100.7'}]"),
		       -EBUSY, "IpAddressAlreadyAllocated");
	world_free(&w);
}

static void gateways_that_cannot_be_are_refused(void **state)
{
	(void)state;
	struct world w = world_new();
	const struct object *inner;
	assert_done(post(w.m, &alice, RES_NETWORK, &inner, "{}"));
	assert_refused(set_gateway(&w, &alice, inner->id, ""), -EINVAL, "BadRequest");
	assert_refused(set_gateway(&w, &alice, "00000000-0000-0000-0000-000000000000", ""), -ENOENT,
		       "NetworkNotFound");
	assert_refused(set_gateway(&w, &admin, w.external,
				   ", 'external_fixed_ips': [{'ip_address': '198.51.100.1'}]"),
		       -EINVAL, "BadRequest");
	assert_refused(set_gateway(&w, &admin, w.external,
				   ", 'external_fixed_ips': [{'ip_address': '203.0.113.9'}]"),
		       -EINVAL, "InvalidIpForNetwork");
	// Outside is 198.51.100.0/24: nothing inside may be.
	const struct object *alike = subnet_new(w.m, "4", "198.51.100.128/25", "");
	char router[WEFT_ID_LEN + 1];
	router_new(w.m, &alice, router);
	joined(w.m, router, alike);
	assert_refused(put(w.m, &alice, RES_ROUTER, router, NULL,
			   "{'external_gateway_info': {'network_id': '%s'}}", w.external),
		       -EINVAL, "BadRequest");
	assert_non_null(strstr(last_err.msg, "overlaps"));
	assert_done(set_gateway(&w, &alice, w.external, ""));
	assert_refused(join(w.m, &alice, w.router, NULL, "{'subnet_id': '%s'}", alike->id), -EINVAL,
		       "BadRequest");
	assert_refused(join(w.m, &admin, w.router, NULL, "{'subnet_id': '%s'}", w.outside), -EINVAL,
		       "BadRequest");
	world_free(&w);
}

static void gateway_is_not_changed_through_its_port(void **state)
{
	(void)state;
	struct world w = world_new();
	assert_done(set_gateway(&w, &alice, w.external, ""));
	char id[WEFT_ID_LEN + 1];
	keep(id, gateway_of(&w));
	assert_refused(drop(w.m, &admin, RES_PORT, id), -EBUSY, "ServicePortInUse");
	assert_refused(put(w.m, &admin, RES_PORT, id, NULL, "{'device_id': ''}"), -EBUSY,
		       "PortInUse");
	assert_refused(post(w.m, &admin, RES_PORT, NULL,
			    "{'network_id': '%s', 'device_owner': 'network:router_gateway', "
			    "'device_id': '%s'}",
			    w.external, w.router),
		       -EINVAL, "BadRequest");
	// Its addresses may be, and the router follows.
	assert_done(put(w.m, &admin, RES_PORT, id, NULL,
			"{'fixed_ips': [{'ip_address': '198.51.100.77'}]}"));
	const json_t *fixed =
		json_array_get(json_object_get(gateway_info(&w), "external_fixed_ips"), 0);
	assert_string_equal(weft_json_text(fixed, "ip_address"), "198.51.100.77");
	assert_refused(drop(w.m, &admin, RES_SUBNET, w.outside), -EBUSY, "SubnetInUse");
	assert_refused(drop(w.m, &admin, RES_NETWORK, w.external), -EBUSY, "NetworkInUse");
	world_free(&w);
}

static void routes_may_lead_through_the_gateway_and_keep_it(void **state)
{
	(void)state;
	struct world w = world_new();
	static const char route[] = "{'destination': '203.0.113.0/24', 'nexthop': '198.51.100.9'}";
	assert_done(set_gateway(&w, &alice, w.external, ""));
	assert_done(put(w.m, &alice, RES_ROUTER, w.router, NULL, "{'routes': [%s]}", route));
	assert_refused(clear_gateway(&w), -EBUSY, "RouterInterfaceInUseByRoute");
	assert_refused(put(w.m, &alice, RES_ROUTER, w.router, NULL,
			   "{'routes': [{'destination': '0.0.0.0/0', 'nexthop': '198.51.100.2'}]}"),
		       -EINVAL, "InvalidRoutes");
	assert_done(put(w.m, &alice, RES_ROUTER, w.router, NULL,
			"{'routes': [], 'external_gateway_info': {}}"));
	assert_refused(put(w.m, &alice, RES_ROUTER, w.router, NULL, "{'routes': [%s]}", route),
		       -EINVAL, "InvalidRoutes");
	world_free(&w);
}

static void refused_change_of_a_gateway_leaves_it_as_it_was(void **state)
{
	(void)state;
	struct world w = world_new();
	assert_done(set_gateway(&w, &alice, w.external, ""));
	char *before = model_dump(w.m);
	const struct object *other = external_new(w.m, "203.0.113.0/24");
	assert_done(drop(w.m, &admin, RES_NETWORK, other->id));
	char *after = model_dump(w.m);
	assert_string_equal(before, after);
	free(after);
	assert_refused(put(w.m, &alice, RES_ROUTER, w.router, NULL,
			   "{'external_gateway_info': null, 'routes': [{'destination': "
			   "'0.0.0.0/0', 'nexthop': '198.51.100.9'}]}"),
		       -EBUSY, "RouterInterfaceInUseByRoute");
	after = model_dump(w.m);
	assert_string_equal(before, after);
	free(after);
	free(before);
	world_free(&w);
}

static void network_stays_external_while_it_leads_outside(void **state)
{
	(void)state;
	struct world w = world_new();
	assert_done(set_gateway(&w, &alice, w.external, ""));
	assert_refused(put(w.m, &admin, RES_NETWORK, w.external, NULL,
			   "{'router:external': false}"),
		       -EBUSY, "ExternalNetworkInUse");
	assert_done(clear_gateway(&w));
	const struct object *o = floating_new(&w, "");
	assert_refused(put(w.m, &admin, RES_NETWORK, w.external, NULL,
			   "{'router:external': false}"),
		       -EBUSY, "ExternalNetworkInUse");
	assert_done(drop(w.m, &alice, RES_FLOATING_IP, o->id));
	assert_done(put(w.m, &admin, RES_NETWORK, w.external, NULL, "{'router:external': false}"));
	assert_refused(set_gateway(&w, &alice, w.external, ""), -ENOENT, "NetworkNotFound");
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gateway_is_a_port_of_nobodys_on_the_external_network),
		cmocka_unit_test(gateway_may_come_with_the_router_and_goes_with_it),
		cmocka_unit_test(gateway_moves_to_another_network),
		cmocka_unit_test(gateway_has_one_address_of_each_family),
		cmocka_unit_test(gateway_gets_an_address_of_a_family_that_comes_later),
		cmocka_unit_test(admins_choose_addresses_and_translation),
		cmocka_unit_test(gateways_that_cannot_be_are_refused),
		cmocka_unit_test(gateway_is_not_changed_through_its_port),
		cmocka_unit_test(routes_may_lead_through_the_gateway_and_keep_it),
		cmocka_unit_test(refused_change_of_a_gateway_leaves_it_as_it_was),
		cmocka_unit_test(network_stays_external_while_it_leads_outside),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
