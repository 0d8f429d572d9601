// SPDX-License-Identifier: Apache-2.0
// Fast path: a burst from one port, one look-up and one rewrite per packet.
//
// Threads    the worker that polls the port
// Ownership  takes the mbufs
#pragma once

#include "datapath/native/worker/worker.h"

void weft_fast_burst(struct worker *w, uint16_t in_port, struct rte_mbuf **pkts, uint16_t n);
// The same, and nobody watches (live.h). 0 < n.
void weft_fast_carry(struct worker *w, uint16_t in_port, struct rte_mbuf **pkts, uint16_t n);
