// SPDX-License-Identifier: Apache-2.0
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int weft_mac_parse(const char *text, struct mac_addr *out)
{
	if (strlen(text) != WEFT_MAC_STRLEN - 1 || (text[2] != ':' && text[2] != '-'))
		return -EINVAL;
	struct mac_addr mac;
	for (size_t i = 0; i < 6; i++) {
		int hi = nibble(text[3 * i]);
		int lo = nibble(text[3 * i + 1]);
		if (hi < 0 || lo < 0 || (i < 5 && text[3 * i + 2] != text[2]))
			return -EINVAL;
		mac.b[i] = (uint8_t)(hi << 4 | lo);
	}
	*out = mac;
	return 0;
}

int weft_ip_parse(const char *text, struct ip_addr *out)
{
	struct ip_addr ip = {0};
	if (inet_pton(AF_INET, text, ip.b) == 1)
		ip.family = 4;
	else if (inet_pton(AF_INET6, text, ip.b) == 1)
		ip.family = 6;
	else
		return -EINVAL;
	*out = ip;
	return 0;
}

int weft_prefix_parse(const char *text, struct ip_prefix *out)
{
	char host[WEFT_IP_STRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';

	struct ip_prefix p;
	if (weft_ip_parse(host, &p.ip) < 0)
		return -EINVAL;
	p.len = weft_ip_bits(&p.ip);
	if (slash != NULL) {
		// Digits only: strtoul alone would also take " 8", "+8" and "8x".
		size_t digits = strspn(slash + 1, "0123456789");
		if (digits == 0 || digits > 3 || slash[1 + digits] != '\0')
			return -EINVAL;
		unsigned long bits = strtoul(slash + 1, NULL, 10);
		if (bits > p.len)
			return -EINVAL;
		p.len = (uint8_t)bits;
	}
	*out = p;
	return 0;
}

const char *weft_mac_text(const struct mac_addr *mac, char *buf)
{
	snprintf(buf, WEFT_MAC_STRLEN, "%02x:%02x:%02x:%02x:%02x:%02x", mac->b[0], mac->b[1],
		 mac->b[2], mac->b[3], mac->b[4], mac->b[5]);
	return buf;
}

const char *weft_ip_text(const struct ip_addr *ip, char *buf)
{
	buf[0] = '\0';
	if (ip->family != 0)
		inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->b, buf, WEFT_IP_STRLEN);
	return buf;
}

const char *weft_prefix_text(const struct ip_prefix *prefix, char *buf)
{
	weft_ip_text(&prefix->ip, buf);
	size_t len = strlen(buf);
	snprintf(buf + len, WEFT_NET_STRLEN - len, "/%u", prefix->len);
	return buf;
}

bool weft_mac_equal(const struct mac_addr *a, const struct mac_addr *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool weft_mac_is_multicast(const struct mac_addr *mac)
{
	return (mac->b[0] & 1) != 0;
}

bool weft_ip_equal(const struct ip_addr *a, const struct ip_addr *b)
{
	return weft_ip_compare(a, b) == 0;
}

int weft_ip_compare(const struct ip_addr *a, const struct ip_addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->b, b->b, a->family == 4 ? 4 : 16);
}

bool weft_ip_is_multicast(const struct ip_addr *ip)
{
	if (ip->family == 4)
		return (ip->b[0] & 0xf0) == 0xe0;
	return ip->family == 6 && ip->b[0] == 0xff;
}

bool weft_ip_is_link_local(const struct ip_addr *ip)
{
	if (ip->family == 4)
		return ip->b[0] == 169 && ip->b[1] == 254;
	return ip->family == 6 && ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80;
}

uint8_t weft_ip_bits(const struct ip_addr *ip)
{
	return ip->family == 4 ? 32 : 128;
}

// Set the host bits of p to `fill` (0x00 or 0xff).
static struct ip_addr with_host_bits(const struct ip_prefix *p, uint8_t fill)
{
	struct ip_addr ip = p->ip;
	size_t bytes = weft_ip_bits(&ip) / 8u;
	for (size_t i = p->len / 8u; i < bytes; i++) {
		unsigned keep = i == p->len / 8u ? p->len % 8u : 0;
		uint8_t host = (uint8_t)(0xff >> keep);
		ip.b[i] = (uint8_t)((ip.b[i] & ~host) | (fill & host));
	}
	return ip;
}

struct ip_prefix weft_prefix_masked(const struct ip_prefix *p)
{
	return (struct ip_prefix) {.ip = with_host_bits(p, 0x00), .len = p->len};
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	if (memcmp(a, b, bits / 8) != 0)
		return false;
	unsigned rest = bits % 8;
	return rest == 0 || (a[bits / 8] ^ b[bits / 8]) >> (8 - rest) == 0;
}

bool weft_prefix_contains(const struct ip_prefix *p, const struct ip_addr *ip)
{
	return p->ip.family == ip->family && same_bits(p->ip.b, ip->b, p->len);
}

bool weft_prefix_overlaps(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->len < b->len ? weft_prefix_contains(a, &b->ip) : weft_prefix_contains(b, &a->ip);
}

bool weft_prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->len == b->len && weft_prefix_contains(a, &b->ip);
}

struct ip_addr weft_prefix_first(const struct ip_prefix *p)
{
	return with_host_bits(p, 0x00);
}

struct ip_addr weft_prefix_last(const struct ip_prefix *p)
{
	return with_host_bits(p, 0xff);
}

bool weft_ip_add(const struct ip_addr *ip, uint64_t n, struct ip_addr *out)
{
	struct ip_addr sum = *ip;
	uint64_t carry = 0;
	for (size_t i = weft_ip_bits(ip) / 8u; i-- > 0; n >>= 8) {
		uint64_t v = sum.b[i] + (n & 0xff) + carry;
		sum.b[i] = (uint8_t)v;
		carry = v >> 8;
	}
	// What is left of n did not fit in an IPv4 address.
	if (carry != 0 || n != 0)
		return false;
	*out = sum;
	return true;
}

struct ip_addr weft_ip_link_local_of(const struct mac_addr *mac)
{
	struct ip_addr ip = {
		.family = 6,
		.b = {0xfe, 0x80, [8] = mac->b[0] ^ 2, mac->b[1], mac->b[2], 0xff, 0xfe, mac->b[3],
		      mac->b[4], mac->b[5]},
	};
	return ip;
}
