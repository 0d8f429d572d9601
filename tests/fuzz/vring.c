// SPDX-License-Identifier: Apache-2.0
// A ring whose driver does whatever it likes, from the device's end: split and packed, with every
// feature, in memory of several regions that the sanitizer guards.
//
// The input is how the ring is, and then a list of steps: descriptors, indices, tables and bytes
// anywhere, between bursts in both directions. What must hold: nothing outside the regions is
// touched (the sanitizer sees to that); each packet that comes out is a packet as port_io.h says;
// and every buffer is back in the pool at the end.
#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/native/io/eal.h"
#include "datapath/native/io/lent.h"
#include "datapath/native/io/vhost/vring.h"
#include "fuzz.h"

enum { REGIONS = 3, REGION = 8192, RING_AT = 0, RING_SIZE_LOG2 = 4, PACKETS = 8 };

enum op {
	OP_DESCRIPTOR, // which, address (region, offset), length, flags, next or id
	OP_TABLE,      // the same, anywhere
	OP_AVAILABLE,  // split: which chain; and the index goes on
	OP_INDEX,      // split: the index is set to anything
	OP_BYTES,      // offset, length, bytes
	OP_HEADER,     // a likely header, anywhere
	OP_POP,
	OP_PUSH, // length, flags
	OP_COUNT,
};

struct run {
	const uint8_t *in, *end;
	struct vring_memory memory;
	struct vring_state ring;
	struct vring_counters counters;
	uint16_t avail;
};

static struct rte_mempool *pool;

static uint8_t take(struct run *r)
{
	return r->in < r->end ? *r->in++ : 0;
}

static uint32_t take2(struct run *r)
{
	uint32_t high = take(r);

	return high << 8 | take(r);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const struct datapath_config config = {.workers = 1,
						      .hugepages = DATAPATH_HUGEPAGES_OFF};
	struct err err = {0};
	bool huge;

	(void)argc;
	(void)argv;
	fuzz_assert(weft_eal_start(&config, &huge, &err) == 0);
	fuzz_assert(weft_eal_pool(&config, &pool, &err) == 0);
	return 0;
}

// The guest's addresses: the first two regions follow one another there, the third is far away.
static uint64_t guest_of(unsigned int region)
{
	return region == 2 ? 1ULL << 40 : (uint64_t)region * REGION;
}

static void make(struct run *r)
{
	uint8_t how = take(r);
	uint16_t size = (uint16_t)(1u << (take(r) % (RING_SIZE_LOG2 + 1)));
	uint8_t *at;

	r->memory.n = REGIONS;
	for (unsigned int i = 0; i < REGIONS; i++) {
		r->memory.at[i] = (struct vring_region) {guest_of(i), REGION, malloc(REGION)};
		fuzz_assert(r->memory.at[i].host != NULL);
		memset(r->memory.at[i].host, 0, REGION);
	}
	at = r->memory.at[0].host + RING_AT;
	r->ring = (struct vring_state) {
		.on = true,
		.packed = how & 1,
		.event_idx = how & 2,
		.mergeable = how & 4,
		.ecn = how & 8,
		.wrap = how & 1,
		.header_len = how & 16 ? 12 : 10,
		.size = size,
		.call = -1,
		.memory = &r->memory,
		.counters = &r->counters,
	};
	if (r->ring.packed || r->ring.mergeable)
		r->ring.header_len = 12;
	r->ring.desc = (struct vring_desc *)at; // or the packed ring's slots
	r->ring.avail = (struct vring_avail *)(at + 1024);
	r->ring.used = (struct vring_used *)(at + 2048);
}

static uint64_t take_address(struct run *r)
{
	uint8_t where = take(r);
	uint64_t guest = guest_of(where % REGIONS) + take2(r) % (REGION + 64);

	return where & 0x80 ? guest << 20 : guest;
}

static void put_descriptor(struct run *r, void *to)
{
	if (r->ring.packed) {
		struct vring_packed_desc d = {.addr = take_address(r), .len = take2(r)};

		d.id = take(r);
		d.flags = (uint16_t)(take(r) % 8 |
				     (uint32_t)(take(r) & 1) << VRING_PACKED_DESC_F_AVAIL |
				     (uint32_t)(take(r) & 1) << VRING_PACKED_DESC_F_USED);
		memcpy(to, &d, sizeof(d));
	} else {
		struct vring_desc d = {.addr = take_address(r), .len = take2(r)};

		d.flags = take(r) % 8;
		d.next = take(r);
		memcpy(to, &d, sizeof(d));
	}
}

static uint8_t *anywhere(struct run *r, size_t len)
{
	unsigned int region = take(r) % REGIONS;

	return r->memory.at[region].host + take2(r) % (REGION - len);
}

static void check_packet(const struct rte_mbuf *m)
{
	uint64_t l4 = m->ol_flags & RTE_MBUF_F_TX_L4_MASK;
	bool cut = m->ol_flags & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG);

	rte_mbuf_sanity_check(m, 1);
	fuzz_assert(m->pkt_len >= 14 && m->pkt_len <= 65535 + 22);
	fuzz_assert(l4 != 0 || !cut);
	fuzz_assert(l4 == 0 || (uint32_t)m->l2_len + m->l3_len + m->l4_len <= m->data_len);
	fuzz_assert(!cut || m->tso_segsz > 0);
}

static bool is_in_memory(const struct run *r, const uint8_t *at, uint32_t len)
{
	for (unsigned int i = 0; i < REGIONS; i++)
		if (at >= r->memory.at[i].host && at + len <= r->memory.at[i].host + REGION)
			return true;
	return false;
}

static void check_pieces(const struct run *r, const struct rte_mbuf *m)
{
	struct lent_piece one;
	const struct lent_piece *p = weft_lent_pieces(m, &one);
	uint32_t left = m->pkt_len - LENT_HEAD;

	for (int i = 0; i < LENT_PIECES && left > 0; i++, left -= p++->len)
		fuzz_assert(p->len > 0 && p->len <= left && is_in_memory(r, p->at, p->len));
	fuzz_assert(left == 0);
}

// What is lent is in the memory; it is sent from there, or taken in, before the driver has it back.
static void pop(struct run *r)
{
	uint8_t how = take(r);
	struct rte_mbuf *pkts[PACKETS];
	uint16_t used = r->ring.packed ? 0 : r->ring.used->idx;
	uint16_t n = weft_vring_pop(&r->ring, pool, pkts, PACKETS, how & 1);

	fuzz_assert(n <= PACKETS);
	for (uint16_t i = 0; i < n; i++) {
		if (!weft_is_lent(pkts[i]))
			continue;
		fuzz_assert((how & 1) != 0 && pkts[i]->data_len == LENT_HEAD);
		check_pieces(r, pkts[i]);
		fuzz_assert(r->ring.packed || r->ring.used->idx == used);
	}
	if (how & 2)
		weft_vring_push(&r->ring, pkts, n);
	for (uint16_t i = 0; i < n; i++) {
		fuzz_assert(!weft_is_lent(pkts[i]) || weft_lent_take(pkts[i], pool) == 0);
		check_packet(pkts[i]);
	}
	rte_pktmbuf_free_bulk(pkts, n);
	weft_vring_done(&r->ring);
}

static void push(struct run *r)
{
	uint32_t len = 14 + take2(r) % 6000, left = len;
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *pkts[2];

	fuzz_assert(m != NULL);
	while (left > 0) {
		struct rte_mbuf *part = left == len ? m : rte_pktmbuf_alloc(pool);
		uint32_t n = RTE_MIN(left, (uint32_t)rte_pktmbuf_tailroom(part));

		memset(rte_pktmbuf_append(part, (uint16_t)n), 0x5a, n);
		if (part != m)
			rte_pktmbuf_chain(m, part);
		left -= n;
	}
	pkts[0] = pkts[1] = m;
	fuzz_assert(weft_vring_push(&r->ring, pkts, 2) <= 2);
	rte_pktmbuf_free(m);
}

static void step(struct run *r)
{
	uint16_t mask = r->ring.size - 1;
	size_t n;

	switch (take(r) % OP_COUNT) {
	case OP_DESCRIPTOR:
		put_descriptor(r, &r->ring.desc[take(r) & mask]);
		break;
	case OP_TABLE:
		put_descriptor(r, anywhere(r, sizeof(struct vring_desc)));
		break;
	case OP_AVAILABLE:
		r->ring.avail->ring[r->avail++ & mask] = take(r) & 0x80 ? take2(r) : take(r) & mask;
		r->ring.avail->idx = r->avail;
		break;
	case OP_INDEX:
		r->ring.avail->idx = r->avail = (uint16_t)take2(r);
		break;
	case OP_BYTES:
		n = take(r);
		for (uint8_t *to = anywhere(r, 256); n > 0; n--)
			*to++ = take(r);
		break;
	case OP_HEADER: {
		struct virtio_net_hdr h = {
			.flags = take(r),
			.gso_type = take(r),
			.hdr_len = take(r),
			.gso_size = (uint16_t)take2(r),
			.csum_start = take(r),
			.csum_offset = take(r),
		};
		memcpy(anywhere(r, sizeof(h)), &h, sizeof(h));
		break;
	}
	case OP_POP:
		pop(r);
		break;
	case OP_PUSH:
		push(r);
		break;
	}
	// Its driver sets it up anew.
	if (!r->ring.on && (take(r) & 1) != 0) {
		r->ring.on = true;
		r->ring.next = 0;
		r->avail = 0;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run r = {.in = data, .end = data + size};

	make(&r);
	for (int i = 0; i < 256 && r.in < r.end; i++)
		step(&r);
	for (unsigned int i = 0; i < REGIONS; i++)
		free(r.memory.at[i].host);
	fuzz_assert(rte_mempool_in_use_count(pool) == 0);
	return 0;
}
