// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/packet.h"

#include "datapath/frames/packet_parts.h"

enum {
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_ARP = 0x0806,
	ETHERTYPE_RARP = 0x8035,
	ETHERTYPE_IPV6 = 0x86dd,
	ARP_LEN = 28,
};

// ARP and RARP for IPv4 over Ethernet; other kinds of address do not exist on a Neutron network.
static enum drop parse_arp(const uint8_t *frame, size_t len, struct packet *p)
{
	const uint8_t *arp = frame + ETHER_LEN;
	if (len < ETHER_LEN + ARP_LEN)
		return DROP_TRUNCATED;
	if (weft_read16(arp) != 1 || weft_read16(arp + 2) != ETHERTYPE_IPV4 || arp[4] != 6 ||
	    arp[5] != 4)
		return DROP_BAD_HEADER;
	p->arp_op = weft_read16(arp + 6);
	memcpy(p->arp_sha.b, arp + 8, 6);
	p->arp_spa.family = 4;
	memcpy(p->arp_spa.b, arp + 14, 4);
	p->arp_tpa.family = 4;
	memcpy(p->arp_tpa.b, arp + 24, 4);
	return DROP_NONE;
}

static enum drop parse_ip(const uint8_t *frame, size_t len, size_t total, struct packet *p)
{
	enum drop why = weft_packet_ip(frame, (uint32_t)len, p);
	if (why != DROP_NONE)
		return why;
	// What follows the IP packet is Ethernet padding and no part of any header.
	uint32_t end = p->l3 + p->l3_len;
	if (end > total)
		return DROP_TRUNCATED;
	if (p->l4 == 0)
		return DROP_NONE;
	return weft_packet_transport(frame, end < len ? end : (uint32_t)len, end, p);
}

enum drop weft_packet_parse(const uint8_t *frame, size_t len, size_t total, uint16_t in_port,
			    struct packet *out)
{
	memset(out, 0, sizeof(*out));
	out->key.in_port = in_port;
	if (len < ETHER_LEN)
		return DROP_TRUNCATED;
	// Offsets are 16 bits wide; no header is further away than this.
	if (len > UINT16_MAX)
		len = UINT16_MAX;
	out->ethertype = weft_read16(frame + 12);
	out->l3 = ETHER_LEN;
	switch (out->ethertype) {
	case ETHERTYPE_ARP:
		out->kind = PACKET_ARP;
		return parse_arp(frame, len, out);
	case ETHERTYPE_RARP:
		out->kind = PACKET_RARP;
		return parse_arp(frame, len, out);
	case ETHERTYPE_IPV4:
	case ETHERTYPE_IPV6:
		out->kind = PACKET_IP;
		out->key.family = out->ethertype == ETHERTYPE_IPV4 ? 4 : 6;
		return parse_ip(frame, len, total, out);
	default:
		out->kind = PACKET_OTHER;
		return DROP_NONE;
	}
}
