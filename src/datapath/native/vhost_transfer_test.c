// SPDX-License-Identifier: Apache-2.0
// Packets from one VM's driver to another's: what they ask for arrives, or is done on the way; nothing else is believed.
#include "datapath/native/port_io.h"

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

#include "datapath/native/eal.h"
#include "datapath/native/vhost_lab.h"

#include <cmocka.h>

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
static bool lending; // what is carried, where it can be

static struct side {
	struct port_io *io;
	struct lab_vm vm;
	struct port_io_stats before;
} a, b;

// librte_vhost looks at a new socket only once a second: so there are two for all tests.
static void make_socket(struct side *s, const char *name)
{
	struct err err = {0};
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (weft_vhost_open(path, true, (gid_t)-1, pool, &s->io, &err) < 0)
		fail_msg("%s", err.msg);
}

static void wait_up(const struct side *s, bool up)
{
	for (int i = 0; i < 3000 && s->io->up != up; i++)
		usleep(1000);
	assert_int_equal(s->io->up, up);
}

static void plug(struct side *s, const char *name, uint64_t features, unsigned int pairs)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (s->io == NULL)
		make_socket(s, name);
	s->io->ops->stats(s->io, &s->before);
	lab_vm_init(&s->vm);
	assert_int_equal(lab_connect(&s->vm, path), 0);
	assert_true(lab_start(&s->vm, features, pairs));
	wait_up(s, true);
}

static void two_vms(uint64_t features_a, uint64_t features_b)
{
	plug(&a, "a", features_a, 1);
	plug(&b, "b", features_b, 1);
}

static void end_vms(void)
{
	lab_vm_fini(&a.vm);
	lab_vm_fini(&b.vm);
	wait_up(&a, false);
	wait_up(&b, false);
}

// Since the VM was plugged.
static struct port_io_stats stats_of(const struct side *side)
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

// Ethernet, IP with its checksum, TCP or UDP with the payload 0, 1, 2, ... and the pseudo-header's sum as drivers put it.
static size_t make(uint8_t *f, int family, uint8_t proto, size_t payload)
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

static struct virtio_net_hdr asks(int family, uint8_t proto, uint16_t segment)
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

static void assert_checksums(const uint8_t *f, size_t len)
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
static uint16_t carry(void)
{
	struct rte_mbuf *pkts[32];
	uint16_t n = (lending ? a.io->ops->lend : a.io->ops->rx)(a.io, pkts, 32);
	uint16_t sent = n > 0 ? b.io->ops->tx(b.io, pkts, n) : 0;

	rte_pktmbuf_free_bulk(pkts + sent, n - sent);
	if (lending && n > 0)
		a.io->ops->done(a.io);
	return sent;
}

static uint8_t in[FRAME], out[FRAME];

static void frames_of_any_length_arrive_unchanged(void **state)
{
	static const size_t pieces[] = {0, 1, 7, 64, 500, 2048};
	struct virtio_net_hdr h;

	(void)state;
	for (int mergeable = 0; mergeable < 2; mergeable++) {
		two_vms(0, mergeable ? LAB_FEATURE(VIRTIO_NET_F_MRG_RXBUF) : 0);
		for (size_t len = 14; len < 1515; len += 37) {
			size_t piece = pieces[len % RTE_DIM(pieces)];

			make(in, 4, UDP, 1500);
			if (len / (piece + 1) > 100)
				piece = 64;
			lab_give(&b.vm, 0, mergeable ? 8 : 1, mergeable ? 300 : LAB_BUFFER);
			assert_true(lab_send(&a.vm, 0, &plain, in, len, piece));
			assert_int_equal(carry(), 1);
			assert_int_equal(lab_receive(&b.vm, 0, &h, out, sizeof(out)), len);
			assert_memory_equal(out, in, len);
			assert_int_equal(h.flags | h.gso_type, 0);
			assert_int_equal(lab_pending(&a.vm, 1), 0);
		}
		end_vms();
	}
}

static void packet_in_an_indirect_table_arrives(void **state)
{
	struct virtio_net_hdr h;
	struct vring_desc d = {.addr = lab_buffer(1, 100), .flags = VRING_DESC_F_INDIRECT};
	size_t len = make(in, 4, UDP, 300);

	(void)state;
	two_vms(OFFLOADS, OFFLOADS);
	struct vring_desc *table = (struct vring_desc *)(a.vm.memory + d.addr);
	table[0] = (struct vring_desc) {lab_buffer(1, 10), LAB_HEADER, VRING_DESC_F_NEXT, 1};
	table[1] = (struct vring_desc) {lab_buffer(1, 11), (uint32_t)len, 0, 0};
	d.len = 2 * sizeof(*table);
	memset(a.vm.memory + table[0].addr, 0, LAB_HEADER);
	memcpy(a.vm.memory + table[1].addr, in, len);
	lab_give(&b.vm, 0, 1, LAB_BUFFER);
	lab_put(&a.vm, 1, &d, 1);
	assert_int_equal(carry(), 1);
	assert_int_equal(lab_receive(&b.vm, 0, &h, out, sizeof(out)), len);
	assert_memory_equal(out, in, len);
	end_vms();
}

static void what_one_driver_asks_for_the_other_is_asked_for(void **state)
{
	static const struct {
		int family;
		uint8_t proto;
		uint16_t segment;
		size_t payload;
	} cases[] = {{4, TCP, 0, 100},	    {6, TCP, 0, 100},	   {4, UDP, 0, 101},
		     {6, UDP, 0, 1},	    {4, TCP, 1448, 60000}, {6, TCP, 1428, 60000},
		     {4, TCP, 1448, 65495}, {4, TCP, 536, 3000}};

	(void)state;
	two_vms(OFFLOADS, OFFLOADS);
	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		struct virtio_net_hdr sent =
			asks(cases[i].family, cases[i].proto, cases[i].segment);
		struct virtio_net_hdr came;
		size_t len = make(in, cases[i].family, cases[i].proto, cases[i].payload);

		lab_give(&b.vm, 0, 40, LAB_BUFFER);
		assert_true(lab_send(&a.vm, 0, &sent, in, len, 4096));
		assert_int_equal(carry(), 1);
		assert_int_equal(lab_receive(&b.vm, 0, &came, out, sizeof(out)), len);
		assert_memory_equal(out, in, len); // the pseudo-header's sum among it
		assert_int_equal(came.flags, sent.flags);
		assert_int_equal(came.csum_start, sent.csum_start);
		assert_int_equal(came.csum_offset, sent.csum_offset);
		assert_int_equal(came.gso_type, sent.gso_type);
		assert_int_equal(came.gso_size, sent.gso_size);
		assert_int_equal(came.hdr_len, sent.hdr_len);
		end_vms();
		two_vms(OFFLOADS, OFFLOADS);
	}
	end_vms();
}

static void checksum_behind_extension_headers_is_asked_for_where_it_is(void **state)
{
	static const uint8_t options[8] = {TCP, 0, 1, 4}; // padding
	struct virtio_net_hdr sent = asks(6, TCP, 0), came;
	size_t len = make(in, 6, TCP, 100);
	struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)(in + 14);

	(void)state;
	memmove(in + 14 + 48, in + 14 + 40, len - 54);
	memcpy(in + 14 + 40, options, sizeof(options));
	ip->proto = 60;
	ip->payload_len = rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ip->payload_len) + 8));
	len += 8;
	sent.csum_start += 8;
	two_vms(OFFLOADS, OFFLOADS);
	lab_give(&b.vm, 0, 1, LAB_BUFFER);
	assert_true(lab_send(&a.vm, 0, &sent, in, len, 0));
	assert_int_equal(carry(), 1);
	assert_int_equal(lab_receive(&b.vm, 0, &came, out, sizeof(out)), len);
	assert_memory_equal(out, in, len);
	assert_int_equal(came.csum_start, sent.csum_start);
	end_vms();
}

static void checksum_is_filled_in_for_a_driver_that_cannot(void **state)
{
	(void)state;
	two_vms(SENDS, 0);
	for (int family = 4; family <= 6; family += 2) {
		for (size_t payload = 1; payload < 4; payload++) {
			for (uint8_t proto = TCP; proto <= UDP; proto += UDP - TCP) {
				struct virtio_net_hdr sent = asks(family, proto, 0), came;
				size_t len = make(in, family, proto, payload);

				lab_give(&b.vm, 0, 1, LAB_BUFFER);
				assert_true(lab_send(&a.vm, 0, &sent, in, len, 0));
				assert_int_equal(carry(), 1);
				assert_int_equal(lab_receive(&b.vm, 0, &came, out, sizeof(out)),
						 len);
				assert_int_equal(came.flags, 0);
				assert_checksums(out, len);
			}
		}
	}
	assert_int_equal(stats_of(&b).tx_filled, 12);
	end_vms();
}

// A copy for each receiver shares the bytes: filling in one's checksum must not make another's wrong.
static void shared_packet_is_not_written_to(void **state)
{
	struct virtio_net_hdr sent = asks(4, UDP, 0), came;
	size_t len = make(in, 4, UDP, 100);
	struct rte_mbuf *m, *clone;

	(void)state;
	two_vms(SENDS, 0);
	lab_give(&b.vm, 0, 1, LAB_BUFFER);
	assert_true(lab_send(&a.vm, 0, &sent, in, len, 0));
	assert_int_equal(a.io->ops->rx(a.io, &m, 1), 1);
	clone = rte_pktmbuf_clone(m, pool);
	assert_non_null(clone);
	assert_int_equal(b.io->ops->tx(b.io, &clone, 1), 1);
	assert_int_equal(lab_receive(&b.vm, 0, &came, out, sizeof(out)), len);
	assert_checksums(out, len);
	assert_memory_equal(rte_pktmbuf_mtod(m, void *), in, len);
	rte_pktmbuf_free(m);
	end_vms();
}

// Every piece with right headers, in order, and the whole payload.
static void take_pieces(int family, size_t payload, uint16_t segment, bool filled)
{
	size_t headers = 14 + (family == 4 ? 20 : 40) + 20, at = 0;
	uint16_t index = 0;

	while (at < payload) {
		size_t part = RTE_MIN((size_t)segment, payload - at);
		bool last = at + part == payload;
		struct virtio_net_hdr h;

		assert_int_equal(lab_receive(&b.vm, 0, &h, out, sizeof(out)), headers + part);
		const struct rte_tcp_hdr *tcp = (const void *)(out + headers - 20);
		assert_memory_equal(out + headers, in + headers + at, part);
		assert_int_equal(rte_be_to_cpu_32(tcp->sent_seq), at);
		assert_int_equal(tcp->tcp_flags, 0x10 | (at == 0 ? 0x80 : 0) | (last ? 0x09 : 0));
		if (family == 4)
			assert_int_equal(rte_be_to_cpu_16(*(rte_be16_t *)(out + 18)),
					 (uint16_t)(0xfffe + index));
		assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		assert_int_equal(h.flags, filled ? 0 : VIRTIO_NET_HDR_F_NEEDS_CSUM);
		if (filled)
			assert_checksums(out, headers + part);
		at += part;
		index++;
	}
}

static void segment_is_cut_for_a_driver_that_cannot(void **state)
{
	static const struct {
		size_t payload;
		uint16_t segment;
	} cases[] = {{60000, 1448}, {65495 - 20, 1428}, {2897, 1448}, {2896, 1448}, {1500, 88}};

	(void)state;
	for (int filled = 0; filled < 2; filled++) {
		for (size_t i = 0; i < RTE_DIM(cases); i++) {
			for (int family = 4; family <= 6; family += 2) {
				struct virtio_net_hdr h = asks(family, TCP, cases[i].segment);
				size_t len = make(in, family, TCP, cases[i].payload);

				two_vms(SENDS, filled ? 0 : LAB_FEATURE(VIRTIO_NET_F_GUEST_CSUM));
				lab_give(&b.vm, 0, 100, LAB_BUFFER);
				assert_true(lab_send(&a.vm, 0, &h, in, len, 8192));
				assert_int_equal(carry(), 1);
				take_pieces(family, cases[i].payload, cases[i].segment, filled);
				assert_int_equal(stats_of(&b).tx_segmented, 1);
				end_vms();
			}
		}
	}
}

// ---- What is not believed ----

static void impossible_packet_is_dropped_and_counted(void **state)
{
	struct virtio_net_hdr h = asks(4, TCP, 1000);
	size_t len = make(in, 4, TCP, 1200);

	(void)state;
	two_vms(OFFLOADS, OFFLOADS);
	lab_give(&b.vm, 0, 8, LAB_BUFFER);
	in[14 + 20 + 12] = 0x10; // a TCP header of four bytes
	assert_true(lab_send(&a.vm, 0, &h, in, len, 0));
	assert_int_equal(carry(), 0);
	assert_true(lab_send(&a.vm, 0, &plain, in, 13, 0)); // too short for Ethernet
	assert_int_equal(carry(), 0);
	assert_true(lab_send(&a.vm, 0, &plain, in, 66000, 30000)); // longer than any packet
	assert_int_equal(carry(), 0);
	assert_int_equal(stats_of(&a).rx_malformed, 3);

	assert_true(lab_send(&a.vm, 0, &plain, in, make(in, 4, UDP, 100), 0));
	assert_int_equal(carry(), 1);
	end_vms();
}

static void claim_that_does_not_fit_its_packet_is_dropped_and_counted(void **state)
{
	struct virtio_net_hdr h = asks(4, TCP, 500);

	(void)state;
	two_vms(OFFLOADS, OFFLOADS);
	for (unsigned int kind = 0; kind < 7; kind++) {
		struct virtio_net_hdr bad = h;
		size_t len = make(in, 4, kind == 0 ? UDP : TCP, 1200);

		if (kind == 1)
			in[12] = 0x12; // no IP at all
		if (kind == 2)
			in[20] = 0x20; // a fragment
		if (kind == 3)
			len = 14 + 20 + 10; // cut off in its header
		if (kind == 4)
			bad.gso_type = 77;
		if (kind == 5)
			bad.gso_size = 0;
		if (kind == 6)
			bad.csum_start = 60000;
		assert_true(lab_send(&a.vm, 0, &bad, in, len, 0));
		assert_int_equal(carry(), 0);
		if (stats_of(&a).rx_malformed != kind + 1)
			fail_msg("claim %u was not refused", kind);
	}
	end_vms();
}

static void segment_as_long_as_its_packet_is_no_segment(void **state)
{
	struct virtio_net_hdr h = asks(4, TCP, 1448);
	struct rte_mbuf *m;

	(void)state;
	two_vms(OFFLOADS, OFFLOADS);
	assert_true(lab_send(&a.vm, 0, &h, in, make(in, 4, TCP, 1448), 0));
	assert_int_equal(a.io->ops->rx(a.io, &m, 1), 1);
	assert_int_equal(m->ol_flags, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM);
	assert_int_equal(m->l2_len + m->l3_len + m->l4_len, 54);
	rte_pktmbuf_free(m);
	end_vms();
}

static void full_ring_takes_what_it_can_and_leaves_the_rest(void **state)
{
	struct rte_mbuf *pkts[32];
	size_t len = make(in, 4, UDP, 100);

	(void)state;
	two_vms(0, 0);
	lab_give(&b.vm, 0, 5, LAB_BUFFER);
	for (int i = 0; i < 8; i++)
		assert_true(lab_send(&a.vm, 0, &plain, in, len, 0));
	assert_int_equal(a.io->ops->rx(a.io, pkts, 32), 8);
	assert_int_equal(b.io->ops->tx(b.io, pkts, 8), 5);
	assert_int_equal(b.io->ops->tx(b.io, pkts + 5, 3), 0);
	lab_give(&b.vm, 0, 5, LAB_BUFFER);
	assert_int_equal(b.io->ops->tx(b.io, pkts + 5, 3), 3);
	end_vms();
}

static void packet_that_no_buffer_holds_does_not_keep_others_back(void **state)
{
	struct rte_mbuf *pkts[32];

	(void)state;
	two_vms(0, 0);
	lab_give(&b.vm, 0, 5, 600);
	for (int i = 0; i < 3; i++)
		assert_true(
			lab_send(&a.vm, 0, &plain, in, make(in, 4, UDP, i == 1 ? 1000 : 100), 0));
	assert_int_equal(a.io->ops->rx(a.io, pkts, 32), 3);
	assert_int_equal(b.io->ops->tx(b.io, pkts, 3), 3);
	assert_int_equal(stats_of(&b).tx_refused, 1);
	assert_int_equal(lab_pending(&b.vm, 0), 3);
	end_vms();
}

// ---- Several queues ----

static void every_queue_is_read_and_each_flow_is_written_to_one(void **state)
{
	enum { FLOWS = 64 };
	struct rte_mbuf *pkts[32];
	struct virtio_net_hdr h;
	uint8_t queue_of[FLOWS];
	unsigned int used = 0;
	size_t len;

	(void)state;
	plug(&a, "a", 0, 4);
	plug(&b, "b", 0, 4);
	for (unsigned int pair = 0; pair < 4; pair++)
		lab_give(&b.vm, pair, 200, LAB_BUFFER);
	memset(queue_of, 0xff, sizeof(queue_of));
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int flow = 0; flow < FLOWS; flow++) {
			len = make(in, 4, UDP, 100);
			in[14 + 20 + 1] = (uint8_t)flow;
			in[14 + 20 + 8] = (uint8_t)round;
			assert_true(lab_send(&a.vm, flow % 4, &plain, in, len, 0));
			if (flow % 16 == 15) {
				uint16_t n = a.io->ops->rx(a.io, pkts, 32);

				assert_int_equal(n, 16);
				assert_int_equal(b.io->ops->tx(b.io, pkts, n), n);
			}
		}
		for (unsigned int pair = 0; pair < 4; pair++) {
			while (lab_receive(&b.vm, pair, &h, out, sizeof(out)) > 0) {
				uint8_t *q = &queue_of[out[14 + 20 + 1]];

				assert_int_equal(out[14 + 20 + 8], round);
				assert_true(*q == 0xff || *q == pair);
				*q = (uint8_t)pair;
				used |= 1u << pair;
			}
		}
	}
	assert_int_equal(used, 0xf);
	for (unsigned int flow = 0; flow < FLOWS; flow++)
		assert_int_not_equal(queue_of[flow], 0xff);
	end_vms();
}

static void full_queue_does_not_keep_another_from_its_packets(void **state)
{
	struct rte_mbuf *pkts[32];

	(void)state;
	plug(&a, "a", 0, 2);
	plug(&b, "b", 0, 2);
	lab_give(&b.vm, 1, 200, LAB_BUFFER); // pair 0 has no buffers
	for (unsigned int flow = 0; flow < 30; flow++) {
		size_t len = make(in, 4, UDP, 100);

		in[14 + 20 + 1] = (uint8_t)flow;
		assert_true(lab_send(&a.vm, 0, &plain, in, len, 0));
	}
	assert_int_equal(a.io->ops->rx(a.io, pkts, 32), 30);
	uint16_t sent = b.io->ops->tx(b.io, pkts, 30);
	assert_in_range(sent, 1, 29);
	assert_int_equal(200 - lab_pending(&b.vm, 2), sent);
	rte_pktmbuf_free_bulk(pkts + sent, 30 - sent);
	end_vms();
}

// ---- Broken rings ----

static void broken_ring_hurts_only_its_own_port(void **state)
{
	struct vring_desc loop = {
		.addr = lab_buffer(1, 0), .len = 0, .flags = VRING_DESC_F_NEXT, .next = 0};
	struct vring_desc outside = {.addr = LAB_MEMORY - 10, .len = 4096};
	struct vring_desc far = {.addr = 1ULL << 60, .len = 4096};
	struct rte_mbuf *pkts[32];
	struct lab_vm *bad = &a.vm;
	size_t len = make(in, 4, UDP, 100);

	(void)state;
	for (int kind = 0; kind < 5; kind++) {
		two_vms(OFFLOADS, OFFLOADS);
		struct vring *v = &bad->rings[1].vring;

		switch (kind) {
		case 0:
			lab_put(bad, 1, &loop, 1);
			v->desc[0].flags = VRING_DESC_F_NEXT; // to itself
			break;
		case 1:
			lab_put(bad, 1, &outside, 1);
			break;
		case 2:
			lab_put(bad, 1, &far, 1);
			break;
		case 3: // no such descriptor
			v->avail->ring[0] = 60000;
			__atomic_store_n(&v->avail->idx, 1, __ATOMIC_RELEASE);
			break;
		default: // more than the ring holds
			__atomic_store_n(&v->avail->idx, 30000, __ATOMIC_RELEASE);
			break;
		}
		for (int i = 0; i < 50; i++) {
			uint16_t n = a.io->ops->rx(a.io, pkts, 32);

			rte_pktmbuf_free_bulk(pkts, n);
		}
		assert_true(lab_send(&b.vm, 0, &plain, in, len, 0));
		assert_int_equal(b.io->ops->rx(b.io, pkts, 32), 1);
		rte_pktmbuf_free(pkts[0]);

		// And after a driver's reset all is well again.
		assert_true(lab_stop(bad));
		assert_true(lab_start(bad, OFFLOADS, 1));
		for (int i = 0; i < 1000 && !a.io->up; i++)
			usleep(1000);
		assert_true(lab_send(bad, 0, &plain, in, len, 0));
		uint16_t n = 0;
		for (int i = 0; i < 2000 && n == 0; i++) {
			n = a.io->ops->rx(a.io, pkts, 32);
			usleep(1000);
		}
		assert_int_equal(n, 1);
		rte_pktmbuf_free(pkts[0]);
		end_vms();
	}
}

// A chain of two hundred times the whole memory, over and over: it is measured before anything is copied.
static void chain_that_is_no_packet_is_given_back_unread(void **state)
{
	struct vring_desc d[200];
	struct rte_mbuf *pkts[32];

	(void)state;
	two_vms(0, 0);
	for (unsigned int i = 0; i < RTE_DIM(d); i++)
		d[i] = (struct vring_desc) {.addr = 0, .len = LAB_MEMORY};
	lab_put(&a.vm, 1, d, RTE_DIM(d));
	struct lab_ring *r = &a.vm.rings[1];
	for (int i = 1; i < 200; i++)
		r->vring.avail->ring[i] = r->vring.avail->ring[0];
	r->next = 200;
	__atomic_store_n(&r->vring.avail->idx, 200, __ATOMIC_RELEASE);

	for (int i = 0; i < 7; i++)
		assert_int_equal(a.io->ops->rx(a.io, pkts, 32), 0);
	assert_int_equal(lab_pending(&a.vm, 1), 0);
	assert_int_equal(stats_of(&a).rx_malformed, 200);
	end_vms();
}

// librte_vhost's own function writes the packet behind the second of these.
static void nothing_is_written_beyond_a_buffer(void **state)
{
	const uint64_t at = lab_buffer(0, 100);
	struct vring_desc d[] = {{at, 4, VRING_DESC_F_WRITE, 0},
				 {at + 100, 4, VRING_DESC_F_WRITE, 0},
				 {at + 200, 9, VRING_DESC_F_WRITE, 0},
				 {LAB_MEMORY - 10, 10, VRING_DESC_F_WRITE, 0},
				 {at + 300, 1500, VRING_DESC_F_WRITE, 0}};
	struct rte_mbuf *pkts[1];
	size_t len = make(in, 4, UDP, 500);

	(void)state;
	two_vms(0, 0);
	memset(b.vm.memory + at, 0xaa, 2048);
	lab_put(&b.vm, 0, d, RTE_DIM(d));
	assert_true(lab_send(&a.vm, 0, &plain, in, len, 0));
	assert_int_equal(carry(), 1);
	for (int i = 0; i < 4; i++) {
		size_t end = i < 3 ? (size_t)(i * 100) + d[i].len : 300 + len + 12 - 27;
		size_t next = i < 3 ? (size_t)(i + 1) * 100 : 2048;

		for (size_t k = end; k < next; k++)
			assert_int_equal(b.vm.memory[at + k], 0xaa);
	}
	assert_memory_equal(b.vm.memory + at + 205 - 1, in, 5); // what the header left of the third
	assert_memory_equal(b.vm.memory + LAB_MEMORY - 10, in + 5, 10);
	assert_memory_equal(b.vm.memory + at + 300, in + 15, len - 15);

	// Buffers without any room, outside the memory, or in a circle are given back, and the next good one is used.
	struct vring_desc bad[] = {{at, 0, VRING_DESC_F_WRITE, 0},
				   {LAB_MEMORY - 5, 6, VRING_DESC_F_WRITE, 0}};
	lab_put(&b.vm, 0, &bad[0], 1);
	lab_put(&b.vm, 0, &bad[1], 1);
	lab_give(&b.vm, 0, 1, LAB_BUFFER);
	assert_true(lab_send(&a.vm, 0, &plain, in, len, 0));
	assert_int_equal(a.io->ops->rx(a.io, pkts, 1), 1);
	assert_int_equal(b.io->ops->tx(b.io, pkts, 1), 1);
	assert_int_equal(lab_pending(&b.vm, 0), 0);
	assert_int_equal(stats_of(&b).rx_malformed, 2);
	end_vms();
}

static int start(void **state)
{
	static const struct datapath_config config = {.workers = 1,
						      .hugepages = DATAPATH_HUGEPAGES_OFF};
	struct err err = {0};
	bool huge;

	(void)state;
	if (mkdtemp(dir) == NULL || weft_eal_start(&config, &huge, &err) < 0 ||
	    weft_eal_pool(&config, &pool, &err) < 0) {
		print_error("%s\n", err.msg);
		return -1;
	}
	return 0;
}

// The same again.
static int lend(void **state)
{
	(void)state;
	lending = true;
	return 0;
}

static int stop(void **state)
{
	(void)state;
	a.io->ops->close(a.io);
	b.io->ops->close(b.io);
	unsigned int in_use = rte_mempool_in_use_count(pool);

	rmdir(dir);
	rte_mempool_free(pool);
	weft_eal_stop();
	if (in_use > 0)
		print_error("%u buffers were not given back\n", in_use);
	return in_use > 0 ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_of_any_length_arrive_unchanged),
		cmocka_unit_test(packet_in_an_indirect_table_arrives),
		cmocka_unit_test(what_one_driver_asks_for_the_other_is_asked_for),
		cmocka_unit_test(checksum_behind_extension_headers_is_asked_for_where_it_is),
		cmocka_unit_test(checksum_is_filled_in_for_a_driver_that_cannot),
		cmocka_unit_test(shared_packet_is_not_written_to),
		cmocka_unit_test(segment_is_cut_for_a_driver_that_cannot),
		cmocka_unit_test(impossible_packet_is_dropped_and_counted),
		cmocka_unit_test(claim_that_does_not_fit_its_packet_is_dropped_and_counted),
		cmocka_unit_test(segment_as_long_as_its_packet_is_no_segment),
		cmocka_unit_test(full_ring_takes_what_it_can_and_leaves_the_rest),
		cmocka_unit_test(packet_that_no_buffer_holds_does_not_keep_others_back),
		cmocka_unit_test(every_queue_is_read_and_each_flow_is_written_to_one),
		cmocka_unit_test(full_queue_does_not_keep_another_from_its_packets),
		cmocka_unit_test(broken_ring_hurts_only_its_own_port),
		cmocka_unit_test(chain_that_is_no_packet_is_given_back_unread),
		cmocka_unit_test(nothing_is_written_beyond_a_buffer),
	};

	int failed = cmocka_run_group_tests_name("copied", tests, start, NULL);

	return failed + cmocka_run_group_tests_name("lent", tests, lend, stop);
}
