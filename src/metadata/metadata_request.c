// SPDX-License-Identifier: Apache-2.0
#include "metadata/metadata_proxy_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

#define BLOCK	    (16u << 10) // of an answer, at a time
#define HEADERS_MAX 128
#define DROPPED_MAX (8u << 20) // of a body that is refused; then the connection ends

struct request {
	struct metadata_proxy *proxy;
	struct metadata_client *client;
	struct metadata_who who;
	char *target; // as it came, prefix before it; NULL = it is none
	bool is_begun, is_too_large;
	char *body;
	size_t body_len, dropped;
	size_t n_headers;
	struct upstream_header headers[HEADERS_MAX];
	bool has_bad_header;
	const char *connection; // its Connection header
	struct upstream_request ask;
	struct upstream *upstream;
};

// ---- Its life ------------------------------------------------------------------------------

// "/path?query", or the same behind a scheme and a host (RFC 9112, 3.2); NULL for anything else.
static const char *origin_form(const char *uri)
{
	if (strncasecmp(uri, "http://", 7) == 0) {
		uri += 7;
		uri += strcspn(uri, "/?");
		if (uri[0] != '/')
			return NULL;
	}
	if (uri[0] != '/')
		return NULL;
	for (const char *c = uri; *c != '\0'; c++)
		if ((unsigned char)*c <= 0x20 || *c == 0x7f)
			return NULL;
	return uri;
}

// The character at *at as a server may read it; moves on, but at the end.
static char next_char(const char **at)
{
	static const struct {
		const char *hex;
		char c;
	} encoded[] = {{"%2e", '.'}, {"%2f", '/'}, {"%5c", '\\'}};

	for (size_t i = 0; i < sizeof(encoded) / sizeof(encoded[0]); i++) {
		if (strncasecmp(*at, encoded[i].hex, 3) == 0) {
			*at += 3;
			return encoded[i].c;
		}
	}
	return **at == '\0' ? '\0' : *(*at)++;
}

// Has the path a part "..", however it is written? It would take away a part of the prefix at the
// server.
static bool climbs(const char *target)
{
	int dots = -1; // of the part so far, if there is nothing else in it

	for (;;) {
		char c = next_char(&target);
		bool ends = c == '\0' || c == '?' || c == '#';

		if (ends || c == '/' || c == '\\') {
			if (dots == 2)
				return true;
			dots = 0;
		} else {
			dots = c == '.' && dots >= 0 ? dots + 1 : -1;
		}
		if (ends)
			return false;
	}
}

void *weft_metadata_request_new(void *arg, const char *uri, struct MHD_Connection *c)
{
	struct metadata_proxy *p = arg;
	struct request *r = calloc(1, sizeof(*r));
	const char *target = origin_form(uri);
	struct text whole = {0};

	if (r == NULL)
		abort();
	r->proxy = p;
	r->client = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
	weft_metadata_client_sends(p->clients, r->client);
	if (target != NULL && (p->prefix[0] == '\0' || !climbs(target))) {
		weft_text_add(&whole, "%s%s", p->prefix, target);
		r->target = whole.s;
	}
	return r;
}

void weft_metadata_request_done(void *arg, struct MHD_Connection *c, void **state,
				enum MHD_RequestTerminationCode how)
{
	struct request *r = *state;

	(void)arg;
	(void)c;
	(void)how;
	if (r == NULL)
		return;
	*state = NULL;
	if (r->upstream != NULL)
		weft_metadata_upstream_free(r->upstream);
	weft_metadata_client_leave(r->proxy->clients, r->client, weft_now_ms());
	for (size_t i = 0; i < r->n_headers; i++) {
		free(r->headers[i].name);
		free(r->headers[i].value);
	}
	free(r->target);
	free(r->body);
	free(r);
}

// ---- Refusals ------------------------------------------------------------------------------

static enum MHD_Result refuse(struct request *r, struct MHD_Connection *c, enum metadata_count what,
			      unsigned int status, const char *sentence)
{
	struct text page = {0};
	struct MHD_Response *response;
	enum MHD_Result ret;

	metadata_count(r->proxy, what);
	weft_text_add(&page, "%s\n", sentence);
	response = MHD_create_response_from_buffer(page.len, page.s, MHD_RESPMEM_MUST_COPY);
	weft_text_fini(&page);
	if (response == NULL)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain");
	if (status == 503)
		MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
	if (status == 405)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW,
					"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
	ret = MHD_queue_response(c, status, response);
	MHD_destroy_response(response);
	return ret;
}

static enum MHD_Result refuse_failed(struct request *r, struct MHD_Connection *c, int ret,
				     const struct err *err)
{
	if (ret == -ECANCELED)
		return MHD_NO;
	weft_metadata_failed(r->proxy, r->who.port_id, err->msg);
	if (ret == -ETIMEDOUT)
		return refuse(r, c, COUNT_TIMEOUT, 504,
			      "The metadata server did not answer in time.");
	return refuse(r, c, COUNT_UNREACHABLE, 502, "The metadata server cannot be reached.");
}

// TRACE is not among them: a server that plays it back would show the signature to the VM.
static bool is_carried(const char *method)
{
	static const char *const methods[] = {"GET",   "HEAD",	 "POST",   "PUT",
					      "PATCH", "DELETE", "OPTIONS"};

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (strcmp(method, methods[i]) == 0)
			return true;
	return false;
}

// ---- The question --------------------------------------------------------------------------

// Who opened this connection, if that port is still there. False: nobody, and the connection ends.
static bool identify(struct request *r)
{
	const struct metadata_client *client = r->client;

	return client->serial != 0 &&
	       weft_metadata_directory_find(r->proxy->directory, client->source, &r->who) &&
	       r->who.serial == client->serial;
}

static void add_header(void *arg, const char *name, const char *value)
{
	struct request *r = arg;
	struct upstream_header *h;

	if (r->n_headers == HEADERS_MAX || !weft_metadata_header_value_is_sound(value)) {
		r->has_bad_header = true;
		return;
	}
	h = &r->headers[r->n_headers++];
	h->name = strdup(name);
	h->value = strdup(value);
	if (h->name == NULL || h->value == NULL)
		abort();
}

static enum MHD_Result take_header(void *arg, enum MHD_ValueKind kind, const char *name,
				   const char *value)
{
	struct request *r = arg;

	(void)kind;
	if (weft_metadata_request_header_passes(name, r->connection))
		add_header(r, name, value == NULL ? "" : value);
	return MHD_YES;
}

// False: it is too large, and does not end.
static bool receive(struct request *r, const char *data, size_t n)
{
	char *more;

	if (r->is_too_large || n > METADATA_BODY_MAX - r->body_len) {
		r->is_too_large = true;
		r->dropped += n;
		return r->dropped <= DROPPED_MAX;
	}
	more = realloc(r->body, r->body_len + n);
	if (more == NULL)
		abort();
	memcpy(more + r->body_len, data, n);
	r->body = more;
	r->body_len += n;
	return true;
}

// ---- The answer ----------------------------------------------------------------------------

static ssize_t next_piece(void *arg, uint64_t at, char *buf, size_t size)
{
	struct request *r = arg;
	struct err err = {0};
	ssize_t n = weft_metadata_upstream_read(r->upstream, buf, size, &err);

	(void)at;
	if (n > 0)
		return n;
	if (n == 0)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (n != -ECANCELED) {
		metadata_count(r->proxy, COUNT_CUT);
		weft_metadata_failed(r->proxy, r->who.port_id, err.msg);
	}
	return MHD_CONTENT_READER_END_WITH_ERROR;
}

static enum MHD_Result answer(struct request *r, struct MHD_Connection *c)
{
	int64_t length = weft_metadata_upstream_length(r->upstream);
	unsigned int status = weft_metadata_upstream_status(r->upstream);
	const char *connection = NULL;
	struct MHD_Response *response;
	enum MHD_Result ret;
	size_t n;
	const struct upstream_header *h = weft_metadata_upstream_headers(r->upstream, &n);

	metadata_count(r->proxy, COUNT_ANSWERED);
	if (status == 403)
		metadata_count(r->proxy, COUNT_FORBIDDEN);
	response = MHD_create_response_from_callback(
		length >= 0 ? (uint64_t)length : MHD_SIZE_UNKNOWN, BLOCK, next_piece, r, NULL);
	if (response == NULL)
		return MHD_NO;
	for (size_t i = 0; i < n; i++)
		if (strcasecmp(h[i].name, "Connection") == 0)
			connection = h[i].value;
	for (size_t i = 0; i < n; i++)
		if (weft_metadata_answer_header_passes(h[i].name, connection))
			MHD_add_response_header(response, h[i].name, h[i].value);
	// Closed between two requests, rather than ended within one.
	if (weft_now_ms() - r->client->opened_ms >= METADATA_KEEP_MS)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	ret = MHD_queue_response(c, status, response);
	MHD_destroy_response(response);
	return ret;
}

static enum MHD_Result ask(struct request *r, struct MHD_Connection *c, const char *method)
{
	struct metadata_proxy *p = r->proxy;
	struct err err = {0};
	int ret;

	r->ask = (struct upstream_request) {
		.url = p->server,
		.method = method,
		.target = r->target,
		.n_headers = r->n_headers,
		.headers = r->headers,
		.body = r->body,
		.body_len = r->body_len,
		.timeout_ms = p->timeout_ms,
		.stop = &r->client->ends,
	};
	ret = weft_metadata_upstream_start(&r->ask, &r->upstream, &err);
	return ret != 0 ? refuse_failed(r, c, ret, &err) : answer(r, c);
}

static enum MHD_Result serve(struct request *r, struct MHD_Connection *c, const char *method)
{
	struct metadata_proxy *p = r->proxy;

	if (r->target == NULL)
		return refuse(r, c, COUNT_BAD, 400, "This is no path of the metadata service.");
	if (!is_carried(method))
		return refuse(r, c, COUNT_BAD, 405, "The metadata service has no such method.");
	if (r->is_too_large)
		return refuse(r, c, COUNT_BAD, 413, "The metadata service takes at most 1 MB.");
	if (r->who.address[0] == '\0')
		return refuse(r, c, COUNT_UNKNOWN, 404, "The port has no IPv4 address.");
	if (p->secret.len > 0 && r->who.instance_id[0] == '\0')
		return refuse(r, c, COUNT_UNKNOWN, 404, "The port belongs to no instance.");
	r->connection = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Connection");
	MHD_get_connection_values(c, MHD_HEADER_KIND, take_header, r);
	weft_metadata_identity(&r->who, &p->secret, add_header, r);
	if (r->has_bad_header)
		return refuse(r, c, COUNT_BAD, 400,
			      "Too many headers, or one with control characters.");
	if (!weft_metadata_client_enter(p->clients, r->client, weft_now_ms()))
		return refuse(r, c, COUNT_BUSY, 503, "Too many requests of this port at once.");
	return ask(r, c, method);
}

// Called when the headers are there, for every piece of the body, and once more at its end.
enum MHD_Result weft_metadata_request_on(void *arg, struct MHD_Connection *c, const char *url,
					 const char *method, const char *version, const char *data,
					 size_t *data_len, void **state)
{
	struct request *r = *state;

	(void)arg;
	(void)url;
	(void)version;
	if (r == NULL)
		return MHD_NO;
	if (!r->is_begun) {
		const char *length = MHD_lookup_connection_value(c, MHD_HEADER_KIND,
								 MHD_HTTP_HEADER_CONTENT_LENGTH);

		r->is_begun = true;
		metadata_count(r->proxy, COUNT_REQUESTS);
		if (!identify(r)) {
			metadata_count(r->proxy, COUNT_UNKNOWN);
			return MHD_NO;
		}
		r->is_too_large = length != NULL && strtoull(length, NULL, 10) > METADATA_BODY_MAX;
		// Refused before the VM sends it all.
		return r->is_too_large ? serve(r, c, method) : MHD_YES;
	}
	if (*data_len > 0) {
		bool ok = receive(r, data, *data_len);

		*data_len = 0;
		return ok ? MHD_YES : MHD_NO;
	}
	return serve(r, c, method);
}
