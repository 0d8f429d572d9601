// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/tap/tap_ring.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rte_common.h>

#include "base/text.h"
#include "datapath/native/io/port_io.h"

// There are hundreds of ports, and most of them idle, so a ring is small unless it is configured
// otherwise: 80 slots at an MTU of 1500. That bridges the longest sleep of an idle worker at
// 800,000 packets a second. A port that loses packets nevertheless gets a long one (native.c).
#define RING_BYTES	(128u << 10)
#define LONG_BYTES	(512u << 10)
#define RING_FRAMES_MIN 64 // of long frames: not fewer than a burst
#define RING_BLOCK	(64u << 10)
// What many ports share is longer still: a million packets a second and a millisecond.
#define TRUNK_FRAMES	1024
#define TRUNK_BYTES	(4u << 20)
#define FRAME_MAX	(16u << 10)
#define MTU_MIN		1500 // smaller ones share its rings

// Large packets that wait for a worker, and packets that wait for their receiver: as the kernel
// accounts them; it doubles what it is told. Nothing of it is allocated in advance.
#define SOCKET_RX_BYTES (4 << 20)
#define SOCKET_TX_BYTES (2 << 20)

#define THREADS_MAX 32
#define STOCK	    16	// rings made ahead, in a hurry
#define HURRY_MS    100 // between two requests
#define LINGER_MS   1000

_Static_assert(sizeof(struct virtio_net_hdr) == TAP_VNET_LEN, "as the kernel has it");

struct node {
	struct tap_ring ring;
	struct node *next;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t work;	// for threads
	pthread_cond_t changed; // for those who wait for threads
	struct node *stock, *closing;
	unsigned int n_stock, n_to_make, n_making, n_threads, n_idle;
	uint32_t mtu; // of the rings in stock
	uint64_t asked_ms;
	bool stopping;
} rings = {.lock = PTHREAD_MUTEX_INITIALIZER,
	   .work = PTHREAD_COND_INITIALIZER,
	   .changed = PTHREAD_COND_INITIALIZER};

static uint32_t ring_bytes = RING_BYTES; // of a port's

static int set(int fd, int level, int option, const void *value, size_t len)
{
	return setsockopt(fd, level, option, value, (socklen_t)len) < 0 ? -errno : 0;
}

// Frames come with a virtio-net header, larger ones than a slot also by the socket, ours not at
// all.
static int set_options(int fd, const char **what)
{
	static const struct {
		const char *name;
		int option, value;
	} options[] = {
		{"PACKET_VERSION", PACKET_VERSION, TPACKET_V2},
		{"PACKET_VNET_HDR", PACKET_VNET_HDR, 1},
		{"PACKET_COPY_THRESH", PACKET_COPY_THRESH, 1},
		{"PACKET_IGNORE_OUTGOING", PACKET_IGNORE_OUTGOING, 1},
	};
	int rx = SOCKET_RX_BYTES / 2, tx = SOCKET_TX_BYTES / 2;

	for (size_t i = 0; i < RTE_DIM(options); i++) {
		int ret = set(fd, SOL_PACKET, options[i].option, &options[i].value, sizeof(int));

		*what = options[i].name;
		if (ret < 0)
			return ret;
	}
	// The system's limits are for others. Without the right to exceed them, what they allow
	// must do.
	if (set(fd, SOL_SOCKET, SO_RCVBUFFORCE, &rx, sizeof(rx)) < 0)
		set(fd, SOL_SOCKET, SO_RCVBUF, &rx, sizeof(rx));
	if (set(fd, SOL_SOCKET, SO_SNDBUFFORCE, &tx, sizeof(tx)) < 0)
		set(fd, SOL_SOCKET, SO_SNDBUF, &tx, sizeof(tx));
	return 0;
}

// So many blocks are as much memory as is wanted, or as many slots.
static uint32_t blocks_of(uint32_t per_block, enum tap_ring_use use)
{
	uint32_t bytes = use == TAP_RING_TRUNK	? TRUNK_BYTES
			 : use == TAP_RING_LONG ? RTE_MAX(4 * ring_bytes, LONG_BYTES)
						: ring_bytes;
	uint32_t most = use == TAP_RING_TRUNK ? TRUNK_FRAMES : UINT32_MAX;
	uint32_t frames = bytes / RING_BLOCK * per_block;

	frames = RTE_MIN(RTE_MAX(frames, (uint32_t)RING_FRAMES_MIN), most);
	return frames / per_block + (frames % per_block != 0);
}

static int map_ring(struct tap_ring *r, uint32_t mtu, enum tap_ring_use use)
{
	// As the kernel lays a slot out: its header, room for the link header, virtio-net header,
	// packet. Two tags may stay in the frame.
	uint32_t frame =
		TPACKET_ALIGN(TPACKET_ALIGN(TPACKET2_HDRLEN + 16) + TAP_VNET_LEN + 8 + mtu);

	r->frame_size = RTE_MIN(frame, FRAME_MAX);
	r->block_size = RING_BLOCK;
	r->frames_per_block = r->block_size / r->frame_size;
	r->blocks = blocks_of(r->frames_per_block, use);

	struct tpacket_req request = {
		.tp_block_size = r->block_size,
		.tp_block_nr = r->blocks,
		.tp_frame_size = r->frame_size,
		.tp_frame_nr = r->blocks * r->frames_per_block,
	};
	int ret = set(r->fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request));
	if (ret < 0)
		return ret;
	size_t len = (size_t)r->blocks * r->block_size;
	void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	r->memory = memory;
	r->len = len;
	return 0;
}

static void ring_close(const struct tap_ring *r)
{
	if (r->memory != NULL)
		munmap(r->memory, r->len);
	if (r->fd >= 0)
		close(r->fd);
}

static int ring_make(uint32_t mtu, enum tap_ring_use use, struct tap_ring *out, const char **what)
{
	// No protocol yet: nothing arrives before the owner binds it.
	struct tap_ring r = {.fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)};
	int ret;

	*what = "packet sockets (CAP_NET_RAW)";
	if (r.fd < 0)
		return -errno;
	ret = set_options(r.fd, what);
	if (ret == 0) {
		*what = "PACKET_RX_RING";
		ret = map_ring(&r, mtu, use);
	}
	if (ret < 0) {
		ring_close(&r);
		return ret;
	}
	*out = r;
	return 0;
}

// ---- Threads; all of this under the lock, but for the waiting ----

static struct node *pop(struct node **list)
{
	struct node *n = *list;

	if (n != NULL)
		*list = n->next;
	return n;
}

static void push(struct node **list, struct node *n)
{
	n->next = *list;
	*list = n;
}

static void close_one(struct node *n)
{
	pthread_mutex_unlock(&rings.lock);
	ring_close(&n->ring);
	free(n);
	pthread_mutex_lock(&rings.lock);
}

static void make_one(void)
{
	struct node *n = malloc(sizeof(*n));
	uint32_t mtu = rings.mtu;
	const char *what;

	rings.n_to_make--;
	rings.n_making++;
	pthread_mutex_unlock(&rings.lock);
	bool made = n != NULL && ring_make(mtu, TAP_RING_PORT, &n->ring, &what) == 0;
	pthread_mutex_lock(&rings.lock);
	rings.n_making--;
	if (made) {
		push(mtu == rings.mtu ? &rings.stock : &rings.closing, n);
		rings.n_stock += mtu == rings.mtu;
	} else {
		free(n); // who needs it tries again and learns why
	}
	pthread_cond_broadcast(&rings.changed);
}

// Nothing to do: wait, then clear up. False: it is time to go.
static bool linger(void)
{
	struct timespec until;

	if (!rings.stopping) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += LINGER_MS / 1000;
		rings.n_idle++;
		int ret = pthread_cond_timedwait(&rings.work, &rings.lock, &until);
		rings.n_idle--;
		if (ret != ETIMEDOUT && !rings.stopping)
			return true;
	}
	if (rings.n_stock == 0)
		return rings.closing != NULL || rings.n_to_make > 0;
	push(&rings.closing, pop(&rings.stock));
	rings.n_stock--;
	return true;
}

static void *thread_main(void *arg)
{
	struct node *n;

	(void)arg;
	pthread_mutex_lock(&rings.lock);
	do {
		while ((n = pop(&rings.closing)) != NULL)
			close_one(n);
		while (rings.n_to_make > 0)
			make_one();
	} while (rings.closing != NULL || rings.n_to_make > 0 || linger());
	rings.n_threads--;
	pthread_cond_broadcast(&rings.changed);
	pthread_mutex_unlock(&rings.lock);
	return NULL;
}

// Have as many threads as there are jobs. False: there is none.
static bool call_threads(unsigned int jobs)
{
	pthread_attr_t attr;
	sigset_t all, before;
	pthread_t thread;

	pthread_cond_broadcast(&rings.work);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); // signals are the control thread's
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (unsigned int i = rings.n_idle; i < jobs && rings.n_threads < THREADS_MAX; i++) {
		if (pthread_create(&thread, &attr, thread_main, NULL) != 0)
			break;
		rings.n_threads++;
	}
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rings.n_threads > 0;
}

// More will be asked for: have them made.
static void stock_up(uint32_t mtu)
{
	unsigned int have = rings.n_stock + rings.n_to_make + rings.n_making;

	if (rings.mtu != mtu && have > 0)
		return; // for others; this one makes its own
	rings.mtu = mtu;
	if (have >= STOCK)
		return;
	rings.n_to_make += STOCK - have;
	if (!call_threads(STOCK - have))
		rings.n_to_make = 0;
}

int weft_tap_ring_get(uint32_t mtu, enum tap_ring_use use, struct tap_ring *out, const char **what)
{
	struct node *n = NULL;
	uint64_t now = weft_now_ms();

	mtu = RTE_MAX(mtu, (uint32_t)MTU_MIN);
	if (use != TAP_RING_PORT)
		return ring_make(mtu, use, out, what);
	pthread_mutex_lock(&rings.lock);
	if (now - rings.asked_ms < HURRY_MS)
		stock_up(mtu);
	rings.asked_ms = now;
	while (rings.mtu == mtu && rings.n_stock == 0 && rings.n_to_make + rings.n_making > 0)
		pthread_cond_wait(&rings.changed, &rings.lock);
	if (rings.mtu == mtu && rings.n_stock > 0) {
		n = pop(&rings.stock);
		rings.n_stock--;
	}
	pthread_mutex_unlock(&rings.lock);

	if (n == NULL)
		return ring_make(mtu, use, out, what);
	*out = n->ring;
	free(n);
	return 0;
}

void weft_tap_ring_put(const struct tap_ring *r)
{
	struct node *n = malloc(sizeof(*n));

	pthread_mutex_lock(&rings.lock);
	bool later = n != NULL && call_threads(1);
	if (later) {
		n->ring = *r;
		push(&rings.closing, n);
	}
	pthread_mutex_unlock(&rings.lock);
	if (later)
		return;
	free(n);
	ring_close(r);
}

void weft_tap_ring_size(uint32_t kb)
{
	ring_bytes = kb << 10;
}

unsigned int weft_tap_ring_stock(void)
{
	pthread_mutex_lock(&rings.lock);
	unsigned int n = rings.n_stock + rings.n_to_make + rings.n_making;
	pthread_mutex_unlock(&rings.lock);
	return n;
}

void weft_tap_finish(void)
{
	pthread_mutex_lock(&rings.lock);
	rings.stopping = true;
	rings.n_to_make = 0;
	pthread_cond_broadcast(&rings.work);
	while (rings.n_threads > 0)
		pthread_cond_wait(&rings.changed, &rings.lock);
	rings.stopping = false;
	pthread_mutex_unlock(&rings.lock);
}
