// SPDX-License-Identifier: Apache-2.0
// What a port is attached to: its kind, what it lost itself, and the VM's driver at the other end;
// and what is lost where no worker sees it, which is in no drop reason.
#include "datapath/native/show/show.h"

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "datapath/native/policy/tables.h"
#include "datapath/native/show/baseline.h"
#include "datapath/native/outside/uplink.h"

// As QEMU's properties of virtio-net-pci call them.
static const struct {
	uint8_t bit;
	const char *name;
} features[] = {
	{VIRTIO_NET_F_CSUM, "csum"},
	{VIRTIO_NET_F_GUEST_CSUM, "guest_csum"},
	{VIRTIO_NET_F_MTU, "host_mtu"},
	{VIRTIO_NET_F_GSO, "gso"},
	{VIRTIO_NET_F_GUEST_TSO4, "guest_tso4"},
	{VIRTIO_NET_F_GUEST_TSO6, "guest_tso6"},
	{VIRTIO_NET_F_GUEST_ECN, "guest_ecn"},
	{VIRTIO_NET_F_HOST_TSO4, "host_tso4"},
	{VIRTIO_NET_F_HOST_TSO6, "host_tso6"},
	{VIRTIO_NET_F_HOST_ECN, "host_ecn"},
	{VIRTIO_NET_F_MRG_RXBUF, "mrg_rxbuf"},
	{VIRTIO_NET_F_CTRL_VQ, "ctrl_vq"},
	{VIRTIO_NET_F_CTRL_RX, "ctrl_rx"},
	{VIRTIO_NET_F_GUEST_ANNOUNCE, "guest_announce"},
	{VIRTIO_NET_F_MQ, "mq"},
	{VHOST_F_LOG_ALL, "log_all"},
	{VIRTIO_F_ANY_LAYOUT, "any_layout"},
	{VIRTIO_RING_F_INDIRECT_DESC, "indirect_desc"},
	{VIRTIO_RING_F_EVENT_IDX, "event_idx"},
	{VIRTIO_F_VERSION_1, "version_1"},
	{VIRTIO_F_RING_PACKED, "packed"},
	{VIRTIO_F_IN_ORDER, "in_order"},
};

static json_t *guest_json(const struct port_io_guest *g)
{
	json_t *names = json_array();

	for (size_t i = 0; i < RTE_DIM(features); i++)
		if (g->features >> features[i].bit & 1)
			json_array_append_new(names, json_string(features[i].name));
	return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:o}", "vhostuser_mode",
			 g->server ? "client" : "server", "queues", (json_int_t)g->pairs, "mtu",
			 (json_int_t)g->mtu, "drivers", (json_int_t)g->devices, "interrupts",
			 (json_int_t)g->interrupts, "mute", (json_int_t)g->mute, "features", names);
}

void weft_native_io_json(struct port_io *io, const struct port_io_stats *base, json_t *o)
{
	struct port_io_stats s = {0};
	struct port_io_guest g;

	io->ops->stats(io, &s);
	if (base != NULL)
		weft_native_since((uint64_t *)&s, (const uint64_t *)base,
				  sizeof(s) / sizeof(uint64_t));
	json_object_set_new(o, "kind", json_string(io->ops->name));
	json_object_set_new(o, "interface_counters",
			    json_pack("{s:I,s:I,s:I,s:I,s:I}", "rx_lost", (json_int_t)s.rx_lost,
				      "rx_malformed", (json_int_t)s.rx_malformed, "tx_refused",
				      (json_int_t)s.tx_refused, "tx_segmented",
				      (json_int_t)s.tx_segmented, "tx_filled",
				      (json_int_t)s.tx_filled));
	if (io->ops->guest == NULL)
		return;
	io->ops->guest(io, &g);
	json_object_set_new(o, "guest", guest_json(&g));
}

// ---- Losses --------------------------------------------------------------------------------

static const struct {
	const char *word, *metric, *sentence;
	size_t offset;
} kinds[] = {
	{"ring-full", "weft_port_ring_lost_total",
	 "Lost before a worker came: the ring of a port's interface, or of a device, was full.",
	 offsetof(struct port_io_stats, rx_lost)},
	{"malformed", "weft_port_malformed_total",
	 "A virtio-net header, a length or a buffer of a VM's driver that cannot be.",
	 offsetof(struct port_io_stats, rx_malformed)},
	{"refused", "weft_port_refused_total",
	 "The interface, device or driver does not take packets of this length or kind.",
	 offsetof(struct port_io_stats, tx_refused)},
};

static uint64_t *kind_of(struct port_io_stats *s, size_t kind)
{
	return (uint64_t *)((char *)s + kinds[kind].offset);
}

static void add_stats(struct port_io_stats *sum, const struct port_io *io)
{
	struct port_io_stats s;

	if (io == NULL)
		return;
	io->ops->stats(io, &s);
	for (size_t i = 0; i < RTE_DIM(kinds); i++)
		*kind_of(sum, i) += *kind_of(&s, i);
}

static void add_port(struct port *p, const struct plan_port *plan, void *arg)
{
	(void)plan;
	add_stats(arg, atomic_load(&p->io));
}

// Of those that are attached, and of those that were.
struct port_io_stats weft_native_losses(const struct native *dp)
{
	struct port_io_stats sum = dp->gone;

	weft_tables_each_port(dp->tables, add_port, &sum);
	for (uint16_t i = 0; i < dp->n_trunks; i++)
		add_stats(&sum, atomic_load(&dp->trunks[i]->io));
	return sum;
}

void weft_native_io_gone(struct native *dp, const struct port_io *io)
{
	add_stats(&dp->gone, io);
}

json_t *weft_native_losses_json(const struct native *dp)
{
	struct port_io_stats sum = weft_native_losses(dp);
	if (dp->baseline != NULL)
		weft_native_since((uint64_t *)&sum, (const uint64_t *)&dp->baseline->losses,
				  sizeof(sum) / sizeof(uint64_t));
	json_t *list = json_array();

	for (size_t i = 0; i < RTE_DIM(kinds); i++)
		json_array_append_new(list, json_pack("{s:s,s:I,s:s}", "reason", kinds[i].word,
						      "packets", (json_int_t)*kind_of(&sum, i),
						      "sentence", kinds[i].sentence));
	return list;
}

struct port_losses {
	struct text *out;
	size_t kind;
};

static void port_losses(struct port *p, const struct plan_port *plan, void *arg)
{
	const struct port_losses *l = arg;
	struct port_io_stats s = {0};

	(void)plan;
	add_stats(&s, atomic_load(&p->io));
	weft_text_add(l->out, "%s{port=\"%s\"} %llu\n", kinds[l->kind].metric, p->id,
		      (unsigned long long)*kind_of(&s, l->kind));
}

void weft_native_loss_metrics(const struct native *dp, struct text *out)
{
	struct port_io_stats sum = weft_native_losses(dp);

	weft_text_add(out,
		      "# HELP weft_losses_total Packets lost where no worker sees them, of all "
		      "ports and devices.\n# TYPE weft_losses_total counter\n");
	for (size_t i = 0; i < RTE_DIM(kinds); i++)
		weft_text_add(out, "weft_losses_total{reason=\"%s\"} %llu\n", kinds[i].word,
			      (unsigned long long)*kind_of(&sum, i));
	for (size_t i = 0; i < RTE_DIM(kinds); i++) {
		struct port_losses l = {out, i};

		weft_text_add(out, "# HELP %s %s Since the port was attached.\n# TYPE %s counter\n",
			      kinds[i].metric, kinds[i].sentence, kinds[i].metric);
		weft_tables_each_port(dp->tables, port_losses, &l);
	}
}
