// SPDX-License-Identifier: Apache-2.0
#include "ports.h"

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <string.h>

#include "packets.h"

#define RING	  1024
#define PAIRS_MAX 16

struct rte_mempool *tx_pool, *rx_pool;

static struct pair pairs[PAIRS_MAX];
static size_t n_pairs;

static int open_port(const char *socket, uint16_t *port)
{
	static unsigned number;
	struct rte_eth_conf conf = {0};
	char name[32], args[256];

	snprintf(name, sizeof(name), "net_virtio_user%u", number);
	snprintf(args, sizeof(args),
		 "%s,path=%s,queues=1,queue_size=%d,mrg_rxbuf=1,in_order=1,mac=02:00:00:00:0f:%02x",
		 name, socket, RING, number & 0xff);
	number++;
	if (rte_dev_probe(args) != 0 || rte_eth_dev_get_port_by_name(name, port) != 0 ||
	    rte_eth_dev_configure(*port, 1, 1, &conf) != 0 ||
	    rte_eth_rx_queue_setup(*port, 0, RING, SOCKET_ID_ANY, NULL, rx_pool) != 0 ||
	    rte_eth_tx_queue_setup(*port, 0, RING, SOCKET_ID_ANY, NULL) != 0)
		return -1;
	return rte_eth_dev_start(*port);
}

void stream_forget(struct stream *s)
{
	rte_pktmbuf_free_bulk(s->staged + s->done, s->n - s->done);
	s->done = s->n = 0;
}

static void close_port(struct end *e)
{
	struct rte_eth_dev_info info;

	stream_forget(&e->known);
	stream_forget(&e->fresh);
	rte_eth_dev_stop(e->port);
	if (rte_eth_dev_info_get(e->port, &info) == 0) {
		rte_eth_dev_close(e->port);
		rte_dev_remove(info.device);
	}
}

struct pair *pair_find(const char *name)
{
	for (size_t i = 0; i < n_pairs; i++)
		if (strcmp(pairs[i].name, name) == 0)
			return &pairs[i];
	return NULL;
}

const char *pair_open(const char *name, const char *a, const char *b)
{
	struct pair *p = &pairs[n_pairs];

	if (a == NULL || b == NULL || n_pairs == PAIRS_MAX || pair_find(name) != NULL ||
	    strlen(name) >= sizeof(p->name))
		return "needs a new name and sockets a and b";
	memset(p, 0, sizeof(*p));
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->fresh = FRESH_FIRST;
	if (open_port(a, &p->end[0].port) != 0)
		return "cannot connect to a";
	if (open_port(b, &p->end[1].port) != 0) {
		close_port(&p->end[0]);
		return "cannot connect to b";
	}
	n_pairs++;
	return NULL;
}

const char *pair_close(const char *name)
{
	struct pair *p = pair_find(name);

	if (p == NULL)
		return "is not open";
	close_port(&p->end[0]);
	close_port(&p->end[1]);
	*p = pairs[--n_pairs];
	return NULL;
}

static void end_clear(struct end *e)
{
	stream_forget(&e->known);
	stream_forget(&e->fresh);
	e->known.next = 0;
	e->known.sent = e->fresh.sent = e->answers.sent = 0;
	e->received = e->received_fresh = e->bad = 0;
}

void pair_drain(struct pair *p)
{
	uint64_t end = rte_rdtsc() + rte_get_tsc_hz() / 50;
	struct rte_mbuf *pkts[BURST];

	while (rte_rdtsc() < end)
		for (int at = 0; at < 2; at++) {
			uint16_t n = rte_eth_rx_burst(p->end[at].port, 0, pkts, BURST);

			rte_pktmbuf_free_bulk(pkts, n);
		}
	end_clear(&p->end[0]);
	end_clear(&p->end[1]);
}
