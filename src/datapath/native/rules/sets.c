// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/rules/sets.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "datapath/native/vmap/vmap_priv.h"

// The keys of the two indexes: a masked prefix, as whole words.
struct key4 {
	uint32_t addr; // network order
	uint32_t len;
};

struct key6 {
	uint64_t addr[2]; // network order
	uint64_t len;
};

// Which sets have a prefix as a member.
struct set_list {
	struct sets *owner;
	uint32_t n;
	uint32_t numbers[]; // sorted
};

// Which prefix lengths have members at all; the longest first.
struct lengths {
	uint32_t prefixes[129]; // of each length
	uint16_t n;
	uint8_t len[129];
};

struct set {
	char *id;      // NULL: a free number
	uint32_t refs; // lists and holders
	uint32_t next_free;
};

struct sets {
	struct vmap *lists[2]; // IPv4, IPv6
	struct vmap *lengths;
	struct vslot *lengths_of[2];
	struct vstore *vs;
	struct map *by_id; // -> number
	struct set *sets;  // by number; 0 is not used
	uint32_t n_sets, cap;
	uint32_t first_free; // 0 = none
};

// ---- Numbers -------------------------------------------------------------------------------

uint32_t weft_sets_number(struct sets *s, const char *set_id)
{
	uint32_t number = (uint32_t)(uintptr_t)weft_map_get(s->by_id, set_id);

	if (number != 0)
		return number;
	if (s->first_free != 0) {
		number = s->first_free;
		s->first_free = s->sets[number].next_free;
	} else {
		if (s->n_sets == s->cap) {
			s->cap *= 2;
			s->sets = realloc(s->sets, s->cap * sizeof(s->sets[0]));
			if (s->sets == NULL)
				abort();
		}
		number = s->n_sets++;
	}
	s->sets[number] = (struct set) {.id = strdup(set_id)};
	if (s->sets[number].id == NULL)
		abort();
	weft_map_put(s->by_id, set_id, (void *)(uintptr_t)number);
	return number;
}

const char *weft_sets_id(const struct sets *s, uint32_t number)
{
	return number > 0 && number < s->n_sets ? s->sets[number].id : NULL;
}

void weft_sets_hold(struct sets *s, uint32_t number)
{
	s->sets[number].refs++;
}

void weft_sets_release(struct sets *s, uint32_t number)
{
	struct set *set = &s->sets[number];

	if (--set->refs > 0)
		return;
	weft_map_del(s->by_id, set->id);
	free(set->id);
	*set = (struct set) {.next_free = s->first_free};
	s->first_free = number;
}

// ---- Members -------------------------------------------------------------------------------

static void list_free(void *value)
{
	struct set_list *list = value;

	for (uint32_t i = 0; i < list->n; i++)
		weft_sets_release(list->owner, list->numbers[i]);
	free(list);
}

// The index of the first number that is not below `number`.
static uint32_t lower_bound(const uint32_t *numbers, uint32_t n, uint32_t number)
{
	uint32_t low = 0;

	while (n > 0) {
		uint32_t half = n / 2;

		if (numbers[low + half] < number) {
			low += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	return low;
}

static bool contains(const uint32_t *numbers, uint32_t n, uint32_t number)
{
	uint32_t i = lower_bound(numbers, n, number);

	return i < n && numbers[i] == number;
}

static struct set_list *list_with(struct sets *s, const struct set_list *old, uint32_t number)
{
	uint32_t n = old == NULL ? 0 : old->n;
	uint32_t at = old == NULL ? 0 : lower_bound(old->numbers, n, number);
	struct set_list *list = weft_vmap_alloc(sizeof(*list) + (n + 1) * sizeof(uint32_t));

	list->owner = s;
	list->n = n + 1;
	for (uint32_t i = 0; i < n; i++)
		list->numbers[i + (i >= at)] = old->numbers[i];
	list->numbers[at] = number;
	for (uint32_t i = 0; i <= n; i++)
		weft_sets_hold(s, list->numbers[i]);
	return list;
}

static struct set_list *list_without(struct sets *s, const struct set_list *old, uint32_t number)
{
	struct set_list *list = weft_vmap_alloc(sizeof(*list) + old->n * sizeof(uint32_t));

	list->owner = s;
	for (uint32_t i = 0; i < old->n; i++) {
		if (old->numbers[i] == number)
			continue;
		list->numbers[list->n++] = old->numbers[i];
		weft_sets_hold(s, old->numbers[i]);
	}
	return list;
}

static void lengths_update(struct sets *s, int v6, uint8_t len, int by)
{
	const struct lengths *now = weft_vslot_value(s->lengths_of[v6], weft_vstore_epoch(s->vs));
	struct lengths *next = weft_vmap_staged(s->lengths, &v6);

	if (next == NULL || next == now) { // what readers see is not touched
		next = weft_vmap_alloc(sizeof(*next));
		if (now != NULL)
			*next = *now;
		weft_vmap_put(s->lengths, &v6, next);
	}
	next->prefixes[len] += (uint32_t)by;
	next->n = 0;
	for (int i = 128; i >= 0; i--)
		if (next->prefixes[i] > 0)
			next->len[next->n++] = (uint8_t)i;
}

// The key of a member in its index (0: IPv4, 1: IPv6); -EINVAL.
static int member_key(const struct ip_prefix *member, struct key6 *key)
{
	struct ip_prefix p;

	if (member->ip.family == 4 && member->len <= 32) {
		struct key4 key4 = {.len = member->len};

		p = weft_prefix_masked(member);
		memcpy(&key4.addr, p.ip.b, sizeof(key4.addr));
		memcpy(key, &key4, sizeof(key4));
		return 0;
	}
	if (member->ip.family == 6 && member->len <= 128) {
		p = weft_prefix_masked(member);
		memcpy(key->addr, p.ip.b, sizeof(key->addr));
		key->len = member->len;
		return 1;
	}
	return -EINVAL;
}

int weft_sets_add(struct sets *s, const char *set_id, const struct ip_prefix *member)
{
	struct key6 key;
	int v6 = member_key(member, &key);
	const struct set_list *old;
	uint32_t number;

	if (v6 < 0)
		return v6;
	number = weft_sets_number(s, set_id);
	old = weft_vmap_staged(s->lists[v6], &key);
	if (old != NULL && contains(old->numbers, old->n, number))
		return 0;
	weft_vmap_put(s->lists[v6], &key, list_with(s, old, number));
	if (old == NULL)
		lengths_update(s, v6, member->len, 1);
	return 0;
}

int weft_sets_remove(struct sets *s, const char *set_id, const struct ip_prefix *member)
{
	struct key6 key;
	int v6 = member_key(member, &key);
	const struct set_list *old;
	uint32_t number = (uint32_t)(uintptr_t)weft_map_get(s->by_id, set_id);

	if (v6 < 0)
		return v6;
	old = weft_vmap_staged(s->lists[v6], &key);
	if (number == 0 || old == NULL || !contains(old->numbers, old->n, number))
		return -ENOENT;
	if (old->n > 1) {
		weft_vmap_put(s->lists[v6], &key, list_without(s, old, number));
		return 0;
	}
	weft_vmap_del(s->lists[v6], &key);
	lengths_update(s, v6, member->len, -1);
	return 0;
}

bool weft_sets_has_member(const struct sets *s, const char *set_id, const struct ip_prefix *member)
{
	struct key6 key;
	int v6 = member_key(member, &key);
	uint32_t number = (uint32_t)(uintptr_t)weft_map_get(s->by_id, set_id);
	const struct set_list *list;

	if (v6 < 0 || number == 0)
		return false;
	list = weft_vmap_staged(s->lists[v6], &key);
	return list != NULL && contains(list->numbers, list->n, number);
}

// ---- Look-up -------------------------------------------------------------------------------

typedef bool (*visit_fn)(uint32_t index, void *arg);

// Walk the shorter of the two, search the longer.
static bool intersect(const struct set_list *list, const uint32_t *wanted, uint32_t n,
		      visit_fn visit, void *arg)
{
	if (list->n <= n) {
		for (uint32_t i = 0; i < list->n; i++) {
			uint32_t at = lower_bound(wanted, n, list->numbers[i]);

			if (at < n && wanted[at] == list->numbers[i] && visit(at, arg))
				return true;
		}
		return false;
	}
	for (uint32_t i = 0; i < n; i++)
		if (contains(list->numbers, list->n, wanted[i]) && visit(i, arg))
			return true;
	return false;
}

bool weft_sets_match(const struct sets *s, uint64_t epoch, uint8_t family, const void *ip,
		     const uint32_t *wanted, size_t n, visit_fn visit, void *arg)
{
	int v6 = family == 6;
	const struct lengths *lengths = weft_vslot_value(s->lengths_of[v6], epoch);
	uint64_t addr[2] = {0}; // host order, left-aligned

	if (lengths == NULL || n == 0)
		return false;
	memcpy(addr, ip, v6 ? 16 : 4);
	addr[0] = be64toh(addr[0]);
	addr[1] = be64toh(addr[1]);
	for (uint16_t i = 0; i < lengths->n; i++) {
		unsigned int len = lengths->len[i];
		uint64_t high = len == 0 ? 0 : len >= 64 ? UINT64_MAX : UINT64_MAX << (64 - len);
		uint64_t low = len <= 64 ? 0 : UINT64_MAX << (128 - len);
		struct key6 key = {{htobe64(addr[0] & high), htobe64(addr[1] & low)}, len};
		struct key4 key4 = {.len = len};
		const struct set_list *list;

		memcpy(&key4.addr, key.addr, sizeof(key4.addr));
		list = weft_vmap_get(s->lists[v6], v6 ? (const void *)&key : &key4, epoch);
		if (list != NULL && intersect(list, wanted, (uint32_t)n, visit, arg))
			return true;
	}
	return false;
}

// ---- All of it -----------------------------------------------------------------------------

struct sets *weft_sets_new(struct vstore *vs)
{
	struct sets *s = weft_vmap_alloc(sizeof(*s));

	s->vs = vs;
	s->lists[0] = weft_vmap_new(vs, sizeof(struct key4), list_free);
	s->lists[1] = weft_vmap_new(vs, sizeof(struct key6), list_free);
	s->lengths = weft_vmap_new(vs, sizeof(int), free);
	for (int v6 = 0; v6 < 2; v6++)
		s->lengths_of[v6] = weft_vmap_slot_make(s->lengths, &v6);
	s->by_id = weft_map_new();
	s->cap = 16;
	s->n_sets = 1;
	s->sets = weft_vmap_alloc(s->cap * sizeof(s->sets[0]));
	return s;
}

void weft_sets_free(struct sets *s)
{
	if (s == NULL)
		return;
	for (int v6 = 0; v6 < 2; v6++) {
		weft_vmap_free(s->lists[v6]);
		weft_vslot_release(s->lengths_of[v6]);
	}
	weft_vmap_free(s->lengths);
	for (uint32_t i = 1; i < s->n_sets; i++)
		free(s->sets[i].id);
	weft_map_free(s->by_id);
	free(s->sets);
	free(s);
}
