// SPDX-License-Identifier: Apache-2.0
// Fragments: how long they wait, and how many.
#include "datapath/native/fragment.h"

#include "datapath/native/fragment_testing.h"

static void datagrams_older_than_30_seconds_are_forgotten_and_their_fragments_handed_out(
	void **state)
{
	(void)state;
	struct fragments *f = weft_fragments_new(64, 64);
	struct piece lost = piece(4, IPPROTO_UDP, 1, 800, 8, true);
	struct piece known = piece(4, IPPROTO_UDP, 2, 0, 800, true);
	struct rte_mbuf *out[8];
	uint32_t start = UINT32_MAX - 1000; // the clock wraps meanwhile
	for (uint32_t i = 0; i < 3; i++) {
		lost.from = 800 + 8 * i;
		assert_int_equal(in_done(f, &lost, start).result, FRAGMENT_HELD);
	}
	in_done(f, &known, start);
	assert_int_equal(weft_fragments_expire(f, start + 30000, out, 8), 0);
	assert_int_equal(weft_fragments_expire(f, start + 30001, out, 2), 2);
	assert_int_equal(weft_fragments_expire(f, start + 30001, out + 2, 2), 1);
	assert_int_equal(weft_fragments_expire(f, start + 30001, out, 0), 0);
	for (int i = 0; i < 3; i++)
		rte_pktmbuf_free(out[i]);
	known.from = 800;
	assert_int_equal(in_done(f, &known, start + 30001).result, FRAGMENT_HELD);
	weft_fragments_free(f);
	assert_true(all_free());
}

static void an_old_datagram_says_nothing_even_before_it_is_swept(void **state)
{
	(void)state;
	struct fragments *f = weft_fragments_new(64, 64);
	struct piece first = piece(4, IPPROTO_UDP, 77, 0, 800, true);
	struct piece last = piece(4, IPPROTO_UDP, 77, 800, 8, false);
	in_done(f, &first, 0);
	assert_int_equal(in_done(f, &last, 30001).result, FRAGMENT_HELD);
	weft_fragments_free(f);
}

static void a_port_that_floods_fills_only_its_share_of_waiting_places(void **state)
{
	(void)state;
	struct fragments *f = weft_fragments_new(64, 16);
	int held = 0;
	for (uint32_t i = 0; i < 50; i++) {
		struct piece c = piece(4, IPPROTO_UDP, i, 800, 8, true);
		struct outcome o = in_done(f, &c, 0);
		held += o.result == FRAGMENT_HELD;
		if (o.result == FRAGMENT_DROP)
			assert_int_equal(o.why, DROP_FRAG_FULL);
	}
	// 4 of 16 places, also while datagrams that were pushed out wait for their fragments to be collected.
	assert_int_equal(held, 4);
	struct piece other = piece(4, IPPROTO_UDP, 1, 800, 8, true);
	other.in_port = 4;
	assert_int_equal(in_done(f, &other, 0).result, FRAGMENT_HELD);
	weft_fragments_free(f);
	assert_true(all_free());
}

static void a_port_that_floods_pushes_out_its_own_datagrams_only(void **state)
{
	(void)state;
	struct fragments *f = weft_fragments_new(64, 16);
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

static void when_all_ports_together_fill_the_table_the_oldest_goes(void **state)
{
	(void)state;
	struct fragments *f = weft_fragments_new(64, 16);
	struct rte_mbuf *out[4];
	struct piece waits = piece(4, IPPROTO_UDP, 9, 800, 8, true);
	struct outcome o = in(f, &waits, 0);
	for (uint32_t i = 0; i < 64; i++) {
		struct piece c = piece(4, IPPROTO_UDP, i, 0, 800, true);
		c.in_port = (uint16_t)(100 + i % 8);
		in_done(f, &c, 0);
	}
	assert_int_equal(weft_fragments_expire(f, 0, out, 4), 1);
	assert_ptr_equal(out[0], o.m);
	rte_pktmbuf_free(out[0]);
	weft_fragments_free(f);
	assert_true(all_free());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			datagrams_older_than_30_seconds_are_forgotten_and_their_fragments_handed_out),
		cmocka_unit_test(an_old_datagram_says_nothing_even_before_it_is_swept),
		cmocka_unit_test(a_port_that_floods_fills_only_its_share_of_waiting_places),
		cmocka_unit_test(a_port_that_floods_pushes_out_its_own_datagrams_only),
		cmocka_unit_test(when_all_ports_together_fill_the_table_the_oldest_goes),
	};
	return cmocka_run_group_tests(tests, start_eal, stop_eal);
}
