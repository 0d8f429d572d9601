// SPDX-License-Identifier: Apache-2.0
// The table against a plain list of connections, with random operations.
#include "datapath/native/session/session.h"

#include "datapath/native/testing/rounds.h"
#include "datapath/native/testing/session_fixture.h"

#define UNIVERSE 1500 // connections that there can be
#define PORTS	 6

struct entry { // one connection of the universe
	struct session_new n;
	bool there;
	uint8_t state;
	uint32_t seen_ms;
	struct session *s;
};

struct model {
	struct session_table *t;
	struct session_worker *w;
	struct entry e[UNIVERSE];
	uint32_t now_ms, capacity, share;
	uint32_t count[2], evicted, refused; // count: by family
};

static uint32_t random_below(uint32_t n)
{
	return (uint32_t)rand() % n;
}

static uint32_t timeout_of(const struct entry *e)
{
	const struct datapath_timeouts *o = &fixture_timeouts;

	switch (e->n.original.key.proto) {
	case IPPROTO_TCP:
		return 1000 * (e->state == SESSION_NEW		 ? o->tcp_opening
			       : e->state == SESSION_ESTABLISHED ? o->tcp_established
								 : o->tcp_closing);
	case IPPROTO_UDP:
		return 1000 * (e->state == SESSION_NEW ? o->udp_unanswered : o->udp_answered);
	default:
		return 1000 * o->icmp;
	}
}

static bool is_expired(const struct model *m, const struct entry *e)
{
	return m->now_ms - e->seen_ms >= timeout_of(e);
}

static uint32_t port_count(const struct model *m, uint16_t port, bool unanswered)
{
	uint32_t n = 0;

	for (int i = 0; i < UNIVERSE; i++)
		n += m->e[i].there && m->e[i].n.original.key.in_port == port &&
		     (!unanswered || m->e[i].state == SESSION_NEW);
	return n;
}

// How the table is divided between the ports that have something; `port` is about to.
static uint32_t fair_part(const struct model *m, uint16_t port)
{
	uint32_t paying = port_count(m, port, false) == 0;

	for (uint16_t p = 0; p < PORTS; p++)
		paying += port_count(m, p, false) > 0;
	return m->capacity / paying;
}

// To make room for one more of a port. all: how many that one has then.
static bool may_go(const struct model *m, const struct entry *e, uint16_t port, uint32_t all)
{
	uint16_t whose = e->n.original.key.in_port;
	uint32_t has = port_count(m, whose, false), fair = fair_part(m, port);

	if (whose == port || e->state == SESSION_CLOSING || m->now_ms - e->seen_ms >= timeout_of(e))
		return true;
	if (e->state == SESSION_NEW)
		return has > (all > fair ? all : fair) ||
		       port_count(m, whose, true) > m->capacity / 64;
	return m->now_ms - e->seen_ms >= timeout_of(e) / 4 || (all <= fair && has > fair);
}

// The table and the list agree about one connection.
static void check_entry(struct model *m, struct entry *e)
{
	struct session *s = fixture_get(m->t, &e->n.original.key);
	struct session *r = fixture_get(m->t, &e->n.reply.key);

	assert_ptr_equal(s, e->there ? e->s : NULL);
	assert_ptr_equal(r, e->there ? weft_session_peer(e->s) : NULL);
	if (e->there) {
		assert_int_equal(s->state, e->state);
		assert_int_equal(s->gen, e->n.gen);
		assert_int_equal(weft_session_timeout_ms(m->t, s), timeout_of(e));
	}
}

static bool count_one(const struct session_copy *s, void *arg)
{
	(void)s;
	++*(uint32_t *)arg;
	return true;
}

static void check_all(struct model *m)
{
	uint32_t n = 0;

	for (int i = 0; i < UNIVERSE; i++)
		check_entry(m, &m->e[i]);
	assert_int_equal(weft_session_count(m->t), m->count[0] + m->count[1]);
	weft_session_each(m->t, m->now_ms, count_one, &n);
	assert_int_equal(n, m->count[0] + m->count[1]);
	for (uint16_t p = 0; p < PORTS; p++) {
		assert_int_equal(weft_session_port_count(m->t, p), port_count(m, p, false));
		assert_int_equal(weft_session_port_unanswered(m->t, p), port_count(m, p, true));
		assert_in_range(port_count(m, p, false), 0, m->share);
	}
}

static void set_gone(struct model *m, struct entry *e)
{
	e->there = false;
	m->count[e->n.original.key.family == 6]--;
}

// Which connections made room for a new one, and did they have to? The whole table was the choice
// if it is small and full; otherwise some buckets or a window.
static void check_evicted(struct model *m, const struct entry *for_whom, bool whole_table,
			  bool share_full)
{
	uint32_t most = 0, expired = 0;
	uint8_t family = for_whom->n.original.key.family;
	uint16_t mine = for_whom->n.original.key.in_port;
	// Those of its own that its share cost are not there any more when the table is found full.
	uint32_t all = share_full ? 1 : port_count(m, mine, false) + 1;

	for (uint16_t p = 0; whole_table && p < PORTS; p++) {
		uint32_t n = port_count(m, p, true) + (p == for_whom->n.original.key.in_port);
		uint32_t in_family = 0;
		for (int i = 0; i < UNIVERSE; i++)
			in_family += m->e[i].there && m->e[i].n.original.key.family == family &&
				     m->e[i].n.original.key.in_port == p &&
				     m->e[i].state == SESSION_NEW && !is_expired(m, &m->e[i]) &&
				     may_go(m, &m->e[i], mine, all);
		most = in_family > 0 && n > most ? n : most;
	}
	for (int i = 0; i < UNIVERSE; i++)
		expired += m->e[i].there && m->e[i].n.original.key.family == family &&
			   is_expired(m, &m->e[i]);

	struct entry *gone[64];
	uint32_t n = 0;
	for (int i = 0; i < UNIVERSE; i++) {
		struct entry *e = &m->e[i];
		if (!e->there || fixture_get(m->t, &e->n.original.key) != NULL)
			continue;
		assert_true(may_go(m, e, mine, all));
		if (whole_table && expired > 0)
			assert_true(is_expired(m, e));
		if (whole_table && expired == 0 && most > 0) {
			uint16_t port = e->n.original.key.in_port;
			assert_int_equal(e->state, SESSION_NEW);
			assert_int_equal(port_count(m, port, true) +
						 (port == for_whom->n.original.key.in_port),
					 most);
		}
		assert_in_range(n, 0, 63);
		gone[n++] = e;
	}
	m->evicted += n;
	for (uint32_t i = 0; i < n; i++)
		set_gone(m, gone[i]);
}

static bool anything_to_give(const struct model *m, const struct entry *to)
{
	uint8_t family = to->n.original.key.family;
	uint16_t port = to->n.original.key.in_port;
	uint32_t all = port_count(m, port, false) + 1;

	for (int i = 0; i < UNIVERSE; i++)
		if (m->e[i].there && m->e[i].n.original.key.family == family &&
		    may_go(m, &m->e[i], port, all))
			return true;
	return false;
}

static void do_add(struct model *m, struct entry *e)
{
	uint8_t family = e->n.original.key.family;
	uint16_t port = e->n.original.key.in_port;
	bool full = m->count[family == 6] == m->capacity;
	bool share_full = port_count(m, port, false) >= m->share;
	bool give = anything_to_give(m, e);
	enum drop why;

	struct session *s = weft_session_add(m->w, &e->n, m->now_ms, &why);
	if (e->there) {
		assert_ptr_equal(s, e->s);
		return;
	}
	check_evicted(m, e, full && !share_full && m->capacity <= 32, share_full);
	if (s == NULL) {
		m->refused++;
		// What gave way for the port's share may have been of the other family, and this
		// one be full.
		assert_true(why == DROP_SESSIONS_FULL || (share_full && why == DROP_PORT_SESSIONS));
		if (full && !share_full && m->capacity <= 32)
			assert_false(give);
		return;
	}
	e->there = true;
	e->s = s;
	e->state = SESSION_NEW;
	e->seen_ms = m->now_ms;
	m->count[family == 6]++;
}

static void do_packet(struct model *m, struct entry *e)
{
	struct session *s = e->s;

	if (!e->there)
		return;
	if (e->n.original.key.proto != IPPROTO_TCP || e->state == SESSION_NEW) {
		fixture_answer(m->t, s);
		e->state = SESSION_ESTABLISHED;
	} else if (e->state == SESSION_ESTABLISHED) {
		if (random_below(8) != 0)
			return;
		fixture_packet(m->t, random_below(2) ? s : weft_session_peer(s), 0x04);
		e->state = SESSION_CLOSING;
	} else {
		bool reopened;
		weft_session_update(m->t, s, 0x02, &reopened);
		assert_true(reopened);
		weft_session_remove(m->w, s);
		set_gone(m, e);
		return;
	}
	(random_below(2) ? s : weft_session_peer(s))->seen_ms = m->now_ms;
	e->seen_ms = m->now_ms;
}

static void do_expire(struct model *m)
{
	uint32_t due = 0;

	m->now_ms += 20 + random_below(random_below(4) ? 2000 : 60000);
	for (int i = 0; i < UNIVERSE; i++)
		due += m->e[i].there && is_expired(m, &m->e[i]);
	// 64 pairs a millisecond: 20 ms are a full turn of these tables.
	assert_int_equal(weft_session_expire(m->w, m->now_ms, 4 * m->capacity), due);
	for (int i = 0; i < UNIVERSE; i++)
		if (m->e[i].there && is_expired(m, &m->e[i]))
			set_gone(m, &m->e[i]);
}

static void do_bulk(struct model *m)
{
	struct flow_key keys[64];
	uint32_t hashes[64];
	struct session *out[64], *want[64];
	uint16_t n = (uint16_t)random_below(65);

	for (uint16_t i = 0; i < n; i++) {
		struct entry *e = &m->e[random_below(UNIVERSE)];
		bool reply = random_below(2);
		keys[i] = reply ? e->n.reply.key : e->n.original.key;
		hashes[i] = weft_flow_hash(&keys[i]);
		want[i] = !e->there ? NULL : reply ? weft_session_peer(e->s) : e->s;
	}
	weft_session_get_bulk(m->t, keys, hashes, n, 0, out);
	for (uint16_t i = 0; i < n; i++)
		assert_ptr_equal(out[i], want[i]);
}

static void run(uint32_t capacity, uint32_t share_percent, uint32_t operations, uint32_t adds)
{
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};
	struct model *m = calloc(1, sizeof(*m));

	m->t = fixture_table(capacity, share_percent, NULL);
	m->w = weft_session_worker_new(m->t);
	m->capacity = weft_session_capacity(m->t);
	m->share = share_percent == 100 ? UINT32_MAX : m->capacity * share_percent / 100;
	m->now_ms = UINT32_MAX - 3000000; // wraps on the way
	weft_session_expire(m->w, m->now_ms, 0);
	for (uint32_t i = 0; i < UNIVERSE; i++) {
		uint8_t family = i % 3 == 0 ? 6 : 4, proto = protos[random_below(3)];
		if (proto == IPPROTO_ICMP && family == 6)
			proto = IPPROTO_ICMPV6;
		// Low numbers are more frequent: ports differ in how much they flood.
		uint16_t port = (uint16_t)(random_below(PORTS) * random_below(PORTS) / PORTS);
		m->e[i].n = fixture_new(family, proto, port, 60, i);
		m->e[i].n.gen = i;
	}
	for (uint32_t i = 0; i < ROUNDS(operations); i++) {
		struct entry *e = &m->e[random_below(UNIVERSE)];
		uint32_t what = random_below(100);
		m->now_ms +=
			i % 64 ==
			0; // what is searched in vain is not searched again in the same millisecond
		if (what < adds) {
			do_add(m, e);
		} else if (what < 92) {
			for (int k = 0; k < 100 && !e->there; k++)
				e = &m->e[random_below(UNIVERSE)];
			do_packet(m, e);
		} else if (what < 94) {
			if (e->there) {
				weft_session_remove(m->w,
						    what % 2 ? e->s : weft_session_peer(e->s));
				set_gone(m, e);
			}
		} else if (what < 98) {
			do_bulk(m);
		} else {
			do_expire(m);
		}
		check_entry(m, e);
		if (i % 512 == 0)
			check_all(m);
	}
	check_all(m);
	if (capacity <= 256) // it was full
		assert_true(m->evicted > 0);
	weft_session_worker_free(m->w);
	weft_sessions_free(m->t);
	free(m);
}

static void a_tiny_table_agrees_with_a_list_and_evicts_in_order(void **state)
{
	(void)state;
	srand(1);
	run(32, 100, 60000, 50);
	run(16, 100, 60000, 70);
	run(32, 50, 60000, 60);
}

static void a_small_table_agrees_with_a_list(void **state)
{
	(void)state;
	srand(2);
	run(128, 40, 60000, 60);
	run(256, 25, 60000, 70);
	run(256, 10, 60000, 70);
}

static void a_table_with_room_agrees_with_a_list(void **state)
{
	(void)state;
	srand(3);
	run(2048, 100, 60000, 50);
}

int main(void)
{
	// The same hashes in every run: the order of eviction is told for a whole tiny table, and
	// with a secret in a hundred two full buckets would decide instead.
	for (size_t i = 0; i < sizeof(weft_flow_secret) / sizeof(weft_flow_secret[0]); i++)
		weft_flow_secret[i] = UINT64_C(0x9e3779b97f4a7c15) * (i + 1) | 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tiny_table_agrees_with_a_list_and_evicts_in_order),
		cmocka_unit_test(a_small_table_agrees_with_a_list),
		cmocka_unit_test(a_table_with_room_agrees_with_a_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
