// SPDX-License-Identifier: Apache-2.0
// Policy changes under two running workers: from the moment at which both have passed a quiescent point, nothing passes
// that the new policy forbids, in either direction, and nothing is lost that it permits.
#include <pthread.h>
#include <rte_cycles.h>
#include <stdatomic.h>

#include "datapath/native/fast.h"
#include "datapath/native/native_fixture.h"
#include "datapath/native/tables.h"
#include "datapath/native/worker.h"

#define CHANGES		100
#define CHANGES_AT_MOST 100000
#define FLOWS		32

struct side {
	struct testbed *tb;
	struct worker *w;
	const char *from, *to;
	uint16_t index;
	bool replies;
	pthread_t thread;
	_Atomic uint32_t judged[2]; // turns, by what was expected of them
	uint32_t wrong;
};

static _Atomic bool stop;
// What is expected of each direction, or -1 while the policy changes; with a number, so that a turn knows it did not change.
static _Atomic uint64_t expected[2];
#define EXPECT(number, what) ((uint64_t)(number) << 2 | (uint64_t)((what) + 1))

static uint32_t turn(struct side *s)
{
	struct rte_mbuf *m[FLOWS];
	struct frame got;
	uint32_t arrived = 0;

	for (uint16_t i = 0; i < FLOWS; i++) {
		struct frame f = s->replies ? s2c(UDP(2, i + 1, 8)) : c2s(UDP(i + 1, 2, 8));

		m[i] = rte_pktmbuf_alloc(s->tb->dp.pool);
		memcpy(rte_pktmbuf_append(m[i], (uint16_t)f.len), f.b, f.len);
	}
	s->w->now_ms = native_now_ms(&s->tb->dp);
	s->w->epoch = weft_vstore_epoch(s->tb->dp.vs);
	weft_fast_burst(s->w, s->index, m, FLOWS);
	weft_send_flush(s->w);
	while (testbed_receive(s->tb, s->to, &got))
		arrived++;
	weft_session_expire(s->w->session_worker, s->w->now_ms, 32);
	rte_rcu_qsbr_quiescent(s->tb->dp.qsbr, s->w->id);
	return arrived;
}

static void *run(void *arg)
{
	struct side *s = arg;

	rte_rcu_qsbr_thread_online(s->tb->dp.qsbr, s->w->id);
	while (!atomic_load(&stop)) {
		uint64_t before = atomic_load(&expected[s->replies]);
		uint32_t arrived = turn(s);
		int want = (int)(before & 3) - 1;

		if (want < 0 || atomic_load(&expected[s->replies]) != before)
			continue;
		atomic_fetch_add(&s->judged[want], 1);
		// A reply passes only once its question has made the session.
		if (want == 0 ? arrived > 0 : arrived < FLOWS && !s->replies)
			s->wrong++;
	}
	rte_rcu_qsbr_thread_offline(s->tb->dp.qsbr, s->w->id);
	return NULL;
}

static void start(struct side *s, uint16_t id)
{
	struct native *dp = &s->tb->dp;
	struct err err;

	assert_int_equal(weft_worker_new(dp, id, 0, &s->w, &err), 0);
	dp->workers[id] = s->w;
	dp->n_workers = (uint16_t)(id + 1);
	s->index = weft_tables_port(dp->tables, s->from)->index;
	assert_int_equal(pthread_create(&s->thread, NULL, run, s), 0);
}

static void change(struct testbed *tb, uint32_t number, const char *set, bool stateful,
		   const char *rules, int questions, int replies)
{
	uint64_t token, end;

	for (int i = 0; i < 2; i++)
		atomic_store(&expected[i], EXPECT(number, -1));
	testbed_rule_set(tb, set, stateful, rules);
	testbed_commit(tb);
	token = rte_rcu_qsbr_start(tb->dp.qsbr);
	while (rte_rcu_qsbr_check(tb->dp.qsbr, token, false) == 0)
		rte_rcu_qsbr_quiescent(tb->dp.qsbr, 0);
	atomic_store(&expected[0], EXPECT(number, questions));
	atomic_store(&expected[1], EXPECT(number, replies));
	end = rte_rdtsc() + rte_get_tsc_hz() / 2000;
	while (rte_rdtsc() < end)
		rte_rcu_qsbr_quiescent(tb->dp.qsbr, 0);
}

// Has each side had turns with every answer that it can get?
static bool is_enough(const struct side *side)
{
	return atomic_load(&side[0].judged[1]) > 0 && atomic_load(&side[1].judged[1]) > 0 &&
	       atomic_load(&side[1].judged[0]) > 0;
}

static void changes(const char *set, bool stateful, const char *open, const char *closed,
		    int questions_when_closed)
{
	struct testbed *tb = two_ports("ingress 4 udp\n");
	struct side side[2] = {{.tb = tb, .from = "client", .to = "server"},
			       {.tb = tb, .from = "server", .to = "client", .replies = true}};

	atomic_store(&stop, false);
	change(tb, 0, set, stateful, open, 1, 1);
	for (uint16_t i = 0; i < 2; i++)
		start(&side[i], (uint16_t)(i + 1));
	// On a busy machine a side may not have had a turn for many changes.
	for (uint32_t i = 1; i < CHANGES || (!is_enough(side) && i < CHANGES_AT_MOST); i += 2) {
		change(tb, i, set, stateful, closed, questions_when_closed, 0);
		change(tb, i + 1, set, stateful, open, 1, 1);
	}
	atomic_store(&stop, true);
	for (uint16_t i = 0; i < 2; i++)
		pthread_join(side[i].thread, NULL);
	tb->dp.n_workers = 1;
	for (uint16_t i = 0; i < 2; i++) {
		assert_int_equal(side[i].wrong, 0);
		tb->dp.workers[i + 1] = NULL;
		weft_worker_stop(side[i].w);
	}
	assert_true(is_enough(side));
	testbed_free(tb);
}

static void rule_that_goes_cuts_both_directions_on_all_workers(void **state)
{
	(void)state;
	changes("srv", true, "ingress 4 udp\n", "", 0);
}

static void rule_of_a_stateless_group_that_goes_cuts_replies_on_all_workers(void **state)
{
	(void)state;
	changes("out", false, "egress 4 any\ningress 4 udp\n", "egress 4 any\n", 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_that_goes_cuts_both_directions_on_all_workers),
		cmocka_unit_test(rule_of_a_stateless_group_that_goes_cuts_replies_on_all_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
