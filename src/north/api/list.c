// SPDX-License-Identifier: Apache-2.0
// Lists: collect what the caller may see and asked for, cut the page, render it.
#include "north/api/call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/resource.h"
#include "north/api/filter.h"
#include "north/api/list_stream.h"
#include "north/api/page.h"

#define LIST_AT_ONCE 200

struct listing {
	struct api_call *call;
	struct list_options options;
	const json_t **items; // a reference to each is held
	size_t n, max;
};

static void listing_fini(struct listing *l)
{
	for (size_t i = 0; i < l->n; i++)
		json_decref((json_t *)l->items[i]);
	free(l->items);
	weft_list_options_fini(&l->options);
}

static int listing_add(struct listing *l, json_t *attr)
{
	if (l->n == l->max) {
		size_t max = l->max ? l->max * 2 : 64;
		const json_t **items = reallocarray(l->items, max, sizeof(*items));
		if (items == NULL)
			return -ENOMEM;
		l->items = items;
		l->max = max;
	}
	l->items[l->n++] = json_incref(attr);
	return 0;
}

// Run-time attributes are only in the rendered form, which is dearer to make: only when it is
// asked about.
static bool needs_render(const struct list_options *o, const json_t *attr)
{
	for (size_t i = 0; i < o->n_filters; i++) {
		if (strcmp(o->filters[i].attr, "status") == 0 ||
		    json_object_get(attr, o->filters[i].attr) == NULL)
			return true;
	}
	for (size_t i = 0; i < o->n_sorts; i++) {
		if (strcmp(o->sorts[i].attr, "status") == 0 ||
		    json_object_get(attr, o->sorts[i].attr) == NULL)
			return true;
	}
	return false;
}

static bool is_below(const struct object *o, const char *parent_id)
{
	return parent_id == NULL ||
	       strcmp(weft_json_text(o->attr, "floatingip_id"), parent_id) == 0;
}

static int visit(const struct object *o, void *arg)
{
	struct listing *l = arg;
	struct model *m = l->call->core->model;
	weft_auto(json) rendered = NULL;

	if (!weft_model_visible(m, &l->call->who, o) || !is_below(o, l->call->parent_id))
		return 0;
	if (needs_render(&l->options, o->attr)) {
		rendered = weft_model_render(m, o);
		return weft_list_matches(&l->options, rendered) ? listing_add(l, rendered) : 0;
	}
	return weft_list_matches(&l->options, o->attr) ? listing_add(l, o->attr) : 0;
}

// "id=" arguments name the objects, so that there is no need to look at all of them.
static int visit_named(struct listing *l, const struct filter *ids)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < ids->n; i++) {
		bool repeated = false;
		for (size_t j = 0; j < i; j++)
			repeated |= strcmp(ids->values[j], ids->values[i]) == 0;
		const struct object *o =
			weft_model_get(l->call->core->model, l->call->type, ids->values[i]);
		if (o && !repeated)
			ret = visit(o, l);
	}
	return ret;
}

static int collect(struct listing *l)
{
	for (size_t i = 0; i < l->options.n_filters; i++) {
		if (strcmp(l->options.filters[i].key, "id") == 0)
			return visit_named(l, &l->options.filters[i]);
	}
	if (l->call->parent_id != NULL)
		return weft_model_each_ref(l->call->core->model, REF_FLOATING_IP_FORWARDINGS,
					   l->call->parent_id, visit, l);
	return weft_model_each(l->call->core->model, l->call->type, visit, l);
}

static json_t *item_json(struct api_call *c, const json_t *attr)
{
	if (c->type == RES_COUNT)
		return weft_call_fields(c, (json_t *)attr);
	return weft_call_view(c,
			      weft_model_get(c->core->model, c->type, weft_json_text(attr, "id")));
}

// Cut the page of what was collected and answer it.
static int answer_page(struct listing *l, const char *plural, const json_t *marker)
{
	struct api_call *c = l->call;
	const json_t *none = NULL;
	const json_t **items = l->n > 0 ? l->items : &none; // an empty list has an address too
	struct page p = weft_page_cut(&l->options, items, l->n, marker);
	struct text base = {0};
	json_t *list;

	if (c->type != RES_COUNT && p.n > LIST_AT_ONCE)
		return weft_list_stream(c, plural, &l->options, items + p.start, p.n);
	list = json_array();
	for (size_t i = 0; i < p.n; i++)
		json_array_append_new(list, item_json(c, items[p.start + i]));
	weft_call_answer(c, 200, plural, list);

	weft_call_base_url(c, &base);
	json_t *links = weft_page_links(&l->options, &c->target, base.s, items + p.start, p.n);
	weft_text_fini(&base);
	if (links) {
		char key[64];
		snprintf(key, sizeof(key), "%s_links", plural);
		json_object_set_new(c->out->json, key, links);
	}
	return 0;
}

static bool has_attr(const void *arg, const char *attr)
{
	const struct api_call *c = arg;

	return weft_resource_shows_attr(c->type, attr, &c->who);
}

static int check_filters(const struct listing *l, struct err *err)
{
	for (size_t i = 0; i < l->options.n_filters; i++) {
		const struct filter *f = &l->options.filters[i];
		for (size_t j = 0; j < f->n; j++) {
			int ret = weft_resource_check_filter(l->call->type, f->attr, f->values[j],
							     err);
			if (ret < 0)
				return ret;
		}
	}
	return 0;
}

static int list_objects(struct listing *l, struct err *err)
{
	struct api_call *c = l->call;
	const struct object *marker = NULL;
	weft_auto(json) rendered = NULL;

	int ret = weft_list_options_parse(&c->target.query, has_attr, c, &l->options, err);
	if (ret == 0)
		ret = check_filters(l, err);
	if (ret == 0 && l->options.marker)
		ret = weft_call_get(c, c->type, l->options.marker, &marker, err);
	if (ret == 0 && collect(l) < 0)
		ret = weft_fail(err, -ENOMEM, "Out of memory.");
	if (ret < 0)
		return ret;
	if (marker)
		rendered = weft_model_render(c->core->model, marker);
	return answer_page(l, weft_resource_plural(c->type), rendered);
}

// A project's default group exists from the first time that somebody looks for groups.
static int ensure_default_group(struct api_call *c, struct err *err)
{
	struct txn *t = weft_txn_begin(c->core->model);

	int ret = weft_txn_ensure_default_group(t, c->who.project_id, err);
	if (ret < 0) {
		weft_txn_free(t);
		return ret;
	}
	return weft_call_commit(c, t, err);
}

int weft_handle_list(struct api_call *c, struct err *err)
{
	struct listing l = {.call = c};
	int ret = 0;

	if (c->type == RES_SECURITY_GROUP || c->type == RES_SECURITY_GROUP_RULE)
		ret = ensure_default_group(c, err);
	if (ret == 0)
		ret = list_objects(&l, err);
	listing_fini(&l);
	return ret;
}

static bool agent_has_attr(const void *arg, const char *attr)
{
	static const char *const names[] = {
		"id",
		"agent_type",
		"binary",
		"host",
		"topic",
		"alive",
		"admin_state_up",
		"configurations",
		"created_at",
		"started_at",
		"heartbeat_timestamp",
		"description",
		"availability_zone",
	};

	(void)arg;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(names[i], attr) == 0)
			return true;
	}
	return false;
}

static int list_agents(struct listing *l, json_t *agents, struct err *err)
{
	const json_t *marker = NULL;
	json_t *agent;
	size_t i;

	int ret = weft_list_options_parse(&l->call->target.query, agent_has_attr, NULL, &l->options,
					  err);
	if (ret < 0)
		return ret;
	if (l->options.marker) {
		marker = weft_agent_find(agents, l->options.marker, err);
		if (marker == NULL)
			return -ENOENT;
	}
	json_array_foreach(agents, i, agent) {
		if (weft_list_matches(&l->options, agent) && listing_add(l, agent) < 0)
			return weft_fail(err, -ENOMEM, "Out of memory.");
	}
	return answer_page(l, "agents", marker);
}

int weft_handle_agents(struct api_call *c, struct err *err)
{
	weft_auto(json) agents = weft_agents_visible(c);
	struct listing l = {.call = c};

	int ret = list_agents(&l, agents, err);
	listing_fini(&l);
	return ret;
}
