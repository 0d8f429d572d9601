// SPDX-License-Identifier: Apache-2.0
// Allocation pools: the ranges of a subnet from which addresses are handed out.
#include "model/subnet.h"

#include <errno.h>
#include <stdio.h>

#include "base/json.h"

enum { MAX_POOLS = 256 };

void weft_subnet_usable(const struct ip_prefix *cidr, struct ip_addr *first, struct ip_addr *last)
{
	*first = weft_prefix_first(cidr);
	*last = weft_prefix_last(cidr);
	// Point-to-point subnets (RFC 3021, RFC 6164) and host prefixes spare no address.
	if (weft_ip_bits(&cidr->ip) - cidr->len < 2)
		return;
	weft_ip_add(first, 1, first);
	if (cidr->ip.family == 4)
		last->b[3] -= 1; // the broadcast address ends in a 1 bit: no borrow
}

bool weft_subnet_is_usable(const struct ip_prefix *cidr, const struct ip_addr *ip)
{
	if (!weft_prefix_contains(cidr, ip))
		return false;
	if (cidr->ip.family == 6)
		return true;
	struct ip_addr first, last;
	weft_subnet_usable(cidr, &first, &last);
	return weft_ip_compare(ip, &first) >= 0 && weft_ip_compare(ip, &last) <= 0;
}

void weft_pool_get(const json_t *pool, struct ip_addr *first, struct ip_addr *last)
{
	*first = *last = (struct ip_addr) {0};
	const char *start = weft_json_text(pool, "start"), *end = weft_json_text(pool, "end");
	if (start != NULL && end != NULL) {
		weft_ip_parse(start, first);
		weft_ip_parse(end, last);
	}
}

static json_t *pool_new(const struct ip_addr *first, const struct ip_addr *last)
{
	char start[WEFT_IP_STRLEN], end[WEFT_IP_STRLEN];
	return json_pack("{s:s, s:s}", "start", weft_ip_text(first, start), "end",
			 weft_ip_text(last, end));
}

int weft_pools_read(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	static const char *const keys[] = {"start", "end", NULL};
	char buf[128];
	size_t i;
	json_t *v;
	int ret = weft_attr_list(a, in, MAX_POOLS, err);
	if (ret < 0)
		return ret;
	weft_auto(json) pools = json_array();
	json_array_foreach((json_t *)in, i, v) {
		struct ip_addr first, last;
		weft_pool_get(v, &first, &last);
		if (first.family == 0 || last.family == 0)
			return weft_attr_bad(a, err, "Invalid data format for IP pool: '%s'",
					     weft_json_quote(v, buf, sizeof(buf)));
		ret = weft_attr_known_keys(a, v, keys, err);
		if (ret < 0)
			return ret;
		json_array_append_new(pools, pool_new(&first, &last));
	}
	*out = weft_take(pools);
	return 0;
}

// The address before one that is not the first of its family.
static struct ip_addr before(const struct ip_addr *ip)
{
	struct ip_addr prev = *ip;
	for (size_t i = weft_ip_bits(ip) / 8u; i-- > 0;)
		if (prev.b[i]-- != 0)
			break;
	return prev;
}

json_t *weft_pools_default(const struct ip_prefix *cidr, const struct ip_addr *gateway)
{
	struct ip_addr first, last, next;
	weft_subnet_usable(cidr, &first, &last);
	json_t *pools = json_array();
	bool splits = weft_ip_compare(gateway, &first) >= 0 && weft_ip_compare(gateway, &last) <= 0;
	if (!splits) {
		json_array_append_new(pools, pool_new(&first, &last));
		return pools;
	}
	if (weft_ip_compare(gateway, &first) > 0) {
		struct ip_addr end = before(gateway);
		json_array_append_new(pools, pool_new(&first, &end));
	}
	if (weft_ip_compare(gateway, &last) < 0 && weft_ip_add(gateway, 1, &next))
		json_array_append_new(pools, pool_new(&next, &last));
	return pools;
}

static const char *pool_text(const json_t *pool, char buf[128])
{
	snprintf(buf, 128, "%s-%s", weft_json_text(pool, "start"), weft_json_text(pool, "end"));
	return buf;
}

static int check_one(const json_t *pool, const struct ip_prefix *cidr,
		     const struct ip_addr *gateway, struct err *err)
{
	char buf[128], text[WEFT_NET_STRLEN];
	struct ip_addr first, last, lowest, highest;
	weft_pool_get(pool, &first, &last);
	weft_subnet_usable(cidr, &lowest, &highest);
	if (first.family != cidr->ip.family || last.family != cidr->ip.family ||
	    weft_ip_compare(&last, &first) < 0)
		return weft_fail_as(err, -EINVAL, "InvalidAllocationPool",
				    "The allocation pool %s is not valid.", pool_text(pool, buf));
	if (weft_ip_compare(&first, &lowest) < 0 || weft_ip_compare(&last, &highest) > 0)
		return weft_fail_as(err, -EINVAL, "OutOfBoundsAllocationPool",
				    "The allocation pool %s spans beyond the subnet cidr %s.",
				    pool_text(pool, buf), weft_prefix_text(cidr, text));
	if (weft_ip_compare(gateway, &first) >= 0 && weft_ip_compare(gateway, &last) <= 0)
		return weft_fail_as(err, -EBUSY, "GatewayConflictWithAllocationPools",
				    "Gateway ip %s conflicts with allocation pool %s.",
				    weft_ip_text(gateway, text), pool_text(pool, buf));
	return 0;
}

int weft_pools_check(const json_t *pools, const struct ip_prefix *cidr,
		     const struct ip_addr *gateway, struct err *err)
{
	char buf[128], other[128], text[WEFT_NET_STRLEN];
	size_t i;
	json_t *pool;
	json_array_foreach((json_t *)pools, i, pool) {
		int ret = check_one(pool, cidr, gateway, err);
		if (ret < 0)
			return ret;
		struct ip_addr first, last, first2, last2;
		weft_pool_get(pool, &first, &last);
		for (size_t j = 0; j < i; j++) {
			const json_t *earlier = json_array_get(pools, j);
			weft_pool_get(earlier, &first2, &last2);
			if (weft_ip_compare(&first, &last2) > 0 ||
			    weft_ip_compare(&last, &first2) < 0)
				continue;
			return weft_fail_as(
				err, -EBUSY, "OverlappingAllocationPools",
				"Found overlapping allocation pools: %s %s for subnet %s.",
				pool_text(earlier, other), pool_text(pool, buf),
				weft_prefix_text(cidr, text));
		}
	}
	return 0;
}
