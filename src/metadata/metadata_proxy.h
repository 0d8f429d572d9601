// SPDX-License-Identifier: Apache-2.0
// Proxy: the HTTP server that VMs reach at 169.254.169.254.
//
// A request goes to the configured server as it came, method, path and query unchanged, save that
// headers of one connection only are left out and that those which say who asks are ours
// (metadata_headers.h). The answer comes back in the same way, piece by piece. What cannot be
// answered gets a sentence: 404 nobody is known by this port, 405 and 400 what is no such
// request, 413 and 431 too large, 502 no server, 503 too many at once, 504 no answer in time.
//
// Each connection has a thread of its own, so that a VM that is slow, or a server that is, holds
// up nobody else. One port may have so many connections, all together so many; how they share
// these, and how long one may take, is metadata_clients.h's.
//
// Threads    start, stop, show, metrics: the control thread
// Ownership  takes the listening socket, even when it fails
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "metadata/metadata_clients.h"
#include "metadata/metadata_directory.h"
#include "metadata/metadata_headers.h"
#include "base/err.h"
#include "base/text.h"

#define METADATA_CONNECTIONS	  512
#define METADATA_PORT_CONNECTIONS 32
#define METADATA_PORT_REQUESTS	  16
#define METADATA_REQUEST_MS	  10000	 // until a whole request is there
#define METADATA_KEEP_MS	  60000	 // older ones are closed with their next answer
#define METADATA_CONNECTION_MS	  300000 // with all its requests and answers
#define METADATA_BODY_MAX	  (1u << 20)
#define METADATA_HEAD_MAX	  (64u << 10)

struct metadata_proxy_config {
	int listen_fd;
	const char *url;
	struct metadata_secret secret;
	uint32_t timeout_s;
	struct metadata_limits limits;
	struct metadata_directory *directory; // lives longer
};

struct metadata_proxy;

int weft_metadata_proxy_start(const struct metadata_proxy_config *config,
			      struct metadata_proxy **out, struct err *err);
// Requests under way are given up.
void weft_metadata_proxy_stop(struct metadata_proxy *p);

// Adds counters, and the latest failure, to an object.
void weft_metadata_proxy_show(struct metadata_proxy *p, json_t *o);
void weft_metadata_proxy_metrics(struct metadata_proxy *p, struct text *out);
