// SPDX-License-Identifier: Apache-2.0
// Who makes room: where in the table those are that may go, and what the rules refuse by now.
#include "datapath/native/session/session_table.h"
#include "datapath/native/testing/session_testing.h"

#define PAIRS 32768u

static struct session *more_by(struct fixture *f, uint8_t proto)
{
	struct session_new n = fixture_new(4, proto, 1, 60, f->next++);

	return fixture_add(f->w, &n, 0);
}

// Those that stay were made before the others, so all of them stand together.
static void a_block_of_what_stays_does_not_keep_new_flows_out(void **state)
{
	(void)state;
	struct fixture f = start(PAIRS, 100);
	for (uint32_t i = 0; i < PAIRS * 3 / 4; i++)
		fixture_answer(f.t, more_by(&f, IPPROTO_UDP));
	for (uint32_t i = 0; i < PAIRS / 4; i++)
		fixture_exchange(f.t, more_by(&f, IPPROTO_UDP));
	for (uint32_t i = 0; i < 2 * PAIRS; i++) {
		struct session *s = more_by(&f, IPPROTO_UDP);
		assert_non_null(s);
		fixture_exchange(f.t, s);
	}
	stop(&f);
}

static void every_window_of_a_port_has_its_turn(void **state)
{
	(void)state;
	struct fixture f = start(PAIRS, 100);
	uint32_t added = 0;
	struct session *only = NULL;
	for (uint32_t i = 0; i < PAIRS; i++) {
		struct session *s = more_by(&f, IPPROTO_UDP);
		if (i == PAIRS / 3)
			only = s;
		else
			fixture_answer(f.t, s);
	}
	struct flow_key key;
	weft_session_key(only, &key);
	// So many windows in vain are searched in a millisecond.
	for (uint32_t now = 0; fixture_get(f.t, &key) != NULL; now++) {
		struct session_new n = fixture_new(4, IPPROTO_UDP, 2, 60, f.next++);
		fixture_answer(f.t, fixture_add(f.w, &n, now));
		assert_true(++added < PAIRS / 32);
	}
	stop(&f);
}

// Of pairs that were made one after the other.
static uint32_t window_of_the_first_gap(struct session_table *t)
{
	uint32_t pair = 0;

	while (pair < PAIRS && family_pair(&t->family[0], pair)->state != SESSION_FREE)
		pair++;
	return pair / 32;
}

static void workers_make_room_in_different_places(void **state)
{
	uint32_t window[4];

	(void)state;
	for (int place = 0; place < 4; place++) {
		struct fixture f = start(PAIRS, 100);
		struct session_worker *w[4] = {f.w};
		for (int i = 1; i <= place; i++)
			w[i] = weft_session_worker_new(f.t);
		for (uint32_t i = 0; i < PAIRS; i++)
			more_by(&f, IPPROTO_UDP);
		assert_true(weft_session_evict(w[place], &f.t->family[0], 1, LIMIT_TABLE, 0));
		window[place] = window_of_the_first_gap(f.t);
		for (int i = 0; i < place; i++)
			assert_int_not_equal(window[i], window[place]);
		for (int i = 1; i <= place; i++)
			weft_session_worker_free(w[i]);
		stop(&f);
	}
}

static void what_the_rules_refuse_makes_room_before_what_they_permit(void **state)
{
	(void)state;
	struct fixture f = start(16, 100);
	struct flow_key kept[15], refused;
	for (int i = 0; i < 15; i++) {
		struct session *s = more_by(&f, i % 2 ? IPPROTO_TCP : IPPROTO_UDP);
		fixture_exchange(f.t, s);
		weft_session_key(s, &kept[i]);
	}
	struct session *s = more_by(&f, IPPROTO_TCP);
	fixture_answer(f.t, s);
	s->flags |= SESSION_REFUSED;
	weft_session_key(s, &refused);
	assert_non_null(more_by(&f, IPPROTO_TCP));
	assert_null(fixture_get(f.t, &refused));
	for (int i = 0; i < 15; i++)
		assert_non_null(fixture_get(f.t, &kept[i]));
	stop(&f);
}

static void established_flows_make_room_when_they_were_silent_for_long(void **state)
{
	(void)state;
	const uint32_t quarter = 1000 * fixture_timeouts.udp_answered / 4;
	struct fixture f = start(16, 100);
	struct session *s[16];
	struct flow_key silent, exchange;
	for (int i = 0; i < 16; i++) {
		struct session_new n = fixture_new(4, i == 9 ? IPPROTO_TCP : IPPROTO_UDP,
						   i == 3 ? 2 : 1, 60, f.next++);
		s[i] = fixture_add(f.w, &n, 0);
		if (i == 8)
			fixture_exchange(f.t, s[i]);
		else
			fixture_answer(f.t, s[i]);
	}
	weft_session_key(s[8], &exchange);
	weft_session_key(s[3], &silent);
	for (int i = 0; i < 16; i++) // only a word of either end now and then
		(i % 2 ? s[i] : weft_session_peer(s[i]))->seen_ms = i == 3 ? 1 : 2;
	struct session_new n = fixture_new(4, IPPROTO_UDP, 1, 60, f.next++);
	fixture_answer(f.t, fixture_add(f.w, &n, quarter)); // the exchange went first
	assert_null(fixture_get(f.t, &exchange));
	// Before that, one of the port that has most.
	n = fixture_new(4, IPPROTO_UDP, 1, 60, f.next++);
	fixture_answer(f.t, fixture_add(f.w, &n, quarter));
	assert_non_null(fixture_get(f.t, &silent));
	while (weft_session_count(f.t) < 16) {
		n = fixture_new(4, IPPROTO_UDP, 1, 60, f.next++);
		fixture_answer(f.t, fixture_add(f.w, &n, quarter));
	}
	for (int i = 0; i < 16; i++)
		if (i != 3)
			s[i]->seen_ms = quarter;
	n = fixture_new(4, IPPROTO_UDP, 1, 60, f.next++);
	assert_non_null(fixture_add(f.w, &n, quarter + 1));
	assert_null(fixture_get(f.t, &silent));
	stop(&f);
}

static void of_those_that_are_silent_the_one_nearest_its_end_goes_first(void **state)
{
	(void)state;
	const uint32_t day = 86400000, end = 1000 * fixture_timeouts.udp_answered;
	struct fixture f = start(16, 100);
	struct flow_key tcp, udp;
	for (int i = 0; i < 16; i++) {
		struct session *s = more_by(&f, i < 8 ? IPPROTO_TCP : IPPROTO_UDP);
		fixture_answer(f.t, s);
		weft_session_key(s, i < 8 ? &tcp : &udp);
		// Two days of five against nearly all of three minutes.
		s->seen_ms = weft_session_peer(s)->seen_ms = i < 8 ? 0 : 2 * day - end + 1;
	}
	struct session_new n = fixture_new(4, IPPROTO_UDP, 1, 60, f.next++);
	assert_non_null(fixture_add(f.w, &n, 2 * day));
	assert_null(fixture_get(f.t, &udp));
	assert_non_null(fixture_get(f.t, &tcp));
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_block_of_what_stays_does_not_keep_new_flows_out),
		cmocka_unit_test(every_window_of_a_port_has_its_turn),
		cmocka_unit_test(workers_make_room_in_different_places),
		cmocka_unit_test(what_the_rules_refuse_makes_room_before_what_they_permit),
		cmocka_unit_test(established_flows_make_room_when_they_were_silent_for_long),
		cmocka_unit_test(of_those_that_are_silent_the_one_nearest_its_end_goes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
