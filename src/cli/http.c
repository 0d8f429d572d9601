// SPDX-License-Identifier: Apache-2.0
#include "cli/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

static size_t collect(char *data, size_t size, size_t n, void *arg)
{
	weft_text_add(arg, "%.*s", (int)(size * n), data);
	return size * n;
}

static int code_of(long status)
{
	switch (status) {
	case 400:
		return -EINVAL;
	case 401:
	case 403:
		return -EPERM;
	case 404:
		return -ENOENT;
	default:
		return -EIO;
	}
}

// The daemon's own sentence: {"error": "..."} or Neutron's form.
static const char *sentence(const json_t *answer)
{
	const json_t *neutron = json_object_get(answer, "NeutronError");
	const char *s = json_string_value(json_object_get(answer, "error"));

	return s != NULL ? s : json_string_value(json_object_get(neutron, "message"));
}

#define DEFAULT_PATH   "/run/weft/api.sock"
#define DEFAULT_SOCKET "unix:" DEFAULT_PATH
#define DEFAULT_URL    "http://127.0.0.1:9696"

static bool is_socket(const char *api)
{
	return strncmp(api, "unix:", 5) == 0;
}

static void set_target(CURL *c, const char *api, const char *path)
{
	struct text url = {0};

	// The host's name means nothing on a socket, but HTTP wants one.
	weft_text_add(&url, "%s%s", is_socket(api) ? "http://localhost" : api, path);
	curl_easy_setopt(c, CURLOPT_URL, url.s); // curl keeps a copy
	curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, is_socket(api) ? api + 5 : NULL);
	weft_text_fini(&url);
}

static bool may_not_use(const char *socket)
{
	return access(socket, W_OK) != 0 && errno == EACCES;
}

static int fail_connect(const char *api, bool is_default, struct err *err)
{
	if (!is_default && is_socket(api) && may_not_use(api + 5))
		return weft_fail(err, -EACCES, "%s is for root and its group", api + 5);
	if (is_default && may_not_use(DEFAULT_PATH))
		return weft_fail(
			err, -EACCES,
			"%s is for root and its group, and nothing answers at %s (--api or "
			"$WEFT_API say where)",
			DEFAULT_PATH, DEFAULT_URL);
	if (is_default)
		return weft_fail(
			err, -ECONNREFUSED,
			"nothing answers at %s or %s: is weftd running? (--api or $WEFT_API say "
			"where)",
			DEFAULT_PATH, DEFAULT_URL);
	return weft_fail(err, -ECONNREFUSED,
			 "nothing answers at %s: is weftd running? (--api or $WEFT_API say where)",
			 api);
}

static int perform(CURL *c, const char *api, const char *path, struct text *answer, long *status,
		   struct err *err)
{
	CURLcode rc;

	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, answer);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, 30L);
	curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
	set_target(c, api != NULL ? api : DEFAULT_SOCKET, path);
	rc = curl_easy_perform(c);
	if (rc == CURLE_COULDNT_CONNECT && api == NULL) {
		set_target(c, DEFAULT_URL, path);
		rc = curl_easy_perform(c);
	}
	if (rc == CURLE_COULDNT_CONNECT)
		return fail_connect(api, api == NULL, err);
	if (rc != CURLE_OK)
		return weft_fail(err, -EIO, "%s%s: %s", api != NULL ? api : "", path,
				 curl_easy_strerror(rc));
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, status);
	return 0;
}

static int decode(const struct text *answer, long status, const char *path, json_t **out,
		  struct err *err)
{
	json_error_t at;
	json_t *j =
		json_loadb(answer->s == NULL ? "" : answer->s, answer->len, JSON_DECODE_ANY, &at);
	const char *said = sentence(j);
	int ret = 0;

	if (status == 401)
		ret = weft_fail(
			err, code_of(status),
			"weftd asks for a token ([api] tokens) and %s: put one into $OS_TOKEN",
			getenv("OS_TOKEN") == NULL ? "none was given" : "does not know this one");
	else if (status >= 300)
		ret = weft_fail(err, code_of(status), "%s",
				said != NULL ? said
					     : "weftd refused the request without saying why");
	else if (j == NULL)
		ret = weft_fail(err, -EIO, "%s: the answer is not JSON: %s", path, at.text);
	if (ret == 0)
		*out = json_incref(j);
	json_decref(j);
	return ret;
}

int weft_http(const char *api, const char *path, const json_t *body, json_t **out, struct err *err)
{
	struct curl_slist *headers = NULL;
	struct text answer = {0};
	const char *token = getenv("OS_TOKEN");
	char *sent = body == NULL ? NULL : json_dumps(body, 0);
	CURL *c = curl_easy_init();
	long status = 0;
	int ret;

	if (c == NULL || (body != NULL && sent == NULL)) {
		free(sent);
		curl_easy_cleanup(c);
		return weft_fail(err, -ENOMEM, "out of memory");
	}
	headers = curl_slist_append(headers, "Content-Type: application/json");
	if (token != NULL) {
		struct text h = {0};

		weft_text_add(&h, "X-Auth-Token: %s", token);
		headers = curl_slist_append(headers, h.s);
		weft_text_fini(&h);
	}
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	if (sent != NULL)
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, sent);
	ret = perform(c, api, path, &answer, &status, err);
	if (ret == 0)
		ret = decode(&answer, status, path, out, err);
	curl_slist_free_all(headers);
	curl_easy_cleanup(c);
	weft_text_fini(&answer);
	free(sent);
	return ret;
}

char *weft_http_escape(const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, 0);
	char *copy = escaped == NULL ? NULL : strdup(escaped);

	curl_free(escaped);
	if (copy == NULL)
		abort();
	return copy;
}
