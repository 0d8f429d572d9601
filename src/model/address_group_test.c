// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "model/model_testing.h"

static int change(struct model *m, const struct caller *who, const char *id, bool add,
		  const struct object **out, const char *list)
{
	weft_auto(json) addresses = json_loads(list, 0, NULL);
	struct txn *t = weft_txn_begin(m);
	last_err = (struct err) {0};
	int ret = weft_txn_address_group_change(t, who, id, addresses, add, out, &last_err);
	finish(t, ret);
	return ret;
}

static void assert_addresses(const struct object *o, const char *want)
{
	char buf[256];
	assert_string_equal(
		weft_json_quote(json_object_get(o->attr, "addresses"), buf, sizeof(buf)), want);
}

static void addresses_are_prefixes_each_once(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *o;
	assert_done(post(m, &alice, RES_ADDRESS_GROUP, &o,
			 "{'name': 'a', 'addresses': ['10.0.0.1/24', '10.0.0.2/24', "
			 "'2001:DB8:1::/32']}"));
	assert_addresses(o, "[\"10.0.0.0/24\",\"2001:db8::/32\"]");
	assert_refused(post(m, &alice, RES_ADDRESS_GROUP, NULL, "{'addresses': ['10.0.0.1']}"),
		       -EINVAL, "HTTPBadRequest");
	assert_refused(post(m, &alice, RES_ADDRESS_GROUP, NULL,
			    "{'addresses': ['10.0.0.0/24', '10.1.0.0/24', '10.0.0.0/24']}"),
		       -EINVAL, "HTTPBadRequest");
	assert_refused(post(m, &alice, RES_ADDRESS_GROUP, NULL, "{'addresses': ['x']}"), -EINVAL,
		       "HTTPBadRequest");
	assert_refused(put(m, &alice, RES_ADDRESS_GROUP, o->id, NULL, "{'addresses': []}"), -EINVAL,
		       "HTTPBadRequest");
	assert_done(put(m, &alice, RES_ADDRESS_GROUP, o->id, &o, "{'name': 'b'}"));
	assert_string_equal(text_of(o, "name"), "b");
	weft_model_free(m);
}

static void addresses_are_added_and_removed(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *o;
	assert_done(post(m, &alice, RES_ADDRESS_GROUP, &o, "{'addresses': ['10.0.0.1/32']}"));
	assert_done(change(m, &alice, o->id, true, &o, "[\"10.0.0.2\", \"10.1.0.7/16\"]"));
	assert_addresses(o, "[\"10.0.0.1/32\",\"10.0.0.2/32\",\"10.1.0.0/16\"]");
	assert_int_equal(weft_json_int(o->attr, "revision_number", 0), 2);
	assert_refused(change(m, &alice, o->id, true, NULL, "[\"10.0.0.3\", \"10.0.0.2/32\"]"),
		       -EINVAL, "AddressesAlreadyExist");
	assert_refused(change(m, &alice, o->id, false, NULL, "[\"10.0.0.1\", \"10.0.0.3\"]"),
		       -ENOENT, "AddressesNotFound");
	assert_refused(change(m, &alice, o->id, true, NULL, "{}"), -EINVAL, "HTTPBadRequest");
	assert_refused(change(m, &bob, o->id, true, NULL, "[\"10.9.0.1\"]"), -ENOENT,
		       "AddressGroupNotFound");
	assert_done(change(m, &alice, o->id, false, &o, "[\"10.0.0.1\", \"10.0.0.2\"]"));
	assert_addresses(o, "[\"10.1.0.0/16\"]");
	weft_model_free(m);
}

static void address_group_in_a_rule_is_kept(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *o, *group, *rule;
	assert_done(post(m, &alice, RES_ADDRESS_GROUP, &o, "{}"));
	assert_done(post(m, &alice, RES_SECURITY_GROUP, &group, "{'name': 'g'}"));
	assert_done(post(m, &alice, RES_SECURITY_GROUP_RULE, &rule,
			 "{'security_group_id': '%s', 'direction': 'ingress', "
			 "'remote_address_group_id': '%s'}",
			 group->id, o->id));
	assert_refused(drop(m, &alice, RES_ADDRESS_GROUP, o->id), -EBUSY, "AddressGroupInUse");
	assert_done(drop(m, &alice, RES_SECURITY_GROUP_RULE, rule->id));
	assert_done(drop(m, &alice, RES_ADDRESS_GROUP, o->id));
	weft_model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_prefixes_each_once),
		cmocka_unit_test(addresses_are_added_and_removed),
		cmocka_unit_test(address_group_in_a_rule_is_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
