// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/policy/claim.h"

#include <string.h>

#include "datapath/frames/services.h"

static bool in_prefix(const struct ip_prefix *prefix, const uint8_t *ip)
{
	uint8_t whole = prefix->len / 8, rest = prefix->len % 8;

	if (memcmp(prefix->ip.b, ip, whole) != 0)
		return false;
	if (rest == 0)
		return true;
	return ((prefix->ip.b[whole] ^ ip[whole]) & (uint8_t)(0xff << (8 - rest))) == 0;
}

bool weft_pair_allowed(const struct port_policy *p, const uint8_t *mac, uint8_t family,
		       const void *ip)
{
	for (size_t i = 0; i < p->plan->n_pairs; i++) {
		const struct plan_pair *pair = &p->plan->pairs[i];

		if (pair->prefix.ip.family == family && memcmp(pair->mac.b, mac, 6) == 0 &&
		    in_prefix(&pair->prefix, ip))
			return true;
	}
	return false;
}

bool weft_port_may_have(const struct port_policy *p, const struct ip_addr *ip)
{
	for (size_t i = 0; i < p->plan->n_pairs; i++) {
		const struct ip_prefix *prefix = &p->plan->pairs[i].prefix;

		if (prefix->ip.family == ip->family && in_prefix(prefix, ip->b))
			return true;
	}
	return false;
}

bool weft_mac_allowed(const struct port_policy *p, const uint8_t *mac)
{
	if (memcmp(p->plan->mac.b, mac, 6) == 0)
		return true;
	for (size_t i = 0; i < p->plan->n_pairs; i++)
		if (memcmp(p->plan->pairs[i].mac.b, mac, 6) == 0)
			return true;
	return false;
}

bool weft_claim_is_routers(const struct node *node, uint64_t epoch, uint32_t network,
			   const struct mac_addr *mac)
{
	struct mac_key key = {.network = network, .mac = *mac};

	return weft_vmap_get(node->gateways, &key, epoch) != NULL;
}

static bool is_floating(const struct node *node, uint64_t epoch, uint32_t network,
			const struct ip_addr *ip)
{
	struct floating_key key = {.scope = network};

	if (ip->family != 4)
		return false;
	memcpy(&key.ip, ip->b, 4);
	return weft_vmap_get(node->floatings, &key, epoch) != NULL;
}

struct address_claim weft_claim_address(const struct node *node, uint64_t epoch, uint32_t network,
					const struct ip_addr *ip)
{
	struct neighbour_key key = {.network = network, .family = ip->family};
	struct address_claim c = {.kind = CLAIM_UNKNOWN};
	bool doubt = false;

	memcpy(key.ip, ip->b, sizeof(key.ip));
	c.owners = weft_vmap_get(node->neighbours, &key, epoch);
	for (size_t i = 0; c.owners != NULL && i < c.owners->n; i++) {
		const struct neighbour *n = &c.owners->at[i];

		doubt = doubt || n->from_pair || n->any_mac;
		if (!n->from_pair && c.fixed == NULL)
			c.fixed = n;
	}
	if (c.owners == NULL || c.owners->n == 0)
		return c;
	if (doubt &&
	    (c.fixed == NULL || (!is_floating(node, epoch, network, ip) &&
				 !weft_claim_is_routers(node, epoch, network, &c.fixed->mac))))
		c.kind = CLAIM_ASKED;
	else
		c.kind = CLAIM_CERTAIN;
	return c;
}

static const struct flood_list *ports_of(const struct node *node, uint64_t epoch, uint32_t network)
{
	return weft_vmap_get(node->floods, &network, epoch);
}

static bool is_among(const uint16_t *ports, uint16_t n, uint16_t port)
{
	for (uint16_t i = 0; i < n; i++)
		if (ports[i] == port)
			return true;
	return false;
}

uint16_t weft_claim_ports(const struct node *node, uint64_t epoch, uint32_t network,
			  const struct neighbours *owners, uint16_t ports[CLAIM_OWNERS])
{
	const struct flood_list *list = ports_of(node, epoch, network);
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

bool weft_claim_is_possible(const struct node *node, uint64_t epoch, uint32_t network,
			    const struct ip_addr *ip)
{
	const struct flood_list *list = ports_of(node, epoch, network);

	if (list == NULL)
		return false;
	for (size_t i = list->n_unfiltered; i < list->n_asked; i++) {
		const struct port_policy *p = native_policy(node, list->ports[i], epoch);

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

bool weft_claim_mac_allowed(const struct node *node, uint64_t epoch, const struct port_policy *p,
			    const struct mac_addr *mac)
{
	struct mac_key key = {.network = p->network_index, .mac = *mac};
	const struct mac_owners *owners = weft_vmap_get(node->macs, &key, epoch);

	if (owners != NULL && owners->n > 0)
		return native_shares_mac(owners, native_is_uplink(p) ? NATIVE_NO_PORT : p->index);
	return !p->plan->filtered && !weft_mac_equal(mac, &weft_service_mac) &&
	       !weft_claim_is_routers(node, epoch, p->network_index, mac);
}
