// SPDX-License-Identifier: Apache-2.0
// The datapath's own answers (ARP, neighbour and router discovery, DHCP) to any frame. The first
// byte of the input chooses what lease the port has and how much room the buffer, the rest is the
// frame. Whatever is answered must be a valid packet for the asker.
#include "datapath/frames/services.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { FRAME_MAX = 2048, ROOM = 1514 };

static const struct mac_addr owner = {{0xfa, 0x16, 0x3e, 0, 0, 0x0b}};
static const struct mac_addr client = {{0xfa, 0x16, 0x3e, 0, 0, 0x0a}};

// Room for an answer beyond the question, or hardly any: an overrun is ASan's to see.
static uint8_t *copy_frame(uint8_t choice, const uint8_t *frame, size_t len, size_t *cap)
{
	*cap = (choice & 1) != 0 ? len + choice / 2u : len + ROOM;
	uint8_t *buf = malloc(*cap + 1);
	memcpy(buf, frame, len);
	return buf;
}

static uint16_t sum(const uint8_t *b, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++)
		seed += i % 2 == 0 ? (uint32_t)b[i] << 8 : b[i];
	while (seed > 0xffff)
		seed = (seed & 0xffff) + (seed >> 16);
	return (uint16_t)seed;
}

static void check_arp(uint8_t choice, const uint8_t *frame, size_t len)
{
	size_t cap;
	struct packet p;
	uint8_t *buf = copy_frame(choice, frame, len, &cap);
	size_t n = weft_arp_answer(buf, len, cap, &owner);
	if (n != 0) {
		fuzz_assert(n <= cap && weft_packet_parse(buf, n, n, 0, &p) == DROP_NONE);
		fuzz_assert(p.kind == PACKET_ARP && p.arp_op == 2);
		fuzz_assert(memcmp(buf, frame + 6, 6) == 0 && weft_mac_equal(&p.arp_sha, &owner));
	}
	free(buf);
}

static void check_nd(uint8_t choice, const uint8_t *frame, size_t len)
{
	size_t cap;
	struct packet q, p;
	uint8_t *buf = copy_frame(choice, frame, len, &cap);
	if (weft_packet_parse(buf, len, len, 0, &q) == DROP_NONE) {
		size_t n =
			weft_nd_answer(buf, len, cap, &q, &owner, choice & 1 ? ND_ROUTER : ND_HOST);
		if (n != 0) {
			fuzz_assert(n <= cap && weft_packet_parse(buf, n, n, 0, &p) == DROP_NONE);
			fuzz_assert(p.icmp_type == 136 && p.ttl == 255);
			fuzz_assert(sum(buf + 22, 64, 58 + 32) == 0xffff);
		}
	}
	free(buf);
}

static void check_dhcp(uint8_t choice, const uint8_t *frame, size_t len)
{
	static const struct ip_addr dns[] = {{4, {10, 0, 0, 2}}, {4, {10, 0, 0, 3}}};
	static const uint8_t long_value[255] = {1};
	static const struct dhcp_option extra[] = {
		{42, 255, long_value}, {66, 255, long_value}, {67, 255, long_value}, {26, 0, NULL}};
	struct dhcp_route routes[64];
	for (size_t i = 0; i < 64; i++)
		routes[i] = (struct dhcp_route) {{{4, {172, (uint8_t)i}}, (uint8_t)(i % 33)},
						 {4, {10, 0, 0, 9}}};
	struct dhcp_lease l = {
		.client = client,
		.ip = {4, {10, 0, 0, 5}},
		.server = {4, {10, 0, 0, 1}},
		.gateway = {(choice & 2) != 0 ? 4 : 0, {10, 0, 0, 1}},
		.prefix_len = choice & 31,
		.lease_s = 86400,
		.mtu = (choice & 4) != 0 ? 1450 : 9000,
		.hostname = "vm1",
		.domain = "example.test",
		.dns = dns,
		.n_dns = 2,
		.routes = routes,
		.n_routes = (choice & 8) != 0 ? 64 : 0,
		.extra = extra,
		.n_extra = (choice & 16) != 0 ? 4 : 0,
	};
	size_t cap, n;
	struct packet q, p;
	uint8_t *buf = copy_frame(choice, frame, len, &cap);
	if (weft_packet_parse(buf, len, len, 0, &q) == DROP_NONE &&
	    weft_dhcp_answer(buf, len, cap, &q, &l, &n) == DHCP_ANSWERED) {
		fuzz_assert(n <= cap && weft_packet_parse(buf, n, n, 0, &p) == DROP_NONE);
		fuzz_assert(p.l3_len == n - 14 && n >= 342);
		fuzz_assert(sum(buf + 14, 20, 0) == 0xffff);
		fuzz_assert(sum(buf + 26, n - 26, 17 + (uint32_t)(n - 34)) == 0xffff);
		fuzz_assert((buf[0] & 1) != 0 || memcmp(buf, client.b, 6) == 0);
	}
	free(buf);
}

// Options one behind the other, and in those that hold options the same.
static void check_options6(const uint8_t *b, size_t len, unsigned int depth)
{
	while (len > 0) {
		fuzz_assert(len >= 4);
		uint16_t code = (uint16_t)(b[0] << 8 | b[1]);
		size_t n = (size_t)(b[2] << 8 | b[3]);
		size_t head = code == 3 || code == 25 ? 12 : code == 4 ? 4 : code == 5 ? 24 : n;
		fuzz_assert(n <= len - 4 && head <= n && depth < 3);
		check_options6(b + 4 + head, n - head, depth + 1);
		b += 4 + n;
		len -= 4 + n;
	}
}

static void check_dhcp6(uint8_t choice, const uint8_t *frame, size_t len)
{
	static const struct ip_addr dns[] = {{6, {0xfd, 2}}, {4, {10, 0, 0, 3}}};
	static const uint8_t long_value[255] = {1};
	static const struct dhcp_option extra[] = {
		{59, 255, long_value}, {60, 255, long_value}, {61, 255, long_value}, {3, 0, NULL}};
	struct ip_addr ips[40];
	static const struct ip_prefix links[] = {{{6, {0xfd, 0, 0, 1}}, 64}};
	for (size_t i = 0; i < 40; i++)
		ips[i] = (struct ip_addr) {6, {0xfd, 0, 0, 1, [15] = (uint8_t)(i + 5)}};
	struct dhcp6_lease l = {
		.client = client,
		.ips = ips,
		.n_ips = (choice & 2) != 0   ? 40
			 : (choice & 4) != 0 ? 2
					     : 0,
		.links = links,
		.n_links = 1,
		.lease_s = (choice & 8) != 0 ? UINT32_MAX : 86400,
		.domain = "example.test",
		.dns = dns,
		.n_dns = 2,
		.extra = extra,
		.n_extra = (choice & 16) != 0 ? 4 : 0,
	};
	size_t cap, n;
	struct packet q, p;
	uint8_t *buf = copy_frame(choice, frame, len, &cap);
	if (weft_packet_parse(buf, len, len, 0, &q) == DROP_NONE &&
	    weft_dhcp6_answer(buf, len, cap, &q, &l, &n) == DHCP_ANSWERED) {
		fuzz_assert(n <= cap && n <= 1294);
		fuzz_assert(weft_packet_parse(buf, n, n, 0, &p) == DROP_NONE);
		fuzz_assert(p.l3_len == n - 14 && p.l4 == 54);
		fuzz_assert(sum(buf + 22, n - 22, 17 + (uint32_t)(n - 54)) == 0xffff);
		fuzz_assert(memcmp(buf, client.b, 6) == 0 && (buf[62] == 2 || buf[62] == 7));
		check_options6(buf + 66, n - 66, 0);
	}
	free(buf);
}

// A valid solicitation is answered at the address that it came from.
static void check_rs(const uint8_t *frame, size_t len)
{
	struct packet q;
	uint8_t *copy = malloc(len + 1); // an overrun is ASan's to see
	memcpy(copy, frame, len);
	if (weft_packet_parse(copy, len, len, 0, &q) == DROP_NONE &&
	    weft_rs_is_valid(copy, len, &q))
		fuzz_assert(q.icmp_type == 133 && q.ttl == 255 && q.l3 + q.l3_len <= len);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 1 || len > FRAME_MAX)
		return 0;
	check_arp(data[0], data + 1, len - 1);
	check_nd(data[0], data + 1, len - 1);
	check_dhcp(data[0], data + 1, len - 1);
	check_dhcp6(data[0], data + 1, len - 1);
	check_rs(data + 1, len - 1);
	return 0;
}
