// SPDX-License-Identifier: Apache-2.0
// What the tests of packets between two vhost-user ports share: two ports, their VMs, frames, and
// a way from one to the other.
#pragma once

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "datapath/native/testing/eal_testing.h"
#include "datapath/native/testing/vhost_lab.h"

#include <cmocka.h>

#include "datapath/native/io/port_io.h"

#define TCP   6
#define UDP   17
#define FRAME 70000
#define OFFLOADS                                                                       \
	(LAB_FEATURE(VIRTIO_NET_F_CSUM) | LAB_FEATURE(VIRTIO_NET_F_HOST_TSO4) |        \
	 LAB_FEATURE(VIRTIO_NET_F_HOST_TSO6) | LAB_FEATURE(VIRTIO_NET_F_GUEST_CSUM) |  \
	 LAB_FEATURE(VIRTIO_NET_F_GUEST_TSO4) | LAB_FEATURE(VIRTIO_NET_F_GUEST_TSO6) | \
	 LAB_FEATURE(VIRTIO_NET_F_HOST_ECN) | LAB_FEATURE(VIRTIO_NET_F_GUEST_ECN) |    \
	 LAB_FEATURE(VIRTIO_NET_F_MRG_RXBUF) | LAB_FEATURE(VIRTIO_RING_F_INDIRECT_DESC))
#define SENDS                                                                   \
	(LAB_FEATURE(VIRTIO_NET_F_CSUM) | LAB_FEATURE(VIRTIO_NET_F_HOST_TSO4) | \
	 LAB_FEATURE(VIRTIO_NET_F_HOST_TSO6))

static struct rte_mempool *pool;
static char dir[] = "/tmp/weft-vhost-XXXXXX";
static const struct virtio_net_hdr plain;
static bool lending;	       // what is carried, where it can be
static uint64_t kind_of_rings; // a feature of all drivers

static struct side {
	struct port_io *io;
	struct lab_vm vm;
	struct port_io_stats before;
} a, b;

static inline void make_socket(struct side *s, const char *name)
{
	struct err err = {0};
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (weft_vhost_open(path, true, (gid_t)-1, 1, pool, &s->io, &err) < 0)
		fail_msg("%s", err.msg);
}

static inline void wait_up(const struct side *s, bool up)
{
	for (int i = 0; i < 3000 && s->io->up != up; i++)
		usleep(1000);
	assert_int_equal(s->io->up, up);
}

static inline void plug(struct side *s, const char *name, uint64_t features, unsigned int pairs)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (s->io == NULL)
		make_socket(s, name);
	s->io->ops->stats(s->io, &s->before);
	lab_vm_init(&s->vm);
	assert_int_equal(lab_connect(&s->vm, path), 0);
	assert_true(lab_start(&s->vm, features | kind_of_rings, pairs));
	wait_up(s, true);
}

static inline void two_vms(uint64_t features_a, uint64_t features_b)
{
	plug(&a, "a", features_a, 1);
	plug(&b, "b", features_b, 1);
}

static inline void end_vms(void)
{
	lab_vm_fini(&a.vm);
	lab_vm_fini(&b.vm);
	wait_up(&a, false);
	wait_up(&b, false);
}

// Since the VM was plugged.
static inline struct port_io_stats stats_of(const struct side *side)
{
	struct port_io_stats s;

	side->io->ops->stats(side->io, &s);
	s.rx_malformed -= side->before.rx_malformed;
	s.tx_refused -= side->before.tx_refused;
	s.tx_segmented -= side->before.tx_segmented;
	s.tx_filled -= side->before.tx_filled;
	return s;
}

// ---- Frames ----

// Ethernet, IP with its checksum, TCP or UDP with the payload 0, 1, 2, ... and the
// pseudo-header's sum as drivers put it.
static inline size_t make(uint8_t *f, int family, uint8_t proto, size_t payload)
{
	size_t l3 = family == 4 ? 20 : 40, l4 = proto == TCP ? 20 : 8, len = 14 + l3 + l4 + payload;

	memset(f, 0, 14 + l3 + l4);
	memcpy(f, "\2\0\0\0\0\2\2\0\0\0\0\1", 12);
	f[12] = family == 4 ? 0x08 : 0x86;
	f[13] = family == 4 ? 0x00 : 0xdd;
	if (family == 4) {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(f + 14);

		*ip = (struct rte_ipv4_hdr) {
			.version_ihl = 0x45,
			.total_length = rte_cpu_to_be_16((uint16_t)(l3 + l4 + payload)),
			.packet_id = rte_cpu_to_be_16(0xfffe),
			.time_to_live = 64,
			.next_proto_id = proto,
			.src_addr = rte_cpu_to_be_32(0x0a000001),
			.dst_addr = rte_cpu_to_be_32(0x0a000002),
		};
		ip->hdr_checksum = rte_ipv4_cksum(ip);
	} else {
		*(struct rte_ipv6_hdr *)(f + 14) = (struct rte_ipv6_hdr) {
			.vtc_flow = rte_cpu_to_be_32(6u << 28),
			.payload_len = rte_cpu_to_be_16((uint16_t)(l4 + payload)),
			.proto = proto,
			.hop_limits = 64,
			.src_addr = {0xfd, [15] = 1},
			.dst_addr = {0xfd, [15] = 2},
		};
	}
	uint8_t *t = f + 14 + l3;
	uint16_t sum = family == 4 ? rte_ipv4_phdr_cksum((void *)(f + 14), 0)
				   : rte_ipv6_phdr_cksum((void *)(f + 14), 0);
	t[1] = 7, t[3] = 9;
	if (proto == TCP)
		t[12] = 0x50, t[13] = 0x99; // CWR, ACK, PSH, FIN
	else
		*(rte_be16_t *)(t + 4) = rte_cpu_to_be_16((uint16_t)(8 + payload));
	memcpy(t + (proto == TCP ? 16 : 6), &sum, 2);
	for (size_t i = 0; i < payload; i++)
		t[l4 + i] = (uint8_t)(i * 31 + i / 256);
	return len;
}

static inline struct virtio_net_hdr asks(int family, uint8_t proto, uint16_t segment)
{
	uint16_t l3 = family == 4 ? 20 : 40;

	struct virtio_net_hdr h = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = 14 + l3,
		.csum_offset = proto == TCP ? 16 : 6,
	};
	if (segment != 0) {
		h.gso_type = family == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
		h.gso_type |= VIRTIO_NET_HDR_GSO_ECN; // for the CWR
		h.gso_size = segment;
		h.hdr_len = 14 + l3 + 20;
	}
	return h;
}

static inline void assert_checksums(const uint8_t *f, size_t len)
{
	bool v4 = f[12] == 0x08;
	const uint8_t *ip = f + 14, *l4 = ip + (v4 ? 20 : 40);
	uint32_t sum;

	assert_true(len >= 14 + 20 + 8);
	if (v4) {
		assert_int_equal(rte_be_to_cpu_16(*(const rte_be16_t *)(ip + 2)), len - 14);
		assert_int_equal(rte_raw_cksum(ip, 20), 0xffff);
		sum = rte_ipv4_phdr_cksum((const void *)ip, 0);
	} else {
		assert_int_equal(rte_be_to_cpu_16(*(const rte_be16_t *)(ip + 4)), len - 54);
		sum = rte_ipv6_phdr_cksum((const void *)ip, 0);
	}
	sum += rte_raw_cksum(l4, len - (size_t)(l4 - f));
	assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
}

// ---- Carrying ----

// What comes from a, as it is, to b.
static inline uint16_t carry(void)
{
	struct rte_mbuf *pkts[32];
	uint16_t n = (lending ? a.io->ops->lend : a.io->ops->rx)(a.io, 0, pkts, 32);
	uint16_t sent = n > 0 ? b.io->ops->tx(b.io, pkts, n) : 0;

	rte_pktmbuf_free_bulk(pkts + sent, n - sent);
	if (lending && n > 0)
		a.io->ops->done(a.io, 0);
	return sent;
}

static uint8_t in[FRAME], out[FRAME];

static inline int start(void **state)
{
	(void)state;
	return eal_testing_start(1, dir, &pool);
}

// The same again.
static inline int lend(void **state)
{
	(void)state;
	lending = true;
	return 0;
}

// And with packed rings.
static inline int pack(void **state)
{
	kind_of_rings = LAB_FEATURE(VIRTIO_F_RING_PACKED);
	return lend(state);
}

static inline int stop(void **state)
{
	(void)state;
	a.io->ops->close(a.io);
	b.io->ops->close(b.io);
	return eal_testing_stop(dir, pool);
}
