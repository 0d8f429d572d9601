// SPDX-License-Identifier: Apache-2.0
#include "plan/diff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct plan_rule tcp(uint16_t min, uint16_t max, const char *prefix)
{
	struct plan_rule r = {.direction = PLAN_INGRESS,
			      .family = 4,
			      .proto = 6,
			      .has_ports = true,
			      .port_min = min,
			      .port_max = max,
			      .icmp_type = -1,
			      .icmp_code = -1};

	if (prefix != NULL) {
		r.remote = PLAN_REMOTE_PREFIX;
		assert_int_equal(weft_prefix_parse(prefix, &r.prefix), 0);
	}
	return r;
}

static struct plan_rule icmp(int16_t type, int16_t code)
{
	struct plan_rule r = tcp(0, 0, NULL);

	r.has_ports = false;
	r.proto = 1;
	r.icmp_type = type;
	r.icmp_code = code;
	return r;
}

static struct plan_rule of_set(struct plan_rule r, const char *set_id)
{
	r.remote = PLAN_REMOTE_SET;
	snprintf(r.set_id, sizeof(r.set_id), "%s", set_id);
	return r;
}

static bool only_added(struct plan_rule before, struct plan_rule after)
{
	struct plan_rule_set a = {.stateful = true, .n_rules = 1, .rules = &before};
	struct plan_rule_set b = {.stateful = true, .n_rules = 1, .rules = &after};

	return weft_plan_rules_only_added(&a, &b);
}

static void same_rules_in_another_order_under_other_ids_are_nothing_lost(void **state)
{
	(void)state;
	struct plan_rule a[] = {tcp(22, 22, NULL), tcp(80, 81, "10.0.0.0/8"), icmp(8, 0)};
	struct plan_rule b[] = {icmp(8, 0), tcp(80, 81, "10.9.9.9/8"), tcp(443, 443, NULL),
				tcp(22, 22, "0.0.0.0/0")};
	struct plan_rule_set before = {.stateful = true, .n_rules = 3, .rules = a};
	struct plan_rule_set after = {.stateful = true, .n_rules = 4, .rules = b};

	snprintf(b[0].id, sizeof(b[0].id), "other");
	assert_true(weft_plan_rules_only_added(&before, &after));
	assert_true(weft_plan_rules_only_added(&before, &before));
	assert_false(weft_plan_rules_only_added(&after, &before));
}

static void no_rules_before_means_that_nothing_can_be_lost(void **state)
{
	(void)state;
	struct plan_rule rule = tcp(1, 2, NULL);
	struct plan_rule_set none = {.stateful = true};
	struct plan_rule_set one = {.stateful = true, .n_rules = 1, .rules = &rule};

	assert_true(weft_plan_rules_only_added(NULL, NULL));
	assert_true(weft_plan_rules_only_added(NULL, &one));
	assert_true(weft_plan_rules_only_added(&none, NULL));
	assert_true(weft_plan_rules_only_added(&none, &one));
	assert_false(weft_plan_rules_only_added(&one, NULL));
	assert_false(weft_plan_rules_only_added(&one, &none));
}

static void change_of_statefulness_is_never_only_more(void **state)
{
	(void)state;
	struct plan_rule rule = tcp(1, 2, NULL);
	struct plan_rule_set a = {.stateful = true, .n_rules = 1, .rules = &rule};
	struct plan_rule_set b = {.stateful = false, .n_rules = 1, .rules = &rule};

	assert_false(weft_plan_rules_only_added(&a, &b));
	assert_false(weft_plan_rules_only_added(&b, &a));
}

static void wider_rule_covers_a_narrower_one_and_not_the_reverse(void **state)
{
	(void)state;
	struct plan_rule any = tcp(0, 0, NULL), all_tcp = tcp(0, 0, NULL);
	struct {
		struct plan_rule narrow, wide;
	} pairs[] = {
		{tcp(80, 90, NULL), tcp(80, 91, NULL)},
		{tcp(80, 90, NULL), tcp(79, 90, NULL)},
		{tcp(80, 80, "10.0.0.0/9"), tcp(80, 80, "10.0.0.0/8")},
		{tcp(80, 80, "10.128.0.0/9"), tcp(80, 80, "10.0.0.0/8")},
		{tcp(80, 80, "10.64.0.0/10"), tcp(80, 80, "10.0.0.0/9")},
		{tcp(80, 80, "10.0.0.0/8"), tcp(80, 80, NULL)},
		{of_set(tcp(80, 80, NULL), "a"), of_set(tcp(80, 81, NULL), "a")},
		{of_set(tcp(80, 80, NULL), "a"), tcp(80, 80, NULL)},
		{icmp(8, 0), icmp(8, -1)},
		{icmp(8, -1), icmp(-1, -1)},
		{tcp(1, 65535, NULL), all_tcp}, // later fragments have no ports
		{all_tcp, any},
		{icmp(8, 0), any},
	};

	any.has_ports = all_tcp.has_ports = false;
	any.proto = -1;
	pairs[10].wide = pairs[11].narrow = all_tcp;
	pairs[11].wide = pairs[12].wide = any;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		assert_true(only_added(pairs[i].narrow, pairs[i].wide));
		assert_false(only_added(pairs[i].wide, pairs[i].narrow));
	}
}

static void different_rules_do_not_cover_each_other(void **state)
{
	(void)state;
	struct plan_rule r = tcp(80, 80, NULL), other = r;

	other.direction = PLAN_EGRESS;
	assert_false(only_added(r, other));
	other = r;
	other.family = 6;
	assert_false(only_added(r, other));
	other = r;
	other.proto = 17;
	assert_false(only_added(r, other));
	assert_false(only_added(r, tcp(80, 80, "128.0.0.0/1")));
	assert_false(only_added(tcp(80, 80, "10.0.0.0/9"), tcp(80, 80, "10.128.0.0/9")));
	assert_false(only_added(tcp(80, 80, "10.0.0.0/8"), of_set(r, "a")));
	assert_false(only_added(of_set(r, "a"), of_set(r, "b")));
	assert_false(only_added(of_set(r, "a"), tcp(80, 80, "0.0.0.0/1")));
	assert_false(only_added(icmp(8, 0), icmp(0, -1)));
}

static void ten_thousand_rules_of_which_one_goes(void **state)
{
	(void)state;
	enum { N = 10000 };
	struct plan_rule *a = calloc(N, sizeof(*a)), *b = calloc(N, sizeof(*b));
	struct plan_rule_set before = {.stateful = true, .n_rules = N, .rules = a};
	struct plan_rule_set after = {.stateful = true, .n_rules = N, .rules = b};

	for (int i = 0; i < N; i++) {
		a[i] = tcp((uint16_t)i, (uint16_t)i, "10.0.0.1");
		b[N - 1 - i] = a[i];
	}
	assert_true(weft_plan_rules_only_added(&before, &after));
	b[N / 2].port_max++;
	assert_true(weft_plan_rules_only_added(&before, &after));
	b[N / 2].port_min++;
	assert_false(weft_plan_rules_only_added(&before, &after));
	free(a);
	free(b);
}

static void port_has_lost_what_allowed_a_flow(void **state)
{
	struct plan_pair pair = {.mac = {{2, 0, 0, 0, 0, 1}}};
	struct plan_port p = {.network_id = "n", .admin_up = true}, q;

	(void)state;
	assert_int_equal(weft_prefix_parse("10.0.0.5/32", &pair.prefix), 0);
	p.pairs = &pair;
	p.n_pairs = 1;
	q = p;
	assert_false(weft_plan_port_has_lost(&p, &q));
	q.n_pairs = 0;
	assert_true(weft_plan_port_has_lost(&p, &q));
	assert_false(weft_plan_port_has_lost(&q, &p)); // a pair more
	q = p;
	q.admin_up = false;
	assert_true(weft_plan_port_has_lost(&p, &q));
	assert_false(weft_plan_port_has_lost(&q, &p));
	q = p;
	q.filtered = true;
	assert_true(weft_plan_port_has_lost(&p, &q));
	assert_false(weft_plan_port_has_lost(&q, &p));
	q = p;
	q.mac.b[5] = 7;
	assert_true(weft_plan_port_has_lost(&p, &q));
	q = p;
	strcpy(q.network_id, "m");
	assert_true(weft_plan_port_has_lost(&p, &q));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(port_has_lost_what_allowed_a_flow),
		cmocka_unit_test(same_rules_in_another_order_under_other_ids_are_nothing_lost),
		cmocka_unit_test(no_rules_before_means_that_nothing_can_be_lost),
		cmocka_unit_test(change_of_statefulness_is_never_only_more),
		cmocka_unit_test(wider_rule_covers_a_narrower_one_and_not_the_reverse),
		cmocka_unit_test(different_rules_do_not_cover_each_other),
		cmocka_unit_test(ten_thousand_rules_of_which_one_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
