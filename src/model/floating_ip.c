// SPDX-License-Identifier: Apache-2.0
// Floating IPs: addresses of external networks that lead to addresses of ports. The address is
// held by a port of its own on the external network, which is nobody's.
#include "model/floating_ip.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/index.h"
#include "model/network.h"
#include "model/port.h"
#include "model/resource.h"
#include "model/txn.h"

int weft_floating_ip_bad(struct err *err, const char *fmt, ...)
{
	char reason[WEFT_ERR_MAX];
	va_list args;
	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	return weft_fail_as(err, -EINVAL, "BadRequest", "Bad floatingip request: %s.", reason);
}

// clang-format off
static const struct attr attrs[] = {
	ATTR("id", NULL, 0),
	ATTR("floating_ip_address", weft_attr_ip, ATTR_POST | ATTR_NULL | ATTR_ADMIN, .initial = "null"),
	ATTR("subnet_id", weft_attr_uuid, ATTR_POST | ATTR_NULL | ATTR_WRITE_ONLY),
	ATTR("floating_network_id", weft_attr_uuid, ATTR_POST | ATTR_REQUIRED),
	ATTR("router_id", NULL, 0),
	ATTR("port_id", weft_attr_uuid, ATTR_RW | ATTR_NULL),
	ATTR("fixed_ip_address", weft_attr_ip, ATTR_RW | ATTR_NULL),
	ATTR("status", NULL, ATTR_RENDERED),
	ATTR("port_details", NULL, ATTR_RENDERED),
	ATTR("port_forwardings", NULL, ATTR_RENDERED),
	ATTR("tags", weft_attr_tags, ATTR_POST | ATTR_NULL_CLEARS, .initial = "[]"),
	ATTRS_TAIL,
	{0},
};
// clang-format on

static int check_network(const struct model *m, const struct caller *who, const char *network_id,
			 struct err *err)
{
	const struct object *network = weft_resource_get(m, who, RES_NETWORK, network_id, err);
	if (network == NULL)
		return -ENOENT;
	if (!weft_network_is_external(network))
		return weft_floating_ip_bad(err, "Network %s is not a valid external network",
					    network_id);
	return 0;
}

// The port that holds the address: the one that was asked for, or a free one.
static int hold_address(struct txn *t, const json_t *given, json_t *obj, struct err *err)
{
	const char *network_id = weft_json_text(obj, "floating_network_id");
	const char *ip = weft_json_text(given, "floating_ip_address");
	const char *subnet_id = weft_json_text(given, "subnet_id");
	weft_auto(json) body = json_pack("{s:s, s:s, s:s, s:s}", "project_id", "", "network_id",
					 network_id, "device_id", weft_json_text(obj, "id"),
					 "device_owner", WEFT_FLOATING_IP_OWNER);
	if (ip != NULL || subnet_id != NULL) {
		json_t *fixed = json_object();
		if (ip != NULL)
			json_object_set_new(fixed, "ip_address", json_string(ip));
		if (subnet_id != NULL)
			json_object_set_new(fixed, "subnet_id", json_string(subnet_id));
		json_object_set_new(body, "fixed_ips", json_pack("[o]", fixed));
	}
	const struct object *port;
	const json_t *fixed;
	int ret = weft_txn_create(t, &weft_caller_model, RES_PORT, body, &port, err);
	if (ret < 0)
		return ret;
	if (weft_floating_ip_v4(port->attr, &fixed) == 0)
		return weft_fail_as(err, -EINVAL, "ExternalIpAddressExhausted",
				    "Unable to find any IP address on external network %s.",
				    network_id);
	json_object_set(obj, "floating_ip_address", json_object_get(fixed, "ip_address"));
	return 0;
}

static int create(struct txn *t, const struct caller *who, const json_t *given, json_t *obj,
		  struct err *err)
{
	const struct model *m = weft_txn_model(t);
	int ret = check_network(m, who, weft_json_text(obj, "floating_network_id"), err);
	if (ret == 0)
		ret = hold_address(t, given, obj, err);
	if (ret == 0)
		ret = weft_floating_ip_associate(m, who, NULL, given, obj, err);
	return ret;
}

static int update(struct txn *t, const struct caller *who, const struct object *old,
		  const json_t *given, json_t *obj, struct err *err)
{
	return weft_floating_ip_associate(weft_txn_model(t), who, old, given, obj, err);
}

static int remove_floating_ip(struct txn *t, const struct caller *who, const struct object *o,
			      struct err *err)
{
	(void)who;
	const struct model *m = weft_txn_model(t);
	if (weft_index_count(m, REF_FLOATING_IP_FORWARDINGS, o->id) > 0)
		return weft_fail_as(err, -EBUSY, "FipInUseByPortForwarding",
				    "Floating IP %s in use by Port Forwarding resources.", o->id);
	size_t n;
	const struct object **ports = weft_index_collect(m, REF_FLOATING_IP_PORTS, o->id, &n);
	for (size_t i = 0; i < n; i++)
		weft_port_remove(t, ports[i]);
	free(ports);
	return 0;
}

static json_t *port_details(const struct model *m, const json_t *floating_ip)
{
	static const char *const keys[] = {"name",	     "network_id", "mac_address",
					   "admin_state_up", "device_id",  "device_owner"};
	const char *port_id = weft_json_text(floating_ip, "port_id");
	const struct object *port = port_id == NULL ? NULL : weft_model_get(m, RES_PORT, port_id);
	if (port == NULL)
		return json_null();
	json_t *details = json_object();
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		json_object_set(details, keys[i], json_object_get(port->attr, keys[i]));
	json_object_set_new(details, "status", json_string(weft_port_status(m, port)));
	return details;
}

static json_t *forwardings(const struct model *m, const struct object *o)
{
	// As Neutron: the forwarding itself has the ranges.
	static const char *const keys[] = {"id",
					   "protocol",
					   "internal_port_id",
					   "internal_ip_address",
					   "internal_port",
					   "external_port"};
	json_t *list = json_array();
	size_t n;
	const struct object **all = weft_index_collect(m, REF_FLOATING_IP_FORWARDINGS, o->id, &n);
	for (size_t i = 0; i < n; i++) {
		json_t *one = json_object();
		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
			json_object_set(one, keys[k], json_object_get(all[i]->attr, keys[k]));
		json_array_append_new(list, one);
	}
	free(all);
	return list;
}

static void render(const struct model *m, const struct object *o, json_t *shown)
{
	bool leads = weft_json_text(o->attr, "router_id") != NULL;
	json_object_set_new(shown, "status", json_string(leads ? "ACTIVE" : "DOWN"));
	json_object_set_new(shown, "port_details", port_details(m, o->attr));
	json_object_set_new(shown, "port_forwardings", forwardings(m, o));
}

const struct resource_ops weft_floating_ip_ops = {
	.name = "floatingip",
	.plural = "floatingips",
	.url = "floatingips",
	.not_found = "FloatingIPNotFound",
	.not_found_text = "Floating IP %s could not be found",
	.attrs = attrs,
	.create = create,
	.update = update,
	.remove = remove_floating_ip,
	.render = render,
};
