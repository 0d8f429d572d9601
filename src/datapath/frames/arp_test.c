// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/services.h"

#include "datapath/frames/frame_hex.h"

#define REQUEST                                                                                   \
	"ffffffffffff fa163e00000a 0806 0001 0800 06 04 0001 fa163e00000a 0a000005 000000000000 " \
	"0a000001 "

static const struct mac_addr owner = {{0xfa, 0x16, 0x3e, 0, 0, 0x0b}};

static void a_request_becomes_its_reply(void **state)
{
	(void)state;
	struct frame f = frame_hex(REQUEST "000000000000000000000000000000000000"); // padded to 60
	struct frame reply = frame_hex("fa163e00000a fa163e00000b 0806 0001 0800 06 04 0002 "
				       "fa163e00000b 0a000001 fa163e00000a 0a000005");
	assert_int_equal(weft_arp_answer(f.b, f.len, sizeof(f.b), &owner), 42);
	assert_memory_equal(f.b, reply.b, 42);
}

static void a_probe_for_a_taken_address_is_answered(void **state)
{
	(void)state;
	// RFC 5227: the sender's address is 0.0.0.0.
	struct frame f = frame_hex(REQUEST);
	struct frame reply = frame_hex("fa163e00000a fa163e00000b 0806 0001 0800 06 04 0002 "
				       "fa163e00000b 0a000001 fa163e00000a 00000000");
	memset(f.b + 28, 0, 4);
	assert_int_equal(weft_arp_answer(f.b, f.len, sizeof(f.b), &owner), 42);
	assert_memory_equal(f.b, reply.b, 42);
}

static void nothing_else_is_answered(void **state)
{
	(void)state;
	// Reply, hardware type, protocol, address lengths, ethertype.
	static const struct {
		size_t at;
		uint8_t value;
	} changes[] = {{21, 2}, {15, 6}, {16, 0x86}, {18, 8}, {19, 16}, {13, 0}};
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct frame f = frame_hex(REQUEST);
		f.b[changes[i].at] = changes[i].value;
		struct frame before = f;
		assert_int_equal(weft_arp_answer(f.b, f.len, sizeof(f.b), &owner), 0);
		assert_memory_equal(f.b, before.b, f.len);
	}
	// An announcement: the sender asks for its own address.
	struct frame f = frame_hex(REQUEST);
	memcpy(f.b + 38, f.b + 28, 4);
	assert_int_equal(weft_arp_answer(f.b, f.len, sizeof(f.b), &owner), 0);
	// Cut short.
	f = frame_hex(REQUEST);
	assert_int_equal(weft_arp_answer(f.b, 41, sizeof(f.b), &owner), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_becomes_its_reply),
		cmocka_unit_test(a_probe_for_a_taken_address_is_answered),
		cmocka_unit_test(nothing_else_is_answered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
