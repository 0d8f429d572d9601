// SPDX-License-Identifier: Apache-2.0
// Several queue pairs of one port, received by several workers at the same time: each pair by one
// of them and by nobody else, in order and without loss, while its driver turns rings off and on,
// and without a trace when it leaves.
#include "datapath/native/io/port_io.h"

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_lcore.h>

#include "datapath/native/testing/eal_testing.h"
#include "datapath/native/io/lent.h"
#include "datapath/native/testing/vhost_lab.h"

#include <cmocka.h>

#define SHARES_MAX 3
#define ROUNDS	   1500
#define LENGTH	   700 // long enough to be lent
// What the frame says of itself: its pair, and its number of the pair's frames.
#define AT	   14

static struct rte_mempool *pool;
static char dir[] = "/tmp/weft-queues-XXXXXX", path[64];
static const struct virtio_net_hdr plain;

static struct port_io *open_port(uint16_t shares)
{
	struct port_io *io = NULL;
	struct err err = {0};

	if (weft_vhost_open(path, true, (gid_t)-1, shares, pool, &io, &err) < 0)
		fail_msg("%s", err.msg);
	return io;
}

static void wait_up(const struct port_io *io, bool up)
{
	for (int i = 0; i < 3000 && io->up != up; i++)
		usleep(1000);
	assert_int_equal(io->up, up);
}

static void begin(struct lab_vm *vm, const struct port_io *io, unsigned int pairs)
{
	lab_vm_init(vm);
	assert_int_equal(lab_connect(vm, path), 0);
	assert_true(lab_start(vm, 0, pairs));
	wait_up(io, true);
}

static void end(struct lab_vm *vm, struct port_io *io)
{
	lab_vm_fini(vm);
	wait_up(io, false);
	io->ops->close(io);
}

static bool send_numbered(struct lab_vm *vm, unsigned int pair, uint32_t number)
{
	uint8_t frame[LENGTH];

	memset(frame, (int)(pair + number * 7), sizeof(frame));
	frame[0] = 2;
	frame[AT] = (uint8_t)pair;
	memcpy(frame + AT + 1, &number, sizeof(number));
	return lab_send(vm, pair, &plain, frame, sizeof(frame), 0);
}

static void turn(struct lab_vm *vm, uint32_t ring, uint32_t on)
{
	uint32_t state[2] = {ring, on};

	assert_true(lab_message(vm, SET_VRING_ENABLE, state, sizeof(state), NULL, 0));
}

// ---- Whose a pair is -----------------------------------------------------------------------

static void pair_is_received_by_its_share_and_by_no_other(void **state)
{
	(void)state;
	for (uint16_t shares = 1; shares <= SHARES_MAX; shares++) {
		struct port_io *io = open_port(shares);
		struct lab_vm vm;

		begin(&vm, io, LAB_PAIRS);
		for (unsigned int pair = 0; pair < LAB_PAIRS; pair++)
			for (uint32_t i = 0; i < 5; i++)
				assert_true(send_numbered(&vm, pair, i));
		unsigned int came[LAB_PAIRS] = {0};
		for (uint16_t share = 0; share < SHARES_MAX + 1; share++) {
			struct rte_mbuf *pkts[32];
			uint16_t n = io->ops->rx(io, share, pkts, 32);

			for (uint16_t i = 0; i < n; i++) {
				unsigned int pair =
					*rte_pktmbuf_mtod_offset(pkts[i], uint8_t *, AT);

				assert_int_equal(pair % shares, share);
				came[pair]++;
			}
			rte_pktmbuf_free_bulk(pkts, n);
		}
		for (unsigned int pair = 0; pair < LAB_PAIRS; pair++)
			assert_int_equal(came[pair], 5);
		end(&vm, io);
	}
}

static void wait_shares(const struct port_io *io, uint16_t shares)
{
	for (int i = 0; i < 1000 && port_io_shares(io) != shares; i++)
		usleep(1000);
	assert_int_equal(port_io_shares(io), shares);
}

static void shares_are_those_of_the_queues_that_the_driver_has_on(void **state)
{
	struct port_io *io = open_port(3);
	struct lab_vm vm;
	uint32_t changes;

	(void)state;
	assert_int_equal(port_io_shares(io), 1); // for who comes
	begin(&vm, io, LAB_PAIRS);
	wait_shares(io, 3);
	for (uint32_t pair = LAB_PAIRS - 1; pair >= 1; pair--) {
		changes = weft_vhost_changes();
		turn(&vm, 2 * pair + 1, 0);
		turn(&vm, 2 * pair, 0);
		assert_true(lab_wait(&vm));
		wait_shares(io, (uint16_t)RTE_MIN(pair, 3U));
		assert_int_not_equal(weft_vhost_changes(), changes);
	}
	turn(&vm, 5, 1); // the third pair's, without the second's
	wait_shares(io, 3);
	assert_true(lab_stop(&vm));
	wait_up(io, false);
	wait_shares(io, 1);
	assert_true(lab_start(&vm, 0, 2));
	wait_up(io, true);
	wait_shares(io, 2);
	end(&vm, io);
	assert_true(weft_vhost_changes() > changes);
}

// ---- Several workers -----------------------------------------------------------------------

static struct port_io *port;
static _Atomic bool stop_workers;
static _Atomic uint32_t due[LAB_PAIRS]; // the number that comes next; its share's worker counts
static _Atomic uint32_t wrong;
static bool exact; // nothing is lost, and nothing comes twice

struct receiver {
	pthread_t thread;
	uint16_t share, shares;
};

static bool is_right(const struct receiver *r, struct rte_mbuf *m)
{
	uint8_t *f, pair;
	uint32_t number;

	if (weft_lent_take(m, pool) < 0 || rte_pktmbuf_linearize(m) < 0 || m->pkt_len != LENGTH)
		return false;
	f = rte_pktmbuf_mtod(m, uint8_t *);
	pair = f[AT];
	memcpy(&number, f + AT + 1, sizeof(number));
	if (pair >= LAB_PAIRS || pair % r->shares != r->share || (exact && number != due[pair]))
		return false;
	due[pair] = number + 1;
	for (size_t i = AT + 5; i < LENGTH; i++)
		if (f[i] != (uint8_t)(pair + number * 7))
			return false;
	return true;
}

static void *receive(void *arg)
{
	struct receiver *r = arg;
	struct rte_mbuf *pkts[32];

	rte_thread_register();
	for (unsigned int turns = 0; !stop_workers; turns++) {
		uint16_t n = port->ops->lend(port, r->share, pkts, 32);

		if (n > 0 && turns % 4 == 0)
			usleep(200); // whoever takes what is lent away must wait
		for (uint16_t i = 0; i < n; i++)
			wrong += !is_right(r, pkts[i]);
		rte_pktmbuf_free_bulk(pkts, n);
		if (n > 0)
			port->ops->done(port, r->share);
		else
			sched_yield();
	}
	rte_thread_unregister();
	return NULL;
}

static void with_workers(uint16_t shares, void (*driver)(struct lab_vm *vm, uint32_t *sent))
{
	struct receiver r[SHARES_MAX];
	uint32_t sent[LAB_PAIRS] = {0};
	struct lab_vm vm;

	port = open_port(shares);
	stop_workers = false;
	for (unsigned int i = 0; i < LAB_PAIRS; i++)
		due[i] = 0;
	for (uint16_t i = 0; i < shares; i++) {
		r[i] = (struct receiver) {.share = i, .shares = shares};
		assert_int_equal(pthread_create(&r[i].thread, NULL, receive, &r[i]), 0);
	}
	begin(&vm, port, LAB_PAIRS);
	driver(&vm, sent);
	for (unsigned int i = 0; i < LAB_PAIRS; i++)
		for (int k = 0; exact && k < 3000 && due[i] != sent[i]; k++)
			usleep(1000);
	lab_vm_fini(&vm);
	wait_up(port, false);
	stop_workers = true;
	for (uint16_t i = 0; i < shares; i++)
		pthread_join(r[i].thread, NULL);
	assert_int_equal(wrong, 0);
	for (unsigned int i = 0; i < LAB_PAIRS; i++) {
		assert_true(due[i] > 0);
		assert_true(exact ? due[i] == sent[i] : due[i] <= sent[i]);
	}
	port->ops->close(port);
}

static void send_some(struct lab_vm *vm, uint32_t *sent)
{
	for (unsigned int pair = 0; pair < LAB_PAIRS; pair++)
		for (int k = 0; k < 8 && send_numbered(vm, pair, sent[pair]); k++)
			sent[pair]++;
}

static void turn_rings(struct lab_vm *vm, uint32_t *sent)
{
	unsigned int seed = 1;

	for (int i = 0; i < ROUNDS; i++) {
		send_some(vm, sent);
		turn(vm, (uint32_t)rand_r(&seed) % LAB_RINGS, i % 3 != 0);
	}
	for (uint32_t ring = 0; ring < LAB_RINGS; ring++)
		turn(vm, ring, 1);
}

static void nothing_is_lost_or_taken_twice_while_rings_go_off_and_on(void **state)
{
	(void)state;
	exact = true;
	for (uint16_t shares = 1; shares <= SHARES_MAX; shares++)
		with_workers(shares, turn_rings);
}

// What was used while the memory was copied is offered again.
static void move_and_leave(struct lab_vm *vm, uint32_t *sent)
{
	for (int i = 0; i < ROUNDS / 20; i++) {
		send_some(vm, sent);
		if (i % 3 == 0) {
			assert_true(lab_move_memory(vm));
		} else if (i % 3 == 1) {
			lab_disconnect(vm);
			wait_up(port, false); // else it has the new one's memory, too
			assert_int_equal(lab_connect(vm, path), 0);
			assert_true(lab_start(vm, 0, LAB_PAIRS));
		}
	}
}

static void memory_goes_while_several_workers_have_packets_lent(void **state)
{
	(void)state;
	exact = false;
	with_workers(2, move_and_leave);
}

static int start(void **state)
{
	(void)state;
	if (eal_testing_start(2, dir, &pool) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/a", dir);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	return eal_testing_stop(dir, pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pair_is_received_by_its_share_and_by_no_other),
		cmocka_unit_test(shares_are_those_of_the_queues_that_the_driver_has_on),
		cmocka_unit_test(nothing_is_lost_or_taken_twice_while_rings_go_off_and_on),
		cmocka_unit_test(memory_goes_while_several_workers_have_packets_lent),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
