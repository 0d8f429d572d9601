// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/rules/sets.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
	struct vstore *vs;
	struct sets *sets;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->vs = weft_vstore_new(NULL);
	f->sets = weft_sets_new(f->vs);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	weft_sets_free(f->sets);
	weft_vstore_free(f->vs);
	free(f);
	return 0;
}

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;

	assert_int_equal(weft_prefix_parse(text, &p), 0);
	return p;
}

static int add(struct fixture *f, const char *set, const char *member)
{
	struct ip_prefix p = prefix(member);

	return weft_sets_add(f->sets, set, &p);
}

static int del(struct fixture *f, const char *set, const char *member)
{
	struct ip_prefix p = prefix(member);

	return weft_sets_remove(f->sets, set, &p);
}

static bool note(uint32_t index, void *arg)
{
	*(uint64_t *)arg |= 1ULL << index;
	return false;
}

// Which of the wanted sets have the address, as bits.
static uint64_t match_at(struct fixture *f, uint64_t epoch, const struct ip_addr *ip,
			 const uint32_t *wanted, size_t n)
{
	uint64_t found = 0;

	assert_false(weft_sets_match(f->sets, epoch, ip->family, ip->b, wanted, n, note, &found));
	return found;
}

static bool has(struct fixture *f, const char *set, const char *ip)
{
	uint32_t number = weft_sets_number(f->sets, set);
	struct ip_addr addr;

	assert_int_equal(weft_ip_parse(ip, &addr), 0);
	return match_at(f, weft_vstore_epoch(f->vs), &addr, &number, 1) != 0;
}

static void member_matches_after_commit_and_not_after_it_was_removed(void **state)
{
	struct fixture *f = *state;
	struct ip_prefix p = prefix("10.0.0.5/32");

	assert_int_equal(add(f, "web", "10.0.0.5/32"), 0);
	assert_true(weft_sets_has_member(f->sets, "web", &p));
	assert_false(weft_sets_has_member(f->sets, "db", &p));
	assert_false(has(f, "web", "10.0.0.5"));
	weft_vstore_commit(f->vs);
	assert_true(has(f, "web", "10.0.0.5"));
	assert_false(has(f, "web", "10.0.0.4"));
	assert_false(has(f, "web", "a00:5::")); // the same bytes in the other family
	assert_false(has(f, "db", "10.0.0.5"));
	assert_int_equal(del(f, "web", "10.0.0.5/32"), 0);
	assert_true(has(f, "web", "10.0.0.5"));
	weft_vstore_commit(f->vs);
	assert_false(has(f, "web", "10.0.0.5"));
}

static void prefixes_of_every_length_match_their_first_and_last_address_only(void **state)
{
	struct fixture *f = *state;

	for (int v6 = 0; v6 < 2; v6++) {
		for (uint8_t len = 1; len <= (v6 ? 128 : 32); len++) {
			struct ip_prefix p =
				prefix(v6 ? "2001:db8:5555:aaaa:5555:aaaa:5555:aaaa/128"
					  : "85.170.85.170/32");
			uint32_t number = weft_sets_number(f->sets, "s");
			struct ip_addr first, last, out;
			uint64_t epoch;

			p.len = len;
			assert_int_equal(weft_sets_add(f->sets, "s", &p), 0);
			epoch = weft_vstore_commit(f->vs);
			first = weft_prefix_first(&p);
			last = weft_prefix_last(&p);
			assert_true(match_at(f, epoch, &first, &number, 1));
			assert_true(match_at(f, epoch, &last, &number, 1));
			if (weft_ip_add(&last, 1, &out))
				assert_false(match_at(f, epoch, &out, &number, 1));
			first.b[(len - 1) / 8] ^= (uint8_t)(0x80 >> ((len - 1) % 8));
			assert_false(match_at(f, epoch, &first, &number, 1));
			assert_int_equal(weft_sets_remove(f->sets, "s", &p), 0);
			weft_vstore_commit(f->vs);
		}
	}
}

static void the_whole_family_can_be_a_member(void **state)
{
	struct fixture *f = *state;

	add(f, "all", "0.0.0.0/0");
	add(f, "all6", "::/0");
	weft_vstore_commit(f->vs);
	assert_true(has(f, "all", "255.255.255.255"));
	assert_true(has(f, "all", "0.0.0.0"));
	assert_false(has(f, "all", "::1"));
	assert_true(has(f, "all6", "ffff::1"));
	assert_false(has(f, "all6", "1.2.3.4"));
}

static void host_bits_do_not_count_and_a_member_is_there_once(void **state)
{
	struct fixture *f = *state;
	struct ip_prefix bad = {.ip = {.family = 4}, .len = 33};

	assert_int_equal(add(f, "s", "10.0.0.7/24"), 0);
	assert_int_equal(add(f, "s", "10.0.0.9/24"), 0);
	assert_int_equal(del(f, "s", "10.0.0.0/24"), 0);
	assert_int_equal(del(f, "s", "10.0.0.0/24"), -ENOENT);
	assert_int_equal(del(f, "never", "10.0.0.0/24"), -ENOENT);
	assert_int_equal(weft_sets_add(f->sets, "s", &bad), -EINVAL);
	bad.ip.family = 0;
	assert_int_equal(weft_sets_remove(f->sets, "s", &bad), -EINVAL);
}

static void number_stays_while_it_is_held_or_has_members_and_is_reused_after(void **state)
{
	struct fixture *f = *state;
	uint32_t number = weft_sets_number(f->sets, "a");

	assert_int_not_equal(number, 0);
	assert_string_equal(weft_sets_id(f->sets, number), "a");
	weft_sets_hold(f->sets, number);
	add(f, "a", "10.0.0.1/32");
	add(f, "b", "10.0.0.1/32");
	weft_vstore_commit(f->vs);
	del(f, "a", "10.0.0.1/32");
	weft_vstore_commit(f->vs);
	assert_int_equal(weft_sets_number(f->sets, "a"), number);
	weft_sets_release(f->sets, number);
	assert_null(weft_sets_id(f->sets, number));
	assert_null(weft_sets_id(f->sets, 0));
	assert_null(weft_sets_id(f->sets, 1000));
	assert_int_equal(weft_sets_number(f->sets, "c"), number);
	assert_string_equal(weft_sets_id(f->sets, number), "c");
}

static bool stop_at_once(uint32_t index, void *arg)
{
	*(uint32_t *)arg += 1 + index;
	return true;
}

static void visit_that_is_content_ends_the_walk(void **state)
{
	struct fixture *f = *state;
	uint32_t wanted[3], seen = 0;
	struct ip_addr ip;
	char id[16];

	for (int i = 0; i < 3; i++) {
		snprintf(id, sizeof(id), "s%d", i);
		wanted[i] = weft_sets_number(f->sets, id);
		add(f, id, "10.0.0.0/24");
		add(f, id, "10.0.0.1/32");
	}
	weft_vstore_commit(f->vs);
	weft_ip_parse("10.0.0.1", &ip);
	assert_true(weft_sets_match(f->sets, weft_vstore_epoch(f->vs), 4, ip.b, wanted, 3,
				    stop_at_once, &seen));
	assert_int_equal(seen, 1);
	assert_false(weft_sets_match(f->sets, weft_vstore_epoch(f->vs), 4, ip.b, wanted, 0,
				     stop_at_once, &seen));
}

// ---- Against a plain list ------------------------------------------------------------------

enum { SETS = 24, MEMBERS = 400 };

struct member {
	bool there;
	int set;
	struct ip_prefix p;
};

static struct ip_addr random_ip(void)
{
	struct ip_addr ip = {.family = rand() % 2 ? 4 : 6};

	// Few different bytes, so that prefixes nest and addresses meet them.
	for (int i = 0; i < (ip.family == 4 ? 4 : 16); i++)
		ip.b[i] = (uint8_t[]) {0, 1, 0x80, 0xff}[rand() % 4];
	return ip;
}

static void check_address(struct fixture *f, const struct member *m, const struct ip_addr *ip)
{
	uint32_t wanted[SETS], n = 0;
	uint64_t expected = 0;
	int set_at[SETS];
	char id[16];

	for (int set = 0; set < SETS; set++) {
		uint32_t number, i;

		if (rand() % 3 == 0)
			continue;
		snprintf(id, sizeof(id), "s%d", set);
		number = weft_sets_number(f->sets, id);
		for (i = n++; i > 0 && wanted[i - 1] > number; i--) {
			wanted[i] = wanted[i - 1];
			set_at[i] = set_at[i - 1];
		}
		wanted[i] = number;
		set_at[i] = set;
	}
	for (uint32_t i = 0; i < n; i++)
		for (int j = 0; j < MEMBERS; j++)
			if (m[j].there && m[j].set == set_at[i] &&
			    weft_prefix_contains(&m[j].p, ip))
				expected |= 1ULL << i;
	assert_int_equal(match_at(f, weft_vstore_epoch(f->vs), ip, wanted, n), expected);
}

static void matches_agree_with_a_plain_list_while_members_come_and_go(void **state)
{
	struct fixture *f = *state;
	static struct member m[MEMBERS];
	char id[16];

	srand(7);
	for (int round = 0; round < 150; round++) {
		for (int change = 0; change < 20; change++) {
			struct member *one = &m[rand() % MEMBERS];
			bool twice = false;

			snprintf(id, sizeof(id), "s%d", one->set);
			if (one->there) {
				assert_int_equal(weft_sets_remove(f->sets, id, &one->p), 0);
				one->there = false;
				continue;
			}
			one->set = rand() % SETS;
			one->p.ip = random_ip();
			one->p.len = (uint8_t)(rand() % (weft_ip_bits(&one->p.ip) + 1));
			for (int i = 0; i < MEMBERS; i++)
				twice |= m[i].there && m[i].set == one->set &&
					 weft_prefix_equal(&m[i].p, &one->p);
			if (twice)
				continue;
			one->there = true;
			snprintf(id, sizeof(id), "s%d", one->set);
			assert_int_equal(weft_sets_add(f->sets, id, &one->p), 0);
		}
		weft_vstore_commit(f->vs);
		for (int i = 0; i < 100; i++) {
			struct ip_addr ip = random_ip();

			check_address(f, m, &ip);
		}
	}
}

// ---- With readers --------------------------------------------------------------------------

struct race {
	struct rte_rcu_qsbr *qsbr;
	struct fixture f;
	uint32_t number; // of the set that always has one of two members
	atomic_bool stop;
	atomic_int ready;
	long wrong, looks;
};

static void *look_for_either(void *arg)
{
	struct race *r = arg;
	struct ip_addr one, other;

	weft_ip_parse("10.0.0.1", &one);
	weft_ip_parse("10.7.0.1", &other);
	rte_rcu_qsbr_thread_register(r->qsbr, 0);
	rte_rcu_qsbr_thread_online(r->qsbr, 0);
	atomic_store(&r->ready, 1);
	while (!atomic_load_explicit(&r->stop, memory_order_relaxed)) {
		uint64_t epoch = weft_vstore_epoch(r->f.vs);
		bool a = match_at(&r->f, epoch, &one, &r->number, 1) != 0;
		bool b = match_at(&r->f, epoch, &other, &r->number, 1) != 0;

		r->wrong += a == b;
		r->looks++;
		rte_rcu_qsbr_quiescent(r->qsbr, 0);
	}
	rte_rcu_qsbr_thread_offline(r->qsbr, 0);
	rte_rcu_qsbr_thread_unregister(r->qsbr, 0);
	return NULL;
}

// The two have different prefix lengths, and other sets come and go with their numbers.
static void swap_members(struct race *r, int n)
{
	char id[16];

	snprintf(id, sizeof(id), "s%d", n % 5);
	if (n % 2) {
		del(&r->f, "always", "10.0.0.1/32");
		add(&r->f, "always", "10.7.0.0/16");
		add(&r->f, id, "10.7.0.0/16");
	} else {
		add(&r->f, "always", "10.0.0.1/32");
		del(&r->f, "always", "10.7.0.0/16");
		add(&r->f, id, "10.0.0.1/32");
	}
	snprintf(id, sizeof(id), "s%d", (n + 1) % 5);
	del(&r->f, id, n % 3 ? "10.7.0.0/16" : "10.0.0.1/32");
	weft_vstore_commit(r->f.vs);
}

static void reader_sees_exactly_one_of_two_members_that_take_turns(void **state)
{
	(void)state;
	size_t size = rte_rcu_qsbr_get_memsize(1);
	struct race r = {.qsbr = aligned_alloc(RTE_CACHE_LINE_SIZE, size)};
	pthread_t thread;

	assert_int_equal(rte_rcu_qsbr_init(r.qsbr, 1), 0);
	r.f.vs = weft_vstore_new(r.qsbr);
	r.f.sets = weft_sets_new(r.f.vs);
	add(&r.f, "always", "10.0.0.1/32");
	weft_vstore_commit(r.f.vs);
	r.number = weft_sets_number(r.f.sets, "always");
	assert_int_equal(pthread_create(&thread, NULL, look_for_either, &r), 0);
	while (atomic_load(&r.ready) == 0)
		sched_yield();
	for (int n = 1; n < 20000; n++)
		swap_members(&r, n);
	atomic_store(&r.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(r.wrong, 0);
	assert_true(r.looks > 0);
	weft_sets_free(r.f.sets);
	weft_vstore_free(r.f.vs);
	free(r.qsbr);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(member_matches_after_commit_and_not_after_it_was_removed),
		TEST(prefixes_of_every_length_match_their_first_and_last_address_only),
		TEST(the_whole_family_can_be_a_member),
		TEST(host_bits_do_not_count_and_a_member_is_there_once),
		TEST(number_stays_while_it_is_held_or_has_members_and_is_reused_after),
		TEST(visit_that_is_content_ends_the_walk),
		TEST(matches_agree_with_a_plain_list_while_members_come_and_go),
		cmocka_unit_test(reader_sees_exactly_one_of_two_members_that_take_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
