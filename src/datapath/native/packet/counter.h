// SPDX-License-Identifier: Apache-2.0
// Counters that one thread writes and any thread reads, each by itself: nothing else follows from
// them.
//
// A counter is one aligned word, so readers see some value that it had. The writer adds as to any
// other variable, one instruction; as two relaxed atomics it would be three. ThreadSanitizer
// knows only these.
#pragma once

#include <stdint.h>

#ifdef __SANITIZE_THREAD__
#define COUNT(counter, n) __atomic_store_n(&(counter), (counter) + (uint64_t)(n), __ATOMIC_RELAXED)
#else
#define COUNT(counter, n) ((void)((counter) += (n)))
#endif

// Of another thread.
#define COUNTED(counter) __atomic_load_n(&(counter), __ATOMIC_RELAXED)
