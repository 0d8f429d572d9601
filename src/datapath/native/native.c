// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/native.h"

#include <errno.h>
#include <rte_cycles.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "datapath/native/outside/advertise.h"
#include "datapath/native/outside/announce.h"
#include "datapath/native/config_check.h"
#include "datapath/native/io/eal.h"
#include "datapath/native/metadata_port.h"
#include "datapath/native/worker/priority.h"
#include "datapath/native/outside/resolver.h"
#include "datapath/native/show/baseline.h"
#include "datapath/native/show/live_watch.h"
#include "datapath/native/show/show.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/io/tap/tap_host.h"
#include "datapath/native/io/tap/tap_ring.h"
#include "datapath/native/show/trace.h"
#include "datapath/native/uplink_device.h"
#include "datapath/native/wiring.h"
#include "datapath/native/carry/turn.h"

// How long a change waits for the workers to have seen it before it reports success.
#define SETTLE_US 2000
// How often ports are asked whether they lose packets.
#define RINGS_MS  1000

struct datapath { // what the hooks hand around
	struct native native;
};

static struct native *native_of(struct datapath *dp)
{
	return &dp->native;
}

// ---- Taking a port off its interface -------------------------------------------------------

static void io_close(void *object)
{
	struct port_io *io = object;

	io->ops->close(io);
}

static void take_off(struct native *dp, struct port *p, const char *reason)
{
	struct port_io *io = atomic_exchange_explicit(&p->io, NULL, memory_order_acq_rel);

	snprintf(p->reason, sizeof(p->reason), "%s", reason);
	if (io == NULL)
		return;
	if (p->baseline != NULL) // the next interface counts from 0
		p->baseline->io = (struct port_io_stats) {0};
	if (io->ops->leave != NULL)
		io->ops->leave(io);
	weft_native_io_gone(dp, io);
	p->told_up = false;
	weft_workers_set_ports(dp);
	weft_tables_bump(&dp->node, p->index);
	weft_vstore_retire(dp->node.vs, io, io_close);
}

static void port_gone(void *native, struct port *p)
{
	struct native *dp = native;

	take_off(dp, p, "the port is gone");
	weft_native_watch_port_gone(dp, p->index);
}

// ---- Start and stop ------------------------------------------------------------------------

static void stop(struct datapath *datapath)
{
	struct native *dp = native_of(datapath);

	atomic_store(&dp->node.stop, true);
	for (uint16_t i = 0; i < dp->n_workers; i++) {
		struct worker *w = dp->workers[i];

		dp->workers[i] = NULL;
		if (w != NULL)
			weft_worker_stop(w);
	}
	for (uint32_t i = 0; i < NATIVE_MAX_PORTS; i++) {
		struct port *p = native_port(&dp->node, (uint16_t)i);
		struct port_io *io = p == NULL ? NULL : atomic_exchange(&p->io, NULL);

		if (io != NULL)
			io->ops->close(io);
	}
	weft_priority_finish(&dp->node);
	weft_wiring_free(dp);
	if (dp->node.vs != NULL)
		weft_vstore_free(dp->node.vs);
	if (dp->node.sessions != NULL)
		weft_sessions_free(dp->node.sessions);
	weft_trunks_free(dp);
	free(dp->node.qsbr);
	weft_tap_finish();
	rte_mempool_free(dp->node.pool);
	weft_eal_stop();
	free(datapath);
}

static int make_qsbr(struct native *dp, struct err *err)
{
	size_t size = rte_rcu_qsbr_get_memsize(NATIVE_MAX_WORKERS);

	dp->node.qsbr = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_CACHE_LINE_ROUNDUP(size));
	if (dp->node.qsbr == NULL || rte_rcu_qsbr_init(dp->node.qsbr, NATIVE_MAX_WORKERS) != 0)
		return weft_fail(err, -ENOMEM, "datapath: out of memory");
	return 0;
}

static int make_sessions(struct native *dp, struct err *err)
{
	struct session_config c = {
		.connections = dp->node.config.sessions,
		.port_share_percent = dp->node.config.port_share_percent,
		.project_share_percent = dp->node.config.project_share_percent,
		.max_ports = NATIVE_MAX_PORTS,
		.huge = dp->huge,
		.tcp_loose = dp->node.config.tcp_loose,
		.timeouts = dp->node.config.timeouts,
		.qsbr = dp->node.qsbr,
	};

	return weft_sessions_new(&c, &dp->node.sessions, err);
}

static int start_workers(struct native *dp, struct err *err)
{
	int cores[NATIVE_MAX_WORKERS];
	int ret;

	if (dp->node.config.workers == 0 || dp->node.config.workers > NATIVE_MAX_WORKERS)
		return weft_fail(err, -EINVAL, "datapath: workers = %u, allowed is 1 to %d",
				 dp->node.config.workers, NATIVE_MAX_WORKERS);
	ret = weft_eal_cores(dp->node.config.cores, dp->node.config.workers, cores, err);
	if (ret == 0)
		weft_priority_prepare(&dp->node, cores, dp->node.config.workers);
	for (uint16_t i = 0; ret == 0 && i < dp->node.config.workers; i++) {
		ret = weft_worker_new(&dp->node, i, cores[i], &dp->workers[i], err);
		if (ret != 0)
			break;
		dp->n_workers++;
	}
	// All of them are there before one runs: who is alone in the session table takes no care of
	// others.
	for (uint16_t i = 0; ret == 0 && i < dp->n_workers; i++)
		ret = weft_worker_start(dp->workers[i], err);
	return ret;
}

static int start(const struct datapath_config *config, datapath_port_event on_port, void *arg,
		 struct datapath **out, struct err *err)
{
	struct datapath *datapath = calloc(1, sizeof(*datapath));
	struct native *dp;
	int ret;

	if (datapath == NULL)
		return weft_fail(err, -ENOMEM, "datapath: out of memory");
	dp = native_of(datapath);
	dp->node.config = *config;
	dp->on_port = on_port;
	dp->on_port_arg = arg;
	weft_tap_ring_size(config->tap_ring_kb);
	ret = weft_eal_start(config, &dp->huge, err);
	if (ret != 0) {
		free(datapath);
		return ret;
	}
	dp->node.tsc_hz = rte_get_tsc_hz();
	dp->node.tsc_start = rte_rdtsc();
	ret = weft_eal_pool(config, &dp->node.pool, err);
	if (ret == 0)
		ret = make_qsbr(dp, err);
	if (ret == 0)
		ret = make_sessions(dp, err);
	if (ret == 0) {
		dp->node.vs = weft_vstore_new(dp->node.qsbr);
		weft_wiring_new(dp, port_gone);
		ret = weft_trunks_new(dp, config, err);
	}
	if (ret == 0)
		ret = start_workers(dp, err);
	if (ret != 0) {
		stop(datapath);
		return ret;
	}
	*out = datapath;
	return 0;
}

// ---- Changes -------------------------------------------------------------------------------

// Wait a moment until every worker has passed a quiescent point: then no packet is judged by the
// old policy any more when the change is answered. A worker that the system keeps from running is
// not waited for: it will see the new policy when it runs.
static void settle(struct native *dp)
{
	uint64_t token = rte_rcu_qsbr_start(dp->node.qsbr);
	uint64_t end = rte_rdtsc() + dp->node.tsc_hz / 1000000 * SETTLE_US;

	while (rte_rcu_qsbr_check(dp->node.qsbr, token, false) == 0 && rte_rdtsc() < end)
		rte_pause();
	weft_vstore_reclaim(dp->node.vs);
}

static void detach(struct datapath *datapath, const char *port_id)
{
	struct native *dp = native_of(datapath);
	struct port *p = weft_tables_port(dp->tables, port_id);

	if (p == NULL)
		return;
	take_off(dp, p, "its interface went away");
	settle(dp);
}

// A network's MTU grew: so must its ports' interfaces, or the kernel refuses what they are sent.
static void fit_interface(struct port *p, const struct plan_port *plan, void *arg)
{
	const struct plan_network *net = arg;
	struct tap_host host = {.ifname = p->ifname};
	struct err err;

	if (plan->vif == PLAN_VIF_TAP && strcmp(plan->network_id, net->id) == 0 &&
	    atomic_load(&p->io) != NULL && weft_tap_host_up(&host, net->mtu, &err) != 0)
		weft_log_warning("port %s: %s", p->id, err.msg);
}

static int prepare(struct datapath *datapath, const struct plan_batch *batch, size_t *refused,
		   struct err *err)
{
	return weft_tables_prepare(native_of(datapath)->tables, batch, refused, err);
}

static void forget(struct datapath *datapath)
{
	weft_tables_forget(native_of(datapath)->tables);
}

static void apply(struct datapath *datapath, const struct plan_batch *batch)
{
	struct native *dp = native_of(datapath);
	bool networks = false;

	weft_tables_apply(dp->tables, batch);
	for (size_t i = 0; i < batch->n; i++) {
		if (batch->changes[i].kind != PLAN_NETWORK)
			continue;
		networks = true;
		if (batch->changes[i].op == PLAN_PUT)
			weft_tables_each_port(dp->tables, fit_interface, batch->changes[i].network);
	}
	if (networks)
		weft_trunks_sync(dp);
	weft_announce_batch(&dp->node, batch);
	settle(dp);
}

static int open_io(struct native *dp, const struct port_policy *policy, const char *ifname,
		   uint32_t mtu, struct port_io **io, struct err *err)
{
	const struct datapath_config *c = &dp->node.config;
	char path[4096];

	if (policy->plan->vif == PLAN_VIF_TAP)
		return weft_tap_open(ifname, mtu, dp->node.pool, io, err);
	snprintf(path, sizeof(path), "%s/%s", c->run_dir, ifname);
	return weft_vhost_open(path, !c->vhostuser_connect, c->vhostuser_group, dp->n_workers,
			       dp->node.pool, io, err);
}

static int attach(struct datapath *datapath, const char *port_id, const char *ifname,
		  struct err *err)
{
	struct native *dp = native_of(datapath);
	struct port *p = weft_tables_port(dp->tables, port_id);
	const struct port_policy *policy;
	const struct network *net;
	struct port_io *io;
	int ret;

	if (p == NULL)
		return weft_fail(err, -ENOENT, "port %s: not on this node", port_id);
	policy = weft_vslot_value(p->policy, weft_vstore_epoch(dp->node.vs));
	net = policy == NULL ? NULL
			     : weft_vslot_value(policy->network, weft_vstore_epoch(dp->node.vs));
	if (net == NULL) {
		ret = weft_fail(err, -ENOENT, "port %s: its network is not known yet", port_id);
	} else {
		take_off(dp, p, "being attached again");
		ret = open_io(dp, policy, ifname, net->mtu, &io, err);
	}
	if (ret != 0) {
		snprintf(p->reason, sizeof(p->reason), "%.*s", (int)sizeof(p->reason) - 1,
			 err == NULL ? "" : err->msg);
		return ret;
	}
	snprintf(p->ifname, sizeof(p->ifname), "%s", ifname);
	p->reason[0] = '\0';
	atomic_store_explicit(&p->io, io, memory_order_release);
	weft_workers_set_ports(dp);
	weft_advertise_port(dp->advertiser, p->index);
	weft_vstore_reclaim(dp->node.vs);
	return 0;
}

// Drivers come and go, and QEMU asks, on a thread of their own (vhost_loop.c); here it is told.
static void tell_up(struct port *p, const struct plan_port *plan, void *arg)
{
	struct native *dp = arg;
	struct port_io *io = atomic_load(&p->io);
	bool up = io != NULL && atomic_load(&io->up);
	struct mac_addr mac;

	if (plan->vif != PLAN_VIF_VHOSTUSER || io == NULL)
		return;
	if (io->ops->announce != NULL && io->ops->announce(io, &mac))
		weft_announce_vm(&dp->node, p, &mac);
	if (up == p->told_up)
		return;
	p->told_up = up;
	if (dp->on_port != NULL)
		dp->on_port(dp->on_port_arg, p->id, up, up ? NULL : "the VM's driver is gone");
}

// Most ports are idle: only one that loses packets has a long ring.
static void lengthen_ring(struct port *p, const struct plan_port *plan, void *arg)
{
	struct native *dp = arg;
	struct port_io *io = atomic_load(&p->io), *longer;
	int ret;

	(void)plan;
	if (io == NULL || !weft_tap_is_short(io))
		return;
	ret = weft_tap_longer(io, &longer);
	if (ret < 0) {
		weft_log_warning("port %s: it loses packets, and has no longer ring: %s", p->id,
				 strerror(-ret));
		return;
	}
	atomic_store_explicit(&p->io, longer, memory_order_release);
	weft_vstore_retire(dp->node.vs, io, io_close);
	ret = weft_tap_join(longer);
	if (ret < 0) // the interface has gone, and will be told of
		weft_log_warning("port %s: %s: %s", p->id, p->ifname, strerror(-ret));
	else
		weft_log_info("port %s: it lost packets: its ring is longer now", p->id);
}

static void interface_changed(struct datapath *datapath, const char *ifname)
{
	weft_trunks_interface_changed(native_of(datapath), ifname);
}

static void tick(struct datapath *datapath)
{
	struct native *dp = native_of(datapath);
	uint32_t changes = weft_vhost_changes();

	if (changes != dp->vhost_seen) {
		dp->vhost_seen = changes;
		weft_workers_set_ports(dp);
		weft_tables_each_port(dp->tables, tell_up, dp);
	}
	if (native_now_ms(&dp->node) - dp->rings_seen_ms >= RINGS_MS) {
		dp->rings_seen_ms = native_now_ms(&dp->node);
		weft_session_flush_forget(dp->node.sessions, native_now_ms(&dp->node));
		weft_tables_each_port(dp->tables, lengthen_ring, dp);
	}
	weft_trunks_tick(dp);
	weft_advertiser_tick(dp->advertiser, native_now_ms(&dp->node));
	weft_resolver_tick(dp->node.resolver, native_now_ms(&dp->node));
	weft_announcer_tick(dp->node.announcer, native_now_ms(&dp->node));
	weft_native_watch_tick(dp);
	weft_vstore_reclaim(dp->node.vs);
}

// ---- Metadata ------------------------------------------------------------------------------

static int metadata_open(struct datapath *datapath, const struct datapath_metadata *way,
			 struct err *err)
{
	return weft_metadata_open(native_of(datapath), way, err);
}

static int metadata_source(struct datapath *datapath, const char *port_id, struct ip_addr *out)
{
	const struct port *p = weft_tables_port(native_of(datapath)->tables, port_id);

	if (p == NULL)
		return -ENOENT;
	*out = (struct ip_addr) {.family = 4};
	memcpy(out->b, &p->metadata_source, 4);
	return 0;
}

// ---- Views ---------------------------------------------------------------------------------

static int trace(struct datapath *datapath, const char *port_id, const uint8_t *frame, size_t len,
		 json_t **out, struct err *err)
{
	return weft_native_trace(native_of(datapath), port_id, frame, len, out, err);
}

static int show(struct datapath *datapath, enum datapath_show what, const char *id, size_t limit,
		json_t **out, struct err *err)
{
	return weft_native_show(native_of(datapath), what, id, limit, out, err);
}

static int watch(struct datapath *datapath, const char *port_id,
		 const struct datapath_filter *filter, uint32_t *number, struct err *err)
{
	return weft_native_watch(native_of(datapath), port_id, filter, number, err);
}

static int watched(struct datapath *datapath, uint32_t number, json_t **out, struct err *err)
{
	return weft_native_watched(native_of(datapath), number, out, err);
}

static void unwatch(struct datapath *datapath, uint32_t number)
{
	weft_native_unwatch(native_of(datapath), number);
}

// The stamp is the time after the change of the generation, so whoever carried a packet by the old
// one did it before; until it is known, all are older.
static int flush_sessions(struct datapath *datapath, const char *port_id, uint32_t *n,
			  struct err *err)
{
	struct native *dp = native_of(datapath);
	const struct port *p = weft_tables_port(dp->tables, port_id);

	if (p == NULL)
		return weft_fail(err, -ENOENT, "port %s: not on this node", port_id);
	*n = weft_native_count_sessions(dp, p);
	weft_session_port_flush(dp->node.sessions, p->index,
				native_now_ms(&dp->node) + INT32_MAX / 2);
	weft_tables_bump(&dp->node, p->index);
	weft_session_port_flush(dp->node.sessions, p->index, native_now_ms(&dp->node));
	settle(dp);
	return 0;
}

static int reset_counters(struct datapath *datapath, const char *port_id, struct err *err)
{
	return weft_native_reset_counters(native_of(datapath), port_id, err);
}

static void metrics(struct datapath *datapath, struct text *out)
{
	weft_native_metrics(native_of(datapath), out);
}

const struct datapath_ops weft_native_ops = {
	.name = "native",
	.check = weft_native_check,
	.start = start,
	.prepare = prepare,
	.apply = apply,
	.forget = forget,
	.attach = attach,
	.detach = detach,
	.interface_changed = interface_changed,
	.metadata_open = metadata_open,
	.metadata_source = metadata_source,
	.trace = trace,
	.flush_sessions = flush_sessions,
	.reset_counters = reset_counters,
	.watch = watch,
	.watched = watched,
	.unwatch = unwatch,
	.show = show,
	.metrics = metrics,
	.tick = tick,
	.stop = stop,
};
