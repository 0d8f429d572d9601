// SPDX-License-Identifier: Apache-2.0
// NAT as operators see it: views, metrics, trace.
#include "datapath/native/testing/nat_fixture.h"

#include <stdlib.h>

#include "datapath/native/show/show.h"
#include "datapath/native/show/trace.h"

static json_t *view(struct testbed *tb, enum datapath_show what, const char *id, size_t limit)
{
	struct err err;
	json_t *j = NULL;

	assert_int_equal(weft_native_show(&tb->dp, what, id, limit, &j, &err), 0);
	return j;
}

static const char *text_at(json_t *list, size_t i, const char *a, const char *b)
{
	json_t *o = json_object_get(json_array_get(list, i), a);
	const char *s = json_string_value(b == NULL ? o : json_object_get(o, b));

	return s == NULL ? "" : s;
}

static void translated_connections_are_listed_with_both_tuples(void **state)
{
	struct testbed *tb = one_router();
	json_t *j, *list;

	(void)state;
	testbed_floating(tb, "f", "r", "ext", FLOATING, "10.0.1.2", "b");
	testbed_commit(tb);
	assert_true(goes_out(tb, TCP(1000, 80, SYN), TCP(1000, 80, SYN)));
	j = view(tb, DATAPATH_SHOW_NAT, NULL, 100);
	list = json_object_get(j, "sessions");
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(text_at(list, 0, "protocol", NULL), "tcp");
	assert_string_equal(text_at(list, 0, "in_port", NULL), "a");
	assert_string_equal(text_at(list, 0, "original", "text"),
			    "10.0.1.1:1000 > 198.51.100.7:80");
	assert_string_equal(text_at(list, 0, "translated", "text"),
			    GATEWAY ":1000 > 198.51.100.7:80");
	json_decref(j);

	assert_true(becomes(tb, "a", summed("a", "r1", "10.0.1.1", FLOATING, ECHO(9)), "b",
			    summed("r1", "b", GATEWAY, "10.0.1.2", ECHO(9)), 2));
	j = view(tb, DATAPATH_SHOW_NAT, "b", 100);
	list = json_object_get(j, "sessions");
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(text_at(list, 0, "translated", "text"), GATEWAY " > 10.0.1.2 id 9");
	assert_int_equal(json_integer_value(json_object_get(j, "count")), 2);
	list = json_object_get(j, "addresses");
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(text_at(list, 0, "address", NULL), GATEWAY);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "sessions")),
			 2);
	assert_string_equal(text_at(list, 1, "of", NULL), "floating ip");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 1), "sessions")),
			 1);
	json_decref(j);
	j = view(tb, DATAPATH_SHOW_NAT, NULL, 1);
	assert_int_equal(json_array_size(json_object_get(j, "sessions")), 1);
	assert_int_equal(json_integer_value(json_object_get(j, "count")), 2);
	json_decref(j);
	testbed_free(tb);
}

static void floating_ips_are_listed_with_what_they_forward(void **state)
{
	struct testbed *tb = one_router();
	json_t *j, *list;

	(void)state;
	testbed_floating(tb, "f", "r", "ext", FLOATING, NULL, "");
	testbed_forwarding(tb, "p1", "f", 6, "8080-8080>80", "10.0.1.1", "a");
	testbed_forwarding(tb, "p2", "f", 17, "9000-9009>76", "10.0.1.2", "b");
	testbed_commit(tb);
	j = view(tb, DATAPATH_SHOW_FLOATING_IPS, NULL, 0);
	list = json_object_get(j, "floatingips");
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(text_at(list, 0, "address", NULL), FLOATING);
	assert_true(json_is_null(json_object_get(json_array_get(list, 0), "fixed")));
	list = json_object_get(json_array_get(list, 0), "forwardings");
	assert_int_equal(json_array_size(list), 2);
	for (size_t i = 0; i < 2; i++) {
		bool tcp = strcmp(text_at(list, i, "id", NULL), "p1") == 0;

		assert_string_equal(text_at(list, i, "ports", NULL), tcp ? "8080" : "9000-9009");
		assert_string_equal(text_at(list, i, "to", NULL),
				    tcp ? "10.0.1.1:80" : "10.0.1.2:76");
	}
	json_decref(j);
	testbed_free(tb);
}

// Does a trace of `f` say all of this, in this order?
static void trace_says(struct testbed *tb, const char *port, struct frame f, const char *verdict,
		       const char *const *wanted)
{
	json_t *j = NULL, *stage;
	struct err err;
	size_t i;

	assert_int_equal(weft_native_trace(&tb->dp, port, f.b, f.len, &j, &err), 0);
	assert_string_equal(json_string_value(json_object_get(j, "verdict")), verdict);
	json_array_foreach(json_object_get(j, "stages"), i, stage) {
		const char *detail = json_string_value(json_object_get(stage, "detail"));

		if (*wanted != NULL && strstr(detail, *wanted) != NULL)
			wanted++;
	}
	if (*wanted != NULL)
		fail_msg("the trace does not say: %s", *wanted);
	json_decref(j);
}

static void trace_tells_what_is_translated(void **state)
{
	struct testbed *tb = one_router();
	struct frame f = summed("a", "r1", "10.0.1.1", WEB, TCP(1000, 80, SYN)), got;

	(void)state;
	assert_int_not_equal(port_of(tb, "b", "10.0.1.2", WEB, TCP(1000, 80, SYN)), 0);
	testbed_floating(tb, "g", "r", "ext", FLOATING_B, "10.0.1.2", "b");
	testbed_commit(tb);
	trace_says(
		tb, "a", f, "forward",
		(const char *const[]) {"source 10.0.1.1:1000 becomes 203.0.113.2:1000 (router r)",
				       "to network ext", "source port", NULL});
	assert_int_equal(tb->w->stats.sessions_added, 1); // a trace makes none
	trace_says(tb, "b", summed("b", "r1", "10.0.1.2", WEB, UDP(1, 2, 3)), "forward",
		   (const char *const[]) {
			   "source 10.0.1.2:1 becomes 203.0.113.51:1 (floating IP g)", NULL});
	trace_says(tb, "a", summed("a", "r1", "10.0.1.1", FLOATING_B, TCP(99, 80, SYN)), "forward",
		   (const char *const[]) {
			   "source 10.0.1.1:99 becomes 203.0.113.2:99 (router r)",
			   "destination 203.0.113.51:80 becomes 10.0.1.2:80 (floating IP g)",
			   "port b", NULL});
	testbed_send(tb, "a", &f);
	assert_true(testbed_receive(tb, "x", &got));
	trace_says(tb, "a", f, "forward",
		   (const char *const[]) {"packet of an established flow",
					  "leaves as 203.0.113.2:", NULL});
	trace_says(tb, "x", summed("x", "rx", WEB, GATEWAY, TCP(7, 7, SYN)), "drop",
		   (const char *const[]) {"belongs to no flow that is known", NULL});
	testbed_free(tb);
}

static void trace_tells_what_cannot_be_translated(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	trace_says(tb, "a",
		   summed("a", "r1", "10.0.1.1", WEB, (struct l4) {.proto = 1, .dport = 0x0900}),
		   "drop", (const char *const[]) {"of this kind cannot be translated", NULL});
	assert_int_equal(dropped(tb, "a",
				 summed("a", "r1", "10.0.1.1", WEB,
					(struct l4) {.proto = 1, .dport = 0x0900})),
			 DROP_NAT_PROTOCOL);
	testbed_free(tb);
}

static void trace_tells_what_finds_its_answers_taken(void **state)
{
	struct testbed *tb = one_router();
	struct l4 l4 = TCP(99, 8080, SYN);

	(void)state;
	testbed_floating(tb, "f", "r", "ext", FLOATING, NULL, "");
	testbed_forwarding(tb, "p1", "f", 6, "8080-8080>80", "10.0.1.1", "a");
	testbed_forwarding(tb, "p2", "f", 6, "8081-8081>80", "10.0.1.1", "a");
	testbed_commit(tb);
	testbed_send(tb, "x", (struct frame[]) {summed("x", "f", WEB, FLOATING, l4)});
	l4.dport = 8081;
	trace_says(tb, "x", summed("x", "f", WEB, FLOATING, l4), "drop",
		   (const char *const[]) {"in use by another", NULL});
	assert_int_equal(dropped(tb, "x", summed("x", "f", WEB, FLOATING, l4)), DROP_SESSION_CLASH);
	trace_says(tb, "a", summed("a", "r1", "10.0.1.1", WEB, ECHO_REPLY(3)), "drop",
		   (const char *const[]) {"to network ext", "belongs to no flow that is known",
					  NULL});
	testbed_free(tb);
}

static void metrics_count_what_was_translated_and_tried(void **state)
{
	struct testbed *tb = one_router();
	struct text t = {0};

	(void)state;
	assert_int_not_equal(port_of(tb, "b", "10.0.1.2", WEB, TCP(1000, 80, SYN)), 0);
	assert_int_not_equal(port_of(tb, "a", "10.0.1.1", WEB, TCP(1000, 80, SYN)), 0);
	weft_native_metrics(&tb->dp, &t);
	assert_non_null(strstr(t.s, "\nweft_nat_sessions_total 2\n"));
	assert_non_null(strstr(t.s, "\nweft_nat_tries_total 1\n"));
	weft_text_fini(&t);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(translated_connections_are_listed_with_both_tuples),
		cmocka_unit_test(floating_ips_are_listed_with_what_they_forward),
		cmocka_unit_test(trace_tells_what_is_translated),
		cmocka_unit_test(trace_tells_what_cannot_be_translated),
		cmocka_unit_test(trace_tells_what_finds_its_answers_taken),
		cmocka_unit_test(metrics_count_what_was_translated_and_tried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
