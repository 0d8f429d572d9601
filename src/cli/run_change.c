// SPDX-License-Identifier: Apache-2.0
// Commands that change something: flush sessions, reset counters, store remove.
#include <stdio.h>

#include "cli/http.h"
#include "cli/run.h"
#include "cli/table.h"

// Takes body. *out is the answer.
static int post(const struct invocation *in, const char *path, json_t *body, json_t **out,
		struct err *err)
{
	int ret = weft_http(in->api, path, body, out, err);

	json_decref(body);
	if (ret == 0 && in->json)
		weft_print_json(*out);
	return ret;
}

int weft_run_flush_sessions(const struct invocation *in, struct err *err)
{
	json_t *j = NULL;
	int ret = post(in, "/weft/v1/flush-sessions", json_pack("{s:s}", "port", in->args[0]), &j,
		       err);

	if (ret == 0 && !in->json)
		printf("%lld sessions of %s (%s) ended\n",
		       (long long)json_integer_value(json_object_get(j, "sessions")), in->args[0],
		       json_string_value(json_object_get(j, "port")));
	json_decref(j);
	return ret;
}

int weft_run_reset_counters(const struct invocation *in, struct err *err)
{
	json_t *body = in->options[0] == NULL ? json_object()
					      : json_pack("{s:s}", "port", in->options[0]);
	json_t *j = NULL;
	int ret = post(in, "/weft/v1/reset-counters", body, &j, err);

	json_decref(j);
	return ret;
}

int weft_run_store_remove(const struct invocation *in, struct err *err)
{
	json_t *j = NULL;
	int ret = post(in, "/weft/v1/store-remove",
		       json_pack("{s:s,s:s}", "type", in->args[0], "id", in->args[1]), &j, err);

	json_decref(j);
	return ret;
}
