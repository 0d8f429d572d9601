// SPDX-License-Identifier: Apache-2.0
// A watch tells what really became of the packets of its port.
#include "datapath/native/carry/live.h"

#include "datapath/native/testing/nat_fixture.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/show/live_watch.h"

static uint32_t watch_some(struct testbed *tb, const char *port, struct datapath_filter filter)
{
	uint32_t number = 0;
	struct err err;

	assert_int_equal(weft_native_watch(&tb->dp, port, &filter, &number, &err), 0);
	return number;
}

static uint32_t watch(struct testbed *tb, const char *port)
{
	return watch_some(tb, port, (struct datapath_filter) {0});
}

static json_t *seen(struct testbed *tb, uint32_t number)
{
	struct err err;
	json_t *out;

	assert_int_equal(weft_native_watched(&tb->dp, number, &out, &err), 0);
	return out;
}

static const char *text_at(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key)) ?: "-";
}

static const json_t *packet(const json_t *seen, size_t i)
{
	return json_array_get(json_object_get(seen, "packets"), i);
}

static size_t n_packets(const json_t *seen)
{
	return json_array_size(json_object_get(seen, "packets"));
}

static json_int_t number_at(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

// "direction verdict session" and where from and to.
static void assert_way(const json_t *o, const char *what, const char *in, const char *out)
{
	char is[128];

	snprintf(is, sizeof(is), "%s %s %s%s", text_at(o, "direction"), text_at(o, "verdict"),
		 json_is_true(json_object_get(o, "first")) ? "first " : "", text_at(o, "session"));
	assert_string_equal(is, what);
	assert_string_equal(text_at(o, "in_port"), in);
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(o, "out_ports"), 0)) ?: "-", out);
}

static struct frame inside(const char *from, const char *to, const char *src, const char *dst,
			   struct l4 l4)
{
	return summed(from, to, src, dst, l4);
}

static void send_a_to_b(struct testbed *tb, struct l4 l4)
{
	struct frame f = inside("a", "b", "10.0.1.1", "10.0.1.2", l4);

	testbed_send(tb, "a", &f);
}

static void send_b_to_a(struct testbed *tb, struct l4 l4)
{
	struct frame f = inside("b", "a", "10.0.1.2", "10.0.1.1", l4);

	testbed_send(tb, "b", &f);
}

static void both_directions_of_a_flow_are_told_at_either_port(void **state)
{
	static const char *const ports[] = {"a", "b"};

	(void)state;
	for (int at = 0; at < 2; at++) {
		struct testbed *tb = one_router();
		const char *there = at == 0 ? "from" : "to", *back = at == 0 ? "to" : "from";
		uint32_t n = watch(tb, ports[at]);
		char what[64];
		json_t *s;

		send_a_to_b(tb, TCP(1000, 80, SYN));
		send_b_to_a(tb, TCP(80, 1000, SYN | ACK));
		send_a_to_b(tb, TCP(1000, 80, ACK));
		s = seen(tb, n);
		assert_int_equal(n_packets(s), 3);
		assert_int_equal(number_at(s, "matched"), 3);
		snprintf(what, sizeof(what), "%s forward first new", there);
		assert_way(packet(s, 0), what, "a", "b");
		assert_string_equal(text_at(packet(s, 0), "egress_rule"), at == 0 ? "web-0" : "-");
		assert_non_null(
			strstr(text_at(packet(s, 0), "packet"), "tcp 10.0.1.1:1000 > 10.0.1.2:80"));
		snprintf(what, sizeof(what), "%s forward new", back);
		assert_way(packet(s, 1), what, "b", "a");
		snprintf(what, sizeof(what), "%s forward established", there);
		assert_way(packet(s, 2), what, "a", "b");
		json_decref(s);
		s = seen(tb, n); // each is told once
		assert_int_equal(n_packets(s), 0);
		json_decref(s);
		testbed_free(tb);
	}
}

static void what_is_refused_is_told_to_both_with_its_reason(void **state)
{
	static const char *const ports[] = {"a", "b"};

	(void)state;
	for (int at = 0; at < 2; at++) {
		struct testbed *tb = one_router();
		uint32_t n = watch(tb, ports[at]);
		json_t *s;

		send_a_to_b(tb, TCP(1000, 81, SYN));
		s = seen(tb, n);
		assert_int_equal(n_packets(s), 1);
		assert_way(packet(s, 0), at == 0 ? "from drop -" : "to drop -", "a", "-");
		assert_string_equal(text_at(packet(s, 0), "reason"), "ingress-rules");
		json_decref(s);
		testbed_free(tb);
	}
}

static void an_established_flow_that_is_cut_is_told_at_its_receiver(void **state)
{
	struct testbed *tb = one_router();
	uint32_t n;
	json_t *s;

	(void)state;
	send_a_to_b(tb, TCP(1000, 80, SYN));
	testbed_rule_set(tb, "web", true, "egress 4 any\n");
	testbed_commit(tb);
	n = watch(tb, "b");
	send_a_to_b(tb, TCP(1000, 80, ACK));
	s = seen(tb, n);
	assert_int_equal(n_packets(s), 1);
	assert_way(packet(s, 0), "to drop new", "a", "-");
	assert_string_equal(text_at(packet(s, 0), "reason"), "ingress-rules");
	json_decref(s);
	testbed_free(tb);
}

static void a_translated_packet_is_told_as_it_is_on_either_side(void **state)
{
	struct testbed *tb = one_router();
	struct frame out = summed("a", "r1", "10.0.1.1", WEB, UDP(5000, 53, 20));
	struct frame back = summed("x", "rx", WEB, GATEWAY, UDP(53, 5000, 20));
	uint32_t n = watch(tb, "a");
	json_t *s;

	(void)state;
	testbed_send(tb, "a", &out);
	testbed_send(tb, "x", &back);
	s = seen(tb, n);
	assert_int_equal(n_packets(s), 2);
	assert_way(packet(s, 0), "from forward first new", "a", "x");
	assert_non_null(strstr(text_at(packet(s, 0), "packet"), "udp 10.0.1.1:5000 > " WEB ":53"));
	assert_non_null(
		strstr(text_at(packet(s, 0), "leaves_as"), "udp " GATEWAY ":5000 > " WEB ":53"));
	assert_way(packet(s, 1), "to forward established", "x", "a");
	assert_non_null(strstr(text_at(packet(s, 1), "packet"), "udp " WEB ":53 > 10.0.1.1:5000"));
	assert_string_equal(text_at(packet(s, 1), "came_as"), "udp " WEB ":53 > " GATEWAY ":5000");
	json_decref(s);
	testbed_free(tb);
}

static void an_echo_reply_is_of_its_questions_session(void **state)
{
	struct testbed *tb = one_router();
	struct frame out = summed("a", "r1", "10.0.1.1", WEB, ECHO(77));
	struct frame back = summed("x", "rx", WEB, GATEWAY, ECHO_REPLY(77));
	uint32_t n = watch(tb, "a");
	json_t *s;

	(void)state;
	testbed_send(tb, "a", &out);
	testbed_send(tb, "x", &back);
	s = seen(tb, n);
	assert_int_equal(n_packets(s), 2);
	assert_way(packet(s, 1), "to forward established", "x", "a");
	assert_string_equal(text_at(packet(s, 1), "came_as"), "icmp " WEB " > " GATEWAY);
	json_decref(s);
	testbed_free(tb);
}

static void what_the_node_answers_is_told(void **state)
{
	struct testbed *tb = one_router();
	struct frame ask = testbed_arp("a", "10.0.1.1", "10.0.1.254");
	uint32_t n = watch(tb, "a");
	json_t *s;

	(void)state;
	testbed_send(tb, "a", &ask);
	s = seen(tb, n);
	assert_int_equal(n_packets(s), 2); // the question, and the answer
	for (int i = 0; i < 2; i++) {
		bool to = strcmp(text_at(packet(s, (size_t)i), "direction"), "to") == 0;

		assert_way(packet(s, (size_t)i), to ? "to answer -" : "from answer -",
			   to ? "-" : "a", "a");
	}
	json_decref(s);
	testbed_free(tb);
}

static void a_packet_that_waits_for_its_next_hop_is_told_before_and_after(void **state)
{
	struct testbed *tb = one_router();
	struct frame out = summed("a", "r1", "10.0.1.1", "203.0.113.77", UDP(5000, 53, 20));
	uint32_t n = watch_some(tb, "a", (struct datapath_filter) {.protocol = 17});
	struct frame answer;
	json_t *s;

	(void)state;
	testbed_send(tb, "a", &out);
	s = seen(tb, n);
	assert_int_equal(n_packets(s), 1);
	assert_way(packet(s, 0), "from wait -", "a", "-");
	json_decref(s);
	answer = testbed_arp("x", "203.0.113.77", GATEWAY);
	testbed_send(tb, "x", &answer);
	s = seen(tb, n);
	assert_int_equal(n_packets(s), 1);
	assert_way(packet(s, 0), "from forward first new", "a", "x");
	json_decref(s);
	testbed_free(tb);
}

static void what_the_receiver_cannot_take_is_told_as_lost(void **state)
{
	static const char *const ports[] = {"a", "b"};

	(void)state;
	for (int at = 0; at < 2; at++) {
		struct testbed *tb = one_router();
		struct port *b = weft_tables_port(tb->dp.tables, "b");
		struct port_io *io = atomic_load(&b->io);
		uint32_t n = watch(tb, ports[at]);
		json_t *s;

		atomic_store(&io->up, false);
		send_a_to_b(tb, TCP(1000, 80, SYN));
		atomic_store(&io->up, true);
		s = seen(tb, n);
		assert_int_equal(n_packets(s), 1);
		assert_string_equal(text_at(packet(s, 0), "verdict"), "drop");
		assert_string_equal(text_at(packet(s, 0), "reason"), "port-detached");
		json_decref(s);
		testbed_free(tb);
	}
}

static void a_filter_is_for_both_directions_of_a_flow(void **state)
{
	struct testbed *tb = one_router();
	uint32_t n = watch_some(
		tb, "b",
		(struct datapath_filter) {
			.protocol = 6,
			.ends = {{.ip = {4, {10, 0, 1, 1}}}, {.has_port = true, .port = 80}},
		});
	json_t *s;

	(void)state;
	send_a_to_b(tb, TCP(1000, 80, SYN));
	send_b_to_a(tb, TCP(80, 1000, SYN | ACK));
	send_a_to_b(tb, TCP(1000, 81, SYN));
	send_a_to_b(tb, ECHO(7));
	s = seen(tb, n);
	assert_int_equal(n_packets(s), 2);
	assert_int_equal(number_at(s, "matched"), 2);
	json_decref(s);
	testbed_free(tb);
}

static void a_flood_is_told_in_part_and_the_rest_is_counted(void **state)
{
	struct testbed *tb = one_router();
	uint32_t n = watch(tb, "b");
	struct frame got;
	json_t *s;

	(void)state;
	send_a_to_b(tb, TCP(1000, 80, SYN));
	for (int i = 0; i < 3 * LIVE_SLOTS; i++) {
		send_a_to_b(tb, TCP(1000, 80, ACK));
		if (i % LIVE_PER_SECOND == 0)
			testbed_pass_time(tb, 100);
		while (testbed_receive(tb, "b", &got)) // all of them arrive
			;
	}
	s = seen(tb, n);
	assert_int_equal(number_at(s, "matched"), 3 * LIVE_SLOTS + 1);
	assert_true(n_packets(s) >= LIVE_PER_SECOND && n_packets(s) <= 2 * LIVE_PER_SECOND);
	assert_int_equal(n_packets(s) + (size_t)number_at(s, "missed"), 3 * LIVE_SLOTS + 1);
	json_decref(s);
	assert_int_equal(testbed_drop(tb), DROP_NONE);
	testbed_free(tb);
}

// A question is in hand while its answer is told: both want a place.
static void a_full_ring_has_a_place_for_the_packet_in_hand(void **state)
{
	struct testbed *tb = one_router();
	struct frame ask = testbed_arp("a", "10.0.1.1", "10.0.1.254"), got;
	struct frame syn = summed("a", "b", "10.0.1.1", "10.0.1.2", TCP(1000, 80, SYN));
	uint32_t n = watch(tb, "a");
	json_t *s;

	(void)state;
	testbed_send(tb, "a", &syn); // so that an odd number of places is left
	for (int i = 0; i < 3 * LIVE_PER_SECOND / 2; i++) {
		if ((i + 1) % (LIVE_PER_SECOND / 2) == 0)
			testbed_pass_time(tb, 1000);
		testbed_send(tb, "a", &ask);
		while (testbed_receive(tb, "a", &got))
			;
	}
	s = seen(tb, n);
	assert_in_range(n_packets(s), LIVE_SLOTS - 1, LIVE_SLOTS);
	assert_int_equal(n_packets(s) + (size_t)number_at(s, "missed"), number_at(s, "matched"));
	json_decref(s);
	testbed_free(tb);
}

static void others_packets_are_not_told(void **state)
{
	struct testbed *tb = one_router();
	struct frame out = summed("a", "r1", "10.0.1.1", WEB, UDP(5000, 53, 20));
	uint32_t n = watch(tb, "b");
	json_t *s;

	(void)state;
	testbed_send(tb, "a", &out);
	s = seen(tb, n);
	assert_int_equal(number_at(s, "matched"), 0);
	assert_int_equal(n_packets(s), 0);
	json_decref(s);
	testbed_free(tb);
}

static void one_watches_at_a_time_and_who_does_not_read_gives_way(void **state)
{
	struct testbed *tb = one_router();
	const struct datapath_filter any = {0};
	uint32_t first = watch(tb, "a"), second = 0;
	struct err err;
	json_t *s;

	(void)state;
	assert_int_equal(weft_native_watch(&tb->dp, "b", &any, &second, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "port a is being watched"));
	weft_native_unwatch(&tb->dp, first + 1); // somebody else's
	assert_non_null(tb->dp.watch);
	tb->dp.node.tsc_start -= tb->dp.node.tsc_hz * (LIVE_LEASE_MS / 1000 + 1);
	second = watch(tb, "b");
	assert_int_equal(weft_native_watched(&tb->dp, first, &s, &err), -ENOENT);
	assert_int_equal(weft_native_watch(&tb->dp, "nobody", &any, &first, &err), -ENOENT);
	tb->dp.node.tsc_start -= tb->dp.node.tsc_hz * (LIVE_LEASE_MS / 1000 + 1);
	weft_native_watch_tick(&tb->dp);
	assert_null(tb->dp.watch);
	assert_null(weft_live(tb->w));
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_directions_of_a_flow_are_told_at_either_port),
		cmocka_unit_test(what_is_refused_is_told_to_both_with_its_reason),
		cmocka_unit_test(an_established_flow_that_is_cut_is_told_at_its_receiver),
		cmocka_unit_test(a_translated_packet_is_told_as_it_is_on_either_side),
		cmocka_unit_test(an_echo_reply_is_of_its_questions_session),
		cmocka_unit_test(what_the_node_answers_is_told),
		cmocka_unit_test(a_packet_that_waits_for_its_next_hop_is_told_before_and_after),
		cmocka_unit_test(what_the_receiver_cannot_take_is_told_as_lost),
		cmocka_unit_test(a_filter_is_for_both_directions_of_a_flow),
		cmocka_unit_test(a_flood_is_told_in_part_and_the_rest_is_counted),
		cmocka_unit_test(a_full_ring_has_a_place_for_the_packet_in_hand),
		cmocka_unit_test(others_packets_are_not_told),
		cmocka_unit_test(one_watches_at_a_time_and_who_does_not_read_gives_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
