// SPDX-License-Identifier: Apache-2.0
// One request over libmicrohttpd: its head is checked, its body collected, its answer sent.
#include "north/api/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "north/api/framing.h"

#define DROPPED_MAX (4u * API_BODY_MAX) // a client that goes on after that is cut off
#define PIECE_SIZE  (32u << 10)		// of an answer that is sent in pieces

struct exchange {
	struct http_server *server;
	struct client *client; // NULL: nobody knows, and no time is kept
	const char *uri;       // where libmicrohttpd had the target
	char *target;
	char *body;
	size_t len, size;
	size_t dropped;
	int error;
	bool started;
};

static struct client *client_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

// libmicrohttpd is about to take the arguments apart, into lists in the connection's memory; when
// that is full, and a few thousand short arguments suffice, the request is never answered. We do it
// ourselves (query.h), so it is not to see any.
static void hide_arguments(const char *uri)
{
	char *mark = strchr((char *)uri, '?');

	if (mark != NULL && mark[1] != '\0')
		mark[1] = '\0';
}

void *weft_exchange_new(void *arg, const char *uri, struct MHD_Connection *connection)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return NULL;
	x->server = arg;
	x->client = client_of(connection);
	x->uri = uri;
	if (uri != NULL) { // else there is none: the head is refused
		x->target = strndup(uri, SERVER_TARGET_MAX + 1);
		hide_arguments(uri);
	}
	return x;
}

static void enter(struct exchange *x, enum client_phase phase)
{
	if (x->client != NULL)
		weft_client_enters(x->client, phase, weft_now_ms());
}

static void drop_body(struct exchange *x, int error)
{
	x->server->bodies -= x->size;
	free(x->body);
	x->body = NULL;
	x->len = x->size = 0;
	x->error = error;
}

void weft_exchange_done(void *arg, struct MHD_Connection *connection, void **state,
			enum MHD_RequestTerminationCode code)
{
	struct exchange *x = *state;

	(void)arg;
	(void)connection;
	(void)code;
	if (x == NULL)
		return;
	drop_body(x, 0);
	enter(x, CLIENT_HEAD);
	free(x->target);
	free(x);
	*state = NULL;
}

// Keep what arrived, or only count it once the request is refused. False: cut the connection.
static bool receive(struct exchange *x, const char *data, size_t len)
{
	if (x->error == 0 && x->len + len > API_BODY_MAX)
		drop_body(x, -EMSGSIZE);
	if (x->error == 0 && x->len + len > x->size) {
		size_t size = x->size ? x->size * 2 : 4096;
		while (size < x->len + len)
			size *= 2;
		char *body = NULL;
		if (x->server->bodies + size - x->size <= SERVER_BODIES_MAX)
			body = realloc(x->body, size);
		if (body == NULL) {
			drop_body(x, -EAGAIN);
		} else {
			x->server->bodies += size - x->size;
			x->body = body;
			x->size = size;
		}
	}
	if (x->error) {
		x->dropped += len;
		return x->dropped <= DROPPED_MAX;
	}
	memcpy(x->body + x->len, data, len);
	x->len += len;
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

static struct api_request request_of(const struct exchange *x, struct MHD_Connection *connection,
				     const char *method)
{
	return (struct api_request) {
		.method = method,
		.target = x->target,
		.is_local = x->server->is_local,
		.tls = x->server->daemons[x->server->current].tls,
		.host = header(connection, MHD_HTTP_HEADER_HOST),
		.project = header(connection, "X-Project-Id"),
		.roles = header(connection, "X-Roles"),
		.token = token_of(connection),
		.if_match = header(connection, MHD_HTTP_HEADER_IF_MATCH),
		.content_type = header(connection, MHD_HTTP_HEADER_CONTENT_TYPE),
		.body = x->body,
		.body_len = x->len,
		.body_error = x->error,
	};
}

static void end_answer(void *arg)
{
	struct api_answer *a = arg;

	weft_answer_fini(a);
	free(a);
}

// MHD_ContentReaderCallback: the next part of an answer that is made as it is sent. arg is its
// api_answer.
static ssize_t read_answer(void *arg, uint64_t at, char *out, size_t max)
{
	struct api_answer *a = arg;
	size_t n;

	(void)at;
	// A piece is empty if all in it is gone.
	while (a->taken == a->text.len) {
		a->taken = a->text.len = 0;
		if (!weft_answer_next(a))
			return MHD_CONTENT_READER_END_OF_STREAM;
	}
	n = a->text.len - a->taken < max ? a->text.len - a->taken : max;
	memcpy(out, a->text.s + a->taken, n);
	a->taken += n;
	return (ssize_t)n;
}

// Takes what it keeps out of the answer.
static struct MHD_Response *make_body(struct api_answer *a, const char **type)
{
	struct MHD_Response *response;
	char *body = NULL;
	size_t len = 0;

	*type = "application/json";
	if (a->more != NULL) {
		struct api_answer *kept = malloc(sizeof(*kept));
		if (kept == NULL)
			return NULL;
		*kept = *a;
		*a = (struct api_answer) {.status = a->status};
		response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE_SIZE,
							     read_answer, kept, end_answer);
		if (response == NULL)
			end_answer(kept);
		return response;
	}
	if (a->json) {
		body = json_dumps(a->json, JSON_COMPACT);
		len = body ? strlen(body) : 0;
	} else if (a->text.s) {
		*type = "text/plain; version=0.0.4; charset=utf-8";
		body = a->text.s;
		len = a->text.len;
		a->text = (struct text) {0};
	}
	response = MHD_create_response_from_buffer(
		len, body, body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	if (response == NULL)
		free(body);
	if (body == NULL)
		*type = NULL;
	return response;
}

static struct MHD_Response *make_response(struct api_answer *a)
{
	char request_id[sizeof(a->request_id)], allow[sizeof(a->allow)];
	bool wants_token = a->wants_token;
	const char *type;

	memcpy(request_id, a->request_id, sizeof(request_id));
	memcpy(allow, a->allow, sizeof(allow));
	struct MHD_Response *response = make_body(a, &type);
	if (response == NULL)
		return NULL;
	if (type)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(response, "X-Openstack-Request-Id", request_id);
	if (*allow)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
	if (wants_token)
		MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
					"Bearer realm=\"weft\"");
	return response;
}

enum after { GO_ON, CLOSE };

// Takes the answer.
static enum MHD_Result send_answer(struct exchange *x, struct MHD_Connection *connection,
				   struct api_answer *a, enum after after)
{
	// No status: weftd ends, and nobody knows what is in force (request.h).
	struct MHD_Response *response = a->status == 0 ? NULL : make_response(a);
	unsigned status = a->status;

	weft_answer_fini(a);
	if (response == NULL)
		return MHD_NO;
	// What is still to come of the body would be read as the next request.
	if (after == CLOSE)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	enum MHD_Result ret = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	enter(x, CLIENT_ANSWER);
	return ret;
}

static enum MHD_Result answer(struct exchange *x, struct MHD_Connection *connection,
			      const char *method, enum after after)
{
	struct api_request rq = request_of(x, connection, method);
	struct api_answer a;

	weft_api_handle(x->server->core, &rq, &a);
	if (x->client != NULL && a.status != 401)
		x->client->known = true;
	return send_answer(x, connection, &a, after);
}

static bool has_body(struct MHD_Connection *connection)
{
	const char *length = header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return (length != NULL && strtoull(length, NULL, 10) > 0) ||
	       header(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL;
}

// The head is there. What is to be refused is refused before the client sends a body.
static enum MHD_Result start(struct exchange *x, struct MHD_Connection *connection,
			     const char *method, const char *version)
{
	const char *length = header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
	struct api_answer a;

	if (strlen(x->target) > SERVER_TARGET_MAX) {
		weft_api_refuse(x->target, -ENAMETOOLONG, "The URL is too long.", &a);
		return send_answer(x, connection, &a, CLOSE);
	}
	const char *fault = weft_framing_fault(connection, method, x->uri, x->target, version);
	if (fault != NULL) {
		weft_api_refuse(x->target, -EINVAL, fault, &a);
		return send_answer(x, connection, &a, CLOSE);
	}
	if (!has_body(connection))
		return MHD_YES;
	struct api_request rq = request_of(x, connection, method);
	if (!weft_api_admit(x->server->core, &rq, &a))
		return send_answer(x, connection, &a, CLOSE);
	if (x->client != NULL)
		x->client->known = true;
	enter(x, CLIENT_BODY);
	if (length == NULL || strtoull(length, NULL, 10) <= API_BODY_MAX)
		return MHD_YES;
	x->error = -EMSGSIZE;
	return answer(x, connection, method, CLOSE);
}

// Called when the headers are there, for every piece of the body, and once more at its end.
enum MHD_Result weft_exchange_run(void *arg, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *data_len, void **state)
{
	struct exchange *x = *state;

	(void)arg;
	(void)url;
	if (x == NULL || x->target == NULL)
		return MHD_NO;
	if (!x->started) {
		x->started = true;
		return start(x, connection, method, version);
	}
	if (*data_len > 0) {
		bool ok = receive(x, data, *data_len);
		*data_len = 0;
		return ok ? MHD_YES : MHD_NO;
	}
	return answer(x, connection, method, GO_ON);
}
