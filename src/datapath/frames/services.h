// SPDX-License-Identifier: Apache-2.0
// Services: the answers that the datapath gives itself. Pure functions: a question's frame is
// turned into its answer in place; no state, no mbufs.
//
// `buf` holds a frame of `len` bytes and has room for `cap` (>= 1514 for DHCP). Each returns the
// answer's length, or 0 when none is due. What is asked has been parsed and passed anti-spoofing
// before.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "datapath/frames/packet.h"

// The MAC of the node's own services (DHCP, later metadata): the same on all networks, never on a
// wire.
extern const struct mac_addr weft_service_mac;
// The DHCP server's address on a subnet without a gateway.
#define WEFT_SERVICE_IPV4 "169.254.169.254"

// ARP request -> reply "tpa is at mac" (RFC 826). Answers requests only, and not those for the
// asker's own address (announcements: an answer would be a conflict, RFC 5227).
size_t weft_arp_answer(uint8_t *buf, size_t len, size_t cap, const struct mac_addr *mac);

// Neighbour solicitation -> solicited, overriding advertisement with target link-layer option
// (RFC 4861, 7.2.4); from "::" (duplicate address detection) the answer goes to ff02::1. Only
// what passes RFC 4861, 7.1.1, checksum aside (the sender's may be left to offloading), is
// answered. A router must say that it is one: hosts drop their default route when it does not
// (RFC 4861, 7.2.5).
enum nd_role { ND_HOST, ND_ROUTER };

size_t weft_nd_answer(uint8_t *buf, size_t len, size_t cap, const struct packet *p,
		      const struct mac_addr *mac, enum nd_role role);

// A router's advertisement (RFC 4861, 4.2; 8106): what one router tells the hosts of one network.
// Lifetimes are radvd's, as Neutron uses it; the router's and the resolvers' are three times the
// longest interval between two advertisements.
#define RA_LIFETIME_S	1800
#define RA_DNS_S	1800
#define RA_VALID_S	86400
#define RA_PREFERRED_S	14400
#define RA_PREFIXES_MAX 16
#define RA_DNS_MAX	10
#define RA_MAX		1030 // bytes of the longest frame

struct ra_prefix {
	struct ip_prefix prefix;
	bool autonomous; // hosts make their addresses of it (SLAAC)
};

struct ra {
	struct mac_addr router; // its interface's; sent from the link-local address made of it
	uint16_t lifetime_s;	// as default router; 0 = it is none
	bool managed, other;	// addresses, or the rest, come from DHCPv6
	bool withdrawn;		// the prefixes, resolvers and domain below hold no longer
	uint32_t mtu;
	size_t n_prefixes, n_dns;
	struct ra_prefix prefixes[RA_PREFIXES_MAX];
	struct ip_addr dns[RA_DNS_MAX];
	char domain[256]; // "" = none
};

// The whole frame. mac, to: the receiver's, or all nodes'. cap >= RA_MAX, else 0.
size_t weft_ra_write(uint8_t *buf, size_t cap, const struct ra *ra, const struct mac_addr *mac,
		     const struct ip_addr *to);
// May this router solicitation be answered? RFC 4861, 6.1.1, checksum aside.
bool weft_rs_is_valid(const uint8_t *frame, size_t len, const struct packet *p);
// A domain name as labels (RFC 1035, 3.1), uncompressed, with the root's. 0: empty, impossible,
// or longer than cap.
size_t weft_dns_labels(const char *name, uint8_t *out, size_t cap);

// Neutron's word for "no resolver at all" is an address of zeros.
bool weft_is_resolver6(const struct ip_addr *ip);

// Echo request -> reply in place (RFC 792, 4443): addresses and MACs swapped, TTL 64. Only headers
// are touched, and the checksum follows what changed: so it may be of any length, and any fragment
// of one (whose first is known to be an echo request). One that came with a wrong checksum leaves
// with a wrong one.
void weft_echo_answer(uint8_t *frame, const struct packet *p);

// What a router answers to a packet that it cannot forward. It quotes as much as RFC 1812 (576
// bytes in all) or RFC 4443 (1280) allow. `out` has room for 1294 bytes. 0: no error may be sent
// (to multicast, about an error...).
size_t weft_icmp_error(const uint8_t *frame, size_t len, const struct packet *p, uint8_t type,
		       uint8_t code, uint32_t mtu, const struct ip_addr *from, uint8_t *out);
#define ICMP_ERROR_MAX 1294

struct dhcp_option {
	uint8_t code, len;
	const uint8_t *value; // wire format
};

struct dhcp_route {
	struct ip_prefix dst;
	struct ip_addr via; // 0.0.0.0 = on link
};

// What a port gets. Options given in `extra` override the built ones, save those that the
// protocol itself needs (message type, server and client identifier…); they are sent even if the
// client did not ask for them.
struct dhcp_lease {
	struct mac_addr client;		    // the port's: others' hardware addresses get no answer
	struct ip_addr ip, server, gateway; // gateway family 0 = none
	uint8_t prefix_len;
	uint32_t lease_s;
	uint16_t mtu;
	const char *hostname, *domain; // "" = none
	const struct ip_addr *dns;
	size_t n_dns;
	const struct dhcp_route *routes;
	size_t n_routes;
	const struct dhcp_option *extra;
	size_t n_extra;
};

enum dhcp_result { DHCP_ANSWERED, DHCP_NO_ANSWER, DHCP_MALFORMED };

// DHCPv4 server (RFC 2131, 2132, 3442): DISCOVER -> OFFER, REQUEST -> ACK or NAK (wrong address),
// INFORM -> ACK, RELEASE and DECLINE -> no answer, other servers' REQUESTs -> no answer; neither
// are relay agents' nor plain BOOTP messages. p: the parsed question.
enum dhcp_result weft_dhcp_answer(uint8_t *buf, size_t len, size_t cap, const struct packet *p,
				  const struct dhcp_lease *lease, size_t *answer_len);

// What a port gets by DHCPv6. `extra` as in dhcp_lease.
struct dhcp6_lease {
	struct mac_addr client;
	const struct ip_addr *ips; // of its subnets with stateful addresses; none: information only
	size_t n_ips;
	const struct ip_prefix *links; // those subnets
	size_t n_links;
	uint32_t lease_s; // UINT32_MAX = for ever
	const char *domain;
	const struct ip_addr *dns;
	size_t n_dns;
	const struct dhcp_option *extra;
	size_t n_extra;
};

// ff02::1:2, to which clients send.
extern const struct ip_addr weft_dhcp6_servers;

// DHCPv6 server (RFC 8415, 3646) for what comes to ff02::1:2: SOLICIT -> ADVERTISE, or REPLY by
// rapid commit; REQUEST, CONFIRM, RENEW, REBIND, RELEASE, DECLINE, INFORMATION-REQUEST -> REPLY.
// Other servers' messages, relay agents' and SOLICITs of ports without stateful addresses get no
// answer. An address goes to the IA that names it, else to one that has none. p: the parsed
// question; cap >= 1514.
enum dhcp_result weft_dhcp6_answer(uint8_t *buf, size_t len, size_t cap, const struct packet *p,
				   const struct dhcp6_lease *lease, size_t *answer_len);

// Checksums, all over network-order data (RFC 1071). Sums and results are of words as they lie in
// memory: a result is stored as it is, without swapping. Only the last piece that is added may
// have an odd length.
uint16_t weft_csum(const void *data, size_t len, uint32_t seed);     // folded, inverted
uint32_t weft_csum_add(const void *data, size_t len, uint32_t seed); // running sum
uint32_t weft_csum_pseudo4(uint32_t src, uint32_t dst, uint8_t proto, uint16_t len_host);
uint32_t weft_csum_pseudo6(const uint8_t src[16], const uint8_t dst[16], uint8_t proto,
			   uint32_t len_host);
