// SPDX-License-Identifier: Apache-2.0
// Next hops that only the wire knows, and who else says that he has our addresses, as an operator
// sees them.
#include <string.h>

#include "datapath/native/outside/announce.h"
#include "datapath/native/outside/resolver.h"
#include "datapath/native/show/show.h"

struct listing {
	struct native *dp;
	uint32_t now_ms;
	// The network found last: neighbours of one network come often, networks seldom.
	uint32_t index;
	char network[WEFT_ID_LEN + 1];
	json_t *list;
};

static void match_network(const void *key, void *value, void *arg)
{
	const struct network *n = value;
	struct listing *l = arg;

	(void)key;
	if (n->index == l->index)
		memcpy(l->network, n->id, sizeof(l->network));
}

static const char *network_id(struct listing *l, uint32_t index)
{
	if (index != l->index || l->network[0] == '\0') {
		l->index = index;
		l->network[0] = '\0';
		weft_vmap_each(l->dp->node.networks, match_network, l);
	}
	return l->network[0] == '\0' ? NULL : l->network;
}

static json_t *ago(const struct listing *l, uint32_t at_ms)
{
	int32_t ms = (int32_t)(l->now_ms - at_ms);

	return json_integer(ms < 0 ? 0 : ms);
}

static void add_next_hop(const struct next_hop_view *v, void *arg)
{
	struct listing *l = arg;
	const struct port *port = native_port(&l->dp->node, v->port);
	char ip[WEFT_IP_STRLEN], mac[WEFT_MAC_STRLEN];

	json_array_append_new(
		l->list,
		json_pack("{s:s?,s:s,s:s?,s:s,s:s?,s:o,s:o,s:I}", "network",
			  network_id(l, v->network_index), "address", weft_ip_text(&v->ip, ip),
			  "mac", v->has_mac ? weft_mac_text(&v->mac, mac) : NULL, "state", v->state,
			  "port", port == NULL ? NULL : port->id, "heard_ms",
			  v->has_mac ? ago(l, v->heard_ms) : json_null(), "since_ms",
			  ago(l, v->since_ms), "waiting", (json_int_t)v->held));
}

static void add_conflict(const struct address_conflict *c, void *arg)
{
	struct listing *l = arg;
	char ip[WEFT_IP_STRLEN], mac[WEFT_MAC_STRLEN];

	json_array_append_new(
		l->list,
		json_pack("{s:s?,s:s,s:s,s:I,s:I,s:o}", "network", network_id(l, c->network_index),
			  "address", weft_ip_text(&c->ip, ip), "mac", weft_mac_text(&c->mac, mac),
			  "times", (json_int_t)c->times, "defended", (json_int_t)c->defended,
			  "ago_ms", ago(l, c->at_ms)));
}

json_t *weft_native_neighbours_json(struct native *dp)
{
	struct listing hops = {.dp = dp, .now_ms = native_now_ms(&dp->node), .list = json_array()};
	struct listing conflicts = {.dp = dp, .now_ms = hops.now_ms, .list = json_array()};

	weft_resolver_each(dp->node.resolver, add_next_hop, &hops);
	weft_resolver_each_conflict(dp->node.resolver, add_conflict, &conflicts);
	return json_pack("{s:o,s:o}", "neighbours", hops.list, "conflicts", conflicts.list);
}

static void counter(struct text *out, const char *name, const char *help, uint64_t value)
{
	weft_text_add(out, "# HELP %s %s\n# TYPE %s counter\n%s %llu\n", name, help, name, name,
		      (unsigned long long)value);
}

void weft_native_neighbour_metrics(struct native *dp, struct text *out)
{
	struct resolver_stats s;

	weft_resolver_stats(dp->node.resolver, &s);
	weft_text_add(out,
		      "# HELP weft_next_hops Next hops that are asked for, by state.\n"
		      "# TYPE weft_next_hops gauge\n"
		      "weft_next_hops{state=\"known\"} %u\nweft_next_hops{state=\"asking\"} %u\n"
		      "weft_next_hops{state=\"failed\"} %u\n",
		      s.known, s.asking, s.failed);
	weft_text_add(out,
		      "# HELP weft_next_hop_waiting Packets that wait for a next hop's answer.\n"
		      "# TYPE weft_next_hop_waiting gauge\nweft_next_hop_waiting %u\n",
		      s.held);
	counter(out, "weft_next_hop_questions_total", "Questions who has a next hop's address.",
		s.questions);
	counter(out, "weft_next_hop_failures_total", "Next hops that did not answer.", s.failures);
	counter(out, "weft_next_hop_moves_total", "Known next hops whose MAC changed.", s.moves);
	weft_text_add(out,
		      "# HELP weft_learned_macs MACs behind ports without port security, and those "
		      "that ports share.\n"
		      "# TYPE weft_learned_macs gauge\nweft_learned_macs %u\n",
		      s.macs);
	counter(out, "weft_learned_mac_moves_total", "MACs that were seen at another port.",
		s.mac_moves);
	counter(out, "weft_learned_mac_evictions_total",
		"MACs that were forgotten because there were too many.", s.mac_evictions);
	counter(out, "weft_address_conflicts_total",
		"Claims from outside for an address that the plan has.", s.conflicts);
	counter(out, "weft_announcements_total",
		"Announcements of floating IPs and router addresses.",
		weft_announcer_sent(dp->node.announcer));
	counter(out, "weft_address_defences_total",
		"Claims from outside that were answered by an announcement.",
		weft_announcer_defended(dp->node.announcer));
}
