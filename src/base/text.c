// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void weft_text_fini(struct text *t)
{
	free(t->s);
	*t = (struct text) {0};
}

static void reserve(struct text *t, size_t more)
{
	size_t need = t->len + more + 1;
	if (need <= t->cap)
		return;
	size_t cap = t->cap < 64 ? 64 : t->cap;
	while (cap < need)
		cap *= 2;
	char *s = realloc(t->s, cap);
	if (s == NULL)
		abort();
	t->s = s;
	t->cap = cap;
}

void weft_text_add(struct text *t, const char *fmt, ...)
{
	va_list args, again;
	va_start(args, fmt);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n < 0)
		abort(); // only a format that the compiler would have refused
	reserve(t, (size_t)n);
	vsnprintf(t->s + t->len, (size_t)n + 1, fmt, again);
	va_end(again);
	t->len += (size_t)n;
}

void weft_uuid_new(char out[37])
{
	uint8_t b[16];
	// Never short for 16 bytes (random(7)); an old kernel without it cannot run us anyway.
	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		abort();
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);

	static const char hex[] = "0123456789abcdef";
	char *p = out;
	for (size_t i = 0; i < sizeof(b); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex[b[i] >> 4];
		*p++ = hex[b[i] & 15];
	}
	*p = '\0';
}

int weft_uuid_check(const char *text)
{
	for (size_t i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
			return -EINVAL;
	}
	return text[36] == '\0' ? 0 : -EINVAL;
}

void weft_time_text(time_t t, char out[21])
{
	struct tm tm;
	gmtime_r(&t, &tm);
	strftime(out, 21, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

uint64_t weft_now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}
