// SPDX-License-Identifier: Apache-2.0
// The request target: "/v2.0/ports?name=a&name=b" taken apart into decoded path segments and
// arguments.
//
// Ownership  the struct owns its strings; weft_target_fini()
// Errors     -EINVAL: a broken escape, a NUL or bytes that are no UTF-8 (answered as 400)
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/text.h"

#define TARGET_SEGMENTS_MAX 8

struct query_arg {
	char *key;
	char *value; // "" when there is no '='
};

struct query {
	struct query_arg *args;
	size_t n;
};

struct target {
	char *path;			     // as sent, for links
	char *segments[TARGET_SEGMENTS_MAX]; // decoded, without a trailing ".json"
	size_t n;
	struct query query;
};

int weft_target_parse(const char *text, struct target *out, struct err *err);
void weft_target_fini(struct target *t);

// The first value of key, or NULL.
const char *weft_query_get(const struct query *q, const char *key);

// Append "key=value" escaped for a URL, with '?' or '&' as `first` says.
void weft_query_append(struct text *out, bool first, const char *key, const char *value);
