// SPDX-License-Identifier: Apache-2.0
// Listening: the address of the API, who may be let in there, and the socket.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"

struct listen_addr {
	struct ip_addr ip;
	uint16_t port;
};

// "127.0.0.1:9696", "[::1]:9696", "localhost:9696"
int weft_listen_parse(const char *text, struct listen_addr *out, struct err *err);
bool weft_listen_is_loopback(const struct listen_addr *a);

// A listening socket that does not block; *port is the real one when 0 was asked for.
int weft_listen_open(const struct listen_addr *a, const char *text, int *fd, uint16_t *port,
		     struct err *err);
