// SPDX-License-Identifier: Apache-2.0
// Anti-spoof: a filtered port sends only from its own addresses and plays no server.
//
// The addresses are the (MAC, prefix) pairs of the plan: fixed IPs, link-local, allowed address
// pairs. Beside them pass what a host says before it has an address: DHCP from 0.0.0.0, duplicate
// address detection and MLD reports and router solicitations from "::" (RFC 4861, 4862, 3590),
// ARP probes (RFC 5227). What comes from a physical network may be from anybody but this node.
#include "datapath/native/judge/judge.h"

#include <string.h>

#include "datapath/frames/numbers.h"

static bool is_zero(const void *data, size_t len)
{
	const uint8_t *b = data;

	for (size_t i = 0; i < len; i++)
		if (b[i] != 0)
			return false;
	return true;
}

static enum drop check_arp(const struct judge *j, const uint8_t *src_mac)
{
	const struct packet *p = j->pkt;

	if (memcmp(p->arp_sha.b, src_mac, 6) != 0)
		return DROP_SPOOF_ARP;
	// A probe (RFC 5227) asks whether somebody has an address; it claims none.
	if (p->arp_op == 1 && is_zero(p->arp_spa.b, 4))
		return DROP_NONE;
	return weft_pair_allowed(j->in, src_mac, 4, p->arp_spa.b) ? DROP_NONE : DROP_SPOOF_ARP;
}

// What may come from "::" before an address is chosen.
static bool may_be_unspecified(const struct packet *p)
{
	if (p->key.proto != PROTO_ICMPV6 || p->fragment != FRAGMENT_NONE)
		return false;
	switch (p->icmp_type) {
	case ND_ROUTER_SOLICIT:
	case MLDV1_REPORT:
	case MLDV1_DONE:
	case MLDV2_REPORT:
		return true;
	case ND_SOLICIT:
		return p->nd_target != NULL;
	default:
		return false;
	}
}

static enum drop check_source(const struct judge *j, const uint8_t *src_mac)
{
	const struct flow_key *k = &j->pkt->key;
	bool v4 = k->family == 4;
	const void *src = v4 ? (const void *)&k->src4 : k->src6;

	if (is_zero(src, v4 ? 4 : 16)) {
		bool dhcp = v4 && k->proto == PROTO_UDP && k->sport == RTE_BE16(68) &&
			    k->dport == RTE_BE16(67) && k->dst4 == RTE_BE32(0xffffffff);

		return dhcp || (!v4 && may_be_unspecified(j->pkt)) ? DROP_NONE : DROP_SPOOF_IP;
	}
	return weft_pair_allowed(j->in, src_mac, k->family, src) ? DROP_NONE : DROP_SPOOF_IP;
}

static bool is_multicast6(const uint8_t *ip)
{
	return ip[0] == 0xff;
}

// Roles that a VM may not play: its network has its own router and DHCP server.
static enum drop check_role(const struct judge *j, const uint8_t *src_mac)
{
	const struct packet *p = j->pkt;
	const struct flow_key *k = &p->key;

	if (k->proto == PROTO_UDP && p->fragment != FRAGMENT_LATER) {
		if (k->family == 4 && k->sport == RTE_BE16(67) && k->dport == RTE_BE16(68))
			return DROP_DHCP_SERVER;
		if (k->family == 6 && k->sport == RTE_BE16(547) && k->dport == RTE_BE16(546))
			return DROP_DHCP_SERVER;
	}
	if (k->family != 6 || k->proto != PROTO_ICMPV6)
		return DROP_NONE;
	// The parser has refused neighbour discovery in fragments (RFC 6980), which could hide
	// its type.
	if (p->icmp_type == ND_ROUTER_ADVERT && p->fragment != FRAGMENT_LATER)
		return DROP_RA_SENDER;
	if (p->icmp_type == ND_ADVERT && p->fragment != FRAGMENT_LATER &&
	    (p->nd_target == NULL || is_multicast6(p->nd_target) ||
	     !weft_pair_allowed(j->in, src_mac, 6, p->nd_target)))
		return DROP_SPOOF_ND;
	return DROP_NONE;
}

static enum drop check(const struct judge *j)
{
	const uint8_t *src_mac = j->eth + 6;
	enum drop why;

	if (!weft_mac_allowed(j->in, src_mac))
		return DROP_SPOOF_MAC;
	switch (j->pkt->kind) {
	case PACKET_ARP:
		return check_arp(j, src_mac);
	case PACKET_RARP: // a hypervisor's announcement after migration: only the MAC counts
		return memcmp(j->pkt->arp_sha.b, src_mac, 6) == 0 ? DROP_NONE : DROP_SPOOF_ARP;
	case PACKET_IP:
		why = check_source(j, src_mac);
		return why != DROP_NONE ? why : check_role(j, src_mac);
	case PACKET_OTHER:
		break;
	}
	return DROP_ETHERTYPE;
}

// Is the source this node's own: a port's MAC or a router's? Then somebody outside sends back
// what came from here. A MAC that an allowed pair gives may be in use outside, too (VRRP).
static bool is_ours(const struct judge *j)
{
	struct mac_key key = {.network = j->in->network_index};
	const struct mac_owners *owners;

	memcpy(key.mac.b, j->eth + 6, 6);
	if (weft_vmap_get(j->node->gateways, &key, j->epoch) != NULL)
		return true;
	owners = weft_vmap_get(j->node->macs, &key, j->epoch);
	for (uint16_t i = 0; owners != NULL && i < owners->n; i++) {
		const struct port_policy *p = native_policy(j->node, owners->ports[i], j->epoch);

		if (p != NULL && weft_mac_equal(&p->plan->mac, &key.mac))
			return true;
	}
	return false;
}

enum stage_result weft_stage_spoof(struct judge *j)
{
	enum drop why;

	// Nobody is a group (IEEE 802.3, 3.2.3); an answer to it would go to everybody.
	if ((j->eth[6] & 1) != 0)
		return judge_drop(j, DROP_SPOOF_MAC);
	if (native_is_uplink(j->in)) {
		if (is_ours(j))
			return judge_drop(j, DROP_UPLINK_LOOP);
		weft_judge_note(j, "anti-spoof", "next", NULL, "from the physical network");
		return STAGE_NEXT;
	}

	if (!j->in->plan->filtered) {
		weft_judge_note(j, "anti-spoof", "next", NULL,
				j->in->plan->trusted ? "trusted port, any source may pass"
						     : "port security is off, any source may pass");
		return STAGE_NEXT;
	}
	why = check(j);
	if (why != DROP_NONE)
		return judge_drop(j, why);
	weft_judge_note(j, "anti-spoof", "next", NULL, "the source belongs to the port");
	return STAGE_NEXT;
}
