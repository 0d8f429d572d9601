// SPDX-License-Identifier: Apache-2.0
#include "run.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <stdlib.h>
#include <time.h>

#define WINDOW	192   // packets on their way while flows are made known
#define BUCKETS 65536 // of the latency histogram, 0.1 us each

uint32_t *run_histogram(void)
{
	return calloc(BUCKETS, sizeof(uint32_t));
}

uint32_t *run_shuffled(uint32_t n)
{
	uint32_t *order = malloc(n * sizeof(*order));
	uint64_t x = 0x9e3779b97f4a7c15;

	if (order == NULL)
		return NULL;
	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	for (uint32_t i = n - 1; i > 0; i--) {
		uint32_t other, swap = order[i];

		x ^= x << 13; // xorshift64
		x ^= x >> 7;
		x ^= x << 17;
		other = (uint32_t)(x % (i + 1));
		order[i] = order[other];
		order[other] = swap;
	}
	return order;
}

static void note_latency(struct run *r, const struct frame *f)
{
	uint64_t tenths = (rte_rdtsc() - f->tsc) * 10000000 / rte_get_tsc_hz();

	r->latency[RTE_MIN(tenths, (uint64_t)BUCKETS - 1)]++;
}

// What has arrived at an end. B answers what is of a new flow.
static void receive(struct run *r, int at)
{
	struct end *e = &r->pair->end[at];
	struct rte_mbuf *pkts[BURST], *out[BURST];
	uint16_t n = rte_eth_rx_burst(e->port, 0, pkts, BURST), n_out = 0, sent;

	if (n == 0)
		return;
	for (uint16_t i = 0; i < n; i++) {
		const struct frame *f;

		if (i + 4 < n)
			rte_prefetch0(rte_pktmbuf_mtod(pkts[i + 4], void *));
		f = rte_pktmbuf_mtod(pkts[i], const struct frame *);
		if (!packet_is_good(pkts[i], &r->way[!at], (e->checked++ & 63) == 0)) {
			e->bad++;
			continue;
		}
		if (f->user < FRESH_FIRST) {
			e->received++;
			if (r->latency != NULL)
				note_latency(r, f);
			continue;
		}
		e->received_fresh++;
		if (at == 1 && (out[n_out] = rte_pktmbuf_alloc(tx_pool)) != NULL)
			packet_make(out[n_out++], &r->way[1], f->user, false);
	}
	rte_pktmbuf_free_bulk(pkts, n);
	if (n_out > 0) {
		sent = rte_eth_tx_burst(e->port, 0, out, n_out);
		rte_pktmbuf_free_bulk(out + sent, n_out - sent);
		e->answers.sent += sent;
	}
}

// Hand the switch what is staged. Returns how many it took.
static uint16_t push(struct end *e, struct stream *s)
{
	uint16_t sent = rte_eth_tx_burst(e->port, 0, s->staged + s->done, s->n - s->done);

	s->done += sent;
	s->sent += sent;
	return sent;
}

// A burst of the users' packets, or what is left of the last one. Returns how many the switch took.
static uint16_t send_known(struct run *r, int from, uint16_t n)
{
	struct end *e = &r->pair->end[from];
	struct stream *s = &e->known;

	if (s->done == s->n) {
		s->done = s->n = 0;
		if (rte_pktmbuf_alloc_bulk(tx_pool, s->staged, n) != 0)
			return 0;
		for (uint16_t i = 0; i < n; i++) {
			packet_make(s->staged[i], &r->way[from],
				    r->order == NULL ? s->next : r->order[s->next],
				    r->latency != NULL);
			s->next = s->next + 1 == r->users ? 0 : s->next + 1;
		}
		s->n = n;
	}
	return push(e, s);
}

// The same for new flows, from A.
static void send_fresh(struct run *r)
{
	struct end *e = &r->pair->end[0];
	struct stream *s = &e->fresh;

	if (s->done == s->n) {
		s->done = s->n = 0;
		if (rte_pktmbuf_alloc_bulk(tx_pool, s->staged, BURST) != 0)
			return;
		for (uint16_t i = 0; i < BURST; i++) {
			uint32_t user = r->pair->fresh;

			packet_make(s->staged[i], &r->way[0], user, false);
			r->pair->fresh = user + 1 == FRESH_END ? FRESH_FIRST : user + 1;
		}
		s->n = BURST;
	}
	push(e, s);
}

static void settle(struct run *r)
{
	for (uint64_t begin = rte_rdtsc(); rte_rdtsc() - begin < rte_get_tsc_hz() / 100;) {
		receive(r, 0);
		receive(r, 1);
	}
}

// Each user's packet once, few on their way at a time, so that none is lost. Returns how many
// arrived.
static uint64_t make_known(struct run *r, int from)
{
	struct end *e = &r->pair->end[from], *to = &r->pair->end[!from];
	uint64_t begin = to->received + to->bad, sent = 0, lost = 0, last, at = rte_rdtsc();
	uint64_t end = at + (uint64_t)(r->known_s / 2 * (double)rte_get_tsc_hz());

	e->known.next = 0;
	while (sent < r->users && rte_rdtsc() < end) {
		uint64_t arrived = to->received + to->bad - begin;

		if (sent - arrived - lost < WINDOW) {
			sent += send_known(r, from,
					   (uint16_t)RTE_MIN((uint32_t)BURST, r->users - sent));
		} else if (rte_rdtsc() - at > rte_get_tsc_hz() / 100) {
			lost = sent - arrived;
		}
		last = to->received;
		receive(r, !from);
		receive(r, from);
		if (to->received != last)
			at = rte_rdtsc();
	}
	settle(r);
	stream_forget(&e->known);
	e->known.next = 0;
	return to->received + to->bad - begin;
}

static double thread_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void loop(struct run *r, uint64_t begin, uint64_t end)
{
	double per_cycle = r->rate / (double)rte_get_tsc_hz();
	uint64_t now, due = 0;

	while ((now = rte_rdtsc()) < end) {
		uint16_t n = r->users > 0 ? BURST : 0;

		if (n > 0 && r->rate > 0) {
			uint64_t want = (uint64_t)((double)(now - begin) * per_cycle);

			n = (uint16_t)RTE_MIN((uint64_t)BURST, want - due);
			due += n;
		}
		if (n > 0) {
			send_known(r, 0, n);
			send_known(r, 1, n);
		}
		if (r->fresh)
			send_fresh(r);
		receive(r, 0);
		receive(r, 1);
	}
}

static double percentile(const struct run *r, double of)
{
	uint64_t total = 0, seen = 0;
	size_t i;

	for (i = 0; i < BUCKETS; i++)
		total += r->latency[i];
	for (i = 0; i + 1 < BUCKETS; i++) {
		seen += r->latency[i];
		if ((double)seen >= (double)total * of)
			break;
	}
	return (double)i / 10;
}

static void set(json_t *o, const char *name, double value)
{
	json_object_set_new(o, name, json_real(value));
}

// The counts of the window just over; what is still on its way is waited for before loss is told.
static json_t *figures(struct run *r, double cpu, double wall)
{
	struct end *a = &r->pair->end[0], *b = &r->pair->end[1];
	uint64_t known = a->received + b->received, fresh = a->received_fresh + b->received_fresh;
	uint64_t answered = a->received_fresh, sent = a->known.sent + b->known.sent, arrived;
	json_t *out = json_object();

	settle(r);
	arrived = a->received + b->received; // with what was on its way when the window began
	set(out, "mpps", (double)(known + fresh) / wall / 1e6);
	set(out, "known_mpps", (double)known / wall / 1e6);
	set(out, "setups_per_s", (double)answered / wall);
	set(out, "lost", arrived >= sent ? 0 : 1 - (double)arrived / (double)sent);
	set(out, "share", cpu / wall);
	set(out, "seconds", wall);
	json_object_set_new(out, "sent",
			    json_integer((json_int_t)(sent + a->fresh.sent + b->answers.sent)));
	json_object_set_new(out, "received", json_integer((json_int_t)(known + fresh)));
	json_object_set_new(out, "bad", json_integer((json_int_t)(a->bad + b->bad)));
	if (r->latency != NULL) {
		set(out, "p50_us", percentile(r, 0.50));
		set(out, "p99_us", percentile(r, 0.99));
	}
	return out;
}

json_t *run_measure(struct run *r)
{
	struct end *a = &r->pair->end[0], *b = &r->pair->end[1];
	uint64_t hz = rte_get_tsc_hz(), known[2] = {0, 0}, begin;
	double cpu, wall;
	json_t *out;

	pair_drain(r->pair);
	if (r->users > 0 && !r->known) {
		uint32_t *latency = r->latency, *order = r->order;

		r->latency = NULL;
		r->order = NULL; // sessions are made in one order and used in another
		known[0] = make_known(r, 0);
		known[1] = make_known(r, 1);
		r->latency = latency;
		r->order = order;
	}
	a->known.sent = b->known.sent = a->received = b->received = a->bad = b->bad = 0;
	begin = rte_rdtsc();
	cpu = thread_seconds();
	loop(r, begin, begin + (uint64_t)(r->seconds * (double)hz));
	cpu = thread_seconds() - cpu;
	wall = (double)(rte_rdtsc() - begin) / (double)hz;
	out = figures(r, cpu, wall);
	json_object_set_new(out, "known_ab", json_integer((json_int_t)known[0]));
	json_object_set_new(out, "known_ba", json_integer((json_int_t)known[1]));
	return out;
}
