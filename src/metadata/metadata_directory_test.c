// SPDX-License-Identifier: Apache-2.0
#include "metadata/metadata_directory.h"

#include <arpa/inet.h>
#include <errno.h>

#include "plan/planner_testing.h"

// A datapath that gives each port the next address.
static unsigned int given;

static int next_source(void *arg, const char *port_id, struct ip_addr *out)
{
	(void)arg;
	(void)port_id;
	*out = (struct ip_addr) {.family = 4, .b = {100, 64, 0, (uint8_t)++given}};
	return 0;
}

static struct in_addr source(unsigned int n)
{
	return (struct in_addr) {htonl(0x64400000 + n)};
}

struct scene {
	struct cloud *c;
	struct metadata_directory *d;
	const char *net, *subnet, *port;
};

static void follow(struct scene *s)
{
	weft_metadata_directory_apply(s->d, &s->c->last);
}

// One port, the first to get a source.
static struct scene scene_new(void)
{
	struct scene s = {.c = cloud_new()};

	given = 0;
	s.d = weft_metadata_directory_new(next_source, NULL);
	s.net = add(s.c, RES_NETWORK, "{'name': 'n'}");
	s.subnet = add(s.c, RES_SUBNET,
		       "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.0.0/24'}", s.net);
	s.port = add(s.c, RES_PORT,
		     "{'network_id': '%s', 'binding:host_id': '" HOST "', 'device_id': 'vm-1', "
		     "'fixed_ips': [{'ip_address': '10.0.0.5'}]}",
		     s.net);
	follow(&s);
	return s;
}

static void scene_free(struct scene *s)
{
	weft_metadata_directory_free(s->d);
	cloud_free(s->c);
}

static void a_source_names_its_port(void **state)
{
	struct scene s = scene_new();
	struct metadata_who who;

	(void)state;
	assert_true(weft_metadata_directory_find(s.d, source(1), &who));
	assert_string_equal(who.port_id, s.port);
	assert_string_equal(who.network_id, s.net);
	assert_string_equal(who.router_id, "");
	assert_string_equal(who.instance_id, "vm-1");
	assert_string_equal(who.project_id, "p");
	assert_string_equal(who.address, "10.0.0.5");
	assert_false(weft_metadata_directory_find(s.d, source(2), &who));
	scene_free(&s);
}

static void a_port_that_changes_keeps_its_serial(void **state)
{
	struct scene s = scene_new();
	struct metadata_who before, after;

	(void)state;
	assert_true(weft_metadata_directory_find(s.d, source(1), &before));
	set(s.c, RES_PORT, s.port,
	    "{'device_id': 'vm-2', 'fixed_ips': [{'ip_address': '10.0.0.6'}]}");
	follow(&s);
	assert_true(weft_metadata_directory_find(s.d, source(1), &after));
	assert_true(before.serial == after.serial);
	assert_string_equal(after.instance_id, "vm-2");
	assert_string_equal(after.address, "10.0.0.6");
	assert_true(weft_metadata_directory_has(s.d, source(1), before.serial));
	scene_free(&s);
}

static void a_source_that_another_port_has_by_now_has_another_serial(void **state)
{
	struct scene s = scene_new();
	struct metadata_who before, after;

	(void)state;
	assert_true(weft_metadata_directory_find(s.d, source(1), &before));
	del(s.c, RES_PORT, s.port);
	follow(&s);
	assert_false(weft_metadata_directory_find(s.d, source(1), &after));
	assert_false(weft_metadata_directory_has(s.d, source(1), before.serial));
	given = 0;
	add(s.c, RES_PORT,
	    "{'network_id': '%s', 'binding:host_id': '" HOST "', 'device_id': 'vm-2', "
	    "'fixed_ips': [{'ip_address': '10.0.0.5'}]}",
	    s.net);
	follow(&s);
	assert_true(weft_metadata_directory_find(s.d, source(1), &after));
	assert_string_equal(after.instance_id, "vm-2");
	assert_true(before.serial != after.serial);
	assert_false(weft_metadata_directory_has(s.d, source(1), before.serial));
	scene_free(&s);
}

static void assert_router(struct scene *s, const char *id)
{
	struct metadata_who who;

	follow(s);
	assert_true(weft_metadata_directory_find(s->d, source(1), &who));
	assert_string_equal(who.router_id, id);
}

static void the_router_is_told_while_it_is_the_subnets_gateway(void **state)
{
	struct scene s = scene_new();
	const char *router = add(s.c, RES_ROUTER, "{'name': 'r'}");

	(void)state;
	join(s.c, router, "subnet_id", s.subnet, true);
	assert_router(&s, router);
	set(s.c, RES_ROUTER, router, "{'admin_state_up': false}");
	assert_router(&s, router);
	join(s.c, router, "subnet_id", s.subnet, false);
	assert_router(&s, "");
	scene_free(&s);
}

static void a_router_that_is_not_the_gateway_is_not_told(void **state)
{
	struct scene s = scene_new();
	const char *router = add(s.c, RES_ROUTER, "{'name': 'r'}");
	const char *port = add(s.c, RES_PORT,
			       "{'network_id': '%s', 'fixed_ips': [{'ip_address': '10.0.0.9'}]}",
			       s.net);

	(void)state;
	join(s.c, router, "port_id", port, true);
	assert_router(&s, "");
	scene_free(&s);
}

static void a_port_without_ipv4_has_no_address(void **state)
{
	struct scene s = scene_new();
	struct metadata_who who;

	(void)state;
	set(s.c, RES_PORT, s.port, "{'fixed_ips': []}");
	follow(&s);
	assert_true(weft_metadata_directory_find(s.d, source(1), &who));
	assert_string_equal(who.address, "");
	scene_free(&s);
}

static void put_router(struct plan_batch *b, const struct scene *s, const char *id,
		       bool has_interface)
{
	struct plan_router *r = calloc(1, sizeof(*r));

	snprintf(r->id, sizeof(r->id), "%s", id);
	r->interfaces = calloc(1, sizeof(r->interfaces[0]));
	if (has_interface) {
		struct plan_interface *i = &r->interfaces[r->n_interfaces++];

		snprintf(i->network_id, sizeof(i->network_id), "%s", s->net);
		i->n_addrs = 1;
		i->addrs = calloc(1, sizeof(i->addrs[0]));
		i->addrs[0] = (struct ip_prefix) {{4, {10, 0, 0, 1}}, 24};
	}
	weft_plan_batch_add(b, PLAN_PUT, PLAN_ROUTER, r);
}

static void a_gateway_that_changes_hands_in_one_batch_is_its_new_router(void **state)
{
	struct scene s = scene_new();
	const char *owners[] = {"r1", "r2", "r1"};

	(void)state;
	for (size_t i = 0; i < 3; i++)
		for (int order = 0; order < 2; order++) {
			const char *other = owners[i][1] == '1' ? "r2" : "r1";
			struct plan_batch b = {0};

			put_router(&b, &s, order == 0 ? owners[i] : other, order == 0);
			put_router(&b, &s, order == 0 ? other : owners[i], order == 1);
			weft_metadata_directory_apply(s.d, &b);
			weft_plan_batch_fini(&b);
			assert_router(&s, owners[i]);
		}
	scene_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_names_its_port),
		cmocka_unit_test(a_port_that_changes_keeps_its_serial),
		cmocka_unit_test(a_source_that_another_port_has_by_now_has_another_serial),
		cmocka_unit_test(the_router_is_told_while_it_is_the_subnets_gateway),
		cmocka_unit_test(a_router_that_is_not_the_gateway_is_not_told),
		cmocka_unit_test(a_gateway_that_changes_hands_in_one_batch_is_its_new_router),
		cmocka_unit_test(a_port_without_ipv4_has_no_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
