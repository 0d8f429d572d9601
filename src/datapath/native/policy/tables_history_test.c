// SPDX-License-Identifier: Apache-2.0
// A random history of plans: whatever way led to a plan, and in whatever order its batches had
// their objects, the tables are those that the plan alone makes.
//
// The plans have few MACs, addresses and interfaces, so that these change hands all the time. A
// batch may be several merged ones.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "datapath/native/testing/tables_history.h"

#define STEPS 25

static uint64_t seed;

static unsigned int any(unsigned int n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned int)((seed >> 11) % n);
}

// ---- Plans ---------------------------------------------------------------------------------

enum { NETWORKS = 4, EXTERNAL = 3, PORTS = 5, DOORS = 6, ROUTERS = 3, FLOATINGS = 6, GROUPS = 2 };

// All that a plan may differ in. 0 is "not there"; who comes later gives way where two would have
// the same.
struct world {
	struct {
		unsigned int there, vlan, mtu;
	} network[NETWORKS];
	struct {
		unsigned int where, network, mac, ip, filtered, pair,
			groups; // where: 1 remote, 2 here
	} port[PORTS];
	struct {
		unsigned int router, network, mac, ip;
	} door[DOORS];
	struct {
		unsigned int there, down;
	} router[ROUTERS];
	struct {
		unsigned int router, ip, mac, fixed, forwards;
	} floating[FLOATINGS];
	struct {
		unsigned int there, rules, members;
	} group[GROUPS];
};

static void change_some(struct world *w)
{
	unsigned int *all = (unsigned int *)w;

	for (unsigned int n = 1 + any(12); n > 0; n--)
		all[any(sizeof(*w) / sizeof(*all))] = any(5);
}

struct taken { // in one network
	bool mac[8], ip[8];
};

struct plan {
	struct plan_batch all; // PUT of each object
	struct taken taken[NETWORKS];
};

static bool take(struct plan *p, unsigned int network, unsigned int mac, unsigned int ip)
{
	struct taken *t = &p->taken[network];

	if (t->mac[mac] || t->ip[ip])
		return false;
	return t->mac[mac] = t->ip[ip] = true;
}

static void *object(struct plan *p, enum plan_kind kind, size_t size, const char *name,
		    unsigned int n)
{
	char *o = calloc(1, size);

	snprintf(o, WEFT_ID_LEN + 1, "%s%u", name, n); // the id is the first member
	weft_plan_batch_add(&p->all, PLAN_PUT, kind, o);
	return o;
}

static void name(char *out, const char *what, unsigned int n)
{
	snprintf(out, WEFT_ID_LEN + 1, "%s%u", what, n);
}

static struct mac_addr mac_of(unsigned int n)
{
	return (struct mac_addr) {{2, 0, 0, 0, 0, (uint8_t)n}};
}

static struct ip_addr ip_of(unsigned int network, unsigned int n)
{
	return (struct ip_addr) {4, {10, 0, (uint8_t)network, (uint8_t)(n + 1)}};
}

static void networks(struct plan *p, const struct world *w)
{
	for (unsigned int i = 0; i < NETWORKS; i++) {
		struct plan_network *n;
		bool clash = false;

		if (w->network[i].there == 0)
			continue;
		n = object(p, PLAN_NETWORK, sizeof(*n), "n", i);
		n->mtu = 1500 + w->network[i].mtu;
		for (unsigned int k = 0; k < i; k++)
			clash = clash || w->network[k].vlan == w->network[i].vlan;
		if (!clash && w->network[i].vlan < 4) {
			n->segment = w->network[i].vlan;
			strcpy(n->physical, "physical");
		}
		for (unsigned int family = 4; family <= 6; family += 2) {
			struct plan_subnet *s =
				object(p, PLAN_SUBNET, sizeof(*s), family == 4 ? "s4-" : "s6-", i);

			name(s->network_id, "n", i);
			s->cidr = family == 4 ? (struct ip_prefix) {{4, {10, 0, (uint8_t)i}}, 24}
					      : (struct ip_prefix) {{6, {0xfd, (uint8_t)i}}, 64};
			s->ra = family == 6 ? PLAN_V6_SLAAC : PLAN_V6_NONE;
			s->dhcp = family == 4 && w->network[i].mtu % 2 == 0;
		}
	}
}

static void groups(struct plan *p, const struct world *w)
{
	for (unsigned int i = 0; i < GROUPS; i++) {
		struct plan_rule_set *g;

		if (w->group[i].there == 0)
			continue;
		g = object(p, PLAN_RULE_SET, sizeof(*g), "g", i);
		g->stateful = true;
		g->rules = calloc(2, sizeof(g->rules[0]));
		g->n_rules = w->group[i].rules % 3;
		for (unsigned int k = 0; k < g->n_rules; k++) {
			g->rules[k] = (struct plan_rule) {
				.family = 4, .proto = -1, .icmp_type = -1, .icmp_code = -1};
			name(g->rules[k].id, "rule", k);
			g->rules[k].remote = PLAN_REMOTE_SET;
			name(g->rules[k].set_id, "set", (w->group[i].rules + k) % GROUPS);
		}
		for (unsigned int k = 0; k < 3; k++) {
			struct plan_member *m;

			if (w->group[i].members >> k & 1) {
				m = object(p, PLAN_MEMBER, sizeof(*m), "set", i);
				m->prefix = (struct ip_prefix) {ip_of(0, k), 32};
			}
		}
	}
}

static void neighbour(struct plan *p, const char *what, unsigned int n, unsigned int network,
		      unsigned int ip, unsigned int mac)
{
	struct plan_neighbour *o = object(p, PLAN_NEIGHBOUR, sizeof(*o), "n", network);

	name(o->port_id, what, n);
	o->ip = ip_of(network, ip);
	o->mac = mac_of(mac);
}

static void ports(struct plan *p, const struct world *w)
{
	for (unsigned int i = 0; i < PORTS; i++) {
		unsigned int network = w->port[i].network % NETWORKS, pair = w->port[i].pair % 4;
		bool here = w->port[i].where >= 3;
		struct plan_neighbour *n;
		struct plan_port *o;

		if (w->port[i].where == 0 || w->network[network].there == 0 ||
		    !take(p, network, w->port[i].mac, w->port[i].ip))
			continue;
		neighbour(p, "p", i, network, w->port[i].ip, w->port[i].mac);
		n = p->all.changes[p->all.n - 1].neighbour;
		n->local = here;
		if (pair == 1 ||
		    pair == 2) { // an address, and perhaps a MAC, that others may share
			neighbour(p, "p", i, network, 20, pair == 1 ? 99 : w->port[i].mac);
			n = p->all.changes[p->all.n - 1].neighbour;
			n->local = here;
			n->from_pair = true;
		}
		if (!here)
			continue;
		o = object(p, PLAN_PORT, sizeof(*o), "p", i);
		name(o->network_id, "n", network);
		o->mac = mac_of(w->port[i].mac);
		o->admin_up = true;
		o->filtered = w->port[i].filtered % 4 != 0;
		o->n_fixed = 1;
		o->fixed = calloc(1, sizeof(o->fixed[0]));
		o->fixed[0].ip = ip_of(network, w->port[i].ip);
		name(o->fixed[0].subnet_id, "s4-", network);
		o->n_pairs = 1 + (pair != 0);
		o->pairs = calloc(2, sizeof(o->pairs[0]));
		o->pairs[0] = (struct plan_pair) {o->mac, {o->fixed[0].ip, 32}};
		o->pairs[1] = (struct plan_pair) {pair == 1 ? mac_of(99) : o->mac,
						  {ip_of(network, pair == 3 ? 31 : 20),
						   pair == 3 ? 28 : 32}};
		o->rule_sets = calloc(GROUPS, sizeof(o->rule_sets[0]));
		for (unsigned int k = 0; k < GROUPS; k++)
			if ((w->port[i].groups >> k & 1) && w->group[k].there != 0)
				name(o->rule_sets[o->n_rule_sets++], "g", k);
	}
}

static void add_door(struct plan *p, const struct world *w, unsigned int i, struct plan_router *r)
{
	struct plan_interface *d = &r->interfaces[r->n_interfaces];
	unsigned int network = w->door[i].network % NETWORKS;

	if (w->network[network].there == 0)
		return;
	for (unsigned int k = 0; k < r->n_interfaces; k++)
		if (r->interfaces[k].external && network == EXTERNAL)
			return;
	if (!take(p, network, w->door[i].mac, w->door[i].ip))
		return;
	r->n_interfaces++;
	name(d->port_id, "d", i);
	name(d->network_id, "n", network);
	d->mac = mac_of(w->door[i].mac);
	d->external = network == EXTERNAL;
	d->n_addrs = 2;
	d->addrs = calloc(2, sizeof(d->addrs[0]));
	d->addrs[0] = (struct ip_prefix) {ip_of(network, w->door[i].ip), 24};
	d->addrs[1] = (struct ip_prefix) {{6, {0xfd, (uint8_t)network, [15] = (uint8_t)i}}, 64};
	neighbour(p, "d", i, network, w->door[i].ip, w->door[i].mac);
}

static void forwardings(struct plan *p, const struct world *w, unsigned int i)
{
	for (unsigned int k = 0; k < 2; k++) {
		struct plan_forwarding *f;

		if (!(w->floating[i].forwards >> k & 1))
			continue;
		f = object(p, PLAN_FORWARDING, sizeof(*f), "w", 2 * i + k);
		name(f->floating_id, "f", i);
		f->proto = 6;
		f->port_min = f->port_max = (uint16_t)(80 + k);
		f->fixed_port = 1;
		f->fixed = ip_of(0, w->floating[i].fixed);
	}
}

static void floatings(struct plan *p, const struct world *w)
{
	bool taken[ROUTERS][8] = {0};

	for (unsigned int i = 0; i < FLOATINGS; i++) {
		unsigned int router = w->floating[i].router % ROUTERS, fixed = w->floating[i].fixed;
		struct plan_floating *f;

		if (w->floating[i].router > ROUTERS || w->router[router].there == 0 ||
		    w->network[EXTERNAL].there == 0 || (fixed != 0 && taken[router][fixed]) ||
		    !take(p, EXTERNAL, w->floating[i].mac, w->floating[i].ip))
			continue;
		taken[router][fixed] = true;
		f = object(p, PLAN_FLOATING, sizeof(*f), "f", i);
		name(f->router_id, "r", router);
		name(f->network_id, "n", EXTERNAL);
		f->ip = ip_of(EXTERNAL, w->floating[i].ip);
		f->mac = mac_of(w->floating[i].mac);
		if (fixed != 0)
			f->fixed = ip_of(0, fixed);
		neighbour(p, "fp", i, EXTERNAL, w->floating[i].ip, w->floating[i].mac);
		forwardings(p, w, i);
	}
}

static struct plan plan_of(const struct world *w)
{
	struct plan p = {0};

	networks(&p, w);
	groups(&p, w);
	ports(&p, w);
	for (unsigned int i = 0; i < ROUTERS; i++) {
		struct plan_router *r;

		if (w->router[i].there == 0)
			continue;
		r = object(&p, PLAN_ROUTER, sizeof(*r), "r", i);
		r->admin_up = w->router[i].down != 0;
		r->interfaces = calloc(DOORS, sizeof(r->interfaces[0]));
		for (unsigned int k = 0; k < DOORS; k++)
			if (w->door[k].router == i)
				add_door(&p, w, k, r);
	}
	floatings(&p, w);
	return p;
}

// ---- Batches -------------------------------------------------------------------------------

static bool same_name(enum plan_kind kind, const void *a, const void *b)
{
	const struct plan_neighbour *x = a, *y = b;

	if (kind == PLAN_MEMBER)
		return weft_plan_object_equal(kind, a, b);
	if (kind == PLAN_NEIGHBOUR)
		return strcmp(x->network_id, y->network_id) == 0 && weft_ip_equal(&x->ip, &y->ip) &&
		       weft_mac_equal(&x->mac, &y->mac) && strcmp(x->port_id, y->port_id) == 0;
	return strcmp(a, b) == 0;
}

static const void *find(const struct plan_batch *all, const struct plan_change *like)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->changes[i].kind == like->kind &&
		    same_name(like->kind, all->changes[i].object, like->object))
			return all->changes[i].object;
	return NULL;
}

static void shuffle(struct plan_change *list, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		struct plan_change *a = &list[i - 1], *b = &list[any((unsigned int)i)], c = *a;

		*a = *b;
		*b = c;
	}
}

// Appends the changes of one kind, in any order.
static void changes(const struct plan_batch *from, const struct plan_batch *to, enum plan_op op,
		    enum plan_kind kind, struct plan_batch *out)
{
	const struct plan_batch *all = op == PLAN_PUT ? to : from;
	size_t before = out->n;

	for (size_t i = 0; i < all->n; i++) {
		const struct plan_change *c = &all->changes[i];
		const void *other;

		if (c->kind != kind)
			continue;
		other = find(op == PLAN_PUT ? from : to, c);
		if (op == PLAN_PUT
			    ? other == NULL || !weft_plan_object_equal(kind, other, c->object)
			    : other == NULL)
			weft_plan_batch_add(out, op, kind, weft_plan_object_copy(kind, c->object));
	}
	shuffle(out->changes + before, out->n - before);
}

// Puts by kind, deletes by kind the other way round (plan.h); which of the two comes first is
// anybody's guess.
static void difference(const struct plan_batch *from, const struct plan_batch *to,
		       struct plan_batch *out)
{
	int put = PLAN_NETWORK, del = PLAN_FORWARDING;

	while (put <= PLAN_FORWARDING || del >= PLAN_NETWORK) {
		bool next = del < PLAN_NETWORK || (put <= PLAN_FORWARDING && any(2) == 0);

		if (next)
			changes(from, to, PLAN_PUT, (enum plan_kind)put++, out);
		else
			changes(from, to, PLAN_DEL, (enum plan_kind)del--, out);
	}
}

// ---- The test ------------------------------------------------------------------------------

static void one_history(uint64_t number)
{
	struct testbed *tb = history_testbed();
	struct world w = {0};
	struct plan now = plan_of(&w);

	seed = number;
	for (unsigned int step = 0; step < STEPS; step++) {
		for (unsigned int merged = any(3); merged < 3; merged++) {
			struct plan next;

			change_some(&w);
			next = plan_of(&w);
			difference(&now.all, &next.all, &tb->batch);
			weft_plan_batch_fini(&now.all);
			now = next;
		}
		testbed_commit(tb);
		history_check(tb, &now.all, number, step);
	}
	weft_plan_batch_fini(&now.all);
	testbed_free(tb);
}

static void any_way_to_a_plan_ends_with_the_tables_that_it_alone_makes(void **state)
{
	const char *one = getenv("HISTORY");

	(void)state;
	if (one != NULL) {
		one_history(strtoull(one, NULL, 10));
		return;
	}
	for (uint64_t i = 1; i <= 10; i++)
		one_history(i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_way_to_a_plan_ends_with_the_tables_that_it_alone_makes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
