// SPDX-License-Identifier: Apache-2.0
// The table of next hops when it is crowded, when routers go, and when two workers use it at once.
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "datapath/native/testing/resolver_fixture.h"
#include "datapath/native/outside/resolver_priv.h"
#include "datapath/native/carry/slow.h"
#include "datapath/native/carry/turn.h"

static void scan(struct testbed *tb, const char *port, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++) {
		struct ip_addr ip = {4, {203, 0, (uint8_t)(i >> 8), (uint8_t)i}};

		hold_for(tb, port, &ip, true);
	}
}

static void one_port_that_scans_asks_for_so_many_a_second(void **state)
{
	struct testbed *tb = north();
	uint64_t before;

	(void)state;
	tb->w->now_ms = 10000;
	scan(tb, "a", 0, 1000);
	assert_int_equal(stats(tb).questions, PORT_ASKS);
	assert_int_equal(stats(tb).asking, PORT_ASKS);
	before = tb->w->drops[DROP_NEXT_HOP_WAIT];
	assert_int_equal(before, 1000 - HELD_PER_PORT);
	tb->w->now_ms += 1000;
	scan(tb, "a", 1000, 1000);
	assert_int_equal(stats(tb).questions, PORT_ASKS + PORT_ASKS_PER_SECOND);
	// Another port is not hindered, nor is what a route leads to.
	scan(tb, "b", 4000, 1);
	assert_int_equal(stats(tb).questions, PORT_ASKS + PORT_ASKS_PER_SECOND + 1);
	hold(tb, "203.0.113.254");
	assert_int_equal(stats(tb).questions, PORT_ASKS + PORT_ASKS_PER_SECOND + 2);
	testbed_free(tb);
}

static void many_ports_that_scan_leave_known_next_hops_and_routes_alone(void **state)
{
	struct testbed *tb = north();
	struct mac_addr mac;
	char name[16];

	(void)state;
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "scan%d", i);
		testbed_port(tb, name, "n1", "", "all");
	}
	testbed_commit(tb);
	hold(tb, "203.0.113.253");
	answer_arp(tb, &gateway_mac, "203.0.113.253");
	for (uint32_t second = 0; second < 10; second++) {
		for (uint32_t i = 0; i < 40; i++) {
			snprintf(name, sizeof(name), "scan%u", i);
			scan(tb, name, 5000 + second * 4000 + i * 100, 100);
		}
		testbed_pass_time(tb, 1000);
	}
	// They have used up what there is for unanswered questions.
	assert_in_range(stats(tb).asking + stats(tb).failed, UNANSWERED_MOST / 2, UNANSWERED_ALL);
	assert_true(stats(tb).questions < 256 * 3 * 12);
	assert_int_equal(state_of(tb, "203.0.113.253", &mac), NEXT_HOP_KNOWN);
	hold(tb, "203.0.113.254");
	answer_arp(tb, &gateway_mac, "203.0.113.254");
	assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_KNOWN);
	testbed_pass_time(tb, 8000);
	assert_int_equal(stats(tb).asking + stats(tb).failed, 0);
	assert_int_equal(stats(tb).known, 2);
	testbed_free(tb);
}

static void least_used_known_next_hops_make_room(void **state)
{
	struct testbed *tb = north();
	struct mac_addr mac;
	uint32_t n = KNOWN_MOST + 1;
	char ip[32];

	(void)state;
	hold(tb, "203.0.113.254");
	answer_arp(tb, &gateway_mac, "203.0.113.254");
	for (uint32_t i = 0; i < n; i++) {
		snprintf(ip, sizeof(ip), "203.0.%u.%u", i >> 8, i & 255);
		hold(tb, ip);
		answer_arp(tb, &gateway_mac, ip);
		if (i % 100 == 0) {
			testbed_pass_time(tb, 100);
			assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_KNOWN);
		}
	}
	testbed_pass_time(tb, 300);
	assert_in_range(stats(tb).known, KNOWN_MOST - 2 * KNOWN_ROOM, KNOWN_MOST);
	assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_KNOWN);
	assert_int_equal(state_of(tb, "203.0.0.1", &mac), NEXT_HOP_UNKNOWN);
	assert_int_equal(state_of(tb, ip, &mac), NEXT_HOP_KNOWN);
	testbed_free(tb);
}

static void entry_is_reused_only_after_everyone_was_quiescent(void **state)
{
	struct testbed *tb = north();
	struct resolver *r = tb->dp.node.resolver;
	struct neighbour_key key;
	struct ip_addr ip = ip_of("203.0.113.254");
	struct hop *h;

	(void)state;
	hold(tb, "203.0.113.254");
	key = hop_key(ext(tb), &ip);
	h = weft_hop_find(r, &key);
	assert_non_null(h);
	testbed_pass_time(tb, 5900); // failed, and its time is over soon
	for (int i = 0; i < 20; i++)
		weft_resolver_tick(r, tb->w->now_ms += 100);
	assert_null(weft_hop_find(r, &key));
	assert_int_equal(hop_state(h->word), HOP_GONE);
	assert_memory_equal(&h->key, &key, sizeof(key)); // as somebody may still see it
	rte_rcu_qsbr_quiescent(tb->dp.node.qsbr, 0);
	h->held = 1; // he has put a packet there
	weft_resolver_tick(r, tb->w->now_ms += 100);
	assert_int_equal(hop_state(h->word), HOP_GONE);
	h->held = 0;
	weft_resolver_tick(r, tb->w->now_ms += 100);
	assert_int_equal(h->word, HOP_FREE);
	assert_int_equal(r->in_use, 0);
	testbed_free(tb);
}

// ---- Who asks ------------------------------------------------------------------------------

static struct frame question_after(struct testbed *tb, uint32_t ms)
{
	struct frame q = {.len = 0};

	questions(tb, NULL);
	testbed_pass_time(tb, ms);
	questions(tb, &q);
	return q;
}

static void another_router_goes_on_asking_when_the_first_has_gone(void **state)
{
	struct testbed *tb = north();
	struct mac_addr mac;
	struct frame q;

	(void)state;
	external_router(tb, "s", "sx", "203.0.113.2");
	testbed_commit(tb);
	hold(tb, "203.0.113.254");
	answer_arp(tb, &gateway_mac, "203.0.113.254");
	testbed_del(tb, PLAN_ROUTER, "r", NULL);
	testbed_commit(tb);
	q = question_after(tb, 30100);
	assert_memory_equal(q.b + 6, testbed_mac("sx").b, 6);
	assert_memory_equal(q.b + 28, "\xcb\x00\x71\x02", 4);
	answer_arp(tb, &gateway_mac, "203.0.113.254");
	// An address that changed is not asked from.
	external_router(tb, "s", "sx", "203.0.113.3");
	testbed_commit(tb);
	q = question_after(tb, 30100);
	assert_memory_equal(q.b + 28, "\xcb\x00\x71\x03", 4);
	answer_arp(tb, &gateway_mac, "203.0.113.254");
	testbed_del(tb, PLAN_ROUTER, "s", NULL);
	testbed_commit(tb);
	q = question_after(tb, 100);
	assert_int_equal(q.len, 0);
	assert_int_equal(state_of(tb, "203.0.113.254", &mac), NEXT_HOP_UNKNOWN);
	assert_int_equal(stats(tb).known, 0);
	testbed_free(tb);
}

static void address_that_the_plan_has_got_is_not_asked_for_any_more(void **state)
{
	struct testbed *tb = north();

	(void)state;
	hold(tb, "203.0.113.50");
	answer_arp(tb, &gateway_mac, "203.0.113.50");
	testbed_port(tb, "new", "ext", "203.0.113.50", "all");
	testbed_commit(tb);
	assert_int_equal(question_after(tb, 100).len, 0);
	assert_int_equal(stats(tb).known, 0);
	testbed_free(tb);
}

static void refreshing_many_is_spread_over_time(void **state)
{
	struct testbed *tb = north();
	char ip[32];
	uint64_t before;

	(void)state;
	for (uint32_t i = 0; i < 400; i++) {
		snprintf(ip, sizeof(ip), "203.0.%u.%u", i >> 8, i & 255);
		hold(tb, ip);
		answer_arp(tb, &gateway_mac, ip);
	}
	testbed_pass_time(tb, 29900);
	before = stats(tb).questions;
	testbed_pass_time(tb, 100);
	assert_in_range(stats(tb).questions - before, 100, 128);
	testbed_pass_time(tb, 300);
	assert_int_equal(stats(tb).questions - before, 400);
	testbed_free(tb);
}

// ---- Two workers ---------------------------------------------------------------------------

#define HOSTS	   24
#define RACE_TICKS 2000

struct side {
	struct testbed *tb;
	struct worker *w;
	uint32_t seed;
	pthread_t thread;
	_Atomic uint64_t wrong, held;
};

static _Atomic bool stop;

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

// The MAC of a host tells which host it is, and the last byte where it is now.
static struct mac_addr mac_of(uint32_t host, uint32_t place)
{
	return (struct mac_addr) {{0x52, 0x54, 0, 1, (uint8_t)host, (uint8_t)place}};
}

static struct rte_mbuf *buffer(struct testbed *tb, const struct frame *f)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(tb->dp.node.pool);

	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, (uint16_t)f->len), f->b, f->len);
	return m;
}

static _Atomic uint32_t arrived_at[2];

// Go on when the other side is at the same step.
static void meet(uint32_t me, uint32_t step)
{
	atomic_store(&arrived_at[me], step);
	for (uint32_t spin = 0; atomic_load(&arrived_at[1 - me]) < step; spin++)
		if (spin > 10000)
			sched_yield();
}

static void side_holds(struct side *s, const struct ip_addr *ip, uint32_t step)
{
	struct frame f = testbed_frame("a", "b", "10.0.1.1", "10.0.1.2", UDP(1, 2, 8));
	struct rte_mbuf *m = buffer(s->tb, &f);
	struct next_hop ask = hop_to(s->tb, ip);

	if (step > 0)
		meet(s->seed, step);
	weft_resolver_hold(s->w, m, policy(s->tb, "a")->index, &ask);
	s->held++;
}

static void side_hears(struct side *s, uint32_t host, uint32_t place, const char *ip)
{
	struct mac_addr mac = mac_of(host, place);
	struct frame f = arp_from(&mac, 2, ip, "203.0.113.1", "rx");
	struct rte_mbuf *m = buffer(s->tb, &f);
	struct packet p;

	weft_packet_parse(f.b, f.len, f.len, policy(s->tb, "ext")->index, &p);
	weft_resolver_heard(s->w, m, &p);
	rte_pktmbuf_free(m);
}

static void *side_runs(void *arg)
{
	struct side *s = arg;
	struct native *dp = &s->tb->dp;

	rte_rcu_qsbr_thread_online(dp->node.qsbr, s->w->id);
	while (!atomic_load(&stop)) {
		uint32_t host = next_random(&s->seed) % HOSTS, dice = next_random(&s->seed) % 16;
		struct mac_addr mac;
		struct ip_addr ip;
		char text[32];

		snprintf(text, sizeof(text), "203.0.113.%u", 100 + host);
		weft_ip_parse(text, &ip);
		s->w->now_ms = atomic_load(&dp->node.resolver->now_ms);
		if (state_of(s->tb, text, &mac) == NEXT_HOP_KNOWN)
			s->wrong += mac.b[4] != host;
		else if (dice < 12)
			side_holds(s, &ip, 0);
		if (dice == 15)
			side_hears(s, host, next_random(&s->seed) % 2, text);
		weft_resolver_turn(s->w, weft_slow_packet);
		weft_send_flush(s->w);
		rte_rcu_qsbr_quiescent(dp->node.qsbr, s->w->id);
	}
	rte_rcu_qsbr_thread_offline(dp->node.qsbr, s->w->id);
	return NULL;
}

static void start(struct side *s, uint16_t id, void *(*runs)(void *))
{
	struct native *dp = &s->tb->dp;
	struct err err;

	assert_int_equal(weft_worker_new(&dp->node, id, 0, &s->w, &err), 0);
	dp->workers[id] = s->w;
	dp->n_workers = (uint16_t)(id + 1);
	assert_int_equal(pthread_create(&s->thread, NULL, runs, s), 0);
}

static uint32_t entries_of(const struct resolver *r, const struct neighbour_key *key)
{
	uint32_t n = 0, next = r->chains[hop_chain(key)];

	for (; next != 0; next = r->hops[next - 1].next)
		n += memcmp(&r->hops[next - 1].key, key, sizeof(*key)) == 0 &&
		     hop_state(r->hops[next - 1].word) != HOP_GONE;
	return n;
}

// ---- Both ask for the same at the same time ------------------------------------------------

#define SAME 1000

static void *side_asks(void *arg)
{
	struct side *s = arg;

	rte_rcu_qsbr_thread_online(s->tb->dp.node.qsbr, s->w->id);
	for (uint32_t i = 1; i <= SAME; i++) {
		struct ip_addr ip = {4, {203, 1, (uint8_t)(i >> 8), (uint8_t)i}};

		side_holds(s, &ip, i);
		weft_send_flush(s->w);
		rte_rcu_qsbr_quiescent(s->tb->dp.node.qsbr, s->w->id);
	}
	rte_rcu_qsbr_thread_offline(s->tb->dp.node.qsbr, s->w->id);
	return NULL;
}

static void finish(struct side side[2])
{
	struct native *dp = &side->tb->dp;

	dp->n_workers = 1;
	for (uint16_t i = 0; i < 2; i++) {
		dp->workers[i + 1] = NULL;
		weft_worker_stop(side[i].w);
	}
	rte_rcu_qsbr_thread_online(dp->node.qsbr, 0);
	testbed_free(side->tb);
}

static void two_workers_that_ask_for_the_same_make_one_entry(void **state)
{
	struct testbed *tb = north();
	struct resolver *r = tb->dp.node.resolver;
	struct side side[2] = {{.tb = tb, .seed = 0}, {.tb = tb, .seed = 1}};

	(void)state;
	rte_rcu_qsbr_thread_offline(tb->dp.node.qsbr, 0);
	for (uint16_t i = 0; i < 2; i++)
		start(&side[i], (uint16_t)(i + 1), side_asks);
	for (uint16_t i = 0; i < 2; i++)
		pthread_join(side[i].thread, NULL);
	for (uint32_t i = 1; i <= SAME; i++) {
		struct ip_addr ip = {4, {203, 1, (uint8_t)(i >> 8), (uint8_t)i}};
		struct neighbour_key key = hop_key(ext(tb), &ip);

		assert_int_equal(entries_of(r, &key), 1);
	}
	assert_int_equal(r->in_use, SAME);
	finish(side);
}

static bool is_busy(const struct side *side)
{
	return side[0].held > 1000 && side[1].held > 1000 && stats(side->tb).moves > 10;
}

static void two_workers_and_time_agree_on_the_table(void **state)
{
	struct testbed *tb = north();
	struct resolver *r = tb->dp.node.resolver;
	struct side side[2] = {{.tb = tb, .seed = 1}, {.tb = tb, .seed = 2}};
	unsigned before = rte_mempool_avail_count(tb->dp.node.pool);
	uint32_t now = 10000;

	(void)state;
	atomic_store(&stop, false);
	weft_resolver_tick(r, now);
	rte_rcu_qsbr_thread_offline(tb->dp.node.qsbr, 0);
	for (uint16_t i = 0; i < 2; i++)
		start(&side[i], (uint16_t)(i + 1), side_runs);
	// Time flies: hops fail, go and are refreshed while they are used.
	for (uint32_t i = 0; i < RACE_TICKS || (!is_busy(side) && i < 50 * RACE_TICKS); i++) {
		weft_resolver_tick(r, now += 7000);
		usleep(50);
	}
	atomic_store(&stop, true);
	for (uint16_t i = 0; i < 2; i++)
		pthread_join(side[i].thread, NULL);
	for (uint32_t i = 0; i < HOSTS; i++) {
		struct ip_addr ip = {4, {203, 0, 113, (uint8_t)(100 + i)}};
		struct neighbour_key key = hop_key(ext(tb), &ip);

		assert_in_range(entries_of(r, &key), 0, 1);
	}
	assert_int_equal(side[0].wrong + side[1].wrong, 0);
	assert_true(is_busy(side));
	for (uint32_t i = 0; i < 200; i++) { // nobody answers any more
		weft_resolver_tick(r, now += 700);
		for (uint16_t k = 0; k < 2; k++) {
			side[k].w->now_ms = now;
			weft_resolver_turn(side[k].w, weft_slow_packet);
		}
	}
	assert_int_equal(stats(tb).known + stats(tb).asking + stats(tb).failed, 0);
	assert_int_equal(stats(tb).held, 0);
	assert_int_equal(r->in_use, 0);
	for (size_t i = 0; i < NEXT_HOPS; i++)
		assert_int_equal(r->hops[i].word, HOP_FREE);
	assert_int_equal(rte_mempool_avail_count(tb->dp.node.pool), before);
	finish(side);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_port_that_scans_asks_for_so_many_a_second),
		cmocka_unit_test(many_ports_that_scan_leave_known_next_hops_and_routes_alone),
		cmocka_unit_test(least_used_known_next_hops_make_room),
		cmocka_unit_test(entry_is_reused_only_after_everyone_was_quiescent),
		cmocka_unit_test(another_router_goes_on_asking_when_the_first_has_gone),
		cmocka_unit_test(address_that_the_plan_has_got_is_not_asked_for_any_more),
		cmocka_unit_test(refreshing_many_is_spread_over_time),
		cmocka_unit_test(two_workers_that_ask_for_the_same_make_one_entry),
		cmocka_unit_test(two_workers_and_time_agree_on_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
