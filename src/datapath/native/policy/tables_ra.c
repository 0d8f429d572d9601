// SPDX-License-Identifier: Apache-2.0
// Advertised: from routers' interfaces and IPv6 subnets to what each network's hosts are told.
//
// A network is looked at again, once per batch, when one of its subnets, its MTU or a router on
// it changed; the others cost nothing. An interface advertises the subnets that it has an address
// in, not the network's others: their gateway is elsewhere.
#include "datapath/native/policy/tables_priv.h"

#include <stdlib.h>
#include <string.h>

struct door { // an interface into a network
	const struct plan_router *router;
	const struct plan_interface *interface;
};

struct ra_network {
	char id[WEFT_ID_LEN + 1];
	uint32_t index;
	bool changed;
	struct ra_network *next_changed;
	size_t n_subnets, n_doors;
	const struct plan_subnet **subnets; // advertised ones, if there is a router
	struct door *doors;
	struct campaign *campaign; // the listener's
};

struct tables_ra {
	struct map *networks; // id -> struct ra_network
	struct ra_network *changed;
};

void weft_tables_ra_new(struct tables *t)
{
	t->node->adverts = weft_vmap_new(t->node->vs, sizeof(uint32_t), free);
	t->ra = weft_tables_alloc(sizeof(*t->ra));
	t->ra->networks = weft_map_new();
}

static void network_free(struct ra_network *n)
{
	free(n->subnets);
	free(n->doors);
	free(n);
}

void weft_tables_ra_free(struct tables *t)
{
	for (struct map_entry *e = weft_map_first(t->ra->networks); e; e = weft_map_next(e))
		network_free(weft_map_value(e));
	weft_map_free(t->ra->networks);
	weft_vmap_free(t->node->adverts);
	free(t->ra);
}

// ---- What changed --------------------------------------------------------------------------

static void mark(struct tables *t, struct ra_network *n)
{
	if (n->changed)
		return;
	n->changed = true;
	n->next_changed = t->ra->changed;
	t->ra->changed = n;
}

static struct ra_network *network_of(struct tables *t, const char *id)
{
	struct ra_network *n = weft_map_get(t->ra->networks, id);

	if (n == NULL) {
		n = weft_tables_alloc(sizeof(*n));
		memcpy(n->id, id, strnlen(id, WEFT_ID_LEN));
		n->index = weft_tables_network_index(t, id);
		weft_map_put(t->ra->networks, id, n);
	}
	mark(t, n);
	return n;
}

void weft_tables_ra_network(struct tables *t, const char *id)
{
	struct ra_network *n = weft_map_get(t->ra->networks, id);

	if (n != NULL)
		mark(t, n);
}

static void *grown(void *list, size_t n, size_t size)
{
	list = realloc(list, (n + 1) * size);
	if (list == NULL)
		abort();
	return list;
}

static bool is_advertised(const struct plan_subnet *s)
{
	return s != NULL && s->cidr.ip.family == 6 && s->ra != PLAN_V6_NONE;
}

void weft_tables_ra_subnet(struct tables *t, const struct plan_subnet *old,
			   const struct plan_subnet *new)
{
	if (is_advertised(old)) {
		struct ra_network *n = network_of(t, old->network_id);
		size_t kept = 0;

		for (size_t i = 0; i < n->n_subnets; i++)
			if (n->subnets[i] != old)
				n->subnets[kept++] = n->subnets[i];
		n->n_subnets = kept;
	}
	if (is_advertised(new)) {
		struct ra_network *n = network_of(t, new->network_id);

		n->subnets = grown(n->subnets, n->n_subnets, sizeof(n->subnets[0]));
		n->subnets[n->n_subnets++] = new;
	}
}

static void close_doors(struct tables *t, const struct plan_router *r)
{
	for (size_t i = 0; i < r->n_interfaces; i++) {
		struct ra_network *n;
		size_t kept = 0;

		if (r->interfaces[i].external)
			continue;
		n = network_of(t, r->interfaces[i].network_id);
		for (size_t k = 0; k < n->n_doors; k++)
			if (n->doors[k].router != r)
				n->doors[kept++] = n->doors[k];
		n->n_doors = kept;
	}
}

void weft_tables_ra_router(struct tables *t, const struct plan_router *old,
			   const struct plan_router *new)
{
	if (old != NULL)
		close_doors(t, old);
	for (size_t i = 0; new != NULL &&i < new->n_interfaces; i++) {
		const struct plan_interface *p = &new->interfaces[i];
		struct ra_network *n;

		// A router's gateway is a host on the external network.
		if (p->external)
			continue;
		n = network_of(t, p->network_id);
		n->doors = grown(n->doors, n->n_doors, sizeof(n->doors[0]));
		n->doors[n->n_doors++] = (struct door) {new, p};
	}
}

// ---- What is advertised now ----------------------------------------------------------------

static void add_resolvers(struct ra *ra, const struct plan_subnet *s)
{
	for (size_t i = 0; i < s->n_dns && ra->n_dns < RA_DNS_MAX; i++) {
		bool twice = !weft_is_resolver6(&s->dns[i]);

		for (size_t k = 0; k < ra->n_dns; k++)
			twice = twice || weft_ip_equal(&ra->dns[k], &s->dns[i]);
		if (!twice)
			ra->dns[ra->n_dns++] = s->dns[i];
	}
}

static void add_subnet(struct advert *a, const struct plan_subnet *s,
		       const struct plan_interface *p)
{
	struct ra *ra = &a->ra;
	bool has_address = false;

	for (size_t i = 0; i < p->n_addrs; i++) {
		has_address = has_address || weft_prefix_contains(&s->cidr, &p->addrs[i].ip);
		a->is_gateway = a->is_gateway || weft_ip_equal(&s->gateway, &p->addrs[i].ip);
	}
	if (!has_address || ra->n_prefixes == RA_PREFIXES_MAX)
		return;
	ra->prefixes[ra->n_prefixes++] =
		(struct ra_prefix) {.prefix = s->cidr, .autonomous = s->ra != PLAN_V6_STATEFUL};
	ra->managed = ra->managed || s->ra == PLAN_V6_STATEFUL;
	ra->other = ra->other || s->ra == PLAN_V6_STATELESS;
	add_resolvers(ra, s);
	if (ra->domain[0] == '\0')
		memcpy(ra->domain, s->dns_domain, sizeof(ra->domain));
}

static struct adverts *compile(const struct tables *t, const struct ra_network *n)
{
	const struct network *net = weft_vmap_staged(t->node->networks, n->id);
	struct adverts *list = weft_tables_alloc(sizeof(*list) + n->n_doors * sizeof(list->at[0]));

	for (size_t i = 0; net != NULL && i < n->n_doors; i++) {
		const struct plan_interface *p = n->doors[i].interface;
		struct advert *a = &list->at[list->n];

		if (!n->doors[i].router->admin_up)
			continue;
		memset(a, 0, sizeof(*a));
		a->ra.router = p->mac;
		a->ra.lifetime_s = RA_LIFETIME_S;
		a->ra.mtu = net->mtu;
		for (size_t k = 0; k < n->n_subnets; k++)
			add_subnet(a, n->subnets[k], p);
		list->n += a->ra.n_prefixes > 0;
	}
	return list;
}

static bool is_same(const struct adverts *a, const struct adverts *b)
{
	size_t n = a == NULL ? 0 : a->n;

	return n == b->n && (n == 0 || memcmp(a->at, b->at, n * sizeof(a->at[0])) == 0);
}

static void look_again(struct tables *t, struct ra_network *n)
{
	const struct adverts *old = weft_vmap_staged(t->node->adverts, &n->index);
	struct adverts *new = compile(t, n);

	if (is_same(old, new)) {
		free(new);
		return;
	}
	t->hooks.advertise(t->hooks.arg, n->index, old, new->n > 0 ? new : NULL, &n->campaign);
	if (new->n > 0) {
		weft_vmap_put(t->node->adverts, &n->index, new);
		return;
	}
	free(new);
	weft_vmap_del(t->node->adverts, &n->index);
}

void weft_tables_ra_stage(struct tables *t)
{
	while (t->ra->changed != NULL) {
		struct ra_network *n = t->ra->changed;

		t->ra->changed = n->next_changed;
		n->changed = false;
		look_again(t, n);
		if (n->n_subnets == 0 && n->n_doors == 0) {
			weft_map_del(t->ra->networks, n->id);
			network_free(n);
		}
	}
}
