// SPDX-License-Identifier: Apache-2.0
// NAT and ICMP errors (RFC 5508): those about translated flows are translated inside, and what
// the routers say themselves is in the words of whom they say it to.
#include "datapath/native/testing/nat_fixture.h"

// An error about `about`, with its checksum. quoted: bytes of the packet that it quotes.
static struct frame error_about(const char *from, const char *to, const char *src, const char *dst,
				uint16_t type_code, const struct frame *about, size_t quoted)
{
	struct frame cut = *about, f;

	if (cut.len > 14 + quoted)
		cut.len = 14 + quoted;
	f = testbed_icmp_error(from, to, src, dst, (uint8_t)(type_code >> 8), (uint8_t)type_code,
			       &cut);
	testbed_checksum(&f);
	return f;
}

// "a" sends `l4` to WEB; `hop`, a router on the way, says `type_code`; a must be told of what it
// sent, one hop older.
static void told_of_what_it_sent(struct testbed *tb, struct l4 l4, uint16_t type_code,
				 size_t quoted)
{
	struct frame sent = summed("a", "r1", "10.0.1.1", WEB, l4), seen, want;

	testbed_send(tb, "a", &sent);
	assert_true(testbed_receive(tb, "x", &seen));
	age(&sent, 1);
	want = error_about("r1", "a", "192.0.2.77", "10.0.1.1", type_code, &sent, quoted);
	assert_true(becomes(tb, "x",
			    error_about("x", "rx", "192.0.2.77", GATEWAY, type_code, &seen, quoted),
			    "a", want, 1));
}

static void errors_about_what_was_sent_come_back_translated_inside(void **state)
{
	static const uint16_t kinds[] = {0x0301, 0x0303, 0x0304, 0x0b00, 0x0c00};
	static const size_t lengths[] = {28, 36, 60, 1000};
	struct testbed *tb = one_router();

	(void)state;
	for (size_t i = 0; i < 5; i++)
		for (size_t k = 0; k < 4; k++) {
			told_of_what_it_sent(tb, UDP(5000, 33434, 60), kinds[i], lengths[k]);
			told_of_what_it_sent(tb, TCP(5000, 80, SYN), kinds[i], lengths[k]);
			told_of_what_it_sent(tb, ECHO(33), kinds[i], lengths[k]);
			told_of_what_it_sent(tb, PLAIN(47), kinds[i], lengths[k]);
		}
	assert_int_equal(tb->w->stats.translated, 4);
	testbed_free(tb);
}

static void chosen_ports_are_changed_back_inside(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	assert_int_not_equal(port_of(tb, "b", "10.0.1.2", WEB, UDP(5000, 53, 8)), 0);
	assert_int_not_equal(port_of(tb, "b", "10.0.1.2", WEB, TCP(5000, 80, SYN)), 0);
	assert_int_not_equal(port_of(tb, "b", "10.0.1.2", WEB, ECHO(33)), 0);
	for (size_t quoted = 28; quoted < 80; quoted += 4) {
		told_of_what_it_sent(tb, UDP(5000, 53, 60), 0x0303, quoted);
		told_of_what_it_sent(tb, TCP(5000, 80, SYN), 0x0304, quoted);
		told_of_what_it_sent(tb, ECHO(33), 0x0b00, quoted);
	}
	testbed_free(tb);
}

static void quoted_udp_without_a_checksum_stays_so(void **state)
{
	struct testbed *tb = one_router();
	struct frame sent = summed("a", "r1", "10.0.1.1", WEB, UDP(700, 53, 9)), seen;

	(void)state;
	memset(sent.b + 40, 0, 2);
	testbed_send(tb, "a", &sent);
	assert_true(testbed_receive(tb, "x", &seen));
	age(&sent, 1);
	assert_true(becomes(tb, "x", error_about("x", "rx", WEB, GATEWAY, 0x0303, &seen, 1000), "a",
			    error_about("r1", "a", WEB, "10.0.1.1", 0x0303, &sent, 1000), 1));
	testbed_free(tb);
}

static void damaged_error_stays_damaged(void **state)
{
	struct testbed *tb = one_router();
	struct frame sent = summed("a", "r1", "10.0.1.1", WEB, UDP(700, 53, 9)), seen, f;

	(void)state;
	testbed_send(tb, "a", &sent);
	assert_true(testbed_receive(tb, "x", &seen));
	f = error_about("x", "rx", WEB, GATEWAY, 0x0303, &seen, 1000);
	f.b[36] ^= 0x40;
	testbed_send(tb, "x", &f);
	assert_true(testbed_receive(tb, "a", &seen));
	assert_false(testbed_checksum_ok(&seen));
	testbed_free(tb);
}

static void floating_ip_is_changed_inside_in_both_directions(void **state)
{
	struct testbed *tb = one_router();
	struct frame in = summed("x", "f", WEB, FLOATING, UDP(999, 53, 20)), seen;
	struct frame out = summed("a", "r1", "10.0.1.1", WEB, UDP(53, 999, 30));

	(void)state;
	testbed_rule_set(tb, "web", true, "ingress 4 udp\n");
	floating_a(tb);
	// From a, about what came in: its port is closed. No egress rule is asked.
	testbed_send(tb, "x", &in);
	assert_true(testbed_receive(tb, "a", &seen));
	age(&in, 1);
	assert_true(becomes(tb, "a", error_about("a", "r1", "10.0.1.1", WEB, 0x0303, &seen, 1000),
			    "x", error_about("f", "x", FLOATING, WEB, 0x0303, &in, 1000), 1));
	// From outside, about a's answer.
	testbed_send(tb, "a", &out);
	assert_true(testbed_receive(tb, "x", &seen));
	age(&out, 1);
	assert_true(becomes(
		tb, "x", error_about("x", "f", "192.0.2.77", FLOATING, 0x0304, &seen, 1000), "a",
		error_about("r1", "a", "192.0.2.77", "10.0.1.1", 0x0304, &out, 1000), 1));
	testbed_free(tb);
}

// A host behind a, to which a routes, complains: outside that is the floating IP's word (RFC
// 5508, REQ-5).
static void who_speaks_from_behind_a_floating_ip_has_its_address(void **state)
{
	struct testbed *tb = one_router();
	struct frame in = summed("x", "f", WEB, FLOATING, TCP(999, 80, SYN)), seen;

	(void)state;
	floating_a(tb);
	testbed_port_with(tb, "a", "n1", "10.0.1.1", "web", "-|10.9.0.0/16", true);
	testbed_commit(tb);
	testbed_send(tb, "x", &in);
	assert_true(testbed_receive(tb, "a", &seen));
	age(&in, 1);
	assert_true(becomes(tb, "a", error_about("a", "r1", "10.9.0.5", WEB, 0x0b00, &seen, 1000),
			    "x", error_about("f", "x", FLOATING, WEB, 0x0b00, &in, 1000), 1));
	testbed_free(tb);
}

static void forwarded_port_is_the_outer_one_again(void **state)
{
	struct testbed *tb = one_router();
	struct frame in = summed("x", "f", WEB, FLOATING, TCP(999, 8080, SYN)), seen;

	(void)state;
	testbed_floating(tb, "f", "r", "ext", FLOATING, NULL, "");
	testbed_forwarding(tb, "p1", "f", 6, "8080-8080>80", "10.0.1.1", "a");
	testbed_commit(tb);
	testbed_send(tb, "x", &in);
	assert_true(testbed_receive(tb, "a", &seen));
	age(&in, 1);
	assert_true(becomes(tb, "a", error_about("a", "r1", "10.0.1.1", WEB, 0x030a, &seen, 1000),
			    "x", error_about("f", "x", FLOATING, WEB, 0x030a, &in, 1000), 1));
	testbed_free(tb);
}

static void error_between_two_floating_ips_is_changed_at_both_ends(void **state)
{
	struct testbed *tb = one_router();
	struct frame sent = summed("a", "r1", "10.0.1.1", FLOATING_B, TCP(99, 80, SYN)), seen;

	(void)state;
	floating_a(tb);
	testbed_floating(tb, "g", "r", "ext", FLOATING_B, "10.0.1.2", "b");
	testbed_commit(tb);
	testbed_send(tb, "a", &sent);
	assert_true(testbed_receive(tb, "b", &seen));
	age(&sent, 2);
	assert_true(becomes(
		tb, "b", error_about("b", "r1", "10.0.1.2", FLOATING, 0x030a, &seen, 1000), "a",
		error_about("r1", "a", FLOATING_B, "10.0.1.1", 0x030a, &sent, 1000), 2));
	testbed_free(tb);
}

// The sender of a flow's replies knows the flow; a redirect would lead it to another host of the
// VM's network.
static void redirects_do_not_cross_a_router(void **state)
{
	struct testbed *tb = one_router();
	struct frame seen;

	(void)state;
	assert_int_not_equal(port_of(tb, "a", "10.0.1.1", WEB, UDP(5000, 53, 9)), 0);
	seen = summed("rx", "x", GATEWAY, WEB, UDP(5000, 53, 9));
	assert_int_equal(
		dropped(tb, "x",
			error_about("x", "rx", "10.0.1.254", GATEWAY, 0x0501, &seen, 1000)),
		DROP_NOT_ROUTABLE);
	assert_int_equal(dropped(tb, "x",
				 error_about("x", "rx", WEB, GATEWAY, 0x0501, &seen, 1000)),
			 DROP_NOT_ROUTABLE);
	testbed_free(tb);
}

static void errors_about_no_known_flow_go_nowhere(void **state)
{
	struct testbed *tb = one_router();
	struct frame about = summed("rx", "x", GATEWAY, WEB, UDP(500, 53, 9));
	struct frame inner = summed("x", "a", WEB, "10.0.1.1", UDP(53, 500, 9)), got;

	(void)state;
	assert_int_equal(dropped(tb, "x",
				 error_about("x", "rx", WEB, GATEWAY, 0x0303, &about, 1000)),
			 DROP_NAT_NO_STATE);
	// The rules let it out; but whose flow would it be?
	assert_int_equal(dropped(tb, "a",
				 error_about("a", "r1", "10.0.1.1", WEB, 0x0303, &inner, 1000)),
			 DROP_NAT_NO_STATE);
	assert_false(testbed_receive(tb, "x", &got));
	// Router advertisements, and whatever else ICMP may mean.
	assert_int_equal(dropped(tb, "a",
				 summed("a", "r1", "10.0.1.1", WEB,
					(struct l4) {.proto = 1, .dport = 0x0900})),
			 DROP_NAT_PROTOCOL);
	testbed_free(tb);
}

// What the router says of a packet from outside it says in outside's words.
static void last_hop_and_too_long_are_told_outside_as_it_was_sent(void **state)
{
	struct testbed *tb = one_router();
	struct frame f = summed("x", "f", WEB, FLOATING, TCP(999, 80, SYN)), got;
	struct l4 reply = TCP(80, 1000, ACK);

	(void)state;
	testbed_network(tb, "n1", 1300);
	floating_a(tb);
	f.b[22] = 1;
	assert_int_equal(dropped(tb, "x", f), DROP_TTL);
	assert_true(testbed_receive(tb, "x", &got));
	assert_memory_equal(got.b + 34, "\x0b\x00", 2);
	assert_memory_equal(got.b + 26, "\xcb\x00\x71\x02", 4);
	assert_memory_equal(got.b + 42, f.b + 14, 40);
	// On a flow that has a session, in the direction that only the session can translate.
	testbed_del(tb, PLAN_FLOATING, "f", NULL);
	testbed_commit(tb);
	assert_true(goes_out(tb, TCP(1000, 80, SYN), TCP(1000, 80, SYN)));
	reply.payload = 1400;
	f = summed("x", "rx", WEB, GATEWAY, reply);
	f.b[20] = 0x40;
	age(&f, 0);
	assert_int_equal(dropped(tb, "x", f), DROP_TOO_BIG);
	assert_true(testbed_receive(tb, "x", &got));
	assert_memory_equal(got.b + 34, "\x03\x04", 2);
	assert_int_equal(got.b[40] << 8 | got.b[41], 1300);
	assert_memory_equal(got.b + 42, f.b + 14, 40);
	f = summed("x", "rx", WEB, GATEWAY, TCP(80, 1000, ACK));
	f.b[22] = 1;
	assert_int_equal(dropped(tb, "x", f), DROP_TTL);
	testbed_free(tb);
}

// Put together, it is the packet that was sent, translated.
static void what_is_too_long_inside_is_translated_and_fragmented(void **state)
{
	struct testbed *tb = one_router();
	struct frame want, got, whole = {0};
	struct l4 l4 = UDP(53, 1000, 1400);
	size_t n = 0;

	(void)state;
	testbed_network(tb, "n1", 1300);
	testbed_commit(tb);
	assert_true(goes_out(tb, UDP(1000, 53, 8), UDP(1000, 53, 8)));
	want = summed("r1", "a", WEB, "10.0.1.1", l4);
	got = summed("x", "rx", WEB, GATEWAY, l4);
	testbed_send(tb, "x", &got);
	for (; testbed_receive(tb, "a", &got); n++) {
		size_t at = ((size_t)(got.b[20] & 0x1f) << 8 | got.b[21]) * 8;

		assert_true(got.len <= 1314);
		assert_int_equal(weft_csum(got.b + 14, 20, 0), 0);
		assert_memory_equal(got.b + 26, want.b + 26, 8);
		memcpy(whole.b + at, got.b + 34, got.len - 34);
		whole.len += got.len - 34;
	}
	assert_int_equal(n, 2);
	assert_int_equal(whole.len, want.len - 34);
	assert_memory_equal(whole.b, want.b + 34, whole.len);
	testbed_free(tb);
}

static void longest_packet_of_the_way_out_is_told(void **state)
{
	struct testbed *tb = one_router();
	struct frame f = summed("a", "r1", "10.0.1.1", WEB, UDP(1000, 53, 1450)), got;

	(void)state;
	testbed_network(tb, "ext", 1400);
	testbed_commit(tb);
	f.b[20] = 0x40;
	age(&f, 0);
	assert_int_equal(dropped(tb, "a", f), DROP_TOO_BIG);
	assert_true(testbed_receive(tb, "a", &got));
	assert_memory_equal(got.b + 34, "\x03\x04", 2);
	assert_int_equal(got.b[40] << 8 | got.b[41], 1400);
	assert_memory_equal(got.b + 42, f.b + 14, 40);
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_about_what_was_sent_come_back_translated_inside),
		cmocka_unit_test(chosen_ports_are_changed_back_inside),
		cmocka_unit_test(quoted_udp_without_a_checksum_stays_so),
		cmocka_unit_test(damaged_error_stays_damaged),
		cmocka_unit_test(floating_ip_is_changed_inside_in_both_directions),
		cmocka_unit_test(who_speaks_from_behind_a_floating_ip_has_its_address),
		cmocka_unit_test(forwarded_port_is_the_outer_one_again),
		cmocka_unit_test(error_between_two_floating_ips_is_changed_at_both_ends),
		cmocka_unit_test(redirects_do_not_cross_a_router),
		cmocka_unit_test(errors_about_no_known_flow_go_nowhere),
		cmocka_unit_test(last_hop_and_too_long_are_told_outside_as_it_was_sent),
		cmocka_unit_test(what_is_too_long_inside_is_translated_and_fragmented),
		cmocka_unit_test(longest_packet_of_the_way_out_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
