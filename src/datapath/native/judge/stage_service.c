// SPDX-License-Identifier: Apache-2.0
// Service: what the datapath answers itself, and what of it must reach a port all the same.
//
// ARP and ND for a known address are answered from the plan and never flooded, unless only the
// wire knows who has it (claim.h). An address that an allowed pair gives may move between ports
// (VRRP), and the MAC of a port without port security is its own affair, as is whether its VM is
// a router: so those owners are asked. But an owner that cannot be asked, because it is this node
// itself or on another one, is answered for all the same, whoever else has a pair for its
// address. A port without port security may have any address, and one with a pair for a prefix
// any of that, so they hear the questions about unknown ones. A question to one host's MAC is for
// that host. DHCP of a subnet that has it is answered; otherwise it reaches only ports that may
// be a server. Router solicitations are answered for the network's routers, and reach ports that
// may be one.
#include "datapath/native/judge/judge.h"

#include <string.h>

#include "datapath/native/outside/advertise.h"
#include "datapath/frames/services.h"
#include "datapath/frames/numbers.h"

static enum stage_result flood(struct judge *j, enum flood_to to, enum drop if_nobody)
{
	j->verdict = VERDICT_FLOOD;
	j->flood = to;
	j->if_nobody = if_nobody;
	j->base_service = true;
	return STAGE_DONE;
}

static bool is_gateway(const struct judge *j, const struct mac_addr *mac)
{
	struct mac_key key = {.network = j->in->network_index, .mac = *mac};

	return weft_vmap_get(j->node->gateways, &key, j->epoch) != NULL;
}

static enum stage_result answer(struct judge *j, enum answer what, const struct mac_addr *mac)
{
	char text[WEFT_MAC_STRLEN];

	j->answer_is_router = is_gateway(j, mac);
	j->verdict = VERDICT_ANSWER;
	j->answer = what;
	j->answer_mac = *mac;
	weft_judge_note(j, "service", "answer", NULL, "answered with %s", weft_mac_text(mac, text));
	return STAGE_DONE;
}

// The address at which a subnet's DHCP server is found.
static struct ip_addr dhcp_server(const struct plan_subnet *s)
{
	struct ip_addr ip = s->gateway;

	if (ip.family == 0)
		ip = (struct ip_addr) {.family = 4, .b = {169, 254, 169, 254}};
	return ip;
}

// The first fixed IP of the port whose subnet has DHCPv4; NULL = none.
static const struct port_fixed *dhcp_address(const struct judge *j)
{
	for (size_t i = 0; i < j->in->n_fixed; i++) {
		const struct port_fixed *f = &j->in->fixed[i];
		const struct subnet *s = weft_vslot_value(f->subnet, j->epoch);

		if (f->ip.family == 4 && s != NULL && s->plan->dhcp)
			return f;
	}
	return NULL;
}

static bool is_dhcp_server(const struct judge *j, const struct ip_addr *ip)
{
	const struct port_fixed *f = dhcp_address(j);
	struct ip_addr server;

	if (f == NULL)
		return false;
	server = dhcp_server(((const struct subnet *)weft_vslot_value(f->subnet, j->epoch))->plan);
	return weft_ip_equal(&server, ip);
}

// A gateway that is no known port's may still be behind one without port security.
static bool may_be_gateway(const struct judge *j, const struct ip_addr *ip)
{
	const struct flood_list *list =
		weft_vmap_get(j->node->floods, &j->in->network_index, j->epoch);
	static const uint8_t link_local[2] = {169, 254};

	return list != NULL && list->n_unfiltered > 0 && memcmp(ip->b, link_local, 2) != 0;
}

// Those who may have the address and can be asked: ports of this node and, for those of others,
// the uplink.
static void find_owners(struct judge *j, const struct neighbours *n)
{
	uint16_t uplink = weft_judge_uplink(j, j->in->network_index);
	bool asked = false;

	j->n_owners = 0;
	for (size_t i = 0; i < n->n; i++) {
		bool remote = n->at[i].port == NATIVE_NO_PORT;
		uint16_t port = remote ? uplink : n->at[i].port;

		if (port == NATIVE_NO_PORT || port == j->in->index ||
		    (remote && (asked || is_gateway(j, &n->at[i].mac))) ||
		    j->n_owners == sizeof(j->owners) / sizeof(j->owners[0]))
			continue;
		asked = asked || remote;
		j->owners[j->n_owners++] = port;
	}
}

static enum stage_result ask_owners(struct judge *j, const struct neighbours *n, enum drop unknown)
{
	find_owners(j, n);
	return flood(j, FLOOD_OWNERS, unknown);
}

// The owner that is answered for although others have a pair for the address; they are asked, too.
static enum stage_result answer_and_ask(struct judge *j, enum answer what,
					const struct mac_addr *mac, const struct neighbours *n)
{
	enum stage_result result = answer(j, what, mac);

	find_owners(j, n);
	if (j->n_owners > 0)
		weft_judge_note(j, "service", "flood", NULL,
				"%u ports that may have the address by an allowed pair hear it",
				j->n_owners);
	return result;
}

// Who has the address by fixed IP and cannot be asked: a router of this node or, where no uplink
// leads, a port of another one. NULL = nobody.
static const struct neighbour *silent_owner(const struct judge *j, const struct neighbours *n)
{
	bool outside = native_is_uplink(j->in);
	bool reaches = weft_judge_uplink(j, j->in->network_index) != NATIVE_NO_PORT;

	for (size_t i = 0; i < n->n; i++) {
		const struct neighbour *o = &n->at[i];

		if (!o->from_pair && o->port == NATIVE_NO_PORT &&
		    (is_gateway(j, &o->mac) || (!reaches && !outside)))
			return o;
	}
	return NULL;
}

// May it be at another MAC than the plan's?
static bool is_in_doubt(const struct neighbours *n)
{
	for (size_t i = 0; i < n->n; i++)
		if (n->at[i].from_pair || n->at[i].any_mac)
			return true;
	return false;
}

// Somebody outside asks. What lives on this node is answered; who lives on another one is that
// node's business, and everybody else may still be behind a port here. Nobody hears of it if
// nobody has it: such questions are many.
static enum stage_result resolve_outside(struct judge *j, enum answer what,
					 const struct ip_addr *target, const struct neighbours *n)
{
	if (n == NULL || n->n == 0) {
		j->asked = *target;
		return flood(j, FLOOD_ASKED, DROP_SERVICE_DONE);
	}
	if (is_in_doubt(n)) {
		const struct neighbour *owner = silent_owner(j, n);

		return owner != NULL ? answer_and_ask(j, what, &owner->mac, n)
				     : ask_owners(j, n, DROP_SERVICE_DONE);
	}
	if (n->at[0].port != NATIVE_NO_PORT || is_gateway(j, &n->at[0].mac))
		return answer(j, what, &n->at[0].mac);
	return judge_drop(j, DROP_SERVICE_DONE);
}

// The metadata service's address; while there is none, unless somebody may have it, by a pair or
// because nobody asks.
static bool is_metadata(const struct judge *j, const struct ip_addr *ip, bool has_pair)
{
	static const struct ip_addr address = {.family = 4, .b = {169, 254, 169, 254}};
	const struct flood_list *list =
		weft_vmap_get(j->node->floods, &j->in->network_index, j->epoch);

	if (j->in->role != PORT_VM || !weft_ip_equal(ip, &address))
		return false;
	return atomic_load_explicit(&j->node->metadata_port, memory_order_relaxed) !=
		       NATIVE_NO_PORT ||
	       (!has_pair && (list == NULL || list->n_unfiltered == 0));
}

// Does this node's DHCP server or metadata service have the address?
static bool is_service(const struct judge *j, const struct ip_addr *ip, bool has_pair)
{
	static const uint8_t link_local[2] = {169, 254};

	// A gateway that has it by an allowed pair is a gateway.
	if (is_dhcp_server(j, ip) && !(has_pair && memcmp(ip->b, link_local, 2) != 0) &&
	    !may_be_gateway(j, ip))
		return true;
	return is_metadata(j, ip, has_pair);
}

// Several may have it. Whom nobody can ask is answered for.
static enum stage_result resolve_shared(struct judge *j, enum answer what,
					const struct ip_addr *target, const struct neighbours *n,
					enum drop unknown)
{
	const struct neighbour *owner = silent_owner(j, n);

	if (owner != NULL)
		return answer_and_ask(j, what, &owner->mac, n);
	if (is_service(j, target, true))
		return answer_and_ask(j, what, &weft_service_mac, n);
	return ask_owners(j, n, unknown);
}

// Who has this address? Common to ARP and ND.
static enum stage_result resolve(struct judge *j, enum answer what, const struct ip_addr *target,
				 enum drop unknown)
{
	struct neighbour_key key = {.network = j->in->network_index, .family = target->family};
	const struct neighbours *n;

	memcpy(key.ip, target->b, sizeof(key.ip));
	n = weft_vmap_get(j->node->neighbours, &key, j->epoch);
	if (native_is_uplink(j->in))
		return resolve_outside(j, what, target, n);
	if (n == NULL || n->n == 0) {
		if (is_service(j, target, false))
			return answer(j, what, &weft_service_mac);
		j->asked = *target;
		return flood(j, FLOOD_ASKED, unknown);
	}
	// Its own: a probe, or an announcement.
	if (n->n == 1 && n->at[0].port == j->in->index)
		return judge_drop(j, DROP_SERVICE_DONE);
	if (is_in_doubt(n))
		return resolve_shared(j, what, target, n, unknown);
	return answer(j, what, &n->at[0].mac);
}

// A question to one host, and neither a router's nor the service's MAC: whether it still has the
// address, and what it is, only that host knows (RFC 1122, 2.3.2.1; RFC 4861, 7.3).
static bool is_for_host(const struct judge *j)
{
	struct mac_addr to;

	memcpy(to.b, j->eth, sizeof(to.b));
	return !weft_mac_is_multicast(&to) && !weft_mac_equal(&to, &weft_service_mac) &&
	       !is_gateway(j, &to);
}

static enum stage_result arp(struct judge *j)
{
	const struct packet *p = j->pkt;

	j->base_service = true;
	// Announcements and replies go to whoever they are for.
	if (p->arp_op != 1 || weft_ip_equal(&p->arp_spa, &p->arp_tpa) || is_for_host(j))
		return STAGE_NEXT;
	return resolve(j, ANSWER_ARP, &p->arp_tpa, DROP_ARP_UNKNOWN);
}

// Who asks from outside, on a provider network, is answered only for subnets whose gateway is a
// router of ours.
static enum stage_result router_solicitation(struct judge *j)
{
	const struct adverts *list =
		weft_vmap_get(j->node->adverts, &j->in->network_index, j->epoch);

	for (size_t i = 0; list != NULL && i < list->n; i++)
		if (advert_is_for(&list->at[i], j->in))
			return answer(j, ANSWER_RA, &list->at[i].ra.router);
	return flood(j, FLOOD_UNFILTERED, DROP_SERVICE_DONE);
}

static enum stage_result icmpv6(struct judge *j)
{
	struct ip_addr target = {.family = 6};

	switch (j->pkt->icmp_type) {
	case 135: // neighbour solicitation
		if (j->pkt->nd_target == NULL)
			return judge_drop(j, DROP_BAD_HEADER);
		memcpy(target.b, j->pkt->nd_target, 16);
		if (is_for_host(j)) {
			j->base_service = true;
			return STAGE_NEXT;
		}
		return resolve(j, ANSWER_ND, &target, DROP_ND_UNKNOWN);
	case 133: // router solicitation
		return router_solicitation(j);
	case 131: // MLD reports: for routers only
	case 132:
	case 143:
		return flood(j, FLOOD_UNFILTERED, DROP_SERVICE_DONE);
	case 130: // MLD query
	case 134: // router advertisement; anti-spoof has dropped those of VMs
	case 136: // neighbour advertisement
		j->base_service = true;
		return STAGE_NEXT;
	default:
		return STAGE_NEXT;
	}
}

static enum stage_result dhcpv4(struct judge *j)
{
	const struct flow_key *k = &j->pkt->key;
	const struct port_fixed *f = dhcp_address(j);
	bool broadcast = k->dst4 == RTE_BE32(0xffffffff);

	if (f == NULL && broadcast)
		return flood(j, FLOOD_UNFILTERED, DROP_SERVICE_DONE);
	if (!broadcast) {
		struct ip_addr to = {.family = 4};

		memcpy(to.b, &k->dst4, 4);
		if (!is_dhcp_server(j, &to)) {
			j->asks_server = true;
			return STAGE_NEXT;
		}
	}
	j->dhcp_for = f;
	return answer(j, ANSWER_DHCP, &weft_service_mac);
}

// Has the port an address in a subnet whose hosts ask a DHCPv6 server?
static bool has_dhcpv6(const struct judge *j)
{
	for (size_t i = 0; i < j->in->n_fixed; i++) {
		const struct subnet *s = weft_vslot_value(j->in->fixed[i].subnet, j->epoch);

		if (j->in->fixed[i].ip.family == 6 && s != NULL && answer_has_dhcp6(s->plan))
			return true;
	}
	return false;
}

static enum stage_result dhcpv6(struct judge *j)
{
	bool to_all = memcmp(j->pkt->key.dst6, weft_dhcp6_servers.b, 16) == 0;

	if (to_all && has_dhcpv6(j))
		return answer(j, ANSWER_DHCP6, &weft_service_mac);
	if (j->pkt->key.dst6[0] == 0xff)
		return flood(j, FLOOD_UNFILTERED, DROP_SERVICE_DONE);
	j->asks_server = true;
	return STAGE_NEXT;
}

enum stage_result weft_stage_service(struct judge *j)
{
	const struct packet *p = j->pkt;
	const struct flow_key *k = &p->key;

	if (j->rejudge)
		return STAGE_NEXT;
	if (p->kind == PACKET_ARP)
		return arp(j);
	if (p->kind == PACKET_RARP)
		j->base_service = true;
	if (p->kind != PACKET_IP || p->fragment == FRAGMENT_LATER)
		return STAGE_NEXT;
	if (k->family == 6 && k->proto == PROTO_ICMPV6)
		return icmpv6(j);
	if (k->proto != PROTO_UDP)
		return STAGE_NEXT;
	if (k->family == 4 && k->sport == RTE_BE16(68) && k->dport == RTE_BE16(67))
		return dhcpv4(j);
	if (k->family == 6 && k->sport == RTE_BE16(546) && k->dport == RTE_BE16(547))
		return dhcpv6(j);
	// Answers of DHCP servers: anti-spoof has dropped those of VMs.
	if ((k->family == 4 && k->sport == RTE_BE16(67) && k->dport == RTE_BE16(68)) ||
	    (k->family == 6 && k->sport == RTE_BE16(547) && k->dport == RTE_BE16(546)))
		j->base_service = true;
	return STAGE_NEXT;
}
