// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/vnet.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ip.h>
#include <rte_tcp.h>

#include "datapath/native/io/eal.h"

#include <cmocka.h>

#define TCP	 6
#define UDP	 17
#define SCTP	 132
#define UDP_LITE 136

static struct rte_mempool *pool;

static const char ether4[] = "\2\0\0\0\0\2\2\0\0\0\0\1\x08\0";
static const char ether6[] = "\2\0\0\0\0\2\2\0\0\0\0\1\x86\xdd";

static struct rte_mbuf *packet_new(const void *bytes, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, (uint16_t)len), bytes, len);
	return m;
}

static void add(struct rte_mbuf *m, const void *bytes, size_t len)
{
	char *to = rte_pktmbuf_append(m, (uint16_t)len);

	assert_non_null(to);
	memcpy(to, bytes, len);
}

static void add_zeros(struct rte_mbuf *m, size_t len)
{
	memset(rte_pktmbuf_append(m, (uint16_t)len), 0, len);
}

// Ethernet, IPv4 with that many bytes of options, then a transport header and payload.
static struct rte_mbuf *packet4(uint8_t proto, uint32_t options, size_t l4_and_payload)
{
	struct rte_mbuf *m = packet_new(ether4, 14);
	struct rte_ipv4_hdr ip = {
		.version_ihl = (uint8_t)(0x45 + options / 4),
		.total_length = rte_cpu_to_be_16((uint16_t)(20 + options + l4_and_payload)),
		.time_to_live = 64,
		.next_proto_id = proto,
		.src_addr = rte_cpu_to_be_32(0x0a000001),
		.dst_addr = rte_cpu_to_be_32(0x0a000002),
	};

	add(m, &ip, sizeof(ip));
	add_zeros(m, options);
	add_zeros(m, l4_and_payload);
	uint8_t *l4 = rte_pktmbuf_mtod_offset(m, uint8_t *, 34 + options);
	for (size_t i = 0; i < l4_and_payload; i++)
		l4[i] = (uint8_t)(i * 7);
	if (proto == TCP)
		l4[12] = 0x50, l4[13] = 0x10;
	return m;
}

// IPv6; `extensions` are whole headers, the first of type `first`.
static struct rte_mbuf *packet6(uint8_t first, const void *extensions, size_t extensions_len,
				size_t l4_and_payload)
{
	struct rte_mbuf *m = packet_new(ether6, 14);
	struct rte_ipv6_hdr ip = {
		.vtc_flow = rte_cpu_to_be_32(6u << 28),
		.payload_len = rte_cpu_to_be_16((uint16_t)(extensions_len + l4_and_payload)),
		.proto = first,
		.hop_limits = 64,
		.src_addr = {0xfd, [15] = 1},
		.dst_addr = {0xfd, [15] = 2},
	};

	add(m, &ip, sizeof(ip));
	add(m, extensions, extensions_len);
	add_zeros(m, l4_and_payload);
	rte_pktmbuf_mtod_offset(m, uint8_t *, 14 + 40 + extensions_len)[12] = 0x50;
	return m;
}

static struct virtio_net_hdr needs_csum(uint32_t start, uint32_t offset)
{
	return (struct virtio_net_hdr) {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					.csum_start = (uint16_t)start,
					.csum_offset = (uint16_t)offset};
}

static void assert_lengths(const struct rte_mbuf *m, uint32_t l2, uint32_t l3, uint32_t l4,
			   uint64_t flags)
{
	assert_int_equal(m->l2_len, l2);
	assert_int_equal(m->l3_len, l3);
	assert_int_equal(m->l4_len, l4);
	assert_int_equal(m->ol_flags, flags);
}

// What goes in comes out, hdr_len (a hint) apart.
static void assert_out(struct rte_mbuf *m, const struct virtio_net_hdr *in)
{
	struct virtio_net_hdr out;

	weft_vnet_out(m, &out);
	out.hdr_len = in->hdr_len;
	assert_memory_equal(&out, in, sizeof(out));
}

static void a_plain_packet_has_no_flags(void **state)
{
	(void)state;
	struct rte_mbuf *m = packet4(TCP, 0, 100);
	struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_DATA_VALID}, none = {0};

	assert_int_equal(weft_vnet_in(&h, m), 0);
	assert_int_equal(m->ol_flags, 0);
	assert_out(m, &none);
	rte_pktmbuf_free(m);
}

static void checksums_become_flags_and_flags_checksums(void **state)
{
	(void)state;
	struct virtio_net_hdr h = needs_csum(34, 16);
	struct rte_mbuf *m = packet4(TCP, 0, 100);

	assert_int_equal(weft_vnet_in(&h, m), 0);
	assert_lengths(m, 14, 20, 20, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM);
	assert_out(m, &h);
	rte_pktmbuf_free(m);

	h = needs_csum(34 + 24, 6); // IPv4 options
	m = packet4(UDP, 24, 100);
	assert_int_equal(weft_vnet_in(&h, m), 0);
	assert_lengths(m, 14, 44, 8, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM);
	assert_out(m, &h);
	rte_pktmbuf_free(m);

	h = needs_csum(54, 16);
	m = packet6(TCP, "", 0, 100);
	assert_int_equal(weft_vnet_in(&h, m), 0);
	assert_lengths(m, 14, 40, 20, RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_CKSUM);
	assert_out(m, &h);
	rte_pktmbuf_free(m);

	// Hop-by-hop, then destination options, then UDP.
	h = needs_csum(54 + 8 + 16, 6);
	m = packet6(0, "\x3c\0\1\4\0\0\0\0\x11\1\1\x0c\0\0\0\0\0\0\0\0\0\0\0\0", 24, 100);
	assert_int_equal(weft_vnet_in(&h, m), 0);
	assert_lengths(m, 14, 64, 8, RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM);
	assert_out(m, &h);
	rte_pktmbuf_free(m);
}

static void tags_belong_to_the_link_header(void **state)
{
	(void)state;
	struct virtio_net_hdr h = needs_csum(42, 16);
	struct rte_mbuf *m = packet4(TCP, 0, 100);
	char *frame = rte_pktmbuf_prepend(m, 8);

	memmove(frame, frame + 8, 12);
	memcpy(frame + 12, "\x88\xa8\0\1\x81\0\0\2", 8);
	assert_int_equal(weft_vnet_in(&h, m), 0);
	assert_lengths(m, 22, 20, 20, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM);
	rte_pktmbuf_free(m);
}

static void segmentation_survives_both_ways(void **state)
{
	(void)state;
	struct virtio_net_hdr h = needs_csum(34, 16);
	struct rte_mbuf *m = packet4(TCP, 0, 1900);

	h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	h.gso_size = 900;
	assert_int_equal(weft_vnet_in(&h, m), 0);
	assert_lengths(m, 14, 20, 20,
		       RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG);
	assert_int_equal(m->tso_segsz, 900);
	assert_out(m, &h);

	// A sender that reduced its window says so once: not in each segment.
	rte_pktmbuf_mtod_offset(m, struct rte_tcp_hdr *, 34)->tcp_flags |= 0x80;
	h.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	assert_out(m, &h);
	rte_pktmbuf_free(m);

	h = needs_csum(54, 16);
	h.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	h.gso_size = 900;
	m = packet6(TCP, "", 0, 1900);
	assert_int_equal(weft_vnet_in(&h, m), 0);
	assert_int_equal(m->ol_flags,
			 RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG);
	assert_out(m, &h);
	rte_pktmbuf_free(m);

	h = needs_csum(34, 6);
	h.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
	h.gso_size = 900;
	m = packet4(UDP, 0, 1900);
	assert_int_equal(weft_vnet_in(&h, m), 0);
	assert_int_equal(m->ol_flags,
			 RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_UDP_SEG);
	assert_out(m, &h);
	rte_pktmbuf_free(m);

	// What fits into one segment is an ordinary packet.
	h = needs_csum(34, 16);
	h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	h.gso_size = 900;
	m = packet4(TCP, 0, 920);
	assert_int_equal(weft_vnet_in(&h, m), 0);
	assert_int_equal(m->ol_flags, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM);
	rte_pktmbuf_free(m);
}

static void a_merged_packet_without_partial_checksum_gets_one(void **state)
{
	(void)state;
	struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_DATA_VALID,
				   .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
				   .gso_size = 500};
	struct rte_mbuf *m = packet4(TCP, 0, 1900);
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, 14);
	struct rte_tcp_hdr *tcp = rte_pktmbuf_mtod_offset(m, struct rte_tcp_hdr *, 34);

	assert_int_equal(weft_vnet_in(&h, m), 0);
	assert_int_equal(m->ol_flags,
			 RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG);
	assert_int_equal(tcp->cksum, rte_ipv4_phdr_cksum(ip, 0));
	// The receiver's part of the work makes it right.
	tcp->cksum = (uint16_t)~rte_raw_cksum(tcp, 1900);
	uint32_t sum = (uint32_t)rte_ipv4_phdr_cksum(ip, 0) + rte_raw_cksum(tcp, 1900);
	assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
	rte_pktmbuf_free(m);
}

static void sctp_is_filled_in(void **state)
{
	(void)state;
	struct virtio_net_hdr h = needs_csum(34, 8);
	struct rte_mbuf *m = packet4(SCTP, 0, 12);

	// 12 bytes of which the CRC's field counts as zero; the answer is scapy's.
	memcpy(rte_pktmbuf_mtod_offset(m, char *, 34), "\x30\x39\xd4\x31\xde\xad\xbe\xef\1\2\3\4",
	       12);
	assert_int_equal(weft_vnet_in(&h, m), 0);
	assert_int_equal(m->ol_flags, 0);
	assert_memory_equal(rte_pktmbuf_mtod_offset(m, char *, 34 + 8), "\x7c\x37\x19\x30", 4);
	rte_pktmbuf_free(m);
}

static void what_no_flag_can_say_is_filled_in(void **state)
{
	(void)state;
	// The first fragment of something: the sum is over what is there.
	struct virtio_net_hdr h = needs_csum(34, 6);
	struct rte_mbuf *m = packet4(UDP, 0, 101);
	uint8_t *l4 = rte_pktmbuf_mtod_offset(m, uint8_t *, 34);

	rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, 14)->fragment_offset =
		rte_cpu_to_be_16(0x2000);
	assert_int_equal(weft_vnet_in(&h, m), 0);
	assert_int_equal(m->ol_flags, 0);
	// What was in the field counted, as a pseudo-header's sum would: now the whole sums up to
	// it.
	uint16_t before = (uint16_t)(42 | 49 << 8), after;
	memcpy(&after, l4 + 6, 2);
	memcpy(l4 + 6, &before, 2);
	assert_int_equal((uint16_t)~rte_raw_cksum(l4, 101), after);
	rte_pktmbuf_free(m);

	// In a chain of buffers, at odd places.
	h = needs_csum(34, 6);
	m = packet4(UDP_LITE, 0, 1900);
	struct rte_mbuf *whole = packet_new(rte_pktmbuf_mtod(m, void *), m->data_len);
	struct rte_mbuf *tail = packet_new(rte_pktmbuf_mtod_offset(m, void *, 1001), 933);
	rte_pktmbuf_trim(m, 933);
	rte_pktmbuf_chain(m, tail);
	assert_int_equal(weft_vnet_in(&h, m), 0);
	assert_int_equal(weft_vnet_in(&h, whole), 0);
	assert_memory_equal(rte_pktmbuf_mtod_offset(m, void *, 40),
			    rte_pktmbuf_mtod_offset(whole, void *, 40), 2);
	rte_pktmbuf_free(m);
	rte_pktmbuf_free(whole);
}

static void impossible(struct rte_mbuf *m, struct virtio_net_hdr h)
{
	assert_int_equal(weft_vnet_in(&h, m), -EINVAL);
	rte_pktmbuf_free(m);
}

static void impossible_headers_are_refused(void **state)
{
	(void)state;
	struct virtio_net_hdr h;

	impossible(packet_new(ether4, 13), (struct virtio_net_hdr) {0});
	impossible(packet4(UDP, 0, 8), needs_csum(34, 7));
	impossible(packet4(UDP, 0, 8), needs_csum(65535, 65535));
	impossible(packet4(UDP, 0, 8), needs_csum(42, 0));

	h = needs_csum(34, 16);
	h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	impossible(packet4(TCP, 0, 1900), h); // no size
	h.gso_size = 500;
	impossible(packet4(UDP, 0, 1900), h);	  // not TCP
	impossible(packet6(TCP, "", 0, 1900), h); // not IPv4
	impossible(packet4(TCP, 0, 19), h);	  // no room for a header
	impossible(packet4(TCP, 4, 1900), h);	  // the checksum is elsewhere
	impossible(packet_new(ether4, 14), h);	  // nothing at all
	h.gso_type = VIRTIO_NET_HDR_GSO_UDP;	  // fragmentation
	impossible(packet4(UDP, 0, 1900), h);
	h.gso_type = 0x7f;
	impossible(packet4(TCP, 0, 1900), h);
}

// With so much payload; only its length is looked at.
static struct rte_mbuf *longer(struct rte_mbuf *m, uint8_t proto, uint32_t payload)
{
	m->pkt_len = 34 + (proto == TCP ? 20 : 8) + payload;
	return m;
}

static bool is_taken(uint8_t proto, uint32_t payload, uint16_t size)
{
	struct virtio_net_hdr h = needs_csum(34, proto == TCP ? 16 : 6);
	struct rte_mbuf *m = longer(packet4(proto, 0, 1000), proto, payload);
	int ret;

	h.gso_type = proto == TCP ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_UDP_L4;
	h.gso_size = size;
	ret = weft_vnet_in(&h, m);
	m->pkt_len = m->data_len;
	rte_pktmbuf_free(m);
	return ret == 0;
}

static void sizes_that_no_stack_means_are_refused(void **state)
{
	static const struct {
		uint8_t proto;
		uint32_t payload;
		uint16_t least;
	} of[] = {{TCP, 65000, 32},  {TCP, 2048, 1},  {TCP, 2049, 2},
		  {UDP, 65000, 508}, {UDP, 1280, 10}, {UDP, 100, 1}};

	(void)state;
	for (size_t i = 0; i < RTE_DIM(of); i++) {
		for (uint16_t size = 1; size < of[i].least; size++)
			assert_false(is_taken(of[i].proto, of[i].payload, size));
		for (uint32_t size = of[i].least; size <= UINT16_MAX; size++)
			assert_true(is_taken(of[i].proto, of[i].payload, (uint16_t)size));
	}
}

// Whatever comes: no access outside (the sanitizers watch), and what is accepted lies inside the
// packet.
static void random_headers_stay_inside_the_packet(void **state)
{
	(void)state;
	static const uint8_t protos[] = {TCP, UDP, SCTP, 0, 43, 44, 51, 60};
	static const uint8_t types[] = {0, 1, 3, 4, 5, 0x81, 0x85};

	srandom(1);
	for (int i = 0; i < 200000; i++) {
		struct rte_mbuf *m = packet_new(random() % 2 ? ether4 : ether6, 14);
		size_t len = (size_t)random() % 120;
		struct virtio_net_hdr h = {
			.flags = random() % 4 != 0,
			.gso_type = types[(size_t)random() % sizeof(types)],
			.gso_size = (uint16_t)(random() % 3 * 17),
			.hdr_len = (uint16_t)random(),
			.csum_start = (uint16_t)(random() % 8 ? random() % 140 : random()),
			.csum_offset = (uint16_t)(random() % 8 ? 6 + random() % 2 * 10 : random()),
		};
		for (size_t k = 0; k < len; k++)
			*rte_pktmbuf_append(m, 1) = (char)random();
		uint8_t *ip = rte_pktmbuf_mtod_offset(m, uint8_t *, 14);
		if (len > 20) {
			ip[0] = (uint8_t)(0x44 + random() % 12);
			ip[6] = (uint8_t)protos[(size_t)random() % sizeof(protos)];
			ip[9] = (uint8_t)protos[(size_t)random() % sizeof(protos)];
		}
		if (weft_vnet_in(&h, m) == 0 && (m->ol_flags & RTE_MBUF_F_TX_L4_MASK)) {
			assert_true((uint32_t)m->l2_len + m->l3_len + m->l4_len <= m->pkt_len);
			assert_true(m->l4_len >= 8);
			weft_vnet_out(m, &h);
			assert_true(h.csum_start + h.csum_offset + 2u <= m->pkt_len);
			assert_true(h.hdr_len <= m->pkt_len);
		}
		rte_pktmbuf_free(m);
	}
}

static int start(void **state)
{
	static const struct datapath_config config = {.workers = 1};
	bool huge;

	(void)state;
	return weft_eal_start(&config, &huge, NULL) < 0 || weft_eal_pool(&config, &pool, NULL) < 0;
}

static int stop(void **state)
{
	(void)state;
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	rte_mempool_free(pool);
	weft_eal_stop();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_packet_has_no_flags),
		cmocka_unit_test(checksums_become_flags_and_flags_checksums),
		cmocka_unit_test(tags_belong_to_the_link_header),
		cmocka_unit_test(segmentation_survives_both_ways),
		cmocka_unit_test(a_merged_packet_without_partial_checksum_gets_one),
		cmocka_unit_test(sctp_is_filled_in),
		cmocka_unit_test(what_no_flag_can_say_is_filled_in),
		cmocka_unit_test(impossible_headers_are_refused),
		cmocka_unit_test(sizes_that_no_stack_means_are_refused),
		cmocka_unit_test(random_headers_stay_inside_the_packet),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
