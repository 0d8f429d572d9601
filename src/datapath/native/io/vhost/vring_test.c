// SPDX-License-Identifier: Apache-2.0
// Rings by hand: what any packet does.
#include "datapath/native/io/vhost/vring.h"

#include "datapath/native/testing/vring_testing.h"

static void receive_one(uint32_t len)
{
	struct rte_mbuf *pkts[VRING_BURST];

	assert_int_equal(receive(pkts), 1);
	assert_true(is_packet(pkts[0], len));
	rte_pktmbuf_free(pkts[0]);
}

// ---- From the VM ----

static void packet_in_any_shape_arrives(void **state)
{
	(void)state;
	for (uint32_t len = 14; len < 3000; len = len * 5 / 4 + 1) {
		begin_at(VERSION, 65530);
		write_packet(LOW + 0x2000, len);
		uint64_t frame = LOW + 0x2000 + 12;

		describe(0, LOW + 0x2000, 12 + len, 0, 0);
		offer(0);
		describe(1, LOW + 0x2000, 12, VRING_DESC_F_NEXT, 2);
		describe(2, frame, len, 0, 0);
		offer(1);
		describe(3, LOW + 0x2000, 5, VRING_DESC_F_NEXT, 4);
		describe(4, LOW + 0x2005, 10, VRING_DESC_F_NEXT, 5);
		describe(5, LOW + 0x7000, 0, VRING_DESC_F_NEXT, 6);
		describe(6, frame + 3, len - 3, 0, 0);
		offer(3);
		struct vring_desc *table = (void *)host(MIDDLE + 0x100);
		table[0] = (struct vring_desc) {LOW + 0x2000, 12, VRING_DESC_F_NEXT, 2};
		table[2] = (struct vring_desc) {frame, 10, VRING_DESC_F_NEXT, 1};
		table[1] = (struct vring_desc) {frame + 10, len - 10, 0, 0};
		describe(7, MIDDLE + 0x100, 48, VRING_DESC_F_INDIRECT, 0);
		offer(7);
		struct rte_mbuf *pkts[VRING_BURST];
		assert_int_equal(receive(pkts), 4);
		for (int i = 0; i < 4; i++) {
			assert_true(is_packet(pkts[i], len));
			assert_false(weft_is_lent(pkts[i]));
		}
		rte_pktmbuf_free_bulk(pkts, 4);
		assert_int_equal(g.v.used->idx, 65534);
		assert_int_equal(g.v.used->ring[65530 % SIZE].id, 0);
		assert_int_equal(g.v.used->ring[65533 % SIZE].id, 7);
		offer(0);
		offer(1);
		offer(3);
		offer(7); // past the index's end
		assert_int_equal(receive(pkts), 4);
		rte_pktmbuf_free_bulk(pkts, 4);
		assert_int_equal(g.counters.malformed, 0);
		end();
	}
}

static void packet_over_two_regions_that_touch_arrives(void **state)
{
	(void)state;
	begin(VERSION);
	write_packet(MIDDLE - 500, 1000);
	describe(0, MIDDLE - 500, 1012, 0, 0);
	offer(0);
	receive_one(1000);
	end();
}

static void long_packet_is_lent_and_its_head_is_ours(void **state)
{
	struct rte_mbuf *pkts[VRING_BURST];

	(void)state;
	begin(VERSION);
	write_packet(LOW + 0x2000, 128);
	write_packet(LOW + 0x3000, 3000);
	describe(0, LOW + 0x2000, 140, 0, 0);
	describe(1, LOW + 0x3000, 3012, 0, 0);
	offer(0);
	offer(1);
	assert_int_equal(weft_vring_pop(&g.ring, pool, pkts, VRING_BURST, true), 2);
	assert_false(weft_is_lent(pkts[0]));
	assert_true(weft_is_lent(pkts[1]));
	assert_int_equal(pkts[1]->data_len, LENT_HEAD);
	assert_int_equal(pkts[1]->pkt_len, 3000);
	assert_int_equal(g.v.used->idx, 0);
	assert_ptr_equal(weft_lent_rest(pkts[1]), host(LOW + 0x3000 + 12 + LENT_HEAD));
	memset(host(LOW + 0x3000 + 12), 0, 3000); // the VM changes it
	assert_int_equal(*rte_pktmbuf_mtod_offset(pkts[1], uint8_t *, LENT_HEAD - 1), LENT_HEAD);
	write_packet(LOW + 0x3000, 3000);
	assert_int_equal(weft_lent_take(pkts[1], pool), 0);
	assert_false(weft_is_lent(pkts[1]));
	memset(host(LOW + 0x3000), 0, 3012);
	assert_true(is_packet(pkts[1], 3000));
	assert_int_equal(pkts[1]->nb_segs, 2);
	rte_pktmbuf_free_bulk(pkts, 2);
	weft_vring_done(&g.ring);
	assert_int_equal(g.v.used->idx, 2);
	end();
}

static void packet_without_a_buffer_waits_in_the_ring(void **state)
{
	struct rte_mbuf *all[BUFFERS], *pkts[VRING_BURST];

	(void)state;
	begin(VERSION);
	write_packet(LOW + 0x2000, 3000); // of two buffers
	describe(0, LOW + 0x2000, 3012, 0, 0);
	describe(1, LOW + 0x2000, 112, 0, 0);
	offer(1);
	offer(0);
	offer(1);
	assert_int_equal(rte_pktmbuf_alloc_bulk(pool, all, BUFFERS), 0);
	assert_int_equal(receive(pkts), 0);
	rte_pktmbuf_free_bulk(all, 3);
	assert_int_equal(receive(pkts), 1);
	assert_true(is_packet(pkts[0], 100));
	rte_pktmbuf_free(pkts[0]);
	assert_int_equal(g.ring.next, 1);
	rte_pktmbuf_free_bulk(all + 3, BUFFERS - 3);
	assert_int_equal(receive(pkts), 2);
	assert_true(is_packet(pkts[0], 3000));
	assert_true(is_packet(pkts[1], 100));
	rte_pktmbuf_free_bulk(pkts, 2);
	end();
}

static void chain_that_cannot_be_is_given_back_and_the_next_arrives(void **state)
{
	const uint16_t next = VRING_DESC_F_NEXT, indirect = VRING_DESC_F_INDIRECT;
	const struct {
		struct vring_desc d[3]; // from descriptor 1 on
	} bad[] = {
		{{{UINT64_MAX - 10, 100, 0, 0}}},		    // wraps
		{{{0, 100, 0, 0}}},				    // nowhere
		{{{LOW - 1, 100, 0, 0}}},			    // begins before
		{{{MIDDLE + 0x4000 - 50, 100, 0, 0}}},		    // ends behind
		{{{HIGH + 0x7ff, 100, 0, 0}}},			    //
		{{{HIGH, UINT32_MAX, 0, 0}}},			    // huge
		{{{LOW, UINT32_MAX, 0, 0}}},			    //
		{{{LOW + 0x2000, 0, 0, 0}}},			    // empty
		{{{LOW + 0x2000, 11, 0, 0}}},			    // less than a header
		{{{LOW + 0x2000, 12, 0, 0}}},			    // no frame
		{{{LOW + 0x2000, 25, 0, 0}}},			    // less than Ethernet
		{{{LOW + 0x2000, 12, next, SIZE}}},		    // no such descriptor
		{{{LOW + 0x2000, 12, next, 65535}}},		    //
		{{{LOW + 0x2000, 100, next, 1}}},		    // to itself
		{{{LOW + 0x2000, 0, next, 1}}},			    // for nothing
		{{{LOW + 0x2000, 12, next, 2}, {LOW, 0, next, 1}}}, // a loop of two
		{{{LOW, 100, next, 2}, {LOW, 0x8000, next, 3}, {LOW, 0x8000, 0, 0}}}, // > 64 KB
		{{{LOW + 0x2000, 0, indirect, 0}}},			      // an empty table
		{{{LOW + 0x2000, 17, indirect, 0}}},			      // half a descriptor
		{{{LOW + 0x2000, 32, indirect | next, 2}, {LOW, 100, 0, 0}}}, // and goes on
		{{{UINT64_MAX - 15, 32, indirect, 0}}},			      // a table nowhere
		{{{MIDDLE - 16, 32, indirect, 0}}},			      // in two regions
		{{{LOW + 0x2001, 32, indirect, 0}}},			      // at an odd address
		{{{LOW + 0x6000, 16, indirect, 0}}}, // whose descriptor is a table, see below
		{{{LOW + 0x6010, 16, indirect, 0}}}, // whose descriptor goes on behind it
		{{{LOW + 0x6020, 16, indirect,
		   0}}}, // whose descriptor is a table as long as a packet
	};

	(void)state;
	for (size_t i = 0; i < RTE_DIM(bad); i++)
		for (int lend = 0; lend < 2; lend++) {
			struct rte_mbuf *pkts[VRING_BURST];
			struct vring_desc *table;

			begin(VERSION);
			write_packet(LOW + 0x3000, 500);
			memset(host(LOW + 0x2000), 0, 0x100);
			table = (void *)host(LOW + 0x6000);
			table[0] = (struct vring_desc) {LOW + 0x6000, 16, indirect, 0};
			table[1] = (struct vring_desc) {LOW + 0x3000, 12, next, 1};
			table[2] = (struct vring_desc) {LOW + 0x3000, 512, indirect, 0};
			describe(0, LOW + 0x3000, 512, 0, 0);
			memcpy(&g.v.desc[1], bad[i].d, sizeof(bad[i].d));
			offer(1);
			offer(0);
			assert_int_equal(weft_vring_pop(&g.ring, pool, pkts, 32, lend), 1);
			assert_int_equal(pkts[0]->pkt_len, 500);
			rte_pktmbuf_free(pkts[0]);
			assert_int_equal(g.counters.malformed, 1);
			assert_true(g.ring.on);
			weft_vring_done(&g.ring);
			assert_int_equal(g.v.used->idx, 2);
			assert_int_equal(g.v.used->ring[0].id, 1);
			assert_int_equal(g.v.used->ring[1].id, 0);
			end();
		}
}

static void ring_that_says_the_impossible_is_read_no_more(void **state)
{
	struct rte_mbuf *pkts[VRING_BURST];

	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		begin(VERSION);
		write_packet(LOW + 0x2000, 100);
		describe(0, LOW + 0x2000, 112, 0, 0);
		offer(0);
		if (kind == 0)
			offer(SIZE); // no such head; but the packet before it is one
		else
			g.v.avail->idx = kind == 1 ? SIZE + 1
						   : 65535; // further than the ring is long
		uint16_t n = receive(pkts);
		assert_int_equal(n, kind == 0);
		rte_pktmbuf_free_bulk(pkts, n);
		assert_false(g.ring.on);
		g.v.avail->idx = g.put = 1;
		offer(0);
		assert_int_equal(receive(pkts), 0);
		assert_int_equal(weft_vring_push(&g.ring, pkts, 0), 0);
		end();
	}
}

// ---- To the VM ----

static uint16_t send_one(uint32_t len)
{
	struct rte_mbuf *m = make(len);
	uint16_t sent = weft_vring_push(&g.ring, &m, 1);

	rte_pktmbuf_free(m);
	return sent;
}

static void packet_fills_a_buffer_to_its_last_byte_and_no_further(void **state)
{
	(void)state;
	for (uint32_t len = 14; len < 3000; len = len * 9 / 8 + 1) {
		begin_at(VERSION, 65535);
		describe(3, LOW + 0x2000, 12 + len - 1, VRING_DESC_F_WRITE, 0);
		describe(4, LOW + 0x2000, 12 + len, VRING_DESC_F_WRITE, 0);
		offer(3);
		assert_int_equal(send_one(len), 1); // it will never fit
		assert_int_equal(g.counters.refused, 1);
		assert_int_equal(g.ring.next, 65535);
		g.v.avail->ring[65535 % SIZE] = 4;
		assert_int_equal(send_one(len), 1);
		assert_int_equal(g.v.used->idx, 0);
		assert_int_equal(g.v.used->ring[65535 % SIZE].id, 4);
		assert_int_equal(g.v.used->ring[65535 % SIZE].len, 12 + len);
		assert_memory_equal(host(LOW + 0x2000), "\0\0\0\0\0\0\0\0\0\0\1\0", 12);
		assert_bytes(LOW + 0x200c, 0, len);
		assert_int_equal(*host(LOW + 0x200c + len), 0xee);
		assert_int_equal(send_one(len), 0); // nothing more is offered
		end();
	}
}

static void packet_spreads_over_a_chain_or_over_several_buffers(void **state)
{
	(void)state;
	for (uint32_t len = 300; len < 3000; len += 450) {
		begin(VERSION); // a chain, its header in two pieces
		describe(0, LOW + 0x2000, 11, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
		describe(1, LOW + 0x2800, 101, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 2);
		describe(2, LOW + 0x3000, len - 100, VRING_DESC_F_WRITE, 0);
		offer(0);
		assert_int_equal(send_one(len), 1);
		assert_int_equal(*host(LOW + 0x2000 + 10), 1);
		assert_int_equal(*host(LOW + 0x2800), 0);
		assert_bytes(LOW + 0x2801, 0, 100);
		assert_bytes(LOW + 0x3000, 100, len - 100);
		assert_int_equal(g.v.used->ring[0].len, 12 + len);
		end();

		begin(VERSION | MERGE);
		uint16_t buffers = (uint16_t)((12 + len + 255) / 256);
		for (uint16_t i = 0; i < SIZE; i++)
			describe(i, LOW + 0x2000 + 0x200UL * i, 256, VRING_DESC_F_WRITE, 0);
		for (uint16_t i = 0; i < buffers - 1; i++)
			offer(i);
		assert_int_equal(send_one(len), 0); // one is missing
		assert_int_equal(g.ring.next, 0);
		offer((uint16_t)(buffers - 1));
		assert_int_equal(send_one(len), 1);
		assert_int_equal(g.ring.next, buffers);
		assert_int_equal(*host(LOW + 0x2000 + 10), buffers);
		assert_bytes(LOW + 0x200c, 0, 244);
		for (uint32_t i = 1, at = 244; at < len; i++) {
			uint32_t part = RTE_MIN(256u, len - at);

			assert_bytes(LOW + 0x2000 + 0x200UL * i, at, part);
			assert_int_equal(g.v.used->ring[i].len, part);
			at += part;
		}
		end();
	}
}

static void lent_packet_is_copied_from_where_it_lies(void **state)
{
	struct rte_mbuf *m;

	(void)state;
	for (uint32_t len = 129; len < 3000; len += 211)
		for (int pieces = 0; pieces < 2; pieces++) {
			begin(VERSION | MERGE);
			write_packet(MIDDLE, len);
			m = make(LENT_HEAD);
			m->pkt_len = len;
			weft_lent_set(m, host(MIDDLE + 12 + LENT_HEAD));
			*host(MIDDLE + 12) = 0; // its head is ours
			for (uint16_t i = 0; i < SIZE; i++)
				describe(i, LOW + 0x2000 + 0x100UL * i, pieces ? 0x100 : 12 + len,
					 VRING_DESC_F_WRITE, 0);
			for (uint16_t i = 0; i < SIZE; i++)
				offer(i);
			assert_int_equal(weft_vring_push(&g.ring, &m, 1), 1);
			assert_bytes(LOW + 0x200c, 0, len); // the pieces touch
			assert_true(weft_is_lent(m));
			rte_pktmbuf_free(m);
			end();
		}
}

static void as_many_go_as_there_is_room_for(void **state)
{
	struct rte_mbuf *pkts[VRING_BURST];

	(void)state;
	begin(VERSION);
	for (uint16_t i = 0; i < 5; i++) {
		describe(i, LOW + 0x2000 + 0x200UL * i, 0x200, VRING_DESC_F_WRITE, 0);
		offer(i);
	}
	for (int i = 0; i < VRING_BURST; i++)
		pkts[i] = make(60);
	assert_int_equal(weft_vring_push(&g.ring, pkts, VRING_BURST), 5);
	assert_int_equal(weft_vring_push(&g.ring, pkts + 5, VRING_BURST - 5), 0);
	for (uint16_t i = 0; i < SIZE; i++)
		offer(i % 5);
	assert_int_equal(weft_vring_push(&g.ring, pkts + 5, VRING_BURST - 5), SIZE);
	rte_pktmbuf_free_bulk(pkts, VRING_BURST);
	end();
}

// ---- Interrupts ----

static bool was_called(void)
{
	uint64_t n;

	return read(g.ring.call, &n, sizeof(n)) == sizeof(n);
}

static void driver_is_interrupted_only_if_it_waits(void **state)
{
	(void)state;
	for (int event = 0; event < 2; event++) {
		begin_at(VERSION | (event ? EVENT : 0), 65533);
		g.ring.call = eventfd(0, EFD_NONBLOCK);
		g.ring.signalled = 65533;
		g.ring.signalled_valid = true;
		describe(0, LOW + 0x2000, 0x200, VRING_DESC_F_WRITE, 0);
		for (int i = 0; i < 6; i++)
			offer(0);
		if (event)
			g.v.avail->ring[SIZE] = 65534; // when the second is used
		assert_int_equal(send_one(60), 1);
		assert_int_equal(was_called(), !event);
		assert_int_equal(send_one(60), 1);
		assert_true(was_called());
		g.v.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
		if (event)
			g.v.avail->ring[SIZE] = 30000;
		assert_int_equal(send_one(60), 1);
		assert_false(was_called());
		assert_int_equal(g.v.used->idx, 0);
		close(g.ring.call);
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packet_in_any_shape_arrives),
		cmocka_unit_test(packet_over_two_regions_that_touch_arrives),
		cmocka_unit_test(long_packet_is_lent_and_its_head_is_ours),
		cmocka_unit_test(packet_without_a_buffer_waits_in_the_ring),
		cmocka_unit_test(chain_that_cannot_be_is_given_back_and_the_next_arrives),
		cmocka_unit_test(ring_that_says_the_impossible_is_read_no_more),
		cmocka_unit_test(packet_fills_a_buffer_to_its_last_byte_and_no_further),
		cmocka_unit_test(packet_spreads_over_a_chain_or_over_several_buffers),
		cmocka_unit_test(lent_packet_is_copied_from_where_it_lies),
		cmocka_unit_test(as_many_go_as_there_is_room_for),
		cmocka_unit_test(driver_is_interrupted_only_if_it_waits),
	};

	return cmocka_run_group_tests(tests, start_eal, stop_eal);
}
