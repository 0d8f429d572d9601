// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/worker/worker.h"

#include <errno.h>
#include <rte_branch_prediction.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "datapath/native/io/lent.h"
#include "datapath/native/packet/counter.h"

// Datagrams in fragments that are known, and buffers of fragments that wait: with those that wait
// for next hops (resolver_priv.h) a fifth of what a worker adds to the pool (eal.c).
#define FRAGMENT_DATAGRAMS 4096
#define FRAGMENT_BUFFERS   1024

// ---- Packets out ---------------------------------------------------------------------------

static struct onlooker *onlooker_of(const struct worker *w)
{
	return atomic_load_explicit(&w->onlooker, memory_order_acquire);
}

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
	struct onlooker *o = onlooker_of(w);

	if (unlikely(o != NULL))
		o->dropped(o, w, m, reason);
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
	struct onlooker *o = onlooker_of(w);

	if (unlikely(o != NULL))
		o->lost(o, out_port, pkts, n, reason);
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
		if (weft_is_lent(q->pkts[i]) && weft_lent_take(q->pkts[i], w->node->pool) < 0)
			drop_sent(w, out_port, &q->pkts[i], 1, DROP_NO_BUFFER);
		else
			q->pkts[whole++] = q->pkts[i];
	}
	q->n = whole;
}

static void send_queue(struct worker *w, uint16_t out_port)
{
	struct tx_queue *q = &w->tx[out_port];
	struct port *p = native_port(w->node, out_port);
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

static void flush(struct worker *w, uint16_t out_port)
{
	struct onlooker *o = onlooker_of(w);

	if (likely(o == NULL)) {
		send_queue(w, out_port);
		return;
	}
	o->leaving(o, w, out_port, w->tx[out_port].pkts, w->tx[out_port].n);
	send_queue(w, out_port);
	o->left(o);
}

void weft_send_flush(struct worker *w)
{
	for (uint16_t i = 0; i < w->n_dirty; i++)
		flush(w, w->dirty[i]);
	w->n_dirty = 0;
}

// ---- Life --------------------------------------------------------------------------------

// Large tables by port index, touched only where ports exist.
static void *map_zeroed(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void weft_worker_free(struct worker *w)
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
	rte_rcu_qsbr_thread_unregister(w->node->qsbr, w->id);
	free(w);
}

static void drop_fragment(void *arg, struct rte_mbuf *m, enum drop why)
{
	weft_drop(arg, m, m->port, why);
}

int weft_worker_new(struct node *node, uint16_t id, int core, struct worker **out, struct err *err)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return weft_fail(err, -ENOMEM, "worker %u: out of memory", id);
	w->node = node;
	w->id = id;
	w->core = core;
	w->sessions = node->sessions;
	w->tx = map_zeroed(sizeof(*w->tx) * NATIVE_MAX_PORTS);
	w->icmp = map_zeroed(sizeof(*w->icmp) * NATIVE_MAX_PORTS);
	// Large, and only uplinks' parts of it are ever touched.
	w->icmp_source = map_zeroed(sizeof(*w->icmp_source) * NATIVE_MAX_PORTS);
	w->advertised_ms = map_zeroed(sizeof(*w->advertised_ms) * NATIVE_MAX_PORTS);
	w->port_stats = map_zeroed(sizeof(*w->port_stats) * NATIVE_MAX_PORTS);
	w->port_drops = map_zeroed(sizeof(*w->port_drops) * NATIVE_MAX_PORTS);
	w->fragments = weft_fragments_new(FRAGMENT_DATAGRAMS, FRAGMENT_BUFFERS, drop_fragment, w);
	w->session_worker = weft_session_worker_new(node->sessions);
	atomic_store(&w->polls, calloc(1, sizeof(struct poll_list)));
	if (w->tx == NULL || w->icmp == NULL || w->icmp_source == NULL ||
	    w->advertised_ms == NULL || w->port_stats == NULL || w->port_drops == NULL ||
	    w->fragments == NULL || w->session_worker == NULL || atomic_load(&w->polls) == NULL) {
		weft_worker_free(w);
		return weft_fail(err, -ENOMEM, "worker %u: out of memory for its tables", id);
	}
	rte_rcu_qsbr_thread_register(node->qsbr, id);
	*out = w;
	return 0;
}
