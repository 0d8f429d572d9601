// SPDX-License-Identifier: Apache-2.0
// Tokens: the file of `auth = token`, one "token project role[,role]" a line, '#' begins a comment.
//
// The file is read again when it changes. A changed file that cannot be read leaves the tokens
// read before in force and is logged: one typing error must not lock everybody out.
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct tokens;

struct token_owner {
	const char *project;
	const char *roles;
};

int weft_tokens_open(const char *path, struct tokens **out, struct err *err);
void weft_tokens_close(struct tokens *t);
size_t weft_tokens_count(const struct tokens *t);

// Whose token is it? The texts are good until the next call.
bool weft_tokens_get(struct tokens *t, const char *token, struct token_owner *out);
