// SPDX-License-Identifier: Apache-2.0
// Tables as text, so that those of two testbeds can be compared whatever indexes they gave.
// Failures fail the test.
#pragma once

#include "datapath/native/testing/testbed.h"

// A testbed with the physical network "physical".
struct testbed *history_testbed(void);

// Are its tables those of a new testbed that was given all of this at once, in the plan's order?
void history_check(struct testbed *tb, const struct plan_batch *all, uint64_t history,
		   unsigned int step);
