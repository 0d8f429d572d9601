// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/session/session.h"

#include "datapath/native/testing/session_fixture.h"

struct fixture {
	struct session_table *t;
	struct session_worker *w;
};

static struct fixture start(uint32_t connections, uint32_t share)
{
	struct fixture f = {.t = fixture_table(connections, share, NULL)};

	f.w = weft_session_worker_new(f.t);
	assert_non_null(f.w);
	return f;
}

static void stop(struct fixture f)
{
	weft_session_worker_free(f.w);
	weft_sessions_free(f.t);
}

static void both_directions_are_found_side_by_side(void **state)
{
	(void)state;
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct fixture f = start(64, 100);
		struct session_new n = fixture_new(family, IPPROTO_UDP, 1, 2, 5);
		memset(n.original.eth_in, 0x01, 12);
		memset(n.original.eth_out, 0x02, 12);
		memset(n.reply.eth_in, 0x03, 12);
		memset(n.reply.eth_out, 0x04, 12);
		n.original.flags = (1 << SESSION_HOPS_SHIFT);
		assert_null(fixture_get(f.t, &n.original.key));

		struct session *s = fixture_add(f.w, &n, 1000), *r;
		assert_non_null(s);
		assert_ptr_equal(fixture_get(f.t, &n.original.key), s);
		r = fixture_get(f.t, &n.reply.key);
		assert_ptr_equal(r, weft_session_peer(s));
		assert_ptr_equal(weft_session_peer(r), s);
		assert_ptr_equal(weft_session_original(r), s);
		assert_ptr_equal(weft_session_original(s), s);
		assert_int_equal((char *)r - (char *)s, family == 4 ? 64 : 128);
		assert_int_equal((uintptr_t)s % 64, 0);

		assert_memory_equal(s->eth_in, n.original.eth_in, 12);
		assert_memory_equal(s->eth_out, n.original.eth_out, 12);
		assert_memory_equal(r->eth_in, n.reply.eth_in, 12);
		assert_memory_equal(r->eth_out, n.reply.eth_out, 12);
		assert_int_equal(s->out_port, 2);
		assert_int_equal(r->out_port, 1);
		assert_int_equal(s->flags, (1 << SESSION_HOPS_SHIFT));
		assert_int_equal(r->flags, SESSION_REPLY);
		assert_int_equal(s->gen, 7);
		assert_int_equal(r->gen, 7);
		assert_int_equal(s->seen_ms, 1000);
		assert_int_equal(s->packets, 1);
		assert_int_equal(s->bytes_low, 100);
		assert_int_equal(r->packets, 0);
		assert_int_equal(s->state, SESSION_NEW);

		struct flow_key k;
		weft_session_key(s, &k);
		assert_true(weft_flow_equal(&k, &n.original.key));
		weft_session_key(r, &k);
		assert_true(weft_flow_equal(&k, &n.reply.key));
		stop(f);
	}
}

static void both_directions_die_together_from_either_one(void **state)
{
	(void)state;
	struct fixture f = start(64, 100);
	for (uint32_t i = 0; i < 4; i++) {
		struct session_new n = fixture_new(i & 2 ? 6 : 4, IPPROTO_TCP, 1, 2, i);
		struct session *s = fixture_add(f.w, &n, 0);
		assert_int_equal(weft_session_count(f.t), 1);
		weft_session_remove(f.w, i & 1 ? weft_session_peer(s) : s);
		assert_null(fixture_get(f.t, &n.original.key));
		assert_null(fixture_get(f.t, &n.reply.key));
		assert_int_equal(weft_session_count(f.t), 0);
		weft_session_remove(f.w, s); // once more changes nothing
		assert_int_equal(weft_session_count(f.t), 0);
		assert_int_equal(weft_session_port_count(f.t, 1), 0);
	}
	stop(f);
}

static void adding_a_key_that_exists_returns_its_session(void **state)
{
	(void)state;
	struct fixture f = start(64, 100);
	struct session_new n = fixture_new(4, IPPROTO_UDP, 1, 2, 5), back = n;
	struct session *s = fixture_add(f.w, &n, 0);
	assert_ptr_equal(fixture_add(f.w, &n, 10), s);
	// The other side begins, too: its original is our reply.
	back.original = n.reply;
	back.reply = n.original;
	assert_ptr_equal(fixture_add(f.w, &back, 10), weft_session_peer(s));
	assert_int_equal(weft_session_count(f.t), 1);
	assert_int_equal(weft_session_port_count(f.t, 1), 1);
	assert_int_equal(weft_session_port_count(f.t, 2), 0);
	stop(f);
}

static void a_flow_that_now_enters_elsewhere_replaces_the_outdated_one(void **state)
{
	(void)state;
	struct fixture f = start(64, 100);
	struct session_new n = fixture_new(4, IPPROTO_UDP, 1, 2, 5);
	struct session *s = fixture_add(f.w, &n, 0);
	fixture_answer(f.t, s);
	struct flow_key old = n.original.key;
	n.original.key.in_port = 3;
	struct session *s2 = fixture_add(f.w, &n, 0);
	assert_non_null(s2);
	assert_null(fixture_get(f.t, &old));
	assert_ptr_equal(fixture_get(f.t, &n.reply.key), weft_session_peer(s2));
	assert_int_equal(weft_session_count(f.t), 1);
	assert_int_equal(weft_session_port_count(f.t, 1), 0);
	assert_int_equal(weft_session_port_count(f.t, 3), 1);
	stop(f);
}

static void a_flow_does_not_take_the_binding_of_a_translated_one(void **state)
{
	(void)state;
	struct fixture f = start(64, 100);
	struct session_new n = fixture_new(4, IPPROTO_UDP, 1, 2, 5);
	n.original.flags = n.reply.flags = SESSION_NAT;
	struct session *s = fixture_add(f.w, &n, 0);
	struct session_new m = n;
	enum drop why;
	m.original.key.src4++;
	for (int i = 0; i < 2; i++) {
		assert_null(weft_session_add(f.w, &m, 0, &why));
		assert_int_equal(why, DROP_SESSION_CLASH);
		assert_null(fixture_get(f.t, &m.original.key));
		m.original.flags = m.reply.flags = 0; // nor does one that is not translated
	}
	assert_ptr_equal(fixture_get(f.t, &n.reply.key), weft_session_peer(s));
	assert_int_equal(weft_session_count(f.t), 1);
	assert_int_equal(weft_session_port_count(f.t, 1), 1);
	stop(f);
}

static void keys_that_cannot_be_a_pair_are_refused(void **state)
{
	(void)state;
	struct fixture f = start(64, 100);
	struct session_new n = fixture_new(4, IPPROTO_UDP, 1, 2, 5), m = n;
	enum drop why;
	m.reply = m.original;
	assert_null(weft_session_add(f.w, &m, 0, &why));
	assert_int_equal(why, DROP_INTERNAL);
	m = n;
	m.original.key.in_port = FIXTURE_PORTS;
	assert_null(weft_session_add(f.w, &m, 0, &why));
	m = n;
	m.reply.key.family = 6;
	assert_null(weft_session_add(f.w, &m, 0, &why));
	assert_int_equal(weft_session_count(f.t), 0);
	stop(f);
}

static void equal_tuples_of_different_ports_are_different_flows(void **state)
{
	(void)state;
	struct fixture f = start(64, 100);
	struct session_new a = fixture_new(4, IPPROTO_UDP, 1, 2, 5);
	struct session_new b = fixture_new(4, IPPROTO_UDP, 3, 4, 5);
	struct session *s = fixture_add(f.w, &a, 0), *s2 = fixture_add(f.w, &b, 0);
	assert_ptr_not_equal(s, s2);
	assert_ptr_equal(fixture_get(f.t, &a.original.key), s);
	assert_ptr_equal(fixture_get(f.t, &b.original.key), s2);
	stop(f);
}

static void ipv6_keys_that_differ_in_one_byte_are_different_flows(void **state)
{
	(void)state;
	struct fixture f = start(64, 100);
	struct session_new n = fixture_new(6, IPPROTO_UDP, 1, 2, 5);
	fixture_add(f.w, &n, 0);
	for (size_t i = 0; i < FLOW_KEY6_LEN; i++) {
		struct flow_key k = n.original.key;
		if (i == offsetof(struct flow_key, family))
			continue;
		((uint8_t *)&k)[i] ^= 1;
		// Also when the hash would be the same.
		assert_null(weft_session_get(f.t, &k, weft_flow_hash(&n.original.key)));
	}
	stop(f);
}

static void a_bulk_look_up_finds_what_single_ones_find_and_skips_what_it_is_told(void **state)
{
	(void)state;
	struct fixture f = start(4096, 100);
	struct flow_key keys[64];
	struct session *out[64];
	uint32_t hashes[64];
	for (uint32_t i = 0; i < 4000; i++) {
		struct session_new n =
			fixture_new(i % 3 ? 4 : 6, IPPROTO_UDP, (uint16_t)(i % 7), 9, i);
		assert_non_null(fixture_add(f.w, &n, 0));
	}
	srand(1);
	for (int round = 0; round < 2000; round++) {
		uint16_t n = (uint16_t)(rand() % 65);
		uint64_t skip = round % 4 == 0 ? (uint64_t)rand() * (uint64_t)rand() : 0;
		for (uint16_t k = 0; k < n; k++) {
			uint32_t i = (uint32_t)rand() % 6000; // a third of them unknown
			struct session_new s =
				fixture_new(i % 3 ? 4 : 6, IPPROTO_UDP, (uint16_t)(i % 7), 9, i);
			keys[k] = rand() % 2 ? s.original.key : s.reply.key;
			hashes[k] = weft_flow_hash(&keys[k]);
			out[k] = (struct session *)&keys; // must be overwritten
		}
		weft_session_get_bulk(f.t, keys, hashes, n, skip, out);
		for (uint16_t k = 0; k < n; k++)
			assert_ptr_equal(out[k], skip >> k & 1 ? NULL : fixture_get(f.t, &keys[k]));
	}
	stop(f);
}

static void equal_tags_in_one_bucket_are_told_apart_by_their_keys(void **state)
{
	(void)state;
	struct fixture f = start(64, 100);
	// As if all hashes were equal: each key is found or not by comparing it.
	struct session_new n[6];
	struct session *s[6], *out[6];
	struct flow_key keys[6];
	uint32_t hashes[6];
	for (uint32_t i = 0; i < 6; i++) {
		n[i] = fixture_new(4, IPPROTO_UDP, 1, 2, i);
		s[i] = fixture_add(f.w, &n[i], 0);
	}
	uint32_t hash = weft_flow_hash(&n[0].original.key);
	memset(f.t->family[0].buckets, 0,
	       (f.t->family[0].bucket_mask + 1) * sizeof(struct session_bucket));
	for (uint32_t i = 0; i < 6; i++) {
		struct session_bucket *b = i < 3 ? bucket_first(&f.t->family[0], hash)
						 : bucket_second(&f.t->family[0], hash);
		b->word[i] = word_make(hash, line_of(&f.t->family[0], s[i]));
		keys[i] = n[i].original.key;
		hashes[i] = hash;
	}
	for (uint32_t i = 0; i < 6; i++)
		assert_ptr_equal(weft_session_get(f.t, &keys[i], hash), s[i]);
	weft_session_get_bulk(f.t, keys, hashes, 6, 0, out);
	for (uint32_t i = 0; i < 6; i++)
		assert_ptr_equal(out[i], s[i]);
	stop(f);
}

static void the_full_capacity_is_usable_in_both_families(void **state)
{
	(void)state;
	const uint32_t sizes[] = {1, 16, 100, 1024, 65536};
	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		struct fixture f = start(sizes[k], 100);
		uint32_t capacity = weft_session_capacity(f.t), full = 0;
		assert_int_equal(capacity, sizes[k] <= 16 ? 16 : sizes[k] == 100 ? 128 : sizes[k]);
		for (int family = 4; family <= 6; family += 2) {
			for (uint32_t i = 0; i < capacity; i++) {
				struct session_new n =
					fixture_new((uint8_t)family, IPPROTO_UDP, 1, 2, i);
				struct session *s = fixture_add(f.w, &n, 0);
				full += s == NULL; // both buckets full: rarer than 1 in 10,000
				if (s != NULL)
					fixture_answer(f.t, s);
			}
		}
		assert_in_range(full, 0, 2 * capacity / 10000);
		assert_int_equal(weft_session_count(f.t), 2 * capacity - full);
		assert_int_equal(weft_session_port_count(f.t, 1), 2 * capacity - full);
		assert_int_equal(weft_session_port_unanswered(f.t, 1), 0);
		stop(f);
	}
}

static void an_ipv4_connection_takes_at_most_160_bytes_with_its_share_of_the_index(void **state)
{
	(void)state;
	struct fixture f = start(1 << 20, 25);
	size_t each = weft_session_memory_of(f.t, 4) / weft_session_capacity(f.t);
	assert_in_range(each, 128, 160);
	assert_in_range(weft_session_memory_of(f.t, 6) / weft_session_capacity(f.t), 256, 288);
	assert_true(weft_session_memory(f.t) >=
		    weft_session_memory_of(f.t, 4) + weft_session_memory_of(f.t, 6));
	stop(f);
}

static void a_table_too_large_is_refused_with_its_limit(void **state)
{
	(void)state;
	const struct session_config config = {.connections = UINT32_MAX, .max_ports = 4};
	struct session_table *t = NULL;
	struct err err;
	assert_int_equal(weft_sessions_new(&config, &t, &err), -22);
	assert_non_null(strstr(err.msg, "268435456"));
	assert_null(t);
}

static void huge_pages_are_asked_for_and_not_needed(void **state)
{
	(void)state;
	const struct session_config config = {
		.connections = 1024, .max_ports = 4, .huge = true, .timeouts = fixture_timeouts};
	struct session_table *t = NULL;
	struct err err;
	assert_int_equal(weft_sessions_new(&config, &t, &err), 0);
	struct session_worker *w = weft_session_worker_new(t);
	struct session_new n = fixture_new(4, IPPROTO_UDP, 1, 2, 5);
	assert_non_null(fixture_add(w, &n, 0));
	weft_session_worker_free(w);
	weft_sessions_free(t);
}

static void a_worker_that_goes_leaves_its_pairs_and_counts_to_the_others(void **state)
{
	(void)state;
	struct fixture f = start(1024, 100);
	struct session_worker *w2 = weft_session_worker_new(f.t);
	uint32_t added = 0;
	for (uint32_t i = 0; i < 512; i++) {
		struct session_new n = fixture_new(4, IPPROTO_UDP, 1, 2, i);
		struct session *s = fixture_add(w2, &n, 0);
		assert_non_null(s);
		if (i % 2)
			weft_session_remove(w2, s);
		else
			fixture_answer(f.t, s);
	}
	weft_session_worker_free(w2);
	assert_int_equal(weft_session_count(f.t), 256);
	weft_session_expire(f.w, 1, 2048); // finds what was in the stack
	for (uint32_t i = 1000; i < 1000 + 768; i++) {
		struct session_new n = fixture_new(4, IPPROTO_UDP, 1, 2, i);
		struct session *s = fixture_add(f.w, &n, 0);
		added += s != NULL;
		if (s != NULL)
			fixture_answer(f.t, s);
	}
	assert_int_equal(added, 768);
	assert_int_equal(weft_session_count(f.t), 1024);
	stop(f);
}

struct visit {
	uint32_t n, stop_at, sum;
	struct session_copy last;
};

static bool count_visit(const struct session_copy *s, void *arg)
{
	struct visit *v = arg;

	v->n++;
	v->sum += s->key.sport;
	v->last = *s;
	return v->n != v->stop_at;
}

static void each_copies_every_connection_once_with_its_whole_key_and_times(void **state)
{
	(void)state;
	struct fixture f = start(256, 100);
	struct session *s = NULL;
	uint32_t sum = 0;
	for (uint32_t i = 0; i < 100; i++) {
		struct session_new n = fixture_new(i % 2 ? 4 : 6, IPPROTO_UDP, 1, 2, i);
		s = fixture_add(f.w, &n, 1000);
		if (i % 10 == 0)
			weft_session_remove(f.w, s);
		else
			sum += i;
	}
	struct visit v = {0};
	weft_session_each(f.t, 3000, count_visit, &v);
	assert_int_equal(v.n, 90);
	assert_int_equal(v.sum, sum);
	assert_int_equal(v.last.idle_ms, 2000);
	assert_int_equal(v.last.expires_ms, 28000);
	assert_int_equal(v.last.original.state, SESSION_NEW);
	assert_int_equal(v.last.reply.flags, SESSION_REPLY);
	assert_int_equal(v.last.key.family, 6);
	assert_int_equal(v.last.key.src6[0], 0x20);

	v = (struct visit) {.stop_at = 7};
	weft_session_each(f.t, 3000, count_visit, &v);
	assert_int_equal(v.n, 7);
	v = (struct visit) {0};
	weft_session_each(f.t, 1000000, count_visit, &v);
	assert_int_equal(v.last.expires_ms, 0);
	stop(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_directions_are_found_side_by_side),
		cmocka_unit_test(both_directions_die_together_from_either_one),
		cmocka_unit_test(adding_a_key_that_exists_returns_its_session),
		cmocka_unit_test(a_flow_that_now_enters_elsewhere_replaces_the_outdated_one),
		cmocka_unit_test(a_flow_does_not_take_the_binding_of_a_translated_one),
		cmocka_unit_test(keys_that_cannot_be_a_pair_are_refused),
		cmocka_unit_test(equal_tuples_of_different_ports_are_different_flows),
		cmocka_unit_test(ipv6_keys_that_differ_in_one_byte_are_different_flows),
		cmocka_unit_test(
			a_bulk_look_up_finds_what_single_ones_find_and_skips_what_it_is_told),
		cmocka_unit_test(equal_tags_in_one_bucket_are_told_apart_by_their_keys),
		cmocka_unit_test(the_full_capacity_is_usable_in_both_families),
		cmocka_unit_test(
			an_ipv4_connection_takes_at_most_160_bytes_with_its_share_of_the_index),
		cmocka_unit_test(a_table_too_large_is_refused_with_its_limit),
		cmocka_unit_test(huge_pages_are_asked_for_and_not_needed),
		cmocka_unit_test(a_worker_that_goes_leaves_its_pairs_and_counts_to_the_others),
		cmocka_unit_test(each_copies_every_connection_once_with_its_whole_key_and_times),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
