// SPDX-License-Identifier: Apache-2.0
// The packet parser and its text: any bytes, the frame wholly or partly in the first segment.
#include "datapath/frames/packet.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static void check_outer(const uint8_t *data, size_t len, size_t total, const struct packet *p)
{
	fuzz_assert(p->l4 == 0 || (p->l4 > p->l3 && p->l4 <= len));
	fuzz_assert(p->kind != PACKET_IP || p->l3 + (size_t)p->l3_len <= total);
	fuzz_assert(p->kind != PACKET_IP || p->key.family == 4 || p->key.family == 6);
	if (p->fragment == FRAGMENT_LATER)
		fuzz_assert(p->l4 == 0 && p->key.sport == 0 && p->key.dport == 0);
	if (p->nd_target != NULL)
		fuzz_assert(p->nd_target >= data && p->nd_target + 16 <= data + len);
	if (p->icmp_query)
		fuzz_assert(!p->icmp_error);
}

static void check_inner(size_t len, const struct packet *p)
{
	if (!p->inner_ok)
		return;
	fuzz_assert(p->icmp_error && p->inner.family == p->key.family && p->inner.in_port == 0);
	fuzz_assert(p->inner_l3 > p->l4 && p->inner_l3 < len);
	fuzz_assert(p->inner_l4 == 0 || (p->inner_l4 > p->inner_l3 && p->inner_l4 < len));
}

static void check_text(const uint8_t *data, size_t len, const struct packet *p)
{
	char buf[200];
	for (size_t size = 1; size <= sizeof(buf); size += 33) {
		weft_packet_text(data, len, p, buf, size);
		fuzz_assert(strlen(buf) < size);
	}
}

// A shorter first segment never makes another packet of the same frame.
static void check_shorter(const uint8_t *data, size_t len, size_t total, const struct packet *whole)
{
	size_t n = len == 0 ? 0 : data[len / 2] % len;
	uint8_t *copy = malloc(n + 1);
	struct packet p;
	memcpy(copy, data, n);
	if (weft_packet_parse(copy, n, total, 1, &p) == DROP_NONE) {
		fuzz_assert(memcmp(&p.key, &whole->key, sizeof(p.key)) == 0);
		fuzz_assert(p.l4 == whole->l4 && p.fragment == whole->fragment);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t totals[] = {len, len + 1, len + 70000};
	for (size_t i = 0; i < sizeof(totals) / sizeof(totals[0]); i++) {
		struct packet p;
		enum drop why = weft_packet_parse(data, len, totals[i], 1, &p);
		fuzz_assert(why == DROP_NONE || why == DROP_TRUNCATED || why == DROP_BAD_HEADER ||
			    why == DROP_FRAG_TINY);
		check_text(data, len, &p);
		if (why != DROP_NONE)
			continue;
		check_outer(data, len, totals[i], &p);
		check_inner(len, &p);
		check_shorter(data, len, totals[i], &p);
	}
	return 0;
}
