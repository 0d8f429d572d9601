// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/show/show.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/native/packet/counter.h"
#include "datapath/frames/packet.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/show/baseline.h"

static void add_port(struct port *p, const struct plan_port *plan, void *arg)
{
	void **a = arg;

	json_array_append_new(a[1], weft_native_port_json(a[0], p, plan));
}

static json_t *ports(struct native *dp)
{
	json_t *list = json_array();
	void *arg[] = {dp, list};

	weft_tables_each_port(dp->tables, add_port, arg);
	return json_pack("{s:o}", "ports", list);
}

static void add_network(const void *key, void *value, void *arg)
{
	const struct network *n = value;
	void **a = arg;
	struct native *dp = a[0];
	const struct flood_list *f =
		weft_vmap_get(dp->node.floods, &n->index, weft_vstore_epoch(dp->node.vs));
	int uplink = f != NULL && f->uplink != NATIVE_NO_PORT;

	(void)key;
	if (strcmp(n->id, METADATA_PORT_ID) == 0) // made up
		return;
	json_array_append_new(
		a[1],
		json_pack("{s:s,s:I,s:I,s:I,s:b}", "id", n->id, "mtu", (json_int_t)n->mtu, "ports",
			  (json_int_t)(f == NULL ? 0 : f->n) - uplink, "unfiltered_ports",
			  (json_int_t)(f == NULL ? 0 : f->n_unfiltered) - uplink, "uplink",
			  uplink));
}

static json_t *networks(struct native *dp)
{
	json_t *list = json_array();
	void *arg[] = {dp, list};

	weft_vmap_each(dp->node.networks, add_network, arg);
	return json_pack("{s:o}", "networks", list);
}

static void add_group(const struct plan_rule_set *plan, size_t users, void *arg)
{
	json_array_append_new(arg, json_pack("{s:s,s:b,s:I,s:I}", "id", plan->id, "stateful",
					     plan->stateful, "rules", (json_int_t)plan->n_rules,
					     "ports", (json_int_t)users));
}

static json_t *groups(struct native *dp)
{
	json_t *list = json_array();

	weft_tables_each_rule_set(dp->tables, add_group, list);
	return json_pack("{s:o}", "groups", list);
}

static json_t *interface_json(struct native *dp, const struct plan_interface *p)
{
	char mac[WEFT_MAC_STRLEN], prefix[WEFT_NET_STRLEN];
	json_t *addresses = json_array();

	for (size_t i = 0; i < p->n_addrs; i++)
		json_array_append_new(addresses,
				      json_string(weft_prefix_text(&p->addrs[i], prefix)));
	return json_pack("{s:s,s:s,s:s,s:b,s:o,s:o}", "port", p->port_id, "network", p->network_id,
			 "mac", weft_mac_text(&p->mac, mac), "external", p->external, "addresses",
			 addresses, "advertises", weft_native_advert_json(dp, p));
}

static void add_router(const struct plan_router *r, void *arg)
{
	char dst[WEFT_NET_STRLEN], via[WEFT_IP_STRLEN], snat[WEFT_IP_STRLEN];
	json_t *interfaces = json_array(), *routes = json_array();
	void **a = arg;

	for (size_t i = 0; i < r->n_interfaces; i++)
		json_array_append_new(interfaces, interface_json(a[0], &r->interfaces[i]));
	for (size_t i = 0; i < r->n_routes; i++)
		json_array_append_new(routes,
				      json_pack("{s:s,s:s?}", "destination",
						weft_prefix_text(&r->routes[i].dst, dst), "nexthop",
						r->routes[i].via.family == 0
							? NULL
							: weft_ip_text(&r->routes[i].via, via)));
	json_array_append_new(
		a[1], json_pack("{s:s,s:b,s:s?,s:o,s:o}", "id", r->id, "admin_up", r->admin_up,
				"snat", r->snat.family == 0 ? NULL : weft_ip_text(&r->snat, snat),
				"interfaces", interfaces, "routes", routes));
}

static json_t *routers(struct native *dp)
{
	json_t *list = json_array();
	void *arg[] = {dp, list};

	weft_tables_each_router(dp->tables, add_router, arg);
	return json_pack("{s:o}", "routers", list);
}

// ---- Drops ---------------------------------------------------------------------------------

struct seen { // a sample with its worker's clock, for sorting
	struct drop_sample s;
};

static int newest_first(const void *a, const void *b)
{
	return (int32_t)(((const struct seen *)b)->s.at_ms - ((const struct seen *)a)->s.at_ms);
}

static json_t *sample_json(struct native *dp, const struct drop_sample *s, uint32_t now)
{
	const struct port *port = native_port(&dp->node, s->port);
	struct packet p;
	char text[256] = "";

	// A packet that the parser refused can still be told by what it looked like so far.
	weft_packet_parse(s->bytes, s->len, s->total, s->port, &p);
	return json_pack("{s:I,s:I,s:s?,s:s,s:s}", "ago_ms", (json_int_t)(uint32_t)(now - s->at_ms),
			 "at_ms", (json_int_t)s->at_ms, "port", port == NULL ? NULL : port->id,
			 "reason", weft_drop_word(s->reason), "packet",
			 weft_packet_text(s->bytes, s->len, &p, text, sizeof(text)));
}

static json_t *samples(struct native *dp, size_t limit)
{
	struct seen *all = calloc((size_t)dp->n_workers * DROP_SAMPLES, sizeof(*all));
	uint32_t now = native_now_ms(&dp->node);
	json_t *list = json_array();
	size_t n = 0;

	for (uint16_t i = 0; all != NULL && i < dp->n_workers; i++) {
		const struct worker *w = dp->workers[i];
		uint32_t end = atomic_load_explicit(&w->n_samples, memory_order_acquire);
		uint32_t count = end < DROP_SAMPLES ? end : DROP_SAMPLES;

		for (uint32_t k = end - count; k != end; k++) {
			struct drop_sample s = w->samples[k & (DROP_SAMPLES - 1)];
			uint32_t later;

			atomic_thread_fence(memory_order_acquire);
			later = atomic_load_explicit(&w->n_samples, memory_order_relaxed);
			// The worker may have come round and be writing this very slot.
			if (later - k < DROP_SAMPLES && s.reason < DROP_COUNT &&
			    s.len <= DROP_SAMPLE_LEN)
				all[n++].s = s;
		}
	}
	if (n > 0)
		qsort(all, n, sizeof(*all), newest_first);
	for (size_t i = 0; i < n && i < limit; i++)
		json_array_append_new(list, sample_json(dp, &all[i].s, now));
	free(all);
	return list;
}

static uint64_t counted_at(const void *counters, size_t offset)
{
	return COUNTED(*(const uint64_t *)((const char *)counters + offset));
}

static uint64_t drop_count(const struct native *dp, enum drop reason)
{
	uint64_t n = weft_native_drops(dp, reason);

	return dp->baseline == NULL ? n : n - dp->baseline->drops[reason];
}

static json_t *drops(struct native *dp, size_t limit)
{
	json_t *list = json_array(), *o;

	for (int r = DROP_NONE + 1; r < DROP_COUNT; r++)
		if (r != DROP_SERVICE_DONE)
			json_array_append_new(list, json_pack("{s:s,s:I,s:s}", "reason",
							      weft_drop_word(r), "packets",
							      (json_int_t)drop_count(dp, r),
							      "sentence", weft_drop_sentence(r)));
	o = json_pack("{s:o,s:I,s:o,s:o}", "drops", list, "consumed",
		      (json_int_t)drop_count(dp, DROP_SERVICE_DONE), "losses",
		      weft_native_losses_json(dp), "samples", samples(dp, limit));
	weft_native_reset_json(dp, dp->baseline != NULL,
			       dp->baseline == NULL ? 0 : dp->baseline->at_ms, o);
	return o;
}

// ---- Workers -------------------------------------------------------------------------------

// Of its ports, how many does it share with other workers?
static uint16_t shared_ports(const struct poll_list *list)
{
	uint16_t n = 0;

	for (uint16_t i = 0; i < list->n; i++)
		n += list->polls[i].port->shares > 1;
	return n;
}

static json_t *worker_json(const struct native *dp, const struct worker *w)
{
	struct worker_stats now = weft_native_worker_stats(w), *s = &now;
	const struct poll_list *list = atomic_load(&w->polls);
	json_t *o = json_object();
	uint64_t busy_polls;

	if (dp->baseline != NULL)
		weft_native_since((uint64_t *)&now, (const uint64_t *)&dp->baseline->workers[w->id],
				  sizeof(now) / sizeof(uint64_t));
	busy_polls = s->polls - s->empty_polls;

#define SET(name, value) json_object_set_new(o, name, json_integer((json_int_t)(value)))
	SET("worker", w->id);
	SET("core", w->core);
	SET("priority", w->priority.high ? w->node->priority : 0);
	SET("ports", list->n);
	SET("shared_ports", shared_ports(list));
	SET("polls", s->polls);
	SET("empty_polls", s->empty_polls);
	SET("sleeps", s->sleeps);
	SET("packets", s->packets);
	SET("fast", s->fast);
	SET("slow", s->slow);
	SET("judged", s->judged);
	SET("rejudged", s->rejudged);
	SET("revoked", s->revoked);
	SET("related", s->related);
	SET("sessions_added", s->sessions_added);
	SET("translated", s->translated);
	SET("sessions_expired", s->sessions_expired);
#undef SET
	json_object_set_new(
		o, "cycles_per_packet",
		json_real(s->packets == 0 ? 0 : (double)s->busy_cycles / (double)s->packets));
	json_object_set_new(o, "packets_per_busy_poll",
			    json_real(busy_polls == 0 ? 0
						      : (double)s->packets / (double)busy_polls));
	json_object_set_new(o, "fast_share",
			    json_real(s->fast + s->slow == 0
					      ? 0
					      : (double)s->fast / (double)(s->fast + s->slow)));
	return o;
}

static json_t *workers(struct native *dp)
{
	json_t *list = json_array();

	for (uint16_t i = 0; i < dp->n_workers; i++)
		json_array_append_new(list, worker_json(dp, dp->workers[i]));
	return json_pack("{s:o,s:b,s:I,s:I,s:I,s:I,s:I,s:I}", "workers", list, "hugepages",
			 dp->huge, "sessions", (json_int_t)weft_session_count(dp->node.sessions),
			 "session_capacity", (json_int_t)weft_session_capacity(dp->node.sessions),
			 "session_memory", (json_int_t)weft_session_memory(dp->node.sessions),
			 "session_memory_ipv4",
			 (json_int_t)weft_session_memory_of(dp->node.sessions, 4), "buffers_free",
			 (json_int_t)rte_mempool_avail_count(dp->node.pool), "buffers",
			 (json_int_t)dp->node.pool->size);
}

// ---- The hook ------------------------------------------------------------------------------

static int one_port(struct native *dp, enum datapath_show what, const char *id, size_t limit,
		    json_t **out, struct err *err)
{
	struct port *p = weft_tables_port(dp->tables, id);

	if (p == NULL)
		return weft_fail(err, -ENOENT, "port %s: not on this node", id);
	if (what == DATAPATH_SHOW_SESSIONS)
		*out = weft_native_sessions_json(dp, p, limit);
	else if (what == DATAPATH_SHOW_NAT)
		*out = weft_native_nat_json(dp, p, limit);
	else if (what == DATAPATH_SHOW_POLICY)
		*out = weft_native_policy_json(dp, weft_tables_plan(dp->tables, id));
	else
		*out = weft_native_port_json(dp, p, weft_tables_plan(dp->tables, id));
	return 0;
}

int weft_native_show(struct native *dp, enum datapath_show what, const char *id, size_t limit,
		     json_t **out, struct err *err)
{
	switch (what) {
	case DATAPATH_SHOW_PORTS:
		if (id != NULL)
			return one_port(dp, what, id, limit, out, err);
		*out = ports(dp);
		return 0;
	case DATAPATH_SHOW_NETWORKS:
		*out = networks(dp);
		return 0;
	case DATAPATH_SHOW_GROUPS:
		*out = groups(dp);
		return 0;
	case DATAPATH_SHOW_ROUTERS:
		*out = routers(dp);
		return 0;
	case DATAPATH_SHOW_NEIGHBOURS:
		*out = weft_native_neighbours_json(dp);
		return 0;
	case DATAPATH_SHOW_UPLINKS:
		*out = weft_native_uplinks_json(dp);
		return 0;
	case DATAPATH_SHOW_SESSIONS:
		if (id != NULL)
			return one_port(dp, what, id, limit, out, err);
		*out = weft_native_sessions_json(dp, NULL, limit);
		return 0;
	case DATAPATH_SHOW_DROPS:
		*out = drops(dp, limit);
		return 0;
	case DATAPATH_SHOW_WORKERS:
		*out = workers(dp);
		return 0;
	case DATAPATH_SHOW_POLICY:
		if (id == NULL)
			return weft_fail(err, -EINVAL, "which port? give its id");
		return one_port(dp, what, id, limit, out, err);
	case DATAPATH_SHOW_FLOATING_IPS:
		*out = weft_native_floatings_json(dp);
		return 0;
	case DATAPATH_SHOW_NAT:
		if (id != NULL)
			return one_port(dp, what, id, limit, out, err);
		*out = weft_native_nat_json(dp, NULL, limit);
		return 0;
		break;
	}
	return weft_fail(err, -EINVAL, "the native datapath has no such view");
}

// ---- Metrics -------------------------------------------------------------------------------

static void metric(struct text *out, const char *name, const char *type, const char *help)
{
	weft_text_add(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void worker_metrics(struct native *dp, struct text *out)
{
	static const struct {
		const char *name, *help;
		size_t offset;
	} of[] = {
		{"weft_worker_packets_total", "Packets handled.",
		 offsetof(struct worker_stats, packets)},
		{"weft_worker_fast_total", "Packets carried by a session.",
		 offsetof(struct worker_stats, fast)},
		{"weft_worker_slow_total", "Packets that took the slow path.",
		 offsetof(struct worker_stats, slow)},
		{"weft_worker_rejudged_total", "Sessions judged again after a policy change.",
		 offsetof(struct worker_stats, rejudged)},
		{"weft_worker_revoked_total", "Sessions cut by a policy change.",
		 offsetof(struct worker_stats, revoked)},
		{"weft_worker_busy_cycles_total", "Cycles in polls that found packets.",
		 offsetof(struct worker_stats, busy_cycles)},
	};

	for (size_t i = 0; i < RTE_DIM(of); i++) {
		metric(out, of[i].name, "counter", of[i].help);
		for (uint16_t k = 0; k < dp->n_workers; k++) {
			uint64_t value = counted_at(&dp->workers[k]->stats, of[i].offset);

			weft_text_add(out, "%s{worker=\"%u\"} %llu\n", of[i].name, k,
				      (unsigned long long)value);
		}
	}
}

struct port_metric {
	struct native *dp;
	struct text *out;
	const char *name;
	size_t offset;
};

static void port_metric(struct port *p, const struct plan_port *plan, void *arg)
{
	const struct port_metric *m = arg;
	uint64_t sum = 0;

	(void)plan;
	for (uint16_t i = 0; i < m->dp->n_workers; i++)
		sum += counted_at(&m->dp->workers[i]->port_stats[p->index], m->offset);
	weft_text_add(m->out, "%s{port=\"%s\"} %llu\n", m->name, p->id, (unsigned long long)sum);
}

static void port_metrics(struct native *dp, struct text *out)
{
	static const struct {
		const char *name, *help;
		size_t offset;
	} of[] = {
		{"weft_port_received_packets_total", "Packets that the VM sent.",
		 offsetof(struct port_stats, rx_packets)},
		{"weft_port_received_bytes_total", "Bytes that the VM sent.",
		 offsetof(struct port_stats, rx_bytes)},
		{"weft_port_sent_packets_total", "Packets that the VM was given.",
		 offsetof(struct port_stats, tx_packets)},
		{"weft_port_sent_bytes_total", "Bytes that the VM was given.",
		 offsetof(struct port_stats, tx_bytes)},
		{"weft_port_drops_total", "Dropped packets that the VM sent.",
		 offsetof(struct port_stats, drops)},
	};

	for (size_t i = 0; i < RTE_DIM(of); i++) {
		struct port_metric m = {dp, out, of[i].name, of[i].offset};

		metric(out, of[i].name, "counter", of[i].help);
		weft_tables_each_port(dp->tables, port_metric, &m);
	}
}

void weft_native_metrics(struct native *dp, struct text *out)
{
	metric(out, "weft_drops_total", "counter", "Packets dropped, by reason.");
	for (int r = DROP_NONE + 1; r < DROP_COUNT; r++)
		if (r != DROP_SERVICE_DONE)
			weft_text_add(out, "weft_drops_total{reason=\"%s\"} %llu\n",
				      weft_drop_word(r),
				      (unsigned long long)weft_native_drops(dp, r));
	metric(out, "weft_consumed_total", "counter",
	       "Packets that a local service took and no answer was due to.");
	weft_text_add(out, "weft_consumed_total %llu\n",
		      (unsigned long long)weft_native_drops(dp, DROP_SERVICE_DONE));
	metric(out, "weft_sessions", "gauge", "Connections in the session table.");
	weft_text_add(out, "weft_sessions %u\n", weft_session_count(dp->node.sessions));
	metric(out, "weft_session_capacity", "gauge", "Connections that the table holds.");
	weft_text_add(out, "weft_session_capacity %u\n", weft_session_capacity(dp->node.sessions));
	weft_native_loss_metrics(dp, out);
	weft_native_advert_metrics(dp, out);
	weft_native_neighbour_metrics(dp, out);
	weft_native_nat_metrics(dp, out);
	weft_native_uplink_metrics(dp, out);
	worker_metrics(dp, out);
	port_metrics(dp, out);
}
