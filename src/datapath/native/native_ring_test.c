// SPDX-License-Identifier: Apache-2.0
// What the control thread does about a port that loses packets at its interface: it gives it a
// longer ring, while a worker may be using the short one.
#include "datapath/native/native.h"

#include <sys/stat.h>

#include "datapath/native/testing/native_fixture.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/io/tap/tap_io.h"
#include "datapath/native/testing/tap_lab.h"

#define SHORT_HOLDS 64 // frames at least

struct rig { // two ports of a node, and the VM behind the first
	struct testbed *tb;
	struct datapath *dp;
	struct peer vm, other;
	int packets; // of the VM
};

static const char *missing; // why there is no rig

static void rig_port(struct rig *r, const char *id, struct peer *p, int n)
{
	struct err err = {0};

	peer_start(p, n);
	if (weft_native_ops.attach(r->dp, id, p->tap, &err) != 0)
		fail_msg("%s", err.msg);
	peer_wait_carrier(p);
}

static struct rig rig_new(void)
{
	struct rig r = {.tb = two_ports("ingress 4 udp\n")};

	r.dp = (struct datapath *)&r.tb->dp;
	lab_pool = r.tb->dp.node.pool;
	rig_port(&r, "client", &r.vm, 1);
	rig_port(&r, "server", &r.other, 2);
	r.packets = peer_packets(&r.vm, 0);
	return r;
}

static struct port_io *io_of(const struct rig *r, const char *id)
{
	return atomic_load(&weft_tables_port(r->tb->dp.tables, id)->io);
}

// The worker has done with what it held.
static void quiescent(const struct rig *r)
{
	rte_rcu_qsbr_quiescent(r->tb->dp.node.qsbr, 0);
}

static void rig_free(struct rig *r)
{
	close(r->packets);
	weft_native_ops.detach(r->dp, "client");
	weft_native_ops.detach(r->dp, "server");
	quiescent(r);
	peer_stop(&r->vm);
	peer_stop(&r->other);
	testbed_free(r->tb);
}

// A tick that looks at the rings.
static void tick(const struct rig *r)
{
	r->tb->dp.rings_seen_ms = native_now_ms(&r->tb->dp.node) - 1000;
	weft_native_ops.tick(r->dp);
}

static uint64_t lost(const struct port_io *io)
{
	return stats_of(io).rx_lost;
}

// The socket, whatever number another one may get.
static ino_t socket_of(int fd)
{
	struct stat s;

	return fstat(fd, &s) == 0 ? s.st_ino : 0;
}

static void send_frames(const struct rig *r, uint32_t n)
{
	uint8_t f[64];

	for (uint32_t i = 0; i < n; i++)
		send(r->packets, f, lab_frame(f, i, 60), 0);
}

// Nobody reads, until so many more are lost.
static void lose(const struct rig *r, struct port_io *io, uint64_t n)
{
	uint64_t before = lost(io);

	for (int i = 0; i < PATIENCE_MS / 10 && lost(io) - before < n; i++) {
		send_frames(r, 1000);
		usleep(1000);
	}
	assert_true(lost(io) - before >= n);
}

static void assert_receives(struct port_io *io, uint16_t n)
{
	struct rte_mbuf *pkts[256];

	assert_int_equal(take(io, LAB_ETHERTYPE, pkts, n, PATIENCE_MS), n);
	rte_pktmbuf_free_bulk(pkts, n);
}

static void port_that_loses_packets_has_a_longer_ring_after_a_tick(void **state)
{
	struct port_io *client, *server, *longer;
	uint64_t was_lost;
	struct rig r;
	ino_t socket;
	int fd;

	(void)state;
	if (missing != NULL)
		weft_skip(missing);
	r = rig_new();
	client = io_of(&r, "client");
	server = io_of(&r, "server");
	send_frames(&r, SHORT_HOLDS / 2); // which find room
	assert_receives(client, SHORT_HOLDS / 2);
	tick(&r);
	assert_ptr_equal(io_of(&r, "client"), client);

	lose(&r, client, 100);
	was_lost = lost(client);
	fd = ((struct tap_io *)client)->ring.fd;
	socket = socket_of(fd);
	tick(&r);
	longer = io_of(&r, "client");
	assert_ptr_not_equal(longer, client);
	assert_ptr_equal(io_of(&r, "server"), server); // which lost nothing
	assert_true(lost(longer) >= was_lost);	       // its counters go on

	// A worker that has the old one can go on using it, and finds what was there.
	weft_native_ops.tick(r.dp);
	assert_true(socket_of(fd) == socket);
	assert_receives(client, SHORT_HOLDS);
	quiescent(&r);
	weft_native_ops.tick(r.dp);
	for (int i = 0; i < PATIENCE_MS / 10 && socket_of(fd) == socket; i++)
		usleep(10000); // a thread of its own closes it
	assert_true(socket_of(fd) != socket);

	// The long one receives, more than the short one could hold, and is there to stay.
	send_frames(&r, 3 * SHORT_HOLDS);
	assert_receives(longer, 3 * SHORT_HOLDS);
	lose(&r, longer, 100);
	tick(&r);
	assert_ptr_equal(io_of(&r, "client"), longer);
	rig_free(&r);
}

// The tick may find it before the news of its end.
static void port_whose_interface_has_gone_is_detached_as_ever(void **state)
{
	struct port_io *client;
	struct rig r;

	(void)state;
	if (missing != NULL)
		weft_skip(missing);
	r = rig_new();
	client = io_of(&r, "client");
	lose(&r, client, 100);
	run("ip link del %s", r.vm.tap);
	tick(&r);
	assert_ptr_not_equal(io_of(&r, "client"), client);
	quiescent(&r);
	weft_native_ops.tick(r.dp);
	weft_native_ops.detach(r.dp, "client");
	assert_null(io_of(&r, "client"));
	rig_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(port_that_loses_packets_has_a_longer_ring_after_a_tick),
		cmocka_unit_test(port_whose_interface_has_gone_is_detached_as_ever),
	};

	if (unshare(CLONE_NEWNET) < 0)
		missing = "no right to make network namespaces";
	else if (system("ip link set lo up") != 0)
		missing = "iproute2 is not installed";
	lab_host_ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
