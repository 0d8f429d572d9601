// SPDX-License-Identifier: Apache-2.0
// A DPDK port that gives back what it is sent: net_ring, which can nothing but carry packets.
#include "datapath/native/io/ethdev/ethdev_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#include "datapath/native/io/eal.h"
#include "datapath/frames/services.h"

#include <cmocka.h>

#define DEVICE	"net_ring0"
#define HEADERS (14 + 20 + 20)

static const struct datapath_physical physical = {"p", DEVICE};
static const struct datapath_config config = {.workers = 1, .n_physical = 1, .physical = &physical};
static struct rte_mempool *pool;

static int start(void **state)
{
	struct err err = {0};
	bool huge;

	(void)state;
	if (weft_eal_start(&config, &huge, &err) == 0 && weft_eal_pool(&config, &pool, &err) == 0)
		return 0;
	print_error("%s\n", err.msg);
	return -1;
}

static int stop(void **state)
{
	(void)state;
	rte_mempool_free(pool);
	weft_eal_stop();
	return 0;
}

static struct port_io *opened(void)
{
	struct port_io *io = NULL;
	struct err err = {0};
	uint32_t mtu = 1500;

	if (weft_ethdev_open(DEVICE, 1, &mtu, pool, &io, &err) != 0)
		fail_msg("%s", err.msg);
	assert_int_equal(mtu, 1500);
	return io;
}

static void closed(struct port_io *io)
{
	io->ops->close(io);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

// A TCP packet with that much payload, in buffers as large as they come.
static struct rte_mbuf *tcp_packet(uint32_t payload)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *last = m;
	struct rte_ether_hdr *eth = (void *)rte_pktmbuf_append(m, sizeof(*eth));
	struct rte_ipv4_hdr *ip = (void *)rte_pktmbuf_append(m, sizeof(*ip));
	struct rte_tcp_hdr *tcp = (void *)rte_pktmbuf_append(m, sizeof(*tcp));

	memset(eth, 2, sizeof(*eth));
	eth->ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4);
	*ip = (struct rte_ipv4_hdr) {
		.version_ihl = 0x45,
		.total_length = rte_cpu_to_be_16((uint16_t)(40 + payload)),
		.time_to_live = 64,
		.next_proto_id = 6,
		.src_addr = RTE_BE32(0x0a000001),
		.dst_addr = RTE_BE32(0x0a000002),
	};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	*tcp = (struct rte_tcp_hdr) {.src_port = RTE_BE16(1),
				     .dst_port = RTE_BE16(2),
				     .data_off = 0x50,
				     .tcp_flags = 0x10};
	for (uint32_t i = 0; i < payload; i++) {
		if (rte_pktmbuf_tailroom(last) == 0) {
			last->next = rte_pktmbuf_alloc(pool);
			last = last->next;
			m->nb_segs++;
		}
		*(rte_pktmbuf_mtod(last, uint8_t *) + last->data_len++) = (uint8_t)(i * 7);
	}
	m->pkt_len = HEADERS + payload;
	m->l2_len = 14;
	m->l3_len = 20;
	m->l4_len = 20;
	return m;
}

// As a VM leaves it: the sum of the pseudo-header (with the whole length) stands where the
// checksum belongs.
static void leave_checksum(struct rte_mbuf *m)
{
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, 14);
	struct rte_tcp_hdr *tcp = rte_pktmbuf_mtod_offset(m, struct rte_tcp_hdr *, 34);

	tcp->cksum = rte_ipv4_phdr_cksum(ip, 0);
	m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4;
}

static uint16_t receive(struct port_io *io, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t got = 0, more;

	while (got < n && (more = io->ops->rx(io, 0, pkts + got, (uint16_t)(n - got))) > 0)
		got += more;
	return got;
}

static bool is_finished(const struct rte_mbuf *m, uint32_t l2)
{
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(m, const struct rte_ipv4_hdr *, l2);

	// Computed with the sum in place, neither's complement is anything but 0.
	return m->nb_segs == 1 && rte_raw_cksum(ip, 20) == 0xffff &&
	       weft_csum(ip + 1, rte_be_to_cpu_16(ip->total_length) - 20u,
			 weft_csum_pseudo4(ip->src_addr, ip->dst_addr, 6,
					   rte_be_to_cpu_16(ip->total_length) - 20u)) == 0;
}

static bool has_payload(const struct rte_mbuf *m, uint32_t headers, uint32_t from)
{
	const uint8_t *at = rte_pktmbuf_mtod_offset(m, const uint8_t *, headers);

	for (uint32_t i = 0; i < m->pkt_len - headers; i++)
		if (at[i] != (uint8_t)((from + i) * 7))
			return false;
	return true;
}

static void packets_pass_as_they_are(void **state)
{
	struct port_io *io = opened();
	struct rte_mbuf *m[40], *got[40];

	(void)state;
	for (int i = 0; i < 40; i++)
		m[i] = tcp_packet((uint32_t)i * 30);
	assert_int_equal(io->ops->tx(io, m, 40), 40);
	assert_int_equal(receive(io, got, 40), 40);
	assert_memory_equal(m, got, sizeof(m)); // the very buffers
	assert_true(weft_ethdev_has_link(io));
	rte_pktmbuf_free_bulk(got, 40);
	closed(io);
}

static void checksum_and_tag_are_put_in_where_the_device_cannot(void **state)
{
	struct port_io *io = opened();
	struct rte_mbuf *m = tcp_packet(333), *got;
	struct port_io_stats stats;

	(void)state;
	leave_checksum(m);
	m->ol_flags |= RTE_MBUF_F_TX_VLAN;
	m->vlan_tci = 101;
	assert_int_equal(io->ops->tx(io, &m, 1), 1);
	assert_int_equal(receive(io, &got, 1), 1);
	assert_int_equal(got->pkt_len, HEADERS + 4 + 333);
	assert_memory_equal(rte_pktmbuf_mtod_offset(got, uint8_t *, 12), "\x81\0\0\x65\x08\0", 6);
	assert_true(is_finished(got, 18) && has_payload(got, HEADERS + 4, 0));
	io->ops->stats(io, &stats);
	assert_int_equal(stats.tx_filled, 1);
	rte_pktmbuf_free(got);
	closed(io);
}

static void large_packet_goes_out_in_finished_segments_each_with_its_tag(void **state)
{
	struct port_io *io = opened();
	struct rte_mbuf *m = tcp_packet(60000), *got[64];
	uint32_t offset = 0;
	uint16_t n;

	(void)state;
	leave_checksum(m);
	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_VLAN;
	m->tso_segsz = 1448;
	m->vlan_tci = 7;
	assert_int_equal(io->ops->tx(io, &m, 1), 1);
	n = receive(io, got, 64);
	assert_int_equal(n, (60000 + 1447) / 1448);
	for (uint16_t i = 0; i < n; i++) {
		assert_true(got[i]->pkt_len <= 1518);
		assert_memory_equal(rte_pktmbuf_mtod_offset(got[i], uint8_t *, 12), "\x81\0\0\x07",
				    4);
		assert_true(is_finished(got[i], 18) && has_payload(got[i], HEADERS + 4, offset));
		offset += got[i]->pkt_len - HEADERS - 4;
	}
	assert_int_equal(offset, 60000);
	rte_pktmbuf_free_bulk(got, n);
	closed(io);
}

// One turn may take only so long: what finds no place is not cut.
static void nothing_is_cut_for_a_device_that_takes_no_more(void **state)
{
	struct port_io *io = opened();
	struct rte_mbuf *m[32], *got[64];
	struct port_io_stats stats;
	uint16_t sent, n;
	uint32_t total = 0;

	(void)state;
	for (int i = 0; i < 32; i++) {
		m[i] = tcp_packet(60000);
		leave_checksum(m[i]);
		m[i]->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
		m[i]->tso_segsz = 100;
	}
	sent = io->ops->tx(io, m, 32);
	assert_in_range(sent, 1, 4);
	io->ops->stats(io, &stats);
	assert_int_equal(stats.tx_segmented, sent);
	assert_int_equal(stats.tx_refused, 1); // the end of the last one
	// As many as went, and a run more, at most.
	assert_int_equal(io->ops->tx(io, m + sent, 32 - sent), 0);
	rte_pktmbuf_free_bulk(m + sent, 32u - sent);
	assert_in_range(stats.tx_filled, 512, 4096);
	for (; (n = receive(io, got, 64)) > 0; total += n)
		rte_pktmbuf_free_bulk(got, n);
	assert_in_range(total, stats.tx_filled - 31, stats.tx_filled);
	closed(io);
}

static void packet_that_others_send_too_is_left_as_it_is(void **state)
{
	struct port_io *io = opened();
	struct rte_mbuf *m = tcp_packet(100), *clone, *got;
	uint8_t before[HEADERS + 100];

	(void)state;
	leave_checksum(m);
	memcpy(before, rte_pktmbuf_mtod(m, void *), sizeof(before));
	clone = rte_pktmbuf_clone(m, pool);
	clone->ol_flags |= RTE_MBUF_F_TX_VLAN;
	clone->vlan_tci = 9;
	assert_int_equal(io->ops->tx(io, &clone, 1), 1);
	assert_int_equal(receive(io, &got, 1), 1);
	assert_true(is_finished(got, 18));
	assert_memory_equal(rte_pktmbuf_mtod(m, void *), before, sizeof(before));
	rte_pktmbuf_free(got);
	rte_pktmbuf_free(m);
	closed(io);
}

static void full_device_takes_the_first_ones(void **state)
{
	struct port_io *io = opened();
	uint16_t taken = 32, sum = 0, got = 0;
	struct rte_mbuf *m[32];

	(void)state;
	while (taken == 32 && sum < 4096) {
		for (int i = 0; i < 32; i++)
			m[i] = tcp_packet(10);
		taken = io->ops->tx(io, m, 32);
		sum += taken;
	}
	assert_in_range(sum, 512, 4095);
	rte_pktmbuf_free_bulk(m + taken, 32u - taken);
	while ((taken = io->ops->rx(io, 0, m, 32)) > 0) {
		got += taken;
		rte_pktmbuf_free_bulk(m, taken);
	}
	assert_int_equal(got, sum);
	closed(io);
}

static void missing_device_says_so_and_can_come_later(void **state)
{
	struct port_io *io = NULL;
	struct err err = {0};
	uint32_t mtu = 1500;

	(void)state;
	assert_true(weft_ethdev_open("net_nosuchdriver0", 1, &mtu, pool, &io, &err) < 0);
	if (strstr(err.msg, "net_nosuchdriver0") == NULL)
		fail_msg("\"%s\" does not name the device", err.msg);
	for (int i = 0; i < 3; i++)
		closed(opened());
}

static void interface_below_a_virtual_device_is_known(void **state)
{
	char name[16];

	(void)state;
	assert_true(weft_ethdev_interface("net_af_packet0,iface=eth7,qpairs=2", name));
	assert_string_equal(name, "eth7");
	assert_true(weft_ethdev_interface("net_af_xdp1,iface=ens3", name));
	assert_string_equal(name, "ens3");
	assert_false(weft_ethdev_interface("net_tap0,iface=tap9", name)); // it makes its own
	assert_false(weft_ethdev_interface("0000:03:00.0", name));
	assert_false(weft_ethdev_interface("net_af_packet0,iface=longer-than-a-name", name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_pass_as_they_are),
		cmocka_unit_test(checksum_and_tag_are_put_in_where_the_device_cannot),
		cmocka_unit_test(large_packet_goes_out_in_finished_segments_each_with_its_tag),
		cmocka_unit_test(nothing_is_cut_for_a_device_that_takes_no_more),
		cmocka_unit_test(packet_that_others_send_too_is_left_as_it_is),
		cmocka_unit_test(full_device_takes_the_first_ones),
		cmocka_unit_test(missing_device_says_so_and_can_come_later),
		cmocka_unit_test(interface_below_a_virtual_device_is_known),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
