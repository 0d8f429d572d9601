// SPDX-License-Identifier: Apache-2.0
// A long list is made as it is sent: which objects are in it, and their order, is decided at once;
// each is rendered when its turn comes, as it is then. One that is gone by then, or that its reader
// may not see any more, is left out.
#pragma once

#include <stddef.h>

#include "north/api/call.h"
#include "north/api/filter.h"

// Answers {plural: [...], plural_links: [...]}; items are the objects' attributes.
int weft_list_stream(struct api_call *c, const char *plural, const struct list_options *options,
		     const json_t **items, size_t n);
