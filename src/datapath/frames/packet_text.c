// SPDX-License-Identifier: Apache-2.0
// A packet as a line for people, in the manner of tcpdump.
#include "datapath/frames/packet_parts.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/bytes.h"

struct line {
	char *s;
	size_t len, size;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *l, const char *fmt, ...)
{
	if (l->len + 1 >= l->size)
		return;
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(l->s + l->len, l->size - l->len, fmt, args);
	va_end(args);
	if (n > 0) // beyond size when it was cut: nothing is added behind it
		l->len += (size_t)n;
}

static void add_mac(struct line *l, const uint8_t *mac)
{
	struct mac_addr m;
	char buf[WEFT_MAC_STRLEN];
	memcpy(m.b, mac, 6);
	add(l, "%s", weft_mac_text(&m, buf));
}

static void add_ip(struct line *l, uint8_t family, const void *ip, const uint16_t *port)
{
	struct ip_addr a = {.family = family};
	char buf[WEFT_IP_STRLEN];
	memcpy(a.b, ip, family == 4 ? 4 : 16);
	const char *text = weft_ip_text(&a, buf);
	if (port == NULL)
		add(l, "%s", text);
	else
		add(l, family == 4 ? "%s:%u" : "[%s]:%u", text, be16toh(*port));
}

static const char *protocol_name(uint8_t proto)
{
	switch (proto) {
	case PROTO_ICMP:
		return "icmp";
	case PROTO_TCP:
		return "tcp";
	case PROTO_UDP:
		return "udp";
	case PROTO_DCCP:
		return "dccp";
	case PROTO_ICMPV6:
		return "icmp6";
	case PROTO_SCTP:
		return "sctp";
	case PROTO_UDPLITE:
		return "udplite";
	case 2:
		return "igmp";
	case 4:
		return "ipip";
	case 41:
		return "ipv6-encap";
	case 47:
		return "gre";
	case 50:
		return "esp";
	case 51:
		return "ah";
	case PROTO_NO_NEXT:
		return "ipv6-nonxt";
	case 103:
		return "pim";
	case 112:
		return "vrrp";
	default:
		return NULL;
	}
}

static bool has_ports(uint8_t proto)
{
	return proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_SCTP ||
	       proto == PROTO_DCCP || proto == PROTO_UDPLITE;
}

// "udp 10.0.0.5:68 > 10.0.0.2:67"
static void add_flow(struct line *l, const struct flow_key *k, bool with_ports)
{
	const char *name = protocol_name(k->proto);
	if (name != NULL)
		add(l, "%s ", name);
	else
		add(l, "%s protocol %u ", k->family == 4 ? "ip" : "ip6", k->proto);
	bool ports = with_ports && has_ports(k->proto);
	bool v4 = k->family == 4;
	add_ip(l, k->family, v4 ? (const void *)&k->src4 : k->src6, ports ? &k->sport : NULL);
	add(l, " > ");
	add_ip(l, k->family, v4 ? (const void *)&k->dst4 : k->dst6, ports ? &k->dport : NULL);
}

const char *weft_flow_text(const struct flow_key *k, char *buf, size_t size)
{
	struct line l = {.s = buf, .size = size};

	buf[0] = '\0';
	add_flow(&l, k, true);
	return buf;
}

static const char *icmp4_name(uint8_t type)
{
	static const char *const names[] = {
		[0] = "echo reply",	      [3] = "unreachable",
		[4] = "source quench",	      [5] = "redirect",
		[8] = "echo request",	      [9] = "router advertisement",
		[10] = "router solicitation", [11] = "time exceeded",
		[12] = "parameter problem",   [13] = "timestamp request",
		[14] = "timestamp reply",     [15] = "information request",
		[16] = "information reply",   [17] = "address mask request",
		[18] = "address mask reply",
	};
	return type < sizeof(names) / sizeof(names[0]) ? names[type] : NULL;
}

static const char *icmp6_name(uint8_t type)
{
	static const char *const errors[] = {
		[1] = "unreachable",
		[2] = "packet too big",
		[3] = "time exceeded",
		[4] = "parameter problem",
	};
	static const char *const others[] = {
		"echo request",
		"echo reply",
		"listener query",
		"listener report",
		"listener done",
		"router solicitation",
		"router advertisement",
		"neighbour solicitation",
		"neighbour advertisement",
		"redirect",
		"router renumbering",
		"node information query",
		"node information reply",
		"inverse solicitation",
		"inverse advertisement",
		"listener report v2",
	};
	if (type < sizeof(errors) / sizeof(errors[0]))
		return errors[type];
	if (type >= 128 && type - 128u < sizeof(others) / sizeof(others[0]))
		return others[type - 128];
	return NULL;
}

static void add_icmp(struct line *l, const struct packet *p)
{
	const char *name = p->key.family == 4 ? icmp4_name(p->icmp_type) : icmp6_name(p->icmp_type);
	if (name != NULL)
		add(l, " %s", name);
	else
		add(l, " type %u", p->icmp_type);
	if (p->icmp_code != 0 || name == NULL || p->icmp_error)
		add(l, " code %u", p->icmp_code);
	if (p->icmp_query)
		add(l, " id %u", be16toh(p->key.sport));
	if (p->nd_target != NULL) {
		add(l, " for ");
		add_ip(l, 6, p->nd_target, NULL);
	}
	if (p->icmp_error && p->inner_ok) {
		add(l, " about ");
		add_flow(l, &p->inner, p->inner_l4 != 0);
	} else if (p->icmp_error) {
		add(l, " about an unreadable packet");
	}
}

static void add_tcp_flags(struct line *l, uint8_t flags)
{
	static const char letters[] = "FSRPAUEC";
	char set[sizeof(letters)];
	size_t n = 0;
	for (size_t i = 0; letters[i] != '\0'; i++) {
		if ((flags >> i & 1) != 0)
			set[n++] = letters[i];
	}
	set[n] = '\0';
	add(l, " flags %s", n == 0 ? "none" : set);
}

// What DHCP message it is: option 53, if it is among the options proper.
static void add_dhcp(struct line *l, const uint8_t *frame, size_t len, const struct packet *p)
{
	static const char *const names[] = {NULL,  "discover", "offer",	  "request", "decline",
					    "ack", "nak",      "release", "inform"};
	enum { OPTIONS = 8 + 240, MESSAGE_TYPE = 53 };
	add(l, " dhcp");
	for (size_t i = p->l4 + (size_t)OPTIONS; i + 1 < len && frame[i] != 255;) {
		if (frame[i] == 0) {
			i++;
			continue;
		}
		if (frame[i] == MESSAGE_TYPE && i + 2 < len && frame[i + 1] == 1) {
			uint8_t type = frame[i + 2];
			if (type >= 1 && type < sizeof(names) / sizeof(names[0]))
				add(l, " %s", names[type]);
			return;
		}
		i += frame[i + 1] + 2u;
	}
}

static void add_transport(struct line *l, const uint8_t *frame, size_t len, const struct packet *p)
{
	uint16_t sport = be16toh(p->key.sport);
	uint16_t dport = be16toh(p->key.dport);
	if (p->key.proto == PROTO_TCP)
		add_tcp_flags(l, p->tcp_flags);
	else if (p->key.proto == (p->key.family == 4 ? PROTO_ICMP : PROTO_ICMPV6))
		add_icmp(l, p);
	else if (p->key.proto == PROTO_UDP && p->key.family == 4 &&
		 ((sport == 68 && dport == 67) || (sport == 67 && dport == 68)))
		add_dhcp(l, frame, len, p);
	else if (p->key.proto == PROTO_UDP && p->key.family == 6 &&
		 ((sport == 546 && dport == 547) || (sport == 547 && dport == 546)))
		add(l, " dhcp6");
}

static void add_arp(struct line *l, const struct packet *p)
{
	if (p->kind == PACKET_RARP) {
		add(l, "rarp op %u for ", p->arp_op);
		add_mac(l, p->arp_sha.b);
		return;
	}
	if (p->arp_op == 2) {
		add(l, "arp ");
		add_ip(l, 4, p->arp_spa.b, NULL);
		add(l, " is at ");
		add_mac(l, p->arp_sha.b);
		return;
	}
	if (p->arp_op == 1)
		add(l, "arp who has ");
	else
		add(l, "arp op %u ", p->arp_op);
	add_ip(l, 4, p->arp_tpa.b, NULL);
	add(l, " tell ");
	add_ip(l, 4, p->arp_spa.b, NULL);
	add(l, " (");
	add_mac(l, p->arp_sha.b);
	add(l, ")");
}

static void add_other(struct line *l, const uint8_t *frame, size_t len, const struct packet *p)
{
	if (len < ETHER_LEN) {
		add(l, "a frame of %zu bytes", len);
		return;
	}
	if ((p->ethertype == 0x8100 || p->ethertype == 0x88a8) && len >= ETHER_LEN + 4)
		add(l, "vlan %u ethertype 0x%04x ", weft_read16(frame + ETHER_LEN) & 0xfffu,
		    weft_read16(frame + ETHER_LEN + 2));
	else if (p->ethertype < 0x600)
		add(l, "802.3 length %u ", p->ethertype);
	else
		add(l, "ethertype 0x%04x ", p->ethertype);
	add_mac(l, frame + 6);
	add(l, " > ");
	add_mac(l, frame);
}

static void add_packet(struct line *l, const uint8_t *frame, size_t len, const struct packet *p)
{
	add_flow(l, &p->key, p->l4 != 0);
	if (p->l4 != 0)
		add_transport(l, frame, len, p);
	add(l, " ttl %u", p->ttl);
	if (p->fragment == FRAGMENT_FIRST)
		add(l, " first fragment id %u", p->frag_id);
	else if (p->fragment == FRAGMENT_LATER)
		add(l, " fragment id %u offset %u", p->frag_id, p->frag_offset);
}

const char *weft_packet_text(const uint8_t *frame, size_t len, const struct packet *p, char *buf,
			     size_t size)
{
	struct line l = {.s = buf, .size = size};
	if (size == 0)
		return buf;
	buf[0] = '\0';
	if (p->kind == PACKET_OTHER)
		add_other(&l, frame, len, p);
	else if (p->kind == PACKET_IP)
		add_packet(&l, frame, len, p);
	else
		add_arp(&l, p);
	return buf;
}
