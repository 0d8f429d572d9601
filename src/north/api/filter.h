// SPDX-License-Identifier: Apache-2.0
// Filters: what the arguments of a list request ask for, and whether an object is among it.
//
// Arguments that repeat are alternatives; different ones must all hold. Ids and names may be
// given by the thousand, as clients do, other values FILTER_VALUES_MAX times: each object is
// compared with each of them. Values match by the attribute's type: a list matches when one of
// its elements does, "key=value" looks inside objects (fixed_ips=subnet_id=...).
//
// Ownership  options borrow from the query, which must outlive them; weft_list_options_fini()
// Errors     -EINVAL (400) names the argument
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "north/api/query.h"

#define FILTER_VALUES_MAX 256

struct map;

struct sort_key {
	const char *attr;
	size_t place; // among those given
	bool descending;
};

// All the arguments of one name.
struct filter {
	const char *key;
	const char *attr; // the attribute that it is about
	const char **values;
	size_t n;
	struct map *set; // the values again, where there are many; NULL: look at each
};

struct list_options {
	struct filter *filters;
	size_t n_filters;
	struct sort_key *sorts;
	size_t n_sorts;
	size_t limit; // 0: all
	const char *marker;
	bool reverse;
};

// Which attributes the listed collection has.
typedef bool (*has_attr_fn)(const void *arg, const char *attr);

int weft_list_options_parse(const struct query *q, has_attr_fn has_attr, const void *arg,
			    struct list_options *out, struct err *err);
void weft_list_options_fini(struct list_options *o);

bool weft_list_matches(const struct list_options *o, const json_t *attr);
