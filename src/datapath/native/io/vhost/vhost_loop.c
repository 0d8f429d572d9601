// SPDX-License-Identifier: Apache-2.0
// Vhost loop: one thread serves the sockets of all vhost-user ports. It is there while there are
// any.
//
// It waits without the lock and serves with it. What it serves never blocks, so whoever takes the
// lock waits for one turn at most, and a socket that control adds or removes is so at once.
#include "datapath/native/io/vhost/vhost_io.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "datapath/native/io/vhost/vhost_guard.h"

#define AGAIN_MS 200
// Events in a row before others may have the lock.
#define TURN	 32

static void answer_bell(struct vhost_watch *w);

// Who waits for the lock holds the gate, and the thread must pass it before it takes the lock
// again: so a peer that keeps it busy keeps nobody waiting.
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	pthread_t thread;
	int epoll; // good while the thread runs
	bool stop, waiting;
	uint64_t again_ms; // when sockets that wait are tried
	struct vhost_io *ports;
	struct vhost_watch bell;
} loop = {.epoll = -1, .bell = {.fd = -1, .ready = answer_bell}};

void weft_vhost_loop_lock(bool on)
{
	if (!on) {
		pthread_mutex_unlock(&lock);
		return;
	}
	pthread_mutex_lock(&gate);
	pthread_mutex_lock(&lock);
	pthread_mutex_unlock(&gate);
}

int weft_vhost_watch(struct vhost_watch *w)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = w};

	return epoll_ctl(loop.epoll, EPOLL_CTL_ADD, w->fd, &e) < 0 ? -errno : 0;
}

// It may rest already.
void weft_vhost_rest(struct vhost_watch *w)
{
	epoll_ctl(loop.epoll, EPOLL_CTL_DEL, w->fd, NULL);
}

void weft_vhost_unwatch(struct vhost_watch *w)
{
	if (w->fd < 0)
		return;
	weft_vhost_rest(w);
	close(w->fd);
	w->fd = -1;
}

void weft_vhost_try_again(struct vhost_io *v)
{
	v->waits = true;
	if (loop.waiting)
		return;
	loop.waiting = true;
	loop.again_ms = weft_now_ms() + AGAIN_MS;
	eventfd_write(loop.bell.fd, 1); // the thread may wait for ever
}

// ---- The thread ----------------------------------------------------------------------------

// The guard found memory missing, or there is something else to wait for.
static void answer_bell(struct vhost_watch *w)
{
	eventfd_t rung;

	eventfd_read(w->fd, &rung);
	for (struct vhost_io *v = loop.ports; v != NULL; v = v->next_io)
		for (size_t i = 0; i < VHOST_CONNECTIONS_MAX; i++) {
			struct vhost_device *d = &v->connections[i];

			if (d->watch.fd < 0 || !atomic_load(&d->missing))
				continue;
			if (weft_vhost_may_warn(v))
				weft_log_warning(
					"socket %s: memory that its VM shared is gone: the "
					"connection ends",
					v->path);
			weft_vhost_device_end(d);
		}
}

static void try_sockets(void)
{
	loop.waiting = false;
	for (struct vhost_io *v = loop.ports; v != NULL; v = v->next_io) {
		if (!v->waits)
			continue;
		v->waits = false;
		weft_vhost_socket_try(v);
	}
}

static int wait_ms(void)
{
	uint64_t now = weft_now_ms();

	if (!loop.waiting)
		return -1;
	return loop.again_ms > now ? (int)(loop.again_ms - now) : 0;
}

// One at a time: what one does may be the end of what the next would be about.
static void serve(void)
{
	struct epoll_event e;

	for (int i = 0; i < TURN && epoll_wait(loop.epoll, &e, 1, 0) == 1; i++) {
		struct vhost_watch *w = e.data.ptr;

		w->ready(w);
	}
	if (loop.waiting && wait_ms() == 0)
		try_sockets();
}

static void *run(void *arg)
{
	(void)arg;
	weft_vhost_loop_lock(true);
	while (!loop.stop) {
		struct pollfd p = {.fd = loop.epoll, .events = POLLIN};
		int ms = wait_ms();

		pthread_mutex_unlock(&lock);
		poll(&p, 1, ms);
		weft_vhost_loop_lock(true);
		serve();
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

// ---- Control -------------------------------------------------------------------------------

static void close_all(void)
{
	if (loop.bell.fd >= 0)
		close(loop.bell.fd);
	if (loop.epoll >= 0)
		close(loop.epoll);
	loop.bell.fd = loop.epoll = -1;
}

// SIGBUS must come to the thread that touches memory, whatever signals it is spared.
static int start_thread(void)
{
	sigset_t all, before;
	int ret;

	loop.stop = loop.waiting = false;
	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before); // signals are the control thread's
	ret = pthread_create(&loop.thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -ret;
}

static int start(void)
{
	int ret;

	loop.epoll = epoll_create1(EPOLL_CLOEXEC);
	loop.bell.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = loop.epoll < 0 || loop.bell.fd < 0 ? -errno : weft_vhost_watch(&loop.bell);
	if (ret == 0)
		ret = weft_vhost_guard_start(loop.bell.fd);
	if (ret == 0) {
		ret = start_thread();
		if (ret < 0)
			weft_vhost_guard_stop();
	}
	if (ret < 0)
		close_all();
	return ret;
}

int weft_vhost_loop_add(struct vhost_io *v)
{
	int ret = 0;

	weft_vhost_loop_lock(true);
	if (loop.ports == NULL)
		ret = start();
	if (ret == 0) {
		v->next_io = loop.ports;
		loop.ports = v;
	}
	weft_vhost_loop_lock(false);
	return ret;
}

// Ports are made and removed by the control thread alone, so nobody comes while the thread ends.
void weft_vhost_loop_remove(struct vhost_io *v)
{
	bool last;

	weft_vhost_loop_lock(true);
	for (struct vhost_io **at = &loop.ports; *at != NULL; at = &(*at)->next_io)
		if (*at == v) {
			*at = v->next_io;
			break;
		}
	last = loop.ports == NULL;
	loop.stop = last;
	if (last)
		eventfd_write(loop.bell.fd, 1);
	weft_vhost_loop_lock(false);
	if (!last)
		return;
	pthread_join(loop.thread, NULL);
	weft_vhost_guard_stop();
	close_all();
}
