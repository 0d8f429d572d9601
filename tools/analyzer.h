// SPDX-License-Identifier: Apache-2.0
// What clang's analyzer cannot see across files; lint.sh includes it before everything else.
//
// weft_fail() returns the code that it was given, so a caller that got 0 has its results. What is
// taken out of a uthash or a TAILQ is in none of its lists any more, so freeing it is safe.
#pragma once

#include <sys/queue.h>
#include <uthash.h>

#include "base/err.h"

#define weft_fail(err, code, ...) ((weft_fail)((err), (code), __VA_ARGS__), (code))
#define weft_fail_as(err, code, kind, ...) \
	((weft_fail_as)((err), (code), (kind), __VA_ARGS__), (code))

#undef HASH_DEL
#define HASH_DEL(head, e) ((void)(head), (void)(e))
#undef HASH_DELETE
#define HASH_DELETE(hh, head, e) ((void)(head), (void)(e))

void *weft_analyzer_unknown(void);
#undef TAILQ_REMOVE
#define TAILQ_REMOVE(head, e, field) ((void)(e), (head)->tqh_first = weft_analyzer_unknown())
