// SPDX-License-Identifier: Apache-2.0
// Packets that wait, for their first fragment or for a next hop: who may let them wait, and how
// many buffers they take.
#include "datapath/native/testing/resolver_fixture.h"
#include "datapath/native/outside/resolver_priv.h"

#define LONG 3904 // takes two buffers

// "a", "b" and "local" as always, and ports "f0", "f1", ... without port security on n1.
static struct testbed *north_with(int floods)
{
	struct testbed *tb = north();
	char name[16];

	testbed_network(tb, "n1", 4000);
	testbed_provider(tb, "ext", 4000, 0);
	for (int i = 0; i < floods; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		testbed_port(tb, name, "n1", "", NULL);
	}
	testbed_commit(tb);
	tb->w->now_ms = 5000;
	return tb;
}

static uint32_t in_use(struct testbed *tb)
{
	return rte_mempool_in_use_count(tb->dp.node.pool);
}

static void send_later_fragment(struct testbed *tb, const char *port, const char *src, uint16_t id,
				size_t len)
{
	struct frame whole = testbed_frame(port, "b", src, "10.0.1.2", UDP(1, 2, LONG)), f;

	whole.len = 34 + len + 16;
	f = testbed_fragment(&whole, id, 8, len);
	testbed_send(tb, port, &f);
}

static void what_needs_no_ports_is_checked_before_a_fragment_waits(void **state)
{
	struct testbed *tb = north();
	struct frame f;

	(void)state;
	send_later_fragment(tb, "a", "10.0.1.99", 1, 800);
	assert_int_equal(testbed_drop(tb), DROP_SPOOF_IP);
	send_later_fragment(tb, "a", "10.0.1.1", 2, 1600);
	assert_int_equal(testbed_drop(tb), DROP_OVERSIZE);
	f = testbed_frame("a", "b", "fd01::77", "fd01::2", UDP(1, 2, 800));
	f.b[20] = 44; // a fragment header in place of UDP's
	memcpy(f.b + 54, "\x11\x00\x00\x09\x00\x00\x00\x07", 8);
	testbed_send(tb, "a", &f);
	assert_int_equal(testbed_drop(tb), DROP_SPOOF_IP);
	f = testbed_frame("b", "a", "10.0.1.1", "10.0.1.2", UDP(1, 2, 800));
	f = testbed_fragment(&f, 3, 8, 400);
	testbed_send(tb, "a", &f);
	assert_int_equal(testbed_drop(tb), DROP_SPOOF_MAC);
	assert_int_equal(in_use(tb), 0);
	send_later_fragment(tb, "a", "10.0.1.1", 4, 800);
	assert_int_equal(testbed_drop(tb), DROP_NONE);
	assert_int_equal(in_use(tb), 1);
	testbed_free(tb);
}

static void floods_of_fragments_leave_buffers_and_places_to_others(void **state)
{
	struct testbed *tb = north_with(7);
	struct frame f, part;
	char name[16], src[32];

	(void)state;
	for (uint16_t i = 0; i < 600; i++) {
		for (int k = 0; k < 7; k++) {
			snprintf(name, sizeof(name), "f%d", k);
			snprintf(src, sizeof(src), "198.51.%d.%d", i / 200, 1 + i % 200);
			send_later_fragment(tb, name, src, i, LONG);
		}
	}
	assert_in_range(in_use(tb), 900, 1024);
	f = testbed_frame("a", "b", "10.0.1.1", "10.0.1.2", UDP(1, 2, 1000));
	for (size_t at = 1008; at > 0;) {
		at -= 336;
		part = testbed_fragment(&f, 9, at, 336);
		testbed_send(tb, "a", &part);
	}
	assert_int_equal(arrived(tb, "b"), 3);
	testbed_free(tb);
}

static void send_out(struct testbed *tb, const char *port, const char *src, uint32_t to, size_t len)
{
	char dst[32];

	snprintf(dst, sizeof(dst), "203.0.113.%u", to);
	struct frame f = testbed_frame(port, "r1", src, dst, UDP(1, 2, len));
	testbed_send(tb, port, &f);
}

static void packets_that_wait_for_next_hops_leave_buffers_and_places_to_others(void **state)
{
	struct testbed *tb = north_with(20);
	char name[16], src[32];

	(void)state;
	for (uint32_t i = 10; i < 250; i++) {
		for (uint32_t k = 0; k < 20; k++) {
			snprintf(name, sizeof(name), "f%u", k);
			snprintf(src, sizeof(src), "10.0.1.%u", 100 + k);
			send_out(tb, name, src, i, LONG);
		}
	}
	assert_in_range(in_use(tb), HELD_MOST - 2, HELD_MOST);
	testbed_drop(tb);
	// A port that has hardly any gets in, and its packet goes on when the answer comes.
	quiet(tb);
	for (int i = 0; i < 3; i++)
		hold(tb, "203.0.113.254");
	assert_in_range(in_use(tb), HELD_MOST - 2, HELD_MOST);
	answer_arp(tb, &gateway_mac, "203.0.113.254");
	assert_int_equal(arrived(tb, "b"), 3);
	// Nobody has more than any other may have.
	for (uint32_t k = 0; k < 20; k++) {
		snprintf(name, sizeof(name), "f%u", k);
		assert_in_range(weft_shares_of(&tb->dp.node.resolver->workers[0].shares,
					       policy(tb, name)->index),
				HELD_MOST / 24, HELD_PER_PORT);
	}
	testbed_free(tb);
}

static void a_port_may_let_no_more_buffers_wait_than_its_share(void **state)
{
	struct testbed *tb = north_with(1);

	(void)state;
	for (uint32_t i = 10; i < 250; i++)
		send_out(tb, "f0", "10.0.1.100", i, LONG);
	assert_int_equal(in_use(tb), HELD_PER_PORT);
	// Whoever waited in vain is told or dropped, and its buffers are back.
	testbed_pass_time(tb, 10000);
	assert_int_equal(in_use(tb), 0);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_needs_no_ports_is_checked_before_a_fragment_waits),
		cmocka_unit_test(floods_of_fragments_leave_buffers_and_places_to_others),
		cmocka_unit_test(
			packets_that_wait_for_next_hops_leave_buffers_and_places_to_others),
		cmocka_unit_test(a_port_may_let_no_more_buffers_wait_than_its_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
