// SPDX-License-Identifier: Apache-2.0
// Wiring: what the rooms of policy, outside and workers have to tell each other, and may not know.
//
// Threads    control
#pragma once

#include "datapath/native/native.h"

// The tables, the advertiser, the resolver and the announcer of dp. detach: how an attached port
// that leaves the plan is taken off its interface.
void weft_wiring_new(struct native *dp, void (*detach)(void *native, struct port *p));
// What of it is there, and what is watched and counted from; workers must have stopped.
void weft_wiring_free(struct native *dp);
