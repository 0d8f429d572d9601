// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/services.h"

#include "datapath/frames/frame_hex.h"

#define TARGET	   "20010db8000000000000000000000009 "
#define ALL_ZERO   "00000000000000000000000000000000 "
#define NODE_MAC   "3333ff000009 fa163e00000a 86dd "
#define NODE_GROUP "ff0200000000000000000001ff000009 "
#define SOLICIT                                                                     \
	NODE_MAC "60000000 0020 3a ff fe800000000000000000000000000005 " NODE_GROUP \
		 "8700 152d 00000000 " TARGET "0101 fa163e00000a"
#define PROBE NODE_MAC "60000000 0018 3a ff " ALL_ZERO NODE_GROUP "8700 4cdd 00000000 " TARGET

static const struct mac_addr owner = {{0xfa, 0x16, 0x3e, 0, 0, 0x0b}};

static size_t answer(struct frame *f)
{
	struct packet p;
	assert_int_equal(weft_packet_parse(f->b, f->len, f->len, 0, &p), DROP_NONE);
	return weft_nd_answer(f->b, f->len, sizeof(f->b), &p, &owner, ND_HOST);
}

static void assert_answer(const char *question, const char *expected)
{
	struct frame f = frame_hex(question), e = frame_hex(expected);
	assert_int_equal(answer(&f), e.len);
	assert_memory_equal(f.b, e.b, e.len);
}

static void a_solicitation_is_answered_with_the_owner(void **state)
{
	(void)state;
	assert_answer(SOLICIT, "fa163e00000a fa163e00000b 86dd 60000000 0020 3a ff " TARGET
			       "fe800000000000000000000000000005 8800 8377 60000000 " TARGET
			       "0201 fa163e00000b");
}

static void a_unicast_probe_without_options_is_answered(void **state)
{
	(void)state;
	assert_answer("fa163e00000b fa163e00000a 86dd 60000000 0018 3a ff "
		      "20010db8000000000000000000000005 " TARGET "8700 ef6a 00000000 " TARGET,
		      "fa163e00000a fa163e00000b 86dd 60000000 0020 3a ff " TARGET
		      "20010db8000000000000000000000005 8800 543f 60000000 " TARGET
		      "0201 fa163e00000b");
}

static void duplicate_address_detection_is_told_to_all(void **state)
{
	(void)state;
	assert_answer(PROBE, "333300000001 fa163e00000b 86dd 60000000 0020 3a ff " TARGET
			     "ff020000000000000000000000000001 8800 c2f9 20000000 " TARGET
			     "0201 fa163e00000b");
}

static void a_solicitation_behind_an_extension_header_is_answered(void **state)
{
	(void)state;
	struct frame f = frame_hex(
		NODE_MAC "60000000 0020 00 ff fe800000000000000000000000000005 " NODE_GROUP
			 "3a00 0104 00000000 8700 0000 00000000 " TARGET);
	struct packet p;
	assert_int_equal(answer(&f), 86);
	assert_int_equal(weft_packet_parse(f.b, 86, 86, 0, &p), DROP_NONE);
	assert_int_equal(p.icmp_type, 136);
	assert_int_equal(p.l4, 54);
	assert_int_equal(p.nd_target[15], 9);
	assert_int_equal(frame_sum(f.b + 22, 64, 58 + 32), 0xffff);
}

static void invalid_solicitations_are_not_answered(void **state)
{
	(void)state;
	// Hop limit, code, multicast target, option of length 0, option beyond the packet, an
	// advertisement.
	static const struct {
		size_t at;
		uint8_t value;
	} changes[] = {{21, 254}, {55, 1}, {62, 0xff}, {79, 0}, {79, 2}, {54, 136}};
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct frame f = frame_hex(SOLICIT);
		f.b[changes[i].at] = changes[i].value;
		struct frame before = f;
		assert_int_equal(answer(&f), 0);
		assert_memory_equal(f.b, before.b, f.len);
	}
	// From "::": with a source address option, or to another address than the solicited-node
	// group.
	struct frame f = frame_hex(NODE_MAC "60000000 0020 3a ff " ALL_ZERO NODE_GROUP
					    "8700 0000 00000000 " TARGET "0101 fa163e00000a");
	assert_int_equal(answer(&f), 0);
	f = frame_hex(PROBE);
	memcpy(f.b + 38, f.b + 62, 16);
	assert_int_equal(answer(&f), 0);
}

static void an_answer_that_finds_no_room_is_none(void **state)
{
	(void)state;
	struct frame f = frame_hex(PROBE);
	struct packet p;
	assert_int_equal(weft_packet_parse(f.b, f.len, f.len, 0, &p), DROP_NONE);
	assert_int_equal(weft_nd_answer(f.b, f.len, 85, &p, &owner, ND_HOST), 0);
	assert_int_equal(weft_nd_answer(f.b, f.len, 86, &p, &owner, ND_HOST), 86);
}

static void a_router_says_that_it_is_one(void **state)
{
	struct frame f = frame_hex(SOLICIT);
	struct packet p;

	(void)state;
	assert_int_equal(weft_packet_parse(f.b, f.len, f.len, 0, &p), DROP_NONE);
	assert_int_equal(weft_nd_answer(f.b, f.len, sizeof(f.b), &p, &owner, ND_ROUTER), 86);
	assert_int_equal(f.b[58], 0xe0);
	assert_int_equal(weft_csum(f.b + 54, 32, weft_csum_pseudo6(f.b + 22, f.b + 38, 58, 32)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_router_says_that_it_is_one),
		cmocka_unit_test(a_solicitation_is_answered_with_the_owner),
		cmocka_unit_test(a_unicast_probe_without_options_is_answered),
		cmocka_unit_test(duplicate_address_detection_is_told_to_all),
		cmocka_unit_test(a_solicitation_behind_an_extension_header_is_answered),
		cmocka_unit_test(invalid_solicitations_are_not_answered),
		cmocka_unit_test(an_answer_that_finds_no_room_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
