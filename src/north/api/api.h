// SPDX-License-Identifier: Apache-2.0
// API: Neutron v2.0 over HTTP(S), the operator's REST under /weft/v1, and /metrics.
//
// It is served on a TCP address, for Neutron's clients, and on a unix socket, for the operator:
// who may open the socket (root, and the members of a group) is an administrator, and nobody who
// can only reach the TCP address can keep him out.
//
// libmicrohttpd is polled from the control loop (libevent), so a request runs on the control
// thread and sees a model that nobody else is changing. A request that changes something is one
// transaction: model -> store -> agent (plan and datapath) -> answer. The API knows the model;
// what happens after the commit is the agent's business and reached through `struct api_hooks`.
//
// Threads    one (the control thread)
#pragma once

#include <jansson.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/text.h"
#include "model/model.h"

struct event_base;
struct api;

enum api_auth { API_AUTH_NONE, API_AUTH_TOKEN };

struct api_config {
	const char *listen; // "127.0.0.1:9696", "[::1]:9696"; "none": the socket only
	const char *socket; // path; NULL: none
	gid_t socket_group; // that may use it, besides our own user; -1: none
	enum api_auth auth;
	const char *tokens; // file of "token project role[,role]"
	const char *tls_cert, *tls_key;
};

// What the API asks of the agent.
struct api_hooks {
	void *arg;

	// Store the transaction's changes, commit it and carry them to the datapath. On failure
	// nothing is stored and the transaction is still open (the caller aborts it).
	// -EINPROGRESS: whether it is stored is not known, so the request gets no answer; its
	// connection ends.
	int (*commit)(void *arg, struct txn *t, struct err *err);

	// GET /v2.0/agents: a new array of agent objects.
	json_t *(*agents)(void *arg);

	// Operator's REST. path is what follows "/weft/v1/" ("ports", "ports/ID", "trace"...),
	// query its arguments as a flat object of strings, body the parsed POST body or NULL.
	// *out: new reference. -ENOENT: 404, -EINVAL: 400.
	int (*operate)(void *arg, const char *method, const char *path, const json_t *query,
		       const json_t *body, json_t **out, struct err *err);

	void (*metrics)(void *arg, struct text *out); // GET /metrics
};

// What `weftd --check-config` can tell: is this address, authentication and TLS a combination to
// serve? Looks at the configuration only, and opens nothing.
int weft_api_check(const struct api_config *config, struct err *err);

// Starts listening. From here on a broken connection is an error of its socket, not a signal:
// SIGPIPE is ignored. Errors: the address is in use, TLS files unreadable, no authentication
// outside loopback...
int weft_api_start(const struct api_config *config, struct model *m, const struct api_hooks *hooks,
		   struct event_base *loop, struct api **out, struct err *err);
void weft_api_stop(struct api *a);

// Take from a changed configuration what can change while it runs: the tokens (the file's name,
// and what is in it) and the TLS files, for new connections. On failure everything is as before.
int weft_api_reload(struct api *a, const struct api_config *config, struct err *err);
uint16_t weft_api_port(const struct api *a); // where it listens, for those who asked for port 0
