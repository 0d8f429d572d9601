// SPDX-License-Identifier: Apache-2.0
// Vhost I/O, to the VM: what its driver did not negotiate is done here.
#include "datapath/native/io/vhost/vhost_io.h"

#include <netinet/in.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_ether.h>
#include <rte_hash_crc.h>
#include <rte_ip.h>

#include "datapath/native/io/lent.h"
#include "datapath/native/io/segment.h"
#include "datapath/native/io/vnet.h"

#define NO_PAIR	      UINT16_MAX
#define SEGMENT_FLAGS (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)

struct run {
	uint16_t n;
	struct rte_mbuf *pkts[VRING_BURST];
};

struct target {
	struct vhost_io *v;
	struct vhost_device *d;
	struct vhost_lane *lane;
	struct vring_state *ring;
	uint32_t *segments; // that this burst may still be cut into
};

static void add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED); // the lane's lock is held
}

// To be written to, and read whole. A packet that others have too is copied.
static struct rte_mbuf *own(struct rte_mbuf *m, struct rte_mempool *pool)
{
	struct rte_mbuf *copy;

	if (weft_is_lent(m))
		return weft_lent_take(m, pool) < 0 ? NULL : m;
	if (RTE_MBUF_DIRECT(m) && rte_mbuf_refcnt_read(m) == 1)
		return m;
	copy = rte_pktmbuf_copy(m, pool, 0, UINT32_MAX);
	if (copy != NULL) {
		copy->ol_flags |= m->ol_flags &
				  (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6);
		copy->tx_offload = m->tx_offload;
		rte_pktmbuf_free(m);
	}
	return copy;
}

static bool takes_segments(const struct vhost_device *d, const struct rte_mbuf *m)
{
	if (m->ol_flags & RTE_MBUF_F_TX_UDP_SEG)
		return false; // no driver is offered it
	return VHOST_HAS(d, m->ol_flags & RTE_MBUF_F_TX_IPV4 ? VIRTIO_NET_F_GUEST_TSO4
							     : VIRTIO_NET_F_GUEST_TSO6);
}

// Into the run as the driver can take it; false: there is no buffer.
static bool prepare(const struct target *t, struct run *r, struct rte_mbuf *m)
{
	if ((m->ol_flags & RTE_MBUF_F_TX_L4_MASK) != 0 &&
	    unlikely(!VHOST_HAS(t->d, VIRTIO_NET_F_GUEST_CSUM))) {
		struct rte_mbuf *mine = own(m, t->v->pool);

		if (mine == NULL)
			return false;
		weft_vnet_fill(mine);
		add(&t->lane->filled, 1);
		m = mine;
	}
	r->pkts[r->n++] = m;
	return true;
}

// The next ones that go together. False: there are no buffers for more, or there may be no more.
static bool cut_run(const struct target *t, struct segmenter *s, struct run *r)
{
	r->n = 0;
	while (r->n < VRING_BURST && !weft_segment_done(s)) {
		struct rte_mbuf *piece = *t->segments == 0 ? NULL
							   : weft_segment_next(s, t->v->pool);

		if (piece == NULL || !prepare(t, r, piece)) {
			rte_pktmbuf_free(piece);
			return false;
		}
		--*t->segments;
	}
	return true;
}

// Cut it and send the pieces as long as the ring takes them; *full: it takes no more. False: not
// even the first went.
static bool send_segments(const struct target *t, struct rte_mbuf *m, bool *full)
{
	struct segmenter s;
	bool any = false;
	struct run r;

	*full = true;
	if (weft_is_lent(m) && weft_lent_take(m, t->v->pool) < 0)
		return false;
	*full = false;
	for (weft_segment_begin(&s, m); !*full && !weft_segment_done(&s);) {
		*full = !cut_run(t, &s, &r);
		uint16_t sent = r.n > 0 ? weft_vring_push(t->ring, r.pkts, r.n) : 0;
		any = any || sent > 0;
		*full = *full || sent < r.n;
		rte_pktmbuf_free_bulk(r.pkts, r.n);
	}
	if (!any)
		return false;
	add(&t->lane->segmented, 1);
	if (*full)
		add(&t->lane->counters.refused, 1); // its end is missing
	rte_pktmbuf_free(m);
	return true;
}

// As rte_pktmbuf_free_bulk(), without a look at the second cache line of those that are alone.
static void free_bulk(struct rte_mbuf **pkts, uint16_t n)
{
	struct rte_mempool *pool = n > 0 ? pkts[0]->pool : NULL;
	void *alone[VRING_BURST];
	unsigned int k = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];

		if (likely(m->nb_segs == 1 && m->pool == pool && RTE_MBUF_DIRECT(m) &&
			   rte_mbuf_refcnt_read(m) == 1))
			alone[k++] = m;
		else
			rte_pktmbuf_free(m);
	}
	if (likely(k > 0))
		rte_mempool_put_bulk(pool, alone, k);
}

// The first ones are done with; how many. The rest is the caller's, as it was.
static uint16_t send_all(const struct target *t, struct rte_mbuf **pkts, uint16_t n)
{
	struct run r;
	uint16_t done = 0;
	bool full = false;

	while (done < n && !full) {
		uint16_t end = done, sent;

		r.n = 0;
		while (end < n && r.n < VRING_BURST) {
			struct rte_mbuf *m = pkts[end];

			if ((m->ol_flags & SEGMENT_FLAGS) != 0 && !takes_segments(t->d, m))
				break;
			if (!prepare(t, &r, m))
				break;
			pkts[end] = r.pkts[r.n - 1];
			end++;
		}
		sent = r.n > 0 ? weft_vring_push(t->ring, r.pkts, r.n) : 0;
		free_bulk(r.pkts, sent);
		done += sent;
		if (sent < r.n)
			return done;
		if (done < n && r.n < VRING_BURST) {
			// It stopped at one that must be cut, or for want of a buffer.
			if ((pkts[done]->ol_flags & SEGMENT_FLAGS) == 0 ||
			    !send_segments(t, pkts[done], &full))
				return done;
			done++;
		}
	}
	return done;
}

static uint16_t send_to(struct vhost_io *v, uint16_t pair, struct rte_mbuf **pkts, uint16_t n,
			uint32_t *segments)
{
	struct target t = {
		.v = v,
		.lane = &v->lanes[pair & (VHOST_LANES - 1)],
		.segments = segments,
	};
	uint16_t done = 0;

	rte_spinlock_lock(&t.lane->lock);
	t.d = atomic_load_explicit(&v->dev, memory_order_acquire);
	if (likely(t.d != NULL && !atomic_load_explicit(&t.d->missing, memory_order_relaxed))) {
		t.ring = &t.d->rings[2 * pair];
		done = send_all(&t, pkts, n);
	}
	rte_spinlock_unlock(&t.lane->lock);
	return done;
}

// ---- Several queues ------------------------------------------------------------------------

// rte_hash_crc() wants aligned data.
static uint32_t hash_bytes(const uint8_t *p, uint32_t len)
{
	uint32_t word, hash = 0;

	for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		hash = rte_hash_crc_4byte(word, hash);
	}
	return hash;
}

// A flow stays in one queue. What lies beyond the headers may be anything: it only has to stay
// the same.
static uint32_t flow_hash(const struct rte_mbuf *m)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	const uint8_t *ip = (const uint8_t *)(eth + 1);
	uint32_t hash = 0, ports = 0, at = 0;
	uint8_t proto = 0;

	if (m->data_len < sizeof(*eth) + sizeof(struct rte_ipv6_hdr))
		return 0;
	if (eth->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4)) {
		const struct rte_ipv4_hdr *v4 = (const struct rte_ipv4_hdr *)ip;

		hash = hash_bytes(ip + offsetof(struct rte_ipv4_hdr, src_addr), 8);
		if ((v4->fragment_offset &
		     rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK | RTE_IPV4_HDR_MF_FLAG)) == 0)
			proto = v4->next_proto_id;
		at = rte_ipv4_hdr_len(v4);
	} else if (eth->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6)) {
		const struct rte_ipv6_hdr *v6 = (const struct rte_ipv6_hdr *)ip;

		hash = hash_bytes(v6->src_addr, 32);
		proto = v6->proto;
		at = sizeof(*v6);
	}
	if ((proto == IPPROTO_TCP || proto == IPPROTO_UDP) &&
	    sizeof(*eth) + at + sizeof(ports) <= m->data_len)
		memcpy(&ports, ip + at, sizeof(ports));
	return rte_hash_crc_4byte(ports, hash);
}

static uint16_t pairs_in_use(const struct vhost_device *d, uint16_t pairs[VHOST_PAIRS_MAX])
{
	uint16_t n = 0, all = atomic_load_explicit(&d->n_pairs, memory_order_relaxed);

	for (uint16_t i = 0; i < all; i++)
		if (__atomic_load_n(&d->rings[2 * i].on, __ATOMIC_RELAXED))
			pairs[n++] = i;
	return n;
}

// Each queue gets its packets in their order; what no queue took ends up behind what they took.
static uint16_t spread(struct vhost_io *v, const uint16_t *pairs, uint16_t n_pairs,
		       struct rte_mbuf **pkts, uint16_t n, uint32_t *segments)
{
	struct rte_mbuf *left[VRING_BURST], *part[VRING_BURST];
	uint16_t pair[VRING_BURST], done = 0, n_left = 0;

	for (uint16_t i = 0; i < n; i++)
		pair[i] = pairs[flow_hash(pkts[i]) % n_pairs];
	for (uint16_t i = 0; i < n; i++) {
		uint16_t to = pair[i], n_part = 0, sent;

		if (to == NO_PAIR)
			continue;
		for (uint16_t k = i; k < n; k++) {
			if (pair[k] != to)
				continue;
			part[n_part++] = pkts[k];
			pair[k] = NO_PAIR;
		}
		sent = send_to(v, to, part, n_part, segments);
		done += sent;
		memcpy(left + n_left, part + sent, (n_part - sent) * sizeof(*left));
		n_left += n_part - sent;
	}
	memcpy(pkts + done, left, n_left * sizeof(*left));
	return done;
}

static uint16_t send_burst(struct vhost_io *v, struct rte_mbuf **pkts, uint16_t n,
			   uint32_t *segments)
{
	uint16_t pairs[VHOST_PAIRS_MAX], n_pairs;
	const struct vhost_device *d = atomic_load_explicit(&v->dev, memory_order_acquire);

	if (d == NULL)
		return 0;
	// It may have gone; then its entry says something old, and send_to looks again.
	n_pairs = pairs_in_use(d, pairs);
	if (likely(n_pairs == 1))
		return send_to(v, pairs[0], pkts, n, segments);
	return n_pairs == 0 ? 0 : spread(v, pairs, n_pairs, pkts, n, segments);
}

uint16_t weft_vhost_tx(struct port_io *io, struct rte_mbuf **pkts, uint16_t n)
{
	struct vhost_io *v = (struct vhost_io *)io;
	uint32_t segments = SEGMENTS_MOST;
	uint16_t done = 0;

	while (done < n) {
		uint16_t part = RTE_MIN(n - done, VRING_BURST);
		uint16_t sent = send_burst(v, pkts + done, part, &segments);

		done += sent;
		if (sent < part)
			break;
	}
	return done;
}
