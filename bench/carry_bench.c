// SPDX-License-Identifier: Apache-2.0
// Packets of known flows through the fast path, ports in memory, one core: the same UDP flows,
// both ends filtered, inside a network, through a router, and with their source translated to a
// floating IP. What differs between the columns is what routing and NAT cost.
//
// Prints one JSON object per line: {"bench": "carry", "flows": N, "switched_cycles": ...,
// "routed_cycles": ..., "nat_cycles": ...} per packet.
#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/native/carry/fast.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/testing/testbed.h"

#define PACKETS	 (1u << 20)
#define SESSIONS (1u << 19)
#define ROUNDS	 5 // unless the argument says otherwise

static struct testbed *bed(void)
{
	struct testbed *tb = testbed_new(SESSIONS);

	testbed_network(tb, "n1", 1500);
	testbed_network(tb, "n2", 1500);
	testbed_rule_set(tb, "out", true, "egress 4 any\n");
	testbed_rule_set(tb, "in", true, "ingress 4 udp 1-65535\n");
	testbed_port(tb, "a", "n1", "10.0.1.1", "out");
	testbed_port(tb, "near", "n1", "10.0.1.2", "in");
	testbed_port(tb, "far", "n2", "10.0.2.1", "in");
	testbed_network(tb, "ext", 1500);
	testbed_port(tb, "out", "ext", "203.0.113.9", "in");
	testbed_router_snat(tb, "r",
			    "n1|r1|10.0.1.254/24 n2|r2|10.0.2.254/24 !ext|rx|203.0.113.1/24", "",
			    "203.0.113.1");
	testbed_floating(tb, "fip", "r", "ext", "203.0.113.5", "10.0.1.1", "a");
	testbed_commit(tb);
	return tb;
}

static void drain(struct testbed *tb, const char *port)
{
	struct frame f;

	while (testbed_receive(tb, port, &f))
		;
}

static void fill(struct rte_mbuf *m, struct frame *f, uint32_t flow)
{
	uint16_t sport = rte_cpu_to_be_16((uint16_t)(1 + flow % 60000));
	uint16_t dport = rte_cpu_to_be_16((uint16_t)(1 + flow / 60000));

	memcpy(f->b + 34, &sport, 2);
	memcpy(f->b + 36, &dport, 2);
	memcpy(rte_pktmbuf_append(m, (uint16_t)f->len), f->b, f->len);
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

// Cycles per packet, of the median burst: what else the machine does meanwhile disturbs some
// bursts, not the median. Making and reading the packets is not counted.
static double run(struct testbed *tb, const char *to, struct frame f, uint32_t flows,
		  uint32_t packets)
{
	uint16_t port = weft_tables_port(tb->dp.tables, "a")->index;
	static uint32_t cycles[PACKETS / NATIVE_BURST];
	uint32_t n = 0;

	for (uint32_t i = 0; i < packets; i += NATIVE_BURST) {
		struct rte_mbuf *burst[NATIVE_BURST];
		uint64_t begin;

		if (rte_pktmbuf_alloc_bulk(tb->dp.node.pool, burst, NATIVE_BURST) != 0)
			abort();
		for (uint32_t k = 0; k < NATIVE_BURST; k++)
			fill(burst[k], &f, (i + k) % flows);
		tb->w->epoch = weft_vstore_epoch(tb->dp.node.vs);
		begin = rte_rdtsc();
		weft_fast_burst(tb->w, port, burst, NATIVE_BURST);
		weft_send_flush(tb->w);
		if (n < RTE_DIM(cycles))
			cycles[n++] = (uint32_t)(rte_rdtsc() - begin);
		rte_rcu_qsbr_quiescent(tb->dp.node.qsbr, 0);
		drain(tb, to);
	}
	qsort(cycles, n, sizeof(cycles[0]), by_size);
	return (double)cycles[n / 2] / NATIVE_BURST;
}

static void measure(uint32_t flows, int rounds)
{
	const struct l4 udp = {.proto = 17, .sport = 1, .dport = 1, .payload = 18};
	struct frame near = testbed_frame("a", "near", "10.0.1.1", "10.0.1.2", udp);
	struct frame far = testbed_frame("a", "r1", "10.0.1.1", "10.0.2.1", udp);
	struct frame out = testbed_frame("a", "r1", "10.0.1.1", "203.0.113.9", udp);
	struct testbed *tb = bed();
	double switched = 0, routed = 0, nat = 0;

	run(tb, "near", near, flows, flows + NATIVE_BURST); // the first packets make the sessions
	run(tb, "far", far, flows, flows + NATIVE_BURST);
	run(tb, "out", out, flows, flows + NATIVE_BURST);
	for (int i = 0; i < rounds; i++) {
		double s = run(tb, "near", near, flows, PACKETS);
		double r = run(tb, "far", far, flows, PACKETS);
		double t = run(tb, "out", out, flows, PACKETS);

		switched = switched == 0 || s < switched ? s : switched;
		routed = routed == 0 || r < routed ? r : routed;
		nat = nat == 0 || t < nat ? t : nat;
	}
	printf("{\"bench\": \"carry\", \"flows\": %u, \"switched_cycles\": %.0f, \"routed_cycles\": %.0f, "
	       "\"nat_cycles\": %.0f}\n",
	       flows, switched, routed, nat);
	fflush(stdout);
	testbed_free(tb);
}

int main(int argc, char **argv)
{
	static const uint32_t counts[] = {1, 1000, 10000, 100000};
	int rounds = argc > 1 ? atoi(argv[1]) : ROUNDS;

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		measure(counts[i], rounds);
	return 0;
}
