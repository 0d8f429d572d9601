// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/testing/testbed.h"

#include <rte_cycles.h>
#include <rte_malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/native/outside/announce.h"
#include "datapath/native/io/eal.h"
#include "datapath/native/metadata_port.h"
#include "datapath/native/outside/resolver.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/outside/uplink.h"
#include "datapath/native/testing/testbed_priv.h"
#include "datapath/native/carry/turn.h"
#include "datapath/native/uplink_device.h"
#include "datapath/native/wiring.h"

static uint16_t memory_rx(struct port_io *io, uint16_t share, struct rte_mbuf **pkts, uint16_t n)
{
	(void)io;
	(void)share;
	(void)pkts;
	(void)n;
	return 0;
}

static uint16_t memory_put(struct memory_io *m, struct rte_mbuf **pkts, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		struct frame *f = &m->frames[m->tail % MEMORY_QUEUE];

		if (m->tail - m->head == MEMORY_QUEUE)
			return i;
		f->len = RTE_MIN(rte_pktmbuf_pkt_len(pkts[i]), sizeof(f->b));
		// A fragment has its header and its data in two segments.
		const void *whole = rte_pktmbuf_read(pkts[i], 0, (uint32_t)f->len, f->b);

		if (whole != f->b)
			memcpy(f->b, whole, f->len);
		m->tail++;
		rte_pktmbuf_free(pkts[i]);
	}
	return n;
}

static uint16_t memory_tx(struct port_io *io, struct rte_mbuf **pkts, uint16_t n)
{
	struct memory_io *m = (struct memory_io *)io;

	rte_spinlock_lock(&m->lock);
	n = memory_put(m, pkts, n);
	rte_spinlock_unlock(&m->lock);
	return n;
}

static void memory_stats(const struct port_io *io, struct port_io_stats *out)
{
	*out = (struct port_io_stats) {.rx_lost = ((const struct memory_io *)io)->lost};
}

static void memory_close(struct port_io *io)
{
	free(io);
}

static const struct port_io_ops memory_ops = {
	.name = "memory",
	.rx = memory_rx,
	.tx = memory_tx,
	.stats = memory_stats,
	.close = memory_close,
};

static void take_off(void *native, struct port *p)
{
	struct port_io *io = atomic_exchange(&p->io, NULL);

	(void)native;
	if (io != NULL)
		memory_close(io);
}

static void start_eal_once(struct native *dp)
{
	static bool started;
	struct err err;

	if (!started && weft_eal_start(&dp->node.config, &dp->huge, &err) != 0) {
		fprintf(stderr, "%s\n", err.msg);
		abort();
	}
	started = true;
}

struct testbed *testbed_new(uint32_t sessions)
{
	static struct rte_mempool *pool; // DPDK starts once in a process, and so does the pool
	struct testbed *tb = must(calloc(1, sizeof(*tb)));
	struct native *dp = &tb->dp;
	struct session_config sc;
	struct err err;

	dp->node.config = (struct datapath_config) {
		.run_dir = "/tmp",
		.workers = 1,
		.cores = "",
		.idle_us = 100,
		.sessions = sessions,
		.port_share_percent = 50,
		.project_share_percent = 75,
		.hugepages = DATAPATH_HUGEPAGES_OFF,
		.tcp_loose = true,
		.timeouts = {60, 432000, 30, 30, 180, 30, 600},
	};
	start_eal_once(dp);
	if (pool == NULL)
		must_be(weft_eal_pool(&dp->node.config, &pool, &err) == 0);
	dp->node.pool = pool;
	dp->node.tsc_hz = rte_get_tsc_hz();
	dp->node.tsc_start = rte_rdtsc();
	dp->node.qsbr = must(aligned_alloc(
		RTE_CACHE_LINE_SIZE,
		RTE_CACHE_LINE_ROUNDUP(rte_rcu_qsbr_get_memsize(NATIVE_MAX_WORKERS))));
	must_be(rte_rcu_qsbr_init(dp->node.qsbr, NATIVE_MAX_WORKERS) == 0);
	sc = (struct session_config) {
		.connections = sessions,
		.port_share_percent = dp->node.config.port_share_percent,
		.project_share_percent = dp->node.config.project_share_percent,
		.max_ports = NATIVE_MAX_PORTS,
		.tcp_loose = true,
		.timeouts = dp->node.config.timeouts,
		.qsbr = dp->node.qsbr,
	};
	must_be(weft_sessions_new(&sc, &dp->node.sessions, &err) == 0);
	dp->node.vs = must(weft_vstore_new(dp->node.qsbr));
	weft_wiring_new(dp, take_off);
	must_be(weft_worker_new(&dp->node, 0, 0, &tb->w, &err) == 0);
	dp->workers[0] = tb->w;
	dp->n_workers = 1;
	rte_rcu_qsbr_thread_online(dp->node.qsbr, 0);
	return tb;
}

struct worker *testbed_worker(struct testbed *tb)
{
	struct native *dp = &tb->dp;
	uint16_t id = dp->n_workers;
	struct err err;

	must_be(weft_worker_new(&dp->node, id, 0, &dp->workers[id], &err) == 0);
	dp->n_workers++;
	return dp->workers[id];
}

void testbed_free(struct testbed *tb)
{
	struct native *dp = &tb->dp;

	atomic_store(&dp->node.stop, true);
	while (dp->n_workers > 1)
		weft_worker_stop(dp->workers[--dp->n_workers]);
	weft_worker_stop(tb->w); // before what it polls goes
	for (uint32_t i = 0; i < NATIVE_MAX_PORTS; i++) {
		struct port *p = native_port(&dp->node, (uint16_t)i);

		if (p != NULL && p->io != NULL)
			memory_close(atomic_exchange(&p->io, NULL));
	}
	weft_plan_batch_fini(&tb->batch);
	weft_wiring_free(dp);
	weft_vstore_free(dp->node.vs);
	weft_sessions_free(dp->node.sessions);
	weft_trunks_free(dp);
	free(dp->node.qsbr);
	if (rte_mempool_in_use_count(dp->node.pool) != 0) {
		fprintf(stderr, "%u packet buffers were not given back\n",
			rte_mempool_in_use_count(dp->node.pool));
		abort();
	}
	free(tb);
}

// ---- Policy --------------------------------------------------------------------------------

void testbed_subnet(struct testbed *tb, const char *id, const char *network, const char *cidr,
		    const char *gateway, bool dhcp)
{
	struct plan_subnet *s = must(calloc(1, sizeof(*s)));

	set_id(s->id, id);
	set_id(s->network_id, network);
	must_be(weft_prefix_parse(cidr, &s->cidr) == 0);
	if (gateway != NULL)
		must_be(weft_ip_parse(gateway, &s->gateway) == 0);
	s->dhcp = dhcp;
	s->lease_s = 86400;
	weft_plan_batch_add(&tb->batch, PLAN_PUT, PLAN_SUBNET, s);
}

static int16_t proto_of(const char *word, uint8_t family)
{
	if (strcmp(word, "any") == 0)
		return -1;
	if (strcmp(word, "tcp") == 0)
		return 6;
	if (strcmp(word, "udp") == 0)
		return 17;
	if (strcmp(word, "icmp") == 0)
		return family == 4 ? 1 : 58;
	return (int16_t)atoi(word);
}

static void parse_rule(const char *line, const char *set_name, size_t index, struct plan_rule *r)
{
	char direction[16], proto[16], word[2][64] = {"", ""};
	unsigned family, a, b;

	must_be(sscanf(line, "%15s %u %15s %63s %63s", direction, &family, proto, word[0],
		       word[1]) >= 3);
	snprintf(r->id, sizeof(r->id), "%.20s-%zu", set_name, index);
	r->direction = strcmp(direction, "egress") == 0 ? PLAN_EGRESS : PLAN_INGRESS;
	r->family = (uint8_t)family;
	r->proto = proto_of(proto, r->family);
	r->icmp_type = r->icmp_code = -1;
	for (int i = 0; i < 2; i++) {
		if (word[i][0] == '@') {
			r->remote = PLAN_REMOTE_SET;
			set_id(r->set_id, word[i] + 1);
		} else if (strchr(word[i], ':') != NULL || strchr(word[i], '.') != NULL) {
			r->remote = PLAN_REMOTE_PREFIX;
			must_be(weft_prefix_parse(word[i], &r->prefix) == 0);
		} else if (sscanf(word[i], "%u-%u", &a, &b) == 2) {
			r->has_ports = true;
			r->port_min = (uint16_t)a;
			r->port_max = (uint16_t)b;
		} else if (sscanf(word[i], "%u/%u", &a, &b) == 2) {
			r->icmp_type = (int16_t)a;
			r->icmp_code = (int16_t)b;
		}
	}
}

void testbed_rule_set(struct testbed *tb, const char *id, bool stateful, const char *rules)
{
	struct plan_rule_set *s = must(calloc(1, sizeof(*s)));
	char *copy = must(strdup(rules)), *save = NULL;

	set_id(s->id, id);
	s->stateful = stateful;
	s->rules = must(calloc(strlen(rules) + 1, sizeof(s->rules[0])));
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		parse_rule(line, id, s->n_rules, &s->rules[s->n_rules]);
		s->n_rules++;
	}
	free(copy);
	weft_plan_batch_add(&tb->batch, PLAN_PUT, PLAN_RULE_SET, s);
}

void testbed_member(struct testbed *tb, enum plan_op op, const char *set, const char *prefix)
{
	struct plan_member *m = must(calloc(1, sizeof(*m)));

	set_id(m->set_id, set);
	must_be(weft_prefix_parse(prefix, &m->prefix) == 0);
	weft_plan_batch_add(&tb->batch, op, PLAN_MEMBER, m);
}

struct mac_addr testbed_mac(const char *port)
{
	struct mac_addr mac = {.b = {0x02, 0, 0, 0, 0, 0}};
	uint32_t h = 2166136261u;

	for (const char *c = port; *c != '\0'; c++)
		h = (h ^ (uint8_t)*c) * 16777619u;
	memcpy(mac.b + 2, &h, 4);
	return mac;
}

static void add_neighbour(struct testbed *tb, const struct plan_port *p,
			  const struct plan_pair *pair, bool from_pair)
{
	struct plan_neighbour *n = must(calloc(1, sizeof(*n)));

	set_id(n->network_id, p->network_id);
	n->ip = pair->prefix.ip;
	n->mac = pair->mac;
	set_id(n->port_id, p->id);
	n->local = true;
	n->from_pair = from_pair;
	n->any_mac = !p->filtered;
	weft_plan_batch_add(&tb->batch, PLAN_PUT, PLAN_NEIGHBOUR, n);
}

static void add_pairs(struct plan_port *p, const char *pairs)
{
	char *copy = must(strdup(pairs)), *save = NULL;

	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		struct plan_pair *pair = &p->pairs[p->n_pairs++];
		char *bar = strchr(w, '|');

		must_be(bar != NULL);
		*bar = '\0';
		pair->mac = p->mac;
		if (strcmp(w, "-") != 0)
			must_be(weft_mac_parse(w, &pair->mac) == 0);
		must_be(weft_prefix_parse(bar + 1, &pair->prefix) == 0);
	}
	free(copy);
}

void testbed_port_with(struct testbed *tb, const char *id, const char *network, const char *ips,
		       const char *groups, const char *pairs, bool admin_up)
{
	struct plan_port *p = must(calloc(1, sizeof(*p)));
	char *copy = must(strdup(ips)), *save = NULL;
	size_t own;

	set_id(p->id, id);
	set_id(p->network_id, network);
	if (tb->project != NULL)
		snprintf(p->project_id, sizeof(p->project_id), "%s", tb->project);
	p->mac = testbed_mac(id);
	p->admin_up = admin_up;
	p->filtered = groups != NULL;
	p->fixed = must(calloc(16, sizeof(p->fixed[0])));
	p->pairs = must(calloc(64, sizeof(p->pairs[0])));
	p->rule_sets = must(calloc(16, sizeof(p->rule_sets[0])));
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		struct plan_fixed *f = &p->fixed[p->n_fixed++];

		must_be(weft_ip_parse(w, &f->ip) == 0);
		snprintf(f->subnet_id, sizeof(f->subnet_id), "%.20s-%u", network, f->ip.family);
		p->pairs[p->n_pairs++] = (struct plan_pair) {p->mac, {f->ip, weft_ip_bits(&f->ip)}};
	}
	free(copy);
	p->pairs[p->n_pairs++] = (struct plan_pair) {p->mac, {weft_ip_link_local_of(&p->mac), 128}};
	own = p->n_pairs;
	add_pairs(p, pairs);
	copy = must(strdup(groups == NULL ? "" : groups));
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		set_id(p->rule_sets[p->n_rule_sets++], w);
	free(copy);
	weft_plan_batch_add(&tb->batch, PLAN_PUT, PLAN_PORT, p);
	for (size_t i = 0; i < p->n_pairs; i++)
		if (p->pairs[i].prefix.len == weft_ip_bits(&p->pairs[i].prefix.ip))
			add_neighbour(tb, p, &p->pairs[i], i >= own);
}

void testbed_port(struct testbed *tb, const char *id, const char *network, const char *ips,
		  const char *groups)
{
	testbed_port_with(tb, id, network, ips, groups, "", true);
}

void testbed_del(struct testbed *tb, enum plan_kind kind, const char *id, const char *network)
{
	char *o =
		must(calloc(1, 4096)); // larger than any plan object; ids come first in all of them

	(void)network;
	set_id(o, id);
	weft_plan_batch_add(&tb->batch, PLAN_DEL, kind, o);
}

static struct port_io *memory_open(void)
{
	struct memory_io *m = must(calloc(1, sizeof(*m)));

	m->io.ops = &memory_ops;
	m->io.up = true;
	return &m->io;
}

static void attach(struct port *p)
{
	if (p->io == NULL)
		atomic_store(&p->io, memory_open());
}

void testbed_metadata(struct testbed *tb)
{
	struct mac_addr here = testbed_mac("here"), there = testbed_mac("proxy");

	weft_metadata_put(&tb->dp, memory_open(), &here, &there);
}

static void attach_new(struct port *p, const struct plan_port *plan, void *arg)
{
	(void)plan;
	(void)arg;
	attach(p);
}

static void attach_uplink(struct port *p, struct trunk *trunk, uint16_t vlan, void *arg)
{
	(void)trunk;
	(void)vlan;
	(void)arg;
	attach(p);
}

void testbed_commit(struct testbed *tb)
{
	size_t refused;
	struct err err;

	if (weft_tables_prepare(tb->dp.tables, &tb->batch, &refused, &err) != 0) {
		fprintf(stderr, "%s\n", err.msg);
		abort();
	}
	weft_tables_apply(tb->dp.tables, &tb->batch);
	weft_announce_batch(&tb->dp.node, &tb->batch);
	weft_plan_batch_fini(&tb->batch);
	rte_rcu_qsbr_quiescent(tb->dp.node.qsbr, 0);
	weft_vstore_reclaim(tb->dp.node.vs);
	weft_tables_each_port(tb->dp.tables, attach_new, NULL);
	weft_tables_each_uplink(tb->dp.tables, attach_uplink, NULL);
}
