// SPDX-License-Identifier: Apache-2.0
// Next hops and the packets that need them, through the whole datapath: what waits, what goes on,
// what its sender is told.
#include "datapath/native/testing/resolver_fixture.h"
#include "datapath/native/show/trace.h"

#define GATEWAY	 "203.0.113.254"
#define GATEWAY6 "2001:db8::fe"
#define INTERNET "198.51.100.7"

static struct frame out(uint16_t sport, size_t payload)
{
	return testbed_frame("a", "r1", "10.0.1.1", INTERNET, UDP(sport, 53, payload));
}

static struct frame out6(uint16_t sport)
{
	return testbed_frame("a", "r1", "fd01::1", "2001:db8:e::7", UDP(sport, 53, 8));
}

// A packet of A's flow that left by the uplink, with this MAC as its destination; its source port.
static uint16_t left_to(struct testbed *tb, const struct mac_addr *mac)
{
	struct frame f;

	while (testbed_receive(tb, "ext", &f)) {
		if (f.b[12] != 0x08 || f.b[13] != 0)
			continue;
		assert_memory_equal(f.b, mac->b, 6);
		assert_memory_equal(f.b + 6, testbed_mac("rx").b, 6);
		assert_memory_equal(f.b + 26, "\xcb\x00\x71\x01", 4); // translated
		return (uint16_t)(f.b[34] << 8 | f.b[35]);
	}
	return 0;
}

static void send(struct testbed *tb, struct frame f)
{
	testbed_send(tb, "a", &f);
}

static void first_packet_leaves_when_the_gateway_has_answered(void **state)
{
	struct testbed *tb = north();
	struct frame f;

	(void)state;
	quiet(tb);
	send(tb, out(1000, 8));
	assert_int_equal(questions(tb, &f), 1);
	assert_memory_equal(f.b + 38, "\xcb\x00\x71\xfe", 4);
	answer_arp(tb, &gateway_mac, GATEWAY);
	assert_true(left_to(tb, &gateway_mac) != 0);
	send(tb, out(1001, 8)); // another flow need not ask
	assert_true(left_to(tb, &gateway_mac) != 0);
	assert_int_equal(stats(tb).questions, 1);
	testbed_free(tb);
}

static const uint8_t *told(struct testbed *tb, struct frame *f)
{
	if (!testbed_receive(tb, "a", f))
		return NULL;
	return f->b + (f->b[14] >> 4 == 4 ? 34 : 54);
}

static void sender_is_told_when_nobody_answers(void **state)
{
	struct testbed *tb = north();
	struct frame f;
	const uint8_t *icmp;

	(void)state;
	quiet(tb);
	send(tb, out(1000, 8));
	send(tb, out6(1000));
	testbed_pass_time(tb, 2900);
	assert_null(told(tb, &f));
	testbed_pass_time(tb, 300);
	icmp = told(tb, &f);
	assert_non_null(icmp);
	assert_int_equal(icmp[0], 3);
	assert_int_equal(icmp[1], 1);
	assert_memory_equal(f.b + 26, "\x0a\x00\x01\xfe", 4);
	icmp = told(tb, &f);
	assert_non_null(icmp);
	assert_int_equal(icmp[0], 1);
	assert_int_equal(icmp[1], 3);
	assert_int_equal(tb->w->drops[DROP_NEXT_HOP], 2);
	// For a while the answer comes at once; then it is asked again.
	questions(tb, NULL);
	send(tb, out(1001, 8));
	assert_non_null(told(tb, &f));
	assert_int_equal(questions(tb, NULL), 0);
	testbed_pass_time(tb, 3200);
	send(tb, out(1002, 8));
	assert_null(told(tb, &f));
	assert_int_equal(questions(tb, NULL), 1);
	testbed_free(tb);
}

static void flow_follows_a_gateway_that_moves(void **state)
{
	struct testbed *tb = north();
	uint16_t port;
	uint32_t added;

	(void)state;
	send(tb, out(1000, 8));
	answer_arp(tb, &gateway_mac, GATEWAY);
	port = left_to(tb, &gateway_mac);
	added = (uint32_t)tb->w->stats.sessions_added;
	testbed_pass_time(tb, 2000);
	says_arp(tb, "ext", &other_mac, 1, GATEWAY, GATEWAY);
	send(tb, out(1000, 8));
	assert_int_equal(left_to(tb, &other_mac), port);
	send(tb, out(1000, 8));
	assert_int_equal(left_to(tb, &other_mac), port);
	assert_int_equal(tb->w->stats.sessions_added, added);
	testbed_free(tb);
}

static void flow_survives_a_gateway_that_is_away(void **state)
{
	struct testbed *tb = north();
	struct frame f;
	uint16_t port;

	(void)state;
	send(tb, out(1000, 8));
	answer_arp(tb, &gateway_mac, GATEWAY);
	port = left_to(tb, &gateway_mac);
	assert_true(port != 0);
	testbed_pass_time(tb, 33500);
	quiet(tb);
	send(tb, out(1000, 8)); // failed: told at once
	assert_int_equal(testbed_drop(tb), DROP_NEXT_HOP);
	assert_non_null(told(tb, &f));
	testbed_pass_time(tb, 3500);
	quiet(tb);
	send(tb, out(1000, 8)); // asked again
	assert_int_equal(left_to(tb, &gateway_mac), 0);
	assert_int_equal(stats(tb).held, 1);
	answer_arp(tb, &other_mac, GATEWAY); // another one has taken its place
	assert_int_equal(left_to(tb, &other_mac), port);
	testbed_free(tb);
}

static void fragments_wait_and_go_on_in_their_order(void **state)
{
	struct testbed *tb = north();
	struct frame whole = out(1000, 1200), got[2];
	struct frame part[2] = {testbed_fragment(&whole, 7, 0, 800),
				testbed_fragment(&whole, 7, 800, 408)};
	size_t n = 0;

	(void)state;
	quiet(tb);
	testbed_send(tb, "a", &part[0]);
	testbed_send(tb, "a", &part[1]);
	assert_int_equal(questions(tb, NULL), 1);
	answer_arp(tb, &gateway_mac, GATEWAY);
	while (n < 2 && testbed_receive(tb, "ext", &got[n]))
		n += got[n].b[12] == 0x08 && got[n].b[13] == 0;
	assert_int_equal(n, 2);
	assert_int_equal(got[0].b[21], 0);
	assert_int_equal((got[1].b[20] & 0x1f) << 8 | got[1].b[21], 100);
	testbed_free(tb);
}

// So slow.c keeps no session with the old MAC.
static void judgement_knows_that_a_next_hop_has_moved_since(void **state)
{
	struct testbed *tb = north();
	uint32_t before;
	struct judge j;
	struct packet p;
	struct frame f = out(1000, 8);

	(void)state;
	hold(tb, GATEWAY);
	answer_arp(tb, &gateway_mac, GATEWAY);
	weft_packet_parse(f.b, f.len, f.len, policy(tb, "a")->index, &p);
	weft_judge_init(&j, &tb->dp.node, weft_vstore_epoch(tb->dp.node.vs), &p, f.b,
			(uint32_t)f.len);
	before = j.next_hops;
	testbed_pass_time(tb, 2000);
	says_arp(tb, "ext", &other_mac, 1, GATEWAY, GATEWAY);
	weft_judge_init(&j, &tb->dp.node, weft_vstore_epoch(tb->dp.node.vs), &p, f.b,
			(uint32_t)f.len);
	assert_true(before != j.next_hops);
	testbed_free(tb);
}

static void trace_asks_nobody(void **state)
{
	struct testbed *tb = north();
	struct frame f = out(1000, 8);
	struct err err;
	json_t *j;

	(void)state;
	quiet(tb);
	assert_int_equal(weft_native_trace(&tb->dp, "a", f.b, f.len, &j, &err), 0);
	assert_string_equal(json_string_value(json_object_get(j, "verdict")), "resolve");
	assert_int_equal(questions(tb, NULL), 0);
	assert_int_equal(stats(tb).asking, 0);
	json_decref(j);
	testbed_free(tb);
}

static void reply_comes_back_from_a_gateway_that_moved(void **state)
{
	struct testbed *tb = north();
	struct frame f;
	uint16_t port;

	(void)state;
	send(tb, out(1000, 8));
	answer_arp(tb, &gateway_mac, GATEWAY);
	port = left_to(tb, &gateway_mac);
	testbed_pass_time(tb, 2000);
	says_arp(tb, "ext", &other_mac, 1, GATEWAY, GATEWAY);
	quiet(tb);
	f = testbed_frame("b", "rx", INTERNET, "203.0.113.1", UDP(53, port, 8));
	memcpy(f.b + 6, other_mac.b, 6);
	testbed_send(tb, "ext", &f);
	assert_true(testbed_receive(tb, "a", &f));
	assert_memory_equal(f.b + 30, "\x0a\x00\x01\x01", 4);
	testbed_free(tb);
}

// The external network's other subnets, and a gateway that is outside of its own.
static void what_is_on_the_external_link_is_asked_for_there(void **state)
{
	static const char *const to[] = {"198.51.100.7", "192.0.2.1", "2001:db8:2::7"};
	static const char *const asked[] = {"198.51.100.7", "198.18.0.1", "2001:db8:2::7"};
	struct testbed *tb = north();
	struct frame f, question;

	(void)state;
	testbed_router_snat(tb, "r",
			    "n1|r1|10.0.1.254/24,fd01::fe/64 "
			    "!ext|rx|203.0.113.1/24,2001:db8::1/64",
			    "0.0.0.0/0|198.18.0.1 198.51.100.0/24| 2001:db8:2::/64| 198.18.0.1/32|",
			    "203.0.113.1");
	testbed_commit(tb);
	for (size_t i = 0; i < 3; i++) {
		struct ip_addr ip = ip_of(asked[i]);

		f = testbed_frame("a", "r1", ip.family == 4 ? "10.0.1.1" : "fd01::1", to[i],
				  UDP(1, 2, 8));
		testbed_send(tb, "a", &f);
		assert_int_equal(questions(tb, &question), 1);
		assert_memory_equal(question.b + (ip.family == 4 ? 38 : 62), ip.b,
				    ip.family == 4 ? 4 : 16);
	}
	// It may be a floating IP, or a port of this node.
	testbed_port(tb, "far", "ext", "198.51.100.8", "all");
	testbed_commit(tb);
	f = testbed_frame("a", "r1", "10.0.1.1", "198.51.100.8", UDP(1, 2, 8));
	testbed_send(tb, "a", &f);
	assert_int_equal(arrived(tb, "far"), 1);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_on_the_external_link_is_asked_for_there),
		cmocka_unit_test(first_packet_leaves_when_the_gateway_has_answered),
		cmocka_unit_test(sender_is_told_when_nobody_answers),
		cmocka_unit_test(flow_follows_a_gateway_that_moves),
		cmocka_unit_test(flow_survives_a_gateway_that_is_away),
		cmocka_unit_test(fragments_wait_and_go_on_in_their_order),
		cmocka_unit_test(judgement_knows_that_a_next_hop_has_moved_since),
		cmocka_unit_test(trace_asks_nobody),
		cmocka_unit_test(reply_comes_back_from_a_gateway_that_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
