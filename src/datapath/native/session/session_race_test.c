// SPDX-License-Identifier: Apache-2.0
// Several workers on one table, and what removed sessions are worth to those who still hold them.
#include "datapath/native/session/session.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "datapath/native/testing/rounds.h"
#include "datapath/native/testing/session_fixture.h"

static struct rte_rcu_qsbr *qsbr_new(uint32_t threads)
{
	size_t size = RTE_ALIGN_CEIL(rte_rcu_qsbr_get_memsize(threads), (size_t)64);
	struct rte_rcu_qsbr *q = aligned_alloc(64, size);

	assert_int_equal(rte_rcu_qsbr_init(q, threads), 0);
	for (uint32_t i = 0; i < threads; i++) {
		rte_rcu_qsbr_thread_register(q, i);
		rte_rcu_qsbr_thread_online(q, i);
	}
	return q;
}

static void a_removed_pair_is_reused_only_after_everyone_was_quiescent(void **state)
{
	(void)state;
	struct rte_rcu_qsbr *q = qsbr_new(2);
	struct session_table *t = fixture_table(16, 100, q);
	struct session_worker *w = weft_session_worker_new(t);
	struct session *all[16];
	enum drop why;
	for (uint32_t i = 0; i < 16; i++) {
		struct session_new n = fixture_new(4, IPPROTO_UDP, 1, 2, i);
		all[i] = fixture_add(w, &n, 0);
		assert_non_null(all[i]);
		fixture_answer(t, all[i]);
	}
	struct session was = *all[7];
	weft_session_remove(w, all[7]);
	struct session_new n = fixture_new(4, IPPROTO_UDP, 1, 2, 100);
	assert_int_equal(weft_session_count(t), 15);
	for (int i = 0; i < 5; i++) {
		assert_null(weft_session_add(w, &n, 0, &why));
		assert_int_equal(why, DROP_SESSIONS_FULL);
		rte_rcu_qsbr_quiescent(q, 0); // one of two
	}
	// Whoever holds it sees what it was, but for its state.
	was.state = SESSION_FREE;
	assert_memory_equal(all[7], &was, sizeof(was));
	rte_rcu_qsbr_quiescent(q, 1);
	rte_rcu_qsbr_quiescent(q, 0);
	assert_ptr_equal(fixture_add(w, &n, 0), all[7]);
	weft_session_worker_free(w);
	weft_sessions_free(t);
	free(q);
}

static void a_table_with_low_stock_evicts_ahead_of_need(void **state)
{
	(void)state;
	struct rte_rcu_qsbr *q = qsbr_new(1);
	struct session_table *t = fixture_table(1024, 100, q);
	struct session_worker *w = weft_session_worker_new(t);
	uint32_t refused = 0;
	for (uint32_t i = 0; i < 20000; i++) {
		struct session_new n = fixture_new(4, IPPROTO_UDP, 1, 2, i);
		refused += fixture_add(w, &n, i / 1000) == NULL;
		if (i % 16 == 15) // a burst
			rte_rcu_qsbr_quiescent(q, 0);
	}
	assert_int_equal(refused, 0);
	assert_in_range(weft_session_count(t), 512, 1024);
	weft_session_worker_free(w);
	weft_sessions_free(t);
	free(q);
}

static void removals_while_someone_stalls_are_collected_later(void **state)
{
	(void)state;
	struct rte_rcu_qsbr *q = qsbr_new(2);
	struct session_table *t = fixture_table(8192, 100, q);
	struct session_worker *w = weft_session_worker_new(t);
	for (uint32_t i = 0; i < 8192; i++) { // more than limbo holds
		struct session_new n = fixture_new(4, IPPROTO_UDP, 1, 2, i);
		struct session *s = fixture_add(w, &n, 0);
		assert_non_null(s);
		fixture_answer(t, s);
		weft_session_remove(w, s);
		rte_rcu_qsbr_quiescent(q, 0);
	}
	assert_int_equal(weft_session_count(t), 0);
	struct session_new n = fixture_new(4, IPPROTO_UDP, 1, 2, 9000);
	assert_null(fixture_add(w, &n, 0));
	for (uint32_t now = 0; now < 1000; now++) {
		rte_rcu_qsbr_quiescent(q, 0);
		rte_rcu_qsbr_quiescent(q, 1);
		weft_session_expire(w, now, 64);
	}
	for (uint32_t i = 0; i < 8192; i++) {
		n = fixture_new(4, IPPROTO_UDP, 1, 2, 10000 + i);
		struct session *s = fixture_add(w, &n, 1000);
		assert_non_null(s);
		fixture_answer(t, s);
	}
	weft_session_worker_free(w);
	weft_sessions_free(t);
	free(q);
}

// ---- Two workers at once

#define UNIVERSE 400
#define THREADS	 2
#define HELD	 8

struct race {
	struct session_table *t;
	struct rte_rcu_qsbr *q;
	struct session_new n[UNIVERSE]; // even: A to B, odd: the same flow begun by B
	atomic_uint clock, running, done;
};

struct racer {
	struct race *race;
	struct session_worker *w;
	uint32_t id, random, operations, added, refused, found, wrong;
};

static uint32_t random_of(struct racer *r)
{
	r->random ^= r->random << 13;
	r->random ^= r->random >> 17;
	r->random ^= r->random << 5;
	return r->random;
}

struct hold {
	struct session *s;
	struct flow_key key;
};

// What was found must keep its key for as long as the holder passes no quiescent point.
static void check_holds(struct racer *r, const struct hold *h, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		r->wrong += !session_has_key(h[i].s, &h[i].key);
}

static void race_once(struct racer *r, struct hold *h, uint32_t *held)
{
	struct race *c = r->race;
	const struct session_new *n = &c->n[random_of(r) % UNIVERSE];
	const struct flow_key *key = random_of(r) % 2 ? &n->original.key : &n->reply.key;
	uint32_t now = atomic_load(&c->clock), what = random_of(r) % 16;
	struct session *s = fixture_get(c->t, key);

	if (s != NULL) {
		r->found++;
		r->wrong += !session_has_key(s, key);
		h[*held] = (struct hold) {s, *key};
		++*held;
	}
	if (what < 8) {
		enum drop why;
		s = weft_session_add(r->w, n, now, &why);
		if (s != NULL) {
			r->added++;
			r->wrong += !session_has_key(s, &n->original.key);
		} else {
			r->refused++;
			r->wrong += why != DROP_SESSIONS_FULL && why != DROP_PORT_SESSIONS;
		}
	} else if (s != NULL && what < 12) {
		fixture_packet(c->t, s, what == 8 ? 0x04 : what == 9 ? 0x02 : 0x12);
		__atomic_store_n(&s->seen_ms, now, __ATOMIC_RELAXED);
	} else if (s != NULL && what < 14) {
		weft_session_remove(r->w, s);
	} else if (what == 15) {
		atomic_fetch_add(&c->clock, 1 + random_of(r) % 400);
		weft_session_expire(r->w, now, 64);
	}
}

static void *race_run(void *arg)
{
	struct racer *r = arg;
	struct hold h[HELD];
	uint32_t held = 0;

	atomic_fetch_sub(&r->race->running, 1);
	while (atomic_load(&r->race->running) > 0)
		;
	rte_rcu_qsbr_thread_online(r->race->q, r->id);
	for (uint32_t i = 0; i < r->operations; i++) {
		race_once(r, h, &held);
		if (held == HELD || i % 64 == 0) {
			check_holds(r, h, held);
			held = 0;
			rte_rcu_qsbr_quiescent(r->race->q, r->id);
		}
	}
	rte_rcu_qsbr_thread_offline(r->race->q, r->id);
	atomic_fetch_add(&r->race->done, 1);
	return NULL;
}

// Every word leads to a line in use that has the word's hash; every connection in use has exactly
// two.
static void check_index(struct session_table *t)
{
	for (int i = 0; i < FAMILIES; i++) {
		struct session_family *f = &t->family[i];
		uint32_t words = 0, in_use = 0;
		uint8_t *seen = calloc(f->pairs, 2);
		for (uint32_t b = 0; b <= f->bucket_mask; b++) {
			for (int k = 0; k < BUCKET_WORDS; k++) {
				uint64_t word = f->buckets[b].word[k];
				if (word == 0)
					continue;
				uint32_t line = (uint32_t)word;
				struct session *s = family_line(f, line);
				struct flow_key key;
				weft_session_key(s, &key);
				assert_int_equal(word, word_make(weft_flow_hash(&key), line));
				assert_ptr_equal(fixture_get(t, &key),
						 s); // no other one has its key
				assert_in_range(weft_session_original(s)->state, SESSION_NEW,
						SESSION_CLOSING);
				assert_int_equal(seen[line]++, 0);
				words++;
			}
		}
		for (uint32_t pair = 0; pair < family_used(f); pair++) {
			uint8_t state = family_pair(f, pair)->state;
			in_use += state != SESSION_FREE && state != SESSION_GONE;
		}
		assert_int_equal(words, 2 * in_use);
		free(seen);
	}
}

static uint32_t count_in_use(struct session_table *t, uint16_t port, uint32_t *unanswered)
{
	uint32_t n = 0;

	*unanswered = 0;
	for (int i = 0; i < FAMILIES; i++) {
		for (uint32_t pair = 0; pair < family_used(&t->family[i]); pair++) {
			struct session *s = family_pair(&t->family[i], pair);
			if (s->state == SESSION_FREE || s->state == SESSION_GONE ||
			    s->key.in_port != port)
				continue;
			n++;
			*unanswered += s->state == SESSION_NEW;
		}
	}
	return n;
}

// No pair is lost: when all is quiet, each is in use, or with the only worker that there is, who
// keeps few.
static void check_capacity(struct session_table *t, struct session_worker *w,
			   struct rte_rcu_qsbr *q, uint32_t now_ms)
{
	uint32_t capacity = weft_session_capacity(t), count;

	for (uint32_t i = 0; i < 2000; i++) { // all expire, and pass limbo
		weft_session_expire(w, now_ms + 500000000 + i, 1000);
		rte_rcu_qsbr_quiescent(q, 0);
	}
	assert_int_equal(weft_session_count(t), 0);
	for (uint32_t i = 0; i < 10 * capacity; i++) {
		struct session_new add = fixture_new(4, IPPROTO_UDP, 1, 2, 100000 + i);
		struct session *s = fixture_add(w, &add, now_ms + 500002000);
		if (s != NULL)
			fixture_answer(t, s);
	}
	count = weft_session_count(t);
	assert_in_range(count, capacity - capacity / 4, capacity);
	assert_int_equal(count + w->free[0].n + w->limbo.end - w->limbo.begin, capacity);
}

// What the control thread sees meanwhile: whole connections of the universe.
static bool is_whole(const struct session_copy *s, void *arg)
{
	uint32_t *wrong = arg;

	*wrong += s->original.key.sport != s->key.sport || s->original.flags & SESSION_REPLY ||
		  !(s->reply.flags & SESSION_REPLY) || s->reply.key.sport != s->key.dport ||
		  s->reply.key.dport != s->key.sport || s->reply.out_port != s->key.in_port;
	return true;
}

static void race(uint32_t capacity, uint32_t share, uint32_t operations)
{
	struct race c = {.q = qsbr_new(THREADS), .running = THREADS};
	struct racer r[THREADS];
	pthread_t thread[THREADS];

	for (uint32_t i = 0; i < THREADS; i++)
		rte_rcu_qsbr_thread_offline(c.q, i);
	c.t = fixture_table(capacity, share, c.q);
	for (uint32_t i = 0; i < UNIVERSE; i += 2) {
		uint16_t port = (uint16_t)(i / 2 % 4);
		c.n[i] = fixture_new(i % 4 ? 6 : 4, i % 6 ? IPPROTO_TCP : IPPROTO_UDP, port, 10, i);
		c.n[i + 1] = c.n[i];
		c.n[i + 1].original = c.n[i].reply;
		c.n[i + 1].reply = c.n[i].original;
	}
	for (uint32_t i = 0; i < THREADS; i++)
		r[i] = (struct racer) {.race = &c,
				       .w = weft_session_worker_new(c.t),
				       .id = i,
				       .random = 77 + i,
				       .operations = ROUNDS(operations)};
	for (uint32_t i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, race_run, &r[i]);
	uint32_t torn = 0;
	while (atomic_load(&c.done) < THREADS) {
		weft_session_each(c.t, atomic_load(&c.clock), is_whole, &torn);
		usleep(100);
	}
	assert_int_equal(torn, 0);
	for (uint32_t i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);

	uint32_t total = 0, unanswered;
	for (uint32_t i = 0; i < THREADS; i++) {
		assert_int_equal(r[i].wrong, 0);
		assert_true(r[i].added > 0 && r[i].found > 0);
	}
	check_index(c.t);
	for (uint16_t p = 0; p < 11; p++) {
		uint32_t n = count_in_use(c.t, p, &unanswered);
		assert_int_equal(weft_session_port_count(c.t, p), n);
		assert_int_equal(weft_session_port_unanswered(c.t, p), unanswered);
		total += n;
	}
	assert_int_equal(weft_session_count(c.t), total);
	weft_session_worker_free(r[1].w);
	rte_rcu_qsbr_thread_unregister(c.q, 1);
	rte_rcu_qsbr_thread_online(c.q, 0);
	if (share == 100)
		check_capacity(c.t, r[0].w, c.q, atomic_load(&c.clock));
	weft_session_worker_free(r[0].w);
	weft_sessions_free(c.t);
	free(c.q);
}

static void two_workers_with_room_keep_every_key_once_and_every_count_right(void **state)
{
	(void)state;
	race(1024, 100, 300000);
}

static void two_workers_in_a_full_table_keep_every_key_once_and_every_count_right(void **state)
{
	(void)state;
	race(64, 100, 300000);
	race(16, 100, 100000);
	race(64, 25, 100000);
}

// ---- Two workers that add the same connection at the same moment

#define MEETINGS ROUNDS(20000)

struct meeting {
	struct session_table *t;
	struct rte_rcu_qsbr *q;
	struct session *got[THREADS];
	atomic_uint arrived; // counts up; each turn has two ends
};

struct guest {
	struct meeting *meeting;
	struct session_worker *w;
	uint32_t id, split;
};

// Until both have come the n-th time.
static void meet(struct meeting *m, uint32_t n)
{
	atomic_fetch_add(&m->arrived, 1);
	for (uint32_t i = 0; atomic_load(&m->arrived) < n * THREADS; i++)
		if (i > 1000)
			sched_yield();
}

static void *meeting_run(void *arg)
{
	struct guest *g = arg;
	struct meeting *m = g->meeting;

	for (uint32_t i = 0; i < MEETINGS; i++) {
		struct session_new n = fixture_new(4, IPPROTO_UDP, 1, 2, i);
		if (g->id == 1 && i % 2) { // the other side begins
			struct session_direction d = n.original;
			n.original = n.reply;
			n.reply = d;
		}
		meet(m, 3 * i + 1);
		m->got[g->id] = fixture_add(g->w, &n, 0);
		meet(m, 3 * i + 2);
		if (g->id == 0) {
			struct session *a = m->got[0], *b = m->got[1];
			g->split += a == NULL || b == NULL ||
				    weft_session_original(a) != weft_session_original(b) ||
				    weft_session_count(m->t) != 1;
			if (a != NULL)
				weft_session_remove(g->w, a);
		}
		rte_rcu_qsbr_quiescent(m->q, g->id);
		weft_session_reclaim(
			g->w); // a table short of pairs would evict what was just added
		meet(m, 3 * i + 3);
	}
	return NULL;
}

static void two_workers_that_add_one_connection_at_once_get_the_same_one(void **state)
{
	(void)state;
	struct meeting m = {.q = qsbr_new(THREADS)};
	struct guest g[THREADS];
	pthread_t thread[THREADS];
	m.t = fixture_table(1024, 100, m.q);
	for (uint32_t i = 0; i < THREADS; i++)
		g[i] = (struct guest) {.meeting = &m, .w = weft_session_worker_new(m.t), .id = i};
	for (uint32_t i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, meeting_run, &g[i]);
	for (uint32_t i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(g[0].split, 0);
	check_index(m.t);
	assert_int_equal(weft_session_count(m.t), 0);
	for (uint32_t i = 0; i < THREADS; i++)
		weft_session_worker_free(g[i].w);
	weft_sessions_free(m.t);
	free(m.q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_removed_pair_is_reused_only_after_everyone_was_quiescent),
		cmocka_unit_test(a_table_with_low_stock_evicts_ahead_of_need),
		cmocka_unit_test(removals_while_someone_stalls_are_collected_later),
		cmocka_unit_test(two_workers_with_room_keep_every_key_once_and_every_count_right),
		cmocka_unit_test(two_workers_that_add_one_connection_at_once_get_the_same_one),
		cmocka_unit_test(
			two_workers_in_a_full_table_keep_every_key_once_and_every_count_right),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
