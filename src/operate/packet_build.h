// SPDX-License-Identifier: Apache-2.0
// Packet build: the bytes of one packet that is described field by field. Checksums are right.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "operate/packet_text.h"

enum packet_shape {
	PACKET_SHAPE_PORTS, // TCP, UDP, SCTP
	PACKET_SHAPE_ICMP,
	PACKET_SHAPE_IP, // any other protocol
	PACKET_SHAPE_ARP,
	PACKET_SHAPE_ND,
	PACKET_SHAPE_DHCP,
	PACKET_SHAPE_ETHER,
};

struct packet_spec {
	enum packet_shape shape;
	struct mac_addr smac, dmac;
	bool has_vlan;
	uint16_t vlan, ethertype;
	struct ip_addr src, dst;
	uint8_t proto, ttl;
	uint16_t sport, dport; // host order
	uint8_t tcp_flags, icmp_type, icmp_code;
	uint16_t icmp_id, icmp_seq;
	uint16_t payload; // bytes
	// ARP and neighbour discovery
	bool asks; // request, solicitation
	struct ip_addr target;
	bool has_target_mac;
	struct mac_addr target_mac;
};

// Set dmac (and, for neighbour discovery and DHCP, the addresses) as the sender would.
void weft_packet_destination(struct packet_spec *s, const struct packet_sender *from);

// Returns the length; out has room for PACKET_FRAME_MAX bytes.
size_t weft_packet_build(const struct packet_spec *s, uint8_t *out);
