// SPDX-License-Identifier: Apache-2.0
// HTTP heads, from the socket through libmicrohttpd to what is refused as ambiguous: whatever is
// taken is one request to everybody. What weftd takes for the next request is never a part of what
// somebody before it took for a body, nor the other way round.
//
// The first byte is how many bytes come at a time (0: all at once), the rest is what a client
// sends. Beside it stands a reader that does as RFC 9112 says and forgives nothing. The requests
// that are taken are those that it sees.
#include "north/api/framing.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"

#define HEAD_MAX     16384
#define REQUESTS_MAX 8

struct seen {
	char method[16], target[256];
	size_t body;
	bool whole;
};

struct seen_all {
	struct seen of[REQUESTS_MAX];
	size_t n;
};

struct request { // as exchange.c keeps it
	const char *raw;
	char *target;
	struct seen *seen;
	bool refused;
};

static struct MHD_Daemon *daemon_;
static struct seen_all taken;
static bool is_open;

// ---- As weftd does -------------------------------------------------------------------------

static void *on_target(void *arg, const char *uri, struct MHD_Connection *connection)
{
	struct request *r = calloc(1, sizeof(*r));

	(void)arg;
	(void)connection;
	fuzz_assert(r != NULL);
	r->raw = uri;
	r->target = uri == NULL ? NULL : strdup(uri);
	return r;
}

static void on_done(void *arg, struct MHD_Connection *connection, void **state,
		    enum MHD_RequestTerminationCode why)
{
	struct request *r = *state;

	(void)arg;
	(void)connection;
	(void)why;
	if (r == NULL)
		return;
	free(r->target);
	free(r);
	*state = NULL;
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	(void)arg;
	(void)connection;
	(void)context;
	is_open = what == MHD_CONNECTION_NOTIFY_STARTED;
}

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);

	if (status != 200)
		MHD_add_response_header(response, "Connection", "close");
	enum MHD_Result ret = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return ret;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *data_len, void **state)
{
	struct request *r = *state;

	(void)arg;
	(void)url;
	(void)data;
	if (r == NULL || r->target == NULL)
		return MHD_NO;
	if (r->seen == NULL) {
		if (taken.n == REQUESTS_MAX ||
		    weft_framing_fault(connection, method, r->raw, r->target, version) != NULL)
			return answer(connection, 400);
		r->seen = &taken.of[taken.n++];
		*r->seen = (struct seen) {0};
		snprintf(r->seen->method, sizeof(r->seen->method), "%s", method);
		snprintf(r->seen->target, sizeof(r->seen->target), "%s", r->target);
		return MHD_YES;
	}
	if (*data_len > 0) {
		r->seen->body += *data_len;
		*data_len = 0;
		return MHD_YES;
	}
	r->seen->whole = true;
	return answer(connection, 200);
}

static void on_complaint(void *arg, const char *format, va_list args)
{
	(void)arg;
	(void)format;
	(void)args;
}

static void start(void)
{
	if (daemon_ != NULL)
		return;
	daemon_ = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG, 0,
				   NULL, NULL, on_request, NULL, MHD_OPTION_EXTERNAL_LOGGER,
				   on_complaint, NULL, MHD_OPTION_URI_LOG_CALLBACK, on_target, NULL,
				   MHD_OPTION_NOTIFY_COMPLETED, on_done, NULL,
				   MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL,
				   MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_MAX,
				   MHD_OPTION_END);
	fuzz_assert(daemon_ != NULL);
}

static void let_it_work(int fd)
{
	char answers[4096];

	for (int i = 0; i < 4; i++)
		MHD_run(daemon_);
	while (recv(fd, answers, sizeof(answers), MSG_DONTWAIT) > 0)
		;
}

static void send_all(const uint8_t *data, size_t len, size_t at_a_time)
{
	const struct sockaddr_in peer = {.sin_family = AF_INET};
	int fds[2];

	fuzz_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	fuzz_assert(MHD_add_connection(daemon_, fds[0], (const struct sockaddr *)&peer,
				       sizeof(peer)) == MHD_YES);
	for (size_t at = 0; at < len && is_open; at += at_a_time) {
		if (send(fds[1], data + at, len - at < at_a_time ? len - at : at_a_time,
			 MSG_NOSIGNAL) < 0)
			break;
		let_it_work(fds[1]);
	}
	shutdown(fds[1], SHUT_WR);
	for (int i = 0; i < 1000 && is_open; i++)
		let_it_work(fds[1]);
	close(fds[1]);
	for (int i = 0; i < 1000 && is_open; i++)
		MHD_run(daemon_);
	fuzz_assert(!is_open);
}

// ---- The reader that forgives nothing ------------------------------------------------------

struct text {
	const char *s;
	size_t len;
};

// The line, and what is behind it. False: there is none, or some see its end elsewhere.
static bool take_line(struct text *from, struct text *line)
{
	const char *end = memmem(from->s, from->len, "\r\n", 2);

	if (end == NULL)
		return false;
	*line = (struct text) {from->s, (size_t)(end - from->s)};
	from->len -= line->len + 2;
	from->s = end + 2;
	return memchr(line->s, '\r', line->len) == NULL &&
	       memchr(line->s, '\n', line->len) == NULL && memchr(line->s, 0, line->len) == NULL;
}

static bool take_word(struct text *from, char until, struct text *word)
{
	const char *end = memchr(from->s, until, from->len);

	if (end == NULL)
		return false;
	*word = (struct text) {from->s, (size_t)(end - from->s)};
	from->len -= word->len + 1;
	from->s = end + 1;
	return word->len > 0 && memchr(word->s, ' ', word->len) == NULL &&
	       memchr(word->s, '\t', word->len) == NULL;
}

static bool is(struct text a, const char *b)
{
	return a.len == strlen(b) && strncasecmp(a.s, b, a.len) == 0;
}

static struct text trimmed(struct text t)
{
	while (t.len > 0 && (*t.s == ' ' || *t.s == '\t')) {
		t.s++;
		t.len--;
	}
	while (t.len > 0 && (t.s[t.len - 1] == ' ' || t.s[t.len - 1] == '\t'))
		t.len--;
	return t;
}

static bool take_number(struct text t, size_t *out)
{
	*out = 0;
	for (size_t i = 0; i < t.len; i++) {
		if (t.s[i] < '0' || t.s[i] > '9' || *out > SIZE_MAX / 16)
			return false;
		*out = *out * 10 + (size_t)(t.s[i] - '0');
	}
	return t.len > 0;
}

// Up to the empty line.
static bool take_fields(struct text *from, bool needs_host, bool *chunked, size_t *length)
{
	bool has_length = false, has_host = false;
	struct text line, name, value;

	*chunked = false;
	*length = 0;
	while (take_line(from, &line)) {
		if (line.len == 0)
			return (has_host || !needs_host) && !(has_length && *chunked);
		if (!take_word(&line, ':', &name))
			return false;
		value = trimmed(line);
		if (is(name, "Host")) {
			if (has_host)
				return false;
			has_host = true;
		} else if (is(name, "Content-Length")) {
			if (has_length || !take_number(value, length))
				return false;
			has_length = true;
		} else if (is(name, "Transfer-Encoding")) {
			if (*chunked || !is(value, "chunked"))
				return false;
			*chunked = true;
		}
	}
	return false;
}

enum strictly { NO_REQUEST, CHUNKED, WITHOUT_END, WHOLE };

// Before a request, as whoever reads should. What begins with a NUL is nobody's request, and empty
// to libmicrohttpd.
static void skip_empty_lines(struct text *from)
{
	while (from->len > 0 && (*from->s == '\r' || *from->s == '\n' || *from->s == '\0')) {
		if (*from->s == '\0') {
			while (from->len > 0 && *from->s != '\n') {
				from->s++;
				from->len--;
			}
			continue;
		}
		from->s++;
		from->len--;
	}
}

static enum strictly take_request(struct text *from, struct seen *r)
{
	struct text line, method, target;
	bool chunked;

	*r = (struct seen) {0};
	skip_empty_lines(from);
	if (!take_line(from, &line) || !take_word(&line, ' ', &method) ||
	    !take_word(&line, ' ', &target) || (!is(line, "HTTP/1.1") && !is(line, "HTTP/1.0")) ||
	    !take_fields(from, is(line, "HTTP/1.1"), &chunked, &r->body))
		return NO_REQUEST;
	snprintf(r->method, sizeof(r->method), "%.*s", (int)method.len, method.s);
	snprintf(r->target, sizeof(r->target), "%.*s", (int)target.len, target.s);
	if (chunked)
		return CHUNKED;
	if (from->len < r->body)
		return WITHOUT_END;
	from->s += r->body;
	from->len -= r->body;
	return WHOLE;
}

// What framing.c may take for CR LF, and nobody forwards: NULs together with LFs alone, and a line
// without a name.
static bool has_disguise(const uint8_t *data, size_t len)
{
	bool has_lf = false;

	for (size_t i = 0; i < len; i++)
		has_lf |= data[i] == '\n' && (i == 0 || data[i - 1] != '\r');
	return (has_lf && memchr(data, 0, len) != NULL) || memmem(data, len, "\n:", 2) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct text rest = {(const char *)data + 1, len - 1};
	struct seen r;

	if (len < 2 || len > HEAD_MAX || has_disguise(data + 1, len - 1))
		return 0;
	start();
	taken.n = 0;
	send_all(data + 1, len - 1, data[0] == 0 ? len : data[0]);
	for (size_t i = 0; i < taken.n; i++) {
		const struct seen *t = &taken.of[i];
		enum strictly strictly = take_request(&rest, &r);

		fuzz_assert(strictly != NO_REQUEST);
		fuzz_assert(strcmp(t->method, r.method) == 0);
		fuzz_assert(strcmp(t->target, r.target) == 0);
		if (strictly == CHUNKED) // nothing between the chunks is ours to see
			break;
		fuzz_assert(!t->whole || (strictly == WHOLE && t->body == r.body));
		if (strictly != WHOLE)
			break;
	}
	return 0;
}
