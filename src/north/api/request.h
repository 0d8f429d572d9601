// SPDX-License-Identifier: Apache-2.0
// Requests without HTTP: a method, a target, a few headers and a body in; a status and a JSON
// value out.
//
// http.c carries these over sockets; tests and fuzzers call weft_api_handle() directly.
// Everything that a request does happens inside the call.
//
// Ownership  the request is borrowed; the answer is the caller's, freed with weft_answer_fini()
// Errors     none: a refusal is an answer
// Threads    one (the control thread)
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"
#include "north/api/api.h"
#include "north/api/tokens.h"

// Who asks when nobody says: the project of requests without X-Project-Id.
#define API_DEFAULT_PROJECT "00000000000000000000000000000000"

#define API_BODY_MAX (10u << 20)

// Objects that one request may make. It is one transaction, and nothing else is done meanwhile.
#define API_BULK_MAX 1000

struct api_core {
	struct model *model;
	struct api_hooks hooks;
	enum api_auth auth;
	struct tokens *tokens; // API_AUTH_TOKEN only
};

struct api_request {
	const char *method;
	const char *target; // as on the request line: path and query
	bool tls;
	bool is_local; // over the unix socket: its permissions say that this is an administrator
	// Headers; NULL when absent.
	const char *host;
	const char *project; // X-Project-Id
	const char *roles;   // X-Roles
	const char *token;   // X-Auth-Token, or Authorization: Bearer
	const char *if_match;
	const char *content_type;
	const char *body; // may be NULL; not NUL-terminated
	size_t body_len;
	int body_error; // -EMSGSIZE, -EAGAIN: the body was not kept
};

struct api_answer {
	unsigned status;     // 0: none is given, the connection ends
	json_t *json;	     // NULL: no body, or text
	struct text text;    // what is answered when json is NULL
	char allow[64];	     // Allow header of a 405
	char request_id[44]; // "req-UUID"
	bool wants_token;    // WWW-Authenticate of a 401

	// A long answer of JSON is made as it is sent, a few milliseconds' work at a time, and
	// other work goes on between. Appends the next piece; false: there was none left. NULL:
	// json or text is the whole answer.
	bool (*more)(void *arg, struct text *out);
	void (*more_end)(void *arg); // frees arg
	void *more_arg;
	size_t taken; // the sender's: how much of text it has sent
};

void weft_api_handle(struct api_core *core, const struct api_request *rq, struct api_answer *out);
// By its head alone: would the request be let in? If not, the refusal is in *out.
bool weft_api_admit(struct api_core *core, const struct api_request *rq, struct api_answer *out);
// A refusal of a request that is not even read: code as in struct err.
void weft_api_refuse(const char *target, int code, const char *sentence, struct api_answer *out);

// The next piece of an answer that has `more`, into its text, which must be empty.
bool weft_answer_next(struct api_answer *a);
void weft_answer_fini(struct api_answer *a);
