// SPDX-License-Identifier: Apache-2.0
// What the datapath's configuration needs of this machine.
#include "datapath/native/config_check.h"

#include <errno.h>
#include <unistd.h>

#include "datapath/native/io/eal.h"
#include "datapath/native/packet/limits.h"
#include "datapath/native/session/session.h"

void weft_native_check(const struct datapath_config *config, datapath_complain complain, void *arg)
{
	size_t need = weft_session_memory_for(config->sessions);
	size_t has = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
	int cores[NATIVE_MAX_WORKERS];
	struct err err = {0};

	if (weft_eal_cores(config->cores, config->workers, cores, &err) != 0)
		complain(arg, err.msg);
	if (need <= has)
		return;
	weft_fail(&err, -ENOMEM,
		  "sessions = %u: the table takes up to %zu MB, and this machine has %zu MB",
		  config->sessions, need >> 20, has >> 20);
	complain(arg, err.msg);
}
