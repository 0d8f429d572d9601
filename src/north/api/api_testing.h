// SPDX-License-Identifier: Apache-2.0
// What tests of the API share: a model behind it, an agent that accepts every change or none, and
// one call to ask.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "north/api/request.h"

struct asker {
	struct api_core core;
	int commit_ret;
	const char *roles;
	struct api_answer answer; // the last one
};

static inline int asker_commit(void *arg, struct txn *t, struct err *err)
{
	struct asker *a = arg;
	if (a->commit_ret < 0)
		return weft_fail(err, a->commit_ret, "the disk is full");
	weft_txn_commit(t);
	return 0;
}

static inline void asker_init(struct asker *a)
{
	struct model_config config = {.host = "node-1", .physnet_mtu = 1500};
	*a = (struct asker) {.core = {.model = weft_model_new(&config)}};
	a->core.hooks = (struct api_hooks) {.arg = a, .commit = asker_commit};
}

static inline void asker_fini(struct asker *a)
{
	weft_answer_fini(&a->answer);
	weft_model_free(a->core.model);
}

// Ask, and answer the status; the body stays in a->answer. The body is JSON with single quotes,
// from printf-like text.
__attribute__((format(printf, 4, 5))) static inline unsigned ask(struct asker *a,
								 const char *method,
								 const char *target,
								 const char *body, ...)
{
	char text[1024];
	va_list args;
	va_start(args, body);
	vsnprintf(text, sizeof(text), body, args);
	va_end(args);
	for (char *p = text; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	struct api_request rq = {.method = method,
				 .target = target,
				 .host = "127.0.0.1:9696",
				 .roles = a->roles,
				 .content_type = "application/json",
				 .body = text,
				 .body_len = strlen(text)};
	weft_answer_fini(&a->answer);
	weft_api_handle(&a->core, &rq, &a->answer);
	return a->answer.status;
}

// The same without a body.
static inline unsigned look(struct asker *a, const char *method, const char *target)
{
	return ask(a, method, target, "%s", "");
}

static inline const json_t *inner(const struct asker *a, const char *key)
{
	return json_object_get(a->answer.json, key);
}

static inline const char *error_type(const struct asker *a)
{
	return weft_json_text(inner(a, "NeutronError"), "type");
}

static inline void take_id(const struct asker *a, const char *key, char id[37])
{
	const char *got = weft_json_text(inner(a, key), "id");
	if (got == NULL)
		fail_msg("no %s: %s", key, weft_json_text(inner(a, "NeutronError"), "message"));
	snprintf(id, 37, "%s", got);
}
