// SPDX-License-Identifier: Apache-2.0
// While a VM migrates, what its ports write into its memory is noted: QEMU sends those pages again.
#include "datapath/native/io/port_io.h"

#include <pthread.h>
#include <rte_lcore.h>

#include "datapath/native/testing/vhost_testing.h"

#define PROTOCOL LAB_FEATURE(30) // VHOST_USER_F_PROTOCOL_FEATURES
#define PACKED	 LAB_FEATURE(VIRTIO_F_RING_PACKED)
#define MERGE	 LAB_FEATURE(VIRTIO_NET_F_MRG_RXBUF)
#define PAGE	 4096
#define PAGES	 (LAB_MEMORY / PAGE)

static uint8_t before_a[LAB_MEMORY], before_b[LAB_MEMORY];

static bool has_changed(const struct lab_vm *vm, const uint8_t *before, size_t page)
{
	return memcmp(vm->memory + page * PAGE, before + page * PAGE, PAGE) != 0;
}

// Returns how many.
static size_t assert_dirty_is_what_changed(const struct lab_vm *vm, const uint8_t *before)
{
	size_t n = 0;

	for (size_t page = 0; page < PAGES; page++) {
		bool changed = has_changed(vm, before, page);

		if (changed != lab_is_dirty(vm, page))
			fail_msg("page %zu (of ring %zu, %zu): %s", page,
				 page * PAGE / (LAB_MEMORY / LAB_RINGS),
				 page * PAGE % (LAB_MEMORY / LAB_RINGS) / PAGE,
				 changed ? "changed and not dirty" : "dirty and not changed");
		n += changed;
	}
	return n;
}

// The first queue's rings lie one behind the other.
static bool is_of_receiving_ring(size_t page)
{
	return page < LAB_MEMORY / LAB_RINGS / PAGE;
}

static void send_and_receive(unsigned int n, size_t len, uint32_t buffer)
{
	struct virtio_net_hdr h;

	lab_give(&b.vm, 0, n * (unsigned int)((LAB_HEADER + len + buffer - 1) / buffer), buffer);
	for (unsigned int i = 0; i < n; i++)
		assert_true(lab_send(&a.vm, 0, &plain, in, len, i % 2 == 0 ? 0 : 700));
	memcpy(before_a, a.vm.memory, LAB_MEMORY);
	memcpy(before_b, b.vm.memory, LAB_MEMORY);
	assert_int_equal(carry(), n);
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(lab_receive(&b.vm, 0, &h, out, sizeof(out)), len);
		assert_memory_equal(out, in, len);
	}
}

static void migrate(uint64_t features, uint32_t buffer)
{
	static const size_t lens[] = {60, 128, 129, 700, 1514};

	two_vms(PROTOCOL | features, PROTOCOL | features);
	assert_int_equal(a.vm.features & features, features);
	make(in, 4, UDP, 1500);
	send_and_receive(3, 600, buffer); // nobody migrates yet

	for (size_t i = 0; i < RTE_DIM(lens); i++) {
		assert_true(lab_log_begin(&a.vm)); // a log of its own each time, under rings in use
		assert_true(lab_log_begin(&b.vm));
		send_and_receive(20, lens[i], buffer);
		// What the device gave back.
		assert_int_equal(assert_dirty_is_what_changed(&a.vm, before_a), 1);
		// That, and 20 packets in buffers of which two are on a page.
		assert_true(assert_dirty_is_what_changed(&b.vm, before_b) >= 1 + 20 / 2);
	}
	assert_true(lab_log_end(&b.vm));
	memset(b.vm.log, 0, PAGES / 8);
	send_and_receive(3, 600, buffer);
	for (size_t page = 0; page < PAGES; page++)
		assert_false(lab_is_dirty(&b.vm, page));
	end_vms();
}

static void pages_that_packets_change_are_dirty_and_no_others(void **state)
{
	(void)state;
	migrate(0, LAB_BUFFER);
	migrate(MERGE, LAB_BUFFER);
	migrate(MERGE, 512);
}

static void pages_of_packed_rings_are_dirty_and_no_others(void **state)
{
	(void)state;
	migrate(PACKED, LAB_BUFFER);
	migrate(PACKED | MERGE, LAB_BUFFER);
	migrate(PACKED | MERGE, 512);
}

// ---- Under traffic ----

static _Atomic bool ended;

static void *carry_until_end(void *arg)
{
	(void)arg;
	rte_thread_register();
	while (!ended)
		carry();
	rte_thread_unregister();
	return NULL;
}

// Numbered packets; each arrives once and in its order.
static void exchange(uint32_t *sent, uint32_t *received, uint32_t n)
{
	struct virtio_net_hdr h;
	uint32_t number, end = *sent + n;

	for (int idle = 0; *received < end && idle < 20000; idle++) {
		if (idle > 100)
			usleep(100);
		memcpy(in + 100, sent, sizeof(*sent));
		if (*sent < end && *sent - *received < 40 && lab_pending(&a.vm, 1) < 20) {
			lab_give(&b.vm, 0, 1, LAB_BUFFER);
			assert_true(lab_send(&a.vm, 0, &plain, in, 1000, 0));
			++*sent;
		}
		while (lab_receive(&b.vm, 0, &h, out, sizeof(out)) == 1000) {
			memcpy(&number, out + 100, sizeof(number));
			assert_int_equal(number, (*received)++);
			idle = 0;
		}
	}
	assert_int_equal(*received, end);
}

static void log_comes_and_goes_under_traffic(void **state)
{
	pthread_t thread;

	(void)state;
	make(in, 4, UDP, 1500);
	for (int round = 0; round < 6; round++) {
		uint64_t features = PROTOCOL | MERGE | (round % 2 == 0 ? 0 : PACKED);
		uint32_t sent = 0, received = 0;

		two_vms(features, features);
		ended = false;
		assert_int_equal(pthread_create(&thread, NULL, carry_until_end, NULL), 0);
		exchange(&sent, &received, 500);
		// Some are under way while it begins.
		for (int i = 0; i < 10; i++, sent++) {
			memcpy(in + 100, &sent, sizeof(sent));
			lab_give(&b.vm, 0, 1, LAB_BUFFER);
			assert_true(lab_send(&a.vm, 0, &plain, in, 1000, 0));
		}
		assert_true(lab_log_begin(&b.vm));
		assert_true(lab_log_begin(&a.vm));
		memcpy(before_b, b.vm.memory, LAB_MEMORY);
		exchange(&sent, &received, 500);
		for (size_t page = 0; page < PAGES; page++) {
			bool driver = page <
				      2; // what it writes itself: descriptors and the avail ring

			if (is_of_receiving_ring(page) && (!driver || (features & PACKED) != 0) &&
			    page != 1 && has_changed(&b.vm, before_b, page))
				assert_true(lab_is_dirty(&b.vm, page));
		}
		assert_true(lab_log_end(&b.vm));
		exchange(&sent, &received, 100);
		ended = true;
		pthread_join(thread, NULL);
		end_vms();
	}
}

// ---- Announcements ----

static void qemu_asks_once_for_an_announcement_and_is_heard_once(void **state)
{
	static const uint8_t macs[2][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};
	uint32_t changes;
	struct mac_addr mac;

	(void)state;
	two_vms(PROTOCOL, PROTOCOL);
	changes = weft_vhost_changes();
	assert_false(a.io->ops->announce(a.io, &mac));
	assert_true(lab_rarp(&a.vm, macs[0]));
	assert_true(lab_wait(&a.vm));
	assert_int_not_equal(weft_vhost_changes(), changes);
	assert_false(b.io->ops->announce(b.io, &mac));
	assert_true(a.io->ops->announce(a.io, &mac));
	assert_memory_equal(mac.b, macs[0], 6);
	assert_false(a.io->ops->announce(a.io, &mac));

	// The last word counts.
	assert_true(lab_rarp(&a.vm, macs[0]));
	assert_true(lab_rarp(&a.vm, macs[1]));
	assert_true(lab_wait(&a.vm));
	assert_true(a.io->ops->announce(a.io, &mac));
	assert_memory_equal(mac.b, macs[1], 6);
	end_vms();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_that_packets_change_are_dirty_and_no_others),
		cmocka_unit_test(pages_of_packed_rings_are_dirty_and_no_others),
		cmocka_unit_test(log_comes_and_goes_under_traffic),
		cmocka_unit_test(qemu_asks_once_for_an_announcement_and_is_heard_once),
	};

	int failed = cmocka_run_group_tests_name("copied", tests, start, NULL);

	return failed + cmocka_run_group_tests_name("lent", tests, lend, stop);
}
