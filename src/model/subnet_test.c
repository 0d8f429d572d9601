// SPDX-License-Identifier: Apache-2.0
#include "model/subnet.h"

#include <errno.h>

#include "model/model_testing.h"

static const struct object *network_new(struct model *m)
{
	const struct object *o;
	assert_done(post(m, &alice, RES_NETWORK, &o, "{}"));
	return o;
}

static void assert_pools(const struct object *subnet, const char *want)
{
	char buf[512];
	weft_auto(json) ranges = json_array();
	size_t i;
	json_t *pool;
	json_array_foreach(json_object_get(subnet->attr, "allocation_pools"), i, pool) {
		snprintf(buf, sizeof(buf), "%s-%s", weft_json_text(pool, "start"),
			 weft_json_text(pool, "end"));
		json_array_append_new(ranges, json_string(buf));
	}
	assert_string_equal(weft_json_quote(ranges, buf, sizeof(buf)), want);
}

static void default_pools_are_all_but_the_gateway(void **state)
{
	(void)state;
	struct model *m = model_new();
	static const struct {
		int version;
		const char *cidr, *gateway, *pools;
	} cases[] = {
		{4, "10.0.0.0/24", "", "[\"10.0.0.2-10.0.0.254\"]"},
		{4, "10.0.0.0/24", ", 'gateway_ip': null", "[\"10.0.0.1-10.0.0.254\"]"},
		{4, "10.0.0.0/24", ", 'gateway_ip': '10.0.0.254'", "[\"10.0.0.1-10.0.0.253\"]"},
		{4, "10.0.0.0/24", ", 'gateway_ip': '10.0.0.100'",
		 "[\"10.0.0.1-10.0.0.99\",\"10.0.0.101-10.0.0.254\"]"},
		{4, "10.0.0.0/24", ", 'gateway_ip': '192.0.2.1'", "[\"10.0.0.1-10.0.0.254\"]"},
		{4, "10.0.0.0/30", "", "[\"10.0.0.2-10.0.0.2\"]"},
		{4, "10.0.0.0/31", ", 'enable_dhcp': false, 'gateway_ip': null",
		 "[\"10.0.0.0-10.0.0.1\"]"},
		{6, "2001:db8::/64", "", "[\"2001:db8::1-2001:db8::ffff:ffff:ffff:ffff\"]"},
		{6, "2001:db8::/64", ", 'gateway_ip': 'fe80::1'",
		 "[\"2001:db8::1-2001:db8::ffff:ffff:ffff:ffff\"]"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct object *net = network_new(m), *o;
		assert_done(post(m, &alice, RES_SUBNET, &o,
				 "{'network_id': '%s', 'ip_version': %d, 'cidr': '%s' %s}", net->id,
				 cases[i].version, cases[i].cidr, cases[i].gateway));
		assert_pools(o, cases[i].pools);
	}
	weft_model_free(m);
}

static void subnet_is_shown_as_neutron_shows_it(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = network_new(m), *o;
	assert_done(
		post(m, &alice, RES_SUBNET, &o,
		     "{'network_id': '%s', 'ip_version': '4', 'cidr': '10.1.0.0/16',"
		     " 'dns_nameservers': ['9.9.9.9'], 'use_default_subnetpool': false,"
		     " 'host_routes': [{'destination': '192.0.2.0/24', 'nexthop': '10.1.0.9'}]}",
		     net->id));
	weft_auto(json) shown = weft_model_render(m, o);
	assert_string_equal(weft_json_text(shown, "gateway_ip"), "10.1.0.1");
	assert_string_equal(weft_json_text(shown, "tenant_id"), "alice");
	assert_true(weft_json_bool(shown, "enable_dhcp", false));
	assert_int_equal(weft_json_int(shown, "ip_version", 0), 4);
	assert_true(json_is_null(json_object_get(shown, "subnetpool_id")));
	assert_true(json_is_null(json_object_get(shown, "ipv6_ra_mode")));
	assert_null(json_object_get(shown, "use_default_subnetpool"));
	const json_t *route = json_array_get(json_object_get(shown, "host_routes"), 0);
	assert_string_equal(weft_json_text(route, "destination"), "192.0.2.0/24");
	weft_auto(json) network = weft_model_render(m, weft_model_get(m, RES_NETWORK, net->id));
	assert_true(weft_json_has_text(json_object_get(network, "subnets"), o->id));
	weft_model_free(m);
}

static void cidr_loses_its_host_bits_and_booleans_are_words(void **state)
{
	static const char *const no[] = {"false", "'no'", "'OFF'", "0", "'0'", "'f'", "'N'"};
	(void)state;
	struct model *m = model_new();
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		const struct object *net = network_new(m), *o;
		assert_done(post(m, &alice, RES_SUBNET, &o,
				 "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.0.5/24', "
				 "'enable_dhcp': %s}",
				 net->id, no[i]));
		assert_string_equal(text_of(o, "cidr"), "10.0.0.0/24");
		assert_string_equal(text_of(o, "gateway_ip"), "10.0.0.1");
		assert_true(json_is_false(json_object_get(o->attr, "enable_dhcp")));
	}
	weft_model_free(m);
}

static void ipv6_gateway_is_the_first_of_all_addresses(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = network_new(m), *o;
	assert_done(post(m, &alice, RES_SUBNET, &o,
			 "{'network_id': '%s', 'ip_version': 6, 'cidr': 'fd33::7/64'}", net->id));
	assert_string_equal(text_of(o, "cidr"), "fd33::/64");
	assert_string_equal(text_of(o, "gateway_ip"), "fd33::");
	weft_model_free(m);
}

static void a_subnet_that_comes_changes_or_goes_is_a_revision_of_its_network(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = network_new(m), *o;
	assert_done(post(m, &alice, RES_SUBNET, &o,
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.0.0/24'}", net->id));
	net = weft_model_get(m, RES_NETWORK, net->id);
	assert_int_equal(weft_json_int(net->attr, "revision_number", 0), 2);
	assert_done(put(m, &alice, RES_SUBNET, o->id, NULL, "{'name': 'x'}"));
	net = weft_model_get(m, RES_NETWORK, net->id);
	assert_int_equal(weft_json_int(net->attr, "revision_number", 0), 3);
	assert_done(put(m, &alice, RES_SUBNET, o->id, NULL, "{'name': 'x'}")); // no change
	net = weft_model_get(m, RES_NETWORK, net->id);
	assert_int_equal(weft_json_int(net->attr, "revision_number", 0), 3);
	assert_done(drop(m, &alice, RES_SUBNET, o->id));
	net = weft_model_get(m, RES_NETWORK, net->id);
	assert_int_equal(weft_json_int(net->attr, "revision_number", 0), 4);
	weft_model_free(m);
}

static void ports_get_their_addresses_from_subnets_made_for_them(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = network_new(m), *o;
	assert_done(post(m, &admin, RES_SUBNET, NULL,
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.0.0/24', "
			 "'service_types': ['network:dhcp']}",
			 net->id));
	assert_refused(post(m, &alice, RES_PORT, NULL, "{'network_id': '%s'}", net->id), -EBUSY,
		       "IpAddressGenerationFailureNoMatchingSubnet");
	assert_done(post(m, &admin, RES_SUBNET, NULL,
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.1.0/24'}", net->id));
	assert_done(post(m, &admin, RES_SUBNET, NULL,
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.2.0/24', "
			 "'service_types': ['compute:nova']}",
			 net->id));
	assert_done(post(m, &alice, RES_PORT, &o, "{'network_id': '%s'}", net->id));
	assert_string_equal(ip_of(o, 0), "10.0.1.2");
	assert_done(post(m, &alice, RES_PORT, &o,
			 "{'network_id': '%s', 'device_owner': 'compute:nova'}", net->id));
	assert_string_equal(ip_of(o, 0), "10.0.2.2");
	assert_refused(post(m, &admin, RES_SUBNET, NULL,
			    "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.3.0/24', "
			    "'service_types': ['nobody']}",
			    net->id),
		       -EINVAL, "InvalidSubnetServiceType");
	weft_model_free(m);
}

static void impossible_subnets_are_refused(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = network_new(m);
	static const struct {
		const char *body, *kind;
		int code;
	} cases[] = {
		{"'ip_version': 4, 'cidr': '10.0.0.0'", "HTTPBadRequest", -EINVAL},
		{"'ip_version': 4, 'cidr': 'ten'", "HTTPBadRequest", -EINVAL},
		{"'ip_version': 5, 'cidr': '10.0.0.0/24'", "HTTPBadRequest", -EINVAL},
		{"'cidr': '10.0.0.0/24'", "HTTPBadRequest", -EINVAL},
		{"'ip_version': 4", "BadRequest", -EINVAL},
		{"'ip_version': 6, 'cidr': '10.0.0.0/24'", "InvalidInput", -EINVAL},
		{"'ip_version': 4, 'cidr': '0.0.0.0/0'", "InvalidInput", -EINVAL},
		{"'ip_version': 4, 'cidr': '10.0.0.0/31'", "InvalidInput", -EINVAL},
		{"'ip_version': 4, 'cidr': '224.0.0.0/24'", "InvalidInput", -EINVAL},
		{"'ip_version': 4, 'cidr': '10.0.0.0/24', 'gateway_ip': '10.0.0.0'", "InvalidInput",
		 -EINVAL},
		{"'ip_version': 4, 'cidr': '10.0.0.0/24', 'gateway_ip': '10.0.0.255'",
		 "InvalidInput", -EINVAL},
		{"'ip_version': 4, 'cidr': '10.0.0.0/24', 'gateway_ip': 'fe80::1'", "InvalidInput",
		 -EINVAL},
		{"'ip_version': 4, 'cidr': '10.0.0.0/24', 'dns_nameservers': ['x']",
		 "HTTPBadRequest", -EINVAL},
		{"'ip_version': 4, 'cidr': '10.0.0.0/24', 'dns_nameservers': ['1.1.1.1', "
		 "'1.1.1.1']",
		 "HTTPBadRequest", -EINVAL},
		{"'ip_version': 4, 'cidr': '10.0.0.0/24', 'dns_nameservers': ['2001:db8::1']",
		 "InvalidInput", -EINVAL},
		{"'ip_version': 4, 'cidr': '10.0.0.0/24', 'dns_nameservers': ['1.1.1.1', "
		 "'1.1.1.2', '1.1.1.3', '1.1.1.4', '1.1.1.5', '1.1.1.6']",
		 "DNSNameServersExhausted", -EINVAL},
		{"'ip_version': 4, 'cidr': '10.0.0.0/24', 'host_routes': [{'nexthop': "
		 "'10.0.0.1'}]",
		 "HTTPBadRequest", -EINVAL},
		{"'ip_version': 4, 'cidr': '10.0.0.0/24', 'host_routes': [{'nexthop': "
		 "'10.0.0.1', 'destination': '192.0.2.5/24'}]",
		 "HTTPBadRequest", -EINVAL},
		{"'ip_version': 4, 'cidr': '10.0.0.0/24', 'host_routes': [{'nexthop': "
		 "'10.0.0.1', 'destination': '192.0.2.5'}]",
		 "HTTPBadRequest", -EINVAL},
		{"'ip_version': 4, 'cidr': '10.0.0.0/24', 'host_routes': [{'nexthop': "
		 "'10.0.0.1', 'destination': '127.0.0.0/8'}]",
		 "HTTPBadRequest", -EINVAL},
		{"'ip_version': 6, 'cidr': '2001:db8::/64', 'host_routes': [{'nexthop': "
		 "'2001:db8::9', 'destination': '::1/128'}]",
		 "HTTPBadRequest", -EINVAL},
		{"'ip_version': 4, 'cidr': '10.0.0.0/24', 'enable_dhcp': 'perhaps'", "InvalidInput",
		 -EINVAL},
		{"'ip_version': 4, 'cidr': '10.0.0.0/24', 'enable_dhcp': 2", "InvalidInput",
		 -EINVAL},
		{"'ip_version': 4, 'cidr': '10.0.0.0/24', 'enable_dhcp': null", "InvalidInput",
		 -EINVAL},
		{"'ip_version': 4, 'cidr': '10.0.0.0/24', 'ipv6_ra_mode': 'slaac'", "InvalidInput",
		 -EINVAL},
		{"'ip_version': 6, 'cidr': '2001:db8::/64', 'ipv6_ra_mode': 'slaac', "
		 "'enable_dhcp': false",
		 "InvalidInput", -EINVAL},
		{"'ip_version': 6, 'cidr': '2001:db8::/64', 'ipv6_ra_mode': 'slaac', "
		 "'ipv6_address_mode': 'dhcpv6-stateful'",
		 "InvalidInput", -EINVAL},
		{"'ip_version': 6, 'cidr': '2001:db8::/65', 'ipv6_address_mode': 'slaac'",
		 "InvalidInput", -EINVAL},
		{"'ip_version': 6, 'cidr': '2001:db8::/64', 'ipv6_ra_mode': 'sometimes'",
		 "HTTPBadRequest", -EINVAL},
		{"'ip_version': 4, 'cidr': '10.0.0.0/24', 'subnetpool_id': "
		 "'a6f9d2f0-5c0e-4a35-9a2e-0a0b0c0d0e0f'",
		 "SubnetPoolNotFound", -ENOENT},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_refused(post(m, &alice, RES_SUBNET, NULL, "{'network_id': '%s', %s}",
				    net->id, cases[i].body),
			       cases[i].code, cases[i].kind);
	assert_refused(
		post(m, &alice, RES_SUBNET, NULL,
		     "{'network_id': 'a6f9d2f0-5c0e-4a35-9a2e-0a0b0c0d0e0f', 'ip_version': 4,"
		     " 'cidr': '10.0.0.0/24'}"),
		-ENOENT, "NetworkNotFound");
	assert_int_equal(weft_model_count(m, RES_SUBNET), 0);
	weft_model_free(m);
}

static void pools_are_checked_against_subnet_gateway_and_each_other(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = network_new(m), *o;
	static const struct {
		const char *pools, *kind;
		int code;
	} cases[] = {
		{"[{'start': '10.0.0.9', 'end': '10.0.0.2'}]", "InvalidAllocationPool", -EINVAL},
		{"[{'start': '2001:db8::1', 'end': '2001:db8::9'}]", "InvalidAllocationPool",
		 -EINVAL},
		{"[{'start': '10.0.0.0', 'end': '10.0.0.9'}]", "OutOfBoundsAllocationPool",
		 -EINVAL},
		{"[{'start': '10.0.0.9', 'end': '10.0.0.255'}]", "OutOfBoundsAllocationPool",
		 -EINVAL},
		{"[{'start': '10.0.0.1', 'end': '10.0.0.9'}]", "GatewayConflictWithAllocationPools",
		 -EBUSY},
		{"[{'start': '10.0.0.5', 'end': '10.0.0.9'}, {'start': '10.0.0.9', 'end': "
		 "'10.0.0.12'}]",
		 "OverlappingAllocationPools", -EBUSY},
		{"[{'start': '10.0.0.5'}]", "HTTPBadRequest", -EINVAL},
		{"'10.0.0.5-10.0.0.6'", "HTTPBadRequest", -EINVAL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_refused(post(m, &alice, RES_SUBNET, NULL,
				    "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.0.0/24', "
				    "'allocation_pools': %s}",
				    net->id, cases[i].pools),
			       cases[i].code, cases[i].kind);
	assert_done(post(m, &alice, RES_SUBNET, &o,
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.0.0/24', "
			 "'allocation_pools': [{'start': '10.0.0.10', 'end': '10.0.0.11'}]}",
			 net->id));
	assert_refused(put(m, &alice, RES_SUBNET, o->id, NULL, "{'gateway_ip': '10.0.0.10'}"),
		       -EBUSY, "GatewayConflictWithAllocationPools");
	assert_done(put(m, &alice, RES_SUBNET, o->id, &o,
			"{'allocation_pools': [{'start': '10.0.0.20', 'end': '10.0.0.21'}], "
			"'gateway_ip': '10.0.0.10'}"));
	assert_refused(put(m, &alice, RES_SUBNET, o->id, NULL, "{'cidr': '10.0.1.0/24'}"), -EINVAL,
		       "HTTPBadRequest");
	weft_model_free(m);
}

static void overlap_is_refused_within_a_network_only(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m);
	assert_refused(post(m, &alice, RES_SUBNET, NULL,
			    "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.0.128/25'}",
			    net->id),
		       -EINVAL, "InvalidInput");
	assert_refused(post(m, &alice, RES_SUBNET, NULL,
			    "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.0.0/8'}", net->id),
		       -EINVAL, "InvalidInput");
	assert_done(post(m, &alice, RES_SUBNET, NULL,
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.1.0/24'}", net->id));
	alices_network(m); // the same addresses on another network
	weft_model_free(m);
}

static void subnets_follow_their_network_in_who_sees_them(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net, *o;
	assert_done(post(m, &admin, RES_NETWORK, &net, "{'shared': true}"));
	assert_done(post(m, &admin, RES_SUBNET, &o,
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.0.0/24'}", net->id));
	assert_true(weft_model_visible(m, &bob, o));
	assert_refused(post(m, &bob, RES_SUBNET, NULL,
			    "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.2.0.0/24'}",
			    net->id),
		       -EPERM, "PolicyNotAuthorized");
	assert_refused(put(m, &bob, RES_SUBNET, o->id, NULL, "{'name': 'x'}"), -EPERM,
		       "PolicyNotAuthorized");
	assert_done(put(m, &admin, RES_NETWORK, net->id, NULL, "{'shared': false}"));
	assert_false(weft_model_visible(m, &bob, o));
	assert_refused(drop(m, &bob, RES_SUBNET, o->id), -ENOENT, "SubnetNotFound");
	weft_model_free(m);
}

static void subnet_in_use_is_kept(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m), *port, *dhcp;
	assert_done(post(m, &alice, RES_PORT, &port, "{'network_id': '%s'}", net->id));
	assert_done(post(m, &admin, RES_PORT, &dhcp,
			 "{'network_id': '%s', 'device_owner': 'network:dhcp'}", net->id));
	char subnet_id[WEFT_ID_LEN + 1];
	const json_t *fixed = json_array_get(json_object_get(port->attr, "fixed_ips"), 0);
	snprintf(subnet_id, sizeof(subnet_id), "%s", weft_json_text(fixed, "subnet_id"));
	assert_refused(drop(m, &alice, RES_SUBNET, subnet_id), -EBUSY, "SubnetInUse");
	assert_done(put(m, &alice, RES_PORT, port->id, NULL, "{'fixed_ips': []}"));
	assert_done(drop(m, &alice, RES_SUBNET, subnet_id));
	// The service's port had no other address.
	assert_int_equal(weft_model_count(m, RES_PORT), 1);
	weft_model_free(m);
}

static void slaac_addresses_come_and_go_with_the_subnet(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m), *old, *new, *subnet;
	char old_id[WEFT_ID_LEN + 1];
	assert_done(post(m, &alice, RES_PORT, &old,
			 "{'network_id': '%s', 'mac_address': 'fa:16:3e:01:02:03'}", net->id));
	snprintf(old_id, sizeof(old_id), "%s", old->id);
	assert_done(post(m, &alice, RES_SUBNET, &subnet,
			 "{'network_id': '%s', 'ip_version': 6, 'cidr': '2001:db8::/64',"
			 " 'ipv6_ra_mode': 'slaac', 'ipv6_address_mode': 'slaac'}",
			 net->id));
	old = weft_model_get(m, RES_PORT, old_id);
	assert_string_equal(ip_of(old, 0), "10.0.0.2");
	assert_string_equal(ip_of(old, 1), "2001:db8::f816:3eff:fe01:203");

	// Asked for an IPv4 address only, it still hears the router.
	assert_done(post(m, &alice, RES_PORT, &new,
			 "{'network_id': '%s', 'mac_address': 'fa:16:3e:01:02:04',"
			 " 'fixed_ips': [{'ip_address': '10.0.0.77'}]}",
			 net->id));
	assert_string_equal(ip_of(new, 0), "10.0.0.77");
	assert_string_equal(ip_of(new, 1), "2001:db8::f816:3eff:fe01:204");
	assert_refused(post(m, &alice, RES_PORT, NULL,
			    "{'network_id': '%s', 'fixed_ips': [{'ip_address': '2001:db8::5'}]}",
			    net->id),
		       -EINVAL, "AllocationOnAutoAddressSubnet");
	// A new MAC makes a new address.
	assert_done(
		put(m, &admin, RES_PORT, new->id, &new, "{'mac_address': 'fa:16:3e:01:02:05'}"));
	assert_string_equal(ip_of(new, 0), "10.0.0.77");
	assert_string_equal(ip_of(new, 1), "2001:db8::f816:3eff:fe01:205");
	assert_null(ip_of(new, 2));

	assert_done(drop(m, &alice, RES_SUBNET, subnet->id));
	old = weft_model_get(m, RES_PORT, old_id);
	assert_string_equal(ip_of(old, 0), "10.0.0.2");
	assert_null(ip_of(old, 1));
	weft_model_free(m);
}

static void ipv6_needs_an_mtu_of_1280(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net;
	assert_done(post(m, &alice, RES_NETWORK, &net, "{'mtu': 1000}"));
	assert_refused(post(m, &alice, RES_SUBNET, NULL,
			    "{'network_id': '%s', 'ip_version': 6, 'cidr': '2001:db8::/64'}",
			    net->id),
		       -EBUSY, "NetworkMTUSubnetConflict");
	assert_done(put(m, &alice, RES_NETWORK, net->id, &net, "{'mtu': 1280}"));
	assert_done(post(m, &alice, RES_SUBNET, NULL,
			 "{'network_id': '%s', 'ip_version': 6, 'cidr': '2001:db8::/64'}",
			 net->id));
	assert_refused(put(m, &alice, RES_NETWORK, net->id, NULL, "{'mtu': 1279}"), -EBUSY,
		       "NetworkMTUSubnetConflict");
	weft_model_free(m);
}

static void gateway_held_by_a_router_cannot_change(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m);
	weft_auto(json) shown = weft_model_render(m, net);
	const char *subnet_id =
		json_string_value(json_array_get(json_object_get(shown, "subnets"), 0));
	assert_done(post(m, &admin, RES_PORT, NULL,
			 "{'network_id': '%s', 'device_owner': 'network:router_interface',"
			 " 'fixed_ips': [{'ip_address': '10.0.0.1'}]}",
			 net->id));
	assert_refused(put(m, &alice, RES_SUBNET, subnet_id, NULL, "{'gateway_ip': null}"), -EBUSY,
		       "GatewayIpInUse");
	assert_done(put(m, &alice, RES_SUBNET, subnet_id, NULL, "{'enable_dhcp': false}"));
	weft_model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(default_pools_are_all_but_the_gateway),
		cmocka_unit_test(subnet_is_shown_as_neutron_shows_it),
		cmocka_unit_test(cidr_loses_its_host_bits_and_booleans_are_words),
		cmocka_unit_test(ipv6_gateway_is_the_first_of_all_addresses),
		cmocka_unit_test(a_subnet_that_comes_changes_or_goes_is_a_revision_of_its_network),
		cmocka_unit_test(ports_get_their_addresses_from_subnets_made_for_them),
		cmocka_unit_test(impossible_subnets_are_refused),
		cmocka_unit_test(pools_are_checked_against_subnet_gateway_and_each_other),
		cmocka_unit_test(overlap_is_refused_within_a_network_only),
		cmocka_unit_test(subnets_follow_their_network_in_who_sees_them),
		cmocka_unit_test(subnet_in_use_is_kept),
		cmocka_unit_test(slaac_addresses_come_and_go_with_the_subnet),
		cmocka_unit_test(ipv6_needs_an_mtu_of_1280),
		cmocka_unit_test(gateway_held_by_a_router_cannot_change),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
