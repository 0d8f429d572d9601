// SPDX-License-Identifier: Apache-2.0
// The rule compiler against the reference matcher, on random rule sets and packets. Addresses and
// ports come from small pools and from the edges of the rules at hand, so that prefixes nest,
// ranges overlap and packets fall just inside or outside. WEFT_SEED and WEFT_ROUNDS in the
// environment choose another or a longer run.
#include "datapath/native/rules/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/native/testing/rules_reference.h"
#include "datapath/native/testing/rounds.h"
#include "plan/diff.h"

enum { SETS = 6, MEMBERS = 30, MAX_RULES = 400 };

struct world {
	struct vstore *vs;
	struct sets *sets;
	struct {
		bool there;
		int set;
		struct ip_prefix prefix;
	} members[MEMBERS];
	struct plan_rule rules[MAX_RULES];
	struct plan_rule_set set;
	long hits, misses;
};

static uint64_t seed = 20240607;

static uint32_t rnd(uint32_t n) // below n
{
	seed = seed * 6364136223846793005 + 1442695040888963407;
	return (uint32_t)((seed >> 33) % n);
}

static void begin(struct world *w)
{
	const char *text = getenv("WEFT_SEED");

	if (text != NULL)
		seed = strtoull(text, NULL, 0);
	memset(w, 0, sizeof(*w));
	w->vs = weft_vstore_new(NULL);
	w->sets = weft_sets_new(w->vs);
	w->set.rules = w->rules;
}

static void end(struct world *w)
{
	weft_sets_free(w->sets);
	weft_vstore_free(w->vs);
}

static int rounds(int standard)
{
	const char *text = getenv("WEFT_ROUNDS");

	return text != NULL ? atoi(text) : standard;
}

// ---- Random rules --------------------------------------------------------------------------

static struct ip_addr random_ip(uint8_t family)
{
	static const uint8_t bytes[] = {0x00, 0xff, 0x0a, 0x80, 0x7f, 0x01};
	struct ip_addr ip = {.family = family};

	for (int i = 0; i < (family == 4 ? 4 : 16); i++)
		ip.b[i] = bytes[rnd(i < 2 ? 2 : sizeof(bytes))];
	return ip;
}

static struct ip_prefix random_prefix(uint8_t family)
{
	struct ip_prefix p = {.ip = random_ip(family)};
	uint8_t bits = family == 4 ? 32 : 128;

	switch (rnd(4)) {
	case 0:
		p.len = bits;
		break;
	case 1:
		p.len = (uint8_t)(8 * rnd(bits / 8 + 1u));
		break;
	default:
		p.len = (uint8_t)rnd(bits + 1u);
	}
	return rnd(4) == 0 ? p : weft_prefix_masked(&p);
}

static uint16_t random_port(void)
{
	static const uint16_t ports[] = {0, 1, 22, 80, 81, 443, 1024, 32767, 32768, 65534, 65535};

	return rnd(3) == 0 ? (uint16_t)rnd(65536) : ports[rnd(sizeof(ports) / sizeof(ports[0]))];
}

static int16_t random_proto(uint8_t family)
{
	static const int16_t protos[] = {6, 6, 6, 17, 17, 132, 33, 136, 47, 0, 255, -1};

	if (rnd(4) == 0)
		return family == 4 ? 1 : 58;
	if (rnd(8) == 0)
		return (int16_t)rnd(256);
	return protos[rnd(sizeof(protos) / sizeof(protos[0]))];
}

static bool can_have_ports(int proto)
{
	return proto == 6 || proto == 17 || proto == 33 || proto == 132 || proto == 136;
}

static void set_name(char id[WEFT_ID_LEN + 1], uint32_t set)
{
	snprintf(id, WEFT_ID_LEN + 1, "set-%u", set);
}

static void random_content(struct plan_rule *r)
{
	r->proto = random_proto(r->family);
	r->has_ports = false;
	r->icmp_type = r->icmp_code = -1;
	if (can_have_ports(r->proto) && rnd(6) != 0) {
		uint16_t a = random_port(), b = rnd(3) == 0 ? a : random_port();

		r->has_ports = true;
		r->port_min = a < b ? a : b;
		r->port_max = a < b ? b : a;
	}
	if (r->proto == (r->family == 4 ? 1 : 58) && rnd(4) != 0) {
		r->icmp_type = (int16_t)(rnd(3) == 0 ? 255 * rnd(2) : rnd(5));
		if (rnd(2) != 0)
			r->icmp_code = (int16_t)(rnd(3) == 0 ? 255 * rnd(2) : rnd(4));
	}
}

static void random_remote(struct plan_rule *r)
{
	r->remote = rnd(8) == 0	  ? PLAN_REMOTE_ANY
		    : rnd(3) == 0 ? PLAN_REMOTE_SET
				  : PLAN_REMOTE_PREFIX;
	memset(r->set_id, 0, sizeof(r->set_id));
	if (r->remote == PLAN_REMOTE_PREFIX)
		r->prefix = random_prefix(r->family);
	if (r->remote == PLAN_REMOTE_SET)
		set_name(r->set_id, rnd(SETS));
}

static void random_rule(struct plan_rule *r, uint32_t id)
{
	memset(r, 0, sizeof(*r));
	snprintf(r->id, sizeof(r->id), "%u", id);
	r->direction = rnd(2) ? PLAN_INGRESS : PLAN_EGRESS;
	r->family = rnd(2) ? 4 : 6;
	random_content(r);
	random_remote(r);
}

static void random_rules(struct world *w)
{
	static const uint32_t sizes[] = {1, 3, 8, 20, 60, MAX_RULES};

	w->set.n_rules = rnd(sizes[rnd(6)] + 1);
	for (uint32_t i = 0; i < w->set.n_rules; i++)
		random_rule(&w->rules[i], i);
}

static void change_members(struct world *w)
{
	for (int n = 0; n < 6; n++) {
		uint32_t i = rnd(MEMBERS);
		char id[WEFT_ID_LEN + 1];
		bool twice = false;

		set_name(id, (uint32_t)w->members[i].set);
		if (w->members[i].there) {
			w->members[i].there = false;
			assert_int_equal(weft_sets_remove(w->sets, id, &w->members[i].prefix), 0);
			continue;
		}
		w->members[i].set = (int)rnd(SETS);
		w->members[i].prefix = random_prefix(rnd(2) ? 4 : 6);
		for (int j = 0; j < MEMBERS; j++)
			twice |= w->members[j].there && w->members[j].set == w->members[i].set &&
				 weft_prefix_equal(&w->members[j].prefix, &w->members[i].prefix);
		if (twice)
			continue;
		w->members[i].there = true;
		set_name(id, (uint32_t)w->members[i].set);
		assert_int_equal(weft_sets_add(w->sets, id, &w->members[i].prefix), 0);
	}
	weft_vstore_commit(w->vs);
}

// ---- Random packets ------------------------------------------------------------------------

// The first or last address of a prefix, or the one before or behind it.
static struct ip_addr edge(const struct ip_prefix *p)
{
	struct ip_addr ip = rnd(2) ? weft_prefix_first(p) : weft_prefix_last(p);
	int by = (int)rnd(3) - 1;

	for (int i = (ip.family == 4 ? 4 : 16) - 1; by != 0 && i >= 0; i--) {
		uint8_t was = ip.b[i];

		ip.b[i] = (uint8_t)(was + by);
		if (was != (by > 0 ? 0xff : 0x00))
			by = 0; // no carry
	}
	return ip;
}

static struct ip_addr random_remote_of(const struct world *w, const struct plan_rule *r,
				       uint8_t family)
{
	uint32_t member = rnd(MEMBERS);

	if (r != NULL && r->remote == PLAN_REMOTE_PREFIX && rnd(4) != 0)
		return edge(&r->prefix);
	if (w->members[member].there && w->members[member].prefix.ip.family == family &&
	    rnd(2) == 0)
		return edge(&w->members[member].prefix);
	return random_ip(family);
}

static void random_query(const struct world *w, struct rule_query *q, struct ip_addr *remote)
{
	const struct plan_rule *r =
		w->set.n_rules > 0 && rnd(8) != 0 ? &w->rules[rnd((uint32_t)w->set.n_rules)] : NULL;

	*q = (struct rule_query) {.direction = rnd(2) ? PLAN_INGRESS : PLAN_EGRESS,
				  .family = rnd(2) ? 4 : 6,
				  .has_l4 = rnd(10) != 0,
				  .port = random_port(),
				  .icmp_type = (uint8_t)(rnd(2) ? rnd(6) : 255),
				  .icmp_code = (uint8_t)(rnd(2) ? rnd(5) : 255)};
	q->proto = (uint8_t)random_proto(q->family);
	if (r != NULL) { // near the rule
		q->direction = r->direction;
		q->family = r->family;
		q->proto = r->proto >= 0 ? (uint8_t)r->proto : q->proto;
		if (r->has_ports)
			q->port = (uint16_t)((rnd(2) ? r->port_min : r->port_max) + rnd(3) - 1);
		if (r->icmp_type >= 0)
			q->icmp_type = (uint8_t)(r->icmp_type + (int)rnd(3) - 1);
		if (r->icmp_code >= 0)
			q->icmp_code = (uint8_t)(r->icmp_code + (int)rnd(3) - 1);
	}
	*remote = random_remote_of(w, r, q->family);
	q->remote = remote->b;
}

static bool in_set(const char *set_id, const struct ip_addr *ip, void *arg)
{
	const struct world *w = arg;
	char id[WEFT_ID_LEN + 1];

	for (int i = 0; i < MEMBERS; i++) {
		set_name(id, (uint32_t)w->members[i].set);
		if (w->members[i].there && strcmp(id, set_id) == 0 &&
		    weft_prefix_contains(&w->members[i].prefix, ip))
			return true;
	}
	return false;
}

static bool reference_permits(struct world *w, const struct plan_rule_set *set,
			      const struct rule_query *q)
{
	for (size_t i = 0; i < set->n_rules; i++)
		if (reference_match(&set->rules[i], q, in_set, w))
			return true;
	return false;
}

// ---- The properties ------------------------------------------------------------------------

static void check_query(struct world *w, const struct rules *compiled)
{
	struct rule_query q;
	struct ip_addr remote;
	char text[WEFT_IP_STRLEN];
	const char *id;
	bool expected;

	random_query(w, &q, &remote);
	id = weft_rules_permit(compiled, w->sets, weft_vstore_epoch(w->vs), &q);
	expected = reference_permits(w, &w->set, &q);
	w->hits += expected;
	w->misses += !expected;
	if (expected != (id != NULL) ||
	    (id != NULL && !reference_match(&w->rules[atoi(id)], &q, in_set, w)))
		fail_msg(
			"%zu rules, direction %d, proto %d, l4 %d, port %d, icmp %d/%d, remote %s: "
			"expected %d, got %s",
			w->set.n_rules, q.direction, q.proto, q.has_l4, q.port, q.icmp_type,
			q.icmp_code, weft_ip_text(&remote, text), expected, id ? id : "nothing");
}

static void compiled_rules_permit_exactly_what_the_reference_permits(void **state)
{
	(void)state;
	static struct world w;
	struct rules *compiled;
	struct err err;

	begin(&w);
	for (int round = rounds(800); round > 0; round--) {
		random_rules(&w);
		change_members(&w);
		assert_int_equal(weft_rules_compile(&w.set, w.sets, &compiled, &err), 0);
		for (int i = 0; i < 250; i++)
			check_query(&w, compiled);
		change_members(&w); // under compiled rules
		for (int i = 0; i < 250; i++)
			check_query(&w, compiled);
		weft_rules_free(compiled);
	}
	// Both answers must have been tried often, or the test says little.
	assert_true(w.hits > w.misses / 8 && w.misses > w.hits / 8);
	end(&w);
}

// A rule becomes wider or narrower, goes, comes, or only changes its place.
static void mutate(struct plan_rule_set *set, uint32_t id)
{
	struct plan_rule *r = set->n_rules > 0 ? &set->rules[rnd((uint32_t)set->n_rules)] : NULL;
	struct plan_rule swap;

	if (r == NULL || (rnd(3) == 0 && set->n_rules < MAX_RULES)) {
		random_rule(&set->rules[set->n_rules++], id);
		return;
	}
	switch (rnd(8)) {
	case 0:
		*r = set->rules[--set->n_rules];
		break;
	case 1:
		r->port_min = r->port_min > 0 && rnd(2) ? r->port_min - 1 : r->port_min;
		r->port_max = r->port_max < 65535 ? r->port_max + 1 : r->port_max;
		break;
	case 2:
		if (r->remote == PLAN_REMOTE_PREFIX && r->prefix.len > 0)
			r->prefix.len -= 1;
		break;
	case 3:
		if (r->remote == PLAN_REMOTE_PREFIX && r->prefix.len < (r->family == 4 ? 32 : 128))
			r->prefix.len += 1;
		break;
	case 4:
		random_remote(r);
		break;
	case 5:
		if (rnd(2))
			r->has_ports = false;
		else
			r->icmp_code = -1;
		break;
	case 6:
		random_content(r);
		break;
	default:
		swap = *r;
		*r = set->rules[0];
		set->rules[0] = swap;
	}
}

static void nothing_is_lost_when_only_rules_were_added(void **state)
{
	(void)state;
	static struct world w;
	static struct plan_rule before_rules[MAX_RULES];
	struct plan_rule_set before;
	long yes = 0, no = 0;

	begin(&w);
	for (int round = rounds(ROUNDS(6000)); round > 0; round--) {
		if (round % 16 == 0) {
			random_rules(&w);
			w.set.n_rules %= 24;
			change_members(&w);
		}
		before = w.set;
		before.rules = before_rules;
		memcpy(before_rules, w.rules, w.set.n_rules * sizeof(w.rules[0]));
		for (uint32_t n = rnd(3); n > 0; n--)
			mutate(&w.set, 1000 + n);
		if (!weft_plan_rules_only_added(&before, &w.set)) {
			no++;
			continue;
		}
		yes++;
		for (int i = 0; i < 60; i++) {
			struct rule_query q;
			struct ip_addr remote;
			struct world near = w;

			near.set = before; // packets near what was permitted before
			memcpy(near.rules, before_rules, before.n_rules * sizeof(w.rules[0]));
			random_query(&near, &q, &remote);
			if (reference_permits(&w, &before, &q) &&
			    !reference_permits(&w, &w.set, &q))
				fail_msg("round %d: something was taken away", round);
		}
	}
	assert_true(yes > ROUNDS(500) && no > ROUNDS(500));
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compiled_rules_permit_exactly_what_the_reference_permits),
		cmocka_unit_test(nothing_is_lost_when_only_rules_were_added),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
