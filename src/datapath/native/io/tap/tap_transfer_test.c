// SPDX-License-Identifier: Apache-2.0
// Real stacks talking through two attached interfaces and a forwarder that looks at nothing.
#include "datapath/native/io/port_io.h"

#include "datapath/native/io/segment.h"
#include "datapath/native/testing/tap_lab.h"
#include "datapath/native/io/tap/tap_ring.h"

#include <linux/if_tun.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdatomic.h>

#include <rte_ip.h>

static struct peer vm1, vm2;

// ---- The forwarder ----

static struct {
	pthread_t thread;
	atomic_bool stop;
	_Atomic uint32_t largest; // packet seen
	_Atomic uint64_t packets, refused;
	_Atomic uint64_t flags; // all that were seen, or'ed
} forwarder;

static uint32_t forward(struct port_io *from, struct port_io *to)
{
	struct rte_mbuf *pkts[32];
	uint16_t n = from->ops->rx(from, 0, pkts, 32);

	for (uint16_t i = 0; i < n; i++) {
		if (pkts[i]->pkt_len > forwarder.largest)
			forwarder.largest = pkts[i]->pkt_len;
		forwarder.flags |= pkts[i]->ol_flags;
	}
	uint16_t sent = n > 0 ? to->ops->tx(to, pkts, n) : 0;
	rte_pktmbuf_free_bulk(pkts + sent, n - sent);
	forwarder.packets += n;
	forwarder.refused += n - sent;
	return n;
}

static void *forward_main(void *arg)
{
	uint32_t idle = 0;

	(void)arg;
	rte_thread_register();
	while (!atomic_load(&forwarder.stop)) {
		uint32_t n = forward(vm1.io, vm2.io);

		n += forward(vm2.io, vm1.io);
		idle = n > 0 ? 0 : idle + 1;
		if (idle > 200)
			usleep(20);
	}
	rte_thread_unregister();
	return NULL;
}

static void forwarder_stop(void)
{
	atomic_store(&forwarder.stop, true);
	pthread_join(forwarder.thread, NULL);
}

static int two_vms(void **state)
{
	(void)state;
	if (lab_missing != NULL)
		return 0;
	peer_start(&vm1, 1);
	peer_start(&vm2, 2);
	peer_attach(&vm1, 1500);
	peer_attach(&vm2, 1500);
	memset(&forwarder, 0, sizeof(forwarder));
	return pthread_create(&forwarder.thread, NULL, forward_main, NULL);
}

// Rings in which more packets wait than the kernel keeps large ones.
static int two_vms_with_long_rings(void **state)
{
	weft_tap_finish(); // with what was made ahead
	weft_tap_ring_size(512);
	return two_vms(state);
}

static int no_vms(void **state)
{
	(void)state;
	if (lab_missing != NULL)
		return 0;
	if (!atomic_load(&forwarder.stop))
		forwarder_stop();
	peer_stop(&vm1);
	peer_stop(&vm2);
	weft_tap_ring_size(128);
	return 0;
}

// ---- TCP ----

static void address(int family, int vm, struct sockaddr_storage *out, socklen_t *len)
{
	memset(out, 0, sizeof(*out));
	if (family == AF_INET) {
		*(struct sockaddr_in *)out =
			(struct sockaddr_in) {.sin_family = AF_INET,
					      .sin_port = htons(5001),
					      .sin_addr.s_addr = htonl(0x0a000000u + (uint32_t)vm)};
		*len = sizeof(struct sockaddr_in);
	} else {
		*(struct sockaddr_in6 *)out =
			(struct sockaddr_in6) {.sin6_family = AF_INET6,
					       .sin6_port = htons(5001),
					       .sin6_addr.s6_addr = {0xfd, [15] = (uint8_t)vm}};
		*len = sizeof(struct sockaddr_in6);
	}
}

#define CHUNK (1 << 20)

static uint8_t byte_at(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 16));
}

struct sender {
	int fd;
	size_t bytes;
};

static void *send_main(void *arg)
{
	struct sender *s = arg;
	uint8_t *buf = malloc(CHUNK);

	for (size_t at = 0; at < s->bytes; at += CHUNK) {
		for (size_t i = 0; i < CHUNK; i++)
			buf[i] = byte_at(at + i);
		for (size_t done = 0; done < CHUNK;) {
			ssize_t n = send(s->fd, buf + done, CHUNK - done, MSG_NOSIGNAL);
			if (n <= 0)
				goto out;
			done += (size_t)n;
		}
	}
out:
	free(buf);
	shutdown(s->fd, SHUT_WR);
	return NULL;
}

// From VM 1 to VM 2; seconds.
static double transfer(int family, size_t bytes)
{
	struct sockaddr_storage to;
	socklen_t len;
	int listener = peer_socket(&vm2, family, SOCK_STREAM, 0);
	struct sender s = {peer_socket(&vm1, family, SOCK_STREAM, 0), bytes};
	struct timeval patience = {.tv_sec = 10};
	pthread_t thread;
	uint64_t begin;
	size_t got = 0, wrong = 0;
	uint8_t *buf = malloc(CHUNK);

	address(family, 2, &to, &len);
	assert_int_equal(bind(listener, (struct sockaddr *)&to, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	setsockopt(s.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)); // connect's too
	assert_int_equal(connect(s.fd, (struct sockaddr *)&to, len), 0);
	int fd = accept(listener, NULL, NULL);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	begin = weft_now_ms();
	assert_int_equal(pthread_create(&thread, NULL, send_main, &s), 0);
	for (;;) {
		ssize_t n = recv(fd, buf, CHUNK, 0);

		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			wrong += buf[i] != byte_at(got + (size_t)i);
		got += (size_t)n;
	}
	double seconds = (double)(weft_now_ms() - begin) / 1000;
	close(fd); // a sender that still waits gives up
	pthread_join(thread, NULL);
	close(s.fd);
	close(listener);
	free(buf);
	assert_int_equal(got, bytes);
	assert_int_equal(wrong, 0);
	return seconds;
}

static void tcp_arrives_whole_in_large_segments(void **state)
{
	(void)state;
	needs_lab();
	for (int family = AF_INET;; family = AF_INET6) {
		size_t bytes = family == AF_INET ? 100 << 20 : 30 << 20;

		forwarder.largest = 0;
		double seconds = transfer(family, bytes);
		print_message("%s: %.1f Gbit/s, largest packet %u, lost %u\n",
			      family == AF_INET ? "IPv4" : "IPv6", (double)bytes * 8e-9 / seconds,
			      forwarder.largest,
			      (unsigned int)(stats_of(vm1.io).rx_lost + stats_of(vm2.io).rx_lost +
					     forwarder.refused));
		assert_true(forwarder.largest > 30000);
		assert_true((forwarder.flags & RTE_MBUF_F_TX_TCP_SEG) != 0);
		if (family == AF_INET6)
			break;
	}
	assert_int_equal(stats_of(vm1.io).rx_malformed + stats_of(vm2.io).rx_malformed, 0);
	assert_int_equal(stats_of(vm1.io).tx_refused + stats_of(vm2.io).tx_refused, 0);
}

static void tcp_arrives_whole_if_nobody_offloads(void **state)
{
	(void)state;
	needs_lab();
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ethtool_set(fd, vm1.tap, ETHTOOL_STXCSUM, 0);
	ethtool_set(fd, vm2.tap, ETHTOOL_STXCSUM, 0);
	close(fd);
	for (struct peer *p = &vm1; p != NULL; p = p == &vm1 ? &vm2 : NULL) {
		fd = peer_socket(p, AF_INET, SOCK_DGRAM, 0);
		ethtool_set(fd, "eth0", ETHTOOL_STXCSUM, 0);
		ethtool_set(fd, "eth0", ETHTOOL_SRXCSUM, 0);
		close(fd);
	}
	transfer(AF_INET, 10 << 20);
	assert_true((forwarder.flags & RTE_MBUF_F_TX_L4_MASK) == 0);
}

// ---- Checksums, as a receiver that trusts nobody computes them ----

static bool checksum_is_right(const uint8_t *frame, size_t len)
{
	bool v6 = frame[12] == 0x86;
	const uint8_t *l4 = frame + (v6 ? 54 : 34);
	uint8_t proto = v6 ? frame[20] : frame[23];
	uint32_t l4_len =
		(uint32_t)(v6 ? frame[18] << 8 | frame[19] : (frame[16] << 8 | frame[17]) - 20);

	assert_true((size_t)(l4 - frame) + l4_len <= len);
	uint32_t sum = (uint32_t)rte_raw_cksum(v6 ? frame + 22 : frame + 26, v6 ? 32 : 8) +
		       htons(proto) + htons((uint16_t)l4_len) + rte_raw_cksum(l4, l4_len);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16) == 0xffff;
}

static void a_receiver_without_offloads_gets_right_checksums(void **state)
{
	(void)state;
	needs_lab();
	struct {
		struct virtio_net_hdr vnet;
		uint8_t frame[2000];
	} __attribute__((packed)) p;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), checked = 0;

	ethtool_set(fd, vm2.tap, ETHTOOL_STXCSUM, 0);
	close(fd);
	int seen = peer_packets(&vm2, 1);
	transfer(AF_INET, 1 << 20);
	transfer(AF_INET6, 1 << 20);
	assert_true((forwarder.flags & RTE_MBUF_F_TX_TCP_SEG) != 0);
	for (ssize_t n; (n = recv(seen, &p, sizeof(p), MSG_DONTWAIT)) > 0;) {
		if ((p.frame[12] != 8 || p.frame[13] != 0 || p.frame[23] != IPPROTO_TCP) &&
		    (p.frame[12] != 0x86 || p.frame[20] != IPPROTO_TCP))
			continue;
		assert_int_equal(p.vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, 0);
		assert_int_equal(p.vnet.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		assert_true(checksum_is_right(p.frame, (size_t)n - sizeof(p.vnet)));
		checked++;
	}
	print_message("%d packets checked\n", checked);
	assert_true(checked > 1400);
	close(seen);
}

static void sctp_leaves_with_its_checksum(void **state)
{
	(void)state;
	needs_lab();
	struct {
		struct virtio_net_hdr vnet;
		uint8_t frame[60];
	} __attribute__((packed))
	p = {.vnet = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 8}};
	int from = peer_packets(&vm1, 1), to = peer_packets(&vm2, 0);

	memcpy(p.frame,
	       "\2\0\0\0\0\2\2\0\0\0\0\1\x08\0\x45\0\0\x20\0\0\0\0\x40\x84\0\0\x0a\0\0\1\x0a\0\0\2"
	       "\x30\x39\xd4\x31\xde\xad\xbe\xef",
	       42);
	assert_int_equal(send(from, &p, sizeof(p.vnet) + 46, 0), sizeof(p.vnet) + 46);
	do {
		assert_true(recv(to, p.frame, sizeof(p.frame), 0) > 0);
	} while (p.frame[23] != IPPROTO_SCTP);
	// As scapy computes it.
	assert_memory_equal(p.frame + 42, "\x7c\x37\x19\x30", 4);
	close(from);
	close(to);
}

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

static void udp_segments_arrive_one_by_one(void **state)
{
	(void)state;
	needs_lab();
	struct sockaddr_storage to;
	socklen_t len;
	int receiver = peer_socket(&vm2, AF_INET, SOCK_DGRAM, 0), size = 1000;
	int sender = peer_socket(&vm1, AF_INET, SOCK_DGRAM, 0);
	struct timeval patience = {.tv_sec = 1};
	uint8_t data[20500], got[2000];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = byte_at(i * 77);
	address(AF_INET, 2, &to, &len);
	assert_int_equal(bind(receiver, (struct sockaddr *)&to, len), 0);
	setsockopt(receiver, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(setsockopt(sender, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
	assert_int_equal(sendto(sender, data, sizeof(data), 0, (struct sockaddr *)&to, len),
			 sizeof(data));
	ssize_t n = recv(receiver, got, sizeof(got), 0);
	if (n < 0 && stats_of(vm1.io).rx_lost > 0) {
		close(receiver);
		close(sender);
		weft_skip("packet sockets cannot express it before Linux 6.2");
	}
	for (size_t at = 0; at < sizeof(data); at += 1000) {
		assert_int_equal(n, RTE_MIN(sizeof(data) - at, 1000u));
		assert_memory_equal(got, data + at, n);
		n = at < 20000 ? recv(receiver, got, sizeof(got), 0) : 0;
	}
	assert_true((forwarder.flags & RTE_MBUF_F_TX_UDP_SEG) != 0);
	close(receiver);
	close(sender);
}

// ---- Large packets, made by hand ----

static struct large {
	struct virtio_net_hdr vnet;
	uint8_t frame[54 + 60000];
} __attribute__((packed)) out, in;

static void make_large(void)
{
	out.vnet = (struct virtio_net_hdr) {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					    .hdr_len = 54,
					    .gso_size = 1448,
					    .csum_start = 34,
					    .csum_offset = 16};
	memcpy(out.frame,
	       "\2\0\0\0\0\2\2\0\0\0\0\1\x08\0\x45\0\xea\x88\0\0\0\0\x40\6\0\0\x0a\0\0\1\x0a\0\0\2"
	       "\1\2\3\4\0\0\0\1\0\0\0\1\x50\x10\1\0\0\0\0\0",
	       54);
	for (size_t i = 54; i < sizeof(out.frame); i++)
		out.frame[i] = byte_at(i);
}

// The kernel makes the segments before it comes back.
static void a_burst_is_no_more_segments_than_others_can_wait_for(void **state)
{
	enum { N = 8, SIZE = 30 };
	struct rte_mbuf *m[N];
	uint16_t got = 0;

	(void)state;
	needs_lab();
	forwarder_stop();
	make_large();
	out.vnet.gso_size = SIZE;
	int fd = peer_packets(&vm1, 1);
	for (int i = 0; i < N; i++) {
		assert_int_equal(send(fd, &out, sizeof(out), 0), sizeof(out));
		for (int idle = 0; idle < 1000 && got <= i; idle++) {
			got += vm1.io->ops->rx(vm1.io, 0, m + got, 1);
			if (got > i && frame_type(m[i]) != 0x0800)
				rte_pktmbuf_free(m[--got]); // somebody's neighbour discovery
			usleep(got > i ? 0 : 1000);
		}
	}
	assert_int_equal(got, N);
	assert_int_equal(vm2.io->ops->tx(vm2.io, m, N), SEGMENTS_MOST / (60000 / SIZE));
	rte_pktmbuf_free_bulk(m + SEGMENTS_MOST / (60000 / SIZE),
			      N - SEGMENTS_MOST / (60000 / SIZE));
	close(fd);
}

static bool is_whole(const struct rte_mbuf *m)
{
	if (m->pkt_len != sizeof(out.frame) || m->tso_segsz != 1448)
		return false;
	rte_mbuf_sanity_check(m, 1);
	const void *copy = rte_pktmbuf_read(m, 0, m->pkt_len, in.frame);
	return copy != NULL && memcmp(copy, out.frame, m->pkt_len) == 0;
}

static void large_packets_that_nobody_fetches_are_counted_and_never_cut(void **state)
{
	(void)state;
	needs_lab();
	struct rte_mbuf *m = NULL;
	int fd = peer_packets(&vm1, 1);
	uint32_t got = 0, small = 0;

	forwarder_stop();
	make_large();
	// Small ones between them keep their places.
	for (int i = 0; i < 100; i++) {
		uint8_t *f = in.frame;

		assert_int_equal(send(fd, &out, sizeof(out), 0), sizeof(out));
		memset(&in.vnet, 0, sizeof(in.vnet));
		assert_int_equal(send(fd, &in, sizeof(in.vnet) + lab_frame(f, (uint32_t)i, 60), 0),
				 sizeof(in.vnet) + 60);
	}
	for (int idle = 0; idle < 100;) {
		if (vm1.io->ops->rx(vm1.io, 0, &m, 1) == 0) {
			idle++;
			continue;
		}
		if (frame_type(m) == LAB_ETHERTYPE) {
			assert_int_equal(rte_pktmbuf_mtod(m, uint8_t *)[14], small++);
		} else if (frame_type(m) == 0x0800) {
			assert_true(is_whole(m));
			got++;
			assert_true(got <= small + 1);
		}
		rte_pktmbuf_free(m);
	}
	print_message("%u of 100 large packets were kept\n", got);
	assert_int_equal(small, 100);
	assert_in_range(got, 30, 99);
	assert_int_equal(stats_of(vm1.io).rx_lost, 100 - got);
	close(fd);
}

// ---- A tap device, as QEMU uses it ----

static int tap_new(const char *name)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
		return -1;
	ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN);
	return fd;
}

static void a_tap_device_carries_large_segments_both_ways(void **state)
{
	(void)state;
	needs_lab();
	struct port_io *io;
	struct err err = {0};
	struct rte_mbuf *m = NULL;
	ssize_t n;
	int fd = tap_new("taptest");

	if (fd < 0)
		weft_skip("no /dev/net/tun");
	if (weft_tap_open("taptest", 1500, lab_pool, &io, &err) < 0)
		fail_msg("%s", err.msg);

	make_large();
	assert_int_equal(write(fd, &out, sizeof(out)), sizeof(out));
	assert_int_equal(take(io, 0x0800, &m, 1, PATIENCE_MS), 1);
	assert_true(is_whole(m));

	memset(&in, 0, sizeof(in));
	assert_int_equal(io->ops->tx(io, &m, 1), 1);
	do {
		n = read(fd, &in, sizeof(in));
	} while ((n < 0 && errno == EAGAIN) || in.frame[12] != 8);
	assert_int_equal(n, sizeof(in));
	assert_memory_equal(&in, &out, sizeof(in));

	// A header that cannot be is refused by the kernel already.
	out.vnet.csum_start = 65000;
	assert_int_equal(write(fd, &out, sizeof(out)), -1);
	assert_int_equal(take(io, 0x0800, &m, 1, 20), 0);

	// QEMU ends.
	close(fd);
	assert_int_equal(take(io, 0x0800, &m, 1, 20), 0);
	io->ops->close(io);
	assert_int_equal(rte_mempool_in_use_count(lab_pool), 0);
}

int main(void)
{
#define with_vms(test) cmocka_unit_test_setup_teardown(test, two_vms, no_vms)
	const struct CMUnitTest tests[] = {
		with_vms(tcp_arrives_whole_in_large_segments),
		with_vms(tcp_arrives_whole_if_nobody_offloads),
		with_vms(a_receiver_without_offloads_gets_right_checksums),
		with_vms(sctp_leaves_with_its_checksum),
		with_vms(udp_segments_arrive_one_by_one),
		with_vms(a_burst_is_no_more_segments_than_others_can_wait_for),
		cmocka_unit_test_setup_teardown(
			large_packets_that_nobody_fetches_are_counted_and_never_cut,
			two_vms_with_long_rings, no_vms),
		cmocka_unit_test(a_tap_device_carries_large_segments_both_ways),
	};

	return cmocka_run_group_tests(tests, lab_start, lab_stop);
}
