// SPDX-License-Identifier: Apache-2.0
// Ethdev I/O: a DPDK port as a physical network's device.
//
// Every worker that can have one has a receiving queue of its own; the device spreads flows over
// them. Every thread that sends has a queue of its own, too, if the device has that many; else
// they share some under a lock. What the device cannot do (checksums, segmentation, tags, packets
// of several buffers) is done in software before.
//
// Threads    open, close, and what else is here: control; rx and tx as port_io.h: a share is a
//            receiving queue, the sending one follows weft_thread_number
#pragma once

#include "datapath/native/io/port_io.h"

// device: as rte_dev_probe() takes it, "0000:03:00.0" or "net_af_packet0,iface=eth2". mtu: what
// to ask of it; if it cannot have that, it has what it can, and *mtu says so. Errors name the
// device.
int weft_ethdev_open(const char *device, uint16_t workers, uint32_t *mtu, struct rte_mempool *pool,
		     struct port_io **out, struct err *err);

bool weft_ethdev_has_link(const struct port_io *io);

// The kernel interface that a virtual device works on (its argument iface=), in `out`; false: on
// none.
bool weft_ethdev_interface(const char *device, char out[16]);
