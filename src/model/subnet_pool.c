// SPDX-License-Identifier: Apache-2.0
#include "model/subnet_pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/json.h"
#include "model/index.h"
#include "model/resource.h"
#include "model/subnet.h"
#include "model/txn.h"

typedef unsigned __int128 u128;

enum {
	MAX_PREFIXES = 64,
	DEFAULT_MIN_V4 = 8,
	DEFAULT_MIN_V6 = 64,
	QUOTA_UNIT_V4 = 32, // a quota counts addresses,
	QUOTA_UNIT_V6 = 64, // in IPv6 networks of 64 bits
};

struct prefixes {
	struct ip_prefix list[MAX_PREFIXES];
	size_t n;
};

static void remove_at(struct prefixes *p, size_t i)
{
	memmove(&p->list[i], &p->list[i + 1], (p->n - i - 1) * sizeof(p->list[0]));
	p->n--;
}

static bool are_halves(const struct ip_prefix *a, const struct ip_prefix *b)
{
	struct ip_prefix x = *a, y = *b;
	if (x.len != y.len || x.len == 0)
		return false;
	x.len = --y.len;
	return weft_prefix_equal(&x, &y);
}

// Make two of them one, if one has the other or they are the halves of one.
static bool join_any(struct prefixes *p)
{
	for (size_t i = 0; i < p->n; i++)
		for (size_t j = i + 1; j < p->n; j++) {
			struct ip_prefix *a = &p->list[i], *b = &p->list[j];
			bool halves = are_halves(a, b);
			if (!halves && !weft_prefix_overlaps(a, b))
				continue;
			if (halves)
				a->len--;
			else if (b->len < a->len)
				*a = *b;
			*a = weft_prefix_masked(a);
			remove_at(p, j);
			return true;
		}
	return false;
}

static int compare(const void *a, const void *b)
{
	const struct ip_prefix *x = a, *y = b;
	return weft_ip_compare(&x->ip, &y->ip);
}

static struct prefixes prefixes_of(const json_t *list)
{
	struct prefixes p = {0};
	size_t i;
	json_t *v;
	json_array_foreach((json_t *)list, i, v) {
		if (p.n < MAX_PREFIXES && json_is_string(v) &&
		    weft_prefix_parse(json_string_value(v), &p.list[p.n]) == 0) {
			p.list[p.n] = weft_prefix_masked(&p.list[p.n]);
			p.n++;
		}
	}
	return p;
}

// As few of them as say the same, in their order.
static int read_prefixes(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	char buf[128];
	size_t i;
	json_t *v;
	int ret = weft_attr_list(a, in, MAX_PREFIXES, err);
	if (ret < 0)
		return ret;
	struct prefixes p = prefixes_of(in);
	json_array_foreach((json_t *)in, i, v) {
		struct ip_prefix prefix;
		const char *text = json_string_value(v);
		if (text == NULL || strchr(text, '/') == NULL ||
		    weft_prefix_parse(text, &prefix) < 0)
			return weft_attr_bad(a, err, "'%s' is not a valid IP subnet",
					     weft_json_quote(v, buf, sizeof(buf)));
		if (prefix.ip.family != p.list[0].ip.family)
			return weft_fail_as(err, -EINVAL, "PrefixVersionMismatch",
					    "Cannot mix IPv4 and IPv6 prefixes in a subnet pool.");
	}
	if (p.n == 0)
		return weft_fail_as(err, -EINVAL, "EmptySubnetPoolPrefixList",
				    "Empty subnet pool prefix list.");
	while (join_any(&p))
		;
	qsort(p.list, p.n, sizeof(p.list[0]), compare);
	*out = json_array();
	for (i = 0; i < p.n; i++)
		json_array_append_new(*out, json_string(weft_prefix_text(&p.list[i], buf)));
	return 0;
}

static int read_is_default(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	int ret = weft_attr_bool(a, in, out, err);
	if (ret == 0 && json_is_true(*out))
		return weft_attr_bad(a, err, "default subnet pools are not served");
	return ret;
}

// clang-format off
static const struct attr attrs[] = {
	ATTRS_HEAD,
	ATTR("prefixes", read_prefixes, ATTR_RW | ATTR_REQUIRED),
	ATTR("ip_version", NULL, 0),
	ATTR("min_prefixlen", weft_attr_int, ATTR_RW, .min = 0, .max = 128),
	ATTR("max_prefixlen", weft_attr_int, ATTR_RW, .min = 0, .max = 128),
	ATTR("default_prefixlen", weft_attr_int, ATTR_RW, .min = 0, .max = 128),
	ATTR("default_quota", weft_attr_int, ATTR_RW | ATTR_NULL, .min = 0, .max = INT32_MAX),
	ATTR("shared", weft_attr_bool, ATTR_POST | ATTR_ADMIN, .initial = "false"),
	ATTR("is_default", read_is_default, ATTR_RW | ATTR_ADMIN, .initial = "false"),
	ATTR("tags", weft_attr_tags, ATTR_POST | ATTR_NULL_CLEARS, .initial = "[]"),
	ATTRS_TAIL,
	{0},
};
// clang-format on

static int check_bound(const json_t *pool, const char *name, bool most, const char *other,
		       int64_t limit, struct err *err)
{
	int64_t len = weft_json_int(pool, name, 0);
	if (most ? len <= limit : len >= limit)
		return 0;
	return weft_fail_as(err, -EINVAL, "IllegalSubnetPoolPrefixBounds",
			    "Illegal prefix bounds: %s=%lld, %s=%lld.", name, (long long)len, other,
			    (long long)limit);
}

static void set_default(json_t *pool, const char *name, int64_t len)
{
	if (!json_is_integer(json_object_get(pool, name)))
		json_object_set_new(pool, name, json_integer(len));
}

static int complete(json_t *pool, struct err *err)
{
	struct prefixes p = prefixes_of(json_object_get(pool, "prefixes"));
	bool v6 = p.list[0].ip.family == 6;
	json_object_set_new(pool, "ip_version", json_integer(v6 ? 6 : 4));
	set_default(pool, "min_prefixlen", v6 ? DEFAULT_MIN_V6 : DEFAULT_MIN_V4);
	set_default(pool, "max_prefixlen", v6 ? 128 : 32);
	set_default(pool, "default_prefixlen", weft_json_int(pool, "min_prefixlen", 0));
	int64_t max = weft_json_int(pool, "max_prefixlen", 0);
	int ret = check_bound(pool, "max_prefixlen", true, "ip_version_max", v6 ? 128 : 32, err);
	if (ret == 0)
		ret = check_bound(pool, "min_prefixlen", true, "max_prefixlen", max, err);
	if (ret == 0)
		ret = check_bound(pool, "default_prefixlen", true, "max_prefixlen", max, err);
	if (ret == 0)
		ret = check_bound(pool, "default_prefixlen", false, "min_prefixlen",
				  weft_json_int(pool, "min_prefixlen", 0), err);
	return ret;
}

static int create(struct txn *t, const struct caller *who, const json_t *given, json_t *obj,
		  struct err *err)
{
	(void)t;
	(void)who;
	(void)given;
	return complete(obj, err);
}

static bool has(const struct prefixes *p, const struct ip_prefix *wanted)
{
	bool found = false;
	for (size_t i = 0; i < p->n; i++)
		found |= p->list[i].len <= wanted->len &&
			 weft_prefix_contains(&p->list[i], &wanted->ip);
	return found;
}

// A pool may grow, and never shrinks: subnets were cut from it.
static int update(struct txn *t, const struct caller *who, const struct object *old,
		  const json_t *given, json_t *obj, struct err *err)
{
	(void)t;
	(void)who;
	(void)given;
	struct prefixes before = prefixes_of(json_object_get(old->attr, "prefixes"));
	struct prefixes now = prefixes_of(json_object_get(obj, "prefixes"));
	for (size_t i = 0; i < before.n; i++)
		if (!has(&now, &before.list[i]))
			return weft_fail_as(err, -EINVAL, "IllegalSubnetPoolPrefixUpdate",
					    "Illegal update to prefixes: Existing prefixes must be "
					    "a subset of the new prefixes.");
	return complete(obj, err);
}

static int remove_pool(struct txn *t, const struct caller *who, const struct object *o,
		       struct err *err)
{
	(void)who;
	if (weft_index_count(weft_txn_model(t), REF_POOL_SUBNETS, o->id) == 0)
		return 0;
	return weft_fail_as(err, -EINVAL, "SubnetPoolDeleteError",
			    "Unable to delete subnet pool: Subnet pool has existing allocations.");
}

// Neutron shows these as texts.
static void render(const struct model *m, const struct object *o, json_t *shown)
{
	static const char *const lens[] = {"min_prefixlen", "max_prefixlen", "default_prefixlen"};
	char text[24];
	(void)m;
	for (size_t i = 0; i < 3; i++) {
		snprintf(text, sizeof(text), "%lld", (long long)weft_json_int(o->attr, lens[i], 0));
		json_object_set_new(shown, lens[i], json_string(text));
	}
}

static bool visible(const struct model *m, const struct caller *who, const struct object *o)
{
	(void)m;
	(void)who;
	return weft_json_bool(o->attr, "shared", false);
}

const struct resource_ops weft_subnet_pool_ops = {
	.name = "subnetpool",
	.plural = "subnetpools",
	.url = "subnetpools",
	.not_found = "SubnetPoolNotFound",
	.not_found_text = "Subnet pool %s could not be found.",
	.attrs = attrs,
	.create = create,
	.update = update,
	.remove = remove_pool,
	.render = render,
	.visible = visible,
};

// ---- Cutting subnets -----------------------------------------------------------------------

static u128 number_of(const struct ip_addr *ip)
{
	u128 v = 0;
	for (size_t i = 0; i < weft_ip_bits(ip) / 8u; i++)
		v = v << 8 | ip->b[i];
	return v;
}

static struct ip_addr address_of(u128 v, uint8_t family)
{
	struct ip_addr ip = {.family = family};
	for (size_t i = weft_ip_bits(&ip) / 8u; i-- > 0; v >>= 8)
		ip.b[i] = (uint8_t)v;
	return ip;
}

// What was cut from the pool already, by address; the caller frees it.
static struct ip_prefix *taken_of(const struct model *m, const struct object *pool,
				  const char *project_id, size_t *n)
{
	size_t all;
	const struct object **subnets = weft_index_collect(m, REF_POOL_SUBNETS, pool->id, &all);
	struct ip_prefix *taken = calloc(all + 1, sizeof(*taken));
	if (taken == NULL)
		abort();
	*n = 0;
	for (size_t i = 0; i < all; i++)
		if (project_id == NULL || strcmp(subnets[i]->project_id, project_id) == 0)
			taken[(*n)++] = weft_subnet_cidr(subnets[i]->attr);
	free(subnets);
	qsort(taken, *n, sizeof(*taken), compare);
	return taken;
}

// The first piece of this length that nobody has. What is taken is in order and apart, so one
// look at each is enough.
static bool find_in(const struct ip_prefix *from, uint8_t len, const struct ip_prefix *taken,
		    size_t n, struct ip_prefix *out)
{
	uint8_t bits = weft_ip_bits(&from->ip);
	struct ip_addr end = weft_prefix_last(from);
	u128 size = len == 0 ? 0 : (u128)1 << (bits - len);
	u128 at = number_of(&from->ip), last = number_of(&end);
	if (len < from->len || len == 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct ip_addr over = weft_prefix_last(&taken[i]);
		if (taken[i].ip.family != from->ip.family || number_of(&over) < at)
			continue;
		if (number_of(&taken[i].ip) > at + (size - 1))
			break;
		u128 next = (number_of(&over) / size + 1) * size;
		if (next <= at) // beyond the last address of all
			return false;
		at = next;
	}
	if (at > last)
		return false;
	*out = (struct ip_prefix) {address_of(at, from->ip.family), len};
	return true;
}

static int no_space(const char *reason, struct err *err)
{
	return weft_fail_as(err, -ENOSPC, "SubnetAllocationError", "Failed to allocate subnet: %s.",
			    reason);
}

static int cut_any(const struct model *m, const struct object *pool, uint8_t len, json_t *obj,
		   struct err *err)
{
	struct prefixes p = prefixes_of(json_object_get(pool->attr, "prefixes"));
	struct ip_prefix found;
	char text[WEFT_NET_STRLEN];
	bool done = false;
	size_t n;
	struct ip_prefix *taken = taken_of(m, pool, NULL, &n);
	for (size_t i = 0; i < p.n && !done; i++)
		done = find_in(&p.list[i], len, taken, n, &found);
	free(taken);
	if (!done)
		return no_space("Insufficient prefix space to allocate subnet of this size", err);
	json_object_set_new(obj, "cidr", json_string(weft_prefix_text(&found, text)));
	return 0;
}

static int check_named(const struct model *m, const struct object *pool, const json_t *obj,
		       struct err *err)
{
	struct prefixes p = prefixes_of(json_object_get(pool->attr, "prefixes"));
	struct ip_prefix cidr = weft_subnet_cidr(obj);
	bool is_free = has(&p, &cidr);
	size_t n;
	struct ip_prefix *taken = taken_of(m, pool, NULL, &n);
	for (size_t i = 0; i < n; i++)
		is_free &= !weft_prefix_overlaps(&taken[i], &cidr);
	free(taken);
	if (is_free)
		return 0;
	return no_space("Cannot allocate requested subnet from the available set of prefixes", err);
}

static u128 units(uint8_t len, uint8_t unit)
{
	return len >= unit ? 1 : (u128)1 << (unit - len);
}

static int check_quota(const struct model *m, const struct object *pool, const json_t *subnet,
		       uint8_t len, struct err *err)
{
	int64_t quota = weft_json_int(pool->attr, "default_quota", 0);
	uint8_t unit = weft_json_int(pool->attr, "ip_version", 4) == 6 ? QUOTA_UNIT_V6
								       : QUOTA_UNIT_V4;
	u128 used = units(len, unit);
	size_t n;
	if (quota <= 0)
		return 0;
	struct ip_prefix *taken = taken_of(m, pool, weft_json_text(subnet, "project_id"), &n);
	for (size_t i = 0; i < n; i++)
		used += units(taken[i].len, unit);
	free(taken);
	if (used <= (u128)quota)
		return 0;
	return weft_fail_as(err, -EBUSY, "SubnetPoolQuotaExceeded",
			    "Per-project subnet pool prefix quota exceeded.");
}

static int check_length(const struct object *pool, int64_t len, struct err *err)
{
	int64_t min = weft_json_int(pool->attr, "min_prefixlen", 0);
	int64_t max = weft_json_int(pool->attr, "max_prefixlen", 128);
	if (len >= min && len <= max)
		return 0;
	return weft_fail_as(err, -EINVAL,
			    len < min ? "MinPrefixSubnetAllocationError"
				      : "MaxPrefixSubnetAllocationError",
			    "Unable to allocate subnet with prefix length %lld, %s allowed prefix "
			    "is %lld.",
			    (long long)len, len < min ? "minimum" : "maximum",
			    (long long)(len < min ? min : max));
}

// Subnets of one version on a network are all of one pool, or of none.
static int check_affinity(const struct model *m, const json_t *obj, struct err *err)
{
	const json_t *pool = json_object_get(obj, "subnetpool_id");
	bool apart = false;
	size_t n;
	const struct object **all =
		weft_index_collect(m, REF_NETWORK_SUBNETS, weft_json_text(obj, "network_id"), &n);
	for (size_t i = 0; i < n; i++)
		apart |= json_equal(json_object_get(all[i]->attr, "ip_version"),
				    json_object_get(obj, "ip_version")) &&
			 !json_equal(json_object_get(all[i]->attr, "subnetpool_id"), pool);
	free(all);
	if (!apart)
		return 0;
	return weft_fail_as(err, -EINVAL, "NetworkSubnetPoolAffinityError",
			    "Subnets hosted on the same network must be allocated from the same "
			    "subnet pool.");
}

static int bad_request(const char *reason, struct err *err)
{
	return weft_fail_as(err, -EINVAL, "BadRequest", "Bad subnets request: %s.", reason);
}

static int allocate_from(const struct model *m, const struct object *pool, const json_t *given,
			 json_t *obj, struct err *err)
{
	bool named = weft_json_text(obj, "cidr") != NULL;
	int64_t len = named ? weft_subnet_cidr(obj).len
			    : weft_json_int(given, "prefixlen",
					    weft_json_int(pool->attr, "default_prefixlen", 0));
	if (weft_json_int(obj, "ip_version", 4) != weft_json_int(pool->attr, "ip_version", 4))
		return bad_request("the subnet pool is of another IP version", err);
	if (!named && json_is_array(json_object_get(given, "allocation_pools")))
		return bad_request("allocation_pools allowed only for specific subnet requests",
				   err);
	int ret = check_length(pool, len, err);
	if (ret == 0)
		ret = check_quota(m, pool, obj, (uint8_t)len, err);
	if (ret < 0)
		return ret;
	return named ? check_named(m, pool, obj, err) : cut_any(m, pool, (uint8_t)len, obj, err);
}

int weft_subnet_pool_allocate(const struct model *m, const struct caller *who, const json_t *given,
			      json_t *obj, struct err *err)
{
	const char *id = weft_json_text(obj, "subnetpool_id");
	bool has_len = json_is_integer(json_object_get(given, "prefixlen"));
	if (has_len && weft_json_text(obj, "cidr") != NULL)
		return bad_request("cidr and prefixlen must not be supplied together", err);
	int ret = check_affinity(m, obj, err);
	if (ret < 0 || id == NULL)
		return ret;
	const struct object *pool = weft_resource_get(m, who, RES_SUBNET_POOL, id, err);
	return pool == NULL ? -ENOENT : allocate_from(m, pool, given, obj, err);
}
