// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/testing/tables_history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/text.h"
#include "datapath/native/outside/advertise.h"
#include "datapath/native/policy/tables_priv.h"
#include "datapath/native/uplink_device.h"

struct testbed *history_testbed(void)
{
	struct testbed *tb = testbed_new(64);

	assert_int_equal(weft_trunk_add(&tb->dp, "physical", "net_memory", NULL), 0);
	return tb;
}

// ---- Lines ---------------------------------------------------------------------------------

struct lines {
	struct testbed *tb;
	size_t n;
	char *at[4096];
};

__attribute__((format(printf, 2, 3))) static void line(struct lines *l, const char *fmt, ...)
{
	va_list args;

	assert_true(l->n < sizeof(l->at) / sizeof(l->at[0]));
	va_start(args, fmt);
	assert_true(vasprintf(&l->at[l->n++], fmt, args) >= 0);
	va_end(args);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void lines_free(struct lines *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->at[i]);
}

// ---- Indexes by name -----------------------------------------------------------------------

static const char *indexed(const struct map *map, uint32_t index)
{
	for (struct map_entry *e = weft_map_first(map); e != NULL; e = weft_map_next(e))
		if ((uintptr_t)weft_map_value(e) == index + 1)
			return weft_map_key(e);
	return "unknown";
}

static const char *network(const struct lines *l, uint32_t index)
{
	return indexed(l->tb->dp.tables->networks, index);
}

static const char *port(const struct lines *l, uint16_t index)
{
	const struct port *p = native_port(&l->tb->dp.node, index);

	if (index == NATIVE_NO_PORT)
		return "elsewhere";
	return p == NULL ? "gone" : p->id;
}

static const char *slot(const struct lines *l, const struct vslot *s)
{
	bool there = weft_vslot_value(s, weft_vstore_epoch(l->tb->dp.node.vs)) != NULL;

	return there ? (const char *)weft_vslot_key(s) : "missing";
}

struct words {
	char b[1024];
};

static const char *mac(const struct mac_addr *m, struct words *w)
{
	return weft_mac_text(m, w->b);
}

// ---- The maps ------------------------------------------------------------------------------

static void networks(const void *key, void *value, void *arg)
{
	const struct network *n = value;
	struct lines *l = arg;

	line(l, "network %s %s mtu %u uplink %s", (const char *)key, network(l, n->index), n->mtu,
	     port(l, n->uplink));
}

static void subnets(const void *key, void *value, void *arg)
{
	const struct subnet *s = value;

	line(arg, "subnet %s network %s dhcp %d", (const char *)key, s->plan->network_id,
	     s->plan->dhcp);
}

static void ports(const void *key, void *value, void *arg)
{
	const struct port_policy *p = value;
	struct lines *l = arg;
	struct words w;

	line(l, "port %s is %s role %d network %s %s mtu %u %s filtered %d pairs %zu",
	     (const char *)key, port(l, p->index), p->role, network(l, p->network_index),
	     slot(l, p->network), atomic_load(&l->tb->dp.node.mtu[p->index]),
	     mac(&p->plan->mac, &w), p->plan->filtered, p->plan->n_pairs);
	for (size_t i = 0; i < p->n_rule_sets; i++)
		line(l, "port %s group %s", (const char *)key, slot(l, p->rule_sets[i]));
	for (size_t i = 0; i < p->n_fixed; i++)
		line(l, "port %s subnet %s", (const char *)key, slot(l, p->fixed[i].subnet));
}

static void macs(const void *key, void *value, void *arg)
{
	const struct mac_owners *o = value;
	const struct mac_key *k = key;
	struct words w;

	for (uint16_t i = 0; i < o->n; i++)
		line(arg, "mac %s %s is %s", network(arg, k->network), mac(&k->mac, &w),
		     port(arg, o->ports[i]));
}

static void neighbours(const void *key, void *value, void *arg)
{
	const struct neighbour_key *k = key;
	const struct neighbours *n = value;
	struct words w;

	for (size_t i = 0; i < n->n; i++)
		line(arg, "neighbour %s %u.%u is %s at %s of %s pair %d", network(arg, k->network),
		     k->ip[2], k->ip[3], mac(&n->at[i].mac, &w), port(arg, n->at[i].port),
		     n->at[i].port_id, n->at[i].from_pair);
}

static void floods(const void *key, void *value, void *arg)
{
	const struct flood_list *f = value;
	const char *name = network(arg, *(const uint32_t *)key);

	line(arg, "flood %s uplink %s", name, port(arg, f->uplink));
	for (size_t i = 0; i < f->n; i++)
		line(arg, "flood %s %s %s", name, port(arg, f->ports[i]),
		     i < f->n_unfiltered ? "any"
		     : i < f->n_asked	 ? "some"
					 : "none");
}

static void routers(const void *key, void *value, void *arg)
{
	const struct router *r = value;
	struct lines *l = arg;
	struct words w;

	line(l, "router %s %s up %d external %d", (const char *)key,
	     indexed(l->tb->dp.tables->router_index, r->index), r->admin_up,
	     r->external != ROUTER_NO_EXTERNAL);
	for (size_t i = 0; i < r->n_interfaces; i++)
		line(l, "router %s interface %s %s %s", (const char *)key,
		     network(l, r->interfaces[i].network_index), slot(l, r->interfaces[i].network),
		     mac(&r->interfaces[i].mac, &w));
}

static void gateways(const void *key, void *value, void *arg)
{
	const struct gateway *g = value;
	const struct mac_key *k = key;
	struct words w;

	line(arg, "gateway %s %s router %s of %s interface %u", network(arg, k->network),
	     mac(&k->mac, &w), slot(arg, g->router), g->owner, g->interface);
}

static void adverts(const void *key, void *value, void *arg)
{
	const struct adverts *a = value;
	struct words w;

	for (size_t i = 0; i < a->n; i++)
		line(arg, "advert %s %s prefixes %zu mtu %u", network(arg, *(const uint32_t *)key),
		     mac(&a->at[i].ra.router, &w), a->at[i].ra.n_prefixes, a->at[i].ra.mtu);
}

static void floating(struct lines *l, const char *map, const char *scope, rte_be32_t ip,
		     const struct floating *f)
{
	struct words w;

	line(l, "%s %s %08x is %s router %s %08x -> %08x %s", map, scope, rte_be_to_cpu_32(ip),
	     f->id, slot(l, f->router), rte_be_to_cpu_32(f->ip), rte_be_to_cpu_32(f->fixed),
	     mac(&f->mac, &w));
	for (size_t i = 0; i < f->n_forwardings; i++)
		line(l, "%s %s %08x forwards %u", map, scope, rte_be_to_cpu_32(ip),
		     f->forwardings[i].port_min);
}

static void floatings(const void *key, void *value, void *arg)
{
	const struct floating_key *k = key;

	floating(arg, "floating", network(arg, k->scope), k->ip, value);
}

static void floatings_of(const void *key, void *value, void *arg)
{
	const struct floating_key *k = key;
	struct lines *l = arg;

	floating(l, "fixed", indexed(l->tb->dp.tables->router_index, k->scope), k->ip, value);
}

static void rule_sets(const void *key, void *value, void *arg)
{
	struct lines *l = arg;
	const struct rule_set_ctl *c = weft_map_get(l->tb->dp.tables->rule_sets, key);

	(void)value;
	line(l, "group %s rules %zu", (const char *)key, c->plan->n_rules);
	for (size_t i = 0; i < c->n_users; i++)
		line(l, "group %s is used by %s", (const char *)key, port(l, c->users[i]));
}

static void set_users(struct lines *l)
{
	const struct map *sets = l->tb->dp.tables->set_users;

	for (struct map_entry *e = weft_map_first(sets); e != NULL; e = weft_map_next(e))
		for (struct map_entry *u = weft_map_first(weft_map_value(e)); u != NULL;
		     u = weft_map_next(u))
			line(l, "set %s is used by %s", weft_map_key(e), weft_map_key(u));
	for (uint8_t i = 0; i < 8; i++)
		for (uint8_t k = 0; k < 2; k++) {
			struct ip_prefix p = {{4, {10, 0, 0, i}}, 32};
			char id[8] = {'s', 'e', 't', (char)('0' + k)};

			if (weft_sets_has_member(l->tb->dp.node.sets, id, &p))
				line(l, "set %s has %u", id, i);
		}
}

static void uplinks(struct port *p, struct trunk *trunk, uint16_t vlan, void *arg)
{
	line(arg, "uplink %s is on %s vlan %u", p->id, trunk->name, vlan);
}

static void vlans(struct lines *l)
{
	const struct trunk *t = weft_trunk_find(&l->tb->dp, "physical");

	for (uint16_t i = 0; i < TRUNK_VLANS; i++)
		if (atomic_load(&t->port[i]) != NATIVE_NO_PORT)
			line(l, "vlan %u is %s", i, port(l, atomic_load(&t->port[i])));
}

static struct lines lines_of(struct testbed *tb)
{
	struct lines l = {.tb = tb};
	struct native *dp = &tb->dp;

	weft_vmap_each(dp->node.networks, networks, &l);
	weft_vmap_each(dp->node.subnets, subnets, &l);
	weft_vmap_each(dp->node.ports, ports, &l);
	weft_vmap_each(dp->node.rule_sets, rule_sets, &l);
	weft_vmap_each(dp->node.macs, macs, &l);
	weft_vmap_each(dp->node.neighbours, neighbours, &l);
	weft_vmap_each(dp->node.floods, floods, &l);
	weft_vmap_each(dp->node.routers, routers, &l);
	weft_vmap_each(dp->node.gateways, gateways, &l);
	weft_vmap_each(dp->node.adverts, adverts, &l);
	weft_vmap_each(dp->node.floatings, floatings, &l);
	weft_vmap_each(dp->node.floatings_of, floatings_of, &l);
	set_users(&l);
	weft_trunks_sync(dp);
	vlans(&l);
	weft_tables_each_uplink(dp->tables, uplinks, &l);
	line(&l, "networks with an index: %zu", weft_map_count(dp->tables->networks));
	line(&l, "routers with an index: %zu", weft_map_count(dp->tables->router_index));
	line(&l, "groups known: %zu", weft_map_count(dp->tables->rule_sets));
	qsort(l.at, l.n, sizeof(l.at[0]), by_text);
	return l;
}

// ---- Both ----------------------------------------------------------------------------------

static void build(struct testbed *tb, const struct plan_batch *all)
{
	for (int kind = PLAN_NETWORK; kind <= PLAN_FORWARDING; kind++)
		for (size_t i = 0; i < all->n; i++)
			if ((int)all->changes[i].kind == kind)
				weft_plan_batch_add(&tb->batch, PLAN_PUT, (enum plan_kind)kind,
						    weft_plan_object_copy((enum plan_kind)kind,
									  all->changes[i].object));
	testbed_commit(tb);
}

void history_check(struct testbed *tb, const struct plan_batch *all, uint64_t history,
		   unsigned int step)
{
	struct testbed *fresh = history_testbed();
	struct lines is, should;
	size_t i = 0, k = 0;
	bool differ = false;

	build(fresh, all);
	is = lines_of(tb);
	should = lines_of(fresh);
	while (i < is.n || k < should.n) {
		int order = i == is.n ? 1 : k == should.n ? -1 : strcmp(is.at[i], should.at[k]);

		if (order < 0)
			print_message("too much: %s\n", is.at[i]);
		else if (order > 0)
			print_message("missing:  %s\n", should.at[k]);
		differ = differ || order != 0;
		i += order <= 0;
		k += order >= 0;
	}
	lines_free(&is);
	lines_free(&should);
	testbed_free(fresh);
	if (differ)
		fail_msg("HISTORY=%lu, step %u", history, step);
}
