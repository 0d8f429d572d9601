// SPDX-License-Identifier: Apache-2.0
#include "north/api/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "north/api/api.h"

#define BACKLOG 256

union sockaddr_any {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

int weft_listen_parse(const char *text, struct listen_addr *out, struct err *err)
{
	const char *colon = strrchr(text, ':');
	struct listen_addr a = {0};
	char host[WEFT_IP_STRLEN + 2] = "";
	char *end;

	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		goto bad;
	memcpy(host, text, (size_t)(colon - text));
	char *name = host;
	size_t len = strlen(host);
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		name++;
	} else if (strchr(host, ':')) {
		goto bad; // an IPv6 address without brackets: where would its port begin?
	}
	if (strcmp(name, "localhost") == 0)
		name = strcpy(host, "127.0.0.1");
	errno = 0;
	long port = strtol(colon + 1, &end, 10);
	if (weft_ip_parse(name, &a.ip) < 0 || end == colon + 1 || *end || errno || port < 0 ||
	    port > UINT16_MAX)
		goto bad;
	a.port = (uint16_t)port;
	*out = a;
	return 0;

bad:
	return weft_fail(
		err, -EINVAL,
		"[api] listen = %s: expected ADDRESS:PORT, such as 127.0.0.1:9696 or [::1]:9696",
		text);
}

bool weft_listen_is_none(const char *text)
{
	return strcmp(text, "none") == 0;
}

bool weft_listen_is_loopback(const struct listen_addr *a)
{
	static const struct ip_addr v6 = {.family = 6, .b = {[15] = 1}};

	if (a->ip.family == 4)
		return a->ip.b[0] == 127;
	return weft_ip_equal(&a->ip, &v6);
}

static bool is_set(const char *text)
{
	return text && *text;
}

int weft_api_check(const struct api_config *config, struct err *err)
{
	struct listen_addr a;
	int ret = 0;

	if (!weft_listen_is_none(config->listen))
		ret = weft_listen_parse(config->listen, &a, err);
	else if (!is_set(config->socket))
		ret = weft_fail(err, -EINVAL,
				"[api] listen = none and no socket: nobody could use the API");
	if (ret < 0)
		return ret;
	if (is_set(config->tls_cert) != is_set(config->tls_key))
		return weft_fail(err, -EINVAL, "[api] tls_cert and tls_key: set both or neither");
	if (config->auth == API_AUTH_TOKEN && !is_set(config->tokens))
		return weft_fail(err, -EINVAL, "[api] auth = token needs tokens = FILE");
	if (weft_listen_is_none(config->listen) || weft_listen_is_loopback(&a))
		return 0;
	if (config->auth == API_AUTH_NONE)
		return weft_fail(
			err, -EINVAL,
			"[api] listen = %s is not a loopback address, and auth = none would let anybody in: set auth = token, tokens, tls_cert and tls_key, or listen on loopback",
			config->listen);
	if (!is_set(config->tls_cert))
		return weft_fail(
			err, -EINVAL,
			"[api] listen = %s is not a loopback address, and tokens would cross the network in clear: set tls_cert and tls_key, or listen on loopback",
			config->listen);
	return 0;
}

static socklen_t to_sockaddr(const struct listen_addr *a, union sockaddr_any *out)
{
	*out = (union sockaddr_any) {0};
	if (a->ip.family == 4) {
		out->v4.sin_family = AF_INET;
		out->v4.sin_port = htons(a->port);
		memcpy(&out->v4.sin_addr, a->ip.b, 4);
		return sizeof(out->v4);
	}
	out->v6.sin6_family = AF_INET6;
	out->v6.sin6_port = htons(a->port);
	memcpy(&out->v6.sin6_addr, a->ip.b, 16);
	return sizeof(out->v6);
}

static int bind_fail(const char *text, int error, struct err *err)
{
	switch (error) {
	case EADDRINUSE:
		return weft_fail(
			err, -error,
			"the API cannot listen on %s: the address is in use by another process (is weftd already running?)",
			text);
	case EADDRNOTAVAIL:
		return weft_fail(err, -error,
				 "the API cannot listen on %s: this host has no such address",
				 text);
	default:
		return weft_fail(err, -error, "the API cannot listen on %s: %s", text,
				 strerror(error));
	}
}

int weft_listen_open(const struct listen_addr *a, const char *text, int *fd, uint16_t *port,
		     struct err *err)
{
	union sockaddr_any addr;
	socklen_t len = to_sockaddr(a, &addr);
	int on = 1;

	int s = socket(addr.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s < 0)
		return bind_fail(text, errno, err);
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (addr.sa.sa_family == AF_INET6)
		setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(s, &addr.sa, len) < 0 || listen(s, BACKLOG) < 0 ||
	    getsockname(s, &addr.sa, &len) < 0) {
		int ret = bind_fail(text, errno, err);
		close(s);
		return ret;
	}
	*port = ntohs(addr.sa.sa_family == AF_INET ? addr.v4.sin_port : addr.v6.sin6_port);
	*fd = s;
	return 0;
}

// Does somebody answer there? A socket's file outlives who made it.
static bool is_served(const struct sockaddr_un *at)
{
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool served = s >= 0 && (connect(s, (const struct sockaddr *)at, sizeof(*at)) == 0 ||
				 errno == EAGAIN);

	if (s >= 0)
		close(s);
	return served;
}

static int fail_unix(const char *path, int error, struct err *err)
{
	return weft_fail(err, -error, "[api] the socket %s cannot be made: %s", path,
			 strerror(error));
}

// It is made in our own name and then given to the group, so that nobody can open it in between.
static int bind_unix(int s, const struct sockaddr_un *at, gid_t group)
{
	mode_t mask = umask(0177);
	int ret = bind(s, (const struct sockaddr *)at, sizeof(*at)) < 0 ? -errno : 0;

	umask(mask);
	if (ret == 0 && group != (gid_t)-1 &&
	    (chown(at->sun_path, (uid_t)-1, group) < 0 || chmod(at->sun_path, 0660) < 0))
		ret = -errno;
	if (ret == 0 && listen(s, BACKLOG) < 0)
		ret = -errno;
	return ret;
}

int weft_listen_open_unix(const char *path, gid_t group, int *fd, struct err *err)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct stat st;

	if (strlen(path) >= sizeof(at.sun_path))
		return weft_fail(err, -ENAMETOOLONG,
				 "[api] socket = %s: the path has more than %zu characters", path,
				 sizeof(at.sun_path) - 1);
	strcpy(at.sun_path, path);
	if (lstat(path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return weft_fail(err, -EEXIST, "[api] socket = %s: there is something else",
					 path);
		if (is_served(&at))
			return weft_fail(err, -EADDRINUSE,
					 "[api] socket = %s is in use by another process (is weftd "
					 "already running?)",
					 path);
		unlink(path);
	}
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s < 0)
		return fail_unix(path, errno, err);
	int ret = bind_unix(s, &at, group);
	if (ret < 0) {
		close(s);
		return fail_unix(path, -ret, err);
	}
	*fd = s;
	return 0;
}
