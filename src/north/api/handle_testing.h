// SPDX-License-Identifier: Apache-2.0
// What the tests of requests share: a model without a store or a datapath behind it, and
// questions to it.
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "north/api/request.h"

#define RED "11111111111111111111111111111111"

// The API before a model, with an agent that accepts every change, or none.
struct fixture {
	struct api_core core;
	int commit_ret;
	unsigned commits;
	struct api_answer answer; // the last one
	// Headers of the next requests.
	const char *project, *roles, *token, *if_match, *host, *content_type;
};

static inline int fake_commit(void *arg, struct txn *t, struct err *err)
{
	struct fixture *f = arg;
	if (f->commit_ret < 0)
		return weft_fail(err, f->commit_ret, "the disk is full");
	f->commits++;
	weft_txn_commit(t);
	return 0;
}

static inline json_t *fake_agents(void *arg)
{
	(void)arg;
	return json_pack("[{s:s,s:s,s:b},{s:s,s:s,s:b}]", "id", "a1", "host", "one", "alive", 1,
			 "id", "a2", "host", "two", "alive", 1);
}

static inline int fake_operate(void *arg, const char *method, const char *path, const json_t *query,
			       const json_t *body, json_t **out, struct err *err)
{
	(void)arg;
	(void)body;
	if (strcmp(path, "ports/none") == 0)
		return weft_fail(err, -ENOENT, "port none is unknown");
	*out = json_pack("{s:s,s:s,s:O}", "method", method, "path", path, "query", query);
	return 0;
}

static inline void fake_metrics(void *arg, struct text *out)
{
	(void)arg;
	weft_text_add(out, "weft_ports 0\n");
}

static inline int setup(void **state)
{
	struct model_config config = {.host = "node-1",
				      .default_vif = "tap",
				      .vhostuser_mode = "client",
				      .run_dir = "/run/weft",
				      .physnet_mtu = 1500};
	struct fixture *f = calloc(1, sizeof(*f));
	f->core.model = weft_model_new(&config);
	f->core.hooks =
		(struct api_hooks) {f, fake_commit, fake_agents, fake_operate, fake_metrics};
	f->host = "127.0.0.1:9696";
	f->content_type = "application/json";
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;
	weft_answer_fini(&f->answer);
	weft_tokens_close(f->core.tokens);
	weft_model_free(f->core.model);
	free(f);
	return 0;
}

// Ask, and answer the status; the body stays in f->answer. The body is JSON with single quotes.
static inline unsigned ask(struct fixture *f, const char *method, const char *target,
			   const char *body)
{
	char buf[2048] = "";
	snprintf(buf, sizeof(buf), "%s", body ? body : "");
	for (char *p = buf; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	struct api_request rq = {
		.method = method,
		.target = target,
		.host = f->host,
		.project = f->project,
		.roles = f->roles,
		.token = f->token,
		.if_match = f->if_match,
		.content_type = f->content_type,
		.body = buf,
		.body_len = strlen(buf),
	};
	weft_answer_fini(&f->answer);
	weft_api_handle(&f->core, &rq, &f->answer);
	return f->answer.status;
}

static inline unsigned ask_about(struct fixture *f, const char *method, const char *fmt,
				 const char *id, const char *body)
{
	char target[256];
	// The formats are literals of this file.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(target, sizeof(target), fmt, id);
#pragma GCC diagnostic pop
	return ask(f, method, target, body);
}

static inline const json_t *inner(struct fixture *f, const char *key)
{
	const json_t *o = json_object_get(f->answer.json, key);
	assert_non_null(o);
	return o;
}

static inline const char *error_type(struct fixture *f)
{
	return weft_json_text(inner(f, "NeutronError"), "type");
}

static inline const char *error_message(struct fixture *f)
{
	return weft_json_text(inner(f, "NeutronError"), "message");
}

// Create one object and keep its id.
static inline void create(struct fixture *f, const char *collection, const char *resource,
			  const char *body, char id[37])
{
	char target[64], whole[1024];
	snprintf(target, sizeof(target), "/v2.0/%s", collection);
	snprintf(whole, sizeof(whole), "{'%s': %s}", resource, body);
	unsigned status = ask(f, "POST", target, whole);
	if (status != 201)
		fail_msg("POST %s: %u %s", target, status, json_dumps(f->answer.json, 0));
	snprintf(id, 37, "%s", weft_json_text(inner(f, resource), "id"));
}

static inline size_t count(struct fixture *f, const char *target, const char *plural)
{
	assert_int_equal(ask(f, "GET", target, NULL), 200);
	return json_array_size(inner(f, plural));
}

#define WITH_MODEL(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
