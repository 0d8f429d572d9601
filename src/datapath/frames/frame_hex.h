// SPDX-License-Identifier: Apache-2.0
// Frames in tests: written as hex, as another implementation (scapy) built them. For unit tests
// only.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define FRAME_MAX 2048

struct frame {
	uint8_t b[FRAME_MAX];
	size_t len;
};

static inline uint8_t frame_nibble(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = strchr(digits, c);
	assert_true(c != '\0' && at != NULL);
	return (uint8_t)(at - digits);
}

// Blanks between bytes are for the reader.
static inline void frame_add(struct frame *f, const char *hex)
{
	for (; *hex != '\0'; hex++) {
		if (*hex == ' ')
			continue;
		assert_true(f->len < sizeof(f->b));
		f->b[f->len++] = (uint8_t)(frame_nibble(hex[0]) << 4 | frame_nibble(hex[1]));
		hex++;
	}
}

static inline struct frame frame_hex(const char *hex)
{
	struct frame f = {.len = 0};
	frame_add(&f, hex);
	return f;
}

// The ones' complement sum of big-endian words, written otherwise than csum.c does it: 0xffff
// over what is in order.
static inline uint16_t frame_sum(const uint8_t *b, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)b[i] << 8 : b[i];
	while (sum > 0xffff)
		sum = sum % 0x10000 + sum / 0x10000;
	return (uint16_t)sum;
}
