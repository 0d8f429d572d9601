// SPDX-License-Identifier: Apache-2.0
// Packets of known flows through the fast path by one worker and by two, on cores 0 and 1, ports
// in memory, one session table:
//
//   own   each worker has flows of its own, of one VM: as if by two queues of its port
//   both  the flows are the same, a worker for each direction: the two lines of a session lie
//         side by side in memory, and each packet writes to one of them
//
// and how much more two carry than one (2 would be all that there is). One worker carries the
// same packets as two: all flows, or both directions by turns. Making a packet costs a copy of
// its headers in either case; nothing is allocated and no packet's memory is shared.
//
// What it can show on two cores: whether workers disturb each other by what they share, which is
// the table, its lines, and the counts of generations; that costs in `both` what `own` does not
// pay. What it cannot: how it goes on with more of them, where memory and the last cache become
// narrow; rings and what VMs do at the other end, which need cores, too; flows that begin and
// end, which write to the index. If the two are threads of one core (siblings 1), or something
// else runs on them, the ratio tells of that more than of Weft.
//
// Prints one JSON object per line: {"bench": "scale", "flows": N, "own_one": packets/s,
// "own_two": ..., "own_ratio": ..., "both_one": ..., "both_two": ..., "both_ratio": ...,
// "siblings": 0}; the median of some rounds. Nothing if there is no second core.
#include <pthread.h>
#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/native/carry/fast.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/testing/testbed.h"

#define SESSIONS  (1u << 19)
#define ROUNDS	  5 // unless the argument says otherwise
#define ROUND_MS  1000
#define QUICK_MS  100
#define BATCH	  64 // bursts between two looks at the clock
#define PER_SPORT 60000

struct side { // of a connection
	uint16_t port;
	struct frame frame;
	bool replies;
};

struct load { // what a worker carries: of each side in turn the flows [first, first + n)
	struct testbed *tb;
	struct worker *w;
	int core;
	uint32_t first, n;
	const struct side *sides[2];
	uint32_t n_sides;
	uint64_t packets, cycles;
	pthread_t thread;
};

static _Atomic uint32_t ready;
static uint32_t round_ms;

// ---- A port that takes everything ----------------------------------------------------------

static _Thread_local struct rte_mbuf *back[NATIVE_BURST];
static _Thread_local uint16_t n_back;

static uint16_t sink_tx(struct port_io *io, struct rte_mbuf **pkts, uint16_t n)
{
	(void)io;
	for (uint16_t i = 0; i < n; i++)
		back[n_back++] = pkts[i];
	return n;
}

static void sink_close(struct port_io *io)
{
	free(io);
}

static void make_sink(struct testbed *tb, const char *port)
{
	static const struct port_io_ops ops = {.name = "sink", .tx = sink_tx, .close = sink_close};
	struct port_io *io = calloc(1, sizeof(*io)), *memory;

	if (io == NULL)
		abort();
	io->ops = &ops;
	io->up = true;
	memory = atomic_exchange(&weft_tables_port(tb->dp.tables, port)->io, io);
	memory->ops->close(memory);
}

// ---- A worker ------------------------------------------------------------------------------

static void fill(struct rte_mbuf *m, const struct side *s, uint32_t flow)
{
	uint16_t from = rte_cpu_to_be_16((uint16_t)(1 + flow % PER_SPORT));
	uint16_t to = rte_cpu_to_be_16((uint16_t)(1 + flow / PER_SPORT));
	uint8_t *f = rte_pktmbuf_mtod(m, uint8_t *);

	memcpy(f, s->frame.b, s->frame.len);
	memcpy(f + 34, s->replies ? &to : &from, 2);
	memcpy(f + 36, s->replies ? &from : &to, 2);
}

static void carry(struct load *l, const struct side *s, uint32_t flow)
{
	struct rte_mbuf *pkts[NATIVE_BURST];

	memcpy(pkts, back, sizeof(pkts));
	n_back = 0;
	for (uint32_t k = 0; k < NATIVE_BURST; k++)
		fill(pkts[k], s, l->first + (flow + k) % l->n);
	l->w->now_ms = native_now_ms(&l->tb->dp.node);
	l->w->epoch = weft_vstore_epoch(l->tb->dp.node.vs);
	weft_fast_burst(l->w, s->port, pkts, NATIVE_BURST);
	weft_send_flush(l->w);
	rte_rcu_qsbr_quiescent(l->tb->dp.node.qsbr, l->w->id);
	if (n_back != NATIVE_BURST) // one was dropped
		abort();
}

static void begin(struct load *l)
{
	if (rte_pktmbuf_alloc_bulk(l->tb->dp.node.pool, back, NATIVE_BURST) != 0)
		abort();
	n_back = NATIVE_BURST;
	for (uint16_t i = 0; i < NATIVE_BURST; i++)
		rte_pktmbuf_append(back[i], (uint16_t)l->sides[0]->frame.len);
	rte_rcu_qsbr_thread_online(l->tb->dp.node.qsbr, l->w->id);
}

static void end(struct load *l)
{
	rte_rcu_qsbr_thread_offline(l->tb->dp.node.qsbr, l->w->id);
	rte_pktmbuf_free_bulk(back, NATIVE_BURST);
}

static void *run(void *arg)
{
	struct load *l = arg;
	uint64_t started, now, most = rte_get_tsc_hz() / 1000 * round_ms;
	uint32_t flow = 0, burst = 0;

	begin(l);
	atomic_fetch_sub(&ready, 1);
	while (atomic_load(&ready) > 0)
		rte_pause();
	started = now = rte_rdtsc();
	for (; now - started < most; now = rte_rdtsc())
		for (int i = 0; i < BATCH; i++) {
			carry(l, l->sides[burst++ % l->n_sides], flow);
			if (burst % l->n_sides == 0)
				flow = (flow + NATIVE_BURST) % l->n;
			l->packets += NATIVE_BURST;
		}
	l->cycles = now - started;
	end(l);
	return NULL;
}

// Packets a second of all of them together.
static double measure(struct load *loads, uint32_t n)
{
	double sum = 0;

	atomic_store(&ready, n);
	for (uint32_t i = 0; i < n; i++) {
		pthread_attr_t attr;
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET((size_t)loads[i].core, &set);
		pthread_attr_init(&attr);
		pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
		if (pthread_create(&loads[i].thread, &attr, run, &loads[i]) != 0)
			abort();
		pthread_attr_destroy(&attr);
	}
	for (uint32_t i = 0; i < n; i++) {
		pthread_join(loads[i].thread, NULL);
		sum += (double)loads[i].packets * (double)rte_get_tsc_hz() /
		       (double)loads[i].cycles;
	}
	return sum;
}

// ---- What is measured ----------------------------------------------------------------------

static struct testbed *bed(struct side *questions, struct side *replies)
{
	const struct l4 udp = {.proto = 17, .sport = 1, .dport = 1, .payload = 18};
	struct testbed *tb = testbed_new(SESSIONS);

	testbed_worker(tb);
	testbed_network(tb, "n", 1500);
	testbed_rule_set(tb, "out", true, "egress 4 any\n");
	testbed_rule_set(tb, "in", true, "ingress 4 udp 1-65535\n");
	testbed_port(tb, "a", "n", "10.0.0.1", "out");
	testbed_port(tb, "b", "n", "10.0.0.2", "in");
	testbed_commit(tb);
	make_sink(tb, "a");
	make_sink(tb, "b");
	*questions = (struct side) {
		.port = weft_tables_port(tb->dp.tables, "a")->index,
		.frame = testbed_frame("a", "b", "10.0.0.1", "10.0.0.2", udp),
	};
	*replies = (struct side) {
		.port = weft_tables_port(tb->dp.tables, "b")->index,
		.frame = testbed_frame("b", "a", "10.0.0.2", "10.0.0.1", udp),
		.replies = true,
	};
	rte_rcu_qsbr_thread_offline(tb->dp.node.qsbr, 0); // its worker's thread is another
	return tb;
}

// Each flow's first packet, and its answer.
static void make_flows(struct testbed *tb, const struct side *const sides[2], uint32_t flows)
{
	struct load l = {.tb = tb, .w = tb->w, .n = flows, .sides = {sides[0]}};

	begin(&l);
	for (int i = 0; i < 2; i++)
		for (uint32_t flow = 0; flow < flows; flow += NATIVE_BURST)
			carry(&l, sides[i], flow);
	end(&l);
}

static double own(struct testbed *tb, const struct side *questions, uint32_t flows, uint32_t n)
{
	struct load loads[2];

	for (uint32_t i = 0; i < n; i++)
		loads[i] = (struct load) {.tb = tb,
					  .w = tb->dp.workers[i],
					  .core = (int)i,
					  .first = i * (flows / n),
					  .n = flows / n,
					  .sides = {questions},
					  .n_sides = 1};
	return measure(loads, n);
}

static double both(struct testbed *tb, const struct side *const sides[2], uint32_t flows,
		   uint32_t n)
{
	struct load loads[2];

	for (uint32_t i = 0; i < n; i++)
		loads[i] = (struct load) {.tb = tb,
					  .w = tb->dp.workers[i],
					  .core = (int)i,
					  .n = flows,
					  .sides = {sides[i], sides[1]},
					  .n_sides = n == 1 ? 2 : 1};
	return measure(loads, n);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *values, int n)
{
	qsort(values, (size_t)n, sizeof(values[0]), by_value);
	return values[n / 2];
}

static bool are_siblings(void)
{
	FILE *f = fopen("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "r");
	char text[64] = "";
	bool alone;

	if (f == NULL)
		return false;
	alone = fgets(text, sizeof(text), f) == NULL || strcmp(text, "0\n") == 0;
	fclose(f);
	return !alone && (strncmp(text, "0-1", 3) == 0 || strncmp(text, "0,1", 3) == 0);
}

static void compare(uint32_t flows, int rounds)
{
	struct side questions, replies;
	const struct side *const sides[2] = {&questions, &replies};
	struct testbed *tb = bed(&questions, &replies);
	double got[4][64], of[4];

	make_flows(tb, sides, flows);
	// By turns, so that what else the machine does meets all of them.
	for (int r = 0; r < rounds; r++) {
		got[0][r] = own(tb, &questions, flows, 1);
		got[1][r] = own(tb, &questions, flows, 2);
		got[2][r] = both(tb, sides, flows, 1);
		got[3][r] = both(tb, sides, flows, 2);
	}
	for (int i = 0; i < 4; i++)
		of[i] = median(got[i], rounds);
	printf("{\"bench\": \"scale\", \"flows\": %u, \"own_one\": %.0f, \"own_two\": %.0f, \"own_ratio\": %.2f, "
	       "\"both_one\": %.0f, \"both_two\": %.0f, \"both_ratio\": %.2f, \"siblings\": %d}\n",
	       flows, of[0], of[1], of[1] / of[0], of[2], of[3], of[3] / of[2], are_siblings());
	fflush(stdout);
	testbed_free(tb);
}

int main(int argc, char **argv)
{
	static const uint32_t counts[] = {64, 1024, 131072};
	int rounds = argc > 1 ? RTE_MIN(atoi(argv[1]), 64) : ROUNDS;
	cpu_set_t set;

	round_ms = argc > 1 ? QUICK_MS : ROUND_MS;
	if (sched_getaffinity(0, sizeof(set), &set) != 0 || !CPU_ISSET(0, &set) ||
	    !CPU_ISSET(1, &set)) {
		fprintf(stderr, "scale_bench: it needs cores 0 and 1\n");
		return 0;
	}
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		compare(counts[i], RTE_MAX(rounds, 1));
	return 0;
}
