// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/show/trace_final.h"

#include <errno.h>
#include <rte_ether.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/frames/packet.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/outside/uplink.h"

int weft_trace_copy(struct rte_mbuf *out, const uint8_t *frame, size_t len)
{
	memset(out, 0, sizeof(*out));
	out->buf_addr = malloc(len + 1);
	if (out->buf_addr == NULL)
		return -ENOMEM;
	memcpy(out->buf_addr, frame, len);
	out->nb_segs = 1;
	out->buf_len = (uint16_t)len;
	out->data_len = (uint16_t)len;
	out->pkt_len = (uint32_t)len;
	return 0;
}

void weft_trace_copy_fini(struct rte_mbuf *m)
{
	free(m->buf_addr);
	m->buf_addr = NULL;
}

struct way { // out of the node
	const struct port *port;
	const struct trunk *trunk; // NULL: to a VM
	uint16_t vlan;
};

static void look_at_uplink(struct port *p, struct trunk *trunk, uint16_t vlan, void *arg)
{
	struct way *way = arg;

	if (p == way->port) {
		way->trunk = trunk;
		way->vlan = vlan;
	}
}

void weft_trace_set_way(struct native *dp, const struct port *port, json_t *out)
{
	struct way way = {.port = port};

	weft_tables_each_uplink(dp->tables, look_at_uplink, &way);
	if (way.trunk == NULL) {
		json_object_set_new(out, "interface", json_string(port->ifname));
		return;
	}
	json_object_set_new(out, "interface", json_string(way.trunk->device));
	json_object_set_new(out, "physical_network", json_string(way.trunk->name));
	json_object_set_new(out, "vlan",
			    way.vlan == TRUNK_UNTAGGED ? json_null() : json_integer(way.vlan));
}

void weft_trace_set_frame(json_t *out, const struct rte_mbuf *m)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	struct text hex = {0};

	for (uint16_t i = 0; i < m->data_len; i++)
		weft_text_add(&hex, "%02x", frame[i]);
	json_object_set_new(out, "frame", json_string(hex.s));
	weft_text_fini(&hex);
}

static void set_packet(const struct rte_mbuf *m, const struct packet *p, json_t *out)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	char mac[WEFT_MAC_STRLEN], text[256];
	struct mac_addr a;

	memcpy(a.b, frame + 6, sizeof(a.b));
	json_object_set_new(out, "src_mac", json_string(weft_mac_text(&a, mac)));
	memcpy(a.b, frame, sizeof(a.b));
	json_object_set_new(out, "dst_mac", json_string(weft_mac_text(&a, mac)));
	if (p->kind == PACKET_IP)
		json_object_set_new(out, "ttl", json_integer(p->ttl));
	json_object_set_new(
		out, "packet",
		json_string(weft_packet_text(frame, m->data_len, p, text, sizeof(text))));
	weft_trace_set_frame(out, m);
}

json_t *weft_trace_final(struct native *dp, const struct rte_mbuf *m, const json_t *out_ports)
{
	json_t *list = json_array(), *one;
	const json_t *id;
	struct packet p;
	size_t i;

	// As it was understood when it came, so as it leaves.
	if (weft_packet_parse(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, m->pkt_len,
			      NATIVE_NO_PORT, &p) != DROP_NONE)
		return list;
	json_array_foreach(out_ports, i, id) {
		const struct port *port = weft_tables_port(dp->tables, json_string_value(id));

		if (port == NULL)
			continue;
		one = json_pack("{s:O,s:b}", "port", id, "fragments",
				m->pkt_len > atomic_load(&dp->node.mtu[port->index]) +
						     RTE_ETHER_HDR_LEN);
		weft_trace_set_way(dp, port, one);
		set_packet(m, &p, one);
		json_array_append_new(list, one);
	}
	return list;
}
