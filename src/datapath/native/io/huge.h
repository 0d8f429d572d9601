// SPDX-License-Identifier: Apache-2.0
// Huge pages for what is large and used all the time.
//
// That the kernel maps them is no promise: beyond a control group's limit (a container's, usually
// 0) it kills by SIGBUS whoever touches one. So they are touched here, in a way that fails
// instead.
//
// Threads    any
#pragma once

#include <stddef.h>

// Zeroed memory in huge pages of 2^log2 bytes; len is a multiple of that. NULL: there are not
// enough.
void *weft_huge_map(size_t len, unsigned int log2);
