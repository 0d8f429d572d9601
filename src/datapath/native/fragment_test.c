// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/fragment.h"

#include <netinet/in.h>
#include <rte_eal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct rte_mempool *pool;

// Bytes [from, from + len) of a datagram's payload, which begins with a transport header with these ports.
struct piece {
	uint8_t family, proto;
	uint16_t in_port, sport, dport;
	uint32_t id, from, len;
	bool more;
	bool dest_options; // IPv6: a header between the fragment header and the transport
	uint8_t src;
};

static struct rte_mbuf *frame_of(const struct piece *c)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint32_t header = c->family == 4 ? 20 : 48;
	uint8_t *b = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(14 + header + c->len)),
		*ip = b + 14;
	uint8_t *payload = ip + header;

	memset(b, 0, 14 + header + c->len);
	b[12] = c->family == 4 ? 0x08 : 0x86;
	b[13] = c->family == 4 ? 0x00 : 0xdd;
	if (c->family == 4) {
		uint16_t frag = (uint16_t)(c->from / 8 | (c->more ? 0x2000 : 0));
		ip[0] = 0x45;
		ip[2] = (uint8_t)((20 + c->len) >> 8);
		ip[3] = (uint8_t)(20 + c->len);
		ip[4] = (uint8_t)(c->id >> 8);
		ip[5] = (uint8_t)c->id;
		ip[6] = (uint8_t)(frag >> 8);
		ip[7] = (uint8_t)frag;
		ip[8] = 64;
		ip[9] = c->proto;
		memcpy(ip + 12, (uint8_t[]) {10, 0, 0, c->src, 10, 0, 0, 200}, 8);
	} else {
		uint16_t frag = (uint16_t)(c->from | c->more);
		ip[0] = 0x60;
		ip[4] = (uint8_t)((8 + c->len) >> 8);
		ip[5] = (uint8_t)(8 + c->len);
		ip[6] = IPPROTO_FRAGMENT;
		ip[7] = 64;
		ip[8] = ip[24] = 0x20;
		ip[23] = c->src;
		ip[40] = c->dest_options ? IPPROTO_DSTOPTS : c->proto;
		ip[42] = (uint8_t)(frag >> 8);
		ip[43] = (uint8_t)frag;
		for (int i = 0; i < 4; i++)
			ip[44 + i] = (uint8_t)(c->id >> (24 - 8 * i));
	}
	if (c->from != 0)
		return m;
	if (c->dest_options) {
		payload[0] = c->proto;
		payload[2] = 1; // PadN
		payload[3] = 4;
		payload += 8;
	}
	if (c->proto == IPPROTO_ICMP || c->proto == IPPROTO_ICMPV6) {
		payload[0] = c->family == 4 ? 8 : 128;
		payload[4] = (uint8_t)(c->sport >> 8);
		payload[5] = (uint8_t)c->sport;
		return m;
	}
	payload[0] = (uint8_t)(c->sport >> 8);
	payload[1] = (uint8_t)c->sport;
	payload[2] = (uint8_t)(c->dport >> 8);
	payload[3] = (uint8_t)c->dport;
	payload[4] = 0x20; // UDP length
	if (c->proto == IPPROTO_TCP) {
		payload[12] = 0x50;
		payload[13] = 0x02;
	}
	return m;
}

struct outcome {
	enum fragment_result result;
	enum drop why;
	struct packet p;
	struct rte_mbuf *m;
};

static struct outcome in_mbuf(struct fragments *f, struct rte_mbuf *m, uint16_t in_port,
			      uint32_t now_ms)
{
	struct outcome o = {.m = m};

	assert_int_equal(weft_packet_parse(rte_pktmbuf_mtod(m, uint8_t *), m->data_len, m->pkt_len,
					   in_port, &o.p),
			 DROP_NONE);
	assert_int_not_equal(o.p.fragment, FRAGMENT_NONE);
	o.result = weft_fragment_in(f, m, &o.p, now_ms, &o.why);
	return o;
}

static struct outcome in(struct fragments *f, const struct piece *c, uint32_t now_ms)
{
	return in_mbuf(f, frame_of(c), c->in_port, now_ms);
}

// For those that go or drop: the mbuf is the caller's.
static struct outcome in_done(struct fragments *f, const struct piece *c, uint32_t now_ms)
{
	struct outcome o = in(f, c, now_ms);

	if (o.result != FRAGMENT_HELD)
		rte_pktmbuf_free(o.m);
	return o;
}

static struct piece piece(uint8_t family, uint8_t proto, uint32_t id, uint32_t from, uint32_t len,
			  bool more)
{
	return (struct piece) {.family = family,
			       .proto = proto,
			       .in_port = 3,
			       .sport = 4000,
			       .dport = 53,
			       .id = id,
			       .from = from,
			       .len = len,
			       .more = more,
			       .src = 1};
}

static void assert_ports(const struct outcome *o, uint16_t sport, uint16_t dport)
{
	assert_int_equal(o->result, FRAGMENT_GO);
	assert_int_equal(rte_be_to_cpu_16(o->p.key.sport), sport);
	assert_int_equal(rte_be_to_cpu_16(o->p.key.dport), dport);
}

static int all_free(void)
{
	return rte_mempool_in_use_count(pool) == 0;
}

static void later_fragments_get_the_ports_of_their_first(void **state)
{
	(void)state;
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct fragments *f = weft_fragments_new(64, 64);
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
		struct fragments *f = weft_fragments_new(64, 64);
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
	struct fragments *f = weft_fragments_new(64, 64);
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
		struct fragments *f = weft_fragments_new(64, 64);
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
		struct fragments *f = weft_fragments_new(64, 64);
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
	struct fragments *f = weft_fragments_new(64, 64);
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
		struct fragments *f = weft_fragments_new(64, 64);
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
	struct fragments *f = weft_fragments_new(64, 64);
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
	struct fragments *f = weft_fragments_new(64, 64);
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
	struct fragments *f = weft_fragments_new(64, 64);
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

// Any order of any datagrams: every fragment goes with its own ports, exactly once, and nothing leaks.
static void random_orders_deliver_every_fragment_once_with_its_ports(void **state)
{
	(void)state;
	enum { DATAGRAMS = 8, PIECES = 6 };
	srand(7);
	for (int round = 0; round < 500; round++) {
		struct fragments *f = weft_fragments_new(64, 256);
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

static int start_eal(void **state)
{
	char args[][16] = {"fragment_test",  "--no-huge",     "-m", "64", "--no-pci", "--no-shconf",
			   "--no-telemetry", "--log-level=4", "-l", "0"};
	char *argv[sizeof(args) / sizeof(args[0])];

	(void)state;
	for (size_t i = 0; i < sizeof(argv) / sizeof(argv[0]); i++)
		argv[i] = args[i];
	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])), argv) < 0)
		return -1;
	pool = rte_pktmbuf_pool_create("fragments", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
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
		cmocka_unit_test(
			datagrams_older_than_30_seconds_are_forgotten_and_their_fragments_handed_out),
		cmocka_unit_test(an_old_datagram_says_nothing_even_before_it_is_swept),
		cmocka_unit_test(a_port_that_floods_fills_only_its_share_of_waiting_places),
		cmocka_unit_test(a_port_that_floods_pushes_out_its_own_datagrams_only),
		cmocka_unit_test(when_all_ports_together_fill_the_table_the_oldest_goes),
		cmocka_unit_test(random_orders_deliver_every_fragment_once_with_its_ports),
	};
	return cmocka_run_group_tests(tests, start_eal, stop_eal);
}
