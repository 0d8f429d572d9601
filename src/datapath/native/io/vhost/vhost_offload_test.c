// SPDX-License-Identifier: Apache-2.0
// Checksums and segments from one VM's driver to another's: what one asks for arrives, or is done
// on the way; nothing else is believed.
#include "datapath/native/io/port_io.h"

#include "datapath/native/testing/vhost_testing.h"

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
		for (size_t payload = 1; payload < 1400; payload = payload * 22 + 1) {
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

// A copy for each receiver shares the bytes: filling in one's checksum must not make another's
// wrong.
static void shared_packet_is_not_written_to(void **state)
{
	struct virtio_net_hdr sent = asks(4, UDP, 0), came;
	size_t len = make(in, 4, UDP, 100);
	struct rte_mbuf *m, *clone;

	(void)state;
	two_vms(SENDS, 0);
	lab_give(&b.vm, 0, 1, LAB_BUFFER);
	assert_true(lab_send(&a.vm, 0, &sent, in, len, 0));
	assert_int_equal(a.io->ops->rx(a.io, 0, &m, 1), 1);
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

// One turn may take only so long: what finds no place is not cut.
static void nothing_is_cut_for_a_ring_that_takes_no_more(void **state)
{
	struct virtio_net_hdr h = asks(4, TCP, 40);
	size_t len = make(in, 4, TCP, 20000);
	struct rte_mbuf *m[3];

	(void)state;
	two_vms(SENDS, 0);
	lab_give(&b.vm, 0, 100, LAB_BUFFER);
	for (int i = 0; i < 3; i++) {
		assert_true(lab_send(&a.vm, 0, &h, in, len, 8192));
		assert_int_equal(a.io->ops->rx(a.io, 0, &m[i], 1), 1);
	}
	assert_int_equal(b.io->ops->tx(b.io, m, 3), 1);
	assert_int_equal(stats_of(&b).tx_segmented, 1);
	assert_int_equal(stats_of(&b).tx_refused, 1); // its end
	// About as many as went: a run more, at most.
	assert_in_range(stats_of(&b).tx_filled, 100, 132);
	assert_int_equal(b.io->ops->tx(b.io, m + 1, 2), 0);
	assert_in_range(stats_of(&b).tx_filled, 100, 164);
	rte_pktmbuf_free_bulk(m + 1, 2);
	end_vms();
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
	for (unsigned int kind = 0; kind < 8; kind++) {
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
		if (kind == 7) { // 3,000 segments
			len = make(in, 4, TCP, 3000);
			bad.gso_size = 1;
		}
		assert_true(lab_send(&a.vm, 0, &bad, in, len, kind == 7 ? 4096 : 0));
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
	assert_int_equal(a.io->ops->rx(a.io, 0, &m, 1), 1);
	assert_int_equal(m->ol_flags, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM);
	assert_int_equal(m->l2_len + m->l3_len + m->l4_len, 54);
	rte_pktmbuf_free(m);
	end_vms();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_one_driver_asks_for_the_other_is_asked_for),
		cmocka_unit_test(checksum_behind_extension_headers_is_asked_for_where_it_is),
		cmocka_unit_test(checksum_is_filled_in_for_a_driver_that_cannot),
		cmocka_unit_test(shared_packet_is_not_written_to),
		cmocka_unit_test(segment_is_cut_for_a_driver_that_cannot),
		cmocka_unit_test(nothing_is_cut_for_a_ring_that_takes_no_more),
		cmocka_unit_test(impossible_packet_is_dropped_and_counted),
		cmocka_unit_test(claim_that_does_not_fit_its_packet_is_dropped_and_counted),
		cmocka_unit_test(segment_as_long_as_its_packet_is_no_segment),
	};

	int failed = cmocka_run_group_tests_name("copied", tests, start, NULL);

	failed += cmocka_run_group_tests_name("lent", tests, lend, NULL);
	return failed + cmocka_run_group_tests_name("packed", tests, pack, stop);
}
