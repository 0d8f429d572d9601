// SPDX-License-Identifier: Apache-2.0
// HTTP(S) with libmicrohttpd, which owns the connections. Its epoll descriptor is one event of our loop, and its
// next timeout one timer; no socket ever blocks, so that a slow client costs nobody else anything but a slot.
#include "north/api/api.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "north/api/listen.h"
#include "north/api/request.h"

#define CONNECTIONS_MAX 1000
#define IDLE_TIMEOUT_S	60
#define HEADERS_MAX	(64u << 10)	    // of one request; bounds the length of a URL too
#define BODIES_MAX	(64u << 20)	    // of all requests that are being received
#define DROPPED_MAX	(4u * API_BODY_MAX) // a client that goes on after that is cut off
#define PEM_MAX		(1u << 20)
#define TLS_PRIORITIES	"NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"

struct api {
	struct api_core core;
	struct MHD_Daemon *daemon;
	struct event *readable;
	struct event *timer;
	size_t bodies; // bytes held by requests that are being received
	uint16_t port;
	bool tls;
	char *cert, *key;
	char complaint[256]; // libmicrohttpd's last, for the error of a failed start
};

struct http_request {
	struct api *api;
	char *target;
	char *body;
	size_t len, size;
	size_t dropped;
	int error;
	bool started;
};

DEFINE_AUTO(api, struct api *, weft_api_stop)

static void *request_new(void *arg, const char *uri, struct MHD_Connection *connection)
{
	struct http_request *r = calloc(1, sizeof(*r));

	(void)connection;
	if (r) {
		r->api = arg;
		r->target = strdup(uri);
	}
	return r;
}

static void request_done(void *arg, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode code)
{
	struct http_request *r = *state;

	(void)arg;
	(void)connection;
	(void)code;
	if (r == NULL)
		return;
	r->api->bodies -= r->size;
	free(r->target);
	free(r->body);
	free(r);
	*state = NULL;
}

static void drop_body(struct http_request *r, int error)
{
	r->api->bodies -= r->size;
	free(r->body);
	r->body = NULL;
	r->len = r->size = 0;
	r->error = error;
}

// Keep what arrived, or only count it once the request is refused. False: cut the connection.
static bool receive(struct http_request *r, const char *data, size_t len)
{
	if (r->error == 0 && r->len + len > API_BODY_MAX)
		drop_body(r, -EMSGSIZE);
	if (r->error == 0 && r->len + len > r->size) {
		size_t size = r->size ? r->size * 2 : 4096;
		while (size < r->len + len)
			size *= 2;
		char *body = NULL;
		if (r->api->bodies + size - r->size <= BODIES_MAX)
			body = realloc(r->body, size);
		if (body == NULL) {
			drop_body(r, -EAGAIN);
		} else {
			r->api->bodies += size - r->size;
			r->body = body;
			r->size = size;
		}
	}
	if (r->error) {
		r->dropped += len;
		return r->dropped <= DROPPED_MAX;
	}
	memcpy(r->body + r->len, data, len);
	r->len += len;
	return true;
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

// "Authorization: Bearer" is what Prometheus can send.
static const char *token_of(struct MHD_Connection *connection)
{
	const char *token = header(connection, "X-Auth-Token");
	const char *authorization = header(connection, "Authorization");

	if (token == NULL && authorization && strncasecmp(authorization, "Bearer ", 7) == 0)
		token = authorization + 7;
	return token;
}

static struct MHD_Response *make_response(struct api_answer *a)
{
	const char *type = "application/json";
	char *body = NULL;
	size_t len = 0;

	if (a->json) {
		body = json_dumps(a->json, JSON_COMPACT);
		len = body ? strlen(body) : 0;
	} else if (a->text.s) {
		type = "text/plain; version=0.0.4; charset=utf-8";
		body = a->text.s;
		len = a->text.len;
		a->text = (struct text) {0};
	}
	struct MHD_Response *response = MHD_create_response_from_buffer(
		len, body, body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	if (response == NULL) {
		free(body);
		return NULL;
	}
	if (body)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(response, "X-Openstack-Request-Id", a->request_id);
	if (*a->allow)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, a->allow);
	if (a->wants_token)
		MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
					"Bearer realm=\"weft\"");
	return response;
}

static enum MHD_Result answer(struct http_request *r, struct MHD_Connection *connection,
			      const char *method)
{
	struct api_request rq = {
		.method = method,
		.target = r->target,
		.tls = r->api->tls,
		.host = header(connection, MHD_HTTP_HEADER_HOST),
		.project = header(connection, "X-Project-Id"),
		.roles = header(connection, "X-Roles"),
		.token = token_of(connection),
		.if_match = header(connection, MHD_HTTP_HEADER_IF_MATCH),
		.content_type = header(connection, MHD_HTTP_HEADER_CONTENT_TYPE),
		.body = r->body,
		.body_len = r->len,
		.body_error = r->error,
	};
	struct api_answer a;

	weft_api_handle(&r->api->core, &rq, &a);
	struct MHD_Response *response = a.status == 0 ? NULL : make_response(&a);
	unsigned status = a.status;
	weft_answer_fini(&a);
	if (response == NULL)
		return MHD_NO;
	enum MHD_Result ret = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return ret;
}

// Called when the headers are there, for every piece of the body, and once more at its end.
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *data_len, void **state)
{
	struct http_request *r = *state;

	(void)arg;
	(void)url;
	(void)version;
	if (r == NULL || r->target == NULL)
		return MHD_NO;
	if (!r->started) {
		const char *length = header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
		r->started = true;
		if (length == NULL || strtoull(length, NULL, 10) <= API_BODY_MAX)
			return MHD_YES;
		// Refused before the client sends it all.
		r->error = -EMSGSIZE;
		return answer(r, connection, method);
	}
	if (*data_len > 0) {
		bool ok = receive(r, data, *data_len);
		*data_len = 0;
		return ok ? MHD_YES : MHD_NO;
	}
	return answer(r, connection, method);
}

// Ports need descriptors too: clients may not take more than a quarter of what this process can have.
static unsigned connections_max(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur / 4 > CONNECTIONS_MAX)
		return CONNECTIONS_MAX;
	return (unsigned)(files.rlim_cur / 4);
}

static unsigned connections(const struct api *a)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(a->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info ? info->num_connections : 0;
}

// Let libmicrohttpd work, then ask when it wants to be called even if nothing arrives.
static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct api *a = arg;
	MHD_UNSIGNED_LONG_LONG timeout_ms;
	bool was_full = connections(a) >= connections_max();

	(void)fd;
	(void)what;
	MHD_run(a->daemon);
	// At its limit it no longer listens, and listens again only in the run after one that ended a
	// connection; nothing but us would wake it for that.
	if (was_full)
		MHD_run(a->daemon);
	if (MHD_get_timeout(a->daemon, &timeout_ms) == MHD_YES) {
		struct timeval tv = {.tv_sec = (time_t)(timeout_ms / 1000),
				     .tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000)};
		event_add(a->timer, &tv);
	} else {
		event_del(a->timer);
	}
}

__attribute__((format(printf, 2, 0))) static void on_complaint(void *arg, const char *fmt,
							       va_list args)
{
	struct api *a = arg;

	vsnprintf(a->complaint, sizeof(a->complaint), fmt, args);
	a->complaint[strcspn(a->complaint, "\n")] = '\0';
	weft_log_debug("http: %s", a->complaint);
}

static int read_pem(const char *what, const char *path, char **out, struct err *err)
{
	struct stat st;
	int ret = 0;

	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		ret = weft_fail(err, -errno, "[api] %s = %s cannot be read: %s", what, path,
				strerror(errno));
	} else if (st.st_size <= 0 || st.st_size > PEM_MAX) {
		ret = weft_fail(err, -EINVAL, "[api] %s = %s is not a PEM file", what, path);
	} else {
		*out = calloc(1, (size_t)st.st_size + 1);
		if (*out == NULL || read(fd, *out, (size_t)st.st_size) != st.st_size)
			ret = weft_fail(err, -EIO, "[api] %s = %s cannot be read", what, path);
	}
	if (fd >= 0)
		close(fd);
	return ret;
}

static int load_tls(struct api *a, const struct api_config *config, struct err *err)
{
	if (config->tls_cert == NULL || *config->tls_cert == '\0')
		return 0;
	if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
		return weft_fail(err, -ENOTSUP,
				 "[api] tls_cert: this libmicrohttpd was built without TLS");
	a->tls = true;
	int ret = read_pem("tls_cert", config->tls_cert, &a->cert, err);
	return ret < 0 ? ret : read_pem("tls_key", config->tls_key, &a->key, err);
}

static int start_daemon(struct api *a, int fd, const struct api_config *config, struct err *err)
{
	struct MHD_OptionItem tls[] = {
		{MHD_OPTION_HTTPS_MEM_CERT, 0, a->cert},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, a->key},
		{MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)TLS_PRIORITIES},
		{MHD_OPTION_END, 0, NULL},
	};
	struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
	unsigned flags = MHD_USE_EPOLL | MHD_USE_ERROR_LOG | (a->tls ? MHD_USE_TLS : 0);

	// The logger comes first, so that it hears of the others.
	a->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, a,
				     MHD_OPTION_EXTERNAL_LOGGER, on_complaint, a,
				     MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_URI_LOG_CALLBACK,
				     request_new, a, MHD_OPTION_NOTIFY_COMPLETED, request_done,
				     NULL, MHD_OPTION_CONNECTION_LIMIT, connections_max(),
				     MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S,
				     MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADERS_MAX,
				     MHD_OPTION_ARRAY, a->tls ? tls : none, MHD_OPTION_END);
	if (a->daemon == NULL)
		return weft_fail(err, -EINVAL, "the API cannot be served on %s%s: %s",
				 config->listen, a->tls ? " with this tls_cert and tls_key" : "",
				 *a->complaint ? a->complaint : "libmicrohttpd does not start");
	return 0;
}

static int start_events(struct api *a, struct event_base *loop, struct err *err)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(a->daemon, MHD_DAEMON_INFO_EPOLL_FD);

	if (info) {
		a->readable = event_new(loop, info->epoll_fd, EV_READ | EV_PERSIST, on_event, a);
		a->timer = event_new(loop, -1, 0, on_event, a);
	}
	if (a->readable == NULL || a->timer == NULL || event_add(a->readable, NULL) < 0)
		return weft_fail(err, -ENOMEM, "the API cannot be served: out of memory");
	return 0;
}

int weft_api_start(const struct api_config *config, struct model *m, const struct api_hooks *hooks,
		   struct event_base *loop, struct api **out, struct err *err)
{
	weft_auto(api) a = calloc(1, sizeof(*a));
	struct listen_addr addr;
	int fd = -1;

	if (a == NULL)
		return weft_fail(err, -ENOMEM, "the API cannot be served: out of memory");
	a->core = (struct api_core) {.model = m, .hooks = *hooks, .auth = config->auth};

	int ret = weft_api_check(config, err);
	if (ret == 0 && config->auth == API_AUTH_TOKEN)
		ret = weft_tokens_open(config->tokens, &a->core.tokens, err);
	if (ret == 0)
		ret = load_tls(a, config, err);
	if (ret == 0)
		ret = weft_listen_parse(config->listen, &addr, err);
	if (ret == 0)
		ret = weft_listen_open(&addr, config->listen, &fd, &a->port, err);
	if (ret < 0)
		return ret;

	signal(SIGPIPE, SIG_IGN);
	ret = start_daemon(a, fd, config, err);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	ret = start_events(a, loop, err);
	if (ret < 0)
		return ret;
	*out = weft_take(a);
	return 0;
}

void weft_api_stop(struct api *a)
{
	if (a == NULL)
		return;
	if (a->readable)
		event_free(a->readable);
	if (a->timer)
		event_free(a->timer);
	if (a->daemon)
		MHD_stop_daemon(a->daemon);
	weft_tokens_close(a->core.tokens);
	if (a->key)
		explicit_bzero(a->key, strlen(a->key));
	free(a->key);
	free(a->cert);
	free(a);
}

uint16_t weft_api_port(const struct api *a)
{
	return a->port;
}
