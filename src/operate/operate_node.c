// SPDX-License-Identifier: Apache-2.0
// The node as a whole: is it ready, what does Neutron's list of agents say, its metrics.
#include "operate/operate.h"

#include <stdio.h>
#include <string.h>

static json_t *object_counts(const struct model *m)
{
	json_t *o = json_object();

	for (int t = 0; t < RES_COUNT; t++)
		json_object_set_new(o, weft_resource_plural(t),
				    json_integer((json_int_t)weft_model_count(m, t)));
	return o;
}

json_t *weft_operate_ready(const struct operate *op)
{
	size_t attached, ports;

	weft_links_count(op->links, &attached, &ports);
	return json_pack("{s:b, s:s, s:s, s:s, s:I, s:I, s:o, s:I}", "ready", 1, "version",
			 WEFT_VERSION, "host", op->host, "datapath", op->ops->name, "ports",
			 (json_int_t)ports, "attached", (json_int_t)attached, "objects",
			 object_counts(op->model), "start_ms", (json_int_t)op->start_ms);
}

// The same id for the same host at every start, in a UUID's form (version 8: made up by us, RFC
// 9562).
static void agent_id(const char *host, char out[WEFT_ID_LEN + 1])
{
	uint64_t h[2] = {0xcbf29ce484222325, 0x84222325cbf29ce4};

	for (const char *c = host; *c != '\0'; c++) {
		h[0] = (h[0] ^ (uint8_t)*c) * 0x100000001b3; // FNV-1a
		h[1] = (h[1] ^ (h[0] >> 29)) * 0x100000001b3;
	}
	snprintf(out, WEFT_ID_LEN + 1, "%08x-%04x-8%03x-%04x-%012llx", (unsigned int)(h[0] >> 32),
		 (unsigned int)(h[0] >> 16) & 0xffff, (unsigned int)h[0] & 0xfff,
		 ((unsigned int)(h[1] >> 48) & 0x3fff) | 0x8000,
		 (unsigned long long)h[1] & 0xffffffffffff);
}

// Neutron writes an agent's times without a zone, in UTC.
static void agent_time(time_t t, char *out, size_t size)
{
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, size, "%Y-%m-%d %H:%M:%S", &tm);
}

json_t *weft_operate_agents(void *arg)
{
	const struct operate *op = arg;
	char id[WEFT_ID_LEN + 1], started[32], now[32];
	size_t attached, ports;
	json_t *agent;

	weft_links_count(op->links, &attached, &ports);
	agent_id(op->host, id);
	agent_time(op->started, started, sizeof(started));
	agent_time(time(NULL), now, sizeof(now));
	agent = json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:n, s:n, s:n, s:s, s:s, s:s, s:{s:s, s:s, s:I, "
		"s:I}}",
		"id", id, "agent_type", "Weft agent", "binary", "weft", "host", op->host, "topic",
		"N/A", "alive", 1, "admin_state_up", 1, "availability_zone", "description",
		"resources_synced", "created_at", started, "started_at", started,
		"heartbeat_timestamp", now, "configurations", "version", WEFT_VERSION, "datapath",
		op->ops->name, "devices", (json_int_t)ports, "attached", (json_int_t)attached);
	return json_pack("[o]", agent);
}

static void gauge(struct text *out, const char *name, const char *help)
{
	weft_text_add(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

void weft_operate_metrics(void *arg, struct text *out)
{
	const struct operate *op = arg;
	size_t attached, ports, left_out;

	weft_model_left_out(op->model, &left_out);
	weft_links_count(op->links, &attached, &ports);
	gauge(out, "weft_info", "This daemon.");
	weft_text_add(out, "weft_info{version=\"%s\",datapath=\"%s\"} 1\n", WEFT_VERSION,
		      op->ops->name);
	gauge(out, "weft_objects", "Objects of the API, by resource.");
	for (int t = 0; t < RES_COUNT; t++)
		weft_text_add(out, "weft_objects{resource=\"%s\"} %zu\n", weft_resource_plural(t),
			      weft_model_count(op->model, t));
	gauge(out, "weft_objects_left_out",
	      "Stored objects that are damaged or cannot be carried out.");
	weft_text_add(out, "weft_objects_left_out %zu\n", left_out);
	gauge(out, "weft_ports", "Ports bound to this node.");
	weft_text_add(out, "weft_ports %zu\n", ports);
	gauge(out, "weft_ports_attached", "Ports of this node that are attached.");
	weft_text_add(out, "weft_ports_attached %zu\n", attached);
	gauge(out, "weft_start_seconds", "How long the start took, loading included.");
	weft_text_add(out, "weft_start_seconds %.3f\n", (double)op->start_ms / 1000);
	gauge(out, "weft_start_time_seconds", "When it started, seconds since 1970.");
	weft_text_add(out, "weft_start_time_seconds %lld\n", (long long)op->started);
	if (op->late != NULL) {
		struct beat_late l = op->late(op->datapath);

		gauge(out, "weft_control_late_seconds",
		      "How late the datapath's ticks came (tick), how much of that they waited for the control "
		      "thread (held), and how long its loop stood still (loop): the longest of the last "
		      "minute.");
		weft_text_add(out, "weft_control_late_seconds{what=\"tick\"} %.6f\n",
			      l.tick_us / 1e6);
		weft_text_add(out, "weft_control_late_seconds{what=\"held\"} %.6f\n",
			      l.held_us / 1e6);
		weft_text_add(out, "weft_control_late_seconds{what=\"loop\"} %.6f\n",
			      l.loop_us / 1e6);
	}
	op->ops->metrics(op->datapath, out);
	weft_metadata_metrics(op->metadata, out);
}
