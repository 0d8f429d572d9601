// SPDX-License-Identifier: Apache-2.0
// The operator's side: /metrics and /weft/v1/..., both answered by the agent.
#include "north/api/call.h"

#include <errno.h>

#include "base/json.h"

int weft_handle_metrics(struct api_call *c, struct err *err)
{
	(void)err;
	c->core->hooks.metrics(c->core->hooks.arg, &c->out->text);
	c->out->status = 200;
	return 0;
}

int weft_handle_operate(struct api_call *c, struct err *err)
{
	weft_auto(json) arguments = json_object();
	struct text path = {0};
	json_t *out = NULL;

	weft_text_add(&path, "%s", "");
	for (size_t i = 2; i < c->target.n; i++)
		weft_text_add(&path, "%s%s", i > 2 ? "/" : "", c->target.segments[i]);
	for (size_t i = 0; i < c->target.query.n; i++)
		json_object_set_new(arguments, c->target.query.args[i].key,
				    json_string(c->target.query.args[i].value));

	int ret = c->core->hooks.operate(c->core->hooks.arg, c->rq->method, path.s, arguments,
					 c->body, &out, err);
	weft_text_fini(&path);
	if (ret < 0)
		return ret;
	c->out->status = out ? 200 : 204;
	c->out->json = out;
	return 0;
}
