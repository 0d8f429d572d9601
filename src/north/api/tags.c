// SPDX-License-Identifier: Apache-2.0
// Tags: /v2.0/COLLECTION/ID/tags and /tags/TAG. The model only knows how to replace the whole
// list; a call that changes nothing is still checked by it.
#include "north/api/call.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"

// The object that carries the tags and its present list (borrowed).
static int get_tagged(struct api_call *c, const struct object **o, json_t **tags, struct err *err)
{
	if (!weft_resource_has_attr(c->type, "tags"))
		return weft_fail(err, -ENOENT, "The resource could not be found.");
	*o = weft_model_get(c->core->model, c->type, c->id);
	if (*o == NULL || !weft_model_visible(c->core->model, &c->who, *o))
		return weft_fail_as(err, -ENOENT, "TagResourceNotFound",
				    "Resource %s %s could not be found.",
				    weft_resource_plural(c->type), c->id);
	*tags = weft_json_array((*o)->attr, "tags");
	return 0;
}

static int set_tags(struct api_call *c, const json_t *tags, struct err *err)
{
	struct txn *t = weft_txn_begin(c->core->model);

	int ret = weft_txn_set_tags(t, &c->who, c->type, c->id, tags, NULL, err);
	if (ret < 0) {
		weft_txn_free(t);
		return ret;
	}
	return weft_call_commit(c, t, err);
}

// A copy of the present tags without `tag` (NULL: with all of them).
static json_t *copy_without(const json_t *tags, const char *tag)
{
	json_t *copy = json_array();
	size_t i;
	json_t *value;

	json_array_foreach(tags, i, value) {
		if (tag == NULL || strcmp(json_string_value(value), tag) != 0)
			json_array_append(copy, value);
	}
	return copy;
}

static int need_tags_body(const struct api_call *c, json_t **out, struct err *err)
{
	json_t *tags = weft_json_array(c->body, "tags");

	if (tags == NULL)
		return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
				    "Unable to find 'tags' (a list) in request body");
	*out = tags;
	return 0;
}

static int answer_tags(struct api_call *c, struct err *err)
{
	const struct object *o;
	json_t *tags = NULL;

	int ret = get_tagged(c, &o, &tags, err);
	if (ret < 0)
		return ret;
	return weft_call_answer(c, 200, "tags", tags ? json_incref(tags) : json_array());
}

int weft_handle_tags_list(struct api_call *c, struct err *err)
{
	return answer_tags(c, err);
}

int weft_handle_tags_replace(struct api_call *c, struct err *err)
{
	const struct object *o;
	json_t *present, *tags = NULL;

	int ret = get_tagged(c, &o, &present, err);
	if (ret == 0)
		ret = need_tags_body(c, &tags, err);
	if (ret == 0)
		ret = set_tags(c, tags, err);
	return ret < 0 ? ret : answer_tags(c, err);
}

int weft_handle_tags_add(struct api_call *c, struct err *err)
{
	weft_auto(json) all = NULL;
	const struct object *o;
	json_t *present, *tags = NULL, *value;
	size_t i;

	int ret = get_tagged(c, &o, &present, err);
	if (ret == 0)
		ret = need_tags_body(c, &tags, err);
	if (ret < 0)
		return ret;
	all = copy_without(present, NULL);
	json_array_foreach(tags, i, value) {
		const char *text = json_string_value(value);
		if (text == NULL || !weft_json_has_text(all, text))
			json_array_append(all, value);
	}
	ret = set_tags(c, all, err);
	return ret < 0 ? ret : answer_tags(c, err);
}

int weft_handle_tags_clear(struct api_call *c, struct err *err)
{
	weft_auto(json) none = json_array();
	const struct object *o;
	json_t *present;

	int ret = get_tagged(c, &o, &present, err);
	if (ret == 0)
		ret = set_tags(c, none, err);
	c->out->status = 204;
	return ret;
}

static int tag_not_found(const char *tag, struct err *err)
{
	return weft_fail_as(err, -ENOENT, "TagNotFound", "Tag %s could not be found.", tag);
}

int weft_handle_tag_show(struct api_call *c, struct err *err)
{
	const struct object *o;
	json_t *present;

	int ret = get_tagged(c, &o, &present, err);
	if (ret < 0)
		return ret;
	if (!weft_json_has_text(present, CALL_TAG(c)))
		return tag_not_found(CALL_TAG(c), err);
	c->out->status = 204;
	return 0;
}

int weft_handle_tag_add(struct api_call *c, struct err *err)
{
	weft_auto(json) all = NULL;
	const struct object *o;
	json_t *present;

	int ret = get_tagged(c, &o, &present, err);
	if (ret < 0)
		return ret;
	c->out->status = 201;
	if (weft_json_has_text(present, CALL_TAG(c)))
		return 0;
	all = copy_without(present, NULL);
	json_array_append_new(all, json_string(CALL_TAG(c)));
	return set_tags(c, all, err);
}

int weft_handle_tag_remove(struct api_call *c, struct err *err)
{
	weft_auto(json) rest = NULL;
	const struct object *o;
	json_t *present;

	int ret = get_tagged(c, &o, &present, err);
	if (ret < 0)
		return ret;
	if (!weft_json_has_text(present, CALL_TAG(c)))
		return tag_not_found(CALL_TAG(c), err);
	rest = copy_without(present, CALL_TAG(c));
	ret = set_tags(c, rest, err);
	c->out->status = 204;
	return ret;
}
