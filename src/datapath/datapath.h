// SPDX-License-Identifier: Apache-2.0
// Datapath: what carries the packets. One struct of hooks, implemented by native/, ovs/ and linux/.
//
// A datapath never fails open: what it does not understand is dropped and counted, and a port
// that cannot be filtered is not attached.
//
// Threads    one hook at a time (datapath/beat.h): tick by its own thread, others by the control
//            thread; workers run behind them
// Ownership  arguments are borrowed for the call
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/text.h"
#include "plan/plan.h"

struct event_base;
struct datapath;

// The MAC of what the node itself answers for (DHCP, metadata), the same on all networks, never
// on a wire.
#define DATAPATH_SERVICE_MAC                               \
	{                                                  \
		{                                          \
			0x02, 0x77, 0x65, 0x66, 0x74, 0x01 \
		}                                          \
	}

enum datapath_poll { DATAPATH_POLL_ADAPTIVE, DATAPATH_POLL_BUSY };
enum datapath_hugepages {
	DATAPATH_HUGEPAGES_AUTO,
	DATAPATH_HUGEPAGES_REQUIRE,
	DATAPATH_HUGEPAGES_OFF
};

// Idle time after which a session is forgotten, seconds.
struct datapath_timeouts {
	uint32_t tcp_opening;	  // SYN seen, handshake not complete (60)
	uint32_t tcp_established; // (432000, as Linux)
	uint32_t tcp_closing;	  // FIN or RST seen (30)
	uint32_t udp_unanswered;  // (30)
	uint32_t udp_answered;	  // (180)
	uint32_t icmp;		  // (30)
	uint32_t other;		  // (600)
};

// A physical network and what leads to it: a kernel interface's name, or a DPDK device's arguments.
struct datapath_physical {
	const char *name, *device;
};

// Every text that can be an interface's name is one; DPDK's are a bus address ("0000:03:00.0") or
// a driver's name ("net_af_packet0,iface=eth2").
static inline bool datapath_is_interface(const char *device)
{
	return strlen(device) < 16 && strpbrk(device, ":,/ ") == NULL &&
	       strncmp(device, "net_", 4) != 0;
}

struct datapath_config {
	const char *run_dir; // where vhost-user sockets are, by the port's vif_name
	// QEMU makes the sockets, the datapath connects; else the other way round.
	bool vhostuser_connect;
	gid_t vhostuser_group; // that may use the sockets it makes; -1: its own
	size_t n_physical;
	const struct datapath_physical *physical;
	uint16_t workers;
	const char *cores; // "", "0", "2-5", "1,3"
	enum datapath_poll poll;
	uint32_t idle_us; // longest sleep of an idle worker (100)
	// Of workers before everything else on their cores (SCHED_FIFO); 0: as everybody's.
	uint32_t priority;
	uint32_t tap_ring_kb; // memory where packets of a port's interface wait for a worker (128)
	uint32_t sessions;
	uint32_t port_share_percent;	// of the session table, for one port (25)
	uint32_t project_share_percent; // the same for all ports of a project together (50)
	enum datapath_hugepages hugepages;
	bool tcp_loose; // pick up connections in the middle (true)
	struct datapath_timeouts timeouts;
};

// The way to the node's metadata proxy: an interface in a network namespace of its own, and a TCP
// stack behind it that has 169.254.169.254.
struct datapath_metadata {
	int netns;	       // the namespace's descriptor
	const char *ifname;    // in it
	struct mac_addr here;  // Ethernet address of this interface
	struct mac_addr there; // of what is behind it
};

// How a port's attachment or life changed; called from tick. up: the driver of an attached
// vhost-user port is ready; down: it is not any more (reason: a sentence), but the port stays
// attached and may come up again.
typedef void (*datapath_port_event)(void *arg, const char *port_id, bool up, const char *reason);

typedef void (*datapath_complain)(void *arg, const char *sentence);

// Which packets of a port are watched: of flows between these ends, in either direction. What is 0
// is any.
struct datapath_end {
	struct ip_addr ip;
	bool has_port;
	uint16_t port;
};

struct datapath_filter {
	uint16_t ethertype;
	uint8_t protocol; // of IP; 1 is ICMPv6, too
	struct datapath_end ends[2];
};

enum datapath_show {
	DATAPATH_SHOW_PORTS, // id NULL = all: {"ports": [...]}; else one object
	DATAPATH_SHOW_NETWORKS,
	DATAPATH_SHOW_GROUPS,
	DATAPATH_SHOW_ROUTERS,
	DATAPATH_SHOW_FLOATING_IPS, // with their forwardings
	// Translated sessions, both tuples; id = port id or NULL; at most `limit`
	DATAPATH_SHOW_NAT,
	DATAPATH_SHOW_NEIGHBOURS, // next hops on provider networks: address, MAC, state, age
	DATAPATH_SHOW_UPLINKS,	  // devices of physical networks, and the networks on each
	DATAPATH_SHOW_SESSIONS,	  // id = port id or NULL; at most `limit`
	DATAPATH_SHOW_DROPS,	  // reasons with counts and sentences; recent samples
	DATAPATH_SHOW_WORKERS,
	DATAPATH_SHOW_POLICY, // id = port: what is compiled for it (weft explain)
};

struct datapath_ops {
	const char *name; // "native", "ovs", "linux"

	// What the configuration needs and this machine has not, one sentence each: all that can be
	// known without starting.
	void (*check)(const struct datapath_config *config, datapath_complain complain, void *arg);

	// Bring the datapath up with no ports. on_port (arg) is told of attachment changes
	// afterwards. -ERESTART: huge pages that were there are gone, and can only be done
	// without in a new process; not if they are required.
	int (*start)(const struct datapath_config *config, datapath_port_event on_port, void *arg,
		     struct datapath **out, struct err *err);

	// A batch is carried out in two steps, so that it can be stored in between. prepare: can
	// it be done? All that can fail is done here, and nothing of it is in force; on failure
	// err names the object and *refused is its place in the batch. Then either apply, with
	// the same batch: as a whole, and it cannot fail; or forget, and all is as before.
	int (*prepare)(struct datapath *dp, const struct plan_batch *batch, size_t *refused,
		       struct err *err);
	void (*apply)(struct datapath *dp, const struct plan_batch *batch);
	void (*forget)(struct datapath *dp);

	// The VIF of a port of the plan is there: attach it, filtered from its first packet on.
	// -ENOENT: no such port. A vhost-user port has its socket then and is up when on_port
	// says so. A failure is also kept as the port's reason in SHOW_PORTS until the next
	// attempt.
	int (*attach)(struct datapath *dp, const char *port_id, const char *ifname,
		      struct err *err);
	// The VIF went. What is for it is dropped, and its sessions stay until their time is over:
	// the VIF may come back (a VM that reboots, QEMU that restarts), and then its flows go on,
	// judged again. Unknown ports are ignored.
	void (*detach)(struct datapath *dp, const char *port_id);

	// From now on VMs' TCP to 169.254.169.254 port 80 goes to the metadata proxy, whatever
	// the network, and comes back; a sender's egress rules apply. Each port comes there with
	// a source address of its own out of 100.64.0.0/10. Nothing else leaves through the
	// interface, and nothing else that enters by it goes anywhere. Called at most once,
	// before the first batch; not called: such packets are refused. NULL: this datapath
	// cannot.
	int (*metadata_open)(struct datapath *dp, const struct datapath_metadata *way,
			     struct err *err);
	// That source address of a port of the plan, the same for the port's life; another port
	// gets it again as late as possible. -ENOENT: no such port.
	int (*metadata_source)(struct datapath *dp, const char *port_id, struct ip_addr *out);

	// A kernel interface of that name came, went or became another one: a physical network
	// may be on it.
	void (*interface_changed)(struct datapath *dp, const char *ifname);

	// Judge a frame as if the port had sent it; no side effects. *out (new reference):
	// {"port":…, "packet": "<text>", "verdict": "forward"|"drop"|"answer"|"flood",
	//  "reason": name, "sentence":…,
	//  "stages": [{"stage":…, "verdict":…, "detail":…, "rule": id or null}],
	//  "out_ports": [ids],
	//  "final": as it leaves, by each of out_ports:
	//      [{"port", "interface", "physical_network" and "vlan" (or null) of an uplink,
	//        "src_mac", "dst_mac", "ttl", "packet": text, "frame": hex, "fragments": bool}],
	//  "reply": null, or the same of the answer that its receiver would send, with its
	//      "frame"; "as_if": true and without stages: judged as if the packet's session,
	//      which is not there yet, were}
	int (*trace)(struct datapath *dp, const char *port_id, const uint8_t *frame, size_t len,
		     json_t **out, struct err *err);

	// End every session of a port, from it and to it: the next packet of each is judged as one
	// of a new flow. *n = how many. -ENOENT: no such port.
	int (*flush_sessions)(struct datapath *dp, const char *port_id, uint32_t *n,
			      struct err *err);

	// Counters as show has them begin at 0 again: those of one port, or, with NULL, of all
	// ports, drops and workers. Metrics go on. -ENOENT: no such port.
	int (*reset_counters)(struct datapath *dp, const char *port_id, struct err *err);

	// Watch real packets that a port sends and is sent, until unwatch, or until nobody reads
	// for a few seconds, or the port is gone. One watch at a time: -EBUSY. It is a sample,
	// bounded by time; *watch is its number. -ENOENT: no such port.
	int (*watch)(struct datapath *dp, const char *port_id, const struct datapath_filter *filter,
		     uint32_t *watch, struct err *err);
	// What was seen since the last time (new reference in *out): {"port", "matched": packets so
	// far, "missed": of them, those that are not told, "packets": oldest first [{"ago_us",
	// "direction": "from" or "to" the port, "packet": text as the port sent it or is sent it,
	// "length", "verdict": "forward"|"flood"|"answer"|"wait"|"consumed"|"drop", "reason" and
	// "sentence" of a drop, "session": null|"new"|"established"|"closing"|"refused", "first":
	// did it make the session, "in_port": id, null = the node itself or not known, "out_ports":
	// ids, "n_out": how many, "interface", "physical_network" and "vlan" of an uplink,
	// "leaves_as": text, "came_as": text; null = as it is; "egress_rule", "ingress_rule": ids
	// of those that permitted it}]}. -ENOENT: that watch has ended.
	int (*watched)(struct datapath *dp, uint32_t watch, json_t **out, struct err *err);
	void (*unwatch)(struct datapath *dp, uint32_t watch);

	// Operator's view as JSON (new reference in *out); -ENOENT for an unknown id.
	int (*show)(struct datapath *dp, enum datapath_show what, const char *id, size_t limit,
		    json_t **out, struct err *err);

	// Append metrics in Prometheus text format.
	void (*metrics)(struct datapath *dp, struct text *out);

	// Housekeeping, called about ten times a second: reclaim memory, watch workers.
	void (*tick)(struct datapath *dp);

	void (*stop)(struct datapath *dp); // stops workers, releases everything
};

extern const struct datapath_ops weft_native_ops;
