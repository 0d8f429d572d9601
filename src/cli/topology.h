// SPDX-License-Identifier: Apache-2.0
// Topology: what this node has, as a tree: networks with their subnets, ports and routers; routers
// with what they join.
#pragma once

#include <jansson.h>

#include "base/text.h"

// all: {"networks", "routers", "ports", "floatingips"}, each as /weft/v1 lists them.
void weft_topology(struct text *out, const json_t *all);
