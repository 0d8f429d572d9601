// SPDX-License-Identifier: Apache-2.0
#include "metadata/metadata_proxy.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "metadata/metadata_proxy_priv.h"
#include "base/log.h"

#define STACK_SIZE  (1u << 20)
#define LOOK_MS	    250 // how often to look who is too slow
// How many that have to end may still be there beside those who have a place.
#define ENDING	    64
#define LOG_EACH_MS 10000
// What one connection holds of them: itself, the one to the server, and two that curl wakes
// itself with.
#define DESCRIPTORS 4

static const struct {
	const char *word, *sentence;
} counts[COUNT_COUNT] = {
#define COUNT(name, word, sentence) [COUNT_##name] = {word, sentence},
	METADATA_COUNTS(COUNT)
#undef COUNT
};

// ---- Who and how many ----------------------------------------------------------------------

void weft_metadata_failed(struct metadata_proxy *p, const char *port_id, const char *why)
{
	uint64_t now = weft_now_ms();
	bool tell;

	pthread_mutex_lock(&p->lock);
	p->failed_ms = now;
	snprintf(p->failure, sizeof(p->failure), "%s", why);
	tell = p->logged_ms == 0 || now - p->logged_ms >= LOG_EACH_MS;
	if (tell)
		p->logged_ms = now;
	pthread_mutex_unlock(&p->lock);
	if (tell)
		weft_log_warning("metadata: a request of port %s failed: %s", port_id, why);
}

static struct in_addr source_of(const struct sockaddr *from)
{
	return from->sa_family == AF_INET ? ((const struct sockaddr_in *)from)->sin_addr
					  : (struct in_addr) {0};
}

static enum MHD_Result on_accept(void *arg, const struct sockaddr *from, socklen_t len)
{
	struct metadata_proxy *p = arg;
	struct metadata_who who;
	bool gave_way, ok;

	(void)len;
	if (!weft_metadata_directory_find(p->directory, source_of(from), &who)) {
		metadata_count(p, COUNT_UNKNOWN);
		return MHD_NO;
	}
	ok = weft_metadata_clients_admit(p->clients, source_of(from), &gave_way);
	if (gave_way)
		metadata_count(p, COUNT_GAVE_WAY);
	if (!ok)
		metadata_count(p, COUNT_FULL);
	return ok ? MHD_YES : MHD_NO;
}

static void count_open(struct metadata_proxy *p, int change)
{
	pthread_mutex_lock(&p->lock);
	p->n_open += (size_t)change;
	if (p->n_open == 1)
		pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
}

static void on_connection(void *arg, struct MHD_Connection *c, void **socket_context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct metadata_proxy *p = arg;
	const union MHD_ConnectionInfo *info;
	struct metadata_who who = {0};
	struct in_addr source;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		weft_metadata_client_close(p->clients, *socket_context);
		*socket_context = NULL;
		count_open(p, -1);
		return;
	}
	info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	source = source_of(info->client_addr);
	weft_metadata_directory_find(p->directory, source, &who);
	info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	*socket_context = weft_metadata_client_open(p->clients, source, who.serial,
						    info->connect_fd, weft_now_ms());
	count_open(p, 1);
}

static void *watch(void *arg)
{
	struct metadata_proxy *p = arg;
	struct timespec at;

	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		if (p->n_open == 0) {
			pthread_cond_wait(&p->wake, &p->lock);
			continue;
		}
		atomic_fetch_add_explicit(&p->counts[COUNT_SLOW],
					  weft_metadata_clients_expire(p->clients, weft_now_ms()),
					  memory_order_relaxed);
		clock_gettime(CLOCK_MONOTONIC, &at);
		at.tv_nsec += LOOK_MS * 1000000L;
		at.tv_sec += at.tv_nsec / 1000000000L;
		at.tv_nsec %= 1000000000L;
		pthread_cond_timedwait(&p->wake, &p->lock, &at);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

// ---- Start and stop ------------------------------------------------------------------------

__attribute__((format(printf, 2, 0))) static void on_complaint(void *arg, const char *fmt,
							       va_list args)
{
	char text[256];

	(void)arg;
	vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = '\0';
	weft_log_debug("metadata: %s", text);
}

// Ports need descriptors too.
static unsigned int connections_max(unsigned int wanted)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur / 4 / DESCRIPTORS > wanted)
		return wanted;
	return (unsigned int)(files.rlim_cur / 4 / DESCRIPTORS);
}

static int start_daemon(struct metadata_proxy *p, int listen_fd, unsigned int connections,
			struct err *err)
{
	const unsigned int flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
				   MHD_USE_POLL | MHD_USE_ITC | MHD_USE_ERROR_LOG;
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); // signals are the control thread's
	// The logger comes first, so that it hears of the others.
	p->daemon = MHD_start_daemon(
		flags, 0, on_accept, p, weft_metadata_request_on, p, MHD_OPTION_EXTERNAL_LOGGER,
		on_complaint, p, MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_URI_LOG_CALLBACK,
		weft_metadata_request_new, p, MHD_OPTION_NOTIFY_COMPLETED,
		weft_metadata_request_done, p, MHD_OPTION_NOTIFY_CONNECTION, on_connection, p,
		MHD_OPTION_CONNECTION_LIMIT, connections + ENDING,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned int)METADATA_PORT_CONNECTIONS,
		// It also runs while the server is waited for.
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)(p->timeout_ms / 1000 + 10),
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)(METADATA_HEAD_MAX + (32u << 10)),
		MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_SIZE, MHD_OPTION_END);
	if (p->daemon != NULL && pthread_create(&p->watch, NULL, watch, p) != 0)
		abort();
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return p->daemon != NULL ? 0
				 : weft_fail(err, -EIO, "the HTTP server cannot be started: %s",
					     strerror(errno));
}

static void stop_watch(struct metadata_proxy *p)
{
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->watch, NULL);
}

static void proxy_free(struct metadata_proxy *p)
{
	weft_metadata_clients_free(p->clients);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p->server);
	free(p->prefix);
	explicit_bzero(&p->secret, sizeof(p->secret));
	free(p);
}

int weft_metadata_proxy_start(const struct metadata_proxy_config *config,
			      struct metadata_proxy **out, struct err *err)
{
	struct metadata_proxy *p = calloc(1, sizeof(*p));
	struct metadata_limits limits = config->limits;
	pthread_condattr_t monotonic;
	int ret;

	if (p == NULL)
		abort();
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&p->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	limits.connections = connections_max(limits.connections);
	p->clients = weft_metadata_clients_new(&limits);
	p->directory = config->directory;
	p->secret = config->secret;
	p->timeout_ms = config->timeout_s * 1000;
	ret = weft_metadata_url_split(config->url, &p->server, &p->prefix, err);
	if (ret == 0)
		ret = start_daemon(p, config->listen_fd, limits.connections, err);
	if (ret != 0) {
		close(config->listen_fd);
		proxy_free(p);
		return ret;
	}
	*out = p;
	return 0;
}

void weft_metadata_proxy_stop(struct metadata_proxy *p)
{
	weft_metadata_clients_end(p->clients);
	MHD_stop_daemon(p->daemon); // waits for its threads, closes the socket
	stop_watch(p);
	proxy_free(p);
}

// ---- Views ---------------------------------------------------------------------------------

void weft_metadata_proxy_show(struct metadata_proxy *p, json_t *o)
{
	json_t *list = json_array();

	for (int i = 0; i < COUNT_COUNT; i++)
		json_array_append_new(list,
				      json_pack("{s:s,s:I,s:s}", "what", counts[i].word, "count",
						(json_int_t)atomic_load(&p->counts[i]), "sentence",
						counts[i].sentence));
	json_object_set_new(o, "counts", list);
	pthread_mutex_lock(&p->lock);
	if (p->failed_ms != 0) {
		json_object_set_new(o, "last_failure", json_string(p->failure));
		json_object_set_new(o, "last_failure_ago_ms",
				    json_integer((json_int_t)(weft_now_ms() - p->failed_ms)));
	}
	pthread_mutex_unlock(&p->lock);
}

void weft_metadata_proxy_metrics(struct metadata_proxy *p, struct text *out)
{
	weft_text_add(out, "# HELP weft_metadata_total Requests for metadata, by outcome.\n"
			   "# TYPE weft_metadata_total counter\n");
	for (int i = 0; i < COUNT_COUNT; i++)
		weft_text_add(out, "weft_metadata_total{what=\"%s\"} %llu\n", counts[i].word,
			      (unsigned long long)atomic_load(&p->counts[i]));
}
