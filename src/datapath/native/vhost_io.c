// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/vhost_io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_log.h>

#include "base/auto.h"

// What librte_vhost offers and we do not: UDP fragmentation offload, which no flag of ours means.
#define NOT_OFFERED (1ULL << VIRTIO_NET_F_HOST_UFO | 1ULL << VIRTIO_NET_F_GUEST_UFO)

// The descriptors that librte_vhost's thread can watch, less its own pipe and some connections more than one for each socket.
#define WATCHED_MAX 1000

// Descriptors that the ports' sockets and their connections need (control thread).
static unsigned int watched;

// A socket that we make and one connection, or the connection alone.
static unsigned int watches(const struct vhost_io *v)
{
	return v->server ? 2 : 1;
}

static void vhost_free(struct vhost_io *v)
{
	free(v);
}

DEFINE_AUTO(vhost_io, struct vhost_io *, vhost_free)

static void vhost_close(struct port_io *io)
{
	struct vhost_io *v = (struct vhost_io *)io;

	if (v->path[0] != '\0')
		io->ops->leave(io);
	vhost_free(v);
}

static void vhost_leave(struct port_io *io)
{
	struct vhost_io *v = (struct vhost_io *)io;

	if (v->path[0] == '\0')
		return;
	rte_vhost_driver_unregister(v->path); // every device leaves
	weft_vhost_forget(v);
	watched -= watches(v);
	v->path[0] = '\0';
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
	struct vhost_device *d = atomic_load(&v->dev); // its memory is there whatever happens to it

	*out = (struct port_io_guest) {
		.server = v->server,
		.devices = v->devices,
	};
	for (uint16_t i = 0; i < v->n_shares; i++)
		add_guest_counters(&v->shares[i].counters, out);
	for (size_t i = 0; i < VHOST_LANES; i++)
		add_guest_counters(&v->lanes[i].counters, out);
	if (d == NULL)
		return;
	for (uint16_t i = 0; i < atomic_load(&d->n_pairs); i++)
		out->pairs += __atomic_load_n(&d->rings[2 * i].on, __ATOMIC_RELAXED) &&
			      __atomic_load_n(&d->rings[2 * i + 1].on, __ATOMIC_RELAXED);
	out->features = d->features;
	out->mtu = d->mtu;
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

// ---- The socket ------------------------------------------------------------------------------------

// What a process that was killed left behind goes; what somebody listens on stays.
static int remove_stale(const char *path, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;
	int fd, ret;

	if (lstat(path, &st) < 0)
		return errno == ENOENT
			       ? 0
			       : weft_fail(err, -errno, "socket %s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return weft_fail(err, -EEXIST, "socket %s: something else has this name", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return weft_fail(err, -errno, "socket %s: %s", path, strerror(errno));
	strcpy(address.sun_path, path);
	ret = connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? errno : 0;
	close(fd);
	if (ret != ECONNREFUSED)
		return weft_fail(err, -EADDRINUSE, "socket %s: another process listens on it",
				 path);
	if (unlink(path) < 0 && errno != ENOENT)
		return weft_fail(err, -errno, "socket %s: cannot be replaced: %s", path,
				 strerror(errno));
	return 0;
}

// The group may use it, the world may not. It is made for us alone, so there is no moment at which others may.
static int start(struct vhost_io *v, gid_t group, struct err *err)
{
	mode_t before = umask(0177);
	int ret = rte_vhost_driver_start(v->path);

	umask(before);
	if (ret < 0)
		return weft_fail(err, -EIO, "socket %s: librte_vhost does not start it", v->path);
	if (v->server && (chown(v->path, (uid_t)-1, group) < 0 || chmod(v->path, 0660) < 0))
		return weft_fail(err, -errno, "socket %s: its permissions cannot be set: %s",
				 v->path, strerror(errno));
	return 0;
}

static int open_socket(struct vhost_io *v, gid_t group, struct err *err)
{
	int ret = v->server ? remove_stale(v->path, err) : 0;

	if (ret < 0)
		return ret;
	if (rte_vhost_driver_register(v->path, v->server ? 0 : RTE_VHOST_USER_CLIENT) < 0)
		return weft_fail(err, -ENOSPC, "socket %s: librte_vhost cannot make it", v->path);
	watched += watches(v);
	weft_vhost_expect(v);
	if (rte_vhost_driver_disable_features(v->path, NOT_OFFERED) < 0 ||
	    rte_vhost_driver_callback_register(v->path, &weft_vhost_callbacks) < 0)
		ret = weft_fail(err, -EIO, "socket %s: librte_vhost refuses its settings", v->path);
	else
		ret = start(v, group, err);
	if (ret < 0)
		vhost_leave(&v->io);
	return ret;
}

int weft_vhost_open(const char *path, bool server, gid_t group, uint16_t shares,
		    struct rte_mempool *pool, struct port_io **out, struct err *err)
{
	size_t size = sizeof(struct vhost_io) + shares * sizeof(struct vhost_share);
	weft_auto(vhost_io) v = aligned_alloc(RTE_CACHE_LINE_SIZE, size);
	int ret;

	if (v == NULL)
		return weft_fail(err, -ENOMEM, "socket %s: no memory", path);
	memset(v, 0, size);
	v->io.ops = &vhost_ops;
	v->pool = pool;
	v->server = server;
	v->n_shares = shares;
	for (uint16_t i = 0; i < shares; i++)
		rte_spinlock_init(&v->shares[i].lock);
	for (size_t i = 0; i < VHOST_LANES; i++)
		rte_spinlock_init(&v->lanes[i].lock);
	if (strlen(path) >= sizeof(v->path))
		return weft_fail(err, -ENAMETOOLONG, "socket %s: its name is longer than %zu", path,
				 sizeof(v->path) - 1);
	if (watched + watches(v) > WATCHED_MAX)
		return weft_fail(err, -ENOSPC,
				 "socket %s: librte_vhost cannot watch more sockets than there are "
				 "already",
				 path);
	strcpy(v->path, path);
	rte_log_set_level_pattern("lib.vhost.*", RTE_LOG_ERR);
	ret = open_socket(v, group, err);
	if (ret < 0)
		return ret;
	*out = &weft_take(v)->io;
	return 0;
}
