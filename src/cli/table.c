// SPDX-License-Identifier: Apache-2.0
#include "cli/table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

const json_t *weft_value_at(const json_t *object, const char *path)
{
	char name[64];

	while (object != NULL && path != NULL && *path != '\0') {
		const char *dot = strchr(path, '.');
		size_t len = dot == NULL ? strlen(path) : (size_t)(dot - path);

		if (len >= sizeof(name))
			return NULL;
		memcpy(name, path, len);
		name[len] = '\0';
		object = json_object_get(object, name);
		path = dot == NULL ? NULL : dot + 1;
	}
	return object;
}

void weft_value_text(struct text *out, const json_t *value)
{
	const json_t *item;
	size_t i;

	switch (value == NULL ? JSON_NULL : json_typeof(value)) {
	case JSON_STRING:
		weft_text_add(out, "%s",
			      json_string_length(value) == 0 ? "-" : json_string_value(value));
		break;
	case JSON_INTEGER:
		weft_text_add(out, "%lld", (long long)json_integer_value(value));
		break;
	case JSON_REAL:
		weft_text_add(out, "%.2f", json_real_value(value));
		break;
	case JSON_TRUE:
		weft_text_add(out, "yes");
		break;
	case JSON_FALSE:
		weft_text_add(out, "no");
		break;
	case JSON_ARRAY:
		if (json_array_size(value) == 0)
			weft_text_add(out, "-");
		json_array_foreach(value, i, item) {
			weft_text_add(out, "%s", i == 0 ? "" : " ");
			weft_value_text(out, item);
		}
		break;
	default:
		weft_text_add(out, "-");
	}
}

static void cell(struct text *out, const json_t *row, const struct column *c)
{
	weft_value_text(out, weft_value_at(row, c->path));
	if (c->width > 0 && out->len > (size_t)c->width) {
		out->s[c->width] = '\0';
		out->len = (size_t)c->width;
	}
}

static void widths(const json_t *rows, const struct column *columns, size_t n, int *width)
{
	const json_t *row;
	size_t r;

	for (size_t i = 0; i < n; i++)
		width[i] = (int)strlen(columns[i].title);
	json_array_foreach(rows, r, row) {
		for (size_t i = 0; i < n; i++) {
			struct text t = {0};

			cell(&t, row, &columns[i]);
			if ((int)t.len > width[i])
				width[i] = (int)t.len;
			weft_text_fini(&t);
		}
	}
}

static void put(struct text *out, const char *value, int width, bool last)
{
	if (last)
		weft_text_add(out, "%s\n", value);
	else
		weft_text_add(out, "%-*s  ", width, value);
}

void weft_table(struct text *out, const json_t *rows, const struct column *columns, size_t n)
{
	int *width = calloc(n, sizeof(*width));
	const json_t *row;
	size_t r;

	if (width == NULL)
		abort();
	widths(rows, columns, n, width);
	for (size_t i = 0; i < n; i++)
		put(out, columns[i].title, width[i], i + 1 == n);
	json_array_foreach(rows, r, row) {
		for (size_t i = 0; i < n; i++) {
			struct text t = {0};

			cell(&t, row, &columns[i]);
			put(out, t.s, width[i], i + 1 == n);
			weft_text_fini(&t);
		}
	}
	free(width);
}

void weft_facts(struct text *out, const json_t *object, const struct column *columns, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		weft_text_add(out, "%-16s ", columns[i].title);
		weft_value_text(out, weft_value_at(object, columns[i].path));
		weft_text_add(out, "\n");
	}
}

void weft_print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2));
	putchar('\n');
}
