// SPDX-License-Identifier: Apache-2.0
// Framing: is a request's head one that everybody reads alike? (RFC 9112)
//
// libmicrohttpd is lenient where the RFC wants 400: of two Content-Lengths it takes one, and a line
// may have a NUL in it. Whoever stands between a client and us may see it otherwise, and then
// what one of them has for a body is the next request to the other.
#pragma once

#include <microhttpd.h>

// NULL, or what is wrong, as a sentence. method, version: as the handler got them when the head was
// there; raw: where MHD_OPTION_URI_LOG_CALLBACK had the target (its text is not what it was),
// target: a copy of it.
const char *weft_framing_fault(struct MHD_Connection *connection, const char *method,
			       const char *raw, const char *target, const char *version);
