// SPDX-License-Identifier: Apache-2.0
// Resolver: questions on their way out.
#include <string.h>

#include "datapath/native/outside/resolver_priv.h"

static bool ask_at(struct resolver *r, struct worker *w, uint16_t port, const uint8_t *frame,
		   size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(r->node->pool);

	if (m == NULL)
		return false;
	memcpy(rte_pktmbuf_append(m, (uint16_t)len), frame, len);
	if (w != NULL)
		weft_send(w, m, port);
	else
		weft_send_now(r->node, m, port);
	return true;
}

static bool is_attached(const struct node *node, uint16_t port)
{
	const struct port *p = native_port(node, port);

	return p != NULL && atomic_load_explicit(&p->io, memory_order_relaxed) != NULL;
}

// Nobody of the plan has the address: the ports that may, the uplink among them.
static uint32_t ask_all(struct resolver *r, struct worker *w, const struct hop *h, uint64_t epoch,
			const uint8_t *frame, size_t len)
{
	const struct node *node = r->node;
	const struct flood_list *list = weft_vmap_get(node->floods, &h->key.network, epoch);
	struct ip_addr ip = hop_ip(h);
	uint32_t sent = 0;

	for (size_t i = 0; list != NULL && i < list->n_asked; i++) {
		const struct port_policy *p = native_policy(node, list->ports[i], epoch);

		if (p == NULL || !is_attached(node, list->ports[i]) ||
		    (i >= list->n_unfiltered && !weft_port_may_have(p, &ip)))
			continue;
		sent += ask_at(r, w, list->ports[i], frame, len);
	}
	return sent;
}

static uint32_t ask_owners(struct resolver *r, struct worker *w, const struct neighbours *owners,
			   uint32_t network, uint64_t epoch, const uint8_t *frame, size_t len)
{
	uint16_t ports[CLAIM_OWNERS];
	uint16_t n = weft_claim_ports(r->node, epoch, network, owners, ports);
	uint32_t sent = 0;

	for (uint16_t i = 0; i < n; i++)
		if (is_attached(r->node, ports[i]))
			sent += ask_at(r, w, ports[i], frame, len);
	return sent;
}

uint32_t weft_hop_ask(struct resolver *r, struct worker *w, const struct hop *h,
		      const struct mac_addr *to)
{
	uint8_t frame[NEIGHBOUR_FRAME_MAX];
	struct ip_addr ip = hop_ip(h);
	size_t len = weft_neighbour_question(frame, &h->from, &h->from_mac, &ip, to);
	uint16_t port = hop_port(h);
	uint64_t epoch = weft_vstore_epoch(r->node->vs);
	struct address_claim claim = weft_claim_address(r->node, epoch, h->key.network, &ip);
	uint32_t sent;

	if (to != NULL && is_attached(r->node, port))
		sent = ask_at(r, w, port, frame, len);
	else if (claim.owners != NULL)
		sent = ask_owners(r, w, claim.owners, h->key.network, epoch, frame, len);
	else
		sent = ask_all(r, w, h, epoch, frame, len);
	atomic_fetch_add_explicit(&r->questions, 1, memory_order_relaxed);
	return sent;
}
