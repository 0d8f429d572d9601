// SPDX-License-Identifier: Apache-2.0
// The session table alone, one core: cycles per look-up and per new connection, by number of
// users. A user is one UDP connection; look-ups are of either direction, in bursts of 32, hash
// and a write to the line that was found included.
//
// Prints one JSON object per line: {"bench": "session", "what": ..., "order": ..., "users": N,
// "cycles": ...} The best of some rounds, and of each without its slowest twentieth of bursts:
// what disturbs a measurement only ever makes it slower.
#include <rte_cycles.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/native/session/session.h"

#define BURST	 32
#define SESSIONS (1u << 20)
#define LOOK_UPS (1u << 20)
#define ROUNDS	 5
#define PORT_A	 1
#define PORT_B	 2

static const struct datapath_timeouts timeouts = {60, 432000, 30, 30, 180, 30, 600};

struct bench {
	struct session_table *t;
	struct session_worker *w;
	struct rte_rcu_qsbr *qsbr;
	uint32_t now_ms;
};

static struct bench bench_new(void)
{
	size_t size = (rte_rcu_qsbr_get_memsize(1) + 63) / 64 * 64;
	struct bench b = {.qsbr = aligned_alloc(64, size)};
	const struct session_config config = {
		.connections = SESSIONS,
		.port_share_percent = 100,
		.max_ports = 16,
		.huge = true,
		.timeouts = timeouts,
		.qsbr = b.qsbr,
	};
	struct err err;

	if (b.qsbr == NULL || rte_rcu_qsbr_init(b.qsbr, 1) != 0)
		abort();
	rte_rcu_qsbr_thread_register(b.qsbr, 0);
	rte_rcu_qsbr_thread_online(b.qsbr, 0);
	if (weft_sessions_new(&config, &b.t, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		exit(1);
	}
	b.w = weft_session_worker_new(b.t);
	return b;
}

static void bench_free(struct bench *b)
{
	weft_session_worker_free(b->w);
	weft_sessions_free(b->t);
	free(b->qsbr);
}

static void key_of(uint8_t family, uint32_t user, bool reply, struct flow_key *k)
{
	struct flow_key o = {.in_port = PORT_A, .proto = 17, .family = family};

	o.sport = (rte_be16_t)(user * 7);
	o.dport = rte_cpu_to_be_16(53);
	if (family == 4) {
		o.src4 = rte_cpu_to_be_32(0x0a000000 + (user >> 16));
		o.dst4 = rte_cpu_to_be_32(0x0a800001);
	} else {
		o.src6[0] = o.dst6[0] = 0x20;
		memcpy(o.src6 + 12, &user, 4);
	}
	if (reply)
		weft_flow_reverse(&o, PORT_B, k);
	else
		*k = o;
}

// Cycles of each burst of one measurement.
static uint32_t sample[SESSIONS / BURST + 1], samples;

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

// Cycles for each of a burst's items.
static double mean(void)
{
	uint32_t n = RTE_MAX(samples * 19 / 20, 1u);
	double sum = 0;

	qsort(sample, samples, sizeof(sample[0]), compare);
	for (uint32_t i = 0; i < n; i++)
		sum += sample[i];
	samples = 0;
	return sum / n / BURST;
}

static void report(const char *what, const char *order, uint32_t users, double cycles)
{
	printf("{\"bench\": \"session\", \"what\": \"%s\", \"order\": \"%s\", \"users\": %u, "
	       "\"cycles\": %.1f}\n",
	       what, order, users, cycles);
	fflush(stdout);
}

// A burst of first packets: looked up in vain, then added. Cycles.
static uint64_t add_burst(struct bench *b, uint8_t family, uint32_t user, uint32_t *refused)
{
	struct session_new n[BURST];
	struct flow_key keys[BURST];
	struct session *out[BURST];
	uint32_t hashes[BURST];
	enum drop why;

	memset(n, 0, sizeof(n));
	for (uint32_t i = 0; i < BURST; i++) {
		key_of(family, user + i, false, &keys[i]);
		n[i].original.key = keys[i];
		key_of(family, user + i, true, &n[i].reply.key);
	}
	uint64_t start = rte_rdtsc_precise();
	for (uint32_t i = 0; i < BURST; i++)
		hashes[i] = weft_flow_hash(&keys[i]);
	weft_session_get_bulk(b->t, keys, hashes, BURST, 0, out);
	for (uint32_t i = 0; i < BURST; i++)
		weft_session_prefetch(b->t, &n[i].reply.key);
	for (uint32_t i = 0; i < BURST; i++)
		*refused += weft_session_add(b->w, &n[i], b->now_ms, &why) == NULL;
	rte_rcu_qsbr_quiescent(b->qsbr, 0);
	weft_session_expire(b->w, b->now_ms, 64);
	return rte_rdtsc_precise() - start;
}

// Connections [first, first + users), cycles for each.
static double add_users(struct bench *b, uint8_t family, uint32_t first, uint32_t users)
{
	uint32_t refused = 0, bursts = (users + BURST - 1) / BURST;

	for (uint32_t i = 0; i < bursts; i++) {
		b->now_ms += i % 100 == 0; // about 3 million a second
		sample[samples++] = (uint32_t)add_burst(b, family, first + i * BURST, &refused);
	}
	if (refused > bursts * BURST / 1000)
		fprintf(stderr, "%u of %u refused\n", refused, bursts * BURST);
	return mean();
}

static double look_up(struct bench *b, uint8_t family, uint32_t users, uint32_t first, bool random,
		      bool expected)
{
	struct flow_key keys[BURST];
	struct session *out[BURST];
	uint32_t hashes[BURST], x = 12345, next = 0;

	for (uint32_t i = 0; i < LOOK_UPS / BURST; i++) {
		for (uint32_t k = 0; k < BURST; k++) {
			x ^= x << 13;
			x ^= x >> 17;
			x ^= x << 5;
			uint32_t user = random ? x % users : next++ / 2 % users;
			key_of(family, first + user, random ? x >> 31 : next % 2, &keys[k]);
		}
		uint64_t start = rte_rdtsc_precise();
		for (uint32_t k = 0; k < BURST; k++)
			hashes[k] = weft_flow_hash(&keys[k]);
		weft_session_get_bulk(b->t, keys, hashes, BURST, 0, out);
		for (uint32_t k = 0; k < BURST; k++) {
			if ((out[k] != NULL) != expected)
				exit(2);
			if (out[k] != NULL) {
				out[k]->packets++;
				out[k]->seen_ms = b->now_ms;
			}
		}
		sample[samples++] = (uint32_t)(rte_rdtsc_precise() - start);
	}
	return mean();
}

// Let all expire, and pass limbo.
static void forget_all(struct bench *b)
{
	b->now_ms += 60000;
	while (weft_session_count(b->t) > 0) {
		weft_session_expire(b->w, b->now_ms++, 64);
		rte_rcu_qsbr_quiescent(b->qsbr, 0);
	}
	for (int i = 0; i < 100; i++) {
		weft_session_expire(b->w, b->now_ms++, 64);
		rte_rcu_qsbr_quiescent(b->qsbr, 0);
	}
}

static double best(double a, double b)
{
	return a == 0 || b < a ? b : a;
}

static void bench_users(uint8_t family, uint32_t users, int rounds)
{
	double add = 0, ordered = 0, random = 0, miss = 0;
	char what[32];

	for (int r = 0; r < rounds; r++) {
		struct bench b = bench_new();
		add_users(&b, family, 0, users); // memory comes with its first use
		forget_all(&b);
		add = best(add, add_users(&b, family, 0, users));
		ordered = best(ordered, look_up(&b, family, users, 0, false, true));
		random = best(random, look_up(&b, family, users, 0, true, true));
		miss = best(miss, look_up(&b, family, users, 1u << 30, true, false));
		bench_free(&b);
	}
	const char *v = family == 4 ? "IPv4" : "IPv6";
	snprintf(what, sizeof(what), "look-up %s", v);
	report(what, "in turn", users, ordered);
	report(what, "random", users, random);
	snprintf(what, sizeof(what), "miss %s", v);
	report(what, "random", users, miss);
	snprintf(what, sizeof(what), "add %s", v);
	report(what, "in turn", users, add);
}

// The table full of unanswered connections: each new one takes an old one's place.
static void bench_full(int rounds)
{
	struct bench b = bench_new();
	double fresh = add_users(&b, 4, 0, SESSIONS), full = 0, dead = 0;

	report("add IPv4, memory never used before", "in turn", SESSIONS, fresh);
	for (int r = 0; r < rounds; r++)
		full = best(full, add_users(&b, 4, (uint32_t)(r + 1) * SESSIONS, SESSIONS / 2));
	report("add IPv4, table full of unanswered", "in turn", SESSIONS, full);
	for (int r = 0; r < rounds; r++) {
		b.now_ms += 31000; // all expire, and the clock hand runs beside
		dead = best(dead, add_users(&b, 4, (uint32_t)(r + 100) * SESSIONS, SESSIONS / 2));
	}
	report("add IPv4, table full of expired", "in turn", SESSIONS, dead);
	bench_free(&b);
}

int main(int argc, char **argv)
{
	static const uint32_t users[] = {1, 1000, 10000, 100000, 1000000};
	int rounds = argc > 1 ? atoi(argv[1]) : ROUNDS;

	if (rounds <= 0) {
		fprintf(stderr, "usage: session_bench [ROUNDS]\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++)
		bench_users(4, users[i], rounds);
	bench_users(6, 1000, rounds);
	bench_users(6, 1000000, rounds);
	bench_full(rounds);
	return 0;
}
