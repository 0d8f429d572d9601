// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/packet/fragment.h"

#include "datapath/native/testing/fragment_testing.h"

static void later_fragments_get_the_ports_of_their_first(void **state)
{
	(void)state;
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct fragments *f = fragments_of(64, 64);
		struct piece first = piece(family, IPPROTO_UDP, 77, 0, 800, true);
		struct piece middle = piece(family, IPPROTO_UDP, 77, 800, 800, true);
		struct piece last = piece(family, IPPROTO_UDP, 77, 1600, 101, false);
		struct outcome o = in_done(f, &first, 0);
		assert_ports(&o, 4000, 53);
		o = in_done(f, &middle, 1);
		assert_ports(&o, 4000, 53);
		o = in_done(f, &last, 1);
		assert_ports(&o, 4000, 53);
		assert_int_equal(o.p.key.proto, IPPROTO_UDP);
		weft_fragments_free(f);
		assert_true(all_free());
	}
}

static void fragments_before_their_first_wait_and_come_back_in_order(void **state)
{
	(void)state;
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct fragments *f = fragments_of(64, 64);
		struct piece first = piece(family, IPPROTO_UDP, 77, 0, 800, true);
		struct piece middle = piece(family, IPPROTO_UDP, 77, 800, 800, true);
		struct piece last = piece(family, IPPROTO_UDP, 77, 1600, 101, false);
		struct rte_mbuf *out[8];
		struct outcome o1 = in(f, &last, 0), o2 = in(f, &middle, 0), o;
		assert_int_equal(o1.result, FRAGMENT_HELD);
		assert_int_equal(o2.result, FRAGMENT_HELD);
		o = in_done(f, &first, 5);
		assert_ports(&o, 4000, 53);
		assert_int_equal(weft_fragments_take(f, &o.p, out, 1), 1);
		assert_ptr_equal(out[0], o1.m);
		assert_int_equal(weft_fragments_take(f, &o.p, out + 1, 7), 1);
		assert_ptr_equal(out[1], o2.m);
		assert_int_equal(weft_fragments_take(f, &o.p, out, 8), 0);
		for (int i = 0; i < 2; i++) {
			struct outcome again = in_mbuf(f, i ? o2.m : o1.m, 3, 5);
			assert_ports(&again, 4000, 53);
			rte_pktmbuf_free(again.m);
		}
		weft_fragments_free(f);
		assert_true(all_free());
	}
}

static void ipv6_fragments_behind_other_headers_get_the_transport_of_their_first(void **state)
{
	(void)state;
	struct fragments *f = fragments_of(64, 64);
	struct piece first = piece(6, IPPROTO_UDP, 0x12345678, 0, 800, true);
	struct piece last = piece(6, IPPROTO_UDP, 0x12345678, 800, 8, false);
	first.dest_options = last.dest_options = true;
	in_done(f, &first, 0);
	struct outcome o = in_done(f, &last, 0);
	assert_ports(&o, 4000, 53);
	assert_int_equal(o.p.key.proto, IPPROTO_UDP);
	weft_fragments_free(f);
}

static void fragments_of_an_echo_keep_its_identifier_and_type(void **state)
{
	(void)state;
	for (uint8_t family = 4; family <= 6; family += 2) {
		uint8_t proto = family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
		struct fragments *f = fragments_of(64, 64);
		struct piece first = piece(family, proto, 77, 0, 800, true);
		struct piece last = piece(family, proto, 77, 800, 8, false);
		in_done(f, &first, 0);
		struct outcome o = in_done(f, &last, 0);
		assert_ports(&o, 4000, family == 4 ? 8 << 8 : 128 << 8);
		assert_true(o.p.icmp_query);
		assert_int_equal(o.p.icmp_type, family == 4 ? 8 : 128);
		weft_fragments_free(f);
	}
}

static void only_the_same_port_addresses_protocol_and_id_are_one_datagram(void **state)
{
	(void)state;
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct fragments *f = fragments_of(64, 64);
		struct piece first = piece(family, IPPROTO_UDP, 77, 0, 800, true);
		in_done(f, &first, 0);
		for (int i = 0; i < 4; i++) {
			struct piece other = piece(family, IPPROTO_UDP, 77, 800, 8, true);
			if (i == 0)
				other.in_port = 4;
			else if (i == 1)
				other.id = family == 4 ? 78 : 77 + 0x10000;
			else if (i == 2)
				other.src = 2;
			else if (family == 4)
				other.proto = IPPROTO_SCTP;
			else
				continue;
			assert_int_equal(in_done(f, &other, 0).result, FRAGMENT_HELD);
		}
		weft_fragments_free(f);
		assert_true(all_free()); // what was held
	}
}

static void what_would_overwrite_the_transport_header_is_dropped(void **state)
{
	(void)state;
	struct fragments *f = fragments_of(64, 64);
	// RFC 1858: without knowing the first.
	struct piece inside = piece(4, IPPROTO_TCP, 77, 8, 16, true);
	struct outcome o = in_done(f, &inside, 0);
	assert_int_equal(o.result, FRAGMENT_DROP);
	assert_int_equal(o.why, DROP_FRAG_OVERLAP);
	inside = piece(6, IPPROTO_TCP, 77, 16, 16, true);
	assert_int_equal(in_done(f, &inside, 0).why, DROP_FRAG_OVERLAP);
	weft_fragments_free(f);
}

static void what_overlaps_the_first_takes_the_rest_with_it(void **state)
{
	(void)state;
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct fragments *f = fragments_of(64, 64);
		struct piece first = piece(family, IPPROTO_UDP, 77, 0, 800, true);
		struct piece early = piece(family, IPPROTO_UDP, 77, 792, 8, true);
		struct piece next = piece(family, IPPROTO_UDP, 77, 800, 8, true);
		struct rte_mbuf *out[2];
		// Also if it was there before the first.
		assert_int_equal(in_done(f, &early, 0).result, FRAGMENT_HELD);
		struct outcome o = in_done(f, &first, 0);
		assert_int_equal(weft_fragments_take(f, &o.p, out, 2), 1);
		o = in_mbuf(f, out[0], 3, 0);
		assert_int_equal(o.result, FRAGMENT_DROP);
		assert_int_equal(o.why, DROP_FRAG_OVERLAP);
		rte_pktmbuf_free(out[0]);
		o = in_done(f, &next, 0);
		assert_int_equal(o.result, FRAGMENT_DROP);
		assert_int_equal(o.why, DROP_FRAG_OVERLAP);
		weft_fragments_free(f);
	}
}

static void a_whole_datagram_is_forgotten_so_its_id_may_come_again(void **state)
{
	(void)state;
	struct fragments *f = fragments_of(64, 64);
	struct piece first = piece(4, IPPROTO_UDP, 77, 0, 800, true);
	struct piece last = piece(4, IPPROTO_UDP, 77, 800, 8, false);
	in_done(f, &first, 0);
	assert_int_equal(in_done(f, &last, 0).result, FRAGMENT_GO);
	// The next one's last fragment overtakes its first: it must not get the old ports.
	assert_int_equal(in_done(f, &last, 0).result, FRAGMENT_HELD);
	first.dport = 99;
	struct outcome o = in_done(f, &first, 0);
	struct rte_mbuf *out[2];
	assert_int_equal(weft_fragments_take(f, &o.p, out, 2), 1);
	o = in_mbuf(f, out[0], 3, 0);
	assert_ports(&o, 4000, 99);
	rte_pktmbuf_free(out[0]);
	weft_fragments_free(f);
	assert_true(all_free());
}

static void a_new_first_with_the_same_id_takes_over(void **state)
{
	(void)state;
	struct fragments *f = fragments_of(64, 64);
	struct piece first = piece(4, IPPROTO_UDP, 77, 0, 800, true);
	struct piece last = piece(4, IPPROTO_UDP, 77, 800, 8, false);
	in_done(f, &first, 0); // its last one was lost
	first.dport = 99;
	in_done(f, &first, 10);
	struct outcome o = in_done(f, &last, 10);
	assert_ports(&o, 4000, 99);
	weft_fragments_free(f);
}

static void repeated_fragments_never_make_the_waiting_come_back_forever(void **state)
{
	(void)state;
	struct fragments *f = fragments_of(64, 64);
	struct piece first = piece(4, IPPROTO_UDP, 77, 0, 80, true);
	struct piece middle = piece(4, IPPROTO_UDP, 77, 80, 80, true);
	struct piece last = piece(4, IPPROTO_UDP, 77, 160, 8, false);
	struct rte_mbuf *out[8];
	in(f, &last, 0);
	for (int i = 0; i < 3; i++)
		in(f, &middle, 0);
	struct outcome o = in_done(f, &first, 0);
	int turns = 0;
	for (uint16_t n; (n = weft_fragments_take(f, &o.p, out, 8)) > 0;) {
		assert_in_range(++turns, 1, 8);
		for (uint16_t i = 0; i < n; i++)
			if (in_mbuf(f, out[i], 3, 0).result != FRAGMENT_HELD)
				rte_pktmbuf_free(out[i]);
	}
	weft_fragments_free(f);
	assert_true(all_free());
}

// Any order of any datagrams: every fragment goes with its own ports, exactly once, and nothing
// leaks.
static void random_orders_deliver_every_fragment_once_with_its_ports(void **state)
{
	(void)state;
	enum { DATAGRAMS = 8, PIECES = 6 };
	srand(7);
	for (int round = 0; round < 500; round++) {
		struct fragments *f = fragments_of(64, 256);
		struct piece all[DATAGRAMS * PIECES];
		int gone = 0;
		for (int i = 0; i < DATAGRAMS * PIECES; i++) {
			int d = i / PIECES, k = i % PIECES;
			all[i] = piece(d % 2 ? 4 : 6, IPPROTO_UDP, (uint32_t)d, (uint32_t)k * 80,
				       80, k != PIECES - 1);
			all[i].dport = (uint16_t)(1000 + d);
		}
		for (int i = DATAGRAMS * PIECES - 1; i > 0; i--) {
			int k = rand() % (i + 1);
			struct piece swap = all[i];
			all[i] = all[k];
			all[k] = swap;
		}
		for (int i = 0; i < DATAGRAMS * PIECES; i++) {
			struct outcome o = in_done(f, &all[i], 0);
			struct rte_mbuf *out[4];
			assert_int_not_equal(o.result, FRAGMENT_DROP);
			if (o.result == FRAGMENT_HELD)
				continue;
			assert_ports(&o, 4000, all[i].dport);
			gone++;
			if (all[i].from != 0)
				continue;
			for (uint16_t n; (n = weft_fragments_take(f, &o.p, out, 4)) > 0;) {
				for (uint16_t k = 0; k < n; k++) {
					struct outcome w = in_mbuf(f, out[k], 3, 0);
					assert_ports(&w, 4000, all[i].dport);
					rte_pktmbuf_free(out[k]);
					gone++;
				}
			}
		}
		assert_int_equal(gone, DATAGRAMS * PIECES);
		assert_true(all_free());
		weft_fragments_free(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(later_fragments_get_the_ports_of_their_first),
		cmocka_unit_test(fragments_before_their_first_wait_and_come_back_in_order),
		cmocka_unit_test(
			ipv6_fragments_behind_other_headers_get_the_transport_of_their_first),
		cmocka_unit_test(fragments_of_an_echo_keep_its_identifier_and_type),
		cmocka_unit_test(only_the_same_port_addresses_protocol_and_id_are_one_datagram),
		cmocka_unit_test(what_would_overwrite_the_transport_header_is_dropped),
		cmocka_unit_test(what_overlaps_the_first_takes_the_rest_with_it),
		cmocka_unit_test(a_whole_datagram_is_forgotten_so_its_id_may_come_again),
		cmocka_unit_test(a_new_first_with_the_same_id_takes_over),
		cmocka_unit_test(repeated_fragments_never_make_the_waiting_come_back_forever),
		cmocka_unit_test(random_orders_deliver_every_fragment_once_with_its_ports),
	};
	return cmocka_run_group_tests(tests, start_eal, stop_eal);
}
