// SPDX-License-Identifier: Apache-2.0
// Switch: inside one network, the destination MAC decides. The plan knows whose it is; of those
// that several ports may have, or only ports without port security and those outside, the
// resolver knows who sent from it last. What nobody may have is not flooded.
#include "datapath/native/judge/judge.h"

#include <string.h>

#include "datapath/native/outside/resolver.h"
#include "datapath/frames/services.h"

uint16_t weft_judge_uplink(const struct judge *j, uint32_t network_index)
{
	const struct flood_list *list = weft_vmap_get(j->node->floods, &network_index, j->epoch);

	return list == NULL ? NATIVE_NO_PORT : list->uplink;
}

size_t weft_judge_receivers(const struct judge *j, const uint16_t **ports)
{
	const struct flood_list *list = NULL;

	*ports = j->owners;
	if (j->flood == FLOOD_OWNERS)
		return j->n_owners;
	list = weft_vmap_get(j->node->floods, &j->in->network_index, j->epoch);
	if (list == NULL)
		return 0;
	*ports = list->ports;
	if (j->flood == FLOOD_ALL)
		return list->n;
	return j->flood == FLOOD_ASKED ? list->n_asked : list->n_unfiltered;
}

static enum stage_result to_port(struct judge *j, uint16_t port, enum drop otherwise)
{
	j->out = native_policy(j->node, port, j->epoch);
	if (j->out == NULL)
		return judge_drop(j, otherwise);
	weft_judge_note(j, "switch", "next", NULL, "to %s %s",
			native_is_uplink(j->out) ? "the physical network of" : "port",
			j->out->plan->id);
	return STAGE_NEXT;
}

// Is it, but for the sender, the only port that may have MACs of which the plan knows nothing?
static uint16_t only_unfiltered(const struct judge *j, const struct flood_list *list)
{
	uint16_t port = NATIVE_NO_PORT;

	for (size_t i = 0; i < list->n_unfiltered; i++) {
		if (list->ports[i] == j->in->index)
			continue;
		if (port != NATIVE_NO_PORT)
			return NATIVE_NO_PORT;
		port = list->ports[i];
	}
	return port;
}

// The plan gives the MAC to nobody. It is behind a port without port security, or in a provider
// network outside; but nothing that came from there goes back. Until somebody is seen to send
// from it all of those hear it; of what is routed, which is no copy of what came in, only one
// can.
static enum stage_result to_unknown(struct judge *j, const struct mac_addr *mac)
{
	const struct flood_list *list = weft_vmap_get(j->node->floods, &j->network_index, j->epoch);
	uint16_t port = weft_resolver_port_of(j->node->resolver, j->epoch, j->network_index, mac);
	size_t n = list == NULL ? 0 : list->n_unfiltered;

	if (port == NATIVE_NO_PORT)
		port = j->next_port;
	if (port == NATIVE_NO_PORT && n > 0 && (!native_is_uplink(j->in) || j->hops > 0))
		port = only_unfiltered(j, list);
	if (port != NATIVE_NO_PORT && (port != j->in->index || judge_translates(j)))
		return to_port(j, port, DROP_UNKNOWN_DESTINATION);
	if (port != NATIVE_NO_PORT)
		return judge_drop(j, native_is_uplink(j->in) ? DROP_NOT_LOCAL : DROP_SELF);
	if (n == 0 || j->hops > 0)
		return judge_drop(j, DROP_UNKNOWN_DESTINATION);
	weft_judge_note(j, "switch", "flood", NULL,
			"to the ports without port security: who has the MAC has not been seen");
	j->verdict = VERDICT_FLOOD;
	j->flood = FLOOD_UNFILTERED;
	j->if_nobody = DROP_UNKNOWN_DESTINATION;
	return STAGE_DONE;
}

// The ports of this node, and the uplink for those of others, that have the MAC; but not the
// sender, unless a router has made it somebody else's packet (to one's own floating IP). Tells
// whether the sender is one.
static bool find_owners(struct judge *j, const struct mac_owners *owners, uint16_t uplink)
{
	bool self = false, to_self = judge_translates(j);

	j->n_owners = 0;
	for (uint16_t i = 0; i < owners->n; i++) {
		uint16_t port = owners->ports[i] == NATIVE_NO_PORT ? uplink : owners->ports[i];

		self = self || port == j->in->index;
		if (port != NATIVE_NO_PORT && (port != j->in->index || to_self) &&
		    j->n_owners < sizeof(j->owners) / sizeof(j->owners[0]))
			j->owners[j->n_owners++] = port;
	}
	return self;
}

// A MAC that an allowed pair shares leads to the port that uses it; until that is seen, all of
// them hear it.
static void choose_owner(struct judge *j, const struct mac_addr *mac)
{
	uint16_t port = weft_resolver_port_of(j->node->resolver, j->epoch, j->network_index, mac);

	if (port == NATIVE_NO_PORT)
		port = j->next_port;
	for (uint16_t i = 0; i < j->n_owners; i++)
		if (j->owners[i] == port) {
			j->owners[0] = port;
			j->n_owners = 1;
		}
}

enum stage_result weft_stage_switch(struct judge *j)
{
	struct mac_key key = {.network = j->network_index};
	const struct mac_owners *owners;
	uint16_t uplink;
	bool self;

	if (j->eth_out[0] & 1) {
		weft_judge_note(j, "switch", "flood", NULL, "to the other ports of the network");
		j->verdict = VERDICT_FLOOD;
		j->flood = FLOOD_ALL;
		j->if_nobody = DROP_SERVICE_DONE;
		return STAGE_DONE;
	}
	memcpy(key.mac.b, j->eth_out, 6);
	// It is on no wire. What it takes has been taken by now.
	if (weft_mac_equal(&key.mac, &weft_service_mac))
		return judge_drop(j, DROP_SERVICE_ADDRESS);
	owners = weft_vmap_get(j->node->macs, &key, j->epoch);
	if (owners == NULL || owners->n == 0)
		return to_unknown(j, &key.mac);
	uplink = weft_judge_uplink(j, j->network_index);
	self = find_owners(j, owners, uplink);
	if (j->n_owners == 0)
		return judge_drop(j, self && uplink != j->in->index ? DROP_SELF : DROP_NOT_LOCAL);
	if (owners->n > 1)
		choose_owner(j, &key.mac);
	// What is routed is no copy of what came in, so it goes to one.
	if (j->n_owners > 1 && j->hops == 0) {
		weft_judge_note(j, "switch", "flood", NULL, "%u ports share the MAC", j->n_owners);
		j->verdict = VERDICT_FLOOD;
		j->flood = FLOOD_OWNERS;
		j->if_nobody = DROP_PORT_DETACHED;
		return STAGE_DONE;
	}
	return to_port(j, j->owners[0], DROP_UNKNOWN_DESTINATION);
}
