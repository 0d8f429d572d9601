// SPDX-License-Identifier: Apache-2.0
// Show: floating IPs and what is translated.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/native/packet/counter.h"
#include "datapath/native/session/nat.h"
#include "datapath/native/show/show.h"
#include "datapath/native/policy/tables.h"

static const char *protocol_word(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_ICMP:
		return "icmp";
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_SCTP:
		return "sctp";
	case IPPROTO_ICMPV6:
		return "icmpv6";
	case IPPROTO_GRE:
		return "gre";
	default:
		return NULL;
	}
}

json_t *weft_native_protocol_json(uint8_t proto)
{
	const char *word = protocol_word(proto);

	return word == NULL ? json_integer(proto) : json_string(word);
}

// ---- Floating IPs --------------------------------------------------------------------------

static json_t *ip_json(const struct ip_addr *ip)
{
	char text[WEFT_IP_STRLEN];

	return ip->family == 0 ? json_null() : json_string(weft_ip_text(ip, text));
}

static json_t *id_json(const char *id)
{
	return id[0] == '\0' ? json_null() : json_string(id);
}

static json_t *forwarding_json(const struct plan_forwarding *p)
{
	char outside[16], text[WEFT_IP_STRLEN + 8], ip[WEFT_IP_STRLEN];

	snprintf(outside, sizeof(outside), p->port_min == p->port_max ? "%u" : "%u-%u", p->port_min,
		 p->port_max);
	snprintf(text, sizeof(text), "%s:%u", weft_ip_text(&p->fixed, ip), p->fixed_port);
	return json_pack("{s:s,s:o,s:s,s:s,s:o}", "id", p->id, "protocol",
			 weft_native_protocol_json(p->proto), "ports", outside, "to", text, "port",
			 id_json(p->port_id));
}

static void add_floating(const struct plan_floating *p,
			 const struct plan_forwarding *const *forwardings, size_t n, void *arg)
{
	char mac[WEFT_MAC_STRLEN];
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, forwarding_json(forwardings[i]));
	json_array_append_new(arg,
			      json_pack("{s:s,s:o,s:o,s:o,s:s,s:s,s:s,s:o}", "id", p->id, "address",
					ip_json(&p->ip), "fixed", ip_json(&p->fixed), "port",
					id_json(p->port_id), "router", p->router_id, "network",
					p->network_id, "mac", weft_mac_text(&p->mac, mac),
					"forwardings", list));
}

json_t *weft_native_floatings_json(struct native *dp)
{
	json_t *list = json_array();

	weft_tables_each_floating(dp->tables, add_floating, list);
	return json_pack("{s:o}", "floatingips", list);
}

// ---- Translated sessions -------------------------------------------------------------------

struct address { // outside
	rte_be32_t ip;
	const char *what; // "router", "floating ip"
	char id[WEFT_ID_LEN + 1];
	uint32_t sessions;
};

struct listing {
	struct native *dp;
	const struct port *only;
	size_t limit, n, total;
	json_t *list;
	size_t n_addresses, cap;
	struct address *addresses; // sorted
};

static void add_address(struct listing *l, const struct ip_addr *ip, const char *what,
			const char *id)
{
	struct address *a;

	if (ip->family != 4)
		return;
	if (l->n_addresses == l->cap) {
		l->cap = l->cap == 0 ? 64 : 2 * l->cap;
		l->addresses = realloc(l->addresses, l->cap * sizeof(*l->addresses));
		if (l->addresses == NULL)
			abort();
	}
	a = &l->addresses[l->n_addresses++];
	*a = (struct address) {.what = what};
	memcpy(&a->ip, ip->b, 4);
	snprintf(a->id, sizeof(a->id), "%s", id);
}

static void add_router_address(const struct plan_router *r, void *arg)
{
	add_address(arg, &r->snat, "router", r->id);
}

static void add_floating_address(const struct plan_floating *p,
				 const struct plan_forwarding *const *forwardings, size_t n,
				 void *arg)
{
	(void)forwardings;
	(void)n;
	add_address(arg, &p->ip, "floating ip", p->id);
}

static int by_ip(const void *a, const void *b)
{
	return memcmp(&((const struct address *)a)->ip, &((const struct address *)b)->ip, 4);
}

static void count(struct listing *l, rte_be32_t ip)
{
	struct address key = {.ip = ip};
	struct address *a = l->n_addresses == 0 ? NULL
						: bsearch(&key, l->addresses, l->n_addresses,
							  sizeof(key), by_ip);

	if (a != NULL)
		a->sessions++;
}

static json_t *tuple_json(const struct flow_key *k)
{
	char src[INET_ADDRSTRLEN], dst[INET_ADDRSTRLEN], text[80];
	uint16_t sport = rte_be_to_cpu_16(k->sport), dport = rte_be_to_cpu_16(k->dport);
	json_t *o;

	inet_ntop(AF_INET, &k->src4, src, sizeof(src));
	inet_ntop(AF_INET, &k->dst4, dst, sizeof(dst));
	o = json_pack("{s:s,s:s}", "src", src, "dst", dst);
	if (k->proto == IPPROTO_ICMP) {
		snprintf(text, sizeof(text), "%s > %s id %u", src, dst, sport);
		json_object_set_new(o, "icmp_id", json_integer(sport));
	} else if (sport == 0 && dport == 0) {
		snprintf(text, sizeof(text), "%s > %s", src, dst);
	} else {
		snprintf(text, sizeof(text), "%s:%u > %s:%u", src, sport, dst, dport);
		json_object_set_new(o, "src_port", json_integer(sport));
		json_object_set_new(o, "dst_port", json_integer(dport));
	}
	json_object_set_new(o, "text", json_string(text));
	return o;
}

// What the original direction leaves as; the copy's lines are not side by side.
static struct flow_key leaves_as(const struct session_copy *c)
{
	struct flow_key out = c->key;

	out.src4 = c->reply.key.dst4;
	out.dst4 = c->reply.key.src4;
	out.sport = c->key.proto == IPPROTO_ICMP ? c->reply.key.sport : c->reply.key.dport;
	if (c->key.proto != IPPROTO_ICMP)
		out.dport = c->reply.key.sport;
	return out;
}

static bool add_session(const struct session_copy *c, void *arg)
{
	struct listing *l = arg;
	const struct port *in = native_port(&l->dp->node, c->original.key.in_port);
	const struct port *out = native_port(&l->dp->node, c->original.out_port);
	struct flow_key after;

	if (c->key.family != 4 || !(c->original.flags & SESSION_NAT))
		return true;
	after = leaves_as(c);
	l->total++;
	if (after.src4 != c->key.src4)
		count(l, after.src4);
	if (after.dst4 != c->key.dst4)
		count(l, c->key.dst4);
	if ((l->only != NULL && in != l->only && out != l->only) || l->n == l->limit)
		return true;
	l->n++;
	json_array_append_new(
		l->list,
		json_pack("{s:s?,s:s?,s:o,s:s,s:b,s:o,s:o,s:I,s:I,s:I,s:I}", "in_port",
			  in == NULL ? NULL : in->id, "out_port", out == NULL ? NULL : out->id,
			  "protocol", weft_native_protocol_json(c->key.proto), "state",
			  weft_native_session_state(&c->original), "stale",
			  c->original.gen != native_gen(&l->dp->node, c->original.key.in_port,
							c->original.out_port),
			  "original", tuple_json(&c->key), "translated", tuple_json(&after),
			  "packets", (json_int_t)c->original.packets, "replies",
			  (json_int_t)c->reply.packets, "idle_ms", (json_int_t)c->idle_ms,
			  "expires_ms", (json_int_t)c->expires_ms));
	return true;
}

static json_t *addresses_json(const struct listing *l)
{
	json_t *list = json_array();

	for (size_t i = 0; i < l->n_addresses; i++) {
		const struct address *a = &l->addresses[i];
		char text[INET_ADDRSTRLEN];

		inet_ntop(AF_INET, &a->ip, text, sizeof(text));
		json_array_append_new(list,
				      json_pack("{s:s,s:s,s:s,s:I}", "address", text, "of", a->what,
						"id", a->id, "sessions", (json_int_t)a->sessions));
	}
	return list;
}

struct totals {
	uint64_t translated, tries, exhausted, clashes;
};

static struct totals totals(const struct native *dp)
{
	struct totals t = {0};

	for (uint16_t i = 0; i < dp->n_workers; i++) {
		t.translated += COUNTED(dp->workers[i]->stats.translated);
		t.tries += COUNTED(dp->workers[i]->stats.nat_tries);
		t.exhausted += COUNTED(dp->workers[i]->drops[DROP_NAT_EXHAUSTED]);
		t.clashes += COUNTED(dp->workers[i]->drops[DROP_SESSION_CLASH]);
	}
	return t;
}

json_t *weft_native_nat_json(struct native *dp, const struct port *only, size_t limit)
{
	struct listing l = {.dp = dp, .only = only, .limit = limit, .list = json_array()};
	struct totals t = totals(dp);
	json_t *addresses;

	weft_tables_each_router(dp->tables, add_router_address, &l);
	weft_tables_each_floating(dp->tables, add_floating_address, &l);
	if (l.n_addresses > 0)
		qsort(l.addresses, l.n_addresses, sizeof(l.addresses[0]), by_ip);
	weft_session_each(dp->node.sessions, native_now_ms(&dp->node), add_session, &l);
	addresses = addresses_json(&l);
	free(l.addresses);
	return json_pack("{s:o,s:I,s:o,s:I,s:I,s:I,s:I}", "sessions", l.list, "count",
			 (json_int_t)l.total, "addresses", addresses, "translated",
			 (json_int_t)t.translated, "ports_in_use_tried", (json_int_t)t.tries,
			 "exhausted", (json_int_t)t.exhausted, "clashes", (json_int_t)t.clashes);
}

static void counter(struct text *out, const char *name, const char *help, uint64_t value)
{
	weft_text_add(out, "# HELP %s %s\n# TYPE %s counter\n%s %llu\n", name, help, name, name,
		      (unsigned long long)value);
}

void weft_native_nat_metrics(struct native *dp, struct text *out)
{
	struct totals t = totals(dp);

	counter(out, "weft_nat_sessions_total", "Connections made with an address translated.",
		t.translated);
	counter(out, "weft_nat_tries_total",
		"Ports of routers' addresses that were tried for a connection and in use.",
		t.tries);
}
