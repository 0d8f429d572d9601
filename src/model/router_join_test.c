// SPDX-License-Identifier: Apache-2.0
#include "model/router.h"

#include <errno.h>

#include "model/index.h"
#include "model/router_testing.h"

#define NOBODY "a6f9d2f0-5c0e-4a35-9a2e-0a0b0c0d0e0f"

static const struct object *port_new(struct model *m, const struct caller *who,
				     const struct object *subnet, const char *fixed_ips)
{
	const struct object *o;
	assert_done(post(m, who, RES_PORT, &o, "{'network_id': '%s', 'fixed_ips': %s}",
			 text_of(subnet, "network_id"), fixed_ips));
	return o;
}

static void joined_by_subnet_the_router_gets_a_port_with_the_gateways_address(void **state)
{
	(void)state;
	struct model *m = model_new();
	char id[WEFT_ID_LEN + 1];
	const char *r = router_new(m, &alice, id);
	const struct object *subnet = subnet_new(m, "4", "10.1.0.0/24", "");
	weft_auto(json) info = NULL;
	assert_done(join(m, &alice, r, &info, "{'subnet_id': '%s'}", subnet->id));
	assert_string_equal(weft_json_text(info, "id"), r);
	assert_string_equal(weft_json_text(info, "tenant_id"), "alice");
	assert_string_equal(weft_json_text(info, "project_id"), "alice");
	assert_string_equal(weft_json_text(info, "network_id"), text_of(subnet, "network_id"));
	assert_string_equal(weft_json_text(info, "subnet_id"), subnet->id);
	assert_true(weft_json_has_text(json_object_get(info, "subnet_ids"), subnet->id));

	const struct object *port = weft_model_get(m, RES_PORT, weft_json_text(info, "port_id"));
	assert_string_equal(ip_of(port, 0), "10.1.0.1");
	assert_string_equal(text_of(port, "device_id"), r);
	assert_string_equal(text_of(port, "device_owner"), "network:router_interface");
	assert_string_equal(text_of(port, "name"), "");
	assert_string_equal(port->project_id, "alice");
	assert_memory_equal(text_of(port, "mac_address"), "fa:16:3e:", 9);
	assert_false(weft_json_bool(port->attr, "port_security_enabled", true));
	assert_int_equal(json_array_size(json_object_get(port->attr, "security_groups")), 0);
	weft_auto(json) shown = weft_model_render(m, port);
	assert_string_equal(weft_json_text(shown, "status"), "ACTIVE");
	assert_done(put(m, &alice, RES_ROUTER, r, NULL, "{'admin_state_up': false}"));
	weft_auto(json) down = weft_model_render(m, port);
	assert_string_equal(weft_json_text(down, "status"), "DOWN");
	weft_model_free(m);
}

static void change_of_an_interface_is_a_change_of_the_router(void **state)
{
	(void)state;
	struct model *m = model_new();
	char id[WEFT_ID_LEN + 1];
	const char *r = router_new(m, &alice, id);
	const struct object *subnet = subnet_new(m, "4", "10.1.0.0/24", "");
	struct txn *t = weft_txn_begin(m);
	weft_auto(json) body = body_of("{'subnet_id': '%s'}", subnet->id);
	assert_done(weft_txn_router_add_interface(t, &alice, r, body, NULL, &last_err));
	size_t n;
	const struct model_change *changes = weft_txn_changes(t, &n);
	assert_int_equal(n, 2);
	assert_int_equal(changes[0].after->type, RES_PORT);
	assert_string_equal(changes[1].after->id, r);
	assert_int_equal(weft_json_int(changes[1].after->attr, "revision_number", 0), 2);
	const char *network = text_of(subnet, "network_id");
	assert_int_equal(weft_index_count(m, REF_ROUTER_PORTS, r), 1);
	assert_int_equal(weft_index_count(m, REF_NETWORK_ROUTER_PORTS, network), 1);
	weft_txn_abort(t);
	weft_txn_free(t);
	assert_int_equal(weft_index_count(m, REF_ROUTER_PORTS, r), 0);
	assert_int_equal(weft_index_count(m, REF_NETWORK_ROUTER_PORTS, network), 0);
	weft_model_free(m);
}

static void subnets_that_a_router_cannot_join_are_refused(void **state)
{
	(void)state;
	struct model *m = model_new();
	char id[WEFT_ID_LEN + 1], bobs[WEFT_ID_LEN + 1];
	const char *r = router_new(m, &alice, id), *b = router_new(m, &bob, bobs);
	const struct object *subnet = subnet_new(m, "4", "10.1.0.0/24", "");
	joined(m, r, subnet);
	const struct object *overlaps = subnet_new(m, "4", "10.1.0.0/16", "");
	const struct object *no_gateway = subnet_new(m, "4", "10.2.0.0/24", ", 'gateway_ip': null");
	const struct object *foreign_ra =
		subnet_new(m, "6", "2001:db8::/64", ", 'ipv6_address_mode': 'slaac'");
	const struct object *outside =
		subnet_new(m, "6", "2001:db8:1::/64", ", 'gateway_ip': 'fe80::1'");
	const struct object *used = subnet_new(m, "4", "10.3.0.0/24", "");
	port_new(m, &alice, used, "[{'ip_address': '10.3.0.1'}]");
	const struct {
		const char *body;
		const struct object *subnet;
		const char *kind;
		int code;
	} cases[] = {
		{"subnet_id", subnet, "BadRequest", -EINVAL},
		{"subnet_id", overlaps, "BadRequest", -EINVAL},
		{"subnet_id", no_gateway, "BadRequest", -EINVAL},
		{"subnet_id", foreign_ra, "BadRequest", -EINVAL},
		{"subnet_id", outside, "InvalidIpForSubnet", -EINVAL},
		{"subnet_id", used, "IpAddressInUse", -EBUSY},
		{"port_id", used, "PortNotFound", -ENOENT},
		{"x", used, "BadRequest", -EINVAL},
	};
	char *before = model_dump(m);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_refused(join(m, &alice, r, NULL, "{'%s': '%s'}", cases[i].body,
				    cases[i].subnet->id),
			       cases[i].code, cases[i].kind);
	assert_refused(join(m, &alice, r, NULL, "{'subnet_id': '" NOBODY "'}"), -ENOENT,
		       "SubnetNotFound");
	assert_refused(join(m, &alice, NOBODY, NULL, "{'subnet_id': '%s'}", used->id), -ENOENT,
		       "RouterNotFound");
	assert_refused(join(m, &bob, r, NULL, "{'subnet_id': '%s'}", used->id), -ENOENT,
		       "RouterNotFound");
	assert_refused(join(m, &bob, b, NULL, "{'subnet_id': '%s'}", used->id), -ENOENT,
		       "SubnetNotFound");
	assert_refused(join(m, &alice, r, NULL, "{'subnet_id': 7}"), -EINVAL, "BadRequest");
	assert_refused(join(m, &alice, r, NULL, "{'subnet_id': 'x'}"), -EINVAL, "BadRequest");
	assert_refused(join(m, &alice, r, NULL, "{'subnet_id': '%s', 'port_id': '%s'}", used->id,
			    used->id),
		       -EINVAL, "BadRequest");
	char *after = model_dump(m);
	assert_string_equal(before, after);
	free(before);
	free(after);
	weft_model_free(m);
}

static void joined_by_port_the_router_takes_its_addresses(void **state)
{
	(void)state;
	struct model *m = model_new();
	char id[WEFT_ID_LEN + 1], id2[WEFT_ID_LEN + 1];
	const char *r = router_new(m, &alice, id), *r2 = router_new(m, &alice, id2);
	const struct object *subnet = subnet_new(m, "4", "10.1.0.0/24", "");
	joined(m, r, subnet);
	const struct object *port = port_new(m, &alice, subnet, "[{'ip_address': '10.1.0.9'}]");
	assert_int_equal(json_array_size(json_object_get(port->attr, "security_groups")), 1);
	assert_refused(join(m, &alice, r, NULL, "{'port_id': '%s'}", port->id), -EINVAL,
		       "BadRequest");
	weft_auto(json) info = NULL;
	assert_done(join(m, &alice, r2, &info, "{'port_id': '%s'}", port->id));
	assert_string_equal(weft_json_text(info, "subnet_id"), subnet->id);
	port = weft_model_get(m, RES_PORT, weft_json_text(info, "port_id"));
	assert_string_equal(ip_of(port, 0), "10.1.0.9");
	assert_string_equal(text_of(port, "device_id"), r2);
	assert_false(weft_json_bool(port->attr, "port_security_enabled", true));
	assert_int_equal(json_array_size(json_object_get(port->attr, "security_groups")), 0);
	assert_int_equal(weft_index_count(m, REF_NETWORK_ROUTER_PORTS, text_of(port, "network_id")),
			 2);
	assert_refused(join(m, &alice, r, NULL, "{'port_id': '%s'}", port->id), -EBUSY,
		       "PortInUse");
	weft_model_free(m);
}

static void ports_that_cannot_be_interfaces_are_refused(void **state)
{
	(void)state;
	struct model *m = model_new();
	char id[WEFT_ID_LEN + 1];
	const char *r = router_new(m, &alice, id);
	const struct object *subnet = subnet_new(m, "4", "10.1.0.0/24", "");
	const struct object *none = port_new(m, &alice, subnet, "[]");
	const struct object *two = port_new(
		m, &alice, subnet, "[{'ip_address': '10.1.0.8'}, {'ip_address': '10.1.0.9'}]");
	assert_refused(join(m, &alice, r, NULL, "{'port_id': '%s'}", none->id), -EINVAL,
		       "BadRequest");
	assert_refused(join(m, &alice, r, NULL, "{'port_id': '%s'}", two->id), -EINVAL,
		       "BadRequest");

	const struct object *v6 = subnet_new(m, "6", "2001:db8:1::/64", ""), *other;
	joined(m, r, v6);
	assert_done(post(m, &alice, RES_SUBNET, &other,
			 "{'network_id': '%s', 'ip_version': 6, 'cidr': '2001:db8:2::/64'}",
			 text_of(v6, "network_id")));
	const struct object *second = port_new(m, &alice, v6, "[{'ip_address': '2001:db8:2::9'}]");
	assert_refused(join(m, &alice, r, NULL, "{'port_id': '%s'}", second->id), -EINVAL,
		       "BadRequest");
	assert_non_null(strstr(last_err.msg, "Only one IPv6 port"));
	weft_model_free(m);
}

static void of_a_shared_network_a_stranger_routes_only_addresses_from_the_pools(void **state)
{
	(void)state;
	struct model *m = model_new();
	char id[WEFT_ID_LEN + 1];
	const char *r = router_new(m, &bob, id);
	const struct object *subnet =
		subnet_new(m, "4", "10.1.0.0/24",
			   ", 'allocation_pools': [{'start': '10.1.0.10', 'end': '10.1.0.20'}]");
	assert_done(put(m, &admin, RES_NETWORK, text_of(subnet, "network_id"), NULL,
			"{'shared': true}"));
	assert_refused(join(m, &bob, r, NULL, "{'subnet_id': '%s'}", subnet->id), -EINVAL,
		       "BadRequest");
	// The pool's first and last address are its own.
	static const struct {
		const char *ip;
		bool may;
	} cases[] = {{"10.1.0.9", false},
		     {"10.1.0.10", true},
		     {"10.1.0.20", true},
		     {"10.1.0.21", false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct object *port;
		assert_done(post(m, &admin, RES_PORT, &port,
				 "{'network_id': '%s', 'project_id': 'bob', 'fixed_ips':"
				 " [{'ip_address': '%s'}]}",
				 text_of(subnet, "network_id"), cases[i].ip));
		char port_id[WEFT_ID_LEN + 1];
		snprintf(port_id, sizeof(port_id), "%s", port->id);
		if (!cases[i].may) {
			assert_refused(join(m, &bob, r, NULL, "{'port_id': '%s'}", port_id),
				       -EINVAL, "BadRequest");
			continue;
		}
		assert_done(join(m, &bob, r, NULL, "{'port_id': '%s'}", port_id));
		assert_done(leave(m, &bob, r, NULL, "{'port_id': '%s'}", port_id));
	}
	weft_model_free(m);
}

static void ipv6_subnets_of_a_network_share_the_interface(void **state)
{
	(void)state;
	struct model *m = model_new();
	char id[WEFT_ID_LEN + 1], first[WEFT_ID_LEN + 1];
	const char *r = router_new(m, &alice, id);
	const struct object *a = subnet_new(m, "6", "2001:db8:1::/64",
					    ", 'ipv6_ra_mode': 'slaac', 'ipv6_address_mode':"
					    " 'slaac'"),
			    *b, *v4;
	const char *network = text_of(a, "network_id");
	assert_done(post(m, &alice, RES_SUBNET, &b,
			 "{'network_id': '%s', 'ip_version': 6, 'cidr': '2001:db8:2::/64'}",
			 network));
	assert_done(post(m, &alice, RES_SUBNET, &v4,
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.1.0.0/24'}", network));
	memcpy(first, joined(m, r, a)->id, sizeof(first));
	const struct object *port = joined(m, r, b);
	assert_string_equal(port->id, first);
	assert_string_equal(ip_of(port, 0), "2001:db8:1::");
	assert_string_equal(ip_of(port, 1), "2001:db8:2::");
	assert_string_not_equal(joined(m, r, v4)->id, first);

	weft_auto(json) info = NULL;
	assert_done(leave(m, &alice, r, &info, "{'subnet_id': '%s'}", a->id));
	assert_string_equal(weft_json_text(info, "port_id"), first);
	port = weft_model_get(m, RES_PORT, first);
	assert_string_equal(ip_of(port, 0), "2001:db8:2::");
	assert_null(ip_of(port, 1));
	assert_done(leave(m, &alice, r, NULL, "{'subnet_id': '%s'}", b->id));
	assert_null(weft_model_get(m, RES_PORT, first));
	assert_int_equal(weft_index_count(m, REF_ROUTER_PORTS, r), 1);
	weft_model_free(m);
}

static void interface_is_left_by_subnet_by_port_or_by_both(void **state)
{
	(void)state;
	struct model *m = model_new();
	char id[WEFT_ID_LEN + 1], id2[WEFT_ID_LEN + 1], port[WEFT_ID_LEN + 1];
	const char *r = router_new(m, &alice, id), *r2 = router_new(m, &alice, id2);
	const struct object *subnet = subnet_new(m, "4", "10.1.0.0/24", "");
	const struct object *other = subnet_new(m, "4", "10.2.0.0/24", "");
	memcpy(port, joined(m, r, subnet)->id, sizeof(port));
	assert_refused(leave(m, &alice, r2, NULL, "{'port_id': '%s'}", port), -ENOENT,
		       "RouterInterfaceNotFound");
	assert_refused(leave(m, &alice, r, NULL, "{'port_id': '" NOBODY "'}"), -ENOENT,
		       "RouterInterfaceNotFound");
	assert_refused(leave(m, &alice, r, NULL, "{'subnet_id': '%s'}", other->id), -ENOENT,
		       "RouterInterfaceNotFoundForSubnet");
	assert_refused(leave(m, &alice, r, NULL, "{'subnet_id': '" NOBODY "'}"), -ENOENT,
		       "SubnetNotFound");
	assert_refused(leave(m, &alice, r, NULL, "{'subnet_id': '%s', 'port_id': '%s'}", other->id,
			     port),
		       -EINVAL, "SubnetMismatchForPort");
	assert_refused(leave(m, &alice, r, NULL, "{}"), -EINVAL, "BadRequest");
	weft_auto(json) info = NULL;
	assert_done(leave(m, &alice, r, &info, "{'subnet_id': '%s', 'port_id': '%s'}", subnet->id,
			  port));
	assert_string_equal(weft_json_text(info, "port_id"), port);
	assert_string_equal(weft_json_text(info, "subnet_id"), subnet->id);
	assert_null(weft_model_get(m, RES_PORT, port));
	// The address is free again.
	joined(m, r2, subnet);
	weft_model_free(m);
}

static void interface_that_a_route_needs_stays(void **state)
{
	(void)state;
	struct model *m = model_new();
	char id[WEFT_ID_LEN + 1], port[WEFT_ID_LEN + 1];
	const char *r = router_new(m, &alice, id);
	const struct object *subnet = subnet_new(m, "4", "10.1.0.0/24", "");
	memcpy(port, joined(m, r, subnet)->id, sizeof(port));
	assert_done(put(m, &alice, RES_ROUTER, r, NULL,
			"{'routes': [{'destination': '192.0.2.0/24', 'nexthop': '10.1.0.2'}]}"));
	assert_refused(leave(m, &alice, r, NULL, "{'subnet_id': '%s'}", subnet->id), -EBUSY,
		       "RouterInterfaceInUseByRoute");
	assert_refused(leave(m, &alice, r, NULL, "{'port_id': '%s'}", port), -EBUSY,
		       "RouterInterfaceInUseByRoute");
	assert_refused(put(m, &alice, RES_PORT, port, NULL,
			   "{'fixed_ips': [{'ip_address': '10.1.0.2'}]}"),
		       -EINVAL, "InvalidRoutes");
	assert_refused(put(m, &alice, RES_PORT, port, NULL, "{'fixed_ips': []}"), -EBUSY,
		       "RouterInterfaceInUseByRoute");
	assert_done(put(m, &alice, RES_PORT, port, NULL,
			"{'fixed_ips': [{'ip_address': '10.1.0.3'}]}"));
	assert_done(put(m, &alice, RES_ROUTER, r, NULL, "{'routes': []}"));
	assert_refused(put(m, &alice, RES_PORT, port, NULL, "{'fixed_ips': []}"), -EINVAL,
		       "BadRequest");
	assert_done(leave(m, &alice, r, NULL, "{'port_id': '%s'}", port));
	weft_model_free(m);
}

static void interfaces_are_not_made_moved_or_deleted_through_the_port(void **state)
{
	(void)state;
	struct model *m = model_new();
	char id[WEFT_ID_LEN + 1], port[WEFT_ID_LEN + 1];
	const char *r = router_new(m, &alice, id);
	const struct object *subnet = subnet_new(m, "4", "10.1.0.0/24", "");
	const char *network = text_of(subnet, "network_id");
	memcpy(port, joined(m, r, subnet)->id, sizeof(port));
	assert_refused(drop(m, &alice, RES_PORT, port), -EBUSY, "ServicePortInUse");
	assert_refused(put(m, &alice, RES_PORT, port, NULL, "{'device_id': ''}"), -EBUSY,
		       "PortInUse");
	assert_refused(put(m, &alice, RES_PORT, port, NULL, "{'device_owner': ''}"), -EBUSY,
		       "PortInUse");
	assert_refused(put(m, &alice, RES_PORT, port, NULL,
			   "{'device_owner': 'network:router_interface_distributed'}"),
		       -EBUSY, "PortInUse");
	assert_done(put(m, &alice, RES_PORT, port, NULL, "{'name': 'gateway'}"));
	assert_refused(post(m, &alice, RES_PORT, NULL,
			    "{'network_id': '%s', 'device_id': '%s', 'device_owner':"
			    " 'network:router_interface'}",
			    network, r),
		       -EINVAL, "BadRequest");
	const struct object *bobs;
	assert_done(post(m, &bob, RES_NETWORK, &bobs, "{}"));
	assert_refused(post(m, &bob, RES_PORT, NULL,
			    "{'network_id': '%s', 'device_id': '%s', 'device_owner':"
			    " 'network:router_interface'}",
			    bobs->id, r),
		       -EBUSY, "DeviceIDNotOwnedByTenant");
	// What only names a router is none of its interfaces, and what is left of no router may go.
	const struct object *plain, *stale;
	assert_done(post(m, &alice, RES_PORT, &plain, "{'network_id': '%s', 'device_id': '%s'}",
			 network, r));
	assert_done(post(m, &alice, RES_PORT, &stale,
			 "{'network_id': '%s', 'device_id': '" NOBODY "', 'device_owner':"
			 " 'network:router_interface'}",
			 network));
	assert_int_equal(weft_index_count(m, REF_ROUTER_PORTS, r), 1);
	assert_int_equal(weft_index_count(m, REF_NETWORK_ROUTER_PORTS, network), 2);
	assert_refused(put(m, &alice, RES_PORT, plain->id, NULL,
			   "{'device_owner': 'network:router_interface'}"),
		       -EINVAL, "BadRequest");
	assert_done(drop(m, &alice, RES_PORT, stale->id));
	weft_model_free(m);
}

static void addresses_given_to_an_interface_suit_the_router(void **state)
{
	(void)state;
	struct model *m = model_new();
	char id[WEFT_ID_LEN + 1], port[WEFT_ID_LEN + 1];
	const char *r = router_new(m, &alice, id);
	const struct object *a = subnet_new(m, "4", "10.1.0.0/24", ""), *b, *c;
	joined(m, r, subnet_new(m, "4", "10.2.0.0/16", ""));
	assert_done(post(m, &alice, RES_SUBNET, &b,
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.2.3.0/24'}",
			 text_of(a, "network_id")));
	assert_done(post(m, &alice, RES_SUBNET, &c,
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.3.0.0/24'}",
			 text_of(a, "network_id")));
	memcpy(port, joined(m, r, a)->id, sizeof(port));
	assert_refused(put(m, &alice, RES_PORT, port, NULL, "{'fixed_ips': [{'subnet_id': '%s'}]}",
			   b->id),
		       -EINVAL, "BadRequest");
	assert_refused(put(m, &alice, RES_PORT, port, NULL,
			   "{'fixed_ips': [{'subnet_id': '%s'}, {'subnet_id': '%s'}]}", a->id,
			   c->id),
		       -EINVAL, "BadRequest");
	assert_done(put(m, &alice, RES_PORT, port, NULL, "{'fixed_ips': [{'subnet_id': '%s'}]}",
			c->id));
	weft_model_free(m);
}

static void loaded_interfaces_are_found_again(void **state)
{
	(void)state;
	struct model *m = model_new(), *again = model_new();
	char id[WEFT_ID_LEN + 1];
	const char *r = router_new(m, &alice, id);
	const struct object *port = joined(m, r, subnet_new(m, "4", "10.1.0.0/24", ""));
	static const enum resource order[] = {RES_NETWORK, RES_SUBNET, RES_PORT, RES_ROUTER};
	const char *ids[] = {
		text_of(port, "network_id"),
		weft_json_text(json_array_get(json_object_get(port->attr, "fixed_ips"), 0),
			       "subnet_id"),
		port->id, r};
	for (size_t i = 0; i < 4; i++)
		assert_done(weft_model_load(again, order[i],
					    weft_model_get(m, order[i], ids[i])->attr, &last_err));
	assert_int_equal(weft_index_count(again, REF_ROUTER_PORTS, r), 1);
	assert_refused(drop(again, &alice, RES_ROUTER, r), -EBUSY, "RouterInUse");
	weft_model_free(again);
	weft_model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(joined_by_subnet_the_router_gets_a_port_with_the_gateways_address),
		cmocka_unit_test(change_of_an_interface_is_a_change_of_the_router),
		cmocka_unit_test(subnets_that_a_router_cannot_join_are_refused),
		cmocka_unit_test(joined_by_port_the_router_takes_its_addresses),
		cmocka_unit_test(ports_that_cannot_be_interfaces_are_refused),
		cmocka_unit_test(
			of_a_shared_network_a_stranger_routes_only_addresses_from_the_pools),
		cmocka_unit_test(ipv6_subnets_of_a_network_share_the_interface),
		cmocka_unit_test(interface_is_left_by_subnet_by_port_or_by_both),
		cmocka_unit_test(interface_that_a_route_needs_stays),
		cmocka_unit_test(interfaces_are_not_made_moved_or_deleted_through_the_port),
		cmocka_unit_test(addresses_given_to_an_interface_suit_the_router),
		cmocka_unit_test(loaded_interfaces_are_found_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
