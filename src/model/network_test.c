// SPDX-License-Identifier: Apache-2.0
#include "model/network.h"

#include <errno.h>

#include "model/model_testing.h"

static void network_is_shown_as_neutron_shows_it(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *o;
	assert_done(post(m, &alice, RES_NETWORK, &o, "{'name': 'n', 'mtu': '1400'}"));
	weft_auto(json) shown = weft_model_render(m, o);
	assert_string_equal(weft_json_text(shown, "name"), "n");
	assert_string_equal(weft_json_text(shown, "status"), "ACTIVE");
	assert_string_equal(weft_json_text(shown, "project_id"), "alice");
	assert_string_equal(weft_json_text(shown, "tenant_id"), "alice");
	assert_string_equal(weft_json_text(shown, "provider:network_type"), "vxlan");
	assert_int_equal(weft_json_int(shown, "mtu", 0), 1400);
	assert_int_equal(weft_json_int(shown, "revision_number", 0), 1);
	assert_true(weft_json_bool(shown, "admin_state_up", false));
	assert_true(weft_json_bool(shown, "port_security_enabled", false));
	assert_int_equal(json_array_size(json_object_get(shown, "subnets")), 0);
	weft_auto(json) members = weft_model_render_for(m, &alice, o);
	assert_null(json_object_get(members, "provider:network_type"));
	weft_model_free(m);
}

static void each_tenant_network_has_its_own_segment(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *a, *b;
	assert_done(post(m, &admin, RES_NETWORK, NULL,
			 "{'provider:network_type': 'vxlan', 'provider:segmentation_id': 2}"));
	assert_done(post(m, &alice, RES_NETWORK, &a, "{}"));
	assert_done(post(m, &alice, RES_NETWORK, &b, "{}"));
	assert_int_equal(weft_json_int(a->attr, "provider:segmentation_id", 0), 1);
	assert_int_equal(weft_json_int(b->attr, "provider:segmentation_id", 0), 3);
	assert_refused(post(m, &admin, RES_NETWORK, NULL,
			    "{'provider:network_type': 'vxlan', 'provider:segmentation_id': 2}"),
		       -EBUSY, "TunnelIdInUse");
	weft_model_free(m);
}

static void provider_attributes_must_fit_the_type(void **state)
{
	(void)state;
	struct model *m = model_new();
	static const char *const bad[] = {
		"{'provider:network_type': 'token-ring'}",
		"{'provider:segmentation_id': 7}",
		"{'provider:network_type': 'vlan', 'provider:segmentation_id': 7}",
		"{'provider:network_type': 'vlan', 'provider:physical_network': 'p', "
		"'provider:segmentation_id': 4095}",
		"{'provider:network_type': 'flat', 'provider:physical_network': 'p', "
		"'provider:segmentation_id': 1}",
		"{'provider:network_type': 'vxlan', 'provider:physical_network': 'p'}",
		"{'provider:network_type': 'local', 'provider:segmentation_id': 1}",
		"{'provider:network_type': 'flat', 'provider:physical_network': 'nowhere'}",
		"{'provider:network_type': 'vlan', 'provider:physical_network': 'nowhere', "
		"'provider:segmentation_id': 7}",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(post(m, &admin, RES_NETWORK, NULL, "%s", bad[i]), -EINVAL,
			       "InvalidInput");
	const struct object *o;
	assert_done(post(m, &admin, RES_NETWORK, &o,
			 "{'provider:network_type': 'vlan', 'provider:physical_network': 'p', "
			 "'provider:segmentation_id': '100'}"));
	assert_int_equal(weft_json_int(o->attr, "provider:segmentation_id", 0), 100);
	assert_refused(post(m, &admin, RES_NETWORK, NULL,
			    "{'provider:network_type': 'vlan', 'provider:physical_network': 'p', "
			    "'provider:segmentation_id': 100}"),
		       -EBUSY, "VlanIdInUse");
	assert_done(post(m, &admin, RES_NETWORK, NULL,
			 "{'provider:network_type': 'flat', 'provider:physical_network': 'p'}"));
	assert_refused(post(m, &admin, RES_NETWORK, NULL,
			    "{'provider:network_type': 'flat', 'provider:physical_network': 'p'}"),
		       -EBUSY, "FlatNetworkInUse");
	// A freed segment is free for others.
	assert_done(put(m, &admin, RES_NETWORK, o->id, &o, "{'provider:segmentation_id': 101}"));
	assert_done(post(m, &admin, RES_NETWORK, NULL,
			 "{'provider:network_type': 'vlan', 'provider:physical_network': 'p', "
			 "'provider:segmentation_id': 100}"));
	assert_refused(put(m, &admin, RES_NETWORK, o->id, NULL,
			   "{'provider:segmentation_id': 100}"),
		       -EBUSY, "VlanIdInUse");
	weft_model_free(m);
}

static void members_cannot_set_what_only_admins_may(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *o;
	assert_refused(post(m, &alice, RES_NETWORK, NULL, "{'shared': true}"), -EPERM,
		       "PolicyNotAuthorized");
	assert_refused(post(m, &alice, RES_NETWORK, NULL, "{'router:external': true}"), -EPERM,
		       "PolicyNotAuthorized");
	assert_refused(post(m, &alice, RES_NETWORK, NULL, "{'provider:network_type': 'local'}"),
		       -EPERM, "PolicyNotAuthorized");
	assert_refused(post(m, &alice, RES_NETWORK, NULL, "{'project_id': 'bob'}"), -EINVAL,
		       "HTTPBadRequest");
	assert_done(post(m, &alice, RES_NETWORK, &o, "{'shared': false, 'tenant_id': 'alice'}"));
	assert_refused(put(m, &alice, RES_NETWORK, o->id, NULL, "{'shared': true}"), -EPERM,
		       "PolicyNotAuthorized");
	assert_done(post(m, &admin, RES_NETWORK, &o, "{'tenant_id': 'bob'}"));
	assert_string_equal(o->project_id, "bob");
	assert_refused(post(m, &admin, RES_NETWORK, NULL, "{'tenant_id': 'a', 'project_id': 'b'}"),
		       -EINVAL, "HTTPBadRequest");
	weft_model_free(m);
}

static void strangers_see_only_shared_networks(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *own, *shared;
	assert_done(post(m, &alice, RES_NETWORK, &own, "{}"));
	assert_done(post(m, &admin, RES_NETWORK, &shared, "{'shared': true}"));
	assert_true(weft_model_visible(m, &alice, own));
	assert_true(weft_model_visible(m, &admin, own));
	assert_false(weft_model_visible(m, &bob, own));
	assert_true(weft_model_visible(m, &bob, shared));
	assert_refused(drop(m, &bob, RES_NETWORK, own->id), -ENOENT, "NetworkNotFound");
	assert_refused(drop(m, &bob, RES_NETWORK, shared->id), -EPERM, "PolicyNotAuthorized");
	assert_refused(put(m, &bob, RES_NETWORK, own->id, NULL, "{'name': 'x'}"), -ENOENT,
		       "NetworkNotFound");
	weft_model_free(m);
}

// What nothing here carries is not taken as if it were.
static void attributes_of_what_is_not_served_are_refused(void **state)
{
	(void)state;
	struct model *m = model_new();
	static const struct {
		enum resource type;
		const char *name;
	} cases[] = {
		{RES_NETWORK, "is_default"},
		{RES_NETWORK, "availability_zone_hints"},
		{RES_NETWORK, "qos_policy_id"},
		{RES_NETWORK, "vlan_transparent"},
		{RES_SUBNET, "segment_id"},
		{RES_SUBNET, "dns_publish_fixed_ip"},
		{RES_PORT, "qos_policy_id"},
		{RES_PORT, "dns_domain"},
		{RES_PORT, "propagate_uplink_status"},
		{RES_PORT, "numa_affinity_policy"},
		{RES_ROUTER, "availability_zone_hints"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_refused(post(m, &admin, cases[i].type, NULL, "{'%s': null}", cases[i].name),
			       -EINVAL, "HTTPBadRequest");
		assert_non_null(strstr(last_err.msg, "Unrecognized attribute"));
	}
	weft_model_free(m);
}

static void one_segment_says_what_the_provider_attributes_say(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *o;
	assert_done(post(m, &admin, RES_NETWORK, &o,
			 "{'segments': [{'provider:network_type': 'vlan', "
			 "'provider:physical_network': 'physnet1', "
			 "'provider:segmentation_id': '101'}]}"));
	assert_string_equal(text_of(o, "provider:network_type"), "vlan");
	assert_string_equal(text_of(o, "provider:physical_network"), "physnet1");
	assert_int_equal(weft_json_int(o->attr, "provider:segmentation_id", 0), 101);
	assert_null(json_object_get(o->attr, "segments"));
	assert_refused(post(m, &admin, RES_NETWORK, NULL,
			    "{'segments': [{'provider:network_type': 'vlan', "
			    "'provider:physical_network': 'physnet1', "
			    "'provider:segmentation_id': 101}]}"),
		       -EBUSY, "VlanIdInUse");
	assert_refused(post(m, &admin, RES_NETWORK, NULL,
			    "{'provider:network_type': 'local', "
			    "'segments': [{'provider:network_type': 'local'}]}"),
		       -EINVAL, "SegmentsSetInConjunctionWithProviders");
	assert_refused(post(m, &admin, RES_NETWORK, NULL,
			    "{'segments': [{'provider:network_type': 'local'}, "
			    "{'provider:network_type': 'vxlan'}]}"),
		       -EINVAL, "HTTPBadRequest");
	assert_refused(post(m, &admin, RES_NETWORK, NULL, "{'segments': [{'colour': 'red'}]}"),
		       -EINVAL, "HTTPBadRequest");
	assert_refused(post(m, &alice, RES_NETWORK, NULL,
			    "{'segments': [{'provider:network_type': 'local'}]}"),
		       -EPERM, "PolicyNotAuthorized");
	assert_done(post(m, &alice, RES_NETWORK, NULL, "{'segments': null}"));
	weft_model_free(m);
}

static void bodies_are_read_strictly(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *o;
	static const char *const bad[] = {
		"{'colour': 'red'}",	 "{'id': 'x'}",	      "{'name': 7}",
		"{'name': null}",	 "{'mtu': 67}",	      "{'mtu': 65536}",
		"{'status': 'DOWN'}",	 "{'tags': ['']}",    "{'tags': 'x'}",
		"{'description': ['']}", "{'project_id': 1}", "[]",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(post(m, &admin, RES_NETWORK, NULL, "%s", bad[i]), -EINVAL,
			       "HTTPBadRequest");
	assert_refused(post(m, &admin, RES_NETWORK, NULL, "{'admin_state_up': 'maybe'}"), -EINVAL,
		       "InvalidInput");
	assert_refused(post(m, &admin, RES_NETWORK, NULL, "{'mtu': 'big'}"), -EINVAL,
		       "InvalidInput");
	assert_refused(post(m, &admin, RES_NETWORK, NULL, "{'a': 1, 'b': 2}"), -EINVAL,
		       "HTTPBadRequest");
	assert_string_equal(last_err.msg, "Unrecognized attribute(s) 'a, b'");
	assert_refused(post(m, &admin, RES_NETWORK, NULL, "{'': 1}"), -EINVAL, "HTTPBadRequest");
	char longest[300];
	memset(longest, 'x', 255);
	longest[255] = '\0';
	assert_done(post(m, &admin, RES_NETWORK, &o, "{'name': '%s', 'admin_state_up': 'False'}",
			 longest));
	assert_false(weft_json_bool(o->attr, "admin_state_up", true));
	assert_refused(post(m, &admin, RES_NETWORK, NULL, "{'name': '%sx'}", longest), -EINVAL,
		       "HTTPBadRequest");
	assert_refused(put(m, &admin, RES_NETWORK, o->id, NULL, "{'project_id': 'x'}"), -EINVAL,
		       "HTTPBadRequest");
	assert_string_equal(last_err.msg, "Cannot update read-only attribute project_id");
	assert_int_equal(weft_model_count(m, RES_NETWORK), 1);
	weft_model_free(m);
}

static void physical_network_carries_no_larger_mtu(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *flat, *vlan, *tunnel;
	static const char vlan_of[] =
		"'provider:network_type': 'vlan', 'provider:physical_network': 'p'";

	assert_refused(post(m, &admin, RES_NETWORK, NULL,
			    "{'provider:network_type': 'flat', 'provider:physical_network': 'p', "
			    "'mtu': 1501}"),
		       -EINVAL, "InvalidInput");
	assert_string_equal(last_err.msg, "Invalid input for operation: Requested MTU is too big, "
					  "maximum is 1500.");
	assert_refused(post(m, &admin, RES_NETWORK, NULL, "{%s, 'mtu': 9000}", vlan_of), -EINVAL,
		       "InvalidInput");
	assert_refused(post(m, &admin, RES_NETWORK, NULL, "{'segments': [{%s}], 'mtu': 9000}",
			    vlan_of),
		       -EINVAL, "InvalidInput");
	assert_done(post(m, &admin, RES_NETWORK, &flat,
			 "{'provider:network_type': 'flat', 'provider:physical_network': 'p'}"));
	assert_done(post(m, &admin, RES_NETWORK, &vlan, "{%s, 'mtu': 1500}", vlan_of));
	assert_refused(put(m, &admin, RES_NETWORK, vlan->id, NULL, "{'mtu': 1501}"), -EINVAL,
		       "InvalidInput");
	assert_done(put(m, &admin, RES_NETWORK, vlan->id, NULL, "{'mtu': 1400}"));
	assert_int_equal(weft_json_int(flat->attr, "mtu", 0), 1500);

	// No wire carries it.
	assert_done(post(m, &alice, RES_NETWORK, &tunnel, "{'mtu': 9000}"));
	assert_done(put(m, &alice, RES_NETWORK, tunnel->id, NULL, "{'mtu': 65535}"));
	weft_model_free(m);
}

static void physical_mtu_is_that_of_new_networks(void **state)
{
	(void)state;
	static const char *const physical[] = {"p"};
	static const struct model_config config = {.host = "node-1",
						   .physnet_mtu = 9000,
						   .physical_networks = physical,
						   .n_physical_networks = 1};
	struct model *m = weft_model_new(&config);
	const struct object *flat, *tunnel;

	assert_done(post(m, &admin, RES_NETWORK, &flat,
			 "{'provider:network_type': 'flat', 'provider:physical_network': 'p'}"));
	assert_done(post(m, &alice, RES_NETWORK, &tunnel, "{}"));
	assert_int_equal(weft_json_int(flat->attr, "mtu", 0), 9000);
	assert_int_equal(weft_json_int(tunnel->attr, "mtu", 0), 9000);
	assert_refused(put(m, &admin, RES_NETWORK, flat->id, NULL, "{'mtu': 9001}"), -EINVAL,
		       "InvalidInput");
	weft_model_free(m);
}

static void revision_grows_with_each_change_only(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *o;
	assert_done(post(m, &alice, RES_NETWORK, &o, "{'name': 'a'}"));
	assert_done(put(m, &alice, RES_NETWORK, o->id, &o, "{'name': 'b', 'mtu': 1300}"));
	assert_int_equal(weft_json_int(o->attr, "revision_number", 0), 2);
	assert_string_equal(text_of(o, "name"), "b");
	assert_done(put(m, &alice, RES_NETWORK, o->id, &o, "{'name': 'b'}"));
	assert_int_equal(weft_json_int(o->attr, "revision_number", 0), 2);

	struct txn *t = weft_txn_begin(m);
	weft_auto(json) tags = json_pack("[s, s]", "blue", "red");
	assert_int_equal(weft_txn_set_tags(t, &alice, RES_NETWORK, o->id, tags, &o, &last_err), 0);
	weft_txn_commit(t);
	weft_txn_free(t);
	assert_int_equal(json_array_size(json_object_get(o->attr, "tags")), 2);
	assert_int_equal(weft_json_int(o->attr, "revision_number", 0), 3);
	assert_refused(post(m, &alice, RES_NETWORK, NULL, "{'tags': ['a', 'b', 'a']}"), -EINVAL,
		       "HTTPBadRequest");
	weft_model_free(m);
}

static void network_in_use_is_kept_and_an_empty_one_takes_its_subnets_along(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m), *port;
	assert_done(post(m, &alice, RES_PORT, &port, "{'network_id': '%s'}", net->id));
	assert_done(post(m, &admin, RES_PORT, NULL,
			 "{'network_id': '%s', 'device_owner': 'network:dhcp'}", net->id));
	assert_refused(drop(m, &alice, RES_NETWORK, net->id), -EBUSY, "NetworkInUse");
	assert_int_equal(weft_model_count(m, RES_PORT), 2);
	assert_done(drop(m, &alice, RES_PORT, port->id));
	assert_done(drop(m, &alice, RES_NETWORK, net->id));
	assert_int_equal(weft_model_count(m, RES_PORT), 0);
	assert_int_equal(weft_model_count(m, RES_SUBNET), 0);
	weft_model_free(m);
}

static void shared_network_with_strangers_stays_shared(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net, *port;
	assert_done(post(m, &admin, RES_NETWORK, &net, "{'shared': true}"));
	assert_done(post(m, &bob, RES_PORT, &port, "{'network_id': '%s'}", net->id));
	assert_refused(put(m, &admin, RES_NETWORK, net->id, NULL, "{'shared': false}"), -EBUSY,
		       "InvalidSharedSetting");
	assert_done(drop(m, &bob, RES_PORT, port->id));
	assert_done(put(m, &admin, RES_NETWORK, net->id, NULL, "{'shared': false}"));
	weft_model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(network_is_shown_as_neutron_shows_it),
		cmocka_unit_test(each_tenant_network_has_its_own_segment),
		cmocka_unit_test(provider_attributes_must_fit_the_type),
		cmocka_unit_test(members_cannot_set_what_only_admins_may),
		cmocka_unit_test(strangers_see_only_shared_networks),
		cmocka_unit_test(attributes_of_what_is_not_served_are_refused),
		cmocka_unit_test(one_segment_says_what_the_provider_attributes_say),
		cmocka_unit_test(bodies_are_read_strictly),
		cmocka_unit_test(physical_network_carries_no_larger_mtu),
		cmocka_unit_test(physical_mtu_is_that_of_new_networks),
		cmocka_unit_test(revision_grows_with_each_change_only),
		cmocka_unit_test(network_in_use_is_kept_and_an_empty_one_takes_its_subnets_along),
		cmocka_unit_test(shared_network_with_strangers_stays_shared),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
