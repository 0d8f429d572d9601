// SPDX-License-Identifier: Apache-2.0
// Address use: which addresses of one subnet are taken.
//
// A sparse bitmap in chunks of 1,024 addresses, so that a free one is found by skipping full
// chunks: the cost follows the number of full chunks, not the size of the subnet, in IPv6 as
// well. The search goes on where the last one ended, so that an address is not handed out again
// right after it was freed.
//
// Ownership  the caller owns the struct
// Threads    one (the control thread)
#pragma once

#include <stdbool.h>

#include "base/addr.h"

struct address_use;

struct address_use *weft_address_use_new(void);
void weft_address_use_free(struct address_use *u);

bool weft_address_use_is_empty(const struct address_use *u);
bool weft_address_use_has(const struct address_use *u, const struct ip_addr *ip);
void weft_address_use_set(struct address_use *u, const struct ip_addr *ip, bool used);

// A free address in [first, last], not marked by this call; false when there is none.
bool weft_address_use_find(struct address_use *u, const struct ip_addr *first,
			   const struct ip_addr *last, struct ip_addr *out);
