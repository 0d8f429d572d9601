// SPDX-License-Identifier: Apache-2.0
// Fuzz: whole API requests. The input is "METHOD TARGET\nBODY", several of them separated by a NUL, asked one after the
// other of one fresh model, so that what one makes the next can break. "@" in a target or body stands for the id of the first
// network, "#" for that of the first port, which a fuzzer could not guess.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "north/api/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int accept_all(void *arg, struct txn *t, struct err *err)
{
	(void)arg;
	(void)err;
	weft_txn_commit(t);
	return 0;
}

static json_t *no_agents(void *arg)
{
	(void)arg;
	return json_array();
}

static int no_operation(void *arg, const char *method, const char *path, const json_t *query,
			const json_t *body, json_t **out, struct err *err)
{
	(void)arg;
	(void)method;
	(void)path;
	(void)query;
	(void)body;
	*out = json_object();
	(void)err;
	return 0;
}

static void no_metrics(void *arg, struct text *out)
{
	(void)arg;
	weft_text_add(out, "none\n");
}

static int first_id(const struct object *o, void *arg)
{
	*(const char **)arg = o->id;
	return 1;
}

// The request's text with the placeholders replaced.
static void expand(struct model *m, const char *text, size_t len, struct text *out)
{
	const char *network = "@", *port = "#";

	weft_model_each(m, RES_NETWORK, first_id, &network);
	weft_model_each(m, RES_PORT, first_id, &port);
	weft_text_add(out, "%s", "");
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '@')
			weft_text_add(out, "%s", network);
		else if (text[i] == '#')
			weft_text_add(out, "%s", port);
		else
			weft_text_add(out, "%c", text[i]);
	}
}

static void ask(struct api_core *core, const char *input, size_t len)
{
	struct text t = {0};
	struct api_answer answer;

	expand(core->model, input, len, &t);
	char *target = strchr(t.s, ' ');
	if (target) {
		*target++ = '\0';
		char *body = target + strcspn(target, "\n");
		if (*body)
			*body++ = '\0';
		struct api_request rq = {
			.method = t.s,
			.target = target,
			.content_type = "application/json",
			.body = body,
			.body_len = strlen(body),
		};
		weft_api_handle(core, &rq, &answer);
		if (answer.status < 200 || answer.status > 599 || answer.status == 500)
			abort();
		weft_answer_fini(&answer);
	}
	weft_text_fini(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct model_config config = {.host = "node",
						   .default_vif = "tap",
						   .vhostuser_mode = "client",
						   .run_dir = "/run/weft",
						   .default_mtu = 1500};
	struct api_core core = {
		.model = weft_model_new(&config),
		.hooks = {NULL, accept_all, no_agents, no_operation, no_metrics},
	};
	const char *p = (const char *)data;

	while (size > 0) {
		size_t len = strnlen(p, size);
		ask(&core, p, len);
		len += len < size;
		p += len;
		size -= len;
	}
	weft_model_free(core.model);
	return 0;
}
