// SPDX-License-Identifier: Apache-2.0
// What a look-up in compiled rules costs, by number and kind of rules.
//
// Each look-up's place in the list of queries depends on the result of the one before, so this is
// latency (what the first packet of a connection waits), not throughput. The best of several
// rounds is printed: on a shared machine the others measure the neighbours. Queries are random:
// hits lie in a random rule each, misses in none.
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>

#include "datapath/native/rules/rules.h"
#include "plan/diff.h"

enum { TCP = 6, UDP = 17, QUERIES = 16384, MEMBERS = 16 };

struct query {
	struct rule_query q;
	uint8_t remote[16];
};

struct bench {
	struct vstore *vs;
	struct sets *sets;
	struct plan_rule_set plan;
	struct rules *rules;
	struct query hit[QUERIES], miss[QUERIES];
};

struct mix {
	const char *name, *what;
	uint8_t family;
	void (*rule)(struct bench *b, struct plan_rule *r, uint32_t i);
};

struct result {
	double compile_ms, diff_ms;
	size_t bytes;
	double hit_ns, miss_ns, hit_cycles, miss_cycles;
};

static uint64_t seed = 42;

static uint32_t rnd(void)
{
	seed = seed * 6364136223846793005 + 1442695040888963407;
	return (uint32_t)(seed >> 32);
}

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void random_bytes(uint8_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t)rnd();
}

// ---- Mixes of rules ------------------------------------------------------------------------

// Single ports and short ranges, from anywhere.
static void ports_rule(struct bench *b, struct plan_rule *r, uint32_t i)
{
	(void)b;
	r->proto = i % 2 ? TCP : UDP;
	r->port_min = (uint16_t)(rnd() % 60000);
	r->port_max = (uint16_t)(r->port_min + rnd() % 4);
}

static void prefix_rule(struct plan_rule *r, uint8_t shortest, uint8_t longest)
{
	struct ip_prefix p = {.ip.family = r->family};

	random_bytes(p.ip.b, r->family == 6 ? 16 : 4);
	p.len = (uint8_t)(shortest + rnd() % (longest - shortest + 1u));
	r->remote = PLAN_REMOTE_PREFIX;
	r->prefix = weft_prefix_masked(&p);
}

static void hosts_rule(struct bench *b, struct plan_rule *r, uint32_t i)
{
	(void)b, (void)i;
	prefix_rule(r, 32, 32);
}

static void prefixes_rule(struct bench *b, struct plan_rule *r, uint32_t i)
{
	(void)b;
	prefix_rule(r, 12, 32);
	r->port_min = r->port_max = (uint16_t)(i % 1000);
}

static void prefixes6_rule(struct bench *b, struct plan_rule *r, uint32_t i)
{
	(void)b;
	prefix_rule(r, 16, 128);
	r->port_min = r->port_max = (uint16_t)(i % 1000);
}

// A group of its own for each rule, with a few members.
static void groups_rule(struct bench *b, struct plan_rule *r, uint32_t i)
{
	r->remote = PLAN_REMOTE_SET;
	snprintf(r->set_id, sizeof(r->set_id), "group-%u", i);
	for (int m = 0; m < MEMBERS; m++) {
		struct ip_prefix p = {.ip.family = 4, .len = 32};

		random_bytes(p.ip.b, 4);
		if (m == 0)
			r->prefix = p; // the one that hits
		weft_sets_add(b->sets, r->set_id, &p);
	}
}

static const struct mix mixes[] = {
	{"ports", "port ranges, any remote", 4, ports_rule},
	{"hosts", "a /32 and a port each", 4, hosts_rule},
	{"prefixes", "a /12 to /32 and a port each", 4, prefixes_rule},
	{"prefixes6", "a /16 to /128 and a port each", 6, prefixes6_rule},
	{"groups", "a remote group of 16 and a port each", 4, groups_rule},
};

// ---- Queries -------------------------------------------------------------------------------

static void hit_query(const struct bench *b, struct query *q)
{
	const struct plan_rule *r = &b->plan.rules[rnd() % b->plan.n_rules];

	q->q = (struct rule_query) {
		.direction = r->direction,
		.family = r->family,
		.proto = (uint8_t)r->proto,
		.has_l4 = true,
		.port = (uint16_t)(r->port_min + rnd() % (r->port_max - r->port_min + 1u)),
	};
	random_bytes(q->remote, sizeof(q->remote));
	if (r->remote == PLAN_REMOTE_ANY)
		return;
	memcpy(q->remote, r->prefix.ip.b, r->prefix.len / 8u);
	if (r->prefix.len % 8u) {
		uint8_t host = (uint8_t)(0xff >> r->prefix.len % 8u);
		uint8_t *at = &q->remote[r->prefix.len / 8u];

		*at = (uint8_t)(r->prefix.ip.b[r->prefix.len / 8u] | (*at & host));
	}
}

static const char *permit(const struct bench *b, struct query *q)
{
	q->q.remote = q->remote;
	return weft_rules_permit(b->rules, b->sets, weft_vstore_epoch(b->vs), &q->q);
}

// Misses have the protocol and, for half of them, the remote end of a rule: they must be searched
// for, too.
static void queries(struct bench *b)
{
	for (int i = 0; i < QUERIES; i++) {
		hit_query(b, &b->hit[i]);
		if (permit(b, &b->hit[i]) == NULL)
			abort();
		do {
			hit_query(b, &b->miss[i]);
			b->miss[i].q.port = (uint16_t)rnd();
			if (rnd() % 2)
				random_bytes(b->miss[i].remote, sizeof(b->miss[i].remote));
		} while (permit(b, &b->miss[i]) != NULL);
		b->miss[i].q.remote = b->miss[i].remote;
	}
}

// ---- Measuring -----------------------------------------------------------------------------

static void look_up(const struct bench *b, const struct query *q, int rounds, double *ns,
		    double *cycles)
{
	uint64_t epoch = weft_vstore_epoch(b->vs);

	*ns = *cycles = 1e12;
	for (int round = 0; round < rounds; round++) {
		double start = now_ms(), each_ns, each_cycles;
		uint64_t tsc = rte_rdtsc();
		size_t i = 0;

		while (i < QUERIES) {
			const char *id = weft_rules_permit(b->rules, b->sets, epoch, &q[i].q);

			i += 1 +
			     ((uintptr_t)id >> 63); // always 1, but only when the result is known
		}
		each_cycles = (double)(rte_rdtsc() - tsc) / QUERIES;
		each_ns = (now_ms() - start) * 1e6 / QUERIES;
		if (each_ns < *ns) {
			*ns = each_ns;
			*cycles = each_cycles;
		}
	}
}

static void compile(struct bench *b, int rounds, struct result *out)
{
	struct plan_rule_set fewer = b->plan;
	struct err err;

	fewer.n_rules--;
	out->compile_ms = out->diff_ms = 1e12;
	for (int round = 0; round < rounds; round++) {
		double start = now_ms(), took;

		weft_rules_free(b->rules);
		if (weft_rules_compile(&b->plan, b->sets, &b->rules, &err) != 0) {
			fprintf(stderr, "%s\n", err.msg);
			exit(1);
		}
		took = now_ms() - start;
		out->compile_ms = took < out->compile_ms ? took : out->compile_ms;
		start = now_ms();
		if (!weft_plan_rules_only_added(&fewer, &b->plan))
			abort();
		took = now_ms() - start;
		out->diff_ms = took < out->diff_ms ? took : out->diff_ms;
	}
	out->bytes = weft_rules_memory(b->rules);
}

static void run(const struct mix *mix, uint32_t n, int rounds, struct result *out)
{
	static struct bench b;

	memset(&b, 0, sizeof(b));
	b.vs = weft_vstore_new(NULL);
	b.sets = weft_sets_new(b.vs);
	b.plan.n_rules = n;
	b.plan.rules = calloc(n, sizeof(b.plan.rules[0]));
	if (b.plan.rules == NULL)
		abort();
	for (uint32_t i = 0; i < n; i++) {
		struct plan_rule *r = &b.plan.rules[i];

		*r = (struct plan_rule) {.direction = PLAN_INGRESS,
					 .family = mix->family,
					 .proto = TCP,
					 .has_ports = true,
					 .port_min = 443,
					 .port_max = 443,
					 .icmp_type = -1,
					 .icmp_code = -1};
		snprintf(r->id, sizeof(r->id), "rule-%u", i);
		mix->rule(&b, r, i);
	}
	weft_vstore_commit(b.vs);
	compile(&b, rounds / 20 + 2, out);
	queries(&b);
	look_up(&b, b.hit, rounds, &out->hit_ns, &out->hit_cycles);
	look_up(&b, b.miss, rounds, &out->miss_ns, &out->miss_cycles);
	weft_rules_free(b.rules);
	weft_sets_free(b.sets);
	weft_vstore_free(b.vs);
	free(b.plan.rules);
}

static void print(bool json, const struct mix *mix, uint32_t n, const struct result *r)
{
	if (json) {
		printf("{\"mix\": \"%s\", \"rules\": %" PRIu32
		       ", \"hit_ns\": %.1f, \"miss_ns\": %.1f, "
		       "\"hit_cycles\": %.0f, \"miss_cycles\": %.0f, \"compile_ms\": %.3f, "
		       "\"diff_ms\": %.3f, \"bytes\": %zu}\n",
		       mix->name, n, r->hit_ns, r->miss_ns, r->hit_cycles, r->miss_cycles,
		       r->compile_ms, r->diff_ms, r->bytes);
		return;
	}
	printf("%-10s %6" PRIu32 "  %7.1f %7.0f  %7.1f %7.0f  %8.3f %8.3f %9.1f\n", mix->name, n,
	       r->hit_ns, r->hit_cycles, r->miss_ns, r->miss_cycles, r->compile_ms, r->diff_ms,
	       (double)r->bytes / 1024);
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[] = {10, 100, 1000, 10000};
	bool json = false, quick = false;

	for (int i = 1; i < argc; i++) {
		json |= strcmp(argv[i], "--json") == 0;
		quick |= strcmp(argv[i], "--quick") == 0;
		if (strcmp(argv[i], "--json") != 0 && strcmp(argv[i], "--quick") != 0) {
			fprintf(stderr, "usage: %s [--quick] [--json (one object a line)]\n",
				argv[0]);
			return 2;
		}
	}
	if (!json) {
		for (size_t m = 0; m < sizeof(mixes) / sizeof(mixes[0]); m++)
			printf("%-10s %s\n", mixes[m].name, mixes[m].what);
		printf("\n%-10s %6s  %15s  %15s  %8s %8s %9s\n", "", "", "hit", "miss", "compile",
		       "diff", "memory");
		printf("%-10s %6s  %7s %7s  %7s %7s  %8s %8s %9s\n", "mix", "rules", "ns", "cycles",
		       "ns", "cycles", "ms", "ms", "KiB");
	}
	for (size_t m = 0; m < sizeof(mixes) / sizeof(mixes[0]); m++)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			struct result r;

			run(&mixes[m], sizes[i], quick ? 20 : 200, &r);
			print(json, &mixes[m], sizes[i], &r);
		}
	return 0;
}
