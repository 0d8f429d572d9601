// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/ethdev/ethdev_priv.h"

#include <rte_branch_prediction.h>
#include <rte_ether.h>

#include "datapath/native/io/segment.h"
#include "datapath/native/io/vnet.h"

static void count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static bool is_shared(const struct rte_mbuf *m)
{
	return !RTE_MBUF_DIRECT(m) || rte_mbuf_refcnt_read(m) > 1;
}

// Checksums and (by some drivers) tags are written into the packet: that must not be one that
// others send, too.
static bool needs_work(const struct ethdev_io *e, const struct rte_mbuf *m)
{
	return (m->ol_flags & e->cannot) != 0 || (e->one_segment && m->nb_segs > 1) ||
	       ((m->ol_flags & (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_VLAN)) != 0 && is_shared(m));
}

// Packets that the device can take as they are. Returns how many it took, the first ones; those
// that its driver finds impossible are lost.
static uint16_t send_plain(struct ethdev_io *e, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	uint64_t flags = 0;
	uint16_t done = 0;

	for (uint16_t i = 0; i < n; i++) {
		// With segmentation DPDK wants to be asked for the IPv4 header's checksum, too.
		if ((pkts[i]->ol_flags & RTE_MBUF_F_TX_TCP_SEG) &&
		    (pkts[i]->ol_flags & RTE_MBUF_F_TX_IPV4))
			pkts[i]->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
		flags |= pkts[i]->ol_flags;
	}
	while (done < n) {
		uint16_t left = n - done, ready = left, sent;

		if (flags & RTE_MBUF_F_TX_L4_MASK)
			ready = rte_eth_tx_prepare(e->port, queue, pkts + done, left);
		sent = rte_eth_tx_burst(e->port, queue, pkts + done, ready);
		done += sent;
		if (sent < ready || ready == left)
			break;
		rte_pktmbuf_free(pkts[done++]);
		count(&e->refused, 1);
	}
	return done;
}

// ---- In software ---------------------------------------------------------------------------

// One packet that is not to be segmented any more, made such that the device can take it. NULL:
// it is lost.
static struct rte_mbuf *finish(struct ethdev_io *e, struct rte_mbuf *m)
{
	if (is_shared(m) || (e->one_segment && m->nb_segs > 1)) {
		struct rte_mbuf *copy = rte_pktmbuf_copy(m, e->pool, 0, UINT32_MAX);

		rte_pktmbuf_free(m);
		m = copy;
	}
	if (m != NULL && (m->ol_flags & e->cannot & RTE_MBUF_F_TX_L4_MASK) != 0) {
		weft_vnet_fill(m);
		count(&e->filled, 1);
	}
	if (m != NULL && (m->ol_flags & e->cannot & RTE_MBUF_F_TX_VLAN) != 0 &&
	    rte_vlan_insert(&m) != 0) {
		rte_pktmbuf_free(m);
		m = NULL;
	}
	if (m != NULL && e->one_segment && m->nb_segs > 1) {
		rte_pktmbuf_free(m);
		m = NULL;
	}
	return m;
}

// Of one burst.
struct limits {
	uint32_t segments; // that may still be made
	bool full;	   // the device takes no more, or there is no more that may be made
};

static void send_finished(struct ethdev_io *e, uint16_t queue, struct rte_mbuf *m, struct limits *l)
{
	m = finish(e, m);
	if (m != NULL && send_plain(e, queue, &m, 1) == 1)
		return;
	l->full = l->full || m != NULL;
	rte_pktmbuf_free(m);
	count(&e->refused, 1);
}

static struct rte_mbuf *next_finished(struct ethdev_io *e, struct segmenter *s, struct limits *l)
{
	struct rte_mbuf *m = l->segments == 0 ? NULL : weft_segment_next(s, e->pool);

	if (m == NULL)
		return NULL;
	l->segments--;
	m->ol_flags |= s->m->ol_flags & RTE_MBUF_F_TX_VLAN;
	m->vlan_tci = s->m->vlan_tci;
	return finish(e, m);
}

// As long as the device takes them. False: not even the first went.
static bool send_segments(struct ethdev_io *e, uint16_t queue, struct rte_mbuf *whole,
			  struct limits *l)
{
	struct rte_mbuf *run[NATIVE_BURST];
	struct segmenter s;
	bool any = false;

	for (weft_segment_begin(&s, whole); !l->full && !weft_segment_done(&s);) {
		uint16_t n = 0, sent;

		while (n < NATIVE_BURST && !weft_segment_done(&s) &&
		       (run[n] = next_finished(e, &s, l)) != NULL)
			n++;
		l->full = n < NATIVE_BURST && !weft_segment_done(&s);
		sent = send_plain(e, queue, run, n);
		rte_pktmbuf_free_bulk(run + sent, n - sent);
		l->full = l->full || sent < n;
		any = any || sent > 0;
	}
	if (!any)
		return false;
	count(&e->segmented, 1);
	if (l->full)
		count(&e->refused, 1); // its end is missing
	rte_pktmbuf_free(whole);
	return true;
}

// False: it is the caller's, as it was.
static bool send_worked(struct ethdev_io *e, uint16_t queue, struct rte_mbuf *m, struct limits *l)
{
	if (m->ol_flags & e->cannot & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG))
		return send_segments(e, queue, m, l);
	send_finished(e, queue, m, l);
	return true;
}

// ---- All -----------------------------------------------------------------------------------

static uint16_t send_all(struct ethdev_io *e, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct limits l = {.segments = SEGMENTS_MOST};
	uint16_t done = 0;

	while (done < n && !l.full) {
		uint16_t plain = done, sent;

		while (plain < n && likely(!needs_work(e, pkts[plain])))
			plain++;
		if (plain > done) {
			sent = send_plain(e, queue, pkts + done, plain - done);
			done += sent;
			if (done < plain)
				return done;
		}
		if (done < n) {
			if (!send_worked(e, queue, pkts[done], &l))
				return done;
			done++;
		}
	}
	return done;
}

uint16_t weft_ethdev_tx(struct port_io *io, struct rte_mbuf **pkts, uint16_t n)
{
	struct ethdev_io *e = (struct ethdev_io *)io;
	uint16_t queue = weft_thread_number % e->n_tx, sent;

	if (likely(!e->shares_tx))
		return send_all(e, queue, pkts, n);
	rte_spinlock_lock(&e->tx[queue].lock);
	sent = send_all(e, queue, pkts, n);
	rte_spinlock_unlock(&e->tx[queue].lock);
	return sent;
}
