// SPDX-License-Identifier: Apache-2.0
// Fragments: how long they wait, and how many.
#include "datapath/native/packet/fragment.h"

#include "datapath/native/testing/fragment_testing.h"

static void datagrams_older_than_30_seconds_are_forgotten_and_their_fragments_handed_out(
	void **state)
{
	(void)state;
	struct fragments *f = fragments_of(64, 64);
	struct piece lost = piece(4, IPPROTO_UDP, 1, 800, 8, true);
	struct piece known = piece(4, IPPROTO_UDP, 2, 0, 800, true);
	uint32_t start = UINT32_MAX - 1000; // the clock wraps meanwhile
	for (uint32_t i = 0; i < 3; i++) {
		lost.from = 800 + 8 * i;
		assert_int_equal(in_done(f, &lost, start).result, FRAGMENT_HELD);
	}
	in_done(f, &known, start);
	weft_fragments_expire(f, start + 30000);
	assert_int_equal(n_dropped[DROP_FRAG_TIMEOUT], 0);
	weft_fragments_expire(f, start + 30001);
	assert_int_equal(n_dropped[DROP_FRAG_TIMEOUT], 3);
	assert_true(all_free());
	known.from = 800;
	assert_int_equal(in_done(f, &known, start + 30001).result, FRAGMENT_HELD);
	weft_fragments_free(f);
	assert_true(all_free());
}

static void an_old_datagram_says_nothing_even_before_it_is_swept(void **state)
{
	(void)state;
	struct fragments *f = fragments_of(64, 64);
	struct piece first = piece(4, IPPROTO_UDP, 77, 0, 800, true);
	struct piece last = piece(4, IPPROTO_UDP, 77, 800, 8, false);
	in_done(f, &first, 0);
	assert_int_equal(in_done(f, &last, 30001).result, FRAGMENT_HELD);
	weft_fragments_free(f);
}

static void a_port_that_floods_fills_only_its_share_of_waiting_buffers(void **state)
{
	(void)state;
	struct fragments *f = fragments_of(256, 64);
	uint32_t held = 0;
	for (uint32_t i = 0; i < 50; i++) {
		struct piece c = piece(4, IPPROTO_UDP, i, 800, 64, true);
		c.buffers = 5;
		struct outcome o = in_done(f, &c, 0);
		held += o.result == FRAGMENT_HELD;
		if (o.result == FRAGMENT_DROP)
			assert_int_equal(o.why, DROP_FRAG_FULL);
	}
	assert_int_equal(held, 3); // 16 of 64 buffers
	assert_int_equal(rte_mempool_in_use_count(pool), 15);
	struct piece other = piece(4, IPPROTO_UDP, 1, 800, 8, true);
	other.in_port = 4;
	assert_int_equal(in_done(f, &other, 0).result, FRAGMENT_HELD);
	weft_fragments_free(f);
	assert_true(all_free());
}

static void when_all_buffers_are_taken_who_has_most_gives_way(void **state)
{
	(void)state;
	struct fragments *f = fragments_of(256, 64);
	for (uint32_t i = 0; i < 20 * 30; i++) { // of 20 ports
		struct piece c = piece(4, IPPROTO_UDP, i, 800, 32, true);
		c.in_port = (uint16_t)(100 + i % 20);
		c.buffers = 2;
		in_done(f, &c, 0);
	}
	assert_in_range(rte_mempool_in_use_count(pool), 60, 64);
	// Whoever comes now still gets what 21 may have, and its first one finds them.
	struct piece mine = piece(4, IPPROTO_UDP, 9, 800, 8, true);
	struct outcome o = {0};
	for (int i = 0; i < 3; i++) {
		mine.from = 1600 - 800 * (uint32_t)(i == 1) + 8 * (uint32_t)i;
		o = in_done(f, &mine, 0);
		assert_int_equal(o.result, FRAGMENT_HELD);
	}
	assert_true(n_dropped[DROP_FRAG_FULL] > 0);
	assert_in_range(rte_mempool_in_use_count(pool), 1, 64);
	struct rte_mbuf *out[4];
	mine.from = 0;
	mine.len = 800;
	o = in_done(f, &mine, 0);
	assert_int_equal(weft_fragments_take(f, &o.p, out, 4), 3);
	rte_pktmbuf_free_bulk(out, 3);
	weft_fragments_free(f);
	assert_true(all_free());
}

static void a_port_that_floods_pushes_out_its_own_datagrams_only(void **state)
{
	(void)state;
	struct fragments *f = fragments_of(64, 16);
	struct piece mine = piece(4, IPPROTO_UDP, 9, 0, 800, true);
	mine.in_port = 4;
	in_done(f, &mine, 0);
	for (uint32_t i = 0; i < 1000; i++) {
		struct piece c = piece(4, IPPROTO_UDP, i, 0, 800, true);
		assert_int_equal(in_done(f, &c, 0).result, FRAGMENT_GO); // firsts are judged anyway
	}
	mine.from = 800;
	struct outcome o = in_done(f, &mine, 0);
	assert_ports(&o, 4000, 53);
	// Its latest 16 are known.
	struct piece c = piece(4, IPPROTO_UDP, 999, 800, 8, false);
	assert_int_equal(in_done(f, &c, 0).result, FRAGMENT_GO);
	c.id = 999 - 16;
	assert_int_equal(in_done(f, &c, 0).result, FRAGMENT_HELD);
	weft_fragments_free(f);
}

static void when_all_ports_together_fill_the_table_who_has_most_gives_way(void **state)
{
	(void)state;
	struct fragments *f = fragments_of(64, 16);
	struct piece mine = piece(4, IPPROTO_UDP, 9, 0, 800, true);
	struct piece waits = piece(4, IPPROTO_UDP, 10, 800, 8, true);
	in_done(f, &mine, 0);
	in_done(f, &waits, 0);
	for (uint32_t i = 0; i < 1000; i++) {
		struct piece c = piece(4, IPPROTO_UDP, i, 0, 800, true);
		c.in_port = (uint16_t)(100 + i % 8);
		in_done(f, &c, 0);
	}
	assert_int_equal(n_dropped[DROP_FRAG_FULL], 0);
	mine.from = 800;
	struct outcome o = in_done(f, &mine, 0);
	assert_ports(&o, 4000, 53);
	weft_fragments_free(f);
	assert_true(all_free());
}

static void when_each_port_has_one_datagram_the_oldest_goes(void **state)
{
	(void)state;
	struct fragments *f = fragments_of(64, 16);
	struct piece waits = piece(4, IPPROTO_UDP, 9, 800, 8, true);
	in(f, &waits, 0);
	for (uint32_t i = 0; i < 64; i++) {
		struct piece c = piece(4, IPPROTO_UDP, i, 0, 800, true);
		c.in_port = (uint16_t)(100 + i);
		in_done(f, &c, 0);
	}
	assert_int_equal(n_dropped[DROP_FRAG_FULL], 1);
	assert_true(all_free());
	weft_fragments_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			datagrams_older_than_30_seconds_are_forgotten_and_their_fragments_handed_out),
		cmocka_unit_test(an_old_datagram_says_nothing_even_before_it_is_swept),
		cmocka_unit_test(a_port_that_floods_fills_only_its_share_of_waiting_buffers),
		cmocka_unit_test(when_all_buffers_are_taken_who_has_most_gives_way),
		cmocka_unit_test(a_port_that_floods_pushes_out_its_own_datagrams_only),
		cmocka_unit_test(when_all_ports_together_fill_the_table_who_has_most_gives_way),
		cmocka_unit_test(when_each_port_has_one_datagram_the_oldest_goes),
	};
	return cmocka_run_group_tests(tests, start_eal, stop_eal);
}
