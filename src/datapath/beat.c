// SPDX-License-Identifier: Apache-2.0
#include "datapath/beat.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S  1000000000ULL
#define BEAT_NS	  (BEAT_MS * 1000000ULL)
#define WINDOW_NS (30 * NS_PER_S) // the last minute is this one and the one before

struct told { // what a tick has to tell
	STAILQ_ENTRY(told) in_list;
	bool up;
	char *reason; // may be NULL
	char port_id[64];
};

// The longest of a while.
struct longest {
	uint64_t window_ns; // when it began
	uint32_t now_us, before_us, ever_us;
};

struct beat {
	struct datapath_ops ops; // what others call
	const struct datapath_ops *inner;
	struct datapath *dp;

	pthread_mutex_t lock; // of dp and of what is told and counted
	pthread_cond_t ticked;
	bool is_due; // a tick waits for the lock: it goes first

	pthread_mutex_t sleep; // of ends; apart, so that waking up does not wait for a hook
	pthread_cond_t wake;
	bool ends, runs;
	pthread_t thread;

	STAILQ_HEAD(, told) told;
	struct longest tick, held, loop;

	datapath_port_event on_port;
	void *on_port_arg;
	int tell_fd; // eventfd: something is told
	struct event *tell, *probe;
	uint64_t probe_ns; // when the loop should look next; 0 = it does not run yet
};

static struct beat *beat_of(struct datapath *datapath)
{
	return (struct beat *)datapath;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void longest_add(struct longest *l, uint64_t now, uint64_t late_ns)
{
	uint32_t us = (uint32_t)(late_ns / 1000);

	if (now - l->window_ns >= WINDOW_NS) {
		l->before_us = now - l->window_ns < 2 * WINDOW_NS ? l->now_us : 0;
		l->now_us = 0;
		l->window_ns = now;
	}
	l->now_us = us > l->now_us ? us : l->now_us;
	l->ever_us = us > l->ever_us ? us : l->ever_us;
}

static uint32_t longest_of_last(const struct longest *l)
{
	return l->now_us > l->before_us ? l->now_us : l->before_us;
}

// Without the order, a thread that takes the lock again at once would keep a tick out for as long
// as it likes.
static void lock(struct beat *b)
{
	pthread_mutex_lock(&b->lock);
	while (__atomic_load_n(&b->is_due, __ATOMIC_RELAXED))
		pthread_cond_wait(&b->ticked, &b->lock);
}

static void unlock(struct beat *b)
{
	pthread_mutex_unlock(&b->lock);
}

// False: it is to end.
static bool sleep_until(struct beat *b, uint64_t when_ns)
{
	const struct timespec t = {.tv_sec = (time_t)(when_ns / NS_PER_S),
				   .tv_nsec = (long)(when_ns % NS_PER_S)};

	pthread_mutex_lock(&b->sleep);
	while (!b->ends && now_ns() < when_ns)
		pthread_cond_timedwait(&b->wake, &b->sleep, &t);
	bool goes_on = !b->ends;
	pthread_mutex_unlock(&b->sleep);
	return goes_on;
}

static void *beat(void *arg)
{
	struct beat *b = arg;
	uint64_t due_ns = now_ns() + BEAT_NS;

	// It needs little, and needs it in time. Not allowed to: then like everybody else.
	setpriority(PRIO_PROCESS, (id_t)gettid(), -10);
	while (sleep_until(b, due_ns)) {
		uint64_t awake = now_ns();
		__atomic_store_n(&b->is_due, true, __ATOMIC_RELAXED);
		pthread_mutex_lock(&b->lock);
		uint64_t now = now_ns();
		longest_add(&b->held, now, now - awake);
		longest_add(&b->tick, now, now > due_ns ? now - due_ns : 0);
		b->inner->tick(b->dp);
		__atomic_store_n(&b->is_due, false, __ATOMIC_RELAXED);
		pthread_cond_broadcast(&b->ticked);
		pthread_mutex_unlock(&b->lock);
		due_ns = now + BEAT_NS;
	}
	return NULL;
}

// ---- What a tick tells
// -----------------------------------------------------------------------------

// Under the lock, in a tick.
static void on_told(void *arg, const char *port_id, bool up, const char *reason)
{
	struct beat *b = arg;
	struct told *t = calloc(1, sizeof(*t));
	uint64_t one = 1;

	if (t == NULL)
		abort();
	snprintf(t->port_id, sizeof(t->port_id), "%s", port_id);
	t->up = up;
	t->reason = reason != NULL ? strdup(reason) : NULL;
	STAILQ_INSERT_TAIL(&b->told, t, in_list);
	if (write(b->tell_fd, &one, sizeof(one)) < 0)
		abort(); // it cannot be full
}

static void told_free(struct told *t)
{
	free(t->reason);
	free(t);
}

// What was told of an attachment that ends is not told of the next one. Under the lock.
static void untell(struct beat *b, const char *port_id)
{
	struct told *t, *next;

	for (t = STAILQ_FIRST(&b->told); t != NULL; t = next) {
		next = STAILQ_NEXT(t, in_list);
		if (strcmp(t->port_id, port_id) != 0)
			continue;
		STAILQ_REMOVE(&b->told, t, told, in_list);
		told_free(t);
	}
}

static struct told *next_told(struct beat *b)
{
	struct told *t;

	pthread_mutex_lock(&b->lock);
	t = STAILQ_FIRST(&b->told);
	if (t != NULL)
		STAILQ_REMOVE_HEAD(&b->told, in_list);
	pthread_mutex_unlock(&b->lock);
	return t;
}

static void on_tell(evutil_socket_t fd, short what, void *arg)
{
	struct beat *b = arg;
	struct told *t;
	uint64_t n;

	(void)what;
	if (read(fd, &n, sizeof(n)) < 0)
		return;
	while ((t = next_told(b)) != NULL) {
		b->on_port(b->on_port_arg, t->port_id, t->up, t->reason);
		told_free(t);
	}
}

static void on_probe(evutil_socket_t fd, short what, void *arg)
{
	struct beat *b = arg;
	const struct timeval again = {.tv_usec = BEAT_MS * 1000};
	uint64_t now = now_ns();

	(void)fd;
	(void)what;
	pthread_mutex_lock(&b->lock);
	if (b->probe_ns != 0)
		longest_add(&b->loop, now, now > b->probe_ns ? now - b->probe_ns : 0);
	else
		b->tick = b->held = b->loop =
			(struct longest) {.window_ns = now}; // the start does not count
	pthread_mutex_unlock(&b->lock);
	b->probe_ns = now_ns() + BEAT_NS;
	event_add(b->probe, &again);
}

// ---- The hooks
// -------------------------------------------------------------------------------------

// Between prepare and apply the batch is stored, and ticks may come: they change nothing that a
// batch is checked against.
static int prepare(struct datapath *d, const struct plan_batch *batch, size_t *refused,
		   struct err *err)
{
	struct beat *b = beat_of(d);

	lock(b);
	int ret = b->inner->prepare(b->dp, batch, refused, err);
	unlock(b);
	return ret;
}

static void apply(struct datapath *d, const struct plan_batch *batch)
{
	struct beat *b = beat_of(d);

	lock(b);
	b->inner->apply(b->dp, batch);
	unlock(b);
}

static void forget(struct datapath *d)
{
	struct beat *b = beat_of(d);

	lock(b);
	b->inner->forget(b->dp);
	unlock(b);
}

static int attach(struct datapath *d, const char *port_id, const char *ifname, struct err *err)
{
	struct beat *b = beat_of(d);

	lock(b);
	untell(b, port_id);
	int ret = b->inner->attach(b->dp, port_id, ifname, err);
	unlock(b);
	return ret;
}

static void detach(struct datapath *d, const char *port_id)
{
	struct beat *b = beat_of(d);

	lock(b);
	b->inner->detach(b->dp, port_id);
	untell(b, port_id);
	unlock(b);
}

static int metadata_open(struct datapath *d, const struct datapath_metadata *way, struct err *err)
{
	struct beat *b = beat_of(d);

	lock(b);
	int ret = b->inner->metadata_open(b->dp, way, err);
	unlock(b);
	return ret;
}

static int metadata_source(struct datapath *d, const char *port_id, struct ip_addr *out)
{
	struct beat *b = beat_of(d);

	lock(b);
	int ret = b->inner->metadata_source(b->dp, port_id, out);
	unlock(b);
	return ret;
}

static void interface_changed(struct datapath *d, const char *ifname)
{
	struct beat *b = beat_of(d);

	lock(b);
	b->inner->interface_changed(b->dp, ifname);
	unlock(b);
}

static int trace(struct datapath *d, const char *port_id, const uint8_t *frame, size_t len,
		 json_t **out, struct err *err)
{
	struct beat *b = beat_of(d);

	lock(b);
	int ret = b->inner->trace(b->dp, port_id, frame, len, out, err);
	unlock(b);
	return ret;
}

static int flush_sessions(struct datapath *d, const char *port_id, uint32_t *n, struct err *err)
{
	struct beat *b = beat_of(d);

	lock(b);
	int ret = b->inner->flush_sessions(b->dp, port_id, n, err);
	unlock(b);
	return ret;
}

static int reset_counters(struct datapath *d, const char *port_id, struct err *err)
{
	struct beat *b = beat_of(d);

	lock(b);
	int ret = b->inner->reset_counters(b->dp, port_id, err);
	unlock(b);
	return ret;
}

static int watch(struct datapath *d, const char *port_id, const struct datapath_filter *filter,
		 uint32_t *number, struct err *err)
{
	struct beat *b = beat_of(d);

	lock(b);
	int ret = b->inner->watch(b->dp, port_id, filter, number, err);
	unlock(b);
	return ret;
}

static int watched(struct datapath *d, uint32_t number, json_t **out, struct err *err)
{
	struct beat *b = beat_of(d);

	lock(b);
	int ret = b->inner->watched(b->dp, number, out, err);
	unlock(b);
	return ret;
}

static void unwatch(struct datapath *d, uint32_t number)
{
	struct beat *b = beat_of(d);

	lock(b);
	b->inner->unwatch(b->dp, number);
	unlock(b);
}

static int show(struct datapath *d, enum datapath_show what, const char *id, size_t limit,
		json_t **out, struct err *err)
{
	struct beat *b = beat_of(d);

	lock(b);
	int ret = b->inner->show(b->dp, what, id, limit, out, err);
	unlock(b);
	return ret;
}

static void metrics(struct datapath *d, struct text *out)
{
	struct beat *b = beat_of(d);

	lock(b);
	b->inner->metrics(b->dp, out);
	unlock(b);
}

static void tick(struct datapath *d)
{
	(void)d; // it comes by itself
}

static void stop(struct datapath *d)
{
	struct beat *b = beat_of(d);
	struct told *t;

	if (b->runs) {
		pthread_mutex_lock(&b->sleep);
		b->ends = true;
		pthread_cond_signal(&b->wake);
		pthread_mutex_unlock(&b->sleep);
		pthread_join(b->thread, NULL);
	}
	if (b->tell != NULL)
		event_free(b->tell);
	if (b->probe != NULL)
		event_free(b->probe);
	if (b->dp != NULL)
		b->inner->stop(b->dp);
	while ((t = STAILQ_FIRST(&b->told)) != NULL) {
		STAILQ_REMOVE_HEAD(&b->told, in_list);
		told_free(t);
	}
	if (b->tell_fd >= 0)
		close(b->tell_fd);
	pthread_cond_destroy(&b->wake);
	pthread_cond_destroy(&b->ticked);
	pthread_mutex_destroy(&b->sleep);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

// Signals are for the loop.
static int start_thread(struct beat *b)
{
	sigset_t all, before;
	int ret;

	sigfillset(&all);
	sigdelset(&all, SIGBUS); // a datapath may touch a VM's memory, which may be gone
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = -pthread_create(&b->thread, NULL, beat, b);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	b->runs = ret == 0;
	if (b->runs)
		pthread_setname_np(b->thread, "weft-beat");
	return ret;
}

static struct beat *beat_new(const struct datapath_ops *inner, datapath_port_event on_port,
			     void *arg)
{
	struct beat *b = calloc(1, sizeof(*b));
	pthread_condattr_t monotonic;

	if (b == NULL)
		abort();
	b->inner = inner;
	b->on_port = on_port;
	b->on_port_arg = arg;
	b->ops = (struct datapath_ops) {
		.name = inner->name,
		.prepare = prepare,
		.apply = apply,
		.forget = forget,
		.attach = attach,
		.detach = detach,
		.metadata_open = inner->metadata_open != NULL ? metadata_open : NULL,
		.metadata_source = inner->metadata_source != NULL ? metadata_source : NULL,
		.interface_changed = interface_changed,
		.trace = trace,
		.flush_sessions = flush_sessions,
		.reset_counters = reset_counters,
		.watch = watch,
		.watched = watched,
		.unwatch = unwatch,
		.show = show,
		.metrics = metrics,
		.tick = tick,
		.stop = stop,
	};
	STAILQ_INIT(&b->told);
	pthread_mutex_init(&b->lock, NULL);
	pthread_mutex_init(&b->sleep, NULL);
	pthread_cond_init(&b->ticked, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&b->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	b->tell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return b;
}

int weft_beat_start(const struct datapath_ops *inner, const struct datapath_config *config,
		    struct event_base *loop, datapath_port_event on_port, void *arg,
		    const struct datapath_ops **ops, struct datapath **out, struct err *err)
{
	const struct timeval first = {.tv_usec = BEAT_MS * 1000};
	struct beat *b = beat_new(inner, on_port, arg);
	int ret = inner->start(config, on_told, b, &b->dp, err);

	if (ret == 0) {
		b->tell = event_new(loop, b->tell_fd, EV_READ | EV_PERSIST, on_tell, b);
		b->probe = event_new(loop, -1, 0, on_probe, b);
		if (b->tell_fd < 0 || b->tell == NULL || b->probe == NULL ||
		    event_add(b->tell, NULL) != 0 || event_add(b->probe, &first) != 0 ||
		    start_thread(b) != 0)
			ret = weft_fail(err, -ENOMEM, "the datapath's timer cannot be made");
	}
	if (ret != 0) {
		stop((struct datapath *)b);
		return ret;
	}
	*ops = &b->ops;
	*out = (struct datapath *)b;
	return 0;
}

struct beat_late weft_beat_late(struct datapath *d)
{
	struct beat *b = beat_of(d);
	struct beat_late l;

	pthread_mutex_lock(&b->lock);
	l = (struct beat_late) {longest_of_last(&b->tick), b->tick.ever_us,
				longest_of_last(&b->held), b->held.ever_us,
				longest_of_last(&b->loop), b->loop.ever_us};
	pthread_mutex_unlock(&b->lock);
	return l;
}
