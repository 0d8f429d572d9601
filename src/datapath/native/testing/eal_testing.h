// SPDX-License-Identifier: Apache-2.0
// What tests with packet buffers begin and end with: DPDK as weftd starts it, with a directory
// for sockets; or DPDK alone.
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "datapath/native/io/eal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

// dir: a name for mkdtemp(). 0 or -1, as cmocka wants it.
static inline int eal_testing_start(uint16_t workers, char *dir, struct rte_mempool **pool)
{
	const struct datapath_config config = {.workers = workers,
					       .hugepages = DATAPATH_HUGEPAGES_OFF};
	struct err err = {0};
	bool huge;

	if (mkdtemp(dir) != NULL && weft_eal_start(&config, &huge, &err) == 0 &&
	    weft_eal_pool(&config, pool, &err) == 0)
		return 0;
	print_error("%s\n", err.msg);
	return -1;
}

// -1 also when a buffer was not given back.
static inline int eal_testing_stop(const char *dir, struct rte_mempool *pool)
{
	unsigned int in_use = rte_mempool_in_use_count(pool);

	rmdir(dir);
	rte_mempool_free(pool);
	weft_eal_stop();
	if (in_use > 0)
		print_error("%u buffers were not given back\n", in_use);
	return in_use > 0 ? -1 : 0;
}

static inline int eal_testing_start_alone(unsigned int buffers, struct rte_mempool **pool)
{
	char args[][16] = {"test",	     "--no-huge",     "-m", "64", "--no-pci", "--no-shconf",
			   "--no-telemetry", "--log-level=4", "-l", "0"};
	char *argv[sizeof(args) / sizeof(args[0])];

	for (size_t i = 0; i < sizeof(argv) / sizeof(argv[0]); i++)
		argv[i] = args[i];
	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])), argv) < 0)
		return -1;
	*pool = rte_pktmbuf_pool_create("test", buffers, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	return *pool == NULL ? -1 : 0;
}

static inline int eal_testing_stop_alone(struct rte_mempool *pool)
{
	rte_mempool_free(pool);
	return rte_eal_cleanup();
}
