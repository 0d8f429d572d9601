// SPDX-License-Identifier: Apache-2.0
#include "north/api/clients.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

// Real sockets, so that who was shut down is seen at the other end.
struct pair {
	struct client *c;
	int ours, theirs;
};

static struct client_peer peer(uint8_t last)
{
	return (struct client_peer) {.family = 4, .b = {192, 0, 2, last}};
}

static struct pair arrive(struct clients *cs, struct client_peer who, uint64_t now_ms)
{
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	weft_clients_make_room(cs, &who);
	return (struct pair) {weft_clients_add(cs, &who, fds[0], now_ms), fds[0], fds[1]};
}

static void leave(struct clients *cs, struct pair *p)
{
	weft_clients_remove(cs, p->c);
	close(p->ours);
	close(p->theirs);
}

static bool was_cut(const struct pair *p)
{
	char byte;
	bool cut = recv(p->theirs, &byte, 1, MSG_DONTWAIT) == 0;
	assert_int_equal(cut, p->c->ends);
	return cut;
}

static void peer_with_all_its_places_gives_up_one_of_its_own(void **state)
{
	struct clients cs;
	struct pair a[4], b;
	(void)state;
	weft_clients_init(&cs, 10, 3);
	b = arrive(&cs, peer(2), 0);
	for (unsigned i = 0; i < 4; i++)
		a[i] = arrive(&cs, peer(1), 10 + i);
	assert_true(was_cut(&a[0]));
	for (unsigned i = 1; i < 4; i++)
		assert_false(was_cut(&a[i]));
	assert_false(was_cut(&b));
	assert_int_equal(cs.n, 4);
	for (unsigned i = 0; i < 4; i++)
		leave(&cs, &a[i]);
	leave(&cs, &b);
	assert_int_equal(cs.n, 0);
	weft_clients_fini(&cs);
}

static void when_all_places_are_taken_the_peer_with_most_gives_up_one(void **state)
{
	struct clients cs;
	struct pair many[5], few[3], next;
	(void)state;
	weft_clients_init(&cs, 8, 6);
	for (unsigned i = 0; i < 3; i++)
		few[i] = arrive(&cs, peer((uint8_t)(10 + i)), i);
	for (unsigned i = 0; i < 5; i++)
		many[i] = arrive(&cs, peer(1), 10 + i);
	next = arrive(&cs, peer(99), 100);
	assert_true(was_cut(&many[0]));
	for (unsigned i = 0; i < 3; i++)
		assert_false(was_cut(&few[i]));
	assert_false(was_cut(&next));
	assert_int_equal(cs.n, 8);
	for (unsigned i = 0; i < 5; i++)
		leave(&cs, &many[i]);
	for (unsigned i = 0; i < 3; i++)
		leave(&cs, &few[i]);
	leave(&cs, &next);
	weft_clients_fini(&cs);
}

static void strangers_go_before_known_clients_and_answers_go_last(void **state)
{
	struct clients cs;
	struct pair p[4], next[4];
	(void)state;
	weft_clients_init(&cs, 10, 4);
	for (unsigned i = 0; i < 4; i++)
		p[i] = arrive(&cs, peer(1), 100 - i);
	weft_client_enters(p[0].c, CLIENT_ANSWER, 1); // the longest, but it takes its answer
	p[1].c->known = true;
	weft_client_enters(p[1].c, CLIENT_BODY, 2);
	p[2].c->known = true; // between two requests
	weft_client_enters(p[2].c, CLIENT_HEAD, 3);
	weft_client_enters(p[3].c, CLIENT_HEAD, 50);

	const unsigned order[4] = {3, 2, 1, 0};
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned k = i; k < 4; k++)
			assert_false(was_cut(&p[order[k]]));
		next[i] = arrive(&cs, peer(1), 200 + i);
		// Those that came meanwhile are of no matter here.
		next[i].c->known = true;
		weft_client_enters(next[i].c, CLIENT_ANSWER, 200 + i);
		assert_true(was_cut(&p[order[i]]));
	}
	for (unsigned i = 0; i < 4; i++) {
		leave(&cs, &p[i]);
		leave(&cs, &next[i]);
	}
	weft_clients_fini(&cs);
}

static void time_is_kept_for_a_phase_as_a_whole(void **state)
{
	struct clients cs;
	struct pair first, later, body, answer;
	(void)state;
	weft_clients_init(&cs, 10, 10);
	first = arrive(&cs, peer(1), 1000);
	later = arrive(&cs, peer(2), 1500);
	later.c->known = true;
	body = arrive(&cs, peer(3), 1000);
	body.c->known = true;
	weft_client_enters(body.c, CLIENT_BODY, 2000);
	answer = arrive(&cs, peer(4), 1000);
	weft_client_enters(answer.c, CLIENT_ANSWER, 2000);

	assert_int_equal(weft_clients_expire(&cs, 1000 + CLIENT_HEAD_MS - 1), 0);
	assert_int_equal(weft_clients_expire(&cs, 1000 + CLIENT_HEAD_MS), 1);
	assert_true(was_cut(&first));
	assert_int_equal(weft_clients_expire(&cs, 1500 + CLIENT_HEAD_MS), 1);
	assert_true(was_cut(&later));
	assert_int_equal(weft_clients_expire(&cs, 2000 + CLIENT_BODY_MS), 1);
	assert_true(was_cut(&body));
	assert_int_equal(weft_clients_expire(&cs, 2000 + CLIENT_ANSWER_MS), 1);
	assert_true(was_cut(&answer));
	leave(&cs, &first);
	leave(&cs, &later);
	leave(&cs, &body);
	leave(&cs, &answer);
	weft_clients_fini(&cs);
}

static void one_host_with_many_ipv6_addresses_is_one_peer(void **state)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6}, b = a, c = a, mapped = a;
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	(void)state;
	inet_pton(AF_INET6, "2001:db8:1:2:3:4:5:6", &a.sin6_addr);
	inet_pton(AF_INET6, "2001:db8:1:2:ffff::1", &b.sin6_addr);
	inet_pton(AF_INET6, "2001:db8:1:3::6", &c.sin6_addr);
	inet_pton(AF_INET6, "::ffff:192.0.2.1", &mapped.sin6_addr);
	inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr);
	struct client_peer p = weft_client_peer(-1, (struct sockaddr *)&a);
	struct client_peer q = weft_client_peer(-1, (struct sockaddr *)&b);
	assert_memory_equal(&p, &q, sizeof(p));
	q = weft_client_peer(-1, (struct sockaddr *)&c);
	assert_memory_not_equal(&p, &q, sizeof(p));
	p = weft_client_peer(-1, (struct sockaddr *)&mapped);
	q = weft_client_peer(-1, (struct sockaddr *)&v4);
	assert_memory_equal(&p, &q, sizeof(p));
}

static void local_peers_are_told_apart_by_user(void **state)
{
	struct sockaddr local = {.sa_family = AF_UNIX};
	int fds[2];
	uid_t uid = getuid();
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	struct client_peer p = weft_client_peer(fds[0], &local);
	assert_int_equal(p.family, 0);
	assert_memory_equal(p.b, &uid, sizeof(uid));
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peer_with_all_its_places_gives_up_one_of_its_own),
		cmocka_unit_test(when_all_places_are_taken_the_peer_with_most_gives_up_one),
		cmocka_unit_test(strangers_go_before_known_clients_and_answers_go_last),
		cmocka_unit_test(time_is_kept_for_a_phase_as_a_whole),
		cmocka_unit_test(one_host_with_many_ipv6_addresses_is_one_peer),
		cmocka_unit_test(local_peers_are_told_apart_by_user),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
