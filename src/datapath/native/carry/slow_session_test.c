// SPDX-License-Identifier: Apache-2.0
// Sessions that several workers have to do with at the same time: what one of them does while
// another is at it.
#include "datapath/native/carry/slow_session.h"

#include "datapath/native/testing/nat_fixture.h"
#include "datapath/native/carry/slow.h"
#include "datapath/native/policy/tables.h"

// A judgement of f as it comes from a, and the generation that goes with it.
static uint32_t judged(struct testbed *tb, const struct frame *f, struct packet *p, struct judge *j)
{
	uint16_t in = weft_tables_port(tb->dp.tables, "a")->index;

	assert_int_equal(weft_packet_parse(f->b, f->len, f->len, in, p), DROP_NONE);
	weft_judge_init(j, &tb->dp.node, weft_vstore_epoch(tb->dp.node.vs), p, f->b,
			(uint32_t)f->len);
	weft_judge(j);
	assert_int_equal(j->verdict, VERDICT_FORWARD);
	return native_gen(&tb->dp.node, j->in->index, j->out->index);
}

static void translated_flow_that_begins_on_two_workers_is_one(void **state)
{
	struct testbed *tb = one_router();
	struct frame f = summed("a", "r1", "10.0.1.1", WEB, UDP(1000, 53, 8));
	struct packet p[3];
	struct session *s;
	struct judge j[3];
	enum drop why;
	uint32_t gen;

	(void)state;
	// Both have judged before either has made it.
	judged(tb, &f, &p[0], &j[0]);
	gen = judged(tb, &f, &p[1], &j[1]);
	assert_true(weft_slow_make(tb->w, &j[0], gen, &why));
	s = weft_slow_find(tb->w->sessions, &p[0]);
	assert_non_null(s);
	assert_true(weft_slow_make(tb->w, &j[1], gen, &why));
	assert_ptr_equal(weft_slow_find(tb->w->sessions, &p[1]), s);
	assert_true(weft_flow_equal(&j[0].now, &j[1].now));
	assert_int_equal(weft_session_count(tb->dp.node.sessions), 1);
	// What was made by another policy is none of its kind.
	judged(tb, &f, &p[2], &j[2]);
	assert_true(weft_slow_make(tb->w, &j[2], gen + 1, &why));
	assert_ptr_not_equal(weft_slow_find(tb->w->sessions, &p[2]), s);
	assert_int_equal(weft_session_count(tb->dp.node.sessions), 1);
	testbed_free(tb);
}

static bool comes_as(struct testbed *tb, struct frame f, const char *gateway)
{
	struct frame got;

	testbed_send(tb, "a", &f);
	testbed_as_routed(&f, gateway, "b", 1);
	return testbed_receive(tb, "b", &got) && got.len == f.len && memcmp(got.b, f.b, f.len) == 0;
}

static void macs_are_corrected_by_one_worker_at_a_time(void **state)
{
	struct testbed *tb = testbed_new(1024);
	struct frame by_r, by_q;
	struct session *s, before;
	struct packet p;

	(void)state;
	testbed_network(tb, "n1", 1500);
	testbed_network(tb, "n2", 1500);
	testbed_rule_set(tb, "any", true, "egress 4 any\ningress 4 any\n");
	testbed_port(tb, "a", "n1", "10.0.1.1", "any");
	testbed_port(tb, "b", "n2", "10.0.2.1", "any");
	testbed_router(tb, "r", true, "n1|r1|10.0.1.254/24 n2|r2|10.0.2.254/24", "");
	testbed_router(tb, "q", true, "n1|q1|10.0.1.253/24 n2|q2|10.0.2.253/24", "");
	testbed_commit(tb);
	by_r = testbed_frame("a", "r1", "10.0.1.1", "10.0.2.1", UDP(1, 2, 8));
	by_q = testbed_frame("a", "q1", "10.0.1.1", "10.0.2.1", UDP(1, 2, 8));
	assert_true(comes_as(tb, by_r, "r2"));
	assert_int_equal(weft_packet_parse(by_r.b, by_r.len, by_r.len,
					   weft_tables_port(tb->dp.tables, "a")->index, &p),
			 DROP_NONE);
	s = weft_slow_find(tb->w->sessions, &p);
	assert_non_null(s);
	before = *s;

	s->flags |= SESSION_CORRECTING; // another worker is at it
	assert_true(comes_as(tb, by_q, "q2"));
	assert_memory_equal(s->eth_in, before.eth_in, sizeof(s->eth_in));
	assert_memory_equal(s->eth_out, before.eth_out, sizeof(s->eth_out));

	s->flags = before.flags;
	assert_true(comes_as(tb, by_q, "q2"));
	assert_memory_equal(s->eth_in, by_q.b, sizeof(s->eth_in));
	assert_memory_not_equal(s->eth_out, before.eth_out, sizeof(s->eth_out));
	assert_int_equal(s->flags, before.flags); // and nobody is at it any more
	assert_ptr_equal(weft_slow_find(tb->w->sessions, &p), s);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(translated_flow_that_begins_on_two_workers_is_one),
		cmocka_unit_test(macs_are_corrected_by_one_worker_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
