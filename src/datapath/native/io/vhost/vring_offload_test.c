// SPDX-License-Identifier: Apache-2.0
// Rings by hand: packets that ask for a checksum or for segments, lent or not.
#include "datapath/native/io/vhost/vring.h"

#include <netinet/in.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_sctp.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "datapath/native/testing/vring_testing.h"

#define AT    (LOW + 0x2000) // where the VM has its packet
#define FRAME (AT + 12)

// A frame with this payload 1, 2, 3, ... in the VM's memory, and a header that asks for its
// checksum. Its length.
static uint32_t write_frame(int family, uint8_t proto, uint32_t payload)
{
	uint32_t l3 = family == 4 ? 20 : 40;
	uint32_t l4 = proto == IPPROTO_TCP ? 20 : proto == IPPROTO_SCTP ? 12 : 8;
	struct virtio_net_hdr *h = (void *)host(AT);
	uint8_t *f = host(FRAME);

	memset(h, 0, 12);
	h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	h->csum_start = (uint16_t)(14 + l3);
	h->csum_offset = proto == IPPROTO_TCP ? 16 : proto == IPPROTO_SCTP ? 8 : 6;
	memset(f, 0, 14 + l3 + l4);
	f[12] = family == 4 ? 0x08 : 0x86;
	f[13] = family == 4 ? 0x00 : 0xdd;
	f[14] = family == 4 ? 0x45 : 0x60;
	f[family == 4 ? 23 : 20] = proto;
	if (proto == IPPROTO_TCP)
		f[14 + l3 + 12] = 0x50;
	for (uint32_t i = 0; i < payload; i++)
		f[14 + l3 + l4 + i] = (uint8_t)(i + 1);
	return 14 + l3 + l4 + payload;
}

static struct rte_mbuf *lend_one(uint32_t len)
{
	struct rte_mbuf *pkts[VRING_BURST];

	describe(0, AT, 12 + len, 0, 0);
	offer(0);
	if (weft_vring_pop(&g.ring, pool, pkts, VRING_BURST, true) == 0)
		return NULL;
	return pkts[0];
}

static void checksum_that_a_flag_asks_for_does_not_keep_a_packet_from_being_lent(void **state)
{
	static const struct {
		int family;
		uint8_t proto;
		uint32_t payload;
	} cases[] = {{4, IPPROTO_TCP, 0}, {4, IPPROTO_UDP, 40},	  {4, IPPROTO_TCP, 1000},
		     {6, IPPROTO_UDP, 1}, {6, IPPROTO_UDP, 1000}, {6, IPPROTO_TCP, 3000}};

	(void)state;
	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		bool v4 = cases[i].family == 4, tcp = cases[i].proto == IPPROTO_TCP;

		begin(VERSION);
		uint32_t len = write_frame(cases[i].family, cases[i].proto, cases[i].payload);
		struct rte_mbuf *m = lend_one(len);
		uint8_t copy[LENT_HEAD];

		assert_non_null(m);
		memcpy(copy, host(FRAME), sizeof(copy));
		memset(host(AT), 0xff,
		       12 + RTE_MIN(len, (uint32_t)LENT_HEAD)); // the VM changes all
		assert_int_equal(weft_is_lent(m), len > LENT_HEAD);
		assert_int_equal(m->pkt_len, len);
		assert_int_equal(m->ol_flags,
				 (v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6) |
					 (tcp ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM));
		assert_int_equal(m->l2_len, 14);
		assert_int_equal(m->l3_len, v4 ? 20 : 40);
		assert_int_equal(m->l4_len, tcp ? 20 : 8);
		assert_memory_equal(rte_pktmbuf_mtod(m, void *), copy, m->data_len);
		rte_pktmbuf_free(m);
		weft_vring_done(&g.ring);
		assert_int_equal(g.v.used->idx, 1);
		end();
	}
}

// Its sum goes over all of it, so it is taken in first.
static void checksum_that_no_flag_asks_for_is_filled_in_over_the_whole_packet(void **state)
{
	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		begin(VERSION);
		uint32_t len = write_frame(kind == 3 ? 6 : 4,
					   kind == 0 ? IPPROTO_SCTP : IPPROTO_UDP, 1001);
		struct virtio_net_hdr *h = (void *)host(AT);
		uint16_t start = h->csum_start, offset = h->csum_offset, sum;

		if (kind == 1)
			host(FRAME)[20] = 0x20; // a fragment
		if (kind == 2) {		// inside a tunnel
			h->csum_start = start = 70;
			memset(host(FRAME) + start + offset, 0, 2);
		}
		if (kind == 3) {
			host(FRAME)[20] = 0; // options, longer than the head
			host(FRAME)[54] = IPPROTO_UDP;
			host(FRAME)[55] = 12;
			h->csum_start = start = 54 + 104;
		}
		struct rte_mbuf *m = lend_one(len);
		uint8_t whole[2048];

		assert_non_null(m);
		assert_false(weft_is_lent(m));
		assert_int_equal(m->pkt_len, len);
		memcpy(whole, rte_pktmbuf_read(m, 0, len, whole), len);
		memcpy(&sum, whole + start + offset, sizeof(sum));
		if (kind == 3) {
			assert_int_equal(m->ol_flags, RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM);
			assert_int_equal(m->l3_len, 40 + 104);
			assert_memory_equal(whole, host(FRAME), len);
		} else {
			assert_int_equal(m->ol_flags, 0);
			assert_memory_not_equal(whole, host(FRAME), len);
			if (kind == 0)
				assert_int_not_equal(sum, 0);
			else
				assert_int_equal(rte_raw_cksum(whole + start, len - start), 0xffff);
		}
		rte_pktmbuf_free(m);
		weft_vring_done(&g.ring);
		end();
	}
}

static void claim_that_does_not_fit_a_lent_packet_costs_it_alone(void **state)
{
	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		begin(VERSION);
		uint32_t len = write_frame(4, IPPROTO_TCP, 1000);
		struct virtio_net_hdr *h = (void *)host(AT);

		if (kind == 0)
			h->csum_start = (uint16_t)(len - 17);
		if (kind == 1)
			h->gso_type = 77;
		if (kind == 2)
			h->gso_type = VIRTIO_NET_HDR_GSO_TCPV4; // of 0 bytes each
		if (kind == 3)
			h->gso_type = VIRTIO_NET_HDR_GSO_TCPV6, h->gso_size = 100;
		assert_null(lend_one(len));
		assert_int_equal(g.counters.malformed, 1);
		assert_int_equal(g.v.used->idx, 1);
		len = write_frame(4, IPPROTO_TCP, 1000);
		struct rte_mbuf *m = lend_one(len);
		assert_non_null(m);
		rte_pktmbuf_free(m);
		weft_vring_done(&g.ring);
		end();
	}
}

static void driver_is_asked_for_what_the_packet_asks_for(void **state)
{
	(void)state;
	for (int lent = 0; lent < 2; lent++)
		for (int segments = 0; segments < 2; segments++)
			for (uint8_t header = 10; header <= 12; header += 2) {
				struct virtio_net_hdr h;

				begin(VERSION);
				g.ring.header_len = header;
				memset(host(MIDDLE), 7, 1000);
				struct rte_mbuf *m = make(lent ? LENT_HEAD : 1000);
				m->pkt_len = 1000;
				weft_lent_set(m, host(MIDDLE));
				m->l2_len = 14, m->l3_len = 20, m->l4_len = 20;
				m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM;
				if (segments)
					m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG, m->tso_segsz = 100;
				*rte_pktmbuf_mtod_offset(m, uint8_t *, 34 + 13) = 0x80; // CWR
				describe(0, AT, header + 1000, VRING_DESC_F_WRITE, 0);
				offer(0);
				assert_int_equal(weft_vring_push(&g.ring, &m, 1), 1);
				memcpy(&h, host(AT), sizeof(h));
				assert_int_equal(h.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
				assert_int_equal(h.csum_start, 34);
				assert_int_equal(h.csum_offset, 16);
				assert_int_equal(h.gso_type,
						 segments ? VIRTIO_NET_HDR_GSO_TCPV4 : 0);
				assert_int_equal(h.gso_size, segments ? 100 : 0);
				if (header == 12)
					assert_int_equal(*host(AT + 10), 1);
				assert_int_equal(*host(AT + header), 1);
				assert_int_equal(*host(AT + header + LENT_HEAD),
						 lent ? 7 : LENT_HEAD + 1);
				rte_pktmbuf_free(m);
				end();
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			checksum_that_a_flag_asks_for_does_not_keep_a_packet_from_being_lent),
		cmocka_unit_test(checksum_that_no_flag_asks_for_is_filled_in_over_the_whole_packet),
		cmocka_unit_test(claim_that_does_not_fit_a_lent_packet_costs_it_alone),
		cmocka_unit_test(driver_is_asked_for_what_the_packet_asks_for),
	};

	return cmocka_run_group_tests(tests, start_eal, stop_eal);
}
