// SPDX-License-Identifier: Apache-2.0
// Rings of packet sockets: how large they are, and that those made ahead go again.
#include "datapath/native/io/tap/tap_ring.h"

#include "datapath/native/testing/tap_lab.h"

static struct tap_ring ring_of(uint32_t mtu)
{
	struct tap_ring r;
	const char *what;

	assert_int_equal(weft_tap_ring_get(mtu, TAP_RING_PORT, &r, &what), 0);
	weft_tap_ring_put(&r);
	return r;
}

static void ports_ring_is_as_large_as_it_is_told(void **state)
{
	struct tap_ring r;

	(void)state;
	needs_lab();
	r = ring_of(1500);
	assert_true(r.len <= 128 << 10);
	assert_true(r.blocks * r.frames_per_block >= 64);
	r = ring_of(9000); // never fewer than a burst
	assert_true(r.blocks * r.frames_per_block >= 64);
	weft_tap_finish(); // with what was made ahead
	weft_tap_ring_size(512);
	r = ring_of(1500);
	assert_int_equal(r.len, 512 << 10);
	assert_true(r.blocks * r.frames_per_block >= 256);
	weft_tap_finish();
	weft_tap_ring_size(128);
}

// Nobody reads for a while: what comes then is lost, and the next time there is more room.
static void port_that_loses_packets_gets_a_longer_ring(void **state)
{
	struct peer vm;
	struct port_io *longer = NULL;
	struct port_io_stats before, after;
	uint8_t f[64];
	int fd;

	(void)state;
	needs_lab();
	peer_start(&vm, 1);
	peer_attach(&vm, 1500);
	assert_false(weft_tap_is_short(vm.io));
	fd = peer_packets(&vm, 0);
	for (uint32_t i = 0; i < 1000; i++)
		send(fd, f, lab_frame(f, i, 60), 0);
	for (int i = 0; i < PATIENCE_MS / 10 && !weft_tap_is_short(vm.io); i++)
		usleep(10000);
	vm.io->ops->stats(vm.io, &before);
	assert_true(before.rx_lost >= 16);
	assert_int_equal(weft_tap_longer(vm.io, &longer), 0);
	assert_false(weft_tap_is_short(vm.io)); // once
	vm.io->ops->close(vm.io);
	vm.io = longer;
	assert_int_equal(weft_tap_join(longer), 0);

	// Its counters go on, and three times as many as the old one held find room.
	vm.io->ops->stats(vm.io, &after);
	assert_true(after.rx_lost >= before.rx_lost);
	for (uint32_t i = 0; i < 240; i++)
		assert_true(send(fd, f, lab_frame(f, i, 60), 0) > 0);
	struct rte_mbuf *pkts[240];
	assert_int_equal(take(vm.io, LAB_ETHERTYPE, pkts, 240, PATIENCE_MS), 240);
	rte_pktmbuf_free_bulk(pkts, 240);
	assert_false(weft_tap_is_short(vm.io));
	close(fd);
	peer_stop(&vm);
}

static void rings_made_in_vain_go_away(void **state)
{
	(void)state;
	needs_lab();
	struct tap_ring r[3];
	const char *what;

	for (int i = 0; i < 3; i++)
		assert_int_equal(weft_tap_ring_get(1500, TAP_RING_PORT, &r[i], &what), 0);
	assert_true(weft_tap_ring_stock() > 0);
	for (int i = 0; i < 3; i++)
		weft_tap_ring_put(&r[i]);
	for (int i = 0; i < PATIENCE_MS / 100 && weft_tap_ring_stock() > 0; i++)
		usleep(100000);
	assert_int_equal(weft_tap_ring_stock(), 0);

	// A ring of another size is not taken from the stock.
	for (int i = 0; i < 3; i++) {
		assert_int_equal(
			weft_tap_ring_get(i == 1 ? 9000 : 1400, TAP_RING_PORT, &r[i], &what), 0);
		assert_true(r[i].frame_size > (i == 1 ? 9000 : 1500));
	}
	assert_true(r[0].frame_size < 2000);
	for (int i = 0; i < 3; i++)
		weft_tap_ring_put(&r[i]);
	weft_tap_finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_ring_is_as_large_as_it_is_told),
		cmocka_unit_test(port_that_loses_packets_gets_a_longer_ring),
		cmocka_unit_test(rings_made_in_vain_go_away),
	};

	return cmocka_run_group_tests(tests, lab_start, lab_stop);
}
