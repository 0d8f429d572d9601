// SPDX-License-Identifier: Apache-2.0
// Two VMs that do whatever they like, at the same time as two workers carry packets between them:
// bytes of rings that change under way, rings turned on and off, memory that moves, connections
// cut, messages without sense and with more descriptors than they want. Memory that goes and comes
// back under way. Nothing of that may outlive it: afterwards both ports work, every buffer is back,
// and every descriptor that came is closed.
#include "datapath/native/io/port_io.h"

#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <rte_lcore.h>

#include "datapath/native/testing/eal_testing.h"
#include "datapath/native/testing/vhost_lab.h"

#include <cmocka.h>

#define SECONDS 3

static struct rte_mempool *pool;
static char dir[] = "/tmp/weft-vhost-XXXXXX";
static struct port_io *port[2];
static uint16_t shares; // of each port
static char path[2][64];
static _Atomic bool stop_workers, stop_vms;
static _Atomic uint64_t carried, connections;

// With one share each worker has a port; with two, each has its share of both.
static void *worker(void *arg)
{
	uint16_t me = (uint16_t)(size_t)arg;
	struct rte_mbuf *pkts[32];

	rte_thread_register();
	for (unsigned int turn = 0; !stop_workers; turn++) {
		struct port_io *from = port[shares == 1 ? me : turn / 2 % 2], *to = port[turn % 2];
		uint16_t share = shares == 1 ? 0 : me;
		uint16_t n = from->ops->lend(from, share, pkts, 32);
		uint16_t sent = n > 0 ? to->ops->tx(to, pkts, n) : 0;

		rte_pktmbuf_free_bulk(pkts + sent, n - sent);
		if (n > 0)
			from->ops->done(from, share);
		carried += sent;
		if (n == 0)
			sched_yield();
	}
	rte_thread_unregister();
	return NULL;
}

// ---- A VM ----

struct chaos {
	size_t me;
	unsigned int seed;
	struct lab_vm vm;
	bool connected, started;
};

static unsigned int roll(struct chaos *c, unsigned int n)
{
	return (unsigned int)rand_r(&c->seed) % n;
}

static void cut(struct chaos *c)
{
	lab_vm_fini(&c->vm);
	lab_vm_init(&c->vm);
	c->connected = c->started = false;
}

static void begin(struct chaos *c)
{
	static const uint64_t all =
		LAB_FEATURE(VIRTIO_NET_F_CSUM) | LAB_FEATURE(VIRTIO_NET_F_HOST_TSO4) |
		LAB_FEATURE(VIRTIO_NET_F_GUEST_CSUM) | LAB_FEATURE(VIRTIO_NET_F_GUEST_TSO4) |
		LAB_FEATURE(VIRTIO_NET_F_MRG_RXBUF) | LAB_FEATURE(VIRTIO_RING_F_EVENT_IDX) |
		LAB_FEATURE(VIRTIO_RING_F_INDIRECT_DESC);

	if (!c->connected && lab_connect(&c->vm, path[c->me]) < 0)
		return;
	c->connected = true;
	connections++;
	c->started = lab_start(&c->vm, all & ((uint64_t)rand_r(&c->seed) * 0x10001),
			       1 + roll(c, LAB_PAIRS));
	if (!c->started)
		cut(c);
}

static void send_some(struct chaos *c)
{
	static const struct virtio_net_hdr plain;
	struct virtio_net_hdr h = plain;
	uint8_t frame[3000] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00, 0x45};
	unsigned int pair = roll(c, c->vm.pairs);

	frame[23] = 6;
	frame[46] = 0x50;
	if (roll(c, 4) == 0)
		h = (struct virtio_net_hdr) {.flags = 1,
					     .gso_type = (uint8_t)roll(c, 6),
					     .gso_size = (uint16_t)roll(c, 2000),
					     .csum_start = 34,
					     .csum_offset = 16};
	for (unsigned int i = roll(c, 20); i > 0; i--)
		lab_send(&c->vm, pair, &h, frame, 14 + roll(c, sizeof(frame) - 14),
			 roll(c, 2) * (1 + roll(c, 2000)));
	lab_give(&c->vm, pair, roll(c, 30), 1 + roll(c, LAB_BUFFER));
}

// Where rings are, while they are used.
static void corrupt(struct chaos *c)
{
	uint64_t ring = lab_buffer(roll(c, 2 * c->vm.pairs), 0) - 65536;

	for (unsigned int i = roll(c, 40); i > 0; i--)
		c->vm.memory[ring + roll(c, 12000)] = (uint8_t)roll(c, 256);
}

static void talk_nonsense(struct chaos *c)
{
	enum { MESSAGES = 42 };
	uint8_t payload[64];
	int fds[8];
	size_t n = roll(c, RTE_DIM(fds) + 1);
	uint32_t request = roll(c, MESSAGES), len = 8 * roll(c, 6);

	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i % 4 == 0	  ? roll(c, 9)
				       : roll(c, 20) == 0 ? roll(c, 256)
							  : 0);
	// About rings that there may be.
	if ((request >= 8 && request <= 14) || request == 18) {
		memset(payload + 1, 0, 7);
		len = RTE_MAX(len, 8u);
	}
	for (size_t i = 0; i < n; i++)
		fds[i] = i % 2 == 0 ? eventfd(0, EFD_NONBLOCK) : open("/dev/null", O_RDWR);
	lab_message(&c->vm, request, payload, len, fds, n);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

// What a worker finds meanwhile is not there; this thread does not look.
static void take_memory_back(struct chaos *c)
{
	assert_int_equal(ftruncate(c->vm.memory_fd, 4096 * roll(c, 64)), 0);
	if (roll(c, 2) == 0)
		usleep(roll(c, 500));
	assert_int_equal(ftruncate(c->vm.memory_fd, LAB_MEMORY), 0);
}

static void turn_rings(struct chaos *c)
{
	enum { SET_VRING_ENABLE = 18 };

	for (uint32_t i = 0; i < 2 * c->vm.pairs; i++) {
		uint32_t state[2] = {i, roll(c, 2)};

		lab_message(&c->vm, SET_VRING_ENABLE, state, sizeof(state), NULL, 0);
	}
}

static void *vm_main(void *arg)
{
	struct chaos *c = arg;

	lab_vm_init(&c->vm);
	while (!stop_vms) {
		if (!c->started) {
			begin(c);
			continue;
		}
		switch (roll(c, 40)) {
		case 0:
			cut(c);
			break;
		case 1:
		case 2:
			c->started = false;
			if (!lab_stop(&c->vm))
				cut(c);
			break;
		case 3:
		case 4:
			lab_move_memory(&c->vm);
			break;
		case 5:
			talk_nonsense(c);
			break;
		case 6:
		case 7:
			turn_rings(c);
			break;
		case 8:
		case 9:
			corrupt(c);
			break;
		case 10:
			take_memory_back(c);
			break;
		default:
			send_some(c);
			break;
		}
	}
	lab_vm_fini(&c->vm);
	return NULL;
}

// ---- The test ----

static void wait_up(size_t i, bool up)
{
	for (int k = 0; k < 3000 && port[i]->up != up; k++)
		usleep(1000);
	assert_int_equal(port[i]->up, up);
}

static void assert_works(void)
{
	static const struct virtio_net_hdr plain;
	struct lab_vm vm[2];
	struct virtio_net_hdr h;
	uint8_t frame[100] = {2}, came[100];

	for (size_t i = 0; i < 2; i++) {
		lab_vm_init(&vm[i]);
		assert_int_equal(lab_connect(&vm[i], path[i]), 0);
		assert_true(lab_start(&vm[i], 0, 1));
		wait_up(i, true);
		lab_give(&vm[i], 0, 4, LAB_BUFFER);
	}
	for (size_t i = 0; i < 2; i++) {
		struct rte_mbuf *m;

		assert_true(lab_send(&vm[i], 0, &plain, frame, sizeof(frame), 0));
		assert_int_equal(port[i]->ops->rx(port[i], 0, &m, 1), 1);
		assert_int_equal(port[1 - i]->ops->tx(port[1 - i], &m, 1), 1);
		assert_int_equal(lab_receive(&vm[1 - i], 0, &h, came, sizeof(came)), sizeof(frame));
	}
	for (size_t i = 0; i < 2; i++) {
		lab_vm_fini(&vm[i]);
		wait_up(i, false);
	}
}

// Each test has its own: cmocka takes SIGBUS for itself at each one's begin.
static void open_ports(uint16_t n_shares)
{
	struct err err = {0};

	shares = n_shares;
	for (size_t i = 0; i < 2; i++) {
		snprintf(path[i], sizeof(path[i]), "%s/%zu", dir, i);
		if (weft_vhost_open(path[i], true, (gid_t)-1, shares, pool, &port[i], &err) < 0)
			fail_msg("%s", err.msg);
	}
}

static void whatever_vms_do_their_ports_work_afterwards(void **state)
{
	static struct chaos vm[2];
	pthread_t workers[2], vms[2];

	unsigned int before = lab_descriptors();

	open_ports(*(const uint16_t *)*state);
	stop_vms = stop_workers = false;
	carried = connections = 0;
	assert_works();
	for (size_t i = 0; i < 2; i++) {
		vm[i] = (struct chaos) {.me = i};
		vm[i].seed = (unsigned int)time(NULL) + (unsigned int)i * 7919;
		print_message("seed of VM %zu: %u\n", i, vm[i].seed);
		assert_int_equal(pthread_create(&workers[i], NULL, worker, (void *)i), 0);
		assert_int_equal(pthread_create(&vms[i], NULL, vm_main, &vm[i]), 0);
	}
	sleep(SECONDS);
	stop_vms = true;
	for (size_t i = 0; i < 2; i++) {
		pthread_join(vms[i], NULL);
		wait_up(i, false);
	}
	stop_workers = true;
	for (size_t i = 0; i < 2; i++)
		pthread_join(workers[i], NULL);
	print_message("%lu packets carried over %lu connections\n", (unsigned long)carried,
		      (unsigned long)connections);
	assert_works();
	assert_true(carried > 0);
	for (size_t i = 0; i < 2; i++)
		port[i]->ops->close(port[i]);
	assert_int_equal(lab_descriptors(), before);
}

static int start(void **state)
{
	(void)state;
	return eal_testing_start(1, dir, &pool);
}

static int stop(void **state)
{
	(void)state;
	return eal_testing_stop(dir, pool);
}

int main(void)
{
	static uint16_t one = 1, two = 2;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(whatever_vms_do_their_ports_work_afterwards, &one),
		cmocka_unit_test_prestate(whatever_vms_do_their_ports_work_afterwards, &two),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
