// SPDX-License-Identifier: Apache-2.0
// Switch: inside one network, the destination MAC decides. All MACs are known from the plan, so unknown unicast is not
// flooded; in a network with an uplink it is somebody's outside.
#include "datapath/native/judge.h"

#include <string.h>

#include "datapath/native/services.h"

uint16_t weft_judge_uplink(const struct judge *j, uint32_t network_index)
{
	const struct flood_list *list = weft_vmap_get(j->dp->floods, &network_index, j->epoch);

	return list == NULL ? NATIVE_NO_PORT : list->uplink;
}

size_t weft_judge_receivers(const struct judge *j, const uint16_t **ports)
{
	const struct flood_list *list = NULL;

	*ports = j->owners;
	if (j->flood == FLOOD_OWNERS)
		return j->n_owners;
	list = weft_vmap_get(j->dp->floods, &j->in->network_index, j->epoch);
	if (list == NULL)
		return 0;
	*ports = list->ports;
	if (j->flood == FLOOD_ALL)
		return list->n;
	return j->flood == FLOOD_ASKED ? list->n_asked : list->n_unfiltered;
}

// The rest of a provider network is behind its uplink: whatever nobody on the node has is there. But nothing that came from there
// goes back.
static enum stage_result to_uplink(struct judge *j, enum drop otherwise)
{
	uint16_t uplink = weft_judge_uplink(j, j->network_index);

	if (uplink == NATIVE_NO_PORT || uplink == j->in->index)
		return judge_drop(j, otherwise);
	j->out = native_policy(j->dp, uplink, j->epoch);
	if (j->out == NULL)
		return judge_drop(j, otherwise);
	weft_judge_note(j, "switch", "next", NULL, "to the physical network");
	return STAGE_NEXT;
}

// The ports of this node, and the uplink for those of others, that have the MAC; but not the sender, unless a router has made it
// somebody else's packet (to one's own floating IP). Tells whether the sender is one.
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
	owners = weft_vmap_get(j->dp->macs, &key, j->epoch);
	if (owners == NULL || owners->n == 0)
		return to_uplink(j, DROP_UNKNOWN_DESTINATION);
	uplink = weft_judge_uplink(j, j->network_index);
	self = find_owners(j, owners, uplink);
	if (j->n_owners == 0)
		return judge_drop(j, self && uplink != j->in->index ? DROP_SELF : DROP_NOT_LOCAL);
	// A MAC that an allowed pair shares leads to the port that uses it; until that is seen, all of them hear it.
	if (owners->speaker != NATIVE_NO_PORT &&
	    (owners->speaker != j->in->index || judge_translates(j))) {
		j->owners[0] = owners->speaker;
		j->n_owners = 1;
	}
	// What is routed is no copy of what came in, so it goes to one.
	if (j->n_owners > 1 && j->hops == 0) {
		weft_judge_note(j, "switch", "flood", NULL, "%u ports share the MAC", j->n_owners);
		j->verdict = VERDICT_FLOOD;
		j->flood = FLOOD_OWNERS;
		j->if_nobody = DROP_PORT_DETACHED;
		return STAGE_DONE;
	}
	j->out = native_policy(j->dp, j->owners[0], j->epoch);
	if (j->out == NULL)
		return judge_drop(j, DROP_UNKNOWN_DESTINATION);
	weft_judge_note(j, "switch", "next", NULL, "to %s %s",
			native_is_uplink(j->out) ? "the physical network of" : "port",
			j->out->plan->id);
	return STAGE_NEXT;
}
