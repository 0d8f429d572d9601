// SPDX-License-Identifier: Apache-2.0
// Metadata: TCP to 169.254.169.254 port 80 leaves its network here, for the node's metadata proxy.
//
// It does so whatever the destination MAC: a host on a routed network sends it to its gateway,
// one on an isolated network to whoever answered its ARP, which was us. A port that owns the
// address (a metadata service of a tenant's own) keeps what is sent to its own MAC.
//
// Tenants' addresses overlap, so the proxy sees each port under a source of its own
// (metadata_port.h); what it answers comes back by the session. Nothing else comes from there.
//
// Without a proxy the sender is told that nobody listens, so that a guest that asks at its start
// does not wait.
#include "datapath/native/judge/judge.h"

#include <string.h>

#include "datapath/frames/services.h"
#include "datapath/frames/numbers.h"

#define HTTP	RTE_BE16(80)
#define ADDRESS RTE_BE32(0xa9fea9fe)

static bool asks_metadata(const struct judge *j)
{
	const struct packet *p = j->pkt;
	const struct flow_key *k = &p->key;

	return p->kind == PACKET_IP && k->family == 4 && k->proto == PROTO_TCP &&
	       k->dst4 == ADDRESS && k->dport == HTTP &&
	       (p->fragment != FRAGMENT_LATER || p->first_known) && (j->eth[0] & 1) == 0;
}

// An ICMP error about what the proxy sent.
static bool is_error(const struct judge *j, uint16_t proxy)
{
	return j->pkt->icmp_error && proxy != NATIVE_NO_PORT && j->related_to == proxy;
}

static bool is_owned(const struct judge *j)
{
	struct neighbour_key key = {
		.network = j->network_index, .family = 4, .ip = {169, 254, 169, 254}};
	const struct neighbours *n = weft_vmap_get(j->node->neighbours, &key, j->epoch);

	return n != NULL && n->n > 0;
}

// Does it go where the service would be? A port without port security may have the address, and
// nobody knows.
static bool leads_to_us(const struct judge *j)
{
	struct mac_key key = {.network = j->network_index};

	memcpy(key.mac.b, j->eth_out, 6);
	return weft_mac_equal(&key.mac, &weft_service_mac) ||
	       weft_vmap_get(j->node->gateways, &key, j->epoch) != NULL;
}

static enum stage_result refuse(struct judge *j)
{
	if (!leads_to_us(j))
		return STAGE_NEXT;
	// Port unreachable ends a connection that opens (RFC 1122, 4.2.3.9).
	if (j->pkt->fragment != FRAGMENT_LATER)
		j->icmp = (struct icmp_error) {
			.type = 3,
			.code = 3,
			.from = {.family = 4, .b = {169, 254, 169, 254}},
		};
	return judge_drop(j, DROP_METADATA_OFF);
}

enum stage_result weft_stage_metadata(struct judge *j)
{
	uint16_t proxy = atomic_load_explicit(&j->node->metadata_port, memory_order_acquire);
	const struct port *in;

	if (j->in->role == PORT_METADATA)
		return judge_drop(j, DROP_NAT_NO_STATE);
	if (j->in->role != PORT_VM || !(asks_metadata(j) || is_error(j, proxy)) ||
	    (is_owned(j) && !leads_to_us(j)))
		return STAGE_NEXT;
	if (proxy == NATIVE_NO_PORT)
		return refuse(j);
	in = native_port(j->node, j->in->index);
	j->out = native_policy(j->node, proxy, j->epoch);
	if (in == NULL || j->out == NULL)
		return judge_drop(j, DROP_INTERNAL);
	memcpy(j->eth_out, j->node->metadata_eth, sizeof(j->eth_out));
	if (j->binding != NULL) {
		j->now = *j->binding;
	} else {
		j->now.src4 = in->metadata_source;
		j->pick_port = true;
	}
	weft_judge_note(j, "metadata", "forward", NULL, "to the metadata proxy");
	j->verdict = VERDICT_FORWARD;
	return STAGE_DONE;
}
