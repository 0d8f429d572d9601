// SPDX-License-Identifier: Apache-2.0
// Witness: the number of the last transaction that was acknowledged, in a file beside the state
// file.
//
// It is written after each transaction and not synced: the kernel keeps it when the process dies,
// and after a loss of power it may be behind, which is harmless. What it says is a hint for
// people: no decision hangs on it, so nothing about it fails.
//
// Threads    one (the control thread)
#pragma once

#include <stdint.h>

struct witness;

// Of the state file `path`; its own name is that with "-last" behind. NULL: it cannot be had (it
// is said in the log).
struct witness *weft_witness_open(const char *path);
void weft_witness_close(struct witness *w);	    // may be NULL, as below
uint64_t weft_witness_get(const struct witness *w); // 0: nothing was ever written
void weft_witness_set(struct witness *w, uint64_t last);
