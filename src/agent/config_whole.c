// SPDX-License-Identifier: Apache-2.0
// What is wrong with a configuration as a whole, line by line as it may be.
#include "agent/config_priv.h"

#include <errno.h>
#include <string.h>

#include "agent/config_keys.h"
#include "metadata/metadata_upstream.h"

static bool is_loopback(const struct ip_addr *ip)
{
	static const struct ip_addr loopback6 = {.family = 6, .b = {[15] = 1}};

	return ip->family == 4 ? ip->b[0] == 127 : weft_ip_equal(ip, &loopback6);
}

static size_t *line_of(const struct place *at, size_t offset)
{
	size_t i = 0;

	while (weft_config_keys[i].offset != offset)
		i++;
	return &at->seen[i];
}

// What no key can tell by itself: one check each, so that all can be told at once.

static int check_later(struct place *at)
{
	const struct config *c = at->config;

	at->line = *line_of(at, offsetof(struct config, endpoints));
	if (c->endpoints[0] != '\0')
		return weft_config_fail(
			at, "endpoints: the etcd store comes later and is not built in this "
			    "version");
	at->line = *line_of(at, offsetof(struct config, local_ip));
	if (at->line == 0)
		at->line = *line_of(at, offsetof(struct config, tunnel_device));
	if (c->local_ip[0] != '\0' || c->tunnel_device[0] != '\0')
		return weft_config_fail(at, "tunnels come later and are not built in this version");
	return 0;
}

static int check_vhostuser_group(struct place *at)
{
	gid_t group;

	at->line = *line_of(at, offsetof(struct config, vhostuser_group));
	if (weft_config_group(at->config->vhostuser_group, &group) < 0)
		return weft_config_fail(at, "vhostuser_group = %s: there is no such group",
					at->config->vhostuser_group);
	return 0;
}

// The default need not be there.
static int check_socket_group(struct place *at)
{
	const char *name = at->config->socket_group;
	gid_t group;

	at->line = *line_of(at, offsetof(struct config, socket_group));
	if (strcmp(name, "weft") != 0 && weft_config_group(name, &group) < 0)
		return weft_config_fail(at, "socket_group = %s: there is no such group", name);
	return 0;
}

static int check_metadata(struct place *at)
{
	const char *url = at->config->metadata_url;
	struct err bad;

	at->line = *line_of(at, offsetof(struct config, metadata_url));
	if (url[0] != '\0' && weft_metadata_url_split(url, NULL, NULL, &bad) != 0)
		return weft_config_fail(at, "%.400s", bad.msg);
	return 0;
}

static int check_tokens(struct place *at)
{
	at->line = *line_of(at, offsetof(struct config, auth));
	if (at->config->auth == API_AUTH_TOKEN && at->config->tokens[0] == '\0')
		return weft_config_fail(at, "auth = token needs tokens = FILE");
	return 0;
}

static int check_tls(struct place *at)
{
	at->line = *line_of(at, offsetof(struct config, tls_cert));
	if ((at->config->tls_cert[0] == '\0') != (at->config->tls_key[0] == '\0'))
		return weft_config_fail(at, "TLS needs both tls_cert and tls_key");
	return 0;
}

static int check_listen(struct place *at)
{
	const struct config *c = at->config;
	struct ip_addr ip = {0};

	at->line = *line_of(at, offsetof(struct config, listen));
	if (strcmp(c->listen, "none") != 0 && weft_config_split_listen(c->listen, &ip) &&
	    !is_loopback(&ip) && (c->auth != API_AUTH_TOKEN || c->tls_cert[0] == '\0'))
		return weft_config_fail(
			at,
			"listen = %s is not a loopback address: it needs auth = token, "
			"tls_cert and tls_key",
			c->listen);
	return 0;
}

// An empty host means the default, which is not in the table.
static int check_host(struct place *at)
{
	at->line = *line_of(at, offsetof(struct config, host));
	if (at->config->host[0] == '\0')
		return weft_config_fail(at, "host is empty: leave the key out for the host's name");
	return 0;
}

int weft_config_whole(struct place *at)
{
	static int (*const checks[])(struct place * at) = {
		check_later,	    check_vhostuser_group,
		check_socket_group, check_metadata,
		check_tokens,	    check_tls,
		check_listen,	    check_host,
	};
	int ret = 0;

	for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
		if (ret == 0 || at->complain != NULL)
			ret = checks[i](at) != 0 ? -EINVAL : ret;
	}
	return ret;
}
