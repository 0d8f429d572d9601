// SPDX-License-Identifier: Apache-2.0
// Real packets of a port as they pass: what the datapath has seen, with names.
#include "operate/operate.h"

#include <errno.h>
#include <stdlib.h>

#include "operate/describe.h"
#include "operate/packet_filter.h"
#include "base/json.h"

int weft_operate_find(const struct operate *op, const char *what, const char **id, struct err *err)
{
	const struct object *o;
	struct err none;
	int ret;

	if (weft_find_uplink(op->model, what, &o, &none) == 0) {
		*id = o->id;
		return 0;
	}
	ret = weft_find_object(op->model, RES_PORT, what, &o, err);
	if (ret != 0)
		return ret;
	if (weft_planner_port(op->planner, o->id) == NULL)
		return weft_fail(err, -ENOENT, "port %s: it is not bound to this node (%s)", o->id,
				 op->host);
	*id = o->id;
	return 0;
}

int weft_operate_watch(const struct operate *op, const json_t *body, json_t **out, struct err *err)
{
	const char *text = weft_json_text(body, "filter"), *what, *id;
	struct datapath_filter filter;
	uint32_t watch;
	int ret = weft_json_need_text(body, "port", &what, err);

	if (ret == 0)
		ret = weft_operate_find(op, what, &id, err);
	if (ret == 0)
		ret = weft_packet_filter(text == NULL ? "" : text, &filter, err);
	if (ret == 0)
		ret = op->ops->watch(op->datapath, id, &filter, &watch, err);
	if (ret == 0)
		*out = json_pack("{s:I, s:s, s:o}", "watch", (json_int_t)watch, "port", id,
				 "port_name", weft_port_name(op->model, id));
	return ret;
}

// The rule's phrase beside its id.
static void tell_rule(const struct operate *op, json_t *packet, const char *key, const char *as)
{
	const char *rule = weft_json_text(packet, key);
	struct text phrase = {0};

	if (rule == NULL)
		return;
	weft_describe_rule(op->model, rule, &phrase);
	if (phrase.s != NULL && phrase.s[0] != '\0')
		json_object_set_new(packet, as, json_string(phrase.s));
	weft_text_fini(&phrase);
}

static void name_packet(const struct operate *op, json_t *packet)
{
	const char *in = weft_json_text(packet, "in_port");
	json_t *names = json_array(), *v;
	size_t i;

	json_array_foreach(weft_json_array(packet, "out_ports"), i, v)
		json_array_append_new(names, weft_port_name(op->model, json_string_value(v)));
	json_object_set_new(packet, "out_port_names", names);
	if (in != NULL)
		json_object_set_new(packet, "in_port_name", weft_port_name(op->model, in));
	tell_rule(op, packet, "egress_rule", "egress_rule_text");
	tell_rule(op, packet, "ingress_rule", "ingress_rule_text");
}

int weft_operate_watched(const struct operate *op, const char *number, json_t **out,
			 struct err *err)
{
	json_t *packet;
	size_t i;
	int ret = op->ops->watched(op->datapath, (uint32_t)strtoul(number, NULL, 10), out, err);

	if (ret != 0)
		return ret;
	json_array_foreach(weft_json_array(*out, "packets"), i, packet)
		name_packet(op, packet);
	return 0;
}

int weft_operate_unwatch(const struct operate *op, const json_t *body, json_t **out,
			 struct err *err)
{
	uint32_t watch = (uint32_t)weft_json_int(body, "watch", 0);

	(void)err;
	op->ops->unwatch(op->datapath, watch);
	*out = json_pack("{s:I}", "watch", (json_int_t)watch);
	return 0;
}
