// SPDX-License-Identifier: Apache-2.0
// Table: JSON objects as aligned columns for a terminal, or as they are.
#pragma once

#include <jansson.h>

#include "base/text.h"

struct column {
	const char *title;
	const char *path; // "counters.from_vm_packets"; a missing value is shown as "-"
	int width;	  // longest shown, 0 = any
};

// One line per object of the array, under a line of titles.
void weft_table(struct text *out, const json_t *rows, const struct column *columns, size_t n);

// "title: value" lines of one object.
void weft_facts(struct text *out, const json_t *object, const struct column *columns, size_t n);

// A value as text: lists joined with spaces, booleans as yes and no. Appends to out.
void weft_value_text(struct text *out, const json_t *value);
const json_t *weft_value_at(const json_t *object, const char *path);

// What --json shows, on standard output.
void weft_print_json(const json_t *value);
