// SPDX-License-Identifier: Apache-2.0
// TLS files: a certificate (chain) and its key, read and checked before anybody is served with
// them.
//
// Errors     0 or -errno; err names the file, and what is wrong with it
// Threads    any
#pragma once

#include "base/err.h"

struct tls_files {
	char *cert, *key; // PEM, NUL-terminated; NULL = no TLS
};

// Read both. An expired certificate is only warned about: clients say so themselves, and an
// operator's way in is worth more.
int weft_tls_load(const char *cert_path, const char *key_path, struct tls_files *out,
		  struct err *err);
void weft_tls_fini(struct tls_files *t);
