// SPDX-License-Identifier: Apache-2.0
// Stored objects that are damaged in any way: they are left out, with what refers to them, and
// the rest starts.
#include "agent/reconcile.h"

#include <event2/event.h>

#include "plan/planner_testing.h"

#define ROUNDS 1000

// ---- A cloud with one of everything, as it is stored ---------------------------------------

struct row {
	enum resource type;
	json_t *attr;
};

struct rows {
	size_t n;
	struct row at[128];
};

static int add_row(const struct object *o, void *arg)
{
	struct rows *r = arg;

	assert_true(r->n < 128);
	r->at[r->n++] = (struct row) {o->type, json_deep_copy(o->attr)};
	return 0;
}

// Ids of what the tests name.
static struct {
	const char *net, *net2, *subnet, *port, *port2, *group, *rule, *addresses, *router,
		*floating;
} ids;

static const char *kept(const char *id)
{
	static char all[16][WEFT_ID_LEN + 1];
	static size_t n;

	return strcpy(all[n++ % 16], id);
}

static void fill(struct cloud *c)
{
	const char *external, *shared;

	ids.net = kept(add(c, RES_NETWORK, "{}"));
	ids.subnet = kept(add(c, RES_SUBNET,
			      "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.0.0/24', "
			      "'dns_nameservers': ['9.9.9.9'], 'host_routes': [{'destination': "
			      "'10.9.0.0/16', 'nexthop': '10.0.0.9'}]}",
			      ids.net));
	add(c, RES_SUBNET, "{'network_id': '%s', 'ip_version': 6, 'cidr': 'fd00::/64'}", ids.net);
	ids.net2 = kept(add(c, RES_NETWORK, "{}"));
	add(c, RES_SUBNET, "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.2.0.0/24'}",
	    ids.net2);
	ids.group = kept(add(c, RES_SECURITY_GROUP, "{'name': 'web'}"));
	ids.addresses = kept(add(c, RES_ADDRESS_GROUP, "{'addresses': ['10.8.0.0/16']}"));
	ids.rule = kept(
		add(c, RES_SECURITY_GROUP_RULE,
		    "{'security_group_id': '%s', 'direction': 'ingress', 'protocol': 'tcp', "
		    "'port_range_min': 1, 'port_range_max': 9, 'remote_ip_prefix': '10.0.0.0/8'}",
		    ids.group));
	add(c, RES_SECURITY_GROUP_RULE,
	    "{'security_group_id': '%s', 'direction': 'ingress', 'remote_address_group_id': '%s'}",
	    ids.group, ids.addresses);
	add(c, RES_SECURITY_GROUP_RULE,
	    "{'security_group_id': '%s', 'direction': 'ingress', 'remote_group_id': '%s'}",
	    ids.group, ids.group);
	ids.port =
		kept(add(c, RES_PORT,
			 "{'network_id': '%s', 'binding:host_id': '" HOST "', 'security_groups': "
			 "['%s'], 'allowed_address_pairs': [{'ip_address': '10.0.0.99'}], "
			 "'extra_dhcp_opts': [{'opt_name': 'mtu', 'opt_value': '1400'}], "
			 "'binding:profile': {'a': 1}}",
			 ids.net, ids.group));
	ids.port2 = kept(
		add(c, RES_PORT, "{'network_id': '%s', 'binding:host_id': '" HOST "'}", ids.net2));
	add(c, RES_PORT, "{'network_id': '%s', 'binding:host_id': 'elsewhere'}", ids.net);
	external = kept(add(c, RES_NETWORK, "{'router:external': true}"));
	add(c, RES_SUBNET, "{'network_id': '%s', 'ip_version': 4, 'cidr': '198.51.100.0/24'}",
	    external);
	ids.router = kept(add(c, RES_ROUTER, "{}"));
	join(c, ids.router, "subnet_id", ids.subnet, true);
	set(c, RES_ROUTER, ids.router, "{'external_gateway_info': {'network_id': '%s'}}", external);
	set(c, RES_ROUTER, ids.router,
	    "{'routes': [{'destination': '10.7.0.0/16', 'nexthop': '10.0.0.7'}]}");
	ids.floating =
		kept(add(c, RES_FLOATING_IP, "{'floating_network_id': '%s', 'port_id': '%s'}",
			 external, ids.port));
	shared = kept(add(c, RES_FLOATING_IP, "{'floating_network_id': '%s'}", external));
	add(c, RES_PORT_FORWARDING,
	    "{'floatingip_id': '%s', 'protocol': 'tcp', 'external_port': 80, 'internal_port': 8080, "
	    "'internal_port_id': '%s', 'internal_ip_address': '10.0.0.33'}",
	    shared,
	    kept(add(c, RES_PORT,
		     "{'network_id': '%s', 'binding:host_id': '" HOST "', 'fixed_ips': "
		     "[{'subnet_id': '%s', 'ip_address': '10.0.0.33'}]}",
		     ids.net, ids.subnet)));
}

static struct rows store(void)
{
	struct cloud *c = cloud_new();
	struct rows r = {0};

	fill(c);
	for (int type = 0; type < RES_COUNT; type++)
		weft_model_each(c->model, type, add_row, &r);
	cloud_free(c);
	return r;
}

static void rows_free(struct rows *r)
{
	for (size_t i = 0; i < r->n; i++)
		json_decref(r->at[i].attr);
}

// ---- A start from it -----------------------------------------------------------------------

struct datapath {
	struct mirror mirror;
	const char *refuse; // the id of what it cannot do
};

static int prepare(struct datapath *dp, const struct plan_batch *batch, size_t *refused,
		   struct err *err)
{
	for (*refused = 0; *refused < batch->n; ++*refused) {
		const struct plan_change *c = &batch->changes[*refused];

		if (dp->refuse != NULL && c->kind == PLAN_PORT &&
		    strcmp(c->port->id, dp->refuse) == 0)
			return weft_fail(err, -ENOSPC, "port %s: no room", dp->refuse);
	}
	return 0;
}

static void apply(struct datapath *dp, const struct plan_batch *batch)
{
	mirror_apply(&dp->mirror, batch);
}

static void forget(struct datapath *dp)
{
	(void)dp;
}

static int attach(struct datapath *dp, const char *port_id, const char *ifname, struct err *err)
{
	(void)dp;
	(void)port_id;
	(void)ifname;
	(void)err;
	return 0;
}

static void detach(struct datapath *dp, const char *port_id)
{
	(void)dp;
	(void)port_id;
}

static const struct datapath_ops ops = {
	.name = "fake",
	.prepare = prepare,
	.apply = apply,
	.forget = forget,
	.attach = attach,
	.detach = detach,
};

static int write_nothing(void *s, const struct model_change *changes, size_t n, struct err *err)
{
	(void)s;
	(void)changes;
	(void)n;
	(void)err;
	return 0;
}

struct node {
	struct model *model;
	struct planner *planner;
	struct event_base *loop;
	struct links *links;
	struct datapath dp;
	struct reconcile r;
};

static void load(struct node *n, const struct rows *rows)
{
	static const struct model_config config = {.host = HOST, .physnet_mtu = 1500};

	n->model = weft_model_new(&config);
	for (size_t i = 0; i < rows->n; i++) {
		struct err err;

		if (rows->at[i].attr != NULL &&
		    weft_model_load(n->model, rows->at[i].type, rows->at[i].attr, &err) != 0)
			weft_model_leave_out(n->model, rows->at[i].type, "?", err.msg);
	}
	weft_model_check_references(n->model);
}

static void start(struct node *n, const struct rows *rows, const char *refuse)
{
	struct err err = {0};
	size_t changes;

	load(n, rows);
	n->dp = (struct datapath) {{weft_map_new()}, refuse};
	n->planner = weft_planner_new(HOST, n->model);
	n->loop = event_base_new();
	const struct links_config links = {n->loop, n->model, n->planner, &ops, &n->dp};

	assert_int_equal(weft_links_new(&links, &n->links, &err), 0);
	n->r = (struct reconcile) {n->planner, &ops, &n->dp, n->links, NULL, write_nothing, NULL};
	if (weft_reconcile_start(&n->r, n->model, &changes, &err) != 0)
		fail_msg("it does not start: %s", err.msg);
}

static void end(struct node *n)
{
	weft_links_free(n->links);
	weft_planner_free(n->planner);
	weft_model_free(n->model);
	mirror_fini(&n->dp.mirror);
	event_base_free(n->loop);
}

static bool is_out(const struct node *n, const char *id)
{
	size_t count;
	const struct left_out *l = weft_model_left_out(n->model, &count);

	for (size_t i = 0; i < count; i++) {
		if (strcmp(l[i].id, id) == 0)
			return true;
	}
	return false;
}

static struct row *find(struct rows *r, const char *id)
{
	for (size_t i = 0; i < r->n; i++) {
		if (strcmp(json_string_value(json_object_get(r->at[i].attr, "id")), id) == 0)
			return &r->at[i];
	}
	fail_msg("%s is not stored", id);
	return NULL;
}

// ---- What people do with it then -----------------------------------------------------------

static int show(const struct object *o, void *arg)
{
	json_decref(weft_model_render(arg, o));
	return 0;
}

static int take_id(const struct object *o, void *arg)
{
	strcpy(arg, o->id);
	return 1;
}

// Everything is looked at, and all that can be deleted is.
static void use(struct node *n)
{
	for (int type = 0; type < RES_COUNT; type++)
		weft_model_each(n->model, type, show, n->model);
	for (int type = RES_COUNT - 1; type >= 0; type--) {
		char id[WEFT_ID_LEN + 1];

		while (weft_model_each(n->model, type, take_id, id) != 0) {
			struct txn *t = weft_txn_begin(n->model);
			struct err err;
			int ret = weft_txn_delete(t, &admin, type, id, &err);

			if (ret == 0)
				ret = weft_reconcile_commit(&n->r, t, &err);
			weft_txn_free(t);
			if (ret != 0)
				break;
		}
	}
}

// ---- Tests ---------------------------------------------------------------------------------

static void nothing_is_left_out_of_what_the_api_has_made(void **state)
{
	struct rows r = store();
	struct node n;
	size_t out;

	(void)state;
	start(&n, &r, NULL);
	const struct left_out *l = weft_model_left_out(n.model, &out);

	if (out != 0)
		fail_msg("%s: %s", l->id, l->reason);
	assert_true(mirror_has(&n.dp.mirror, PLAN_PORT, ids.port));
	assert_true(mirror_has(&n.dp.mirror, PLAN_ROUTER, ids.router));
	assert_true(mirror_has(&n.dp.mirror, PLAN_FLOATING, ids.floating));
	use(&n);
	end(&n);
	rows_free(&r);
}

static void one_damaged_object_takes_along_only_what_refers_to_it(void **state)
{
	static const struct {
		const char **id, *attr, *value; // JSON
		bool port_stays, port2_stays;
	} cases[] = {
		{&ids.port, "mac_address", "\"no MAC\"", false, true},
		{&ids.port, "fixed_ips", "[{\"subnet_id\": 5}]", false, true},
		{&ids.port, "allowed_address_pairs", "[{\"ip_address\": \"what\"}]", false, true},
		{&ids.subnet, "cidr", "\"nonsense\"", false, true},
		{&ids.subnet, "gateway_ip", "\"none\"", false, true},
		{&ids.net, "mtu", "-5", false, true},
		{&ids.net2, "id", "7", true, false},
		{&ids.group, "project_id", "null", false, true},
		{&ids.rule, "protocol", "\"nonsense\"", true, true},
		{&ids.addresses, "addresses", "[\"what\"]", true, true},
		{&ids.router, "routes", "[{\"destination\": \"x\", \"nexthop\": \"y\"}]", true,
		 true},
		{&ids.floating, "floating_ip_address", "\"fd00::1\"", true, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct rows r = store();
		struct node n;
		size_t out;

		json_object_set_new(find(&r, *cases[i].id)->attr, cases[i].attr,
				    json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
		start(&n, &r, NULL);
		weft_model_left_out(n.model, &out);
		if (out == 0 ||
		    mirror_has(&n.dp.mirror, PLAN_PORT, ids.port) != cases[i].port_stays ||
		    mirror_has(&n.dp.mirror, PLAN_PORT, ids.port2) != cases[i].port2_stays)
			fail_msg("%s = %s: %zu left out", cases[i].attr, cases[i].value, out);
		use(&n);
		end(&n);
		rows_free(&r);
	}
}

static void what_refers_to_something_lost_is_left_out_with_the_reason(void **state)
{
	struct rows r = store();
	struct row *net;
	struct node n;
	size_t count;
	const struct left_out *l;

	(void)state;
	net = find(&r, ids.net2);
	json_decref(net->attr);
	net->attr = NULL;
	start(&n, &r, NULL);
	assert_true(is_out(&n, ids.port2));
	assert_false(is_out(&n, ids.port));
	l = weft_model_left_out(n.model, &count);
	assert_int_equal(count, 2); // its subnet and its port
	assert_non_null(strstr(l[0].reason, ids.net2));
	assert_non_null(strstr(l[0].reason, "not there"));
	end(&n);
	rows_free(&r);
}

static void what_the_datapath_cannot_do_is_left_out(void **state)
{
	struct rows r = store();
	struct node n;
	size_t count;

	(void)state;
	start(&n, &r, ids.port2);
	assert_true(is_out(&n, ids.port2));
	weft_model_left_out(n.model, &count);
	assert_int_equal(count, 1);
	assert_true(mirror_has(&n.dp.mirror, PLAN_PORT, ids.port));
	end(&n);
	rows_free(&r);
}

static json_t *anything(int depth)
{
	static const char *const texts[] = {"",
					    "x",
					    "10.0.0.1",
					    "10.0.0.0/8",
					    "fd00::1",
					    "::/0",
					    "tcp",
					    "-1",
					    "network:router_interface",
					    "IPv6",
					    "ingress",
					    "70000:1",
					    "00:00:00:00:00:00"};
	json_t *v;

	switch (rand() % (depth > 2 ? 5 : 8)) {
	case 0:
		return json_null();
	case 1:
		return json_boolean(rand() % 2);
	case 2:
		return json_integer(rand() % 3 == 0 ? -1 : rand());
	case 3:
		return json_string(texts[(size_t)rand() % (sizeof(texts) / sizeof(*texts))]);
	case 4:
		return json_real(1.5);
	case 5:
		v = json_array();
		for (int i = rand() % 3; i > 0; i--)
			json_array_append_new(v, anything(depth + 1));
		return v;
	case 6:
		v = json_object();
		json_object_set_new(v, "ip_address", anything(depth + 1));
		json_object_set_new(v, "subnet_id", anything(depth + 1));
		return v;
	default:
		v = json_object();
		json_object_set_new(v, "destination", anything(depth + 1));
		json_object_set_new(v, "network_id", anything(depth + 1));
		return v;
	}
}

static void damage(struct row *row)
{
	size_t n = (size_t)rand() % json_object_size(row->attr);
	void *at = json_object_iter(row->attr);
	json_t *list;

	while (n-- > 0)
		at = json_object_iter_next(row->attr, at);
	list = json_object_iter_value(at);
	switch (rand() % 3) {
	case 0:
		json_object_del(row->attr, json_object_iter_key(at));
		break;
	case 1:
		if (json_array_size(list) > 0) {
			json_array_set_new(list, 0, anything(0));
			break;
		} // fall through
	default:
		json_object_iter_set_new(row->attr, at, anything(0));
	}
}

static void no_damage_keeps_the_rest_from_starting(void **state)
{
	struct rows whole = store();

	(void)state;
	srand(4711);
	for (int round = 0; round < ROUNDS; round++) {
		struct rows r = {.n = whole.n};
		struct node n;

		for (size_t i = 0; i < r.n; i++)
			r.at[i] = (struct row) {whole.at[i].type, json_deep_copy(whole.at[i].attr)};
		for (int i = rand() % 3; i >= 0; i--)
			damage(&r.at[(size_t)rand() % r.n]);
		if (rand() % 4 == 0) {
			struct row *lost = &r.at[(size_t)rand() % r.n];

			json_decref(lost->attr);
			lost->attr = NULL;
		}
		start(&n, &r, NULL);
		use(&n);
		end(&n);
		rows_free(&r);
	}
	rows_free(&whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_left_out_of_what_the_api_has_made),
		cmocka_unit_test(one_damaged_object_takes_along_only_what_refers_to_it),
		cmocka_unit_test(what_refers_to_something_lost_is_left_out_with_the_reason),
		cmocka_unit_test(what_the_datapath_cannot_do_is_left_out),
		cmocka_unit_test(no_damage_keeps_the_rest_from_starting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
