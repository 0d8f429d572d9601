// SPDX-License-Identifier: Apache-2.0
// Upstream: one request to the metadata server, answered piece by piece.
//
// The answer's head is waited for; its body is fetched as it is read, so that an answer of any
// size needs little memory. A server that does not answer in time, or falls silent within its
// answer, ends the request.
//
// Ownership  what the request points to must live as long as the upstream
// Threads    one at a time for each upstream; weft_metadata_upstream_init: control thread, once
// Errors     -ETIMEDOUT; -ECANCELED it was told to stop; -EIO all else; err says what happened,
//            for the operator
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct upstream;

struct upstream_header {
	char *name, *value;
};

struct upstream_request {
	const char *url;    // of the server: scheme, host, port
	const char *method; // GET, HEAD, POST...
	const char *target; // path and query as they go on the wire
	size_t n_headers;
	const struct upstream_header *headers; // exactly these, Host and Content-Length apart
	const void *body;
	size_t body_len;
	uint32_t timeout_ms;	  // for the head, and for each piece
	const _Atomic bool *stop; // looked at now and then; true: give up
};

void weft_metadata_upstream_init(void);

// The server's address as an operator writes it: http or https, a host, perhaps a port and a path
// that requests' paths are appended to. *server: without the path; *prefix: the path, without a
// slash at its end; both freed with free(). NULL: only checked.
int weft_metadata_url_split(const char *url, char **server, char **prefix, struct err *err);

// Send it and wait for the answer's head.
int weft_metadata_upstream_start(const struct upstream_request *r, struct upstream **out,
				 struct err *err);
void weft_metadata_upstream_free(struct upstream *u);

unsigned int weft_metadata_upstream_status(const struct upstream *u);
const struct upstream_header *weft_metadata_upstream_headers(const struct upstream *u, size_t *n);
int64_t weft_metadata_upstream_length(const struct upstream *u); // of the body; -1 = not said
// The next piece of the body: how many bytes, 0 = that was all, or an error.
ssize_t weft_metadata_upstream_read(struct upstream *u, char *buf, size_t size, struct err *err);
