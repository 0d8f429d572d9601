// SPDX-License-Identifier: Apache-2.0
// Resolver: questions on their way out.
#include <string.h>

#include "datapath/native/resolver_priv.h"

static bool ask_at(struct resolver *r, struct worker *w, uint16_t port, const uint8_t *frame,
		   size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(r->dp->pool);

	if (m == NULL)
		return false;
	memcpy(rte_pktmbuf_append(m, (uint16_t)len), frame, len);
	if (w != NULL)
		weft_send(w, m, port);
	else
		weft_send_now(r->dp, m, port);
	return true;
}

static bool is_attached(const struct native *dp, uint16_t port)
{
	const struct port *p = native_port(dp, port);

	return p != NULL && atomic_load_explicit(&p->io, memory_order_relaxed) != NULL;
}

// The ports that may have addresses of which the plan knows nothing: those without port security, the uplink among them, and those
// with a pair for a prefix.
static uint32_t ask_all(struct resolver *r, struct worker *w, const struct hop *h,
			const uint8_t *frame, size_t len)
{
	const struct native *dp = r->dp;
	uint64_t epoch = weft_vstore_epoch(dp->vs);
	const struct flood_list *list = weft_vmap_get(dp->floods, &h->key.network, epoch);
	struct ip_addr ip = hop_ip(h);
	uint32_t sent = 0;

	for (size_t i = 0; list != NULL && i < list->n_asked; i++) {
		const struct port_policy *p = native_policy(dp, list->ports[i], epoch);

		if (p == NULL || !is_attached(dp, list->ports[i]) ||
		    (i >= list->n_unfiltered && !weft_port_may_have(p, &ip)))
			continue;
		sent += ask_at(r, w, list->ports[i], frame, len);
	}
	return sent;
}

uint32_t weft_hop_ask(struct resolver *r, struct worker *w, const struct hop *h,
		      const struct mac_addr *to)
{
	uint8_t frame[NEIGHBOUR_FRAME_MAX];
	struct ip_addr ip = hop_ip(h);
	size_t len = weft_neighbour_question(frame, &h->from, &h->from_mac, &ip, to);
	uint16_t port = atomic_load_explicit(&h->port, memory_order_relaxed);
	uint32_t sent;

	if (to != NULL && is_attached(r->dp, port))
		sent = ask_at(r, w, port, frame, len);
	else
		sent = ask_all(r, w, h, frame, len);
	atomic_fetch_add_explicit(&r->questions, 1, memory_order_relaxed);
	return sent;
}
