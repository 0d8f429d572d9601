// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/tap_io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_common.h>

#include "base/auto.h"
#include "datapath/native/tap_host.h"

// There are hundreds of ports, so a ring is small: 0.4 MB at an MTU of 1500. It bridges a worker's absence of a
// quarter of a millisecond at a million packets a second.
#define RING_FRAMES	256
#define RING_FRAMES_MIN 64
#define RING_BYTES	(1u << 20)
#define RING_BLOCK	(64u << 10)
#define FRAME_MAX	(16u << 10)

// Large packets that wait for a worker, and packets that wait for their receiver: as the kernel accounts them; it
// doubles what it is told. Nothing of it is allocated in advance.
#define SOCKET_RX_BYTES (4 << 20)
#define SOCKET_TX_BYTES (2 << 20)

_Static_assert(sizeof(struct virtio_net_hdr) == TAP_VNET_LEN, "as the kernel has it");

static void tap_free(struct tap_io *t)
{
	if (t->ring != NULL)
		munmap(t->ring, t->ring_len);
	if (t->fd >= 0)
		close(t->fd);
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

	if (getsockopt(t->fd, SOL_PACKET, PACKET_STATISTICS, &kernel, &len) == 0)
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

static int set(const struct tap_io *t, int level, int option, const void *value, size_t len)
{
	return setsockopt(t->fd, level, option, value, (socklen_t)len) < 0 ? -errno : 0;
}

static int set_int(const struct tap_io *t, int level, int option, int value)
{
	return set(t, level, option, &value, sizeof(value));
}

// Frames come with a virtio-net header, larger ones than a slot also by the socket, ours not at all.
static int set_options(const struct tap_io *t, const char **what)
{
	int ret;

	*what = "PACKET_VERSION";
	ret = set_int(t, SOL_PACKET, PACKET_VERSION, TPACKET_V2);
	if (ret < 0)
		return ret;
	*what = "PACKET_VNET_HDR";
	ret = set_int(t, SOL_PACKET, PACKET_VNET_HDR, 1);
	if (ret < 0)
		return ret;
	*what = "PACKET_COPY_THRESH";
	ret = set_int(t, SOL_PACKET, PACKET_COPY_THRESH, 1);
	if (ret < 0)
		return ret;
	*what = "PACKET_IGNORE_OUTGOING";
	ret = set_int(t, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
	if (ret < 0)
		return ret;

	// The system's limits are for others. Without the right to exceed them, what they allow must do.
	if (set_int(t, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_RX_BYTES / 2) < 0)
		set_int(t, SOL_SOCKET, SO_RCVBUF, SOCKET_RX_BYTES / 2);
	if (set_int(t, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_TX_BYTES / 2) < 0)
		set_int(t, SOL_SOCKET, SO_SNDBUF, SOCKET_TX_BYTES / 2);
	return 0;
}

static int make_ring(struct tap_io *t, uint32_t mtu)
{
	// As the kernel lays a slot out: its header, room for the link header, virtio-net header, packet. Two tags may stay
	// in the frame.
	uint32_t frame =
		TPACKET_ALIGN(TPACKET_ALIGN(TPACKET2_HDRLEN + 16) + TAP_VNET_LEN + 8 + mtu);

	t->frame_size = RTE_MIN(frame, FRAME_MAX);
	t->block_size = RING_BLOCK;
	t->frames_per_block = t->block_size / t->frame_size;
	uint32_t frames = RTE_MIN(RTE_MAX(RING_BYTES / t->frame_size, (uint32_t)RING_FRAMES_MIN),
				  (uint32_t)RING_FRAMES);
	t->blocks = (frames + t->frames_per_block - 1) / t->frames_per_block;

	struct tpacket_req request = {
		.tp_block_size = t->block_size,
		.tp_block_nr = t->blocks,
		.tp_frame_size = t->frame_size,
		.tp_frame_nr = t->blocks * t->frames_per_block,
	};
	int ret = set(t, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request));
	if (ret < 0)
		return ret;
	size_t len = (size_t)t->blocks * t->block_size;
	void *ring = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
	if (ring == MAP_FAILED)
		return -errno;
	t->ring = ring;
	t->ring_len = len;
	t->next.slot = ring;
	return 0;
}

// From here on frames arrive.
static int join_interface(const struct tap_io *t, int ifindex)
{
	struct packet_mreq all = {.mr_ifindex = ifindex, .mr_type = PACKET_MR_PROMISC};
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = ifindex,
	};
	int ret = set(t, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all));

	if (ret == 0 && bind(t->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		ret = -errno;
	return ret;
}

static int open_socket(struct tap_io *t, const char *ifname, uint32_t mtu, int ifindex,
		       struct err *err)
{
	const char *what;

	// No protocol yet: nothing arrives before all is set.
	t->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (t->fd < 0)
		return weft_fail(err, -errno, "interface %s: no packet socket (CAP_NET_RAW): %s",
				 ifname, strerror(errno));
	int ret = set_options(t, &what);
	if (ret < 0)
		return weft_fail(err, -ENOTSUP, "interface %s: the kernel refuses %s: %s", ifname,
				 what, strerror(-ret));
	ret = make_ring(t, mtu);
	if (ret < 0)
		return weft_fail(err, ret, "interface %s: no receive ring: %s", ifname,
				 strerror(-ret));
	ret = join_interface(t, ifindex);
	if (ret < 0)
		return weft_fail(err, ret, "interface %s: cannot receive: %s", ifname,
				 strerror(-ret));
	return 0;
}

int weft_tap_open(const char *ifname, uint32_t mtu, struct rte_mempool *pool, struct port_io **out,
		  struct err *err)
{
	weft_auto(tap_io) t = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*t));
	struct tap_host host;

	if (t == NULL)
		return weft_fail(err, -ENOMEM, "interface %s: no memory", ifname);
	*t = (struct tap_io) {.io.ops = &tap_ops, .fd = -1, .pool = pool};

	int ret = weft_tap_host_init(&host, ifname, err);
	if (ret < 0)
		return ret;
	ret = weft_tap_host_isolate(&host, err);
	if (ret == 0)
		ret = weft_tap_host_up(&host, mtu, err);
	if (ret == 0)
		ret = open_socket(t, ifname, mtu, host.ifindex, err);
	weft_tap_host_fini(&host);
	if (ret < 0)
		return ret;
	*out = &weft_take(t)->io;
	return 0;
}
