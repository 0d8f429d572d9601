// SPDX-License-Identifier: Apache-2.0
// An operator ends a port's sessions, and counts from 0 again.
#include "datapath/native/policy/tables.h"
#include "datapath/native/show/baseline.h"
#include "datapath/native/show/show.h"
#include "datapath/native/testing/nat_fixture.h"
#include "datapath/native/testing/testbed_priv.h"

// As the hook does, by the testbed's clock.
static void flush(struct testbed *tb, const char *port)
{
	uint16_t index = weft_tables_port(tb->dp.tables, port)->index;

	weft_session_port_flush(tb->dp.node.sessions, index, tb->w->now_ms + INT32_MAX / 2);
	weft_tables_bump(&tb->dp.node, index);
	weft_session_port_flush(tb->dp.node.sessions, index, tb->w->now_ms);
	testbed_pass_time(tb, 10);
	testbed_settle(tb);
}

static bool question(struct testbed *tb)
{
	struct frame f = summed("a", "b", "10.0.1.1", "10.0.1.2", TCP(1000, 80, SYN));

	return dropped(tb, "a", f) == DROP_NONE;
}

static enum drop answer(struct testbed *tb)
{
	struct frame f = summed("b", "a", "10.0.1.2", "10.0.1.1", TCP(80, 1000, SYN | ACK));

	return dropped(tb, "b", f);
}

// "b" may not send but for answers.
static struct testbed *open_flow(void)
{
	struct testbed *tb = one_router();

	testbed_rule_set(tb, "in", true, "ingress 4 any\n");
	testbed_port(tb, "b", "n1", "10.0.1.2", "in");
	testbed_commit(tb);
	testbed_pass_time(tb, 10);
	testbed_settle(tb);
	assert_true(question(tb));
	assert_int_equal(answer(tb), DROP_NONE);
	return tb;
}

static void after_a_flush_of_either_port_answers_belong_to_nothing(void **state)
{
	static const char *const ports[] = {"a", "b"};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct testbed *tb = open_flow();

		flush(tb, ports[i]);
		assert_int_equal(answer(tb), DROP_TCP_STATE);
		assert_true(question(tb)); // makes a session of its own
		assert_int_equal(answer(tb), DROP_NONE);
		testbed_pass_time(tb, 100);
		testbed_rule_set(tb, "unused", true, "egress 4 any\n");
		testbed_commit(tb);
		weft_tables_bump(&tb->dp.node, weft_tables_port(tb->dp.tables, "b")->index);
		assert_int_equal(answer(tb), DROP_NONE); // judged again, and not flushed again
		testbed_free(tb);
	}
}

static void a_flush_of_another_port_changes_nothing(void **state)
{
	struct testbed *tb = open_flow();

	(void)state;
	flush(tb, "x");
	assert_int_equal(answer(tb), DROP_NONE);
	testbed_free(tb);
}

static void what_was_flushed_is_not_shown_and_soon_forgotten(void **state)
{
	struct testbed *tb = open_flow();
	const struct port *b = weft_tables_port(tb->dp.tables, "b");
	struct frame echo = summed("a", "b", "10.0.1.1", "10.0.1.2", ECHO(7));

	(void)state;
	assert_int_equal(weft_native_count_sessions(&tb->dp, b), 1);
	flush(tb, "b");
	assert_int_equal(weft_native_count_sessions(&tb->dp, b), 0);
	assert_int_equal(weft_session_count(tb->dp.node.sessions), 1);
	assert_int_equal(dropped(tb, "a", echo), DROP_NONE);
	for (int i = 0; i < 200; i++) {
		testbed_pass_time(tb, 100);
		if (i % 50 == 0) // the new one is in use
			assert_int_equal(dropped(tb, "a", echo), DROP_NONE);
		weft_session_expire(tb->w->session_worker, tb->w->now_ms, 64);
	}
	assert_int_equal(weft_session_count(tb->dp.node.sessions), 1);
	assert_int_equal(weft_native_count_sessions(&tb->dp, b), 1);
	testbed_free(tb);
}

// By the rules as they are now, what is "b"'s in the middle of the flow would begin one of its own.
static struct testbed *refused_flow(const char *b_rules)
{
	struct testbed *tb = one_router();

	testbed_rule_set(tb, "in", true, "ingress 4 any\negress 4 any\n");
	testbed_rule_set(tb, "now", true, b_rules);
	testbed_port(tb, "a", "n1", "10.0.1.1", "in");
	testbed_port(tb, "b", "n1", "10.0.1.2", "in");
	testbed_commit(tb);
	testbed_pass_time(tb, 10);
	testbed_settle(tb);
	assert_true(question(tb));
	assert_int_equal(answer(tb), DROP_NONE);
	testbed_port(tb, "b", "n1", "10.0.1.2", "now");
	testbed_commit(tb);
	weft_tables_bump(&tb->dp.node, weft_tables_port(tb->dp.tables, "b")->index);
	return tb;
}

static void turn_of_the_hand(struct testbed *tb)
{
	for (int i = 0; i < 150; i++) {
		testbed_pass_time(tb, 100);
		weft_session_expire(tb->w->session_worker, tb->w->now_ms, 64);
	}
}

static void what_the_rules_refuse_stays_refused_after_a_flush(void **state)
{
	(void)state;
	for (int marked = 0; marked < 2; marked++) {
		struct testbed *tb = refused_flow("egress 4 any\n");

		if (marked)
			assert_int_equal(answer(tb), DROP_INGRESS_RULES);
		flush(tb, "b");
		assert_int_equal(answer(tb), DROP_INGRESS_RULES);
		assert_int_equal(answer(tb), DROP_INGRESS_RULES);
		assert_false(question(tb));
		testbed_free(tb);
	}
}

static void the_clock_hand_leaves_the_mark_of_what_was_flushed(void **state)
{
	struct testbed *tb = refused_flow("egress 4 any\n");

	(void)state;
	assert_int_equal(answer(tb), DROP_INGRESS_RULES);
	flush(tb, "b");
	turn_of_the_hand(tb);
	assert_int_equal(answer(tb), DROP_INGRESS_RULES);
	testbed_free(tb);
}

static void a_mark_does_not_bring_back_what_was_flushed(void **state)
{
	struct testbed *tb = refused_flow("egress 4 any\n");

	(void)state;
	assert_int_equal(answer(tb), DROP_INGRESS_RULES); // marks it
	flush(tb, "b");
	testbed_rule_set(tb, "then", true, "ingress 4 any\n");
	testbed_port(tb, "b", "n1", "10.0.1.2", "then");
	testbed_commit(tb);
	assert_int_equal(answer(tb), DROP_TCP_STATE); // the rules permit it again, but it is over
	assert_true(question(tb));
	assert_int_equal(answer(tb), DROP_NONE);
	testbed_free(tb);
}

static void a_flush_is_forgotten_before_the_clock_comes_round(void **state)
{
	struct testbed *tb = open_flow();

	(void)state;
	flush(tb, "b");
	assert_true(question(tb));
	testbed_pass_time(tb, 1000);
	weft_session_flush_forget(tb->dp.node.sessions, tb->w->now_ms);
	assert_int_equal(weft_native_count_sessions(&tb->dp, weft_tables_port(tb->dp.tables, "b")),
			 1);
	weft_session_flush_forget(tb->dp.node.sessions, tb->w->now_ms + 3600000);
	tb->w->now_ms += UINT32_C(0x80000000); // 25 days
	assert_true(question(tb));
	weft_tables_bump(&tb->dp.node, weft_tables_port(tb->dp.tables, "b")->index);
	assert_int_equal(answer(tb), DROP_NONE);
	testbed_free(tb);
}

static void a_translated_flow_has_its_port_again_after_a_flush(void **state)
{
	struct testbed *tb = one_router();
	struct frame got;

	(void)state;
	testbed_pass_time(tb, 10);
	testbed_settle(tb);
	assert_true(goes_out(tb, UDP(5000, 53, 20), UDP(5000, 53, 20)));
	while (testbed_receive(tb, "x", &got))
		;
	flush(tb, "a");
	assert_true(goes_out(tb, UDP(5000, 53, 20), UDP(5000, 53, 20)));
	testbed_free(tb);
}

// ---- Counters ------------------------------------------------------------------------------

static json_int_t shown(struct testbed *tb, enum datapath_show what, const char *id,
			const char *object, const char *key)
{
	struct err err;
	json_t *o;

	assert_int_equal(weft_native_show(&tb->dp, what, id, 10, &o, &err), 0);
	json_int_t n = json_integer_value(json_object_get(
		what == DATAPATH_SHOW_WORKERS ? json_array_get(json_object_get(o, "workers"), 0)
					      : json_object_get(o, object),
		key));
	json_decref(o);
	return n;
}

static json_int_t dropped_by(struct testbed *tb, const char *reason)
{
	json_t *o, *v;
	struct err err;
	json_int_t n = -1;
	size_t i;

	assert_int_equal(weft_native_show(&tb->dp, DATAPATH_SHOW_DROPS, NULL, 10, &o, &err), 0);
	json_array_foreach(json_object_get(o, "drops"), i, v)
		if (strcmp(json_string_value(json_object_get(v, "reason")), reason) == 0)
			n = json_integer_value(json_object_get(v, "packets"));
	json_decref(o);
	return n;
}

static void lose(struct testbed *tb, const char *id, uint64_t n)
{
	struct port *p = weft_tables_port(tb->dp.tables, id);

	((struct memory_io *)atomic_load(&p->io))->lost += n;
}

static void send_three(struct testbed *tb)
{
	struct frame f = summed("a", "b", "10.0.1.1", "10.0.1.2", UDP(1, 2, 3));

	for (int i = 0; i < 3; i++)
		assert_int_equal(dropped(tb, "a", f), DROP_INGRESS_RULES);
}

static void counters_begin_again_for_who_looks_and_metrics_go_on(void **state)
{
	struct testbed *tb = one_router();
	struct text before = {0}, after = {0};
	struct err err;

	(void)state;
	send_three(tb);
	lose(tb, "a", 5);
	assert_int_equal(shown(tb, DATAPATH_SHOW_PORTS, "a", "interface_counters", "rx_lost"), 5);
	assert_int_equal(weft_native_reset_counters(&tb->dp, "b", &err), 0);
	assert_int_equal(shown(tb, DATAPATH_SHOW_PORTS, "a", "counters", "from_vm_packets"), 3);
	weft_native_metrics(&tb->dp, &before);
	assert_int_equal(weft_native_reset_counters(&tb->dp, NULL, &err), 0);
	weft_native_metrics(&tb->dp, &after);
	assert_string_equal(before.s, after.s);
	for (int n = 0; n < 2; n++) {
		assert_int_equal(shown(tb, DATAPATH_SHOW_PORTS, "a", "counters", "from_vm_packets"),
				 3 * n);
		assert_int_equal(shown(tb, DATAPATH_SHOW_PORTS, "a", "drops", "ingress-rules"),
				 3 * n);
		assert_int_equal(shown(tb, DATAPATH_SHOW_PORTS, "a", "interface_counters",
				       "rx_lost"),
				 5 * n);
		assert_int_equal(shown(tb, DATAPATH_SHOW_WORKERS, NULL, NULL, "slow"), 3 * n);
		assert_int_equal(dropped_by(tb, "ingress-rules"), 3 * n);
		send_three(tb);
		lose(tb, "a", 5);
	}
	assert_int_equal(weft_native_reset_counters(&tb->dp, "a", &err), 0);
	assert_int_equal(shown(tb, DATAPATH_SHOW_PORTS, "a", "counters", "from_vm_packets"), 0);
	assert_int_equal(dropped_by(tb, "ingress-rules"), 6);
	assert_int_equal(weft_native_reset_counters(&tb->dp, "nobody", &err), -ENOENT);
	weft_text_fini(&before);
	weft_text_fini(&after);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(after_a_flush_of_either_port_answers_belong_to_nothing),
		cmocka_unit_test(a_flush_of_another_port_changes_nothing),
		cmocka_unit_test(what_was_flushed_is_not_shown_and_soon_forgotten),
		cmocka_unit_test(what_the_rules_refuse_stays_refused_after_a_flush),
		cmocka_unit_test(the_clock_hand_leaves_the_mark_of_what_was_flushed),
		cmocka_unit_test(a_mark_does_not_bring_back_what_was_flushed),
		cmocka_unit_test(a_flush_is_forgotten_before_the_clock_comes_round),
		cmocka_unit_test(a_translated_flow_has_its_port_again_after_a_flush),
		cmocka_unit_test(counters_begin_again_for_who_looks_and_metrics_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
