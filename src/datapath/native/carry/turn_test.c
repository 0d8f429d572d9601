// SPDX-License-Identifier: Apache-2.0
// Who polls what, and when a worker sleeps.
#include "datapath/native/carry/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "base/skip.h"
#include "datapath/native/worker/priority.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/testing/testbed.h"

#define PORTS 5

// ---- A port whose packets come by the clock ------------------------------------------------

struct source {
	struct port_io io;
	struct rte_mempool *pool;
	uint16_t shares;
	_Atomic uint32_t every_us; // 0: none
	uint64_t last;
	_Atomic uint64_t polls;
};

static uint16_t source_rx(struct port_io *io, uint16_t share, struct rte_mbuf **pkts, uint16_t n)
{
	struct source *s = (struct source *)io;
	uint64_t now = rte_rdtsc(), every = atomic_load(&s->every_us);

	(void)n;
	s->polls++;
	if (share != 0 || every == 0 || now - s->last < every * (rte_get_tsc_hz() / 1000000))
		return 0;
	s->last = now;
	pkts[0] = rte_pktmbuf_alloc(s->pool);
	assert_non_null(pkts[0]);
	memset(rte_pktmbuf_append(pkts[0], 60), 0xff, 60);
	return 1;
}

static uint16_t source_tx(struct port_io *io, struct rte_mbuf **pkts, uint16_t n)
{
	(void)io;
	rte_pktmbuf_free_bulk(pkts, n);
	return n;
}

static uint16_t source_shares(const struct port_io *io)
{
	return ((const struct source *)io)->shares;
}

static void source_close(struct port_io *io)
{
	free(io);
}

static const struct port_io_ops source_ops = {
	.name = "source",
	.rx = source_rx,
	.tx = source_tx,
	.shares = source_shares,
	.close = source_close,
};

// In the place of the port's memory.
static struct source *make_source(struct testbed *tb, const char *port)
{
	struct port *p = weft_tables_port(tb->dp.tables, port);
	struct source *s = calloc(1, sizeof(*s));
	struct port_io *memory = atomic_exchange(&p->io, &s->io);

	memory->ops->close(memory);
	s->io.ops = &source_ops;
	s->io.up = true;
	s->pool = tb->dp.node.pool;
	s->shares = 1;
	return s;
}

static struct testbed *bed(uint16_t workers, struct source *sources[PORTS])
{
	struct testbed *tb = testbed_new(1024);

	while (tb->dp.n_workers < workers)
		testbed_worker(tb);
	testbed_network(tb, "n", 1500);
	testbed_rule_set(tb, "out", true, "egress 4 any\n");
	for (int i = 0; i < PORTS; i++) {
		char name[8], ip[16];

		snprintf(name, sizeof(name), "p%d", i);
		snprintf(ip, sizeof(ip), "10.0.0.%d", i + 1);
		testbed_port(tb, name, "n", ip, "out");
	}
	testbed_commit(tb);
	for (int i = 0; i < PORTS; i++) {
		char name[8];

		snprintf(name, sizeof(name), "p%d", i);
		sources[i] = make_source(tb, name);
	}
	return tb;
}

// ---- Who polls what ------------------------------------------------------------------------

static unsigned int pollers(const struct testbed *tb, const struct source *s, uint16_t share)
{
	unsigned int n = 0;

	for (uint16_t i = 0; i < tb->dp.n_workers; i++) {
		const struct poll_list *list = tb->dp.workers[i]->polls;

		for (uint16_t k = 0; k < list->n; k++)
			n += list->polls[k].port->io == &s->io && list->polls[k].share == share;
	}
	return n;
}

static void every_share_of_a_port_has_one_worker(void **state)
{
	struct source *sources[PORTS];

	(void)state;
	for (uint16_t workers = 1; workers <= 4; workers++) {
		struct testbed *tb = bed(workers, sources);

		// Each number of shares after each other.
		for (uint16_t turn = 0; turn < 2 * PORTS; turn++) {
			for (uint16_t i = 0; i < PORTS; i++)
				sources[i]->shares = (uint16_t)(1 + (i + turn * 3) % (workers + 2));
			weft_workers_set_ports(&tb->dp);
			for (uint16_t i = 0; i < PORTS; i++)
				for (uint16_t share = 0; share < 8; share++)
					assert_int_equal(pollers(tb, sources[i], share),
							 share < RTE_MIN(sources[i]->shares,
									 workers));
		}
		testbed_free(tb);
	}
}

static void port_with_one_queue_costs_other_workers_nothing(void **state)
{
	struct source *sources[PORTS];
	struct testbed *tb = bed(2, sources);
	struct worker *w[2] = {tb->dp.workers[0], tb->dp.workers[1]};
	const struct poll_list *before;

	(void)state;
	weft_workers_set_ports(&tb->dp);
	assert_int_equal(atomic_load(&w[0]->polls)->n + atomic_load(&w[1]->polls)->n, PORTS);
	sources[0]->shares = 2;
	weft_workers_set_ports(&tb->dp);
	assert_int_equal(atomic_load(&w[0]->polls)->n + atomic_load(&w[1]->polls)->n, PORTS + 1);
	// Nothing changed: nobody looks at another list.
	before = w[0]->polls;
	weft_workers_set_ports(&tb->dp);
	assert_ptr_equal(w[0]->polls, before);
	sources[0]->shares = 1;
	weft_workers_set_ports(&tb->dp);
	assert_int_equal(atomic_load(&w[0]->polls)->n + atomic_load(&w[1]->polls)->n, PORTS);
	testbed_free(tb);
}

// ---- Sleep ---------------------------------------------------------------------------------

static void wait_for(const uint64_t *counter, uint64_t n)
{
	for (int i = 0; i < 10000 && __atomic_load_n(counter, __ATOMIC_RELAXED) < n; i++)
		usleep(1000);
	assert_true(__atomic_load_n(counter, __ATOMIC_RELAXED) >= n);
}

static void worker_sleeps_when_nothing_comes_and_not_between_packets(void **state)
{
	struct source *sources[PORTS];
	struct testbed *tb = bed(2, sources);
	struct worker *w = tb->dp.workers[1];
	struct source *s = NULL;
	uint64_t polls, begin, us;
	struct err err;

	(void)state;
	tb->dp.node.config.poll = DATAPATH_POLL_ADAPTIVE;
	weft_workers_set_ports(&tb->dp);
	for (int i = 0; i < PORTS; i++)
		if (pollers(tb, sources[i], 0) == 1 &&
		    weft_tables_port(tb->dp.tables, (char[]) {'p', (char)('0' + i), 0})->worker ==
			    1)
			s = sources[i];
	assert_non_null(s);
	atomic_store(&s->every_us, 50);
	assert_int_equal(weft_worker_start(w, &err), 0);
	wait_for(&w->stats.packets, 200);
	assert_int_equal(__atomic_load_n(&w->stats.sleeps, __ATOMIC_RELAXED), 0);
	atomic_store(&s->every_us, 0);
	wait_for(&w->stats.sleeps, 20);
	polls = atomic_load(&s->polls);
	begin = rte_rdtsc();
	usleep(50000);
	polls = atomic_load(&s->polls) - polls;
	us = (rte_rdtsc() - begin) / (rte_get_tsc_hz() / 1000000);
	assert_true(polls < us / 9); // at least 10 us each
	testbed_free(tb);
}

// ---- Priority ------------------------------------------------------------------------------

static void wait_for_class(const struct worker *w, int wanted)
{
	struct sched_param p;
	int class = -1;

	for (int i = 0; i < 10000 && class != wanted; i++) {
		usleep(1000);
		assert_int_equal(pthread_getschedparam(w->thread, &class, &p), 0);
	}
	assert_int_equal(class, wanted);
	assert_int_equal(p.sched_priority, wanted == SCHED_FIFO ? 1 : 0);
}

static void worker_goes_first_while_it_rests_and_as_everybody_when_it_does_not(void **state)
{
	struct source *sources[PORTS];
	struct testbed *tb = bed(1, sources);
	const int cores[] = {1};
	struct err err;

	(void)state;
	tb->dp.node.config.poll = DATAPATH_POLL_ADAPTIVE;
	tb->dp.node.config.priority = 1;
	weft_workers_set_ports(&tb->dp);
	weft_priority_prepare(&tb->dp.node, cores, 1);
	if (tb->dp.node.priority == 0) {
		testbed_free(tb);
		weft_skip("one core, or no right to real-time priority");
	}
	assert_int_equal(weft_worker_start(tb->dp.workers[0], &err), 0);
	for (int i = 0; i < 3; i++) {
		wait_for_class(tb->dp.workers[0], SCHED_FIFO);
		atomic_store(&sources[0]->every_us, 1);
		wait_for_class(tb->dp.workers[0], SCHED_OTHER);
		atomic_store(&sources[0]->every_us, 0);
	}
	weft_priority_finish(&tb->dp.node);
	testbed_free(tb);
}

static void priority_is_only_taken_where_a_core_is_left_for_the_others(void **state)
{
	struct native dp = {.node.config = {.priority = 1, .poll = DATAPATH_POLL_ADAPTIVE}};
	int cores[CPU_SETSIZE];
	cpu_set_t before, now;
	uint16_t n = 0;

	(void)state;
	assert_int_equal(pthread_getaffinity_np(pthread_self(), sizeof(before), &before), 0);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &before))
			cores[n++] = i;
	weft_priority_prepare(&dp.node, cores, n); // all of them
	assert_int_equal(dp.node.priority, 0);
	dp.node.config.poll = DATAPATH_POLL_BUSY;
	weft_priority_prepare(&dp.node, cores, 1);
	assert_int_equal(dp.node.priority, 0);
	dp.node.config = (struct datapath_config) {.poll = DATAPATH_POLL_ADAPTIVE};
	weft_priority_prepare(&dp.node, cores, 1);
	assert_int_equal(dp.node.priority, 0);
	pthread_getaffinity_np(pthread_self(), sizeof(now), &now);
	assert_true(CPU_EQUAL(&before, &now));
	dp.node.config.priority = 7;
	weft_priority_prepare(&dp.node, cores, 1);
	if (dp.node.priority != 0) { // a second core, and the right to it
		pthread_getaffinity_np(pthread_self(), sizeof(now), &now);
		assert_false(CPU_ISSET(cores[0], &now));
		assert_int_equal(CPU_COUNT(&now), n - 1);
	}
	weft_priority_finish(&dp.node);
	pthread_getaffinity_np(pthread_self(), sizeof(now), &now);
	assert_true(CPU_EQUAL(&before, &now));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_share_of_a_port_has_one_worker),
		cmocka_unit_test(port_with_one_queue_costs_other_workers_nothing),
		cmocka_unit_test(worker_sleeps_when_nothing_comes_and_not_between_packets),
		cmocka_unit_test(
			worker_goes_first_while_it_rests_and_as_everybody_when_it_does_not),
		cmocka_unit_test(priority_is_only_taken_where_a_core_is_left_for_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
