// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/services.h"

#include <string.h>

#include "base/bytes.h"

static uint32_t fold(uint64_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint32_t)sum;
}

uint32_t weft_csum_add(const void *data, size_t len, uint32_t seed)
{
	const uint8_t *b = data;
	uint64_t sum = seed;
	uint16_t word;
	for (; len >= 2; len -= 2, b += 2) {
		memcpy(&word, b, 2);
		sum += word;
	}
	if (len != 0) {
		word = 0;
		memcpy(&word, b, 1);
		sum += word;
	}
	return fold(sum);
}

uint16_t weft_csum(const void *data, size_t len, uint32_t seed)
{
	return (uint16_t)~weft_csum_add(data, len, seed);
}

uint32_t weft_csum_pseudo4(uint32_t src, uint32_t dst, uint8_t proto, uint16_t len_host)
{
	uint64_t sum = (uint64_t)src + dst;
	sum += htobe16(proto);
	sum += htobe16(len_host);
	return fold(sum);
}

uint32_t weft_csum_pseudo6(const uint8_t src[16], const uint8_t dst[16], uint8_t proto,
			   uint32_t len_host)
{
	uint32_t sum = weft_csum_add(dst, 16, weft_csum_add(src, 16, 0));
	return fold((uint64_t)sum + htobe16(proto) + htobe32(len_host));
}
