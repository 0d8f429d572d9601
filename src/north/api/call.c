// SPDX-License-Identifier: Apache-2.0
#include "north/api/call.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"

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

int weft_call_not_found(enum resource type, const char *id, struct err *err)
{
	switch (type) {
	case RES_NETWORK:
		return weft_fail_as(err, -ENOENT, "NetworkNotFound",
				    "Network %s could not be found.", id);
	case RES_SUBNET:
		return weft_fail_as(err, -ENOENT, "SubnetNotFound", "Subnet %s could not be found.",
				    id);
	case RES_PORT:
		return weft_fail_as(err, -ENOENT, "PortNotFound", "Port %s could not be found.",
				    id);
	case RES_SECURITY_GROUP:
		return weft_fail_as(err, -ENOENT, "SecurityGroupNotFound",
				    "Security group %s does not exist", id);
	case RES_SECURITY_GROUP_RULE:
		return weft_fail_as(err, -ENOENT, "SecurityGroupRuleNotFound",
				    "Security group rule %s does not exist", id);
	case RES_ADDRESS_GROUP:
		return weft_fail_as(err, -ENOENT, "AddressGroupNotFound",
				    "Address group %s could not be found.", id);
	case RES_COUNT:
		break;
	}
	return weft_fail_as(err, -ENOENT, "HTTPNotFound", "The resource could not be found.");
}

int weft_call_get(const struct api_call *c, enum resource type, const char *id,
		  const struct object **out, struct err *err)
{
	const struct object *o = weft_model_get(c->core->model, type, id);

	if (o == NULL || !weft_model_visible(c->core->model, &c->who, o))
		return weft_call_not_found(type, id, err);
	*out = o;
	return 0;
}

// What stock Neutron's policy shows to administrators only.
bool weft_call_is_admin_attr(enum resource type, const char *attr)
{
	switch (type) {
	case RES_NETWORK:
		return strncmp(attr, "provider:", strlen("provider:")) == 0;
	case RES_PORT:
		return strncmp(attr, "binding:", strlen("binding:")) == 0 &&
		       strcmp(attr, "binding:vnic_type") != 0;
	default:
		return false;
	}
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

json_t *weft_call_view(const struct api_call *c, json_t *rendered)
{
	json_t *view;
	const char *key;
	json_t *value;

	if (c->who.is_admin && weft_query_get(&c->target.query, "fields") == NULL)
		return json_incref(rendered);

	view = json_object();
	json_object_foreach(rendered, key, value) {
		if (!c->who.is_admin && c->type != RES_COUNT &&
		    weft_call_is_admin_attr(c->type, key))
			continue;
		if (is_wanted(c, key))
			json_object_set(view, key, value);
	}
	return view;
}

int weft_call_commit(struct api_call *c, struct txn *t, struct err *err)
{
	size_t n = 0;
	int ret = 0;

	weft_txn_changes(t, &n);
	if (n > 0)
		ret = c->core->hooks.commit(c->core->hooks.arg, t, err);
	weft_txn_free(t);

	// The model names its refusals; what has no name is ours: a full disk, a datapath that is not there.
	if (ret < 0 && err->kind == NULL) {
		weft_log_error("request %s is refused: %s", c->out->request_id, err->msg);
		err->kind = "ServiceUnavailable";
		ret = -EAGAIN;
	}
	return ret;
}
