// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/services.h"

#include <string.h>

#include "datapath/frames/numbers.h"
#include "base/bytes.h"

#define ETH_LEN 14

#define QUOTE4_MAX (576 - 20 - 8)
#define QUOTE6_MAX (1280 - 40 - 8)

#define ANSWER_HOPS 64

static void swap(uint8_t *a, uint8_t *b, size_t len)
{
	uint8_t keep[16];

	memcpy(keep, a, len);
	memcpy(a, b, len);
	memcpy(b, keep, len);
}

static void header4_checksum(uint8_t *ip, size_t len)
{
	uint16_t csum;

	memset(ip + 10, 0, 2);
	csum = weft_csum(ip, len, 0);
	memcpy(ip + 10, &csum, 2);
}

static void transport_checksum6(uint8_t *ip, uint8_t *icmp, size_t len)
{
	uint16_t csum;

	memset(icmp + 2, 0, 2);
	csum = weft_csum(icmp, len,
			 weft_csum_pseudo6(ip + 8, ip + 24, PROTO_ICMPV6, (uint32_t)len));
	memcpy(icmp + 2, &csum, 2);
}

// A 16-bit word that an inverted sum covers has changed (RFC 1624).
static void change_sum(uint8_t *at, uint16_t from, uint16_t to)
{
	uint32_t sum = (uint16_t) ~(at[0] << 8 | at[1]) + (uint32_t)(uint16_t)~from + to;

	sum = (sum & 0xffff) + (sum >> 16);
	weft_put16(at, (uint16_t) ~(sum + (sum >> 16)));
}

void weft_echo_answer(uint8_t *frame, const struct packet *p)
{
	uint8_t *ip = frame + p->l3, *icmp = frame + p->l4;
	bool v4 = p->key.family == 4;
	uint8_t type = v4 ? 0 : 129;

	swap(frame, frame + 6, 6);
	if (v4) {
		swap(ip + 12, ip + 16, 4);
		ip[8] = ANSWER_HOPS;
		header4_checksum(ip, (ip[0] & 15u) * 4);
	} else {
		swap(ip + 8, ip + 24, 16);
		ip[7] = ANSWER_HOPS;
	}
	if (p->fragment == FRAGMENT_LATER)
		return;
	change_sum(icmp + 2, (uint16_t)(icmp[0] << 8 | icmp[1]), (uint16_t)(type << 8 | icmp[1]));
	icmp[0] = type;
}

static size_t error4(const uint8_t *packet, size_t quote, uint8_t type, uint8_t code, uint32_t mtu,
		     const struct ip_addr *from, uint8_t *ip)
{
	uint8_t *icmp = ip + 20;
	uint16_t csum;

	if (quote > QUOTE4_MAX)
		quote = QUOTE4_MAX;
	memset(ip, 0, 28);
	ip[0] = 0x45;
	ip[1] = 0xc0; // internetwork control (RFC 1812, 4.3.2.5)
	weft_put16(ip + 2, (uint16_t)(28 + quote));
	ip[8] = 64;
	ip[9] = PROTO_ICMP;
	memcpy(ip + 12, from->b, 4);
	memcpy(ip + 16, packet + 12, 4);
	header4_checksum(ip, 20);
	icmp[0] = type;
	icmp[1] = code;
	weft_put16(icmp + 6, (uint16_t)mtu); // RFC 1191
	memcpy(icmp + 8, packet, quote);
	csum = weft_csum(icmp, 8 + quote, 0);
	memcpy(icmp + 2, &csum, 2);
	return 28 + quote;
}

static size_t error6(const uint8_t *packet, size_t quote, uint8_t type, uint8_t code, uint32_t mtu,
		     const struct ip_addr *from, uint8_t *ip)
{
	uint8_t *icmp = ip + 40;

	if (quote > QUOTE6_MAX)
		quote = QUOTE6_MAX;
	memset(ip, 0, 48);
	ip[0] = 0x60;
	weft_put16(ip + 4, (uint16_t)(8 + quote));
	ip[6] = PROTO_ICMPV6;
	ip[7] = 64;
	memcpy(ip + 8, from->b, 16);
	memcpy(ip + 24, packet + 8, 16);
	icmp[0] = type;
	icmp[1] = code;
	weft_put16(icmp + 4, (uint16_t)(mtu >> 16));
	weft_put16(icmp + 6, (uint16_t)mtu);
	memcpy(icmp + 8, packet, quote);
	transport_checksum6(ip, icmp, 8 + quote);
	return 48 + quote;
}

// May a host with this source be told? (RFC 1122, 3.2.2; RFC 4443, 2.4 e)
static bool may_be_told(const struct packet *p)
{
	static const uint8_t unspecified[16];
	const uint8_t *b = p->key.family == 4 ? (const uint8_t *)&p->key.src4 : p->key.src6;

	if (p->kind != PACKET_IP || p->icmp_error || p->fragment == FRAGMENT_LATER)
		return false;
	if (p->key.family == 4)
		return b[0] != 0 && b[0] < 224;
	return b[0] != 0xff && memcmp(b, unspecified, 16) != 0;
}

size_t weft_icmp_error(const uint8_t *frame, size_t len, const struct packet *p, uint8_t type,
		       uint8_t code, uint32_t mtu, const struct ip_addr *from, uint8_t *out)
{
	const uint8_t *packet = frame + p->l3;
	size_t quote = len - p->l3;

	if (!may_be_told(p))
		return 0;
	if (quote > p->l3_len)
		quote = p->l3_len;
	memcpy(out, frame + 6, 6);
	memcpy(out + 6, frame, 6);
	memcpy(out + 12, frame + 12, 2);
	if (p->key.family == 4)
		return ETH_LEN + error4(packet, quote, type, code, mtu, from, out + ETH_LEN);
	return ETH_LEN + error6(packet, quote, type, code, mtu, from, out + ETH_LEN);
}
