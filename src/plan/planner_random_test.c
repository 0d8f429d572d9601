// SPDX-License-Identifier: Apache-2.0
// Random histories: whatever happened, in whatever transactions, stored or refused, the plan that the batches made is the plan
// that is computed from the model as it stands.
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

// A random object's id; "" when there is none.
static const char *pick(const struct cloud *c, enum resource type, struct pick *p)
{
	size_t n = weft_model_count(c->model, type);

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

static json_t *random_new(struct cloud *c, enum resource type)
{
	static const char *const cidrs[] = {"10.0.0.0/24", "10.2.0.0/24", "2001:db8::/64"};
	struct pick p;
	const char *cidr;

	switch (type) {
	case RES_NETWORK:
		return json_pack("{s:i}", "mtu", 1300 + (int)rng(3) * 50);
	case RES_SUBNET:
		cidr = any_of(cidrs, 3);
		return json_pack("{s:s, s:s, s:i}", "network_id", pick(c, RES_NETWORK, &p), "cidr",
				 cidr, "ip_version", strchr(cidr, ':') != NULL ? 6 : 4);
	case RES_PORT:
		return random_port(c, true);
	case RES_SECURITY_GROUP:
	case RES_ROUTER:
		return json_pack("{s:s}", "name", "g");
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

// An interface comes or goes, or a route, or the router is switched off.
static int change_router(struct cloud *c, const char *id)
{
	struct pick p;
	json_t *body;
	int ret;

	if (rng(6) == 0)
		body = json_pack("{s:b}", "admin_state_up", (int)rng(2));
	else if (rng(6) == 0)
		body = json_pack("{s:[{s:s, s:s}]}", "routes", "destination", "10.9.0.0/16",
				 "nexthop", rng(2) == 0 ? "10.0.0.9" : "10.2.0.9");
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
		body = json_pack("{s:b}", "enable_dhcp", (int)rng(2));
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
	// Ports and rules are what happens most.
	static const enum resource types[] = {RES_NETWORK,
					      RES_SUBNET,
					      RES_PORT,
					      RES_PORT,
					      RES_PORT,
					      RES_SECURITY_GROUP,
					      RES_ADDRESS_GROUP,
					      RES_SECURITY_GROUP_RULE,
					      RES_SECURITY_GROUP_RULE,
					      RES_ROUTER,
					      RES_ROUTER};
	enum resource type = types[rng(11)];
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

static size_t run_history(uint64_t seed, unsigned int transactions)
{
	struct cloud *c = cloud_new();
	size_t stored = 0;

	rng_state = seed * 2862933555777941757u + 3037000493u;
	for (unsigned int i = 0; i < transactions; i++) {
		int ret = 0;

		begin(c);
		for (uint32_t steps = 1 + rng(4); steps > 0 && ret == 0; steps--)
			ret = random_step(c);
		if (ret == 0 && rng(4) > 0) {
			commit(c);
			stored++;
		} else {
			if (ret == 0)
				abort_after_apply(c);
			abandon(c);
		}
		if (i % 5 == 0)
			assert_plan_is_right(c);
	}
	assert_plan_is_right(c);
	cloud_free(c);
	return stored;
}

static void the_incremental_plan_equals_the_plan_from_scratch(void **state)
{
	size_t stored = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 100; seed++)
		stored += run_history(seed, 200);
	// Histories of refusals only would prove nothing.
	assert_true(stored > 100 * 200 / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_incremental_plan_equals_the_plan_from_scratch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
