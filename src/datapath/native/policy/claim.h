// SPDX-License-Identifier: Apache-2.0
// Claims: who may have an address or a MAC on a network. That is the plan's to say, always; who
// of them has it, the plan says where there is no doubt, and the wire otherwise (resolver.h).
//
//   address   certain: a router's, a floating IP's, or the fixed IP of one port with port
//             security that is nobody's allowed pair
//             asked:   several have it by fixed IP and allowed pairs, or its port has no port
//             security and so perhaps another MAC
//             unknown: nobody has it; a port without port security may, and one with a pair for a
//             prefix around it
//   MAC       one owner, several by allowed pairs, or none: then any port without port security
//             may have it
//
// Both what is heard and what was heard once is held against this, so a change of the plan needs
// no list of what to forget.
//
// Threads    any registered reader of the policy
#pragma once

#include "datapath/native/policy/policy.h"

#define CLAIM_OWNERS 64

enum claim_kind { CLAIM_UNKNOWN, CLAIM_ASKED, CLAIM_CERTAIN };

struct address_claim {
	enum claim_kind kind;
	const struct neighbours *owners; // NULL = none
	const struct neighbour *fixed;	 // of them, the one by fixed IP; NULL = none
};

struct address_claim weft_claim_address(const struct node *node, uint64_t epoch, uint32_t network,
					const struct ip_addr *ip);

// The ports of owners, each once: of those on other nodes the uplink, if there is one. Returns
// how many.
uint16_t weft_claim_ports(const struct node *node, uint64_t epoch, uint32_t network,
			  const struct neighbours *owners, uint16_t ports[CLAIM_OWNERS]);

// May any port of the network have an address that is unknown?
bool weft_claim_is_possible(const struct node *node, uint64_t epoch, uint32_t network,
			    const struct ip_addr *ip);

// May the port, which is on that network, have the address at that MAC?
bool weft_claim_allows(const struct address_claim *c, const struct port_policy *p,
		       const struct ip_addr *ip, const struct mac_addr *mac);

// Is it the MAC of a router's interface there, or of a floating IP?
bool weft_claim_is_routers(const struct node *node, uint64_t epoch, uint32_t network,
			   const struct mac_addr *mac);

// May the port have the MAC, which the plan does not give to one port alone?
bool weft_claim_mac_allowed(const struct node *node, uint64_t epoch, const struct port_policy *p,
			    const struct mac_addr *mac);

// Is (mac, ip) one of the port's pairs? ip: 4 or 16 bytes.
bool weft_pair_allowed(const struct port_policy *p, const uint8_t *mac, uint8_t family,
		       const void *ip);
// Is there a pair of the port for this address, whatever the MAC?
bool weft_port_may_have(const struct port_policy *p, const struct ip_addr *ip);
// Is the MAC one of the port's?
bool weft_mac_allowed(const struct port_policy *p, const uint8_t *mac);
