// SPDX-License-Identifier: Apache-2.0
// Namespace: the place where VMs' connections to 169.254.169.254 end.
//
// A VM's TCP is ended by the kernel's, not by one of our own. For that there is a network
// namespace that nobody else sees: it has no name and lives as long as its descriptor and the
// sockets in it. A veth pair is its only interface: the one end has the address 169.254.169.254
// and is listened at, the other is the datapath's, which puts VMs' packets there, each port's
// with a source of its own out of 100.64.0.0/10. The way back to these is a route through one
// neighbour that is set for good, so there is no ARP, and a thousand VMs need no thousand
// entries.
//
// Making it wants CAP_SYS_ADMIN. The calling thread stays where it is: a thread of its own goes
// into the namespace, and ends.
//
// Threads    control thread
#pragma once

#include "base/addr.h"
#include "base/err.h"

#define METADATA_IFNAME "weft-metadata" // the datapath's end

struct metadata_netns {
	int fd;			     // of the namespace
	int listen_fd;		     // TCP, 169.254.169.254 port 80, in the namespace
	struct mac_addr here, there; // of the datapath's end, and of the one that listens
};

int weft_metadata_netns_open(struct metadata_netns *out, struct err *err);
