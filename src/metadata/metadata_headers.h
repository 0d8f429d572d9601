// SPDX-License-Identifier: Apache-2.0
// Headers of the metadata service: which of a VM's pass, which of the server's, and those that
// say who asks.
//
// The server believes what it is told of the asker, so nothing of that comes from the VM: not
// under the right names, not under names that servers take for them ('_' for '-', as in CGI), not
// under those of other proxies. What concerns one connection only ends here as well (RFC 9110,
// 7.6.1).
//
// Threads    any; pure
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "metadata/metadata_directory.h"
#include "base/err.h"

// Does a header go on to the server (to the VM)? connection: the value of the message's
// Connection header, which names others of that kind; NULL = none. False also for what is no
// header's name, and for lengths, which the next sender knows itself.
bool weft_metadata_request_header_passes(const char *name, const char *connection);
bool weft_metadata_answer_header_passes(const char *name, const char *connection);
// Is it free of control characters?
bool weft_metadata_header_value_is_sound(const char *value);

struct metadata_secret {
	size_t len; // 0 = none
	char text[256];
};

// The first line of a file that others may not read; path "": no secret. Errors name the file.
int weft_metadata_secret_read(const char *path, struct metadata_secret *out, struct err *err);

#define METADATA_SIGNATURE_LEN 64
// HMAC-SHA256 of the instance id, in hex (RFC 2104; Neutron's X-Instance-ID-Signature).
void weft_metadata_sign(const struct metadata_secret *secret, const char *instance_id,
			char out[METADATA_SIGNATURE_LEN + 1]);

// What the server is told of the asker: with a secret what Neutron's agent tells Nova, without
// one what Neutron's proxies tell that agent. add is called for each header.
void weft_metadata_identity(const struct metadata_who *who, const struct metadata_secret *secret,
			    void (*add)(void *arg, const char *name, const char *value), void *arg);
