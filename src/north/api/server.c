// SPDX-License-Identifier: Apache-2.0
#include "north/api/server.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"

#define ACCEPT_MAX     64 // in one turn of the loop
#define SPARE	       8  // connections that end, and are not closed yet
#define TLS_PRIORITIES "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"

static void arm_sweep(struct http_server *s)
{
	const struct timeval second = {.tv_sec = 1};

	if (!event_pending(s->sweep, EV_TIMEOUT, NULL))
		event_add(s->sweep, &second);
}

// Let libmicrohttpd work, then ask when it wants to be called even if nothing arrives.
static void run(struct http_daemon *d)
{
	MHD_UNSIGNED_LONG_LONG timeout_ms;

	MHD_run(d->mhd);
	if (MHD_get_timeout(d->mhd, &timeout_ms) == MHD_YES) {
		struct timeval tv = {.tv_sec = (time_t)(timeout_ms / 1000),
				     .tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000)};
		event_add(d->timer, &tv);
	} else {
		event_del(d->timer);
	}
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	run(arg);
}

// Whoever was shut down is closed in here.
static void run_all(struct http_server *s)
{
	for (unsigned i = 0; i < 2; i++) {
		if (s->daemons[i].mhd != NULL)
			run(&s->daemons[i]);
	}
}

static unsigned connections(const struct http_daemon *d)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(d->mhd, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info ? info->num_connections : 0;
}

static void stop_daemon(struct http_daemon *d)
{
	if (d->readable)
		event_free(d->readable);
	if (d->timer)
		event_free(d->timer);
	if (d->mhd)
		MHD_stop_daemon(d->mhd);
	*d = (struct http_daemon) {0};
}

static void take(struct http_server *s, int fd, const struct sockaddr *from, socklen_t len)
{
	struct http_daemon *d = &s->daemons[s->current];
	struct client_peer peer = weft_client_peer(fd, from);
	unsigned gave_way = weft_clients_make_room(&s->clients, &peer);

	if (gave_way > 0) {
		weft_log_debug("%s: a connection gave way to another one", s->name);
		run_all(s);
	}
	weft_clients_add(&s->clients, &peer, fd, weft_now_ms());
	// It closes the socket if it fails, and tells on_connection only what it took.
	if (MHD_add_connection(d->mhd, fd, from, len) != MHD_YES) {
		struct client *c = weft_clients_get(&s->clients, fd);
		if (c != NULL)
			weft_clients_remove(&s->clients, c);
		weft_log_debug("%s: a connection could not be taken", s->name);
	}
}

static void on_accept(evutil_socket_t listening, short what, void *arg)
{
	struct http_server *s = arg;

	(void)what;
	for (unsigned i = 0; i < ACCEPT_MAX; i++) {
		struct sockaddr_storage from = {0};
		socklen_t len = sizeof(from);
		int fd = accept4(listening, (struct sockaddr *)&from, &len,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			take(s, fd, (struct sockaddr *)&from, len);
			continue;
		}
		if (errno == ECONNABORTED || errno == EINTR)
			continue;
		// No descriptor is left: asking again at once would only keep everybody else from
		// working.
		if (errno != EAGAIN)
			event_del(s->accept);
		break;
	}
	arm_sweep(s);
	run(&s->daemons[s->current]);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *s = arg;
	struct http_daemon *old = &s->daemons[!s->current];
	unsigned n = weft_clients_expire(&s->clients, weft_now_ms());

	(void)fd;
	(void)what;
	if (n > 0) {
		weft_log_debug("%s: %u connections took too long", s->name, n);
		run_all(s);
	}
	if (old->mhd != NULL && connections(old) == 0)
		stop_daemon(old);
	event_add(s->accept, NULL);
	if (s->clients.n > 0 || old->mhd != NULL)
		arm_sweep(s);
}

static int descriptor_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info ? info->connect_fd : -1;
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **state,
			  enum MHD_ConnectionNotificationCode code)
{
	struct http_server *s = arg;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		*state = weft_clients_get(&s->clients, descriptor_of(connection));
	} else if (*state != NULL) {
		weft_clients_remove(&s->clients, *state);
		*state = NULL;
	}
}

__attribute__((format(printf, 2, 0))) static void on_complaint(void *arg, const char *fmt,
							       va_list args)
{
	struct http_server *s = arg;

	vsnprintf(s->complaint, sizeof(s->complaint), fmt, args);
	s->complaint[strcspn(s->complaint, "\n")] = '\0';
	weft_log_debug("http: %s", s->complaint);
}

static int start_daemon(struct http_server *s, struct http_daemon *d, const struct tls_files *tls,
			struct err *err)
{
	d->tls = tls != NULL && tls->cert != NULL;
	d->server = s;
	struct MHD_OptionItem with_tls[] = {
		{MHD_OPTION_HTTPS_MEM_CERT, 0, d->tls ? tls->cert : NULL},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, d->tls ? tls->key : NULL},
		{MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)TLS_PRIORITIES},
		{MHD_OPTION_END, 0, NULL},
	};
	struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
	unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG |
			 (d->tls ? MHD_USE_TLS : 0);

	// The logger comes first, so that it hears of the others.
	d->mhd = MHD_start_daemon(flags, 0, NULL, NULL, weft_exchange_run, s,
				  MHD_OPTION_EXTERNAL_LOGGER, on_complaint, s,
				  MHD_OPTION_URI_LOG_CALLBACK, weft_exchange_new, s,
				  MHD_OPTION_NOTIFY_COMPLETED, weft_exchange_done, s,
				  MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
				  MHD_OPTION_CONNECTION_LIMIT, s->clients.max + SPARE,
				  MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)SERVER_HEAD_MAX,
				  MHD_OPTION_ARRAY, d->tls ? with_tls : none, MHD_OPTION_END);
	if (d->mhd == NULL)
		return weft_fail(err, -EINVAL, "the API cannot be served on %s%s: %s", s->name,
				 s->hint ? s->hint : "",
				 *s->complaint ? s->complaint : "libmicrohttpd does not start");

	const union MHD_DaemonInfo *info = MHD_get_daemon_info(d->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	if (info) {
		d->readable = event_new(s->loop, info->epoll_fd, EV_READ | EV_PERSIST, on_event, d);
		d->timer = event_new(s->loop, -1, 0, on_event, d);
	}
	if (d->readable == NULL || d->timer == NULL || event_add(d->readable, NULL) < 0)
		return weft_fail(err, -ENOMEM, "the API cannot be served: out of memory");
	return 0;
}

int weft_server_start(struct http_server *s, int fd, unsigned max, unsigned per_peer,
		      const struct tls_files *tls, struct err *err)
{
	s->fd = fd;
	weft_clients_init(&s->clients, max, per_peer);
	int ret = start_daemon(s, &s->daemons[0], tls, err);
	if (ret < 0)
		return ret;
	s->accept = event_new(s->loop, fd, EV_READ | EV_PERSIST, on_accept, s);
	s->sweep = event_new(s->loop, -1, 0, on_sweep, s);
	if (s->accept == NULL || s->sweep == NULL || event_add(s->accept, NULL) < 0)
		return weft_fail(err, -ENOMEM, "the API cannot be served: out of memory");
	return 0;
}

int weft_server_renew(struct http_server *s, const struct tls_files *tls, struct err *err)
{
	struct http_daemon *next = &s->daemons[!s->current];

	// Whoever is still there from the time before last has had long enough.
	stop_daemon(next);
	int ret = start_daemon(s, next, tls, err);
	if (ret < 0) {
		stop_daemon(next);
		return ret;
	}
	s->current = !s->current;
	arm_sweep(s);
	return 0;
}

void weft_server_stop(struct http_server *s)
{
	if (s->accept)
		event_free(s->accept);
	if (s->sweep)
		event_free(s->sweep);
	stop_daemon(&s->daemons[0]);
	stop_daemon(&s->daemons[1]);
	weft_clients_fini(&s->clients);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->accept = s->sweep = NULL;
}
