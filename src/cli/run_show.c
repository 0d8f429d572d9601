// SPDX-License-Identifier: Apache-2.0
#include "cli/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/http.h"
#include "cli/table.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void print_text(struct text *t)
{
	if (t->s != NULL)
		fputs(t->s, stdout);
	weft_text_fini(t);
}

// GET, and either print the answer as it is or hand it back in *out.
static int get(const struct invocation *in, const char *path, json_t **out, struct err *err)
{
	int ret = weft_http(in->api, path, NULL, out, err);

	if (ret == 0 && in->json) {
		weft_print_json(*out);
		json_decref(*out);
		*out = NULL;
	}
	return ret;
}

static int show_list(const struct invocation *in, const char *path, const char *member,
		     const struct column *columns, size_t n, struct err *err)
{
	struct text t = {0};
	json_t *j = NULL;
	int ret = get(in, path, &j, err);

	if (ret == 0 && j != NULL)
		weft_table(&t, json_object_get(j, member), columns, n);
	print_text(&t);
	json_decref(j);
	return ret;
}

int weft_run_show_ports(const struct invocation *in, struct err *err)
{
	static const struct column columns[] = {
		{"PORT", "id", 11},
		{"NAME", "name", 24},
		{"STATUS", "status", 0},
		{"ADDRESSES", "fixed_ips", 60},
		{"INTERFACE", "interface", 0},
		{"FROM VM", "counters.from_vm_packets", 0},
		{"TO VM", "counters.to_vm_packets", 0},
		{"DROPPED", "counters.dropped_from_vm", 0},
		{"NOT SENT", "counters.dropped_to_vm", 0},
		{"LOST", "interface_counters.rx_lost", 0},
		{"SESSIONS", "sessions", 0},
		{"REASON", "reason", 0},
	};

	return show_list(in, "/weft/v1/ports", "ports", columns, COUNT(columns), err);
}

int weft_run_show_networks(const struct invocation *in, struct err *err)
{
	static const struct column columns[] = {
		{"NETWORK", "id", 0},
		{"NAME", "name", 24},
		{"MTU", "mtu", 0},
		{"PORTS", "ports", 0},
		{"WITHOUT PORT SECURITY", "unfiltered_ports", 0},
	};

	return show_list(in, "/weft/v1/networks", "networks", columns, COUNT(columns), err);
}

int weft_run_show_left_out(const struct invocation *in, struct err *err)
{
	static const struct column columns[] = {
		{"TYPE", "type", 0},
		{"ID", "id", 0},
		{"REASON", "reason", 0},
	};

	return show_list(in, "/weft/v1/left-out", "left_out", columns, COUNT(columns), err);
}

int weft_run_show_groups(const struct invocation *in, struct err *err)
{
	static const struct column columns[] = {
		{"GROUP", "id", 0},    {"NAME", "name", 24},  {"STATEFUL", "stateful", 0},
		{"RULES", "rules", 0}, {"PORTS", "ports", 0},
	};

	return show_list(in, "/weft/v1/groups", "groups", columns, COUNT(columns), err);
}

int weft_run_show_routers(const struct invocation *in, struct err *err)
{
	static const struct column interfaces[] = {{"NETWORK", "network_name", 0},
						   {"MAC", "mac", 0},
						   {"ADDRESSES", "addresses", 0},
						   {"EXTERNAL", "external", 0},
						   {"ADVERTISES", "advertises.prefixes", 0}};
	static const struct column routes[] = {{"DESTINATION", "destination", 0},
					       {"NEXT HOP", "nexthop", 0}};
	struct text t = {0};
	const json_t *r;
	json_t *j = NULL;
	size_t i;
	int ret = get(in, "/weft/v1/routers", &j, err);

	json_array_foreach(json_object_get(j, "routers"), i, r) {
		const char *name = json_string_value(json_object_get(r, "name"));

		weft_text_add(&t, "router %s %s%s\n", json_string_value(json_object_get(r, "id")),
			      name == NULL ? "" : name,
			      json_is_true(json_object_get(r, "admin_up")) ? "" : " (down)");
		if (json_is_string(json_object_get(r, "snat")))
			weft_text_add(&t, "source NAT to %s\n",
				      json_string_value(json_object_get(r, "snat")));
		weft_table(&t, json_object_get(r, "interfaces"), interfaces, COUNT(interfaces));
		if (json_array_size(json_object_get(r, "routes")) > 0)
			weft_table(&t, json_object_get(r, "routes"), routes, COUNT(routes));
	}
	print_text(&t);
	json_decref(j);
	return ret;
}

// Milliseconds, of a number of microseconds.
static double ms_of(const json_t *j, const char *key)
{
	return (double)json_integer_value(json_object_get(j, key)) / 1000;
}

int weft_run_show_workers(const struct invocation *in, struct err *err)
{
	static const struct column columns[] = {
		{"WORKER", "worker", 0},
		{"CORE", "core", 0},
		{"PORTS", "ports", 0},
		{"SHARED", "shared_ports", 0},
		{"PACKETS", "packets", 0},
		{"FAST", "fast_share", 0},
		{"CYCLES/PACKET", "cycles_per_packet", 0},
		{"PACKETS/POLL", "packets_per_busy_poll", 0},
		{"JUDGED", "judged", 0},
		{"REJUDGED", "rejudged", 0},
		{"REVOKED", "revoked", 0},
		{"SLEEPS", "sleeps", 0},
	};

	struct text t = {0};
	json_t *j = NULL;
	int ret = get(in, "/weft/v1/workers", &j, err);

	const json_t *c = json_object_get(j, "control");
	if (ret == 0 && j != NULL)
		weft_table(&t, json_object_get(j, "workers"), columns, COUNT(columns));
	if (c != NULL)
		weft_text_add(
			&t,
			"\nControl, within the last minute (since the start):\n"
			"ticks came at most %.1f ms (%.1f ms) late, of which %.1f ms (%.1f ms) "
			"waiting for changes;\nthe loop stood still for at most %.1f ms (%.1f ms)\n",
			ms_of(c, "tick_us"), ms_of(c, "tick_ever_us"), ms_of(c, "held_us"),
			ms_of(c, "held_ever_us"), ms_of(c, "loop_us"), ms_of(c, "loop_ever_us"));
	print_text(&t);
	json_decref(j);
	return ret;
}

// "/weft/v1/<what>/<port>"
static int get_of_port(const struct invocation *in, const char *what, json_t **out, struct err *err)
{
	char *port = weft_http_escape(in->args[0]);
	struct text path = {0};
	int ret;

	weft_text_add(&path, "/weft/v1/%s/%s", what, port);
	ret = get(in, path.s, out, err);
	weft_text_fini(&path);
	free(port);
	return ret;
}

static void port_groups(struct text *t, const json_t *port)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(port, "security_groups"), i, v)
		weft_text_add(t, "%-16s %s %s\n", "group",
			      json_string_value(json_object_get(v, "id")),
			      json_string_value(json_object_get(v, "name")));
	json_array_foreach(json_object_get(port, "notes"), i, v)
		weft_text_add(t, "%-16s %s\n", "note", json_string_value(v));
}

int weft_run_show_port(const struct invocation *in, struct err *err)
{
	static const struct column facts[] = {
		{"port", "id", 0},
		{"name", "name", 0},
		{"status", "status", 0},
		{"reason", "reason", 0},
		{"host", "host", 0},
		{"network", "network_name", 0},
		{"", "network", 0},
		{"mac", "mac", 0},
		{"fixed ips", "fixed_ips", 0},
		{"interface", "interface", 0},
		{"kind", "kind", 0},
		{"workers", "workers", 0},
		{"admin up", "admin_up", 0},
		{"port security", "port_security", 0},
		{"trusted", "trusted", 0},
		{"sessions", "sessions", 0},
		{"from VM packets", "counters.from_vm_packets", 0},
		{"from VM bytes", "counters.from_vm_bytes", 0},
		{"to VM packets", "counters.to_vm_packets", 0},
		{"to VM bytes", "counters.to_vm_bytes", 0},
		{"dropped from VM", "counters.dropped_from_vm", 0},
		{"dropped to VM", "counters.dropped_to_vm", 0},
		{"consumed", "counters.consumed", 0},
		{"lost from VM", "interface_counters.rx_lost", 0},
	};
	static const struct column guest[] = {
		{"queues", "guest.queues", 0},
		{"features", "guest.features", 0},
		{"mtu of driver", "guest.mtu", 0},
		{"drivers so far", "guest.drivers", 0},
		{"interrupts", "guest.interrupts", 0},
		{"without interrupts", "guest.mute", 0},
		{"announced", "guest.announced", 0},
		{"not announced", "guest.announce_refused", 0},
		{"malformed", "interface_counters.rx_malformed", 0},
		{"refused to VM", "interface_counters.tx_refused", 0},
		{"segmented", "interface_counters.tx_segmented", 0},
		{"checksums filled", "interface_counters.tx_filled", 0},
	};
	struct text t = {0};
	json_t *j = NULL, *count;
	const char *reason;
	int ret = get_of_port(in, "ports", &j, err);

	if (ret == 0 && j != NULL) {
		weft_facts(&t, j, facts, COUNT(facts));
		if (json_object_get(j, "guest") != NULL)
			weft_facts(&t, j, guest, COUNT(guest));
		port_groups(&t, j);
		json_object_foreach(json_object_get(j, "drops"), reason, count)
			weft_text_add(&t, "dropped: %-22s %lld\n", reason,
				      (long long)json_integer_value(count));
	}
	print_text(&t);
	json_decref(j);
	return ret;
}

int weft_run_show_sessions(const struct invocation *in, struct err *err)
{
	static const struct column columns[] = {
		{"FROM", "in_port", 11},	 {"NAME", "in_port_name", 24},
		{"TO", "out_port", 11},		 {"NAME", "out_port_name", 24},
		{"PROTO", "protocol_name", 0},	 {"SOURCE", "src", 0},
		{"PORT", "src_port", 0},	 {"DESTINATION", "dst", 0},
		{"PORT", "dst_port", 0},	 {"STATE", "state", 0},
		{"STALE", "stale", 0},		 {"PACKETS", "forward.packets", 0},
		{"REPLIES", "reply.packets", 0}, {"IDLE ms", "idle_ms", 0},
	};
	char *port = weft_http_escape(in->options[0] == NULL ? "" : in->options[0]);
	struct text path = {0};
	int ret;

	weft_text_add(&path, "/weft/v1/sessions?limit=%s",
		      in->options[1] == NULL ? "100" : in->options[1]);
	if (in->options[0] != NULL)
		weft_text_add(&path, "&port=%s", port);
	ret = show_list(in, path.s, "sessions", columns, COUNT(columns), err);
	weft_text_fini(&path);
	free(port);
	return ret;
}

// What is not 0, or all.
static void reasons(struct text *t, const json_t *list, bool all)
{
	const json_t *d;
	size_t i;

	json_array_foreach(list, i, d) {
		json_int_t n = json_integer_value(json_object_get(d, "packets"));
		const char *reason = json_string_value(json_object_get(d, "reason"));

		if (all || n > 0)
			weft_text_add(t, "%12lld  %-22s %s\n", (long long)n, reason,
				      json_string_value(json_object_get(d, "sentence")));
	}
}

int weft_run_show_drops(const struct invocation *in, struct err *err)
{
	static const struct column latest[] = {{"AGO ms", "ago_ms", 0},
					       {"PORT", "port", 11},
					       {"NAME", "port_name", 24},
					       {"REASON", "reason", 0},
					       {"PACKET", "packet", 0}};
	struct text t = {0};
	json_t *j = NULL;
	int ret = get(in, "/weft/v1/drops?limit=10", &j, err);

	if (ret != 0 || j == NULL)
		return ret;
	weft_text_add(&t, "%12s  %-22s %s\n", "PACKETS", "REASON", "");
	reasons(&t, json_object_get(j, "drops"), in->options[0] != NULL);
	reasons(&t, json_object_get(j, "losses"), in->options[0] != NULL);
	if (json_array_size(json_object_get(j, "samples")) > 0) {
		weft_text_add(&t, "\nThe latest:\n");
		weft_table(&t, json_object_get(j, "samples"), latest, COUNT(latest));
	}
	print_text(&t);
	json_decref(j);
	return 0;
}

static const char *string_at(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s == NULL ? "" : s;
}

int weft_run_explain(const struct invocation *in, struct err *err)
{
	static const struct column facts[] = {
		{"port", "port.id", 0},
		{"name", "port.name", 0},
		{"status", "port.status", 0},
		{"network", "port.network_name", 0},
		{"admin up", "policy.admin_up", 0},
		{"port security", "policy.port_security", 0},
		{"trusted", "policy.trusted", 0},
	};
	const json_t *policy, *g, *r, *p;
	struct text t = {0};
	json_t *j = NULL;
	size_t i, k;
	int ret = get_of_port(in, "explain", &j, err);

	if (ret != 0 || j == NULL)
		return ret;
	weft_facts(&t, j, facts, COUNT(facts));
	policy = json_object_get(j, "policy");
	weft_text_add(&t, "may send as\n");
	json_array_foreach(json_object_get(policy, "allowed_sources"), i, p)
		weft_text_add(&t, "    %s %s\n", string_at(p, "mac"), string_at(p, "prefix"));
	json_array_foreach(json_object_get(policy, "groups"), i, g) {
		weft_text_add(&t, "group %s %s (%s)\n", string_at(g, "id"), string_at(g, "name"),
			      json_is_true(json_object_get(g, "stateful")) ? "stateful"
									   : "stateless");
		json_array_foreach(json_object_get(g, "rules"), k, r)
			weft_text_add(&t, "    %s  %s\n", string_at(r, "id"), string_at(r, "text"));
	}
	print_text(&t);
	json_decref(j);
	return 0;
}
