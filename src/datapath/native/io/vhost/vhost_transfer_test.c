// SPDX-License-Identifier: Apache-2.0
// Packets from one VM's driver to another's, over one queue and several; and rings that no driver
// makes.
#include "datapath/native/io/port_io.h"

#include "datapath/native/testing/vhost_testing.h"

static void frames_of_any_length_arrive_unchanged(void **state)
{
	static const size_t pieces[] = {0, 1, 7, 64, 500, 2048};
	struct virtio_net_hdr h;

	(void)state;
	for (int mergeable = 0; mergeable < 2; mergeable++) {
		two_vms(0, mergeable ? LAB_FEATURE(VIRTIO_NET_F_MRG_RXBUF) : 0);
		for (size_t len = 14; len < 1515; len += 37) {
			size_t piece = pieces[len % RTE_DIM(pieces)];

			make(in, 4, UDP, 1500);
			if (len / (piece + 1) > 100)
				piece = 64;
			lab_give(&b.vm, 0, mergeable ? 8 : 1, mergeable ? 300 : LAB_BUFFER);
			assert_true(lab_send(&a.vm, 0, &plain, in, len, piece));
			assert_int_equal(carry(), 1);
			assert_int_equal(lab_receive(&b.vm, 0, &h, out, sizeof(out)), len);
			assert_memory_equal(out, in, len);
			assert_int_equal(h.flags | h.gso_type, 0);
			assert_int_equal(lab_pending(&a.vm, 1), 0);
		}
		end_vms();
	}
}

static void packet_in_an_indirect_table_arrives(void **state)
{
	struct virtio_net_hdr h;
	struct vring_desc d = {.addr = lab_buffer(1, 100), .flags = VRING_DESC_F_INDIRECT};
	size_t len = make(in, 4, UDP, 300);

	(void)state;
	two_vms(OFFLOADS, OFFLOADS);
	struct vring_desc *table = (struct vring_desc *)(a.vm.memory + d.addr);
	table[0] = (struct vring_desc) {lab_buffer(1, 10), LAB_HEADER, VRING_DESC_F_NEXT, 1};
	table[1] = (struct vring_desc) {lab_buffer(1, 11), (uint32_t)len, 0, 0};
	d.len = 2 * sizeof(*table);
	memset(a.vm.memory + table[0].addr, 0, LAB_HEADER);
	memcpy(a.vm.memory + table[1].addr, in, len);
	lab_give(&b.vm, 0, 1, LAB_BUFFER);
	lab_put(&a.vm, 1, &d, 1);
	assert_int_equal(carry(), 1);
	assert_int_equal(lab_receive(&b.vm, 0, &h, out, sizeof(out)), len);
	assert_memory_equal(out, in, len);
	end_vms();
}

static void full_ring_takes_what_it_can_and_leaves_the_rest(void **state)
{
	struct rte_mbuf *pkts[32];
	size_t len = make(in, 4, UDP, 100);

	(void)state;
	two_vms(0, 0);
	lab_give(&b.vm, 0, 5, LAB_BUFFER);
	for (int i = 0; i < 8; i++)
		assert_true(lab_send(&a.vm, 0, &plain, in, len, 0));
	assert_int_equal(a.io->ops->rx(a.io, 0, pkts, 32), 8);
	assert_int_equal(b.io->ops->tx(b.io, pkts, 8), 5);
	assert_int_equal(b.io->ops->tx(b.io, pkts + 5, 3), 0);
	lab_give(&b.vm, 0, 5, LAB_BUFFER);
	assert_int_equal(b.io->ops->tx(b.io, pkts + 5, 3), 3);
	end_vms();
}

static void packet_that_no_buffer_holds_does_not_keep_others_back(void **state)
{
	struct rte_mbuf *pkts[32];

	(void)state;
	two_vms(0, 0);
	lab_give(&b.vm, 0, 5, 600);
	for (int i = 0; i < 3; i++)
		assert_true(
			lab_send(&a.vm, 0, &plain, in, make(in, 4, UDP, i == 1 ? 1000 : 100), 0));
	assert_int_equal(a.io->ops->rx(a.io, 0, pkts, 32), 3);
	assert_int_equal(b.io->ops->tx(b.io, pkts, 3), 3);
	assert_int_equal(stats_of(&b).tx_refused, 1);
	assert_int_equal(lab_pending(&b.vm, 0), 3);
	end_vms();
}

// ---- Several queues ----

static void every_queue_is_read_and_each_flow_is_written_to_one(void **state)
{
	enum { FLOWS = 64 };
	struct rte_mbuf *pkts[32];
	struct virtio_net_hdr h;
	uint8_t queue_of[FLOWS];
	unsigned int used = 0;
	size_t len;

	(void)state;
	plug(&a, "a", 0, 4);
	plug(&b, "b", 0, 4);
	for (unsigned int pair = 0; pair < 4; pair++)
		lab_give(&b.vm, pair, 200, LAB_BUFFER);
	memset(queue_of, 0xff, sizeof(queue_of));
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int flow = 0; flow < FLOWS; flow++) {
			len = make(in, 4, UDP, 100);
			in[14 + 20 + 1] = (uint8_t)flow;
			in[14 + 20 + 8] = (uint8_t)round;
			assert_true(lab_send(&a.vm, flow % 4, &plain, in, len, 0));
			if (flow % 16 == 15) {
				uint16_t n = a.io->ops->rx(a.io, 0, pkts, 32);

				assert_int_equal(n, 16);
				assert_int_equal(b.io->ops->tx(b.io, pkts, n), n);
			}
		}
		for (unsigned int pair = 0; pair < 4; pair++) {
			while (lab_receive(&b.vm, pair, &h, out, sizeof(out)) > 0) {
				uint8_t *q = &queue_of[out[14 + 20 + 1]];

				assert_int_equal(out[14 + 20 + 8], round);
				assert_true(*q == 0xff || *q == pair);
				*q = (uint8_t)pair;
				used |= 1u << pair;
			}
		}
	}
	assert_int_equal(used, 0xf);
	for (unsigned int flow = 0; flow < FLOWS; flow++)
		assert_int_not_equal(queue_of[flow], 0xff);
	end_vms();
}

static void full_queue_does_not_keep_another_from_its_packets(void **state)
{
	struct rte_mbuf *pkts[32];

	(void)state;
	plug(&a, "a", 0, 2);
	plug(&b, "b", 0, 2);
	lab_give(&b.vm, 1, 200, LAB_BUFFER); // pair 0 has no buffers
	for (unsigned int flow = 0; flow < 30; flow++) {
		size_t len = make(in, 4, UDP, 100);

		in[14 + 20 + 1] = (uint8_t)flow;
		assert_true(lab_send(&a.vm, 0, &plain, in, len, 0));
	}
	assert_int_equal(a.io->ops->rx(a.io, 0, pkts, 32), 30);
	uint16_t sent = b.io->ops->tx(b.io, pkts, 30);
	assert_in_range(sent, 1, 29);
	assert_int_equal(200 - lab_pending(&b.vm, 2), sent);
	rte_pktmbuf_free_bulk(pkts + sent, 30 - sent);
	end_vms();
}

// ---- Broken rings ----

static void broken_ring_hurts_only_its_own_port(void **state)
{
	struct vring_desc loop = {
		.addr = lab_buffer(1, 0), .len = 0, .flags = VRING_DESC_F_NEXT, .next = 0};
	struct vring_desc outside = {.addr = LAB_MEMORY - 10, .len = 4096};
	struct vring_desc far = {.addr = 1ULL << 60, .len = 4096};
	struct rte_mbuf *pkts[32];
	struct lab_vm *bad = &a.vm;
	size_t len = make(in, 4, UDP, 100);

	(void)state;
	for (int kind = 0; kind < 5; kind++) {
		two_vms(OFFLOADS, OFFLOADS);
		struct vring *v = &bad->rings[1].vring;

		switch (kind) {
		case 0:
			lab_put(bad, 1, &loop, 1);
			v->desc[0].flags = VRING_DESC_F_NEXT; // to itself
			break;
		case 1:
			lab_put(bad, 1, &outside, 1);
			break;
		case 2:
			lab_put(bad, 1, &far, 1);
			break;
		case 3: // no such descriptor
			v->avail->ring[0] = 60000;
			__atomic_store_n(&v->avail->idx, 1, __ATOMIC_RELEASE);
			break;
		default: // more than the ring holds
			__atomic_store_n(&v->avail->idx, 30000, __ATOMIC_RELEASE);
			break;
		}
		for (int i = 0; i < 50; i++) {
			uint16_t n = a.io->ops->rx(a.io, 0, pkts, 32);

			rte_pktmbuf_free_bulk(pkts, n);
		}
		assert_true(lab_send(&b.vm, 0, &plain, in, len, 0));
		assert_int_equal(b.io->ops->rx(b.io, 0, pkts, 32), 1);
		rte_pktmbuf_free(pkts[0]);

		// And after a driver's reset all is well again.
		assert_true(lab_stop(bad));
		assert_true(lab_start(bad, OFFLOADS, 1));
		for (int i = 0; i < 1000 && !a.io->up; i++)
			usleep(1000);
		assert_true(lab_send(bad, 0, &plain, in, len, 0));
		uint16_t n = 0;
		for (int i = 0; i < 2000 && n == 0; i++) {
			n = a.io->ops->rx(a.io, 0, pkts, 32);
			usleep(1000);
		}
		assert_int_equal(n, 1);
		rte_pktmbuf_free(pkts[0]);
		end_vms();
	}
}

// A chain of two hundred times the whole memory, over and over: it is measured before anything is
// copied.
static void chain_that_is_no_packet_is_given_back_unread(void **state)
{
	struct vring_desc d[200];
	struct rte_mbuf *pkts[32];

	(void)state;
	two_vms(0, 0);
	for (unsigned int i = 0; i < RTE_DIM(d); i++)
		d[i] = (struct vring_desc) {.addr = 0, .len = LAB_MEMORY};
	lab_put(&a.vm, 1, d, RTE_DIM(d));
	struct lab_ring *r = &a.vm.rings[1];
	for (int i = 1; i < 200; i++)
		r->vring.avail->ring[i] = r->vring.avail->ring[0];
	r->next = 200;
	__atomic_store_n(&r->vring.avail->idx, 200, __ATOMIC_RELEASE);

	for (int i = 0; i < 7; i++)
		assert_int_equal(a.io->ops->rx(a.io, 0, pkts, 32), 0);
	assert_int_equal(lab_pending(&a.vm, 1), 0);
	assert_int_equal(stats_of(&a).rx_malformed, 200);
	end_vms();
}

// Whoever trusts a buffer to be large enough for a header writes the packet behind the second of
// these.
static void nothing_is_written_beyond_a_buffer(void **state)
{
	const uint64_t at = lab_buffer(0, 100);
	struct vring_desc d[] = {{at, 4, VRING_DESC_F_WRITE, 0},
				 {at + 100, 4, VRING_DESC_F_WRITE, 0},
				 {at + 200, 9, VRING_DESC_F_WRITE, 0},
				 {LAB_MEMORY - 10, 10, VRING_DESC_F_WRITE, 0},
				 {at + 300, 1500, VRING_DESC_F_WRITE, 0}};
	struct rte_mbuf *pkts[1];
	size_t len = make(in, 4, UDP, 500);

	(void)state;
	two_vms(0, 0);
	memset(b.vm.memory + at, 0xaa, 2048);
	lab_put(&b.vm, 0, d, RTE_DIM(d));
	assert_true(lab_send(&a.vm, 0, &plain, in, len, 0));
	assert_int_equal(carry(), 1);
	for (int i = 0; i < 4; i++) {
		size_t end = i < 3 ? (size_t)(i * 100) + d[i].len : 300 + len + 12 - 27;
		size_t next = i < 3 ? (size_t)(i + 1) * 100 : 2048;

		for (size_t k = end; k < next; k++)
			assert_int_equal(b.vm.memory[at + k], 0xaa);
	}
	assert_memory_equal(b.vm.memory + at + 205 - 1, in, 5); // what the header left of the third
	assert_memory_equal(b.vm.memory + LAB_MEMORY - 10, in + 5, 10);
	assert_memory_equal(b.vm.memory + at + 300, in + 15, len - 15);

	// Buffers without any room, outside the memory, or in a circle are given back, and the
	// next good one is used.
	struct vring_desc bad[] = {{at, 0, VRING_DESC_F_WRITE, 0},
				   {LAB_MEMORY - 5, 6, VRING_DESC_F_WRITE, 0}};
	lab_put(&b.vm, 0, &bad[0], 1);
	lab_put(&b.vm, 0, &bad[1], 1);
	lab_give(&b.vm, 0, 1, LAB_BUFFER);
	assert_true(lab_send(&a.vm, 0, &plain, in, len, 0));
	assert_int_equal(a.io->ops->rx(a.io, 0, pkts, 1), 1);
	assert_int_equal(b.io->ops->tx(b.io, pkts, 1), 1);
	assert_int_equal(lab_pending(&b.vm, 0), 0);
	assert_int_equal(stats_of(&b).rx_malformed, 2);
	end_vms();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_of_any_length_arrive_unchanged),
		cmocka_unit_test(packet_in_an_indirect_table_arrives),
		cmocka_unit_test(full_ring_takes_what_it_can_and_leaves_the_rest),
		cmocka_unit_test(packet_that_no_buffer_holds_does_not_keep_others_back),
		cmocka_unit_test(every_queue_is_read_and_each_flow_is_written_to_one),
		cmocka_unit_test(full_queue_does_not_keep_another_from_its_packets),
		cmocka_unit_test(broken_ring_hurts_only_its_own_port),
		cmocka_unit_test(chain_that_is_no_packet_is_given_back_unread),
		cmocka_unit_test(nothing_is_written_beyond_a_buffer),
	};

	int failed = cmocka_run_group_tests_name("copied", tests, start, NULL);

	return failed + cmocka_run_group_tests_name("lent", tests, lend, stop);
}
