// SPDX-License-Identifier: Apache-2.0
// The parser's own structures, shared by config.c (lines and keys) and config_whole.c (what no
// key can tell by itself).
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "agent/config.h"
#include "base/addr.h"

// Where the parser is, for messages and duplicates.
struct place {
	const char *file;
	size_t line;
	char section[64];
	struct config *config;
	size_t *seen;	     // by key: the line where it was given
	size_t physical[32]; // the same of physical networks
	struct err *err;
	config_complain complain; // NULL: the first mistake is the end
	void *complain_arg;
};

// "FILE:LINE: ...", to err and to who collects; returns -EINVAL.
int weft_config_fail(const struct place *at, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

// "[::1]:9696" or "127.0.0.1:9696" -> the address alone.
bool weft_config_split_listen(const char *text, struct ip_addr *ip);

// 0 or -EINVAL; all that is wrong is said if somebody collects, else the first.
int weft_config_whole(struct place *at);
