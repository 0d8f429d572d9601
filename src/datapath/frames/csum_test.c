// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/services.h"

#include "datapath/frames/frame_hex.h"

#include <stdlib.h>

static void the_sum_of_rfc_1071_comes_out(void **state)
{
	(void)state;
	static const uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	uint8_t out[2];
	uint16_t sum = weft_csum(data, sizeof(data), 0);
	memcpy(out, &sum, 2);
	assert_int_equal(out[0], 0x22); // ~0xddf2
	assert_int_equal(out[1], 0x0d);
}

static void a_result_stored_as_it_is_makes_the_data_valid(void **state)
{
	(void)state;
	uint8_t b[1500];
	srandom(1071);
	for (unsigned i = 0; i < 2000; i++) {
		size_t len = 2 + (size_t)random() % (sizeof(b) - 2);
		for (size_t k = 0; k < len; k++)
			b[k] = (uint8_t)random();
		b[0] = b[1] = 0;
		uint16_t sum = weft_csum(b, len, 0);
		memcpy(b, &sum, 2);
		assert_int_equal(frame_sum(b, len, 0), 0xffff);
	}
}

static void pieces_add_up(void **state)
{
	(void)state;
	uint8_t b[64 * 1024];
	memset(b, 0xff, sizeof(b));
	b[1] = 0x12;
	uint32_t sum = 0;
	for (size_t i = 0; i < sizeof(b); i += 1024)
		sum = weft_csum_add(b + i, 1024, sum);
	assert_int_equal((uint16_t)~sum, weft_csum(b, sizeof(b), 0));
	assert_int_equal(weft_csum_add(b, 0, 0x1234), 0x1234);
}

static void pseudo_headers_are_summed_as_if_they_were_there(void **state)
{
	(void)state;
	// A TCP segment of each family with a checksum from another implementation.
	struct frame f =
		frame_hex("fa163e00000b fa163e00000a 0800 4500 0028 0007 0000 4006 66bc 0a000005 "
			  "0a000009 04d2 0016 00000000 00000000 5002 2000 76ed 0000");
	uint32_t src, dst;
	memcpy(&src, f.b + 26, 4);
	memcpy(&dst, f.b + 30, 4);
	assert_int_equal(weft_csum(f.b + 14, 20, 0), 0);
	assert_int_equal(weft_csum(f.b + 34, 20, weft_csum_pseudo4(src, dst, 6, 20)), 0);
	f = frame_hex("fa163e00000b fa163e00000a 86dd 60000000 0014 06 40 "
		      "20010db8000000000000000000000005 20010db8000000000000000000000009 "
		      "04d2 0016 00000000 00000000 5012 2000 2f6b 0000");
	assert_int_equal(weft_csum(f.b + 54, 20, weft_csum_pseudo6(f.b + 22, f.b + 38, 6, 20)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_sum_of_rfc_1071_comes_out),
		cmocka_unit_test(a_result_stored_as_it_is_makes_the_data_valid),
		cmocka_unit_test(pieces_add_up),
		cmocka_unit_test(pseudo_headers_are_summed_as_if_they_were_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
