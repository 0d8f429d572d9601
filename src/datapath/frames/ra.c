// SPDX-License-Identifier: Apache-2.0
// Router advertisements: what one looks like, and which questions deserve one. When they are sent
// is in advertise.c.
#include "datapath/frames/services.h"

#include <string.h>

#include "base/bytes.h"

enum {
	IP6 = 14, // offsets in the frame
	ICMP = IP6 + 40,
	OPTIONS = ICMP + 16,
	SOLICIT_LEN = 8,
	TYPE_SOLICIT = 133,
	TYPE_ADVERT = 134,
	HOP_LIMIT = 64, // for the hosts to use
	FLAG_MANAGED = 0x80,
	FLAG_OTHER = 0x40,
	PREFIX_ON_LINK = 0x80,
	PREFIX_AUTONOMOUS = 0x40,
	OPTION_SOURCE_MAC = 1,
	OPTION_PREFIX = 3,
	OPTION_MTU = 5,
	OPTION_RDNSS = 25,
	OPTION_DNSSL = 31,
	PROTO_ICMPV6 = 58,
	MTU_MIN = 1280, // less is not for IPv6 to say (RFC 8200, 5)
};

static void put32(uint8_t *at, uint32_t v)
{
	weft_put16(at, v >> 16);
	weft_put16(at + 2, v & 0xffff);
}

// An option of `len` bytes, a multiple of 8, all zero but for its head. RA_MAX has room for all
// of them.
static uint8_t *option(uint8_t *buf, size_t *n, uint8_t type, size_t len)
{
	uint8_t *at = buf + *n;

	memset(at, 0, len);
	at[0] = type;
	at[1] = (uint8_t)(len / 8);
	*n += len;
	return at;
}

static void put_prefix(uint8_t *buf, size_t *n, const struct ra *ra, const struct ra_prefix *p)
{
	uint8_t *o = option(buf, n, OPTION_PREFIX, 32);
	struct ip_prefix masked = weft_prefix_masked(&p->prefix);

	o[2] = p->prefix.len;
	o[3] = (uint8_t)(PREFIX_ON_LINK | (p->autonomous ? PREFIX_AUTONOMOUS : 0));
	put32(o + 4, ra->withdrawn ? 0 : RA_VALID_S);
	put32(o + 8, ra->withdrawn ? 0 : RA_PREFERRED_S);
	memcpy(o + 16, masked.ip.b, 16);
}

static void put_resolvers(uint8_t *buf, size_t *n, const struct ra *ra)
{
	uint8_t *o;

	if (ra->n_dns == 0)
		return;
	o = option(buf, n, OPTION_RDNSS, 8 + ra->n_dns * 16);
	put32(o + 4, ra->withdrawn ? 0 : RA_DNS_S);
	for (size_t i = 0; i < ra->n_dns; i++)
		memcpy(o + 8 + i * 16, ra->dns[i].b, 16);
}

static void put_domain(uint8_t *buf, size_t *n, const struct ra *ra)
{
	uint8_t name[256];
	size_t len = weft_dns_labels(ra->domain, name, sizeof(name));
	uint8_t *o;

	if (len == 0)
		return;
	o = option(buf, n, OPTION_DNSSL, 8 + (len + 7) / 8 * 8);
	put32(o + 4, ra->withdrawn ? 0 : RA_DNS_S);
	memcpy(o + 8, name, len);
}

bool weft_is_resolver6(const struct ip_addr *ip)
{
	static const uint8_t none[16];

	return ip->family == 6 && memcmp(ip->b, none, 16) != 0;
}

size_t weft_dns_labels(const char *name, uint8_t *out, size_t cap)
{
	size_t n = 0;

	while (*name != '\0') {
		size_t len = strcspn(name, ".");

		if (len == 0 || len > 63 || n + len + 2 > cap)
			return 0;
		out[n++] = (uint8_t)len;
		memcpy(out + n, name, len);
		n += len;
		name += len;
		if (*name == '.')
			name++;
	}
	if (n > 0)
		out[n++] = 0;
	return n;
}

static void write_headers(uint8_t *buf, size_t len, const struct ra *ra, const struct mac_addr *mac,
			  const struct ip_addr *to)
{
	struct ip_addr from = weft_ip_link_local_of(&ra->router);
	uint8_t *ip = buf + IP6;

	memcpy(buf, mac->b, 6);
	memcpy(buf + 6, ra->router.b, 6);
	weft_put16(buf + 12, 0x86dd);
	memset(ip, 0, 40);
	ip[0] = 0x60;
	weft_put16(ip + 4, (uint32_t)(len - ICMP));
	ip[6] = PROTO_ICMPV6;
	ip[7] = 255;
	memcpy(ip + 8, from.b, 16);
	memcpy(ip + 24, to->b, 16);
}

size_t weft_ra_write(uint8_t *buf, size_t cap, const struct ra *ra, const struct mac_addr *mac,
		     const struct ip_addr *to)
{
	uint8_t *icmp = buf + ICMP, *o;
	size_t n = OPTIONS;
	uint16_t sum;

	if (cap < RA_MAX)
		return 0;
	memset(icmp, 0, OPTIONS - ICMP);
	icmp[0] = TYPE_ADVERT;
	icmp[4] = HOP_LIMIT;
	icmp[5] = (uint8_t)((ra->managed ? FLAG_MANAGED : 0) | (ra->other ? FLAG_OTHER : 0));
	weft_put16(icmp + 6, ra->lifetime_s);

	o = option(buf, &n, OPTION_SOURCE_MAC, 8);
	memcpy(o + 2, ra->router.b, 6);
	if (ra->mtu >= MTU_MIN) {
		o = option(buf, &n, OPTION_MTU, 8);
		put32(o + 4, ra->mtu);
	}
	for (size_t i = 0; i < ra->n_prefixes; i++)
		put_prefix(buf, &n, ra, &ra->prefixes[i]);
	put_resolvers(buf, &n, ra);
	put_domain(buf, &n, ra);

	write_headers(buf, n, ra, mac, to);
	sum = weft_csum(icmp, n - ICMP,
			weft_csum_pseudo6(buf + IP6 + 8, buf + IP6 + 24, PROTO_ICMPV6,
					  (uint32_t)(n - ICMP)));
	memcpy(icmp + 2, &sum, 2);
	return n;
}

bool weft_rs_is_valid(const uint8_t *frame, size_t len, const struct packet *p)
{
	static const uint8_t unspecified[16];
	size_t end = p->l3 + (size_t)p->l3_len, at = p->l4 + (size_t)SOLICIT_LEN;
	bool source_mac = false;

	if (p->kind != PACKET_IP || p->key.family != 6 || p->key.proto != PROTO_ICMPV6 ||
	    p->fragment != FRAGMENT_NONE || p->icmp_type != TYPE_SOLICIT || p->icmp_code != 0 ||
	    p->ttl != 255 || p->l4 == 0 || end > len || end < at)
		return false;
	for (; at < end; at += frame[at + 1] * 8u) {
		if (end - at < 8 || frame[at + 1] == 0 || frame[at + 1] * 8u > end - at)
			return false;
		source_mac = source_mac || frame[at] == OPTION_SOURCE_MAC;
	}
	return !source_mac || memcmp(p->key.src6, unspecified, 16) != 0;
}
