// SPDX-License-Identifier: Apache-2.0
// Fragments: copies, overlaps, and which datagrams are whole.
#include "datapath/native/packet/fragment.h"

#include "datapath/native/testing/fragment_testing.h"

// What became of fragment `n` of 4, each 80 bytes long.
static struct outcome nth_at(struct fragments *f, struct piece c, uint32_t n, uint32_t now_ms)
{
	c.from = n * 80;
	c.more = n < 3;
	return in_done(f, &c, now_ms);
}

static struct outcome nth(struct fragments *f, struct piece c, uint32_t n)
{
	return nth_at(f, c, n, 0);
}

// In these orders every fragment goes, and then the datagram is forgotten.
static void copies_change_nothing_in_any_order(void **state)
{
	static const char *const orders[] = {"01132", "011123",	 "033221", "0011223",
					     "03012", "0210213", "01203"};

	(void)state;
	for (uint8_t family = 4; family <= 6; family += 2) {
		for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
			struct fragments *f = fragments_of(64, 64);
			struct piece c = piece(family, IPPROTO_UDP, 77, 0, 80, true);

			for (const char *n = orders[i]; *n != '\0'; n++) {
				struct outcome o = nth(f, c, (uint32_t)(*n - '0'));
				assert_ports(&o, 4000, 53);
			}
			// The next one with its id waits for its own first fragment.
			assert_int_equal(nth(f, c, 2).result, FRAGMENT_HELD);
			weft_fragments_free(f);
			assert_true(all_free());
		}
	}
}

// The datagram with this id goes by as a whole at this time, and then comes a copy of its third
// fragment.
static struct fragments *whole_and_a_copy(struct piece c, uint32_t at_ms, uint32_t copy_ms)
{
	struct fragments *f = fragments_of(64, 64);
	for (uint32_t n = 0; n < 4; n++)
		assert_int_equal(nth_at(f, c, n, at_ms).result, FRAGMENT_GO);
	assert_int_equal(nth_at(f, c, 2, copy_ms).result, FRAGMENT_HELD);
	return f;
}

static void copy_that_comes_after_its_datagram_waits_for_a_second(void **state)
{
	static const uint32_t at_ms[] = {0, 0x7ffffe00,
					 UINT32_MAX - 1500}; // the clock comes around

	(void)state;
	for (size_t i = 0; i < sizeof(at_ms) / sizeof(at_ms[0]); i++) {
		uint32_t at = at_ms[i], copy = at + 1000;
		struct piece c = piece(4, IPPROTO_UDP, 77, 0, 80, true);
		struct fragments *f = whole_and_a_copy(c, at, copy);
		c.id = 78;
		assert_int_equal(nth_at(f, c, 2, at).result,
				 FRAGMENT_HELD); // an older one is no copy
		weft_fragments_expire(f, copy + 1000);
		assert_int_equal(n_dropped[DROP_FRAG_TIMEOUT], 0);
		weft_fragments_expire(f, copy + 1001);
		assert_int_equal(n_dropped[DROP_FRAG_TIMEOUT], 1);
		weft_fragments_expire(f, at + 30000);
		assert_int_equal(n_dropped[DROP_FRAG_TIMEOUT], 1);
		weft_fragments_expire(f, at + 30001);
		assert_int_equal(n_dropped[DROP_FRAG_TIMEOUT], 2);
		weft_fragments_free(f);
		assert_true(all_free());
	}
}

static void what_comes_a_second_after_a_whole_datagram_is_no_copy(void **state)
{
	(void)state;
	struct fragments *f = whole_and_a_copy(piece(4, IPPROTO_UDP, 77, 0, 80, true), 0, 1001);
	weft_fragments_expire(f, 1001 + 30000);
	assert_int_equal(n_dropped[DROP_FRAG_TIMEOUT], 0);
	weft_fragments_free(f);
	assert_true(all_free());
}

// It was no copy, but ahead of its first.
static void next_datagram_with_the_id_of_a_whole_one_lives_as_long_as_any(void **state)
{
	(void)state;
	struct piece c = piece(4, IPPROTO_UDP, 77, 0, 80, true);
	struct fragments *f = whole_and_a_copy(c, 0, 500);
	struct rte_mbuf *out[2];
	c.sport = 4001;
	struct outcome o = nth_at(f, c, 0, 1400);
	assert_int_equal(weft_fragments_take(f, &o.p, out, 2), 1);
	o = in_mbuf(f, out[0], 3, 1400);
	assert_ports(&o, 4001, 53);
	rte_pktmbuf_free(out[0]);
	weft_fragments_expire(f, 1400 + 30000);
	o = nth_at(f, c, 1, 1400 + 30000);
	assert_ports(&o, 4001, 53);
	weft_fragments_free(f);
	assert_true(all_free());
}

// Nobody has more than one, and all of these are copies.
static void copies_alone_give_way_to_who_has_nothing(void **state)
{
	(void)state;
	struct fragments *f = fragments_of(4, 64);
	struct piece c = piece(4, IPPROTO_UDP, 77, 0, 80, true);
	for (c.in_port = 3; c.in_port < 7; c.in_port++) {
		for (uint32_t n = 0; n < 4; n++)
			assert_int_equal(nth(f, c, n).result, FRAGMENT_GO);
	}
	for (c.in_port = 3; c.in_port < 7; c.in_port++)
		assert_int_equal(nth(f, c, 2).result, FRAGMENT_HELD);
	assert_int_equal(nth(f, c, 0).result, FRAGMENT_GO);
	assert_int_equal(n_dropped[DROP_FRAG_FULL], 1);
	weft_fragments_free(f);
	assert_true(all_free());
}

static void copies_that_wait_go_with_their_first_and_none_is_left(void **state)
{
	(void)state;
	struct fragments *f = fragments_of(64, 64);
	struct piece c = piece(4, IPPROTO_UDP, 77, 0, 80, true);
	struct rte_mbuf *out[8];
	static const uint32_t early[] = {1, 1, 3};
	for (int i = 0; i < 3; i++)
		assert_int_equal(nth(f, c, early[i]).result, FRAGMENT_HELD);
	struct outcome o = nth(f, c, 0);
	assert_int_equal(weft_fragments_take(f, &o.p, out, 8), 3);
	for (int i = 0; i < 3; i++) {
		o = in_mbuf(f, out[i], 3, 0);
		assert_ports(&o, 4000, 53);
		rte_pktmbuf_free(out[i]);
	}
	o = nth(f, c, 2);
	assert_ports(&o, 4000, 53);
	weft_fragments_free(f);
	assert_true(all_free());
}

static void what_overlaps_another_takes_the_rest_with_it(void **state)
{
	static const struct {
		uint32_t from, len;
		bool more;
	} wrong[] = {
		{120, 80, true},  // over the second's end
		{152, 16, true},  // the same
		{72, 80, true},	  // into the first
		{80, 240, false}, // over all of it, and beyond
		{320, 8, true},	  // behind the end
		{240, 40, false}, // another end
		{240, 88, false}, // the same
	};

	(void)state;
	for (uint8_t family = 4; family <= 6; family += 2) {
		for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
			struct fragments *f = fragments_of(64, 64);
			struct piece c = piece(family, IPPROTO_UDP, 77, 0, 80, true), bad = c;

			bad.from = wrong[i].from;
			bad.len = wrong[i].len;
			bad.more = wrong[i].more;
			nth(f, c, 0);
			nth(f, c, 1);
			nth(f, c, 3);
			assert_int_equal(in_done(f, &bad, 0).why, DROP_FRAG_OVERLAP);
			assert_int_equal(nth(f, c, 2).why, DROP_FRAG_OVERLAP);
			// A copy of the first does not make it good; another datagram's first does.
			assert_int_equal(nth(f, c, 0).result, FRAGMENT_GO);
			assert_int_equal(nth(f, c, 2).why, DROP_FRAG_OVERLAP);
			c.sum = 9;
			for (uint32_t n = 0; n < 4; n++)
				assert_int_equal(nth(f, c, n).result, FRAGMENT_GO);
			weft_fragments_free(f);
		}
	}
}

// As some receivers put together the one with the other's rest.
static void of_several_first_fragments_the_longest_counts(void **state)
{
	(void)state;
	struct fragments *f = fragments_of(64, 64);
	struct piece longest = piece(4, IPPROTO_UDP, 77, 0, 160, true), shorter = longest;
	struct piece between = piece(4, IPPROTO_UDP, 77, 80, 80, true);
	shorter.len = 80;
	shorter.sum = 1;
	in_done(f, &longest, 0);
	in_done(f, &shorter, 0);
	assert_int_equal(in_done(f, &between, 0).why, DROP_FRAG_OVERLAP);
	weft_fragments_free(f);
}

static void another_first_with_the_same_ports_begins_anew(void **state)
{
	(void)state;
	struct fragments *f = fragments_of(64, 64);
	struct piece c = piece(4, IPPROTO_UDP, 77, 0, 80, true);
	nth(f, c, 0);
	nth(f, c, 2);
	nth(f, c, 3); // its second one was lost
	c.sum = 5;
	for (uint32_t n = 0; n < 4; n++)
		assert_int_equal(nth(f, c, n).result, FRAGMENT_GO);
	assert_int_equal(nth(f, c, 1).result, FRAGMENT_HELD);
	weft_fragments_free(f);
}

static void more_gaps_than_can_be_noted_do_not_stop_a_datagram(void **state)
{
	(void)state;
	struct fragments *f = fragments_of(64, 64);
	struct piece c = piece(4, IPPROTO_UDP, 77, 0, 80, true);
	in_done(f, &c, 0);
	for (uint32_t i = 2; i < 100; i += 2) {
		c.from = i * 80;
		struct outcome o = in_done(f, &c, 0);
		assert_ports(&o, 4000, 53);
	}
	for (uint32_t i = 1; i < 102; i += 2) {
		c.from = i * 80;
		c.more = i < 101;
		struct outcome o = in_done(f, &c, 0);
		assert_ports(&o, 4000, 53);
	}
	weft_fragments_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_change_nothing_in_any_order),
		cmocka_unit_test(copy_that_comes_after_its_datagram_waits_for_a_second),
		cmocka_unit_test(what_comes_a_second_after_a_whole_datagram_is_no_copy),
		cmocka_unit_test(next_datagram_with_the_id_of_a_whole_one_lives_as_long_as_any),
		cmocka_unit_test(copies_alone_give_way_to_who_has_nothing),
		cmocka_unit_test(copies_that_wait_go_with_their_first_and_none_is_left),
		cmocka_unit_test(what_overlaps_another_takes_the_rest_with_it),
		cmocka_unit_test(of_several_first_fragments_the_longest_counts),
		cmocka_unit_test(another_first_with_the_same_ports_begins_anew),
		cmocka_unit_test(more_gaps_than_can_be_noted_do_not_stop_a_datagram),
	};

	return cmocka_run_group_tests(tests, start_eal, stop_eal);
}
