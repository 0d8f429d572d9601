// SPDX-License-Identifier: Apache-2.0
// Route: a packet for a router's MAC goes on to the next network, in the same judgement.
//
// Routers are known from the plan, and so are the addresses behind them, but for those that the
// resolver knows. Several routers in series are passed one after the other, each takes one from
// the TTL (RFC 1812, 8200). What a router must tell the sender is noted for the slow path to
// send.
#include "datapath/native/judge/stage_route.h"

#include <rte_ether.h>
#include <string.h>

#include "datapath/native/outside/resolver.h"
#include "datapath/frames/numbers.h"

#define MAX_HOPS 8

static bool find_router(const struct judge *j, struct hop *h)
{
	struct mac_key key = {.network = j->network_index};
	const struct gateway *g;
	uint16_t in;

	memcpy(key.mac.b, j->eth_out, 6);
	g = weft_vmap_get(j->node->gateways, &key, j->epoch);
	h->router = g == NULL ? NULL : weft_vslot_value(g->router, j->epoch);
	if (h->router == NULL)
		return false;
	in = g->interface == GATEWAY_FLOATING ? h->router->external : g->interface;
	if (in >= h->router->n_interfaces)
		return false;
	h->in = &h->router->interfaces[in];
	return true;
}

struct ip_addr weft_route_own_address(const struct router_interface *i, uint8_t family)
{
	for (size_t k = 0; k < i->n_addrs; k++)
		if (i->addrs[k].ip.family == family)
			return i->addrs[k].ip;
	return (struct ip_addr) {0};
}

// Who speaks to the sender: the router at hand, by its address on the network that the packet came
// from. Behind one that translates destinations nobody is seen but the address that was asked for.
static struct ip_addr speaker(const struct judge *j, const struct hop *h)
{
	struct ip_addr asked = {.family = 4};

	if (j->renamed_by == 0 || j->hops < j->renamed_by)
		return weft_route_own_address(h->in, j->pkt->key.family);
	memcpy(asked.b, &j->pkt->key.dst4, 4);
	return asked;
}

enum stage_result weft_route_refuse(struct judge *j, const struct hop *h, struct refusal r)
{
	bool v4 = j->pkt->key.family == 4;
	struct ip_addr from = speaker(j, h);

	if (!j->pkt->icmp_error && j->pkt->fragment != FRAGMENT_LATER && from.family != 0 &&
	    !(j->eth[0] & 1))
		j->icmp = (struct icmp_error) {v4 ? r.type4 : r.type6, v4 ? r.code4 : r.code6,
					       r.mtu, from};
	return judge_drop(j, r.why);
}

static bool has_address(const struct router_interface *i, const struct ip_addr *ip)
{
	for (size_t k = 0; k < i->n_addrs; k++)
		if (weft_ip_equal(&i->addrs[k].ip, ip))
			return true;
	return false;
}

static bool is_link_local(const struct ip_addr *ip)
{
	return ip->family == 6 ? ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80
			       : ip->b[0] == 169 && ip->b[1] == 254;
}

// Does a packet from outside go on only to what the router translates?
static bool is_closed(const struct hop *h, uint8_t family)
{
	return h->in->external && family == 4 && h->router->snat != 0;
}

// May whoever is at this interface speak to the router at that address of its own? All addresses of
// a router are its own (RFC 1122, 3.3.4.2, weak), but a link's addresses end at the link, and what
// a translating router has inside is not to be seen outside.
static bool is_own(const struct hop *h, const struct ip_addr *ip)
{
	const struct router *r = h->router;

	if (has_address(h->in, ip))
		return true;
	if (is_link_local(ip) || is_closed(h, ip->family))
		return false;
	for (size_t i = 0; i < r->n_interfaces; i++)
		if (has_address(&r->interfaces[i], ip))
			return true;
	return false;
}

// Can it be answered? Nobody is at these addresses (RFC 1122, 3.2.1.3), or everybody.
static bool is_somebody(const struct ip_addr *ip)
{
	const uint8_t *b = ip->b;

	if (ip->family == 4)
		return b[0] != 0 && b[0] != 127 && b[0] < 224;
	if (b[0] == 0xff)
		return false;
	for (size_t i = 0; i < 15; i++)
		if (b[i] != 0)
			return true;
	return b[15] > 1; // neither :: nor ::1
}

// Others never cross a router (RFC 6890).
static bool is_routable(const struct ip_addr *ip)
{
	return is_somebody(ip) && !is_link_local(ip);
}

// It tells a host of a better router of its own network; from further away it can only be a lie
// (RFC 1122, 3.2.2.2).
static bool is_redirect(const struct packet *p)
{
	return p->key.proto == PROTO_ICMP && p->icmp_error && p->icmp_type == 5;
}

static void addresses(const struct flow_key *k, struct ip_addr *src, struct ip_addr *dst)
{
	size_t len = k->family == 4 ? 4 : 16;

	*src = (struct ip_addr) {.family = k->family};
	*dst = *src;
	memcpy(src->b, k->family == 4 ? (const void *)&k->src4 : k->src6, len);
	memcpy(dst->b, k->family == 4 ? (const void *)&k->dst4 : k->dst6, len);
}

enum stage_result weft_route_own(struct judge *j, const struct hop *h, enum drop nobody)
{
	const struct packet *p = j->pkt;
	bool echo = (p->key.proto == PROTO_ICMP && p->icmp_type == 8) ||
		    (p->key.proto == PROTO_ICMPV6 && p->icmp_type == 128);

	// Of a later fragment the first one has said what it is.
	if (echo && !j->rejudge) {
		weft_judge_note(j, "route", "answer", NULL, "router %s answers the echo",
				h->router->id);
		j->verdict = VERDICT_ANSWER;
		j->answer = ANSWER_ECHO;
		return STAGE_DONE;
	}
	if (p->key.proto == PROTO_UDP)
		return weft_route_refuse(j, h, (struct refusal) {nobody, 3, 3, 1, 4, 0});
	return judge_drop(j, nobody);
}

const struct router_route *weft_route_find(const struct router *r, const struct ip_addr *dst)
{
	for (size_t i = 0; i < r->n_routes; i++)
		if (weft_prefix_contains(&r->routes[i].dst, dst))
			return &r->routes[i];
	return NULL;
}

static enum stage_result resolve(struct judge *j, const struct hop *h,
				 const struct router_interface *out, const struct ip_addr *target)
{
	const void *dst = j->now.family == 4 ? (const void *)&j->now.dst4 : j->now.dst6;

	weft_judge_note(j, "route", "resolve", NULL, "router %s asks for the MAC of the next hop",
			h->router->id);
	j->verdict = VERDICT_RESOLVE;
	j->ask = (struct next_hop) {
		.network_index = out->network_index,
		.ip = *target,
		.from = weft_route_own_address(out, target->family),
		.from_mac = out->mac,
		.is_destination = memcmp(dst, target->b, j->now.family == 4 ? 4 : 16) == 0,
	};
	// Asked without a word of who asks: an ARP probe, or from the link-local address.
	if (j->ask.from.family == 0)
		j->ask.from = target->family == 4 ? (struct ip_addr) {.family = 4}
						  : weft_ip_link_local_of(&out->mac);
	return STAGE_DONE;
}

// The MAC of the next hop, and the port if only the wire knows it.
static enum stage_result next_hop(struct judge *j, const struct hop *h,
				  const struct router_interface *out, const struct ip_addr *target)
{
	uint32_t network = out->network_index;
	struct address_claim c = weft_claim_address(j->node, j->epoch, network, target);
	enum next_hop_state state = NEXT_HOP_FAILED;
	struct next_hop_at at;

	j->next_port = NATIVE_NO_PORT;
	if (c.kind != CLAIM_CERTAIN)
		state = weft_resolver_get(j->node->resolver, j->epoch, &c, network, target, &at);
	if (state == NEXT_HOP_KNOWN) {
		memcpy(j->eth_out, at.mac.b, 6);
		j->next_port = at.port;
		return STAGE_NEXT;
	}
	if (state == NEXT_HOP_UNKNOWN &&
	    (c.kind == CLAIM_ASKED || weft_claim_is_possible(j->node, j->epoch, network, target)))
		return resolve(j, h, out, target);
	// Nobody else is known to have it.
	if (c.fixed != NULL) {
		memcpy(j->eth_out, c.fixed->mac.b, 6);
		return STAGE_NEXT;
	}
	return weft_route_refuse(j, h,
				 (struct refusal) {state == NEXT_HOP_FAILED ? DROP_NEXT_HOP
									    : DROP_NO_NEIGHBOUR,
						   3, 1, 1, 3, 0});
}

// The address at which a packet for `dst` goes on. What is a floating IP of this node is next to
// every router there.
static struct ip_addr next_address(const struct judge *j, const struct router_route *route,
				   const struct router_interface *out, const struct ip_addr *dst)
{
	if (route->via.family == 0 ||
	    (out->external && dst->family == 4 &&
	     weft_nat_floating(j, out->network_index, j->now.dst4) != NULL))
		return *dst;
	return route->via;
}

static enum stage_result leave(struct judge *j, const struct hop *h,
			       const struct router_route *route, const struct ip_addr *dst)
{
	const struct router_interface *out = &h->router->interfaces[route->interface];
	const struct network *net = weft_vslot_value(out->network, j->epoch);
	struct ip_addr target = next_address(j, route, out, dst);
	struct mac_addr mac = out->mac;

	if (net == NULL)
		return judge_drop(j, DROP_INTERNAL);
	// Back to where it came from: others' loops are not to go through here.
	if (out->external && h->in->external)
		return weft_route_refuse(j, h, (struct refusal) {DROP_NO_ROUTE, 3, 0, 1, 0, 0});
	if (j->wire_len > net->mtu + RTE_ETHER_HDR_LEN && (dst->family == 6 || j->dont_fragment))
		return weft_route_refuse(j, h,
					 (struct refusal) {DROP_TOO_BIG, 3, 4, 2, 0, net->mtu});
	if (out->external && weft_nat_leave(j, h, out, &mac) == STAGE_DONE)
		return STAGE_DONE;
	if (next_hop(j, h, out, &target) == STAGE_DONE)
		return STAGE_DONE;

	j->hops++;
	j->network_index = out->network_index;
	memcpy(j->eth_out + 6, mac.b, 6);
	weft_judge_note(j, "route", "next", NULL, "router %s, to network %s", h->router->id,
			net->id);
	return STAGE_NEXT;
}

// What passes without rules on its own network does not behind a router. Neighbour discovery and
// MLD end at a link (RFC 4861, 2710); a DHCP server of another network is a host like any other.
static bool ends_at_link(const struct judge *j)
{
	return j->base_service && j->pkt->key.proto == PROTO_ICMPV6;
}

static enum stage_result one_hop(struct judge *j, const struct hop *h)
{
	rte_be32_t before = j->now.dst4;
	const struct router_route *route;
	struct ip_addr src, dst;

	if (!h->router->admin_up)
		return judge_drop(j, DROP_ROUTER_DOWN);
	if (j->pkt->kind != PACKET_IP)
		return judge_drop(j, DROP_NOT_ROUTABLE);
	if (h->in->external && weft_nat_arrive(j, h) == STAGE_DONE)
		return STAGE_DONE;
	addresses(&j->now, &src, &dst);
	if (is_somebody(&src) && is_own(h, &dst) && !j->rejudge)
		return weft_route_own(j, h,
				      h->in->external ? DROP_NAT_NO_STATE : DROP_ROUTER_ADDRESS);
	if (!is_routable(&src) || !is_routable(&dst) || is_redirect(j->pkt) || ends_at_link(j))
		return judge_drop(j, DROP_NOT_ROUTABLE);
	j->base_service = false;
	// What a translating router has inside is not reached from outside by its own address.
	if (is_closed(h, dst.family) && j->now.dst4 == before)
		return judge_drop(j, DROP_NAT_NO_STATE);
	if (!j->rejudge && j->pkt->ttl <= j->hops + 1)
		return weft_route_refuse(j, h, (struct refusal) {DROP_TTL, 11, 0, 3, 0, 0});
	route = weft_route_find(h->router, &dst);
	if (route == NULL)
		return weft_route_refuse(j, h, (struct refusal) {DROP_NO_ROUTE, 3, 0, 1, 0, 0});
	return leave(j, h, route, &dst);
}

enum stage_result weft_stage_route(struct judge *j)
{
	struct hop h;

	while (find_router(j, &h)) {
		if (j->hops == MAX_HOPS)
			return judge_drop(j, DROP_ROUTE_LOOP);
		if (one_hop(j, &h) == STAGE_DONE)
			return STAGE_DONE;
	}
	return STAGE_NEXT;
}
