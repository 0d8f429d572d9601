// SPDX-License-Identifier: Apache-2.0
#include "plan/rule.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define ID "11111111-2222-3333-4444-555555555555"

// A stored rule: `text` is JSON of what differs from "ingress IPv4 any".
static int read_rule(const char *text, struct plan_rule *out)
{
	struct object o = {.type = RES_SECURITY_GROUP_RULE, .id = ID};
	struct err err = {0};
	json_t *given = json_loads(text, 0, NULL);
	int ret;

	assert_non_null(given);
	o.attr = json_pack("{s:s, s:s, s:n, s:n, s:n, s:n, s:n, s:n}", "direction", "ingress",
			   "ethertype", "IPv4", "protocol", "port_range_min", "port_range_max",
			   "remote_ip_prefix", "remote_group_id", "remote_address_group_id");
	json_object_update(o.attr, given);
	ret = weft_plan_rule(&o, out, &err);
	assert_true((ret == 0) == (err.msg[0] == '\0'));
	if (ret != 0)
		assert_non_null(strstr(err.msg, ID));
	json_decref(o.attr);
	json_decref(given);
	return ret;
}

static struct plan_rule rule(const char *text)
{
	struct plan_rule r;

	assert_int_equal(read_rule(text, &r), 0);
	return r;
}

static void every_way_of_saying_any_protocol_is_any(void **state)
{
	(void)state;
	assert_int_equal(rule("{}").proto, -1);
	assert_int_equal(rule("{\"protocol\": \"any\"}").proto, -1);
	assert_int_equal(rule("{\"protocol\": \"ip\"}").proto, -1);
	assert_int_equal(rule("{\"protocol\": \"0\"}").proto, -1);
	assert_int_equal(rule("{\"protocol\": 0}").proto, -1);
}

static void names_and_numbers_are_the_same_protocol(void **state)
{
	(void)state;
	assert_int_equal(rule("{\"protocol\": \"tcp\"}").proto, 6);
	assert_int_equal(rule("{\"protocol\": \"6\"}").proto, 6);
	assert_int_equal(rule("{\"protocol\": 6}").proto, 6);
	assert_int_equal(rule("{\"protocol\": \"sctp\"}").proto, 132);
	assert_int_equal(rule("{\"protocol\": \"112\"}").proto, 112);
	assert_int_equal(rule("{\"protocol\": \"vrrp\"}").proto, 112);
	assert_int_equal(rule("{\"protocol\": \"255\"}").proto, 255);
}

static void icmp_under_ipv6_is_icmpv6_however_it_is_written(void **state)
{
	(void)state;
	assert_int_equal(rule("{\"ethertype\": \"IPv6\", \"protocol\": \"icmp\"}").proto, 58);
	assert_int_equal(rule("{\"ethertype\": \"IPv6\", \"protocol\": \"icmpv6\"}").proto, 58);
	assert_int_equal(rule("{\"ethertype\": \"IPv6\", \"protocol\": \"1\"}").proto, 58);
	assert_int_equal(rule("{\"ethertype\": \"IPv4\", \"protocol\": \"icmp\"}").proto, 1);
}

static void icmp_type_and_code_zero_are_values(void **state)
{
	struct plan_rule r = rule("{\"protocol\": \"icmp\", \"port_range_min\": 0, "
				  "\"port_range_max\": 0}");

	(void)state;
	assert_int_equal(r.icmp_type, 0);
	assert_int_equal(r.icmp_code, 0);
	assert_false(r.has_ports);
	r = rule("{\"protocol\": \"icmp\", \"port_range_min\": 8}");
	assert_int_equal(r.icmp_type, 8);
	assert_int_equal(r.icmp_code, -1);
	r = rule("{\"protocol\": \"icmp\"}");
	assert_int_equal(r.icmp_type, -1);
}

static void all_ports_are_no_port_match(void **state)
{
	struct plan_rule r = rule("{\"protocol\": \"tcp\", \"port_range_min\": 1, "
				  "\"port_range_max\": 65535}");

	(void)state;
	assert_false(r.has_ports);
	r = rule("{\"protocol\": \"udp\", \"port_range_min\": 53, \"port_range_max\": 53}");
	assert_true(r.has_ports);
	assert_int_equal(r.port_min, 53);
	assert_int_equal(r.port_max, 53);
}

static void a_prefix_is_masked_and_a_whole_family_is_any_remote(void **state)
{
	struct plan_rule r = rule("{\"remote_ip_prefix\": \"10.0.0.5/24\"}");
	char text[WEFT_NET_STRLEN];

	(void)state;
	assert_int_equal(r.remote, PLAN_REMOTE_PREFIX);
	assert_string_equal(weft_prefix_text(&r.prefix, text), "10.0.0.0/24");
	assert_int_equal(rule("{\"remote_ip_prefix\": \"0.0.0.0/0\"}").remote, PLAN_REMOTE_ANY);
	assert_int_equal(rule("{\"ethertype\": \"IPv6\", \"remote_ip_prefix\": \"::/0\"}").remote,
			 PLAN_REMOTE_ANY);
}

static void a_remote_group_of_either_kind_is_a_set(void **state)
{
	struct plan_rule r = rule("{\"remote_group_id\": \"g\"}");

	(void)state;
	assert_int_equal(r.remote, PLAN_REMOTE_SET);
	assert_string_equal(r.set_id, "g");
	r = rule("{\"remote_address_group_id\": \"a\"}");
	assert_int_equal(r.remote, PLAN_REMOTE_SET);
	assert_string_equal(r.set_id, "a");
}

static void what_the_api_would_refuse_is_refused(void **state)
{
	struct plan_rule r;

	(void)state;
	assert_int_equal(read_rule("{\"protocol\": \"nonsense\"}", &r), -EINVAL);
	assert_int_equal(read_rule("{\"protocol\": \"256\"}", &r), -EINVAL);
	assert_int_equal(read_rule("{\"direction\": \"up\"}", &r), -EINVAL);
	assert_int_equal(read_rule("{\"protocol\": \"gre\", \"port_range_min\": 1, "
				   "\"port_range_max\": 2}",
				   &r),
			 -EINVAL);
	assert_int_equal(read_rule("{\"protocol\": \"tcp\", \"port_range_min\": 9, "
				   "\"port_range_max\": 2}",
				   &r),
			 -EINVAL);
	assert_int_equal(read_rule("{\"remote_ip_prefix\": \"::/0\"}", &r), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way_of_saying_any_protocol_is_any),
		cmocka_unit_test(names_and_numbers_are_the_same_protocol),
		cmocka_unit_test(icmp_under_ipv6_is_icmpv6_however_it_is_written),
		cmocka_unit_test(icmp_type_and_code_zero_are_values),
		cmocka_unit_test(all_ports_are_no_port_match),
		cmocka_unit_test(a_prefix_is_masked_and_a_whole_family_is_any_remote),
		cmocka_unit_test(a_remote_group_of_either_kind_is_a_set),
		cmocka_unit_test(what_the_api_would_refuse_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
