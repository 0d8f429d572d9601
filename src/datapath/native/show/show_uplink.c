// SPDX-License-Identifier: Apache-2.0
// The devices of physical networks, and the networks on each, as an operator sees them.
#include "datapath/native/show/show.h"

#include <string.h>

#include "datapath/native/packet/counter.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/outside/uplink.h"
#include "datapath/native/show/baseline.h"

static json_t *counters_json(const struct port_stats *s)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "received_packets", (json_int_t)s->rx_packets,
			 "received_bytes", (json_int_t)s->rx_bytes, "sent_packets",
			 (json_int_t)s->tx_packets, "sent_bytes", (json_int_t)s->tx_bytes,
			 "dropped_received", (json_int_t)s->drops, "dropped_sent",
			 (json_int_t)s->tx_drops);
}

static json_t *drops_json(const struct native *dp, const struct port *p)
{
	json_t *drops = json_object();

	for (int r = DROP_NONE + 1; r < DROP_COUNT; r++) {
		uint32_t n = weft_native_port_drops(dp, p, (enum drop)r);

		if (n > 0 && r != DROP_SERVICE_DONE)
			json_object_set_new(drops, weft_drop_word(r), json_integer((json_int_t)n));
	}
	return drops;
}

static uint64_t unknown_of(const struct native *dp, const struct trunk *t)
{
	uint64_t n = 0;

	for (uint16_t i = 0; i < dp->n_workers; i++)
		n += COUNTED(t->unknown[i]);
	return n;
}

struct listing { // of the networks of one trunk
	struct native *dp;
	struct trunk *trunk;
	struct port_stats sum;
	json_t *networks;
};

static void add_network(struct port *p, struct trunk *trunk, uint16_t vlan, void *arg)
{
	struct listing *l = arg;
	struct port_stats s;
	json_t *o;

	if (trunk != l->trunk)
		return;
	s = weft_native_port_stats(l->dp, p);
	l->sum.rx_packets += s.rx_packets;
	l->sum.rx_bytes += s.rx_bytes;
	l->sum.tx_packets += s.tx_packets;
	l->sum.tx_bytes += s.tx_bytes;
	l->sum.drops += s.drops;
	l->sum.tx_drops += s.tx_drops;
	if (l->networks == NULL)
		return;
	o = json_pack("{s:s,s:o,s:I,s:o,s:o}", "network", p->id, "vlan",
		      vlan == TRUNK_UNTAGGED ? json_null() : json_integer(vlan), "mtu",
		      (json_int_t)atomic_load(&l->dp->node.mtu[p->index]), "counters",
		      counters_json(&s), "drops", drops_json(l->dp, p));
	json_object_set_new(o, "sessions",
			    json_integer(weft_session_port_count(l->dp->node.sessions, p->index)));
	json_array_append_new(l->networks, o);
}

static const char *null_if_empty(const char *s)
{
	return s[0] == '\0' ? NULL : s;
}

static json_t *trunk_json(struct native *dp, struct trunk *t)
{
	struct listing l = {.dp = dp, .trunk = t, .networks = json_array()};
	uint16_t last = atomic_load(&t->last_unknown);
	struct port_io *io = atomic_load(&t->io);
	json_t *o;

	weft_tables_each_uplink(dp->tables, add_network, &l);
	o = json_pack("{s:s,s:s,s:b,s:b,s:s?,s:s?,s:I,s:o,s:o}", "physical_network", t->name,
		      "device", t->device, "attached", io != NULL, "carrier", t->has_carrier,
		      "reason", null_if_empty(t->reason), "warning", null_if_empty(t->warning),
		      "mtu", (json_int_t)t->mtu, "counters", counters_json(&l.sum), "networks",
		      l.networks);
	json_object_set_new(o, "worker", t->every_worker ? json_null() : json_integer(t->worker));
	json_object_set_new(o, "unknown_vlan_packets", json_integer((json_int_t)unknown_of(dp, t)));
	json_object_set_new(o, "last_unknown_vlan",
			    last < TRUNK_VLANS ? json_integer(last) : json_null());
	if (io != NULL)
		weft_native_io_json(io, NULL, o);
	return o;
}

json_t *weft_native_uplinks_json(struct native *dp)
{
	json_t *list = json_array();

	for (uint16_t i = 0; i < dp->n_trunks; i++)
		json_array_append_new(list, trunk_json(dp, dp->trunks[i]));
	return json_pack("{s:o}", "uplinks", list);
}

// ---- Metrics -------------------------------------------------------------------------------

static uint64_t at(const void *base, size_t offset)
{
	uint64_t value;

	memcpy(&value, (const char *)base + offset, sizeof(value));
	return value;
}

struct metric {
	const char *name, *type, *help;
	size_t offset;
};

static void head(struct text *out, const struct metric *m)
{
	weft_text_add(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->type);
}

static void value(struct text *out, const struct metric *m, const struct trunk *t, uint64_t n)
{
	weft_text_add(out, "%s{physical_network=\"%s\"} %llu\n", m->name, t->name,
		      (unsigned long long)n);
}

static void traffic_metrics(struct native *dp, struct text *out)
{
	static const struct metric of[] = {
		{"weft_uplink_received_packets_total", "counter",
		 "Packets from a physical network that were for a network here.",
		 offsetof(struct port_stats, rx_packets)},
		{"weft_uplink_received_bytes_total", "counter", "Bytes of them.",
		 offsetof(struct port_stats, rx_bytes)},
		{"weft_uplink_sent_packets_total", "counter", "Packets to a physical network.",
		 offsetof(struct port_stats, tx_packets)},
		{"weft_uplink_sent_bytes_total", "counter", "Bytes of them.",
		 offsetof(struct port_stats, tx_bytes)},
		{"weft_uplink_dropped_received_total", "counter",
		 "Dropped packets from a physical network.", offsetof(struct port_stats, drops)},
		{"weft_uplink_dropped_sent_total", "counter",
		 "Packets that the device could not take.", offsetof(struct port_stats, tx_drops)},
	};

	for (size_t i = 0; i < RTE_DIM(of); i++) {
		head(out, &of[i]);
		for (uint16_t k = 0; k < dp->n_trunks; k++) {
			struct listing l = {.dp = dp, .trunk = dp->trunks[k]};

			weft_tables_each_uplink(dp->tables, add_network, &l);
			value(out, &of[i], dp->trunks[k], at(&l.sum, of[i].offset));
		}
	}
}

static void device_metrics(struct native *dp, struct text *out)
{
	static const struct metric of[] = {
		{"weft_uplink_device_receive_lost_total", "counter",
		 "Packets that the device lost, since it was attached.",
		 offsetof(struct port_io_stats, rx_lost)},
		{"weft_uplink_device_send_refused_total", "counter",
		 "Packets that the device refused, since it was attached.",
		 offsetof(struct port_io_stats, tx_refused)},
	};
	struct port_io_stats stats[NATIVE_MAX_TRUNKS] = {0};

	for (uint16_t k = 0; k < dp->n_trunks; k++) {
		const struct port_io *io = atomic_load(&dp->trunks[k]->io);

		if (io != NULL)
			io->ops->stats(io, &stats[k]);
	}
	for (size_t i = 0; i < RTE_DIM(of); i++) {
		head(out, &of[i]);
		for (uint16_t k = 0; k < dp->n_trunks; k++)
			value(out, &of[i], dp->trunks[k], at(&stats[k], of[i].offset));
	}
}

void weft_native_uplink_metrics(struct native *dp, struct text *out)
{
	static const struct metric attached = {"weft_uplink_attached", "gauge",
					       "Is the physical network's device there?", 0};
	static const struct metric carrier = {"weft_uplink_carrier", "gauge",
					      "Does it have a carrier?", 0};
	static const struct metric unknown = {
		"weft_uplink_unknown_vlan_packets_total", "counter",
		"Packets from a physical network with a tag of no network here.", 0};

	if (dp->n_trunks == 0)
		return;
	head(out, &attached);
	for (uint16_t i = 0; i < dp->n_trunks; i++)
		value(out, &attached, dp->trunks[i], atomic_load(&dp->trunks[i]->io) != NULL);
	head(out, &carrier);
	for (uint16_t i = 0; i < dp->n_trunks; i++)
		value(out, &carrier, dp->trunks[i], dp->trunks[i]->has_carrier);
	head(out, &unknown);
	for (uint16_t i = 0; i < dp->n_trunks; i++)
		value(out, &unknown, dp->trunks[i], unknown_of(dp, dp->trunks[i]));
	traffic_metrics(dp, out);
	device_metrics(dp, out);
}
