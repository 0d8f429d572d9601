// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/flow.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct flow_key key4(uint8_t proto, uint16_t sport, uint16_t dport)
{
	return (struct flow_key) {.in_port = 3,
				  .proto = proto,
				  .family = 4,
				  .sport = htobe16(sport),
				  .dport = htobe16(dport),
				  .src4 = htobe32(0x0a000001),
				  .dst4 = htobe32(0x0a000002)};
}

static struct flow_key key6(uint8_t proto, uint16_t sport, uint16_t dport)
{
	struct flow_key k = {.in_port = 3,
			     .proto = proto,
			     .family = 6,
			     .sport = htobe16(sport),
			     .dport = htobe16(dport)};

	memset(k.src6, 0x11, sizeof(k.src6));
	memset(k.dst6, 0x22, sizeof(k.dst6));
	return k;
}

static void ports_and_addresses_swap_and_the_port_is_the_given_one(void **state)
{
	(void)state;
	const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_DCCP,
				  IPPROTO_UDPLITE};
	struct flow_key r, back;
	for (size_t i = 0; i < sizeof(protos); i++) {
		struct flow_key k = key4(protos[i], 1000, 22);
		assert_true(weft_flow_reverse(&k, 9, &r));
		assert_int_equal(r.in_port, 9);
		assert_int_equal(r.proto, protos[i]);
		assert_int_equal(r.family, 4);
		assert_int_equal(be16toh(r.sport), 22);
		assert_int_equal(be16toh(r.dport), 1000);
		assert_int_equal(r.src4, k.dst4);
		assert_int_equal(r.dst4, k.src4);
		assert_true(weft_flow_reverse(&r, 3, &back));
		assert_true(weft_flow_equal(&k, &back));

		k = key6(protos[i], 1000, 22);
		assert_true(weft_flow_reverse(&k, 9, &r));
		assert_memory_equal(r.src6, k.dst6, 16);
		assert_memory_equal(r.dst6, k.src6, 16);
		assert_int_equal(be16toh(r.sport), 22);
		assert_true(weft_flow_reverse(&r, 3, &back));
		assert_true(weft_flow_equal(&k, &back));
	}
}

static void protocols_without_ports_swap_addresses(void **state)
{
	(void)state;
	struct flow_key k = key4(IPPROTO_GRE, 0, 0), r;
	assert_true(weft_flow_reverse(&k, 9, &r));
	assert_int_equal(r.src4, k.dst4);
	assert_int_equal(r.sport, 0);
	assert_int_equal(r.dport, 0);
	k = key6(IPPROTO_ESP, 0, 0);
	assert_true(weft_flow_reverse(&k, 9, &r));
	assert_memory_equal(r.dst6, k.src6, 16);
}

static void a_key_may_be_reversed_in_place(void **state)
{
	(void)state;
	struct flow_key k = key6(IPPROTO_TCP, 1, 2), r;
	assert_true(weft_flow_reverse(&k, 9, &r));
	assert_true(weft_flow_reverse(&k, 9, &k));
	assert_true(weft_flow_equal(&k, &r));
}

static void icmp_queries_map_to_their_answers_and_keep_the_identifier(void **state)
{
	(void)state;
	const struct {
		uint8_t family, proto, query, answer;
	} t[] = {{4, 1, 8, 0},	 {4, 1, 13, 14},    {4, 1, 15, 16},
		 {4, 1, 17, 18}, {6, 58, 128, 129}, {6, 58, 139, 140}};
	struct flow_key r;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct flow_key k = t[i].family == 4 ? key4(t[i].proto, 0xbeef, t[i].query << 8)
						     : key6(t[i].proto, 0xbeef, t[i].query << 8);
		assert_true(weft_flow_reverse(&k, 9, &r));
		assert_int_equal(be16toh(r.sport), 0xbeef);
		assert_int_equal(be16toh(r.dport), t[i].answer << 8);
		// An answer is answered by nothing: unsolicited, it makes no session.
		assert_false(weft_flow_reverse(&r, 3, &k));
	}
}

static void icmp_types_that_are_no_query_have_no_answer(void **state)
{
	(void)state;
	struct flow_key r;
	for (int type = 0; type < 256; type++) {
		struct flow_key k4 = key4(1, 1, (uint16_t)(type << 8));
		struct flow_key k6 = key6(58, 1, (uint16_t)(type << 8));
		assert_int_equal(weft_flow_reverse(&k4, 9, &r),
				 type == 8 || type == 13 || type == 15 || type == 17);
		assert_int_equal(weft_flow_reverse(&k6, 9, &r), type == 128 || type == 139);
		// The other family's ICMP is never a query.
		k4.proto = 58;
		k6.proto = 1;
		assert_false(weft_flow_reverse(&k4, 9, &r));
		assert_false(weft_flow_reverse(&k6, 9, &r));
	}
}

static void every_byte_of_a_key_counts(void **state)
{
	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		struct flow_key a = family == 4 ? key4(6, 1, 2) : key6(6, 1, 2);
		size_t len = family == 4 ? FLOW_KEY4_LEN : FLOW_KEY6_LEN;
		for (size_t i = 0; i < len; i++) {
			struct flow_key b = a;
			if (i == offsetof(struct flow_key, family))
				continue;
			((uint8_t *)&b)[i] ^= 1;
			assert_false(weft_flow_equal(&a, &b));
			assert_int_not_equal(weft_flow_hash(&a), weft_flow_hash(&b));
		}
	}
}

static void an_ipv4_key_ignores_what_follows_its_addresses(void **state)
{
	(void)state;
	struct flow_key a = key4(6, 1, 2), b = a;
	memset((uint8_t *)&b + FLOW_KEY4_LEN, 0xee, sizeof(b) - FLOW_KEY4_LEN);
	assert_true(weft_flow_equal(&a, &b));
	assert_int_equal(weft_flow_hash(&a), weft_flow_hash(&b));
}

// Neighbouring ports and addresses, the usual input, must spread: 4096 buckets, 16 keys each on
// average.
static void similar_keys_spread_over_low_and_high_bits(void **state)
{
	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		uint32_t low[4096] = {0}, high[4096] = {0};
		for (uint32_t i = 0; i < 65536; i++) {
			struct flow_key k = family == 4 ? key4(17, i & 0xff, 53)
							: key6(17, i & 0xff, 53);
			if (family == 4)
				k.src4 = htobe32(0x0a000000 + (i >> 8));
			else
				k.src6[15] = (uint8_t)(i >> 8);
			uint32_t h = weft_flow_hash(&k);
			low[h & 4095]++;
			high[h >> 20]++;
		}
		for (int i = 0; i < 4096; i++) {
			assert_in_range(low[i], 0, 50);
			assert_in_range(high[i], 0, 50);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_and_addresses_swap_and_the_port_is_the_given_one),
		cmocka_unit_test(protocols_without_ports_swap_addresses),
		cmocka_unit_test(a_key_may_be_reversed_in_place),
		cmocka_unit_test(icmp_queries_map_to_their_answers_and_keep_the_identifier),
		cmocka_unit_test(icmp_types_that_are_no_query_have_no_answer),
		cmocka_unit_test(every_byte_of_a_key_counts),
		cmocka_unit_test(an_ipv4_key_ignores_what_follows_its_addresses),
		cmocka_unit_test(similar_keys_spread_over_low_and_high_bits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
