// SPDX-License-Identifier: Apache-2.0
// Admit: what no later stage should have to think about.
#include "datapath/native/judge/judge.h"

#include <rte_ether.h>

#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8

enum stage_result weft_stage_admit(struct judge *j)
{
	const struct network *net = weft_vslot_value(j->in->network, j->epoch);
	const uint8_t *dst = j->eth;

	if (net == NULL)
		return judge_drop(j, DROP_INTERNAL);
	if (!j->in->plan->admin_up)
		return judge_drop(j, DROP_PORT_DOWN);
	if (j->pkt->ethertype == ETHERTYPE_VLAN || j->pkt->ethertype == ETHERTYPE_QINQ)
		return judge_drop(j, DROP_VLAN);
	if (j->pkt->kind == PACKET_OTHER && j->in->plan->filtered)
		return judge_drop(j, DROP_ETHERTYPE);
	if (j->wire_len > net->mtu + RTE_ETHER_HDR_LEN)
		return judge_drop(j, DROP_OVERSIZE);
	// IEEE 802.1Q, 8.6.3: frames to these addresses end at the first bridge. Switches outside
	// send them all the time.
	if (dst[0] == 0x01 && dst[1] == 0x80 && dst[2] == 0xc2 && dst[3] == 0 && dst[4] == 0 &&
	    dst[5] < 0x10)
		return judge_drop(j, native_is_uplink(j->in) ? DROP_SERVICE_DONE
							     : DROP_LINK_LOCAL_MULTICAST);

	weft_judge_note(j, "admit", "next", NULL, "port %s, network %s", j->in->plan->id, net->id);
	return STAGE_NEXT;
}
