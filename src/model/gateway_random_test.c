// SPDX-License-Identifier: Apache-2.0
// Routers, gateways, floating IPs and forwardings under requests at random: what floating_ip.h
// and router.h promise between requests holds after each, and a refused request leaves nothing
// behind.
#include "model/floating_ip.h"

#include <errno.h>

#include "model/gateway_testing.h"
#include "model/index_testing.h"
#include "model/port.h"
#include "model/router.h"

enum { SEEDS = 8, ROUNDS = 400 };

static const char *any_id(const struct model *m, enum resource type)
{
	const struct object *o = any(m, type);
	return o == NULL ? "00000000-0000-0000-0000-000000000000" : o->id;
}

static json_t *any_gateway(const struct model *m)
{
	if (rand() % 3 == 0)
		return json_null();
	json_t *info = json_pack("{s:s}", "network_id", any_id(m, RES_NETWORK));
	if (rand() % 3 == 0)
		json_object_set_new(info, "enable_snat", json_boolean(rand() % 2));
	return info;
}

static json_t *any_subnet(const struct model *m)
{
	char cidr[32];
	if (rand() % 4 == 0) {
		snprintf(cidr, sizeof(cidr), "2001:db8:%d::/64", rand() % 4);
		return json_pack("{s:s, s:i, s:s, s:s, s:s}", "network_id", any_id(m, RES_NETWORK),
				 "ip_version", 6, "cidr", cidr, "ipv6_address_mode", "slaac",
				 "ipv6_ra_mode", "slaac");
	}
	snprintf(cidr, sizeof(cidr), "10.0.%d.0/28", rand() % 6);
	return json_pack("{s:s, s:i, s:s}", "network_id", any_id(m, RES_NETWORK), "ip_version", 4,
			 "cidr", cidr);
}

static json_t *any_forwarding(const struct model *m)
{
	char outer[16], inner[16];
	int first = 1 + rand() % 20, more = rand() % 3;
	snprintf(outer, sizeof(outer), "%d:%d", first, first + more);
	snprintf(inner, sizeof(inner), "%d:%d", first, first + (rand() % 8 == 0 ? 3 : more));
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "floatingip_id", any_id(m, RES_FLOATING_IP),
			 "internal_port_id", any_id(m, RES_PORT), "protocol",
			 rand() % 2 == 0 ? "tcp" : "udp", "external_port_range", outer,
			 "internal_port_range", inner);
}

static json_t *any_body(const struct model *m, enum resource type)
{
	switch (type) {
	case RES_NETWORK:
		return json_pack("{s:b}", "router:external", rand() % 2);
	case RES_SUBNET:
		return any_subnet(m);
	case RES_PORT:
		return json_pack("{s:s}", "network_id", any_id(m, RES_NETWORK));
	case RES_ROUTER:
		return json_pack("{s:o}", "external_gateway_info", any_gateway(m));
	case RES_FLOATING_IP:
		return rand() % 2 == 0
			       ? json_pack("{s:s}", "floating_network_id", any_id(m, RES_NETWORK))
			       : json_pack("{s:s, s:s}", "floating_network_id",
					   any_id(m, RES_NETWORK), "port_id", any_id(m, RES_PORT));
	default:
		return any_forwarding(m);
	}
}

static json_t *any_change(const struct model *m, enum resource type)
{
	char ip[32];
	switch (type) {
	case RES_NETWORK:
		return json_pack("{s:b}", "router:external", rand() % 2);
	case RES_PORT:
		snprintf(ip, sizeof(ip), "10.1.0.%d", 2 + rand() % 30);
		return json_pack("{s:[{s:s}]}", "fixed_ips", "ip_address", ip);
	case RES_ROUTER:
		return json_pack("{s:o}", "external_gateway_info", any_gateway(m));
	case RES_FLOATING_IP:
		return rand() % 4 == 0 ? json_pack("{s:n}", "port_id")
				       : json_pack("{s:s}", "port_id", any_id(m, RES_PORT));
	case RES_PORT_FORWARDING:
		return rand() % 2 == 0
			       ? json_pack("{s:i, s:i}", "external_port", 1 + rand() % 20,
					   "internal_port", 1 + rand() % 20)
			       : json_pack("{s:s}", "internal_port_id", any_id(m, RES_PORT));
	default:
		return json_pack("{s:s}", "description", "x");
	}
}

static int step(struct model *m, struct txn *t, struct err *err)
{
	// What is made often is also deleted often; the rest hangs together for a while.
	static const enum resource types[] = {
		RES_NETWORK,
		RES_SUBNET,
		RES_PORT,
		RES_PORT,
		RES_ROUTER,
		RES_FLOATING_IP,
		RES_FLOATING_IP,
		RES_FLOATING_IP,
		RES_FLOATING_IP,
		RES_PORT_FORWARDING,
		RES_PORT_FORWARDING,
		RES_PORT_FORWARDING,
	};
	enum resource type = types[(size_t)rand() % (sizeof(types) / sizeof(types[0]))];
	const char *id = any_id(m, type);
	switch (rand() % 8) {
	case 0:
	case 1: {
		weft_auto(json) body = json_pack("{s:s}", "subnet_id", any_id(m, RES_SUBNET));
		return weft_txn_router_add_interface(t, &admin, any_id(m, RES_ROUTER), body, NULL,
						     err);
	}
	case 2: {
		weft_auto(json) body = json_pack("{s:s}", "subnet_id", any_id(m, RES_SUBNET));
		return weft_txn_router_remove_interface(t, &admin, any_id(m, RES_ROUTER), body,
							NULL, err);
	}
	case 3:
		if (type < RES_PORT && rand() % 4 != 0)
			return 0;
		return weft_txn_delete(t, &admin, type, id, err);
	case 4:
	case 5: {
		weft_auto(json) change = any_change(m, type);
		return weft_txn_update(t, &admin, type, id, change, NULL, err);
	}
	default: {
		weft_auto(json) body = any_body(m, type);
		return weft_txn_create(t, &admin, type, body, NULL, err);
	}
	}
}

static const struct object *named(const struct model *m, enum resource type, const struct object *o,
				  const char *key)
{
	const char *id = text_of(o, key);
	return id == NULL ? NULL : weft_model_get(m, type, id);
}

static int check_router(const struct object *o, void *arg)
{
	const struct model *m = arg;
	const json_t *info = json_object_get(o->attr, "external_gateway_info");
	const struct object *port = weft_router_gateway_port(m, o->id);
	assert_true(weft_index_count(m, REF_ROUTER_GATEWAY_PORTS, o->id) <= 1);
	assert_int_equal(port == NULL, json_is_null(info));
	if (port == NULL)
		return 0;
	assert_string_equal(weft_json_text(info, "network_id"), text_of(port, "network_id"));
	assert_true(json_equal(json_object_get(info, "external_fixed_ips"),
			       json_object_get(port->attr, "fixed_ips")));
	const struct object *network = named(m, RES_NETWORK, port, "network_id");
	assert_true(weft_json_bool(network->attr, "router:external", false));
	return 0;
}

// Such a port is there, with this address, on a subnet of the router.
static void assert_leads(const struct model *m, const char *router_id, const struct object *port,
			 const char *ip)
{
	assert_non_null(port);
	const json_t *fixed = weft_floating_ip_fixed(json_object_get(port->attr, "fixed_ips"), ip);
	assert_non_null(fixed);
	bool joined = false;
	size_t n;
	const struct object **all = weft_index_collect(m, REF_ROUTER_PORTS, router_id, &n);
	for (size_t i = 0; i < n; i++) {
		size_t k;
		json_t *v;
		json_array_foreach(weft_json_array(all[i]->attr, "fixed_ips"), k, v) {
			joined |= json_equal(json_object_get(v, "subnet_id"),
					     json_object_get(fixed, "subnet_id"));
		}
	}
	free(all);
	assert_true(joined);
}

static int check_floating_ip(const struct object *o, void *arg)
{
	const struct model *m = arg;
	const struct object *holder = only(m, REF_FLOATING_IP_PORTS, o->id);
	const char *router_id = text_of(o, "router_id");
	size_t n = weft_index_count(m, REF_FLOATING_IP_FORWARDINGS, o->id);
	bool whole = text_of(o, "port_id") != NULL;
	assert_string_equal(ip_of(holder, 0), text_of(o, "floating_ip_address"));
	assert_int_equal(router_id != NULL, whole || n > 0);
	assert_false(whole && n > 0);
	assert_int_equal(whole, text_of(o, "fixed_ip_address") != NULL);
	if (router_id == NULL)
		return 0;
	const struct object *gateway = weft_router_gateway_port(m, router_id);
	assert_non_null(gateway);
	assert_string_equal(text_of(gateway, "network_id"), text_of(o, "floating_network_id"));
	if (whole)
		assert_leads(m, router_id, named(m, RES_PORT, o, "port_id"),
			     text_of(o, "fixed_ip_address"));
	return 0;
}

static int check_forwarding(const struct object *o, void *arg)
{
	const struct model *m = arg;
	const struct object *floating_ip = named(m, RES_FLOATING_IP, o, "floatingip_id");
	struct port_range outer, inner;
	assert_non_null(floating_ip);
	assert_leads(m, text_of(floating_ip, "router_id"),
		     named(m, RES_PORT, o, "internal_port_id"), text_of(o, "internal_ip_address"));
	assert_true(weft_port_range_of(text_of(o, "external_port_range"), &outer));
	assert_true(weft_port_range_of(text_of(o, "internal_port_range"), &inner));
	assert_int_equal(outer.last - outer.first, inner.last - inner.first);
	assert_int_equal(weft_json_int(o->attr, "external_port", 0),
			 outer.first == outer.last ? outer.first : 0);
	return 0;
}

// Ports of routers and floating IPs are there only as long as those are.
static int check_port(const struct object *o, void *arg)
{
	const struct model *m = arg;
	if (weft_port_is_gateway(o->attr) || weft_port_is_interface(o->attr))
		assert_non_null(named(m, RES_ROUTER, o, "device_id"));
	if (weft_port_is_floating(o->attr))
		assert_non_null(named(m, RES_FLOATING_IP, o, "device_id"));
	return 0;
}

static void check_all(struct model *m)
{
	weft_model_each(m, RES_ROUTER, check_router, m);
	weft_model_each(m, RES_FLOATING_IP, check_floating_ip, m);
	weft_model_each(m, RES_PORT_FORWARDING, check_forwarding, m);
	weft_model_each(m, RES_PORT, check_port, m);
}

static void promises_hold_after_any_requests(void **state)
{
	(void)state;
	size_t floating = 0, leading = 0, forwarded = 0, undone = 0;
	for (unsigned seed = 1; seed <= SEEDS; seed++) {
		srand(seed);
		struct world w = world_new();
		struct model *m = w.m;
		assert_done(set_gateway(&w, &alice, w.external, ""));
		for (int i = 0; i < 4; i++)
			floating_new(&w, "");
		for (int round = 0; round < ROUNDS; round++) {
			struct err err;
			char *model_before = model_dump(m), *index_before = index_dump(m);
			struct txn *t = weft_txn_begin(m);
			int ret = step(m, t, &err);
			if (ret == 0 && rand() % 4 == 0)
				ret = step(m, t, &err);
			finish(t, ret);
			if (ret < 0) {
				char *model_after = model_dump(m), *index_after = index_dump(m);
				assert_string_equal(model_after, model_before);
				assert_string_equal(index_after, index_before);
				free(model_after);
				free(index_after);
				undone++;
			}
			check_all(m);
			free(model_before);
			free(index_before);
			floating += weft_model_count(m, RES_FLOATING_IP) > 0;
			forwarded += weft_model_count(m, RES_PORT_FORWARDING) > 0;
			leading += weft_map_count(m->refs[REF_PORT_FLOATING_IPS]) > 0;
		}
		world_free(&w);
	}
	// The test means nothing unless all of it happened often.
	if (floating < 400 || leading < 200 || forwarded < 100 || undone < 400)
		fail_msg("%zu %zu %zu %zu", floating, leading, forwarded, undone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(promises_hold_after_any_requests),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
