// SPDX-License-Identifier: Apache-2.0
// Subnets: what the other resources ask of them.
//
// Threads    one (the control thread)
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/addr.h"
#include "base/err.h"
#include "model/attr.h"
#include "model/model.h"

// Of 127.0.0.0/8, or ::1: no packet from elsewhere comes there.
bool weft_subnet_is_loopback(const struct ip_prefix *prefix);

// The parsed "cidr" of a validated subnet.
struct ip_prefix weft_subnet_cidr(const json_t *subnet);

// Hosts make their own addresses (SLAAC, stateless DHCPv6): every port has its EUI-64 address in
// it.
bool weft_subnet_is_automatic(const json_t *subnet);
// That address (RFC 4291, appendix A).
struct ip_addr weft_subnet_eui64(const struct ip_prefix *cidr, const struct mac_addr *mac);

// The first and last address that a host may have: in IPv4 neither the network's nor the
// broadcast address.
void weft_subnet_usable(const struct ip_prefix *cidr, struct ip_addr *first, struct ip_addr *last);
bool weft_subnet_is_usable(const struct ip_prefix *cidr, const struct ip_addr *ip);

// One pool of "allocation_pools".
void weft_pool_get(const json_t *pool, struct ip_addr *first, struct ip_addr *last);
int weft_pools_read(const struct attr *a, const json_t *in, json_t **out, struct err *err);
// Everything usable but the gateway (family 0 = none); new reference.
json_t *weft_pools_default(const struct ip_prefix *cidr, const struct ip_addr *gateway);
// Inside the subnet, the right way round, apart from each other, and without the gateway.
int weft_pools_check(const json_t *pools, const struct ip_prefix *cidr,
		     const struct ip_addr *gateway, struct err *err);
