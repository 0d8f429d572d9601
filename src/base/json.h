// SPDX-License-Identifier: Apache-2.0
// JSON: typed access to jansson objects.
//
// Two kinds: weft_json_text() and friends read objects that were validated before and answer a
// default for what is absent, null or of another type; weft_json_need_*() read what a stranger
// sent and say what is wrong.
//
// Ownership  returned texts and arrays are borrowed from the object
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"

DEFINE_AUTO(json, json_t *, json_decref)

// NULL when absent, null or not a string.
const char *weft_json_text(const json_t *o, const char *key);
int64_t weft_json_int(const json_t *o, const char *key, int64_t otherwise);
bool weft_json_bool(const json_t *o, const char *key, bool otherwise);
// NULL (which json_array_foreach takes for empty) when absent, null or not an array.
json_t *weft_json_array(const json_t *o, const char *key);

// -EINVAL when o is not an object, or the key is absent or of another type.
int weft_json_need_text(const json_t *o, const char *key, const char **out, struct err *err);
int weft_json_need_int(const json_t *o, const char *key, int64_t *out, struct err *err);

// Does an array of strings have this one?
bool weft_json_has_text(const json_t *array, const char *text);

// As the wire has it: compact, in a buffer for messages; cut with "..." when it is longer.
const char *weft_json_quote(const json_t *value, char *buf, size_t size);
