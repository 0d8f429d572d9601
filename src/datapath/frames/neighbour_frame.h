// SPDX-License-Identifier: Apache-2.0
// Neighbour frames: what a router of this node says on a network of its own accord, and what it
// learns there: who has an address (RFC 826, 4861, 5227). Pure functions.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "datapath/frames/packet.h"

#define NEIGHBOUR_FRAME_MAX 86

// "Who has `target`?" from a router's address (family 0: it has none; then it asks as RFC 5227
// probes, or from its link-local address). to: the MAC that is thought to have it; NULL asks
// everybody: by broadcast, or the solicited-node group. Returns the length.
size_t weft_neighbour_question(uint8_t out[NEIGHBOUR_FRAME_MAX], const struct ip_addr *from,
			       const struct mac_addr *from_mac, const struct ip_addr *target,
			       const struct mac_addr *to);

// "`ip` is at `mac`", to everybody. Hosts differ in what they believe of ARP, so an IPv4 address
// is announced in both forms, as `arping -U` and `arping -A` do. IPv6 has one: an unsolicited,
// overriding advertisement (RFC 4861, 7.2.6).
enum announcement { ANNOUNCE_REQUEST, ANNOUNCE_REPLY };

size_t weft_neighbour_announcement(uint8_t out[NEIGHBOUR_FRAME_MAX], enum announcement form,
				   const struct ip_addr *ip, const struct mac_addr *mac);

// "I am `mac`", to everybody, as QEMU says it for a VM that came from another node (RFC 903, a
// request about itself): switches learn from it where that MAC is. It is padded to 60 bytes.
size_t weft_neighbour_rarp(uint8_t out[NEIGHBOUR_FRAME_MAX], const struct mac_addr *mac);

// What a frame tells about who has an address.
struct told {
	struct ip_addr ip;
	struct mac_addr mac;
	bool has_mac;	// an advertisement may be silent about it
	bool overrides; // a MAC that is already known
	// ARP reply, advertisement: of no use to anybody else when it is sent to a router.
	bool answers;
};

// False: it tells nothing, or is not to be believed (RFC 4861, 7.1). The ICMPv6 checksum is
// checked.
bool weft_neighbour_told(const uint8_t *frame, size_t len, const struct packet *p,
			 struct told *out);
