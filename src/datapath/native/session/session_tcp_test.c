// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/session/session.h"

#include "datapath/native/testing/session_fixture.h"

enum { FIN = 0x01, SYN = 0x02, RST = 0x04, PSH = 0x08, ACK = 0x10, URG = 0x20, ECE = 0x40 };

struct fixture {
	struct session_table *t;
	struct session_worker *w;
	struct session *o, *r; // a connection's directions
};

static struct fixture start(uint8_t proto, uint8_t first_flags, bool loose)
{
	struct fixture f = {.t = fixture_table(64, 100, NULL)};
	struct session_new n = fixture_new(proto == IPPROTO_ICMPV6 ? 6 : 4, proto, 1, 2, 5);

	f.t->tcp_loose = loose;
	f.w = weft_session_worker_new(f.t);
	n.tcp_flags = first_flags;
	f.o = fixture_add(f.w, &n, 0);
	assert_non_null(f.o);
	f.r = weft_session_peer(f.o);
	return f;
}

static void stop(struct fixture f)
{
	// The counts followed every change.
	assert_int_equal(weft_session_port_unanswered(f.t, 1), f.o->state == SESSION_NEW);
	assert_int_equal(f.o->state, f.r->state);
	weft_session_worker_free(f.w);
	weft_sessions_free(f.t);
}

static struct fixture start_established(void)
{
	struct fixture f = start(IPPROTO_TCP, SYN, false);

	fixture_packet(f.t, f.r, SYN | ACK);
	fixture_packet(f.t, f.o, ACK);
	assert_int_equal(f.o->state, SESSION_ESTABLISHED);
	return f;
}

static void the_first_answer_establishes_all_but_tcp(void **state)
{
	(void)state;
	const uint8_t protos[] = {IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_GRE};
	for (size_t i = 0; i < sizeof(protos); i++) {
		struct fixture f = start(protos[i], 0, false);
		fixture_packet(f.t, f.o, 0); // another query is no answer
		assert_int_equal(f.o->state, SESSION_NEW);
		fixture_packet(f.t, f.r, 0);
		assert_int_equal(f.o->state, SESSION_ESTABLISHED);
		fixture_packet(f.t, f.o, 0);
		assert_int_equal(f.o->state, SESSION_ESTABLISHED);
		stop(f);
	}
}

static void the_three_way_handshake_establishes_and_not_before_its_third_packet(void **state)
{
	(void)state;
	struct fixture f = start(IPPROTO_TCP, SYN, false);
	assert_int_equal(fixture_packet(f.t, f.o, SYN), DROP_NONE); // sent again
	assert_int_equal(f.o->state, SESSION_NEW);
	assert_int_equal(fixture_packet(f.t, f.r, SYN | ACK), DROP_NONE);
	assert_int_equal(f.o->state, SESSION_NEW); // half-open: may be evicted
	assert_int_equal(fixture_packet(f.t, f.o, ACK), DROP_NONE);
	assert_int_equal(f.o->state, SESSION_ESTABLISHED);
	assert_false(f.o->flags & SESSION_PICKED_UP);
	stop(f);
}

static void a_handshake_with_ecn_and_data_in_the_third_packet_establishes(void **state)
{
	(void)state;
	struct fixture f = start(IPPROTO_TCP, SYN | ECE | 0x80, false);
	assert_int_equal(fixture_packet(f.t, f.r, SYN | ACK | ECE), DROP_NONE);
	assert_int_equal(fixture_packet(f.t, f.o, PSH | ACK), DROP_NONE);
	assert_int_equal(f.o->state, SESSION_ESTABLISHED);
	stop(f);
}

static void a_simultaneous_open_establishes(void **state)
{
	(void)state;
	struct fixture f = start(IPPROTO_TCP, SYN, false);
	assert_int_equal(fixture_packet(f.t, f.r, SYN), DROP_NONE);
	assert_int_equal(fixture_packet(f.t, f.o, SYN | ACK), DROP_NONE);
	assert_int_equal(f.o->state, SESSION_NEW);
	assert_int_equal(fixture_packet(f.t, f.r, SYN | ACK), DROP_NONE);
	assert_int_equal(f.o->state, SESSION_ESTABLISHED);
	stop(f);
}

static void an_acknowledgement_of_nothing_is_dropped_when_strict(void **state)
{
	(void)state;
	struct fixture f = start(IPPROTO_TCP, SYN, false);
	assert_int_equal(fixture_packet(f.t, f.o, ACK), DROP_TCP_STATE);
	assert_int_equal(fixture_packet(f.t, f.o, SYN | ACK), DROP_TCP_STATE);
	// A challenge ACK for a connection that the server still remembers passes, and so does
	// the RST that follows.
	assert_int_equal(fixture_packet(f.t, f.r, ACK), DROP_NONE);
	assert_int_equal(fixture_packet(f.t, f.o, RST), DROP_NONE);
	stop(f);
	f = start(IPPROTO_TCP, SYN, true);
	assert_int_equal(fixture_packet(f.t, f.o, ACK), DROP_NONE);
	assert_int_equal(fixture_packet(f.t, f.o, SYN | ACK), DROP_TCP_STATE);
	assert_int_equal(f.o->state, SESSION_NEW);
	stop(f);
}

static void a_refused_connection_closes(void **state)
{
	(void)state;
	struct fixture f = start(IPPROTO_TCP, SYN, false);
	assert_int_equal(fixture_packet(f.t, f.r, RST | ACK), DROP_NONE);
	assert_int_equal(f.o->state, SESSION_CLOSING);
	stop(f);
}

static void a_fin_in_both_directions_closes_and_the_last_acks_pass(void **state)
{
	(void)state;
	struct fixture f = start_established();
	fixture_packet(f.t, f.o, FIN | ACK);
	assert_int_equal(f.o->state,
			 SESSION_ESTABLISHED); // half-closed: the other side may send for days
	fixture_packet(f.t, f.r, ACK);
	assert_int_equal(f.o->state, SESSION_ESTABLISHED);
	fixture_packet(f.t, f.r, FIN | ACK);
	assert_int_equal(f.o->state, SESSION_CLOSING);
	assert_int_equal(fixture_packet(f.t, f.o, ACK), DROP_NONE);
	assert_int_equal(fixture_packet(f.t, f.r, ACK), DROP_NONE);
	assert_int_equal(fixture_packet(f.t, f.r, FIN | ACK), DROP_NONE);
	assert_int_equal(f.o->state, SESSION_CLOSING);
	stop(f);
}

// It need not wait for the handshake's last packet alone, which a FIN may bring.
static void fins_of_both_close_with_the_packet_that_completes_the_handshake(void **state)
{
	(void)state;
	struct fixture f = start(IPPROTO_TCP, SYN, false);
	fixture_packet(f.t, f.r, SYN | ACK);
	fixture_packet(f.t, f.r, FIN | ACK);
	assert_int_equal(f.o->state, SESSION_NEW);
	fixture_packet(f.t, f.o, FIN | ACK);
	assert_int_equal(f.o->state, SESSION_CLOSING);
	stop(f);
}

static void a_rst_after_fins_in_both_directions_leaves_it_closed(void **state)
{
	(void)state;
	struct fixture f = start_established();
	fixture_packet(f.t, f.o, FIN | ACK);
	fixture_packet(f.t, f.r, FIN | ACK);
	fixture_packet(f.t, f.o, RST);
	fixture_packet(f.t, f.r, ACK);
	fixture_packet(f.t, f.o, ACK);
	assert_int_equal(f.o->state, SESSION_CLOSING);
	stop(f);
}

static void a_rst_closes_from_either_side(void **state)
{
	(void)state;
	for (int side = 0; side < 2; side++) {
		struct fixture f = start_established();
		assert_int_equal(fixture_packet(f.t, side ? f.r : f.o, RST), DROP_NONE);
		assert_int_equal(f.o->state, SESSION_CLOSING);
		// What the other side had under way passes and changes nothing.
		assert_int_equal(fixture_packet(f.t, side ? f.o : f.r, ACK), DROP_NONE);
		assert_int_equal(fixture_packet(f.t, side ? f.o : f.r, ACK | PSH), DROP_NONE);
		assert_int_equal(f.o->state, SESSION_CLOSING);
		stop(f);
	}
}

static void a_forged_rst_does_not_end_a_connection_that_goes_on(void **state)
{
	(void)state;
	struct fixture f = start_established();
	fixture_packet(f.t, f.o, RST);
	fixture_packet(f.t, f.r, ACK);
	fixture_packet(f.t, f.o, ACK);
	assert_int_equal(f.o->state, SESSION_ESTABLISHED);
	// And it can be reset again, and close in order.
	fixture_packet(f.t, f.o, RST);
	assert_int_equal(f.o->state, SESSION_CLOSING);
	fixture_packet(f.t, f.r, ACK);
	assert_int_equal(f.o->state, SESSION_CLOSING);
	fixture_packet(f.t, f.o, ACK);
	fixture_packet(f.t, f.o, FIN | ACK);
	fixture_packet(f.t, f.r, FIN | ACK);
	assert_int_equal(f.o->state, SESSION_CLOSING);
	stop(f);
}

static void a_rst_after_each_acknowledgement_keeps_it_closed(void **state)
{
	(void)state;
	struct fixture f = start_established();
	fixture_packet(f.t, f.o, RST);
	for (int i = 0; i < 5; i++) { // a dead socket answers every segment by a RST
		fixture_packet(f.t, f.r, ACK);
		fixture_packet(f.t, f.o, RST);
		assert_int_equal(f.o->state, SESSION_CLOSING);
	}
	stop(f);
}

static void only_what_follows_the_latest_rst_revives(void **state)
{
	(void)state;
	struct fixture f = start_established();
	fixture_packet(f.t, f.o, RST);
	fixture_packet(f.t, f.r, ACK);
	fixture_packet(f.t, f.o, RST);
	fixture_packet(f.t, f.o, ACK);
	assert_int_equal(f.o->state, SESSION_CLOSING);
	fixture_packet(f.t, f.r, ACK);
	assert_int_equal(f.o->state, SESSION_ESTABLISHED);
	stop(f);
}

static void a_rst_never_makes_a_half_open_connection_established(void **state)
{
	(void)state;
	struct fixture f = start(IPPROTO_TCP, SYN, true);
	fixture_packet(f.t, f.r, RST | ACK);
	fixture_packet(f.t, f.o, ACK);
	fixture_packet(f.t, f.r, ACK);
	assert_int_equal(f.o->state, SESSION_CLOSING);
	stop(f);
}

static void a_syn_to_a_closing_connection_is_a_new_one_and_changes_nothing(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) { // of either end, after FINs or a RST
		bool reopened = false;
		struct fixture f = start_established();
		fixture_packet(f.t, f.o, i / 2 == 0 ? FIN | ACK : RST);
		fixture_packet(f.t, f.r, FIN | ACK);
		struct session before = *f.o, before_r = *f.r;
		assert_int_equal(weft_session_update(f.t, i % 2 == 0 ? f.o : f.r, SYN, &reopened),
				 DROP_NONE);
		assert_true(reopened);
		assert_memory_equal(f.o, &before, sizeof(before));
		assert_memory_equal(f.r, &before_r, sizeof(before_r));
		stop(f);
	}
}

static void a_syn_changes_nothing_in_an_established_connection(void **state)
{
	(void)state;
	bool reopened;
	struct fixture f = start_established();
	assert_int_equal(weft_session_update(f.t, f.o, SYN, &reopened), DROP_NONE);
	assert_false(reopened);
	assert_int_equal(weft_session_update(f.t, f.r, SYN | ACK, &reopened), DROP_NONE);
	assert_false(reopened);
	assert_int_equal(f.o->state, SESSION_ESTABLISHED);
	stop(f);
}

// It would open a connection that no rule was asked for.
static void a_syn_of_the_other_end_is_refused_but_in_a_simultaneous_open(void **state)
{
	(void)state;
	bool reopened;
	struct fixture f = start_established();
	assert_int_equal(weft_session_update(f.t, f.r, SYN, &reopened), DROP_TCP_STATE);
	assert_false(reopened);
	assert_int_equal(weft_session_update(f.t, f.r, SYN | ECE | 0x80, &reopened),
			 DROP_TCP_STATE);
	assert_int_equal(f.o->state, SESSION_ESTABLISHED);
	assert_int_equal(fixture_packet(f.t, f.r, ACK), DROP_NONE);
	stop(f);
	f = start(IPPROTO_TCP, SYN, true); // it has answered
	assert_int_equal(fixture_packet(f.t, f.r, SYN | ACK), DROP_NONE);
	assert_int_equal(fixture_packet(f.t, f.r, SYN), DROP_TCP_STATE);
	stop(f);
	f = start(IPPROTO_TCP, SYN, true); // its answer has gone another way
	assert_int_equal(fixture_packet(f.t, f.o, ACK), DROP_NONE);
	assert_int_equal(fixture_packet(f.t, f.r, SYN), DROP_TCP_STATE);
	stop(f);
	f = start(IPPROTO_TCP, ACK, true); // picked up
	assert_int_equal(fixture_packet(f.t, f.r, SYN), DROP_TCP_STATE);
	assert_int_equal(fixture_packet(f.t, f.r, ACK), DROP_NONE);
	assert_int_equal(fixture_packet(f.t, f.r, SYN), DROP_TCP_STATE);
	stop(f);
	f = start(IPPROTO_TCP, SYN, true); // both at once, and not every SYN arrives
	assert_int_equal(fixture_packet(f.t, f.r, SYN), DROP_NONE);
	assert_int_equal(fixture_packet(f.t, f.o, SYN | ACK), DROP_NONE);
	assert_int_equal(fixture_packet(f.t, f.r, SYN), DROP_NONE);
	assert_int_equal(fixture_packet(f.t, f.r, SYN | ACK), DROP_NONE);
	assert_int_equal(f.o->state, SESSION_ESTABLISHED);
	stop(f);
}

static void a_connection_picked_up_in_the_middle_is_established_by_the_other_side(void **state)
{
	(void)state;
	struct fixture f = start(IPPROTO_TCP, ACK | PSH, true);
	assert_true(f.o->flags & SESSION_PICKED_UP);
	assert_true(f.r->flags & SESSION_PICKED_UP);
	fixture_packet(f.t, f.o, ACK);
	assert_int_equal(f.o->state, SESSION_NEW);
	fixture_packet(f.t, f.r, ACK);
	assert_int_equal(f.o->state, SESSION_ESTABLISHED);
	stop(f);
}

static void a_picked_up_connection_that_nobody_knows_closes(void **state)
{
	(void)state;
	struct fixture f = start(IPPROTO_TCP, ACK, true);
	fixture_packet(f.t, f.r, RST);
	assert_int_equal(f.o->state, SESSION_CLOSING);
	stop(f);
}

static void a_syn_after_a_stray_ack_begins_a_normal_connection(void **state)
{
	(void)state;
	struct fixture f = start(IPPROTO_TCP, ACK, true);
	assert_int_equal(fixture_packet(f.t, f.o, SYN), DROP_NONE);
	assert_false((f.o->flags | f.r->flags) & SESSION_PICKED_UP);
	fixture_packet(f.t, f.r, SYN | ACK);
	assert_int_equal(f.o->state, SESSION_ESTABLISHED); // both have shown SYN and ACK
	stop(f);
}

static void impossible_flags_are_dropped_in_every_state_and_change_nothing(void **state)
{
	(void)state;
	const uint8_t bad[] = {0,
			       FIN,
			       PSH,
			       URG,
			       SYN | FIN,
			       SYN | RST,
			       SYN | FIN | ACK,
			       SYN | RST | ACK,
			       FIN | RST,
			       FIN | RST | ACK,
			       FIN | PSH | URG, // Xmas
			       0x3f,		// all of them
			       SYN | ACK | URG | FIN};
	for (size_t i = 0; i < sizeof(bad); i++) {
		struct fixture f = start(IPPROTO_TCP, SYN, true);
		assert_int_equal(fixture_packet(f.t, f.o, bad[i]), DROP_TCP_FLAGS);
		assert_int_equal(fixture_packet(f.t, f.r, bad[i]), DROP_TCP_FLAGS);
		assert_int_equal(f.o->tcp_flags, SYN);
		assert_int_equal(f.o->state, SESSION_NEW);
		stop(f);
		f = start_established();
		assert_int_equal(fixture_packet(f.t, f.r, bad[i]), DROP_TCP_FLAGS);
		assert_int_equal(f.o->state, SESSION_ESTABLISHED);
		fixture_packet(f.t, f.o, RST);
		assert_int_equal(fixture_packet(f.t, f.r, bad[i]), DROP_TCP_FLAGS);
		assert_int_equal(weft_tcp_may_open(bad[i], true), DROP_TCP_FLAGS);
		assert_int_equal(weft_tcp_may_open(bad[i] | ECE, false), DROP_TCP_FLAGS);
		stop(f);
	}
}

static void only_a_syn_opens_or_when_loose_also_an_ack(void **state)
{
	(void)state;
	for (int loose = 0; loose < 2; loose++) {
		enum drop middle = loose ? DROP_NONE : DROP_TCP_STATE;
		assert_int_equal(weft_tcp_may_open(SYN, loose), DROP_NONE);
		assert_int_equal(weft_tcp_may_open(SYN | ECE | 0x80, loose), DROP_NONE);
		assert_int_equal(weft_tcp_may_open(ACK, loose), middle);
		assert_int_equal(weft_tcp_may_open(ACK | PSH, loose), middle);
		assert_int_equal(weft_tcp_may_open(ACK | URG, loose), middle);
		assert_int_equal(weft_tcp_may_open(SYN | ACK, loose), DROP_TCP_STATE);
		assert_int_equal(weft_tcp_may_open(RST, loose), DROP_TCP_STATE);
		assert_int_equal(weft_tcp_may_open(RST | ACK, loose), DROP_TCP_STATE);
		assert_int_equal(weft_tcp_may_open(FIN | ACK, loose), DROP_TCP_STATE);
	}
}

static void a_removed_connection_is_not_revived_by_its_last_packets(void **state)
{
	(void)state;
	struct fixture f = start_established();
	weft_session_remove(f.w, f.o);
	assert_int_equal(fixture_packet(f.t, f.r, ACK), DROP_NONE);
	assert_int_equal(fixture_packet(f.t, f.o, RST), DROP_NONE);
	assert_int_equal(fixture_packet(f.t, f.o, SYN), DROP_NONE);
	assert_int_equal(f.o->state, SESSION_FREE);
	assert_int_equal(weft_session_port_unanswered(f.t, 1), 0);
	weft_session_worker_free(f.w);
	weft_sessions_free(f.t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_answer_establishes_all_but_tcp),
		cmocka_unit_test(
			the_three_way_handshake_establishes_and_not_before_its_third_packet),
		cmocka_unit_test(a_handshake_with_ecn_and_data_in_the_third_packet_establishes),
		cmocka_unit_test(a_simultaneous_open_establishes),
		cmocka_unit_test(an_acknowledgement_of_nothing_is_dropped_when_strict),
		cmocka_unit_test(a_refused_connection_closes),
		cmocka_unit_test(a_fin_in_both_directions_closes_and_the_last_acks_pass),
		cmocka_unit_test(fins_of_both_close_with_the_packet_that_completes_the_handshake),
		cmocka_unit_test(a_rst_after_fins_in_both_directions_leaves_it_closed),
		cmocka_unit_test(a_rst_closes_from_either_side),
		cmocka_unit_test(a_forged_rst_does_not_end_a_connection_that_goes_on),
		cmocka_unit_test(a_rst_after_each_acknowledgement_keeps_it_closed),
		cmocka_unit_test(only_what_follows_the_latest_rst_revives),
		cmocka_unit_test(a_rst_never_makes_a_half_open_connection_established),
		cmocka_unit_test(a_syn_to_a_closing_connection_is_a_new_one_and_changes_nothing),
		cmocka_unit_test(a_syn_changes_nothing_in_an_established_connection),
		cmocka_unit_test(a_syn_of_the_other_end_is_refused_but_in_a_simultaneous_open),
		cmocka_unit_test(
			a_connection_picked_up_in_the_middle_is_established_by_the_other_side),
		cmocka_unit_test(a_picked_up_connection_that_nobody_knows_closes),
		cmocka_unit_test(a_syn_after_a_stray_ack_begins_a_normal_connection),
		cmocka_unit_test(impossible_flags_are_dropped_in_every_state_and_change_nothing),
		cmocka_unit_test(only_a_syn_opens_or_when_loose_also_an_ack),
		cmocka_unit_test(a_removed_connection_is_not_revived_by_its_last_packets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
