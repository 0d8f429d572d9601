// SPDX-License-Identifier: Apache-2.0
// Switch: inside one network, the destination MAC decides. All MACs are known from the plan, so unknown
// unicast is not flooded.
#include "datapath/native/judge.h"

#include <string.h>

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

enum stage_result weft_stage_switch(struct judge *j)
{
	struct mac_key key = {.network = j->network_index};
	const struct mac_owners *owners;
	bool self = false;

	if (j->eth_out[0] & 1) {
		weft_judge_note(j, "switch", "flood", NULL, "to the other ports of the network");
		j->verdict = VERDICT_FLOOD;
		j->flood = FLOOD_ALL;
		j->if_nobody = DROP_SERVICE_DONE;
		return STAGE_DONE;
	}
	memcpy(key.mac.b, j->eth_out, 6);
	owners = weft_vmap_get(j->dp->macs, &key, j->epoch);
	if (owners == NULL || owners->n == 0)
		return judge_drop(j, DROP_UNKNOWN_DESTINATION);
	j->n_owners = 0;
	for (uint16_t i = 0; i < owners->n; i++) {
		self = self || owners->ports[i] == j->in->index;
		if (owners->ports[i] != NATIVE_NO_PORT && owners->ports[i] != j->in->index &&
		    j->n_owners < sizeof(j->owners) / sizeof(j->owners[0]))
			j->owners[j->n_owners++] = owners->ports[i];
	}
	if (j->n_owners == 0)
		return judge_drop(j, self ? DROP_SELF : DROP_NOT_LOCAL);
	// A MAC that an allowed pair shares leads to the port that uses it; until that is seen, all of them hear it.
	if (owners->speaker != NATIVE_NO_PORT && owners->speaker != j->in->index) {
		j->owners[0] = owners->speaker;
		j->n_owners = 1;
	}
	if (j->n_owners > 1) {
		weft_judge_note(j, "switch", "flood", NULL, "%u ports share the MAC", j->n_owners);
		j->verdict = VERDICT_FLOOD;
		j->flood = FLOOD_OWNERS;
		j->if_nobody = DROP_PORT_DETACHED;
		return STAGE_DONE;
	}
	j->out = native_policy(j->dp, j->owners[0], j->epoch);
	if (j->out == NULL)
		return judge_drop(j, DROP_UNKNOWN_DESTINATION);
	weft_judge_note(j, "switch", "next", NULL, "to port %s", j->out->plan->id);
	return STAGE_NEXT;
}
