// SPDX-License-Identifier: Apache-2.0
// Who gives way, and who takes too long; each connection is one end of a pair of sockets, so that
// its end is seen at the other.
#include "metadata/metadata_clients.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PLACES 8

struct connection {
	int fd[2];
	struct metadata_client *client;
};

static const struct metadata_limits limits = {
	.connections = PLACES, .port_requests = 3, .request_ms = 100, .connection_ms = 1000};

static struct in_addr vm(uint32_t n)
{
	return (struct in_addr) {htonl(0x64400000 + n)};
}

static struct connection open_from(struct metadata_clients *cs, uint32_t n, uint64_t now_ms)
{
	struct connection c;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, c.fd), 0);
	c.client = weft_metadata_client_open(cs, vm(n), n, c.fd[0], now_ms);
	return c;
}

static void close_it(struct metadata_clients *cs, struct connection *c)
{
	weft_metadata_client_close(cs, c->client);
	close(c->fd[0]);
	close(c->fd[1]);
}

static bool is_open(const struct connection *c)
{
	char byte;

	return recv(c->fd[1], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

// Which of them has to end: its number, n if none, -1 if several.
static int ended(const struct connection *c, int n)
{
	int who = n;

	for (int i = 0; i < n; i++)
		if (!is_open(&c[i]))
			who = who == n ? i : -1;
	return who;
}

static bool admit(struct metadata_clients *cs, uint32_t n, bool *gave_way)
{
	return weft_metadata_clients_admit(cs, vm(n), gave_way);
}

// PLACES connections, one a millisecond, of the VMs that are named.
static struct metadata_clients *full(struct connection *c, const uint32_t *of)
{
	struct metadata_clients *cs = weft_metadata_clients_new(&limits);
	bool gave_way;

	for (int i = 0; i < PLACES; i++) {
		assert_true(admit(cs, of[i], &gave_way));
		assert_false(gave_way);
		c[i] = open_from(cs, of[i], (uint64_t)i);
	}
	return cs;
}

static void done(struct metadata_clients *cs, struct connection *c, int n)
{
	for (int i = 0; i < n; i++)
		close_it(cs, &c[i]);
	weft_metadata_clients_free(cs);
}

static void the_oldest_request_of_the_port_with_most_gives_way(void **state)
{
	const uint32_t of[PLACES] = {1, 2, 3, 3, 2, 3, 1, 2};
	struct connection c[PLACES];
	struct metadata_clients *cs = full(c, of);
	bool gave_way;

	(void)state;
	// 2 and 3 have three each, and of those the first is the second's.
	assert_true(admit(cs, 9, &gave_way));
	assert_true(gave_way);
	assert_int_equal(ended(c, PLACES), 1);
	done(cs, c, PLACES);
}

static void who_has_to_end_counts_no_more(void **state)
{
	const uint32_t of[PLACES] = {1, 1, 1, 1, 1, 1, 1, 2};
	struct connection c[PLACES + 3];
	struct metadata_clients *cs = full(c, of);
	bool gave_way;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_true(admit(cs, 9, &gave_way));
		assert_true(gave_way);
		c[PLACES + i] = open_from(cs, 9, 100);
		assert_false(is_open(&c[i]));
	}
	// The first has four left; 9 has three: it gets in once more, and then nobody has more
	// than it.
	assert_true(admit(cs, 9, &gave_way));
	assert_false(is_open(&c[3]));
	assert_true(is_open(&c[7]));
	done(cs, c, PLACES + 3);
}

static void connections_between_requests_go_first(void **state)
{
	const uint32_t of[PLACES] = {1, 1, 1, 1, 2, 2, 3, 4};
	struct connection c[PLACES];
	struct metadata_clients *cs = full(c, of);
	bool gave_way;

	(void)state;
	weft_metadata_client_leave(cs, c[5].client, 60);
	weft_metadata_client_leave(cs, c[4].client, 70);
	weft_metadata_client_leave(cs, c[6].client, 50);
	// Also for the port that has most itself: nothing is lost with them.
	assert_true(admit(cs, 1, &gave_way));
	assert_int_equal(ended(c, PLACES), 5);
	// One that has begun to send again is none of them.
	weft_metadata_client_sends(cs, c[6].client);
	close_it(cs, &c[5]);
	c[5] = open_from(cs, 1, 80);
	assert_true(admit(cs, 9, &gave_way));
	assert_int_equal(ended(c, PLACES), 4);
	done(cs, c, PLACES);
}

static void nobody_takes_the_place_of_a_port_with_as_few(void **state)
{
	const uint32_t of[PLACES] = {1, 1, 2, 2, 3, 3, 4, 4};
	struct connection c[PLACES];
	struct metadata_clients *cs = full(c, of);
	bool gave_way;

	(void)state;
	assert_false(admit(cs, 1, &gave_way));
	assert_false(gave_way);
	assert_int_equal(ended(c, PLACES), PLACES);
	assert_true(admit(cs, 9, &gave_way));
	assert_int_equal(ended(c, PLACES), 0);
	done(cs, c, PLACES);
}

static void a_ports_only_answer_is_not_given_up(void **state)
{
	const uint32_t of[PLACES] = {1, 2, 3, 4, 5, 6, 7, 7};
	struct connection c[PLACES];
	struct metadata_clients *cs = full(c, of);
	bool gave_way;

	(void)state;
	for (int i = 0; i < PLACES; i++)
		assert_true(weft_metadata_client_enter(cs, c[i].client, 10));
	assert_true(admit(cs, 9, &gave_way));
	assert_int_equal(ended(c, PLACES), 6);
	close_it(cs, &c[6]);
	c[6] = open_from(cs, 9, 20);
	assert_true(weft_metadata_client_enter(cs, c[6].client, 20));
	assert_false(admit(cs, 10, &gave_way));
	// Whoever has only begun to ask makes room.
	weft_metadata_client_leave(cs, c[2].client, 30);
	weft_metadata_client_sends(cs, c[2].client);
	assert_true(admit(cs, 10, &gave_way));
	assert_int_equal(ended(c, PLACES), 2);
	done(cs, c, PLACES);
}

static void a_request_that_does_not_become_whole_in_time_is_ended(void **state)
{
	struct metadata_clients *cs = weft_metadata_clients_new(&limits);
	struct connection c[3];

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		c[i] = open_from(cs, i, 0);
	assert_true(weft_metadata_client_enter(cs, c[1].client, 50));
	assert_true(weft_metadata_client_enter(cs, c[2].client, 50));
	weft_metadata_client_leave(cs, c[2].client, 60);
	weft_metadata_client_sends(cs, c[0].client); // bytes that come are no excuse
	assert_int_equal(weft_metadata_clients_expire(cs, 99), 0);
	assert_int_equal(weft_metadata_clients_expire(cs, 100), 1);
	assert_int_equal(ended(c, 3), 0);
	// A connection that waits is closed as quietly as it waited.
	assert_int_equal(weft_metadata_clients_expire(cs, 160), 0);
	assert_false(is_open(&c[2]));
	assert_true(is_open(&c[1]));
	done(cs, c, 3);
}

static void no_connection_lasts_for_ever(void **state)
{
	struct metadata_clients *cs = weft_metadata_clients_new(&limits);
	struct connection c = open_from(cs, 1, 500);

	(void)state;
	for (uint64_t now = 500; now < 1500; now += 50) {
		assert_true(weft_metadata_client_enter(cs, c.client, now));
		assert_int_equal(weft_metadata_clients_expire(cs, now + 49), 0);
		weft_metadata_client_leave(cs, c.client, now + 49);
	}
	assert_true(weft_metadata_client_enter(cs, c.client, 1499));
	assert_int_equal(weft_metadata_clients_expire(cs, 1500), 1);
	assert_true(atomic_load(&c.client->ends));
	done(cs, &c, 1);
}

static void a_port_has_only_so_many_requests_under_way(void **state)
{
	struct metadata_clients *cs = weft_metadata_clients_new(&limits);
	struct connection c[5];

	(void)state;
	for (int i = 0; i < 5; i++)
		c[i] = open_from(cs, i == 4 ? 2 : 1, 0);
	for (int i = 0; i < 3; i++)
		assert_true(weft_metadata_client_enter(cs, c[i].client, 0));
	assert_false(weft_metadata_client_enter(cs, c[3].client, 0));
	weft_metadata_client_leave(cs, c[3].client, 0); // was none of them
	assert_false(weft_metadata_client_enter(cs, c[3].client, 0));
	assert_true(weft_metadata_client_enter(cs, c[4].client, 0));
	weft_metadata_client_leave(cs, c[0].client, 0);
	assert_true(weft_metadata_client_enter(cs, c[3].client, 0));
	done(cs, c, 5);
}

static void at_the_end_all_end_and_nobody_comes(void **state)
{
	const uint32_t of[PLACES] = {1, 1, 1, 1, 1, 1, 1, 1};
	struct connection c[PLACES + 1];
	struct metadata_clients *cs = full(c, of);
	bool gave_way;

	(void)state;
	weft_metadata_clients_end(cs);
	for (int i = 0; i < PLACES; i++)
		assert_false(is_open(&c[i]));
	assert_false(admit(cs, 2, &gave_way));
	c[PLACES] = open_from(cs, 2, 0); // it was on its way in
	assert_false(is_open(&c[PLACES]));
	done(cs, c, PLACES + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_oldest_request_of_the_port_with_most_gives_way),
		cmocka_unit_test(who_has_to_end_counts_no_more),
		cmocka_unit_test(connections_between_requests_go_first),
		cmocka_unit_test(nobody_takes_the_place_of_a_port_with_as_few),
		cmocka_unit_test(a_ports_only_answer_is_not_given_up),
		cmocka_unit_test(a_request_that_does_not_become_whole_in_time_is_ended),
		cmocka_unit_test(no_connection_lasts_for_ever),
		cmocka_unit_test(a_port_has_only_so_many_requests_under_way),
		cmocka_unit_test(at_the_end_all_end_and_nobody_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
