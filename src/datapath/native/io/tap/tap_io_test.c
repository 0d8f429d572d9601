// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/port_io.h"

#include "datapath/native/testing/tap_lab.h"
#include "datapath/native/io/tap/tap_ring.h"

#include <linux/capability.h>
#include <netinet/if_ether.h>
#include <sys/mount.h>
#include <sys/syscall.h>

static struct peer vm1, vm2;

static int two_vms(void **state)
{
	(void)state;
	if (lab_missing != NULL)
		return 0;
	peer_start(&vm1, 1);
	peer_start(&vm2, 2);
	peer_attach(&vm1, 1500);
	peer_attach(&vm2, 1500);
	return 0;
}

static int no_vms(void **state)
{
	(void)state;
	if (lab_missing != NULL)
		return 0;
	peer_stop(&vm1);
	peer_stop(&vm2);
	return 0;
}

#define BATCH 60 // that the ring holds at once

static void frames_come_in_order_and_whole(void **state)
{
	(void)state;
	needs_lab();
	uint8_t f[1600];
	int fd = peer_packets(&vm1, 0);
	uint32_t taken = 0;

	// More than the ring has slots, so that every slot is used again.
	for (uint32_t round = 0; round < 10; round++) {
		struct rte_mbuf *pkts[BATCH];

		for (uint32_t i = 0; i < BATCH; i++) {
			size_t len = lab_frame(f, round * BATCH + i, 60 + (i * 37) % 1455);
			assert_int_equal(send(fd, f, len, 0), len);
		}
		assert_int_equal(take(vm1.io, LAB_ETHERTYPE, pkts, BATCH, PATIENCE_MS), BATCH);
		for (uint32_t i = 0; i < BATCH; i++, taken++) {
			size_t len = lab_frame(f, taken, 60 + (i * 37) % 1455);
			assert_int_equal(pkts[i]->pkt_len, len);
			assert_memory_equal(rte_pktmbuf_mtod(pkts[i], void *), f, len);
			assert_int_equal(pkts[i]->ol_flags, 0);
			rte_pktmbuf_free(pkts[i]);
		}
	}
	assert_int_equal(stats_of(vm1.io).rx_lost, 0);
	close(fd);
}

static void frames_go_out_in_order_and_do_not_come_back(void **state)
{
	(void)state;
	needs_lab();
	uint8_t f[1600], seen[1600];
	struct rte_mbuf *pkts[100];
	int fd = peer_packets(&vm2, 0);

	for (uint32_t i = 0; i < 100; i++)
		pkts[i] = frame_new(f, lab_frame(f, i, 60 + (i * 37) % 1455));
	assert_int_equal(vm2.io->ops->tx(vm2.io, pkts, 100), 100);
	for (uint32_t i = 0; i < 100; i++) {
		size_t len = lab_frame(f, i, 60 + (i * 37) % 1455);
		ssize_t n;

		do {
			n = recv(fd, seen, sizeof(seen), 0);
		} while (seen[12] != 0x88);
		assert_int_equal(n, len);
		assert_memory_equal(seen, f, len);
	}
	assert_int_equal(take(vm2.io, LAB_ETHERTYPE, pkts, 1, 50), 0);
	close(fd);

	// Nor is what the host sends a frame of the VM's.
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
				 .sll_ifindex = (int)if_nametoindex(vm2.tap)};
	size_t len = lab_frame(f, 1, 100);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	assert_int_equal(sendto(fd, f, len, 0, (struct sockaddr *)&to, sizeof(to)), len);
	assert_int_equal(take(vm2.io, LAB_ETHERTYPE, pkts, 1, 50), 0);
	close(fd);
}

static void what_the_ring_cannot_hold_is_counted(void **state)
{
	(void)state;
	needs_lab();
	uint8_t f[64];
	struct rte_mbuf *pkts[1000];
	int fd = peer_packets(&vm1, 0);

	for (uint32_t i = 0; i < 1000; i++)
		send(fd, f, lab_frame(f, i, 60), 0);
	// The kernel may still be at it.
	for (int i = 0; i < 2000 && stats_of(vm1.io).rx_lost < 900; i++)
		usleep(10000);
	uint16_t got = take(vm1.io, LAB_ETHERTYPE, pkts, 1000, 200);
	assert_in_range(got, 64, 100);
	for (uint32_t i = 0; i < got; i++) {
		uint32_t number;

		memcpy(&number, rte_pktmbuf_mtod_offset(pkts[i], char *, 14), sizeof(number));
		assert_int_equal(number, i);
	}
	rte_pktmbuf_free_bulk(pkts, got);
	assert_true(got + stats_of(vm1.io).rx_lost >= 1000);
	close(fd);
}

static void a_frame_longer_than_the_mtu_is_refused_and_the_rest_goes_on(void **state)
{
	(void)state;
	needs_lab();
	uint8_t f[1800], seen[1800];
	struct rte_mbuf *pkts[3];
	int fd = peer_packets(&vm2, 0);

	for (uint32_t i = 0; i < 3; i++)
		pkts[i] = frame_new(f, lab_frame(f, i, i == 1 ? 1700 : 100));
	assert_int_equal(vm2.io->ops->tx(vm2.io, pkts, 3), 3);
	assert_int_equal(stats_of(vm2.io).tx_refused, 1);
	for (uint8_t i = 0; i < 3; i += 2) {
		do {
			assert_true(recv(fd, seen, sizeof(seen), 0) > 0);
		} while (seen[12] != 0x88);
		assert_int_equal(seen[14], i);
	}
	close(fd);
}

static void a_vlan_tag_is_seen_in_the_frame(void **state)
{
	(void)state;
	needs_lab();
	uint8_t f[100], tagged[104];
	struct rte_mbuf *m = NULL;
	int fd = peer_packets(&vm1, 0);

	lab_frame(f, 7, 100);
	memcpy(tagged, f, 12);
	memcpy(tagged + 12, "\x81\x00\x60\x2a", 4); // priority 3, VLAN 42
	memcpy(tagged + 16, f + 12, 88);
	assert_int_equal(send(fd, tagged, sizeof(tagged), 0), sizeof(tagged));
	assert_int_equal(take(vm1.io, 0x8100, &m, 1, PATIENCE_MS), 1);
	assert_int_equal(m->pkt_len, sizeof(tagged));
	assert_memory_equal(rte_pktmbuf_mtod(m, void *), tagged, sizeof(tagged));
	rte_pktmbuf_free(m);
	close(fd);
}

static void jumbo_frames_are_chains(void **state)
{
	(void)state;
	needs_lab();
	static uint8_t f[9014], seen[9100];
	struct rte_mbuf *m = NULL;
	int fd;

	run("ip link set %s mtu 9000 && nsenter -t %d -n ip link set eth0 mtu 9000", vm1.tap,
	    vm1.pid);
	vm1.io->ops->close(vm1.io);
	peer_attach(&vm1, 9000);
	fd = peer_packets(&vm1, 0);
	for (uint32_t i = 0; i < 300; i++) {
		lab_frame(f, i, sizeof(f));
		assert_int_equal(send(fd, f, sizeof(f), 0), sizeof(f));
		assert_int_equal(take(vm1.io, LAB_ETHERTYPE, &m, 1, PATIENCE_MS), 1);
		assert_int_equal(m->pkt_len, sizeof(f));
		assert_int_equal(m->nb_segs, 5);
		rte_mbuf_sanity_check(m, 1);
		assert_memory_equal(rte_pktmbuf_read(m, 0, sizeof(f), seen), f, sizeof(f));
		assert_int_equal(vm1.io->ops->tx(vm1.io, &m, 1), 1);
		do {
			assert_true(recv(fd, seen, sizeof(seen), 0) > 0);
		} while (seen[12] != 0x88);
		assert_memory_equal(seen, f, sizeof(f));
	}
	close(fd);
}

// Does somebody answer VM 1's ARP request for 10.0.0.254?
static bool host_answers(uint32_t patience_ms)
{
	struct {
		uint8_t dst[6], src[6], type[2];
		struct ether_arp arp;
	} __attribute__((packed)) q, a;
	struct pollfd p = {.fd = peer_packets(&vm1, 0), .events = POLLIN};
	uint64_t end = weft_now_ms() + patience_ms;
	bool answered = false;

	memset(&q, 0, sizeof(q));
	memset(q.dst, 0xff, 6);
	memcpy(q.src, "\x02\0\0\0\0\x01", 6);
	memcpy(q.type, "\x08\x06", 2);
	memcpy(&q.arp, "\0\x01\x08\0\x06\x04\0\x01", 8);
	memcpy(q.arp.arp_sha, q.src, 6);
	memcpy(q.arp.arp_spa, "\x0a\0\0\x01", 4);
	memcpy(q.arp.arp_tpa, "\x0a\0\0\xfe", 4);
	assert_int_equal(send(p.fd, &q, sizeof(q), 0), sizeof(q));
	while (!answered && weft_now_ms() < end)
		if (poll(&p, 1, 20) == 1 && recv(p.fd, &a, sizeof(a), 0) == sizeof(a))
			answered = memcmp(a.type, q.type, 2) == 0 &&
				   memcmp(a.arp.arp_spa, q.arp.arp_tpa, 4) == 0;
	close(p.fd);
	return answered;
}

static bool host_answers_ping(const char *address, int patience_s)
{
	char command[128];

	snprintf(command, sizeof(command), "nsenter -t %d -n ping -c 1 -W %d %s >/dev/null 2>&1",
		 vm1.pid, patience_s, address);
	return system(command) == 0;
}

static void the_host_is_deaf_to_the_vm_from_attach_on(void **state)
{
	(void)state;
	needs_lab();

	// First the host as it is without us, so that the test can fail.
	vm1.io->ops->close(vm1.io);
	vm1.io = NULL;
	run("ip link del %s", vm1.tap);
	run("ip link add %s type veth peer name eth0 address 02:00:00:00:00:01 netns %d", vm1.tap,
	    vm1.pid);
	run("ip addr add 10.0.0.254/24 dev %s && ip addr add fd00::fe/64 dev %s nodad && "
	    "ip link set %s up",
	    vm1.tap, vm1.tap, vm1.tap);
	run("nsenter -t %d -n sh -c 'ip addr add 10.0.0.1/24 dev eth0 && "
	    "ip addr add fd00::1/64 dev eth0 nodad && ip link set eth0 up'",
	    vm1.pid);
	peer_wait_carrier(&vm1);
	assert_true(host_answers(PATIENCE_MS));
	assert_true(host_answers_ping("10.0.0.254", PATIENCE_MS / 1000));

	peer_attach(&vm1, 1500);
	assert_false(host_answers(300));
	assert_false(host_answers_ping("10.0.0.254", 1));
	assert_false(host_answers_ping("fd00::fe", 1));

	// Nor does the host hear it while weftd is away, and attaching again finds all in place.
	vm1.io->ops->close(vm1.io);
	vm1.io = NULL;
	assert_false(host_answers(300));
	peer_attach(&vm1, 1500);
	assert_false(host_answers(300));
	run("tc qdisc del dev %s clsact 2>/dev/null || true", vm1.tap);
	assert_true(host_answers(PATIENCE_MS));
}

static void an_interface_that_goes_away_is_silent(void **state)
{
	(void)state;
	needs_lab();
	uint8_t f[100];
	struct rte_mbuf *pkts[3], *m = NULL;

	run("ip link set %s down", vm1.tap);
	assert_int_equal(take(vm1.io, LAB_ETHERTYPE, &m, 1, 20), 0);
	m = frame_new(f, lab_frame(f, 1, 100));
	assert_int_equal(vm1.io->ops->tx(vm1.io, &m, 1), 1);
	assert_int_equal(stats_of(vm1.io).tx_refused, 1);
	run("ip link set %s up", vm1.tap);
	peer_wait_carrier(&vm1);
	int fd = peer_packets(&vm1, 0);
	send(fd, f, lab_frame(f, 2, 100), 0);
	assert_int_equal(take(vm1.io, LAB_ETHERTYPE, &m, 1, PATIENCE_MS), 1);
	rte_pktmbuf_free(m);
	close(fd);

	run("ip link del %s", vm1.tap);
	assert_int_equal(take(vm1.io, LAB_ETHERTYPE, &m, 1, 20), 0); // and what came before
	for (int i = 0; i < 100; i++)
		assert_int_equal(vm1.io->ops->rx(vm1.io, 0, pkts, 3), 0);
	for (uint32_t i = 0; i < 3; i++)
		pkts[i] = frame_new(f, lab_frame(f, i, 100));
	assert_int_equal(vm1.io->ops->tx(vm1.io, pkts, 3), 3);
	assert_int_equal(stats_of(vm1.io).tx_refused, 4);
}

static void errors_name_the_interface(void **state)
{
	(void)state;
	needs_lab();
	struct port_io *io = NULL;
	struct err err = {0};

	assert_int_equal(weft_tap_open("tapnosuch", 1500, lab_pool, &io, &err), -ENODEV);
	assert_non_null(strstr(err.msg, "tapnosuch"));
	assert_int_equal(weft_tap_open("a-name-that-is-too-long", 1500, lab_pool, &io, &err),
			 -ENODEV);
	assert_int_equal(weft_tap_open(vm1.tap, 100000, lab_pool, &io, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "MTU to 100000"));
	assert_null(io);
}

static int open_with_capabilities(const char *ifname, uint32_t low)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[2] = {{.effective = low, .permitted = low}};
	int status;

	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		struct port_io *io;
		struct err err = {0};

		if (syscall(SYS_capset, &head, caps) < 0)
			_exit(100);
		int ret = weft_tap_open(ifname, 1500, lab_pool, &io, &err);
		print_message("%d %s\n", ret, err.msg);
		_exit(ret == 0 || strstr(err.msg, ifname) != NULL ? -ret : 101);
	}
	waitpid(pid, &status, 0);
	return -WEXITSTATUS(status);
}

static void without_the_right_to_filter_nothing_is_attached(void **state)
{
	(void)state;
	needs_lab();

	run("ip link add tapcap type veth peer name vmcap");
	assert_int_equal(open_with_capabilities("tapcap", 0), -EPERM);
	assert_int_equal(open_with_capabilities("tapcap", 1u << CAP_NET_RAW), -EPERM);
	// BPF is refused; a kernel that has matchall does without.
	int ret = open_with_capabilities("tapcap", 1u << CAP_NET_RAW | 1u << CAP_NET_ADMIN);
	assert_true(ret == -ENOTSUP || ret == 0);
	if (ret != 0)
		run("ip link show tapcap | grep -q 'state DOWN'");
	run("ip link del tapcap");
}

static void the_mtu_is_raised_and_ipv6_is_off(void **state)
{
	(void)state;
	needs_lab();
	vm1.io->ops->close(vm1.io);
	run("ip link set %s mtu 1400", vm1.tap);
	peer_attach(&vm1, 1450);
	run("ip link show %s | grep -q 'mtu 1450'", vm1.tap);
	run("test -z \"$(ip -6 addr show dev %s)\"", vm1.tap);
	vm1.io->ops->close(vm1.io);
	peer_attach(&vm1, 1300);
	run("ip link show %s | grep -q 'mtu 1450'", vm1.tap);
}

#define MANY 200

static void hundreds_of_interfaces_are_attached_at_once(void **state)
{
	(void)state;
	needs_lab();
	static struct port_io *io[MANY];
	struct err err = {0};
	FILE *batch = popen("ip -batch -", "w");
	uint64_t t;

	for (int i = 0; i < MANY; i++)
		fprintf(batch, "link add tapm%d type veth peer name vm%d\nlink set vm%d up\n", i, i,
			i);
	assert_int_equal(pclose(batch), 0);

	t = weft_now_ms();
	for (int i = 0; i < MANY; i++) {
		char name[16];

		snprintf(name, sizeof(name), "tapm%d", i);
		if (weft_tap_open(name, 1500, lab_pool, &io[i], &err) < 0)
			fail_msg("%s", err.msg);
	}
	print_message("%d interfaces attached in %u ms\n", MANY, (unsigned int)(weft_now_ms() - t));
	for (int i = 0; i < MANY; i += 7) {
		uint8_t f[100];
		struct rte_mbuf *m = NULL;
		int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
		char name[16];

		snprintf(name, sizeof(name), "vm%d", i);
		struct sockaddr_ll to = {.sll_family = AF_PACKET,
					 .sll_ifindex = (int)if_nametoindex(name)};
		size_t len = lab_frame(f, (uint32_t)i, 100);
		char tap[16];

		snprintf(tap, sizeof(tap), "tapm%d", i);
		wait_carrier(fd, tap, fd, name);
		assert_int_equal(sendto(fd, f, len, 0, (struct sockaddr *)&to, sizeof(to)), len);
		assert_int_equal(take(io[i], LAB_ETHERTYPE, &m, 1, PATIENCE_MS), 1);
		rte_pktmbuf_free(m);
		close(fd);
	}

	struct rte_mbuf *pkts[32];
	struct timespec a, b;
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int round = 0; round < 1000; round++)
		for (int i = 0; i < MANY; i++)
			rte_pktmbuf_free_bulk(pkts, io[i]->ops->rx(io[i], 0, pkts, 32));
	clock_gettime(CLOCK_MONOTONIC, &b);
	print_message("an idle port costs %.1f ns\n",
		      ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) /
			      (1000.0 * MANY));
	t = weft_now_ms();
	for (int i = 0; i < MANY; i++)
		io[i]->ops->close(io[i]);
	weft_tap_finish();
	print_message("detached in %u ms\n", (unsigned int)(weft_now_ms() - t));
	assert_int_equal(weft_tap_ring_stock(), 0);
}

// As under systemd's ProtectKernelTunables. Last, for there is no way back.
static void ipv6_is_off_even_if_sysctl_is_read_only(void **state)
{
	(void)state;
	needs_lab();
	struct port_io *io;
	struct err err = {0};

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("/proc/sys", "/proc/sys", NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, "/proc/sys", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
		weft_skip("no right to mount");
	run("ip link add tapro type veth peer name vmro && ip link set vmro up");
	if (weft_tap_open("tapro", 1500, lab_pool, &io, &err) < 0)
		fail_msg("%s", err.msg);
	// Its peer has an address as soon as there is a carrier.
	run("for i in $(seq 200); do test -n \"$(ip -6 addr show dev vmro)\" && break; sleep 0.1; done; "
	    "test -n \"$(ip -6 addr show dev vmro)\" && test -z \"$(ip -6 addr show dev tapro)\"");
	io->ops->close(io);
}

int main(void)
{
#define with_vms(test) cmocka_unit_test_setup_teardown(test, two_vms, no_vms)
	const struct CMUnitTest tests[] = {
		with_vms(frames_come_in_order_and_whole),
		with_vms(frames_go_out_in_order_and_do_not_come_back),
		with_vms(what_the_ring_cannot_hold_is_counted),
		with_vms(a_frame_longer_than_the_mtu_is_refused_and_the_rest_goes_on),
		with_vms(a_vlan_tag_is_seen_in_the_frame),
		with_vms(jumbo_frames_are_chains),
		with_vms(the_host_is_deaf_to_the_vm_from_attach_on),
		with_vms(an_interface_that_goes_away_is_silent),
		with_vms(errors_name_the_interface),
		cmocka_unit_test(without_the_right_to_filter_nothing_is_attached),
		with_vms(the_mtu_is_raised_and_ipv6_is_off),
		cmocka_unit_test(hundreds_of_interfaces_are_attached_at_once),
		cmocka_unit_test(ipv6_is_off_even_if_sysctl_is_read_only),
	};

	return cmocka_run_group_tests(tests, lab_start, lab_stop);
}
