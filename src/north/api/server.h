// SPDX-License-Identifier: Apache-2.0
// Servers: one listening socket of the API each, and the connections that it accepted.
//
// libmicrohttpd owns a connection from when it is accepted: its epoll descriptor is one event of
// our loop, and its next timeout one timer; no socket ever blocks, so that a slow client costs
// nobody else anything but a place. Accepting is ours, so that who gets a place, and who gives way,
// is clients.h's.
//
// Threads    one (the control thread)
// Ownership  a server owns its socket; it borrows what its config points to
#pragma once

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "north/api/clients.h"
#include "north/api/request.h"
#include "north/api/tls.h"

struct event;
struct event_base;

#define SERVER_HEAD_MAX \
	(256u << 10) // of one request, with libmicrohttpd's own lists of what is in it
#define SERVER_TARGET_MAX (96u << 10)
#define SERVER_BODIES_MAX (64u << 20) // of all requests that are being received

struct http_server;

// libmicrohttpd's daemon takes certificates at its start only: with new ones there is a new daemon,
// and the old one keeps its connections until they end.
struct http_daemon {
	struct http_server *server;
	struct MHD_Daemon *mhd; // NULL: there is none
	struct event *readable, *timer;
	bool tls;
};

struct http_server {
	struct api_core *core;
	struct event_base *loop;
	const char *name;     // the address, for messages
	const char *hint;     // what else a start may fail by: " with this tls_cert and tls_key"
	bool is_local;	      // a unix socket: whoever may open it is an administrator
	int fd;		      // listening; -1 = closed
	struct event *accept; // a connection came
	struct event *sweep;  // once a second: who has taken too long
	struct clients clients;
	struct http_daemon daemons[2];
	unsigned current;    // of daemons
	size_t bodies;	     // bytes held by requests that are being received
	char complaint[256]; // libmicrohttpd's last, for the error of a failed start
};

// Serve what comes to the listening socket fd, with at most `max` connections, of one peer at most
// `per_peer`. tls: may be NULL. s is zeroed but for core, loop, name, hint and is_local. fd is s's
// from here on, also on failure.
int weft_server_start(struct http_server *s, int fd, unsigned max, unsigned per_peer,
		      const struct tls_files *tls, struct err *err);
// New connections get these certificates.
int weft_server_renew(struct http_server *s, const struct tls_files *tls, struct err *err);
void weft_server_stop(struct http_server *s);

// ---- exchange.c: one request and its answer ----

// libmicrohttpd's callbacks; arg is the struct http_server.
void *weft_exchange_new(void *arg, const char *uri, struct MHD_Connection *connection);
enum MHD_Result weft_exchange_run(void *arg, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *data_len, void **state);
void weft_exchange_done(void *arg, struct MHD_Connection *connection, void **state,
			enum MHD_RequestTerminationCode code);
