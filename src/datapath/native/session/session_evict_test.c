// SPDX-License-Identifier: Apache-2.0
// Who makes room.
#include "datapath/native/session/session.h"

#include "datapath/native/testing/session_testing.h"

static struct session *more_tcp(struct fixture *f, uint16_t port, uint32_t now_ms)
{
	struct session_new n = fixture_new(4, IPPROTO_TCP, port, 60, f->next++);

	return fixture_add(f->w, &n, now_ms);
}

static uint32_t unanswered(struct fixture *f, uint16_t port)
{
	return weft_session_port_unanswered(f->t, port);
}

static void in_a_table_full_of_one_ports_established_flows_its_oldest_makes_room(void **state)
{
	(void)state;
	struct fixture f = start(16, 100);
	struct flow_key oldest;
	fill(&f, 1, 7, true, 20);
	weft_session_key(more(&f, 1, true, 10), &oldest);
	fill(&f, 1, 8, true, 20);
	assert_non_null(more(&f, 1, true, 30));
	assert_null(fixture_get(f.t, &oldest));
	for (uint32_t i = 0; i < 100; i++)
		assert_non_null(more(&f, 1, true, 30 + i));
	assert_in_range(weft_session_port_count(f.t, 1), 12, 16); // some ahead
	assert_int_equal(weft_session_count(f.t), weft_session_port_count(f.t, 1));
	stop(&f);
}

static void an_unanswered_flow_makes_room_and_established_ones_stay(void **state)
{
	(void)state;
	struct fixture f = start(16, 100);
	fill(&f, 1, 15, true, 0);
	for (int i = 0; i < 100; i++)
		assert_non_null(more(&f, 2, false, 0));
	assert_int_equal(weft_session_port_count(f.t, 1), 15);
	assert_int_equal(weft_session_port_count(f.t, 2), 1);
	stop(&f);
}

static void a_half_open_tcp_connection_makes_room(void **state)
{
	(void)state;
	struct fixture f = start(16, 100);
	fill(&f, 1, 15, true, 0);
	struct session *s = more_tcp(&f, 2, 0);
	struct flow_key k;
	weft_session_key(s, &k);
	fixture_packet(f.t, weft_session_peer(s), 0x12); // SYN-ACK: not yet established
	assert_non_null(more(&f, 3, false, 0));
	assert_null(fixture_get(f.t, &k));
	stop(&f);
}

static void one_question_with_one_answer_makes_room_and_a_conversation_stays(void **state)
{
	(void)state;
	struct fixture f = start(16, 100);
	fill(&f, 1, 10, true, 0);
	for (int i = 0; i < 100; i++) {
		struct session *s = more(&f, 2, false, (uint32_t)i);
		assert_non_null(s);
		fixture_exchange(f.t, s);
	}
	assert_int_equal(weft_session_port_count(f.t, 1), 10);
	stop(&f);
}

static void a_long_answer_to_one_question_is_no_exchange(void **state)
{
	(void)state;
	struct fixture f = start(16, 100);
	for (int i = 0; i < 16; i++) {
		struct session *s = more(&f, 1, false, 0);
		fixture_exchange(f.t, s);
		weft_session_peer(s)->packets = 1000;
	}
	fill(&f, 2, 16, false, 0);
	assert_in_range(weft_session_port_count(f.t, 1), 8, 15);
	stop(&f);
}

static void an_idle_tcp_connection_is_no_exchange_however_little_was_said(void **state)
{
	(void)state;
	struct fixture f = start(16, 100);
	for (int i = 0; i < 16; i++)
		fixture_exchange(f.t, more_tcp(&f, 1, 0));
	for (int i = 0; i < 100; i++)
		more(&f, 2, false, 0);
	assert_in_range(weft_session_port_count(f.t, 1), 8, 15);
	stop(&f);
}

static void expired_flows_go_before_unanswered_ones(void **state)
{
	(void)state;
	struct fixture f = start(16, 100);
	fill(&f, 1, 8, true, 0); // answered, and idle for 181 s
	fill(&f, 2, 8, false, 181000);
	assert_non_null(more(&f, 3, false, 181000));
	assert_int_equal(unanswered(&f, 2), 8);
	assert_in_range(weft_session_port_count(f.t, 1), 0, 7);
	stop(&f);
}

static void unanswered_flows_go_before_closing_ones(void **state)
{
	(void)state;
	struct fixture f = start(16, 100);
	for (int i = 0; i < 8; i++)
		fixture_packet(f.t, weft_session_peer(more_tcp(&f, 1, 0)), 0x14);
	fill(&f, 2, 8, false, 0);
	for (int i = 0; i < 50; i++)
		assert_non_null(more(&f, 2, false, 0));
	assert_int_equal(weft_session_port_count(f.t, 1), 8);
	stop(&f);
}

static void closing_flows_go_before_established_ones(void **state)
{
	(void)state;
	struct fixture f = start(16, 100);
	fill(&f, 1, 8, true, 0);
	for (int i = 0; i < 8; i++)
		fixture_packet(f.t, weft_session_peer(more_tcp(&f, 2, 0)), 0x14);
	for (int i = 0; i < 8; i++)
		assert_non_null(more(&f, 3, true, 0));
	assert_int_equal(weft_session_port_count(f.t, 1), 8);
	assert_int_equal(weft_session_port_count(f.t, 2), 0);
	assert_int_equal(weft_session_port_count(f.t, 3), 8);
	stop(&f);
}

static void a_flood_takes_its_own_unanswered_flows_not_another_ports(void **state)
{
	(void)state;
	struct fixture f = start(32, 100);
	fill(&f, 1, 10, false, 0); // older, but fewer
	fill(&f, 2, 22, false, 5);
	for (int i = 0; i < 1000; i++)
		assert_non_null(more(&f, 2, false, 10));
	assert_int_equal(unanswered(&f, 1), 10);
	// And a third port's flows find room, at the flood's expense.
	fill(&f, 3, 5, false, 10);
	assert_int_equal(unanswered(&f, 3), 5);
	assert_int_equal(unanswered(&f, 1), 10);
	stop(&f);
}

static void many_established_flows_do_not_make_a_ports_unanswered_ones_victims(void **state)
{
	(void)state;
	struct fixture f = start(32, 100);
	fill(&f, 1, 20, true, 0); // a busy server
	fill(&f, 1, 2, false, 0);
	fill(&f, 2, 10, false, 0);
	for (int i = 0; i < 7; i++)
		assert_non_null(more(&f, 3, true, 0));
	assert_int_equal(unanswered(&f, 1), 2);
	stop(&f);
}

static void of_one_ports_unanswered_flows_the_oldest_goes_first(void **state)
{
	(void)state;
	struct fixture f = start(16, 100);
	struct flow_key oldest;
	fill(&f, 1, 7, false, 20);
	weft_session_key(more(&f, 1, false, 10), &oldest);
	fill(&f, 1, 8, false, 20);
	assert_non_null(more(&f, 1, false, 30));
	assert_null(fixture_get(f.t, &oldest));
	stop(&f);
}

static void a_port_is_held_to_its_share_by_its_own_flows(void **state)
{
	(void)state;
	struct fixture f = start(256, 25);
	enum drop why;
	fill(&f, 2, 30, false, 0);
	fill(&f, 1, 64, false, 0);
	for (int i = 0; i < 500; i++) { // its own unanswered ones make room
		assert_non_null(more(&f, 1, false, 0));
		assert_in_range(weft_session_port_count(f.t, 1), 1, 64);
	}
	assert_int_equal(weft_session_port_count(f.t, 2), 30);
	// Its established ones do so as well, and the rest of the table is none of its business.
	for (int i = 0; i < 500; i++) {
		assert_non_null(more(&f, 1, true, (uint32_t)i));
		assert_in_range(weft_session_port_count(f.t, 1), 1, 64);
	}
	struct session_new n = fixture_new(6, IPPROTO_UDP, 1, 60, f.next++); // also for IPv6
	assert_non_null(weft_session_add(f.w, &n, 500, &why));
	assert_in_range(weft_session_port_count(f.t, 1), 60, 64);
	assert_int_equal(weft_session_port_count(f.t, 2), 30);
	assert_non_null(more(&f, 3, false, 500));
	stop(&f);
}

static void a_share_is_counted_over_both_families(void **state)
{
	(void)state;
	struct fixture f = start(64, 25);
	for (uint32_t i = 0; i < 16; i++) {
		struct session_new n = fixture_new(i % 2 ? 4 : 6, IPPROTO_UDP, 1, 60, f.next++);
		fixture_answer(f.t, fixture_add(f.w, &n, 0));
	}
	assert_non_null(more(&f, 1, true, 0));
	assert_int_equal(weft_session_port_count(f.t, 1), 16);
	// If all it has to give is of the other family, that goes.
	fill(&f, 2, 0, false, 0);
	struct session_new n = fixture_new(6, IPPROTO_UDP, 2, 60, f.next++);
	for (uint32_t i = 0; i < 16; i++, n.original.key.sport++, n.reply.key.dport++)
		assert_non_null(fixture_add(f.w, &n, 0));
	assert_non_null(more(&f, 2, false, 0));
	assert_in_range(weft_session_port_count(f.t, 2), 1, 16);
	stop(&f);
}

// Connections whose original keys all lead to the same two buckets.
static struct session_new colliding_from(struct fixture *f, const struct session_new *like,
					 uint16_t in_port)
{
	uint32_t hash = weft_flow_hash(&like->original.key);
	const struct session_family *family = &f->t->family[0];

	for (;;) {
		struct session_new n = fixture_new(4, IPPROTO_UDP, in_port, 60, f->next++);
		uint32_t h = weft_flow_hash(&n.original.key);
		if (bucket_first(family, h) == bucket_first(family, hash) &&
		    bucket_second(family, h) == bucket_second(family, hash))
			return n;
	}
}

static struct session_new colliding(struct fixture *f, const struct session_new *like)
{
	return colliding_from(f, like, like->original.key.in_port);
}

static void full_buckets_evict_an_established_flow_of_who_has_most(void **state)
{
	(void)state;
	struct fixture f = start(1024, 100);
	struct session_new n = fixture_new(4, IPPROTO_UDP, 1, 60, f.next++);
	enum drop why;
	for (uint32_t i = 0; i < 14; i++) { // their replies are elsewhere, some perhaps here
		fixture_answer(f.t, fixture_add(f.w, &n, i));
		n = colliding(&f, &n);
	}
	fill(&f, 1, 700, true, 20);
	uint32_t before = weft_session_port_count(f.t, 1);
	for (uint32_t i = 0; i < 20; i++) {
		n = colliding_from(&f, &n, 2);
		struct session *s = weft_session_add(f.w, &n, 30, &why);
		assert_non_null(s);
		fixture_answer(f.t, s);
	}
	assert_int_equal(weft_session_count(f.t),
			 weft_session_port_count(f.t, 1) + weft_session_port_count(f.t, 2));
	assert_in_range(weft_session_port_count(f.t, 1), before - 20, before - 10);
	stop(&f);
}

static void full_buckets_evict_the_lowest_class_in_them(void **state)
{
	(void)state;
	struct fixture f = start(1024, 100);
	struct session_new n = fixture_new(4, IPPROTO_UDP, 1, 60, f.next++);
	struct flow_key victim = n.original.key;
	fixture_add(f.w, &n, 0); // stays unanswered
	for (uint32_t i = 0; i < 15; i++) {
		n = colliding(&f, &n);
		struct session *s = fixture_add(f.w, &n, 0);
		assert_non_null(s);
		if (fixture_get(f.t, &victim) == NULL)
			break; // some replies were in these buckets
		fixture_answer(f.t, s);
	}
	n = colliding(&f, &n);
	if (fixture_get(f.t, &victim) != NULL)
		assert_non_null(fixture_add(f.w, &n, 0));
	assert_null(fixture_get(f.t, &victim));
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			in_a_table_full_of_one_ports_established_flows_its_oldest_makes_room),
		cmocka_unit_test(an_unanswered_flow_makes_room_and_established_ones_stay),
		cmocka_unit_test(a_half_open_tcp_connection_makes_room),
		cmocka_unit_test(one_question_with_one_answer_makes_room_and_a_conversation_stays),
		cmocka_unit_test(a_long_answer_to_one_question_is_no_exchange),
		cmocka_unit_test(an_idle_tcp_connection_is_no_exchange_however_little_was_said),
		cmocka_unit_test(expired_flows_go_before_unanswered_ones),
		cmocka_unit_test(unanswered_flows_go_before_closing_ones),
		cmocka_unit_test(closing_flows_go_before_established_ones),
		cmocka_unit_test(a_flood_takes_its_own_unanswered_flows_not_another_ports),
		cmocka_unit_test(
			many_established_flows_do_not_make_a_ports_unanswered_ones_victims),
		cmocka_unit_test(of_one_ports_unanswered_flows_the_oldest_goes_first),
		cmocka_unit_test(a_port_is_held_to_its_share_by_its_own_flows),
		cmocka_unit_test(a_share_is_counted_over_both_families),
		cmocka_unit_test(full_buckets_evict_an_established_flow_of_who_has_most),
		cmocka_unit_test(full_buckets_evict_the_lowest_class_in_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
