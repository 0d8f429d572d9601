// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *weft_json_text(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

int64_t weft_json_int(const json_t *o, const char *key, int64_t otherwise)
{
	const json_t *v = json_object_get(o, key);
	return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

bool weft_json_bool(const json_t *o, const char *key, bool otherwise)
{
	const json_t *v = json_object_get(o, key);
	return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

json_t *weft_json_array(const json_t *o, const char *key)
{
	json_t *v = json_object_get(o, key);
	return json_is_array(v) ? v : NULL;
}

static int need(const json_t *o, const char *key, const json_t **out, struct err *err)
{
	if (!json_is_object(o))
		return weft_fail(err, -EINVAL, "a JSON object with '%s' is needed", key);
	*out = json_object_get(o, key);
	if (*out == NULL)
		return weft_fail(err, -EINVAL, "'%s' is missing", key);
	return 0;
}

int weft_json_need_text(const json_t *o, const char *key, const char **out, struct err *err)
{
	const json_t *v;
	int ret = need(o, key, &v, err);
	if (ret < 0)
		return ret;
	if (!json_is_string(v))
		return weft_fail(err, -EINVAL, "'%s' must be a string", key);
	*out = json_string_value(v);
	return 0;
}

int weft_json_need_int(const json_t *o, const char *key, int64_t *out, struct err *err)
{
	const json_t *v;
	int ret = need(o, key, &v, err);
	if (ret < 0)
		return ret;
	if (!json_is_integer(v))
		return weft_fail(err, -EINVAL, "'%s' must be an integer", key);
	*out = json_integer_value(v);
	return 0;
}

bool weft_json_has_text(const json_t *array, const char *text)
{
	size_t i;
	json_t *v;
	json_array_foreach((json_t *)array, i, v) {
		if (json_is_string(v) && strcmp(json_string_value(v), text) == 0)
			return true;
	}
	return false;
}

const char *weft_json_quote(const json_t *value, char *buf, size_t size)
{
	size_t n =
		json_dumpb(value, buf, size - 1, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
	if (n < size) {
		buf[n] = '\0';
		return buf;
	}
	// json_dumpb writes nothing useful when the buffer is short.
	char *all = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
	snprintf(buf, size, "%.*s...", (int)size - 4, all == NULL ? "" : all);
	free(all);
	return buf;
}
