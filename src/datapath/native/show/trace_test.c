// SPDX-License-Identifier: Apache-2.0
// A trace says what a packet would meet: here each is traced, and then sent.
#include "datapath/native/show/trace.h"

#include <stdio.h>

#include "datapath/native/testing/nat_fixture.h"

// What it says of the frame that leaves is the frame that leaves. The trace came first.
static void assert_final(struct testbed *tb, const json_t *trace)
{
	const json_t *final = json_object_get(trace, "final"), *one;
	struct text hex = {0};
	struct frame got;
	size_t i;

	json_array_foreach(final, i, one) {
		const char *port = json_string_value(json_object_get(one, "port"));

		assert_true(testbed_receive(tb, port, &got));
		for (size_t k = 0; k < got.len; k++)
			weft_text_add(&hex, "%02x", got.b[k]);
		assert_string_equal(json_string_value(json_object_get(one, "frame")), hex.s);
		weft_text_fini(&hex);
	}
}

// DROP_NONE: it passes.
static void both_say(struct testbed *tb, const char *port, struct frame f, enum drop what)
{
	const char *reason;
	struct err err;
	json_t *out;

	assert_int_equal(weft_native_trace(&tb->dp, port, f.b, f.len, &out, &err), 0);
	reason = json_string_value(json_object_get(out, "reason"));
	assert_string_equal(reason == NULL ? "passes" : reason,
			    what == DROP_NONE ? "passes" : weft_drop_word(what));
	assert_int_equal(dropped(tb, port, f), what);
	assert_int_equal(json_array_size(json_object_get(out, "final")), what == DROP_NONE);
	assert_final(tb, out);
	json_decref(out);
}

static void rules(struct testbed *tb, const char *id, const char *lines)
{
	testbed_rule_set(tb, id, true, lines);
	testbed_commit(tb);
}

static struct frame out(struct l4 l4)
{
	return summed("a", "r1", "10.0.1.1", WEB, l4);
}

// Everything that "a" had is judged again.
static void make_stale(struct testbed *tb)
{
	rules(tb, "web", "egress 4 any\n");
}

static void error_about_a_flow_that_is_older_than_the_policy(void **state)
{
	struct testbed *tb = one_router();
	struct frame sent = summed("rx", "x", GATEWAY, WEB, UDP(5000, 53, 20)), error;

	(void)state;
	assert_true(goes_out(tb, UDP(5000, 53, 20), UDP(5000, 53, 20)));
	age(&sent, 1);
	error = testbed_icmp_error("x", "rx", "192.0.2.77", GATEWAY, 3, 3, &sent);
	testbed_checksum(&error);
	both_say(tb, "x", error, DROP_NONE);
	make_stale(tb);
	both_say(tb, "x", error, DROP_NONE);
	rules(tb, "web", "ingress 4 any\n");
	both_say(tb, "x", error, DROP_NAT_NO_STATE);
	testbed_free(tb);
}

static void answers_that_a_flow_has_taken_that_is_older_than_the_policy(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	testbed_floating(tb, "f", "r", "ext", FLOATING, NULL, "");
	testbed_forwarding(tb, "p1", "f", 6, "8080-8080>80", "10.0.1.1", "a");
	testbed_forwarding(tb, "p2", "f", 6, "8081-8081>80", "10.0.1.1", "a");
	testbed_commit(tb);
	both_say(tb, "x", summed("x", "f", WEB, FLOATING, TCP(99, 8080, SYN)), DROP_NONE);
	rules(tb, "web", "egress 4 any\ningress 4 tcp 80-80\n");
	both_say(tb, "x", summed("x", "f", WEB, FLOATING, TCP(99, 8081, SYN)), DROP_SESSION_CLASH);
	testbed_forwarding_del(tb, "p1", "f");
	testbed_commit(tb);
	both_say(tb, "x", summed("x", "f", WEB, FLOATING, TCP(99, 8081, SYN)), DROP_NONE);
	testbed_free(tb);
}

static void packets_that_their_session_cannot_carry(void **state)
{
	struct testbed *tb = one_router();
	struct frame f = out(UDP(5000, 53, 20));

	(void)state;
	both_say(tb, "a", f, DROP_NONE);
	age(&f, 63);
	both_say(tb, "a", f, DROP_TTL);
	both_say(tb, "a", out(UDP(5000, 53, 1600)), DROP_OVERSIZE);
	testbed_free(tb);
}

static void packets_of_a_flow_that_is_translated(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	for (int i = 0; i < 2; i++) { // the first makes the session
		both_say(tb, "a", out(TCP(5000, 80, i == 0 ? SYN : ACK)), DROP_NONE);
		both_say(tb, "x",
			 summed("x", "rx", WEB, GATEWAY, TCP(80, 5000, i == 0 ? SYN | ACK : ACK)),
			 DROP_NONE);
	}
	testbed_free(tb);
}

// Replies through another router than the questions came from: they are part of the flow, though
// no rule permits them.
static void packets_that_come_by_another_router(void **state)
{
	struct testbed *tb = testbed_new(1024);

	(void)state;
	testbed_network(tb, "n1", 1500);
	testbed_network(tb, "n2", 1500);
	testbed_rule_set(tb, "asks", true, "egress 4 any\n");
	testbed_rule_set(tb, "answers", true, "ingress 4 any\n");
	testbed_port(tb, "a", "n1", "10.0.1.1", "asks");
	testbed_port(tb, "c", "n2", "10.0.2.1", "answers");
	testbed_router(tb, "r", true, "n1|r1|10.0.1.254/24 n2|r2|10.0.2.254/24", "");
	testbed_router(tb, "s", true, "n1|s1|10.0.1.253/24 n2|s2|10.0.2.253/24", "");
	testbed_commit(tb);
	both_say(tb, "a", summed("a", "r1", "10.0.1.1", "10.0.2.1", UDP(1, 2, 3)), DROP_NONE);
	both_say(tb, "c", summed("c", "s2", "10.0.2.1", "10.0.1.1", UDP(2, 1, 3)), DROP_NONE);
	both_say(tb, "c", summed("c", "s2", "10.0.2.1", "10.0.1.1", UDP(9, 1, 3)),
		 DROP_EGRESS_RULES);
	testbed_free(tb);
}

static void a_direction_that_a_stateless_group_does_not_open(void **state)
{
	struct testbed *tb = one_router();
	struct frame there = summed("a", "b", "10.0.1.1", "10.0.1.2", TCP(999, 80, SYN));
	struct frame back = summed("b", "a", "10.0.1.2", "10.0.1.1", TCP(80, 999, SYN | ACK));

	(void)state;
	testbed_rule_set(tb, "loose", false, "egress 4 any\n");
	testbed_port(tb, "a", "n1", "10.0.1.1", "loose");
	testbed_commit(tb);
	both_say(tb, "a", there, DROP_NONE);
	both_say(tb, "b", back, DROP_INGRESS_RULES);
	testbed_rule_set(tb, "loose", false, "egress 4 any\ningress 4 any\n");
	testbed_commit(tb);
	both_say(tb, "b", back, DROP_NONE);
	testbed_free(tb);
}

static void what_is_refused_and_what_goes_to_another_host_of_the_address(void **state)
{
	struct testbed *tb = one_router();
	struct frame to_1 = summed("b", "m1", "10.0.1.2", "10.0.1.100", UDP(999, 53, 20));
	struct frame to_2 = summed("b", "m2", "10.0.1.2", "10.0.1.100", UDP(999, 53, 20));

	(void)state;
	testbed_rule_set(tb, "one", true, "ingress 4 udp 53-53\n");
	testbed_rule_set(tb, "two", true, "ingress 4 udp 53-53\n");
	testbed_port_with(tb, "m1", "n1", "10.0.1.11", "one", "-|10.0.1.100", true);
	testbed_port_with(tb, "m2", "n1", "10.0.1.12", "two", "-|10.0.1.100", true);
	testbed_commit(tb);
	both_say(tb, "b", to_1, DROP_NONE);
	rules(tb, "one", "");
	both_say(tb, "b", to_1, DROP_INGRESS_RULES);
	both_say(tb, "b", to_2, DROP_NONE);
	testbed_free(tb);
}

static size_t from_hex(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned int byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		out[i] = (uint8_t)byte;
	}
	return n;
}

// What the trace says of the way back is what the answer that it made meets, once the packet was
// sent.
static void and_back(struct testbed *tb, const char *from, const char *to, struct frame f,
		     enum drop what)
{
	json_t *out, *reply;
	struct frame answer;
	const char *reason;
	struct err err;

	assert_int_equal(weft_native_trace(&tb->dp, from, f.b, f.len, &out, &err), 0);
	reply = json_object_get(out, "reply");
	assert_true(json_is_object(reply));
	assert_string_equal(json_string_value(json_object_get(reply, "port")), to);
	reason = json_string_value(json_object_get(reply, "reason"));
	assert_string_equal(reason == NULL ? "passes" : reason,
			    what == DROP_NONE ? "passes" : weft_drop_word(what));
	answer.len = from_hex(json_string_value(json_object_get(reply, "frame")), answer.b);
	assert_true(answer.b[14] >> 4 == 6 || testbed_checksum_ok(&answer));
	assert_int_equal(dropped(tb, from, f), DROP_NONE);
	while (testbed_receive(tb, to, &f))
		;
	assert_int_equal(dropped(tb, to, answer), what);
	assert_int_equal(json_array_size(json_object_get(reply, "final")), what == DROP_NONE);
	assert_final(tb, reply);
	json_decref(out);
}

static void ways_back(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	for (int i = 0; i < 2; i++) { // without a session, and of one
		and_back(tb, "a", "x", out(TCP(5000, 80, i == 0 ? SYN : ACK)), DROP_NONE);
		and_back(tb, "a", "x", out(UDP(5000, 53, 20)), DROP_NONE);
		and_back(tb, "a", "x", out(ECHO(77)), DROP_NONE);
		and_back(tb, "b", "a", summed("b", "a", "10.0.1.2", "10.0.1.1", ECHO(9)),
			 DROP_NONE);
	}
	and_back(tb, "a", "x", summed("a", "r1", "fd01::1", "2001:db8::9", UDP(5, 6, 7)),
		 DROP_NONE);
	floating_a(tb);
	and_back(tb, "x", "a", summed("x", "f", WEB, FLOATING, TCP(99, 80, SYN)), DROP_NONE);
	testbed_free(tb);
}

static void ways_back_that_a_stateless_group_does_not_open(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	testbed_rule_set(tb, "loose", false, "egress 4 any\n");
	testbed_port(tb, "a", "n1", "10.0.1.1", "loose");
	testbed_commit(tb);
	and_back(tb, "a", "b", summed("a", "b", "10.0.1.1", "10.0.1.2", TCP(999, 80, SYN)),
		 DROP_INGRESS_RULES);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(error_about_a_flow_that_is_older_than_the_policy),
		cmocka_unit_test(answers_that_a_flow_has_taken_that_is_older_than_the_policy),
		cmocka_unit_test(packets_that_their_session_cannot_carry),
		cmocka_unit_test(packets_of_a_flow_that_is_translated),
		cmocka_unit_test(packets_that_come_by_another_router),
		cmocka_unit_test(ways_back),
		cmocka_unit_test(ways_back_that_a_stateless_group_does_not_open),
		cmocka_unit_test(a_direction_that_a_stateless_group_does_not_open),
		cmocka_unit_test(what_is_refused_and_what_goes_to_another_host_of_the_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
