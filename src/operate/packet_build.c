// SPDX-License-Identifier: Apache-2.0
#include "operate/packet_build.h"

#include <netinet/in.h>
#include <string.h>

struct cursor {
	uint8_t *start, *at;
};

static void put8(struct cursor *c, uint8_t v)
{
	*c->at++ = v;
}

static void put16(struct cursor *c, uint16_t v)
{
	put8(c, v >> 8);
	put8(c, v);
}

static void put32(struct cursor *c, uint32_t v)
{
	put16(c, v >> 16);
	put16(c, v);
}

static void put_bytes(struct cursor *c, const void *p, size_t n)
{
	memcpy(c->at, p, n);
	c->at += n;
}

static void put_zeros(struct cursor *c, size_t n)
{
	memset(c->at, 0, n);
	c->at += n;
}

static void store16(uint8_t *p, uint16_t v)
{
	p[0] = v >> 8;
	p[1] = v;
}

static uint32_t sum(const uint8_t *p, size_t n, uint32_t seed)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		seed += p[i] << 8 | p[i + 1];
	return n % 2 != 0 ? seed + (p[n - 1] << 8) : seed;
}

static uint16_t fold(uint32_t s)
{
	while (s >> 16 != 0)
		s = (s & 0xffff) + (s >> 16);
	return ~s;
}

static size_t ip_len(const struct ip_addr *ip)
{
	return ip->family == 4 ? 4 : 16;
}

static const struct ip_addr all_nodes = {.family = 6, .b = {0xff, 0x02, [15] = 1}};
static const struct mac_addr broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
// Locally administered and out of Neutron's range: no port has it.
static const struct mac_addr nobody = {{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff}};

static struct mac_addr multicast_mac(const struct ip_addr *ip)
{
	struct mac_addr m = {{0x33, 0x33}};

	if (ip->family == 6) {
		memcpy(m.b + 2, ip->b + 12, 4);
	} else {
		m = (struct mac_addr) {{0x01, 0x00, 0x5e, ip->b[1] & 0x7f, ip->b[2], ip->b[3]}};
	}
	return m;
}

// RFC 4291, 2.7.1
static struct ip_addr solicited_node(const struct ip_addr *ip)
{
	struct ip_addr g = {.family = 6, .b = {0xff, 0x02, [11] = 1, [12] = 0xff}};

	memcpy(g.b + 13, ip->b + 13, 3);
	return g;
}

void weft_packet_destination(struct packet_spec *s, const struct packet_sender *from)
{
	static const struct ip_addr any4 = {.family = 4};
	static const struct ip_addr broadcast4 = {.family = 4, .b = {255, 255, 255, 255}};

	if (s->shape == PACKET_SHAPE_DHCP) {
		s->src = any4;
		s->dst = broadcast4;
	} else if (s->shape == PACKET_SHAPE_ND) {
		s->dst = s->asks ? solicited_node(&s->target) : all_nodes;
	}
	if (s->shape == PACKET_SHAPE_ARP || s->shape == PACKET_SHAPE_ETHER ||
	    weft_ip_equal(&s->dst, &broadcast4))
		s->dmac = broadcast;
	else if (weft_ip_is_multicast(&s->dst))
		s->dmac = multicast_mac(&s->dst);
	else if (from->resolve == NULL || !from->resolve(from->arg, &s->dst, &s->dmac))
		s->dmac = nobody;
}

static void put_ip(struct cursor *c, const struct packet_spec *s, uint8_t proto, uint8_t ttl,
		   size_t len)
{
	uint8_t *start = c->at;

	if (s->dst.family == 6) {
		put32(c, 6u << 28);
		put16(c, len);
		put8(c, proto);
		put8(c, ttl);
		put_bytes(c, s->src.b, 16);
		put_bytes(c, s->dst.b, 16);
		return;
	}
	put16(c, 0x4500);
	put16(c, 20 + len);
	put32(c, 0x00014000); // identification 1, don't fragment
	put8(c, ttl);
	put8(c, proto);
	put16(c, 0);
	put_bytes(c, s->src.b, 4);
	put_bytes(c, s->dst.b, 4);
	store16(start + 10, fold(sum(start, 20, 0)));
}

static uint16_t l4_checksum(const struct packet_spec *s, uint8_t proto, const uint8_t *l4, size_t n)
{
	uint32_t seed = proto + n;

	seed = sum(s->src.b, ip_len(&s->src), seed);
	seed = sum(s->dst.b, ip_len(&s->dst), seed);
	return fold(sum(l4, n, seed));
}

static void put_tcp(struct cursor *c, const struct packet_spec *s)
{
	put16(c, s->sport);
	put16(c, s->dport);
	put32(c, 1);
	put32(c, s->tcp_flags & 0x10 ? 1 : 0);
	put8(c, 5 << 4);
	put8(c, s->tcp_flags);
	put16(c, 65535);
	put32(c, 0);
}

static void put_udp(struct cursor *c, const struct packet_spec *s)
{
	put16(c, s->sport);
	put16(c, s->dport);
	put16(c, 8 + s->payload);
	put16(c, 0);
}

static void put_sctp(struct cursor *c, const struct packet_spec *s)
{
	put16(c, s->sport);
	put16(c, s->dport);
	put32(c, 0);
	put32(c, 0);
	put32(c, 0x01000004); // an INIT chunk, empty; its CRC is nobody's business here
}

static void put_icmp(struct cursor *c, const struct packet_spec *s)
{
	put8(c, s->icmp_type);
	put8(c, s->icmp_code);
	put16(c, 0);
	put16(c, s->icmp_id);
	put16(c, s->icmp_seq);
}

// RFC 4861, 4.3 and 4.4, with the link-layer address option.
static void put_nd(struct cursor *c, const struct packet_spec *s)
{
	put8(c, s->asks ? 135 : 136);
	put8(c, 0);
	put16(c, 0);
	put32(c, s->asks ? 0 : 0x20000000); // override
	put_bytes(c, s->target.b, 16);
	put8(c, s->asks ? 1 : 2);
	put8(c, 1);
	put_bytes(c, (s->asks ? &s->smac : &s->target_mac)->b, 6);
}

// RFC 2131: a DISCOVER as short as it may be.
static void put_dhcp(struct cursor *c, const struct packet_spec *s)
{
	put16(c, 68);
	put16(c, 67);
	put16(c, 8 + 244);
	put16(c, 0);
	put32(c, 0x01010600);
	put32(c, 0x77656674); // transaction
	put_zeros(c, 20);
	put_bytes(c, s->smac.b, 6);
	put_zeros(c, 10 + 192);
	put32(c, 0x63825363);
	put_bytes(c, "\x35\x01\x01\xff", 4);
}

static void put_arp(struct cursor *c, const struct packet_spec *s)
{
	const struct ip_addr *spa = s->asks ? &s->src : &s->target;

	put16(c, 1);
	put16(c, 0x0800);
	put16(c, 0x0604);
	put16(c, s->asks ? 1 : 2);
	put_bytes(c, (s->asks ? &s->smac : &s->target_mac)->b, 6);
	put_bytes(c, spa->b, 4);
	put_zeros(c, 6);
	put_bytes(c, s->target.b, 4);
}

// The transport header and payload, checksum included. Returns the length.
static size_t put_l4(struct cursor *c, const struct packet_spec *s, uint8_t proto)
{
	uint8_t *start = c->at;
	size_t n, check = 0;

	if (s->shape == PACKET_SHAPE_ND) {
		put_nd(c, s);
		check = 2;
	} else if (s->shape == PACKET_SHAPE_DHCP) {
		put_dhcp(c, s);
		check = 6;
	} else if (s->shape == PACKET_SHAPE_ICMP) {
		put_icmp(c, s);
		check = 2;
	} else if (s->shape == PACKET_SHAPE_PORTS && proto == IPPROTO_TCP) {
		put_tcp(c, s);
		check = 16;
	} else if (s->shape == PACKET_SHAPE_PORTS && proto == IPPROTO_UDP) {
		put_udp(c, s);
		check = 6;
	} else if (s->shape == PACKET_SHAPE_PORTS) {
		put_sctp(c, s);
	}
	if (s->shape != PACKET_SHAPE_ND && s->shape != PACKET_SHAPE_DHCP)
		put_zeros(c, s->payload);
	n = c->at - start;
	if (check != 0)
		store16(start + check, proto == IPPROTO_ICMP ? fold(sum(start, n, 0))
							     : l4_checksum(s, proto, start, n));
	return n;
}

size_t weft_packet_build(const struct packet_spec *s, uint8_t *out)
{
	struct cursor c = {out, out};
	uint8_t proto = s->shape == PACKET_SHAPE_ND ? IPPROTO_ICMPV6 : s->proto;
	uint8_t *l3;
	size_t header = s->dst.family == 6 ? 40 : 20, n;

	put_bytes(&c, s->dmac.b, 6);
	put_bytes(&c, s->smac.b, 6);
	if (s->has_vlan) {
		put16(&c, 0x8100);
		put16(&c, s->vlan);
	}
	if (s->shape == PACKET_SHAPE_ARP) {
		put16(&c, 0x0806);
		put_arp(&c, s);
		return c.at - c.start;
	}
	if (s->shape == PACKET_SHAPE_ETHER) {
		put16(&c, s->ethertype);
		put_zeros(&c, s->payload > 46 ? s->payload : 46);
		return c.at - c.start;
	}
	put16(&c, s->dst.family == 6 ? 0x86dd : 0x0800);
	l3 = c.at;
	c.at += header;
	n = put_l4(&c, s, proto);
	c.at = l3;
	put_ip(&c, s, proto, s->shape == PACKET_SHAPE_ND ? 255 : s->ttl, n);
	return c.at - c.start + n;
}
