// SPDX-License-Identifier: Apache-2.0
// Floating IPs: addresses of external networks that lead to addresses of ports.
#include "model/floating_ip.h"

#include <errno.h>

#include "base/json.h"
#include "model/resource.h"
#include "model/txn.h"

static int read_ipv4(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	struct ip_addr ip;
	char buf[128];
	const char *text = json_string_value(in);
	if (text == NULL || weft_ip_parse(text, &ip) < 0)
		return weft_attr_bad(a, err, "'%s' is not a valid IP address",
				     text != NULL ? text : weft_json_quote(in, buf, sizeof(buf)));
	*out = json_string(weft_ip_text(&ip, buf));
	return 0;
}

// clang-format off
static const struct attr attrs[] = {
	ATTR("id", NULL, 0),
	ATTR("floating_ip_address", read_ipv4, ATTR_POST | ATTR_NULL | ATTR_ADMIN),
	ATTR("subnet_id", weft_attr_uuid, ATTR_POST | ATTR_NULL | ATTR_WRITE_ONLY),
	ATTR("floating_network_id", weft_attr_uuid, ATTR_POST | ATTR_REQUIRED),
	ATTR("router_id", NULL, 0),
	ATTR("port_id", weft_attr_uuid, ATTR_RW | ATTR_NULL),
	ATTR("fixed_ip_address", read_ipv4, ATTR_RW | ATTR_NULL),
	ATTR("status", NULL, ATTR_RENDERED),
	ATTR("port_details", NULL, ATTR_RENDERED),
	ATTR("port_forwardings", NULL, ATTR_RENDERED),
	ATTR("tags", weft_attr_tags, ATTR_POST | ATTR_NULL_CLEARS, .initial = "[]"),
	ATTRS_TAIL,
	{0},
};
// clang-format on

static int create(struct txn *t, const struct caller *who, const json_t *given, json_t *obj,
		  struct err *err)
{
	(void)given;
	const struct object *network = weft_resource_get(weft_txn_model(t), who, RES_NETWORK,
							 weft_json_text(obj, "floating_network_id"),
							 err);
	if (network == NULL)
		return -ENOENT;
	if (!weft_json_bool(network->attr, "router:external", false))
		return weft_fail_as(err, -EINVAL, "BadRequest",
				    "Bad floatingip request: Network %s is not a valid external "
				    "network.",
				    network->id);
	return 0;
}

const struct resource_ops weft_floating_ip_ops = {
	.name = "floatingip",
	.plural = "floatingips",
	.not_found = "FloatingIPNotFound",
	.not_found_text = "Floating IP %s could not be found",
	.attrs = attrs,
	.create = create,
};
