// SPDX-License-Identifier: Apache-2.0
// EAL: bring DPDK up for a daemon that may have no huge pages and no NIC.
//
// Any number of daemons run on one machine: nothing is shared between them and no file is left
// behind, however they end. Other threads get a buffer cache of their own by
// rte_thread_register().
//
// Threads    control thread, once per process (DPDK cannot be started a second time)
#pragma once

#include <rte_mempool.h>
#include <stdbool.h>

#include "base/err.h"
#include "datapath/datapath.h"

// Initialise. Huge pages: AUTO uses them when enough are free, else runs without and says so
// once; REQUIRE fails without; OFF never. *huge = what it became. Leaves the calling thread's CPU
// affinity as it was and installs no signal handlers. EAL's own log goes to weft_log at warning
// and above. -ERESTART: as datapath.h says of start.
int weft_eal_start(const struct datapath_config *config, bool *huge, struct err *err);
// After everything that lives in DPDK's memory is freed.
void weft_eal_stop(void);

// Between on and off what DPDK says is not logged; the first line of it, "" if there was none, is
// a failure's cause.
void weft_eal_listen(bool on);
const char *weft_eal_heard(void);

// The packet buffers, 2 KB of data each plus headroom; how many follows the number of workers.
// Freed with rte_mempool_free(). -ENOTSUP: DPDK's mempool driver is not installed. -ERESTART: as
// weft_eal_start.
int weft_eal_pool(const struct datapath_config *config, struct rte_mempool **out, struct err *err);

// Cores for n workers from config->cores ("", "0", "2-5", "1,3"); empty: choose from the
// process's affinity mask (not the control thread's core first, if there is another). Fills
// cores[n]; -EINVAL names what is wrong.
int weft_eal_cores(const char *spec, uint16_t n, int *cores, struct err *err);
