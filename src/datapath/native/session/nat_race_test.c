// SPDX-License-Identifier: Apache-2.0
// Two workers get packets of the same new flows at once, as from a device with several queues.
#include <pthread.h>
#include <rte_lcore.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "datapath/native/carry/fast.h"
#include "datapath/native/testing/nat_fixture.h"
#include "datapath/native/testing/sink_testing.h"
#include "datapath/native/policy/tables.h"

#define ROUNDS 300
#define FLOWS  32

struct side {
	struct testbed *tb;
	struct worker *w;
	uint16_t index;
	pthread_t thread;
	pthread_barrier_t *together;
};

static void round_of(struct side *s, uint16_t first)
{
	struct rte_mbuf *m[FLOWS];

	for (uint16_t i = 0; i < FLOWS; i++) {
		struct frame f = summed("x", "f", WEB, FLOATING, TCP(first + i, 80, SYN));

		m[i] = rte_pktmbuf_alloc(s->tb->dp.node.pool);
		memcpy(rte_pktmbuf_append(m[i], (uint16_t)f.len), f.b, f.len);
	}
	pthread_barrier_wait(s->together);
	s->w->now_ms = first;
	s->w->epoch = weft_vstore_epoch(s->tb->dp.node.vs);
	weft_fast_burst(s->w, s->index, m, FLOWS);
	weft_send_flush(s->w);
	weft_session_expire(s->w->session_worker, s->w->now_ms, 32);
	rte_rcu_qsbr_quiescent(s->tb->dp.node.qsbr, s->w->id);
}

static void *run(void *arg)
{
	struct side *s = arg;

	rte_thread_register();
	rte_rcu_qsbr_thread_online(s->tb->dp.node.qsbr, s->w->id);
	for (uint16_t i = 0; i < ROUNDS; i++)
		round_of(s, (uint16_t)(1024 + i * FLOWS));
	rte_rcu_qsbr_thread_offline(s->tb->dp.node.qsbr, s->w->id);
	rte_thread_unregister();
	return NULL;
}

static void both_workers_carry_the_same_new_translated_flow(void **state)
{
	struct testbed *tb = one_router();
	pthread_barrier_t together;
	struct side side[2];

	(void)state;
	floating_a(tb);
	make_sink(tb, "a");
	pthread_barrier_init(&together, NULL, 2);
	for (uint16_t i = 0; i < 2; i++) {
		side[i] = (struct side) {.tb = tb, .w = testbed_worker(tb), .together = &together};
		side[i].index = weft_tables_port(tb->dp.tables, "x")->index;
	}
	rte_rcu_qsbr_thread_offline(tb->dp.node.qsbr, 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&side[i].thread, NULL, run, &side[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(side[i].thread, NULL);
	rte_rcu_qsbr_thread_online(tb->dp.node.qsbr, 0);
	for (int i = 0; i < 2; i++)
		for (int why = 0; why < DROP_COUNT; why++)
			if (side[i].w->drops[why] != 0)
				fail_msg("%s: %u", weft_drop_word((enum drop)why),
					 (unsigned)side[i].w->drops[why]);
	pthread_barrier_destroy(&together);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_workers_carry_the_same_new_translated_flow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
