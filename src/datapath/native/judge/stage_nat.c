// SPDX-License-Identifier: Apache-2.0
// NAT: what a router's external interface does to a packet's addresses. Arriving: a floating IP,
// or a port forwarded from one, becomes the fixed IP behind it. Leaving: a fixed IP becomes its
// floating IP, else the router's own address, with a port that is chosen when the session is made
// (nat.h).
//
// A packet of a session, or an error about one, is not translated by this but as the session was
// (j->binding).
#include "datapath/native/judge/stage_route.h"

#include <arpa/inet.h>
#include <string.h>

#include "datapath/frames/numbers.h"

static const struct floating *floating_get(const struct judge *j, const struct vmap *map,
					   uint32_t scope, rte_be32_t ip)
{
	struct floating_key key = {scope, ip};

	return weft_vmap_get(map, &key, j->epoch);
}

const struct floating *weft_nat_floating(const struct judge *j, uint32_t network, rte_be32_t ip)
{
	return floating_get(j, j->node->floatings, network, ip);
}

// Who translates: "floating IP", "router"... and its id; for the trace.
struct by {
	const char *what, *id;
};

static void note(struct judge *j, const char *end, rte_be32_t was, rte_be16_t was_port,
		 rte_be32_t now, rte_be16_t now_port, struct by by)
{
	char a[INET_ADDRSTRLEN], b[INET_ADDRSTRLEN];

	if (j->record == NULL)
		return;
	inet_ntop(AF_INET, &was, a, sizeof(a));
	inet_ntop(AF_INET, &now, b, sizeof(b));
	if (was_port == 0 && now_port == 0)
		weft_judge_note(j, "nat", "next", NULL, "%s %s becomes %s (%s %s)", end, a, b,
				by.what, by.id);
	else
		weft_judge_note(j, "nat", "next", NULL, "%s %s:%u becomes %s:%u (%s %s)", end, a,
				rte_be_to_cpu_16(was_port), b, rte_be_to_cpu_16(now_port), by.what,
				by.id);
}

// ICMP has no destination port; what stands in its place is type and code.
static rte_be16_t dport_of(const struct flow_key *k)
{
	return k->proto == PROTO_ICMP ? 0 : k->dport;
}

static void new_destination(struct judge *j, rte_be32_t ip, rte_be16_t port, struct by by)
{
	note(j, "destination", j->now.dst4, dport_of(&j->now), ip,
	     j->now.proto == PROTO_ICMP ? 0 : port, by);
	j->now.dst4 = ip;
	j->now.dport = port;
	if (j->renamed_by == 0)
		j->renamed_by = (uint8_t)(j->hops + 1);
}

static void new_source(struct judge *j, rte_be32_t ip, rte_be16_t port, struct by by)
{
	note(j, "source", j->now.src4, j->now.sport, ip, port, by);
	j->now.src4 = ip;
	j->now.sport = port;
}

// Ranges do not overlap, so the one that begins last at or before the port is the only one that
// may have it.
static const struct forwarding *find_forwarding(const struct floating *f, uint8_t proto,
						uint16_t port)
{
	size_t low = 0, high = f->n_forwardings;

	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct forwarding *at = &f->forwardings[middle];

		if (at->proto < proto || (at->proto == proto && at->port_min <= port))
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || f->forwardings[low - 1].proto != proto ||
	    f->forwardings[low - 1].port_max < port)
		return NULL;
	return &f->forwardings[low - 1];
}

static enum stage_result forward_port(struct judge *j, const struct hop *h,
				      const struct floating *f)
{
	bool has_ports = j->pkt->fragment != FRAGMENT_LATER || j->pkt->first_known;
	uint16_t port = rte_be_to_cpu_16(j->now.dport);
	const struct forwarding *to = has_ports ? find_forwarding(f, j->now.proto, port) : NULL;

	if (to == NULL)
		return weft_route_own(j, h, DROP_NAT_NO_STATE);
	port = (uint16_t)(to->fixed_port + (port - to->port_min));
	new_destination(j, to->fixed, rte_cpu_to_be_16(port),
			(struct by) {"forwarded by floating IP", f->id});
	return STAGE_NEXT;
}

// Did the router at hand send it itself? Then it has come from its inside, to a floating IP.
static bool is_hairpin(const struct judge *j, const struct hop *h)
{
	struct mac_key key = {.network = j->network_index};
	const struct gateway *g;

	if (j->hops == 0)
		return false;
	memcpy(key.mac.b, j->eth_out + 6, 6);
	g = weft_vmap_get(j->node->gateways, &key, j->epoch);
	return g != NULL && weft_vslot_value(g->router, j->epoch) == h->router;
}

// Whoever is outside may not claim an address of the inside, or one that only this node
// translates to: groups that admit each other by address would let it in.
static bool is_reverse_path(const struct judge *j, const struct hop *h)
{
	bool v4 = j->now.family == 4;
	struct ip_addr src = {.family = j->now.family};
	const struct router_route *back;

	if (is_hairpin(j, h))
		return true;
	memcpy(src.b, v4 ? (const void *)&j->now.src4 : j->now.src6, v4 ? 4 : 16);
	back = weft_route_find(h->router, &src);
	if (back != NULL && !h->router->interfaces[back->interface].external)
		return false;
	return !v4 || j->in->role != PORT_UPLINK ||
	       (j->now.src4 != h->router->snat &&
		weft_nat_floating(j, j->network_index, j->now.src4) == NULL);
}

static enum stage_result arrive_at_floating(struct judge *j, const struct hop *h)
{
	const struct floating *f = weft_nat_floating(j, j->network_index, j->now.dst4);

	if (f == NULL || weft_vslot_value(f->router, j->epoch) != h->router)
		return STAGE_NEXT;
	if (f->fixed == 0)
		return forward_port(j, h, f);
	new_destination(j, f->fixed, j->now.dport, (struct by) {"floating IP", f->id});
	return STAGE_NEXT;
}

enum stage_result weft_nat_arrive(struct judge *j, const struct hop *h)
{
	// An error about a flow is believed whoever sends it: links outside may well have
	// addresses that the inside has, too, and what packets are too big for them must be told.
	if (j->binding != NULL) {
		if (j->now.dst4 != j->binding->dst4)
			new_destination(j, j->binding->dst4, j->binding->dport,
					(struct by) {"as", "its flow"});
		return STAGE_NEXT;
	}
	if (!is_reverse_path(j, h))
		return judge_drop(j, DROP_REVERSE_PATH);
	return j->now.family == 4 ? arrive_at_floating(j, h) : STAGE_NEXT;
}

// A floating IP is used by who has the fixed IP on a network of the router, not by who claims it
// from elsewhere.
static const struct floating *floating_of_source(const struct judge *j, const struct hop *h)
{
	struct ip_addr src = {.family = 4};

	memcpy(src.b, &j->now.src4, 4);
	for (size_t i = 0; i < h->in->n_addrs; i++)
		if (weft_prefix_contains(&h->in->addrs[i], &src))
			return floating_get(j, j->node->floatings_of, h->router->index,
					    j->now.src4);
	return NULL;
}

// Untranslated, an address of the external network itself would take its owner's answers.
static bool is_of_outside(const struct judge *j, const struct hop *h)
{
	bool v4 = j->now.family == 4;
	struct ip_addr src = {.family = j->now.family};
	const struct router_route *back;

	memcpy(src.b, v4 ? (const void *)&j->now.src4 : j->now.src6, v4 ? 4 : 16);
	back = weft_route_find(h->router, &src);
	return back != NULL && back->via.family == 0 &&
	       h->router->interfaces[back->interface].external;
}

enum stage_result weft_nat_leave(struct judge *j, const struct hop *h,
				 const struct router_interface *out, struct mac_addr *mac)
{
	const struct floating *f = NULL;

	*mac = out->mac;
	if (j->now.family == 6)
		return is_of_outside(j, h) ? judge_drop(j, DROP_REVERSE_PATH) : STAGE_NEXT;
	if (j->binding != NULL) {
		if (j->now.src4 != j->binding->src4)
			new_source(j, j->binding->src4, j->binding->sport,
				   (struct by) {"as", "its flow"});
		f = weft_nat_floating(j, out->network_index, j->now.src4);
	} else {
		f = floating_of_source(j, h);
		if (f != NULL) {
			new_source(j, f->ip, j->now.sport, (struct by) {"floating IP", f->id});
		} else if (h->router->snat != 0) {
			new_source(j, h->router->snat, j->now.sport,
				   (struct by) {"router", h->router->id});
			j->pick_port = true;
			j->nat_router = weft_route_own_address(h->in, 4);
		} else if (is_of_outside(j, h)) {
			return judge_drop(j, DROP_REVERSE_PATH);
		}
	}
	if (f != NULL)
		*mac = f->mac;
	return STAGE_NEXT;
}
