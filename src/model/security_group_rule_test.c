// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "model/model_testing.h"

static char group_id[WEFT_ID_LEN + 1];

static int setup(void **state)
{
	struct model *m = model_new();
	const struct object *o;
	assert_done(post(m, &alice, RES_SECURITY_GROUP, &o, "{'name': 'g'}"));
	snprintf(group_id, sizeof(group_id), "%s", o->id);
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	weft_model_free(*state);
	return 0;
}

static int rule(struct model *m, const struct object **out, const char *rest)
{
	return post(m, &alice, RES_SECURITY_GROUP_RULE, out,
		    "{'security_group_id': '%s', 'direction': 'ingress' %s}", group_id, rest);
}

static void impossible_rules_are_refused(void **state)
{
	static const struct {
		const char *rest, *kind;
	} cases[] = {
		{", 'ethertype': 'IPX'", "SecurityGroupRuleInvalidEtherType"},
		{", 'protocol': 'token-ring'", "SecurityGroupRuleInvalidProtocol"},
		{", 'protocol': 256", "SecurityGroupRuleInvalidProtocol"},
		{", 'protocol': '-1'", "SecurityGroupRuleInvalidProtocol"},
		{", 'protocol': true", "SecurityGroupRuleInvalidProtocol"},
		{", 'protocol': 'ipv6-icmp'", "SecurityGroupEthertypeConflictWithProtocol"},
		{", 'protocol': 'ipv6-frag'", "SecurityGroupEthertypeConflictWithProtocol"},
		{", 'protocol': 58", "SecurityGroupEthertypeConflictWithProtocol"},
		{", 'port_range_min': 22, 'port_range_max': 22",
		 "SecurityGroupProtocolRequiredWithPorts"},
		{", 'protocol': 'tcp', 'port_range_min': 23, 'port_range_max': 22",
		 "SecurityGroupInvalidPortRange"},
		{", 'protocol': 'tcp', 'port_range_min': 22", "SecurityGroupInvalidPortRange"},
		{", 'protocol': 'tcp', 'port_range_max': 22", "SecurityGroupInvalidPortRange"},
		{", 'protocol': 'tcp', 'port_range_min': 0, 'port_range_max': 22",
		 "SecurityGroupInvalidPortValue"},
		{", 'protocol': 'udp', 'port_range_min': 0, 'port_range_max': 0",
		 "SecurityGroupInvalidPortValue"},
		{", 'protocol': 'tcp', 'port_range_min': 1, 'port_range_max': 65536",
		 "SecurityGroupInvalidPortValue"},
		{", 'protocol': 'tcp', 'port_range_min': 'ssh', 'port_range_max': 'ssh'",
		 "SecurityGroupInvalidPortValue"},
		{", 'protocol': 'gre', 'port_range_min': 1, 'port_range_max': 2",
		 "SecurityGroupInvalidProtocolForPort"},
		{", 'protocol': '47', 'port_range_min': 1, 'port_range_max': 2",
		 "SecurityGroupInvalidProtocolForPort"},
		{", 'protocol': 'icmp', 'port_range_min': 256", "SecurityGroupInvalidIcmpValue"},
		{", 'protocol': 'icmp', 'port_range_min': 3, 'port_range_max': 256",
		 "SecurityGroupInvalidIcmpValue"},
		{", 'protocol': 'icmp', 'port_range_max': 0", "SecurityGroupMissingIcmpType"},
		{", 'protocol': 1, 'port_range_max': 3", "SecurityGroupMissingIcmpType"},
		{", 'remote_ip_prefix': '10.0.0.0/33'", "InvalidCIDR"},
		{", 'remote_ip_prefix': 'here'", "InvalidCIDR"},
		{", 'remote_ip_prefix': '::/0'", "SecurityGroupRuleParameterConflict"},
		{", 'ethertype': 'IPv6', 'remote_ip_prefix': '10.0.0.0/8'",
		 "SecurityGroupRuleParameterConflict"},
		{", 'direction': 'sideways'", "HTTPBadRequest"},
		{", 'protocol': 'any'", "SecurityGroupRuleInvalidProtocol"},
		{", 'normalized_cidr': '10.0.0.0/8'", "HTTPBadRequest"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_refused(rule(*state, NULL, cases[i].rest), -EINVAL, cases[i].kind);
	assert_refused(post(*state, &alice, RES_SECURITY_GROUP_RULE, NULL,
			    "{'security_group_id': '%s'}", group_id),
		       -EINVAL, "HTTPBadRequest");
	assert_refused(rule(*state, NULL, ", 'remote_group_id': 'mine'"), -ENOENT,
		       "SecurityGroupNotFound");
	assert_refused(post(*state, &alice, RES_SECURITY_GROUP_RULE, NULL,
			    "{'security_group_id': 'mine', 'direction': 'ingress'}"),
		       -ENOENT, "SecurityGroupNotFound");
	assert_refused(rule(*state, NULL,
			    ", 'remote_group_id': 'a6f9d2f0-5c0e-4a35-9a2e-0a0b0c0d0e0f'"),
		       -ENOENT, "SecurityGroupNotFound");
	assert_refused(rule(*state, NULL,
			    ", 'remote_address_group_id': 'a6f9d2f0-5c0e-4a35-9a2e-0a0b0c0d0e0f'"),
		       -ENOENT, "AddressGroupNotFound");
}

static void only_one_remote_may_be_named(void **state)
{
	const struct object *ag;
	char rest[256];
	assert_done(post(*state, &alice, RES_ADDRESS_GROUP, &ag, "{'addresses': ['10.0.0.0/8']}"));
	snprintf(rest, sizeof(rest), ", 'remote_group_id': '%s', 'remote_ip_prefix': '10.0.0.0/8'",
		 group_id);
	assert_refused(rule(*state, NULL, rest), -EINVAL, "SecurityGroupMultipleRemoteEntites");
	snprintf(rest, sizeof(rest), ", 'remote_group_id': '%s', 'remote_address_group_id': '%s'",
		 group_id, ag->id);
	assert_refused(rule(*state, NULL, rest), -EINVAL, "SecurityGroupMultipleRemoteEntites");
	snprintf(rest, sizeof(rest), ", 'remote_address_group_id': '%s', 'remote_ip_prefix': null",
		 ag->id);
	assert_done(rule(*state, NULL, rest));
}

static void protocols_are_brought_into_one_form(void **state)
{
	static const struct {
		const char *rest, *protocol;
		uint8_t family;
		int number;
	} cases[] = {
		{", 'protocol': 'TCP'", "tcp", 4, 6},
		{", 'protocol': 17", "17", 4, 17},
		{", 'protocol': '0132'", "132", 4, 132},
		{", 'protocol': null", NULL, 4, -1},
		{", 'protocol': 'icmp'", "icmp", 4, 1},
		{", 'ethertype': 'ipv6', 'protocol': 'icmp'", "ipv6-icmp", 6, 58},
		{", 'ethertype': 'IPv6', 'protocol': 'icmpv6', 'port_range_min': 128", "ipv6-icmp",
		 6, 58},
		{", 'ethertype': 'IPv6', 'protocol': 1, 'port_range_min': 129", "58", 6, 58},
		{", 'protocol': 'ip'", "ip", 4, 0},
		{", 'protocol': 'vrrp'", "vrrp", 4, 112},
	};
	const struct object *o;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_done(rule(*state, &o, cases[i].rest));
		const char *protocol = text_of(o, "protocol");
		if (cases[i].protocol == NULL)
			assert_null(protocol);
		else
			assert_string_equal(protocol, cases[i].protocol);
		assert_int_equal(weft_protocol_number(protocol, cases[i].family), cases[i].number);
	}
	assert_int_equal(weft_protocol_number("nonsense", 4), -EINVAL);
	assert_int_equal(weft_protocol_number("256", 4), -EINVAL);
	assert_int_equal(weft_protocol_number("", 4), -EINVAL);
}

static void zero_is_a_legal_icmp_type_and_code(void **state)
{
	const struct object *o;
	assert_done(
		rule(*state, &o, ", 'protocol': 'icmp', 'port_range_min': 0, 'port_range_max': 0"));
	assert_int_equal(weft_json_int(o->attr, "port_range_min", -1), 0);
	assert_int_equal(weft_json_int(o->attr, "port_range_max", -1), 0);
	// Type 0 with any code, and any type, are different rules.
	assert_done(rule(*state, &o, ", 'protocol': 'icmp', 'port_range_min': 0"));
	assert_done(rule(*state, &o, ", 'protocol': 'icmp'"));
}

static void all_ports_is_no_port_range(void **state)
{
	const struct object *o;
	assert_done(rule(*state, &o,
			 ", 'protocol': 'tcp', 'port_range_min': 1, 'port_range_max': '65535'"));
	assert_true(json_is_null(json_object_get(o->attr, "port_range_min")));
	assert_true(json_is_null(json_object_get(o->attr, "port_range_max")));
	assert_refused(rule(*state, NULL, ", 'protocol': 'tcp'"), -EEXIST,
		       "SecurityGroupRuleExists");
}

static void host_bits_are_kept_and_normalized(void **state)
{
	const struct object *o;
	assert_done(rule(*state, &o, ", 'remote_ip_prefix': '10.0.0.5/24'"));
	assert_string_equal(text_of(o, "remote_ip_prefix"), "10.0.0.5/24");
	assert_string_equal(text_of(o, "normalized_cidr"), "10.0.0.0/24");
	assert_done(rule(*state, &o, ", 'remote_ip_prefix': '10.0.0.5'"));
	assert_string_equal(text_of(o, "remote_ip_prefix"), "10.0.0.5/32");
	assert_done(rule(*state, &o, ", 'remote_ip_prefix': ''"));
	assert_true(json_is_null(json_object_get(o->attr, "normalized_cidr")));
}

static void same_rule_in_other_words_is_refused(void **state)
{
	static const char *const pairs[][2] = {
		{", 'protocol': 'tcp', 'port_range_min': 22, 'port_range_max': 22",
		 ", 'protocol': 6, 'port_range_min': '22', 'port_range_max': '22', 'description': "
		 "'again'"},
		{", 'remote_ip_prefix': '0.0.0.0/0'", ""},
		{", 'ethertype': 'IPv6'", ", 'ethertype': 'IPv6', 'remote_ip_prefix': '::/0'"},
		{", 'ethertype': 'IPv6', 'protocol': 'icmp'",
		 ", 'ethertype': 'IPv6', 'protocol': '58'"},
		{", 'protocol': 'ip'", ", 'protocol': 'hopopt'"},
		{", 'ethertype': 'IPv6', 'remote_ip_prefix': '2001:DB8::/32'",
		 ", 'ethertype': 'IPv6', 'remote_ip_prefix': '2001:db8:0::/32'"},
	};
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		const struct object *o;
		assert_done(rule(*state, &o, pairs[i][0]));
		assert_refused(rule(*state, NULL, pairs[i][1]), -EEXIST, "SecurityGroupRuleExists");
		assert_non_null(strstr(last_err.msg, o->id));
	}
	// In the other direction or another group it is another rule.
	assert_done(post(*state, &alice, RES_SECURITY_GROUP_RULE, NULL,
			 "{'security_group_id': '%s', 'direction': 'egress', 'protocol': 'tcp', "
			 "'port_range_min': 22, 'port_range_max': 22}",
			 group_id));
	assert_refused(
		post(*state, &alice, RES_SECURITY_GROUP_RULE, NULL,
		     "{'security_group_id': '%s', 'direction': 'egress', 'remote_ip_prefix': "
		     "'0.0.0.0/0'}",
		     group_id),
		-EEXIST, "SecurityGroupRuleExists");
}

static void rule_changes_in_its_description_only(void **state)
{
	const struct object *o;
	assert_done(rule(*state, &o, ", 'protocol': 'tcp'"));
	assert_refused(put(*state, &alice, RES_SECURITY_GROUP_RULE, o->id, NULL,
			   "{'protocol': 'udp'}"),
		       -EINVAL, "HTTPBadRequest");
	assert_refused(put(*state, &alice, RES_SECURITY_GROUP_RULE, o->id, NULL,
			   "{'direction': 'egress'}"),
		       -EINVAL, "HTTPBadRequest");
	assert_done(
		put(*state, &alice, RES_SECURITY_GROUP_RULE, o->id, &o, "{'description': 'web'}"));
	assert_string_equal(text_of(o, "description"), "web");
	assert_done(drop(*state, &alice, RES_SECURITY_GROUP_RULE, o->id));
	assert_done(rule(*state, &o, ", 'protocol': 'tcp'"));
}

int main(void)
{
#define RULE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		RULE_TEST(impossible_rules_are_refused),
		RULE_TEST(only_one_remote_may_be_named),
		RULE_TEST(protocols_are_brought_into_one_form),
		RULE_TEST(zero_is_a_legal_icmp_type_and_code),
		RULE_TEST(all_ports_is_no_port_range),
		RULE_TEST(host_bits_are_kept_and_normalized),
		RULE_TEST(same_rule_in_other_words_is_refused),
		RULE_TEST(rule_changes_in_its_description_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
