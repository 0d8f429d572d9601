// SPDX-License-Identifier: Apache-2.0
// Rings by hand, in memory of exactly the size that the table says: whoever reaches beyond it is
// seen by the address sanitizer. What their tests share.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "datapath/native/testing/eal_testing.h"
#include "datapath/native/io/lent.h"
#include "datapath/native/io/vhost/vring.h"

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

static inline uint8_t *host(uint64_t guest)
{
	for (uint32_t i = 0; i < g.memory.n; i++)
		if (guest - g.memory.at[i].guest < g.memory.at[i].size)
			return g.memory.at[i].host + (guest - g.memory.at[i].guest);
	fail();
	return NULL;
}

static inline void begin_at(uint64_t features, uint16_t next)
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
		.call = -1,
		.memory = &g.memory,
		.desc = g.v.desc,
		.avail = g.v.avail,
		.used = g.v.used,
		.counters = &g.counters,
	};
	g.v.avail->idx = g.v.used->idx = g.put = next;
}

static inline void begin(uint64_t features)
{
	begin_at(features, 0);
}

static inline void end(void)
{
	for (size_t i = 0; i < 3; i++)
		free(g.memory.at[i].host);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

static inline void describe(uint16_t i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	g.v.desc[i] = (struct vring_desc) {.addr = addr, .len = len, .flags = flags, .next = next};
}

static inline void offer(uint16_t head)
{
	g.v.avail->ring[g.put++ % SIZE] = head;
	__atomic_store_n(&g.v.avail->idx, g.put, __ATOMIC_RELEASE);
}

// A header and a frame of `len` bytes 1, 2, 3, ... at a guest address.
static inline void write_packet(uint64_t addr, uint32_t len)
{
	for (uint32_t i = 0; i < 12 + len; i++)
		*host(addr + i) = i < 12 ? 0 : (uint8_t)(i - 11);
}

static inline bool is_packet(const struct rte_mbuf *m, uint32_t len)
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

static inline uint16_t receive(struct rte_mbuf **pkts)
{
	return weft_vring_pop(&g.ring, pool, pkts, VRING_BURST, false);
}

static inline struct rte_mbuf *make(uint32_t len)
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

static inline void assert_bytes(uint64_t at, uint32_t from, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(*host(at + i), (uint8_t)(from + i + 1));
}

static inline int start_eal(void **state)
{
	(void)state;
	return eal_testing_start_alone(BUFFERS, &pool);
}

static inline int stop_eal(void **state)
{
	(void)state;
	return eal_testing_stop_alone(pool);
}
