// SPDX-License-Identifier: Apache-2.0
// Vhost I/O, from the VM: a burst over the queues that its driver uses, in turn.
#include "datapath/native/vhost_io.h"

#include <rte_branch_prediction.h>
#include <rte_cycles.h>
#include <rte_ether.h>

#include "datapath/native/vnet.h"

// 64 KB of IP, Ethernet and two tags.
#define PACKET_MAX (65535 + 22)

// A descriptor chain may be long and lead nowhere, or be larger than any packet: librte_vhost copies first. A poll that took so long and
// yielded nothing although something was there is a strike, and the port waits twice as long after each in a row.
#define STRIKE_US    50
#define STRIKE_MS    200
#define STRIKES_FREE 2

static void count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED); // rx_lock is held
}

// What librte_vhost tells of the virtio-net header, as transmit flags.
static bool take(struct rte_mbuf *m)
{
	uint64_t told = m->ol_flags;
	bool checksum = (told & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE;
	uint16_t segment = told & RTE_MBUF_F_RX_LRO ? m->tso_segsz : 0;

	if (unlikely(m->pkt_len < sizeof(struct rte_ether_hdr) || m->pkt_len > PACKET_MAX))
		return false;
	m->ol_flags = 0;
	m->tx_offload = 0;
	return likely(!checksum && segment == 0) || weft_vnet_claim(m, checksum, segment) == 0;
}

static uint16_t sift(struct vhost_io *v, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t out = 0;

	for (uint16_t i = 0; i < n; i++) {
		if (likely(take(pkts[i]))) {
			pkts[out++] = pkts[i];
		} else {
			count(&v->malformed);
			rte_pktmbuf_free(pkts[i]);
		}
	}
	return out;
}

// We poll, so the driver need not say when there is something.
static void hush(struct vhost_device *d, uint16_t ring)
{
	if (likely(atomic_load_explicit(&d->quiet[ring], memory_order_relaxed)))
		return;
	atomic_store(&d->quiet[ring], true);
	rte_vhost_enable_guest_notification(d->vid, ring, 0);
}

// Has the driver put something there that was not taken?
static bool is_pending(const struct vhost_device *d, uint16_t ring)
{
	struct rte_vhost_vring v;
	uint16_t next, used;

	if (rte_vhost_get_vring_base(d->vid, ring, &next, &used) < 0 ||
	    rte_vhost_get_vhost_vring(d->vid, ring, &v) < 0)
		return false;
	if (!VHOST_HAS(d, VIRTIO_F_RING_PACKED))
		return v.avail != NULL && __atomic_load_n(&v.avail->idx, __ATOMIC_RELAXED) != next;

	// Virtio 1.1, section 2.7.1: available when one bit is the wrap counter and the other is not.
	bool wrap = next >> 15;
	next &= INT16_MAX;
	if (v.desc_packed == NULL || next >= v.size)
		return false;
	uint16_t flags = __atomic_load_n(&v.desc_packed[next].flags, __ATOMIC_RELAXED);
	return (flags >> VRING_PACKED_DESC_F_AVAIL & 1) == wrap &&
	       (flags >> VRING_PACKED_DESC_F_USED & 1) != wrap;
}

// One or two may be the system's doing, that kept this thread from running while packets came; one is forgiven every STRIKE_MS.
static void strike(struct vhost_io *v, uint64_t now, uint64_t took)
{
	uint64_t second = rte_get_tsc_hz();
	uint64_t forgiven = (now - v->strike_tsc) / (second / 1000 * STRIKE_MS);

	v->strikes = 1 + (uint32_t)(v->strikes > forgiven ? v->strikes - forgiven : 0);
	v->strike_tsc = now;
	if (v->strikes <= STRIKES_FREE)
		return;
	v->wait_tsc = now + RTE_MIN(took << RTE_MIN(v->strikes, 20u), second);
	count(&v->malformed);
}

// One ring's share. What was taken from it and is no packet makes no difference to the rest of the burst.
static uint16_t poll_ring(struct vhost_io *v, struct vhost_device *d, uint16_t ring,
			  struct rte_mbuf **pkts, uint16_t n)
{
	uint64_t begin = rte_rdtsc();
	uint16_t got = rte_vhost_dequeue_burst(d->vid, ring, v->pool, pkts, n);

	if (likely(got > 0))
		return sift(v, pkts, got);
	uint64_t now = rte_rdtsc();
	if (unlikely(now - begin > rte_get_tsc_hz() / 1000000 * STRIKE_US) && is_pending(d, ring))
		strike(v, now, now - begin);
	return 0;
}

static uint16_t poll(struct vhost_io *v, struct vhost_device *d, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t pairs = atomic_load_explicit(&d->n_pairs, memory_order_relaxed), total = 0;

	for (uint16_t i = 0; i < pairs && total < n; i++) {
		uint16_t pair = v->next >= pairs ? 0 : v->next;
		uint16_t ring = (uint16_t)(2 * pair + 1);

		v->next = (uint16_t)(pair + 1);
		if (!atomic_load_explicit(&d->on[ring], memory_order_relaxed))
			continue;
		hush(d, ring);
		hush(d, (uint16_t)(ring - 1));
		total += poll_ring(v, d, ring, pkts + total, n - total);
	}
	return total;
}

uint16_t weft_vhost_rx(struct port_io *io, struct rte_mbuf **pkts, uint16_t n)
{
	struct vhost_io *v = (struct vhost_io *)io;
	uint16_t got = 0;

	if (atomic_load_explicit(&v->dev, memory_order_relaxed) == NULL)
		return 0;
	rte_spinlock_lock(&v->rx_lock);
	struct vhost_device *d = atomic_load_explicit(&v->dev, memory_order_acquire);
	if (likely(d != NULL) &&
	    (likely(v->strikes <= STRIKES_FREE) || (int64_t)(rte_rdtsc() - v->wait_tsc) >= 0))
		got = poll(v, d, pkts, n);
	rte_spinlock_unlock(&v->rx_lock);
	return got;
}
