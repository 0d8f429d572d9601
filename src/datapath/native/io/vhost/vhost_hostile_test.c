// SPDX-License-Identifier: Apache-2.0
// A front end that means ill: memory that it takes back, messages that cannot be, silence in the
// middle of one. Its own connection ends; another port does not notice, and nothing is left over.
#include "datapath/native/io/port_io.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "datapath/native/testing/vhost_testing.h"

#define PROTOCOL   LAB_FEATURE(30) // VHOST_USER_F_PROTOCOL_FEATURES
#define NEED_REPLY 8u

static void need_socket(struct side *s, const char *name)
{
	if (s->io == NULL)
		make_socket(s, name);
}

static const char *a_path(void)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/a", dir);
	return path;
}

static void unplug(struct side *s)
{
	lab_vm_fini(&s->vm);
	wait_up(s, false);
}

// A connection is closed by the loop's thread, when it comes to it.
static void wait_descriptors(unsigned int n)
{
	for (int i = 0; i < 3000 && lab_descriptors() != n; i++)
		usleep(1000);
	assert_int_equal(lab_descriptors(), n);
}

static bool is_cut(struct lab_vm *vm)
{
	char byte;

	return recv(vm->fd, &byte, 1, 0) == 0 || errno == ECONNRESET;
}

// b's VM gets what a's would: it is there, and works.
static void assert_b_works(void)
{
	struct rte_mbuf *m;
	struct virtio_net_hdr h;
	size_t len = make(in, 4, UDP, 100);

	lab_give(&b.vm, 0, 1, LAB_BUFFER);
	assert_true(lab_send(&b.vm, 0, &plain, in, len, 0));
	assert_int_equal(b.io->ops->rx(b.io, 0, &m, 1), 1);
	assert_int_equal(b.io->ops->tx(b.io, &m, 1), 1);
	assert_int_equal(lab_receive(&b.vm, 0, &h, out, sizeof(out)), len);
	assert_memory_equal(in, out, len);
}

// ---- Memory that is not there --------------------------------------------------------------

static bool share(struct lab_vm *vm, int fd, uint64_t size, uint64_t offset)
{
	struct {
		uint32_t n, padding;
		uint64_t guest, size, user, offset;
	} table = {1, 0, 0, size, vm->user, offset};

	return lab_message(vm, SET_MEM_TABLE, &table, sizeof(table), &fd, 1);
}

static void what_is_shorter_than_it_says_is_not_mapped(void **state)
{
	static const struct {
		uint64_t size, offset;
	} wrong[] = {{LAB_MEMORY + 1, 0},
		     {LAB_MEMORY, 4096},
		     {4096, LAB_MEMORY},
		     {LAB_MEMORY, UINT64_MAX},
		     {UINT64_MAX, 0},
		     {1ULL << 46, 0},
		     {0, 0},
		     {UINT64_MAX, 4096}};
	int others[] = {open("/dev/zero", O_RDWR), eventfd(0, 0), open("/", O_RDONLY)};
	unsigned int before;

	(void)state;
	plug(&b, "b", 0, 1);
	need_socket(&a, "a");
	before = lab_descriptors();
	for (size_t i = 0; i < RTE_DIM(wrong) + RTE_DIM(others); i++) {
		bool size = i < RTE_DIM(wrong);

		lab_vm_init(&a.vm);
		assert_int_equal(lab_connect(&a.vm, a_path()), 0);
		assert_true(share(&a.vm, size ? a.vm.memory_fd : others[i - RTE_DIM(wrong)],
				  size ? wrong[i].size : LAB_MEMORY, size ? wrong[i].offset : 0));
		assert_true(is_cut(&a.vm));
		lab_vm_fini(&a.vm);
	}
	wait_descriptors(before);
	for (size_t i = 0; i < RTE_DIM(others); i++)
		close(others[i]);
	assert_b_works();
	unplug(&b);
}

static void tx_one(struct side *to)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	assert_non_null(m);
	memset(rte_pktmbuf_append(m, 200), 7, 200);
	if (to->io->ops->tx(to->io, &m, 1) == 0)
		rte_pktmbuf_free(m);
}

static void rx_some(struct side *from)
{
	struct rte_mbuf *pkts[32];

	rte_pktmbuf_free_bulk(pkts, from->io->ops->rx(from->io, 0, pkts, 32));
}

enum touch { RECEIVE, SEND, LENT, LOG, TOUCHES };

// What the worker touches first when the memory has gone.
static void touch(enum touch how)
{
	struct rte_mbuf *pkts[4];
	uint16_t n;

	switch (how) {
	case RECEIVE:
		assert_int_equal(ftruncate(a.vm.memory_fd, 0), 0);
		rx_some(&a);
		break;
	case SEND:
		assert_int_equal(ftruncate(a.vm.memory_fd, 0), 0);
		tx_one(&a);
		break;
	case LENT: // its head was read, its payload was not
		n = a.io->ops->lend(a.io, 0, pkts, 4);
		assert_int_equal(n, 4);
		assert_int_equal(ftruncate(a.vm.memory_fd, 0), 0);
		n -= b.io->ops->tx(b.io, pkts, n);
		rte_pktmbuf_free_bulk(pkts + 4 - n, n);
		a.io->ops->done(a.io, 0);
		break;
	default:
		assert_int_equal(ftruncate(a.vm.log_fd, 0), 0);
		tx_one(&a);
		break;
	}
}

static void memory_that_goes_under_rings_in_use_ends_its_device_and_no_other(void **state)
{
	unsigned int before;

	(void)state;
	plug(&b, "b", LAB_FEATURE(VIRTIO_NET_F_MRG_RXBUF), 1);
	need_socket(&a, "a");
	before = lab_descriptors();
	for (int how = 0; how < TOUCHES; how++) {
		size_t len = make(in, 4, UDP, 1000);

		plug(&a, "a", PROTOCOL, 1);
		lab_give(&a.vm, 0, 8, LAB_BUFFER);
		lab_give(&b.vm, 0, 8, LAB_BUFFER);
		for (int i = 0; i < 4; i++)
			assert_true(lab_send(&a.vm, 0, &plain, in, len, 0));
		if (how == LOG)
			assert_true(lab_log_begin(&a.vm));
		touch(how);
		wait_up(&a, false);
		rx_some(&a); // there is nothing any more
		tx_one(&a);
		assert_true(is_cut(&a.vm));
		lab_vm_fini(&a.vm);
		wait_descriptors(before);
		while (lab_receive(&b.vm, 0, &(struct virtio_net_hdr) {0}, out, sizeof(out)) >= 0)
			;
		assert_b_works();
	}
	// The port takes the next one.
	plug(&a, "a", 0, 1);
	rx_some(&a);
	end_vms();
}

static void memory_that_can_be_sealed_cannot_be_taken_back(void **state)
{
	int fd = memfd_create("vm", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)state;
	assert_int_equal(ftruncate(fd, LAB_MEMORY), 0);
	need_socket(&a, "a");
	lab_vm_init(&a.vm);
	assert_int_equal(lab_connect(&a.vm, a_path()), 0);
	assert_true(share(&a.vm, fd, LAB_MEMORY, 0));
	assert_true(lab_wait(&a.vm));
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(errno, EPERM);
	lab_vm_fini(&a.vm);
	close(fd);
}

// ---- Messages that cannot be ---------------------------------------------------------------

static void messages_that_cannot_be_cost_no_descriptor(void **state)
{
	static const struct {
		uint32_t request, len;
		uint64_t first;
		size_t fds;
	} wrong[] = {
		{SET_VRING_NUM, 8, 4096, 8},
		{SET_VRING_NUM, 8, 1, 8},
		{SET_VRING_NUM, 8, 256, 0},
		{SET_VRING_NUM, 4, 0, 0},
		{SET_VRING_NUM, 8, 0, 0},
		{SET_VRING_NUM, 8, 40000ULL << 32, 0},
		{SET_VRING_BASE, 8, 4096, 8},
		{GET_VRING_BASE, 8, 4096, 8},
		{GET_VRING_BASE, 8, 256, 0},
		{SET_VRING_ENABLE, 8, 4096, 8},
		{SET_VRING_ENABLE, 8, 256, 0},
		{SET_VRING_ADDR, 40, 4096, 8},
		{SET_VRING_ADDR, 40, 256, 0},
		{SET_VRING_KICK, 8, 0, 8},
		{SET_VRING_KICK, 8, 0, 0},
		{SET_VRING_KICK, 8, 256, 1},
		{SET_VRING_KICK, 8, 4096, 1},
		{SET_VRING_CALL, 8, 1ULL << 40, 1},
		{SET_VRING_ERR, 8, 0, 2},
		{SET_INFLIGHT_FD, 24, 4096, 1},
		{SET_INFLIGHT_FD, 20, 4096, 1},
		{GET_INFLIGHT_FD, 20, 4096, 0},
		{SET_SLAVE_REQ_FD, 0, 0, 1},
		{SET_MEM_TABLE, 8, 8, 8},
		{SET_MEM_TABLE, 264, 9, 8},
		{SET_MEM_TABLE, 8, 0, 0},
		{SET_MEM_TABLE, 8, UINT64_MAX, 0},
		{SET_LOG_BASE, 16, 4096, 0},
		{SET_LOG_BASE, 16, 4096, 2},
		{SEND_RARP, 8, 0, 8},
		{NET_SET_MTU, 8, 67, 0},
		{GET_FEATURES, 0, 0, 8},
		{GET_FEATURES, 8, 0, 0},
		{GET_FEATURES, 0, 0, 20},
		{0, 0, 0, 1},
		{12345, 8, 0, 3},
		{GET_FEATURES, 300, 0, 1},
	};
	uint64_t payload[64] = {0};
	unsigned int before;
	int fds[20];

	(void)state;
	plug(&b, "b", 0, 1);
	need_socket(&a, "a");
	for (size_t i = 0; i < RTE_DIM(fds); i++)
		fds[i] = memfd_create("any", MFD_CLOEXEC);
	before = lab_descriptors();
	for (size_t i = 0; i < 3 * RTE_DIM(wrong); i++) {
		size_t k = i % RTE_DIM(wrong);

		lab_vm_init(&a.vm);
		assert_int_equal(lab_connect(&a.vm, a_path()), 0);
		payload[0] = wrong[k].first;
		lab_message(&a.vm, wrong[k].request, payload, wrong[k].len, fds, wrong[k].fds);
		if (!is_cut(&a.vm))
			fail_msg("message %zu is taken", k);
		lab_vm_fini(&a.vm);
	}
	wait_descriptors(before);
	for (size_t i = 0; i < RTE_DIM(fds); i++)
		close(fds[i]);
	assert_b_works();
	unplug(&b);
}

// An answer of its own, or the one that was asked for.
static void say(struct lab_vm *vm, uint32_t request, uint32_t flags, uint64_t value)
{
	struct {
		uint32_t request, flags, size;
		uint32_t low, high;
	} m = {request, 1 | flags, 8, (uint32_t)value, (uint32_t)(value >> 32)};

	assert_int_equal(send(vm->fd, &m, sizeof(m), MSG_NOSIGNAL), sizeof(m));
}

static uint64_t hear(struct lab_vm *vm, uint32_t request)
{
	struct {
		uint32_t request, flags, size;
		uint32_t low, high;
	} m;

	assert_int_equal(recv(vm->fd, &m, sizeof(m), MSG_WAITALL), sizeof(m));
	assert_int_equal(m.request, request);
	assert_int_equal(m.flags, 5);
	assert_int_equal(m.size, 8);
	return m.low | (uint64_t)m.high << 32;
}

static void only_what_is_tested_is_offered(void **state)
{
	enum { SET_PROTOCOL_FEATURES = 16, REPLY_ACK = 3 };
	uint64_t offered;

	(void)state;
	need_socket(&a, "a");
	lab_vm_init(&a.vm);
	assert_int_equal(lab_connect(&a.vm, a_path()), 0);
	assert_true(lab_ask(&a.vm, GET_PROTOCOL_FEATURES, NULL, 0, &offered, sizeof(offered)));
	assert_int_equal(offered, 0x1f); // queues, log, RARP, acknowledgement, MTU
	assert_true(lab_ask(&a.vm, GET_FEATURES, NULL, 0, &offered, sizeof(offered)));
	assert_int_equal(offered, 0xd7c66bbcbULL);
	say(&a.vm, SET_PROTOCOL_FEATURES, 0, 1u << REPLY_ACK);
	say(&a.vm, NET_SET_MTU, NEED_REPLY, 1400);
	assert_int_equal(hear(&a.vm, NET_SET_MTU), 0);
	say(&a.vm, SET_PROTOCOL_FEATURES, NEED_REPLY, 1u << 12); // inflight buffers
	assert_int_equal(hear(&a.vm, SET_PROTOCOL_FEATURES), 1);
	assert_true(is_cut(&a.vm));
	lab_vm_fini(&a.vm);
}

// ---- Nobody waits --------------------------------------------------------------------------

static void half_a_message_keeps_nobody_waiting(void **state)
{
	static const uint32_t header[3] = {SET_VRING_NUM, 1, 8};
	struct lab_vm silent[2];

	(void)state;
	need_socket(&a, "a");
	for (size_t i = 0; i < 2; i++) {
		lab_vm_init(&silent[i]);
		assert_int_equal(lab_connect(&silent[i], a_path()), 0);
		assert_int_equal(send(silent[i].fd, header, i == 0 ? 5 : 12, 0), i == 0 ? 5 : 12);
	}
	plug(&b, "b", 0, 1);
	assert_b_works();
	plug(&a, "a", 0, 1);
	// Its other half may come yet.
	assert_int_equal(send(silent[1].fd, "\0\0\0\0\100\0\0\0", 8, 0), 8);
	assert_true(lab_wait(&silent[1]));
	for (size_t i = 0; i < 2; i++)
		lab_vm_fini(&silent[i]);
	end_vms();
}

static void who_does_not_read_its_answers_keeps_nobody_waiting(void **state)
{
	struct lab_vm deaf;
	int sent = 0;

	(void)state;
	need_socket(&a, "a");
	plug(&b, "b", 0, 1);
	lab_vm_init(&deaf);
	assert_int_equal(lab_connect(&deaf, a_path()), 0);
	while (lab_message(&deaf, GET_FEATURES, NULL, 0, NULL, 0))
		assert_true(++sent < 1000000);
	assert_b_works();
	lab_vm_fini(&deaf);
	unplug(&b);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

// That each waits for somebody who looks once a second would take 40.
static void new_socket_is_served_at_once(void **state)
{
	uint64_t begin = now_ms();

	(void)state;
	for (int i = 0; i < 40; i++) {
		struct side s = {0};
		char name[16];

		snprintf(name, sizeof(name), "n%d", i);
		plug(&s, name, 0, 1);
		unplug(&s);
		s.io->ops->close(s.io);
	}
	assert_true(now_ms() - begin < 20000);
}

static void close_side(struct side *s)
{
	if (s->io != NULL)
		s->io->ops->close(s->io);
	s->io = NULL;
}

// Each test has its own ports: cmocka takes SIGBUS for itself at each one's begin.
static int close_both(void **state)
{
	(void)state;
	close_side(&a);
	close_side(&b);
	return 0;
}

static int end(void **state)
{
	(void)state;
	return eal_testing_stop(dir, pool);
}

#define ILL(test) cmocka_unit_test_teardown(test, close_both)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ILL(what_is_shorter_than_it_says_is_not_mapped),
		ILL(memory_that_goes_under_rings_in_use_ends_its_device_and_no_other),
		ILL(memory_that_can_be_sealed_cannot_be_taken_back),
		ILL(messages_that_cannot_be_cost_no_descriptor),
		ILL(only_what_is_tested_is_offered),
		ILL(half_a_message_keeps_nobody_waiting),
		ILL(who_does_not_read_its_answers_keeps_nobody_waiting),
		ILL(new_socket_is_served_at_once),
	};

	return cmocka_run_group_tests(tests, start, end);
}
