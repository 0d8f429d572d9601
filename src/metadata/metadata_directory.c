// SPDX-License-Identifier: Apache-2.0
#include "metadata/metadata_directory.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

struct entry { // a port
	uint64_t serial;
	char source[WEFT_IP_STRLEN]; // "" = the datapath gave none
	struct plan_port *plan;
};

struct gateway { // an address of a router on one of its networks
	char router_id[WEFT_ID_LEN + 1];
};

struct metadata_directory {
	pthread_mutex_t lock; // of everything below
	metadata_source_fn source;
	void *arg;
	uint64_t last_serial;
	struct map *ports;    // id -> struct entry
	struct map *sources;  // address -> struct entry
	struct map *subnets;  // id -> struct plan_subnet
	struct map *routers;  // id -> struct plan_router
	struct map *gateways; // "network address" -> struct gateway
};

static void *need(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

struct metadata_directory *weft_metadata_directory_new(metadata_source_fn source, void *arg)
{
	struct metadata_directory *d = need(calloc(1, sizeof(*d)));

	pthread_mutex_init(&d->lock, NULL);
	d->source = source;
	d->arg = arg;
	d->ports = weft_map_new();
	d->sources = weft_map_new();
	d->subnets = weft_map_new();
	d->routers = weft_map_new();
	d->gateways = weft_map_new();
	return d;
}

static void free_objects(struct map *map, enum plan_kind kind)
{
	for (struct map_entry *e = weft_map_first(map); e != NULL; e = weft_map_next(e))
		weft_plan_object_free(kind, weft_map_value(e));
	weft_map_free(map);
}

void weft_metadata_directory_free(struct metadata_directory *d)
{
	if (d == NULL)
		return;
	for (struct map_entry *e = weft_map_first(d->ports); e != NULL; e = weft_map_next(e)) {
		struct entry *p = weft_map_value(e);

		weft_plan_object_free(PLAN_PORT, p->plan);
		free(p);
	}
	for (struct map_entry *e = weft_map_first(d->gateways); e != NULL; e = weft_map_next(e))
		free(weft_map_value(e));
	weft_map_free(d->ports);
	weft_map_free(d->sources);
	weft_map_free(d->gateways);
	free_objects(d->subnets, PLAN_SUBNET);
	free_objects(d->routers, PLAN_ROUTER);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

// ---- Changes, under the lock ---------------------------------------------------------------

static void port_del(struct metadata_directory *d, const char *id)
{
	struct entry *p = weft_map_del(d->ports, id);

	if (p == NULL)
		return;
	if (p->source[0] != '\0' && weft_map_get(d->sources, p->source) == p)
		weft_map_del(d->sources, p->source);
	weft_plan_object_free(PLAN_PORT, p->plan);
	free(p);
}

static void port_put(struct metadata_directory *d, const struct plan_port *plan)
{
	struct entry *p = weft_map_get(d->ports, plan->id);
	struct ip_addr source;

	if (p == NULL) {
		p = need(calloc(1, sizeof(*p)));
		p->serial = ++d->last_serial;
		weft_map_put(d->ports, plan->id, p);
		// A port has its source for life.
		if (d->source(d->arg, plan->id, &source) == 0) {
			weft_ip_text(&source, p->source);
			weft_map_put(d->sources, p->source, p);
		}
	}
	weft_plan_object_free(PLAN_PORT, p->plan);
	p->plan = weft_plan_object_copy(PLAN_PORT, plan);
}

// Replace the object that the map has under the id (the first member of each kind); NULL: none
// comes after it.
static void object_change(struct map *map, enum plan_kind kind, const char *id, const void *after)
{
	void *old = after == NULL ? weft_map_del(map, id)
				  : weft_map_put(map, id, weft_plan_object_copy(kind, after));

	weft_plan_object_free(kind, old);
}

static void gateway_key(const char *network_id, const struct ip_addr *ip, char *key, size_t size)
{
	char text[WEFT_IP_STRLEN];

	snprintf(key, size, "%s %s", network_id, weft_ip_text(ip, text));
}

static void gateways_change(struct metadata_directory *d, const struct plan_router *r, bool add)
{
	char key[WEFT_ID_LEN + 1 + WEFT_IP_STRLEN];

	for (size_t i = 0; i < r->n_interfaces; i++) {
		const struct plan_interface *f = &r->interfaces[i];

		for (size_t k = 0; k < f->n_addrs; k++) {
			struct gateway *g;

			gateway_key(f->network_id, &f->addrs[k].ip, key, sizeof(key));
			if (!add) {
				// Within a batch another router may have taken it over already.
				g = weft_map_get(d->gateways, key);
				if (g != NULL && strcmp(g->router_id, r->id) == 0)
					free(weft_map_del(d->gateways, key));
				continue;
			}
			g = need(calloc(1, sizeof(*g)));
			memcpy(g->router_id, r->id, sizeof(g->router_id));
			free(weft_map_put(d->gateways, key, g));
		}
	}
}

static void router_change(struct metadata_directory *d, const char *id,
			  const struct plan_router *after)
{
	const struct plan_router *before = weft_map_get(d->routers, id);

	if (before != NULL)
		gateways_change(d, before, false);
	if (after != NULL)
		gateways_change(d, after, true);
	object_change(d->routers, PLAN_ROUTER, id, after);
}

static void take(struct metadata_directory *d, const struct plan_change *c)
{
	bool put = c->op == PLAN_PUT;

	if (c->kind == PLAN_PORT && put)
		port_put(d, c->port);
	else if (c->kind == PLAN_PORT)
		port_del(d, c->port->id);
	else if (c->kind == PLAN_SUBNET)
		object_change(d->subnets, PLAN_SUBNET, c->subnet->id, put ? c->subnet : NULL);
	else if (c->kind == PLAN_ROUTER)
		router_change(d, c->router->id, put ? c->router : NULL);
}

void weft_metadata_directory_apply(struct metadata_directory *d, const struct plan_batch *batch)
{
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < batch->n; i++)
		take(d, &batch->changes[i]);
	pthread_mutex_unlock(&d->lock);
}

// ---- Look-ups ------------------------------------------------------------------------------

static const struct entry *entry_of(const struct metadata_directory *d, struct in_addr source)
{
	char text[INET_ADDRSTRLEN];

	return weft_map_get(d->sources, inet_ntop(AF_INET, &source, text, sizeof(text)));
}

static const struct gateway *gateway_of(const struct metadata_directory *d,
					const struct plan_port *p, const struct plan_fixed *f)
{
	const struct plan_subnet *s = weft_map_get(d->subnets, f->subnet_id);
	char key[WEFT_ID_LEN + 1 + WEFT_IP_STRLEN];

	if (s == NULL || s->gateway.family == 0)
		return NULL;
	gateway_key(p->network_id, &s->gateway, key, sizeof(key));
	return weft_map_get(d->gateways, key);
}

static void describe(const struct metadata_directory *d, const struct entry *e,
		     struct metadata_who *out)
{
	const struct plan_port *p = e->plan;

	*out = (struct metadata_who) {.serial = e->serial};
	memcpy(out->port_id, p->id, sizeof(out->port_id));
	memcpy(out->network_id, p->network_id, sizeof(out->network_id));
	memcpy(out->instance_id, p->instance_id, sizeof(out->instance_id));
	memcpy(out->project_id, p->project_id, sizeof(out->project_id));
	for (size_t i = 0; i < p->n_fixed; i++) {
		const struct gateway *g;

		if (p->fixed[i].ip.family != 4)
			continue;
		weft_ip_text(&p->fixed[i].ip, out->address);
		g = gateway_of(d, p, &p->fixed[i]);
		if (g != NULL)
			memcpy(out->router_id, g->router_id, sizeof(out->router_id));
		return;
	}
}

bool weft_metadata_directory_find(struct metadata_directory *d, struct in_addr source,
				  struct metadata_who *out)
{
	const struct entry *e;

	pthread_mutex_lock(&d->lock);
	e = entry_of(d, source);
	if (e != NULL)
		describe(d, e, out);
	pthread_mutex_unlock(&d->lock);
	return e != NULL;
}

bool weft_metadata_directory_has(struct metadata_directory *d, struct in_addr source,
				 uint64_t serial)
{
	const struct entry *e;
	bool has;

	pthread_mutex_lock(&d->lock);
	e = entry_of(d, source);
	has = e != NULL && e->serial == serial;
	pthread_mutex_unlock(&d->lock);
	return has;
}
