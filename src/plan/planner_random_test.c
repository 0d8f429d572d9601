// SPDX-License-Identifier: Apache-2.0
// Random histories: whatever happened, in whatever transactions, stored or refused, the plan that
// the batches made is the plan that is computed from the model as it stands.
#include "plan/planner.h"

#include "plan/planner_testing.h"

static uint64_t rng_state;

static uint32_t rng(uint32_t below)
{
	rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(rng_state >> 33) % below;
}

static const char *any_of(const char *const *words, uint32_t n)
{
	return words[rng(n)];
}

struct pick {
	uint32_t left;
	char id[WEFT_ID_LEN + 1];
};

static int pick_at(const struct object *o, void *arg)
{
	struct pick *p = arg;

	if (p->left-- > 0)
		return 0;
	strcpy(p->id, o->id);
	return 1;
}

// A random object's id; "" when there is none. The oldest ones more often, so that objects have
// much to do with each other.
static const char *pick(const struct cloud *c, enum resource type, struct pick *p)
{
	size_t n = weft_model_count(c->model, type);

	if (n > 4 && rng(2) == 0)
		n = 4;
	*p = (struct pick) {.left = n == 0 ? 0 : rng(n)};
	weft_model_each(c->model, type, pick_at, p);
	return p->id;
}

static json_t *text_list(const char *a, const char *b)
{
	json_t *list = json_array();

	if (a != NULL && a[0] != '\0')
		json_array_append_new(list, json_string(a));
	if (b != NULL && b[0] != '\0' && (a == NULL || strcmp(a, b) != 0))
		json_array_append_new(list, json_string(b));
	return list;
}

static json_t *random_pairs(void)
{
	static const char *const ips[] = {"10.0.0.77",	    "10.0.0.78",    "10.1.0.0/24",
					  "0.0.0.0/0",	    "2001:db8::77", "10.1.0.7/24",
					  "2001:db8:1::/64"};
	json_t *list = json_array();

	for (uint32_t n = rng(3); n > 0; n--) {
		json_t *pair = json_pack("{s:s}", "ip_address", any_of(ips, 7));

		if (rng(2) == 0)
			json_object_set_new(pair, "mac_address", json_string("00:00:5e:00:01:01"));
		json_array_append_new(list, pair);
	}
	return list;
}

static json_t *random_port(struct cloud *c, bool created)
{
	static const char *const hosts[] = {HOST, HOST, HOST, "node2", ""};
	struct pick a, b;
	json_t *body = json_object();

	if (created)
		json_object_set_new(body, "network_id", json_string(pick(c, RES_NETWORK, &a)));
	if (created || rng(2) == 0)
		json_object_set_new(body, "binding:host_id", json_string(any_of(hosts, 5)));
	if (rng(2) == 0)
		json_object_set_new(body, "security_groups",
				    text_list(pick(c, RES_SECURITY_GROUP, &a),
					      rng(2) == 0 ? pick(c, RES_SECURITY_GROUP, &b)
							  : NULL));
	if (rng(3) == 0)
		json_object_set_new(body, "allowed_address_pairs", random_pairs());
	if (rng(6) == 0)
		json_object_set_new(body, "admin_state_up", json_boolean(rng(2)));
	if (rng(6) == 0) {
		bool on = rng(2);

		json_object_set_new(body, "port_security_enabled", json_boolean(on));
		if (!on) {
			json_object_set_new(body, "security_groups", json_array());
			json_object_set_new(body, "allowed_address_pairs", json_array());
		}
	}
	if (rng(10) == 0)
		json_object_set_new(body, "mac_address",
				    json_sprintf("fa:16:3e:00:%02x:%02x", rng(256), rng(256)));
	if (created && rng(8) == 0)
		json_object_set_new(body, "device_owner", json_string("network:dhcp"));
	return body;
}

static json_t *random_rule(struct cloud *c)
{
	static const char *const directions[] = {"ingress", "egress"};
	static const char *const protocols[] = {"tcp", "udp", "17", "icmp", "sctp"};
	struct pick p;
	json_t *body = json_object();
	uint32_t remote = rng(4);

	json_object_set_new(body, "security_group_id",
			    json_string(pick(c, RES_SECURITY_GROUP, &p)));
	json_object_set_new(body, "direction", json_string(any_of(directions, 2)));
	if (rng(3) > 0)
		json_object_set_new(body, "protocol", json_string(any_of(protocols, 5)));
	if (remote == 1)
		json_object_set_new(body, "remote_group_id",
				    json_string(pick(c, RES_SECURITY_GROUP, &p)));
	else if (remote == 2)
		json_object_set_new(body, "remote_address_group_id",
				    json_string(pick(c, RES_ADDRESS_GROUP, &p)));
	else if (remote == 3)
		json_object_set_new(body, "remote_ip_prefix", json_string("10.0.0.5/24"));
	return body;
}

static json_t *random_network(void)
{
	json_t *body = json_pack("{s:i}", "mtu", 1300 + (int)rng(3) * 50);

	if (rng(2) == 0)
		json_object_set_new(body, "router:external", json_true());
	return body;
}

static json_t *random_subnet(struct cloud *c)
{
	static const char *const modes[] = {"slaac", "dhcpv6-stateless", "dhcpv6-stateful"};
	const char *mode = any_of(modes, 3);
	struct pick p;
	const char *network = pick(c, RES_NETWORK, &p);
	uint32_t n = rng(8);
	json_t *body;

	// Room for several gateways beside the pool.
	if (n < 6)
		return json_pack("{s:s, s:i, s:o, s:[{s:o, s:o}]}", "network_id", network,
				 "ip_version", 4, "cidr", json_sprintf("10.%u.0.0/24", n),
				 "allocation_pools", "start", json_sprintf("10.%u.0.10", n), "end",
				 json_sprintf("10.%u.0.240", n));
	body = json_pack("{s:s, s:i, s:o}", "network_id", network, "ip_version", 6, "cidr",
			 json_sprintf("2001:db8:%u::/64", rng(3)));
	if (rng(2) == 0)
		json_object_set_new(body, "gateway_ip", json_string("fe80::1"));
	if (rng(2) == 0)
		json_object_set_new(body, "ipv6_address_mode", json_string(mode));
	if (rng(3) > 0)
		json_object_set_new(body, "ipv6_ra_mode", json_string(mode));
	return body;
}

static json_t *random_gateway(struct cloud *c)
{
	struct pick p;

	if (rng(4) == 0)
		return json_null();
	return json_pack("{s:s, s:b}", "network_id", pick(c, RES_NETWORK, &p), "enable_snat",
			 rng(3) > 0);
}

static json_t *random_router(struct cloud *c)
{
	json_t *body = json_pack("{s:s}", "name", "r");

	if (rng(2) == 0)
		json_object_set_new(body, "external_gateway_info", random_gateway(c));
	return body;
}

static json_t *random_target(struct cloud *c)
{
	struct pick p;

	return rng(4) == 0 ? json_null() : json_string(pick(c, RES_PORT, &p));
}

static json_t *random_forwarding(struct cloud *c, bool created)
{
	uint32_t first = 1 + rng(50), n = rng(3);
	const struct object *port;
	struct pick p;
	json_t *body = json_pack("{s:o, s:o}", "external_port_range",
				 json_sprintf("%u:%u", first, first + n), "internal_port_range",
				 json_sprintf("%u:%u", first + 1000, first + 1000 + n));

	if (!created)
		return body;
	json_object_set_new(body, "protocol", json_string(rng(2) == 0 ? "tcp" : "udp"));
	json_object_set_new(body, "floatingip_id", json_string(pick(c, RES_FLOATING_IP, &p)));
	json_object_set_new(body, "internal_port_id", json_string(pick(c, RES_PORT, &p)));
	port = weft_model_get(c->model, RES_PORT, p.id);
	if (port != NULL)
		json_object_set(
			body, "internal_ip_address",
			json_object_get(json_array_get(json_object_get(port->attr, "fixed_ips"), 0),
					"ip_address"));
	return body;
}

static json_t *random_new(struct cloud *c, enum resource type)
{
	struct pick p;

	switch (type) {
	case RES_NETWORK:
		return random_network();
	case RES_SUBNET:
		return random_subnet(c);
	case RES_PORT:
		return random_port(c, true);
	case RES_SECURITY_GROUP:
		return json_pack("{s:s}", "name", "g");
	case RES_ROUTER:
		return random_router(c);
	case RES_FLOATING_IP:
		return json_pack("{s:s, s:o}", "floating_network_id", pick(c, RES_NETWORK, &p),
				 "port_id", random_target(c));
	case RES_PORT_FORWARDING:
		return random_forwarding(c, true);
	case RES_SECURITY_GROUP_RULE:
		return random_rule(c);
	default:
		return json_pack("{s:s, s:[s, s]}", "name", "a", "addresses", "192.0.2.0/24",
				 "198.51.100.1/32");
	}
}

static int change_addresses(struct cloud *c, const char *id)
{
	static const char *const all[] = {"192.0.2.0/24", "198.51.100.1/32", "203.0.113.0/24",
					  "2001:db8:2::/48", "10.0.0.0/24"};
	json_t *list = text_list(any_of(all, 5), rng(2) == 0 ? any_of(all, 5) : NULL);
	int ret =
		weft_txn_address_group_change(c->txn, &admin, id, list, rng(2) == 0, NULL, &c->err);

	json_decref(list);
	return ret;
}

// An interface comes or goes, or a route, or the gateway, or the router is switched off.
static int change_router(struct cloud *c, const char *id)
{
	struct pick p;
	json_t *body;
	int ret;

	if (rng(6) == 0)
		body = json_pack("{s:b}", "admin_state_up", (int)rng(2));
	else if (rng(6) == 0)
		body = json_pack("{s:[{s:s, s:s}]}", "routes", "destination",
				 rng(2) == 0 ? "10.9.0.0/16" : "0.0.0.0/0", "nexthop",
				 rng(2) == 0 ? "10.1.0.9" : "10.2.0.9");
	else if (rng(2) == 0)
		body = json_pack("{s:o}", "external_gateway_info", random_gateway(c));
	else
		body = NULL;
	if (body != NULL) {
		ret = weft_txn_update(c->txn, &admin, RES_ROUTER, id, body, NULL, &c->err);
	} else {
		body = json_pack("{s:s}", "subnet_id", pick(c, RES_SUBNET, &p));
		ret = rng(3) == 0 ? weft_txn_router_remove_interface(c->txn, &admin, id, body, NULL,
								     &c->err)
				  : weft_txn_router_add_interface(c->txn, &admin, id, body, NULL,
								  &c->err);
	}
	json_decref(body);
	return ret;
}

static json_t *random_subnet_change(struct cloud *c, const char *id)
{
	const char *cidr = json_string_value(
		json_object_get(weft_model_get(c->model, RES_SUBNET, id)->attr, "cidr"));
	bool is_v4 = strchr(cidr, ':') == NULL;

	if (rng(2) == 0)
		return json_pack("{s:b}", "enable_dhcp", (int)rng(2));
	if (rng(4) == 0)
		return json_pack("{s:n}", "gateway_ip");
	return json_pack("{s:o}", "gateway_ip",
			 is_v4 ? json_sprintf("10.%c.0.%u", cidr[3], 250 + rng(3))
			       : json_sprintf("fe80::%u", 1 + rng(3)));
}

static int update(struct cloud *c, enum resource type, const char *id)
{
	json_t *body = NULL;
	int ret;

	if (type == RES_ADDRESS_GROUP)
		return change_addresses(c, id);
	if (type == RES_ROUTER)
		return change_router(c, id);
	if (type == RES_PORT)
		body = random_port(c, false);
	else if (type == RES_NETWORK)
		body = json_pack("{s:i}", "mtu", 1300 + (int)rng(3) * 50);
	else if (type == RES_SUBNET)
		body = random_subnet_change(c, id);
	else if (type == RES_FLOATING_IP)
		body = json_pack("{s:o}", "port_id", random_target(c));
	else if (type == RES_PORT_FORWARDING)
		body = random_forwarding(c, false);
	else if (type == RES_SECURITY_GROUP)
		body = json_pack("{s:b}", "stateful", (int)rng(2));
	else
		return 0;
	ret = weft_txn_update(c->txn, &admin, type, id, body, NULL, &c->err);
	json_decref(body);
	return ret;
}

static int random_step(struct cloud *c)
{
	// Ports, rules and what routers do are what happens most.
	static const enum resource types[] = {
		RES_NETWORK,	    RES_SUBNET,	       RES_SUBNET,
		RES_PORT,	    RES_PORT,	       RES_PORT,
		RES_SECURITY_GROUP, RES_ADDRESS_GROUP, RES_SECURITY_GROUP_RULE,
		RES_ROUTER,	    RES_ROUTER,	       RES_SECURITY_GROUP_RULE,
		RES_FLOATING_IP,    RES_FLOATING_IP,   RES_PORT_FORWARDING,
	};
	enum resource type = types[rng(15)];
	uint32_t what = rng(8);
	struct pick p;
	json_t *body;
	int ret;

	if (what < 4) {
		body = random_new(c, type);
		ret = weft_txn_create(c->txn, &admin, type, body, NULL, &c->err);
		json_decref(body);
		return ret;
	}
	if (pick(c, type, &p)[0] == '\0')
		return 0;
	if (what < 7)
		return update(c, type, p.id);
	return weft_txn_delete(c->txn, &admin, type, p.id, &c->err);
}

// What the histories put into the plan and took from it.
struct seen {
	size_t stored;
	size_t changes[PLAN_DEL + 1][PLAN_FORWARDING + 1];
};

static void see(const struct cloud *c, struct seen *seen)
{
	seen->stored++;
	for (size_t i = 0; i < c->last.n; i++)
		seen->changes[c->last.changes[i].op][c->last.changes[i].kind]++;
}

// Two networks outside and two inside, each with a subnet, and a router between each two of them:
// where histories begin.
static void furnish(struct cloud *c)
{
	const char *networks[4], *subnet;

	for (int i = 0; i < 4; i++) {
		networks[i] =
			add(c, RES_NETWORK, "{'router:external': %s}", i < 2 ? "true" : "false");
		subnet = add(c, RES_SUBNET,
			     "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.%d.0.0/24', "
			     "'allocation_pools': [{'start': '10.%d.0.10', 'end': '10.%d.0.240'}]}",
			     networks[i], i, i, i);
		if (i < 2)
			continue;
		join(c,
		     add(c, RES_ROUTER, "{'external_gateway_info': {'network_id': '%s'}}",
			 networks[i - 2]),
		     "subnet_id", subnet, true);
		for (int n = 0; n < 2; n++)
			add(c, RES_PORT, "{'network_id': '%s'}", networks[i]);
	}
}

static void run_history(uint64_t seed, unsigned int transactions, struct seen *seen)
{
	struct cloud *c = cloud_new();

	rng_state = seed * 2862933555777941757u + 3037000493u;
	furnish(c);
	for (unsigned int i = 0; i < transactions; i++) {
		int ret = 0;

		begin(c);
		for (uint32_t steps = 1 + rng(4); steps > 0 && ret == 0; steps--)
			ret = random_step(c);
		if (ret == 0 && rng(4) > 0) {
			commit(c);
			see(c, seen);
		} else {
			if (ret == 0)
				abort_after_update(c);
			abandon(c);
		}
		if (i % 5 == 0)
			assert_plan_is_right(c);
	}
	assert_plan_is_right(c);
	cloud_free(c);
}

static void the_incremental_plan_equals_the_plan_from_scratch(void **state)
{
	struct seen seen = {0};

	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++)
		run_history(seed, 300, &seen);
	// Histories of refusals only, or where nothing comes together, would prove nothing.
	assert_true(seen.stored > 200 * 300 / 4);
	for (int kind = 0; kind <= PLAN_FORWARDING; kind++) {
		assert_true(seen.changes[PLAN_PUT][kind] > 100);
		assert_true(seen.changes[PLAN_DEL][kind] > 50);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_incremental_plan_equals_the_plan_from_scratch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
