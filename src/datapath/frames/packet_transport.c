// SPDX-License-Identifier: Apache-2.0
// The transport step of the parser: ports, ICMP messages, and what ICMP errors quote.
#include "datapath/frames/packet_parts.h"

enum { QUOTED_MIN = 8 }; // what an ICMP error must quote of the transport header (RFC 792)

// The shortest header of each protocol; 0 for those of which only the number counts.
static uint32_t shortest_header(const struct flow_key *key)
{
	switch (key->proto) {
	case PROTO_TCP:
		return 20;
	case PROTO_SCTP:
	case PROTO_DCCP:
		return 12;
	case PROTO_UDP:
	case PROTO_UDPLITE:
		return 8;
	case PROTO_ICMP:
		return key->family == 4 ? 8 : 0;
	case PROTO_ICMPV6:
		return key->family == 6 ? 8 : 0;
	default:
		return 0;
	}
}

static bool is_icmp(const struct flow_key *key)
{
	return key->proto == (key->family == 4 ? PROTO_ICMP : PROTO_ICMPV6);
}

// Echo, timestamp, information and address mask; ICMPv6 echo and node information.
static bool is_query(uint8_t family, uint8_t type)
{
	if (family == 4)
		return type == 0 || type == 8 || (type >= 13 && type <= 18);
	return type == 128 || type == 129 || type == 139 || type == 140;
}

// Unreachable, source quench, redirect, time exceeded, parameter problem; of ICMPv6 what RFC 4443
// defines.
static bool is_error(uint8_t family, uint8_t type)
{
	if (family == 4)
		return (type >= 3 && type <= 5) || type == 11 || type == 12;
	return type >= 1 && type <= 4;
}

// Ports, or what stands for them, from a transport header of which 8 bytes are there.
static void set_ports(const uint8_t *h, struct flow_key *key)
{
	if (is_icmp(key)) {
		memcpy(&key->dport, h, 2);
		if (is_query(key->family, h[0]))
			memcpy(&key->sport, h + 4, 2);
	} else {
		memcpy(&key->sport, h, 2);
		memcpy(&key->dport, h + 2, 2);
	}
}

static enum drop parse_tcp(const uint8_t *h, uint32_t size, struct packet *p)
{
	uint32_t header = (h[12] >> 4) * 4u;
	if (header < 20)
		return DROP_BAD_HEADER;
	if (header > size)
		return p->fragment == FRAGMENT_FIRST ? DROP_FRAG_TINY : DROP_TRUNCATED;
	p->tcp_flags = h[13];
	return DROP_NONE;
}

static enum drop parse_udp(const uint8_t *h, uint32_t size, const struct packet *p)
{
	uint16_t length = weft_read16(h + 4);
	// UDP-Lite has its checksum's coverage here, where 0 is everything (RFC 3828).
	if (p->key.proto == PROTO_UDPLITE && length == 0)
		return DROP_NONE;
	if (length < 8)
		return DROP_BAD_HEADER;
	// A first fragment tells the length of the whole datagram.
	return length > size && p->fragment == FRAGMENT_NONE ? DROP_TRUNCATED : DROP_NONE;
}

static enum drop parse_icmp(const uint8_t *frame, uint32_t seen, struct packet *p)
{
	const uint8_t *h = frame + p->l4;
	p->icmp_type = h[0];
	p->icmp_code = h[1];
	p->icmp_query = is_query(p->key.family, h[0]);
	p->icmp_error = is_error(p->key.family, h[0]);
	if (p->icmp_error)
		p->inner_ok = weft_packet_quoted(frame, seen, p);
	if (p->key.family == 6 && (h[0] == ND_SOLICIT || h[0] == ND_ADVERT)) {
		if (p->l4 + 24u > seen)
			return DROP_TRUNCATED;
		p->nd_target = h + 8;
	}
	return DROP_NONE;
}

enum drop weft_packet_transport(const uint8_t *frame, uint32_t seen, uint32_t end, struct packet *p)
{
	uint32_t need = shortest_header(&p->key);
	if (need == 0)
		return DROP_NONE;
	if (p->l4 + need > seen)
		return p->fragment == FRAGMENT_FIRST ? DROP_FRAG_TINY : DROP_TRUNCATED;

	const uint8_t *h = frame + p->l4;
	uint32_t size = end - p->l4;
	set_ports(h, &p->key);
	switch (p->key.proto) {
	case PROTO_TCP:
		return parse_tcp(h, size, p);
	case PROTO_UDP:
	case PROTO_UDPLITE:
		return parse_udp(h, size, p);
	case PROTO_ICMP:
	case PROTO_ICMPV6:
		return parse_icmp(frame, seen, p);
	default:
		return DROP_NONE;
	}
}

bool weft_packet_quoted(const uint8_t *frame, uint32_t seen, struct packet *p)
{
	// The quoted packet is cut short, so its own length is never compared with what is there.
	struct packet quoted = {.l3 = (uint16_t)(p->l4 + 8), .key.family = p->key.family};
	p->inner_l3 = quoted.l3;
	if (weft_packet_ip(frame, seen, &quoted) != DROP_NONE || quoted.fragment == FRAGMENT_LATER)
		return false;
	p->inner = quoted.key;
	if (shortest_header(&quoted.key) == 0) {
		if (quoted.l4 < seen)
			p->inner_l4 = quoted.l4;
		return true;
	}
	if (quoted.l4 + (uint32_t)QUOTED_MIN > seen)
		return false;
	const uint8_t *h = frame + quoted.l4;
	// Nobody may answer an error with an error (RFC 1122, 3.2.2; RFC 4443, 2.4).
	if (is_icmp(&quoted.key) && is_error(quoted.key.family, h[0]))
		return false;
	set_ports(h, &p->inner);
	p->inner_l4 = quoted.l4;
	return true;
}
