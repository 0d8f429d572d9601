// SPDX-License-Identifier: Apache-2.0
// Tap and host: take a VM's kernel interface away from the host's own network stack.
//
// A VM's frame that reached the host's stack would find it answering: ARP for the host's
// addresses, services that listen there, forwarding without any security group. So a filter at
// the interface's ingress drops every frame; packet sockets see it before that. The filter is a
// two-instruction BPF program or, where the kernel has no cls_bpf, matchall with a drop action,
// set by netlink without any tool.
//
// Threads    control thread
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/netlink.h"

struct tap_host {
	const char *ifname; // borrowed
	int ifindex;
	struct netlink netlink;
};

// Index and netlink socket; -ENODEV.
int weft_tap_host_init(struct tap_host *h, const char *ifname, struct err *err);
void weft_tap_host_fini(struct tap_host *h);

// Drop what comes in, stop IPv6 on the interface. Done again it changes nothing; nothing else
// undoes it, so that a VM does not meet the host while weftd is away. -ENOTSUP if the kernel has
// no way.
int weft_tap_host_isolate(struct tap_host *h, struct err *err);

// Up, with at least that MTU.
int weft_tap_host_up(struct tap_host *h, uint32_t mtu, struct err *err);
