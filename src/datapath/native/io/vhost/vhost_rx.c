// SPDX-License-Identifier: Apache-2.0
// Vhost I/O, from the VM: a burst over the queues of a share that its driver uses, in turn.
#include "datapath/native/io/vhost/vhost_io.h"

#include <rte_branch_prediction.h>

// Pair p is in share p modulo v->n_shares. How many of so many pairs a share has:
static uint16_t pairs_of(const struct vhost_io *v, uint16_t share, uint16_t pairs)
{
	return pairs > share ? (uint16_t)((pairs - share - 1) / v->n_shares + 1) : 0;
}

static struct vring_state *ring_of(const struct vhost_io *v, struct vhost_device *d, uint16_t share,
				   uint16_t i)
{
	return &d->rings[2 * (share + i * v->n_shares) + 1];
}

static uint16_t poll(struct vhost_io *v, uint16_t share, struct vhost_device *d,
		     struct rte_mbuf **pkts, uint16_t n, bool lend)
{
	uint16_t all = atomic_load_explicit(&d->n_pairs, memory_order_relaxed), total = 0;
	uint16_t pairs = pairs_of(v, share, all);
	struct vhost_share *s = &v->shares[share];

	for (uint16_t i = 0; i < pairs && total < n; i++) {
		uint16_t pair = s->next >= pairs ? 0 : s->next;

		s->next = (uint16_t)(pair + 1);
		total += weft_vring_pop(ring_of(v, d, share, pair), v->pool, pkts + total,
					n - total, lend);
	}
	return total;
}

static uint16_t receive(struct port_io *io, uint16_t share, struct rte_mbuf **pkts, uint16_t n,
			bool lend)
{
	struct vhost_io *v = (struct vhost_io *)io;
	uint16_t got = 0;

	if (atomic_load_explicit(&v->dev, memory_order_relaxed) == NULL ||
	    unlikely(share >= v->n_shares))
		return 0;
	rte_spinlock_lock(&v->shares[share].lock);
	struct vhost_device *d = atomic_load_explicit(&v->dev, memory_order_acquire);
	if (likely(d != NULL && !atomic_load_explicit(&d->missing, memory_order_relaxed)))
		got = poll(v, share, d, pkts, n, lend);
	if (lend && got > 0)
		v->shares[share].lender = d; // and the lock is held
	else
		rte_spinlock_unlock(&v->shares[share].lock);
	return got;
}

uint16_t weft_vhost_rx(struct port_io *io, uint16_t share, struct rte_mbuf **pkts, uint16_t n)
{
	return receive(io, share, pkts, n, false);
}

uint16_t weft_vhost_lend(struct port_io *io, uint16_t share, struct rte_mbuf **pkts, uint16_t n)
{
	return receive(io, share, pkts, n, true);
}

void weft_vhost_done(struct port_io *io, uint16_t share)
{
	struct vhost_io *v = (struct vhost_io *)io;
	struct vhost_device *d = v->shares[share].lender;
	uint16_t pairs =
		pairs_of(v, share, atomic_load_explicit(&d->n_pairs, memory_order_relaxed));

	for (uint16_t i = 0; i < pairs; i++)
		weft_vring_done(ring_of(v, d, share, i));
	rte_spinlock_unlock(&v->shares[share].lock);
}

uint16_t weft_vhost_shares(const struct port_io *io)
{
	const struct vhost_io *v = (const struct vhost_io *)io;
	// Its memory is there whatever happens to it.
	const struct vhost_device *d = atomic_load_explicit(&v->dev, memory_order_acquire);
	uint16_t sending = d == NULL ? 0
				     : atomic_load_explicit(&d->n_sending, memory_order_relaxed);

	return RTE_MAX(1, RTE_MIN(sending, v->n_shares));
}
