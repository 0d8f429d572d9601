// SPDX-License-Identifier: Apache-2.0
// Uplink: the devices of physical networks ("trunks"), and the provider networks on them.
//
// A trunk is one device: a kernel interface (tap_io.c) or a DPDK port (ethdev_io.c). Each
// provider network on it is one of its VLANs, or its untagged frames, and has a port index of its
// own (PORT_UPLINK), so that a session's entry port tells the network, and nothing behind the
// trunk knows of tags. A tag is never in the bytes of a packet inside of the datapath: a received
// one is taken off when the burst is dealt out; a sent packet carries its tag beside it
// (port_io.h), for the device to put in. So a flooded packet's clones need no copy.
//
// A trunk is there from start to stop. Its device may be missing, come later, go and come back:
// an uplink port is attached exactly while its trunk's device is there. What is missing is tried
// again every few seconds, and at once when an interface of its name appears.
//
// Threads    poll: workers, each its own trunks (or, of a device with several queues, its own
//            share); the rest: control
// Ownership  a trunk lives until weft_trunks_free; its device is closed after a grace period
#pragma once

#include "datapath/native/worker/worker.h"

#define TRUNK_UNTAGGED	0    // as a VLAN id
#define TRUNK_NO_VLAN	4096 // a tag that is no VLAN of ours (802.1ad)
#define TRUNK_TAG_BYTES 4

struct trunk {
	char name[32]; // of the physical network
	char device[256];
	_Atomic(struct port_io *) io; // NULL: the device is not there
	_Atomic uint16_t port[TRUNK_NO_VLAN +
			      1]; // VLAN id -> its network's uplink port; NATIVE_NO_PORT = none
	uint64_t unknown[NATIVE_MAX_WORKERS]; // frames of no network here, by worker
	_Atomic uint16_t last_unknown;	      // VLAN id of the latest

	// Control thread.
	bool is_interface; // else a DPDK device
	// That polls it; every_worker: each its own share, as long as there are some.
	uint16_t worker;
	bool every_worker;
	int ifindex;	   // of the kernel interface, if there is one, while attached
	uint32_t mtu;	   // that it was last asked to have
	char reason[256];  // why it is not attached; "" when it is
	char warning[256]; // attached, but: the MTU
	bool closing;	   // the device that it had is in use for a moment still
	uint64_t next_ms;  // of the next attempt
	// When it was looked at last; while it has none, nothing is sent (DROP_NO_CARRIER).
	bool has_carrier;
	uint64_t look_ms;    // for it again
	uint32_t lost_looks; // without one, in a row
};

// The port_io of a provider network: it sends through `trunk` with this tag (TRUNK_UNTAGGED:
// none) and receives nothing by itself. It must not outlive the trunk's.
struct port_io *weft_uplink_io_new(struct port_io *trunk, uint16_t vlan);

static inline bool weft_trunk_is_polled_by(const struct trunk *t, uint16_t worker)
{
	const struct port_io *io = atomic_load(&t->io);

	return io != NULL && (t->every_worker ? worker < port_io_shares(io) : t->worker == worker);
}

// Who takes a burst of one port: weft_fast_burst.
typedef void (*burst_sink)(struct worker *w, uint16_t in_port, struct rte_mbuf **pkts, uint16_t n);

// One burst of the trunk, dealt out by networks; how many packets it was.
uint32_t weft_trunk_poll(struct worker *w, struct trunk *t, burst_sink carry);
