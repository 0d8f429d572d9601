// SPDX-License-Identifier: Apache-2.0
// Packet: one pass over a frame's headers, for everything that the slow path wants to know.
//
// The fast path reads plain TCP, UDP and echo itself (fast.c); whatever is unusual (options,
// extension headers, fragments, ARP, ND, errors) comes here. The parser reads only the first
// `len` bytes it is given (the first segment) and never trusts a length: headers that reach
// beyond it make the packet DROP_TRUNCATED. Pure: no mbufs, no state.
//
// What counts as the transport header is what the receiving host takes for it: hop-by-hop,
// destination options, routing, fragment and authentication headers are stepped over; ESP,
// mobility and unknown headers are the final protocol.
//
// ICMP    key.dport is type << 8 | code of any message; key.sport the identifier of queries, else
//         0.
// Refused impossible lengths and orders, more than 8 extension headers, jumbograms, type 0
// routing headers that are still
//         travelling (RFC 5095), fragmented neighbour discovery (RFC 6980), a first fragment
//         without its whole transport header (RFC 1858, 7112: DROP_FRAG_TINY). Not refused,
//         because it is policy: odd addresses, TCP flags, options.
//
// RFC 791, 8200 (extension headers), 792, 4443, 826, 4861.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "datapath/frames/drop.h"
#include "datapath/frames/flow.h"

enum packet_kind {
	PACKET_OTHER, // not IP and not ARP: only `ethertype` counts
	PACKET_ARP,
	PACKET_RARP,
	PACKET_IP, // IPv4 or IPv6: key is set (ports only if has_l4)
};

enum packet_fragment {
	FRAGMENT_NONE,
	FRAGMENT_FIRST, // offset 0, more to come: has the transport header
	// No transport header: key.sport/dport are 0, unknown; in IPv6 key.proto is the fragment
	// header's word for it, which may name an extension header.
	FRAGMENT_LATER,
};

struct packet {
	enum packet_kind kind;
	enum packet_fragment fragment;
	uint16_t ethertype;   // host order
	uint16_t l3;	      // offset of the IP or ARP header
	uint16_t l4;	      // offset of the transport header (final next header); 0 = none seen
	uint32_t l3_len;      // IP packet length, from its header (may exceed the first segment)
	uint32_t frag_id;     // host order
	uint16_t frag_offset; // bytes
	bool first_known;     // a later fragment whose ports fragment.c took from its first one
	uint8_t ttl;
	uint8_t tcp_flags;
	uint8_t icmp_type, icmp_code; // key.proto 1 or 58
	bool icmp_query;	      // echo & co.: key has id and type, see flow.h
	bool icmp_error;	      // `inner` was looked at
	bool inner_ok; // inner: the key of the packet that the error is about, as that packet stood
	bool has_options;	     // IPv4 options or IPv6 extension headers
	struct flow_key key;	     // in_port as given
	struct flow_key inner;	     // in_port 0
	uint16_t inner_l3, inner_l4; // offsets in the frame (for NAT); inner_l4 0 = not there
	const uint8_t *nd_target;    // NS and NA: 16 bytes inside the frame
	uint32_t arp_op;	     // ARP
	struct ip_addr arp_spa, arp_tpa;
	struct mac_addr arp_sha;
};

// Parse `len` bytes of a frame whose whole length is `total` (>= len). DROP_NONE, or why it
// cannot be understood.
enum drop weft_packet_parse(const uint8_t *frame, size_t len, size_t total, uint16_t in_port,
			    struct packet *out);

// One line for people: "tcp 10.0.0.5:1234 > 10.0.0.9:22 flags S ttl 64". Returns buf.
const char *weft_packet_text(const uint8_t *frame, size_t len, const struct packet *p, char *buf,
			     size_t size);
// "tcp 10.0.0.5:1234 > 10.0.0.9:22". Returns buf.
const char *weft_flow_text(const struct flow_key *k, char *buf, size_t size);
