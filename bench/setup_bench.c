// SPDX-License-Identifier: Apache-2.0
// Connection set-up through the whole slow path, by number of rules: one core, ports in memory,
// so that nothing but Weft's own work is measured. Every packet opens a new UDP flow between two
// filtered ports; the receiver's group has the given number of rules and the flow is permitted by
// one of them, in turn.
//
// Prints one JSON object per line: {"bench": "setup", "rules": N, "flows_per_s": ...,
// "cycles_per_flow": ...}
#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/native/carry/fast.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/testing/testbed.h"

#define FLOWS	 (1u << 18)
#define SESSIONS (1u << 19)
#define ROUNDS	 5

// TCP rules for single ports from distinct /24 remotes, then UDP rules for single ports: the
// flows hit the latter.
static char *rules_text(unsigned n)
{
	size_t size = (size_t)n * 64 + 64, len = 0;
	char *text = malloc(size);

	if (text == NULL)
		abort();
	text[0] = '\0';
	for (unsigned i = 0; i < n; i++) {
		if (i % 2 == 0)
			len += (size_t)snprintf(text + len, size - len, "ingress 4 udp %u-%u\n",
						2000 + i, 2000 + i);
		else
			len += (size_t)snprintf(text + len, size - len,
						"ingress 4 tcp %u-%u 172.%u.%u.0/24\n", i, i,
						16 + i / 256 % 16, i % 256);
	}
	return text;
}

static struct testbed *bed(unsigned n_rules)
{
	struct testbed *tb = testbed_new(SESSIONS);
	char *text = rules_text(n_rules);

	testbed_network(tb, "n1", 1500);
	testbed_rule_set(tb, "out", true, "egress 4 any\n");
	testbed_rule_set(tb, "in", true, text);
	testbed_port(tb, "a", "n1", "10.0.0.1", "out");
	testbed_port(tb, "b", "n1", "10.0.0.2", "in");
	testbed_commit(tb);
	free(text);
	return tb;
}

static void drain(struct testbed *tb)
{
	struct frame f;

	while (testbed_receive(tb, "b", &f))
		;
}

// Cycles per flow of FLOWS new flows; the time of making the packets and of reading them back is
// not counted.
static double run(struct testbed *tb, unsigned n_rules)
{
	struct frame f =
		testbed_frame("a", "b", "10.0.0.1", "10.0.0.2",
			      (struct l4) {.proto = 17, .sport = 1, .dport = 2000, .payload = 18});
	uint16_t port = weft_tables_port(tb->dp.tables, "a")->index;
	uint64_t cycles = 0;

	for (uint32_t flow = 0; flow < FLOWS; flow += NATIVE_BURST) {
		struct rte_mbuf *burst[NATIVE_BURST];
		uint64_t begin;

		if (rte_pktmbuf_alloc_bulk(tb->dp.node.pool, burst, NATIVE_BURST) != 0)
			abort();
		for (uint32_t i = 0; i < NATIVE_BURST; i++) {
			uint32_t id = flow + i;
			uint16_t sport = (uint16_t)(1 + id % 60000);
			uint16_t dport =
				(uint16_t)(2000 + id / 60000 * 2 % (n_rules < 2 ? 2 : n_rules));
			uint16_t be;

			be = rte_cpu_to_be_16(sport);
			memcpy(f.b + 34, &be, 2);
			be = rte_cpu_to_be_16(dport);
			memcpy(f.b + 36, &be, 2);
			memcpy(rte_pktmbuf_append(burst[i], (uint16_t)f.len), f.b, f.len);
		}
		tb->w->epoch = weft_vstore_epoch(tb->dp.node.vs);
		begin = rte_rdtsc();
		weft_fast_burst(tb->w, port, burst, NATIVE_BURST);
		weft_send_flush(tb->w);
		cycles += rte_rdtsc() - begin;
		rte_rcu_qsbr_quiescent(tb->dp.node.qsbr, 0);
		drain(tb);
	}
	return (double)cycles / FLOWS;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : ROUNDS;
	static const unsigned counts[] = {10, 100, 1000, 10000};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		double best = 0;

		for (int round = 0; round < rounds; round++) {
			struct testbed *tb = bed(counts[i]);
			double c = run(tb, counts[i]);
			uint32_t made = weft_session_count(tb->dp.node.sessions);

			if (made == 0) {
				fprintf(stderr, "no session was made: not a measurement\n");
				return 1;
			}
			if (best == 0 || c < best)
				best = c;
			testbed_free(tb);
		}
		printf("{\"bench\": \"setup\", \"rules\": %u, \"flows_per_s\": %.0f, \"cycles_per_flow\": %.0f}\n",
		       counts[i], (double)rte_get_tsc_hz() / best, best);
		fflush(stdout);
	}
	return 0;
}
