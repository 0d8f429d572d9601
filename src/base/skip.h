// SPDX-License-Identifier: Apache-2.0
// Skip: how a unit test says why it does not run here. tools/sum-results shows it with the sum of
// all tests; cmocka's skip() alone says nothing.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

// Does not return.
static inline void weft_skip(const char *why)
{
	print_message("[  REASON  ] %s\n", why);
	skip();
}
