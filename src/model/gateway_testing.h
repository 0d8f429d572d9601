// SPDX-License-Identifier: Apache-2.0
// What the unit tests of gateways, floating IPs and forwardings share: an external network, a
// router of alice's and her VM behind it.
#pragma once

#include "model/index.h"
#include "model/router_testing.h"

struct world {
	struct model *m;
	char external[WEFT_ID_LEN + 1],
		outside[WEFT_ID_LEN + 1]; // the admin's network 198.51.100.0/24 and its subnet
	char router[WEFT_ID_LEN + 1];	  // alice's
	char inside[WEFT_ID_LEN + 1];	  // her subnet 10.1.0.0/24, on the router
	char port[WEFT_ID_LEN + 1];	  // her VM there: 10.1.0.10
};

static inline const char *keep(char id[WEFT_ID_LEN + 1], const struct object *o)
{
	return memcpy(id, o->id, WEFT_ID_LEN + 1);
}

static inline const struct object *external_new(struct model *m, const char *cidr)
{
	const struct object *o;
	assert_done(post(m, &admin, RES_NETWORK, &o, "{'router:external': true}"));
	assert_done(
		post(m, &admin, RES_SUBNET, NULL,
		     "{'network_id': '%s', 'ip_version': 4, 'cidr': '%s', 'enable_dhcp': false}",
		     o->id, cidr));
	return o;
}

static inline int set_gateway(struct world *w, const struct caller *who, const char *network_id,
			      const char *more)
{
	return put(w->m, who, RES_ROUTER, w->router, NULL,
		   "{'external_gateway_info': {'network_id': '%s'%s}}", network_id, more);
}

static inline int clear_gateway(struct world *w)
{
	return put(w->m, &alice, RES_ROUTER, w->router, NULL, "{'external_gateway_info': null}");
}

static inline const struct object *port_new(struct world *w, const char *subnet_id, const char *ip)
{
	const struct object *subnet = weft_model_get(w->m, RES_SUBNET, subnet_id), *o;
	assert_done(
		post(w->m, &alice, RES_PORT, &o,
		     "{'network_id': '%s', 'fixed_ips': [{'subnet_id': '%s', 'ip_address': '%s'}]}",
		     text_of(subnet, "network_id"), subnet_id, ip));
	return o;
}

// Without a gateway yet.
static inline struct world world_new(void)
{
	struct world w = {.m = model_new()};
	const struct object *network = external_new(w.m, "198.51.100.0/24"), *subnet;
	size_t n;
	const struct object **subnets =
		weft_index_collect(w.m, REF_NETWORK_SUBNETS, network->id, &n);
	keep(w.external, network);
	keep(w.outside, subnets[0]);
	free(subnets);
	router_new(w.m, &alice, w.router);
	subnet = subnet_new(w.m, "4", "10.1.0.0/24", "");
	keep(w.inside, subnet);
	joined(w.m, w.router, subnet);
	keep(w.port, port_new(&w, w.inside, "10.1.0.10"));
	return w;
}

static inline void world_free(struct world *w)
{
	weft_model_free(w->m);
}

static inline const struct object *router_of(const struct world *w)
{
	return weft_model_get(w->m, RES_ROUTER, w->router);
}

static inline const json_t *gateway_info(const struct world *w)
{
	return json_object_get(router_of(w)->attr, "external_gateway_info");
}

static inline const struct object *only(const struct model *m, enum model_ref ref, const char *id)
{
	size_t n;
	const struct object **all = weft_index_collect(m, ref, id, &n);
	assert_int_equal(n, 1);
	const struct object *o = all[0];
	free(all);
	return o;
}

static inline const struct object *gateway_of(const struct world *w)
{
	return only(w->m, REF_ROUTER_GATEWAY_PORTS, w->router);
}

// A floating IP of alice's on the external network; `more` begins with a comma.
static inline const struct object *floating_new(struct world *w, const char *more)
{
	const struct object *o;
	assert_done(post(w->m, &alice, RES_FLOATING_IP, &o, "{'floating_network_id': '%s'%s}",
			 w->external, more));
	return o;
}
