// SPDX-License-Identifier: Apache-2.0
#include "model/quota.h"

#include <errno.h>

#include "model/model_testing.h"

static int set(struct model *m, const char *project, const char *fmt)
{
	weft_auto(json) body = json_loads(fmt, 0, NULL);
	struct txn *t = weft_txn_begin(m);
	last_err = (struct err) {0};
	int ret = weft_txn_quota_set(t, &admin, project, body, &last_err);
	finish(t, ret);
	return ret;
}

static int reset(struct model *m, const char *project)
{
	struct txn *t = weft_txn_begin(m);
	last_err = (struct err) {0};
	int ret = weft_txn_quota_reset(t, &admin, project, &last_err);
	finish(t, ret);
	return ret;
}

static int64_t limit_of(const struct model *m, const char *project, const char *name)
{
	weft_auto(json) limits = weft_quota_limits(m, project);
	return weft_json_int(limits, name, -2);
}

static int check(const struct model *m, enum resource type, size_t more)
{
	last_err = (struct err) {0};
	return weft_quota_check(m, type, "alice", more, &last_err);
}

static void a_project_has_its_own_limits_until_they_are_reset(void **state)
{
	(void)state;
	struct model *m = model_new();
	assert_int_equal(limit_of(m, "alice", "network"), -1);
	assert_done(set(m, "alice", "{\"network\": 2, \"port\": \"0\"}"));
	assert_int_equal(limit_of(m, "alice", "network"), 2);
	assert_int_equal(limit_of(m, "alice", "port"), 0);
	assert_int_equal(limit_of(m, "alice", "router"), -1);
	assert_int_equal(limit_of(m, "bob", "network"), -1);
	assert_done(set(m, "alice", "{\"network\": -1}"));
	assert_int_equal(limit_of(m, "alice", "network"), -1);
	assert_int_equal(limit_of(m, "alice", "port"), 0);
	assert_int_equal(weft_model_count(m, RES_QUOTA), 1);
	assert_done(reset(m, "alice"));
	assert_int_equal(limit_of(m, "alice", "port"), -1);
	assert_refused(reset(m, "alice"), -ENOENT, "TenantQuotaNotFound");
	assert_refused(set(m, "alice", "{\"network\": -2}"), -EINVAL, "HTTPBadRequest");
	assert_refused(set(m, "alice", "{\"tap\": 2}"), -EINVAL, "HTTPBadRequest");
	assert_refused(set(m, "alice", "{\"network\": \"many\"}"), -EINVAL, "InvalidInput");
	weft_model_free(m);
}

static void what_a_project_has_counts_and_what_is_gone_does_not(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *o;
	assert_done(set(m, "alice", "{\"network\": 2}"));
	assert_done(check(m, RES_NETWORK, 2));
	assert_refused(check(m, RES_NETWORK, 3), -EBUSY, "OverQuota");
	assert_done(check(m, RES_ROUTER, 1000));
	assert_done(set(m, "alice", "{\"security_group_rule\": 3}")); // a group has two
	assert_done(check(m, RES_SECURITY_GROUP, 1));
	assert_refused(check(m, RES_SECURITY_GROUP, 2), -EBUSY, "OverQuota");
	assert_done(post(m, &bob, RES_NETWORK, NULL, "{}"));
	assert_done(post(m, &alice, RES_NETWORK, &o, "{}"));
	assert_done(put(m, &alice, RES_NETWORK, o->id, NULL, "{'name': 'still one'}"));
	assert_done(check(m, RES_NETWORK, 1));
	assert_refused(check(m, RES_NETWORK, 2), -EBUSY, "OverQuota");

	struct txn *t = weft_txn_begin(m); // refused requests count nothing
	weft_auto(json) body = json_object();
	assert_done(weft_txn_create(t, &alice, RES_NETWORK, body, NULL, &last_err));
	assert_refused(check(m, RES_NETWORK, 1), -EBUSY, "OverQuota");
	finish(t, -EINVAL);
	assert_done(check(m, RES_NETWORK, 1));
	assert_int_equal(weft_model_count_of(m, RES_NETWORK, "alice"), 1);
	assert_done(drop(m, &alice, RES_NETWORK, o->id));
	assert_done(check(m, RES_NETWORK, 2));
	assert_int_equal(weft_model_count_of(m, RES_NETWORK, "alice"), 0);
	weft_model_free(m);
}

static void stored_limits_are_in_force_again(void **state)
{
	(void)state;
	struct model *m = model_new();
	weft_auto(json) stored = json_loads("{\"id\": \"a6f9d2f0-5c0e-4a35-9a2e-0a0b0c0d0e0f\", "
					    "\"project_id\": \"alice\", \"network\": 0, "
					    "\"gone\": 1}",
					    0, NULL);
	assert_int_equal(weft_model_load(m, RES_QUOTA, stored, &last_err), 0);
	assert_int_equal(limit_of(m, "alice", "network"), 0);
	assert_int_equal(limit_of(m, "alice", "subnet"), -1);
	const struct object *o =
		weft_model_get(m, RES_QUOTA, "a6f9d2f0-5c0e-4a35-9a2e-0a0b0c0d0e0f");
	assert_null(json_object_get(o->attr, "gone")); // no attribute any more
	weft_model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_project_has_its_own_limits_until_they_are_reset),
		cmocka_unit_test(what_a_project_has_counts_and_what_is_gone_does_not),
		cmocka_unit_test(stored_limits_are_in_force_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
