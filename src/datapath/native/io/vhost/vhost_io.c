// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/vhost/vhost_io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/auto.h"

// Much of it is never touched: rings that no driver has, connections beside the first.
static size_t size_of(uint16_t shares)
{
	return sizeof(struct vhost_io) + shares * sizeof(struct vhost_share);
}

static void vhost_free(struct vhost_io *v)
{
	munmap(v, size_of(v->n_shares));
}

DEFINE_AUTO(vhost_io, struct vhost_io *, vhost_free)

static void vhost_close(struct port_io *io)
{
	struct vhost_io *v = (struct vhost_io *)io;

	io->ops->leave(io);
	vhost_free(v);
}

static void vhost_leave(struct port_io *io)
{
	struct vhost_io *v = (struct vhost_io *)io;

	if (v->path[0] == '\0')
		return;
	weft_vhost_loop_lock(true);
	weft_vhost_socket_close(v);
	v->path[0] = '\0';
	for (size_t i = 0; i < VHOST_CONNECTIONS_MAX; i++)
		if (v->connections[i].watch.fd >= 0)
			weft_vhost_device_end(&v->connections[i]);
	weft_vhost_loop_lock(false);
	weft_vhost_loop_remove(v);
}

static void vhost_stats(const struct port_io *io, struct port_io_stats *out)
{
	const struct vhost_io *v = (const struct vhost_io *)io;

	*out = (struct port_io_stats) {0};
	for (uint16_t i = 0; i < v->n_shares; i++)
		out->rx_malformed +=
			__atomic_load_n(&v->shares[i].counters.malformed, __ATOMIC_RELAXED);
	for (size_t i = 0; i < VHOST_LANES; i++) {
		const struct vhost_lane *l = &v->lanes[i];

		out->rx_malformed += __atomic_load_n(&l->counters.malformed, __ATOMIC_RELAXED);
		out->tx_refused += __atomic_load_n(&l->counters.refused, __ATOMIC_RELAXED);
		out->tx_segmented += __atomic_load_n(&l->segmented, __ATOMIC_RELAXED);
		out->tx_filled += __atomic_load_n(&l->filled, __ATOMIC_RELAXED);
	}
}

static void add_guest_counters(const struct vring_counters *c, struct port_io_guest *out)
{
	out->interrupts += __atomic_load_n(&c->interrupts, __ATOMIC_RELAXED);
	out->mute += __atomic_load_n(&c->mute, __ATOMIC_RELAXED);
}

static void vhost_guest(struct port_io *io, struct port_io_guest *out)
{
	struct vhost_io *v = (struct vhost_io *)io;
	struct vhost_device *d;

	*out = (struct port_io_guest) {
		.server = v->server,
		.devices = v->devices,
	};
	for (uint16_t i = 0; i < v->n_shares; i++)
		add_guest_counters(&v->shares[i].counters, out);
	for (size_t i = 0; i < VHOST_LANES; i++)
		add_guest_counters(&v->lanes[i].counters, out);
	weft_vhost_loop_lock(true);
	d = atomic_load(&v->dev);
	if (d != NULL) {
		for (uint16_t i = 0; i < atomic_load(&d->n_pairs); i++)
			out->pairs += __atomic_load_n(&d->rings[2 * i].on, __ATOMIC_RELAXED) &&
				      __atomic_load_n(&d->rings[2 * i + 1].on, __ATOMIC_RELAXED);
		out->features = atomic_load(&d->features);
		out->mtu = d->mtu;
	}
	weft_vhost_loop_lock(false);
}

static bool vhost_announce(struct port_io *io, struct mac_addr *mac)
{
	struct vhost_io *v = (struct vhost_io *)io;
	uint64_t word = atomic_exchange(&v->rarp, 0);

	memcpy(mac->b, &word, sizeof(mac->b));
	return (word & VHOST_RARP_ASKED) != 0;
}

static const struct port_io_ops vhost_ops = {
	.name = "vhostuser",
	.rx = weft_vhost_rx,
	.lend = weft_vhost_lend,
	.done = weft_vhost_done,
	.shares = weft_vhost_shares,
	.takes_lent = true,
	.tx = weft_vhost_tx,
	.stats = vhost_stats,
	.close = vhost_close,
	.leave = vhost_leave,
	.guest = vhost_guest,
	.announce = vhost_announce,
};

int weft_vhost_open(const char *path, bool server, gid_t group, uint16_t shares,
		    struct rte_mempool *pool, struct port_io **out, struct err *err)
{
	weft_auto(vhost_io) v = mmap(NULL, size_of(shares), PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int ret;

	if (v == MAP_FAILED) {
		v = NULL;
		return weft_fail(err, -ENOMEM, "socket %s: no memory", path);
	}
	v->io.ops = &vhost_ops;
	v->pool = pool;
	v->server = server;
	v->n_shares = shares;
	v->socket.fd = -1;
	for (size_t i = 0; i < VHOST_CONNECTIONS_MAX; i++) {
		v->connections[i].io = v;
		v->connections[i].watch.fd = -1;
	}
	for (uint16_t i = 0; i < shares; i++)
		rte_spinlock_init(&v->shares[i].lock);
	for (size_t i = 0; i < VHOST_LANES; i++)
		rte_spinlock_init(&v->lanes[i].lock);
	if (strlen(path) >= sizeof(v->path))
		return weft_fail(err, -ENAMETOOLONG, "socket %s: its name is longer than %zu", path,
				 sizeof(v->path) - 1);
	ret = weft_vhost_loop_add(v);
	if (ret < 0)
		return weft_fail(err, ret, "socket %s: cannot be served: %s", path, strerror(-ret));
	weft_vhost_loop_lock(true);
	strcpy(v->path, path);
	ret = weft_vhost_socket_open(v, group, err);
	if (ret < 0)
		v->path[0] = '\0';
	weft_vhost_loop_lock(false);
	if (ret < 0) {
		weft_vhost_loop_remove(v);
		return ret;
	}
	*out = &weft_take(v)->io;
	return 0;
}
