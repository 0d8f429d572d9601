// SPDX-License-Identifier: Apache-2.0
#include "vif/links.h"

#include <event2/event.h>

#include "vif/link_watch.h"
#include "plan/planner_testing.h"

// A datapath that only remembers which ports are attached.
struct datapath {
	struct map *attached; // port id -> itself
	int attempts, fail;   // that many attempts fail
	char ifname[64];
};

static int fake_attach(struct datapath *dp, const char *port_id, const char *ifname,
		       struct err *err)
{
	dp->attempts++;
	if (dp->fail > 0) {
		dp->fail--;
		return weft_fail(err, -EBUSY, "%s is busy", ifname);
	}
	weft_map_put(dp->attached, port_id, dp);
	snprintf(dp->ifname, sizeof(dp->ifname), "%s", ifname);
	return 0;
}

static void fake_detach(struct datapath *dp, const char *port_id)
{
	weft_map_del(dp->attached, port_id);
}

static const struct datapath_ops fake_ops = {
	.name = "fake",
	.attach = fake_attach,
	.detach = fake_detach,
};

struct bench {
	struct cloud *c;
	struct event_base *loop;
	struct datapath dp;
	struct links *links;
	const char *net, *port;
	char tap[16];
};

static struct bench *bench_new(void)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct links_config config = {.ops = &fake_ops, .datapath = &b->dp};

	b->c = cloud_new();
	b->loop = event_base_new();
	b->dp.attached = weft_map_new();
	config.loop = b->loop;
	config.model = b->c->model;
	config.planner = b->c->planner;
	assert_int_equal(weft_links_new(&config, &b->links, &b->c->err), 0);
	b->net = add(b->c, RES_NETWORK, "{}");
	return b;
}

static void bench_free(struct bench *b)
{
	weft_links_free(b->links);
	weft_map_free(b->dp.attached);
	event_base_free(b->loop);
	cloud_free(b->c);
	free(b);
}

static void add_port(struct bench *b, const char *host)
{
	b->port =
		add(b->c, RES_PORT, "{'network_id': '%s', 'binding:host_id': '%s'}", b->net, host);
	snprintf(b->tap, sizeof(b->tap), "tap%.11s", b->port);
	weft_links_plan_changed(b->links, &b->c->last);
	event_base_loop(b->loop, EVLOOP_NONBLOCK);
}

static void change_port(struct bench *b, const char *body)
{
	set(b->c, RES_PORT, b->port, "%s", body);
	weft_links_plan_changed(b->links, &b->c->last);
	event_base_loop(b->loop, EVLOOP_NONBLOCK);
}

static void interface(struct bench *b, int ifindex)
{
	weft_links_interface_changed(b->links, b->tap, ifindex);
	event_base_loop(b->loop, EVLOOP_NONBLOCK);
}

static bool is_attached(const struct bench *b)
{
	return weft_map_get(b->dp.attached, b->port) != NULL;
}

static void assert_status(const struct bench *b, const char *status)
{
	json_t *shown =
		weft_model_render(b->c->model, weft_model_get(b->c->model, RES_PORT, b->port));

	assert_string_equal(weft_json_text(shown, "status"), status);
	json_decref(shown);
}

static void assert_reason(const struct bench *b, const char *part)
{
	const char *reason = weft_links_reason(b->links, b->port);

	assert_non_null(reason);
	if (strstr(reason, part) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", reason, part);
}

static void a_port_is_attached_when_its_interface_appears(void **state)
{
	struct bench *b = bench_new();

	(void)state;
	add_port(b, HOST);
	assert_false(is_attached(b));
	assert_status(b, "DOWN");
	assert_reason(b, b->tap);
	interface(b, 7);
	assert_true(is_attached(b));
	assert_string_equal(b->dp.ifname, b->tap);
	assert_status(b, "ACTIVE");
	assert_null(weft_links_reason(b->links, b->port));
	bench_free(b);
}

static void a_port_is_attached_when_its_interface_was_there_first(void **state)
{
	struct bench *b = bench_new();

	(void)state;
	add_port(b, "node2");
	interface(b, 7);
	assert_false(is_attached(b));
	assert_true(weft_links_has_interface(b->links, b->tap));
	change_port(b, "{'binding:host_id': '" HOST "'}");
	assert_true(is_attached(b));
	bench_free(b);
}

static void an_interface_that_goes_takes_the_port_down(void **state)
{
	struct bench *b = bench_new();

	(void)state;
	add_port(b, HOST);
	interface(b, 7);
	interface(b, 0);
	assert_false(is_attached(b));
	assert_status(b, "DOWN");
	assert_reason(b, "no interface");
	bench_free(b);
}

static void an_interface_with_another_index_is_attached_anew(void **state)
{
	struct bench *b = bench_new();

	(void)state;
	add_port(b, HOST);
	interface(b, 7);
	interface(b, 7);
	assert_int_equal(b->dp.attempts, 1);
	interface(b, 8);
	assert_int_equal(b->dp.attempts, 2);
	assert_status(b, "ACTIVE");
	bench_free(b);
}

static void a_port_that_is_administratively_down_is_detached(void **state)
{
	struct bench *b = bench_new();

	(void)state;
	add_port(b, HOST);
	interface(b, 7);
	change_port(b, "{'admin_state_up': false}");
	assert_false(is_attached(b));
	assert_status(b, "DOWN");
	assert_reason(b, "administratively down");
	change_port(b, "{'admin_state_up': true}");
	assert_status(b, "ACTIVE");
	bench_free(b);
}

static void a_port_that_moves_to_another_host_is_down_here(void **state)
{
	struct bench *b = bench_new();
	size_t attached, ports;

	(void)state;
	add_port(b, HOST);
	interface(b, 7);
	change_port(b, "{'binding:host_id': 'node2'}");
	assert_status(b, "DOWN");
	weft_links_count(b->links, &attached, &ports);
	assert_int_equal(attached, 0);
	assert_int_equal(ports, 0);
	bench_free(b);
}

static void a_failed_attempt_is_repeated_until_it_succeeds(void **state)
{
	struct bench *b = bench_new();

	(void)state;
	b->dp.fail = 2;
	add_port(b, HOST);
	interface(b, 7);
	assert_reason(b, "is busy");
	assert_status(b, "DOWN");
	for (int i = 0; i < 20 && !is_attached(b); i++)
		event_base_loop(b->loop, EVLOOP_ONCE);
	assert_int_equal(b->dp.attempts, 3);
	assert_status(b, "ACTIVE");
	bench_free(b);
}

static void a_port_that_the_datapath_lost_is_attached_again(void **state)
{
	struct bench *b = bench_new();

	(void)state;
	add_port(b, HOST);
	interface(b, 7);
	weft_links_port_event(b->links, b->port, false, "the ring broke");
	assert_status(b, "DOWN");
	assert_reason(b, "the ring broke");
	for (int i = 0; i < 20 && b->dp.attempts < 2; i++)
		event_base_loop(b->loop, EVLOOP_ONCE);
	assert_status(b, "ACTIVE");
	bench_free(b);
}

static void a_port_that_goes_while_it_waits_is_not_attached(void **state)
{
	struct bench *b = bench_new();

	(void)state;
	add_port(b, HOST);
	weft_links_interface_changed(b->links, b->tap, 7);
	assert_reason(b, "about to be attached");
	del(b->c, RES_PORT, b->port);
	weft_links_plan_changed(b->links, &b->c->last);
	event_base_loop(b->loop, EVLOOP_NONBLOCK);
	assert_int_equal(b->dp.attempts, 0);
	bench_free(b);
}

#define VHOSTUSER "'binding:profile': {'vif_type': 'vhostuser'}"

static void a_vhostuser_port_is_active_while_a_driver_is_ready(void **state)
{
	struct bench *b = bench_new();
	size_t attached, ports;

	(void)state;
	add_port(b, HOST "', " VHOSTUSER ", 'name': '");
	assert_true(is_attached(b)); // without any interface
	assert_memory_equal(b->dp.ifname, "vhu", 3);
	assert_string_equal(b->dp.ifname + 3, b->tap + 3);
	assert_status(b, "DOWN");
	assert_reason(b, b->dp.ifname);
	weft_links_port_event(b->links, b->port, true, NULL);
	assert_status(b, "ACTIVE");
	assert_null(weft_links_reason(b->links, b->port));
	weft_links_port_event(b->links, b->port, false, "the VM's driver is gone");
	assert_status(b, "DOWN");
	assert_reason(b, b->dp.ifname);
	assert_true(is_attached(b)); // it may come again
	assert_int_equal(b->dp.attempts, 1);
	weft_links_count(b->links, &attached, &ports);
	assert_int_equal(attached, 0);
	assert_int_equal(ports, 1);
	bench_free(b);
}

static void a_vhostuser_port_that_is_administratively_down_keeps_its_socket(void **state)
{
	struct bench *b = bench_new();

	(void)state;
	add_port(b, HOST "', " VHOSTUSER ", 'name': '");
	weft_links_port_event(b->links, b->port, true, NULL);
	change_port(b, "{'admin_state_up': false}");
	assert_true(is_attached(b));
	assert_status(b, "DOWN");
	assert_reason(b, "administratively down");
	change_port(b, "{'admin_state_up': true}");
	assert_status(b, "ACTIVE");
	assert_int_equal(b->dp.attempts, 1);
	bench_free(b);
}

static void a_port_that_changes_its_kind_is_attached_anew(void **state)
{
	struct bench *b = bench_new();

	(void)state;
	add_port(b, HOST "', " VHOSTUSER ", 'name': '");
	weft_links_port_event(b->links, b->port, true, NULL);
	interface(b, 7); // it is not for this kind
	assert_int_equal(b->dp.attempts, 1);
	change_port(b, "{'binding:profile': {'vif_type': 'tap'}}");
	assert_int_equal(b->dp.attempts, 2);
	assert_string_equal(b->dp.ifname, b->tap);
	assert_status(b, "ACTIVE");
	change_port(b, "{" VHOSTUSER "}");
	assert_int_equal(b->dp.attempts, 3);
	assert_memory_equal(b->dp.ifname, "vhu", 3);
	assert_status(b, "DOWN");
	bench_free(b);
}

static void only_names_of_a_taps_form_count(void **state)
{
	(void)state;
	assert_true(weft_link_is_tap("tap01234567-89"));
	assert_false(weft_link_is_tap("tap0123"));
	assert_false(weft_link_is_tap("tap01234567-89a"));
	assert_false(weft_link_is_tap("vhu01234567-89"));
	assert_false(weft_link_is_tap("eth0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_port_is_attached_when_its_interface_appears),
		cmocka_unit_test(a_port_is_attached_when_its_interface_was_there_first),
		cmocka_unit_test(an_interface_that_goes_takes_the_port_down),
		cmocka_unit_test(an_interface_with_another_index_is_attached_anew),
		cmocka_unit_test(a_port_that_is_administratively_down_is_detached),
		cmocka_unit_test(a_port_that_moves_to_another_host_is_down_here),
		cmocka_unit_test(a_failed_attempt_is_repeated_until_it_succeeds),
		cmocka_unit_test(a_port_that_the_datapath_lost_is_attached_again),
		cmocka_unit_test(a_port_that_goes_while_it_waits_is_not_attached),
		cmocka_unit_test(a_vhostuser_port_is_active_while_a_driver_is_ready),
		cmocka_unit_test(a_vhostuser_port_that_is_administratively_down_keeps_its_socket),
		cmocka_unit_test(a_port_that_changes_its_kind_is_attached_anew),
		cmocka_unit_test(only_names_of_a_taps_form_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
