// SPDX-License-Identifier: Apache-2.0
#include "north/api/filter.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

static const char port[] =
	"{'id': 'p1', 'name': 'vm', 'admin_state_up': true, 'device_id': '', 'mtu': 1500,"
	" 'mac_address': 'fa:16:3e:00:00:01', 'project_id': 'red', 'qos_policy_id': null,"
	" 'updated_at': '2026-02-01T10:00:00Z', 'security_groups': ['g1', 'g2'], 'tags': ['a', 'b'],"
	" 'binding:host_id': 'node-1',"
	" 'fixed_ips': [{'subnet_id': 's4', 'ip_address': '10.0.0.15'},"
	" {'subnet_id': 's6', 'ip_address': '2001:db8::f'}]}";

// JSON with single quotes, for legible tests.
static json_t *object_of(const char *text)
{
	char buf[1024];
	snprintf(buf, sizeof(buf), "%s", text);
	for (char *p = buf; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	json_t *o = json_loads(buf, 0, NULL);
	assert_non_null(o);
	return o;
}

static bool has_attr(const void *arg, const char *attr)
{
	return json_object_get(arg, attr) != NULL;
}

static int parse(const char *query, const json_t *o, struct target *t, struct list_options *out)
{
	struct err err;
	char url[65536];
	snprintf(url, sizeof(url), "/v2.0/ports?%s", query);
	assert_int_equal(weft_target_parse(url, t, &err), 0);
	return weft_list_options_parse(&t->query, has_attr, o, out, &err);
}

static bool matches(const char *query)
{
	weft_auto(json) o = object_of(port);
	struct list_options options;
	struct target t;
	assert_int_equal(parse(query, o, &t, &options), 0);
	bool ok = weft_list_matches(&options, o);
	weft_list_options_fini(&options);
	weft_target_fini(&t);
	return ok;
}

static bool refuses(const char *query)
{
	weft_auto(json) o = object_of(port);
	struct list_options options;
	struct target t;
	int ret = parse(query, o, &t, &options);
	if (ret == 0)
		weft_list_options_fini(&options);
	weft_target_fini(&t);
	return ret == -EINVAL;
}

static void repeated_values_are_alternatives_and_names_are_conditions(void **state)
{
	(void)state;
	assert_true(matches("name=vm"));
	assert_false(matches("name=VM"));
	assert_true(matches("name=other&name=vm"));
	assert_true(matches("name=vm&project_id=red"));
	assert_true(matches("tenant_id=red"));
	assert_false(matches("name=vm&project_id=blue"));
	assert_true(matches("binding:host_id=node-1"));
	assert_true(matches(""));
}

static const char *many(const char *key, unsigned n, const char *last)
{
	static char query[65536];
	size_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += (size_t)sprintf(query + len, "%s=v%u&", key, i);
	sprintf(query + len, "%s=%s", key, last);
	return query;
}

static void ids_and_names_may_be_given_by_the_thousand_other_values_may_not(void **state)
{
	(void)state;
	assert_true(matches(many("id", 2000, "p1")));
	assert_false(matches(many("id", 2000, "p2")));
	assert_true(matches(many("project_id", 2000, "red")));
	assert_true(matches(many("name", 2000, "vm")));
	assert_false(matches(many("name", 2000, "v")));
	assert_true(matches(many("device_id", 20, "")));
	assert_true(matches(many("qos_policy_id", 20, "None")));
	assert_false(matches(many("qos_policy_id", 20, "red")));
	assert_true(matches(many("mac_address", 255, "FA:16:3E:00:00:01")));
	assert_true(refuses(many("mac_address", 256, "FA:16:3E:00:00:01")));
	assert_true(refuses(many("fixed_ips", 300, "ip_address=10.0.0.15")));
	assert_true(refuses(many("mtu", 300, "1500")));
}

static void booleans_numbers_and_null_match_by_type(void **state)
{
	(void)state;
	assert_true(matches("admin_state_up=True"));
	assert_true(matches("admin_state_up=true"));
	assert_true(matches("admin_state_up=1"));
	assert_false(matches("admin_state_up=False"));
	assert_false(matches("admin_state_up=perhaps"));
	assert_true(matches("mtu=1500"));
	assert_false(matches("mtu=1500x"));
	assert_false(matches("mtu="));
	assert_true(matches("device_id="));
	assert_true(matches("qos_policy_id="));
	assert_false(matches("qos_policy_id=x"));
}

static void lists_match_by_element(void **state)
{
	(void)state;
	assert_true(matches("security_groups=g2"));
	assert_false(matches("security_groups=g3"));
}

static void addresses_match_in_any_spelling(void **state)
{
	(void)state;
	assert_true(matches("mac_address=FA:16:3E:00:00:01"));
	assert_true(matches("fixed_ips=ip_address=2001:DB8:0::000f"));
	assert_true(matches("fixed_ips=ip_address%3D10.0.0.15"));
}

static void fixed_ips_conditions_hold_for_one_address(void **state)
{
	(void)state;
	assert_true(matches("fixed_ips=subnet_id=s4&fixed_ips=ip_address=10.0.0.15"));
	assert_false(matches("fixed_ips=subnet_id=s6&fixed_ips=ip_address=10.0.0.15"));
	assert_true(matches("fixed_ips=ip_address=10.0.0.9&fixed_ips=ip_address=10.0.0.15"));
	assert_true(matches("fixed_ips=ip_address_substr=0.0.1"));
	assert_false(matches("fixed_ips=ip_address_substr=0.0.2"));
	assert_false(matches("fixed_ips=10.0.0.15"));
}

static void tags_have_all_any_and_their_negations(void **state)
{
	(void)state;
	assert_true(matches("tags=a"));
	assert_true(matches("tags=a,b"));
	assert_false(matches("tags=a,c"));
	assert_false(matches("tags=a&tags=c"));
	assert_true(matches("tags-any=c,b"));
	assert_false(matches("tags-any=c,d"));
	assert_false(matches("not-tags=a,b"));
	assert_true(matches("not-tags=a,c"));
	assert_false(matches("not-tags-any=a,c"));
	assert_true(matches("not-tags-any=c,d"));
}

static void changed_since_compares_the_time_of_the_last_change(void **state)
{
	(void)state;
	assert_true(matches("changed_since=2026-02-01T10:00:00Z"));
	assert_true(matches("changed_since=2026-01-31T00:00:00"));
	assert_false(matches("changed_since=2026-02-01T10:00:01Z"));
}

static void unknown_names_and_bad_control_values_are_refused(void **state)
{
	(void)state;
	assert_true(refuses("nonsense=1"));
	assert_true(refuses("sort_key=nonsense"));
	assert_true(refuses("sort_key=name&sort_dir=down"));
	assert_true(refuses("sort_key=name&sort_dir=asc&sort_dir=asc"));
	assert_true(refuses("limit=-1"));
	assert_true(refuses("limit=many"));
	assert_true(refuses("limit="));
	assert_true(refuses("page_reverse=perhaps"));
	assert_false(
		refuses("fields=nonsense&limit=0&page_reverse=True&sort_key=name&sort_dir=desc"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(repeated_values_are_alternatives_and_names_are_conditions),
		cmocka_unit_test(ids_and_names_may_be_given_by_the_thousand_other_values_may_not),
		cmocka_unit_test(booleans_numbers_and_null_match_by_type),
		cmocka_unit_test(lists_match_by_element),
		cmocka_unit_test(addresses_match_in_any_spelling),
		cmocka_unit_test(fixed_ips_conditions_hold_for_one_address),
		cmocka_unit_test(tags_have_all_any_and_their_negations),
		cmocka_unit_test(changed_since_compares_the_time_of_the_last_change),
		cmocka_unit_test(unknown_names_and_bad_control_values_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
