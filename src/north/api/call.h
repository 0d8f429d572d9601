// SPDX-License-Identifier: Apache-2.0
// Calls: one request on its way through the handlers.
//
// handle.c parses, authenticates and finds the handler in its table of routes; a handler fills
// the answer and returns 0, or fails with -errno and a kind, which handle.c turns into Neutron's
// error body.
//
// Ownership  everything in the call lives until the handler returns
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "model/model.h"
#include "north/api/query.h"
#include "north/api/request.h"

struct api_call {
	struct api_core *core;
	const struct api_request *rq;
	struct target target;
	struct caller who;
	bool is_read_only;     // the only role is "reader"
	enum resource type;    // of the collection in the path, where there is one
	const char *id;	       // of the object in the path, where there is one
	const char *parent_id; // what the collection is below, where it is below another object
	json_t *body;	       // parsed; NULL when there was none
	struct api_answer *out;
};

typedef int (*api_handler)(struct api_call *c, struct err *err);

// Segments of "/v2.0/COLLECTION/ID/tags/TAG".
#define CALL_TAG(c) ((c)->target.segments[4])

// Handlers, by file.
int weft_handle_versions(struct api_call *c, struct err *err);
int weft_handle_resources(struct api_call *c, struct err *err);
int weft_handle_extensions(struct api_call *c, struct err *err);
int weft_handle_extension(struct api_call *c, struct err *err);
int weft_handle_list(struct api_call *c, struct err *err);
int weft_handle_agents(struct api_call *c, struct err *err);
int weft_handle_agent(struct api_call *c, struct err *err);
int weft_handle_agent_update(struct api_call *c, struct err *err);
int weft_handle_agent_delete(struct api_call *c, struct err *err);
int weft_handle_schedule(struct api_call *c, struct err *err);
int weft_handle_create(struct api_call *c, struct err *err);
int weft_handle_show(struct api_call *c, struct err *err);
int weft_handle_update(struct api_call *c, struct err *err);
int weft_handle_delete(struct api_call *c, struct err *err);
int weft_handle_add_addresses(struct api_call *c, struct err *err);
int weft_handle_remove_addresses(struct api_call *c, struct err *err);
int weft_handle_add_router_interface(struct api_call *c, struct err *err);
int weft_handle_remove_router_interface(struct api_call *c, struct err *err);
int weft_handle_add_extraroutes(struct api_call *c, struct err *err);
int weft_handle_remove_extraroutes(struct api_call *c, struct err *err);
int weft_handle_forwardings_list(struct api_call *c, struct err *err);
int weft_handle_forwardings_create(struct api_call *c, struct err *err);
int weft_handle_forwarding_show(struct api_call *c, struct err *err);
int weft_handle_forwarding_update(struct api_call *c, struct err *err);
int weft_handle_forwarding_delete(struct api_call *c, struct err *err);
int weft_handle_tags_list(struct api_call *c, struct err *err);
int weft_handle_tags_replace(struct api_call *c, struct err *err);
int weft_handle_tags_add(struct api_call *c, struct err *err);
int weft_handle_tags_clear(struct api_call *c, struct err *err);
int weft_handle_tag_show(struct api_call *c, struct err *err);
int weft_handle_tag_add(struct api_call *c, struct err *err);
int weft_handle_tag_remove(struct api_call *c, struct err *err);
int weft_handle_quotas(struct api_call *c, struct err *err);
int weft_handle_quota(struct api_call *c, struct err *err);
int weft_handle_quota_update(struct api_call *c, struct err *err);
int weft_handle_quota_reset(struct api_call *c, struct err *err);
int weft_handle_quota_view(struct api_call *c, struct err *err);
int weft_handle_metrics(struct api_call *c, struct err *err);
int weft_handle_operate(struct api_call *c, struct err *err);

// Answer {key: value}; takes the reference to value.
int weft_call_answer(struct api_call *c, unsigned status, const char *key, json_t *value);

// "http://host:9696" as the client knows us, for links.
void weft_call_base_url(const struct api_call *c, struct text *out);

// The object when the caller may see it; else -ENOENT with Neutron's exception for its type.
int weft_call_get(const struct api_call *c, enum resource type, const char *id,
		  const struct object **out, struct err *err);

// The object as this caller may see it (new reference), and only the attributes that fields=
// names, if any.
json_t *weft_call_view(const struct api_call *c, const struct object *o);
// The same for what is no model's object.
json_t *weft_call_fields(const struct api_call *c, json_t *object);

// Let the agent store and apply the transaction. Frees it, whatever happens: aborted on failure.
int weft_call_commit(struct api_call *c, struct txn *t, struct err *err);

// The agents that the caller may see: administrators all, others none (new reference).
json_t *weft_agents_visible(const struct api_call *c);
// One of them (borrowed); NULL with AgentNotFound in err.
json_t *weft_agent_find(json_t *agents, const char *id, struct err *err);
