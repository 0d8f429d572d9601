// SPDX-License-Identifier: Apache-2.0
#include "north/api/call.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "model/resource.h"

int weft_call_answer(struct api_call *c, unsigned status, const char *key, json_t *value)
{
	c->out->status = status;
	c->out->json = json_pack("{s:o}", key, value);
	return c->out->json ? 0 : -ENOMEM;
}

void weft_call_base_url(const struct api_call *c, struct text *out)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:[]";
	const char *host = c->rq->host;

	// The client's own words go back into its links: only what can be in an address.
	if (host == NULL || *host == '\0' || strspn(host, plain) != strlen(host))
		host = "localhost";
	weft_text_add(out, "%s://%s", c->rq->tls ? "https" : "http", host);
}

int weft_call_get(const struct api_call *c, enum resource type, const char *id,
		  const struct object **out, struct err *err)
{
	const struct object *o = weft_model_get(c->core->model, type, id);

	if (o == NULL || !weft_model_visible(c->core->model, &c->who, o))
		return weft_resource_not_found(type, id, err);
	*out = o;
	return 0;
}

static bool is_wanted(const struct api_call *c, const char *attr)
{
	const struct query *q = &c->target.query;
	bool any = false;

	for (size_t i = 0; i < q->n; i++) {
		if (strcmp(q->args[i].key, "fields") != 0 || *q->args[i].value == '\0')
			continue;
		if (strcmp(q->args[i].value, attr) == 0)
			return true;
		any = true;
	}
	return !any;
}

json_t *weft_call_fields(const struct api_call *c, json_t *object)
{
	json_t *view;
	const char *key;
	json_t *value;

	if (weft_query_get(&c->target.query, "fields") == NULL)
		return json_incref(object);
	view = json_object();
	json_object_foreach(object, key, value) {
		if (is_wanted(c, key))
			json_object_set(view, key, value);
	}
	return view;
}

json_t *weft_call_view(const struct api_call *c, const struct object *o)
{
	weft_auto(json) rendered = weft_model_render_for(c->core->model, &c->who, o);

	return weft_call_fields(c, rendered);
}

int weft_call_commit(struct api_call *c, struct txn *t, struct err *err)
{
	size_t n = 0;
	int ret = 0;

	weft_txn_changes(t, &n);
	if (n > 0)
		ret = c->core->hooks.commit(c->core->hooks.arg, t, err);
	weft_txn_free(t);

	// The model names its refusals; what has no name is ours: a full disk, a datapath that is
	// not there.
	if (ret < 0 && ret != -EINPROGRESS && err->kind == NULL) {
		weft_log_error("request %s is refused: %s", c->out->request_id, err->msg);
		err->kind = "ServiceUnavailable";
		ret = -EAGAIN;
	}
	return ret;
}
