// SPDX-License-Identifier: Apache-2.0
// Tap lab: what the tests of kernel interfaces share. A test program moves into a network
// namespace of its own, the "host"; each peer is another one, with one end of a veth pair, the
// "VM". Needs root and iproute2; skips without.
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "base/skip.h"
#include "base/text.h"
#include "datapath/native/io/eal.h"
#include "datapath/native/io/port_io.h"

#include <cmocka.h>

static struct rte_mempool *lab_pool;
static int lab_host_ns = -1;
static const char *lab_missing; // why there is no lab

__attribute__((format(printf, 1, 2))) static inline void run(const char *fmt, ...)
{
	char command[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static inline int lab_start(void **state)
{
	static const struct datapath_config config = {.workers = 1};
	struct err err = {0};
	bool huge;

	(void)state;
	if (unshare(CLONE_NEWNET) < 0)
		lab_missing = "no right to make network namespaces";
	else if (system("ip link set lo up") != 0)
		lab_missing = "iproute2 is not installed";
	lab_host_ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (weft_eal_start(&config, &huge, &err) < 0 ||
	    weft_eal_pool(&config, &lab_pool, &err) < 0) {
		print_error("%s\n", err.msg);
		return -1;
	}
	return 0;
}

static inline int lab_stop(void **state)
{
	(void)state;
	weft_tap_finish();
	rte_mempool_free(lab_pool);
	weft_eal_stop();
	close(lab_host_ns);
	return 0;
}

static inline void needs_lab(void)
{
	if (lab_missing != NULL)
		weft_skip(lab_missing);
}

// A peer's namespace lives as long as its process.
struct peer {
	pid_t pid;
	int ns;
	char tap[16]; // the host's end; the peer's is eth0
	struct port_io *io;
};

static inline void peer_namespace(struct peer *p)
{
	int ready[2];
	char c, path[64];

	assert_int_equal(pipe(ready), 0);
	p->pid = fork();
	if (p->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", p->pid);
	p->ns = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(p->ns >= 0);
}

// A VM called n: MAC 02:00:00:00:00:0n, addresses 10.0.0.n/24 and fd00::n/64.
static inline void peer_start(struct peer *p, int n)
{
	memset(p, 0, sizeof(*p));
	peer_namespace(p);
	snprintf(p->tap, sizeof(p->tap), "tap%d", n);
	run("ip link add %s type veth peer name eth0 address 02:00:00:00:00:%02x netns %d", p->tap,
	    n, p->pid);
	run("nsenter -t %d -n sh -c 'ip addr add 10.0.0.%d/24 dev eth0 && "
	    "ip addr add fd00::%x/64 dev eth0 nodad && ip link set eth0 up'",
	    p->pid, n, n);
}

static inline void peer_stop(struct peer *p)
{
	if (p->io != NULL)
		p->io->ops->close(p->io);
	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
	close(p->ns);
	run("ip link del %s 2>/dev/null || true", p->tap);
	assert_int_equal(rte_mempool_in_use_count(lab_pool), 0);
}

// A socket inside the peer's namespace.
static inline int peer_socket(const struct peer *p, int family, int type, int protocol)
{
	assert_int_equal(setns(p->ns, CLONE_NEWNET), 0);
	int fd = socket(family, type | SOCK_CLOEXEC, protocol);
	assert_int_equal(setns(lab_host_ns, CLONE_NEWNET), 0);
	assert_true(fd >= 0);
	return fd;
}

static inline bool is_running(int fd, const char *ifname)
{
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	return ioctl(fd, SIOCGIFFLAGS, &ifr) == 0 && (ifr.ifr_flags & IFF_RUNNING) != 0;
}

// The kernel notices a carrier in the background, and drops what is sent before. Each end is
// known to a socket of its namespace.
static inline void wait_carrier(int fd_a, const char *a, int fd_b, const char *b)
{
	for (int tries = 0; !(is_running(fd_a, a) && is_running(fd_b, b)); tries++) {
		assert_true(tries < 2000);
		usleep(10000);
	}
	usleep(5000);
}

static inline void peer_wait_carrier(const struct peer *p)
{
	int host = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int vm = peer_socket(p, AF_INET, SOCK_DGRAM, 0);

	wait_carrier(host, p->tap, vm, "eth0");
	close(host);
	close(vm);
}

static inline void peer_attach(struct peer *p, uint32_t mtu)
{
	struct err err = {0};

	if (weft_tap_open(p->tap, mtu, lab_pool, &p->io, &err) < 0)
		fail_msg("%s", err.msg);
	peer_wait_carrier(p);
}

// Frames of the peer's eth0; with a virtio-net header in front if asked.
static inline int peer_packets(const struct peer *p, int vnet)
{
	int fd = peer_socket(p, AF_PACKET, SOCK_RAW, 0), one = 1, bytes = 8 << 20;
	struct ifreq ifr = {.ifr_name = "eth0"};

	assert_int_equal(ioctl(fd, SIOCGIFINDEX, &ifr), 0);
	struct sockaddr_ll address = {.sll_family = AF_PACKET,
				      .sll_protocol = htons(ETH_P_ALL),
				      .sll_ifindex = ifr.ifr_ifindex};
	if (vnet)
		assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)), 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static inline void ethtool_set(int fd, const char *ifname, uint32_t command, uint32_t value)
{
	struct ethtool_value v = {.cmd = command, .data = value};
	struct ifreq ifr = {.ifr_data = (char *)&v};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	assert_int_equal(ioctl(fd, SIOCETHTOOL, &ifr), 0);
}

// How long to wait for what should come: it ends the wait, so a busy machine may take its time.
#define PATIENCE_MS 20000

// What arrives at a port within that time, at most n; peers talk on their own (neighbour
// discovery), so a test's frames have this type.
#define LAB_ETHERTYPE 0x88b5

static inline uint16_t frame_type(struct rte_mbuf *m)
{
	const uint8_t *f = rte_pktmbuf_mtod(m, const uint8_t *);

	return (uint16_t)(f[12] << 8 | f[13]);
}

static inline uint16_t take(struct port_io *io, uint16_t type, struct rte_mbuf **out, uint16_t n,
			    int timeout_ms)
{
	uint64_t end = weft_now_ms() + (uint64_t)timeout_ms;
	uint16_t got = 0;

	while (got < n && weft_now_ms() < end) {
		struct rte_mbuf *m;

		if (io->ops->rx(io, 0, &m, 1) == 0)
			usleep(100);
		else if (frame_type(m) == type)
			out[got++] = m;
		else
			rte_pktmbuf_free(m);
	}
	return got;
}

static inline struct rte_mbuf *frame_new(const uint8_t *data, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(lab_pool);

	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, (uint16_t)len), data, len);
	return m;
}

// From VM 1 to VM 2, of our own type, `number` in front.
static inline size_t lab_frame(uint8_t *f, uint32_t number, size_t len)
{
	static const uint8_t head[14] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};

	memcpy(f, head, sizeof(head));
	memcpy(f + 14, &number, sizeof(number));
	for (size_t i = 18; i < len; i++)
		f[i] = (uint8_t)(number + i);
	return len;
}

static inline struct port_io_stats stats_of(const struct port_io *io)
{
	struct port_io_stats s;

	io->ops->stats(io, &s);
	return s;
}
