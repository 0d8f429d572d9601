// SPDX-License-Identifier: Apache-2.0
// Port forwardings: ports of a floating IP that each lead to a port of a VM.
#include <errno.h>

#include "base/json.h"
#include "model/resource.h"
#include "model/txn.h"

static const char *const protocols[] = {"tcp", "udp", NULL};

// clang-format off
static const struct attr attrs[] = {
	ATTR("id", NULL, 0),
	ATTR("floatingip_id", weft_attr_uuid, ATTR_POST | ATTR_REQUIRED),
	ATTR("protocol", weft_attr_choice, ATTR_RW | ATTR_REQUIRED, .values = protocols),
	ATTR("external_port", weft_attr_int, ATTR_RW, .min = 1, .max = 65535),
	ATTR("external_port_range", weft_attr_text, ATTR_RW),
	ATTR("internal_port", weft_attr_int, ATTR_RW, .min = 1, .max = 65535),
	ATTR("internal_port_range", weft_attr_text, ATTR_RW),
	ATTR("internal_port_id", weft_attr_uuid, ATTR_RW | ATTR_REQUIRED),
	ATTR("internal_ip_address", weft_attr_text, ATTR_RW),
	ATTRS_TAIL,
	{0},
};
// clang-format on

static int create(struct txn *t, const struct caller *who, const json_t *given, json_t *obj,
		  struct err *err)
{
	(void)given;
	const char *id = weft_json_text(obj, "floatingip_id");
	return weft_resource_get(weft_txn_model(t), who, RES_FLOATING_IP, id, err) == NULL ? -ENOENT
											   : 0;
}

const struct resource_ops weft_port_forwarding_ops = {
	.name = "port_forwarding",
	.plural = "port_forwardings",
	.not_found = "PortForwardingNotFound",
	.not_found_text = "Port Forwarding %s could not be found.",
	.attrs = attrs,
	.create = create,
};
