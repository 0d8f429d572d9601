// SPDX-License-Identifier: Apache-2.0
#include "north/api/api.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 5000

// The API on a port of the kernel's choice. Client and server share this thread: whoever waits lets the loop run.
struct fixture {
	struct event_base *loop;
	struct model *model;
	struct api *api;
	uint16_t port;
};

static int fake_commit(void *arg, struct txn *t, struct err *err)
{
	(void)arg;
	(void)err;
	weft_txn_commit(t);
	return 0;
}

static json_t *fake_agents(void *arg)
{
	(void)arg;
	return json_array();
}

static int fake_operate(void *arg, const char *method, const char *path, const json_t *query,
			const json_t *body, json_t **out, struct err *err)
{
	(void)arg;
	(void)method;
	(void)path;
	(void)query;
	(void)body;
	(void)out;
	return weft_fail(err, -ENOENT, "nothing here");
}

static void fake_metrics(void *arg, struct text *out)
{
	(void)arg;
	weft_text_add(out, "weft_up 1\n");
}

static const struct api_hooks hooks = {NULL, fake_commit, fake_agents, fake_operate, fake_metrics};

static int setup(void **state)
{
	struct model_config config = {.host = "node-1",
				      .default_vif = "tap",
				      .vhostuser_mode = "client",
				      .run_dir = "/run/weft",
				      .default_mtu = 1500};
	struct api_config api = {.listen = "127.0.0.1:0"};
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err;
	f->loop = event_base_new();
	f->model = weft_model_new(&config);
	if (weft_api_start(&api, f->model, &hooks, f->loop, &f->api, &err) < 0)
		fail_msg("%s", err.msg);
	f->port = weft_api_port(f->api);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	weft_api_stop(f->api);
	weft_model_free(f->model);
	event_base_free(f->loop);
	free(f);
	return 0;
}

static int dial(const struct fixture *f)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(f->port),
				.sin_addr = {htonl(INADDR_LOOPBACK)}};
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(s, (struct sockaddr *)&a, sizeof(a)), 0);
	return s;
}

static void run_loop(struct fixture *f)
{
	struct timeval tick = {.tv_usec = 1000};
	event_base_loopexit(f->loop, &tick);
	event_base_dispatch(f->loop);
}

// Send all of it, letting the server read meanwhile; false when the server hung up.
static bool send_all(struct fixture *f, int s, const char *data, size_t len)
{
	unsigned waited_ms = 0;

	while (len > 0) {
		ssize_t n = send(s, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return false;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
			waited_ms = 0;
		}
		if (waited_ms++ > PATIENCE_MS)
			fail_msg("the server does not read");
		run_loop(f);
	}
	return true;
}

// One whole answer; its status, 0 when the server hung up. The text stays in `answer`.
static char answer[65536];

static unsigned receive_answer(struct fixture *f, int s)
{
	size_t len = 0;

	for (unsigned ms = 0; ms < PATIENCE_MS; ms++) {
		run_loop(f);
		ssize_t n = recv(s, answer + len, sizeof(answer) - 1 - len, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return 0;
		len += n > 0 ? (size_t)n : 0;
		answer[len] = '\0';
		const char *body = strstr(answer, "\r\n\r\n");
		const char *length = strcasestr(answer, "Content-Length: ");
		if (body == NULL || length == NULL)
			continue;
		if (len >= (size_t)(body + 4 - answer) + strtoul(length + 16, NULL, 10))
			return (unsigned)strtoul(answer + strlen("HTTP/1.1 "), NULL, 10);
	}
	fail_msg("no answer after %u ms", PATIENCE_MS);
	return 0;
}

static unsigned exchange(struct fixture *f, int s, const char *request)
{
	if (!send_all(f, s, request, strlen(request)))
		return 0;
	return receive_answer(f, s);
}

#define HOST "Host: 127.0.0.1\r\n"

static void request_is_answered_with_its_id_and_type(void **state)
{
	struct fixture *f = *state;
	int s = dial(f);
	assert_int_equal(exchange(f, s, "GET / HTTP/1.1\r\n" HOST "\r\n"), 200);
	assert_non_null(strcasestr(answer, "Content-Type: application/json"));
	assert_non_null(strcasestr(answer, "X-Openstack-Request-Id: req-"));
	assert_int_equal(exchange(f, s, "GET /metrics HTTP/1.1\r\n" HOST "\r\n"), 200);
	assert_non_null(strcasestr(answer, "Content-Type: text/plain"));
	assert_non_null(strstr(answer, "\r\n\r\nweft_up 1\n"));
	assert_int_equal(exchange(f, s, "PATCH /v2.0/networks HTTP/1.1\r\n" HOST "\r\n"), 405);
	assert_non_null(strcasestr(answer, "Allow: GET, POST"));
	close(s);
}

static void connection_carries_many_requests_and_bodies_in_pieces(void **state)
{
	struct fixture *f = *state;
	int s = dial(f);
	for (int i = 0; i < 3; i++) {
		static const char first[] = "POST /v2.0/networks HTTP/1.1\r\n" HOST
					    "Content-Type: application/json\r\n"
					    "Content-Length: 14\r\n\r\n{\"netw";
		assert_true(send_all(f, s, first, strlen(first)));
		assert_int_equal(exchange(f, s, "ork\":{}}"), 201);
	}
	assert_int_equal(weft_model_count(f->model, RES_NETWORK), 3);
	close(s);
}

static void slow_client_does_not_keep_others_waiting(void **state)
{
	struct fixture *f = *state;
	int slow[20];
	for (int i = 0; i < 20; i++) {
		slow[i] = dial(f);
		assert_true(send_all(f, slow[i], "POST /v2.0/netw", (size_t)(i % 15) + 1));
	}
	int s = dial(f);
	assert_int_equal(exchange(f, s, "GET /v2.0/networks HTTP/1.1\r\n" HOST "\r\n"), 200);
	close(s);
	for (int i = 0; i < 20; i++)
		close(slow[i]);
}

static void body_that_announces_too_much_is_refused_before_it_comes(void **state)
{
	struct fixture *f = *state;
	int s = dial(f);
	assert_int_equal(
		exchange(f, s,
			 "POST /v2.0/networks HTTP/1.1\r\n" HOST
			 "Content-Type: application/json\r\nContent-Length: 10485761\r\n\r\n"),
		413);
	close(s);
}

static void body_that_turns_out_too_large_is_refused(void **state)
{
	struct fixture *f = *state;
	static char chunk[65536 + 16];
	int s = dial(f);
	static const char head[] = "POST /v2.0/networks HTTP/1.1\r\n" HOST
				   "Content-Type: application/json\r\n"
				   "Transfer-Encoding: chunked\r\n\r\n";
	assert_true(send_all(f, s, head, strlen(head)));
	int at = snprintf(chunk, sizeof(chunk), "10000\r\n");
	memset(chunk + at, ' ', 65536);
	memcpy(chunk + at + 65536, "\r\n", 2);
	for (int i = 0; i < 161; i++)
		assert_true(send_all(f, s, chunk, (size_t)at + 65536 + 2));
	assert_int_equal(exchange(f, s, "0\r\n\r\n"), 413);
	close(s);
}

static void garbage_and_hang_ups_leave_the_server_alive(void **state)
{
	struct fixture *f = *state;
	static const char *const rubbish[] = {
		"\r\n\r\n\r\n",
		"NONSENSE\r\n\r\n",
		"GET\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01",
		"POST /v2.0/networks HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\n{",
		"POST /v2.0/networks HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n",
		"POST /v2.0/networks HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
	};
	for (size_t i = 0; i < sizeof(rubbish) / sizeof(*rubbish); i++) {
		int s = dial(f);
		send_all(f, s, rubbish[i], strlen(rubbish[i]));
		run_loop(f);
		close(s);
	}
	int s = dial(f);
	assert_int_equal(exchange(f, s, "GET / HTTP/1.1\r\n" HOST "\r\n"), 200);
	close(s);
}

static void clients_cannot_take_every_descriptor(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, few;
	int many[150];
	getrlimit(RLIMIT_NOFILE, &old);
	teardown(state);
	few = (struct rlimit) {400, old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	setup(state);
	f = *state;
	for (int i = 0; i < 150; i++) {
		many[i] = dial(f);
		run_loop(f);
	}
	// The clients are in this process too, with 150; the server stays below a quarter of 400.
	int next = dup(0);
	assert_in_range(next, 150, 280);
	close(next);
	for (int i = 0; i < 150; i++)
		close(many[i]);
	run_loop(f);
	int s = dial(f);
	assert_int_equal(exchange(f, s, "GET / HTTP/1.1\r\n" HOST "\r\n"), 200);
	close(s);
	setrlimit(RLIMIT_NOFILE, &old);
}

static void start_says_what_is_wrong_with_tls_files(void **state)
{
	struct fixture *f = *state;
	char path[] = "/tmp/weft-http-XXXXXX";
	struct api *second = NULL;
	struct err err;
	FILE *file = fdopen(mkstemp(path), "w");
	fputs("no certificate\n", file);
	fclose(file);

	struct api_config c = {
		.listen = "127.0.0.1:0", .tls_cert = "/nonexistent", .tls_key = path};
	assert_true(weft_api_start(&c, f->model, &hooks, f->loop, &second, &err) < 0);
	assert_non_null(strstr(err.msg, "tls_cert = /nonexistent"));
	c.tls_cert = path;
	assert_true(weft_api_start(&c, f->model, &hooks, f->loop, &second, &err) < 0);
	assert_non_null(strstr(err.msg, "tls_cert and tls_key"));
	assert_null(second);
	unlink(path);
}

#define WITH_API(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_API(request_is_answered_with_its_id_and_type),
		WITH_API(connection_carries_many_requests_and_bodies_in_pieces),
		WITH_API(slow_client_does_not_keep_others_waiting),
		WITH_API(body_that_announces_too_much_is_refused_before_it_comes),
		WITH_API(body_that_turns_out_too_large_is_refused),
		WITH_API(garbage_and_hang_ups_leave_the_server_alive),
		WITH_API(clients_cannot_take_every_descriptor),
		WITH_API(start_says_what_is_wrong_with_tls_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
