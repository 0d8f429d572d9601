// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/neighbour_frame.h"

#include <string.h>

#include "datapath/frames/services.h"

enum {
	ARP_LEN = 42,
	ARP_REQUEST = 1,
	ARP_REPLY = 2,
	RARP_REQUEST = 3,
	FRAME_MIN = 60,
	IP6 = 14,
	ND = IP6 + 40,
	ND_LEN = 32, // 24 and one option with a link-layer address
	ND_FIXED = 24,
	TYPE_SOLICIT = 135,
	TYPE_ADVERT = 136,
	FLAG_ROUTER = 0x80,
	FLAG_SOLICITED = 0x40,
	FLAG_OVERRIDE = 0x20,
	OPTION_SOURCE_MAC = 1,
	OPTION_TARGET_MAC = 2,
	PROTO_ICMPV6 = 58,
};

static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t zero[16];

static size_t arp(uint8_t *out, uint8_t op, const uint8_t eth_dst[6], const struct mac_addr *sha,
		  const uint8_t spa[4], const uint8_t tha[6], const uint8_t tpa[4])
{
	static const uint8_t head[] = {0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0};

	memcpy(out, eth_dst, 6);
	memcpy(out + 6, sha->b, 6);
	memcpy(out + 12, head, sizeof(head));
	out[21] = op;
	memcpy(out + 22, sha->b, 6);
	memcpy(out + 28, spa, 4);
	memcpy(out + 32, tha, 6);
	memcpy(out + 38, tpa, 4);
	return ARP_LEN;
}

static size_t nd(uint8_t *out, uint8_t type, uint8_t flags, const uint8_t eth_dst[6],
		 const uint8_t src[16], const uint8_t dst[16], const uint8_t target[16],
		 const struct mac_addr *mac)
{
	uint8_t *ip = out + IP6, *body = out + ND;
	uint16_t sum;

	memcpy(out, eth_dst, 6);
	memcpy(out + 6, mac->b, 6);
	out[12] = 0x86;
	out[13] = 0xdd;
	memset(ip, 0, 40 + ND_LEN);
	ip[0] = 0x60;
	ip[5] = ND_LEN;
	ip[6] = PROTO_ICMPV6;
	ip[7] = 255;
	memcpy(ip + 8, src, 16);
	memcpy(ip + 24, dst, 16);
	body[0] = type;
	body[4] = flags;
	memcpy(body + 8, target, 16);
	body[24] = type == TYPE_SOLICIT ? OPTION_SOURCE_MAC : OPTION_TARGET_MAC;
	body[25] = 1;
	memcpy(body + 26, mac->b, 6);
	sum = weft_csum(body, ND_LEN, weft_csum_pseudo6(ip + 8, ip + 24, PROTO_ICMPV6, ND_LEN));
	memcpy(body + 2, &sum, 2);
	return ND + ND_LEN;
}

static size_t solicit(uint8_t *out, const struct ip_addr *from, const struct mac_addr *from_mac,
		      const struct ip_addr *target, const struct mac_addr *to)
{
	struct ip_addr local = weft_ip_link_local_of(from_mac);
	uint8_t group[16] = {0xff, 0x02, [11] = 1, [12] = 0xff};
	uint8_t group_mac[6] = {0x33, 0x33, 0xff};

	memcpy(group + 13, target->b + 13, 3);
	memcpy(group_mac + 3, target->b + 13, 3);
	return nd(out, TYPE_SOLICIT, 0, to == NULL ? group_mac : to->b,
		  from->family == 6 ? from->b : local.b, to == NULL ? group : target->b, target->b,
		  from_mac);
}

size_t weft_neighbour_question(uint8_t out[NEIGHBOUR_FRAME_MAX], const struct ip_addr *from,
			       const struct mac_addr *from_mac, const struct ip_addr *target,
			       const struct mac_addr *to)
{
	if (target->family == 6)
		return solicit(out, from, from_mac, target, to);
	return arp(out, ARP_REQUEST, to == NULL ? everybody : to->b, from_mac,
		   from->family == 4 ? from->b : zero, zero, target->b);
}

size_t weft_neighbour_announcement(uint8_t out[NEIGHBOUR_FRAME_MAX], enum announcement form,
				   const struct ip_addr *ip, const struct mac_addr *mac)
{
	static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
	static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};

	if (ip->family == 6)
		return nd(out, TYPE_ADVERT, FLAG_ROUTER | FLAG_OVERRIDE, all_nodes_mac, ip->b,
			  all_nodes, ip->b, mac);
	if (form == ANNOUNCE_REPLY)
		return arp(out, ARP_REPLY, everybody, mac, ip->b, mac->b, ip->b);
	return arp(out, ARP_REQUEST, everybody, mac, ip->b, zero, ip->b);
}

size_t weft_neighbour_rarp(uint8_t out[NEIGHBOUR_FRAME_MAX], const struct mac_addr *mac)
{
	memset(out, 0, FRAME_MIN);
	arp(out, RARP_REQUEST, everybody, mac, zero, mac->b, zero);
	out[12] = 0x80;
	out[13] = 0x35;
	return FRAME_MIN;
}

// ---- What others tell ----------------------------------------------------------------------

static bool is_host_mac(const struct mac_addr *mac)
{
	return !weft_mac_is_multicast(mac) && memcmp(mac->b, zero, 6) != 0;
}

static bool told_by_arp(const struct packet *p, struct told *out)
{
	// A probe (RFC 5227) claims nothing.
	if ((p->arp_op != ARP_REQUEST && p->arp_op != ARP_REPLY) || p->arp_spa.family != 4 ||
	    memcmp(p->arp_spa.b, zero, 4) == 0 || !is_host_mac(&p->arp_sha))
		return false;
	*out = (struct told) {
		.ip = p->arp_spa,
		.mac = p->arp_sha,
		.has_mac = true,
		.overrides = true,
		.answers = p->arp_op == ARP_REPLY,
	};
	return true;
}

// The options' lengths are right; the link-layer address of the wanted kind, if there.
static bool read_options(const uint8_t *o, size_t len, uint8_t wanted, struct told *out)
{
	while (len > 0) {
		size_t n = len < 8 ? 0 : o[1] * 8u;

		if (n == 0 || n > len)
			return false;
		if (o[0] == wanted && n == 8) {
			memcpy(out->mac.b, o + 2, 6);
			out->has_mac = true;
		}
		o += n;
		len -= n;
	}
	return !out->has_mac || is_host_mac(&out->mac);
}

static bool told_by_nd(const uint8_t *frame, size_t len, const struct packet *p, struct told *out)
{
	const uint8_t *ip = frame + p->l3, *body = frame + p->l4;
	size_t end = p->l3 + (size_t)p->l3_len, nd_len;
	bool advert = p->icmp_type == TYPE_ADVERT;

	if (end > len || end < p->l4 + (size_t)ND_FIXED || p->ttl != 255 || p->icmp_code != 0 ||
	    p->nd_target == NULL || p->nd_target[0] == 0xff)
		return false;
	nd_len = end - p->l4;
	if (weft_csum(body, nd_len,
		      weft_csum_pseudo6(ip + 8, ip + 24, PROTO_ICMPV6, (uint32_t)nd_len)) != 0)
		return false;
	// To a group nobody answers, and who checks whether his address is free has none yet.
	if (advert ? p->key.dst6[0] == 0xff && (body[4] & FLAG_SOLICITED) != 0
		   : memcmp(p->key.src6, zero, 16) == 0 || p->key.src6[0] == 0xff)
		return false;
	*out = (struct told) {.ip.family = 6, .answers = advert};
	memcpy(out->ip.b, advert ? p->nd_target : p->key.src6, 16);
	out->overrides = !advert || (body[4] & FLAG_OVERRIDE) != 0;
	return read_options(body + ND_FIXED, nd_len - ND_FIXED,
			    advert ? OPTION_TARGET_MAC : OPTION_SOURCE_MAC, out);
}

bool weft_neighbour_told(const uint8_t *frame, size_t len, const struct packet *p, struct told *out)
{
	if (p->kind == PACKET_ARP)
		return told_by_arp(p, out);
	if (p->kind != PACKET_IP || p->key.family != 6 || p->key.proto != PROTO_ICMPV6 ||
	    p->fragment != FRAGMENT_NONE || p->l4 == 0 ||
	    (p->icmp_type != TYPE_SOLICIT && p->icmp_type != TYPE_ADVERT))
		return false;
	return told_by_nd(frame, len, p, out);
}
