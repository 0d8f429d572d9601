// SPDX-License-Identifier: Apache-2.0
// Answers: what the datapath says itself to a question of a port (VERDICT_ANSWER). The frame is turned into its answer in place,
// from what the judgement found in the policy, and goes back to the port that asked. What an answer says is in services.h.
//
// Threads    the worker
// Ownership  takes the mbuf
#pragma once

#include "datapath/native/judge/judge.h"
#include "datapath/native/native.h"

// Do the hosts of an IPv6 subnet ask a DHCPv6 server, and is it this one?
static inline bool answer_has_dhcp6(const struct plan_subnet *s)
{
	return s->dhcp && (s->address == PLAN_V6_STATELESS || s->address == PLAN_V6_STATEFUL);
}

void weft_answer(struct worker *w, struct rte_mbuf *m, const struct judge *j);
