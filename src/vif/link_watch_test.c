// SPDX-License-Identifier: Apache-2.0
// With a real kernel, in a network namespace of the test's own; skipped without the right to make
// one.
#include "vif/link_watch.h"

#include <event2/event.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/map.h"
#include "base/skip.h"

#define TAP_A "tapaaaaaaaa-aa"
#define TAP_B "tapbbbbbbbb-bb"

struct bench {
	struct event_base *loop;
	struct link_watch *watch;
	struct map *seen; // name -> index
	int changes;
};

static bool is_tap(void *arg, const char *name)
{
	(void)arg;
	return weft_link_is_tap(name);
}

static void changed(void *arg, const char *name, int ifindex)
{
	struct bench *b = arg;

	b->changes++;
	if (ifindex == 0)
		weft_map_del(b->seen, name);
	else
		weft_map_put(b->seen, name, (void *)(intptr_t)ifindex);
}

static void run(const char *command)
{
	assert_int_equal(system(command), 0);
}

// Give the notifications time to arrive: they are there when the command has returned.
static void settle(struct bench *b)
{
	for (int i = 0; i < 10; i++)
		event_base_loop(b->loop, EVLOOP_NONBLOCK);
}

static int enter(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	*state = b;
	if (unshare(CLONE_NEWNET) != 0)
		return 0;
	b->loop = event_base_new();
	b->seen = weft_map_new();
	return 0;
}

static int leave(void **state)
{
	struct bench *b = *state;

	weft_link_watch_stop(b->watch);
	if (b->loop != NULL) {
		event_base_free(b->loop);
		weft_map_free(b->seen);
	}
	free(b);
	return 0;
}

static struct bench *started(void **state)
{
	struct bench *b = *state;
	struct err err = {0};

	if (b->loop == NULL)
		weft_skip("no right to make a network namespace");
	if (weft_link_watch_start(b->loop, is_tap, changed, b, &b->watch, &err) != 0)
		fail_msg("%s", err.msg);
	return b;
}

static void what_is_there_at_the_start_is_told(void **state)
{
	struct bench *b = *state;

	if (b->loop == NULL)
		weft_skip("no right to make a network namespace");
	run("ip link add " TAP_A " type veth peer name other");
	started(state);
	assert_int_equal(b->changes, 1);
	assert_non_null(weft_map_get(b->seen, TAP_A));
}

static void coming_and_going_is_told(void **state)
{
	struct bench *b = started(state);

	run("ip link add " TAP_A " type veth peer name x");
	settle(b);
	assert_non_null(weft_map_get(b->seen, TAP_A));
	run("ip link del " TAP_A);
	settle(b);
	assert_null(weft_map_get(b->seen, TAP_A));
}

static void a_rename_is_going_and_coming(void **state)
{
	struct bench *b = started(state);

	run("ip link add x type veth peer name y && ip link set x name " TAP_A);
	settle(b);
	assert_non_null(weft_map_get(b->seen, TAP_A));
	run("ip link set " TAP_A " name " TAP_B);
	settle(b);
	assert_null(weft_map_get(b->seen, TAP_A));
	assert_non_null(weft_map_get(b->seen, TAP_B));
	run("ip link set " TAP_B " name z");
	settle(b);
	assert_int_equal(weft_map_count(b->seen), 0);
}

static void leaving_a_bridge_is_no_going(void **state)
{
	struct bench *b = started(state);

	run("ip link add name b0 type bridge && ip link add " TAP_A " type veth peer name x && "
	    "ip link set " TAP_A " master b0 && ip link set " TAP_A " nomaster");
	settle(b);
	assert_non_null(weft_map_get(b->seen, TAP_A));
}

static void a_flood_of_interfaces_loses_none(void **state)
{
	struct bench *b = started(state);

	run("for i in $(seq 100 399); do echo link add tap0000000-$i type veth peer name p$i; "
	    "done | ip -batch -");
	settle(b);
	assert_int_equal(weft_map_count(b->seen), 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_there_at_the_start_is_told, enter, leave),
		cmocka_unit_test_setup_teardown(coming_and_going_is_told, enter, leave),
		cmocka_unit_test_setup_teardown(a_rename_is_going_and_coming, enter, leave),
		cmocka_unit_test_setup_teardown(leaving_a_bridge_is_no_going, enter, leave),
		cmocka_unit_test_setup_teardown(a_flood_of_interfaces_loses_none, enter, leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
