// SPDX-License-Identifier: Apache-2.0
// The control thread's side of trunks: devices that come and go, and which network is on which VLAN.
#include "datapath/native/uplink.h"

#include <errno.h>
#include <net/if.h>
#include <rte_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "datapath/native/tables.h"
#include "datapath/native/tap_host.h"
#include "datapath/native/worker.h"

#define RETRY_MS    2000
#define MTU_DEFAULT 1500 // of a trunk that no network is on yet

// ---- Life ------------------------------------------------------------------------------------------

int weft_trunk_add(struct native *dp, const char *name, const char *device, struct err *err)
{
	struct trunk *t = calloc(1, sizeof(*t));

	if (t == NULL)
		abort();
	if (dp->n_trunks == NATIVE_MAX_TRUNKS || strlen(name) >= sizeof(t->name) ||
	    strlen(device) >= sizeof(t->device)) {
		free(t);
		return weft_fail(err, -EINVAL,
				 "physical network %s: there are too many (%d), or its name or "
				 "device is too long",
				 name, NATIVE_MAX_TRUNKS);
	}
	strcpy(t->name, name);
	strcpy(t->device, device);
	strcpy(t->reason, "it has not been opened yet");
	for (size_t i = 0; i < RTE_DIM(t->port); i++)
		atomic_init(&t->port[i], NATIVE_NO_PORT);
	atomic_init(&t->last_unknown, NATIVE_NO_PORT);
	dp->trunks[dp->n_trunks++] = t;
	return 0;
}

int weft_trunks_new(struct native *dp, const struct datapath_config *config, struct err *err)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < config->n_physical; i++)
		ret = weft_trunk_add(dp, config->physical[i].name, config->physical[i].device, err);
	for (uint16_t i = 0; ret == 0 && i < dp->n_trunks; i++)
		dp->trunks[i]->worker = (uint16_t)(i % config->workers);
	return ret;
}

void weft_trunks_free(struct native *dp)
{
	for (uint16_t i = 0; i < dp->n_trunks; i++) {
		struct trunk *t = dp->trunks[i];
		struct port_io *io = atomic_exchange(&t->io, NULL);

		if (io != NULL)
			io->ops->close(io);
		free(t);
	}
	dp->n_trunks = 0;
}

struct trunk *weft_trunk_find(const struct native *dp, const char *name)
{
	for (uint16_t i = 0; name[0] != '\0' && i < dp->n_trunks; i++)
		if (strcmp(dp->trunks[i]->name, name) == 0)
			return dp->trunks[i];
	return NULL;
}

// ---- Uplink ports ----------------------------------------------------------------------------------

static void io_close(void *object)
{
	struct port_io *io = object;

	io->ops->close(io);
}

static void attach_uplink(struct port *p, struct trunk *trunk, uint16_t vlan)
{
	struct port_io *io = atomic_load(&trunk->io);

	if (io == NULL || atomic_load(&p->io) != NULL)
		return;
	p->reason[0] = '\0';
	snprintf(p->ifname, sizeof(p->ifname), "%.60s", trunk->device);
	atomic_store_explicit(&p->io, weft_uplink_io_new(io, vlan), memory_order_release);
}

static void detach_uplink(struct native *dp, struct port *p, const char *reason)
{
	struct port_io *io = atomic_exchange_explicit(&p->io, NULL, memory_order_acq_rel);

	snprintf(p->reason, sizeof(p->reason), "%s", reason);
	if (io == NULL)
		return;
	weft_tables_bump(dp, p->index);
	weft_vstore_retire(dp->vs, io, io_close);
}

struct visit { // of the uplinks of one trunk
	struct native *dp;
	struct trunk *trunk;
	uint32_t mtu;
	uint16_t port[TRUNK_VLANS];
};

static void visit_attach(struct port *p, struct trunk *trunk, uint16_t vlan, void *arg)
{
	struct visit *v = arg;

	if (trunk == v->trunk)
		attach_uplink(p, trunk, vlan);
}

static void visit_detach(struct port *p, struct trunk *trunk, uint16_t vlan, void *arg)
{
	struct visit *v = arg;

	(void)vlan;
	if (trunk == v->trunk)
		detach_uplink(v->dp, p, trunk->reason);
}

static void visit_network(struct port *p, struct trunk *trunk, uint16_t vlan, void *arg)
{
	struct visit *v = arg;

	if (trunk != v->trunk)
		return;
	v->port[vlan] = p->index;
	v->mtu = RTE_MAX(v->mtu, atomic_load(&v->dp->mtu[p->index]));
}

static struct visit look_at(struct native *dp, struct trunk *t)
{
	struct visit v = {.dp = dp, .trunk = t};

	memset(v.port, 0xff, sizeof(v.port)); // NATIVE_NO_PORT
	weft_tables_each_uplink(dp->tables, visit_network, &v);
	return v;
}

// ---- The device ------------------------------------------------------------------------------------

// Sets what is polled anew, whoever polls it.
static void workers_changed(struct native *dp)
{
	for (uint16_t i = 0; i < dp->n_workers; i++)
		weft_worker_set_ports(dp, dp->workers[i]);
}

static void close_device(struct native *dp, struct trunk *t, const char *why)
{
	struct visit v = {.dp = dp, .trunk = t};
	struct port_io *io = atomic_exchange_explicit(&t->io, NULL, memory_order_acq_rel);

	snprintf(t->reason, sizeof(t->reason), "%s", why);
	t->next_ms = 0;
	t->ifindex = 0;
	if (io == NULL)
		return;
	weft_log_warning("physical network %s: device %s: %s", t->name, t->device, why);
	workers_changed(dp);
	weft_tables_each_uplink(dp->tables, visit_detach, &v);
	weft_vstore_retire(dp->vs, io, io_close);
}

// The networks' packets must fit. Tags do not count: neither for the kernel nor for DPDK's drivers.
static void fit_mtu(struct trunk *t, uint32_t mtu)
{
	struct tap_host host = {.ifname = t->device};
	struct err err;

	if (mtu <= t->mtu)
		return;
	t->warning[0] = '\0';
	if (weft_tap_host_up(&host, mtu, &err) != 0) {
		weft_log_warning("physical network %s: %s", t->name, err.msg);
		snprintf(t->warning, sizeof(t->warning), "%.*s", (int)sizeof(t->warning) - 1,
			 err.msg);
	}
	t->mtu = mtu;
}

static int open_interface(struct native *dp, struct trunk *t, uint32_t mtu, struct port_io **io,
			  struct err *err)
{
	int ifindex = (int)if_nametoindex(t->device);
	int ret = weft_tap_open_trunk(t->device, mtu, dp->pool, io, err);

	if (ret != 0)
		return ret;
	t->ifindex = ifindex;
	t->mtu = 0;
	// If it refuses that, smaller packets still pass.
	fit_mtu(t, mtu);
	return 0;
}

static void open_device(struct native *dp, struct trunk *t)
{
	struct visit v = look_at(dp, t);
	struct err err = {0};
	struct port_io *io;
	int ret = open_interface(dp, t, RTE_MAX(v.mtu, (uint32_t)MTU_DEFAULT), &io, &err);

	t->next_ms = weft_now_ms() + RETRY_MS;
	if (ret != 0) {
		if (strncmp(t->reason, err.msg, sizeof(t->reason) - 1) != 0)
			weft_log_warning("physical network %s: %s", t->name, err.msg);
		snprintf(t->reason, sizeof(t->reason), "%.*s", (int)sizeof(t->reason) - 1, err.msg);
		return;
	}
	t->reason[0] = '\0';
	atomic_store_explicit(&t->io, io, memory_order_release);
	workers_changed(dp);
	weft_tables_each_uplink(dp->tables, visit_attach, &v);
	weft_log_info("physical network %s: device %s is attached", t->name, t->device);
}

void weft_trunks_tick(struct native *dp)
{
	uint64_t now = weft_now_ms();

	for (uint16_t i = 0; i < dp->n_trunks; i++) {
		struct trunk *t = dp->trunks[i];

		if (atomic_load(&t->io) == NULL && now >= t->next_ms)
			open_device(dp, t);
	}
}

void weft_trunks_interface_changed(struct native *dp, const char *ifname)
{
	for (uint16_t i = 0; i < dp->n_trunks; i++) {
		struct trunk *t = dp->trunks[i];
		int ifindex = (int)if_nametoindex(ifname);

		if (strcmp(t->device, ifname) != 0)
			continue;
		if (atomic_load(&t->io) != NULL && t->ifindex != ifindex)
			close_device(dp, t, "the interface went away");
		if (atomic_load(&t->io) == NULL)
			open_device(dp, t);
	}
}

void weft_trunks_sync(struct native *dp)
{
	for (uint16_t i = 0; i < dp->n_trunks; i++) {
		struct trunk *t = dp->trunks[i];
		struct visit v = look_at(dp, t);

		for (uint32_t k = 0; k < TRUNK_VLANS; k++)
			if (atomic_load_explicit(&t->port[k], memory_order_relaxed) != v.port[k])
				atomic_store_explicit(&t->port[k], v.port[k], memory_order_release);
		if (atomic_load(&t->io) != NULL)
			fit_mtu(t, v.mtu);
		weft_tables_each_uplink(dp->tables, visit_attach, &v);
	}
}

bool weft_trunk_has_carrier(const struct trunk *t)
{
	struct ifreq ifr = {0};
	int fd;
	bool on;

	if (atomic_load(&t->io) == NULL)
		return false;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%.15s", t->device);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	on = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &ifr) == 0 && (ifr.ifr_flags & IFF_RUNNING) != 0;
	if (fd >= 0)
		close(fd);
	return on;
}
