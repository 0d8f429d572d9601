// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/tap/tap_io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <rte_common.h>

#include "base/auto.h"
#include "datapath/native/io/tap/tap_host.h"

#define LOST_MANY 16

static void tap_free(struct tap_io *t)
{
	weft_tap_ring_put(&t->ring);
	free(t);
}

DEFINE_AUTO(tap_io, struct tap_io *, tap_free)

static void tap_close(struct port_io *io)
{
	tap_free((struct tap_io *)io);
}

static void tap_stats(const struct port_io *io, struct port_io_stats *out)
{
	struct tap_io *t = (struct tap_io *)(uintptr_t)io; // the kernel forgets what it has told
	struct tpacket_stats kernel;
	socklen_t len = sizeof(kernel);

	if (getsockopt(t->ring.fd, SOL_PACKET, PACKET_STATISTICS, &kernel, &len) == 0)
		t->kernel_lost += kernel.tp_drops;
	*out = (struct port_io_stats) {
		.rx_lost = t->kernel_lost + __atomic_load_n(&t->rx_lost, __ATOMIC_RELAXED),
		.rx_malformed = __atomic_load_n(&t->rx_malformed, __ATOMIC_RELAXED),
		.tx_refused = __atomic_load_n(&t->tx_refused, __ATOMIC_RELAXED),
	};
}

static const struct port_io_ops tap_ops = {
	.name = "tap",
	.rx = weft_tap_rx,
	.tx = weft_tap_tx,
	.stats = tap_stats,
	.close = tap_close,
};

// From here on frames arrive.
static int join_interface(const struct tap_io *t)
{
	struct packet_mreq all = {.mr_ifindex = t->ifindex, .mr_type = PACKET_MR_PROMISC};
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = t->ifindex,
	};
	if (setsockopt(t->ring.fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) < 0 ||
	    bind(t->ring.fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return 0;
}

static int open_socket(struct tap_io *t, const char *ifname, enum tap_ring_use use, struct err *err)
{
	const char *what;
	int ret = weft_tap_ring_get(t->mtu, use, &t->ring, &what);

	if (ret < 0)
		return weft_fail(err, ret, "interface %s: the kernel refuses %s: %s", ifname, what,
				 strerror(-ret));
	t->next.slot = t->ring.memory;
	ret = join_interface(t);
	if (ret < 0)
		return weft_fail(err, ret, "interface %s: cannot receive: %s", ifname,
				 strerror(-ret));
	return 0;
}

static int tap_open(const char *ifname, uint32_t mtu, enum tap_ring_use use, bool tags_aside,
		    struct rte_mempool *pool, struct port_io **out, struct err *err)
{
	weft_auto(tap_io) t = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*t));
	struct tap_host host;

	if (t == NULL)
		return weft_fail(err, -ENOMEM, "interface %s: no memory", ifname);
	*t = (struct tap_io) {
		.io = {&tap_ops, true},
		.ring.fd = -1,
		.pool = pool,
		.tags_aside = tags_aside,
		.mtu = mtu,
	};

	int ret = weft_tap_host_init(&host, ifname, err);
	if (ret < 0)
		return ret;
	ret = weft_tap_host_isolate(&host, err);
	if (ret == 0)
		ret = weft_tap_host_up(&host, tags_aside ? 0 : mtu, err);
	t->ifindex = host.ifindex;
	if (ret == 0)
		ret = open_socket(t, ifname, use, err);
	weft_tap_host_fini(&host);
	if (ret < 0)
		return ret;
	*out = &weft_take(t)->io;
	return 0;
}

int weft_tap_open(const char *ifname, uint32_t mtu, struct rte_mempool *pool, struct port_io **out,
		  struct err *err)
{
	return tap_open(ifname, mtu, TAP_RING_PORT, false, pool, out, err);
}

int weft_tap_open_trunk(const char *ifname, uint32_t mtu, struct rte_mempool *pool,
			struct port_io **out, struct err *err)
{
	return tap_open(ifname, mtu, TAP_RING_TRUNK, true, pool, out, err);
}

int weft_tap_open_apart(const char *ifname, uint32_t mtu, struct rte_mempool *pool,
			struct port_io **out, struct err *err)
{
	return tap_open(ifname, mtu, TAP_RING_TRUNK, false, pool, out, err);
}

// ---- A longer ring -------------------------------------------------------------------------

bool weft_tap_is_short(struct port_io *io)
{
	struct tap_io *t = (struct tap_io *)io;
	struct port_io_stats s;
	uint64_t before = t->lost_before;

	if (io->ops != &tap_ops || t->has_long_ring)
		return false;
	tap_stats(io, &s);
	t->lost_before = s.rx_lost;
	return s.rx_lost - before >= LOST_MANY;
}

int weft_tap_longer(struct port_io *io, struct port_io **out)
{
	struct tap_io *old = (struct tap_io *)io;
	weft_auto(tap_io) t = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*t));
	struct port_io_stats s;
	const char *what;
	int ret;

	old->has_long_ring = true; // or there is no memory for it: once is enough
	if (t == NULL)
		return -ENOMEM;
	tap_stats(io, &s);
	*t = (struct tap_io) {
		.io = {&tap_ops, true},
		.ring.fd = -1,
		.pool = old->pool,
		.tags_aside = old->tags_aside,
		.mtu = old->mtu,
		.ifindex = old->ifindex,
		.has_long_ring = true,
		.kernel_lost = s.rx_lost,
		.rx_malformed = s.rx_malformed,
		.tx_refused = s.tx_refused,
	};
	ret = weft_tap_ring_get(t->mtu, TAP_RING_LONG, &t->ring, &what);
	if (ret < 0)
		return ret;
	t->next.slot = t->ring.memory;
	*out = &weft_take(t)->io;
	return 0;
}

int weft_tap_join(struct port_io *io)
{
	return join_interface((struct tap_io *)io);
}
