// SPDX-License-Identifier: Apache-2.0
#include "model/subnet_pool.h"

#include <errno.h>

#include "model/model_testing.h"

static const struct object *pool_new(struct model *m, const char *attributes)
{
	const struct object *o;
	assert_done(post(m, &alice, RES_SUBNET_POOL, &o, "{'name': 'p', %s}", attributes));
	return o;
}

// A subnet on a network of its own.
static int cut(struct model *m, const struct object *pool, int version, const char *more,
	       const struct object **out)
{
	const struct object *network;
	assert_done(post(m, &alice, RES_NETWORK, &network, "{}"));
	return post(m, &alice, RES_SUBNET, out,
		    "{'network_id': '%s', 'ip_version': %d, 'subnetpool_id': '%s'%s}", network->id,
		    version, pool->id, more);
}

static void assert_prefixes(const struct object *pool, const char *want)
{
	char buf[256];
	assert_string_equal(
		weft_json_quote(json_object_get(pool->attr, "prefixes"), buf, sizeof(buf)), want);
}

static void prefixes_are_as_few_as_say_the_same(void **state)
{
	(void)state;
	struct model *m = model_new();
	assert_prefixes(pool_new(m, "'prefixes': ['10.1.0.0/24', '10.0.1.0/24', '10.0.0.7/24', "
				    "'10.1.0.128/25', '10.0.2.0/24']"),
			"[\"10.0.0.0/23\",\"10.0.2.0/24\",\"10.1.0.0/24\"]");
	const struct object *o =
		pool_new(m, "'prefixes': ['2001:db8::/32'], 'min_prefixlen': '48'");
	assert_int_equal(weft_json_int(o->attr, "ip_version", 0), 6);
	assert_int_equal(weft_json_int(o->attr, "default_prefixlen", 0), 48);
	assert_int_equal(weft_json_int(o->attr, "max_prefixlen", 0), 128);
	weft_auto(json) shown = weft_model_render(m, o);
	assert_string_equal(weft_json_text(shown, "min_prefixlen"), "48");
	static const struct {
		const char *attributes, *kind;
	} bad[] = {
		{"'prefixes': []", "EmptySubnetPoolPrefixList"},
		{"'prefixes': ['10.0.0.0/8', 'fd00::/8']", "PrefixVersionMismatch"},
		{"'prefixes': ['10.0.0.0']", "HTTPBadRequest"},
		{"'prefixes': ['ten']", "HTTPBadRequest"},
		{"'prefixes': ['10.0.0.0/8'], 'max_prefixlen': 33",
		 "IllegalSubnetPoolPrefixBounds"},
		{"'prefixes': ['10.0.0.0/8'], 'min_prefixlen': 25, 'max_prefixlen': 24",
		 "IllegalSubnetPoolPrefixBounds"},
		{"'prefixes': ['10.0.0.0/8'], 'min_prefixlen': 25, 'default_prefixlen': 24",
		 "IllegalSubnetPoolPrefixBounds"},
		{"'prefixes': ['10.0.0.0/8'], 'max_prefixlen': 25, 'default_prefixlen': 26",
		 "IllegalSubnetPoolPrefixBounds"},
		{"'is_default': false", "HTTPBadRequest"},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(post(m, &alice, RES_SUBNET_POOL, NULL, "{%s}", bad[i].attributes),
			       -EINVAL, bad[i].kind);
	weft_model_free(m);
}

static void no_address_is_in_two_subnets_of_a_pool(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *pool = pool_new(m, "'prefixes': ['10.0.0.0/29', '10.0.1.0/28'], "
						"'default_prefixlen': 29"),
			    *o;
	static const struct {
		const char *more, *cidr;
	} cases[] = {
		{", 'cidr': '10.0.0.4/30'", "10.0.0.4/30"}, {"", "10.0.1.0/29"},
		{", 'prefixlen': 30", "10.0.0.0/30"},	    {", 'prefixlen': 30", "10.0.1.8/30"},
		{", 'prefixlen': 30", "10.0.1.12/30"},
	};
	char first[WEFT_ID_LEN + 1] = "";
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_done(cut(m, pool, 4, cases[i].more, &o));
		assert_string_equal(text_of(o, "cidr"), cases[i].cidr);
		assert_string_equal(text_of(o, "subnetpool_id"), pool->id);
		if (i == 0)
			strcpy(first, o->id);
	}
	assert_refused(cut(m, pool, 4, ", 'prefixlen': 30", NULL), -ENOSPC,
		       "SubnetAllocationError");
	assert_refused(cut(m, pool, 4, ", 'cidr': '10.0.0.0/30'", NULL), -ENOSPC,
		       "SubnetAllocationError");
	assert_refused(drop(m, &alice, RES_SUBNET_POOL, pool->id), -EINVAL,
		       "SubnetPoolDeleteError");
	assert_done(drop(m, &alice, RES_SUBNET, first));
	assert_done(cut(m, pool, 4, ", 'prefixlen': 30", &o));
	assert_string_equal(text_of(o, "cidr"), "10.0.0.4/30");
	weft_model_free(m);
}

static void the_last_piece_of_all_addresses_is_found_and_no_other_after_it(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *o, *pool = pool_new(m, "'prefixes': ['ffff:ffff:ffff:fffe::/63']");
	assert_done(cut(m, pool, 6, ", 'enable_dhcp': false, 'gateway_ip': null", &o));
	assert_done(cut(m, pool, 6, ", 'enable_dhcp': false, 'gateway_ip': null", &o));
	assert_string_equal(text_of(o, "cidr"), "ffff:ffff:ffff:ffff::/64");
	assert_refused(cut(m, pool, 6, "", NULL), -ENOSPC, "SubnetAllocationError");
	weft_model_free(m);
}

static void a_pool_says_how_large_and_how_much(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *pool = pool_new(m, "'prefixes': ['10.0.0.0/16'], 'min_prefixlen': 24, "
						"'max_prefixlen': 28, 'default_quota': 288");
	assert_refused(cut(m, pool, 4, ", 'prefixlen': 23", NULL), -EINVAL,
		       "MinPrefixSubnetAllocationError");
	assert_refused(cut(m, pool, 4, ", 'prefixlen': 29", NULL), -EINVAL,
		       "MaxPrefixSubnetAllocationError");
	assert_refused(cut(m, pool, 6, "", NULL), -EINVAL, "BadRequest");
	assert_refused(cut(m, pool, 4, ", 'prefixlen': 24, 'cidr': '10.0.0.0/24'", NULL), -EINVAL,
		       "BadRequest");
	assert_refused(cut(m, pool, 4, ", 'cidr': '10.1.0.0/24'", NULL), -ENOSPC,
		       "SubnetAllocationError");
	assert_done(cut(m, pool, 4, "", NULL)); // 256
	assert_refused(cut(m, pool, 4, "", NULL), -EBUSY, "SubnetPoolQuotaExceeded");
	assert_done(cut(m, pool, 4, ", 'prefixlen': 27", NULL)); // 32
	assert_refused(cut(m, pool, 4, ", 'prefixlen': 28", NULL), -EBUSY,
		       "SubnetPoolQuotaExceeded");
	weft_model_free(m);
}

static void subnets_of_a_network_are_of_one_pool(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *net = alices_network(m),
			    *pool = pool_new(m, "'prefixes': ['10.9.0.0/16']");
	assert_refused(post(m, &alice, RES_SUBNET, NULL,
			    "{'network_id': '%s', 'ip_version': 4, 'subnetpool_id': '%s', "
			    "'prefixlen': 24}",
			    net->id, pool->id),
		       -EINVAL, "NetworkSubnetPoolAffinityError");
	assert_done(post(m, &alice, RES_SUBNET, NULL,
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.1.0.0/24'}", net->id));
	weft_model_free(m);
}

static void a_pool_grows_and_does_not_shrink(void **state)
{
	(void)state;
	struct model *m = model_new();
	const struct object *pool = pool_new(m, "'prefixes': ['10.0.0.0/24']");
	assert_refused(put(m, &alice, RES_SUBNET_POOL, pool->id, NULL,
			   "{'prefixes': ['10.0.0.0/25']}"),
		       -EINVAL, "IllegalSubnetPoolPrefixUpdate");
	assert_done(
		put(m, &alice, RES_SUBNET_POOL, pool->id, &pool,
		    "{'prefixes': ['10.0.0.0/16'], 'min_prefixlen': 20, 'default_prefixlen': 24}"));
	assert_prefixes(pool, "[\"10.0.0.0/16\"]");
	assert_refused(put(m, &alice, RES_SUBNET_POOL, pool->id, NULL, "{'max_prefixlen': 19}"),
		       -EINVAL, "IllegalSubnetPoolPrefixBounds");
	assert_refused(put(m, &admin, RES_SUBNET_POOL, pool->id, NULL, "{'shared': true}"), -EINVAL,
		       "HTTPBadRequest");
	assert_refused(post(m, &alice, RES_SUBNET_POOL, NULL,
			    "{'prefixes': ['10.0.0.0/24'], 'shared': true}"),
		       -EPERM, "PolicyNotAuthorized");
	assert_false(weft_model_visible(m, &bob, pool));
	assert_done(post(m, &admin, RES_SUBNET_POOL, &pool,
			 "{'prefixes': ['10.0.0.0/24'], 'shared': true}"));
	assert_true(weft_model_visible(m, &bob, pool));
	weft_model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prefixes_are_as_few_as_say_the_same),
		cmocka_unit_test(no_address_is_in_two_subnets_of_a_pool),
		cmocka_unit_test(the_last_piece_of_all_addresses_is_found_and_no_other_after_it),
		cmocka_unit_test(a_pool_says_how_large_and_how_much),
		cmocka_unit_test(subnets_of_a_network_are_of_one_pool),
		cmocka_unit_test(a_pool_grows_and_does_not_shrink),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
