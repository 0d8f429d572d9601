// SPDX-License-Identifier: Apache-2.0
// Errors: one sentence, written once, at the cause, naming the object.
//
// A function that can fail returns 0 or -errno and takes a `struct err *` as its last argument.
// The callee that finds the cause calls weft_fail(); every caller above just returns the code.
// `kind` is a short machine-readable word for those who speak a protocol (the API answers it as
// Neutron's exception name); NULL when nobody asked for one.
//
// Ownership  the caller owns the struct (usually on its stack); kind points to static storage
// Threads    none shared
#pragma once

#include <stdarg.h>
#include <stddef.h>

#define WEFT_ERR_MAX 1024

struct err {
	const char *kind;	// static storage, or NULL
	char msg[WEFT_ERR_MAX]; // one sentence, no newline; "" when nothing failed
};

// Set *err (may be NULL) and return code, which must be negative (-errno).
int weft_fail(struct err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

// The same with a machine-readable kind.
int weft_fail_as(struct err *err, int code, const char *kind, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
