// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/io/ethdev/ethdev_io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_errno.h>

#include "base/auto.h"
#include "datapath/native/io/eal.h"
#include "datapath/native/io/ethdev/ethdev_priv.h"

#define DESCRIPTORS 1024

// A share is a queue.
static uint16_t ethdev_rx(struct port_io *io, uint16_t share, struct rte_mbuf **pkts, uint16_t n)
{
	struct ethdev_io *e = (struct ethdev_io *)io;

	return share < e->n_rx ? rte_eth_rx_burst(e->port, share, pkts, n) : 0;
}

static uint16_t ethdev_shares(const struct port_io *io)
{
	return ((const struct ethdev_io *)io)->n_rx;
}

static void ethdev_stats(const struct port_io *io, struct port_io_stats *out)
{
	const struct ethdev_io *e = (const struct ethdev_io *)io;
	struct rte_eth_stats s = {0};

	rte_eth_stats_get(e->port, &s);
	*out = (struct port_io_stats) {
		.rx_lost = s.imissed + s.rx_nombuf,
		.rx_malformed = s.ierrors,
		.tx_refused = s.oerrors + __atomic_load_n(&e->refused, __ATOMIC_RELAXED),
		.tx_segmented = __atomic_load_n(&e->segmented, __ATOMIC_RELAXED),
		.tx_filled = __atomic_load_n(&e->filled, __ATOMIC_RELAXED),
	};
}

static void ethdev_free(struct ethdev_io *e)
{
	struct rte_eth_dev_info info;
	struct rte_device *device = NULL;

	if (e->port != RTE_MAX_ETHPORTS) {
		if (rte_eth_dev_info_get(e->port, &info) == 0)
			device = info.device;
		rte_eth_dev_stop(e->port);
		rte_eth_dev_close(e->port);
	}
	// So that it can be found again.
	if (device != NULL)
		rte_dev_remove(device);
	free(e);
}

DEFINE_AUTO(ethdev_io, struct ethdev_io *, ethdev_free)

static void ethdev_close(struct port_io *io)
{
	ethdev_free((struct ethdev_io *)io);
}

static const struct port_io_ops ethdev_ops = {
	.name = "ethdev",
	.rx = ethdev_rx,
	.shares = ethdev_shares,
	.tx = weft_ethdev_tx,
	.stats = ethdev_stats,
	.close = ethdev_close,
};

// ---- Opening -------------------------------------------------------------------------------

static uint16_t find_port(const char *device)
{
	struct rte_dev_iterator it;
	uint16_t id, found = RTE_MAX_ETHPORTS;

	RTE_ETH_FOREACH_MATCHING_DEV(id, device, &it)
	{
		found = id;
		rte_eth_iterator_cleanup(&it);
		break;
	}
	return found;
}

// What DPDK said first is the cause.
static int fail(const char *device, int code, const char *what, struct err *err)
{
	const char *said = weft_eal_heard();

	return weft_fail(err, code < 0 ? code : -EIO, "device %s: %s: %s%s%s", device, what,
			 rte_strerror(code < 0 ? -code : EIO), said[0] != '\0' ? ": " : "", said);
}

static int probe(struct ethdev_io *e, struct err *err)
{
	int ret;

	e->port = find_port(e->device);
	if (e->port != RTE_MAX_ETHPORTS)
		return 0;
	ret = rte_dev_probe(e->device);
	if (ret < 0)
		return fail(e->device, ret, "DPDK does not find it", err);
	e->port = find_port(e->device);
	if (e->port == RTE_MAX_ETHPORTS)
		return weft_fail(err, -ENODEV, "device %s: it is no Ethernet device", e->device);
	return 0;
}

// What the device can do for sending; the rest is done in software.
static uint64_t choose_tx(struct ethdev_io *e, uint64_t capable)
{
	const uint64_t checksums = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM |
				   RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
	uint64_t use = capable & (RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_VLAN_INSERT);

	// Into datagrams few devices segment, and fewer say so.
	e->cannot = RTE_MBUF_F_TX_UDP_SEG;
	if ((capable & checksums) == checksums)
		use |= checksums;
	else
		e->cannot |= RTE_MBUF_F_TX_L4_MASK;
	if ((use & checksums) && (capable & RTE_ETH_TX_OFFLOAD_TCP_TSO) &&
	    (use & RTE_ETH_TX_OFFLOAD_MULTI_SEGS))
		use |= RTE_ETH_TX_OFFLOAD_TCP_TSO;
	else
		e->cannot |= RTE_MBUF_F_TX_TCP_SEG;
	if (!(use & RTE_ETH_TX_OFFLOAD_VLAN_INSERT))
		e->cannot |= RTE_MBUF_F_TX_VLAN;
	e->one_segment = !(use & RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
	return use;
}

static int configure(struct ethdev_io *e, const struct rte_eth_dev_info *info, uint32_t *mtu)
{
	struct rte_eth_conf conf = {
		.rxmode.mtu = *mtu,
		.rxmode.offloads = info->rx_offload_capa &
				   (RTE_ETH_RX_OFFLOAD_VLAN_STRIP | RTE_ETH_RX_OFFLOAD_SCATTER),
		.txmode.offloads = choose_tx(e, info->tx_offload_capa),
	};
	int ret;

	if (e->n_rx > 1) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf =
			info->flow_type_rss_offloads &
			(RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
	}
	ret = rte_eth_dev_configure(e->port, e->n_rx, e->n_tx, &conf);
	// What a driver allows it says in several ways. The largest that it takes is not worth a
	// search.
	for (uint32_t try = *mtu; ret == -EINVAL && try > RTE_ETHER_MIN_MTU; try--) {
		if (try < *mtu - 64 && try > RTE_ETHER_MTU)
			try = RTE_ETHER_MTU;
		conf.rxmode.mtu = try;
		ret = rte_eth_dev_configure(e->port, e->n_rx, e->n_tx, &conf);
		if (ret == 0)
			*mtu = try;
	}
	return ret;
}

static int start(struct ethdev_io *e, uint16_t workers, uint32_t *mtu, struct err *err)
{
	uint16_t n_rxd = DESCRIPTORS, n_txd = DESCRIPTORS;
	struct rte_eth_dev_info info;
	struct rte_eth_txconf tx;
	struct rte_eth_rxconf rx;
	int ret = rte_eth_dev_info_get(e->port, &info), socket = rte_eth_dev_socket_id(e->port);

	if (ret < 0)
		return fail(e->device, ret, "it does not say what it can do", err);
	e->n_rx = RTE_MIN(workers, info.max_rx_queues);
	e->n_tx = RTE_MIN(workers + 1, info.max_tx_queues);
	e->shares_tx = e->n_tx < workers + 1;
	if (info.max_mtu > 0)
		*mtu = RTE_MIN(*mtu, (uint32_t)info.max_mtu);
	ret = configure(e, &info, mtu);
	if (ret == 0)
		ret = rte_eth_dev_adjust_nb_rx_tx_desc(e->port, &n_rxd, &n_txd);
	rx = info.default_rxconf;
	rx.offloads = 0;
	tx = info.default_txconf;
	tx.offloads = 0;
	for (uint16_t i = 0; ret == 0 && i < e->n_rx; i++)
		ret = rte_eth_rx_queue_setup(e->port, i, n_rxd, (unsigned int)socket, &rx, e->pool);
	for (uint16_t i = 0; ret == 0 && i < e->n_tx; i++)
		ret = rte_eth_tx_queue_setup(e->port, i, n_txd, (unsigned int)socket, &tx);
	if (ret == 0)
		ret = rte_eth_dev_start(e->port);
	if (ret < 0)
		return fail(e->device, ret, "it does not start", err);
	ret = rte_eth_promiscuous_enable(e->port);
	// Many virtual devices take everything anyway.
	if (ret < 0 && ret != -ENOTSUP)
		return fail(e->device, ret, "it does not become promiscuous", err);
	return 0;
}

int weft_ethdev_open(const char *device, uint16_t workers, uint32_t *mtu, struct rte_mempool *pool,
		     struct port_io **out, struct err *err)
{
	weft_auto(ethdev_io) e = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*e));
	int ret;

	if (e == NULL)
		return weft_fail(err, -ENOMEM, "device %s: no memory", device);
	memset(e, 0, sizeof(*e));
	e->io.ops = &ethdev_ops;
	atomic_init(&e->io.up, true);
	e->port = RTE_MAX_ETHPORTS;
	e->pool = pool;
	snprintf(e->device, sizeof(e->device), "%s", device);
	for (size_t i = 0; i < RTE_DIM(e->tx); i++)
		rte_spinlock_init(&e->tx[i].lock);
	weft_eal_listen(true);
	ret = probe(e, err);
	if (ret == 0)
		ret = start(e, workers, mtu, err);
	weft_eal_listen(false);
	if (ret < 0)
		return ret;
	*out = &weft_take(e)->io;
	return 0;
}

bool weft_ethdev_has_link(const struct port_io *io)
{
	const struct ethdev_io *e = (const struct ethdev_io *)io;
	struct rte_eth_link link = {0};

	return rte_eth_link_get_nowait(e->port, &link) != 0 || link.link_status == RTE_ETH_LINK_UP;
}

bool weft_ethdev_interface(const char *device, char out[16])
{
	const char *at = strstr(device, ",iface=");
	size_t n;

	// Others with that argument (net_tap) make their interface themselves.
	if (at == NULL ||
	    (strncmp(device, "net_af_packet", 13) != 0 && strncmp(device, "net_af_xdp", 10) != 0))
		return false;
	at += strlen(",iface=");
	n = strcspn(at, ",");
	if (n == 0 || n >= 16)
		return false;
	memcpy(out, at, n);
	out[n] = '\0';
	return true;
}
