// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/carry/worker.h"

#include <errno.h>
#include <pthread.h>
#include <rte_cycles.h>
#include <rte_lcore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#include "datapath/native/packet/counter.h"
#include "datapath/native/carry/fast.h"
#include "datapath/native/io/lent.h"
#include "datapath/native/outside/resolver.h"
#include "datapath/native/carry/slow.h"
#include "datapath/native/outside/uplink.h"

// How long a worker looks for packets in vain before it begins to sleep: longer than the time between packets of a load that
// somebody waits for (at 20,000 packets/s 50 us), so that none of them is met asleep. By the clock, not by turns: how long a turn takes depends on
// how many ports there are.
#define AWAKE_US	   100
// Bursts taken from a trunk in one turn: it carries what is for all ports, each of which may give one.
#define TRUNK_BURSTS	   4
// Pairs that the session table's clock hand looks at in one turn.
#define EXPIRE_BUDGET	   32
// The same in a turn without packets, when there is time.
#define EXPIRE_BUDGET_IDLE 64
// Datagrams in fragments that are known, and buffers of fragments that wait: with those that wait
// for next hops (resolver_priv.h) a fifth of what a worker adds to the pool (eal.c).
#define FRAGMENT_DATAGRAMS 4096
#define FRAGMENT_BUFFERS   1024

_Thread_local uint16_t weft_thread_number;

// ---- Packets out -----------------------------------------------------------------------------------

static void sample(struct worker *w, const struct rte_mbuf *m, uint16_t in_port, enum drop reason)
{
	uint32_t n = atomic_load_explicit(&w->n_samples, memory_order_relaxed);
	struct drop_sample *s = &w->samples[n & (DROP_SAMPLES - 1)];

	s->at_ms = w->now_ms;
	s->port = in_port;
	s->reason = (uint16_t)reason;
	s->total = rte_pktmbuf_pkt_len(m);
	s->len = RTE_MIN(rte_pktmbuf_data_len(m), DROP_SAMPLE_LEN);
	memcpy(s->bytes, rte_pktmbuf_mtod(m, const void *), s->len);
	atomic_store_explicit(&w->n_samples, n + 1, memory_order_release);
}

void weft_drop(struct worker *w, struct rte_mbuf *m, uint16_t in_port, enum drop reason)
{
	COUNT(w->drops[reason], 1);
	if (unlikely(in_port >= NATIVE_MAX_PORTS)) {
		rte_pktmbuf_free(m);
		return;
	}
	COUNT(w->port_drops[in_port][reason], 1);
	// What a local service has consumed (a probe, a report) is counted, but it is no loss.
	if (reason != DROP_SERVICE_DONE) {
		COUNT(w->port_stats[in_port].drops, 1);
		sample(w, m, in_port, reason);
	}
	rte_pktmbuf_free(m);
}

// What the receiver could not take is counted for the receiver.
static void drop_sent(struct worker *w, uint16_t out_port, struct rte_mbuf **pkts, uint16_t n,
		      enum drop reason)
{
	COUNT(w->drops[reason], n);
	COUNT(w->port_stats[out_port].tx_drops, n);
	for (uint16_t i = 0; i < n; i++)
		rte_pktmbuf_free(pkts[i]);
}

// For a port that wants packets whole. Those that find no buffer are lost.
static void take_lent(struct worker *w, uint16_t out_port, struct tx_queue *q)
{
	uint16_t whole = 0;

	for (uint16_t i = 0; i < q->n; i++) {
		if (weft_is_lent(q->pkts[i]) && weft_lent_take(q->pkts[i], w->dp->pool) < 0)
			drop_sent(w, out_port, &q->pkts[i], 1, DROP_NO_BUFFER);
		else
			q->pkts[whole++] = q->pkts[i];
	}
	q->n = whole;
}

static void flush(struct worker *w, uint16_t out_port)
{
	struct tx_queue *q = &w->tx[out_port];
	struct port *p = native_port(w->dp, out_port);
	struct port_io *io = p == NULL ? NULL : atomic_load_explicit(&p->io, memory_order_acquire);
	struct port_stats *stats = &w->port_stats[out_port];
	uint64_t bytes = 0;
	uint16_t sent;

	if (io == NULL || !atomic_load_explicit(&io->up, memory_order_relaxed)) {
		drop_sent(w, out_port, q->pkts, q->n,
			  io != NULL && p->role == PORT_UPLINK ? DROP_NO_CARRIER
							       : DROP_PORT_DETACHED);
		q->n = 0;
		return;
	}
	if (w->lent && !io->ops->takes_lent)
		take_lent(w, out_port, q);
	for (uint16_t i = 0; i < q->n; i++)
		bytes += rte_pktmbuf_pkt_len(q->pkts[i]);
	sent = io->ops->tx(io, q->pkts, q->n);
	for (uint16_t i = sent; i < q->n; i++) // which they are, tx has chosen
		bytes -= rte_pktmbuf_pkt_len(q->pkts[i]);
	COUNT(stats->tx_packets, sent);
	COUNT(stats->tx_bytes, bytes);
	if (sent < q->n)
		drop_sent(w, out_port, q->pkts + sent, q->n - sent, DROP_PORT_FULL);
	q->n = 0;
}

void weft_send_flush(struct worker *w)
{
	for (uint16_t i = 0; i < w->n_dirty; i++)
		flush(w, w->dirty[i]);
	w->n_dirty = 0;
}

void weft_send_now(struct native *dp, struct rte_mbuf *m, uint16_t out_port)
{
	struct port *p = native_port(dp, out_port);
	struct port_io *io = p == NULL ? NULL : atomic_load_explicit(&p->io, memory_order_acquire);

	if (io == NULL || io->ops->tx(io, &m, 1) == 0)
		rte_pktmbuf_free(m);
}

// ---- The turn --------------------------------------------------------------------------------------

// What came from one port is carried, all the way.
static uint16_t poll_port(struct worker *w, const struct poll *p, struct port_io *io)
{
	struct rte_mbuf *pkts[NATIVE_BURST];
	uint16_t n;

	w->lent = io->ops->lend != NULL;
	n = w->lent ? io->ops->lend(io, p->share, pkts, NATIVE_BURST)
		    : io->ops->rx(io, p->share, pkts, NATIVE_BURST);
	if (n == 0)
		return 0;
	w->epoch = weft_vstore_epoch(w->dp->vs);
	weft_fast_burst(w, p->port->index, pkts, n);
	weft_send_flush(w);
	if (w->lent)
		io->ops->done(io, p->share);
	w->lent = false;
	return n;
}

static uint32_t poll_ports(struct worker *w)
{
	const struct poll_list *list = atomic_load_explicit(&w->polls, memory_order_acquire);
	uint32_t total = 0;

	for (uint16_t i = 0; i < list->n_trunks; i++) {
		uint32_t n = NATIVE_BURST;

		for (int k = 0; k < TRUNK_BURSTS && n == NATIVE_BURST; k++) {
			n = weft_trunk_poll(w, list->trunks[i]);
			total += n;
		}
	}
	for (uint16_t i = 0; i < list->n; i++) {
		const struct poll *p = &list->polls[i];
		struct port_io *io = atomic_load_explicit(&p->port->io, memory_order_acquire);

		if (io != NULL)
			total += poll_port(w, p, io);
	}
	return total;
}

static void housekeeping(struct worker *w, uint32_t budget)
{
	weft_fragments_expire(w->fragments, w->now_ms);
	COUNT(w->stats.sessions_expired, weft_session_expire(w->session_worker, w->now_ms, budget));
}

// Sleep, offline for grace periods: nobody waits for a sleeper. The first sleeps are short.
static void nap(struct worker *w, uint32_t naps)
{
	uint32_t us = RTE_MIN(w->dp->config.idle_us, 10 + naps / 4);
	struct timespec t = {.tv_nsec = (long)us * 1000};

	COUNT(w->stats.sleeps, 1);
	rte_rcu_qsbr_thread_offline(w->dp->qsbr, w->id);
	nanosleep(&t, NULL);
	rte_rcu_qsbr_thread_online(w->dp->qsbr, w->id);
	weft_priority_rested(w, rte_rdtsc());
}

static void run(struct worker *w)
{
	bool adaptive = w->dp->config.poll == DATAPATH_POLL_ADAPTIVE, idle;
	uint64_t awake = w->dp->tsc_hz / 1000000 * AWAKE_US, last = rte_rdtsc();
	uint32_t naps = 0; // since the last packet

	while (!atomic_load_explicit(&w->dp->stop, memory_order_relaxed)) {
		uint64_t begin = rte_rdtsc();
		uint32_t n;

		weft_priority_turn(w, begin);
		w->now_ms = native_now_ms(w->dp);
		n = poll_ports(w);
		weft_resolver_turn(w);
		COUNT(w->stats.polls, 1);
		if (n > 0) {
			COUNT(w->stats.packets, n);
			last = rte_rdtsc();
			COUNT(w->stats.busy_cycles, last - begin);
			naps = 0;
		} else {
			COUNT(w->stats.empty_polls, 1);
		}
		// By the time before the poll: if the system let others run since, packets may have come.
		idle = adaptive && n == 0 && begin > last && begin - last > awake;
		housekeeping(w, idle ? EXPIRE_BUDGET_IDLE : EXPIRE_BUDGET);
		rte_rcu_qsbr_quiescent(w->dp->qsbr, w->id);
		if (idle)
			nap(w, naps < UINT32_MAX ? naps++ : naps);
	}
}

static void *thread_main(void *arg)
{
	struct worker *w = arg;
	char name[16];

	weft_thread_number = (uint16_t)(w->id + 1);
	snprintf(name, sizeof(name), "weft-work-%u", w->id % 1000U);
	pthread_setname_np(pthread_self(), name);
	// Naps are tens of microseconds; the kernel's default slack is 50.
	prctl(PR_SET_TIMERSLACK, 1000UL);
	weft_priority_begin(w);
	if (rte_thread_register() == 0) { // gives the mbuf pool's cache; works without, slower
		rte_rcu_qsbr_thread_online(w->dp->qsbr, w->id);
		run(w);
		rte_rcu_qsbr_thread_offline(w->dp->qsbr, w->id);
		rte_thread_unregister();
	} else {
		rte_rcu_qsbr_thread_online(w->dp->qsbr, w->id);
		run(w);
		rte_rcu_qsbr_thread_offline(w->dp->qsbr, w->id);
	}
	return NULL;
}

// ---- Start and stop --------------------------------------------------------------------------------

// Large tables by port index, touched only where ports exist.
static void *map_zeroed(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void worker_free(struct worker *w)
{
	if (w->tx != NULL)
		munmap(w->tx, sizeof(*w->tx) * NATIVE_MAX_PORTS);
	if (w->icmp != NULL)
		munmap(w->icmp, sizeof(*w->icmp) * NATIVE_MAX_PORTS);
	if (w->icmp_source != NULL)
		munmap(w->icmp_source, sizeof(*w->icmp_source) * NATIVE_MAX_PORTS);
	if (w->advertised_ms != NULL)
		munmap(w->advertised_ms, sizeof(*w->advertised_ms) * NATIVE_MAX_PORTS);
	if (w->port_stats != NULL)
		munmap(w->port_stats, sizeof(*w->port_stats) * NATIVE_MAX_PORTS);
	if (w->port_drops != NULL)
		munmap(w->port_drops, sizeof(*w->port_drops) * NATIVE_MAX_PORTS);
	if (w->fragments != NULL)
		weft_fragments_free(w->fragments);
	if (w->session_worker != NULL)
		weft_session_worker_free(w->session_worker);
	free(atomic_load(&w->polls));
	free(w);
}

static void drop_fragment(void *arg, struct rte_mbuf *m, enum drop why)
{
	weft_drop(arg, m, m->port, why);
}

int weft_worker_new(struct native *dp, uint16_t id, int core, struct worker **out, struct err *err)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return weft_fail(err, -ENOMEM, "worker %u: out of memory", id);
	w->dp = dp;
	w->id = id;
	w->core = core;
	w->sessions = dp->sessions;
	w->tx = map_zeroed(sizeof(*w->tx) * NATIVE_MAX_PORTS);
	w->icmp = map_zeroed(sizeof(*w->icmp) * NATIVE_MAX_PORTS);
	// Large, and only uplinks' parts of it are ever touched.
	w->icmp_source = map_zeroed(sizeof(*w->icmp_source) * NATIVE_MAX_PORTS);
	w->advertised_ms = map_zeroed(sizeof(*w->advertised_ms) * NATIVE_MAX_PORTS);
	w->port_stats = map_zeroed(sizeof(*w->port_stats) * NATIVE_MAX_PORTS);
	w->port_drops = map_zeroed(sizeof(*w->port_drops) * NATIVE_MAX_PORTS);
	w->fragments = weft_fragments_new(FRAGMENT_DATAGRAMS, FRAGMENT_BUFFERS, drop_fragment, w);
	w->session_worker = weft_session_worker_new(dp->sessions);
	atomic_store(&w->polls, calloc(1, sizeof(struct poll_list)));
	if (w->tx == NULL || w->icmp == NULL || w->icmp_source == NULL ||
	    w->advertised_ms == NULL || w->port_stats == NULL || w->port_drops == NULL ||
	    w->fragments == NULL || w->session_worker == NULL || atomic_load(&w->polls) == NULL) {
		worker_free(w);
		return weft_fail(err, -ENOMEM, "worker %u: out of memory for its tables", id);
	}
	rte_rcu_qsbr_thread_register(dp->qsbr, id);
	*out = w;
	return 0;
}

int weft_worker_start(struct worker *w, struct err *err)
{
	pthread_attr_t attr;
	cpu_set_t set;
	int ret;

	CPU_ZERO(&set);
	CPU_SET((size_t)w->core, &set);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	ret = pthread_create(&w->thread, &attr, thread_main, w);
	pthread_attr_destroy(&attr);
	if (ret != 0)
		return weft_fail(err, -ret, "worker %u: cannot start a thread on core %d: %s",
				 w->id, w->core, strerror(ret));
	w->started = true;
	return 0;
}

void weft_worker_stop(struct worker *w)
{
	if (w->started)
		pthread_join(w->thread, NULL);
	rte_rcu_qsbr_thread_unregister(w->dp->qsbr, w->id);
	worker_free(w);
}

// ---- Who polls what --------------------------------------------------------------------------------

static void count_shares(struct native *dp)
{
	for (uint32_t i = 0; i < NATIVE_MAX_PORTS; i++) {
		struct port *p = native_port(dp, (uint16_t)i);
		const struct port_io *io = p == NULL ? NULL : atomic_load(&p->io);
		uint16_t shares;

		if (p == NULL)
			continue;
		// What comes from a provider network comes through its trunk.
		if (io == NULL || p->role == PORT_UPLINK)
			shares = 0;
		else
			shares = RTE_MIN(port_io_shares(io), dp->n_workers);
		if (p->shares != shares) // workers read what lies beside it
			p->shares = shares;
	}
}

// list NULL: only count.
static uint16_t list_ports(struct native *dp, uint16_t worker, struct poll_list *list)
{
	uint16_t n = 0;

	for (uint32_t i = 0; i < NATIVE_MAX_PORTS; i++) {
		struct port *p = native_port(dp, (uint16_t)i);
		uint16_t share;

		if (p == NULL)
			continue;
		share = (uint16_t)((worker + dp->n_workers - p->worker) % dp->n_workers);
		if (share >= p->shares)
			continue;
		if (list != NULL)
			list->polls[n] = (struct poll) {.port = p, .share = share};
		n++;
	}
	return n;
}

static struct poll_list *make_list(struct native *dp, uint16_t worker)
{
	uint16_t n = list_ports(dp, worker, NULL);
	struct poll_list *list = calloc(1, sizeof(*list) + n * sizeof(list->polls[0]));

	if (list == NULL)
		abort();
	list->n = list_ports(dp, worker, list);
	for (uint16_t i = 0; i < dp->n_trunks; i++)
		if (weft_trunk_is_polled_by(dp->trunks[i], worker))
			list->trunks[list->n_trunks++] = dp->trunks[i];
	return list;
}

static bool is_same_list(const struct poll_list *a, const struct poll_list *b)
{
	if (a->n != b->n || a->n_trunks != b->n_trunks ||
	    memcmp(a->trunks, b->trunks, a->n_trunks * sizeof(a->trunks[0])) != 0)
		return false;
	for (uint16_t i = 0; i < a->n; i++)
		if (a->polls[i].port != b->polls[i].port || a->polls[i].share != b->polls[i].share)
			return false;
	return true;
}

void weft_workers_set_ports(struct native *dp)
{
	count_shares(dp);
	for (uint16_t i = 0; i < dp->n_workers; i++) {
		struct worker *w = dp->workers[i];
		struct poll_list *old = atomic_load(&w->polls), *list = make_list(dp, i);

		if (is_same_list(old, list)) {
			free(list);
			continue;
		}
		atomic_store_explicit(&w->polls, list, memory_order_release);
		weft_vstore_retire(dp->vs, old, free);
	}
}
