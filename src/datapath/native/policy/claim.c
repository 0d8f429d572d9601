// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/policy/claim.h"

#include <string.h>

#include "datapath/frames/services.h"

bool weft_claim_is_routers(const struct native *dp, uint64_t epoch, uint32_t network,
			   const struct mac_addr *mac)
{
	struct mac_key key = {.network = network, .mac = *mac};

	return weft_vmap_get(dp->gateways, &key, epoch) != NULL;
}

static bool is_floating(const struct native *dp, uint64_t epoch, uint32_t network,
			const struct ip_addr *ip)
{
	struct floating_key key = {.scope = network};

	if (ip->family != 4)
		return false;
	memcpy(&key.ip, ip->b, 4);
	return weft_vmap_get(dp->floatings, &key, epoch) != NULL;
}

struct address_claim weft_claim_address(const struct native *dp, uint64_t epoch, uint32_t network,
					const struct ip_addr *ip)
{
	struct neighbour_key key = {.network = network, .family = ip->family};
	struct address_claim c = {.kind = CLAIM_UNKNOWN};
	bool doubt = false;

	memcpy(key.ip, ip->b, sizeof(key.ip));
	c.owners = weft_vmap_get(dp->neighbours, &key, epoch);
	for (size_t i = 0; c.owners != NULL && i < c.owners->n; i++) {
		const struct neighbour *n = &c.owners->at[i];

		doubt = doubt || n->from_pair || n->any_mac;
		if (!n->from_pair && c.fixed == NULL)
			c.fixed = n;
	}
	if (c.owners == NULL || c.owners->n == 0)
		return c;
	if (doubt &&
	    (c.fixed == NULL || (!is_floating(dp, epoch, network, ip) &&
				 !weft_claim_is_routers(dp, epoch, network, &c.fixed->mac))))
		c.kind = CLAIM_ASKED;
	else
		c.kind = CLAIM_CERTAIN;
	return c;
}

static const struct flood_list *ports_of(const struct native *dp, uint64_t epoch, uint32_t network)
{
	return weft_vmap_get(dp->floods, &network, epoch);
}

static bool is_among(const uint16_t *ports, uint16_t n, uint16_t port)
{
	for (uint16_t i = 0; i < n; i++)
		if (ports[i] == port)
			return true;
	return false;
}

uint16_t weft_claim_ports(const struct native *dp, uint64_t epoch, uint32_t network,
			  const struct neighbours *owners, uint16_t ports[CLAIM_OWNERS])
{
	const struct flood_list *list = ports_of(dp, epoch, network);
	uint16_t uplink = list == NULL ? NATIVE_NO_PORT : list->uplink, n = 0;

	for (size_t i = 0; i < owners->n && n < CLAIM_OWNERS; i++) {
		uint16_t port = owners->at[i].port;

		if (port == NATIVE_NO_PORT)
			port = uplink;
		if (port != NATIVE_NO_PORT && !is_among(ports, n, port))
			ports[n++] = port;
	}
	return n;
}

bool weft_claim_is_possible(const struct native *dp, uint64_t epoch, uint32_t network,
			    const struct ip_addr *ip)
{
	const struct flood_list *list = ports_of(dp, epoch, network);

	if (list == NULL)
		return false;
	for (size_t i = list->n_unfiltered; i < list->n_asked; i++) {
		const struct port_policy *p = native_policy(dp, list->ports[i], epoch);

		if (p != NULL && weft_port_may_have(p, ip))
			return true;
	}
	return list->n_unfiltered > 0;
}

// Is it one of the owners? The uplink is all those who are on other nodes.
static bool is_owner(const struct neighbour *n, const struct port_policy *p,
		     const struct mac_addr *mac)
{
	if (!native_is_uplink(p))
		return n->port == p->index;
	return n->port == NATIVE_NO_PORT && (n->any_mac || weft_mac_equal(&n->mac, mac));
}

bool weft_claim_allows(const struct address_claim *c, const struct port_policy *p,
		       const struct ip_addr *ip, const struct mac_addr *mac)
{
	if (p->plan->filtered && !weft_pair_allowed(p, mac->b, ip->family, ip->b))
		return false;
	if (c->kind == CLAIM_UNKNOWN)
		return true;
	if (c->kind == CLAIM_CERTAIN)
		return is_owner(c->fixed, p, mac);
	for (size_t i = 0; i < c->owners->n; i++)
		if (is_owner(&c->owners->at[i], p, mac))
			return true;
	return false;
}

bool weft_claim_mac_allowed(const struct native *dp, uint64_t epoch, const struct port_policy *p,
			    const struct mac_addr *mac)
{
	struct mac_key key = {.network = p->network_index, .mac = *mac};
	const struct mac_owners *owners = weft_vmap_get(dp->macs, &key, epoch);

	if (owners != NULL && owners->n > 0)
		return native_shares_mac(owners, native_is_uplink(p) ? NATIVE_NO_PORT : p->index);
	return !p->plan->filtered && !weft_mac_equal(mac, &weft_service_mac) &&
	       !weft_claim_is_routers(dp, epoch, p->network_index, mac);
}
