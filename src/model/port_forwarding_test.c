// SPDX-License-Identifier: Apache-2.0
#include "model/floating_ip.h"

#include <errno.h>

#include "model/gateway_testing.h"

// A world whose router leads outside, with a floating IP that leads nowhere yet.
struct scene {
	struct world w;
	char floating[WEFT_ID_LEN + 1];
};

static struct scene scene_new(void)
{
	struct scene s = {.w = world_new()};
	assert_done(set_gateway(&s.w, &alice, s.w.external, ""));
	keep(s.floating, floating_new(&s.w, ""));
	return s;
}

static int forward(struct scene *s, const struct caller *who, const char *protocol,
		   const char *ports, const struct object **out)
{
	return post(s->w.m, who, RES_PORT_FORWARDING, out,
		    "{'floatingip_id': '%s', 'internal_port_id': '%s', 'protocol': '%s', %s}",
		    s->floating, s->w.port, protocol, ports);
}

static const struct object *floating_of(const struct scene *s)
{
	return weft_model_get(s->w.m, RES_FLOATING_IP, s->floating);
}

static void forwarding_is_kept_in_both_forms_and_gives_its_floating_ip_a_router(void **state)
{
	(void)state;
	struct scene s = scene_new();
	const struct object *o, *range;
	assert_done(forward(&s, &alice, "TCP", "'external_port': 8080, 'internal_port': '80'", &o));
	assert_string_equal(text_of(o, "protocol"), "tcp");
	assert_string_equal(text_of(o, "external_port_range"), "8080:8080");
	assert_string_equal(text_of(o, "internal_port_range"), "80:80");
	assert_int_equal(weft_json_int(o->attr, "internal_port", 0), 80);
	assert_string_equal(text_of(o, "internal_ip_address"), "10.1.0.10");
	assert_string_equal(o->project_id, "alice");
	assert_string_equal(text_of(floating_of(&s), "router_id"), s.w.router);
	assert_null(text_of(floating_of(&s), "port_id"));
	weft_auto(json) shown = weft_model_render(s.w.m, o);
	assert_null(json_object_get(shown, "floatingip_id"));
	assert_null(json_object_get(shown, "project_id"));
	assert_done(forward(
		&s, &alice, "udp",
		"'external_port_range': '5000:5009', 'internal_port_range': '6000:6009'", &range));
	assert_true(json_is_null(json_object_get(range->attr, "external_port")));
	weft_auto(json) floating = weft_model_render(s.w.m, floating_of(&s));
	const json_t *listed = json_object_get(floating, "port_forwardings");
	assert_int_equal(json_array_size(listed), 2);
	assert_int_equal(json_object_size(json_array_get(listed, 0)), 6);
	assert_int_equal(weft_json_int(json_array_get(listed, 0), "external_port", 0), 8080);
	assert_string_equal(weft_json_text(floating, "status"), "ACTIVE");

	assert_done(drop(s.w.m, &alice, RES_PORT_FORWARDING, o->id));
	assert_string_equal(text_of(floating_of(&s), "router_id"), s.w.router);
	assert_done(drop(s.w.m, &alice, RES_PORT_FORWARDING, range->id));
	assert_null(text_of(floating_of(&s), "router_id"));
	world_free(&s.w);
}

static int64_t revision_of(const struct model *m, enum resource type, const char *id)
{
	return weft_json_int(weft_model_get(m, type, id)->attr, "revision_number", 0);
}

static void a_forwarding_is_a_revision_of_its_floating_ip_and_port(void **state)
{
	(void)state;
	struct scene s = scene_new();
	const struct object *o;
	int64_t floating = revision_of(s.w.m, RES_FLOATING_IP, s.floating);
	int64_t port = revision_of(s.w.m, RES_PORT, s.w.port);
	assert_done(forward(&s, &alice, "tcp", "'external_port': 80, 'internal_port': 80", &o));
	assert_done(put(s.w.m, &alice, RES_PORT_FORWARDING, o->id, NULL, "{'internal_port': 81}"));
	assert_done(drop(s.w.m, &alice, RES_PORT_FORWARDING, o->id));
	assert_int_equal(revision_of(s.w.m, RES_FLOATING_IP, s.floating), floating + 3);
	assert_int_equal(revision_of(s.w.m, RES_PORT, s.w.port), port + 3);
	world_free(&s.w);
}

static void ports_that_cannot_be_are_refused(void **state)
{
	(void)state;
	struct scene s = scene_new();
	static const struct {
		const char *ports, *kind;
	} cases[] = {
		{"'external_port': 80", "BadRequest"},
		{"'internal_port': 80", "BadRequest"},
		{"'external_port': 0, 'internal_port': 80", "HTTPBadRequest"},
		{"'external_port': 65536, 'internal_port': 80", "HTTPBadRequest"},
		{"'external_port_range': '80:79', 'internal_port': 80", "HTTPBadRequest"},
		{"'external_port_range': '80:', 'internal_port': 80", "HTTPBadRequest"},
		{"'external_port_range': '1:2:3', 'internal_port': 80", "HTTPBadRequest"},
		{"'external_port_range': '0:9', 'internal_port_range': '0:9'", "HTTPBadRequest"},
		{"'external_port_range': '80:89', 'internal_port_range': '80:88'", "BadRequest"},
		{"'external_port_range': '80:89', 'internal_port': 80", "BadRequest"},
		{"'external_port': 81, 'external_port_range': '80:80', 'internal_port': 80",
		 "BadRequest"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_refused(forward(&s, &alice, "tcp", cases[i].ports, NULL), -EINVAL,
			       cases[i].kind);
	assert_refused(forward(&s, &alice, "icmp", "'external_port': 1, 'internal_port': 1", NULL),
		       -EINVAL, "HTTPBadRequest");
	assert_refused(forward(&s, &bob, "tcp", "'external_port': 1, 'internal_port': 1", NULL),
		       -ENOENT, "FloatingIPNotFound");
	assert_refused(forward(&s, &alice, "tcp",
			       "'external_port': 1, 'internal_port': 1, "
			       "'internal_ip_address': '10.1.0.77'",
			       NULL),
		       -EINVAL, "BadRequest");
	world_free(&s.w);
}

static void no_port_is_forwarded_twice(void **state)
{
	(void)state;
	struct scene s = scene_new();
	const struct object *o;
	assert_done(forward(&s, &alice, "tcp",
			    "'external_port_range': '80:89', 'internal_port_range': '180:189'",
			    NULL));
	assert_refused(forward(&s, &alice, "tcp", "'external_port': 89, 'internal_port': 300",
			       NULL),
		       -EINVAL, "BadRequest");
	assert_refused(forward(&s, &alice, "tcp", "'external_port': 90, 'internal_port': 185",
			       NULL),
		       -EINVAL, "BadRequest");
	assert_done(forward(&s, &alice, "udp", "'external_port': 89, 'internal_port': 185", NULL));
	assert_done(forward(&s, &alice, "tcp", "'external_port': 90, 'internal_port': 190", &o));
	char id[WEFT_ID_LEN + 1];
	keep(id, o);
	assert_refused(put(s.w.m, &alice, RES_PORT_FORWARDING, id, NULL, "{'external_port': 80}"),
		       -EINVAL, "BadRequest");
	assert_done(put(s.w.m, &alice, RES_PORT_FORWARDING, id, &o,
			"{'external_port': 90, 'description': 'x'}"));
	assert_done(put(s.w.m, &alice, RES_PORT_FORWARDING, id, &o,
			"{'external_port_range': '91:92', 'internal_port_range': '191:192'}"));
	assert_string_equal(text_of(o, "external_port_range"), "91:92");
	assert_true(json_is_null(json_object_get(o->attr, "external_port")));
	// Another floating IP is another address outside, but the port inside is the same.
	const struct object *second = floating_new(&s.w, "");
	keep(s.floating, second);
	assert_refused(forward(&s, &alice, "tcp", "'external_port': 80, 'internal_port': 180",
			       NULL),
		       -EINVAL, "BadRequest");
	assert_done(forward(&s, &alice, "tcp", "'external_port': 80, 'internal_port': 80", NULL));
	world_free(&s.w);
}

static void floating_ip_leads_as_a_whole_or_by_its_ports(void **state)
{
	(void)state;
	struct scene s = scene_new();
	const struct object *o;
	static const char ports[] = "'external_port': 80, 'internal_port': 80";
	assert_done(put(s.w.m, &alice, RES_FLOATING_IP, s.floating, NULL, "{'port_id': '%s'}",
			s.w.port));
	assert_refused(forward(&s, &alice, "tcp", ports, NULL), -EBUSY,
		       "FloatingIPPortAlreadyAssociated");
	char whole[WEFT_ID_LEN + 1];
	memcpy(whole, s.floating, sizeof(whole));
	keep(s.floating, floating_new(&s.w, ""));
	assert_refused(forward(&s, &alice, "tcp", ports, NULL), -EBUSY, "PortHasBindingFloatingIP");
	assert_done(put(s.w.m, &alice, RES_FLOATING_IP, whole, NULL, "{'port_id': null}"));
	assert_done(forward(&s, &alice, "tcp", ports, &o));
	assert_refused(put(s.w.m, &alice, RES_FLOATING_IP, s.floating, NULL, "{'port_id': '%s'}",
			   s.w.port),
		       -EBUSY, "FipInUseByPortForwarding");
	assert_refused(drop(s.w.m, &alice, RES_FLOATING_IP, s.floating), -EBUSY,
		       "FipInUseByPortForwarding");
	// That nothing is associated changes nothing for the forwardings.
	assert_done(put(s.w.m, &alice, RES_FLOATING_IP, s.floating, NULL, "{'port_id': null}"));
	assert_string_equal(text_of(floating_of(&s), "router_id"), s.w.router);
	world_free(&s.w);
}

static void forwardings_of_a_floating_ip_are_one_routers(void **state)
{
	(void)state;
	struct scene s = scene_new();
	char second[WEFT_ID_LEN + 1];
	assert_done(forward(&s, &alice, "tcp", "'external_port': 80, 'internal_port': 80", NULL));
	router_new(s.w.m, &alice, second);
	const struct object *subnet = subnet_new(s.w.m, "4", "10.2.0.0/24", "");
	const struct object *port = port_new(&s.w, subnet->id, "10.2.0.10");
	keep(s.w.port, port);
	assert_refused(forward(&s, &alice, "tcp", "'external_port': 81, 'internal_port': 80", NULL),
		       -EINVAL, "BadRequest");
	assert_non_null(strstr(last_err.msg, "not reachable"));
	joined(s.w.m, second, subnet);
	assert_done(put(s.w.m, &alice, RES_ROUTER, second, NULL,
			"{'external_gateway_info': {'network_id': '%s'}}", s.w.external));
	assert_refused(forward(&s, &alice, "tcp", "'external_port': 81, 'internal_port': 80", NULL),
		       -EINVAL, "BadRequest");
	assert_non_null(strstr(last_err.msg, "had been set on router"));
	world_free(&s.w);
}

static void what_a_forwarding_needs_stays_and_it_goes_with_its_port(void **state)
{
	(void)state;
	struct scene s = scene_new();
	assert_done(forward(&s, &alice, "tcp", "'external_port': 80, 'internal_port': 80", NULL));
	assert_refused(clear_gateway(&s.w), -EBUSY, "RouterExternalGatewayInUseByFloatingIp");
	assert_refused(leave(s.w.m, &alice, s.w.router, NULL, "{'subnet_id': '%s'}", s.w.inside),
		       -EBUSY, "RouterInterfaceInUseByFloatingIP");
	assert_done(put(s.w.m, &alice, RES_PORT, s.w.port, NULL,
			"{'fixed_ips': [{'ip_address': '10.1.0.11'}]}"));
	assert_int_equal(weft_model_count(s.w.m, RES_PORT_FORWARDING), 0);
	assert_null(text_of(floating_of(&s), "router_id"));
	assert_done(forward(&s, &alice, "tcp", "'external_port': 80, 'internal_port': 80", NULL));
	assert_done(forward(&s, &alice, "tcp", "'external_port': 81, 'internal_port': 81", NULL));
	assert_done(drop(s.w.m, &alice, RES_PORT, s.w.port));
	assert_int_equal(weft_model_count(s.w.m, RES_PORT_FORWARDING), 0);
	assert_null(text_of(floating_of(&s), "router_id"));
	assert_done(clear_gateway(&s.w));
	world_free(&s.w);
}

static void port_that_a_distributed_router_forwards_to_has_no_floating_ip(void **state)
{
	(void)state;
	struct scene s = scene_new();
	assert_done(forward(&s, &alice, "tcp", "'external_port': 80, 'internal_port': 80", NULL));
	const struct object *second = floating_new(&s.w, "");
	assert_done(put(s.w.m, &admin, RES_ROUTER, s.w.router, NULL,
			"{'admin_state_up': false, 'distributed': true}"));
	assert_refused(put(s.w.m, &alice, RES_FLOATING_IP, second->id, NULL, "{'port_id': '%s'}",
			   s.w.port),
		       -EINVAL, "PortHasPortForwarding");
	world_free(&s.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			forwarding_is_kept_in_both_forms_and_gives_its_floating_ip_a_router),
		cmocka_unit_test(a_forwarding_is_a_revision_of_its_floating_ip_and_port),
		cmocka_unit_test(ports_that_cannot_be_are_refused),
		cmocka_unit_test(no_port_is_forwarded_twice),
		cmocka_unit_test(floating_ip_leads_as_a_whole_or_by_its_ports),
		cmocka_unit_test(forwardings_of_a_floating_ip_are_one_routers),
		cmocka_unit_test(what_a_forwarding_needs_stays_and_it_goes_with_its_port),
		cmocka_unit_test(port_that_a_distributed_router_forwards_to_has_no_floating_ip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
