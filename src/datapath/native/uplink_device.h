// SPDX-License-Identifier: Apache-2.0
// Devices of physical networks, as they come and go; which network is on which VLAN.
//
// Threads    control
#pragma once

#include "datapath/native/native.h"
#include "datapath/native/outside/uplink.h"

// A trunk for each physical network of the configuration, without their devices.
int weft_trunks_new(struct native *dp, const struct datapath_config *config, struct err *err);
int weft_trunk_add(struct native *dp, const char *name, const char *device, struct err *err);
void weft_trunks_free(struct native *dp); // workers must have stopped; closes the devices

// NULL = the configuration has no such physical network.
struct trunk *weft_trunk_find(const struct native *dp, const char *name);

// Open the devices that are missing and due; called about ten times a second.
void weft_trunks_tick(struct native *dp);
// An interface of this name came, went or was replaced.
void weft_trunks_interface_changed(struct native *dp, const char *ifname);
// The plan's networks changed: VLANs, MTUs and uplink ports follow.
void weft_trunks_sync(struct native *dp);

// A kernel interface's carrier, or a DPDK port's link. What a device does not tell is thought to
// be there.
bool weft_trunk_has_carrier(const struct trunk *t);
