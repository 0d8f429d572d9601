// SPDX-License-Identifier: Apache-2.0
// Packet text: what a person types to `weft trace`, as a frame.
//
//   tcp  [SRC[:PORT] >] DST:PORT [syn|ack|fin|rst|psh|urg ...]       flags: syn when none is given
//   udp  [SRC[:PORT] >] DST:PORT
//   sctp [SRC[:PORT] >] DST:PORT icmp [SRC >] DST [type=8] [code=0] [id=1] [seq=1]
//   ICMPv6 when the addresses are IPv6 (type=128)
//   ip   [SRC >] DST proto=47
//   arp  who-has IP [tell IP]   |   arp reply IP [is-at MAC]
//   nd   who-has IP [tell IP]   |   nd reply IP [is-at MAC]
//   dhcp discover
//   ether type=0x88cc
// and for all: smac= dmac= vlan= ttl= len= (bytes of payload). IPv6 with a port is written
// [2001:db8::5]:53.
//
// What is left out is what the port itself would send: its MAC, its first address of the family,
// port 40000. The destination's MAC is asked for; an address that nobody has goes to a MAC that
// nobody has.
//
// Errors     -EINVAL: err says where the text went wrong and shows the form
// Threads    any
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"

struct packet_sender {
	struct mac_addr mac;
	struct ip_addr ip4, ip6; // family 0 = none
	// The MAC to which the sender would send what goes to ip; false = nobody's.
	bool (*resolve)(void *arg, const struct ip_addr *ip, struct mac_addr *out);
	void *arg;
};

#define PACKET_FRAME_MAX 9216

// The frame, without padding to the Ethernet minimum; frame has room for PACKET_FRAME_MAX bytes.
int weft_packet_from_text(const char *text, const struct packet_sender *from, uint8_t *frame,
			  size_t *len, struct err *err);
// "0011 22:33..." -> bytes.
int weft_packet_from_hex(const char *text, uint8_t *frame, size_t *len, struct err *err);

// ADDRESS, ADDRESS:PORT, [IPV6], [IPV6]:PORT; *port is left alone without one. False: it is none of
// them.
bool weft_packet_end(const char *text, struct ip_addr *ip, int32_t *port);
