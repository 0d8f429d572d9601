// SPDX-License-Identifier: Apache-2.0
// Connections that the rules no longer permit: neither end's packets pass for the beginning of
// another one.
#include "datapath/native/testing/nat_fixture.h"
#include "datapath/native/show/trace.h"

#define WEB_RULES   "egress 4 any\negress 6 any\ningress 4 tcp 80-80\n"
#define OTHER_RULES "egress 4 any\negress 6 any\ningress 4 tcp 81-81\n"

static void rules(struct testbed *tb, const char *lines)
{
	testbed_rule_set(tb, "web", true, lines);
	testbed_commit(tb);
}

// From outside to "a" by its floating IP, and nothing permits it any more.
static struct testbed *refused(struct l4 question, struct l4 answer)
{
	struct testbed *tb = one_router();

	floating_a(tb);
	rules(tb, question.proto == 6 ? WEB_RULES : "egress 4 any\ningress 4 udp 80-80\n");
	assert_true(comes_in(tb, question));
	assert_true(answers_out(tb, answer));
	rules(tb, OTHER_RULES);
	return tb;
}

static struct testbed *refused_tcp(void)
{
	return refused(TCP(999, 80, SYN), TCP(80, 999, SYN | ACK));
}

static struct frame in(struct l4 l4)
{
	return summed("x", "f", WEB, FLOATING, l4);
}

static struct frame out(struct l4 l4)
{
	return summed("a", "r1", "10.0.1.1", WEB, l4);
}

static void a_packet_in_the_middle_of_it_opens_no_other_connection(void **state)
{
	struct testbed *tb = refused_tcp();

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(dropped(tb, "a", out(TCP(80, 999, ACK))), DROP_INGRESS_RULES);
		assert_int_equal(dropped(tb, "x", in(TCP(999, 80, ACK))), DROP_INGRESS_RULES);
	}
	assert_int_equal(tb->w->stats.revoked, 1);
	assert_int_equal(tb->w->stats.rejudged, 1);
	assert_int_equal(tb->w->stats.sessions_added, 1);
	testbed_free(tb);
}

static void the_same_inside_a_network(void **state)
{
	struct testbed *tb = one_router();
	struct frame there = summed("b", "a", "10.0.1.2", "10.0.1.1", TCP(999, 80, ACK));
	struct frame back = summed("a", "b", "10.0.1.1", "10.0.1.2", TCP(80, 999, ACK));

	(void)state;
	assert_true(testbed_passes(tb, "b", "a", &there));
	assert_true(testbed_passes(tb, "a", "b", &back));
	// "b" would take anything in.
	testbed_rule_set(tb, "any", true, "egress 4 any\ningress 4 any\n");
	testbed_port(tb, "b", "n1", "10.0.1.2", "any");
	rules(tb, OTHER_RULES);
	assert_int_equal(dropped(tb, "a", back), DROP_INGRESS_RULES);
	assert_int_equal(dropped(tb, "b", there), DROP_INGRESS_RULES);
	testbed_free(tb);
}

static void it_goes_on_translated_as_before_when_a_rule_permits_it_again(void **state)
{
	struct testbed *tb = refused_tcp();

	(void)state;
	assert_int_equal(dropped(tb, "a", out(TCP(80, 999, ACK))), DROP_INGRESS_RULES);
	rules(tb, WEB_RULES);
	assert_true(answers_out(tb, TCP(80, 999, ACK)));
	assert_true(comes_in(tb, TCP(999, 80, ACK)));
	assert_int_equal(tb->w->stats.sessions_added, 1);
	// And is cut once more.
	rules(tb, OTHER_RULES);
	assert_int_equal(dropped(tb, "a", out(TCP(80, 999, ACK))), DROP_INGRESS_RULES);
	assert_int_equal(tb->w->stats.revoked, 2);
	testbed_free(tb);
}

static void a_new_connection_of_the_same_ports_is_judged_by_itself(void **state)
{
	struct testbed *tb = refused_tcp();

	(void)state;
	assert_int_equal(dropped(tb, "a", out(TCP(80, 999, ACK))), DROP_INGRESS_RULES);
	assert_int_equal(dropped(tb, "x", in(TCP(999, 80, SYN))), DROP_INGRESS_RULES);
	// The host may open one to there, and that one is answered.
	assert_true(answers_out(tb, TCP(80, 999, SYN)));
	assert_true(comes_in(tb, TCP(999, 80, SYN | ACK)));
	testbed_free(tb);
}

// Else who is refused could make the other end's next packet open it anew.
static void a_new_connection_that_is_refused_changes_nothing(void **state)
{
	struct testbed *tb = refused_tcp();

	(void)state;
	assert_int_equal(dropped(tb, "x", in(TCP(999, 80, SYN))), DROP_INGRESS_RULES);
	assert_int_equal(dropped(tb, "a", out(TCP(80, 999, ACK))), DROP_INGRESS_RULES);
	assert_int_equal(dropped(tb, "x", in(TCP(999, 80, ACK))), DROP_INGRESS_RULES);
	rules(tb, "ingress 4 tcp 81-81\n"); // the other end may open none either, for a while
	assert_int_equal(dropped(tb, "a", out(TCP(80, 999, SYN))), DROP_EGRESS_RULES);
	rules(tb, OTHER_RULES);
	assert_int_equal(dropped(tb, "a", out(TCP(80, 999, ACK))), DROP_INGRESS_RULES);
	assert_int_equal(tb->w->stats.revoked, 1);
	testbed_free(tb);
}

static void a_reset_from_either_end_changes_nothing(void **state)
{
	struct testbed *tb = refused_tcp();

	(void)state;
	assert_int_equal(dropped(tb, "a", out(TCP(80, 999, RST))), DROP_INGRESS_RULES);
	assert_int_equal(dropped(tb, "x", in(TCP(999, 80, RST | ACK))), DROP_INGRESS_RULES);
	assert_int_equal(dropped(tb, "a", out(TCP(80, 999, ACK))), DROP_INGRESS_RULES);
	testbed_free(tb);
}

static void datagrams_of_the_other_end_open_no_other_flow_while_the_first_end_goes_on(void **state)
{
	struct testbed *tb = refused(UDP(999, 80, 20), UDP(80, 999, 20));

	(void)state;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(dropped(tb, "x", in(UDP(999, 80, 20))), DROP_INGRESS_RULES);
		testbed_pass_time(tb, 100000);
		assert_int_equal(dropped(tb, "a", out(UDP(80, 999, 20))), DROP_INGRESS_RULES);
	}
	testbed_free(tb);
}

static void datagrams_of_the_other_end_are_a_flow_of_their_own_when_the_first_end_is_silent(
	void **state)
{
	struct testbed *tb = refused(UDP(999, 80, 20), UDP(80, 999, 20));
	int seconds = 0;

	(void)state;
	while (!answers_out(tb, UDP(80, 999, 20)) && seconds < 1000) {
		for (int i = 0; i < 10; i++) {
			testbed_pass_time(tb, 100);
			weft_session_expire(tb->w->session_worker, tb->w->now_ms, 64);
		}
		seconds++;
	}
	assert_in_range(seconds, 30, 200);
	testbed_free(tb);
}

// What has its rules for each direction is judged by each.
static void a_stateless_groups_other_direction_goes_on(void **state)
{
	struct testbed *tb = one_router();
	struct frame there = summed("b", "a", "10.0.1.2", "10.0.1.1", UDP(999, 80, 20));
	struct frame back = summed("a", "b", "10.0.1.1", "10.0.1.2", UDP(80, 999, 20));

	(void)state;
	testbed_rule_set(tb, "any", true, "egress 4 any\ningress 4 any\n");
	testbed_port(tb, "b", "n1", "10.0.1.2", "any");
	testbed_rule_set(tb, "web", false, "egress 4 any\ningress 4 udp 80-80\n");
	testbed_commit(tb);
	assert_true(testbed_passes(tb, "b", "a", &there));
	assert_true(testbed_passes(tb, "a", "b", &back));
	testbed_rule_set(tb, "web", false, "egress 4 any\n");
	testbed_commit(tb);
	assert_int_equal(dropped(tb, "b", there), DROP_INGRESS_RULES);
	assert_true(testbed_passes(tb, "a", "b", &back));
	testbed_free(tb);
}

static void errors_about_it_do_not_pass(void **state)
{
	struct testbed *tb = refused_tcp();
	struct frame about = summed("r1", "a", WEB, "10.0.1.1", TCP(999, 80, ACK)), error;

	(void)state;
	error = testbed_icmp_error("a", "r1", "10.0.1.1", WEB, 3, 3, &about);
	testbed_checksum(&error);
	assert_int_not_equal(dropped(tb, "a", error), DROP_NONE);
	assert_false(testbed_receive(tb, "x", &about));
	testbed_free(tb);
}

// The rules of who has the floating IP now are not about the host that had it.
static void a_floating_ip_that_moves_takes_no_mark_along(void **state)
{
	struct testbed *tb = refused(UDP(999, 80, 20), UDP(80, 999, 20));

	(void)state;
	assert_int_equal(dropped(tb, "x", in(UDP(999, 80, 20))), DROP_INGRESS_RULES);
	testbed_floating(tb, "f", "r", "ext", FLOATING, "10.0.1.2", "b");
	testbed_commit(tb);
	assert_int_equal(dropped(tb, "x", in(UDP(999, 80, 20))), DROP_INGRESS_RULES);
	assert_true(goes_out(tb, UDP(80, 999, 20), UDP(80, 999, 20)));
	testbed_free(tb);
}

static void a_host_that_is_refused_keeps_nothing_of_its_floating_ip_that_moves(void **state)
{
	struct testbed *tb = one_router();
	struct frame to_b = summed("r1", "b", WEB, "10.0.1.2", UDP(53, 999, 20));

	(void)state;
	floating_a(tb);
	testbed_rule_set(tb, "takes", true, "ingress 4 udp 999-999\n");
	testbed_port(tb, "b", "n1", "10.0.1.2", "takes");
	testbed_commit(tb);
	assert_true(answers_out(tb, UDP(999, 53, 20)));
	rules(tb, "ingress 4 tcp 80-80\n");
	assert_int_equal(dropped(tb, "a", out(UDP(999, 53, 20))), DROP_EGRESS_RULES);
	assert_int_equal(dropped(tb, "x", in(UDP(53, 999, 20))), DROP_EGRESS_RULES);
	testbed_floating(tb, "f", "r", "ext", FLOATING, "10.0.1.2", "b");
	testbed_commit(tb);
	assert_int_equal(dropped(tb, "a", out(UDP(999, 53, 20))), DROP_EGRESS_RULES);
	assert_true(becomes(tb, "x", in(UDP(53, 999, 20)), "b", to_b, 1));
	testbed_free(tb);
}

// An address that two ports share, with MACs of their own: the one that is sent to by now may
// permit it.
static void what_goes_to_another_host_of_the_address_is_judged_by_that_ones_rules(void **state)
{
	struct testbed *tb = one_router();
	struct frame to_1 = summed("b", "m1", "10.0.1.2", "10.0.1.100", UDP(999, 53, 20));
	struct frame to_2 = summed("b", "m2", "10.0.1.2", "10.0.1.100", UDP(999, 53, 20));

	(void)state;
	testbed_rule_set(tb, "one", true, "egress 4 any\ningress 4 udp 53-53\n");
	testbed_rule_set(tb, "two", true, "egress 4 any\ningress 4 udp 53-53\n");
	testbed_port_with(tb, "m1", "n1", "10.0.1.11", "one", "-|10.0.1.100", true);
	testbed_port_with(tb, "m2", "n1", "10.0.1.12", "two", "-|10.0.1.100", true);
	testbed_commit(tb);
	assert_true(testbed_passes(tb, "b", "m1", &to_1));
	testbed_rule_set(tb, "one", true, "egress 4 any\n");
	testbed_commit(tb);
	assert_int_equal(dropped(tb, "b", to_1), DROP_INGRESS_RULES);
	assert_true(testbed_passes(tb, "b", "m2", &to_2));
	assert_int_equal(dropped(tb, "b", to_1), DROP_INGRESS_RULES);
	assert_true(testbed_passes(tb, "b", "m2", &to_2));
	testbed_free(tb);
}

static bool trace_drops(struct testbed *tb, const char *port, struct frame f)
{
	struct err err;
	json_t *out;
	bool drops;

	assert_int_equal(weft_native_trace(&tb->dp, port, f.b, f.len, &out, &err), 0);
	drops = strcmp(json_string_value(json_object_get(out, "verdict")), "drop") == 0;
	json_decref(out);
	return drops;
}

static void a_trace_says_what_happens_and_changes_nothing(void **state)
{
	struct testbed *tb = refused_tcp();
	uint64_t revoked = tb->w->stats.revoked;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_true(trace_drops(tb, "a", out(TCP(80, 999, ACK))));
		assert_true(trace_drops(tb, "x", in(TCP(999, 80, ACK))));
		assert_false(trace_drops(tb, "a", out(TCP(80, 999, SYN))));
		assert_int_equal(tb->w->stats.revoked, revoked);
		assert_int_equal(dropped(tb, "a", out(TCP(80, 999, ACK))), DROP_INGRESS_RULES);
		revoked = 1;
	}
	rules(tb, WEB_RULES);
	assert_false(trace_drops(tb, "a", out(TCP(80, 999, ACK))));
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_packet_in_the_middle_of_it_opens_no_other_connection),
		cmocka_unit_test(the_same_inside_a_network),
		cmocka_unit_test(it_goes_on_translated_as_before_when_a_rule_permits_it_again),
		cmocka_unit_test(a_new_connection_of_the_same_ports_is_judged_by_itself),
		cmocka_unit_test(a_new_connection_that_is_refused_changes_nothing),
		cmocka_unit_test(a_floating_ip_that_moves_takes_no_mark_along),
		cmocka_unit_test(
			a_host_that_is_refused_keeps_nothing_of_its_floating_ip_that_moves),
		cmocka_unit_test(
			what_goes_to_another_host_of_the_address_is_judged_by_that_ones_rules),
		cmocka_unit_test(a_reset_from_either_end_changes_nothing),
		cmocka_unit_test(
			datagrams_of_the_other_end_open_no_other_flow_while_the_first_end_goes_on),
		cmocka_unit_test(
			datagrams_of_the_other_end_are_a_flow_of_their_own_when_the_first_end_is_silent),
		cmocka_unit_test(a_stateless_groups_other_direction_goes_on),
		cmocka_unit_test(errors_about_it_do_not_pass),
		cmocka_unit_test(a_trace_says_what_happens_and_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
