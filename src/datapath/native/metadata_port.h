// SPDX-License-Identifier: Apache-2.0
// Metadata port: the way to the node's metadata proxy, as a port of the datapath.
//
// It is like a VM's port (a kernel interface, an index, counters) but that it lies in a network
// of its own, where nobody else is, and in a network namespace of its own. VMs' packets get there
// by stage_metadata.c.
//
// Sources  Each port has one out of 100.64.0.0/10 towards the proxy, for its life: the low 14
//          bits are its index plus one, the 8 above count how often the index was used. So the
//          next port that has the index has another source, and what is still on its way from the
//          one before is never taken for its.
//
// Threads    control
#pragma once

#include <stdint.h>

#include "datapath/native/native.h"

// Errors say what is missing.
int weft_metadata_open(struct native *dp, const struct datapath_metadata *way, struct err *err);

// The same with an interface that is open already; takes it.
void weft_metadata_put(struct native *dp, struct port_io *io, const struct mac_addr *here,
		       const struct mac_addr *there);

// The source of the n-th port that has the index.
rte_be32_t weft_metadata_source(uint16_t index, uint32_t n);
