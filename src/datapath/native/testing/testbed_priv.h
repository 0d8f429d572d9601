// SPDX-License-Identifier: Apache-2.0
// What the testbed's files share. Nobody else includes this.
#pragma once

#include <rte_spinlock.h>
#include <stdio.h>
#include <stdlib.h>

#include "datapath/native/testing/testbed.h"

#define MEMORY_QUEUE 256

struct memory_io { // a port whose VM is the test
	struct port_io io;
	rte_spinlock_t lock; // workers send at the same time
	uint32_t head, tail;
	uint64_t lost; // as it says of itself
	struct frame frames[MEMORY_QUEUE];
};

static inline void *must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

static inline void must_be(bool ok)
{
	if (!ok)
		abort();
}

static inline void set_id(char out[WEFT_ID_LEN + 1], const char *id)
{
	snprintf(out, WEFT_ID_LEN + 1, "%s", id);
}
