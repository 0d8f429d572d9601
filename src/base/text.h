// SPDX-License-Identifier: Apache-2.0
// Text: a growing string, random ids, time as text.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

// A growing string; zero-initialise, free with weft_text_fini(). Out of memory aborts (control
// plane).
struct text {
	char *s; // always NUL-terminated once something was added
	size_t len;
	size_t cap;
};

void weft_text_fini(struct text *t);
void weft_text_add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void weft_uuid_new(char out[37]);	     // random UUID, version 4, lower case
int weft_uuid_check(const char *text);	     // 0 or -EINVAL
void weft_time_text(time_t t, char out[21]); // 2026-01-31T12:00:00Z
uint64_t weft_now_ms(void);		     // CLOCK_MONOTONIC
