// SPDX-License-Identifier: Apache-2.0
// HTTP: one request to weftd, JSON in and out.
//
// Where weftd is: "unix:/run/weft/api.sock", "http://127.0.0.1:9696", "https://..."; NULL: the
// first of these two that answers. The socket comes first because weftd takes its permissions for
// authentication, and because no other client can keep an operator out there.
#pragma once

#include <jansson.h>

#include "base/err.h"

// GET path (below the API's URL), or POST when body is given (borrowed). *out: new reference.
// Errors: -ECONNREFUSED and the like when nobody answers, -ENOENT, -EINVAL... by status, with the
// daemon's own sentence.
int weft_http(const char *api, const char *path, const json_t *body, json_t **out, struct err *err);

// Escape a path segment or query value; free with free().
char *weft_http_escape(const char *text);
