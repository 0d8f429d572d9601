// SPDX-License-Identifier: Apache-2.0
// Small readers that the builders share: attributes of a stored object, in the API's form.
#pragma once

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

// "" when the attribute is absent or null.
static inline const char *attr_text(const json_t *attr, const char *key)
{
	const char *s = json_string_value(json_object_get(attr, key));

	return s != NULL ? s : "";
}

static inline void attr_copy(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text);
}

// Zeroed; room for one even if n is 0. Out of memory aborts.
static inline void *plan_alloc(size_t n, size_t size)
{
	void *p = calloc(n > 0 ? n : 1, size);

	if (p == NULL)
		abort();
	return p;
}
