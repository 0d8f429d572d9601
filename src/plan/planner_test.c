// SPDX-License-Identifier: Apache-2.0
#include "plan/planner.h"

#include "plan/planner_testing.h"

// A network with one IPv4 subnet, and a group "web" of no rules but the two that every group
// begins with.
struct scene {
	struct cloud *c;
	const char *net, *subnet, *group;
};

static struct scene scene_new(void)
{
	struct scene s = {.c = cloud_new()};

	s.net = add(s.c, RES_NETWORK, "{'name': 'n'}");
	s.subnet = add(s.c, RES_SUBNET,
		       "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.0.0/16'}", s.net);
	s.group = add(s.c, RES_SECURITY_GROUP, "{'name': 'web'}");
	return s;
}

static const char *add_port(struct scene *s, const char *host, const char *ip, const char *groups)
{
	return add(
		s->c, RES_PORT,
		"{'network_id': '%s', 'binding:host_id': '%s', 'fixed_ips': [{'ip_address': '%s'}], "
		"'security_groups': [%s]}",
		s->net, host, ip, groups);
}

// A JSON list item from an id.
static const char *quoted(const char *id)
{
	static char text[WEFT_ID_LEN + 3];

	snprintf(text, sizeof(text), "'%s'", id);
	return text;
}

static void what_no_local_port_needs_is_not_planned(void **state)
{
	struct scene s = scene_new();

	(void)state;
	assert_int_equal(weft_map_count(s.c->mirror.objects), 0);
	add_port(&s, "node2", "10.0.0.9", quoted(s.group));
	assert_int_equal(s.c->last.n, 0);
	cloud_free(s.c);
}

static void the_first_local_port_brings_what_it_needs_in_order(void **state)
{
	static const enum plan_kind order[] = {PLAN_NETWORK, PLAN_SUBNET, PLAN_RULE_SET, PLAN_PORT,
					       PLAN_NEIGHBOUR};
	struct scene s = scene_new();
	size_t at = 0;

	(void)state;
	add_port(&s, "node2", "10.0.0.9", "");
	add_port(&s, HOST, "10.0.0.5", quoted(s.group));
	for (size_t i = 0; i < s.c->last.n; i++) {
		while (at < 4 && s.c->last.changes[i].kind != order[at])
			at++;
		assert_int_equal(s.c->last.changes[i].kind, order[at]);
		assert_int_equal(s.c->last.changes[i].op, PLAN_PUT);
	}
	// Each of the two ports: its address and its link-local one.
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_NEIGHBOUR), 4);
	assert_int_equal(s.c->last.n, 8);
	cloud_free(s.c);
}

static void the_last_local_port_takes_everything_along_in_reverse(void **state)
{
	struct scene s = scene_new();
	const char *port = add_port(&s, HOST, "10.0.0.5", quoted(s.group));

	(void)state;
	del(s.c, RES_PORT, port);
	assert_int_equal(weft_map_count(s.c->mirror.objects), 0);
	assert_int_equal(s.c->last.changes[0].kind, PLAN_NEIGHBOUR);
	assert_int_equal(s.c->last.changes[s.c->last.n - 1].kind, PLAN_NETWORK);
	cloud_free(s.c);
}

static void another_port_costs_itself_and_its_neighbours(void **state)
{
	struct scene s = scene_new();
	const char *port;

	(void)state;
	add_port(&s, HOST, "10.0.0.5", quoted(s.group));
	port = add_port(&s, HOST, "10.0.0.6", quoted(s.group));
	assert_int_equal(s.c->last.n, 3);
	set(s.c, RES_PORT, port, "{'name': 'another', 'description': 'nothing to the packets'}");
	assert_int_equal(s.c->last.n, 0);
	set(s.c, RES_PORT, port, "{'admin_state_up': false}");
	assert_int_equal(s.c->last.n, 1);
	assert_false(s.c->last.changes[0].port->admin_up);
	cloud_free(s.c);
}

static void a_rule_costs_its_rule_set(void **state)
{
	struct scene s = scene_new();
	const char *rule;

	(void)state;
	add_port(&s, HOST, "10.0.0.5", quoted(s.group));
	rule = add(s.c, RES_SECURITY_GROUP_RULE,
		   "{'security_group_id': '%s', 'direction': 'ingress', 'protocol': 'tcp', "
		   "'port_range_min': 22, 'port_range_max': 22}",
		   s.group);
	assert_int_equal(s.c->last.n, 1);
	assert_int_equal(s.c->last.changes[0].rule_set->n_rules, 3);
	del(s.c, RES_SECURITY_GROUP_RULE, rule);
	assert_int_equal(s.c->last.n, 1);
	assert_int_equal(s.c->last.changes[0].op, PLAN_PUT);
	cloud_free(s.c);
}

static void a_remote_group_is_a_set_whose_members_come_and_go_one_by_one(void **state)
{
	struct scene s = scene_new();
	const char *port;

	(void)state;
	add_port(&s, HOST, "10.0.0.5", quoted(s.group));
	add_port(&s, "node2", "10.0.0.6", quoted(s.group));
	add(s.c, RES_SECURITY_GROUP_RULE,
	    "{'security_group_id': '%s', 'direction': 'ingress', 'remote_group_id': '%s'}", s.group,
	    s.group);
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_MEMBER), 2);
	assert_int_equal(s.c->last.n, 3);

	port = add_port(&s, "node3", "10.0.0.7", quoted(s.group));
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_MEMBER), 1);
	set(s.c, RES_PORT, port, "{'security_groups': []}");
	assert_int_equal(count(s.c, PLAN_DEL, PLAN_MEMBER), 1);
	assert_int_equal(s.c->last.n, 1);
	cloud_free(s.c);
}

static void a_member_that_several_contribute_goes_with_the_last_of_them(void **state)
{
	struct scene s = scene_new();
	const char *a, *b;

	(void)state;
	add(s.c, RES_SECURITY_GROUP_RULE,
	    "{'security_group_id': '%s', 'direction': 'ingress', 'remote_group_id': '%s'}", s.group,
	    s.group);
	a = add_port(&s, HOST, "10.0.0.5", quoted(s.group));
	b = add_port(&s, HOST, "10.0.0.6", quoted(s.group));
	set(s.c, RES_PORT, a, "{'allowed_address_pairs': [{'ip_address': '10.9.0.5/24'}]}");
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_MEMBER), 1);
	set(s.c, RES_PORT, b, "{'allowed_address_pairs': [{'ip_address': '10.9.0.0/24'}]}");
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_MEMBER), 0);
	del(s.c, RES_PORT, a);
	assert_int_equal(count(s.c, PLAN_DEL, PLAN_MEMBER), 1); // 10.0.0.5 alone
	set(s.c, RES_PORT, b, "{'allowed_address_pairs': []}");
	assert_int_equal(count(s.c, PLAN_DEL, PLAN_MEMBER), 1);
	assert_plan_is_right(s.c);
	cloud_free(s.c);
}

static void a_pair_of_a_whole_family_makes_nobody_else_a_member(void **state)
{
	struct scene s = scene_new();
	const char *port;

	(void)state;
	add(s.c, RES_SECURITY_GROUP_RULE,
	    "{'security_group_id': '%s', 'direction': 'ingress', 'remote_group_id': '%s'}", s.group,
	    s.group);
	port = add_port(&s, HOST, "10.0.0.5", quoted(s.group));
	set(s.c, RES_PORT, port, "{'allowed_address_pairs': [{'ip_address': '0.0.0.0/0'}]}");
	assert_int_equal(s.c->last.n, 1); // the port: it may send with any address
	assert_int_equal(s.c->last.changes[0].kind, PLAN_PORT);
	cloud_free(s.c);
}

static void an_address_group_changes_by_what_changed(void **state)
{
	struct scene s = scene_new();
	const char *group = add(s.c, RES_ADDRESS_GROUP,
				"{'name': 'a', 'addresses': ['192.0.2.0/24', '198.51.100.1/32', "
				"'2001:db8::/32']}");
	json_t *one = json_pack("[s]", "203.0.113.7/32");

	(void)state;
	add_port(&s, HOST, "10.0.0.5", quoted(s.group));
	add(s.c, RES_SECURITY_GROUP_RULE,
	    "{'security_group_id': '%s', 'direction': 'ingress', 'remote_address_group_id': '%s'}",
	    s.group, group);
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_MEMBER), 3);
	begin(s.c);
	assert_int_equal(weft_txn_address_group_change(s.c->txn, &admin, group, one, true, NULL,
						       &s.c->err),
			 0);
	commit(s.c);
	assert_int_equal(s.c->last.n, 1);
	json_decref(one);
	cloud_free(s.c);
}

static void a_pair_makes_its_addresses_known_but_shared(void **state)
{
	struct scene s = scene_new();
	const char *port = add_port(&s, HOST, "10.0.0.5", "");
	size_t n_pairs;

	(void)state;
	n_pairs = weft_planner_port(s.c->planner, port)->n_pairs;
	set(s.c, RES_PORT, port,
	    "{'allowed_address_pairs': [{'ip_address': '10.0.0.99', 'mac_address': "
	    "'00:00:5e:00:01:01'}]}");
	// The pair itself, and the link-local address of its MAC.
	assert_int_equal(weft_planner_port(s.c->planner, port)->n_pairs, n_pairs + 2);
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_NEIGHBOUR), 2);
	for (size_t i = 0; i < s.c->last.n; i++) {
		if (s.c->last.changes[i].kind == PLAN_NEIGHBOUR)
			assert_true(s.c->last.changes[i].neighbour->from_pair);
	}
	set(s.c, RES_PORT, port, "{'allowed_address_pairs': [{'ip_address': '10.1.0.0/30'}]}");
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_NEIGHBOUR), 0);
	assert_int_equal(count(s.c, PLAN_DEL, PLAN_NEIGHBOUR), 2);
	cloud_free(s.c);
}

static size_t count_any_mac(const struct cloud *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->last.n; i++)
		n += c->last.changes[i].kind == PLAN_NEIGHBOUR &&
		     c->last.changes[i].op == PLAN_PUT && c->last.changes[i].neighbour->any_mac;
	return n;
}

static void a_port_without_security_may_have_another_mac(void **state)
{
	struct scene s = scene_new();
	const char *port = add_port(&s, HOST, "10.0.0.5", "");

	(void)state;
	assert_int_equal(count_any_mac(s.c), 0);
	set(s.c, RES_PORT, port, "{'port_security_enabled': false, 'security_groups': []}");
	assert_int_equal(count_any_mac(s.c), count(s.c, PLAN_PUT, PLAN_NEIGHBOUR));
	assert_true(count_any_mac(s.c) > 0);
	set(s.c, RES_PORT, port, "{'port_security_enabled': true}");
	assert_int_equal(count_any_mac(s.c), 0);
	assert_true(count(s.c, PLAN_PUT, PLAN_NEIGHBOUR) > 0);
	cloud_free(s.c);
}

static void a_port_that_is_bound_nowhere_is_no_neighbour(void **state)
{
	struct scene s = scene_new();

	(void)state;
	add_port(&s, HOST, "10.0.0.5", "");
	add_port(&s, "", "10.0.0.100", ""); // reserves a virtual address
	assert_int_equal(s.c->last.n, 0);
	cloud_free(s.c);
}

static void a_port_without_security_has_no_rule_sets(void **state)
{
	struct scene s = scene_new();
	const char *port = add_port(&s, HOST, "10.0.0.5", quoted(s.group));

	(void)state;
	set(s.c, RES_PORT, port, "{'port_security_enabled': false, 'security_groups': []}");
	assert_int_equal(s.c->last.n, 4); // its two addresses, too
	assert_int_equal(s.c->last.changes[0].kind, PLAN_PORT);
	assert_false(s.c->last.changes[0].port->filtered);
	assert_int_equal(count(s.c, PLAN_DEL, PLAN_RULE_SET), 1);
	cloud_free(s.c);
}

static void a_port_that_moves_away_stays_a_neighbour(void **state)
{
	struct scene s = scene_new();
	const char *port;

	(void)state;
	add_port(&s, HOST, "10.0.0.5", "");
	port = add_port(&s, HOST, "10.0.0.6", "");
	set(s.c, RES_PORT, port, "{'binding:host_id': 'node2'}");
	assert_int_equal(count(s.c, PLAN_DEL, PLAN_PORT), 1);
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_NEIGHBOUR), 2);
	assert_int_equal(s.c->last.n, 3);
	assert_null(weft_planner_port(s.c->planner, port));
	cloud_free(s.c);
}

static void a_subnet_is_told_what_changed_in_it(void **state)
{
	struct scene s = scene_new();

	(void)state;
	add_port(&s, HOST, "10.0.0.5", "");
	set(s.c, RES_SUBNET, s.subnet, "{'dns_nameservers': ['9.9.9.9']}");
	assert_int_equal(s.c->last.n, 1);
	assert_int_equal(s.c->last.changes[0].subnet->n_dns, 1);
	set(s.c, RES_SUBNET, s.subnet, "{'name': 'x'}");
	assert_int_equal(s.c->last.n, 0);
	set(s.c, RES_NETWORK, s.net, "{'mtu': 1400}");
	assert_int_equal(s.c->last.n, 1);
	assert_int_equal(s.c->last.changes[0].network->mtu, 1400);
	cloud_free(s.c);
}

static const struct plan_subnet *v6_subnet(struct scene *s, const char *more)
{
	static int n;
	const char *id = add(s->c, RES_SUBNET,
			     "{'network_id': '%s', 'ip_version': 6, 'cidr': '2001:db8:%d::/64'%s}",
			     s->net, ++n, more);

	return mirror_get(&s->c->mirror, PLAN_SUBNET, id);
}

static void an_ipv6_subnet_says_how_its_hosts_get_their_addresses(void **state)
{
	struct scene s = scene_new();
	const struct plan_subnet *subnet;

	(void)state;
	add_port(&s, HOST, "10.0.0.5", "");
	subnet = v6_subnet(&s, "");
	assert_true(subnet->dhcp);
	assert_int_equal(subnet->ra, PLAN_V6_NONE);
	assert_int_equal(subnet->address, PLAN_V6_STATEFUL);
	subnet = v6_subnet(&s, ", 'enable_dhcp': false");
	assert_false(subnet->dhcp);
	assert_int_equal(subnet->address, PLAN_V6_NONE);
	subnet = v6_subnet(&s, ", 'ipv6_ra_mode': 'slaac', 'ipv6_address_mode': 'slaac'");
	assert_false(subnet->dhcp);
	assert_int_equal(subnet->ra, PLAN_V6_SLAAC);
	assert_int_equal(subnet->address, PLAN_V6_SLAAC);
	subnet = v6_subnet(&s, ", 'ipv6_ra_mode': 'dhcpv6-stateless', "
			       "'ipv6_address_mode': 'dhcpv6-stateless'");
	assert_true(subnet->dhcp);
	assert_int_equal(subnet->ra, PLAN_V6_STATELESS);
	assert_int_equal(subnet->address, PLAN_V6_STATELESS);
	// Somebody else advertises, we give the addresses.
	subnet = v6_subnet(&s, ", 'ipv6_address_mode': 'dhcpv6-stateful'");
	assert_true(subnet->dhcp);
	assert_int_equal(subnet->ra, PLAN_V6_NONE);
	assert_int_equal(subnet->address, PLAN_V6_STATEFUL);
	// We advertise that somebody else gives them.
	subnet = v6_subnet(&s, ", 'ipv6_ra_mode': 'dhcpv6-stateful'");
	assert_false(subnet->dhcp);
	assert_int_equal(subnet->ra, PLAN_V6_STATEFUL);
	cloud_free(s.c);
}

static bool has_dhcp(const struct scene *s)
{
	const struct plan_subnet *subnet = mirror_get(&s->c->mirror, PLAN_SUBNET, s->subnet);

	return subnet->dhcp;
}

static void no_dhcp_is_answered_on_a_network_that_is_down(void **state)
{
	struct scene s = scene_new();

	(void)state;
	add_port(&s, HOST, "10.0.0.5", "");
	assert_true(has_dhcp(&s));
	set(s.c, RES_NETWORK, s.net, "{'admin_state_up': false}");
	assert_int_equal(s.c->last.n, 1);
	assert_false(has_dhcp(&s));
	set(s.c, RES_NETWORK, s.net, "{'admin_state_up': true}");
	assert_true(has_dhcp(&s));
	assert_plan_is_right(s.c);
	cloud_free(s.c);
}

static void a_provider_network_says_where_it_is(void **state)
{
	struct cloud *c = cloud_new();
	const struct plan_network *network;
	const char *id;

	(void)state;
	id = add(c, RES_NETWORK,
		 "{'provider:network_type': 'vlan', 'provider:physical_network': 'physnet1', "
		 "'provider:segmentation_id': 103}");
	add(c, RES_PORT, "{'network_id': '%s', 'binding:host_id': '" HOST "'}", id);
	network = mirror_get(&c->mirror, PLAN_NETWORK, id);
	assert_string_equal(network->physical, "physnet1");
	assert_int_equal(network->segment, 103);
	id = add(c, RES_NETWORK,
		 "{'provider:network_type': 'flat', 'provider:physical_network': 'physnet1'}");
	add(c, RES_PORT, "{'network_id': '%s', 'binding:host_id': '" HOST "'}", id);
	network = mirror_get(&c->mirror, PLAN_NETWORK, id);
	assert_string_equal(network->physical, "physnet1");
	assert_int_equal(network->segment, 0);
	cloud_free(c);
}

static void the_port_is_what_its_vm_needs(void **state)
{
	struct scene s = scene_new();
	const char *id = add(s.c, RES_PORT,
			     "{'network_id': '%s', 'binding:host_id': '" HOST "', 'fixed_ips': "
			     "[{'ip_address': '10.0.0.5'}], 'mac_address': 'fa:16:3e:01:02:03', "
			     "'extra_dhcp_opts': [{'opt_name': 'mtu', 'opt_value': '1400'}, "
			     "{'opt_name': 'nonsense', 'opt_value': '1'}]}",
			     s.net);
	const struct plan_port *p = weft_planner_port(s.c->planner, id);
	char vif[16], text[WEFT_NET_STRLEN];

	(void)state;
	snprintf(vif, sizeof(vif), "tap%.11s", id);
	assert_string_equal(p->vif_name, vif);
	assert_string_equal(p->hostname, "host-10-0-0-5");
	assert_int_equal(p->n_options, 1);
	assert_int_equal(p->n_rule_sets, 1); // the project's default group
	assert_int_equal(p->n_pairs, 2);
	assert_string_equal(weft_prefix_text(&p->pairs[0].prefix, text), "10.0.0.5/32");
	assert_string_equal(weft_prefix_text(&p->pairs[1].prefix, text),
			    "fe80::f816:3eff:fe01:203/128");
	cloud_free(s.c);
}

static void the_port_says_what_it_belongs_to(void **state)
{
	struct scene s = scene_new();
	const char *id = add_port(&s, HOST, "10.0.0.5", "");

	(void)state;
	assert_string_equal(weft_planner_port(s.c->planner, id)->instance_id, "");
	set(s.c, RES_PORT, id, "{'device_id': 'vm-1'}");
	assert_int_equal(s.c->last.n, 1);
	assert_string_equal(weft_planner_port(s.c->planner, id)->instance_id, "vm-1");
	assert_string_equal(weft_planner_port(s.c->planner, id)->project_id, "p");
	cloud_free(s.c);
}

static void an_aborted_update_leaves_the_plan_as_it_was(void **state)
{
	struct scene s = scene_new();
	const struct model_change *changes;
	const char *port = add_port(&s, HOST, "10.0.0.5", quoted(s.group));
	size_t n;

	(void)state;
	begin(s.c);
	del(s.c, RES_PORT, port);
	add(s.c, RES_SUBNET, "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.7.0.0/16'}", s.net);
	changes = weft_txn_changes(s.c->txn, &n);
	weft_plan_batch_fini(&s.c->last);
	assert_int_equal(weft_planner_update(s.c->planner, changes, n, &s.c->last, &s.c->err), 0);
	assert_true(s.c->last.n > 0);
	weft_planner_abort(s.c->planner);
	weft_txn_abort(s.c->txn);
	weft_txn_free(s.c->txn);
	s.c->txn = NULL;
	assert_non_null(weft_planner_port(s.c->planner, port));
	assert_plan_is_right(s.c);
	cloud_free(s.c);
}

static int count_port(const struct plan_port *port, void *arg)
{
	(void)port;
	++*(size_t *)arg;
	return 0;
}

static void a_change_costs_its_own_size_in_a_large_cloud(void **state)
{
	struct scene s = scene_new();
	size_t n = 0;

	(void)state;
	add(s.c, RES_SECURITY_GROUP_RULE,
	    "{'security_group_id': '%s', 'direction': 'ingress', 'remote_group_id': '%s'}", s.group,
	    s.group);
	begin(s.c);
	for (int i = 0; i < 1000; i++) {
		char ip[32];

		snprintf(ip, sizeof(ip), "10.0.%d.%d", 1 + i / 200, 1 + i % 200);
		add_port(&s, i % 10 == 0 ? HOST : "node2", ip, quoted(s.group));
	}
	commit(s.c);
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_MEMBER), 1000);
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_PORT), 100);
	assert_int_equal(count(s.c, PLAN_PUT, PLAN_NEIGHBOUR), 2000);
	weft_planner_each_port(s.c->planner, count_port, &n);
	assert_int_equal(n, 100);
	add_port(&s, "node2", "10.0.9.9", quoted(s.group));
	assert_int_equal(s.c->last.n, 3); // a member, two neighbours
	assert_plan_is_right(s.c);
	cloud_free(s.c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_no_local_port_needs_is_not_planned),
		cmocka_unit_test(the_first_local_port_brings_what_it_needs_in_order),
		cmocka_unit_test(the_last_local_port_takes_everything_along_in_reverse),
		cmocka_unit_test(another_port_costs_itself_and_its_neighbours),
		cmocka_unit_test(a_rule_costs_its_rule_set),
		cmocka_unit_test(a_remote_group_is_a_set_whose_members_come_and_go_one_by_one),
		cmocka_unit_test(a_member_that_several_contribute_goes_with_the_last_of_them),
		cmocka_unit_test(a_pair_of_a_whole_family_makes_nobody_else_a_member),
		cmocka_unit_test(an_address_group_changes_by_what_changed),
		cmocka_unit_test(a_pair_makes_its_addresses_known_but_shared),
		cmocka_unit_test(a_port_without_security_may_have_another_mac),
		cmocka_unit_test(a_port_that_is_bound_nowhere_is_no_neighbour),
		cmocka_unit_test(a_port_without_security_has_no_rule_sets),
		cmocka_unit_test(a_port_that_moves_away_stays_a_neighbour),
		cmocka_unit_test(a_subnet_is_told_what_changed_in_it),
		cmocka_unit_test(an_ipv6_subnet_says_how_its_hosts_get_their_addresses),
		cmocka_unit_test(no_dhcp_is_answered_on_a_network_that_is_down),
		cmocka_unit_test(a_provider_network_says_where_it_is),
		cmocka_unit_test(the_port_is_what_its_vm_needs),
		cmocka_unit_test(the_port_says_what_it_belongs_to),
		cmocka_unit_test(an_aborted_update_leaves_the_plan_as_it_was),
		cmocka_unit_test(a_change_costs_its_own_size_in_a_large_cloud),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
