// SPDX-License-Identifier: Apache-2.0
// Port forwardings, which are below their floating IP: /v2.0/floatingips/ID/port_forwardings/ID.
// Once it is clear which ones are meant, they are handled as any other object.
#include "north/api/call.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "model/resource.h"

enum { FLOATING_IP_SEGMENT = 2, FORWARDING_SEGMENT = 4 };

static int enter_floating_ip(struct api_call *c, struct err *err)
{
	const struct object *floating_ip;

	c->parent_id = c->target.segments[FLOATING_IP_SEGMENT];
	c->type = RES_PORT_FORWARDING;
	return weft_call_get(c, RES_FLOATING_IP, c->parent_id, &floating_ip, err);
}

static int enter_forwarding(struct api_call *c, struct err *err)
{
	const struct object *o;

	int ret = enter_floating_ip(c, err);
	if (ret < 0)
		return ret;
	c->id = c->target.segments[FORWARDING_SEGMENT];
	ret = weft_call_get(c, RES_PORT_FORWARDING, c->id, &o, err);
	if (ret == 0 && strcmp(weft_json_text(o->attr, "floatingip_id"), c->parent_id) != 0)
		ret = weft_resource_not_found(RES_PORT_FORWARDING, c->id, err);
	return ret;
}

// Which floating IP it is of is the path's to say.
static int put_parent(const struct api_call *c, json_t *item, struct err *err)
{
	if (json_object_get(item, "floatingip_id") != NULL)
		return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
				    "Unrecognized attribute(s) 'floatingip_id'");
	if (json_is_object(item))
		json_object_set_new(item, "floatingip_id", json_string(c->parent_id));
	return 0;
}

int weft_handle_forwardings_create(struct api_call *c, struct err *err)
{
	json_t *item;
	size_t i;

	int ret = enter_floating_ip(c, err);
	if (ret == 0)
		ret = put_parent(c, json_object_get(c->body, "port_forwarding"), err);
	json_array_foreach(weft_json_array(c->body, "port_forwardings"), i, item) {
		if (ret == 0)
			ret = put_parent(c, item, err);
	}
	return ret < 0 ? ret : weft_handle_create(c, err);
}

int weft_handle_forwardings_list(struct api_call *c, struct err *err)
{
	int ret = enter_floating_ip(c, err);
	return ret < 0 ? ret : weft_handle_list(c, err);
}

int weft_handle_forwarding_show(struct api_call *c, struct err *err)
{
	int ret = enter_forwarding(c, err);
	return ret < 0 ? ret : weft_handle_show(c, err);
}

int weft_handle_forwarding_update(struct api_call *c, struct err *err)
{
	int ret = enter_forwarding(c, err);
	return ret < 0 ? ret : weft_handle_update(c, err);
}

int weft_handle_forwarding_delete(struct api_call *c, struct err *err)
{
	int ret = enter_forwarding(c, err);
	return ret < 0 ? ret : weft_handle_delete(c, err);
}
