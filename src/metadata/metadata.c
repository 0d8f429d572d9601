// SPDX-License-Identifier: Apache-2.0
#include "metadata/metadata.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "metadata/metadata_directory.h"
#include "metadata/metadata_headers.h"
#include "metadata/metadata_netns.h"
#include "metadata/metadata_proxy.h"
#include "metadata/metadata_upstream.h"
#include "base/log.h"

struct metadata {
	struct metadata_config config;
	const struct datapath_ops *ops;
	struct datapath *dp;
	int netns; // -1 = none
	struct metadata_directory *directory;
	struct metadata_proxy *proxy; // NULL = it does not run
	bool is_signed;
	char reason[WEFT_ERR_MAX]; // why
};

static int source_of(void *arg, const char *port_id, struct ip_addr *out)
{
	const struct metadata *m = arg;

	return m->ops->metadata_source(m->dp, port_id, out);
}

// The datapath comes last: before, nobody can reach what does not run.
static int run(struct metadata *m, const struct metadata_secret *secret, struct err *err)
{
	struct metadata_proxy_config proxy = {
		.url = m->config.url,
		.secret = *secret,
		.timeout_s = m->config.timeout_s,
		.limits = {.connections = METADATA_CONNECTIONS,
			   .port_requests = METADATA_PORT_REQUESTS,
			   .request_ms = METADATA_REQUEST_MS,
			   // Whatever the server may take for an answer's head fits in.
			   .connection_ms = METADATA_CONNECTION_MS + m->config.timeout_s * 1000},
	};
	struct datapath_metadata way = {.ifname = METADATA_IFNAME};
	struct metadata_netns there;
	int ret;

	if (m->ops->metadata_open == NULL)
		return weft_fail(err, -ENOTSUP, "the datapath %s has no way there", m->ops->name);
	ret = weft_metadata_netns_open(&there, err);
	if (ret != 0)
		return ret;
	m->netns = there.fd;
	m->directory = weft_metadata_directory_new(source_of, m);
	proxy.listen_fd = there.listen_fd;
	proxy.directory = m->directory;
	ret = weft_metadata_proxy_start(&proxy, &m->proxy, err);
	if (ret != 0)
		return ret;
	way.netns = there.fd;
	way.here = there.here;
	way.there = there.there;
	return m->ops->metadata_open(m->dp, &way, err);
}

static void stop(struct metadata *m)
{
	if (m->proxy != NULL)
		weft_metadata_proxy_stop(m->proxy);
	weft_metadata_directory_free(m->directory);
	if (m->netns >= 0)
		close(m->netns);
	m->proxy = NULL;
	m->directory = NULL;
	m->netns = -1;
}

int weft_metadata_check(const struct metadata_config *config, struct err *err)
{
	struct metadata_secret secret;
	int ret = weft_metadata_secret_read(config->shared_secret_file, &secret, err);

	explicit_bzero(&secret, sizeof(secret));
	return ret;
}

int weft_metadata_start(const struct metadata_config *config, const struct datapath_ops *ops,
			struct datapath *dp, struct metadata **out, struct err *err)
{
	struct metadata_secret secret = {0};
	struct err why = {0};
	struct metadata *m;
	int ret = weft_metadata_secret_read(config->shared_secret_file, &secret, err);

	if (ret != 0)
		return ret;
	m = calloc(1, sizeof(*m));
	if (m == NULL)
		abort();
	*m = (struct metadata) {.config = *config, .ops = ops, .dp = dp, .netns = -1};
	m->is_signed = secret.len > 0;
	*out = m;
	if (config->url[0] == '\0')
		return 0;
	weft_metadata_upstream_init();
	if (run(m, &secret, &why) != 0) {
		stop(m);
		memcpy(m->reason, why.msg, sizeof(m->reason));
		weft_log_warning("the metadata service does not run: %s", m->reason);
	}
	explicit_bzero(&secret, sizeof(secret));
	return 0;
}

void weft_metadata_stop(struct metadata *m)
{
	if (m == NULL)
		return;
	stop(m);
	free(m);
}

void weft_metadata_plan_changed(struct metadata *m, const struct plan_batch *batch)
{
	if (m != NULL && m->directory != NULL)
		weft_metadata_directory_apply(m->directory, batch);
}

json_t *weft_metadata_show(const struct metadata *m)
{
	bool configured = m != NULL && m->config.url[0] != '\0';
	json_t *o = json_pack("{s:b,s:b,s:s,s:s,s:b}", "configured", configured, "running",
			      configured && m->proxy != NULL, "reason",
			      !configured ? "[metadata] url is not set" : m->reason, "url",
			      configured ? m->config.url : "", "signed",
			      configured && m->is_signed);

	if (configured && m->proxy != NULL)
		weft_metadata_proxy_show(m->proxy, o);
	return o;
}

void weft_metadata_metrics(const struct metadata *m, struct text *out)
{
	if (m != NULL && m->proxy != NULL)
		weft_metadata_proxy_metrics(m->proxy, out);
}
