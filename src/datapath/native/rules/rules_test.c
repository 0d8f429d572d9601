// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/rules/rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ICMP = 1, TCP = 6, UDP = 17, DCCP = 33, GRE = 47, ICMP6 = 58, SCTP = 132, UDPLITE = 136 };

struct fixture {
	struct vstore *vs;
	struct sets *sets;
	struct plan_rule rules[16];
	struct plan_rule_set set;
	struct rules *compiled;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->vs = weft_vstore_new(NULL);
	f->sets = weft_sets_new(f->vs);
	f->set = (struct plan_rule_set) {.id = "group", .stateful = true, .rules = f->rules};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	weft_rules_free(f->compiled);
	weft_sets_free(f->sets);
	weft_vstore_free(f->vs);
	free(f);
	return 0;
}

// An ingress rule for any remote; the test changes what it is about. Its id is its place: "0",
// "1", ...
static struct plan_rule *rule(struct fixture *f, uint8_t family, int16_t proto)
{
	struct plan_rule *r = &f->rules[f->set.n_rules];

	*r = (struct plan_rule) {.direction = PLAN_INGRESS,
				 .family = family,
				 .proto = proto,
				 .icmp_type = -1,
				 .icmp_code = -1};
	snprintf(r->id, sizeof(r->id), "%zu", f->set.n_rules++);
	return r;
}

static struct plan_rule *ports(struct plan_rule *r, uint16_t min, uint16_t max)
{
	r->has_ports = true;
	r->port_min = min;
	r->port_max = max;
	return r;
}

static struct plan_rule *from(struct plan_rule *r, const char *prefix)
{
	r->remote = PLAN_REMOTE_PREFIX;
	assert_int_equal(weft_prefix_parse(prefix, &r->prefix), 0);
	return r;
}

static struct plan_rule *from_set(struct plan_rule *r, const char *set_id)
{
	r->remote = PLAN_REMOTE_SET;
	snprintf(r->set_id, sizeof(r->set_id), "%s", set_id);
	return r;
}

static void compile(struct fixture *f)
{
	struct err err = {0};

	weft_rules_free(f->compiled);
	f->compiled = NULL;
	if (weft_rules_compile(&f->set, f->sets, &f->compiled, &err) != 0)
		fail_msg("%s", err.msg);
}

static const char *ask(struct fixture *f, struct rule_query q, const char *remote)
{
	struct ip_addr ip;

	assert_int_equal(weft_ip_parse(remote, &ip), 0);
	q.family = ip.family;
	q.remote = ip.b;
	return weft_rules_permit(f->compiled, f->sets, weft_vstore_epoch(f->vs), &q);
}

static const char *in(struct fixture *f, const char *remote, uint8_t proto, uint16_t port)
{
	return ask(f,
		   (struct rule_query) {
			   .direction = PLAN_INGRESS, .proto = proto, .has_l4 = true, .port = port},
		   remote);
}

static const char *icmp_in(struct fixture *f, const char *remote, uint8_t type, uint8_t code)
{
	return ask(f,
		   (struct rule_query) {.direction = PLAN_INGRESS,
					.proto = strchr(remote, ':') ? ICMP6 : ICMP,
					.has_l4 = true,
					.icmp_type = type,
					.icmp_code = code},
		   remote);
}

static void group_without_rules_permits_nothing(void **state)
{
	struct fixture *f = *state;

	compile(f);
	assert_null(in(f, "10.0.0.1", TCP, 22));
	assert_null(in(f, "2001:db8::1", TCP, 22));
	assert_true(weft_rules_stateful(f->compiled));
	f->set.stateful = false;
	compile(f);
	assert_false(weft_rules_stateful(f->compiled));
}

static void port_range_admits_its_ends_and_nothing_beside(void **state)
{
	struct fixture *f = *state;

	ports(rule(f, 4, TCP), 12345, 12346);
	ports(rule(f, 4, UDP), 0, 0);
	ports(rule(f, 4, SCTP), 65535, 65535);
	compile(f);
	assert_null(in(f, "10.0.0.1", TCP, 12344));
	assert_string_equal(in(f, "10.0.0.1", TCP, 12345), "0");
	assert_string_equal(in(f, "10.0.0.1", TCP, 12346), "0");
	assert_null(in(f, "10.0.0.1", TCP, 12347));
	assert_null(in(f, "10.0.0.1", UDP, 12345));
	assert_string_equal(in(f, "10.0.0.1", UDP, 0), "1");
	assert_null(in(f, "10.0.0.1", UDP, 1));
	assert_null(in(f, "10.0.0.1", SCTP, 65534));
	assert_string_equal(in(f, "10.0.0.1", SCTP, 65535), "2");
}

static void every_protocol_with_ports_can_have_a_range_and_no_other(void **state)
{
	struct fixture *f = *state;
	const uint8_t with[] = {TCP, UDP, DCCP, SCTP, UDPLITE};
	struct rules *out = NULL;
	struct err err;

	for (size_t i = 0; i < sizeof(with); i++)
		ports(rule(f, 6, with[i]), 3366, 3366);
	compile(f);
	for (size_t i = 0; i < sizeof(with); i++) {
		assert_non_null(in(f, "::1", with[i], 3366));
		assert_null(in(f, "::1", with[i], 3367));
	}
	ports(rule(f, 4, GRE), 1, 2);
	assert_int_equal(weft_rules_compile(&f->set, f->sets, &out, &err), -EINVAL);
	assert_string_equal(err.msg, "rule 5: protocol 47 has no ports");
	assert_null(out);
}

static void overlapping_ranges_of_a_group_are_their_union(void **state)
{
	struct fixture *f = *state;

	ports(rule(f, 4, TCP), 100, 200);
	ports(rule(f, 4, TCP), 150, 300);
	ports(rule(f, 4, TCP), 160, 170);
	ports(rule(f, 4, TCP), 301, 301);
	ports(rule(f, 4, TCP), 65000, 65535);
	ports(rule(f, 4, TCP), 65535, 65535);
	compile(f);
	assert_null(in(f, "10.0.0.1", TCP, 99));
	assert_string_equal(in(f, "10.0.0.1", TCP, 165), "0");
	assert_string_equal(in(f, "10.0.0.1", TCP, 201), "1");
	assert_string_equal(in(f, "10.0.0.1", TCP, 301), "3");
	assert_null(in(f, "10.0.0.1", TCP, 302));
	assert_string_equal(in(f, "10.0.0.1", TCP, 65535), "4");
}

static void later_fragment_passes_only_where_no_port_is_asked_for(void **state)
{
	struct fixture *f = *state;
	struct rule_query q = {.direction = PLAN_INGRESS, .proto = UDP, .port = 53};

	ports(rule(f, 4, UDP), 1, 65535);
	rule(f, 4, ICMP)->icmp_type = 0;
	compile(f);
	assert_null(ask(f, q, "10.0.0.1"));
	q.proto = ICMP;
	assert_null(ask(f, q, "10.0.0.1"));
	rule(f, 4, UDP);
	rule(f, 4, ICMP);
	compile(f);
	assert_string_equal(ask(f, q, "10.0.0.1"), "3");
	q.proto = UDP;
	assert_string_equal(ask(f, q, "10.0.0.1"), "2");
}

static void icmp_type_without_code_admits_all_its_codes(void **state)
{
	struct fixture *f = *state;
	struct plan_rule *r;

	rule(f, 4, ICMP)->icmp_type = 3;
	r = rule(f, 4, ICMP);
	r->icmp_type = 0; // legal values, both
	r->icmp_code = 0;
	r = rule(f, 6, ICMP6);
	r->icmp_type = 255;
	r->icmp_code = 255;
	compile(f);
	assert_string_equal(icmp_in(f, "10.0.0.1", 3, 0), "0");
	assert_string_equal(icmp_in(f, "10.0.0.1", 3, 255), "0");
	assert_null(icmp_in(f, "10.0.0.1", 4, 0));
	assert_null(icmp_in(f, "10.0.0.1", 2, 255));
	assert_string_equal(icmp_in(f, "10.0.0.1", 0, 0), "1");
	assert_null(icmp_in(f, "10.0.0.1", 0, 1));
	assert_null(icmp_in(f, "::1", 0, 0));
	assert_string_equal(icmp_in(f, "::1", 255, 255), "2");
	assert_null(icmp_in(f, "::1", 255, 254));
}

static void icmp_rule_without_type_admits_every_type_of_its_family_only(void **state)
{
	struct fixture *f = *state;

	rule(f, 4, ICMP);
	compile(f);
	assert_non_null(icmp_in(f, "10.0.0.1", 0, 0));
	assert_non_null(icmp_in(f, "10.0.0.1", 8, 0));
	assert_null(icmp_in(f, "::1", 128, 0));
	assert_null(in(f, "10.0.0.1", ICMP6, 0));
}

static void any_protocol_means_all_of_its_family_and_none_of_the_other(void **state)
{
	struct fixture *f = *state;

	rule(f, 6, -1);
	compile(f);
	for (int proto = 0; proto < 256; proto++) {
		assert_string_equal(in(f, "2001:db8::1", (uint8_t)proto, 7), "0");
		assert_null(in(f, "10.0.0.1", (uint8_t)proto, 7));
	}
}

static void other_protocol_rule_admits_only_that_protocol(void **state)
{
	struct fixture *f = *state;

	rule(f, 4, GRE);
	rule(f, 4, 0); // hop-by-hop is a protocol, not "any"
	compile(f);
	for (int proto = 0; proto < 256; proto++)
		if (proto == GRE || proto == 0)
			assert_non_null(in(f, "10.0.0.1", (uint8_t)proto, 0));
		else
			assert_null(in(f, "10.0.0.1", (uint8_t)proto, 0));
}

static void directions_do_not_mix(void **state)
{
	struct fixture *f = *state;
	struct rule_query out = {
		.direction = PLAN_EGRESS, .proto = TCP, .has_l4 = true, .port = 80};

	rule(f, 4, TCP)->direction = PLAN_EGRESS;
	rule(f, 6, TCP);
	compile(f);
	assert_null(in(f, "10.0.0.1", TCP, 80));
	assert_non_null(ask(f, out, "10.0.0.1"));
	assert_non_null(in(f, "::1", TCP, 80));
	assert_null(ask(f, out, "::1"));
}

static void prefix_admits_its_first_and_last_address_and_none_beside(void **state)
{
	struct fixture *f = *state;

	from(rule(f, 4, TCP), "10.1.2.77/24"); // host bits do not count
	from(rule(f, 4, TCP), "255.255.255.255/32");
	from(rule(f, 4, TCP), "0.0.0.0/32");
	from(rule(f, 6, TCP), "2001:db8::/32");
	from(rule(f, 6, TCP), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128");
	compile(f);
	assert_null(in(f, "10.1.1.255", TCP, 1));
	assert_string_equal(in(f, "10.1.2.0", TCP, 1), "0");
	assert_string_equal(in(f, "10.1.2.255", TCP, 1), "0");
	assert_null(in(f, "10.1.3.0", TCP, 1));
	assert_string_equal(in(f, "255.255.255.255", TCP, 1), "1");
	assert_null(in(f, "255.255.255.254", TCP, 1));
	assert_string_equal(in(f, "0.0.0.0", TCP, 1), "2");
	assert_null(in(f, "0.0.0.1", TCP, 1));
	assert_string_equal(in(f, "2001:db8::", TCP, 1), "3");
	assert_string_equal(in(f, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", TCP, 1), "3");
	assert_null(in(f, "2001:db9::", TCP, 1));
	assert_null(in(f, "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", TCP, 1));
	assert_string_equal(in(f, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", TCP, 1), "4");
}

static void enclosing_prefixes_count_as_well_as_the_longest(void **state)
{
	struct fixture *f = *state;

	ports(from(rule(f, 4, TCP), "10.0.0.0/8"), 8, 8);
	ports(from(rule(f, 4, TCP), "10.1.0.0/16"), 16, 16);
	ports(from(rule(f, 4, TCP), "10.1.1.0/24"), 24, 24);
	ports(from(rule(f, 4, TCP), "10.1.1.1/32"), 32, 32);
	ports(from(rule(f, 4, TCP), "10.1.2.0/24"), 25, 25);
	ports(rule(f, 4, TCP), 1, 1);
	compile(f);
	for (uint16_t port = 0; port < 40; port++) {
		bool host = port == 1 || port == 8 || port == 16 || port == 24 || port == 32;

		assert_true(host == (in(f, "10.1.1.1", TCP, port) != NULL));
		assert_true((host && port != 32) == (in(f, "10.1.1.2", TCP, port) != NULL));
		assert_true((port == 1 || port == 8 || port == 16) ==
			    (in(f, "10.1.3.0", TCP, port) != NULL));
		assert_true((port == 1 || port == 8) == (in(f, "10.2.0.0", TCP, port) != NULL));
		assert_true((port == 1) == (in(f, "11.0.0.0", TCP, port) != NULL));
	}
}

static void prefixes_of_every_length_around_one_address_nest(void **state)
{
	struct fixture *f = *state;
	struct plan_rule many[129];

	f->set.rules = many;
	for (int len = 0; len <= 128; len++) {
		struct plan_rule *r = &many[len];

		f->set.n_rules = 0;
		f->set.rules = f->rules;
		*r = *ports(from(rule(f, 6, TCP), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
			    (uint16_t)len, (uint16_t)len);
		r->prefix.len = (uint8_t)len;
		snprintf(r->id, sizeof(r->id), "%d", len);
	}
	f->set.rules = many;
	f->set.n_rules = 129;
	compile(f);
	for (int len = 0; len <= 128; len++) {
		struct ip_addr ip;
		char text[WEFT_IP_STRLEN];
		struct rule_query q = {.proto = TCP, .has_l4 = true, .direction = PLAN_INGRESS};

		memset(ip.b, 0xff, 16); // the address that leaves after `len` bits
		ip.family = 6;
		if (len < 128)
			ip.b[len / 8] ^= (uint8_t)(0x80 >> len % 8);
		for (int port = 0; port <= 128; port++) {
			q.port = (uint16_t)port;
			assert_true((port <= len) == (ask(f, q, weft_ip_text(&ip, text)) != NULL));
		}
	}
	f->set.rules = f->rules;
}

static void prefix_of_length_zero_is_any_address_of_the_family(void **state)
{
	struct fixture *f = *state;

	from(rule(f, 4, TCP), "0.0.0.0/0");
	compile(f);
	assert_non_null(in(f, "255.1.1.1", TCP, 1));
	assert_null(in(f, "::1", TCP, 1));
}

static void member_of_the_remote_set_is_admitted_as_soon_as_it_is_one(void **state)
{
	struct fixture *f = *state;
	struct ip_prefix p;

	weft_prefix_parse("10.0.0.9/32", &p);
	ports(from_set(rule(f, 4, TCP), "g1"), 3333, 3333);
	from_set(rule(f, 4, -1), "g2");
	compile(f);
	assert_null(in(f, "10.0.0.9", TCP, 3333));
	weft_sets_add(f->sets, "g1", &p);
	assert_null(in(f, "10.0.0.9", TCP, 3333));
	weft_vstore_commit(f->vs);
	assert_string_equal(in(f, "10.0.0.9", TCP, 3333), "0");
	assert_null(in(f, "10.0.0.9", TCP, 3334));
	assert_null(in(f, "10.0.0.8", TCP, 3333));
	weft_sets_add(f->sets, "g2", &p);
	weft_vstore_commit(f->vs);
	assert_string_equal(in(f, "10.0.0.9", TCP, 3334), "1");
	weft_sets_remove(f->sets, "g1", &p);
	weft_sets_remove(f->sets, "g2", &p);
	weft_vstore_commit(f->vs);
	assert_null(in(f, "10.0.0.9", TCP, 3333));
}

static void compiled_rules_keep_their_sets_numbers(void **state)
{
	struct fixture *f = *state;
	struct ip_prefix p;
	uint32_t number;

	weft_prefix_parse("10.0.0.9/32", &p);
	from_set(rule(f, 4, -1), "g1");
	from_set(rule(f, 4, TCP), "g1");
	compile(f);
	number = weft_sets_number(f->sets, "g1");
	weft_sets_add(f->sets, "g1", &p);
	weft_vstore_commit(f->vs);
	weft_sets_remove(f->sets, "g1", &p);
	weft_vstore_commit(f->vs);
	assert_string_equal(weft_sets_id(f->sets, number), "g1");
	weft_rules_free(f->compiled);
	f->compiled = NULL;
	assert_null(weft_sets_id(f->sets, number));
}

static void refused_rule_set_is_named_and_leaves_no_set_behind(void **state)
{
	struct fixture *f = *state;
	struct rules *out = NULL;
	struct err err;
	struct plan_rule *r;

	from_set(rule(f, 4, TCP), "g1");
	r = rule(f, 4, TCP);
#define REFUSED(why)                                                                         \
	do {                                                                                 \
		assert_int_equal(weft_rules_compile(&f->set, f->sets, &out, &err), -EINVAL); \
		assert_string_equal(err.msg, "rule 1: " why);                                \
		assert_null(weft_sets_id(f->sets, 1));                                       \
		f->set.n_rules--;                                                            \
		r = rule(f, 4, TCP);                                                         \
	} while (0)
	ports(r, 2, 1);
	REFUSED("port range 2-1 is empty");
	r->family = 5;
	REFUSED("there is no IPv5");
	r->proto = 256;
	REFUSED("there is no protocol 256");
	r->direction = 7;
	REFUSED("unknown direction");
	from(r, "::/0");
	REFUSED("its remote prefix is not of IPv4");
	from_set(r, "");
	REFUSED("its remote set has no id");
	r->proto = ICMP;
	r->icmp_code = 3;
	REFUSED("ICMP type -1 with code 3 cannot be");
	r->proto = ICMP;
	r->icmp_type = 256;
	REFUSED("ICMP type 256 with code -1 cannot be");
}

static void compiled_rules_do_not_need_the_plan(void **state)
{
	struct fixture *f = *state;

	ports(from(rule(f, 4, TCP), "10.0.0.0/8"), 22, 22);
	compile(f);
	memset(f->rules, 0xff, sizeof(f->rules));
	assert_string_equal(in(f, "10.0.0.1", TCP, 22), "0");
	assert_true(weft_rules_memory(f->compiled) > 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(group_without_rules_permits_nothing),
		TEST(port_range_admits_its_ends_and_nothing_beside),
		TEST(every_protocol_with_ports_can_have_a_range_and_no_other),
		TEST(overlapping_ranges_of_a_group_are_their_union),
		TEST(later_fragment_passes_only_where_no_port_is_asked_for),
		TEST(icmp_type_without_code_admits_all_its_codes),
		TEST(icmp_rule_without_type_admits_every_type_of_its_family_only),
		TEST(any_protocol_means_all_of_its_family_and_none_of_the_other),
		TEST(other_protocol_rule_admits_only_that_protocol),
		TEST(directions_do_not_mix),
		TEST(prefix_admits_its_first_and_last_address_and_none_beside),
		TEST(enclosing_prefixes_count_as_well_as_the_longest),
		TEST(prefixes_of_every_length_around_one_address_nest),
		TEST(prefix_of_length_zero_is_any_address_of_the_family),
		TEST(member_of_the_remote_set_is_admitted_as_soon_as_it_is_one),
		TEST(compiled_rules_keep_their_sets_numbers),
		TEST(refused_rule_set_is_named_and_leaves_no_set_behind),
		TEST(compiled_rules_do_not_need_the_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
