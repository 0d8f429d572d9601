// SPDX-License-Identifier: Apache-2.0
// Agents: the nodes, for administrators to look at. There is nothing about them that a request
// could change.
#include "north/api/call.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"

json_t *weft_agents_visible(const struct api_call *c)
{
	return c->who.is_admin ? c->core->hooks.agents(c->core->hooks.arg) : json_array();
}

json_t *weft_agent_find(json_t *agents, const char *id, struct err *err)
{
	json_t *agent;
	size_t i;

	json_array_foreach(agents, i, agent) {
		const char *have = weft_json_text(agent, "id");
		if (have && strcmp(have, id) == 0)
			return agent;
	}
	weft_fail_as(err, -ENOENT, "AgentNotFound", "Agent %.255s could not be found.", id);
	return NULL;
}

int weft_handle_agent(struct api_call *c, struct err *err)
{
	weft_auto(json) agents = weft_agents_visible(c);
	json_t *agent = weft_agent_find(agents, c->id, err);

	if (agent == NULL)
		return -ENOENT;
	return weft_call_answer(c, 200, "agent", weft_call_fields(c, agent));
}

// What is so already may be asked for.
int weft_handle_agent_update(struct api_call *c, struct err *err)
{
	weft_auto(json) agents = weft_agents_visible(c);
	const json_t *wanted = json_object_get(c->body, "agent");
	const char *key;
	json_t *v;

	json_t *agent = weft_agent_find(agents, c->id, err);
	if (agent == NULL)
		return -ENOENT;
	if (!json_is_object(wanted))
		return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
				    "Unable to find 'agent' in request body");
	json_object_foreach((json_t *)wanted, key, v) {
		if (strcmp(key, "admin_state_up") != 0 && strcmp(key, "description") != 0)
			return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
					    "Cannot update read-only attribute %.64s", key);
		if (!json_equal(v, json_object_get(agent, key)))
			return weft_fail(err, -EBUSY,
					 "%s of agent %s cannot be changed: it is the node itself.",
					 key, c->id);
	}
	return weft_call_answer(c, 200, "agent", weft_call_fields(c, agent));
}

int weft_handle_agent_delete(struct api_call *c, struct err *err)
{
	weft_auto(json) agents = weft_agents_visible(c);

	if (weft_agent_find(agents, c->id, err) == NULL)
		return -ENOENT;
	return weft_fail(err, -EBUSY, "Agent %s cannot be deleted: it is alive.", c->id);
}

// A node answers DHCP for its own ports and routes their packets, so nothing is given to an agent
// or taken from one. The answer is text: openstacksdk looks at no status here, and `openstack
// network agent add` would seem to have done it; what is no JSON it reports.
int weft_handle_schedule(struct api_call *c, struct err *err)
{
	(void)err;
	c->out->status = 404;
	weft_text_add(&c->out->text,
		      "Networks and routers are not scheduled to agents: each node serves its own "
		      "ports.\n");
	return 0;
}
