// SPDX-License-Identifier: Apache-2.0
// Route: a packet for a router's MAC goes on to the next network, in the same judgement.
//
// Routers are known from the plan, and so is every address behind them; nothing is resolved by asking. Several
// routers in series are passed one after the other, each takes one from the TTL (RFC 1812, 8200). What a
// router must tell the sender is noted for the slow path to send.
#include "datapath/native/judge.h"

#include <rte_ether.h>
#include <string.h>

#define MAX_HOPS 8

#define PROTO_ICMP   1
#define PROTO_UDP    17
#define PROTO_ICMPV6 58

struct hop { // the router at hand
	const struct router *router;
	const struct router_interface *in;
};

static bool find_router(const struct judge *j, struct hop *h)
{
	struct mac_key key = {.network = j->network_index};
	const struct gateway *g;

	memcpy(key.mac.b, j->eth_out, 6);
	g = weft_vmap_get(j->dp->gateways, &key, j->epoch);
	h->router = g == NULL ? NULL : weft_vslot_value(g->router, j->epoch);
	if (h->router == NULL)
		return false;
	h->in = &h->router->interfaces[g->interface];
	return true;
}

// The router's own address of that family on the interface where the packet came in.
static struct ip_addr own_address(const struct router_interface *i, uint8_t family)
{
	for (size_t k = 0; k < i->n_addrs; k++)
		if (i->addrs[k].ip.family == family)
			return i->addrs[k].ip;
	return (struct ip_addr) {0};
}

// Drop, and tell the sender, unless that must not be told (RFC 1122, 3.2.2; RFC 4443, 2.4).
static enum stage_result refuse(struct judge *j, const struct hop *h, enum drop why, uint8_t type4,
				uint8_t code4, uint8_t type6, uint8_t code6, uint32_t mtu)
{
	bool v4 = j->pkt->key.family == 4;
	struct ip_addr from = own_address(h->in, j->pkt->key.family);

	if (!j->pkt->icmp_error && j->pkt->fragment != FRAGMENT_LATER && from.family != 0 &&
	    !(j->eth[0] & 1))
		j->icmp = (struct icmp_error) {v4 ? type4 : type6, v4 ? code4 : code6, mtu, from};
	return judge_drop(j, why);
}

static bool is_own(const struct router *r, const struct ip_addr *ip)
{
	for (size_t i = 0; i < r->n_interfaces; i++)
		for (size_t k = 0; k < r->interfaces[i].n_addrs; k++)
			if (weft_ip_equal(&r->interfaces[i].addrs[k].ip, ip))
				return true;
	return false;
}

// Addresses that never cross a router (RFC 6890).
static bool is_routable(const struct ip_addr *ip)
{
	const uint8_t *b = ip->b;

	if (ip->family == 4)
		return b[0] != 0 && b[0] != 127 && b[0] < 224 && !(b[0] == 169 && b[1] == 254);
	if (b[0] == 0xff || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80))
		return false;
	for (size_t i = 0; i < 15; i++)
		if (b[i] != 0)
			return true;
	return b[15] > 1; // neither :: nor ::1
}

static void addresses(const struct packet *p, struct ip_addr *src, struct ip_addr *dst)
{
	const struct flow_key *k = &p->key;
	size_t len = k->family == 4 ? 4 : 16;

	*src = (struct ip_addr) {.family = k->family};
	*dst = *src;
	memcpy(src->b, k->family == 4 ? (const void *)&k->src4 : k->src6, len);
	memcpy(dst->b, k->family == 4 ? (const void *)&k->dst4 : k->dst6, len);
}

static enum stage_result for_router(struct judge *j, const struct hop *h)
{
	const struct packet *p = j->pkt;
	bool echo = (p->key.proto == PROTO_ICMP && p->icmp_type == 8) ||
		    (p->key.proto == PROTO_ICMPV6 && p->icmp_type == 128);

	if (echo && p->fragment == FRAGMENT_NONE) {
		weft_judge_note(j, "route", "answer", NULL, "router %s answers the echo",
				h->router->id);
		j->verdict = VERDICT_ANSWER;
		j->answer = ANSWER_ECHO;
		return STAGE_DONE;
	}
	if (p->key.proto == PROTO_UDP)
		return refuse(j, h, DROP_ROUTER_ADDRESS, 3, 3, 1, 4, 0);
	return judge_drop(j, DROP_ROUTER_ADDRESS);
}

static const struct router_route *find_route(const struct router *r, const struct ip_addr *dst)
{
	for (size_t i = 0; i < r->n_routes; i++)
		if (weft_prefix_contains(&r->routes[i].dst, dst))
			return &r->routes[i];
	return NULL;
}

// Who has the address: by fixed IP if anybody, else by pair.
static const struct neighbour *find_neighbour(const struct judge *j, uint32_t network,
					      const struct ip_addr *ip)
{
	struct neighbour_key key = {.network = network, .family = ip->family};
	const struct neighbours *n;

	memcpy(key.ip, ip->b, sizeof(key.ip));
	n = weft_vmap_get(j->dp->neighbours, &key, j->epoch);
	for (size_t i = 0; n != NULL && i < n->n; i++)
		if (!n->at[i].from_pair)
			return &n->at[i];
	return n == NULL || n->n == 0 ? NULL : &n->at[0];
}

static enum stage_result one_hop(struct judge *j, const struct hop *h)
{
	const struct router_interface *out;
	const struct router_route *route;
	const struct neighbour *next;
	const struct network *net;
	struct ip_addr src, dst, target;

	if (!h->router->admin_up)
		return judge_drop(j, DROP_ROUTER_DOWN);
	if (j->pkt->kind != PACKET_IP)
		return judge_drop(j, DROP_NOT_ROUTABLE);
	addresses(j->pkt, &src, &dst);
	if (is_own(h->router, &dst) && !j->rejudge)
		return for_router(j, h);
	if (!is_routable(&src) || !is_routable(&dst))
		return judge_drop(j, DROP_NOT_ROUTABLE);
	if (!j->rejudge && j->pkt->ttl <= j->hops + 1)
		return refuse(j, h, DROP_TTL, 11, 0, 3, 0, 0);
	route = find_route(h->router, &dst);
	if (route == NULL)
		return refuse(j, h, DROP_NO_ROUTE, 3, 0, 1, 0, 0);
	out = &h->router->interfaces[route->interface];
	net = weft_vslot_value(out->network, j->epoch);
	if (net == NULL)
		return judge_drop(j, DROP_INTERNAL);
	if (j->wire_len > net->mtu + RTE_ETHER_HDR_LEN && (dst.family == 6 || j->dont_fragment))
		return refuse(j, h, DROP_TOO_BIG, 3, 4, 2, 0, net->mtu);
	target = route->via.family != 0 ? route->via : dst;
	next = find_neighbour(j, out->network_index, &target);
	if (next == NULL)
		return refuse(j, h, DROP_NO_NEIGHBOUR, 3, 1, 1, 3, 0);

	j->hops++;
	j->network_index = out->network_index;
	memcpy(j->eth_out, next->mac.b, 6);
	memcpy(j->eth_out + 6, out->mac.b, 6);
	weft_judge_note(j, "route", "next", NULL, "router %s, to network %s", h->router->id,
			net->id);
	return STAGE_NEXT;
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
