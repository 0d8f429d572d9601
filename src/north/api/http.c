// SPDX-License-Identifier: Apache-2.0
// The API as a whole: what is served where.
#include "north/api/api.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "north/api/listen.h"
#include "north/api/request.h"
#include "north/api/server.h"
#include "north/api/tls.h"

#define TCP_CONNECTIONS	  1000
#define LOCAL_CONNECTIONS 64

struct api {
	struct api_core core;
	struct http_server tcp, local;
	uint16_t port;
	struct tls_files tls;
	char *listen, *socket;
};

DEFINE_AUTO(api, struct api *, weft_api_stop)

// Ports need descriptors too: clients may not take more than a quarter of what this process can
// have.
static unsigned connections_max(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur / 4 > TCP_CONNECTIONS)
		return TCP_CONNECTIONS;
	return files.rlim_cur < 16 ? 4 : (unsigned)(files.rlim_cur / 4);
}

static bool is_set(const char *text)
{
	return text != NULL && *text != '\0';
}

static int serve_tcp(struct api *a, struct event_base *loop, struct err *err)
{
	unsigned max = connections_max();
	struct listen_addr addr;
	int fd, ret;

	ret = weft_listen_parse(a->listen, &addr, err);
	if (ret == 0)
		ret = weft_listen_open(&addr, a->listen, &fd, &a->port, err);
	if (ret < 0)
		return ret;
	if (a->core.auth == API_AUTH_NONE)
		weft_log_warning(
			"auth = none: every user of this host is an administrator of the API on %s; to "
			"change that set auth = token, or listen = none and use %s",
			a->listen, a->socket ? a->socket : "a socket");
	a->tcp.core = &a->core;
	a->tcp.loop = loop;
	a->tcp.name = a->listen;
	a->tcp.hint = a->tls.cert ? " with this tls_cert and tls_key" : "";
	return weft_server_start(&a->tcp, fd, max, max / 4, &a->tls, err);
}

static int serve_local(struct api *a, gid_t group, struct event_base *loop, struct err *err)
{
	int fd;
	int ret = weft_listen_open_unix(a->socket, group, &fd, err);

	if (ret < 0)
		return ret;
	a->local.core = &a->core;
	a->local.loop = loop;
	a->local.name = a->socket;
	a->local.is_local = true;
	return weft_server_start(&a->local, fd, LOCAL_CONNECTIONS, LOCAL_CONNECTIONS / 2, NULL,
				 err);
}

static int load(const struct api_config *config, struct tokens **tokens, struct tls_files *tls,
		struct err *err)
{
	int ret = weft_api_check(config, err);

	if (ret == 0 && config->auth == API_AUTH_TOKEN)
		ret = weft_tokens_open(config->tokens, tokens, err);
	if (ret == 0 && is_set(config->tls_cert)) {
		if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
			return weft_fail(
				err, -ENOTSUP,
				"[api] tls_cert: this libmicrohttpd was built without TLS");
		ret = weft_tls_load(config->tls_cert, config->tls_key, tls, err);
	}
	return ret;
}

int weft_api_start(const struct api_config *config, struct model *m, const struct api_hooks *hooks,
		   struct event_base *loop, struct api **out, struct err *err)
{
	weft_auto(api) a = calloc(1, sizeof(*a));

	if (a == NULL)
		return weft_fail(err, -ENOMEM, "the API cannot be served: out of memory");
	a->core = (struct api_core) {.model = m, .hooks = *hooks, .auth = config->auth};
	a->tcp.fd = a->local.fd = -1;
	a->listen = strdup(config->listen);
	a->socket = is_set(config->socket) ? strdup(config->socket) : NULL;

	signal(SIGPIPE, SIG_IGN);
	int ret = load(config, &a->core.tokens, &a->tls, err);
	if (ret == 0 && !weft_listen_is_none(a->listen))
		ret = serve_tcp(a, loop, err);
	if (ret == 0 && a->socket != NULL)
		ret = serve_local(a, config->socket_group, loop, err);
	if (ret < 0)
		return ret;
	*out = weft_take(a);
	return 0;
}

int weft_api_reload(struct api *a, const struct api_config *config, struct err *err)
{
	struct api_config next = *config;
	struct tokens *tokens = NULL;
	struct tls_files tls = {0};

	// What cannot change is as it was.
	next.listen = a->listen;
	next.socket = a->socket;
	next.auth = a->core.auth;
	int ret = load(&next, &tokens, &tls, err);
	if (ret == 0 && a->tcp.fd >= 0 && (tls.cert != NULL || a->tls.cert != NULL))
		ret = weft_server_renew(&a->tcp, &tls, err);
	if (ret < 0) {
		weft_tokens_close(tokens);
		weft_tls_fini(&tls);
		return ret;
	}
	weft_tokens_close(a->core.tokens);
	weft_tls_fini(&a->tls);
	a->core.tokens = tokens;
	a->tls = tls;
	return 0;
}

void weft_api_stop(struct api *a)
{
	if (a == NULL)
		return;
	weft_server_stop(&a->tcp);
	if (a->local.fd >= 0)
		unlink(a->socket);
	weft_server_stop(&a->local);
	weft_tokens_close(a->core.tokens);
	weft_tls_fini(&a->tls);
	free(a->listen);
	free(a->socket);
	free(a);
}

uint16_t weft_api_port(const struct api *a)
{
	return a->port;
}
