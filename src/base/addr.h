// SPDX-License-Identifier: Apache-2.0
// Addresses: MAC, IPv4 and IPv6 addresses and prefixes as plain values, always in network byte
// order.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEFT_ID_LEN	36 // a Neutron id (UUID text); buffers are WEFT_ID_LEN + 1
#define WEFT_IP_STRLEN	46 // longest text of an address with its NUL
#define WEFT_NET_STRLEN 50 // the same with "/128"
#define WEFT_MAC_STRLEN 18

struct mac_addr {
	uint8_t b[6];
};

struct ip_addr {
	uint8_t family; // 4, 6; 0 = no address
	uint8_t b[16];	// IPv4 in the first four bytes, the rest zero
};

struct ip_prefix {
	struct ip_addr ip; // as given: may have host bits; see weft_prefix_masked()
	uint8_t len;
};

// Parse; 0 or -EINVAL with *out untouched. MACs: "aa:bb:cc:dd:ee:ff" (also with '-').
int weft_mac_parse(const char *text, struct mac_addr *out);
int weft_ip_parse(const char *text, struct ip_addr *out);
// "a/len"; without "/len" a host prefix (/32, /128).
int weft_prefix_parse(const char *text, struct ip_prefix *out);

// Canonical text (RFC 5952 for IPv6, lower case); buf must hold WEFT_*_STRLEN. Returns buf.
const char *weft_mac_text(const struct mac_addr *mac, char *buf);
const char *weft_ip_text(const struct ip_addr *ip, char *buf);
const char *weft_prefix_text(const struct ip_prefix *prefix, char *buf);

bool weft_mac_equal(const struct mac_addr *a, const struct mac_addr *b);
bool weft_mac_is_multicast(const struct mac_addr *mac);
bool weft_ip_equal(const struct ip_addr *a, const struct ip_addr *b);
// memcmp order within a family, IPv4 before IPv6.
int weft_ip_compare(const struct ip_addr *a, const struct ip_addr *b);
bool weft_ip_is_multicast(const struct ip_addr *ip);
bool weft_ip_is_link_local(const struct ip_addr *ip);

uint8_t weft_ip_bits(const struct ip_addr *ip);			// 32 or 128
struct ip_prefix weft_prefix_masked(const struct ip_prefix *p); // host bits cleared
bool weft_prefix_contains(const struct ip_prefix *p, const struct ip_addr *ip);
bool weft_prefix_overlaps(const struct ip_prefix *a, const struct ip_prefix *b);
bool weft_prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b); // after masking
// First and last address of the prefix (network and broadcast address in IPv4).
struct ip_addr weft_prefix_first(const struct ip_prefix *p);
struct ip_addr weft_prefix_last(const struct ip_prefix *p);
// ip + n; false when it leaves the family's range.
bool weft_ip_add(const struct ip_addr *ip, uint64_t n, struct ip_addr *out);

// fe80::/64 + modified EUI-64 of the MAC (RFC 4291, appendix A).
struct ip_addr weft_ip_link_local_of(const struct mac_addr *mac);
