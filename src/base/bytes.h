// SPDX-License-Identifier: Apache-2.0
// Numbers as they lie in a packet, the high byte first.
#pragma once

#include <endian.h>
#include <stdint.h>

typedef uint16_t be16_t;
typedef uint32_t be32_t;

static inline void weft_put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}
