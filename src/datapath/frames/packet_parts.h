// SPDX-License-Identifier: Apache-2.0
// The parser's inside: the steps that packet.c strings together. Nobody else includes this.
//
// Every step is given how far it may read (`seen`, an offset in the frame like all others) and
// checks before it reads.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "datapath/frames/packet.h"
#include "datapath/frames/numbers.h"

enum { ETHER_LEN = 14 };

static inline uint16_t weft_read16(const uint8_t *b)
{
	return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t weft_read32(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

// The IP header at p->l3 up to the transport header: sets l3_len, l4 (0 when there is none), ttl,
// fragment fields, has_options and the key's addresses and protocol. Whether l3_len bytes are
// really there is for the caller to check.
enum drop weft_packet_ip(const uint8_t *frame, uint32_t seen, struct packet *p);

// The transport header at p->l4 into key, tcp_flags and icmp_*; `end` is where the IP packet ends
// (>= seen).
enum drop weft_packet_transport(const uint8_t *frame, uint32_t seen, uint32_t end,
				struct packet *p);

// What an ICMP error quotes, from its first 8 bytes of transport. False: not enough to know the
// flow.
bool weft_packet_quoted(const uint8_t *frame, uint32_t seen, struct packet *p);
