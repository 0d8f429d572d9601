// SPDX-License-Identifier: Apache-2.0
// Policy changes under running workers: from the moment at which all have passed a quiescent
// point, nothing passes that the new policy forbids, in either direction, and nothing is lost
// that it permits. A direction may be one worker's, or two workers' at once, as that of a VM with
// several queues.
#include <pthread.h>
#include <sched.h>
#include <rte_lcore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "datapath/native/carry/fast.h"
#include "datapath/native/testing/native_fixture.h"
#include "datapath/frames/packet.h"
#include "datapath/native/testing/sink_testing.h"
#include "datapath/native/packet/counter.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/carry/turn.h"

#define CHANGES	  200 // divided by the number of workers
#define FLOWS	  32
#define NEW_FLOWS 60000
#define SIDES_MAX 4

struct side {
	struct testbed *tb;
	struct worker *w;
	const char *from;
	uint16_t index;
	bool replies;
	pthread_t thread;
	uint64_t seen;
	uint32_t judged[2]; // turns, by what was expected of them
	uint32_t wrong;
};

static _Atomic bool stop;
// What is expected of each direction, or -1 while the policy changes; with a number, so that a
// turn knows it did not change.
static _Atomic uint64_t expected[2];
static _Atomic uint32_t n_seen; // workers that had a turn since
static uint32_t n_sides;
#define EXPECT(number, what) ((uint64_t)(number) << 2 | (uint64_t)((what) + 1))

// ---- Workers ----

// A packet of each of so many flows.
static uint32_t turn(struct side *s, uint16_t first)
{
	struct rte_mbuf *m[FLOWS];

	arrived = 0;
	for (uint16_t i = 0; i < FLOWS; i++) {
		struct frame f = s->replies ? s2c(UDP(2, first + i, 8)) : c2s(UDP(first + i, 2, 8));

		m[i] = rte_pktmbuf_alloc(s->tb->dp.node.pool);
		memcpy(rte_pktmbuf_append(m[i], (uint16_t)f.len), f.b, f.len);
	}
	s->w->now_ms = native_now_ms(&s->tb->dp.node);
	s->w->epoch = weft_vstore_epoch(s->tb->dp.node.vs);
	weft_fast_burst(s->w, s->index, m, FLOWS);
	weft_send_flush(s->w);
	weft_session_expire(s->w->session_worker, s->w->now_ms, 32);
	rte_rcu_qsbr_quiescent(s->tb->dp.node.qsbr, s->w->id);
	return arrived;
}

static void *run(void *arg)
{
	struct side *s = arg;

	// With caches of their own few of them wait for one that has to wait for a core.
	rte_thread_register();
	rte_rcu_qsbr_thread_online(s->tb->dp.node.qsbr, s->w->id);
	while (!atomic_load(&stop)) {
		uint64_t before = atomic_load(&expected[s->replies]);
		uint32_t came = turn(s, 1);
		int want = (int)(before & 3) - 1;

		if (want < 0 || atomic_load(&expected[s->replies]) != before)
			continue;
		s->judged[want]++;
		if (s->seen != before)
			n_seen++;
		s->seen = before;
		// A reply passes only once its question has made the session.
		if (want == 0 ? came > 0 : came < FLOWS && !s->replies)
			s->wrong++;
	}
	rte_rcu_qsbr_thread_offline(s->tb->dp.node.qsbr, s->w->id);
	rte_thread_unregister();
	return NULL;
}

static void start(struct side *s, uint16_t id, void *(*work)(void *))
{
	s->w = s->tb->dp.workers[id];
	s->index = weft_tables_port(s->tb->dp.tables, s->from)->index;
	assert_int_equal(pthread_create(&s->thread, NULL, work, s), 0);
}

static void change(struct testbed *tb, uint32_t number, const char *set, bool stateful,
		   const char *rules, int questions, int replies)
{
	uint64_t token;

	for (int i = 0; i < 2; i++)
		atomic_store(&expected[i], EXPECT(number, -1));
	testbed_rule_set(tb, set, stateful, rules);
	testbed_commit(tb);
	token = rte_rcu_qsbr_start(tb->dp.node.qsbr);
	while (rte_rcu_qsbr_check(tb->dp.node.qsbr, token, false) == 0) {
		rte_rcu_qsbr_quiescent(tb->dp.node.qsbr, 0);
		sched_yield();
	}
	atomic_store(&n_seen, 0);
	atomic_store(&expected[0], EXPECT(number, questions));
	atomic_store(&expected[1], EXPECT(number, replies));
	// Until each worker has had a whole turn; there may be more of them than cores.
	rte_rcu_qsbr_thread_offline(tb->dp.node.qsbr, 0);
	for (int i = 0; i < 200 && atomic_load(&n_seen) < n_sides; i++)
		usleep(200);
	rte_rcu_qsbr_thread_online(tb->dp.node.qsbr, 0);
}

// directions: a worker for each letter, that sends questions or replies.
static void changes(const char *directions, const char *set, bool stateful, const char *open,
		    const char *closed, int questions_when_closed)
{
	uint16_t n = (uint16_t)strlen(directions);
	struct testbed *tb = two_ports("ingress 4 udp\n");
	struct side side[SIDES_MAX];
	uint32_t permitted[2] = {0}, refused = 0;

	make_sink(tb, "client");
	make_sink(tb, "server");
	for (uint16_t i = 0; i < n; i++)
		testbed_worker(tb);
	atomic_store(&stop, false);
	n_sides = 0; // nobody yet
	change(tb, 0, set, stateful, open, 1, 1);
	for (uint16_t i = 0; i < n; i++) {
		bool replies = directions[i] == 'r';

		side[i] = (struct side) {
			.tb = tb, .from = replies ? "server" : "client", .replies = replies};
		start(&side[i], (uint16_t)(i + 1), run);
	}
	n_sides = n;
	for (uint32_t i = 1; i < CHANGES / n; i += 2) {
		change(tb, i, set, stateful, closed, questions_when_closed, 0);
		change(tb, i + 1, set, stateful, open, 1, 1);
	}
	atomic_store(&stop, true);
	for (uint16_t i = 0; i < n; i++)
		pthread_join(side[i].thread, NULL);
	for (uint16_t i = 0; i < n; i++) {
		assert_int_equal(side[i].wrong, 0);
		permitted[side[i].replies] += side[i].judged[1];
		refused += side[i].replies ? side[i].judged[0] : 0;
	}
	assert_true(permitted[0] > 0 && permitted[1] > 0 && refused > 0);
	testbed_free(tb);
}

// What passes without a session has no answers, so a change of anything else may not keep a flow
// from having its own.
static void *begin_flows(void *arg)
{
	struct side *s = arg;

	rte_thread_register();
	rte_rcu_qsbr_thread_online(s->tb->dp.node.qsbr, s->w->id);
	for (uint16_t first = 1; first < NEW_FLOWS; first += FLOWS)
		s->seen += turn(s, first);
	rte_rcu_qsbr_thread_offline(s->tb->dp.node.qsbr, s->w->id);
	rte_thread_unregister();
	atomic_store(&stop, true);
	return NULL;
}

static void flows_that_begin_while_the_policy_changes_have_sessions(void **state)
{
	struct testbed *tb = two_ports("ingress 4 udp\n");
	struct side s = {.tb = tb, .from = "client"};
	uint64_t epoch = weft_vstore_epoch(tb->dp.node.vs);

	(void)state;
	make_sink(tb, "server");
	testbed_worker(tb);
	atomic_store(&stop, false);
	start(&s, 1, begin_flows);
	for (int i = 0; !atomic_load(&stop); i++) {
		uint64_t added = COUNTED(s.w->stats.sessions_added);

		testbed_rule_set(tb, "other", true, i % 2 ? "" : "ingress 4 tcp\n");
		testbed_commit(tb);
		// However slow the worker is, no packet sees more changes than it is judged again
		// for.
		do {
			rte_rcu_qsbr_quiescent(tb->dp.node.qsbr, 0);
			usleep(20);
		} while (COUNTED(s.w->stats.sessions_added) == added && !atomic_load(&stop));
	}
	pthread_join(s.thread, NULL);
	assert_true(weft_vstore_epoch(tb->dp.node.vs) > epoch + 10);
	assert_true(s.seen > 0);
	assert_int_equal(s.seen, s.w->stats.sessions_added);
	testbed_free(tb);
}

static void rule_that_goes_cuts_both_directions_on_all_workers(void **state)
{
	(void)state;
	changes("qr", "srv", true, "ingress 4 udp\n", "", 0);
}

static void rule_of_a_stateless_group_that_goes_cuts_replies_on_all_workers(void **state)
{
	(void)state;
	changes("qr", "out", false, "egress 4 any\ningress 4 udp\n", "egress 4 any\n", 1);
}

static void rule_that_goes_cuts_directions_that_are_two_workers(void **state)
{
	(void)state;
	changes("qqrr", "srv", true, "ingress 4 udp\n", "", 0);
}

static void rule_of_a_stateless_group_that_goes_cuts_replies_that_are_two_workers(void **state)
{
	(void)state;
	changes("qrr", "out", false, "egress 4 any\ningress 4 udp\n", "egress 4 any\n", 1);
}

static struct session *session_of(struct testbed *tb, const char *port, struct frame f)
{
	struct packet p;

	assert_int_equal(weft_packet_parse(f.b, f.len, f.len,
					   weft_tables_port(tb->dp.tables, port)->index, &p),
			 DROP_NONE);
	return weft_session_get(tb->dp.node.sessions, &p.key, weft_flow_hash(&p.key));
}

// Two workers judge one connection at the same time, each by what it knows: the newer judgement
// is what remains.
static void an_older_judgement_is_not_written_over_a_newer_one(void **state)
{
	struct testbed *tb = two_ports("ingress 4 udp\ningress 4 tcp\n");
	struct frame question = c2s(UDP(1, 2, 8));
	struct session *s;
	uint32_t gen;

	(void)state;
	assert_true(pass(tb, "client", "server", question));
	s = session_of(tb, "client", question);
	testbed_rule_set(tb, "srv", true, "ingress 4 udp\n");
	testbed_commit(tb);
	gen = s->gen;
	s->flags |= SESSION_CORRECTING; // another worker is at it
	assert_true(pass(tb, "client", "server", question));
	assert_int_equal(s->gen, gen);
	s->flags &= (uint16_t)~SESSION_CORRECTING;
	s->gen = gen + 7; // another worker knows more already
	assert_true(pass(tb, "client", "server", question));
	assert_int_equal(s->gen, gen + 7);
	testbed_rule_set(tb, "srv", true, "");
	testbed_commit(tb);
	assert_false(pass(tb, "client", "server", question));
	assert_false(s->flags & SESSION_REFUSED);
	s->gen = gen;
	assert_false(pass(tb, "client", "server", question));
	assert_true(s->flags & SESSION_REFUSED);
	assert_int_equal(tb->w->stats.revoked, 1);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flows_that_begin_while_the_policy_changes_have_sessions),
		cmocka_unit_test(rule_that_goes_cuts_both_directions_on_all_workers),
		cmocka_unit_test(an_older_judgement_is_not_written_over_a_newer_one),
		cmocka_unit_test(rule_of_a_stateless_group_that_goes_cuts_replies_on_all_workers),
		cmocka_unit_test(rule_that_goes_cuts_directions_that_are_two_workers),
		cmocka_unit_test(
			rule_of_a_stateless_group_that_goes_cuts_replies_that_are_two_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
