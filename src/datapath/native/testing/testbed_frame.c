// SPDX-License-Identifier: Apache-2.0
// Testbed: frames.
#include "datapath/native/testing/testbed.h"

#include <rte_byteorder.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/frames/services.h"
#include "base/bytes.h"

static struct ip_addr ip_of(const char *text)
{
	struct ip_addr ip;

	if (weft_ip_parse(text, &ip) != 0)
		abort();
	return ip;
}

static size_t l4_header_len(uint8_t proto)
{
	return proto == 6 ? 20 : 8;
}

static void ethernet(struct frame *f, const char *from, const char *to, uint16_t type)
{
	struct mac_addr src = testbed_mac(from), dst = testbed_mac(to);

	if (strcmp(to, "broadcast") == 0)
		memset(dst.b, 0xff, 6);
	memcpy(f->b, dst.b, 6);
	memcpy(f->b + 6, src.b, 6);
	weft_put16(f->b + 12, type);
}

// Returns the offset of what comes after the IP header.
static size_t ip_header(struct frame *f, const struct ip_addr *src, const struct ip_addr *dst,
			uint8_t proto, size_t payload)
{
	uint8_t *h = f->b + 14;

	if (src->family == 4) {
		uint16_t csum;

		h[0] = 0x45;
		weft_put16(h + 2, (uint16_t)(20 + payload));
		h[8] = 64;
		h[9] = proto;
		memcpy(h + 12, src->b, 4);
		memcpy(h + 16, dst->b, 4);
		csum = weft_csum(h, 20, 0);
		memcpy(h + 10, &csum, 2);
		f->len = 34 + payload;
		return 34;
	}
	h[0] = 0x60;
	weft_put16(h + 4, (uint16_t)payload);
	h[6] = proto;
	h[7] = 255;
	memcpy(h + 8, src->b, 16);
	memcpy(h + 24, dst->b, 16);
	f->len = 54 + payload;
	return 54;
}

struct frame testbed_frame(const char *from, const char *to, const char *src, const char *dst,
			   struct l4 l4)
{
	struct ip_addr s = ip_of(src), d = ip_of(dst);
	struct frame f = {0};
	uint8_t *h;

	ethernet(&f, from, to, s.family == 4 ? 0x0800 : 0x86dd);
	h = f.b + ip_header(&f, &s, &d, l4.proto, l4_header_len(l4.proto) + l4.payload);
	switch (l4.proto) {
	case 1:
	case 58:
		weft_put16(h, l4.dport);
		weft_put16(h + 4, l4.sport);
		break;
	case 6:
		h[12] = 0x50;
		h[13] = l4.tcp_flags;
		weft_put16(h, l4.sport);
		weft_put16(h + 2, l4.dport);
		break;
	case 17:
		weft_put16(h + 4, (uint16_t)(8 + l4.payload));
		weft_put16(h, l4.sport);
		weft_put16(h + 2, l4.dport);
		break;
	default:
		weft_put16(h, l4.sport);
		weft_put16(h + 2, l4.dport);
	}
	for (size_t i = 0; i < l4.payload; i++)
		h[l4_header_len(l4.proto) + i] = (uint8_t)i;
	return f;
}

struct frame testbed_arp(const char *from, const char *sender_ip, const char *target_ip)
{
	struct mac_addr mac = testbed_mac(from);
	struct ip_addr s = ip_of(sender_ip), t = ip_of(target_ip);
	struct frame f = {.len = 42};
	static const uint8_t head[] = {0, 1, 8, 0, 6, 4, 0, 1};

	ethernet(&f, from, "broadcast", 0x0806);
	memcpy(f.b + 14, head, sizeof(head));
	memcpy(f.b + 22, mac.b, 6);
	memcpy(f.b + 28, s.b, 4);
	memcpy(f.b + 38, t.b, 4);
	return f;
}

struct frame testbed_icmp_error(const char *from, const char *to, const char *src, const char *dst,
				uint8_t type, uint8_t code, const struct frame *about)
{
	struct ip_addr s = ip_of(src), d = ip_of(dst);
	size_t inner = about->len - 14;
	struct frame f = {0};
	uint8_t *h;

	if (inner > 128)
		inner = 128;
	ethernet(&f, from, to, s.family == 4 ? 0x0800 : 0x86dd);
	h = f.b + ip_header(&f, &s, &d, s.family == 4 ? 1 : 58, 8 + inner);
	h[0] = type;
	h[1] = code;
	memcpy(h + 8, about->b + 14, inner);
	return f;
}

struct frame testbed_fragment(const struct frame *f, uint16_t id, size_t from, size_t len)
{
	size_t payload = f->len - 34;
	bool more = from + len < payload;
	struct frame out = *f;
	uint8_t *h = out.b + 14;
	uint16_t csum;

	memmove(out.b + 34, f->b + 34 + from, len);
	out.len = 34 + len;
	weft_put16(h + 2, (uint16_t)(20 + len));
	weft_put16(h + 4, id);
	weft_put16(h + 6, (uint16_t)((more ? 0x2000 : 0) | from / 8));
	memset(h + 10, 0, 2);
	csum = weft_csum(h, 20, 0);
	memcpy(h + 10, &csum, 2);
	return out;
}

// Where the transport checksum is; 0 = none.
static size_t checksum_at(const struct frame *f)
{
	size_t l4 = 14 + (f->b[14] & 15) * 4u;

	switch (f->b[23]) {
	case 1:
		return l4 + 2;
	case 6:
		return l4 + 16;
	case 17:
	case 33:
	case 136:
		return l4 + 6;
	default:
		return 0;
	}
}

static uint16_t transport_sum(const struct frame *f)
{
	size_t l4 = 14 + (f->b[14] & 15) * 4u, len = f->len - l4;
	uint32_t src, dst, seed = 0;

	memcpy(&src, f->b + 26, 4);
	memcpy(&dst, f->b + 30, 4);
	if (f->b[23] != 1)
		seed = weft_csum_pseudo4(src, dst, f->b[23], (uint16_t)len);
	return weft_csum(f->b + l4, len, seed);
}

void testbed_checksum(struct frame *f)
{
	size_t at = checksum_at(f);
	uint16_t csum;

	if (at == 0)
		return;
	memset(f->b + at, 0, 2);
	csum = transport_sum(f);
	if (csum == 0 && f->b[23] == 17)
		csum = 0xffff;
	memcpy(f->b + at, &csum, 2);
}

bool testbed_checksum_ok(const struct frame *f)
{
	size_t at = checksum_at(f);

	if (weft_csum(f->b + 14, (f->b[14] & 15) * 4u, 0) != 0)
		return false;
	if (at == 0 || (f->b[23] == 17 && memcmp(f->b + at, "\0\0", 2) == 0))
		return true;
	return transport_sum(f) == 0;
}

void testbed_as_routed(struct frame *f, const char *from, const char *to, uint8_t hops)
{
	struct mac_addr src = testbed_mac(from), dst = testbed_mac(to);
	uint16_t csum;

	memcpy(f->b, dst.b, 6);
	memcpy(f->b + 6, src.b, 6);
	if (f->b[14] >> 4 == 6) {
		f->b[21] = (uint8_t)(f->b[21] - hops);
		return;
	}
	f->b[22] = (uint8_t)(f->b[22] - hops);
	memset(f->b + 24, 0, 2);
	csum = weft_csum(f->b + 14, 20, 0);
	memcpy(f->b + 24, &csum, 2);
}
