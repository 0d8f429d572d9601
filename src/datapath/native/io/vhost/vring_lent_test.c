// SPDX-License-Identifier: Apache-2.0
// Packets that lie in pieces, from one ring by hand to another, split and packed: lent, copied
// once, and what the VM changes meanwhile.
#include "datapath/native/io/vhost/vring.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "datapath/native/testing/eal_testing.h"
#include "datapath/native/io/lent.h"

#include <cmocka.h>

#define SIZE	64
#define GUEST	0x100000UL // where a VM's memory begins for it
#define ROOM	(GUEST + 0x4000)
#define MEMORY	(0x4000 + 0x30000)
#define BUFFERS 255
#define AVAIL	(1u << VRING_PACKED_DESC_F_AVAIL)
#define USED	(1u << VRING_PACKED_DESC_F_USED)

static struct rte_mempool *pool;

// A VM with one ring. Its memory is of exactly this size.
struct vm {
	struct vring_memory memory;
	struct vring_counters counters;
	struct vring_state ring;
	uint8_t *at;
	uint16_t put, seen; // split: running; packed: places
	bool wrap, seen_wrap;
};

static struct vm from, to;

static void *host(const struct vm *vm, uint64_t guest)
{
	return vm->at + (guest - GUEST);
}

static void begin(struct vm *vm, bool packed, bool mergeable)
{
	struct vring_packed_desc_event *events;

	*vm = (struct vm) {.at = aligned_alloc(64, MEMORY), .wrap = true, .seen_wrap = true};
	memset(vm->at, 0, 0x4000);
	memset(host(vm, ROOM), 0xee, MEMORY - 0x4000);
	vm->memory = (struct vring_memory) {1, {{GUEST, MEMORY, vm->at}}};
	vm->ring = (struct vring_state) {
		.on = true,
		.packed = packed,
		.wrap = packed,
		.mergeable = mergeable,
		.header_len = 12,
		.size = SIZE,
		.call = -1,
		.memory = &vm->memory,
		.desc = host(vm, GUEST),
		.avail = host(vm, GUEST + 0x1000),
		.used = host(vm, GUEST + 0x2000),
		.counters = &vm->counters,
	};
	if (packed) {
		events = host(vm, GUEST + 0x1000);
		events[0].flags = VRING_PACKED_EVENT_FLAG_DISABLE;
		vm->ring.driver = &events[0];
		vm->ring.device = &events[1];
	}
}

static void end(struct vm *vm)
{
	free(vm->at);
}

// A chain as the driver puts it, its descriptors in an indirect table or in the ring.
static void put_split(struct vm *vm, const struct vring_desc *d, uint16_t n, bool indirect)
{
	struct vring_desc *table = indirect ? host(vm, GUEST + 0x3000) : &vm->ring.desc[0];
	uint16_t first = indirect ? 0 : vm->put % SIZE;

	for (uint16_t i = 0; i < n; i++) {
		uint16_t at = (uint16_t)(first + i) % SIZE;

		table[at] = d[i];
		if (i + 1 < n)
			table[at].flags |= VRING_DESC_F_NEXT;
		table[at].next = (uint16_t)(at + 1) % SIZE;
	}
	if (indirect)
		vm->ring.desc[vm->put % SIZE] = (struct vring_desc) {
			GUEST + 0x3000, n * (uint32_t)sizeof(*d), VRING_DESC_F_INDIRECT, 0};
	vm->ring.avail->ring[vm->ring.avail->idx % SIZE] = vm->put % SIZE;
	vm->put += indirect ? 1 : n;
	vm->ring.avail->idx++;
}

static void put_slot(struct vm *vm, uint64_t addr, uint32_t len, uint16_t flags)
{
	vm->ring.slots[vm->put] = (struct vring_packed_desc) {
		addr, len, vm->put, (uint16_t)(flags | (vm->wrap ? AVAIL : USED))};
	vm->put = (vm->put + 1) % SIZE;
	vm->wrap = vm->wrap == (vm->put != 0);
}

static void put_packed(struct vm *vm, const struct vring_desc *d, uint16_t n, bool indirect)
{
	struct vring_packed_desc *table = host(vm, GUEST + 0x3000);

	for (uint16_t i = 0; i < n; i++) {
		if (indirect)
			table[i] = (struct vring_packed_desc) {d[i].addr, d[i].len, 0, d[i].flags};
		else
			put_slot(vm, d[i].addr, d[i].len,
				 d[i].flags | (i + 1 < n ? VRING_DESC_F_NEXT : 0));
	}
	if (indirect)
		put_slot(vm, GUEST + 0x3000, n * (uint32_t)sizeof(*table), VRING_DESC_F_INDIRECT);
}

static void put(struct vm *vm, const struct vring_desc *d, uint16_t n, bool indirect)
{
	(vm->ring.packed ? put_packed : put_split)(vm, d, n, indirect);
}

// How many chains, of so many slots each, the driver has back and did not see yet.
static unsigned int take_back(struct vm *vm, uint16_t slots)
{
	unsigned int n = 0;

	if (!vm->ring.packed) {
		n = (uint16_t)(vm->ring.used->idx - vm->seen);
		vm->seen = vm->ring.used->idx;
		return n;
	}
	for (;; n++) {
		uint16_t flags = vm->ring.slots[vm->seen].flags;

		if (((flags & USED) != 0) != vm->seen_wrap ||
		    ((flags & AVAIL) != 0) != vm->seen_wrap)
			return n;
		if (vm->seen + slots >= SIZE)
			vm->seen_wrap = !vm->seen_wrap;
		vm->seen = (vm->seen + slots) % SIZE;
	}
}

// A header that asks for a checksum and a TCP packet, its payload 1, 2, 3, ..., at `at` of the
// sender, cut into n pieces. Where they are.
static void write_packet(uint64_t at, uint32_t len, uint16_t n, struct vring_desc *d)
{
	uint8_t *p = host(&from, at);
	struct virtio_net_hdr h = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16};

	memset(p, 0, 12 + 54);
	memcpy(p, &h, sizeof(h));
	memcpy(p + 12 + 12, "\x08\x00\x45", 3);
	p[12 + 23] = 6;
	p[12 + 46] = 0x50;
	for (uint32_t i = 54; i < len; i++)
		p[12 + i] = (uint8_t)(i * 31 + i / 256);
	for (uint32_t i = 0, left = 12 + len; i < n; i++) {
		uint32_t part = i + 1 == n	       ? left
				: i == 0	       ? RTE_MIN(left, 66u)
				: i % 5 == 4 && n < 30 ? 0
						       : RTE_MIN(left, (12 + len) / n);

		d[i] = (struct vring_desc) {at, part, 0, 0};
		at += part;
		left -= part;
	}
}

static bool is_packet(const uint8_t *p, uint32_t len)
{
	if (memcmp(p + 12, "\x08\x00\x45", 3) != 0 || p[23] != 6)
		return false;
	for (uint32_t i = 54; i < len; i++)
		if (p[i] != (uint8_t)(i * 31 + i / 256))
			return false;
	return true;
}

// Room for one packet, in one buffer, in a chain, or in many; where it is to be found is the same.
static void give_room(uint32_t len, bool chain)
{
	struct vring_desc d[SIZE];
	uint16_t n = 0;

	for (uint32_t at = 0; at < 12 + len; at += chain || to.ring.mergeable ? 1999 : 70000)
		d[n++] = (struct vring_desc) {ROOM + at,
					      RTE_MIN(chain || to.ring.mergeable ? 1999u : 70000u,
						      12 + len - at),
					      VRING_DESC_F_WRITE, 0};
	if (chain)
		put(&to, d, n, true);
	else
		for (uint16_t i = 0; i < n; i++)
			put(&to, &d[i], 1, false);
}

struct shape {
	uint32_t len;
	uint16_t pieces;
	bool indirect;
};

static void send_one(const struct shape *s, int how)
{
	bool packed = how & 1, mergeable = how & 4, taken = how & 8;
	bool chain = !mergeable && s->len > 3000;
	struct vring_desc d[SIZE];
	struct rte_mbuf *m;

	begin(&from, packed, false);
	begin(&to, how & 2, mergeable);
	write_packet(ROOM, s->len, s->pieces, d);
	put(&from, d, s->pieces, s->indirect);
	give_room(s->len, chain);
	assert_int_equal(weft_vring_pop(&from.ring, pool, &m, 1, true), 1);
	assert_int_equal(m->pkt_len, s->len);
	assert_int_equal(m->ol_flags, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM);
	assert_int_equal(weft_is_lent(m), s->len > LENT_HEAD && s->pieces <= LENT_PIECES);
	assert_int_equal(take_back(&from, s->indirect ? 1 : s->pieces), 0);

	// The VM changes all that was already read.
	memset(from.ring.desc, 0xff, SIZE * sizeof(*from.ring.desc));
	memset(host(&from, GUEST + 0x3000), 0xff, 0x1000);
	memset(host(&from, ROOM), 0xff, 12 + RTE_MIN(s->len, (uint32_t)LENT_HEAD));
	if (taken) {
		assert_int_equal(weft_is_lent(m) ? weft_lent_take(m, pool) : 0, 0);
		assert_false(weft_is_lent(m));
		rte_mbuf_sanity_check(m, 1);
		memset(host(&from, ROOM), 0xff, 12 + s->len);
	}
	assert_int_equal(weft_vring_push(&to.ring, &m, 1), 1);
	rte_pktmbuf_free(m);
	const struct virtio_net_hdr_mrg_rxbuf *h = host(&to, ROOM);
	assert_int_equal(h->hdr.csum_start, 34);
	assert_int_equal(h->num_buffers, mergeable ? (12 + s->len + 1998) / 1999 : 1);
	assert_true(is_packet(host(&to, ROOM + 12), s->len));
	assert_int_equal(*(uint8_t *)host(&to, ROOM + 12 + s->len), 0xee);
	assert_int_equal(take_back(&to, 1), h->num_buffers);
	weft_vring_done(&from.ring);
	if (packed) // what the VM wrote there is over
		assert_int_equal(from.ring.slots[0].flags, AVAIL | USED);
	else
		assert_int_equal(take_back(&from, 1), 1);
	assert_int_equal(from.counters.malformed, 0);
	end(&from);
	end(&to);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

static void packet_in_pieces_is_copied_once_and_arrives_whole(void **state)
{
	static const struct shape shapes[] = {
		{60, 2, false},	    {128, 2, true},    {129, 1, false},	  {129, 2, true},
		{1514, 2, true},    {1514, 2, false},  {1514, 3, false},  {1514, 9, true},
		{9014, 4, true},    {9014, 33, true},  {65549, 3, true},  {65549, 18, true},
		{65549, 18, false}, {65549, 32, true}, {65549, 40, true}, {200, 19, true}};

	(void)state;
	for (size_t i = 0; i < RTE_DIM(shapes); i++)
		for (int how = 0; how < 16; how++)
			send_one(&shapes[i], how);
}

// Behind a packet that takes several buffers the others go on.
static void short_and_long_packets_of_a_burst_arrive_in_order(void **state)
{
	static const uint32_t lens[] = {100, 9000, 1514, 3000, 60, 128, 20000};

	(void)state;
	for (int how = 0; how < 4; how++) {
		struct rte_mbuf *pkts[VRING_BURST];
		struct vring_desc d;
		unsigned int at = 0;

		begin(&from, how & 1, false);
		begin(&to, how & 2, true);
		for (size_t i = 0; i < RTE_DIM(lens); i++) {
			write_packet(ROOM + i * 0x6000, lens[i], 1, &d);
			put(&from, &d, 1, false);
		}
		for (unsigned int i = 0; i < 30; i++)
			put(&to,
			    &(struct vring_desc) {ROOM + i * 2048, 2048, VRING_DESC_F_WRITE, 0}, 1,
			    false);
		assert_int_equal(weft_vring_pop(&from.ring, pool, pkts, VRING_BURST, true),
				 RTE_DIM(lens));
		assert_int_equal(weft_vring_push(&to.ring, pkts, RTE_DIM(lens)), RTE_DIM(lens));
		for (size_t i = 0; i < RTE_DIM(lens); i++) {
			const struct virtio_net_hdr_mrg_rxbuf *h = host(&to, ROOM + at * 2048);

			assert_int_equal(h->hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
			assert_int_equal(h->num_buffers, (12 + lens[i] + 2047) / 2048);
			assert_true(is_packet((const uint8_t *)(h + 1), lens[i]));
			at += h->num_buffers;
		}
		assert_int_equal(take_back(&to, 1), at);
		rte_pktmbuf_free_bulk(pkts, RTE_DIM(lens));
		weft_vring_done(&from.ring);
		assert_int_equal(take_back(&from, 1), RTE_DIM(lens));
		end(&from);
		end(&to);
	}
}

// Lent, whole, and malformed ones in one burst, over the end of the ring: the driver gets all of
// them back, in their order, when it is over.
static void burst_is_given_back_when_it_is_done_with(void **state)
{
	struct vring_desc nowhere = {.addr = 1, .len = 100};

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		struct rte_mbuf *pkts[VRING_BURST];
		struct vring_desc d[4];

		begin(&from, packed, false);
		for (int round = 0; round < 200; round++) {
			unsigned int n = 1 + (unsigned int)round % VRING_BURST, good = 0;

			for (unsigned int i = 0; i < n; i++) {
				write_packet(ROOM + i * 0x600, i % 3 == 0 ? 1000 : 100, 1, d);
				good += i % 5 != 3;
				put(&from, i % 5 == 3 ? &nowhere : d, 1, false);
			}
			assert_int_equal(weft_vring_pop(&from.ring, pool, pkts, VRING_BURST, true),
					 good);
			assert_int_equal(take_back(&from, 1), 0);
			rte_pktmbuf_free_bulk(pkts, (unsigned int)good);
			weft_vring_done(&from.ring);
			assert_int_equal(take_back(&from, 1), n);
			weft_vring_done(&from.ring); // nothing more
			assert_int_equal(take_back(&from, 1), 0);
		}
		end(&from);
	}
}

// When nothing came of a burst, nobody says that it is done with.
static void burst_of_which_nothing_came_is_given_back_at_once(void **state)
{
	struct vring_desc nowhere = {.addr = 1, .len = 100};
	struct rte_mbuf *pkts[VRING_BURST];

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		begin(&from, packed, false);
		for (int i = 0; i < 3; i++)
			put(&from, &nowhere, 1, false);
		assert_int_equal(weft_vring_pop(&from.ring, pool, pkts, VRING_BURST, true), 0);
		assert_int_equal(take_back(&from, 1), 3);
		assert_int_equal(from.counters.malformed, 3);
		end(&from);
	}
}

static void piece_behind_the_memory_is_not_lent(void **state)
{
	struct rte_mbuf *pkts[VRING_BURST];

	(void)state;
	for (int how = 0; how < 8; how++) {
		struct vring_desc d[3];

		begin(&from, how & 1, false);
		write_packet(ROOM, 9000, 3, d);
		if (how & 2) {
			d[2].addr = GUEST + MEMORY - d[2].len + 1;
		} else {
			d[1].addr = UINT64_MAX - 100;
		}
		put(&from, d, 3, how & 4);
		write_packet(ROOM, 1500, 1, d);
		put(&from, d, 1, false);
		assert_int_equal(weft_vring_pop(&from.ring, pool, pkts, VRING_BURST, true), 1);
		assert_int_equal(pkts[0]->pkt_len, 1500);
		assert_int_equal(from.counters.malformed, 1);
		rte_pktmbuf_free(pkts[0]);
		weft_vring_done(&from.ring);
		end(&from);
	}
}

static void packet_that_is_taken_in_without_buffers_stays_lent(void **state)
{
	struct rte_mbuf *all[BUFFERS], *m;
	struct vring_desc d[4];

	(void)state;
	begin(&from, false, false);
	write_packet(ROOM, 9000, 4, d);
	put(&from, d, 4, true);
	assert_int_equal(weft_vring_pop(&from.ring, pool, &m, 1, true), 1);
	assert_int_equal(rte_pktmbuf_alloc_bulk(pool, all, BUFFERS - 4), 0);
	assert_int_equal(weft_lent_take(m, pool), -ENOMEM); // four where three are left
	assert_true(weft_is_lent(m));
	rte_pktmbuf_free(all[0]);
	assert_int_equal(weft_lent_take(m, pool), 0);
	uint8_t copy[9000];
	assert_true(is_packet(rte_pktmbuf_read(m, 0, 9000, copy), 9000));
	rte_pktmbuf_free_bulk(all + 1, BUFFERS - 5);
	rte_pktmbuf_free(m);
	weft_vring_done(&from.ring);
	end(&from);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

static int start_eal(void **state)
{
	(void)state;
	return eal_testing_start_alone(BUFFERS, &pool);
}

static int stop_eal(void **state)
{
	(void)state;
	return eal_testing_stop_alone(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packet_in_pieces_is_copied_once_and_arrives_whole),
		cmocka_unit_test(short_and_long_packets_of_a_burst_arrive_in_order),
		cmocka_unit_test(burst_is_given_back_when_it_is_done_with),
		cmocka_unit_test(burst_of_which_nothing_came_is_given_back_at_once),
		cmocka_unit_test(piece_behind_the_memory_is_not_lent),
		cmocka_unit_test(packet_that_is_taken_in_without_buffers_stays_lent),
	};

	return cmocka_run_group_tests(tests, start_eal, stop_eal);
}
