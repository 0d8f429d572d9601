// SPDX-License-Identifier: Apache-2.0
#include "datapath/beat.h"

#include <event2/event.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define PATIENCE_MS 20000

// A datapath that counts its ticks, and notes when two hooks run at once.
struct datapath {
	datapath_port_event on_port;
	void *arg;
	_Atomic unsigned ticks, inside, at_once;
	_Atomic bool tells;
	unsigned apply_ms;
};

static void enter(struct datapath *d)
{
	if (atomic_fetch_add(&d->inside, 1) != 0)
		d->at_once++;
}

static void leave(struct datapath *d)
{
	atomic_fetch_sub(&d->inside, 1);
}

static void pause_ms(unsigned ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
	nanosleep(&t, NULL);
}

static int fake_start(const struct datapath_config *config, datapath_port_event on_port, void *arg,
		      struct datapath **out, struct err *err)
{
	if (config->workers == 0)
		return weft_fail(err, -1, "no workers");
	*out = calloc(1, sizeof(**out));
	(*out)->on_port = on_port;
	(*out)->arg = arg;
	(*out)->apply_ms = 1;
	return 0;
}

static void fake_apply(struct datapath *d, const struct plan_batch *batch)
{
	(void)batch;
	enter(d);
	pause_ms(d->apply_ms);
	leave(d);
}

static void fake_detach(struct datapath *d, const char *port_id)
{
	(void)port_id;
	enter(d);
	leave(d);
}

static void fake_tick(struct datapath *d)
{
	enter(d);
	d->ticks++;
	if (d->tells) {
		d->on_port(d->arg, "p1", true, NULL);
		d->on_port(d->arg, "p2", false, "gone");
		d->tells = false;
	}
	leave(d);
}

static void fake_stop(struct datapath *d)
{
	free(d);
}

static const struct datapath_ops fake_ops = {
	.name = "fake",
	.start = fake_start,
	.apply = fake_apply,
	.detach = fake_detach,
	.tick = fake_tick,
	.stop = fake_stop,
};

struct bench {
	struct event_base *loop;
	const struct datapath_ops *ops;
	struct datapath *dp;
	pthread_t thread;
	unsigned p1, p2;
	bool other_thread;
};

static void on_port(void *arg, const char *port_id, bool up, const char *reason)
{
	struct bench *b = arg;

	b->other_thread |= !pthread_equal(pthread_self(), b->thread);
	b->p1 += strcmp(port_id, "p1") == 0 && up && reason == NULL;
	b->p2 += strcmp(port_id, "p2") == 0 && !up && strcmp(reason, "gone") == 0;
}

// The inner one, for the tests' eyes: it is the argument of its own hooks only.
static struct datapath *seen;

static int seeing_start(const struct datapath_config *config, datapath_port_event told, void *arg,
			struct datapath **out, struct err *err)
{
	int ret = fake_start(config, told, arg, out, err);
	seen = ret == 0 ? *out : NULL;
	return ret;
}

static int setup(void **state)
{
	static struct datapath_ops inner;
	const struct datapath_config config = {.workers = 1};
	struct bench *b = calloc(1, sizeof(*b));
	struct err err;

	inner = fake_ops;
	inner.start = seeing_start;
	b->loop = event_base_new();
	b->thread = pthread_self();
	assert_int_equal(
		weft_beat_start(&inner, &config, b->loop, on_port, b, &b->ops, &b->dp, &err), 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	b->ops->stop(b->dp);
	event_base_free(b->loop);
	free(b);
	return 0;
}

static void run_loop(struct bench *b)
{
	const struct timeval turn = {.tv_usec = 1000};

	event_base_loopexit(b->loop, &turn);
	event_base_dispatch(b->loop);
}

static void ticks_come_while_the_control_thread_stands_still(void **state)
{
	struct bench *b = *state;
	unsigned before = seen->ticks;

	(void)b;
	for (unsigned ms = 0; seen->ticks < before + 3 && ms < PATIENCE_MS; ms++)
		pause_ms(1);
	assert_true(seen->ticks >= before + 3);
}

static void tick_goes_before_a_thread_that_takes_the_lock_again_and_again(void **state)
{
	struct bench *b = *state;
	const struct plan_batch none = {0};
	unsigned before = seen->ticks;
	uint64_t end_ms = weft_now_ms() + PATIENCE_MS;

	while (seen->ticks < before + 5 && weft_now_ms() < end_ms)
		b->ops->apply(b->dp, &none);
	assert_true(seen->ticks >= before + 5);
	assert_int_equal(seen->at_once, 0);
}

static void what_a_tick_tells_is_heard_on_the_control_thread(void **state)
{
	struct bench *b = *state;

	seen->tells = true;
	for (unsigned ms = 0; b->p2 == 0 && ms < PATIENCE_MS; ms++)
		run_loop(b);
	assert_int_equal(b->p1, 1);
	assert_int_equal(b->p2, 1);
	assert_false(b->other_thread);
}

static void what_was_told_of_a_port_that_is_detached_is_not_heard(void **state)
{
	struct bench *b = *state;

	seen->tells = true;
	for (unsigned ms = 0; seen->tells && ms < PATIENCE_MS; ms++)
		pause_ms(1);
	b->ops->detach(b->dp, "p1"); // waits for the tick's end
	for (unsigned ms = 0; b->p2 == 0 && ms < PATIENCE_MS; ms++)
		run_loop(b);
	assert_int_equal(b->p2, 1);
	assert_int_equal(b->p1, 0);
}

static void tick_that_waits_for_a_hook_is_noticed(void **state)
{
	struct bench *b = *state;
	const struct plan_batch none = {0};
	struct beat_late l = {0};

	seen->apply_ms = 150; // longer than from one tick to the next
	for (unsigned i = 0; l.held_us < 20000 && i < PATIENCE_MS / 150; i++) {
		b->ops->apply(b->dp, &none);
		l = weft_beat_late(b->dp);
	}
	assert_true(l.held_us >= 20000);
	assert_true(l.tick_us >= l.held_us);
}

static void loop_that_stands_still_is_noticed(void **state)
{
	struct bench *b = *state;
	struct beat_late l = {0};

	// The first look only begins to count.
	for (unsigned i = 0; i < 400; i++)
		run_loop(b);
	pause_ms(300);
	for (unsigned ms = 0; l.loop_us < 150000 && ms < PATIENCE_MS; ms++) {
		run_loop(b);
		l = weft_beat_late(b->dp);
	}
	assert_true(l.loop_us >= 150000);
	assert_true(l.loop_ever_us >= l.loop_us);
}

static void datapath_that_does_not_start_leaves_nothing(void **state)
{
	const struct datapath_config config = {0};
	const struct datapath_ops *ops = NULL;
	struct datapath *dp = NULL;
	struct event_base *loop = event_base_new();
	struct err err;

	(void)state;
	assert_int_equal(weft_beat_start(&fake_ops, &config, loop, on_port, NULL, &ops, &dp, &err),
			 -1);
	assert_string_equal(err.msg, "no workers");
	assert_null(dp);
	event_base_free(loop);
}

#define WITH_BEAT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_BEAT(ticks_come_while_the_control_thread_stands_still),
		WITH_BEAT(tick_goes_before_a_thread_that_takes_the_lock_again_and_again),
		WITH_BEAT(what_a_tick_tells_is_heard_on_the_control_thread),
		WITH_BEAT(what_was_told_of_a_port_that_is_detached_is_not_heard),
		WITH_BEAT(tick_that_waits_for_a_hook_is_noticed),
		WITH_BEAT(loop_that_stands_still_is_noticed),
		cmocka_unit_test(datapath_that_does_not_start_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
