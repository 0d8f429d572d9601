// SPDX-License-Identifier: Apache-2.0
// What the proxy's tests begin with: a server that says what it is told to, and clients with
// addresses of their own.
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "metadata/metadata_proxy.h"
#include "metadata/metadata_upstream.h"

#define ROOM (6u << 20)

// Of the proxy for the server. A busy machine may take its time, so only tests of it make it short.
static uint32_t timeout_s = 30;
static struct metadata_limits limits = {METADATA_CONNECTIONS, METADATA_PORT_REQUESTS,
					METADATA_REQUEST_MS, METADATA_CONNECTION_MS};

// What the server says to every request; what it was asked last.
struct server {
	int fd;
	uint16_t port;
	pthread_t thread;
	const char *answer;
	size_t answer_len;
	bool is_silent; // it reads, and says nothing
	_Atomic int n_asked;
	char *asked;
	_Atomic bool stop;
};

struct bench {
	struct server server;
	struct metadata_directory *directory;
	struct metadata_proxy *proxy;
	uint16_t port;
	struct err err;
};

static inline int init(void **state)
{
	(void)state;
	weft_metadata_upstream_init();
	return 0;
}

static inline int listen_at(uint16_t *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	*port = ntohs(at.sin_port);
	return fd;
}

// ---- The server ----------------------------------------------------------------------------

static inline bool is_whole(const char *text, size_t len)
{
	const char *end = strstr(text, "\r\n\r\n"),
		   *length = strcasestr(text, "\r\nContent-Length:");

	if (end == NULL)
		return false;
	return length == NULL || len >= (size_t)(end + 4 - text) + strtoul(length + 17, NULL, 10);
}

static inline void serve(struct server *s, int fd)
{
	size_t len = 0;

	while (len < ROOM - 1 && !atomic_load(&s->stop)) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (poll(&p, 1, 20) == 0)
			continue;
		n = recv(fd, s->asked + len, ROOM - 1 - len, 0);
		if (n <= 0)
			break;
		len += (size_t)n;
		s->asked[len] = '\0';
		if (is_whole(s->asked, len) && !s->is_silent)
			break;
	}
	atomic_fetch_add(&s->n_asked, 1);
	// Once it has the answer, the test may change the next one.
	const char *answer = s->answer;
	size_t answer_len = s->is_silent ? 0 : s->answer_len;
	for (size_t at = 0; at < answer_len;) {
		ssize_t n = send(fd, answer + at, answer_len - at, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	close(fd);
}

static inline void *server_main(void *arg)
{
	struct server *s = arg;

	while (!atomic_load(&s->stop)) {
		struct pollfd p = {.fd = s->fd, .events = POLLIN};

		if (poll(&p, 1, 20) == 1)
			serve(s, accept(s->fd, NULL, NULL));
	}
	return NULL;
}

// ---- The bench -----------------------------------------------------------------------------

static inline int source_of(void *arg, const char *port_id, struct ip_addr *out)
{
	(void)arg;
	return weft_ip_parse(strcmp(port_id, "a") == 0 ? "127.0.0.10" : "127.0.0.11", out);
}

static inline void change_port(struct bench *b, enum plan_op op, const char *id, const char *ip,
			       const char *instance)
{
	struct plan_fixed fixed = {.subnet_id = "s"};
	struct plan_port port = {.network_id = "net", .project_id = "project"};
	struct plan_change c = {.op = op, .kind = PLAN_PORT, .port = &port};
	struct plan_batch batch = {.n = 1, .changes = &c};

	strcpy(port.id, id);
	strcpy(port.instance_id, instance);
	if (ip[0] != '\0') {
		assert_int_equal(weft_ip_parse(ip, &fixed.ip), 0);
		port.n_fixed = 1;
		port.fixed = &fixed;
	}
	weft_metadata_directory_apply(b->directory, &batch);
}

// secret: "" = none. path: behind the server's address.
static inline struct bench *bench_new(const char *secret, const char *path, const char *answer)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct metadata_proxy_config config = {.timeout_s = timeout_s, .limits = limits};
	char url[128];

	b->server.fd = listen_at(&b->server.port);
	b->server.asked = calloc(1, ROOM);
	b->server.answer = answer;
	b->server.answer_len = strlen(answer);
	assert_int_equal(pthread_create(&b->server.thread, NULL, server_main, &b->server), 0);
	b->directory = weft_metadata_directory_new(source_of, NULL);
	change_port(b, PLAN_PUT, "a", "10.0.0.5", "vm-a");
	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", b->server.port, path);
	config.url = url;
	config.listen_fd = listen_at(&b->port);
	config.directory = b->directory;
	config.secret.len = strlen(secret);
	strcpy(config.secret.text, secret);
	assert_int_equal(weft_metadata_proxy_start(&config, &b->proxy, &b->err), 0);
	return b;
}

static inline void stop_server(struct bench *b)
{
	if (b->server.fd < 0)
		return;
	atomic_store(&b->server.stop, true);
	pthread_join(b->server.thread, NULL);
	close(b->server.fd);
	b->server.fd = -1;
}

static inline void bench_free(struct bench *b)
{
	weft_metadata_proxy_stop(b->proxy);
	stop_server(b);
	weft_metadata_directory_free(b->directory);
	free(b->server.asked);
	free(b);
}

static inline int connect_from(struct bench *b, const char *source)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(b->port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(inet_pton(AF_INET, source, &from.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static inline char *read_all(int fd)
{
	char *text = calloc(1, ROOM);
	size_t len = 0;

	for (ssize_t n; len < ROOM - 1 && (n = recv(fd, text + len, ROOM - 1 - len, 0)) > 0;)
		len += (size_t)n;
	close(fd);
	return text;
}

// The whole answer to a request from a source; freed by the caller.
static inline char *ask(struct bench *b, const char *source, const char *request)
{
	int fd = connect_from(b, source);
	size_t len = strlen(request);

	assert_int_equal(send(fd, request, len, MSG_NOSIGNAL), len);
	return read_all(fd);
}

static inline void assert_begins(const char *text, const char *begin)
{
	if (strncmp(text, begin, strlen(begin)) != 0)
		fail_msg("\"%.100s\" does not begin with \"%s\"", text, begin);
}

static inline void assert_has(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("\"%.2000s\" has no \"%s\"", text, part);
}

static inline void assert_lacks(const char *text, const char *part)
{
	if (strcasestr(text, part) != NULL)
		fail_msg("\"%.2000s\" has \"%s\"", text, part);
}

static inline json_int_t counted(struct bench *b, const char *what)
{
	json_t *o = json_object(), *v;
	json_int_t n = -1;
	size_t i;

	weft_metadata_proxy_show(b->proxy, o);
	json_array_foreach(json_object_get(o, "counts"), i, v)
		if (strcmp(json_string_value(json_object_get(v, "what")), what) == 0)
			n = json_integer_value(json_object_get(v, "count"));
	json_decref(o);
	return n;
}

// Of "vm-a" by "s3cr3t", as Python's hmac makes it.
#define SIGNATURE "f9fc8cdfd6432d355c18d2fa46b01ea474daa25ef2e5c19f3ede484d4f0f89cc"
#define CLOSE	  "Host: 169.254.169.254\r\nConnection: close\r\n\r\n"
#define HELLO	  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/x\r\n\r\nhello"
