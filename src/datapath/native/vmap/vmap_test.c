// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/vmap/vmap.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int freed;

static void count_free(void *value)
{
	freed++;
	free(value);
}

static int *number(int n)
{
	int *p = malloc(sizeof(*p));

	*p = n;
	return p;
}

static int get(const struct vmap *m, uint32_t key, uint64_t epoch)
{
	const int *p = weft_vmap_get(m, &key, epoch);

	return p == NULL ? -1 : *p;
}

static void put(struct vmap *m, uint32_t key, int value)
{
	weft_vmap_put(m, &key, number(value));
}

static void del(struct vmap *m, uint32_t key)
{
	weft_vmap_del(m, &key);
}

static struct rte_rcu_qsbr *qsbr_new(uint32_t threads)
{
	size_t size = rte_rcu_qsbr_get_memsize(threads);
	struct rte_rcu_qsbr *q = aligned_alloc(RTE_CACHE_LINE_SIZE, size);

	assert_non_null(q);
	assert_int_equal(rte_rcu_qsbr_init(q, threads), 0);
	return q;
}

static void nothing_is_seen_before_the_commit_and_all_of_it_after(void **state)
{
	(void)state;
	struct vstore *vs = weft_vstore_new(NULL);
	struct vmap *a = weft_vmap_new(vs, 4, count_free), *b = weft_vmap_new(vs, 4, count_free);
	uint64_t before = weft_vstore_epoch(vs);
	uint32_t key = 1;

	put(a, 1, 10);
	put(b, 1, 20);
	assert_int_equal(get(a, 1, before), -1);
	assert_null(weft_vmap_slot(a, &key, before));
	assert_int_equal(*(int *)weft_vmap_staged(a, &key), 10);
	assert_int_equal(weft_vmap_count(a), 0);

	uint64_t after = weft_vstore_commit(vs);
	assert_true(after > before);
	assert_int_equal(after, weft_vstore_epoch(vs));
	assert_int_equal(get(a, 1, after), 10);
	assert_int_equal(get(b, 1, after), 20);
	assert_int_equal(get(a, 1, before), -1);
	assert_int_equal(weft_vmap_count(a), 1);
	assert_int_equal(weft_vstore_commit(vs), after); // nothing staged, nothing changes
	weft_vmap_free(a);
	weft_vmap_free(b);
	weft_vstore_free(vs);
}

static void the_last_of_several_changes_of_a_key_counts(void **state)
{
	(void)state;
	struct vstore *vs = weft_vstore_new(NULL);
	struct vmap *m = weft_vmap_new(vs, 4, count_free);
	uint32_t key = 5;

	freed = 0;
	put(m, 5, 1);
	put(m, 5, 2);
	assert_int_equal(freed, 1);
	del(m, 5);
	assert_int_equal(freed, 2);
	assert_null(weft_vmap_staged(m, &key));
	put(m, 5, 3);
	put(m, 6, 1); // comes and goes within the batch
	del(m, 6);
	weft_vstore_commit(vs);
	assert_int_equal(get(m, 5, weft_vstore_epoch(vs)), 3);
	assert_int_equal(get(m, 6, weft_vstore_epoch(vs)), -1);
	assert_int_equal(weft_vmap_count(m), 1);
	del(m, 5);
	put(m, 5, 4);
	del(m, 7); // never there
	weft_vstore_commit(vs);
	assert_int_equal(get(m, 5, weft_vstore_epoch(vs)), 4);
	del(m, 5);
	weft_vstore_commit(vs);
	assert_int_equal(weft_vmap_count(m), 0);
	assert_int_equal(freed, 5);
	weft_vmap_free(m);
	weft_vstore_free(vs);
}

static void old_value_stays_until_every_reader_was_quiet(void **state)
{
	(void)state;
	struct rte_rcu_qsbr *q = qsbr_new(2);
	struct vstore *vs = weft_vstore_new(q);
	struct vmap *m = weft_vmap_new(vs, 4, count_free);

	for (unsigned int i = 0; i < 2; i++) {
		rte_rcu_qsbr_thread_register(q, i);
		rte_rcu_qsbr_thread_online(q, i);
	}
	put(m, 1, 1);
	uint64_t first = weft_vstore_commit(vs);
	freed = 0;
	put(m, 1, 2);
	uint64_t second = weft_vstore_commit(vs);
	del(m, 1);
	uint64_t third = weft_vstore_commit(vs);
	assert_int_equal(get(m, 1, first), 1);
	assert_int_equal(get(m, 1, second), 2);
	assert_int_equal(get(m, 1, third), -1);

	rte_rcu_qsbr_quiescent(q, 0);
	assert_true(weft_vstore_reclaim(vs) > 0);
	assert_int_equal(freed, 0);
	assert_int_equal(get(m, 1, first), 1); // reader 1 may still ask
	rte_rcu_qsbr_quiescent(q, 1);
	weft_vstore_reclaim(vs);
	assert_int_equal(freed, 2);

	// The empty slot has left the table; its memory waits for one more period.
	rte_rcu_qsbr_quiescent(q, 0);
	rte_rcu_qsbr_quiescent(q, 1);
	assert_int_equal(weft_vstore_reclaim(vs), 0);
	weft_vmap_free(m);
	weft_vstore_free(vs);
	free(q);
}

static void retired_object_is_freed_after_a_grace_period(void **state)
{
	(void)state;
	struct rte_rcu_qsbr *q = qsbr_new(1);
	struct vstore *vs = weft_vstore_new(q);

	rte_rcu_qsbr_thread_register(q, 0);
	rte_rcu_qsbr_thread_online(q, 0);
	freed = 0;
	weft_vstore_retire(vs, number(1), count_free);
	assert_int_equal(weft_vstore_reclaim(vs), 1);
	rte_rcu_qsbr_thread_offline(q, 0); // a sleeping worker holds nothing
	assert_int_equal(weft_vstore_reclaim(vs), 0);
	assert_int_equal(freed, 1);
	rte_rcu_qsbr_thread_online(q, 0);
	weft_vstore_retire(vs, number(2), count_free);
	weft_vstore_free(vs); // the last one takes what waits
	assert_int_equal(freed, 2);
	free(q);
}

static void object_retired_within_a_batch_waits_for_its_commit(void **state)
{
	(void)state;
	struct rte_rcu_qsbr *q = qsbr_new(1);
	struct vstore *vs = weft_vstore_new(q);
	struct vmap *m = weft_vmap_new(vs, 4, NULL);
	int value = 1;

	rte_rcu_qsbr_thread_register(q, 0);
	rte_rcu_qsbr_thread_online(q, 0);
	for (int batch = 0; batch < 2; batch++) {
		freed = 0;
		weft_vmap_put(m, &batch, &value);
		weft_vstore_retire(vs, number(1), count_free);
		rte_rcu_qsbr_quiescent(q, 0); // and then looks at the old policy again
		weft_vstore_reclaim(vs);
		assert_int_equal(freed, 0);
		weft_vstore_commit(vs);
		assert_int_equal(freed, 0);
		rte_rcu_qsbr_quiescent(q, 0);
		weft_vstore_reclaim(vs);
		assert_int_equal(freed, 1);
	}
	weft_vmap_put(m, &value, &value);
	weft_vstore_retire(vs, number(1), count_free);
	weft_vmap_free(m);
	weft_vstore_free(vs);
	assert_int_equal(freed, 2);
	free(q);
}

static void held_slot_outlives_its_key_and_its_map(void **state)
{
	(void)state;
	struct vstore *vs = weft_vstore_new(NULL);
	struct vmap *m = weft_vmap_new(vs, 4, count_free);
	uint32_t key = 9;
	struct vslot *s = weft_vmap_slot_make(m, &key);

	assert_null(weft_vslot_value(s, weft_vstore_epoch(vs)));
	put(m, 9, 1);
	weft_vstore_commit(vs);
	assert_int_equal(*(int *)weft_vslot_value(s, weft_vstore_epoch(vs)), 1);
	del(m, 9);
	weft_vstore_commit(vs);
	assert_null(weft_vslot_value(s, weft_vstore_epoch(vs)));
	put(m, 9, 2); // the same place again
	weft_vstore_commit(vs);
	assert_int_equal(*(int *)weft_vslot_value(s, weft_vstore_epoch(vs)), 2);
	assert_ptr_equal(weft_vmap_slot(m, &key, weft_vstore_epoch(vs)), s);
	assert_int_equal(*(const uint32_t *)weft_vslot_key(s), 9);

	weft_vslot_hold(s);
	weft_vslot_release(s);
	weft_vmap_free(m);
	assert_null(weft_vslot_value(s, weft_vstore_epoch(vs)));
	weft_vslot_release(s);
	weft_vstore_free(vs);
}

struct link {
	struct vslot *to;
};

static void link_free(void *value)
{
	struct link *l = value;

	weft_vslot_release(l->to);
	free(l);
}

static void values_that_hold_slots_of_each_other_are_freed_in_any_order(void **state)
{
	(void)state;
	for (int order = 0; order < 4; order++) {
		struct vstore *vs = weft_vstore_new(NULL);
		struct vmap *a = weft_vmap_new(vs, 4, link_free);
		struct vmap *b = weft_vmap_new(vs, 4, link_free);

		for (uint32_t i = 0; i < 100; i++) {
			struct link *ab = malloc(sizeof(*ab)), *ba = malloc(sizeof(*ba));
			uint32_t next = (i + 1) % 100;

			ab->to = weft_vmap_slot_make(b, &i);
			ba->to = weft_vmap_slot_make(i % 2 ? a : b,
						     i % 3 ? &next : &i); // itself, too
			weft_vmap_put(a, &i, ab);
			weft_vmap_put(b, &i, ba);
		}
		if (order < 2)
			weft_vstore_commit(vs);
		for (uint32_t i = 0; order % 2 && i < 100; i++) {
			weft_vmap_del(a, &i);
			weft_vmap_del(b, &i);
		}
		if (order == 1)
			weft_vstore_commit(vs);
		weft_vmap_free(a);
		weft_vmap_free(b);
		weft_vstore_free(vs);
	}
}

static void sum(const void *key, void *value, void *arg)
{
	(void)key;
	*(long *)arg += *(int *)value;
}

static void table_grows_and_shrinks_with_old_epochs_intact(void **state)
{
	(void)state;
	enum { N = 20000 };
	struct rte_rcu_qsbr *q = qsbr_new(1);
	struct vstore *vs = weft_vstore_new(q);
	struct vmap *m = weft_vmap_new(vs, 4, count_free);
	uint64_t empty = weft_vstore_epoch(vs);
	long total = 0;

	rte_rcu_qsbr_thread_register(q, 0);
	rte_rcu_qsbr_thread_online(q, 0);
	freed = 0;
	for (int i = 0; i < N; i++)
		put(m, (uint32_t)i, i);
	uint64_t full = weft_vstore_commit(vs);
	for (int i = 0; i < N; i++) {
		assert_int_equal(get(m, (uint32_t)i, full), i);
		assert_int_equal(get(m, (uint32_t)i, empty), -1);
	}
	assert_int_equal(get(m, N, full), -1);
	for (int i = 0; i < N; i++)
		if (i % 10 != 0)
			del(m, (uint32_t)i);
	uint64_t few = weft_vstore_commit(vs);
	for (int i = 0; i < N; i++) {
		assert_int_equal(get(m, (uint32_t)i, few), i % 10 == 0 ? i : -1);
		assert_int_equal(get(m, (uint32_t)i, full), i);
	}
	assert_int_equal(weft_vmap_count(m), N / 10);
	weft_vmap_each(m, sum, &total);
	assert_int_equal(total, (long)N * (N / 10 - 1) / 2);
	for (int round = 0; round < 3; round++) { // keys that come and go leave nothing behind
		rte_rcu_qsbr_quiescent(q, 0);
		weft_vstore_reclaim(vs);
		for (int i = N; i < 2 * N; i++)
			put(m, (uint32_t)i, i);
		weft_vstore_commit(vs);
		for (int i = N; i < 2 * N; i++)
			del(m, (uint32_t)i);
		weft_vstore_commit(vs);
	}
	for (int i = 0; i < N; i += 10)
		assert_int_equal(get(m, (uint32_t)i, weft_vstore_epoch(vs)), i);
	weft_vmap_free(m);
	assert_int_equal(freed, N + 3 * N);
	weft_vstore_free(vs);
	free(q);
}

// ---- A writer and readers at the same time -------------------------------------------------

#define KEYS	64
#define READERS 2
#define COMMITS 3000

struct race {
	struct rte_rcu_qsbr *qsbr;
	struct vstore *vs;
	struct vmap *a, *b;
	struct vslot *held; // of key 0 in a
	atomic_bool stop;
	atomic_int ready;
};

struct reader {
	struct race *race;
	unsigned int id;
	pthread_t thread;
	long mixes, looks, backwards;
};

static void *read_pairs(void *arg)
{
	struct reader *r = arg;
	struct race *race = r->race;
	int last = 0;

	rte_rcu_qsbr_thread_register(race->qsbr, r->id);
	rte_rcu_qsbr_thread_online(race->qsbr, r->id);
	atomic_fetch_add(&race->ready, 1);
	while (!atomic_load_explicit(&race->stop, memory_order_relaxed)) {
		uint64_t epoch = weft_vstore_epoch(race->vs);
		const int *held = weft_vslot_value(race->held, epoch);
		int now = held == NULL ? 0 : *held;

		r->backwards += now < last;
		last = now;
		for (uint32_t key = 0; key < KEYS; key++) {
			int a = get(race->a, key, epoch), b = get(race->b, key, epoch);

			// Every batch writes the same number everywhere, or removes the key from
			// both maps.
			r->mixes += a != b || (key == 0 && a != now) || (a != -1 && a != now);
			r->looks++;
		}
		rte_rcu_qsbr_quiescent(race->qsbr, r->id);
	}
	rte_rcu_qsbr_thread_offline(race->qsbr, r->id);
	rte_rcu_qsbr_thread_unregister(race->qsbr, r->id);
	return NULL;
}

static void write_pairs(struct race *race, int n)
{
	for (uint32_t key = 0; key < KEYS; key++) {
		if (key != 0 && (n + (int)key) % 3 == 0) {
			del(race->a, key);
			del(race->b, key);
		} else {
			put(race->a, key, n);
			put(race->b, key, n);
		}
	}
	// Others that come and go make the tables be rebuilt under the readers.
	for (uint32_t key = 0; n % 16 == 0 && key < 200; key++)
		put(race->a, KEYS + (uint32_t)n * 200 + key, n);
	for (uint32_t key = 0; n > 16 && n % 16 == 8 && key < 200; key++)
		del(race->a, KEYS + (uint32_t)(n - 8) * 200 + key);
	weft_vstore_commit(race->vs);
}

static void readers_never_see_a_mix_of_two_batches(void **state)
{
	(void)state;
	struct race race = {.qsbr = qsbr_new(READERS)};
	struct reader readers[READERS] = {0};
	uint32_t zero = 0;

	race.vs = weft_vstore_new(race.qsbr);
	race.a = weft_vmap_new(race.vs, 4, count_free);
	race.b = weft_vmap_new(race.vs, 4, count_free);
	race.held = weft_vmap_slot_make(race.a, &zero);
	write_pairs(&race, 1);
	for (unsigned int i = 0; i < READERS; i++) {
		readers[i].race = &race;
		readers[i].id = i;
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_pairs, &readers[i]),
				 0);
	}
	while (atomic_load(&race.ready) < READERS)
		sched_yield();
	for (int n = 2; n < COMMITS; n++)
		write_pairs(&race, n);
	atomic_store(&race.stop, true);
	for (unsigned int i = 0; i < READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		assert_int_equal(readers[i].mixes, 0);
		assert_int_equal(readers[i].backwards, 0);
		assert_true(readers[i].looks > 0);
	}
	while (weft_vstore_reclaim(race.vs) > 0)
		;
	weft_vslot_release(race.held);
	weft_vmap_free(race.a);
	weft_vmap_free(race.b);
	weft_vstore_free(race.vs);
	free(race.qsbr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_seen_before_the_commit_and_all_of_it_after),
		cmocka_unit_test(the_last_of_several_changes_of_a_key_counts),
		cmocka_unit_test(old_value_stays_until_every_reader_was_quiet),
		cmocka_unit_test(retired_object_is_freed_after_a_grace_period),
		cmocka_unit_test(object_retired_within_a_batch_waits_for_its_commit),
		cmocka_unit_test(held_slot_outlives_its_key_and_its_map),
		cmocka_unit_test(values_that_hold_slots_of_each_other_are_freed_in_any_order),
		cmocka_unit_test(table_grows_and_shrinks_with_old_epochs_intact),
		cmocka_unit_test(readers_never_see_a_mix_of_two_batches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
