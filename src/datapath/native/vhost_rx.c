// SPDX-License-Identifier: Apache-2.0
// Vhost I/O, from the VM: a burst over the queues that its driver uses, in turn.
#include "datapath/native/vhost_io.h"

#include <rte_branch_prediction.h>

static uint16_t poll(struct vhost_io *v, struct vhost_device *d, struct rte_mbuf **pkts, uint16_t n,
		     bool lend)
{
	uint16_t pairs = atomic_load_explicit(&d->n_pairs, memory_order_relaxed), total = 0;

	for (uint16_t i = 0; i < pairs && total < n; i++) {
		uint16_t pair = v->next >= pairs ? 0 : v->next;

		v->next = (uint16_t)(pair + 1);
		total += weft_vring_pop(&d->rings[2 * pair + 1], v->pool, pkts + total, n - total,
					lend);
	}
	return total;
}

static uint16_t receive(struct port_io *io, struct rte_mbuf **pkts, uint16_t n, bool lend)
{
	struct vhost_io *v = (struct vhost_io *)io;
	uint16_t got = 0;

	if (atomic_load_explicit(&v->dev, memory_order_relaxed) == NULL)
		return 0;
	rte_spinlock_lock(&v->rx_lock);
	struct vhost_device *d = atomic_load_explicit(&v->dev, memory_order_acquire);
	if (likely(d != NULL))
		got = poll(v, d, pkts, n, lend);
	if (lend && got > 0)
		v->lender = d; // and the lock is held
	else
		rte_spinlock_unlock(&v->rx_lock);
	return got;
}

uint16_t weft_vhost_rx(struct port_io *io, struct rte_mbuf **pkts, uint16_t n)
{
	return receive(io, pkts, n, false);
}

uint16_t weft_vhost_lend(struct port_io *io, struct rte_mbuf **pkts, uint16_t n)
{
	return receive(io, pkts, n, true);
}

void weft_vhost_done(struct port_io *io)
{
	struct vhost_io *v = (struct vhost_io *)io;
	struct vhost_device *d = v->lender;
	uint16_t pairs = atomic_load_explicit(&d->n_pairs, memory_order_relaxed);

	for (uint16_t i = 0; i < pairs; i++)
		weft_vring_done(&d->rings[2 * i + 1]);
	rte_spinlock_unlock(&v->rx_lock);
}
