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
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 5000

// The API on a port of the kernel's choice. Client and server share this thread: whoever waits
// lets the loop run.
struct fixture {
	struct event_base *loop;
	struct model *model;
	struct api *api;
	uint16_t port;
	char dir[32], socket[64];
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
				      .physnet_mtu = 1500};
	struct fixture *f = calloc(1, sizeof(*f));
	struct api_config api = {
		.listen = "127.0.0.1:0", .socket = f->socket, .socket_group = (gid_t)-1};
	struct err err;
	strcpy(f->dir, "/tmp/weft-http-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->socket, sizeof(f->socket), "%s/api.sock", f->dir);
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
	assert_int_equal(rmdir(f->dir), 0); // the socket is gone
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

static int dial_local(const struct fixture *f)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strcpy(a.sun_path, f->socket);
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

// Everybody on loopback is one peer: 250 connections.
static void slow_clients_cannot_lock_anybody_out(void **state)
{
	struct fixture *f = *state;
	static int slow[400];
	for (int i = 0; i < 400; i++) {
		slow[i] = dial(f);
		assert_true(send_all(f, slow[i], "G", 1));
	}
	int s = dial(f);
	assert_int_equal(exchange(f, s, "GET /v2.0/networks HTTP/1.1\r\n" HOST "\r\n"), 200);
	// The known one stays, whoever else comes and goes.
	for (int i = 0; i < 400; i++) {
		close(slow[i]);
		slow[i] = dial(f);
		assert_true(send_all(f, slow[i], "G", 1));
	}
	assert_int_equal(exchange(f, s, "GET /v2.0/networks HTTP/1.1\r\n" HOST "\r\n"), 200);
	int local = dial_local(f);
	assert_int_equal(exchange(f, local, "GET / HTTP/1.1\r\n" HOST "\r\n"), 200);
	close(local);
	close(s);
	for (int i = 0; i < 400; i++)
		close(slow[i]);
}

static void connection_that_gave_way_is_closed(void **state)
{
	struct fixture *f = *state;
	static int slow[251];
	for (int i = 0; i < 251; i++) {
		slow[i] = dial(f);
		assert_true(send_all(f, slow[i], "G", 1));
	}
	char byte;
	ssize_t n = -1;
	for (unsigned ms = 0; n < 0 && ms < PATIENCE_MS; ms++) {
		run_loop(f);
		n = recv(slow[0], &byte, 1, MSG_DONTWAIT);
	}
	assert_int_equal(n, 0);
	assert_int_equal(recv(slow[250], &byte, 1, MSG_DONTWAIT), -1);
	for (int i = 0; i < 251; i++)
		close(slow[i]);
}

static void heads_that_can_be_read_in_two_ways_are_refused_and_the_connection_ends(void **state)
{
	struct fixture *f = *state;
#define POST "POST /v2.0/networks HTTP/1.1\r\n"
#define TYPE "Content-Type: application/json\r\n"
	static const struct {
		const char *head;
		size_t len;
	} heads[] = {
#define HEAD(text) {text, sizeof(text) - 1}
		HEAD(POST HOST TYPE "Content-Length: 2\r\nContent-Length: 14\r\n\r\n"),
		HEAD(POST HOST TYPE "Content-Length: 14\r\nContent-Length: 14\r\n\r\n"),
		HEAD(POST HOST TYPE "Content-Length: +14\r\n\r\n"),
		HEAD(POST HOST TYPE "Content-Length: 2, 14\r\n\r\n"),
		HEAD(POST HOST TYPE "Content-Length: 14\r\nTransfer-Encoding: chunked\r\n\r\n"),
		HEAD(POST HOST TYPE "Transfer-Encoding: chunked\r\nContent-Length: 14\r\n\r\n"),
		HEAD(POST HOST TYPE "Transfer-Encoding: gzip, chunked\r\n\r\n"),
		HEAD(POST HOST TYPE "Transfer-Encoding: identity\r\n\r\n"),
		HEAD(POST HOST TYPE
		     "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
		HEAD(POST HOST TYPE "Content-Length : 14\r\n\r\n"),
		HEAD(POST HOST "Host: example.org\r\n" TYPE "Content-Length: 14\r\n\r\n"),
		HEAD(POST HOST HOST TYPE "Content-Length: 14\r\n\r\n"),
		HEAD(POST TYPE "Content-Length: 14\r\n\r\n"),
		HEAD(POST HOST TYPE "X-Pro\0ject-Id: a\r\nContent-Length: 14\r\n\r\n"),
		HEAD("POST /v2.0/networks\0/x HTTP/1.1\r\n" HOST TYPE "Content-Length: 14\r\n\r\n"),
		HEAD("POST /v2.0/networks?a=\0 HTTP/1.1\r\n" HOST TYPE
		     "Content-Length: 14\r\n\r\n"),
		HEAD("POST /v2.0/net works HTTP/1.1\r\n" HOST TYPE "Content-Length: 14\r\n\r\n"),
		HEAD("POST /v2.0/networks\t HTTP/1.1\r\n" HOST TYPE "Content-Length: 14\r\n\r\n"),
		HEAD("POST /v2.0/networks HTTP/1.2\r\n" HOST TYPE "Content-Length: 14\r\n\r\n"),
		HEAD("POST /v2.0/networks HTTP/1.0\r\n" HOST TYPE
		     "Transfer-Encoding: chunked\r\n\r\n"),
		HEAD(POST HOST TYPE "X-A: b\0c\r\nContent-Length: 14\r\n\r\n"),
		HEAD(POST HOST TYPE "X-A: b\nContent-Length: 14\r\n\r\n"),
		HEAD(POST HOST TYPE "X-A: b\rContent-Length: 14\r\n\r\n"),
		HEAD(POST HOST TYPE "X-A: b\r\n Content-Length: 14\r\n\r\n"),
		HEAD(POST HOST TYPE "Content-Length: 14\n\r\n"),
		HEAD(POST HOST TYPE "Content-Length: 14\r\n\n"),
		HEAD("POST /v2.0/networks HTTP/1.1\n" HOST TYPE "Content-Length: 14\r\n\r\n"),
		HEAD("P\1OST /v2.0/networks HTTP/1.1\r\n" HOST TYPE "Content-Length: 14\r\n\r\n"),
#undef HEAD
	};
	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
		int s = dial(f);
		send_all(f, s, heads[i].head, heads[i].len);
		unsigned status = receive_answer(f, s);
		if (status != 400)
			fail_msg("%s: %u", heads[i].head, status);
		assert_non_null(strcasestr(answer, "Connection: close"));
		// What follows is not another request.
		send_all(f, s, "GET / HTTP/1.1\r\n" HOST "\r\n",
			 strlen("GET / HTTP/1.1\r\n" HOST "\r\n"));
		assert_int_equal(receive_answer(f, s), 0);
		close(s);
	}
	assert_int_equal(weft_model_count(f->model, RES_NETWORK), 0);
}

// Clients name what they want by id, as openstacksdk does, hundreds of them in one URL.
static void url_with_any_number_of_arguments_is_answered(void **state)
{
	struct fixture *f = *state;
	static char request[512 * 1024];
	static const unsigned counts[] = {1,	100,  500,  700,  900,	1100, 1200,
					  1500, 2000, 2400, 3000, 5000, 9000};
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		int s = dial(f);
		size_t len = (size_t)sprintf(request, "GET /v2.0/networks?");
		for (unsigned k = 0; k < counts[i]; k++)
			len += (size_t)sprintf(request + len, "id=00000000-0000-4000-8000-%012u&",
					       k);
		len += (size_t)sprintf(request + len, "a HTTP/1.1\r\n" HOST "\r\n");
		bool is_short = len < 96 * 1024;
		sprintf(strstr(request, "&a HTTP"), " HTTP/1.1\r\n" HOST "\r\n");
		len = strlen(request);
		if (!send_all(f, s, request, len))
			assert_false(is_short);
		else {
			unsigned status = receive_answer(f, s);
			if (is_short)
				assert_int_equal(status, 200);
			else
				assert_int_equal(status, 414);
		}
		close(s);
	}
}

static void without_a_good_token_no_body_is_received(void **state)
{
	struct fixture *f = *state;
	char path[] = "/tmp/weft-tokens-XXXXXX";
	struct api_config config = {.listen = "127.0.0.1:0",
				    .auth = API_AUTH_TOKEN,
				    .tokens = path,
				    .socket = f->socket,
				    .socket_group = (gid_t)-1};
	struct err err;
	FILE *file = fdopen(mkstemp(path), "w");
	fputs("good red member\n", file);
	fclose(file);
	weft_api_stop(f->api);
	assert_int_equal(weft_api_start(&config, f->model, &hooks, f->loop, &f->api, &err), 0);
	f->port = weft_api_port(f->api);

	int s = dial(f);
	assert_int_equal(exchange(f, s,
				  POST HOST TYPE
				  "X-Auth-Token: bad\r\nContent-Length: 1000000\r\n\r\n"),
			 401);
	assert_non_null(strcasestr(answer, "Connection: close"));
	close(s);
	s = dial(f);
	assert_int_equal(exchange(f, s, POST HOST TYPE "Transfer-Encoding: chunked\r\n\r\n"), 401);
	close(s);
	s = dial(f);
	assert_int_equal(
		exchange(f, s,
			 POST HOST TYPE
			 "X-Auth-Token: good\r\nContent-Length: 14\r\n\r\n{\"network\":{}}"),
		201);
	assert_int_equal(
		exchange(f, s, "GET /metrics HTTP/1.1\r\n" HOST "X-Auth-Token: good\r\n\r\n"), 403);
	close(s);
	// Whoever may open the socket needs none.
	s = dial_local(f);
	assert_int_equal(exchange(f, s, "GET /metrics HTTP/1.1\r\n" HOST "\r\n"), 200);
	close(s);
	unlink(path);
}

static void socket_can_be_the_only_way_in(void **state)
{
	struct fixture *f = *state;
	struct api_config config = {
		.listen = "none", .socket = f->socket, .socket_group = (gid_t)-1};
	struct err err;
	struct stat st;
	weft_api_stop(f->api);
	assert_int_equal(weft_api_start(&config, f->model, &hooks, f->loop, &f->api, &err), 0);
	assert_int_equal(stat(f->socket, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	int s = dial_local(f);
	assert_int_equal(exchange(f, s, "GET / HTTP/1.1\r\n" HOST "\r\n"), 200);
	close(s);
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
	assert_non_null(strstr(err.msg, "tls_cert = /tmp/weft-http-"));
	assert_non_null(strstr(err.msg, "no PEM certificate"));
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
		WITH_API(slow_clients_cannot_lock_anybody_out),
		WITH_API(connection_that_gave_way_is_closed),
		WITH_API(heads_that_can_be_read_in_two_ways_are_refused_and_the_connection_ends),
		WITH_API(url_with_any_number_of_arguments_is_answered),
		WITH_API(without_a_good_token_no_body_is_received),
		WITH_API(socket_can_be_the_only_way_in),
		WITH_API(start_says_what_is_wrong_with_tls_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
