// SPDX-License-Identifier: Apache-2.0
// What a port is attached to: its kind, what it lost itself, and the VM's driver at the other end.
#include "datapath/native/show.h"

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

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

void weft_native_io_json(struct port_io *io, json_t *o)
{
	struct port_io_stats s = {0};
	struct port_io_guest g;

	io->ops->stats(io, &s);
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
