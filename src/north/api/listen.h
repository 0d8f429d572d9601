// SPDX-License-Identifier: Apache-2.0
// Listening: the address of the API, who may be let in there, and the socket.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/err.h"

struct listen_addr {
	struct ip_addr ip;
	uint16_t port;
};

// "127.0.0.1:9696", "[::1]:9696", "localhost:9696"
int weft_listen_parse(const char *text, struct listen_addr *out, struct err *err);
bool weft_listen_is_loopback(const struct listen_addr *a);

// No address at all: "none".
bool weft_listen_is_none(const char *text);

// A listening socket that does not block; *port is the real one when 0 was asked for.
int weft_listen_open(const struct listen_addr *a, const char *text, int *fd, uint16_t *port,
		     struct err *err);

// The same on a unix socket. What is left there of a process that is gone is replaced; one that
// somebody listens on is not. group: as in struct api_config.
int weft_listen_open_unix(const char *path, gid_t group, int *fd, struct err *err);
