// SPDX-License-Identifier: Apache-2.0
// Pages: sort a list, cut the page that limit, marker and page_reverse ask for, and link to its
// neighbours.
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "base/text.h"
#include "north/api/filter.h"
#include "north/api/query.h"

struct page {
	size_t start;
	size_t n;
};

// Sorts `items` (object attributes) in place by the options' keys, then by id; without keys,
// limit and marker their order is kept. `marker` is the object named by the options' marker, or
// NULL.
struct page weft_page_cut(const struct list_options *o, const json_t **items, size_t n,
			  const json_t *marker);

// Neutron's NETWORKS_links for the page (new reference); NULL without a limit. base is
// "http://host:port".
json_t *weft_page_links(const struct list_options *o, const struct target *t, const char *base,
			const json_t *const *items, size_t n);
