// SPDX-License-Identifier: Apache-2.0
// Testbed: networks, routers, floating IPs and port forwardings.
#include <string.h>

#include "datapath/native/policy/tables.h"
#include "datapath/native/testing/testbed_priv.h"
#include "datapath/native/uplink_device.h"

void testbed_network(struct testbed *tb, const char *id, uint32_t mtu)
{
	struct plan_network *n = must(calloc(1, sizeof(*n)));

	set_id(n->id, id);
	n->mtu = mtu;
	weft_plan_batch_add(&tb->batch, PLAN_PUT, PLAN_NETWORK, n);
}

void testbed_provider(struct testbed *tb, const char *id, uint32_t mtu, uint32_t vlan)
{
	struct plan_network *n = must(calloc(1, sizeof(*n)));

	if (weft_trunk_find(&tb->dp, "physical") == NULL)
		must_be(weft_trunk_add(&tb->dp, "physical", "net_memory", NULL) == 0);
	set_id(n->id, id);
	n->mtu = mtu;
	strcpy(n->physical, "physical");
	n->segment = vlan;
	weft_plan_batch_add(&tb->batch, PLAN_PUT, PLAN_NETWORK, n);
}

static void off_memory(struct port *p, struct trunk *trunk, uint16_t vlan, void *arg)
{
	struct port_io *io = atomic_load(&p->io);

	(void)trunk;
	(void)vlan;
	(void)arg;
	if (io == NULL || strcmp(io->ops->name, "memory") != 0)
		return;
	atomic_store(&p->io, NULL);
	io->ops->close(io);
}

void testbed_trunk(struct testbed *tb, struct port_io *device)
{
	struct trunk *t = must(weft_trunk_find(&tb->dp, "physical"));

	weft_tables_each_uplink(tb->dp.tables, off_memory, NULL);
	t->mtu = UINT16_MAX; // it takes everything
	t->has_carrier = true;
	atomic_store(&t->io, device);
	weft_trunks_sync(&tb->dp);
}

static void parse_interface(struct testbed *tb, char *text, struct plan_interface *p)
{
	char *save = NULL;
	const char *network = strtok_r(text, "|", &save), *name = strtok_r(NULL, "|", &save);
	char *addrs = must(strtok_r(NULL, "|", &save)), *comma = NULL;

	p->external = network[0] == '!';
	network += p->external;
	set_id(p->network_id, network);
	set_id(p->port_id, name);
	p->mac = testbed_mac(name);
	p->addrs = must(calloc(8, sizeof(p->addrs[0])));
	for (char *w = strtok_r(addrs, ",", &comma); w; w = strtok_r(NULL, ",", &comma)) {
		struct plan_neighbour *n = must(calloc(1, sizeof(*n)));

		must_be(weft_prefix_parse(w, &p->addrs[p->n_addrs]) == 0);
		set_id(n->network_id, network);
		set_id(n->port_id, name);
		n->mac = p->mac;
		n->ip = p->addrs[p->n_addrs++].ip;
		weft_plan_batch_add(&tb->batch, PLAN_PUT, PLAN_NEIGHBOUR, n);
	}
}

static struct plan_router *parse_router(struct testbed *tb, const char *id, const char *interfaces,
					const char *routes)
{
	struct plan_router *r = must(calloc(1, sizeof(*r)));
	char *copy = must(strdup(interfaces)), *save = NULL;

	set_id(r->id, id);
	r->admin_up = true;
	r->interfaces = must(calloc(16, sizeof(r->interfaces[0])));
	r->routes = must(calloc(16, sizeof(r->routes[0])));
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		parse_interface(tb, w, &r->interfaces[r->n_interfaces++]);
	free(copy);
	copy = must(strdup(routes));
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		struct plan_route *route = &r->routes[r->n_routes++];
		char *bar = must(strchr(w, '|'));

		*bar = '\0';
		must_be(weft_prefix_parse(w, &route->dst) == 0 &&
			(bar[1] == '\0' || weft_ip_parse(bar + 1, &route->via) == 0));
	}
	free(copy);
	return r;
}

void testbed_router(struct testbed *tb, const char *id, bool admin_up, const char *interfaces,
		    const char *routes)
{
	struct plan_router *r = parse_router(tb, id, interfaces, routes);

	r->admin_up = admin_up;
	weft_plan_batch_add(&tb->batch, PLAN_PUT, PLAN_ROUTER, r);
}

void testbed_router_snat(struct testbed *tb, const char *id, const char *interfaces,
			 const char *routes, const char *snat)
{
	struct plan_router *r = parse_router(tb, id, interfaces, routes);

	if (snat != NULL)
		must_be(weft_ip_parse(snat, &r->snat) == 0);
	weft_plan_batch_add(&tb->batch, PLAN_PUT, PLAN_ROUTER, r);
}

void testbed_floating(struct testbed *tb, const char *id, const char *router, const char *network,
		      const char *ip, const char *fixed, const char *port)
{
	struct plan_neighbour *n = must(calloc(1, sizeof(*n)));
	struct plan_floating *f = must(calloc(1, sizeof(*f)));

	set_id(f->id, id);
	set_id(f->router_id, router);
	set_id(f->network_id, network);
	set_id(f->port_id, port);
	f->mac = testbed_mac(id);
	must_be(weft_ip_parse(ip, &f->ip) == 0);
	if (fixed != NULL)
		must_be(weft_ip_parse(fixed, &f->fixed) == 0);
	set_id(n->network_id, network);
	set_id(n->port_id, id);
	n->mac = f->mac;
	n->ip = f->ip;
	weft_plan_batch_add(&tb->batch, PLAN_PUT, PLAN_NEIGHBOUR, n);
	weft_plan_batch_add(&tb->batch, PLAN_PUT, PLAN_FLOATING, f);
}

void testbed_forwarding(struct testbed *tb, const char *id, const char *floating, uint8_t proto,
			const char *ports, const char *fixed, const char *port)
{
	struct plan_forwarding *f = must(calloc(1, sizeof(*f)));

	set_id(f->id, id);
	set_id(f->floating_id, floating);
	set_id(f->port_id, port);
	f->proto = proto;
	must_be(sscanf(ports, "%hu-%hu>%hu", &f->port_min, &f->port_max, &f->fixed_port) == 3);
	must_be(weft_ip_parse(fixed, &f->fixed) == 0);
	weft_plan_batch_add(&tb->batch, PLAN_PUT, PLAN_FORWARDING, f);
}

void testbed_forwarding_del(struct testbed *tb, const char *id, const char *floating)
{
	struct plan_forwarding *f = must(calloc(1, sizeof(*f)));

	set_id(f->id, id);
	set_id(f->floating_id, floating);
	weft_plan_batch_add(&tb->batch, PLAN_DEL, PLAN_FORWARDING, f);
}
