// SPDX-License-Identifier: Apache-2.0
#include "metadata/metadata_upstream.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

#define HELD_MAX    (64u << 10) // of a body that nobody has read yet
#define HEADERS_MAX 128
#define HEAD_MAX    (64u << 10)
#define LOOK_MS	    200 // how often to look whether to give up

struct upstream {
	const struct upstream_request *request;
	CURL *easy;
	CURLM *multi;
	struct curl_slist *sent;
	unsigned int status;
	bool has_head, is_done, is_paused;
	CURLcode result;
	size_t n_headers, head_len;
	struct upstream_header headers[HEADERS_MAX];
	char *held;
	size_t held_len, held_cap;
	char error[CURL_ERROR_SIZE];
};

void weft_metadata_upstream_init(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

// One part of an address into *out (freed with curl_free), NULL where there is none.
static char *part_of(CURLU *u, CURLUPart part)
{
	char *text = NULL;

	return curl_url_get(u, part, &text, 0) == CURLUE_OK ? text : NULL;
}

static bool has_part(CURLU *u, CURLUPart part)
{
	char *text = part_of(u, part);
	bool has = text != NULL;

	curl_free(text);
	return has;
}

int weft_metadata_url_split(const char *url, char **server, char **prefix, struct err *err)
{
	CURLU *u = curl_url();
	char *scheme = NULL, *path = NULL;
	bool fits;

	fits = u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK;
	if (fits) {
		scheme = part_of(u, CURLUPART_SCHEME);
		path = part_of(u, CURLUPART_PATH);
		fits = scheme != NULL &&
		       (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
		       !has_part(u, CURLUPART_USER) && !has_part(u, CURLUPART_PASSWORD) &&
		       !has_part(u, CURLUPART_QUERY) && !has_part(u, CURLUPART_FRAGMENT);
	}
	if (fits && server != NULL) {
		size_t n = path == NULL ? 0 : strlen(path);
		char *whole;

		while (n > 0 && path[n - 1] == '/')
			n--;
		*prefix = strndup(path == NULL ? "" : path, n);
		curl_url_set(u, CURLUPART_PATH, "/", 0);
		whole = part_of(u, CURLUPART_URL);
		*server = whole == NULL ? NULL : strdup(whole);
		curl_free(whole);
		if (*prefix == NULL || *server == NULL)
			abort();
	}
	curl_free(scheme);
	curl_free(path);
	curl_url_cleanup(u);
	return fits ? 0
		    : weft_fail(err, -EINVAL,
				"url = %.100s: allowed is http://HOST[:PORT][/PATH] or https://...",
				url);
}

// ---- What arrives --------------------------------------------------------------------------

static void forget_head(struct upstream *u)
{
	for (size_t i = 0; i < u->n_headers; i++) {
		free(u->headers[i].name);
		free(u->headers[i].value);
	}
	u->n_headers = 0;
}

static char *text_of(const char *s, size_t n)
{
	char *copy;

	while (n > 0 && (*s == ' ' || *s == '\t')) {
		s++;
		n--;
	}
	while (n > 0 && strchr(" \t\r\n", s[n - 1]) != NULL)
		n--;
	copy = strndup(s, n);
	if (copy == NULL)
		abort();
	return copy;
}

// One line of the head, with its end; a line "HTTP/1.1 200 OK" begins it, anew after a 100
// Continue.
static size_t on_head(char *line, size_t one, size_t n, void *arg)
{
	struct upstream *u = arg;
	const char *colon = memchr(line, ':', n);
	struct upstream_header *h = &u->headers[u->n_headers];

	(void)one;
	u->head_len += n;
	if (u->head_len > HEAD_MAX || u->has_head)
		return u->has_head ? n : 0; // trailers end here
	if (n >= 12 &&
	    memcmp(line, "HTTP/1.", 7) == 0) { // three digits follow: curl has seen to it
		forget_head(u);
		u->status = (unsigned int)strtoul(line + 9, NULL, 10);
		return n;
	}
	if (line[0] == '\r' || line[0] == '\n') {
		u->has_head = u->status >= 200;
		return n;
	}
	if (colon == NULL)
		return n;
	if (u->n_headers == HEADERS_MAX)
		return 0;
	h->name = text_of(line, (size_t)(colon - line));
	h->value = text_of(colon + 1, n - (size_t)(colon + 1 - line));
	u->n_headers++;
	return n;
}

static size_t on_body(char *data, size_t one, size_t n, void *arg)
{
	struct upstream *u = arg;

	(void)one;
	if (u->held_len >= HELD_MAX) {
		u->is_paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (u->held_len + n > u->held_cap) {
		u->held_cap = u->held_len + n;
		u->held = realloc(u->held, u->held_cap);
		if (u->held == NULL)
			abort();
	}
	memcpy(u->held + u->held_len, data, n);
	u->held_len += n;
	return n;
}

// ---- Sending -------------------------------------------------------------------------------

static void send_header(struct upstream *u, const char *name, const char *value)
{
	struct text line = {0};
	struct curl_slist *more;

	// curl's own way to say "without a value" is a semicolon.
	if (value[0] == '\0')
		weft_text_add(&line, "%s;", name);
	else
		weft_text_add(&line, "%s: %s", name, value);
	more = curl_slist_append(u->sent, line.s);
	if (more == NULL)
		abort();
	u->sent = more;
	weft_text_fini(&line);
}

static bool has_header(const struct upstream_request *r, const char *name)
{
	for (size_t i = 0; i < r->n_headers; i++)
		if (strcasecmp(r->headers[i].name, name) == 0)
			return true;
	return false;
}

static void set_headers(struct upstream *u)
{
	// What curl would say by itself, unless it is told to leave it.
	static const char *const silent[] = {"Accept:", "Expect:", "Content-Type:", "User-Agent:"};
	const struct upstream_request *r = u->request;

	for (size_t i = 0; i < r->n_headers; i++)
		send_header(u, r->headers[i].name, r->headers[i].value);
	for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++) {
		char name[32];
		struct curl_slist *more;

		strcpy(name, silent[i]);
		name[strlen(name) - 1] = '\0';
		if (has_header(r, name))
			continue;
		more = curl_slist_append(u->sent, silent[i]);
		if (more == NULL)
			abort();
		u->sent = more;
	}
	curl_easy_setopt(u->easy, CURLOPT_HTTPHEADER, u->sent);
}

static void set_method(struct upstream *u)
{
	const struct upstream_request *r = u->request;
	bool has_body = r->body_len > 0 || strcmp(r->method, "POST") == 0 ||
			strcmp(r->method, "PUT") == 0 || strcmp(r->method, "PATCH") == 0;

	if (strcmp(r->method, "HEAD") == 0) {
		curl_easy_setopt(u->easy, CURLOPT_NOBODY, 1L);
		return;
	}
	if (has_body) {
		curl_easy_setopt(u->easy, CURLOPT_POST, 1L);
		curl_easy_setopt(u->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len);
		curl_easy_setopt(u->easy, CURLOPT_POSTFIELDS, r->body == NULL ? "" : r->body);
	}
	curl_easy_setopt(u->easy, CURLOPT_CUSTOMREQUEST, r->method);
}

static void set_options(struct upstream *u)
{
	const struct upstream_request *r = u->request;

	curl_easy_setopt(u->easy, CURLOPT_URL, r->url);
	curl_easy_setopt(u->easy, CURLOPT_REQUEST_TARGET, r->target);
	curl_easy_setopt(u->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(u->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(u->easy, CURLOPT_NOPROXY, "*"); // no environment leads it elsewhere
	curl_easy_setopt(u->easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(u->easy, CURLOPT_NOSIGNAL, 1L); // threads
	curl_easy_setopt(u->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)r->timeout_ms);
	curl_easy_setopt(u->easy, CURLOPT_ERRORBUFFER, u->error);
	curl_easy_setopt(u->easy, CURLOPT_HEADERFUNCTION, on_head);
	curl_easy_setopt(u->easy, CURLOPT_HEADERDATA, u);
	curl_easy_setopt(u->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(u->easy, CURLOPT_WRITEDATA, u);
	set_method(u);
	set_headers(u);
}

// ---- Waiting -------------------------------------------------------------------------------

static int failed(const struct upstream *u, struct err *err)
{
	const char *why = u->error[0] != '\0' ? u->error : curl_easy_strerror(u->result);

	if (u->result == CURLE_OPERATION_TIMEDOUT)
		return weft_fail(err, -ETIMEDOUT, "%s: %s", u->request->url, why);
	return weft_fail(err, -EIO, "%s: %s", u->request->url, why);
}

static void look_if_done(struct upstream *u)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(u->multi, &left)) != NULL) {
		if (m->msg == CURLMSG_DONE) {
			u->is_done = true;
			u->result = m->data.result;
		}
	}
}

static bool want_head(const struct upstream *u)
{
	return !u->has_head;
}

static bool want_body(const struct upstream *u)
{
	return u->held_len == 0;
}

// Go on as long as something is wanted and more may come.
static int go_on(struct upstream *u, bool (*wants)(const struct upstream *u), struct err *err)
{
	uint64_t end = weft_now_ms() + u->request->timeout_ms;
	int running;

	while (wants(u) && !u->is_done) {
		uint64_t now = weft_now_ms();

		if (atomic_load(u->request->stop))
			return weft_fail(err, -ECANCELED, "nobody waits for it any more");
		if (now >= end)
			return weft_fail(err, -ETIMEDOUT, "%s: no answer within %u ms",
					 u->request->url, u->request->timeout_ms);
		if (curl_multi_perform(u->multi, &running) != CURLM_OK)
			return weft_fail(err, -EIO, "%s: curl fails", u->request->url);
		look_if_done(u);
		if (!wants(u) || u->is_done)
			break;
		curl_multi_poll(u->multi, NULL, 0, end - now < LOOK_MS ? (int)(end - now) : LOOK_MS,
				NULL);
	}
	return u->is_done && u->result != CURLE_OK ? failed(u, err) : 0;
}

int weft_metadata_upstream_start(const struct upstream_request *r, struct upstream **out,
				 struct err *err)
{
	struct upstream *u = calloc(1, sizeof(*u));
	int ret;

	if (u == NULL)
		abort();
	u->request = r;
	u->easy = curl_easy_init();
	u->multi = curl_multi_init();
	if (u->easy == NULL || u->multi == NULL)
		abort();
	set_options(u);
	curl_multi_add_handle(u->multi, u->easy);
	ret = go_on(u, want_head, err);
	if (ret == 0 && !u->has_head)
		ret = weft_fail(err, -EIO, "%s: it closed without an answer", r->url);
	if (ret != 0) {
		weft_metadata_upstream_free(u);
		return ret;
	}
	*out = u;
	return 0;
}

void weft_metadata_upstream_free(struct upstream *u)
{
	curl_multi_remove_handle(u->multi, u->easy);
	curl_easy_cleanup(u->easy);
	curl_multi_cleanup(u->multi);
	curl_slist_free_all(u->sent);
	forget_head(u);
	free(u->held);
	free(u);
}

unsigned int weft_metadata_upstream_status(const struct upstream *u)
{
	return u->status;
}

const struct upstream_header *weft_metadata_upstream_headers(const struct upstream *u, size_t *n)
{
	*n = u->n_headers;
	return u->headers;
}

int64_t weft_metadata_upstream_length(const struct upstream *u)
{
	int64_t length = -1;

	for (size_t i = 0; i < u->n_headers; i++) {
		if (strcasecmp(u->headers[i].name, "Transfer-Encoding") == 0)
			return -1; // it counts, whatever else is said (RFC 9112, 6.3)
		if (strcasecmp(u->headers[i].name, "Content-Length") == 0)
			length = strtoll(u->headers[i].value, NULL, 10);
	}
	return length;
}

ssize_t weft_metadata_upstream_read(struct upstream *u, char *buf, size_t size, struct err *err)
{
	size_t n;
	int ret;

	if (u->held_len == 0 && u->is_paused) {
		u->is_paused = false;
		curl_easy_pause(u->easy, CURLPAUSE_CONT);
	}
	// What arrived before a failure is still passed on.
	if (u->held_len == 0) {
		ret = go_on(u, want_body, err);
		if (ret != 0 && u->held_len == 0)
			return ret;
	}
	n = u->held_len < size ? u->held_len : size;
	memcpy(buf, u->held, n);
	u->held_len -= n;
	memmove(u->held, u->held + n, u->held_len);
	return (ssize_t)n;
}
