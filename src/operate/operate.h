// SPDX-License-Identifier: Apache-2.0
// Operate: the operator's side, behind the API's hooks: /weft/v1/..., /metrics and the list of
// agents.
//
// The datapath knows ids and packets, the model knows names; what is shown is both. Wherever a
// port is asked for, its id, its name or the beginning of its id will do.
//
//   GET  ports [?all=true]   {"ports": [PORT]}; this node's, or the cloud's
//   GET  ports/PORT          PORT: id, name, status, reason (why it is not ACTIVE), host, local,
//        network, network_name, project_id,
//                            mac, fixed_ips, vif, admin_up, port_security, trusted,
//                            security_groups [{id, name}], notes, and of
//                            local ports what the datapath shows: interface, attached, worker,
//                            sessions, counters, drops, kind, interface_counters, and of
//                            vhost-user ports guest {vhostuser_mode, queues, mtu, features,
//                            drivers, interrupts, mute, announced, announce_refused}
//   GET  networks            {"networks": [{id, name, project_id, mtu, ports, subnets [{id, name,
//        cidr, gateway, dhcp}]}]}; those in use here
//   GET  groups              {"groups": [{id, name, project_id, stateful, rules, ports}]}; those
//        in use here
//   GET  routers             {"routers": [{id, name, project_id, admin_up, interfaces [{port,
//        network, network_name, mac, addresses}],
//                            routes [{destination, nexthop}]}]}; those that ports of this node
//                            can reach
//   GET  neighbours          {"neighbours": [{network, network_name, address, mac, state, port,
//        heard_ms, since_ms, waiting}],
//                            "conflicts": [{network, network_name, address, mac, times,
//                            ago_ms}]}; next hops outside this node, and who out there says that
//                            he has an address of ours
//   GET  uplinks             {"uplinks": [{physical_network, device, attached, carrier, reason,
//        warning, mtu, counters, interface_counters,
//                            unknown_vlan_packets, last_unknown_vlan, networks [{network,
//                            network_name, vlan, mtu, sessions, counters, drops}]}]}
//   GET  sessions [?port=PORT&limit=N]   the datapath's, with in_port_name and out_port_name
//   GET  drops [?limit=N]    reasons with counts and sentences; samples with port_name
//   GET  workers             the datapath's, and "control": how late its ticks came, how much of
//        that they waited for the control thread, and
//                            how long its loop stood still, the longest of the last minute and
//                            since the start, {tick_us, tick_ever_us, held_us, held_ever_us,
//                            loop_us, loop_ever_us}
//   GET  metadata            does the metadata service run, and what it did: metadata.h,
//        weft_metadata_show
//   POST store-backup        {"file": path}; a copy of the state file, made now, in state_dir
//   GET  left-out            {"left_out": [{type, id, reason}]}; what is stored and has no effect
//   GET  log                 {"level": "info"}
//   POST log                 {"level": "debug"} -> the same; until the next reload or start
//   GET  ready               {"ready": true, version, host, datapath, ports, attached, objects,
//        start_ms}
//   GET  explain/PORT        {"port": PORT, "policy": what is compiled, with names and rules as
//        phrases, "neutron": {port, security_groups}}
//   POST trace               {"port": PORT or "uplink:NETWORK" (from outside), "packet": text
//                            (packet_text.h) | "frame": hex} -> the datapath's trace, with
//                            port_name, out_port_names and each stage's rule as a phrase
//                            (rule_text), in its "reply", too
//   POST flush-sessions      {"port": PORT or "uplink:NETWORK"} -> {port, port_name, "sessions":
//                            N}: so many were ended, from it and to it
//   POST reset-counters      {"port": PORT or "uplink:NETWORK", optional} -> {port, port_name} or
//                            {}: what "ports", "uplinks", "drops" and "workers" count begins at 0
//                            again; metrics go on
//   POST store-remove        {"type", "id"} -> the same: what is left out is deleted from the store
//   POST watch               {"port": PORT or "uplink:NETWORK", "filter": text (packet_filter.h),
//                            optional} -> {"watch": N, port, port_name}: real packets at the port
//                            from now on, until "unwatch", or until nobody asks for 3 s; one watch
//                            at a time
//   GET  watch/N             {port, matched, missed, packets: those since the last time
//                            (datapath.h), with in_port_name, out_port_names and the rules as
//                            phrases (egress_rule_text, ingress_rule_text)}
//   POST unwatch             {"watch": N} -> the same
//
// Errors     -ENOENT nothing there; -EINVAL the question is wrong
// Threads    one (the control thread)
#pragma once

#include <jansson.h>
#include <time.h>

#include "datapath/beat.h"
#include "vif/links.h"
#include "metadata/metadata.h"
#include "base/err.h"
#include "base/text.h"
#include "datapath/datapath.h"
#include "model/model.h"
#include "north/store/store.h"
#include "plan/planner.h"

struct operate {
	const char *host;
	struct model *model; // it forgets what was left out and is removed
	const struct planner *planner;
	const struct links *links;
	const struct datapath_ops *ops;
	struct datapath *datapath;
	const struct metadata *metadata; // may be NULL
	struct store *store;		 // may be NULL: there is nothing to copy
	time_t started;
	uint64_t start_ms;			       // how long the start took
	struct beat_late (*late)(struct datapath *dp); // may be NULL
};

// api_hooks.operate, .agents, .metrics; arg is a struct operate.
int weft_operate(void *arg, const char *method, const char *path, const json_t *query,
		 const json_t *body, json_t **out, struct err *err);
json_t *weft_operate_agents(void *arg);
void weft_operate_metrics(void *arg, struct text *out);

// The parts of it, a file each.
int weft_operate_port(const struct operate *op, const struct object *port, json_t **out,
		      struct err *err);
int weft_operate_explain(const struct operate *op, const struct object *port, json_t **out,
			 struct err *err);
int weft_operate_trace(const struct operate *op, const json_t *body, json_t **out, struct err *err);
// A port of this node by what a person writes, or "uplink:NETWORK": its id in the datapath.
int weft_operate_find(const struct operate *op, const char *what, const char **id, struct err *err);
int weft_operate_flush(const struct operate *op, const json_t *body, json_t **out, struct err *err);
int weft_operate_reset(const struct operate *op, const json_t *body, json_t **out, struct err *err);
int weft_operate_store_remove(const struct operate *op, const json_t *body, json_t **out,
			      struct err *err);
int weft_operate_watch(const struct operate *op, const json_t *body, json_t **out, struct err *err);
int weft_operate_watched(const struct operate *op, const char *number, json_t **out,
			 struct err *err);
int weft_operate_unwatch(const struct operate *op, const json_t *body, json_t **out,
			 struct err *err);
json_t *weft_operate_ready(const struct operate *op);
