// SPDX-License-Identifier: Apache-2.0
// One port as an operator sees it, and its policy beside what Neutron's objects say.
#include "operate/operate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "operate/describe.h"
#include "base/auto.h"
#include "base/json.h"
#include "plan/build.h"

static const char *text_or(const json_t *o, const char *key, const char *otherwise)
{
	const char *s = weft_json_text(o, key);

	return s != NULL ? s : otherwise;
}

static json_t *fixed_ips(const struct object *port)
{
	json_t *list = json_array(), *v;
	size_t i;

	json_array_foreach(weft_json_array(port->attr, "fixed_ips"), i, v)
		json_array_append_new(list, json_string(text_or(v, "ip_address", "")));
	return list;
}

static json_t *groups_of(const struct operate *op, const struct object *port)
{
	json_t *list = json_array(), *v;
	size_t i;

	json_array_foreach(weft_json_array(port->attr, "security_groups"), i, v) {
		const char *id = json_string_value(v);

		json_array_append_new(
			list, json_pack("{s:s, s:s}", "id", id, "name",
					weft_object_name(op->model, RES_SECURITY_GROUP, id)));
	}
	return list;
}

static void add_note(void *list, const char *text)
{
	json_array_append_new(list, json_string(text));
}

static json_t *notes_of(const struct object *port)
{
	json_t *list = json_array();

	weft_plan_port_notes(port, add_note, list);
	return list;
}

// Why the port is not ACTIVE; NULL when it is.
static json_t *reason_of(const struct operate *op, const struct object *port, bool local,
			 const char *vif)
{
	const char *host = text_or(port->attr, "binding:host_id", ""), *reason;

	if (local) {
		reason = weft_links_reason(op->links, port->id);
		if (reason == NULL && !weft_json_bool(port->attr, "admin_state_up", true))
			reason = "the port is administratively down";
		return reason == NULL ? json_null() : json_string(reason);
	}
	if (weft_links_has_interface(op->links, vif))
		return json_sprintf("interface %s is here, but the port is bound to %s%s", vif,
				    host[0] == '\0' ? "no host" : "host ", host);
	return host[0] == '\0' ? json_string("the port is bound to no host")
			       : json_sprintf("the port is bound to host %s", host);
}

int weft_operate_port(const struct operate *op, const struct object *port, json_t **out,
		      struct err *err)
{
	const struct plan_port *plan = weft_planner_port(op->planner, port->id);
	weft_auto(json) shown = weft_model_render(op->model, port);
	const char *network = text_or(port->attr, "network_id", "");
	bool trusted = strncmp(text_or(port->attr, "device_owner", ""), "network:", 8) == 0;
	char vif[64];
	json_t *o = NULL;

	snprintf(vif, sizeof(vif), "tap%.11s", port->id);
	if (plan != NULL) {
		int ret = op->ops->show(op->datapath, DATAPATH_SHOW_PORTS, port->id, 0, &o, err);

		if (ret != 0)
			return ret;
		snprintf(vif, sizeof(vif), "%s", plan->vif_name);
	} else {
		o = json_object();
	}
	json_object_update_new(
		o, json_pack("{s:s, s:s, s:s, s:o, s:s, s:b, s:s, s:s, s:s, s:s, s:o, s:s}", "id",
			     port->id, "name", text_or(port->attr, "name", ""), "status",
			     text_or(shown, "status", "DOWN"), "reason",
			     reason_of(op, port, plan != NULL, vif), "host",
			     text_or(port->attr, "binding:host_id", ""), "local", plan != NULL,
			     "network", network, "network_name",
			     weft_object_name(op->model, RES_NETWORK, network), "project_id",
			     port->project_id, "mac", text_or(port->attr, "mac_address", ""),
			     "fixed_ips", fixed_ips(port), "vif", vif));
	json_object_update_new(
		o, json_pack("{s:b, s:b, s:b, s:s, s:s, s:o, s:o}", "admin_up",
			     weft_json_bool(port->attr, "admin_state_up", true), "port_security",
			     !trusted && weft_json_bool(port->attr, "port_security_enabled", true),
			     "trusted", trusted, "device_owner",
			     text_or(port->attr, "device_owner", ""), "device_id",
			     text_or(port->attr, "device_id", ""), "security_groups",
			     groups_of(op, port), "notes", notes_of(port)));
	*out = o;
	return 0;
}

// Names and phrases beside the compiled ids.
static void annotate_policy(const struct operate *op, json_t *policy)
{
	json_t *group, *rule;
	size_t i, k;

	json_array_foreach(weft_json_array(policy, "groups"), i, group) {
		json_object_set_new(group, "name",
				    json_string(weft_object_name(op->model, RES_SECURITY_GROUP,
								 weft_json_text(group, "id"))));
		json_array_foreach(weft_json_array(group, "rules"), k, rule) {
			const char *id = weft_json_text(rule, "id");
			struct text phrase = {0};

			weft_describe_rule(op->model, id != NULL ? id : "", &phrase);
			json_object_set_new(rule, "text", json_string(phrase.s));
			weft_text_fini(&phrase);
		}
	}
}

int weft_operate_explain(const struct operate *op, const struct object *port, json_t **out,
			 struct err *err)
{
	weft_auto(json) view = NULL;
	weft_auto(json) policy = NULL;
	json_t *groups, *v;
	size_t i;
	int ret;

	if (weft_planner_port(op->planner, port->id) == NULL)
		return weft_fail(
			err, -ENOENT, "port %s: it is bound to %s%s, not to this node", port->id,
			text_or(port->attr, "binding:host_id", "")[0] == '\0' ? "no host" : "host ",
			text_or(port->attr, "binding:host_id", ""));
	ret = weft_operate_port(op, port, &view, err);
	if (ret == 0)
		ret = op->ops->show(op->datapath, DATAPATH_SHOW_POLICY, port->id, 0, &policy, err);
	if (ret != 0)
		return ret;
	annotate_policy(op, policy);
	groups = json_array();
	json_array_foreach(weft_json_array(port->attr, "security_groups"), i, v) {
		const struct object *g =
			weft_model_get(op->model, RES_SECURITY_GROUP, json_string_value(v));

		if (g != NULL)
			json_array_append_new(groups, weft_model_render(op->model, g));
	}
	*out = json_pack("{s:O, s:O, s:{s:o, s:o}}", "port", view, "policy", policy, "neutron",
			 "port", weft_model_render(op->model, port), "security_groups", groups);
	return 0;
}
