// SPDX-License-Identifier: Apache-2.0
// Trace, the way back: what an answer to a traced packet would meet, as if the packet's session
// were there.
//
// Threads    control
#pragma once

#include <rte_mbuf.h>

#include "datapath/native/judge/judge.h"

// Turn a packet into its answer, as the receiver would send it: addresses, ports, MACs the other
// way round, TTL 64, a SYN into a SYN-ACK, a query into its reply. False: such packets have no
// answer.
bool weft_trace_answer(struct rte_mbuf *m);

// j: a packet that was judged FORWARD and makes a session. Would its answer pass? If so, `m`, the
// answer as the receiver sends it, becomes what the sender gets.
enum drop weft_trace_reply(const struct judge *j, struct rte_mbuf *m);
