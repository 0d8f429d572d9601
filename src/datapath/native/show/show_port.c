// SPDX-License-Identifier: Apache-2.0
// One port as an operator sees it: attachment, counters, drops, sessions, compiled policy.
#include "datapath/native/show/show.h"

#include <string.h>

#include "datapath/native/policy/tables.h"
#include "datapath/native/show/baseline.h"

static void counters(struct native *dp, const struct port *p, json_t *o)
{
	struct port_stats sum = weft_native_port_stats(dp, p);
	json_t *drops = json_object();
	uint64_t consumed = weft_native_port_drops(dp, p, DROP_SERVICE_DONE);

	for (int r = DROP_NONE + 1; r < DROP_COUNT; r++) {
		uint32_t n = weft_native_port_drops(dp, p, (enum drop)r);

		if (r != DROP_SERVICE_DONE && n > 0)
			json_object_set_new(drops, weft_drop_word(r), json_integer((json_int_t)n));
	}
	json_object_set_new(o, "counters",
			    json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "from_vm_packets",
				      (json_int_t)sum.rx_packets, "from_vm_bytes",
				      (json_int_t)sum.rx_bytes, "to_vm_packets",
				      (json_int_t)sum.tx_packets, "to_vm_bytes",
				      (json_int_t)sum.tx_bytes, "dropped_from_vm",
				      (json_int_t)sum.drops, "dropped_to_vm",
				      (json_int_t)sum.tx_drops, "consumed", (json_int_t)consumed));
	json_object_set_new(o, "drops", drops);
	weft_native_reset_json(dp, p->baseline != NULL,
			       p->baseline == NULL ? 0 : p->baseline->at_ms, o);
}

// By whom what it sends is received; the queues of pair p by the p-th of them, modulo their number.
static json_t *workers(const struct native *dp, const struct port *p)
{
	json_t *list = json_array();

	for (uint16_t i = 0; i < p->shares; i++)
		json_array_append_new(list, json_integer((p->worker + i) % dp->n_workers));
	return list;
}

json_t *weft_native_port_json(struct native *dp, const struct port *p, const struct plan_port *plan)
{
	struct port_io *io = atomic_load(&p->io);
	char mac[WEFT_MAC_STRLEN], ip[WEFT_IP_STRLEN];
	json_t *ips = json_array();
	json_t *o;

	for (size_t i = 0; i < plan->n_fixed; i++)
		json_array_append_new(ips, json_string(weft_ip_text(&plan->fixed[i].ip, ip)));
	o = json_pack("{s:s,s:s,s:s,s:o,s:b,s:b,s:b,s:b,s:s,s:s?,s:s,s:I,s:I}", "id", p->id,
		      "network", plan->network_id, "mac", weft_mac_text(&plan->mac, mac),
		      "fixed_ips", ips, "attached", io != NULL && atomic_load(&io->up), "admin_up",
		      plan->admin_up, "port_security", plan->filtered, "trusted", plan->trusted,
		      "vif", plan->vif_name, "interface", io == NULL ? NULL : p->ifname, "reason",
		      p->reason, "worker", (json_int_t)p->worker, "sessions",
		      (json_int_t)weft_session_port_count(dp->node.sessions, p->index));
	json_object_set_new(o, "workers", workers(dp, p));
	if (io != NULL)
		weft_native_io_json(io, p->baseline == NULL ? NULL : &p->baseline->io, o);
	json_t *guest = json_object_get(o, "guest");
	if (guest != NULL) {
		json_object_set_new(guest, "announced", json_integer((json_int_t)p->announced));
		json_object_set_new(guest, "announce_refused",
				    json_integer((json_int_t)p->announce_refused));
	}
	counters(dp, p, o);
	return o;
}

// ---- Sessions ------------------------------------------------------------------------------

struct listing {
	struct native *dp;
	const struct port *only;
	size_t limit, n;
	json_t *list;
};

const char *weft_native_session_state(const struct session *original)
{
	if (original->flags & SESSION_REFUSED)
		return "refused";
	switch (original->state) {
	case SESSION_NEW:
		return "new";
	case SESSION_ESTABLISHED:
		return "established";
	case SESSION_CLOSING:
		return "closing";
	default:
		return "free";
	}
}

static json_t *direction_json(const struct session *s)
{
	return json_pack("{s:I,s:I}", "packets", (json_int_t)s->packets, "bytes",
			 (json_int_t)((uint64_t)s->bytes_high << 32 | s->bytes_low));
}

static bool add_session(const struct session_copy *c, void *arg)
{
	struct listing *l = arg;
	const struct flow_key *k = &c->key;
	const struct session *s = &c->original;
	const struct port *in = native_port(&l->dp->node, s->key.in_port);
	const struct port *out = native_port(&l->dp->node, s->out_port);
	struct ip_addr src = {.family = k->family}, dst = {.family = k->family};
	char src_text[WEFT_IP_STRLEN], dst_text[WEFT_IP_STRLEN];
	bool icmp = k->proto == 1 || k->proto == 58;
	json_t *o;

	if (l->only != NULL && in != l->only && out != l->only)
		return true;
	memcpy(src.b, k->family == 4 ? (const void *)&k->src4 : k->src6, k->family == 4 ? 4 : 16);
	memcpy(dst.b, k->family == 4 ? (const void *)&k->dst4 : k->dst6, k->family == 4 ? 4 : 16);
	o = json_pack("{s:s?,s:s?,s:I,s:s,s:s,s:s,s:b,s:I,s:I,s:o,s:o}", "in_port",
		      in == NULL ? NULL : in->id, "out_port", out == NULL ? NULL : out->id,
		      "protocol", (json_int_t)k->proto, "src", weft_ip_text(&src, src_text), "dst",
		      weft_ip_text(&dst, dst_text), "state", weft_native_session_state(s), "stale",
		      s->gen != native_gen(&l->dp->node, s->key.in_port, s->out_port), "idle_ms",
		      (json_int_t)c->idle_ms, "expires_ms", (json_int_t)c->expires_ms, "forward",
		      direction_json(&c->original), "reply", direction_json(&c->reply));
	json_object_set_new(o, "protocol_name", weft_native_protocol_json(k->proto));
	if (icmp) {
		json_object_set_new(o, "icmp_id", json_integer(rte_be_to_cpu_16(k->sport)));
		json_object_set_new(o, "icmp_type", json_integer(rte_be_to_cpu_16(k->dport) >> 8));
	} else {
		json_object_set_new(o, "src_port", json_integer(rte_be_to_cpu_16(k->sport)));
		json_object_set_new(o, "dst_port", json_integer(rte_be_to_cpu_16(k->dport)));
	}
	json_array_append_new(l->list, o);
	return ++l->n < l->limit;
}

static bool count_session(const struct session_copy *c, void *arg)
{
	struct listing *l = arg;

	l->n += c->original.key.in_port == l->only->index ||
		weft_session_out_port(&c->original) == l->only->index;
	return true;
}

uint32_t weft_native_count_sessions(struct native *dp, const struct port *only)
{
	struct listing l = {.dp = dp, .only = only};

	weft_session_each(dp->node.sessions, native_now_ms(&dp->node), count_session, &l);
	return (uint32_t)l.n;
}

json_t *weft_native_sessions_json(struct native *dp, const struct port *only, size_t limit)
{
	struct listing l = {dp, only, limit, 0, json_array()};

	weft_session_each(dp->node.sessions, native_now_ms(&dp->node), add_session, &l);
	return json_pack("{s:o,s:I,s:I}", "sessions", l.list, "count",
			 (json_int_t)weft_session_count(dp->node.sessions), "capacity",
			 (json_int_t)weft_session_capacity(dp->node.sessions));
}

// ---- Policy --------------------------------------------------------------------------------

static json_t *rule_json(const struct plan_rule *r)
{
	char prefix[WEFT_NET_STRLEN];
	json_t *o = json_pack("{s:s,s:s,s:I,s:I}", "id", r->id, "direction",
			      r->direction == PLAN_EGRESS ? "egress" : "ingress", "family",
			      (json_int_t)r->family, "protocol", (json_int_t)r->proto);

	if (r->has_ports) {
		json_object_set_new(o, "port_min", json_integer(r->port_min));
		json_object_set_new(o, "port_max", json_integer(r->port_max));
	}
	if (r->icmp_type >= 0)
		json_object_set_new(o, "icmp_type", json_integer(r->icmp_type));
	if (r->icmp_code >= 0)
		json_object_set_new(o, "icmp_code", json_integer(r->icmp_code));
	if (r->remote == PLAN_REMOTE_PREFIX)
		json_object_set_new(o, "remote_prefix",
				    json_string(weft_prefix_text(&r->prefix, prefix)));
	else if (r->remote == PLAN_REMOTE_SET)
		json_object_set_new(o, "remote_set", json_string(r->set_id));
	return o;
}

static json_t *group_json(const struct plan_rule_set *g)
{
	json_t *rules = json_array();

	for (size_t i = 0; i < g->n_rules; i++)
		json_array_append_new(rules, rule_json(&g->rules[i]));
	return json_pack("{s:s,s:b,s:o}", "id", g->id, "stateful", g->stateful, "rules", rules);
}

json_t *weft_native_policy_json(struct native *dp, const struct plan_port *plan)
{
	char mac[WEFT_MAC_STRLEN], prefix[WEFT_NET_STRLEN];
	json_t *pairs = json_array(), *groups = json_array();

	for (size_t i = 0; i < plan->n_pairs; i++)
		json_array_append_new(pairs,
				      json_pack("{s:s,s:s}", "mac",
						weft_mac_text(&plan->pairs[i].mac, mac), "prefix",
						weft_prefix_text(&plan->pairs[i].prefix, prefix)));
	for (size_t i = 0; i < plan->n_rule_sets; i++) {
		const struct plan_rule_set *g =
			weft_tables_rule_set(dp->tables, plan->rule_sets[i]);

		if (g != NULL)
			json_array_append_new(groups, group_json(g));
	}
	return json_pack("{s:s,s:s,s:b,s:b,s:b,s:o,s:o}", "id", plan->id, "network",
			 plan->network_id, "admin_up", plan->admin_up, "port_security",
			 plan->filtered, "trusted", plan->trusted, "allowed_sources", pairs,
			 "groups", groups);
}
