// SPDX-License-Identifier: Apache-2.0
// The proxy between a client and a server that are both this test: what each gets to read is
// compared byte for byte.
#include "metadata/metadata_proxy.h"

#include "metadata/metadata_proxy_testing.h"

static void a_request_arrives_as_it_was_sent_and_says_who_asks(void **state)
{
	struct bench *b = bench_new("", "", HELLO);
	char *got = ask(b, "127.0.0.10",
			"GET /2009-04-04/a%20b/../c?x=%2f&y HTTP/1.1\r\nAccept: text/*\r\n"
			"X-aws-ec2-metadata-token: t\r\n" CLOSE);

	(void)state;
	assert_begins(got, "HTTP/1.1 200 ");
	assert_has(got, "Content-Type: text/x\r\n");
	assert_has(got, "Content-Length: 5\r\n");
	assert_has(got, "\r\n\r\nhello");
	assert_begins(b->server.asked, "GET /2009-04-04/a%20b/../c?x=%2f&y HTTP/1.1\r\n");
	assert_has(b->server.asked, "\r\nAccept: text/*\r\n");
	assert_has(b->server.asked, "\r\nX-aws-ec2-metadata-token: t\r\n");
	assert_has(b->server.asked, "\r\nX-Forwarded-For: 10.0.0.5\r\n");
	assert_has(b->server.asked, "\r\nX-Neutron-Network-ID: net\r\n");
	assert_lacks(b->server.asked, "Router-ID");
	assert_lacks(b->server.asked, "169.254");
	assert_int_equal(counted(b, "answered"), 1);
	free(got);
	bench_free(b);
}

static void what_the_vm_says_of_itself_does_not_arrive(void **state)
{
	struct bench *b = bench_new("s3cr3t", "", HELLO);
	char *got = ask(b, "127.0.0.10",
			"GET / HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6\r\nX_Instance_ID: forged\r\n"
			"x-tenant-id: forged\r\nX-Neutron-Router-ID: forged\r\n"
			"X-Instance-ID-Signature: forged\r\nX-Instance-ID: forged\r\n" CLOSE);

	(void)state;
	assert_begins(got, "HTTP/1.1 200 ");
	assert_lacks(b->server.asked, "forged");
	assert_lacks(b->server.asked, "6.6.6.6");
	assert_lacks(b->server.asked, "Neutron");
	assert_has(b->server.asked, "\r\nX-Instance-ID: vm-a\r\n");
	assert_has(b->server.asked, "\r\nX-Tenant-ID: project\r\n");
	assert_has(b->server.asked, "\r\nX-Instance-ID-Signature: " SIGNATURE "\r\n");
	free(got);
	bench_free(b);
}

static void a_body_and_other_methods_are_carried(void **state)
{
	struct bench *b = bench_new("", "/under/", "HTTP/1.1 204 No Content\r\n\r\n");
	char *got = ask(b, "127.0.0.10",
			"POST /password HTTP/1.1\r\nContent-Length: 6\r\n" CLOSE "secret");

	(void)state;
	assert_begins(got, "HTTP/1.1 204 ");
	assert_begins(b->server.asked, "POST /under/password HTTP/1.1\r\n");
	assert_has(b->server.asked, "\r\nContent-Length: 6\r\n");
	assert_has(b->server.asked, "\r\n\r\nsecret");
	assert_lacks(b->server.asked, "Content-Type");
	free(got);
	got = ask(b, "127.0.0.10", "PUT /token HTTP/1.1\r\n" CLOSE);
	assert_begins(b->server.asked, "PUT /under/token HTTP/1.1\r\n");
	assert_has(b->server.asked, "\r\nContent-Length: 0\r\n");
	free(got);
	b->server.answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
	b->server.answer_len = strlen(b->server.answer);
	got = ask(b, "127.0.0.10", "HEAD /x HTTP/1.1\r\n" CLOSE);
	assert_begins(b->server.asked, "HEAD /under/x HTTP/1.1\r\n");
	assert_begins(got, "HTTP/1.1 200 ");
	assert_has(got, "Content-Length: 5\r\n");
	free(got);
	bench_free(b);
}

static void the_servers_own_refusals_are_passed_on(void **state)
{
	struct bench *b = bench_new("", "",
				    "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n"
				    "X-Odd: 1\r\nKeep-Alive: 5\r\n\r\nno");
	char *got = ask(b, "127.0.0.10", "GET / HTTP/1.1\r\n" CLOSE);

	(void)state;
	assert_begins(got, "HTTP/1.1 403 ");
	assert_has(got, "X-Odd: 1\r\n");
	assert_lacks(got, "Keep-Alive: 5");
	assert_has(got, "\r\n\r\nno");
	assert_int_equal(counted(b, "forbidden"), 1);
	free(got);
	bench_free(b);
}

static void a_large_answer_arrives_whole(void **state)
{
	size_t len = 5u << 20, head;
	char *big = malloc(len + 100), *got;
	struct bench *b;

	(void)state;
	head = (size_t)sprintf(big, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", len);
	for (size_t i = 0; i < len; i++)
		big[head + i] = (char)('a' + i % 23);
	big[head + len] = '\0';
	b = bench_new("", "", big);
	got = ask(b, "127.0.0.10", "GET / HTTP/1.1\r\n" CLOSE);
	assert_non_null(strstr(got, "\r\n\r\n"));
	assert_true(strcmp(strstr(got, "\r\n\r\n") + 4, big + head) == 0);
	free(got);
	bench_free(b);
	free(big);
}

static void an_answer_of_unknown_length_arrives_whole(void **state)
{
	struct bench *b =
		bench_new("", "",
			  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
			  "Content-Length: 3\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
	char *got = ask(b, "127.0.0.10", "GET / HTTP/1.1\r\n" CLOSE);

	(void)state;
	assert_begins(got, "HTTP/1.1 200 ");
	assert_has(got, "hello");
	assert_has(got, " world");
	assert_lacks(got, "Content-Length");
	free(got);
	bench_free(b);
}

static void an_answer_that_breaks_off_is_not_passed_for_whole(void **state)
{
	struct bench *b = bench_new("", "",
				    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				    "5\r\nhello\r\n6\r\n wo");
	char *got = ask(b, "127.0.0.10", "GET / HTTP/1.1\r\n" CLOSE);

	(void)state;
	assert_lacks(got, "\r\n0\r\n");
	assert_true(counted(b, "cut-short") + counted(b, "unreachable") == 1);
	free(got);
	bench_free(b);
}

static void no_server_is_a_502(void **state)
{
	struct bench *b = bench_new("", "", HELLO);
	char *got;

	(void)state;
	stop_server(b);
	got = ask(b, "127.0.0.10", "GET / HTTP/1.1\r\n" CLOSE);
	assert_begins(got, "HTTP/1.1 502 ");
	assert_has(got, "cannot be reached");
	assert_lacks(got, "127.0.0.1"); // where it is, is not the VM's business
	assert_int_equal(counted(b, "unreachable"), 1);
	free(got);
	bench_free(b);
}

static void a_silent_server_is_a_504(void **state)
{
	struct bench *b;
	char *got;

	(void)state;
	timeout_s = 1;
	b = bench_new("", "", HELLO);
	timeout_s = 30;
	b->server.is_silent = true;
	got = ask(b, "127.0.0.10", "GET / HTTP/1.1\r\n" CLOSE);
	assert_begins(got, "HTTP/1.1 504 ");
	assert_int_equal(counted(b, "timeout"), 1);
	free(got);
	bench_free(b);
}

static void stopping_does_not_wait_for_the_server(void **state)
{
	struct bench *b = bench_new("", "", HELLO);
	uint64_t begin;
	int fd;

	(void)state;
	b->server.is_silent = true;
	fd = connect_from(b, "127.0.0.10");
	assert_true(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, 0) == 18);
	while (counted(b, "requests") == 0)
		usleep(1000);
	begin = weft_now_ms();
	weft_metadata_proxy_stop(b->proxy);
	assert_true(weft_now_ms() - begin < 10000);
	close(fd);
	stop_server(b);
	weft_metadata_directory_free(b->directory);
	free(b->server.asked);
	free(b);
}

static void who_is_not_known_gets_nothing(void **state)
{
	struct bench *b = bench_new("", "", HELLO);
	char *got = ask(b, "127.0.0.99", "GET / HTTP/1.1\r\n" CLOSE);

	(void)state;
	assert_string_equal(got, "");
	assert_int_equal(atomic_load(&b->server.n_asked), 0);
	assert_int_equal(counted(b, "unknown-port"), 1);
	free(got);
	bench_free(b);
}

// Reads until the text has come.
static void read_until(int fd, const char *end)
{
	char text[1024] = "";
	size_t len = 0;

	while (strstr(text, end) == NULL) {
		ssize_t n = recv(fd, text + len, sizeof(text) - 1 - len, 0);

		assert_true(n > 0);
		len += (size_t)n;
		text[len] = '\0';
	}
}

// The source is another port's by the time of the second request.
static void a_connection_does_not_outlive_its_port(void **state)
{
	struct bench *b = bench_new("", "", HELLO);
	int fd = connect_from(b, "127.0.0.10");
	char byte, *got;

	(void)state;
	assert_true(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, 0) == 18);
	read_until(fd, "hello");
	change_port(b, PLAN_DEL, "a", "", "");
	change_port(b, PLAN_PUT, "a", "10.0.0.7", "vm-b");
	assert_true(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, 0) == 18);
	assert_true(recv(fd, &byte, 1, 0) <= 0);
	close(fd);
	assert_int_equal(atomic_load(&b->server.n_asked), 1);
	got = ask(b, "127.0.0.10", "GET / HTTP/1.1\r\n" CLOSE);
	assert_has(b->server.asked, "X-Forwarded-For: 10.0.0.7\r\n");
	free(got);
	bench_free(b);
}

static void a_port_without_instance_is_not_signed_for(void **state)
{
	struct bench *b = bench_new("s3cr3t", "", HELLO);
	char *got;

	(void)state;
	change_port(b, PLAN_PUT, "b", "10.0.0.6", "");
	got = ask(b, "127.0.0.11", "GET / HTTP/1.1\r\n" CLOSE);
	assert_begins(got, "HTTP/1.1 404 ");
	free(got);
	// A tenant can write anything there.
	change_port(b, PLAN_PUT, "b", "10.0.0.6", "x\r\nX-Tenant-ID: other");
	got = ask(b, "127.0.0.11", "GET / HTTP/1.1\r\n" CLOSE);
	assert_begins(got, "HTTP/1.1 400 ");
	free(got);
	change_port(b, PLAN_PUT, "b", "", "vm-b");
	got = ask(b, "127.0.0.11", "GET / HTTP/1.1\r\n" CLOSE);
	assert_begins(got, "HTTP/1.1 404 ");
	free(got);
	assert_int_equal(atomic_load(&b->server.n_asked), 0);
	bench_free(b);
}

static void what_is_no_request_of_the_service_is_refused(void **state)
{
	struct bench *b = bench_new("", "", HELLO);
	char *got = ask(b, "127.0.0.10", "TRACE / HTTP/1.1\r\n" CLOSE);

	(void)state;
	assert_begins(got, "HTTP/1.1 405 ");
	assert_has(got, "Allow: GET");
	free(got);
	got = ask(b, "127.0.0.10", "CONNECT a:80 HTTP/1.1\r\n" CLOSE);
	assert_begins(got, "HTTP/1.1 400 ");
	free(got);
	got = ask(b, "127.0.0.10", "GET http://169.254.169.254/x HTTP/1.1\r\n" CLOSE);
	assert_begins(got, "HTTP/1.1 200 ");
	assert_begins(b->server.asked, "GET /x HTTP/1.1\r\n");
	free(got);
	bench_free(b);
}

static void nobody_climbs_out_of_the_servers_path(void **state)
{
	static const struct {
		const char *target;
		bool passes;
	} cases[] = {
		{"/../admin", false},
		{"/a/../../admin", false},
		{"/a/..", false},
		{"/%2e%2E/admin", false},
		{"/.%2e/admin", false},
		{"/..%2fadmin", false},
		{"/a%5c..\\admin", false},
		{"/..?x", false},
		{"/a..b/...", true},
		{"/.hidden/..a", true},
		{"/a?b=/../c", true},
		{"/%", true},
		{"/./a", true},
	};
	struct bench *b = bench_new("", "/under", HELLO);
	char request[128], *got;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n" CLOSE, cases[i].target);
		got = ask(b, "127.0.0.10", request);
		assert_begins(got, cases[i].passes ? "HTTP/1.1 200 " : "HTTP/1.1 400 ");
		free(got);
	}
	bench_free(b);
	// Without one the whole server is meant.
	b = bench_new("", "", HELLO);
	got = ask(b, "127.0.0.10", "GET /a/../b HTTP/1.1\r\n" CLOSE);
	assert_begins(got, "HTTP/1.1 200 ");
	free(got);
	bench_free(b);
}

static void what_is_too_large_is_refused(void **state)
{
	struct bench *b = bench_new("", "", HELLO);
	size_t head = 60000;
	char *request = calloc(1, 200000), *got;
	size_t n = (size_t)sprintf(request, "GET / HTTP/1.1\r\nX-Large: ");

	(void)state;
	memset(request + n, 'x', head);
	strcpy(request + n + head, "\r\n" CLOSE);
	got = ask(b, "127.0.0.10", request);
	assert_begins(got, "HTTP/1.1 200 ");
	free(got);
	memset(request + n, 'x', 2 * head);
	strcpy(request + n + 2 * head, "\r\n" CLOSE);
	got = ask(b, "127.0.0.10", request);
	assert_begins(got, "HTTP/1.1 431 ");
	free(got);
	got = ask(b, "127.0.0.10", "POST / HTTP/1.1\r\nContent-Length: 2000000\r\n" CLOSE);
	assert_begins(got, "HTTP/1.1 413 ");
	free(got);
	assert_int_equal(atomic_load(&b->server.n_asked), 1);
	free(request);
	bench_free(b);
}

// The first of the connections that answers; its number.
static size_t first_answer(const int *fds, size_t n, char *text, size_t size)
{
	struct pollfd p[METADATA_PORT_REQUESTS + 1];
	ssize_t len;

	for (size_t i = 0; i < n; i++)
		p[i] = (struct pollfd) {.fd = fds[i], .events = POLLIN};
	assert_true(poll(p, n, 20000) > 0);
	for (size_t i = 0; i < n; i++) {
		if (p[i].revents == 0)
			continue;
		len = recv(fds[i], text, size - 1, 0);
		text[len > 0 ? len : 0] = '\0';
		return i;
	}
	return n;
}

static void one_port_has_only_so_many_requests_at_once(void **state)
{
	struct bench *b;
	int fds[METADATA_PORT_REQUESTS + 1];
	char text[1024], *got;

	(void)state;
	timeout_s = 4;
	b = bench_new("", "", HELLO);
	timeout_s = 30;
	b->server.is_silent = true;
	change_port(b, PLAN_PUT, "b", "10.0.0.6", "vm-b");
	for (size_t i = 0; i <= METADATA_PORT_REQUESTS; i++) {
		fds[i] = connect_from(b, "127.0.0.10");
		assert_true(send(fds[i], "GET / HTTP/1.1\r\n\r\n", 18, 0) == 18);
	}
	first_answer(fds, METADATA_PORT_REQUESTS + 1, text, sizeof(text));
	assert_begins(text, "HTTP/1.1 503 ");
	assert_has(text, "Retry-After: 1\r\n");
	assert_int_equal(counted(b, "busy"), 1);
	got = ask(b, "127.0.0.11", "GET / HTTP/1.1\r\n" CLOSE);
	assert_begins(got, "HTTP/1.1 504 "); // the other's turn was not taken
	assert_int_equal(counted(b, "busy"), 1);
	free(got);
	for (size_t i = 0; i <= METADATA_PORT_REQUESTS; i++)
		close(fds[i]);
	bench_free(b);
}

static void a_servers_address_is_checked(void **state)
{
	static const char *const bad[] = {"",
					  "127.0.0.1:8775",
					  "ftp://a/",
					  "http://",
					  "http://a/?q",
					  "http://u:p@a/",
					  "http://a:99999/",
					  "http://a b/",
					  "file:///etc/passwd"};
	char *server, *prefix;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (weft_metadata_url_split(bad[i], NULL, NULL, &err) == 0)
			fail_msg("\"%s\" is taken", bad[i]);
	assert_int_equal(weft_metadata_url_split("https://[::1]:8775/a/b/", &server, &prefix, &err),
			 0);
	assert_string_equal(server, "https://[::1]:8775/");
	assert_string_equal(prefix, "/a/b");
	free(server);
	free(prefix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_arrives_as_it_was_sent_and_says_who_asks),
		cmocka_unit_test(what_the_vm_says_of_itself_does_not_arrive),
		cmocka_unit_test(a_body_and_other_methods_are_carried),
		cmocka_unit_test(the_servers_own_refusals_are_passed_on),
		cmocka_unit_test(a_large_answer_arrives_whole),
		cmocka_unit_test(an_answer_of_unknown_length_arrives_whole),
		cmocka_unit_test(an_answer_that_breaks_off_is_not_passed_for_whole),
		cmocka_unit_test(no_server_is_a_502),
		cmocka_unit_test(a_silent_server_is_a_504),
		cmocka_unit_test(stopping_does_not_wait_for_the_server),
		cmocka_unit_test(who_is_not_known_gets_nothing),
		cmocka_unit_test(a_connection_does_not_outlive_its_port),
		cmocka_unit_test(a_port_without_instance_is_not_signed_for),
		cmocka_unit_test(what_is_no_request_of_the_service_is_refused),
		cmocka_unit_test(nobody_climbs_out_of_the_servers_path),
		cmocka_unit_test(what_is_too_large_is_refused),
		cmocka_unit_test(one_port_has_only_so_many_requests_at_once),
		cmocka_unit_test(a_servers_address_is_checked),
	};

	return cmocka_run_group_tests(tests, init, NULL);
}
