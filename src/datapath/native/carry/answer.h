// SPDX-License-Identifier: Apache-2.0
// Answers: what the datapath says itself to a question of a port (VERDICT_ANSWER). The frame is
// turned into its answer in place, from what the judgement found in the policy, and goes back to
// the port that asked. What an answer says is in services.h.
//
// Threads    the worker
// Ownership  takes the mbuf
#pragma once

#include "datapath/native/judge/judge.h"
#include "datapath/native/worker/worker.h"

void weft_answer(struct worker *w, struct rte_mbuf *m, const struct judge *j);
