// SPDX-License-Identifier: Apache-2.0
#include "plan/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define ID "11111111-2222-3333-4444-555555555555"

static struct plan_port *new_port(void)
{
	struct plan_port *p = calloc(1, sizeof(*p));

	strcpy(p->id, ID);
	p->n_fixed = p->n_pairs = p->n_rule_sets = p->n_options = 1;
	p->fixed = calloc(1, sizeof(*p->fixed));
	p->pairs = calloc(1, sizeof(*p->pairs));
	p->rule_sets = calloc(1, sizeof(*p->rule_sets));
	p->options = calloc(1, sizeof(*p->options));
	strcpy(p->rule_sets[0], ID);
	p->options[0].len = 1;
	return p;
}

static void a_batch_frees_what_it_was_given(void **state)
{
	struct plan_batch b = {0};

	(void)state;
	for (int i = 0; i < 40; i++)
		weft_plan_batch_add(&b, PLAN_PUT, PLAN_PORT, new_port());
	assert_int_equal(b.n, 40);
	assert_string_equal(b.changes[39].port->id, ID);
	weft_plan_batch_fini(&b); // the leak checker is the judge
	assert_int_equal(b.n, 0);
	assert_null(b.changes);
}

static void a_copy_is_equal_and_shares_nothing(void **state)
{
	struct plan_port *p = new_port(), *copy = weft_plan_object_copy(PLAN_PORT, p);

	(void)state;
	assert_true(weft_plan_object_equal(PLAN_PORT, p, copy));
	assert_ptr_not_equal(p->rule_sets, copy->rule_sets);
	weft_plan_object_free(PLAN_PORT, p);
	assert_string_equal(copy->rule_sets[0], ID);
	weft_plan_object_free(PLAN_PORT, copy);
}

static void a_difference_deep_in_a_list_is_seen(void **state)
{
	struct plan_port *p = new_port(), *copy = weft_plan_object_copy(PLAN_PORT, p);

	(void)state;
	copy->options[0].value[0] = 7;
	assert_false(weft_plan_object_equal(PLAN_PORT, p, copy));
	copy->options[0].value[0] = 0;
	copy->options[0].value[1] = 7; // behind its length: rubbish
	assert_true(weft_plan_object_equal(PLAN_PORT, p, copy));
	copy->pairs[0].prefix.len = 8;
	assert_false(weft_plan_object_equal(PLAN_PORT, p, copy));
	weft_plan_object_free(PLAN_PORT, p);
	weft_plan_object_free(PLAN_PORT, copy);
}

static void rules_are_compared_by_every_field(void **state)
{
	struct plan_rule a = {.family = 4, .proto = 1, .icmp_type = 0, .icmp_code = -1}, b = a;
	struct plan_rule_set x = {.n_rules = 1, .rules = &a}, y = {.n_rules = 1, .rules = &b};

	(void)state;
	assert_true(weft_plan_object_equal(PLAN_RULE_SET, &x, &y));
	b.icmp_type = -1;
	assert_false(weft_plan_object_equal(PLAN_RULE_SET, &x, &y));
	b = a;
	b.direction = PLAN_INGRESS;
	assert_false(weft_plan_object_equal(PLAN_RULE_SET, &x, &y));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_frees_what_it_was_given),
		cmocka_unit_test(a_copy_is_equal_and_shares_nothing),
		cmocka_unit_test(a_difference_deep_in_a_list_is_seen),
		cmocka_unit_test(rules_are_compared_by_every_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
