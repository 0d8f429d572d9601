// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/carry/turn.h"

#include <pthread.h>
#include <rte_cycles.h>
#include <rte_lcore.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "datapath/native/carry/fast.h"
#include "datapath/native/carry/slow.h"
#include "datapath/native/outside/resolver.h"
#include "datapath/native/outside/uplink.h"
#include "datapath/native/packet/counter.h"

// How long a worker looks for packets in vain before it begins to sleep: longer than the time
// between packets of a load that somebody waits for (at 20,000 packets/s 50 us), so that none of
// them is met asleep. By the clock, not by turns: how long a turn takes depends on how many ports
// there are.
#define AWAKE_US	   100
// Bursts taken from a trunk in one turn: it carries what is for all ports, each of which may give
// one.
#define TRUNK_BURSTS	   4
// Pairs that the session table's clock hand looks at in one turn.
#define EXPIRE_BUDGET	   32
// The same in a turn without packets, when there is time.
#define EXPIRE_BUDGET_IDLE 64

// ---- The turn ------------------------------------------------------------------------------

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
	w->epoch = weft_vstore_epoch(w->node->vs);
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
			n = weft_trunk_poll(w, list->trunks[i], weft_fast_burst);
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
	uint32_t us = RTE_MIN(w->node->config.idle_us, 10 + naps / 4);
	struct timespec t = {.tv_nsec = (long)us * 1000};

	COUNT(w->stats.sleeps, 1);
	rte_rcu_qsbr_thread_offline(w->node->qsbr, w->id);
	nanosleep(&t, NULL);
	rte_rcu_qsbr_thread_online(w->node->qsbr, w->id);
	weft_priority_rested(w, rte_rdtsc());
}

static void run(struct worker *w)
{
	bool adaptive = w->node->config.poll == DATAPATH_POLL_ADAPTIVE, idle;
	uint64_t awake = w->node->tsc_hz / 1000000 * AWAKE_US, last = rte_rdtsc();
	uint32_t naps = 0; // since the last packet

	while (!atomic_load_explicit(&w->node->stop, memory_order_relaxed)) {
		uint64_t begin = rte_rdtsc();
		uint32_t n;

		weft_priority_turn(w, begin);
		w->now_ms = native_now_ms(w->node);
		n = poll_ports(w);
		weft_resolver_turn(w, weft_slow_packet);
		COUNT(w->stats.polls, 1);
		if (n > 0) {
			COUNT(w->stats.packets, n);
			last = rte_rdtsc();
			COUNT(w->stats.busy_cycles, last - begin);
			naps = 0;
		} else {
			COUNT(w->stats.empty_polls, 1);
		}
		// By the time before the poll: if the system let others run since, packets may
		// have come.
		idle = adaptive && n == 0 && begin > last && begin - last > awake;
		housekeeping(w, idle ? EXPIRE_BUDGET_IDLE : EXPIRE_BUDGET);
		rte_rcu_qsbr_quiescent(w->node->qsbr, w->id);
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
		rte_rcu_qsbr_thread_online(w->node->qsbr, w->id);
		run(w);
		rte_rcu_qsbr_thread_offline(w->node->qsbr, w->id);
		rte_thread_unregister();
	} else {
		rte_rcu_qsbr_thread_online(w->node->qsbr, w->id);
		run(w);
		rte_rcu_qsbr_thread_offline(w->node->qsbr, w->id);
	}
	return NULL;
}

// ---- Start and stop ------------------------------------------------------------------------

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
	weft_worker_free(w);
}
