// SPDX-License-Identifier: Apache-2.0
#include "operate/operate.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "operate/describe.h"
#include "base/log.h"
#include "plan/planner_testing.h"

// A datapath that knows the ports it is asked for, and tells which frame it was given.
struct datapath {
	size_t limit;
	size_t frame_len;
	char asked[64]; // the port of the last order, "-" = all
	uint8_t protocol;
	uint8_t frame[64];
};

static int fake_show(struct datapath *dp, enum datapath_show what, const char *id, size_t limit,
		     json_t **out, struct err *err)
{
	(void)err;
	dp->limit = limit;
	if (what == DATAPATH_SHOW_PORTS)
		*out = json_pack("{s:s, s:s, s:i}", "id", id, "reason", "the datapath's",
				 "sessions", 7);
	else if (what == DATAPATH_SHOW_SESSIONS)
		*out = json_pack("{s:[{s:s?, s:n}]}", "sessions", "in_port", id, "out_port");
	else if (what == DATAPATH_SHOW_DROPS)
		*out = json_pack("{s:[], s:[]}", "drops", "samples");
	else
		*out = json_pack("{s:[]}", "networks");
	return 0;
}

static int fake_trace(struct datapath *dp, const char *port_id, const uint8_t *frame, size_t len,
		      json_t **out, struct err *err)
{
	(void)err;
	dp->frame_len = len;
	memcpy(dp->frame, frame, len < sizeof(dp->frame) ? len : sizeof(dp->frame));
	*out = json_pack("{s:s, s:s, s:[{s:s, s:n}], s:[s]}", "port", port_id, "verdict", "forward",
			 "stages", "stage", "egress", "rule", "out_ports", port_id);
	return 0;
}

static int note_port(struct datapath *dp, const char *port_id)
{
	snprintf(dp->asked, sizeof(dp->asked), "%s", port_id == NULL ? "-" : port_id);
	return 0;
}

static int fake_flush(struct datapath *dp, const char *port_id, uint32_t *n, struct err *err)
{
	(void)err;
	*n = 7;
	return note_port(dp, port_id);
}

static int fake_reset(struct datapath *dp, const char *port_id, struct err *err)
{
	(void)err;
	return note_port(dp, port_id);
}

static int fake_watch(struct datapath *dp, const char *port_id,
		      const struct datapath_filter *filter, uint32_t *watch, struct err *err)
{
	(void)err;
	*watch = 3;
	dp->protocol = filter->protocol;
	return note_port(dp, port_id);
}

static int fake_watched(struct datapath *dp, uint32_t watch, json_t **out, struct err *err)
{
	if (watch != 3)
		return weft_fail(err, -ENOENT, "watch %u has ended", watch);
	*out = json_pack("{s:i, s:i, s:[{s:s, s:[s]}]}", "matched", 1, "missed", 0, "packets",
			 "in_port", dp->asked, "out_ports", dp->asked);
	return 0;
}

static void fake_unwatch(struct datapath *dp, uint32_t watch)
{
	(void)watch;
	note_port(dp, NULL);
}

static void fake_metrics(struct datapath *dp, struct text *out)
{
	(void)dp;
	weft_text_add(out, "weft_sessions 1\n");
}

static struct beat_late fake_late(struct datapath *dp)
{
	(void)dp;
	return (struct beat_late) {1500, 2000, 100, 200, 70000, 80000};
}

static const struct datapath_ops fake_ops = {
	.name = "fake",
	.show = fake_show,
	.trace = fake_trace,
	.flush_sessions = fake_flush,
	.reset_counters = fake_reset,
	.watch = fake_watch,
	.watched = fake_watched,
	.unwatch = fake_unwatch,
	.metrics = fake_metrics,
};

struct bench {
	struct cloud *c;
	struct event_base *loop;
	struct datapath dp;
	struct links *links;
	struct operate op;
	struct err err;
	const char *net, *group, *port, *remote;
};

static struct bench *bench_new(void)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->c = cloud_new();
	b->loop = event_base_new();
	const struct links_config links = {b->loop, b->c->model, b->c->planner, &fake_ops, &b->dp};

	assert_int_equal(weft_links_new(&links, &b->links, &b->err), 0);
	b->op = (struct operate) {HOST, b->c->model, b->c->planner, b->links, &fake_ops, &b->dp,
				  NULL, NULL,	     1000000000,    12,	      fake_late};
	b->net = add(b->c, RES_NETWORK, "{'name': 'blue'}");
	add(b->c, RES_SUBNET, "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.0.0.0/24'}",
	    b->net);
	b->group = add(b->c, RES_SECURITY_GROUP, "{'name': 'web'}");
	b->port = add(b->c, RES_PORT,
		      "{'name': 'vm1', 'network_id': '%s', 'binding:host_id': '" HOST "', "
		      "'security_groups': ['%s'], 'fixed_ips': [{'ip_address': '10.0.0.5'}], "
		      "'extra_dhcp_opts': [{'opt_name': 'nonsense', 'opt_value': '1'}]}",
		      b->net, b->group);
	weft_links_plan_changed(b->links, &b->c->last);
	b->remote = add(b->c, RES_PORT,
			"{'name': 'vm2', 'network_id': '%s', 'binding:host_id': 'node2', "
			"'mac_address': 'fa:16:3e:00:00:09', 'fixed_ips': [{'ip_address': "
			"'10.0.0.9'}]}",
			b->net);
	return b;
}

static void bench_free(struct bench *b)
{
	weft_links_free(b->links);
	event_base_free(b->loop);
	cloud_free(b->c);
	free(b);
}

static int ask(struct bench *b, const char *method, const char *path, json_t *query, json_t *body,
	       json_t **out)
{
	int ret;

	*out = NULL;
	b->err = (struct err) {0};
	ret = weft_operate(&b->op, method, path, query, body, out, &b->err);
	json_decref(query);
	json_decref(body);
	return ret;
}

static json_t *get(struct bench *b, const char *path)
{
	json_t *out;

	if (ask(b, "GET", path, json_object(), NULL, &out) != 0)
		fail_msg("%s", b->err.msg);
	return out;
}

static void a_port_is_what_model_and_datapath_know(void **state)
{
	struct bench *b = bench_new();
	json_t *o = get(b, "ports/vm1");

	(void)state;
	assert_string_equal(weft_json_text(o, "id"), b->port);
	assert_string_equal(weft_json_text(o, "network_name"), "blue");
	assert_int_equal(weft_json_int(o, "sessions", 0), 7);
	assert_non_null(strstr(weft_json_text(o, "reason"), "no interface tap"));
	assert_string_equal(weft_json_text(json_array_get(weft_json_array(o, "security_groups"), 0),
					   "name"),
			    "web");
	assert_int_equal(json_array_size(weft_json_array(o, "notes")), 1);
	json_decref(o);
	o = get(b, "ports");
	assert_int_equal(json_array_size(weft_json_array(o, "ports")), 1);
	json_decref(o);
	bench_free(b);
}

static void another_hosts_port_says_so(void **state)
{
	struct bench *b = bench_new();
	char tap[16];
	json_t *o = get(b, "ports/vm2");

	(void)state;
	assert_false(weft_json_bool(o, "local", true));
	assert_string_equal(weft_json_text(o, "reason"), "the port is bound to host node2");
	json_decref(o);
	snprintf(tap, sizeof(tap), "tap%.11s", b->remote);
	weft_links_interface_changed(b->links, tap, 3);
	o = get(b, "ports/vm2");
	assert_non_null(strstr(weft_json_text(o, "reason"), tap));
	json_decref(o);
	bench_free(b);
}

static void a_port_is_found_by_id_name_and_beginning(void **state)
{
	struct bench *b = bench_new();
	const struct object *o;
	char begin[9];

	(void)state;
	snprintf(begin, sizeof(begin), "%.8s", b->port);
	assert_int_equal(weft_find_object(b->c->model, RES_PORT, b->port, &o, &b->err), 0);
	assert_int_equal(weft_find_object(b->c->model, RES_PORT, "vm1", &o, &b->err), 0);
	assert_int_equal(weft_find_object(b->c->model, RES_PORT, begin, &o, &b->err), 0);
	assert_string_equal(o->id, b->port);
	assert_int_equal(weft_find_object(b->c->model, RES_PORT, "", &o, &b->err), -ENOENT);
	assert_int_equal(weft_find_object(b->c->model, RES_PORT, "vm", &o, &b->err), -ENOENT);
	set(b->c, RES_PORT, b->remote, "{'name': 'vm1'}");
	assert_int_equal(weft_find_object(b->c->model, RES_PORT, "vm1", &o, &b->err), -EINVAL);
	assert_non_null(strstr(b->err.msg, b->remote));
	bench_free(b);
}

static void a_rule_is_told_as_a_phrase(void **state)
{
	struct bench *b = bench_new();
	const char *rule = add(b->c, RES_SECURITY_GROUP_RULE,
			       "{'security_group_id': '%s', 'direction': 'ingress', 'protocol': "
			       "'tcp', 'port_range_min': 22, 'port_range_max': 23, "
			       "'remote_group_id': '%s'}",
			       b->group, b->group);
	struct text t = {0};

	(void)state;
	weft_describe_rule(b->c->model, rule, &t);
	assert_string_equal(t.s, "ingress IPv4 tcp 22-23 from group web");
	weft_text_fini(&t);
	rule = add(b->c, RES_SECURITY_GROUP_RULE,
		   "{'security_group_id': '%s', 'direction': 'egress', 'protocol': 'icmp', "
		   "'port_range_min': 0, 'port_range_max': 0, 'remote_ip_prefix': '10.0.0.0/8'}",
		   b->group);
	weft_describe_rule(b->c->model, rule, &t);
	assert_string_equal(t.s, "egress IPv4 icmp type 0 code 0 to 10.0.0.0/8");
	weft_text_fini(&t);
	bench_free(b);
}

static void a_trace_sends_what_the_port_would_send(void **state)
{
	struct bench *b = bench_new();
	const struct plan_port *p = weft_planner_port(b->c->planner, b->port);
	json_t *o;

	(void)state;
	assert_int_equal(ask(b, "POST", "trace", json_object(),
			     json_pack("{s:s, s:s}", "port", "vm1", "packet", "udp 10.0.0.9:53"),
			     &o),
			 0);
	assert_int_equal(b->dp.frame_len, 42);
	assert_memory_equal(b->dp.frame, "\xfa\x16\x3e\x00\x00\x09", 6);
	assert_memory_equal(b->dp.frame + 6, p->mac.b, 6);
	assert_memory_equal(b->dp.frame + 26, "\x0a\x00\x00\x05\x0a\x00\x00\x09", 8);
	assert_string_equal(weft_json_text(o, "port_name"), "vm1");
	assert_int_equal(json_array_size(weft_json_array(o, "out_port_names")), 1);
	json_decref(o);
	bench_free(b);
}

// Where the frame that a sender makes of a text would go.
static void goes_to(struct bench *b, const char *sender, const char *packet, const char *mac)
{
	char text[WEFT_MAC_STRLEN];
	struct mac_addr to;
	json_t *o;

	if (ask(b, "POST", "trace", json_object(),
		json_pack("{s:s, s:s}", "port", sender, "packet", packet), &o) != 0)
		fail_msg("%s", b->err.msg);
	memcpy(to.b, b->dp.frame, sizeof(to.b));
	assert_string_equal(weft_mac_text(&to, text), mac);
	json_decref(o);
}

static int remember_mac(const struct object *port, void *arg)
{
	*(const char **)arg = weft_json_text(port->attr, "mac_address");
	return 1;
}

static void a_trace_knows_who_answers_for_translated_addresses_and_metadata(void **state)
{
	struct bench *b = bench_new();
	const char *ext, *router, *floating, *mac = NULL;

	(void)state;
	// Nobody has the gateway's address, so the network is isolated.
	goes_to(b, "vm1", "tcp 169.254.169.254:80", "02:77:65:66:74:01");
	ext = add(b->c, RES_NETWORK,
		  "{'name': 'ext', 'router:external': true, 'provider:network_type': 'flat', "
		  "'provider:physical_network': 'physnet1'}");
	add(b->c, RES_SUBNET, "{'network_id': '%s', 'ip_version': 4, 'cidr': '203.0.113.0/24'}",
	    ext);
	router = add(b->c, RES_ROUTER,
		     "{'external_gateway_info': {'network_id': '%s', 'external_fixed_ips': "
		     "[{'ip_address': '203.0.113.2'}]}}",
		     ext);
	weft_model_each_ref(b->c->model, REF_ROUTER_GATEWAY_PORTS, router, remember_mac, &mac);
	goes_to(b, "uplink:ext", "tcp 192.0.2.7:1 > 203.0.113.2:80", mac);
	floating = add(b->c, RES_FLOATING_IP,
		       "{'floating_network_id': '%s', 'floating_ip_address': '203.0.113.50'}", ext);
	weft_model_each_ref(b->c->model, REF_FLOATING_IP_PORTS, floating, remember_mac, &mac);
	goes_to(b, "uplink:ext", "tcp 192.0.2.7:1 > 203.0.113.50:80", mac);
	bench_free(b);
}

static void a_wrong_question_is_answered_with_what_is_right(void **state)
{
	struct bench *b = bench_new();
	json_t *o;

	(void)state;
	assert_int_equal(ask(b, "GET", "nothing", json_object(), NULL, &o), -ENOENT);
	assert_non_null(strstr(b->err.msg, "explain/PORT"));
	assert_int_equal(ask(b, "GET", "explain", json_object(), NULL, &o), -ENOENT);
	assert_int_equal(ask(b, "POST", "ports", json_object(), NULL, &o), -EINVAL);
	assert_int_equal(ask(b, "GET", "ports/zz", json_object(), NULL, &o), -ENOENT);
	assert_int_equal(ask(b, "GET", "explain/vm2", json_object(), NULL, &o), -ENOENT);
	assert_non_null(strstr(b->err.msg, "node2"));
	assert_int_equal(ask(b, "GET", "drops", json_pack("{s:s}", "limit", "x"), NULL, &o),
			 -EINVAL);
	assert_int_equal(ask(b, "POST", "trace", json_object(), json_pack("{s:s}", "port", "vm1"),
			     &o),
			 -EINVAL);
	assert_int_equal(ask(b, "POST", "trace", json_object(), NULL, &o), -EINVAL);
	assert_int_equal(ask(b, "POST", "trace", json_object(),
			     json_pack("{s:s, s:s}", "port", "vm1", "packet", "tcp"), &o),
			 -EINVAL);
	assert_int_equal(ask(b, "POST", "trace", json_object(),
			     json_pack("{s:s, s:s}", "port", "vm2", "packet", "dhcp discover"), &o),
			 -ENOENT);
	bench_free(b);
}

static void a_limit_reaches_the_datapath(void **state)
{
	struct bench *b = bench_new();
	json_t *o;

	(void)state;
	assert_int_equal(ask(b, "GET", "sessions",
			     json_pack("{s:s, s:s}", "port", "vm1", "limit", "5"), NULL, &o),
			 0);
	assert_int_equal(b->dp.limit, 5);
	assert_string_equal(weft_json_text(json_array_get(weft_json_array(o, "sessions"), 0),
					   "in_port_name"),
			    "vm1");
	json_decref(o);
	bench_free(b);
}

static void workers_are_shown_with_how_late_the_control_thread_was(void **state)
{
	struct bench *b = bench_new();
	json_t *j = NULL;

	(void)state;
	assert_int_equal(weft_operate(&b->op, "GET", "workers", NULL, NULL, &j, &b->err), 0);
	assert_int_equal(weft_json_int(json_object_get(j, "control"), "tick_us", 0), 1500);
	assert_int_equal(weft_json_int(json_object_get(j, "control"), "held_us", 0), 100);
	assert_int_equal(weft_json_int(json_object_get(j, "control"), "loop_ever_us", 0), 80000);
	json_decref(j);
	bench_free(b);
}

static void log_level_changes_at_run_time(void **state)
{
	struct bench *b = bench_new();
	json_t *j = NULL, *body = json_pack("{s:s}", "level", "debug");

	(void)state;
	assert_int_equal(weft_operate(&b->op, "POST", "log", NULL, body, &j, &b->err), 0);
	json_decref(j);
	assert_int_equal(weft_operate(&b->op, "GET", "log", NULL, NULL, &j, &b->err), 0);
	assert_string_equal(weft_json_text(j, "level"), "debug");
	json_decref(j);
	json_object_set_new(body, "level", json_string("loud"));
	assert_int_equal(weft_operate(&b->op, "POST", "log", NULL, body, &j, &b->err), -EINVAL);
	assert_non_null(strstr(b->err.msg, "warning"));
	assert_int_equal(weft_log_level(), LOG_LEVEL_DEBUG);
	weft_log_set_level(LOG_LEVEL_INFO);
	json_decref(body);
	bench_free(b);
}

static int order(struct bench *b, const char *path, const char *port, json_t **out)
{
	return ask(b, "POST", path, NULL,
		   port == NULL ? json_object() : json_pack("{s:s}", "port", port), out);
}

static void orders_reach_the_datapath_by_the_ports_id(void **state)
{
	struct bench *b = bench_new();
	json_t *j;

	(void)state;
	assert_int_equal(order(b, "flush-sessions", "vm1", &j), 0);
	assert_string_equal(b->dp.asked, b->port);
	assert_int_equal(weft_json_int(j, "sessions", 0), 7);
	assert_string_equal(weft_json_text(j, "port_name"), "vm1");
	json_decref(j);
	assert_int_equal(order(b, "reset-counters", NULL, &j), 0);
	assert_string_equal(b->dp.asked, "-");
	json_decref(j);
	assert_int_equal(order(b, "reset-counters", "vm1", &j), 0);
	assert_string_equal(b->dp.asked, b->port);
	json_decref(j);
	assert_int_equal(order(b, "flush-sessions", NULL, &j), -EINVAL);
	assert_int_equal(order(b, "flush-sessions", "vm2", &j), -ENOENT); // another host's
	assert_int_equal(order(b, "reset-counters", "nobody", &j), -ENOENT);
	bench_free(b);
}

static void what_is_watched_is_told_with_names(void **state)
{
	struct bench *b = bench_new();
	json_t *j, *p;

	(void)state;
	assert_int_equal(ask(b, "POST", "watch", NULL,
			     json_pack("{s:s, s:s}", "port", "vm1", "filter", "udp :53"), &j),
			 0);
	assert_int_equal(weft_json_int(j, "watch", 0), 3);
	assert_int_equal(b->dp.protocol, 17);
	json_decref(j);
	j = get(b, "watch/3");
	p = json_array_get(json_object_get(j, "packets"), 0);
	assert_string_equal(weft_json_text(p, "in_port_name"), "vm1");
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(p, "out_port_names"), 0)), "vm1");
	json_decref(j);
	assert_int_equal(ask(b, "GET", "watch/4", json_object(), NULL, &j), -ENOENT);
	assert_int_equal(ask(b, "POST", "watch", NULL,
			     json_pack("{s:s, s:s}", "port", "vm1", "filter", "tpc"), &j),
			 -EINVAL);
	assert_int_equal(order(b, "watch", "vm2", &j), -ENOENT);
	assert_int_equal(ask(b, "POST", "unwatch", NULL, json_pack("{s:i}", "watch", 3), &j), 0);
	assert_string_equal(b->dp.asked, "-");
	json_decref(j);
	bench_free(b);
}

static int remove_stored(struct bench *b, const char *type, const char *id)
{
	json_t *j;
	int ret = ask(b, "POST", "store-remove", NULL,
		      json_pack("{s:s, s:s}", "type", type, "id", id), &j);

	if (ret == 0)
		json_decref(j);
	return ret;
}

static void only_what_is_left_out_can_be_removed_from_the_store(void **state)
{
	struct bench *b = bench_new();
	char path[] = "/tmp/weft-operate-XXXXXX", file[64], id[37];
	const struct model_change made = {.after =
						  weft_model_get(b->c->model, RES_PORT, b->remote)};
	size_t n;

	(void)state;
	assert_non_null(mkdtemp(path));
	snprintf(file, sizeof(file), "%s/weft.db", path);
	snprintf(id, sizeof(id), "%s", b->remote);
	assert_int_equal(remove_stored(b, "port", id), -ENOENT); // there is no store
	assert_int_equal(weft_store_open(file, &b->op.store, &b->err), 0);
	assert_int_equal(weft_store_write(b->op.store, &made, 1, &b->err), 0);
	assert_int_equal(remove_stored(b, "port", id), -EINVAL);
	assert_non_null(strstr(b->err.msg, "in force"));
	weft_model_leave_out(b->c->model, RES_PORT, id, "it is damaged");
	assert_int_equal(remove_stored(b, "teapot", id), -EINVAL);
	assert_int_equal(remove_stored(b, "network", id), -ENOENT);
	assert_non_null(strstr(b->err.msg, "no network"));
	assert_non_null(strstr(b->err.msg, "weft show left-out"));
	assert_int_equal(remove_stored(b, "port", id), 0);
	weft_model_left_out(b->c->model, &n);
	assert_int_equal(n, 0);
	assert_int_equal(remove_stored(b, "port", id), -ENOENT);
	assert_int_equal(weft_store_remove(b->op.store, RES_PORT, id, &b->err), -ENOENT);
	weft_store_close(b->op.store);
	b->op.store = NULL;
	snprintf(file, sizeof(file), "rm -rf %s", path);
	assert_int_equal(system(file), 0);
	bench_free(b);
}

static void the_node_is_one_agent_with_the_same_id_at_every_start(void **state)
{
	struct bench *b = bench_new(), *other = bench_new();
	json_t *x, *y;

	(void)state;
	x = weft_operate_agents(&b->op);
	y = weft_operate_agents(&other->op);
	assert_int_equal(json_array_size(x), 1);
	assert_string_equal(weft_json_text(json_array_get(x, 0), "id"),
			    weft_json_text(json_array_get(y, 0), "id"));
	assert_int_equal(weft_uuid_check(weft_json_text(json_array_get(x, 0), "id")), 0);
	assert_string_equal(weft_json_text(json_array_get(x, 0), "started_at"),
			    "2001-09-09 01:46:40");
	json_decref(x);
	json_decref(y);
	bench_free(b);
	bench_free(other);
}

static void metrics_are_the_nodes_and_the_datapaths(void **state)
{
	struct bench *b = bench_new();
	struct text t = {0};

	(void)state;
	weft_operate_metrics(&b->op, &t);
	assert_non_null(strstr(t.s, "weft_objects{resource=\"ports\"} 2\n"));
	assert_non_null(strstr(t.s, "weft_ports 1\n"));
	assert_non_null(strstr(t.s, "weft_sessions 1\n"));
	weft_text_fini(&t);
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_port_is_what_model_and_datapath_know),
		cmocka_unit_test(another_hosts_port_says_so),
		cmocka_unit_test(a_port_is_found_by_id_name_and_beginning),
		cmocka_unit_test(a_rule_is_told_as_a_phrase),
		cmocka_unit_test(a_trace_sends_what_the_port_would_send),
		cmocka_unit_test(a_trace_knows_who_answers_for_translated_addresses_and_metadata),
		cmocka_unit_test(a_wrong_question_is_answered_with_what_is_right),
		cmocka_unit_test(a_limit_reaches_the_datapath),
		cmocka_unit_test(workers_are_shown_with_how_late_the_control_thread_was),
		cmocka_unit_test(log_level_changes_at_run_time),
		cmocka_unit_test(orders_reach_the_datapath_by_the_ports_id),
		cmocka_unit_test(what_is_watched_is_told_with_names),
		cmocka_unit_test(only_what_is_left_out_can_be_removed_from_the_store),
		cmocka_unit_test(the_node_is_one_agent_with_the_same_id_at_every_start),
		cmocka_unit_test(metrics_are_the_nodes_and_the_datapaths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
