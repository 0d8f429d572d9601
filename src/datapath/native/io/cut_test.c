// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/cut.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/native/testing/eal_testing.h"
#include "datapath/frames/services.h"
#include "base/bytes.h"

#define IP 14

static struct rte_mempool *pool;

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

// A packet with these options (a multiple of 4 bytes), in buffers of `room` bytes behind the first.
static struct rte_mbuf *packet(const uint8_t *options, uint32_t n_options, uint32_t payload,
			       uint32_t bits, uint16_t room)
{
	static uint8_t frame[70000];
	uint32_t header = 20 + n_options, len = IP + header + payload;
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	memset(frame, 0xab, IP);
	memset(frame + IP, 0, 20);
	frame[IP] = (uint8_t)(0x40 | header / 4);
	weft_put16(frame + IP + 2, header + payload);
	weft_put16(frame + IP + 4, 0x1234);
	weft_put16(frame + IP + 6, bits);
	frame[IP + 8] = 63;
	frame[IP + 9] = 17;
	memcpy(frame + IP + 12, "\x0a\0\0\1\x0a\0\0\2", 8);
	if (n_options > 0)
		memcpy(frame + IP + 20, options, n_options);
	for (uint32_t i = 0; i < payload; i++)
		frame[IP + header + i] = (uint8_t)(i * 7 + i / 256);
	for (uint32_t at = 0; at < len;) {
		struct rte_mbuf *more = at == 0 ? m : rte_pktmbuf_alloc(pool);
		uint16_t part = (uint16_t)RTE_MIN(len - at, at == 0 ? 128u : (uint32_t)room);

		memcpy(rte_pktmbuf_append(more, part), frame + at, part);
		if (more != m)
			assert_int_equal(rte_pktmbuf_chain(m, more), 0);
		at += part;
	}
	return m;
}

struct got {
	uint32_t n, header[2]; // of the first and of the others
	uint32_t bytes;
};

// Cut it, look at each, and put it together again.
static struct got cut(const struct rte_mbuf *m, uint32_t mtu, uint32_t header)
{
	static uint8_t whole[70000], b[70000];
	const uint8_t *from = rte_pktmbuf_read(m, 0, m->pkt_len, whole);
	uint32_t bits = get16(from + IP + 6), first = (bits & 0x1fff) * 8, offset = first;
	struct got got = {0};
	struct cutter c;

	for (weft_cut_begin(&c, m, mtu); !weft_cut_done(&c); got.n++) {
		struct rte_mbuf *part = weft_cut_next(&c, pool);
		const uint8_t *p = rte_pktmbuf_read(part, 0, part->pkt_len, b);
		uint32_t own = (p[IP] & 15u) * 4, len = get16(p + IP + 2) - own;
		bool last = weft_cut_done(&c);

		assert_in_range(part->pkt_len, IP + own + 1, IP + mtu);
		assert_int_equal(part->pkt_len, IP + own + len);
		assert_memory_equal(p, from, IP);
		assert_int_equal(weft_csum(p + IP, own, 0), 0);
		assert_memory_equal(p + IP + 4, "\x12\x34", 2);
		assert_memory_equal(p + IP + 8, from + IP + 8, 2);
		assert_memory_equal(p + IP + 12, from + IP + 12, 8);
		assert_int_equal(get16(p + IP + 6) & 0x1fff, offset / 8);
		assert_int_equal(get16(p + IP + 6) >> 13, last && (bits & 0x2000) == 0 ? 0 : 1);
		if (!last) {
			assert_int_equal(len % 8, 0);
			assert_true(IP + own + len + 8 > IP + mtu); // as long as may be
		}
		assert_memory_equal(p + IP + own, from + IP + header + offset - first, len);
		if (got.n == 0)
			assert_memory_equal(p + IP + 20, from + IP + 20, header - 20);
		got.header[got.n > 0] = own;
		offset += len;
		rte_pktmbuf_free(part);
	}
	got.bytes = offset - first;
	return got;
}

static void fragments_put_together_are_the_packet(void **state)
{
	static const uint32_t mtus[] = {68, 576, 1280, 1400, 1499, 1500, 9000};

	(void)state;
	srand(17);
	for (int round = 0; round < 300; round++) {
		uint32_t mtu = mtus[round % 7],
			 payload = 1 + (uint32_t)rand() % (mtu == 68 ? 5000 : 65515);
		struct rte_mbuf *m = packet(NULL, 0, payload, 0, (uint16_t)(40 + rand() % 2000));
		struct got got = cut(m, mtu, 20);
		uint32_t each = (mtu - 20) & ~7u;

		assert_int_equal(got.bytes, payload);
		assert_in_range(got.n, payload / (each + 8), payload / each + 1);
		rte_pktmbuf_free(m);
	}
}

static void fragments_are_cut_into_fragments_of_the_same_datagram(void **state)
{
	struct rte_mbuf *m = packet(NULL, 0, 1480, 0x2000 | 185, 500);

	(void)state;
	assert_int_equal(cut(m, 576, 20).n, 3);
	rte_pktmbuf_free(m);
	m = packet(NULL, 0, 1477, 185, 500); // the last one
	assert_int_equal(cut(m, 576, 20).n, 3);
	rte_pktmbuf_free(m);
}

static void only_options_that_are_to_be_copied_are_in_all(void **state)
{
	// Record route (not copied), no operation, router alert (copied), end.
	static const uint8_t some[] = {7, 7, 4, 0, 0, 0, 0, 1, 0x94, 4, 0, 0, 0, 0, 0, 0};
	static const uint8_t none[] = {7, 39, 4};
	uint8_t full[40] = {0};
	struct rte_mbuf *m = packet(some, sizeof(some), 3000, 0, 2000);
	struct got got = cut(m, 1400, 36);

	(void)state;
	assert_int_equal(got.header[0], 36);
	assert_int_equal(got.header[1], 24);
	assert_int_equal(got.bytes, 3000);
	rte_pktmbuf_free(m);
	memcpy(full, none, sizeof(none));
	m = packet(full, sizeof(full), 3000, 0, 2000);
	got = cut(m, 68, 60);
	assert_int_equal(got.header[0], 60);
	assert_int_equal(got.header[1], 20);
	rte_pktmbuf_free(m);
	for (size_t i = 0; i < sizeof(full); i += 4) // all of them
		memcpy(full + i, "\x94\4\0\0", 4);
	m = packet(full, sizeof(full), 3000, 0, 2000);
	got = cut(m, 68, 60);
	assert_int_equal(got.header[1], 60);
	assert_int_equal(got.n, 375);
	rte_pktmbuf_free(m);
}

static void without_buffers_none_comes_and_none_is_lost(void **state)
{
	struct rte_mbuf *m = packet(NULL, 0, 60000, 0, 2000), *taken[2048];
	struct cutter c;
	uint32_t n = 0;

	(void)state;
	while (rte_mempool_avail_count(pool) > 2) // a fragment of 9,000 takes 6
		taken[n++] = rte_pktmbuf_alloc(pool);
	weft_cut_begin(&c, m, 9000);
	assert_null(weft_cut_next(&c, pool));
	assert_int_equal(rte_mempool_avail_count(pool), 2);
	rte_pktmbuf_free_bulk(taken, n);
	rte_pktmbuf_free(m);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

static int start_eal(void **state)
{
	(void)state;
	return eal_testing_start_alone(2047, &pool);
}

static int stop_eal(void **state)
{
	(void)state;
	return eal_testing_stop_alone(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fragments_put_together_are_the_packet),
		cmocka_unit_test(fragments_are_cut_into_fragments_of_the_same_datagram),
		cmocka_unit_test(only_options_that_are_to_be_copied_are_in_all),
		cmocka_unit_test(without_buffers_none_comes_and_none_is_lost),
	};

	return cmocka_run_group_tests(tests, start_eal, stop_eal);
}
