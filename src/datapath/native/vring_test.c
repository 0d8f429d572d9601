// SPDX-License-Identifier: Apache-2.0
// Rings by hand, in memory of exactly the size that the table says: whoever reaches beyond it is seen by the address sanitizer.
#include "datapath/native/vring.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <rte_eal.h>

#include "datapath/native/lent.h"

#include <cmocka.h>

#define SIZE	16
#define LOW	0x1000UL // guest addresses
#define MIDDLE	0x9000UL // right behind it
#define HIGH	0xfffffffffffff000UL
#define BUFFERS 63
#define VERSION (1ULL << VIRTIO_F_VERSION_1)
#define MERGE	(1ULL << VIRTIO_NET_F_MRG_RXBUF)
#define CSUM	(1ULL << VIRTIO_NET_F_CSUM)
#define EVENT	(1ULL << VIRTIO_RING_F_EVENT_IDX)

static struct rte_mempool *pool;

static struct guest {
	struct vring_memory memory;
	struct vring_state ring;
	struct vring_counters counters;
	struct vring v;
	uint16_t put; // into the avail ring
} g;

static uint8_t *host(uint64_t guest)
{
	for (uint32_t i = 0; i < g.memory.n; i++)
		if (guest - g.memory.at[i].guest < g.memory.at[i].size)
			return g.memory.at[i].host + (guest - g.memory.at[i].guest);
	fail();
	return NULL;
}

static void begin_at(uint64_t features, uint16_t next)
{
	static const uint64_t where[] = {LOW, MIDDLE, HIGH};
	static const size_t sizes[] = {MIDDLE - LOW, 0x4000, 0x800};

	g.memory.n = 3;
	for (size_t i = 0; i < 3; i++) {
		g.memory.at[i] =
			(struct vring_region) {where[i], sizes[i], aligned_alloc(64, sizes[i])};
		memset(g.memory.at[i].host, 0xee, sizes[i]);
	}
	uint8_t *rings = g.memory.at[0].host;
	memset(rings, 0, 0x1000);
	g.v.desc = (void *)rings;
	g.v.avail = (void *)(rings + 0x400);
	g.v.used = (void *)(rings + 0x800);
	g.counters = (struct vring_counters) {0};
	g.ring = (struct vring_state) {
		.on = true,
		.event_idx = (features & EVENT) != 0,
		.mergeable = (features & MERGE) != 0,
		.header_len = 12,
		.size = SIZE,
		.next = next,
		.vid = -1,
		.call = -1,
		.memory = &g.memory,
		.desc = g.v.desc,
		.avail = g.v.avail,
		.used = g.v.used,
		.counters = &g.counters,
	};
	g.v.avail->idx = g.v.used->idx = g.put = next;
}

static void begin(uint64_t features)
{
	begin_at(features, 0);
}

static void end(void)
{
	for (size_t i = 0; i < 3; i++)
		free(g.memory.at[i].host);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

static void describe(uint16_t i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	g.v.desc[i] = (struct vring_desc) {.addr = addr, .len = len, .flags = flags, .next = next};
}

static void offer(uint16_t head)
{
	g.v.avail->ring[g.put++ % SIZE] = head;
	__atomic_store_n(&g.v.avail->idx, g.put, __ATOMIC_RELEASE);
}

// A header and a frame of `len` bytes 1, 2, 3, ... at a guest address.
static void write_packet(uint64_t addr, uint32_t len)
{
	for (uint32_t i = 0; i < 12 + len; i++)
		*host(addr + i) = i < 12 ? 0 : (uint8_t)(i - 11);
}

static bool is_packet(const struct rte_mbuf *m, uint32_t len)
{
	uint8_t copy[4096];
	const uint8_t *p = rte_pktmbuf_read(m, 0, len, copy);

	if (m->pkt_len != len || p == NULL)
		return false;
	for (uint32_t i = 0; i < len; i++)
		if (p[i] != (uint8_t)(i + 1))
			return false;
	return true;
}

static uint16_t receive(struct rte_mbuf **pkts)
{
	return weft_vring_pop(&g.ring, pool, pkts, VRING_BURST, false);
}

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

static struct rte_mbuf *make(uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *last = m;

	for (uint32_t i = 0; i < len; i++) {
		if (rte_pktmbuf_tailroom(last) == 0) {
			last->next = rte_pktmbuf_alloc(pool);
			last = last->next;
			m->nb_segs++;
		}
		*rte_pktmbuf_mtod_offset(last, uint8_t *, last->data_len++) = (uint8_t)(i + 1);
	}
	m->pkt_len = len;
	return m;
}

static void assert_bytes(uint64_t at, uint32_t from, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(*host(at + i), (uint8_t)(from + i + 1));
}

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

static int start_eal(void **state)
{
	char args[][16] = {"ring_test",	     "--no-huge",     "-m", "64", "--no-pci", "--no-shconf",
			   "--no-telemetry", "--log-level=4", "-l", "0"};
	char *argv[sizeof(args) / sizeof(args[0])];

	(void)state;
	for (size_t i = 0; i < sizeof(argv) / sizeof(argv[0]); i++)
		argv[i] = args[i];
	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])), argv) < 0)
		return -1;
	pool = rte_pktmbuf_pool_create("ring", BUFFERS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	return pool == NULL ? -1 : 0;
}

static int stop_eal(void **state)
{
	(void)state;
	rte_mempool_free(pool);
	return rte_eal_cleanup();
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
