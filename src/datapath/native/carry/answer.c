// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/carry/answer.h"

#include <rte_common.h>
#include <rte_mbuf.h>
#include <string.h>

#include "datapath/native/outside/advertise.h"
#include "datapath/native/packet/counter.h"
#include "datapath/frames/services.h"
#include "datapath/native/carry/slow.h"

// To all nodes a router advertises itself no more often than this (RFC 4861, 10:
// MIN_DELAY_BETWEEN_RAS).
#define BETWEEN_ADVERTS_MS 3000

#define OPTIONS_MAX   32
#define ROUTES_MAX    64
#define ADDRESSES_MAX 32
#define RESOLVERS_MAX 16

static enum drop reason_of(enum dhcp_result result)
{
	return result == DHCP_NO_ANSWER ? DROP_SERVICE_DONE : DROP_DHCP_BAD;
}

// The port's own options of one family. Returns how many.
static size_t options_of(const struct plan_port *port, uint8_t family,
			 struct dhcp_option out[OPTIONS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < port->n_options && n < OPTIONS_MAX; i++)
		if (port->options[i].family == family)
			out[n++] = (struct dhcp_option) {port->options[i].code,
							 port->options[i].len,
							 port->options[i].value};
	return n;
}

// Is the subnet's gateway a router's?
static bool has_router(const struct judge *j, const struct plan_subnet *s)
{
	struct neighbour_key key = {.network = j->in->network_index, .family = s->gateway.family};
	struct mac_key mac = {.network = j->in->network_index};
	const struct neighbours *n;

	memcpy(key.ip, s->gateway.b, sizeof(key.ip));
	n = weft_vmap_get(j->node->neighbours, &key, j->epoch);
	for (size_t i = 0; n != NULL && i < n->n; i++) {
		mac.mac = n->at[i].mac;
		if (weft_vmap_get(j->node->gateways, &mac, j->epoch) != NULL)
			return true;
	}
	return false;
}

// Where no router leads to the metadata service, a host must know that it is on its own network.
static size_t metadata_route(const struct judge *j, const struct plan_subnet *s,
			     struct dhcp_route *out)
{
	if (atomic_load_explicit(&j->node->metadata_port, memory_order_relaxed) == NATIVE_NO_PORT ||
	    has_router(j, s))
		return 0;
	*out = (struct dhcp_route) {
		.dst = {.ip = {.family = 4, .b = {169, 254, 169, 254}}, .len = 32},
		.via = {.family = 4},
	};
	return 1;
}

static size_t dhcp(const struct judge *j, uint8_t *buf, size_t len, size_t cap, enum drop *why)
{
	const struct plan_port *port = j->in->plan;
	const struct subnet *s = weft_vslot_value(j->dhcp_for->subnet, j->epoch);
	const struct network *net = weft_vslot_value(j->in->network, j->epoch);
	struct dhcp_option extra[OPTIONS_MAX];
	struct dhcp_route routes[ROUTES_MAX];
	struct dhcp_lease lease;
	enum dhcp_result result;
	size_t answer_len = 0;

	*why = DROP_INTERNAL;
	if (s == NULL || net == NULL)
		return 0;
	lease = (struct dhcp_lease) {
		.client = port->mac,
		.ip = j->dhcp_for->ip,
		.server = s->plan->gateway,
		.gateway = s->plan->gateway,
		.prefix_len = s->plan->cidr.len,
		.lease_s = s->plan->lease_s,
		.mtu = (uint16_t)net->mtu,
		.hostname = port->hostname,
		.domain = s->plan->dns_domain,
		.dns = s->plan->dns,
		.n_dns = s->plan->n_dns,
		.routes = routes,
		.extra = extra,
		.n_extra = options_of(port, 4, extra),
	};
	if (lease.server.family == 0)
		lease.server = (struct ip_addr) {.family = 4, .b = {169, 254, 169, 254}};
	lease.n_routes = metadata_route(j, s->plan, routes);
	for (size_t i = 0; i < s->plan->n_routes && lease.n_routes < ROUTES_MAX; i++)
		if (s->plan->routes[i].dst.ip.family == 4)
			routes[lease.n_routes++] = (struct dhcp_route) {s->plan->routes[i].dst,
									s->plan->routes[i].via};
	result = weft_dhcp_answer(buf, len, cap, j->pkt, &lease, &answer_len);
	*why = reason_of(result);
	return answer_len;
}

// What the subnets of all the port's addresses say together.
struct lease6 {
	struct dhcp6_lease lease;
	struct ip_addr ips[ADDRESSES_MAX], dns[RESOLVERS_MAX];
	struct ip_prefix links[ADDRESSES_MAX];
	struct dhcp_option extra[OPTIONS_MAX];
};

static void add_subnet6(struct lease6 *l, const struct plan_subnet *s, const struct ip_addr *ip)
{
	struct dhcp6_lease *to = &l->lease;

	to->domain = to->domain[0] != '\0' ? to->domain : s->dns_domain;
	to->lease_s = RTE_MIN(to->lease_s, s->lease_s);
	for (size_t i = 0; i < s->n_dns && to->n_dns < RESOLVERS_MAX; i++)
		l->dns[to->n_dns++] = s->dns[i];
	if (s->address != PLAN_V6_STATEFUL || to->n_ips == ADDRESSES_MAX)
		return;
	l->ips[to->n_ips++] = *ip;
	l->links[to->n_links++] = s->cidr;
}

static size_t dhcp6(const struct judge *j, uint8_t *buf, size_t len, size_t cap, enum drop *why)
{
	struct lease6 l = {.lease = {.client = j->in->plan->mac,
				     .ips = l.ips,
				     .links = l.links,
				     .lease_s = UINT32_MAX,
				     .domain = "",
				     .dns = l.dns,
				     .extra = l.extra}};
	enum dhcp_result result;
	size_t answer_len = 0;

	l.lease.n_extra = options_of(j->in->plan, 6, l.extra);
	for (size_t i = 0; i < j->in->n_fixed; i++) {
		const struct port_fixed *f = &j->in->fixed[i];
		const struct subnet *s = weft_vslot_value(f->subnet, j->epoch);

		if (f->ip.family == 6 && s != NULL && answer_has_dhcp6(s->plan))
			add_subnet6(&l, s->plan, &f->ip);
	}
	result = weft_dhcp6_answer(buf, len, cap, j->pkt, &l.lease, &answer_len);
	*why = reason_of(result);
	return answer_len;
}

// ---- Router advertisements -----------------------------------------------------------------

static void advertise(struct worker *w, const struct judge *j, const struct ra *ra,
		      const struct mac_addr *mac, const struct ip_addr *to)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(w->node->pool);
	size_t len;

	if (m == NULL)
		return;
	len = weft_ra_write(rte_pktmbuf_mtod(m, uint8_t *), rte_pktmbuf_tailroom(m), ra, mac, to);
	if (len == 0 || rte_pktmbuf_append(m, (uint16_t)len) == NULL) {
		rte_pktmbuf_free(m);
		return;
	}
	COUNT(w->stats.advertised, 1);
	weft_send(w, m, j->in->index);
}

// Where the answer goes: to the asker, if it has an address. The delays of RFC 4861, 6.2.6 keep
// routers from speaking all at once on a shared wire; here each answer has the port for itself.
static bool asker(struct worker *w, const struct judge *j, struct mac_addr *mac, struct ip_addr *to)
{
	static const uint8_t unspecified[16];
	uint32_t *last_ms = &w->advertised_ms[j->in->index];

	*to = (struct ip_addr) {.family = 6};
	memcpy(to->b, j->pkt->key.src6, 16);
	memcpy(mac->b, j->eth + 6, 6);
	if (memcmp(to->b, unspecified, 16) != 0)
		return true;
	if (*last_ms != 0 && w->now_ms - *last_ms < BETWEEN_ADVERTS_MS)
		return false;
	*last_ms = RTE_MAX(w->now_ms, 1U);
	*to = weft_all_nodes;
	*mac = weft_all_nodes_mac;
	return true;
}

static void answer_solicitation(struct worker *w, struct rte_mbuf *m, const struct judge *j)
{
	const struct adverts *list =
		weft_vmap_get(w->node->adverts, &j->in->network_index, j->epoch);
	struct judge others = *j;
	struct mac_addr mac;
	struct ip_addr to;

	if (!weft_rs_is_valid(rte_pktmbuf_mtod(m, const uint8_t *), rte_pktmbuf_data_len(m),
			      j->pkt)) {
		weft_drop(w, m, j->in->index, DROP_BAD_HEADER);
		return;
	}
	if (asker(w, j, &mac, &to))
		for (size_t i = 0; list != NULL && i < list->n; i++)
			if (advert_is_for(&list->at[i], j->in))
				advertise(w, j, &list->at[i].ra, &mac, &to);
	others.flood = FLOOD_UNFILTERED;
	others.if_nobody = DROP_SERVICE_DONE;
	others.base_service = true;
	weft_slow_flood(w, m, &others);
}

// ---- Echo ----------------------------------------------------------------------------------

// However long it is, and whatever buffers it is in: its headers are in the first.
static void answer_echo(struct worker *w, struct rte_mbuf *m, const struct judge *j)
{
	uint32_t padding = rte_pktmbuf_pkt_len(m) - (j->pkt->l3 + j->pkt->l3_len);

	weft_echo_answer(rte_pktmbuf_mtod(m, uint8_t *), j->pkt);
	if (padding <= UINT16_MAX)
		rte_pktmbuf_trim(m, (uint16_t)padding); // if it all lies in the last buffer
	m->ol_flags &= ~(RTE_MBUF_F_TX_OFFLOAD_MASK);
	weft_send(w, m, j->in->index);
}

// ---- All of them ---------------------------------------------------------------------------

// An answer is made in place: those who are to hear the question as well hear a copy of it.
static void pass_on(struct worker *w, const struct rte_mbuf *m, const struct judge *j)
{
	struct rte_mbuf *copy = rte_pktmbuf_copy(m, w->node->pool, 0, UINT32_MAX);
	struct judge others = *j;

	if (copy == NULL) {
		COUNT(w->drops[DROP_NO_BUFFER], 1);
		return;
	}
	others.flood = FLOOD_OWNERS;
	others.if_nobody = DROP_SERVICE_DONE;
	others.base_service = true;
	weft_slow_flood(w, copy, &others);
}

void weft_answer(struct worker *w, struct rte_mbuf *m, const struct judge *j)
{
	size_t len = rte_pktmbuf_data_len(m), cap = len + rte_pktmbuf_tailroom(m), n = 0;
	uint8_t *buf = rte_pktmbuf_mtod(m, uint8_t *);
	enum drop why = DROP_BAD_HEADER;

	if (j->answer == ANSWER_RA) {
		answer_solicitation(w, m, j);
		return;
	}
	if (j->answer == ANSWER_ECHO) {
		answer_echo(w, m, j);
		return;
	}
	if (j->n_owners > 0)
		pass_on(w, m, j);
	if (m->nb_segs == 1 && RTE_MBUF_DIRECT(m) && rte_mbuf_refcnt_read(m) == 1) {
		switch (j->answer) {
		case ANSWER_ARP:
			n = weft_arp_answer(buf, len, cap, &j->answer_mac);
			break;
		case ANSWER_ND:
			n = weft_nd_answer(buf, len, cap, j->pkt, &j->answer_mac,
					   j->answer_is_router ? ND_ROUTER : ND_HOST);
			break;
		case ANSWER_DHCP:
			n = dhcp(j, buf, len, cap, &why);
			break;
		case ANSWER_DHCP6:
			n = dhcp6(j, buf, len, cap, &why);
			break;
		case ANSWER_ECHO:
		case ANSWER_RA:
			break;
		}
	}
	if (n == 0) {
		weft_drop(w, m, j->in->index, why);
		return;
	}
	m->data_len = (uint16_t)n;
	m->pkt_len = (uint32_t)n;
	m->ol_flags &= ~(RTE_MBUF_F_TX_OFFLOAD_MASK);
	weft_send(w, m, j->in->index);
}
