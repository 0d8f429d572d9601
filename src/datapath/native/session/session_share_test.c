// SPDX-License-Identifier: Apache-2.0
// Shares of the table: for whom a connection counts, and who pays when it is full.
#include "datapath/native/testing/session_testing.h"

#define OUTSIDE 9

static struct session *between(struct fixture *f, uint16_t from, uint16_t to, uint32_t now_ms)
{
	struct session_new n = fixture_new(4, IPPROTO_UDP, from, to, f->next++);

	return fixture_add(f->w, &n, now_ms);
}

// Two-way UDP that goes on.
static bool talks(struct fixture *f, uint16_t from, uint16_t to, uint32_t now_ms)
{
	struct session *s = between(f, from, to, now_ms);

	if (s != NULL)
		fixture_answer(f->t, s);
	return s != NULL;
}

static uint32_t count(const struct fixture *f, uint16_t port)
{
	return weft_session_port_count(f->t, port);
}

static struct fixture start_with_projects(uint32_t connections, uint32_t port, uint32_t project)
{
	const struct session_config config = {
		.connections = connections,
		.port_share_percent = port,
		.project_share_percent = project,
		.max_ports = FIXTURE_PORTS,
		.tcp_loose = true,
		.timeouts = fixture_timeouts,
	};
	struct fixture f = {0};
	struct err err;

	assert_int_equal(weft_sessions_new(&config, &f.t, &err), 0);
	f.w = weft_session_worker_new(f.t);
	return f;
}

// ---- For whom it counts
// ----------------------------------------------------------------------------

static void what_comes_from_outside_counts_for_the_port_it_leads_to(void **state)
{
	(void)state;
	struct fixture f = start(64, 100);
	weft_session_port_outside(f.t, OUTSIDE, true);
	struct session *in = between(&f, OUTSIDE, 5, 0), *out = between(&f, 6, OUTSIDE, 0);
	assert_int_equal(count(&f, OUTSIDE), 0);
	assert_int_equal(count(&f, 5), 1);
	assert_int_equal(count(&f, 6), 1);
	assert_int_equal(weft_session_port_unanswered(f.t, 5), 1);
	fixture_answer(f.t, in);
	assert_int_equal(weft_session_port_unanswered(f.t, 5), 0);
	// However the port's index is used afterwards.
	weft_session_port_outside(f.t, OUTSIDE, false);
	weft_session_remove(f.w, weft_session_peer(in));
	weft_session_remove(f.w, out);
	assert_int_equal(count(&f, OUTSIDE), 0);
	assert_int_equal(count(&f, 5), 0);
	assert_int_equal(count(&f, 6), 0);
	stop(&f);
}

static void host_outside_fills_no_more_than_the_share_of_who_lets_it_in(void **state)
{
	(void)state;
	struct fixture f = start(256, 25);
	weft_session_port_outside(f.t, OUTSIDE, true);
	for (uint32_t i = 0; i < 1000; i++) {
		assert_true(talks(&f, OUTSIDE, 5, i));
		assert_in_range(count(&f, 5), 1, 64);
	}
	for (uint32_t i = 0; i < 64; i++)
		assert_true(talks(&f, 6, OUTSIDE, 1000));
	assert_int_equal(count(&f, 6), 64);
	assert_int_equal(count(&f, 5), 64);
	stop(&f);
}

static void ports_of_a_project_share_what_it_may_have(void **state)
{
	(void)state;
	struct fixture f = start_with_projects(256, 25, 40); // 64, 102
	for (uint16_t port = 1; port <= 5; port++)
		weft_session_port_project(f.t, port, port <= 4 ? 1 : 2);
	for (uint32_t i = 0; i < 400; i++) {
		assert_true(talks(&f, (uint16_t)(1 + i % 2), 60, i));
		assert_in_range(weft_session_project_count(f.t, 1), 1, 102);
	}
	assert_int_equal(weft_session_project_count(f.t, 2), 102);
	// One that has less gets in, until all have the same: those that have more pay.
	for (uint32_t i = 0; i < 400; i++)
		assert_true(talks(&f, 3, 60, 400 + i));
	assert_in_range(count(&f, 3), 32, 36);
	assert_in_range(count(&f, 1), 32, 36);
	assert_in_range(count(&f, 2), 32, 36);
	assert_int_equal(weft_session_project_count(f.t, 3), 102);
	// That is nobody else's business.
	for (uint32_t i = 0; i < 64; i++)
		assert_true(talks(&f, 5, 60, 800));
	assert_int_equal(weft_session_project_count(f.t, 5), 64);
	assert_int_equal(weft_session_project_count(f.t, 1), 102);
	// And who has no project has no such limit.
	assert_true(talks(&f, 7, 60, 800));
	assert_int_equal(weft_session_project_count(f.t, 7), 0);
	stop(&f);
}

static void projects_count_follows_its_ports(void **state)
{
	(void)state;
	struct fixture f = start_with_projects(64, 100, 50);
	weft_session_port_project(f.t, 1, 1);
	weft_session_port_project(f.t, 2, 1);
	fill(&f, 1, 5, true, 0);
	fill(&f, 2, 7, true, 0);
	assert_int_equal(weft_session_project_count(f.t, 1), 12);
	weft_session_port_project(f.t, 2, 2);
	assert_int_equal(weft_session_project_count(f.t, 1), 5);
	assert_int_equal(weft_session_project_count(f.t, 2), 7);
	assert_int_equal(weft_session_expire(f.w, 200000, 1000), 12);
	assert_int_equal(weft_session_project_count(f.t, 1), 0);
	assert_int_equal(weft_session_project_count(f.t, 2), 0);
	stop(&f);
}

// ---- Who pays
// --------------------------------------------------------------------------------------

// Three ports fill the table with flows that go on and never rest. A fourth one opens TCP
// connections meanwhile.
static void port_below_its_part_always_gets_in_and_stays(void **state)
{
	(void)state;
	struct fixture f = start(1024, 100);
	struct flow_key held[200];
	uint32_t now = 0;
	for (uint32_t i = 0; i < 2048; i++)
		assert_true(talks(&f, (uint16_t)(1 + i % 3), 60, now));
	for (uint32_t i = 0; i < 200; i++) { // of 256
		struct session_new n = fixture_new(4, IPPROTO_TCP, 4, 60, f.next++);
		struct session *s = fixture_add(f.w, &n, ++now);
		assert_non_null(s);
		weft_session_key(s, &held[i]);
		for (uint32_t k = 0; k < 60; k++) // the answer takes its time
			assert_true(talks(&f, (uint16_t)(1 + k % 3), 60, now));
		s = fixture_get(f.t, &held[i]);
		assert_non_null(s);
		fixture_exchange(f.t, s);
	}
	for (uint32_t i = 0; i < 200; i++)
		assert_non_null(fixture_get(f.t, &held[i]));
	assert_int_equal(count(&f, 4), 200);
	stop(&f);
}

static void full_table_is_divided_fairly(void **state)
{
	(void)state;
	struct fixture f = start(1024, 100);
	for (uint32_t i = 0; i < 1024; i++)
		assert_true(talks(&f, 1, 60, i));
	for (uint16_t port = 2; port <= 4; port++)
		for (uint32_t i = 0; i < 1024; i++)
			assert_true(talks(&f, port, 60, 2000 + i));
	for (uint16_t port = 1; port <= 4; port++)
		assert_in_range(count(&f, port), 240, 300);
	stop(&f);
}

static void who_has_little_pays_for_nobody(void **state)
{
	(void)state;
	struct fixture f = start(1024, 100);
	fill(&f, 2, 10, true, 0);
	fill(&f, 2, 10, false, 0);
	for (uint32_t i = 0; i < 5000; i++) {
		assert_true(talks(&f, 1, 60, i / 10));
		assert_true(talks(&f, 3, 60, i / 10));
	}
	assert_int_equal(count(&f, 2), 20);
	stop(&f);
}

// First packets that nobody answers cost established flows of their own port so many places and no
// more.
static void flood_of_first_packets_leaves_established_flows_alone_but_for_some(void **state)
{
	(void)state;
	const uint32_t pairs = 8192;
	struct fixture f = start(pairs, 100);
	for (uint32_t i = 0; i < pairs; i++)
		assert_true(talks(&f, 1, 60, i / 100));
	for (uint32_t i = 0; i < 10 * pairs; i++)
		assert_non_null(more(&f, 1, false, 1000 + i / 100));
	assert_in_range(count(&f, 1) - weft_session_port_unanswered(f.t, 1), pairs - GUESTS - 8,
			pairs);
	stop(&f);
}

static void flood_beside_a_new_flow_of_another_port_does_not_push_it_out(void **state)
{
	(void)state;
	struct fixture f = start(4096, 50);
	struct flow_key waits;
	for (uint32_t i = 0; i < 2 * 2048; i++)
		assert_true(talks(&f, (uint16_t)(1 + i % 2), 60, i / 100));
	weft_session_key(between(&f, 3, 60, 1000), &waits);
	for (uint32_t i = 0; i < 20000; i++)
		more(&f, (uint16_t)(1 + i % 2), false, 1000 + i / 100);
	assert_non_null(fixture_get(f.t, &waits));
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_from_outside_counts_for_the_port_it_leads_to),
		cmocka_unit_test(host_outside_fills_no_more_than_the_share_of_who_lets_it_in),
		cmocka_unit_test(ports_of_a_project_share_what_it_may_have),
		cmocka_unit_test(projects_count_follows_its_ports),
		cmocka_unit_test(port_below_its_part_always_gets_in_and_stays),
		cmocka_unit_test(full_table_is_divided_fairly),
		cmocka_unit_test(who_has_little_pays_for_nobody),
		cmocka_unit_test(
			flood_of_first_packets_leaves_established_flows_alone_but_for_some),
		cmocka_unit_test(flood_beside_a_new_flow_of_another_port_does_not_push_it_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
