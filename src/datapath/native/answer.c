// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/answer.h"

#include <rte_common.h>
#include <rte_mbuf.h>

#include "datapath/native/services.h"

static size_t dhcp(const struct judge *j, uint8_t *buf, size_t len, size_t cap, enum drop *why)
{
	const struct plan_port *port = j->in->plan;
	const struct subnet *s = weft_vslot_value(j->dhcp_for->subnet, j->epoch);
	const struct network *net = weft_vslot_value(j->in->network, j->epoch);
	struct dhcp_option extra[32];
	struct dhcp_route routes[64];
	struct dhcp_lease lease;
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
	};
	if (lease.server.family == 0)
		lease.server = (struct ip_addr) {.family = 4, .b = {169, 254, 169, 254}};
	for (size_t i = 0; i < s->plan->n_routes && lease.n_routes < RTE_DIM(routes); i++)
		if (s->plan->routes[i].dst.ip.family == 4)
			routes[lease.n_routes++] = (struct dhcp_route) {s->plan->routes[i].dst,
									s->plan->routes[i].via};
	for (size_t i = 0; i < port->n_options && lease.n_extra < RTE_DIM(extra); i++)
		if (port->options[i].family == 4)
			extra[lease.n_extra++] = (struct dhcp_option) {port->options[i].code,
								       port->options[i].len,
								       port->options[i].value};

	switch (weft_dhcp_answer(buf, len, cap, j->pkt, &lease, &answer_len)) {
	case DHCP_ANSWERED:
		return answer_len;
	case DHCP_NO_ANSWER:
		*why = DROP_SERVICE_DONE;
		return 0;
	case DHCP_MALFORMED:
		break;
	}
	*why = DROP_DHCP_BAD;
	return 0;
}

void weft_answer(struct worker *w, struct rte_mbuf *m, const struct judge *j)
{
	size_t len = rte_pktmbuf_data_len(m), cap = len + rte_pktmbuf_tailroom(m), n = 0;
	uint8_t *buf = rte_pktmbuf_mtod(m, uint8_t *);
	enum drop why = DROP_BAD_HEADER;

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
		case ANSWER_ECHO:
			n = weft_echo_answer(buf, len, j->pkt);
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
