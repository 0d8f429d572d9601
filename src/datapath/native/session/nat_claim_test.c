// SPDX-License-Identifier: Apache-2.0 After a restart: connections behind one address are picked up
// in the middle, and whose a port is must be found out.
#include "datapath/native/testing/nat_fixture.h"

#define A_SENT 2000000000u
#define B_SENT 1000000u
#define X_SENT 77u

static void put32(uint8_t *at, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> (24 - 8 * i));
}

static struct frame segment(struct frame f, uint32_t sequence, uint32_t acknowledgement)
{
	put32(f.b + 38, sequence);
	put32(f.b + 42, acknowledgement);
	testbed_checksum(&f);
	return f;
}

// An ACK in the middle of `who`'s connection from port 1000 to WEB's 80: the port that x sees; 0 =
// nothing came.
static uint16_t goes_on(struct testbed *tb, const char *who, uint32_t sequence)
{
	const char *src = strcmp(who, "a") == 0 ? "10.0.1.1" : "10.0.1.2";
	struct frame f = segment(testbed_frame(who, "r1", src, WEB, TCP(1000, 80, ACK)), sequence,
				 X_SENT),
		     got;

	testbed_send(tb, who, &f);
	if (!testbed_receive(tb, "x", &got))
		return 0;
	assert_true(testbed_checksum_ok(&got));
	return source_port(&got);
}

// WEB answers to a port: does `who`, and nobody else, get it?
static bool is_answered(struct testbed *tb, const char *who, uint16_t port, uint8_t flags,
			uint32_t acknowledgement)
{
	struct frame f = segment(testbed_frame("x", "rx", WEB, GATEWAY, TCP(80, port, flags)),
				 X_SENT, acknowledgement),
		     got;
	bool a, b;

	testbed_send(tb, "x", &f);
	a = testbed_receive(tb, "a", &got);
	b = testbed_receive(tb, "b", &got);
	assert_false(a && b);
	return strcmp(who, "a") == 0 ? a : b;
}

// "a" had its own port and "b" another one.
static void of_two_that_clash_the_one_with_its_own_port_lives_whoever_comes_first(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		struct testbed *tb = one_router();
		uint16_t port;

		if (first == 0) {
			assert_int_equal(goes_on(tb, "b", B_SENT), 1000);
			// It is not known yet whose it is. By any other port it would be reset; and
			// it is told nothing.
			testbed_drop(tb);
			assert_int_equal(goes_on(tb, "a", A_SENT), 0);
			assert_int_equal(testbed_drop(tb), DROP_NAT_NO_STATE);
			// WEB knows the connection that b has stumbled into.
			assert_false(is_answered(tb, "b", 1000, ACK, A_SENT));
			assert_int_equal(testbed_drop(tb), DROP_TCP_STATE);
			// b's repetition changes nothing.
			assert_int_equal(goes_on(tb, "b", B_SENT), 1000);
		}
		assert_int_equal(goes_on(tb, "a", A_SENT + 100), 1000);
		assert_true(is_answered(tb, "a", 1000, ACK, A_SENT + 100));
		assert_true(is_answered(tb, "a", 1000, ACK, A_SENT + 200));
		assert_int_equal(goes_on(tb, "a", A_SENT + 200), 1000);
		port = goes_on(tb, "b", B_SENT);
		assert_int_not_equal(port, 0);
		assert_int_not_equal(port, 1000);
		assert_true(is_answered(tb, "b", port, RST, 0)); // nobody knows it there
		assert_true(is_answered(tb, "a", 1000, ACK, A_SENT + 300));
		testbed_free(tb);
	}
}

static void claim_is_proved_by_what_acknowledges_about_what_was_sent(void **state)
{
	static const struct {
		uint32_t acknowledges;
		bool proves;
	} answers[] = {
		{B_SENT, true},
		{B_SENT + 1460, true},
		{B_SENT - 900000, true}, // it has much on its way
		{B_SENT - 30000000, true},
		{B_SENT + 30000000, true},
		{B_SENT + 40000000, false},
		{B_SENT - 40000000, false},
		{B_SENT + 0x80000000u, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct testbed *tb = one_router();

		assert_int_equal(goes_on(tb, "b", B_SENT), 1000);
		assert_int_equal(is_answered(tb, "b", 1000, ACK, answers[i].acknowledges),
				 answers[i].proves);
		// Who has proved it keeps it.
		if (answers[i].proves)
			assert_int_not_equal(goes_on(tb, "a", A_SENT), 1000);
		else
			assert_int_equal(goes_on(tb, "a", A_SENT), 1000);
		testbed_free(tb);
	}
}

static void answer_is_compared_with_what_was_sent_last(void **state)
{
	struct testbed *tb = one_router();

	(void)state;
	assert_int_equal(goes_on(tb, "b", B_SENT), 1000);
	assert_int_equal(goes_on(tb, "b", B_SENT + 50000000), 1000);
	assert_true(is_answered(tb, "b", 1000, ACK, B_SENT + 50000000));
	testbed_free(tb);
}

static void new_connection_does_not_wait_for_a_claim(void **state)
{
	struct testbed *tb = one_router();
	uint16_t port;

	(void)state;
	assert_int_equal(goes_on(tb, "b", B_SENT), 1000);
	port = port_of(tb, "a", "10.0.1.1", WEB, TCP(1000, 80, SYN));
	assert_int_not_equal(port, 0);
	assert_int_not_equal(port, 1000);
	assert_true(is_answered(tb, "b", 1000, ACK, B_SENT));
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			of_two_that_clash_the_one_with_its_own_port_lives_whoever_comes_first),
		cmocka_unit_test(claim_is_proved_by_what_acknowledges_about_what_was_sent),
		cmocka_unit_test(answer_is_compared_with_what_was_sent_last),
		cmocka_unit_test(new_connection_does_not_wait_for_a_claim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
