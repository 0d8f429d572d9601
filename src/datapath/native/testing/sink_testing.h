// SPDX-License-Identifier: Apache-2.0
// A port that swallows what it is sent, from any number of workers.
#pragma once

#include <stdlib.h>

#include "datapath/native/policy/tables.h"
#include "datapath/native/testing/testbed.h"

static _Thread_local uint32_t arrived; // what this worker has sent there

static uint16_t sink_tx(struct port_io *io, struct rte_mbuf **pkts, uint16_t n)
{
	(void)io;
	rte_pktmbuf_free_bulk(pkts, n);
	arrived += n;
	return n;
}

static void sink_close(struct port_io *io)
{
	free(io);
}

static inline void make_sink(struct testbed *tb, const char *port)
{
	static const struct port_io_ops ops = {.name = "sink", .tx = sink_tx, .close = sink_close};
	struct port_io *io = calloc(1, sizeof(*io)), *memory;

	io->ops = &ops;
	io->up = true;
	memory = atomic_exchange(&weft_tables_port(tb->dp.tables, port)->io, io);
	memory->ops->close(memory);
}
