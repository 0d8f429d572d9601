// SPDX-License-Identifier: Apache-2.0
#include "north/api/list_stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "north/api/page.h"

#define SLICE_MS   2 // of rendering, before others have their turn
#define SLICE_SIZE (64u << 10)

struct stream {
	struct api_call call; // what rendering needs of it: who asks, for what, which fields
	char *project;
	char plural[64];
	json_t **items; // a reference to each is held
	size_t n, next;
	json_t *links; // may be NULL
	bool begun, any, ended;
};

static void stream_free(void *arg)
{
	struct stream *s = arg;

	for (size_t i = 0; i < s->n; i++)
		json_decref(s->items[i]);
	weft_target_fini(&s->call.target);
	json_decref(s->links);
	free(s->project);
	free(s->items);
	free(s);
}

static void add_json(struct text *out, const json_t *j)
{
	char *dumped = json_dumps(j, JSON_COMPACT);

	if (dumped != NULL)
		weft_text_add(out, "%s", dumped);
	free(dumped);
}

static void add_item(struct stream *s, const char *id, struct text *out)
{
	struct model *m = s->call.core->model;
	const struct object *o = weft_model_get(m, s->call.type, id);

	if (o == NULL || !weft_model_visible(m, &s->call.who, o))
		return;
	weft_auto(json) view = weft_call_view(&s->call, o);
	if (s->any)
		weft_text_add(out, ",");
	s->any = true;
	add_json(out, view);
}

static bool more(void *arg, struct text *out)
{
	struct stream *s = arg;
	uint64_t end_ms = weft_now_ms() + SLICE_MS;

	if (s->ended)
		return false;
	if (!s->begun)
		weft_text_add(out, "{\"%s\":[", s->plural);
	s->begun = true;
	// One at least, or a slow machine would get nowhere.
	do {
		add_item(s, weft_json_text(s->items[s->next++], "id"), out);
	} while (s->next < s->n && out->len < SLICE_SIZE && weft_now_ms() < end_ms);
	if (s->next == s->n) {
		weft_text_add(out, "]");
		if (s->links != NULL) {
			weft_text_add(out, ",\"%s_links\":", s->plural);
			add_json(out, s->links);
		}
		weft_text_add(out, "}");
		s->ended = true;
	}
	return true;
}

int weft_list_stream(struct api_call *c, const char *plural, const struct list_options *options,
		     const json_t **items, size_t n)
{
	struct stream *s = calloc(1, sizeof(*s));
	struct text base = {0};

	if (s == NULL || (s->items = calloc(n, sizeof(json_t *))) == NULL)
		abort();
	weft_call_base_url(c, &base);
	s->links = weft_page_links(options, &c->target, base.s, items, n);
	weft_text_fini(&base);
	for (size_t i = 0; i < n; i++)
		s->items[i] = json_incref((json_t *)items[i]);
	s->n = n;
	snprintf(s->plural, sizeof(s->plural), "%s", plural);
	s->project = strdup(c->who.project_id);
	if (s->project == NULL)
		abort();
	// The request is gone when the last piece is made: only what is our own goes along.
	s->call = (struct api_call) {
		.core = c->core, .who = c->who, .type = c->type, .target = c->target};
	s->call.who.project_id = s->project;
	c->target = (struct target) {0};
	c->out->status = 200;
	c->out->more = more;
	c->out->more_end = stream_free;
	c->out->more_arg = s;
	return 0;
}
