// SPDX-License-Identifier: Apache-2.0
// The socket and who comes and goes at its other end.
#include "datapath/native/io/port_io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <linux/virtio_config.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_lcore.h>

#include "datapath/native/testing/eal_testing.h"
#include "datapath/native/testing/vhost_lab.h"

#include <cmocka.h>

static struct rte_mempool *pool;
static char dir[] = "/tmp/weft-vhost-XXXXXX";
static const struct virtio_net_hdr plain;
static uint16_t shares = 1; // of a port

static const char *path_of(const char *name)
{
	static char path[4][128];
	static unsigned int next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static struct port_io *open_port(const char *name, bool server)
{
	struct port_io *io = NULL;
	struct err err = {0};

	if (weft_vhost_open(path_of(name), server, (gid_t)-1, shares, pool, &io, &err) < 0)
		fail_msg("%s", err.msg);
	return io;
}

static void close_port(struct port_io *io)
{
	io->ops->leave(io);
	io->ops->close(io);
}

static void wait_up(const struct port_io *io, bool up)
{
	for (int i = 0; i < 3000 && io->up != up; i++)
		usleep(1000);
	assert_int_equal(io->up, up);
}

static struct port_io_guest guest_of(struct port_io *io)
{
	struct port_io_guest g;

	io->ops->guest(io, &g);
	return g;
}

// ---- The socket ----

static void socket_is_there_as_long_as_its_port(void **state)
{
	struct port_io *io = open_port("a", true);
	struct stat st;

	(void)state;
	assert_int_equal(stat(path_of("a"), &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_false(io->up);
	io->ops->leave(io);
	assert_int_equal(stat(path_of("a"), &st), -1);
	io->ops->close(io);
}

static int bind_socket(const char *path, bool listens)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(a.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	if (listens)
		assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static void socket_of_a_dead_process_is_replaced(void **state)
{
	struct lab_vm vm;

	(void)state;
	close(bind_socket(path_of("a"), true));
	struct port_io *io = open_port("a", true);
	lab_vm_init(&vm);
	assert_int_equal(lab_connect(&vm, path_of("a")), 0);
	assert_true(lab_start(&vm, 0, 1));
	wait_up(io, true);
	lab_vm_fini(&vm);
	close_port(io);
}

static void socket_that_somebody_listens_on_is_left_alone(void **state)
{
	int fd = bind_socket(path_of("a"), true);
	struct port_io *io;
	struct err err = {0};
	struct stat st;

	(void)state;
	assert_int_equal(weft_vhost_open(path_of("a"), true, (gid_t)-1, 1, pool, &io, &err),
			 -EADDRINUSE);
	assert_non_null(strstr(err.msg, path_of("a")));
	assert_int_equal(stat(path_of("a"), &st), 0);
	close(fd);
	unlink(path_of("a"));
}

static void name_that_cannot_be_a_socket_is_refused(void **state)
{
	char path[256];
	struct port_io *io;
	struct err err = {0};

	(void)state;
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[200] = '\0';
	assert_int_equal(weft_vhost_open(path, true, (gid_t)-1, 1, pool, &io, &err), -ENAMETOOLONG);
	assert_int_equal(mkdir(path_of("d"), 0700), 0);
	assert_int_equal(weft_vhost_open(path_of("d"), true, (gid_t)-1, 1, pool, &io, &err),
			 -EEXIST);
	rmdir(path_of("d"));
	assert_int_not_equal(weft_vhost_open("/nowhere/vhu", true, (gid_t)-1, 1, pool, &io, &err),
			     0);
}

// ---- Drivers ----

static void port_is_up_while_a_driver_is_ready(void **state)
{
	struct port_io *io = open_port("a", true);
	uint32_t changes = weft_vhost_changes();
	struct lab_vm vm;

	(void)state;
	lab_vm_init(&vm);
	assert_int_equal(lab_connect(&vm, path_of("a")), 0);
	usleep(20000);
	assert_false(io->up); // QEMU runs, its guest does not yet
	assert_true(lab_start(&vm, LAB_FEATURE(VIRTIO_NET_F_MRG_RXBUF), 1));
	wait_up(io, true);
	assert_int_not_equal(weft_vhost_changes(), changes);
	assert_int_equal(guest_of(io).pairs, 1);
	assert_int_equal(guest_of(io).features, vm.features);

	assert_true(lab_stop(&vm)); // the guest reboots
	wait_up(io, false);
	assert_int_equal(guest_of(io).pairs, 0);
	assert_true(lab_start(&vm, 0, 2));
	wait_up(io, true);
	assert_int_equal(guest_of(io).pairs, 2);
	assert_int_equal(guest_of(io).devices, 2);

	lab_disconnect(&vm); // QEMU is killed
	wait_up(io, false);
	lab_vm_fini(&vm);
	close_port(io);
}

static void newest_driver_has_the_port(void **state)
{
	struct port_io *io = open_port("a", true);
	struct lab_vm vm[6];
	struct rte_mbuf *pkts[32];
	uint8_t frame[64] = {2};

	(void)state;
	for (unsigned int i = 0; i < 6; i++)
		lab_vm_init(&vm[i]);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(lab_connect(&vm[i], path_of("a")), 0);
		assert_true(lab_start(&vm[i], 0, 1));
	}
	wait_up(io, true);
	assert_true(lab_send(&vm[0], 0, &plain, frame, 60, 0));
	assert_true(lab_send(&vm[3], 0, &plain, frame, 64, 0));
	assert_int_equal(io->ops->rx(io, 0, pkts, 32), 1);
	assert_int_equal(pkts[0]->pkt_len, 64);
	rte_pktmbuf_free(pkts[0]);

	// A fifth at a time is not let in.
	lab_connect(&vm[4], path_of("a"));
	assert_false(lab_start(&vm[4], 0, 1));

	// That an old one ends is nothing to the new one; and a place is free then.
	lab_disconnect(&vm[0]);
	usleep(50000);
	assert_true(io->up);
	assert_int_equal(lab_connect(&vm[5], path_of("a")), 0);
	assert_true(lab_start(&vm[5], 0, 1));
	for (unsigned int i = 0; i < 6; i++)
		lab_vm_fini(&vm[i]);
	wait_up(io, false);
	close_port(io);
}

static void port_connects_again_and_again_to_a_qemu_that_listens(void **state)
{
	struct port_io *io = open_port("a", false);
	struct lab_vm vm;

	(void)state;
	for (int round = 0; round < 2; round++) {
		lab_vm_init(&vm);
		lab_listen(&vm, path_of("a"));
		assert_true(lab_accept(&vm, 3000)); // once a second it tries
		assert_true(lab_start(&vm, 0, 1));
		wait_up(io, true);
		lab_vm_fini(&vm);
		wait_up(io, false);
	}
	close_port(io);
	unlink(path_of("a"));
}

static void hundreds_of_ports_come_and_go(void **state)
{
	enum { N = 300 };
	static struct port_io *io[N];
	struct lab_vm vm;
	char name[16];

	(void)state;
	lab_vm_init(&vm);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < N; i++) {
			snprintf(name, sizeof(name), "p%d", i);
			io[i] = open_port(name, true);
		}
		for (int i = 0; i < N; i += 50) {
			snprintf(name, sizeof(name), "p%d", i);
			assert_int_equal(lab_connect(&vm, path_of(name)), 0);
			assert_true(lab_start(&vm, 0, 1));
			wait_up(io[i], true);
			if (i % 100 == 0)
				lab_disconnect(&vm);
			close_port(io[i]);
			lab_disconnect(&vm);
			io[i] = NULL;
		}
		for (int i = 0; i < N; i++)
			if (io[i] != NULL)
				close_port(io[i]);
	}
	lab_vm_fini(&vm);
}

// ---- Interrupts ----

static void replace_calls(struct lab_vm *vm, int fd)
{
	for (unsigned int i = 0; i < 2; i++) {
		close(vm->rings[i].call);
		vm->rings[i].call = dup(fd);
		assert_true(vm->rings[i].call >= 0);
	}
}

// More packets than a pipe or a counter that is nearly full has room for.
static void send_many(struct port_io *io, struct lab_vm *vm)
{
	uint8_t frame[64] = {2};
	struct rte_mbuf *pkts[32];

	for (int i = 0; i < 20; i++) {
		lab_give(vm, 0, 1, LAB_BUFFER);
		assert_true(lab_send(vm, 0, &plain, frame, sizeof(frame), 0));
		assert_int_equal(io->ops->rx(io, 0, pkts, 32), 1);
		assert_int_equal(io->ops->tx(io, pkts, 1), 1);
	}
	assert_int_equal(lab_pending(vm, 0), 0);
}

static void nobody_waits_for_an_event_counter_that_is_full(void **state)
{
	struct port_io *io = open_port("a", true);
	int fd = eventfd(0, EFD_CLOEXEC); // one that blocks
	uint64_t full = UINT64_MAX - 1;
	struct lab_vm vm;

	(void)state;
	assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
	lab_vm_init(&vm);
	replace_calls(&vm, fd);
	assert_int_equal(lab_connect(&vm, path_of("a")), 0);
	assert_true(lab_start(&vm, 0, 1));
	wait_up(io, true);
	send_many(io, &vm);
	assert_int_equal(guest_of(io).mute, 0);
	assert_true(lab_stop(&vm));
	lab_vm_fini(&vm);
	wait_up(io, false);
	close(fd);
	close_port(io);
}

static void what_is_no_event_counter_is_never_written_to(void **state)
{
	struct port_io *io = open_port("a", true);
	uint8_t filling[4096] = {0};
	struct lab_vm vm;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	while (write(fds[1], filling, sizeof(filling)) > 0)
		;
	assert_int_equal(fcntl(fds[1], F_SETFL, 0), 0); // who writes now, waits
	lab_vm_init(&vm);
	replace_calls(&vm, fds[1]);
	assert_int_equal(lab_connect(&vm, path_of("a")), 0);
	assert_true(lab_start(&vm, 0, 1));
	wait_up(io, true);
	send_many(io, &vm);
	assert_true(guest_of(io).mute >= 2);
	assert_int_equal(guest_of(io).interrupts, 0);
	assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
	lab_vm_fini(&vm);
	wait_up(io, false);

	// The next driver has interrupts.
	lab_vm_init(&vm);
	assert_int_equal(lab_connect(&vm, path_of("a")), 0);
	assert_true(lab_start(&vm, 0, 1));
	wait_up(io, true);
	send_many(io, &vm);
	assert_true(guest_of(io).interrupts >= 20);
	lab_vm_fini(&vm);
	wait_up(io, false);
	close(fds[0]);
	close(fds[1]);
	close_port(io);
}

// ---- Leaving under traffic ----

static struct {
	struct port_io *io;
	_Atomic bool stop;
	_Atomic uint64_t received, sent;
} traffic;

static void *carry(void *arg)
{
	uint16_t share = (uint16_t)(size_t)arg;
	struct rte_mbuf *pkts[32];

	rte_thread_register();
	while (!traffic.stop) {
		uint16_t n = traffic.io->ops->lend(traffic.io, share, pkts, 32);
		uint16_t sent = n > 0 ? traffic.io->ops->tx(traffic.io, pkts, n) : 0;

		rte_pktmbuf_free_bulk(pkts + sent, n - sent);
		if (n > 0)
			traffic.io->ops->done(traffic.io, share);
		traffic.received += n;
		traffic.sent += sent;
	}
	rte_thread_unregister();
	return NULL;
}

static void send_until_received(struct lab_vm *vm, unsigned int pairs, uint64_t n)
{
	uint64_t end = traffic.received + n;
	uint8_t frame[1000] = {2};

	for (int i = 0; i < 500000 && traffic.received < end; i++)
		if (!lab_send(vm, (unsigned int)i % pairs, &plain, frame, sizeof(frame), 0))
			usleep(10);
	assert_true(traffic.received >= end);
}

// Its memory is gone when the last message or the connection's end is answered: whoever touches
// it then, dies.
static void driver_leaves_under_traffic_without_a_trace(void **state)
{
	struct port_io *io;
	uint8_t frame[1000] = {2};
	pthread_t thread[2];

	shares = *(const uint16_t *)*state;
	io = open_port("a", true);
	traffic.io = io;
	traffic.stop = false;
	for (size_t i = 0; i < shares; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, carry, (void *)i), 0);
	for (int round = 0; round < 30; round++) {
		unsigned int pairs = 1 + (unsigned int)round % 2;
		struct lab_vm vm;

		lab_vm_init(&vm);
		assert_int_equal(lab_connect(&vm, path_of("a")), 0);
		assert_true(lab_start(&vm, LAB_FEATURE(VIRTIO_NET_F_MRG_RXBUF), pairs));
		wait_up(io, true);
		lab_give(&vm, 0, 200, LAB_BUFFER);
		send_until_received(&vm, pairs, 50);
		switch (round % 3) {
		case 0: // reboots and goes on
			assert_true(lab_stop(&vm));
			wait_up(io, false);
			assert_true(lab_start(&vm, 0, 1));
			lab_send(&vm, 0, &plain, frame, sizeof(frame), 0);
			break;
		case 1: // other memory under rings in use, as when some is added
			for (int i = 0; i < 5; i++)
				assert_true(lab_move_memory(&vm));
			assert_true(lab_stop(&vm));
			assert_true(lab_start(&vm, 0, 1));
			send_until_received(&vm, 1, 1);
			break;
		default:
			break;
		}
		lab_vm_fini(&vm);
		wait_up(io, false);
	}
	traffic.stop = true;
	for (size_t i = 0; i < shares; i++)
		pthread_join(thread[i], NULL);
	assert_true(traffic.sent > 0);
	close_port(io);
	shares = 1;
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
		cmocka_unit_test(socket_is_there_as_long_as_its_port),
		cmocka_unit_test(socket_of_a_dead_process_is_replaced),
		cmocka_unit_test(socket_that_somebody_listens_on_is_left_alone),
		cmocka_unit_test(name_that_cannot_be_a_socket_is_refused),
		cmocka_unit_test(port_is_up_while_a_driver_is_ready),
		cmocka_unit_test(newest_driver_has_the_port),
		cmocka_unit_test(port_connects_again_and_again_to_a_qemu_that_listens),
		cmocka_unit_test(hundreds_of_ports_come_and_go),
		cmocka_unit_test(nobody_waits_for_an_event_counter_that_is_full),
		cmocka_unit_test(what_is_no_event_counter_is_never_written_to),
		cmocka_unit_test_prestate(driver_leaves_under_traffic_without_a_trace, &one),
		cmocka_unit_test_prestate(driver_leaves_under_traffic_without_a_trace, &two),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
