// SPDX-License-Identifier: Apache-2.0
// What metadata_proxy.c (the server, its connections, counters) and metadata_request.c (one
// request) share.
#pragma once

#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#include "metadata/metadata_proxy.h"
#include "metadata/metadata_upstream.h"

// What is counted: COUNT(name, word, sentence for an operator).
#define METADATA_COUNTS(COUNT)                                                                   \
	COUNT(REQUESTS, "requests", "Requests of VMs.")                                          \
	COUNT(ANSWERED, "answered", "Answered by the metadata server, whatever its answer.")     \
	COUNT(FORBIDDEN, "forbidden", "Of these, with 403: the shared secrets may differ.")      \
	COUNT(UNREACHABLE, "unreachable", "The metadata server could not be reached (502).")     \
	COUNT(TIMEOUT, "timeout", "The metadata server did not answer in time (504).")           \
	COUNT(CUT, "cut-short", "The metadata server's answer broke off.")                       \
	COUNT(UNKNOWN, "unknown-port",                                                           \
	      "Asked through a port that is gone, or has no IPv4 address or no instance (404).") \
	COUNT(BUSY, "busy", "Too many requests of one port at once (503).")                      \
	COUNT(SLOW, "too-slow",                                                                  \
	      "Connections ended: no whole request in 10 s, or not over in five minutes.")       \
	COUNT(GAVE_WAY, "gave-way",                                                              \
	      "Connections ended for one of another port: all places were taken.")               \
	COUNT(FULL, "full", "Connections refused: all places were taken by ports with as few.")  \
	COUNT(BAD, "bad-request", "No request that is carried: too large, malformed (4xx).")

enum metadata_count {
#define COUNT(name, word, sentence) COUNT_##name,
	METADATA_COUNTS(COUNT)
#undef COUNT
		COUNT_COUNT
};

struct metadata_proxy {
	struct MHD_Daemon *daemon;
	struct metadata_directory *directory;
	struct metadata_clients *clients;
	pthread_t watch; // for those who are too slow
	struct metadata_secret secret;
	char *server, *prefix; // of the URL
	uint32_t timeout_ms;
	_Atomic uint64_t counts[COUNT_COUNT];
	pthread_mutex_t lock; // of what follows
	bool stop;
	size_t n_open;		       // connections
	pthread_cond_t wake;	       // of the watch: stop, or the first connection
	uint64_t failed_ms, logged_ms; // 0 = never
	char failure[WEFT_ERR_MAX];
};

static inline void metadata_count(struct metadata_proxy *p, enum metadata_count what)
{
	atomic_fetch_add_explicit(&p->counts[what], 1, memory_order_relaxed);
}

// A request failed for the server's sake: remember why, and tell the log if it was not told lately.
void weft_metadata_failed(struct metadata_proxy *p, const char *port_id, const char *why);

// libmicrohttpd's callbacks for a request; the argument is the struct metadata_proxy.
void *weft_metadata_request_new(void *arg, const char *uri, struct MHD_Connection *c);
enum MHD_Result weft_metadata_request_on(void *arg, struct MHD_Connection *c, const char *url,
					 const char *method, const char *version, const char *data,
					 size_t *data_len, void **state);
void weft_metadata_request_done(void *arg, struct MHD_Connection *c, void **state,
				enum MHD_RequestTerminationCode how);
