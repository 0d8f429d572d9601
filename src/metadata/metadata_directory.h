// SPDX-License-Identifier: Apache-2.0
// Directory: who is behind an address that the metadata proxy sees.
//
// VMs of several tenants may have the same address, so the datapath gives each port a source of
// its own towards the proxy (datapath.h: metadata_source). The directory knows, for each such
// source, the port and what Neutron's metadata agent tells Nova of it. It is kept from plan
// batches, so a change costs its own size; the proxy's threads read copies.
//
// A VM is asked for by its router if the gateway of its subnet is a router's, else by its
// network: exactly one of the two, as Neutron's own proxies do it.
//
// Who asks is settled when a connection is accepted: `serial` names the port for its life and is
// never used again. A source that another port has by now does not have the same serial, so no
// request is ever taken for that port's.
//
// Threads    changes: the control thread; find: any
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "plan/plan.h"

struct metadata_who {
	uint64_t serial;
	char port_id[WEFT_ID_LEN + 1];
	char network_id[WEFT_ID_LEN + 1];
	char router_id[WEFT_ID_LEN + 1]; // "" = no router is its subnet's gateway
	char instance_id[256];		 // "" = the port belongs to nothing
	char project_id[256];
	char address[WEFT_IP_STRLEN]; // its first fixed IPv4; "" = none
};

// The datapath's word for a port's source; 0 or -errno.
typedef int (*metadata_source_fn)(void *arg, const char *port_id, struct ip_addr *out);

struct metadata_directory;

struct metadata_directory *weft_metadata_directory_new(metadata_source_fn source, void *arg);
void weft_metadata_directory_free(struct metadata_directory *d);

// A batch is in force.
void weft_metadata_directory_apply(struct metadata_directory *d, const struct plan_batch *batch);

// False: nobody has this source.
bool weft_metadata_directory_find(struct metadata_directory *d, struct in_addr source,
				  struct metadata_who *out);
// Has this port still this source? Cheaper than find.
bool weft_metadata_directory_has(struct metadata_directory *d, struct in_addr source,
				 uint64_t serial);
