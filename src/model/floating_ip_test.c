// SPDX-License-Identifier: Apache-2.0
#include "model/floating_ip.h"

#include <errno.h>

#include "model/gateway_testing.h"

// A world whose router leads outside.
static struct world connected(void)
{
	struct world w = world_new();
	assert_done(set_gateway(&w, &alice, w.external, ""));
	return w;
}

static const struct object *get(const struct world *w, const char *id)
{
	return weft_model_get(w->m, RES_FLOATING_IP, id);
}

static int associate(struct world *w, const struct caller *who, const char *id, const char *port_id)
{
	return put(w->m, who, RES_FLOATING_IP, id, NULL, "{'port_id': '%s'}", port_id);
}

// One in which a floating IP leads to the port; its id.
static struct world associated(char id[WEFT_ID_LEN + 1])
{
	struct world w = connected();
	keep(id, floating_new(&w, ""));
	assert_done(associate(&w, &alice, id, w.port));
	return w;
}

static const char *status_of(const struct world *w, const char *id)
{
	static char status[16];
	weft_auto(json) shown = weft_model_render(w->m, get(w, id));
	snprintf(status, sizeof(status), "%s", weft_json_text(shown, "status"));
	return status;
}

static void new_floating_ip_holds_an_address_and_leads_nowhere(void **state)
{
	(void)state;
	struct world w = world_new();
	const struct object *o = floating_new(&w, ", 'description': 'web', 'tags': ['a']");
	assert_string_equal(text_of(o, "floating_ip_address"), "198.51.100.2");
	assert_string_equal(o->project_id, "alice");
	assert_null(text_of(o, "router_id"));
	assert_string_equal(status_of(&w, o->id), "DOWN");
	weft_auto(json) shown = weft_model_render(w.m, o);
	assert_null(json_object_get(shown, "name"));
	assert_null(json_object_get(shown, "subnet_id"));
	assert_true(json_is_null(json_object_get(shown, "port_details")));
	assert_int_equal(json_array_size(json_object_get(shown, "port_forwardings")), 0);

	const struct object *port = only(w.m, REF_FLOATING_IP_PORTS, o->id);
	assert_string_equal(text_of(port, "device_owner"), "network:floatingip");
	assert_string_equal(port->project_id, "");
	assert_string_equal(ip_of(port, 0), "198.51.100.2");
	weft_auto(json) held = weft_model_render(w.m, port);
	assert_string_equal(weft_json_text(held, "status"), "N/A");
	assert_false(weft_model_visible(w.m, &bob, o));
	assert_done(drop(w.m, &alice, RES_FLOATING_IP, o->id));
	assert_int_equal(weft_index_count(w.m, REF_NETWORK_PORTS, w.external), 0);
	world_free(&w);
}

static void an_empty_update_takes_the_association_away_and_another_does_not(void **state)
{
	(void)state;
	char id[WEFT_ID_LEN + 1];
	struct world w = associated(id);
	assert_done(put(w.m, &alice, RES_FLOATING_IP, id, NULL, "{'description': 'web'}"));
	assert_string_equal(text_of(get(&w, id), "port_id"), w.port);
	assert_done(put(w.m, &alice, RES_FLOATING_IP, id, NULL, "{}"));
	assert_null(text_of(get(&w, id), "port_id"));
	assert_null(text_of(get(&w, id), "fixed_ip_address"));
	assert_string_equal(status_of(&w, id), "DOWN");
	world_free(&w);
}

static void a_network_takes_floating_ips_that_lead_nowhere_along(void **state)
{
	(void)state;
	char id[WEFT_ID_LEN + 1], idle[WEFT_ID_LEN + 1];
	struct world w = associated(id);
	keep(idle, floating_new(&w, ""));
	assert_refused(drop(w.m, &admin, RES_NETWORK, w.external), -EBUSY, "NetworkInUse");
	assert_non_null(get(&w, idle)); // what was refused changed nothing
	assert_done(put(w.m, &alice, RES_FLOATING_IP, id, NULL, "{'port_id': null}"));
	assert_done(clear_gateway(&w));
	assert_done(drop(w.m, &admin, RES_NETWORK, w.external));
	assert_null(get(&w, id));
	assert_null(get(&w, idle));
	world_free(&w);
}

static void floating_ip_has_one_ipv4_address_and_no_other(void **state)
{
	(void)state;
	struct world w = world_new();
	const struct object *second, *v6;
	assert_done(post(w.m, &admin, RES_SUBNET, &second,
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '192.0.2.0/24'}",
			 w.external));
	assert_done(post(w.m, &admin, RES_SUBNET, &v6,
			 "{'network_id': '%s', 'ip_version': 6, 'cidr': '2001:db8:f::/64', "
			 "'ipv6_ra_mode': 'slaac', 'ipv6_address_mode': 'slaac'}",
			 w.external));
	char more[80];
	snprintf(more, sizeof(more), ", 'subnet_id': '%s'", second->id);
	const struct object *o = floating_new(&w, more);
	const struct object *port = only(w.m, REF_FLOATING_IP_PORTS, o->id);
	assert_string_equal(text_of(o, "floating_ip_address"), "192.0.2.2");
	assert_int_equal(json_array_size(json_object_get(port->attr, "fixed_ips")), 1);
	assert_refused(post(w.m, &alice, RES_FLOATING_IP, NULL,
			    "{'floating_network_id': '%s', 'subnet_id': '%s'}", w.external, v6->id),
		       -EINVAL, "ExternalIpAddressExhausted");
	world_free(&w);
}

static void addresses_are_the_admins_to_choose(void **state)
{
	(void)state;
	struct world w = world_new();
	static const char body[] = "{'floating_network_id': '%s', 'floating_ip_address': %s}";
	assert_refused(post(w.m, &alice, RES_FLOATING_IP, NULL, body, w.external,
			    "'198.51.100.50'"),
		       -EPERM, "PolicyNotAuthorized");
	assert_done(post(w.m, &alice, RES_FLOATING_IP, NULL, body, w.external, "null"));
	assert_done(post(w.m, &admin, RES_FLOATING_IP, NULL, body, w.external, "'198.51.100.50'"));
	assert_refused(post(w.m, &admin, RES_FLOATING_IP, NULL, body, w.external,
			    "'198.51.100.50'"),
		       -EBUSY, "IpAddressAlreadyAllocated");
	assert_refused(post(w.m, &admin, RES_FLOATING_IP, NULL, body, w.external, "'10.9.9.9'"),
		       -EINVAL, "InvalidIpForNetwork");
	world_free(&w);
}

static void floating_ips_that_cannot_be_are_refused(void **state)
{
	(void)state;
	struct world w = connected();
	const struct object *inner, *empty;
	assert_done(post(w.m, &alice, RES_NETWORK, &inner, "{}"));
	assert_done(post(w.m, &admin, RES_NETWORK, &empty, "{'router:external': true}"));
	assert_refused(post(w.m, &alice, RES_FLOATING_IP, NULL, "{'floating_network_id': '%s'}",
			    inner->id),
		       -EINVAL, "BadRequest");
	assert_refused(post(w.m, &bob, RES_FLOATING_IP, NULL, "{'floating_network_id': '%s'}",
			    inner->id),
		       -ENOENT, "NetworkNotFound");
	assert_refused(post(w.m, &alice, RES_FLOATING_IP, NULL, "{'floating_network_id': '%s'}",
			    empty->id),
		       -EINVAL, "ExternalIpAddressExhausted");
	assert_refused(post(w.m, &alice, RES_FLOATING_IP, NULL, "{}"), -EINVAL, "HTTPBadRequest");
	const struct object *o = floating_new(&w, "");
	assert_refused(put(w.m, &alice, RES_FLOATING_IP, o->id, NULL,
			   "{'fixed_ip_address': '10.1.0.10'}"),
		       -EINVAL, "BadRequest");
	assert_refused(put(w.m, &admin, RES_FLOATING_IP, o->id, NULL,
			   "{'floating_ip_address': '198.51.100.9'}"),
		       -EINVAL, "HTTPBadRequest");
	assert_refused(put(w.m, &alice, RES_FLOATING_IP, o->id, NULL,
			   "{'port_id': '%s', 'fixed_ip_address': '10.1.0.11'}", w.port),
		       -EINVAL, "BadRequest");
	assert_refused(put(w.m, &alice, RES_FLOATING_IP, o->id, NULL,
			   "{'port_id': '%s', 'fixed_ip_address': '2001:db8::1'}", w.port),
		       -EINVAL, "BadRequest");
	assert_refused(associate(&w, &alice, o->id, "00000000-0000-0000-0000-000000000000"),
		       -ENOENT, "PortNotFound");
	world_free(&w);
}

static void associated_floating_ip_names_port_address_and_router(void **state)
{
	(void)state;
	struct world w = connected();
	char more[80];
	snprintf(more, sizeof(more), ", 'port_id': '%s'", w.port);
	const struct object *o = floating_new(&w, more);
	char id[WEFT_ID_LEN + 1];
	keep(id, o);
	assert_string_equal(text_of(o, "port_id"), w.port);
	assert_string_equal(text_of(o, "fixed_ip_address"), "10.1.0.10");
	assert_string_equal(text_of(o, "router_id"), w.router);
	assert_string_equal(status_of(&w, id), "ACTIVE");
	weft_auto(json) shown = weft_model_render(w.m, o);
	const json_t *details = json_object_get(shown, "port_details");
	assert_string_equal(weft_json_text(details, "status"), "DOWN");
	assert_non_null(weft_json_text(details, "mac_address"));

	assert_done(put(w.m, &alice, RES_FLOATING_IP, id, NULL, "{'description': 'x'}"));
	assert_string_equal(text_of(get(&w, id), "port_id"), w.port);
	char other[WEFT_ID_LEN + 1];
	keep(other, port_new(&w, w.inside, "10.1.0.20"));
	assert_done(associate(&w, &alice, id, other));
	assert_string_equal(text_of(get(&w, id), "fixed_ip_address"), "10.1.0.20");
	assert_int_equal(weft_index_count(w.m, REF_PORT_FLOATING_IPS, w.port), 0);
	assert_done(put(w.m, &alice, RES_FLOATING_IP, id, NULL, "{'port_id': null}"));
	assert_null(text_of(get(&w, id), "router_id"));
	assert_null(text_of(get(&w, id), "fixed_ip_address"));
	assert_string_equal(status_of(&w, id), "DOWN");
	assert_int_equal(weft_index_count(w.m, REF_ROUTER_FLOATING_IPS, w.router), 0);
	world_free(&w);
}

static void port_with_several_addresses_needs_one_named(void **state)
{
	(void)state;
	struct world w = connected();
	const struct object *o = floating_new(&w, ""), *bare;
	char id[WEFT_ID_LEN + 1];
	keep(id, o);
	assert_done(
		put(w.m, &alice, RES_PORT, w.port, NULL,
		    "{'fixed_ips': [{'ip_address': '10.1.0.10'}, {'ip_address': '10.1.0.11'}]}"));
	assert_refused(associate(&w, &alice, id, w.port), -EINVAL, "BadRequest");
	assert_done(put(w.m, &alice, RES_FLOATING_IP, id, NULL,
			"{'port_id': '%s', 'fixed_ip_address': '10.1.0.11'}", w.port));
	assert_string_equal(text_of(get(&w, id), "fixed_ip_address"), "10.1.0.11");
	// Another one for the port's other address, but not for this one.
	const struct object *second = floating_new(&w, "");
	assert_refused(put(w.m, &alice, RES_FLOATING_IP, second->id, NULL,
			   "{'port_id': '%s', 'fixed_ip_address': '10.1.0.11'}", w.port),
		       -EBUSY, "FloatingIPPortAlreadyAssociated");
	assert_done(put(w.m, &alice, RES_FLOATING_IP, second->id, NULL,
			"{'port_id': '%s', 'fixed_ip_address': '10.1.0.10'}", w.port));
	const struct object *subnet = weft_model_get(w.m, RES_SUBNET, w.inside);
	assert_done(post(w.m, &alice, RES_PORT, &bare, "{'network_id': '%s', 'fixed_ips': []}",
			 text_of(subnet, "network_id")));
	assert_refused(associate(&w, &alice, id, bare->id), -EINVAL, "BadRequest");
	world_free(&w);
}

static void floating_ip_needs_a_router_between(void **state)
{
	(void)state;
	struct world w = world_new();
	const struct object *o = floating_new(&w, "");
	char id[WEFT_ID_LEN + 1];
	keep(id, o);
	assert_refused(associate(&w, &alice, id, w.port), -ENOENT,
		       "ExternalGatewayForFloatingIPNotFound");
	const struct object *other = external_new(w.m, "203.0.113.0/24");
	assert_done(set_gateway(&w, &alice, other->id, ""));
	assert_refused(associate(&w, &alice, id, w.port), -ENOENT,
		       "ExternalGatewayForFloatingIPNotFound");
	assert_done(set_gateway(&w, &alice, w.external, ""));
	assert_done(associate(&w, &alice, id, w.port));
	world_free(&w);
}

static void of_two_routers_the_subnets_gateway_translates(void **state)
{
	(void)state;
	struct world w = world_new();
	char second[WEFT_ID_LEN + 1];
	router_new(w.m, &alice, second);
	const struct object *side_door = port_new(&w, w.inside, "10.1.0.99");
	assert_done(join(w.m, &alice, second, NULL, "{'port_id': '%s'}", side_door->id));
	assert_done(put(w.m, &alice, RES_ROUTER, second, NULL,
			"{'external_gateway_info': {'network_id': '%s'}}", w.external));
	const struct object *o = floating_new(&w, "");
	char id[WEFT_ID_LEN + 1];
	keep(id, o);
	assert_done(associate(&w, &alice, id, w.port));
	assert_string_equal(text_of(get(&w, id), "router_id"), second);
	assert_done(set_gateway(&w, &alice, w.external, ""));
	assert_done(associate(&w, &alice, id, w.port));
	assert_string_equal(text_of(get(&w, id), "router_id"), w.router);
	world_free(&w);
}

static void floating_ips_lead_only_to_the_projects_own_ports(void **state)
{
	(void)state;
	struct world w = connected();
	const struct object *o;
	assert_done(
		post(w.m, &bob, RES_FLOATING_IP, &o, "{'floating_network_id': '%s'}", w.external));
	char id[WEFT_ID_LEN + 1];
	keep(id, o);
	assert_refused(associate(&w, &bob, id, w.port), -ENOENT, "PortNotFound");
	assert_refused(associate(&w, &alice, id, w.port), -ENOENT, "FloatingIPNotFound");
	assert_done(associate(&w, &admin, id, w.port));
	world_free(&w);
}

static void what_a_floating_ip_needs_stays(void **state)
{
	(void)state;
	char id[WEFT_ID_LEN + 1];
	struct world w = associated(id);
	assert_refused(clear_gateway(&w), -EBUSY, "RouterExternalGatewayInUseByFloatingIp");
	assert_refused(leave(w.m, &alice, w.router, NULL, "{'subnet_id': '%s'}", w.inside), -EBUSY,
		       "RouterInterfaceInUseByFloatingIP");
	assert_refused(drop(w.m, &alice, RES_ROUTER, w.router), -EBUSY, "RouterInUse");
	const struct object *port = only(w.m, REF_FLOATING_IP_PORTS, id);
	assert_refused(drop(w.m, &admin, RES_PORT, port->id), -EBUSY, "ServicePortInUse");
	assert_refused(put(w.m, &admin, RES_PORT, port->id, NULL,
			   "{'fixed_ips': [{'ip_address': '198.51.100.99'}]}"),
		       -EBUSY, "PortInUse");
	assert_done(put(w.m, &alice, RES_FLOATING_IP, id, NULL, "{'port_id': null}"));
	assert_done(clear_gateway(&w));
	assert_done(leave(w.m, &alice, w.router, NULL, "{'subnet_id': '%s'}", w.inside));
	world_free(&w);
}

static void floating_ip_leaves_a_port_that_goes_or_loses_the_address(void **state)
{
	(void)state;
	char id[WEFT_ID_LEN + 1];
	struct world w = associated(id);
	assert_done(
		put(w.m, &alice, RES_PORT, w.port, NULL,
		    "{'fixed_ips': [{'ip_address': '10.1.0.10'}, {'ip_address': '10.1.0.11'}]}"));
	assert_string_equal(text_of(get(&w, id), "port_id"), w.port);
	assert_done(put(w.m, &alice, RES_PORT, w.port, NULL,
			"{'fixed_ips': [{'ip_address': '10.1.0.11'}]}"));
	assert_null(text_of(get(&w, id), "port_id"));
	assert_null(text_of(get(&w, id), "router_id"));
	assert_done(associate(&w, &alice, id, w.port));
	assert_done(drop(w.m, &alice, RES_PORT, w.port));
	assert_null(text_of(get(&w, id), "port_id"));
	assert_string_equal(status_of(&w, id), "DOWN");
	world_free(&w);
}

static void loaded_floating_ips_are_found_again(void **state)
{
	(void)state;
	struct world w = connected();
	const struct object *o = floating_new(&w, "");
	assert_done(associate(&w, &alice, o->id, w.port));
	struct model *again = model_new();
	struct err err;
	for (enum resource type = 0; type < RES_COUNT; type++)
		for (struct map_entry *e = weft_map_first(w.m->objects[type]); e != NULL;
		     e = weft_map_next(e)) {
			const struct object *stored = weft_map_value(e);
			assert_int_equal(weft_model_load(again, type, stored->attr, &err), 0);
		}
	assert_int_equal(weft_index_count(again, REF_ROUTER_FLOATING_IPS, w.router), 1);
	assert_int_equal(weft_index_count(again, REF_ROUTER_GATEWAY_PORTS, w.router), 1);
	assert_int_equal(weft_index_count(again, REF_PORT_FLOATING_IPS, w.port), 1);
	weft_model_free(again);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_floating_ip_holds_an_address_and_leads_nowhere),
		cmocka_unit_test(an_empty_update_takes_the_association_away_and_another_does_not),
		cmocka_unit_test(a_network_takes_floating_ips_that_lead_nowhere_along),
		cmocka_unit_test(floating_ip_has_one_ipv4_address_and_no_other),
		cmocka_unit_test(addresses_are_the_admins_to_choose),
		cmocka_unit_test(floating_ips_that_cannot_be_are_refused),
		cmocka_unit_test(associated_floating_ip_names_port_address_and_router),
		cmocka_unit_test(port_with_several_addresses_needs_one_named),
		cmocka_unit_test(floating_ip_needs_a_router_between),
		cmocka_unit_test(of_two_routers_the_subnets_gateway_translates),
		cmocka_unit_test(floating_ips_lead_only_to_the_projects_own_ports),
		cmocka_unit_test(what_a_floating_ip_needs_stays),
		cmocka_unit_test(floating_ip_leaves_a_port_that_goes_or_loses_the_address),
		cmocka_unit_test(loaded_floating_ips_are_found_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
