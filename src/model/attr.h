// SPDX-License-Identifier: Apache-2.0
// Attributes: what each resource consists of, as tables, and the one reader of request bodies
// that they drive.
//
// A row says how a value is read (validated and brought into its one form), what it is when
// absent, and who may set it when. What concerns several attributes or other objects is the
// resource's own code (resource.h).
//
// Ownership  readers return new references; what they return is never changed afterwards
// Threads    one (the control thread)
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "model/model.h"

struct resource_ops;

enum attr_flag {
	ATTR_POST = 1 << 0,	   // may be given at creation
	ATTR_PUT = 1 << 1,	   // may be changed afterwards
	ATTR_REQUIRED = 1 << 2,	   // must be given at creation
	ATTR_NULL = 1 << 3,	   // null is a value
	ATTR_NULL_CLEARS = 1 << 4, // null means the default
	ATTR_ADMIN = 1 << 5,	   // only an admin sets it (to anything but the default)
	ATTR_ADMIN_PUT = 1 << 6,   // only an admin changes it
	ATTR_NET_OWNER = 1 << 7,   // the network's owner or an admin sets it
	ATTR_ADMIN_SEES = 1 << 8,  // only an admin sees it
	ATTR_WRITE_ONLY = 1 << 9,  // shapes the object but is no part of it
	ATTR_RENDERED = 1 << 10,   // made when shown, never kept
	ATTR_HIDDEN = 1 << 11,	   // what lists may be filtered by, but nobody sees
};

struct attr {
	const char *name;
	// Not called with null unless null is an ordinary value of it. NULL: never given.
	int (*read)(const struct attr *a, const json_t *in, json_t **out, struct err *err);
	unsigned flags;
	const char *initial;	   // JSON text of the default; NULL = the resource's code sets it
	int64_t min, max;	   // integers: range; texts: longest
	const char *const *values; // choices, NULL-terminated
};

// One row: what it is called, how it is read, who sets it; then what else there is to say.
#define ATTR(name_, read_, flags_, ...)                                          \
	{                                                                        \
		.name = (name_), .read = (read_), .flags = (flags_), __VA_ARGS__ \
	}

#define ATTR_RW (ATTR_POST | ATTR_PUT)

// clang-format off
#define ATTRS_HEAD \
	ATTR("id", NULL, 0), \
	ATTR("name", weft_attr_text, ATTR_RW, .initial = "\"\"", .max = 255)

#define ATTRS_TAIL \
	ATTR("description", weft_attr_text, ATTR_RW | ATTR_NULL_CLEARS, .initial = "\"\"", .max = 255), \
	ATTR("created_at", NULL, 0), \
	ATTR("updated_at", NULL, 0), \
	ATTR("revision_number", NULL, 0), \
	ATTR("project_id", weft_attr_text, ATTR_POST, .max = 255), \
	ATTR("tenant_id", weft_attr_text, ATTR_POST | ATTR_RENDERED, .max = 255)
// clang-format on

// Readers.
int weft_attr_text(const struct attr *a, const json_t *in, json_t **out, struct err *err);
int weft_attr_bool(const struct attr *a, const json_t *in, json_t **out, struct err *err);
int weft_attr_int(const struct attr *a, const json_t *in, json_t **out, struct err *err);
int weft_attr_uuid(const struct attr *a, const json_t *in, json_t **out, struct err *err);
int weft_attr_choice(const struct attr *a, const json_t *in, json_t **out, struct err *err);
int weft_attr_uuids(const struct attr *a, const json_t *in, json_t **out, struct err *err);
int weft_attr_tags(const struct attr *a, const json_t *in, json_t **out, struct err *err);
int weft_attr_ip(const struct attr *a, const json_t *in, json_t **out, struct err *err);

// "Invalid input for NAME. Reason: ..." (400). Returns -EINVAL.
int weft_attr_bad(const struct attr *a, struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
// "Invalid input for operation: ..." (400), for what concerns more than one attribute.
int weft_input_bad(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// A text that Neutron takes for a boolean: true, 1, t, yes, y, on and their opposites, in any
// letters. False when it is none.
bool weft_attr_bool_of(const char *text, bool *out);
// An integer, or a text that is one (command lines send those). False when it is neither.
bool weft_attr_integer_of(const json_t *in, int64_t *out);
// Refuse what is no list, or a longer one than anybody needs (members are compared with each
// other).
int weft_attr_list(const struct attr *a, const json_t *in, size_t most, struct err *err);
// Refuse the members of object `in` that are not among the NULL-terminated names.
int weft_attr_known_keys(const struct attr *a, const json_t *in, const char *const *names,
			 struct err *err);

// All defaults of a table, in its order; attributes without one are null (new reference).
json_t *weft_attr_defaults(const struct attr *attrs);

// Read the body of a POST or PUT: *given is what the caller set, validated and in its one form
// (new reference).
int weft_attr_read_create(const struct resource_ops *ops, const struct caller *who,
			  const json_t *body, json_t **given, struct err *err);
int weft_attr_read_update(const struct resource_ops *ops, const struct caller *who,
			  const json_t *body, json_t **given, struct err *err);

// Do the names in the body of a PUT exist, and may they change at all?
int weft_attr_check_update(const struct resource_ops *ops, const json_t *body, struct err *err);

const struct attr *weft_attr_find(const struct attr *attrs, const char *name);
