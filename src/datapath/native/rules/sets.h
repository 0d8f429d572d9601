// SPDX-License-Identifier: Apache-2.0
// Address sets: which addresses a security group's members (or an address group) have.
//
// One index for all sets: prefix -> the sorted list of sets that contain it. A packet's remote
// address is looked up once for each prefix length in use, and the lists found are intersected
// with the sets that a rule set names. So the cost depends neither on how many members a set has
// nor on how many sets there are; a member that comes or goes replaces one short list.
//
// Sets have numbers so that lists are short and compare fast. A number is kept while a member's
// list or a compiled rule set refers to it, whether readers still see that or not, so it never
// means another set to anybody.
//
// Threads    weft_sets_match: workers; the rest: the control thread. Changes are staged in the
//            vstore like all policy.
#pragma once

#include "base/addr.h"
#include "datapath/native/vmap/vmap.h"

struct sets;

struct sets *weft_sets_new(struct vstore *vs);
void weft_sets_free(struct sets *s);

// A set's number, by its id; made on first use, kept while it is held or has members. Never 0.
uint32_t weft_sets_number(struct sets *s, const char *set_id);
void weft_sets_hold(struct sets *s, uint32_t number);
void weft_sets_release(struct sets *s, uint32_t number);
const char *weft_sets_id(const struct sets *s, uint32_t number); // control thread; NULL = unknown

// Host bits do not count. A member that is there already stays once. -EINVAL: no prefix of either
// family.
int weft_sets_add(struct sets *s, const char *set_id, const struct ip_prefix *member);
int weft_sets_remove(struct sets *s, const char *set_id, const struct ip_prefix *member); // -ENOENT
bool weft_sets_has_member(const struct sets *s, const char *set_id, const struct ip_prefix *member);

// Calls visit for each of the n sorted set numbers in `wanted` whose set contains the address
// (again for each of the set's prefixes that does); stops when visit returns true and returns
// true then. `ip` is 4 or 16 bytes in network order.
bool weft_sets_match(const struct sets *s, uint64_t epoch, uint8_t family, const void *ip,
		     const uint32_t *wanted, size_t n, bool (*visit)(uint32_t index, void *arg),
		     void *arg);
