// SPDX-License-Identifier: Apache-2.0
// The proxy and those who take their time, with limits that are small enough for a test.
#include "metadata/metadata_proxy.h"

#include "metadata/metadata_proxy_testing.h"

#define PLACES 4

static struct bench *bench_with(uint32_t request_ms, uint32_t connection_ms)
{
	struct bench *b;

	limits.connections = PLACES;
	limits.request_ms = request_ms;
	limits.connection_ms = connection_ms;
	b = bench_new("", "", HELLO);
	change_port(b, PLAN_PUT, "b", "10.0.0.6", "vm-b");
	return b;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void wait_count(struct bench *b, const char *what, json_int_t n)
{
	for (int i = 0; i < 20000 && counted(b, what) < n; i++)
		usleep(1000);
	assert_true(counted(b, what) >= n);
}

// A byte at a time, until the other side has had enough; how long it took.
static uint64_t send_slowly(int fd)
{
	uint64_t begin = weft_now_ms();
	char byte;

	while (recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN) {
		assert_true(weft_now_ms() - begin < 20000);
		send(fd, "x", 1, MSG_NOSIGNAL);
		usleep(20000);
	}
	close(fd);
	return weft_now_ms() - begin;
}

static void a_request_that_trickles_in_is_ended(void **state)
{
	static const char *const begins[] = {"", "GET /", "GET / HTTP/1.1\r\nX: ",
					     "POST / HTTP/1.1\r\nContent-Length: 90000\r\n\r\n"};
	struct bench *b = bench_with(500, 60000);

	(void)state;
	for (json_int_t i = 0; i < 4; i++) {
		int fd = connect_from(b, "127.0.0.10");

		say(fd, begins[i]);
		assert_true(send_slowly(fd) >= 450);
		wait_count(b, "too-slow", i + 1);
	}
	assert_int_equal(atomic_load(&b->server.n_asked), 0);
	bench_free(b);
}

// Whoever does not read his answer is ended, too, and so is what he asked of the server.
static void a_connection_ends_with_what_it_waits_for(void **state)
{
	struct bench *b = bench_with(60000, 700);
	uint64_t begin = weft_now_ms();
	char *got;
	int fd;

	(void)state;
	b->server.is_silent = true;
	fd = connect_from(b, "127.0.0.10");
	say(fd, "GET / HTTP/1.1\r\n\r\n");
	got = read_all(fd);
	assert_string_equal(got, "");
	assert_true(weft_now_ms() - begin >= 650);
	wait_count(b, "too-slow", 1);
	free(got);
	bench_free(b);
}

static void who_has_few_connections_gets_in(void **state)
{
	struct bench *b = bench_with(60000, 60000);
	int fds[PLACES], refused;
	char byte, *got;

	(void)state;
	for (int i = 0; i < PLACES; i++) {
		fds[i] = connect_from(b, "127.0.0.10");
		say(fds[i], "GET / HTTP/1.1\r\n");
	}
	got = ask(b, "127.0.0.11", "GET / HTTP/1.1\r\n" CLOSE);
	assert_begins(got, "HTTP/1.1 200 ");
	free(got);
	assert_int_equal(recv(fds[0], &byte, 1, 0), 0);
	assert_int_equal(counted(b, "gave-way"), 1);
	// The same port does not push out its own: there are as many places as before.
	refused = connect_from(b, "127.0.0.10");
	close(fds[0]);
	fds[0] = connect_from(b, "127.0.0.10");
	wait_count(b, "full", 1);
	say(fds[1], CLOSE);
	got = read_all(fds[1]);
	assert_begins(got, "HTTP/1.1 200 ");
	free(got);
	close(refused);
	close(fds[0]);
	close(fds[2]);
	close(fds[3]);
	bench_free(b);
}

// Also from those who wait for a server that says nothing.
static void who_has_few_connections_gets_in_while_the_server_is_slow(void **state)
{
	struct bench *b = bench_with(60000, 60000);
	int fds[PLACES];
	struct pollfd gone[PLACES];
	char *got, byte;
	int b_fd;

	(void)state;
	b->server.is_silent = true;
	for (int i = 0; i < PLACES; i++) {
		fds[i] = connect_from(b, "127.0.0.10");
		say(fds[i], "GET / HTTP/1.1\r\n\r\n");
	}
	wait_count(b, "requests", PLACES);
	b_fd = connect_from(b, "127.0.0.11");
	say(b_fd, "TRACE / HTTP/1.1\r\n" CLOSE);
	got = read_all(b_fd);
	assert_begins(got, "HTTP/1.1 405 ");
	free(got);
	// One of them gave way; which came first at the proxy is not said.
	for (int i = 0; i < PLACES; i++)
		gone[i] = (struct pollfd) {.fd = fds[i], .events = POLLIN};
	assert_int_equal(poll(gone, PLACES, 25000), 1);
	for (int i = 0; i < PLACES; i++) {
		if (gone[i].revents != 0)
			assert_int_equal(recv(fds[i], &byte, 1, 0), 0);
		close(fds[i]);
	}
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_that_trickles_in_is_ended),
		cmocka_unit_test(a_connection_ends_with_what_it_waits_for),
		cmocka_unit_test(who_has_few_connections_gets_in),
		cmocka_unit_test(who_has_few_connections_gets_in_while_the_server_is_slow),
	};

	return cmocka_run_group_tests(tests, init, NULL);
}
