// SPDX-License-Identifier: Apache-2.0
#include "model/txn.h"

#include <errno.h>
#include <time.h>

#include "model/index_testing.h"

static json_t *random_body(const struct model *m, enum resource type)
{
	const struct object *net = any(m, RES_NETWORK), *group = any(m, RES_SECURITY_GROUP);
	const char *net_id = net == NULL ? "x" : net->id;
	char text[32];
	switch (type) {
	case RES_NETWORK:
		return json_pack("{s:s}", "name", "n");
	case RES_SUBNET:
		snprintf(text, sizeof(text), "10.0.0.%d/28", 16 * (rand() % 16));
		return rand() % 4 == 0 ? json_pack("{s:s, s:i, s:s, s:s}", "network_id", net_id,
						   "ip_version", 6, "cidr", "2001:db8::/64",
						   "ipv6_address_mode", "slaac")
				       : json_pack("{s:s, s:i, s:s}", "network_id", net_id,
						   "ip_version", 4, "cidr", text);
	case RES_PORT:
		snprintf(text, sizeof(text), "10.0.0.%d", rand() % 256);
		return rand() % 2 == 0 ? json_pack("{s:s}", "network_id", net_id)
				       : json_pack("{s:s, s:[{s:s}]}", "network_id", net_id,
						   "fixed_ips", "ip_address", text);
	case RES_SECURITY_GROUP:
		return json_pack("{s:s, s:b}", "name", "g", "stateful", rand() % 2);
	case RES_SECURITY_GROUP_RULE:
		return json_pack("{s:s, s:s, s:i}", "security_group_id",
				 group == NULL ? "x" : group->id, "direction", "ingress",
				 "protocol", rand() % 4);
	default:
		return json_pack("{s:[s]}", "addresses", "10.0.0.0/8");
	}
}

static json_t *random_change(const struct model *m, enum resource type)
{
	const struct object *group = any(m, RES_SECURITY_GROUP);
	char text[32];
	snprintf(text, sizeof(text), "10.0.0.%d", rand() % 256);
	if (type != RES_PORT)
		return json_pack("{s:s}", "description", text);
	switch (rand() % 4) {
	case 0:
		return json_pack("{s:[{s:s}]}", "fixed_ips", "ip_address", text);
	case 1:
		return json_pack("{s:[s]}", "security_groups", group == NULL ? "x" : group->id);
	case 2:
		snprintf(text, sizeof(text), "fa:16:3e:00:00:%02x", rand() % 8);
		return json_pack("{s:s}", "mac_address", text);
	default:
		return json_pack("{s:s}", "binding:host_id", rand() % 2 == 0 ? "" : "node1");
	}
}

// One random step; refusals are as welcome as successes, but end the transaction.
static int random_step(struct model *m, struct txn *t)
{
	const struct caller *who = (const struct caller *[]) {&admin, &alice, &bob}[rand() % 3];
	enum resource type = (enum resource)(rand() % (RES_ROUTER + 1));
	const struct object *o = any(m, type);
	struct err err;
	int what = rand() % 10;
	if (what < 5 || o == NULL) {
		weft_auto(json) body = random_body(m, type);
		return weft_txn_create(t, who, type, body, NULL, &err);
	}
	if (what < 8) {
		weft_auto(json) body = random_change(m, type);
		return weft_txn_update(t, who, type, o->id, body, NULL, &err);
	}
	return weft_txn_delete(t, who, type, o->id, &err);
}

static void abort_restores_the_model_and_every_index(void **state)
{
	(void)state;
	size_t committed = 0, aborted = 0, refused = 0;
	for (unsigned seed = 1; seed <= 10; seed++) {
		srand(seed);
		struct model *m = model_new();
		for (int round = 0; round < 120; round++) {
			char *model_before = model_dump(m), *index_before = index_dump(m);
			struct txn *t = weft_txn_begin(m);
			int ret = 0;
			for (int i = rand() % 6; i >= 0 && ret == 0; i--)
				ret = random_step(m, t);
			refused += ret < 0;
			if (ret == 0 && rand() % 3 != 0) {
				weft_txn_commit(t);
				committed++;
			} else {
				weft_txn_abort(t);
				aborted++;
				char *model_after = model_dump(m), *index_after = index_dump(m);
				assert_string_equal(model_after, model_before);
				assert_string_equal(index_after, index_before);
				free(model_after);
				free(index_after);
			}
			weft_txn_free(t);
			free(model_before);
			free(index_before);
		}
		weft_model_free(m);
	}
	// The test means nothing unless all three happened often.
	assert_true(committed > 100 && aborted > 100 && refused > 100);
}

static void changes_are_net(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *kept, *o;
	size_t n;
	assert_done(post(m, &alice, RES_NETWORK, &kept, "{'name': 'a'}"));
	struct txn *t = weft_txn_begin(m);
	weft_auto(json) b = json_pack("{s:s}", "name", "b");
	weft_auto(json) c = json_pack("{s:s}", "name", "c");
	assert_int_equal(weft_txn_update(t, &alice, RES_NETWORK, kept->id, b, NULL, NULL), 0);
	assert_int_equal(weft_txn_create(t, &alice, RES_NETWORK, b, &o, NULL), 0);
	assert_int_equal(weft_txn_delete(t, &alice, RES_NETWORK, o->id, NULL), 0);
	assert_int_equal(weft_txn_update(t, &alice, RES_NETWORK, kept->id, c, NULL, NULL), 0);
	const struct model_change *changes = weft_txn_changes(t, &n);
	assert_int_equal(n, 1);
	assert_ptr_equal(changes[0].before, kept);
	assert_string_equal(text_of(changes[0].after, "name"), "c");
	weft_txn_commit(t);
	assert_string_equal(text_of(changes[0].before, "name"), "a"); // readable until freed
	weft_txn_free(t);
	weft_model_free(m);
}

static void unfinished_transaction_is_undone_when_freed(void **state)
{
	(void)state;
	struct model *m = model_new();
	struct txn *t = weft_txn_begin(m);
	weft_auto(json) body = json_object();
	assert_int_equal(weft_txn_create(t, &alice, RES_NETWORK, body, NULL, NULL), 0);
	assert_int_equal(weft_model_count(m, RES_NETWORK), 1);
	weft_txn_free(t);
	assert_int_equal(weft_model_count(m, RES_NETWORK), 0);
	weft_model_free(m);
}

static int load_into(const struct object *o, void *arg)
{
	struct err err;
	if (weft_model_load(arg, o->type, o->attr, &err) < 0)
		fail_msg("%s", err.msg);
	return 0;
}

static void loaded_model_is_the_same_and_keeps_the_same_rules(void **state)
{
	(void)state;
	srand(42);
	struct model *m = model_new(), *again = model_new();
	for (int i = 0; i < 200; i++) {
		struct txn *t = weft_txn_begin(m);
		finish(t, random_step(m, t));
	}
	for (int type = RES_COUNT - 1; type >= 0; type--)
		weft_model_each(m, (enum resource)type, load_into, again);
	char *a = model_dump(m), *b = model_dump(again);
	assert_string_equal(a, b);
	free(a);
	free(b);
	a = index_dump(m);
	b = index_dump(again);
	assert_string_equal(a, b);
	free(a);
	free(b);
	weft_model_free(again);
	weft_model_free(m);
}

static void damaged_objects_are_not_loaded(void **state)
{
	(void)state;
	static const struct {
		enum resource type;
		const char *attr;
	} cases[] = {
		{RES_NETWORK, "{}"},
		{RES_NETWORK, "{\"id\": \"7\", \"project_id\": \"a\"}"},
		{RES_NETWORK, "{\"id\": \"a6f9d2f0-5c0e-4a35-9a2e-0a0b0c0d0e0f\"}"},
		{RES_PORT,
		 "{\"id\": \"a6f9d2f0-5c0e-4a35-9a2e-0a0b0c0d0e0f\", \"project_id\": \"a\"}"},
		{RES_SUBNET,
		 "{\"id\": \"a6f9d2f0-5c0e-4a35-9a2e-0a0b0c0d0e0f\", \"project_id\": \"a\"}"},
		{RES_SECURITY_GROUP_RULE,
		 "{\"id\": \"a6f9d2f0-5c0e-4a35-9a2e-0a0b0c0d0e0f\", \"project_id\": \"a\"}"},
	};
	struct model *m = model_new();
	struct err err;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		weft_auto(json) attr = json_loads(cases[i].attr, 0, NULL);
		assert_int_equal(weft_model_load(m, cases[i].type, attr, &err), -EINVAL);
	}
	weft_model_free(m);
}

static void ten_thousand_ports_take_well_under_two_seconds(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net, *o = NULL;
	assert_done(post(m, &alice, RES_NETWORK, &net, "{}"));
	assert_done(post(m, &alice, RES_SUBNET, NULL,
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.0.0/16'}", net->id));
	assert_done(post(m, &alice, RES_SUBNET, NULL,
			 "{'network_id': '%s', 'ip_version': 6, 'cidr': '2001:db8::/64'}",
			 net->id));
	weft_auto(json) body = json_pack("{s:s}", "network_id", net->id);
	struct timespec start, end;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
	for (int i = 0; i < 10000; i++) {
		struct txn *t = weft_txn_begin(m);
		if (weft_txn_create(t, &alice, RES_PORT, body, &o, &last_err) < 0)
			fail_msg("%s", last_err.msg);
		weft_txn_commit(t);
		weft_txn_free(t);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	double s =
		(double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
	print_message("10,000 ports: %.0f ms\n", s * 1000);
	assert_string_equal(ip_of(o, 0), "10.0.39.17");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	assert_true(s < 2.0);
#endif
	weft_model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(abort_restores_the_model_and_every_index),
		cmocka_unit_test(changes_are_net),
		cmocka_unit_test(unfinished_transaction_is_undone_when_freed),
		cmocka_unit_test(loaded_model_is_the_same_and_keeps_the_same_rules),
		cmocka_unit_test(damaged_objects_are_not_loaded),
		cmocka_unit_test(ten_thousand_ports_take_well_under_two_seconds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
