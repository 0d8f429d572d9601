// SPDX-License-Identifier: Apache-2.0
// Who expires, and when.
#include "datapath/native/session/session.h"

#include "datapath/native/testing/session_testing.h"

static bool expires_at(uint8_t proto, int step, uint32_t seconds, uint32_t start_ms)
{
	struct fixture f = {.t = fixture_table(64, 100, NULL)};
	f.w = weft_session_worker_new(f.t);
	struct session_new n = fixture_new(proto == IPPROTO_ICMPV6 ? 6 : 4, proto, 1, 2, 5);
	struct session *s = fixture_add(f.w, &n, start_ms);
	weft_session_expire(f.w, start_ms, 1000);
	if (step > 0)
		fixture_answer(f.t, s);
	if (step > 1)
		fixture_packet(f.t, s, 0x04);
	uint32_t early = weft_session_expire(f.w, start_ms + seconds * 1000 - 1, 1000);
	uint32_t due = weft_session_expire(f.w, start_ms + seconds * 1000, 1000);
	assert_int_equal(weft_session_count(f.t), 1 - early - due);
	assert_int_equal(weft_session_port_count(f.t, 1), 1 - early - due);
	stop(&f);
	return early == 0 && due == 1;
}

static void every_protocol_and_state_has_its_timeout(void **state)
{
	(void)state;
	const uint32_t starts[] = {0, 1000, UINT32_MAX - 15000, INT32_MAX - 15000};
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) { // also as the clock wraps
		assert_true(expires_at(IPPROTO_TCP, 0, 60, starts[i]));
		assert_true(expires_at(IPPROTO_TCP, 1, 432000, starts[i]));
		assert_true(expires_at(IPPROTO_TCP, 2, 20, starts[i]));
		assert_true(expires_at(IPPROTO_UDP, 0, 30, starts[i]));
		assert_true(expires_at(IPPROTO_UDP, 1, 180, starts[i]));
		assert_true(expires_at(IPPROTO_ICMP, 0, 25, starts[i]));
		assert_true(expires_at(IPPROTO_ICMP, 1, 25, starts[i]));
		assert_true(expires_at(IPPROTO_ICMPV6, 1, 25, starts[i]));
		assert_true(expires_at(IPPROTO_GRE, 0, 600, starts[i]));
		assert_true(expires_at(IPPROTO_GRE, 1, 600, starts[i]));
	}
}

static void a_timeout_longer_than_the_clock_can_tell_is_shortened(void **state)
{
	(void)state;
	struct session_config config = {
		.connections = 16, .max_ports = 8, .timeouts = fixture_timeouts};
	config.timeouts.other = 10000000;
	struct session_table *t;
	struct err err;
	assert_int_equal(weft_sessions_new(&config, &t, &err), 0);
	struct session_worker *w = weft_session_worker_new(t);
	struct session_new n = fixture_new(4, IPPROTO_GRE, 1, 2, 0);
	struct session *s = fixture_add(w, &n, 0);
	assert_in_range(weft_session_timeout_ms(t, s), 2000000000u, INT32_MAX);
	weft_session_expire(w, 0, 100);
	assert_int_equal(weft_session_expire(w, 2000000000u, 100), 0);
	assert_int_equal(weft_session_expire(w, INT32_MAX, 100), 1);
	weft_session_worker_free(w);
	weft_sessions_free(t);
}

static void packets_of_either_direction_keep_a_connection(void **state)
{
	(void)state;
	for (int side = 0; side < 2; side++) {
		struct fixture f = start(64, 100);
		struct session *s = more(&f, 1, true, 0);
		for (uint32_t now = 0; now < 1000000; now += 100000) {
			(side ? weft_session_peer(s) : s)->seen_ms = now;
			assert_int_equal(weft_session_expire(f.w, now, 1000), 0);
		}
		assert_int_equal(weft_session_expire(f.w, 1080000, 1000), 1);
		stop(&f);
	}
}

static void a_packet_seen_by_a_clock_that_is_ahead_is_not_old(void **state)
{
	(void)state;
	struct fixture f = start(64, 100);
	more(&f, 1, false, 1005);
	assert_int_equal(weft_session_expire(f.w, 1000, 1000), 0);
	assert_int_equal(weft_session_count(f.t), 1);
	stop(&f);
}

static void the_hand_turns_in_ten_seconds_whatever_it_is_called_with(void **state)
{
	(void)state;
	struct fixture f = start(1 << 18, 100);
	uint32_t n = 1 << 18, turns = 0;
	fill(&f, 1, n, false, 0);
	weft_session_expire(f.w, 0, 0);
	f.w->debt[0] = 0;
	// All are overdue; called a thousand times a millisecond the hand takes no more than its
	// due.
	for (uint32_t now = 100000; weft_session_count(f.t) > 0; now++, turns++) {
		if (turns == 0)
			f.w->hand_ms = now - 1;
		for (int i = 0; i < 20; i++)
			weft_session_expire(f.w, now, 32);
	}
	assert_in_range(turns, n / 64 - 1, 10001);
	stop(&f);
}

static void a_budget_bounds_one_call(void **state)
{
	(void)state;
	struct fixture f = start(1024, 100);
	fill(&f, 1, 500, false, 0);
	for (uint32_t i = 0; i < 500; i++) {
		struct session_new n = fixture_new(6, IPPROTO_UDP, 2, 60, i);
		assert_non_null(fixture_add(f.w, &n, 0));
	}
	assert_int_equal(weft_session_expire(f.w, 0, 1000), 0);
	uint32_t left = 1000;
	for (uint32_t now = 40000; left > 0 && now < 41000; now++) {
		uint32_t removed = weft_session_expire(f.w, now, 10);
		assert_in_range(removed, 0, 10);
		left -= removed;
		assert_int_equal(weft_session_count(f.t), left);
	}
	assert_int_equal(left, 0);
	stop(&f);
}

static void connections_from_or_to_a_port_that_is_gone_expire_at_once(void **state)
{
	(void)state;
	for (uint16_t which = 1; which <= 60; which += 59) { // original's in_port, reply's in_port
		struct fixture f = start(64, 100);
		struct session_new n = fixture_new(4, IPPROTO_UDP, 2, 61, f.next++);
		fill(&f, 1, 10, true, 0);
		fixture_answer(f.t, fixture_add(f.w, &n, 0));
		weft_session_port_gone(f.t, which, true);
		assert_int_equal(weft_session_expire(f.w, 100, 1000), 10);
		assert_int_equal(weft_session_count(f.t), 1); // others stay
		assert_int_equal(weft_session_port_count(f.t, 1), 0);
		weft_session_port_gone(f.t, which, false); // its index belongs to another now
		fill(&f, 1, 10, true, 100);
		assert_int_equal(weft_session_expire(f.w, 200, 1000), 0);
		stop(&f);
	}
}

static void connections_of_a_port_that_is_gone_make_room(void **state)
{
	(void)state;
	struct fixture f = start(16, 100);
	fill(&f, 1, 8, true, 0);
	fill(&f, 2, 8, true, 0);
	weft_session_port_gone(f.t, 1, true);
	fill(&f, 3, 8, true, 1);
	assert_int_equal(weft_session_port_count(f.t, 1), 0);
	assert_int_equal(weft_session_port_count(f.t, 2), 8);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_protocol_and_state_has_its_timeout),
		cmocka_unit_test(a_timeout_longer_than_the_clock_can_tell_is_shortened),
		cmocka_unit_test(packets_of_either_direction_keep_a_connection),
		cmocka_unit_test(a_packet_seen_by_a_clock_that_is_ahead_is_not_old),
		cmocka_unit_test(the_hand_turns_in_ten_seconds_whatever_it_is_called_with),
		cmocka_unit_test(a_budget_bounds_one_call),
		cmocka_unit_test(connections_from_or_to_a_port_that_is_gone_expire_at_once),
		cmocka_unit_test(connections_of_a_port_that_is_gone_make_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
