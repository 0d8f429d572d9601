// SPDX-License-Identifier: Apache-2.0
#include "model/port.h"

#include <errno.h>

#include "model/index.h"
#include "model/model_testing.h"

static const struct object *port_new(struct model *m, const struct object *net)
{
	const struct object *o;
	assert_done(post(m, &alice, RES_PORT, &o, "{'network_id': '%s'}", net->id));
	return o;
}

static const char *first_group(const struct object *port)
{
	return json_string_value(json_array_get(json_object_get(port->attr, "security_groups"), 0));
}

static void port_gets_mac_address_and_default_group(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *o = port_new(m, alices_network(m));
	assert_memory_equal(text_of(o, "mac_address"), "fa:16:3e:", 9);
	assert_string_equal(ip_of(o, 0), "10.0.0.2");
	assert_null(ip_of(o, 1));
	const struct object *group = weft_model_get(m, RES_SECURITY_GROUP, first_group(o));
	assert_string_equal(text_of(group, "name"), "default");
	assert_string_equal(group->project_id, "alice");
	weft_auto(json) shown = weft_model_render(m, o);
	assert_string_equal(weft_json_text(shown, "status"), "DOWN");
	assert_string_equal(weft_json_text(shown, "binding:vif_type"), "unbound");
	assert_string_equal(weft_json_text(shown, "binding:vnic_type"), "normal");
	assert_true(weft_json_bool(shown, "port_security_enabled", false));
	const json_t *dns = json_array_get(json_object_get(shown, "dns_assignment"), 0);
	assert_string_equal(weft_json_text(dns, "hostname"), "host-10-0-0-2");
	weft_auto(json) members = weft_model_render_for(m, &alice, o);
	assert_null(json_object_get(members, "binding:vif_type"));
	assert_non_null(json_object_get(members, "binding:vnic_type"));
	weft_model_free(m);
}

static void status_is_run_time_state(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *o = port_new(m, alices_network(m));
	weft_model_set_port_status(m, o->id, "ACTIVE");
	weft_auto(json) shown = weft_model_render(m, o);
	assert_string_equal(weft_json_text(shown, "status"), "ACTIVE");
	assert_null(json_object_get(o->attr, "status"));
	assert_refused(put(m, &admin, RES_PORT, o->id, NULL, "{'status': 'DOWN'}"), -EINVAL,
		       "HTTPBadRequest");
	assert_done(drop(m, &alice, RES_PORT, o->id));
	weft_model_set_port_status(m, "gone", "ACTIVE");
	weft_model_free(m);
}

static void mac_is_unique_in_its_network_only(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m), *other = alices_network(m), *o;
	assert_done(post(m, &alice, RES_PORT, &o,
			 "{'network_id': '%s', 'mac_address': 'FA-16-3E-00-00-01'}", net->id));
	assert_string_equal(text_of(o, "mac_address"), "fa:16:3e:00:00:01");
	assert_refused(post(m, &alice, RES_PORT, NULL,
			    "{'network_id': '%s', 'mac_address': 'fa:16:3e:00:00:01'}", net->id),
		       -EBUSY, "MacAddressInUse");
	assert_done(post(m, &alice, RES_PORT, NULL,
			 "{'network_id': '%s', 'mac_address': 'fa:16:3e:00:00:01'}", other->id));
	static const char *const bad[] = {"00:00:00:00:00:00", "01:00:5e:00:00:01", "fa:16:3e"};
	for (size_t i = 0; i < 3; i++)
		assert_refused(post(m, &alice, RES_PORT, NULL,
				    "{'network_id': '%s', 'mac_address': '%s'}", net->id, bad[i]),
			       -EINVAL, "HTTPBadRequest");
	// Given back, it can be had again.
	assert_done(drop(m, &alice, RES_PORT, o->id));
	assert_done(post(m, &alice, RES_PORT, NULL,
			 "{'network_id': '%s', 'mac_address': 'fa:16:3e:00:00:01'}", net->id));
	weft_model_free(m);
}

static void fixed_ips_are_had_by_address_by_subnet_or_both(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m), *sub2, *o, *other = alices_network(m);
	weft_auto(json) other_shown = weft_model_render(m, other);
	const char *foreign =
		json_string_value(json_array_get(json_object_get(other_shown, "subnets"), 0));
	assert_done(post(m, &alice, RES_SUBNET, &sub2,
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.1.0/24'}", net->id));
	assert_done(post(m, &alice, RES_PORT, &o,
			 "{'network_id': '%s', 'fixed_ips': [{'subnet_id': '%s'}, {'ip_address': "
			 "'10.0.0.9'}, {'subnet_id': '%s'}, {'subnet_id': '%s', 'ip_address': "
			 "'10.0.1.2'}]}",
			 net->id, sub2->id, sub2->id, sub2->id));
	assert_string_equal(ip_of(o, 0), "10.0.0.9");
	assert_string_equal(ip_of(o, 1), "10.0.1.2");
	assert_string_equal(ip_of(o, 2), "10.0.1.3");
	assert_string_equal(ip_of(o, 3), "10.0.1.4");

	static const struct {
		const char *ips, *kind;
		int code;
	} cases[] = {
		{"[{'ip_address': '10.0.0.9'}]", "IpAddressAlreadyAllocated", -EBUSY},
		{"[{'ip_address': '192.0.2.1'}]", "InvalidIpForNetwork", -EINVAL},
		{"[{'ip_address': '10.0.0.255'}]", "InvalidIpForSubnet", -EINVAL},
		{"[{'ip_address': '10.0.0.0'}]", "InvalidIpForSubnet", -EINVAL},
		{"[{'ip_address': '10.0.0.300'}]", "HTTPBadRequest", -EINVAL},
		{"[{'ip_address': '10.0.0.30'}, {'ip_address': '10.0.0.30'}]", "HTTPBadRequest",
		 -EINVAL},
		{"[{}]", "InvalidInput", -EINVAL},
		{"[{'subnet': 'x'}]", "HTTPBadRequest", -EINVAL},
		{"{'ip_address': '10.0.0.30'}", "HTTPBadRequest", -EINVAL},
		{"[{'subnet_id': 'a6f9d2f0-5c0e-4a35-9a2e-0a0b0c0d0e0f'}]", "SubnetNotFound",
		 -ENOENT},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_refused(post(m, &alice, RES_PORT, NULL,
				    "{'network_id': '%s', 'fixed_ips': %s}", net->id, cases[i].ips),
			       cases[i].code, cases[i].kind);
	assert_refused(post(m, &alice, RES_PORT, NULL,
			    "{'network_id': '%s', 'fixed_ips': [{'subnet_id': '%s'}]}", net->id,
			    foreign),
		       -EINVAL, "InvalidInput");
	assert_refused(post(m, &alice, RES_PORT, NULL,
			    "{'network_id': '%s', 'fixed_ips': [{'subnet_id': '%s', 'ip_address': "
			    "'10.0.0.30'}]}",
			    net->id, sub2->id),
		       -EINVAL, "InvalidIpForSubnet");
	// A refused request holds none of the addresses that it could have had.
	assert_refused(post(m, &alice, RES_PORT, NULL,
			    "{'network_id': '%s', 'fixed_ips': [{'ip_address': '10.0.0.30'}, "
			    "{'ip_address': '192.0.2.1'}]}",
			    net->id),
		       -EINVAL, "InvalidIpForNetwork");
	assert_done(post(m, &alice, RES_PORT, NULL,
			 "{'network_id': '%s', 'fixed_ips': [{'ip_address': '10.0.0.30'}]}",
			 net->id));
	weft_model_free(m);
}

static void no_addresses_asked_for_are_those_that_make_themselves(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m), *o;
	assert_done(post(m, &alice, RES_SUBNET, NULL,
			 "{'network_id': '%s', 'ip_version': 6, 'cidr': '2001:db8::/64', "
			 "'ipv6_ra_mode': 'slaac', 'ipv6_address_mode': 'slaac'}",
			 net->id));
	assert_done(post(m, &admin, RES_PORT, &o,
			 "{'network_id': '%s', 'fixed_ips': [], 'mac_address': "
			 "'fa:16:3e:00:00:01'}",
			 net->id));
	assert_string_equal(ip_of(o, 0), "2001:db8::f816:3eff:fe00:1");
	assert_null(ip_of(o, 1));
	assert_done(put(m, &admin, RES_PORT, o->id, &o, "{'fixed_ips': []}"));
	assert_string_equal(ip_of(o, 0), "2001:db8::f816:3eff:fe00:1");
	weft_model_free(m);
}

static void default_is_one_address_of_each_family(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m), *o, *bare;
	assert_done(post(m, &alice, RES_SUBNET, NULL,
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.1.0/24'}", net->id));
	assert_done(post(m, &alice, RES_SUBNET, NULL,
			 "{'network_id': '%s', 'ip_version': 6, 'cidr': '2001:db8::/64'}",
			 net->id));
	o = port_new(m, net);
	assert_string_equal(ip_of(o, 0), "10.0.0.2");
	assert_string_equal(ip_of(o, 1), "2001:db8::1");
	assert_null(ip_of(o, 2));
	assert_done(post(m, &alice, RES_NETWORK, &bare, "{}"));
	o = port_new(m, bare);
	assert_null(ip_of(o, 0));
	assert_done(
		post(m, &alice, RES_PORT, &o, "{'network_id': '%s', 'fixed_ips': []}", net->id));
	assert_null(ip_of(o, 0));
	weft_model_free(m);
}

static void full_subnet_is_left_for_the_next_and_then_refused(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net, *o;
	assert_done(post(m, &alice, RES_NETWORK, &net, "{}"));
	for (int i = 0; i < 2; i++)
		assert_done(post(m, &alice, RES_SUBNET, NULL,
				 "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.%d.0/29'}",
				 net->id, i));
	for (int i = 0; i < 10; i++)
		o = port_new(m, net);
	assert_string_equal(ip_of(o, 0), "10.0.1.6");
	assert_refused(post(m, &alice, RES_PORT, NULL, "{'network_id': '%s'}", net->id), -ENOSPC,
		       "IpAddressGenerationFailure");
	assert_done(drop(m, &alice, RES_PORT, o->id));
	assert_string_equal(ip_of(port_new(m, net), 0), "10.0.1.6");
	weft_model_free(m);
}

static void update_keeps_the_addresses_that_stay(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m), *o = port_new(m, net);
	assert_done(
		put(m, &alice, RES_PORT, o->id, &o,
		    "{'fixed_ips': [{'ip_address': '10.0.0.2'}, {'ip_address': '10.0.0.50'}]}"));
	assert_string_equal(ip_of(o, 0), "10.0.0.2");
	assert_string_equal(ip_of(o, 1), "10.0.0.50");
	const json_t *fixed = json_array_get(json_object_get(o->attr, "fixed_ips"), 0);
	char subnet_id[WEFT_ID_LEN + 1];
	snprintf(subnet_id, sizeof(subnet_id), "%s", weft_json_text(fixed, "subnet_id"));
	assert_done(put(m, &alice, RES_PORT, o->id, &o, "{'fixed_ips': [{'subnet_id': '%s'}]}",
			subnet_id));
	assert_string_equal(ip_of(o, 0), "10.0.0.2");
	assert_null(ip_of(o, 1));
	// What it gave up is free for others.
	assert_done(post(m, &alice, RES_PORT, NULL,
			 "{'network_id': '%s', 'fixed_ips': [{'ip_address': '10.0.0.50'}]}",
			 net->id));
	assert_refused(put(m, &alice, RES_PORT, o->id, NULL,
			   "{'fixed_ips': [{'ip_address': '10.0.0.50'}]}"),
		       -EBUSY, "IpAddressAlreadyAllocated");
	weft_model_free(m);
}

static void security_needs_the_filter_but_no_address(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m), *group, *o;
	assert_done(post(m, &alice, RES_SECURITY_GROUP, &group, "{'name': 'g'}"));
	assert_refused(post(m, &alice, RES_PORT, NULL,
			    "{'network_id': '%s', 'port_security_enabled': false, "
			    "'security_groups': ['%s']}",
			    net->id, group->id),
		       -EBUSY, "PortSecurityAndIPRequiredForSecurityGroups");
	assert_done(post(m, &alice, RES_PORT, &o,
			 "{'network_id': '%s', 'fixed_ips': [], 'security_groups': ['%s']}",
			 net->id, group->id));
	assert_string_equal(first_group(o), group->id);
	assert_refused(post(m, &alice, RES_PORT, NULL,
			    "{'network_id': '%s', 'port_security_enabled': false, "
			    "'allowed_address_pairs': [{'ip_address': '10.0.0.0/24'}]}",
			    net->id),
		       -EBUSY, "AddressPairAndPortSecurityRequired");
	assert_done(post(m, &alice, RES_PORT, &o,
			 "{'network_id': '%s', 'port_security_enabled': false}", net->id));
	assert_null(first_group(o));
	assert_refused(put(m, &alice, RES_PORT, o->id, NULL, "{'security_groups': ['%s']}",
			   group->id),
		       -EBUSY, "PortSecurityAndIPRequiredForSecurityGroups");
	assert_done(put(m, &alice, RES_PORT, o->id, &o,
			"{'port_security_enabled': true, 'security_groups': ['%s']}", group->id));
	assert_refused(put(m, &alice, RES_PORT, o->id, NULL, "{'port_security_enabled': false}"),
		       -EBUSY, "PortSecurityPortHasSecurityGroup");
	assert_done(put(m, &alice, RES_PORT, o->id, &o,
			"{'port_security_enabled': false, 'security_groups': []}"));
	// No groups is an answer, not a question.
	assert_done(post(m, &alice, RES_PORT, &o, "{'network_id': '%s', 'security_groups': []}",
			 net->id));
	assert_null(first_group(o));
	weft_model_free(m);
}

static void port_security_is_inherited_and_off_for_services(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net, *o;
	assert_done(post(m, &alice, RES_NETWORK, &net, "{'port_security_enabled': false}"));
	assert_done(post(m, &alice, RES_PORT, &o, "{'network_id': '%s'}", net->id));
	assert_false(weft_json_bool(o->attr, "port_security_enabled", true));
	assert_done(post(m, &alice, RES_PORT, &o,
			 "{'network_id': '%s', 'port_security_enabled': true}", net->id));
	assert_true(weft_json_bool(o->attr, "port_security_enabled", false));
	assert_done(post(m, &alice, RES_PORT, &o,
			 "{'network_id': '%s', 'port_security_enabled': true, 'device_owner': "
			 "'network:dhcp'}",
			 net->id));
	assert_false(weft_json_bool(o->attr, "port_security_enabled", true));
	assert_null(first_group(o));
	// Becoming a service's port is leaving the filter, and nothing says otherwise afterwards.
	const struct object *vm = port_new(m, alices_network(m));
	assert_non_null(first_group(vm));
	assert_done(put(m, &alice, RES_PORT, vm->id, &vm,
			"{'device_owner': 'network:router_interface'}"));
	assert_null(first_group(vm));
	assert_false(weft_json_bool(vm->attr, "port_security_enabled", true));
	assert_done(put(m, &alice, RES_PORT, vm->id, &vm, "{'port_security_enabled': true}"));
	assert_false(weft_json_bool(vm->attr, "port_security_enabled", true));
	weft_model_free(m);
}

static void lists_have_an_end(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m);
	struct text many = {0};
	for (int i = 0; i < 257; i++)
		weft_text_add(&many, "%s{'ip_address': '10.0.%d.%d'}", i == 0 ? "" : ",", i / 250,
			      i % 250);
	assert_refused(post(m, &alice, RES_PORT, NULL, "{'network_id': '%s', 'fixed_ips': [%s]}",
			    net->id, many.s),
		       -EINVAL, "HTTPBadRequest");
	weft_text_fini(&many);
	weft_model_free(m);
}

static void address_pairs_are_completed_and_limited(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m), *o;
	assert_done(post(m, &alice, RES_PORT, &o,
			 "{'network_id': '%s', 'mac_address': 'fa:16:3e:00:00:01', "
			 "'allowed_address_pairs': [{'ip_address': '10.9.0.0/16'}, {'ip_address': "
			 "'10.0.0.9', 'mac_address': '00:00:5E:00:01:01'}]}",
			 net->id));
	const json_t *pairs = json_object_get(o->attr, "allowed_address_pairs");
	assert_string_equal(weft_json_text(json_array_get(pairs, 0), "mac_address"),
			    "fa:16:3e:00:00:01");
	assert_string_equal(weft_json_text(json_array_get(pairs, 1), "mac_address"),
			    "00:00:5e:00:01:01");
	assert_refused(put(m, &alice, RES_PORT, o->id, NULL,
			   "{'allowed_address_pairs': [{'ip_address': '10.0.0.9'}, {'ip_address': "
			   "'10.0.0.9', 'mac_address': 'fa:16:3e:00:00:01'}]}"),
		       -EINVAL, "DuplicateAddressPairInRequest");
	assert_refused(put(m, &alice, RES_PORT, o->id, NULL,
			   "{'allowed_address_pairs': [{'mac_address': 'fa:16:3e:00:00:01'}]}"),
		       -EINVAL, "AllowedAddressPairsMissingIP");
	assert_refused(put(m, &alice, RES_PORT, o->id, NULL,
			   "{'allowed_address_pairs': [{'ip_address': '10.0.0.0/40'}]}"),
		       -EINVAL, "HTTPBadRequest");
	assert_refused(put(m, &alice, RES_PORT, o->id, NULL,
			   "{'allowed_address_pairs': [{'ip_address': '10.0.0.9', 'mac_address': "
			   "'01:00:5e:00:00:01'}]}"),
		       -EINVAL, "HTTPBadRequest");
	struct text many = {0};
	for (int i = 0; i < 11; i++)
		weft_text_add(&many, "%s{'ip_address': '10.0.0.%d'}", i == 0 ? "" : ",", i + 1);
	assert_refused(put(m, &alice, RES_PORT, o->id, NULL, "{'allowed_address_pairs': [%s]}",
			   many.s),
		       -EINVAL, "AllowedAddressPairExhausted");
	weft_text_fini(&many);
	assert_done(put(m, &alice, RES_PORT, o->id, &o, "{'allowed_address_pairs': []}"));
	weft_model_free(m);
}

static void binding_follows_host_profile_and_configuration(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m), *o;
	char path[64];
	assert_refused(post(m, &alice, RES_PORT, NULL,
			    "{'network_id': '%s', 'binding:host_id': 'node1'}", net->id),
		       -EPERM, "PolicyNotAuthorized");
	assert_done(post(m, &admin, RES_PORT, &o,
			 "{'network_id': '%s', 'binding:host_id': 'node1'}", net->id));
	assert_string_equal(text_of(o, "binding:vif_type"), "tap");
	assert_done(put(m, &admin, RES_PORT, o->id, &o,
			"{'binding:profile': {'vif_type': 'vhostuser'}}"));
	assert_string_equal(text_of(o, "binding:vif_type"), "vhostuser");
	const json_t *details = json_object_get(o->attr, "binding:vif_details");
	snprintf(path, sizeof(path), "/run/weft/vhu%.11s", o->id);
	assert_string_equal(weft_json_text(details, "vhostuser_socket"), path);
	assert_string_equal(weft_json_text(details, "vhostuser_mode"), "client");
	assert_true(weft_json_bool(details, "port_filter", false));
	assert_refused(put(m, &admin, RES_PORT, o->id, NULL,
			   "{'mac_address': 'fa:16:3e:00:00:01'}"),
		       -EBUSY, "PortBound");
	assert_refused(put(m, &admin, RES_PORT, o->id, NULL,
			   "{'binding:profile': {'vif_type': 'pigeon'}}"),
		       -EINVAL, "HTTPBadRequest");
	assert_done(put(m, &admin, RES_PORT, o->id, &o, "{'binding:vnic_type': 'direct'}"));
	assert_string_equal(text_of(o, "binding:vif_type"), "binding_failed");
	assert_done(put(m, &admin, RES_PORT, o->id, &o, "{'binding:host_id': null}"));
	assert_string_equal(text_of(o, "binding:vif_type"), "unbound");
	char prefix[12];
	snprintf(prefix, sizeof(prefix), "%.11s", o->id);
	assert_ptr_equal(weft_model_port_by_prefix(m, prefix), o);
	weft_model_free(m);
}

static void dhcp_options_are_merged_and_null_removes(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m), *o;
	char buf[256];
	assert_done(
		post(m, &alice, RES_PORT, &o,
		     "{'network_id': '%s', 'extra_dhcp_opts': [{'opt_name': 'mtu', 'opt_value': "
		     "'1400'}, {'opt_name': 'x', 'opt_value': null}]}",
		     net->id));
	assert_done(put(m, &alice, RES_PORT, o->id, &o,
			"{'extra_dhcp_opts': [{'opt_name': 'bootfile-name', 'opt_value': 'b'}, "
			"{'opt_name': 'mtu', 'opt_value': '9', 'ip_version': 6}]}"));
	assert_int_equal(json_array_size(json_object_get(o->attr, "extra_dhcp_opts")), 3);
	assert_done(put(m, &alice, RES_PORT, o->id, &o,
			"{'extra_dhcp_opts': [{'opt_name': 'mtu', 'opt_value': null}, {'opt_name': "
			"'bootfile-name', 'opt_value': 'c'}]}"));
	assert_string_equal(
		weft_json_quote(json_object_get(o->attr, "extra_dhcp_opts"), buf, sizeof(buf)),
		"[{\"ip_version\":6,\"opt_name\":\"mtu\",\"opt_value\":\"9\"},"
		"{\"ip_version\":4,\"opt_name\":\"bootfile-name\",\"opt_value\":\"c\"}]");
	assert_refused(put(m, &alice, RES_PORT, o->id, NULL,
			   "{'extra_dhcp_opts': [{'opt_name': '', 'opt_value': 'x'}]}"),
		       -EINVAL, "HTTPBadRequest");
	assert_refused(put(m, &alice, RES_PORT, o->id, NULL,
			   "{'extra_dhcp_opts': [{'opt_name': 'mtu'}]}"),
		       -EINVAL, "HTTPBadRequest");
	weft_model_free(m);
}

static void strangers_on_a_shared_network_cannot_pose_as_its_owner(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net, *o;
	assert_done(post(m, &admin, RES_NETWORK, &net, "{'shared': true, 'project_id': 'alice'}"));
	assert_done(post(m, &alice, RES_SUBNET, NULL,
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.0.0/24'}", net->id));
	static const char *const denied[] = {
		"'mac_address': 'fa:16:3e:00:00:01'",
		"'port_security_enabled': false",
		"'allowed_address_pairs': [{'ip_address': '10.0.0.1'}]",
		"'device_owner': 'network:dhcp'",
		"'fixed_ips': [{'ip_address': '10.0.0.1'}]",
	};
	for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++)
		assert_refused(post(m, &bob, RES_PORT, NULL, "{'network_id': '%s', %s}", net->id,
				    denied[i]),
			       -EPERM, "PolicyNotAuthorized");
	assert_done(post(m, &bob, RES_PORT, &o,
			 "{'network_id': '%s', 'device_owner': 'compute:nova'}", net->id));
	for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++)
		assert_refused(put(m, &bob, RES_PORT, o->id, NULL, "{%s}", denied[i]), -EPERM,
			       "PolicyNotAuthorized");
	assert_true(weft_model_visible(m, &alice, o)); // on her network
	weft_model_free(m);
}

static void ports_are_made_only_on_visible_networks_with_visible_groups(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m), *group;
	assert_refused(post(m, &bob, RES_PORT, NULL, "{'network_id': '%s'}", net->id), -ENOENT,
		       "NetworkNotFound");
	assert_done(post(m, &bob, RES_SECURITY_GROUP, &group, "{'name': 'g'}"));
	assert_refused(post(m, &alice, RES_PORT, NULL,
			    "{'network_id': '%s', 'security_groups': ['%s']}", net->id, group->id),
		       -ENOENT, "SecurityGroupNotFound");
	assert_refused(post(m, &alice, RES_PORT, NULL, "{'name': 'x'}"), -EINVAL, "HTTPBadRequest");
	weft_model_free(m);
}

static void dns_names_are_host_names(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m), *o;
	static const char *const good[] = {"", "vm", "vm-1", "vm.example.org", "vm.example.org."};
	static const char *const bad[] = {"-vm", "vm-", "v m", "a..b", ".a", "vm_1", "vm.-x"};
	for (size_t i = 0; i < 5; i++) {
		assert_done(post(m, &alice, RES_PORT, &o, "{'network_id': '%s', 'dns_name': '%s'}",
				 net->id, good[i]));
		assert_string_equal(text_of(o, "dns_name"), good[i]);
	}
	for (size_t i = 0; i < 7; i++)
		assert_refused(post(m, &alice, RES_PORT, NULL,
				    "{'network_id': '%s', 'dns_name': '%s'}", net->id, bad[i]),
			       -EINVAL, "HTTPBadRequest");
	weft_model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(port_gets_mac_address_and_default_group),
		cmocka_unit_test(status_is_run_time_state),
		cmocka_unit_test(mac_is_unique_in_its_network_only),
		cmocka_unit_test(fixed_ips_are_had_by_address_by_subnet_or_both),
		cmocka_unit_test(no_addresses_asked_for_are_those_that_make_themselves),
		cmocka_unit_test(default_is_one_address_of_each_family),
		cmocka_unit_test(full_subnet_is_left_for_the_next_and_then_refused),
		cmocka_unit_test(update_keeps_the_addresses_that_stay),
		cmocka_unit_test(security_needs_the_filter_but_no_address),
		cmocka_unit_test(port_security_is_inherited_and_off_for_services),
		cmocka_unit_test(lists_have_an_end),
		cmocka_unit_test(address_pairs_are_completed_and_limited),
		cmocka_unit_test(binding_follows_host_profile_and_configuration),
		cmocka_unit_test(dhcp_options_are_merged_and_null_removes),
		cmocka_unit_test(strangers_on_a_shared_network_cannot_pose_as_its_owner),
		cmocka_unit_test(ports_are_made_only_on_visible_networks_with_visible_groups),
		cmocka_unit_test(dns_names_are_host_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
