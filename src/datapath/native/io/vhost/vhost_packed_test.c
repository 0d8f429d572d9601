// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/vhost/vhost_packed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIZE 8
#define WRAP (1u << 15)

static struct vring_packed_desc ring[SIZE];

static void set(uint16_t i, bool available, bool used)
{
	ring[i].flags = (uint16_t)(available << VRING_PACKED_DESC_F_AVAIL |
				   used << VRING_PACKED_DESC_F_USED);
}

// A driver and a device, by the standard's rules.
struct end {
	uint16_t at;
	bool wrap;
};

static void step(struct end *e)
{
	if (++e->at == SIZE) {
		e->at = 0;
		e->wrap = !e->wrap;
	}
}

static void position_is_found_in_every_state_of_a_ring(void **state)
{
	struct end driver = {0, true}, device = {0, true};
	unsigned int in_ring = 0;

	(void)state;
	srand(1);
	for (int i = 0; i < 20000; i++) {
		if (in_ring < SIZE && (in_ring == 0 || rand() % 2 == 0)) {
			set(driver.at, driver.wrap, !driver.wrap);
			step(&driver);
			in_ring++;
		} else {
			set(device.at, device.wrap, device.wrap);
			step(&device);
			in_ring--;
		}
		// What QEMU says is where it began.
		assert_int_equal(weft_vhost_packed_base(ring, SIZE, WRAP),
				 device.at | (device.wrap ? WRAP : 0));
	}
}

static void ring_that_says_nothing_leaves_the_base(void **state)
{
	(void)state;
	for (uint16_t i = 0; i < SIZE; i++)
		set(i, i % 2, i % 3 == 0);
	assert_int_equal(weft_vhost_packed_base(ring, SIZE, 5), 5);
	assert_int_equal(weft_vhost_packed_base(ring, SIZE, 5 | WRAP), 5 | WRAP);
	assert_int_equal(weft_vhost_packed_base(ring, SIZE, SIZE), WRAP); // outside
	assert_int_equal(weft_vhost_packed_base(ring, SIZE, 0x7fff), WRAP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(position_is_found_in_every_state_of_a_ring),
		cmocka_unit_test(ring_that_says_nothing_leaves_the_base),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
