// SPDX-License-Identifier: Apache-2.0
#include "north/api/query.h"

#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool is_utf8(const char *text)
{
	json_t *s = json_string(text);
	bool valid = s != NULL;

	json_decref(s);
	return valid;
}

// Decode `len` bytes of percent-encoding to a new string. '+' is a space in queries only.
static int decode(const char *text, size_t len, bool plus_is_space, char **out, struct err *err)
{
	char *s = malloc(len + 1);
	size_t n = 0;

	if (s == NULL)
		return weft_fail(err, -ENOMEM, "Out of memory.");
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (c == '+' && plus_is_space) {
			c = ' ';
		} else if (c == '%') {
			int high = i + 2 < len ? hex_digit(text[i + 1]) : -1;
			int low = i + 2 < len ? hex_digit(text[i + 2]) : -1;
			if (high < 0 || low < 0 || (high == 0 && low == 0))
				goto broken;
			c = (char)(high << 4 | low);
			i += 2;
		}
		s[n++] = c;
	}
	s[n] = '\0';
	if (!is_utf8(s))
		goto broken;
	*out = s;
	return 0;

broken:
	free(s);
	return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
			    "The URL has a broken escape or is not UTF-8.");
}

static int parse_query(const char *text, struct query *out, struct err *err)
{
	size_t max = 1;

	for (const char *p = text; *p; p++)
		max += *p == '&';
	out->args = calloc(max, sizeof(*out->args));
	if (out->args == NULL)
		return weft_fail(err, -ENOMEM, "Out of memory.");

	while (*text) {
		size_t len = strcspn(text, "&");
		size_t key_len = strcspn(text, "=&");
		size_t value_at = key_len < len ? key_len + 1 : len;
		if (key_len > 0) {
			struct query_arg *a = &out->args[out->n++];
			int ret = decode(text, key_len, true, &a->key, err);
			if (ret == 0)
				ret = decode(text + value_at, len - value_at, true, &a->value, err);
			if (ret < 0)
				return ret;
		}
		text += len;
		text += *text == '&';
	}
	return 0;
}

// Split before decoding, so that "%2F" inside a tag is part of the tag. "/v2.0/ports/" and
// "/v2.0/ports.json" are "/v2.0/ports", as in Neutron.
static int split_path(struct target *t, struct err *err)
{
	const char *p = t->path;
	size_t end = strlen(p);

	if (end > 5 && strcmp(p + end - 5, ".json") == 0)
		end -= 5;
	for (size_t at = 0; at < end;) {
		at += strspn(p + at, "/");
		size_t len = strcspn(p + at, "/");
		if (at + len > end)
			len = end - at;
		if (at >= end || len == 0)
			break;
		if (t->n == TARGET_SEGMENTS_MAX)
			return weft_fail_as(err, -ENOENT, "HTTPNotFound",
					    "The resource could not be found.");
		int ret = decode(p + at, len, false, &t->segments[t->n], err);
		if (ret < 0)
			return ret;
		t->n++;
		at += len;
	}
	return 0;
}

int weft_target_parse(const char *text, struct target *out, struct err *err)
{
	struct target t = {0};
	size_t path_len = strcspn(text, "?");
	int ret = 0;

	// Only an origin form ("/...") names something here.
	if (text[0] != '/')
		return weft_fail_as(err, -EINVAL, "HTTPBadRequest", "The URL must begin with '/'.");
	t.path = strndup(text, path_len);
	if (t.path == NULL)
		return weft_fail(err, -ENOMEM, "Out of memory.");
	ret = split_path(&t, err);
	if (ret == 0)
		ret = parse_query(text + path_len + (text[path_len] == '?'), &t.query, err);
	if (ret < 0) {
		weft_target_fini(&t);
		return ret;
	}
	*out = t;
	return 0;
}

void weft_target_fini(struct target *t)
{
	for (size_t i = 0; i < t->query.n; i++) {
		free(t->query.args[i].key);
		free(t->query.args[i].value);
	}
	for (size_t i = 0; i < t->n; i++)
		free(t->segments[i]);
	free(t->query.args);
	free(t->path);
	*t = (struct target) {0};
}

const char *weft_query_get(const struct query *q, const char *key)
{
	for (size_t i = 0; i < q->n; i++) {
		if (strcmp(q->args[i].key, key) == 0)
			return q->args[i].value;
	}
	return NULL;
}

static void append_escaped(struct text *out, const char *s)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (; *s; s++) {
		if (strchr(plain, *s))
			weft_text_add(out, "%c", *s);
		else
			weft_text_add(out, "%%%02X", (unsigned char)*s);
	}
}

void weft_query_append(struct text *out, bool first, const char *key, const char *value)
{
	weft_text_add(out, "%c", first ? '?' : '&');
	append_escaped(out, key);
	weft_text_add(out, "=");
	append_escaped(out, value);
}
