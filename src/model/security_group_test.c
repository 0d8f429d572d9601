// SPDX-License-Identifier: Apache-2.0
#include "model/security_group.h"

#include <errno.h>

#include "model/index.h"
#include "model/model_testing.h"

static const struct object *group_new(struct model *m, const struct caller *who, const char *name)
{
	const struct object *o;
	assert_done(post(m, who, RES_SECURITY_GROUP, &o, "{'name': '%s'}", name));
	return o;
}

static void new_group_speaks_and_the_default_one_hears_its_own(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *o = group_new(m, &alice, "web");
	weft_auto(json) shown = weft_model_render(m, o);
	json_t *rules = json_object_get(shown, "security_group_rules");
	assert_int_equal(json_array_size(rules), 2);
	size_t i;
	json_t *rule;
	json_array_foreach(rules, i, rule) {
		assert_string_equal(weft_json_text(rule, "direction"), "egress");
		assert_string_equal(weft_json_text(rule, "project_id"), "alice");
		assert_null(weft_json_text(rule, "protocol"));
		assert_null(weft_json_text(rule, "remote_group_id"));
	}
	// The project's first group brought the default one along.
	assert_int_equal(weft_model_count(m, RES_SECURITY_GROUP), 2);
	const struct object *dflt = weft_map_get(m->default_groups, "alice");
	weft_auto(json) dflt_shown = weft_model_render(m, dflt);
	rules = json_object_get(dflt_shown, "security_group_rules");
	assert_int_equal(json_array_size(rules), 4);
	size_t ingress = 0;
	json_array_foreach(rules, i, rule) {
		if (strcmp(weft_json_text(rule, "direction"), "ingress") != 0)
			continue;
		ingress++;
		assert_string_equal(weft_json_text(rule, "remote_group_id"), dflt->id);
		assert_true(weft_json_bool(rule, "belongs_to_default_sg", false));
	}
	assert_int_equal(ingress, 2);
	weft_model_free(m);
}

static void default_group_is_made_once(void **state)
{
	(void)state;
	struct model *m = model_new();
	for (int i = 0; i < 2; i++) {
		size_t n;
		struct txn *t = weft_txn_begin(m);
		assert_int_equal(weft_txn_ensure_default_group(t, "alice", &last_err), 0);
		weft_txn_changes(t, &n);
		assert_int_equal(n, i == 0 ? 5 : 0); // the group and four rules, then nothing
		weft_txn_commit(t);
		weft_txn_free(t);
	}
	assert_int_equal(weft_model_count(m, RES_SECURITY_GROUP), 1);
	weft_model_free(m);
}

static void default_name_is_reserved_and_the_default_group_keeps_it(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *o = group_new(m, &alice, "web");
	const struct object *dflt = weft_map_get(m->default_groups, "alice");
	char id[WEFT_ID_LEN + 1];
	snprintf(id, sizeof(id), "%s", dflt->id);
	assert_refused(post(m, &alice, RES_SECURITY_GROUP, NULL, "{'name': 'Default'}"), -EEXIST,
		       "SecurityGroupDefaultAlreadyExists");
	assert_refused(put(m, &alice, RES_SECURITY_GROUP, o->id, NULL, "{'name': 'default'}"),
		       -EEXIST, "SecurityGroupDefaultAlreadyExists");
	assert_refused(put(m, &alice, RES_SECURITY_GROUP, id, NULL, "{'name': 'x'}"), -EBUSY,
		       "SecurityGroupCannotUpdateDefault");
	assert_done(put(m, &alice, RES_SECURITY_GROUP, id, NULL, "{'description': 'mine'}"));
	assert_refused(drop(m, &alice, RES_SECURITY_GROUP, id), -EBUSY,
		       "SecurityGroupCannotRemoveDefault");
	assert_done(drop(m, &admin, RES_SECURITY_GROUP, id));
	weft_model_free(m);
}

static void group_in_use_is_kept(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m), *o = group_new(m, &alice, "web"), *port;
	assert_refused(post(m, &alice, RES_PORT, NULL,
			    "{'network_id': '%s', 'security_groups': ['%s', '%s']}", net->id, o->id,
			    o->id),
		       -EINVAL, "HTTPBadRequest");
	assert_done(post(m, &alice, RES_PORT, &port,
			 "{'network_id': '%s', 'security_groups': ['%s']}", net->id, o->id));
	assert_refused(drop(m, &alice, RES_SECURITY_GROUP, o->id), -EBUSY, "SecurityGroupInUse");
	assert_done(put(m, &alice, RES_PORT, port->id, NULL, "{'security_groups': []}"));
	assert_done(drop(m, &alice, RES_SECURITY_GROUP, o->id));
	weft_model_free(m);
}

static void group_takes_its_rules_and_those_that_name_it_along(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *a = group_new(m, &alice, "a"), *b = group_new(m, &alice, "b");
	assert_done(post(m, &alice, RES_SECURITY_GROUP_RULE, NULL,
			 "{'security_group_id': '%s', 'direction': 'ingress', 'remote_group_id': "
			 "'%s'}",
			 b->id, a->id));
	assert_done(post(m, &alice, RES_SECURITY_GROUP_RULE, NULL,
			 "{'security_group_id': '%s', 'direction': 'ingress', 'remote_group_id': "
			 "'%s'}",
			 a->id, a->id));
	assert_int_equal(weft_model_count(m, RES_SECURITY_GROUP_RULE), 4 + 3 + 3);
	assert_done(drop(m, &alice, RES_SECURITY_GROUP, a->id));
	assert_int_equal(weft_model_count(m, RES_SECURITY_GROUP_RULE), 4 + 2);
	weft_model_free(m);
}

static int64_t revision_of(const struct model *m, enum resource type, const char *id)
{
	return weft_json_int(weft_model_get(m, type, id)->attr, "revision_number", 0);
}

static void a_rule_that_comes_or_goes_is_a_revision_of_its_group(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *a = group_new(m, &alice, "a"), *b = group_new(m, &alice, "b"), *rule;
	assert_int_equal(revision_of(m, RES_SECURITY_GROUP, a->id), 1);
	assert_done(post(m, &alice, RES_SECURITY_GROUP_RULE, &rule,
			 "{'security_group_id': '%s', 'direction': 'ingress', 'remote_group_id': "
			 "'%s'}",
			 a->id, b->id));
	assert_int_equal(revision_of(m, RES_SECURITY_GROUP, a->id), 2);
	assert_int_equal(revision_of(m, RES_SECURITY_GROUP, b->id), 1);
	assert_done(drop(m, &alice, RES_SECURITY_GROUP, b->id));
	assert_int_equal(revision_of(m, RES_SECURITY_GROUP, a->id), 3);

	struct txn *t = weft_txn_begin(m);
	for (int i = 0; i < 2; i++) {
		weft_auto(json) body = json_pack("{s:s, s:s, s:i}", "security_group_id", a->id,
						 "direction", "ingress", "protocol", i + 100);
		assert_done(weft_txn_create(t, &alice, RES_SECURITY_GROUP_RULE, body, &rule,
					    &last_err));
	}
	finish(t, 0);
	assert_int_equal(revision_of(m, RES_SECURITY_GROUP, a->id), 4);
	assert_done(drop(m, &alice, RES_SECURITY_GROUP_RULE, rule->id));
	assert_int_equal(revision_of(m, RES_SECURITY_GROUP, a->id), 5);
	weft_model_free(m);
}

static void stateful_and_stateless_do_not_mix(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m), *a = group_new(m, &alice, "a"), *b, *port;
	assert_done(post(m, &alice, RES_SECURITY_GROUP, &b, "{'name': 'b', 'stateful': false}"));
	assert_refused(post(m, &alice, RES_PORT, NULL,
			    "{'network_id': '%s', 'security_groups': ['%s', '%s']}", net->id, a->id,
			    b->id),
		       -EBUSY, "SecurityGroupConflict");
	assert_done(post(m, &alice, RES_PORT, &port,
			 "{'network_id': '%s', 'security_groups': ['%s']}", net->id, b->id));
	assert_refused(put(m, &alice, RES_PORT, port->id, NULL, "{'security_groups': ['%s', '%s']}",
			   a->id, b->id),
		       -EBUSY, "SecurityGroupConflict");
	assert_refused(put(m, &alice, RES_SECURITY_GROUP, b->id, NULL, "{'stateful': true}"),
		       -EBUSY, "SecurityGroupInUse");
	assert_done(put(m, &alice, RES_SECURITY_GROUP, b->id, &b,
			"{'stateful': false, 'name': 'still'}"));
	assert_done(put(m, &alice, RES_PORT, port->id, &port, "{'security_groups': []}"));
	assert_done(put(m, &alice, RES_SECURITY_GROUP, b->id, &b, "{'stateful': true}"));
	assert_done(put(m, &alice, RES_PORT, port->id, NULL, "{'security_groups': ['%s', '%s']}",
			a->id, b->id));
	weft_model_free(m);
}

static void groups_are_their_projects_own(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *a = group_new(m, &alice, "a"), *b = group_new(m, &bob, "b"), *rule;
	assert_false(weft_model_visible(m, &bob, a));
	assert_refused(post(m, &bob, RES_SECURITY_GROUP_RULE, NULL,
			    "{'security_group_id': '%s', 'direction': 'ingress'}", a->id),
		       -ENOENT, "SecurityGroupNotFound");
	assert_refused(
		post(m, &bob, RES_SECURITY_GROUP_RULE, NULL,
		     "{'security_group_id': '%s', 'direction': 'ingress', 'remote_group_id': "
		     "'%s'}",
		     b->id, a->id),
		-ENOENT, "SecurityGroupNotFound");
	assert_done(post(m, &admin, RES_SECURITY_GROUP_RULE, &rule,
			 "{'security_group_id': '%s', 'direction': 'ingress'}", a->id));
	assert_string_equal(rule->project_id, "alice");
	assert_done(drop(m, &alice, RES_SECURITY_GROUP_RULE, rule->id));
	weft_model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_group_speaks_and_the_default_one_hears_its_own),
		cmocka_unit_test(default_group_is_made_once),
		cmocka_unit_test(default_name_is_reserved_and_the_default_group_keeps_it),
		cmocka_unit_test(group_in_use_is_kept),
		cmocka_unit_test(group_takes_its_rules_and_those_that_name_it_along),
		cmocka_unit_test(a_rule_that_comes_or_goes_is_a_revision_of_its_group),
		cmocka_unit_test(stateful_and_stateless_do_not_mix),
		cmocka_unit_test(groups_are_their_projects_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
