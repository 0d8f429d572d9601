// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/uplink_device.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <rte_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "datapath/native/outside/announce.h"
#include "datapath/native/io/ethdev/ethdev_io.h"
#include "datapath/native/show/show.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/io/tap/tap_host.h"

#define RETRY_MS    2000
#define CARRIER_MS  100
#define CARRIER_LOG 10 // looks without one until the log tells: a new device's comes a moment later
#define MTU_DEFAULT 1500 // of a trunk that no network is on yet

// ---- Life ----------------------------------------------------------------------------------

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
	t->is_interface = datapath_is_interface(device);
	t->every_worker = !t->is_interface;
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

// ---- Uplink ports --------------------------------------------------------------------------

static void io_close(void *object)
{
	struct port_io *io = object;

	io->ops->close(io);
}

static void announce(struct native *dp, const struct port *p)
{
	const struct port_policy *policy =
		native_policy(&dp->node, p->index, weft_vstore_epoch(dp->node.vs));

	if (policy != NULL)
		weft_announce_network(&dp->node, policy->network_index);
}

static void attach_uplink(struct native *dp, struct port *p, struct trunk *trunk, uint16_t vlan)
{
	struct port_io *io = atomic_load(&trunk->io);

	if (io == NULL || atomic_load(&p->io) != NULL)
		return;
	p->reason[0] = '\0';
	snprintf(p->ifname, sizeof(p->ifname), "%.60s", trunk->device);
	io = weft_uplink_io_new(io, vlan);
	atomic_init(&io->up, trunk->has_carrier);
	atomic_store_explicit(&p->io, io, memory_order_release);
	announce(dp, p);
}

static void detach_uplink(struct native *dp, struct port *p, const char *reason)
{
	struct port_io *io = atomic_exchange_explicit(&p->io, NULL, memory_order_acq_rel);

	snprintf(p->reason, sizeof(p->reason), "%s", reason);
	if (io == NULL)
		return;
	weft_tables_bump(&dp->node, p->index);
	weft_vstore_retire(dp->node.vs, io, io_close);
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
		attach_uplink(v->dp, p, trunk, vlan);
}

static void visit_announce(struct port *p, struct trunk *trunk, uint16_t vlan, void *arg)
{
	const struct visit *v = arg;

	(void)vlan;
	if (trunk == v->trunk)
		announce(v->dp, p);
}

static void visit_carrier(struct port *p, struct trunk *trunk, uint16_t vlan, void *arg)
{
	const struct visit *v = arg;
	struct port_io *io = atomic_load(&p->io);

	(void)vlan;
	if (trunk == v->trunk && io != NULL)
		atomic_store(&io->up, trunk->has_carrier);
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
	v->mtu = RTE_MAX(v->mtu, atomic_load(&v->dp->node.mtu[p->index]));
}

static struct visit look_at(struct native *dp, struct trunk *t)
{
	struct visit v = {.dp = dp, .trunk = t};

	memset(v.port, 0xff, sizeof(v.port)); // NATIVE_NO_PORT
	weft_tables_each_uplink(dp->tables, visit_network, &v);
	return v;
}

// ---- The device ----------------------------------------------------------------------------

struct closing {
	struct trunk *trunk;
	struct port_io *io;
};

static void device_closed(void *object)
{
	struct closing *c = object;

	c->io->ops->close(c->io);
	c->trunk->closing = false;
	free(c);
}

static void close_device(struct native *dp, struct trunk *t, const char *why)
{
	struct visit v = {.dp = dp, .trunk = t};
	struct port_io *io = atomic_exchange_explicit(&t->io, NULL, memory_order_acq_rel);
	struct closing *c;

	snprintf(t->reason, sizeof(t->reason), "%s", why);
	t->next_ms = 0;
	t->ifindex = 0;
	if (io == NULL)
		return;
	weft_log_warning("physical network %s: %s", t->name, why);
	weft_native_io_gone(dp, io);
	weft_workers_set_ports(dp);
	weft_tables_each_uplink(dp->tables, visit_detach, &v);
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		abort();
	*c = (struct closing) {t, io};
	t->closing = true;
	weft_vstore_retire(dp->node.vs, c, device_closed);
}

static void warn(struct trunk *t, const char *what)
{
	if (strncmp(t->warning, what, sizeof(t->warning) - 1) != 0)
		weft_log_warning("physical network %s: %s", t->name, what);
	snprintf(t->warning, sizeof(t->warning), "%.*s", (int)sizeof(t->warning) - 1, what);
}

// The interface of the trunk: the device itself, or the one that a virtual DPDK device works on.
// False: none.
static bool interface_of(const struct trunk *t, char name[IFNAMSIZ])
{
	if (!t->is_interface)
		return weft_ethdev_interface(t->device, name);
	snprintf(name, IFNAMSIZ, "%.*s", IFNAMSIZ - 1, t->device);
	return true;
}

// The networks' packets must fit. Tags do not count: neither for the kernel nor for DPDK's
// drivers. An interface that refuses still carries smaller ones.
static void fit_interface(struct trunk *t, const char *name, uint32_t mtu)
{
	struct tap_host host = {.ifname = name};
	struct err err;

	t->warning[0] = '\0';
	if (weft_tap_host_up(&host, mtu, &err) != 0)
		warn(t, err.msg);
	t->mtu = mtu;
}

static int open_interface(struct native *dp, struct trunk *t, uint32_t mtu, struct port_io **io,
			  struct err *err)
{
	int ret = weft_tap_open_trunk(t->device, mtu, dp->node.pool, io, err);

	if (ret == 0)
		fit_interface(t, t->device, mtu);
	return ret;
}

// An interface below DPDK is taken from the host like any other. Missing, it is not even tried:
// DPDK would complain at length.
static int prepare_below(struct trunk *t, const char *name, uint32_t mtu, struct err *err)
{
	struct tap_host host;
	int ret = weft_tap_host_init(&host, name, err);

	if (ret != 0)
		return ret;
	ret = weft_tap_host_isolate(&host, err);
	weft_tap_host_fini(&host);
	if (ret == 0)
		fit_interface(t, name, mtu);
	return ret;
}

static int open_dpdk(struct native *dp, struct trunk *t, uint32_t wanted, struct port_io **io,
		     struct err *err)
{
	char name[IFNAMSIZ], text[128];
	uint32_t mtu = wanted;
	int ret = 0;

	t->warning[0] = '\0';
	if (interface_of(t, name))
		ret = prepare_below(t, name, wanted, err);
	if (ret == 0)
		ret = weft_ethdev_open(t->device, dp->n_workers, &mtu, dp->node.pool, io, err);
	if (ret != 0)
		return ret;
	if (mtu < wanted) {
		snprintf(text, sizeof(text), "the device takes an MTU of %u, not the networks' %u",
			 mtu, wanted);
		warn(t, text);
	}
	t->mtu = wanted;
	return 0;
}

static void open_device(struct native *dp, struct trunk *t)
{
	struct visit v = look_at(dp, t);
	uint32_t mtu = RTE_MAX(v.mtu, (uint32_t)MTU_DEFAULT);
	char name[IFNAMSIZ];
	// Should it be replaced meanwhile, we are told, and the index differs.
	int ifindex = interface_of(t, name) ? (int)if_nametoindex(name) : 0;
	struct err err = {0};
	struct port_io *io;
	int ret = t->is_interface ? open_interface(dp, t, mtu, &io, &err)
				  : open_dpdk(dp, t, mtu, &io, &err);

	t->next_ms = weft_now_ms() + RETRY_MS;
	if (ret != 0) {
		if (strncmp(t->reason, err.msg, sizeof(t->reason) - 1) != 0)
			weft_log_warning("physical network %s: %s", t->name, err.msg);
		snprintf(t->reason, sizeof(t->reason), "%.*s", (int)sizeof(t->reason) - 1, err.msg);
		return;
	}
	t->reason[0] = '\0';
	t->ifindex = ifindex;
	atomic_store_explicit(&t->io, io, memory_order_release);
	t->has_carrier = weft_trunk_has_carrier(t);
	t->lost_looks = 0;
	weft_workers_set_ports(dp);
	weft_tables_each_uplink(dp->tables, visit_attach, &v);
	weft_log_info("physical network %s: device %s is attached", t->name, t->device);
}

// A DPDK port takes another MTU only while it is stopped, and it is stopped only when nobody uses
// it any more.
static void fit_device(struct native *dp, struct trunk *t, uint32_t mtu)
{
	if (mtu <= t->mtu)
		return;
	if (t->is_interface)
		fit_interface(t, t->device, mtu);
	else
		close_device(dp, t, "the device is opened anew with a larger MTU");
}

static void log_carrier(struct trunk *t)
{
	if (!t->has_carrier) {
		if (++t->lost_looks == CARRIER_LOG)
			weft_log_warning("physical network %s: device %s has no carrier", t->name,
					 t->device);
		return;
	}
	if (t->lost_looks >= CARRIER_LOG)
		weft_log_info("physical network %s: device %s has its carrier back", t->name,
			      t->device);
	t->lost_looks = 0;
}

// Behind a carrier that is back may be another switch: it is told where our addresses are.
static void watch_carrier(struct native *dp, struct trunk *t, uint64_t now)
{
	struct visit v = {.dp = dp, .trunk = t};
	bool before = t->has_carrier;

	if (now < t->look_ms || atomic_load(&t->io) == NULL)
		return;
	t->look_ms = now + CARRIER_MS;
	t->has_carrier = weft_trunk_has_carrier(t);
	log_carrier(t);
	if (t->has_carrier == before)
		return;
	weft_tables_each_uplink(dp->tables, visit_carrier, &v);
	if (t->has_carrier)
		weft_tables_each_uplink(dp->tables, visit_announce, &v);
}

void weft_trunks_tick(struct native *dp)
{
	uint64_t now = weft_now_ms();

	for (uint16_t i = 0; i < dp->n_trunks; i++) {
		struct trunk *t = dp->trunks[i];

		if (atomic_load(&t->io) == NULL && now >= t->next_ms && !t->closing)
			open_device(dp, t);
		watch_carrier(dp, t, now);
	}
}

void weft_trunks_interface_changed(struct native *dp, const char *ifname)
{
	int ifindex = (int)if_nametoindex(ifname);
	char why[64];

	snprintf(why, sizeof(why), "interface %.15s went away", ifname);
	for (uint16_t i = 0; i < dp->n_trunks; i++) {
		struct trunk *t = dp->trunks[i];
		char name[IFNAMSIZ];

		if (!interface_of(t, name) || strcmp(name, ifname) != 0)
			continue;
		if (atomic_load(&t->io) != NULL && t->ifindex != ifindex)
			close_device(dp, t, why);
		// What DPDK had there must be closed first: the next tick's business.
		if (atomic_load(&t->io) == NULL && !t->closing)
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
			fit_device(dp, t, v.mtu);
		weft_tables_each_uplink(dp->tables, visit_attach, &v);
	}
}

// The driver knows at once; IFF_RUNNING follows up to a second later.
static bool is_running(const char *name)
{
	struct ethtool_value link = {.cmd = ETHTOOL_GLINK};
	struct ifreq ifr = {.ifr_data = (void *)&link};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool on;

	if (fd < 0)
		return false;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, SIOCETHTOOL, &ifr) == 0)
		on = link.data != 0;
	else
		on = ioctl(fd, SIOCGIFFLAGS, &ifr) == 0 && (ifr.ifr_flags & IFF_RUNNING) != 0;
	close(fd);
	return on;
}

bool weft_trunk_has_carrier(const struct trunk *t)
{
	const struct port_io *io = atomic_load(&t->io);
	char name[IFNAMSIZ];

	if (io == NULL)
		return false;
	return interface_of(t, name) ? is_running(name) : weft_ethdev_has_link(io);
}
