// SPDX-License-Identifier: Apache-2.0
// Port forwardings: ports of a floating IP that each lead to a port of a VM. They are their
// floating IP's: who may change it may change them.
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/floating_ip.h"
#include "model/index.h"
#include "model/resource.h"
#include "model/txn.h"

int weft_port_forwarding_bad(struct err *err, const char *fmt, ...)
{
	char reason[WEFT_ERR_MAX];
	va_list args;
	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	return weft_fail_as(err, -EINVAL, "BadRequest", "Bad port_forwarding request: %s.", reason);
}

static int read_protocol(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	char buf[128];
	int64_t number = -1;
	const char *text = json_string_value(in);
	if (weft_attr_integer_of(in, &number))
		text = number == 6 ? "tcp" : number == 17 ? "udp" : NULL;
	if (text == NULL || (strcasecmp(text, "tcp") != 0 && strcasecmp(text, "udp") != 0))
		return weft_attr_bad(a, err, "'%s' is not in ['tcp', 'udp']",
				     json_is_string(in) ? json_string_value(in)
							: weft_json_quote(in, buf, sizeof(buf)));
	*out = json_string(strcasecmp(text, "tcp") == 0 ? "tcp" : "udp");
	return 0;
}

// clang-format off
static const struct attr attrs[] = {
	ATTR("id", NULL, 0),
	ATTR("floatingip_id", weft_attr_uuid, ATTR_POST | ATTR_REQUIRED),
	ATTR("protocol", read_protocol, ATTR_RW | ATTR_REQUIRED),
	ATTR("external_port", weft_attr_int, ATTR_RW | ATTR_NULL, .min = 1, .max = 65535),
	ATTR("external_port_range", weft_port_range_read, ATTR_RW | ATTR_NULL),
	ATTR("internal_port", weft_attr_int, ATTR_RW | ATTR_NULL, .min = 1, .max = 65535),
	ATTR("internal_port_range", weft_port_range_read, ATTR_RW | ATTR_NULL),
	ATTR("internal_port_id", weft_attr_uuid, ATTR_RW | ATTR_REQUIRED),
	ATTR("internal_ip_address", weft_attr_ip, ATTR_RW | ATTR_NULL),
	ATTRS_TAIL,
	{0},
};
// clang-format on

// The fixed IP that is meant: the one that was given, or the port's first one.
static int choose_fixed(const struct object *port, const char *ip, const json_t **out,
			struct err *err)
{
	if (weft_floating_ip_v4(port->attr, out) == 0)
		return weft_port_forwarding_bad(err,
						"Requested internal port %s must allocate an IPv4 "
						"address at least",
						port->id);
	if (ip == NULL)
		return 0;
	*out = strchr(ip, ':') != NULL
		       ? NULL
		       : weft_floating_ip_fixed(json_object_get(port->attr, "fixed_ips"), ip);
	if (*out == NULL)
		return weft_port_forwarding_bad(err,
						"Requested internal IP address %s is not suitable "
						"for internal neutron port %s",
						ip, port->id);
	return 0;
}

static int check_unassociated(const struct model *m, const struct object *floating_ip,
			      const struct object *port, const char *ip, struct err *err)
{
	if (weft_json_text(floating_ip->attr, "port_id") != NULL)
		return weft_fail_as(
			err, -EBUSY, "FloatingIPPortAlreadyAssociated",
			"Cannot associate floating IP %s (%s) with port %s using fixed IP %s, as "
			"that fixed IP already has a floating IP on external network %s.",
			weft_json_text(floating_ip->attr, "floating_ip_address"), floating_ip->id,
			port->id, ip, weft_json_text(floating_ip->attr, "floating_network_id"));
	size_t n;
	const struct object **all = weft_index_collect(m, REF_PORT_FLOATING_IPS, port->id, &n);
	const struct object *bound = n == 0 ? NULL : all[0];
	free(all);
	if (bound == NULL)
		return 0;
	return weft_fail_as(err, -EBUSY, "PortHasBindingFloatingIP",
			    "Cannot create port forwarding to floating IP %s (%s) with port %s "
			    "using fixed IP %s, as that port already has a binding floating IP.",
			    weft_json_text(bound->attr, "floating_ip_address"), bound->id, port->id,
			    ip);
}

// All of a floating IP's forwardings are one router's.
static int choose_router(const struct model *m, const struct object *floating_ip,
			 const struct object *port, const json_t *fixed,
			 const struct object **router, struct err *err)
{
	const char *external_id = weft_json_text(floating_ip->attr, "floating_network_id");
	const char *router_id = weft_json_text(floating_ip->attr, "router_id");
	*router = weft_floating_ip_router(m, port, fixed, external_id);
	if (*router == NULL)
		return weft_port_forwarding_bad(err,
						"External network %s is not reachable from subnet "
						"%s. Cannot set Port forwarding for port %s with "
						"Floating IP %s",
						external_id, weft_json_text(fixed, "subnet_id"),
						port->id, floating_ip->id);
	if (router_id != NULL && strcmp(router_id, (*router)->id) != 0)
		return weft_port_forwarding_bad(err,
						"The Floating IP %s had been set on router %s, the "
						"internal Neutron port %s can not reach it",
						floating_ip->id, router_id, port->id);
	return 0;
}

// Where it leads, and whether that is possible. *router is the floating IP's router from now on.
static int lead_to(const struct model *m, const struct caller *who,
		   const struct object *floating_ip, const char *wanted_ip, json_t *obj,
		   const struct object **router, struct err *err)
{
	const json_t *fixed = NULL;
	const struct object *port =
		weft_resource_get(m, who, RES_PORT, weft_json_text(obj, "internal_port_id"), err);
	if (port == NULL)
		return -ENOENT;
	if (!who->is_admin && strcmp(port->project_id, floating_ip->project_id) != 0)
		return weft_port_forwarding_bad(err, "Port %s is owned by a different tenant",
						port->id);
	int ret = choose_fixed(port, wanted_ip, &fixed, err);
	if (ret == 0)
		ret = check_unassociated(m, floating_ip, port, weft_json_text(fixed, "ip_address"),
					 err);
	if (ret == 0)
		ret = choose_router(m, floating_ip, port, fixed, router, err);
	if (ret == 0)
		json_object_set(obj, "internal_ip_address", json_object_get(fixed, "ip_address"));
	return ret;
}

static void set_router(struct txn *t, const struct object *floating_ip, json_t *router_id)
{
	json_t *obj = json_copy(floating_ip->attr);
	json_object_set_new(obj, "router_id", router_id);
	if (json_equal(obj, floating_ip->attr))
		json_decref(obj);
	else
		weft_txn_replace(t, floating_ip, obj);
}

// What a forwarding does is part of its floating IP and of the port that it leads to.
static void touch_ends(struct txn *t, const json_t *forwarding)
{
	weft_txn_touch(t, RES_FLOATING_IP, weft_json_text(forwarding, "floatingip_id"));
	weft_txn_touch(t, RES_PORT, weft_json_text(forwarding, "internal_port_id"));
}

static int create(struct txn *t, const struct caller *who, const json_t *given, json_t *obj,
		  struct err *err)
{
	const struct model *m = weft_txn_model(t);
	const struct object *router,
		*floating_ip = weft_resource_get(m, who, RES_FLOATING_IP,
						 weft_json_text(obj, "floatingip_id"), err);
	if (floating_ip == NULL)
		return -ENOENT;
	int ret = weft_port_ranges_complete(given, obj, err);
	if (ret == 0)
		ret = lead_to(m, who, floating_ip, weft_json_text(given, "internal_ip_address"),
			      obj, &router, err);
	if (ret == 0)
		ret = weft_port_ranges_check(m, obj, err);
	if (ret < 0)
		return ret;
	json_object_set_new(obj, "project_id", json_string(floating_ip->project_id));
	set_router(t, floating_ip, json_string(router->id));
	touch_ends(t, obj);
	return 0;
}

static int update(struct txn *t, const struct caller *who, const struct object *old,
		  const json_t *given, json_t *obj, struct err *err)
{
	const struct model *m = weft_txn_model(t);
	const char *floating_ip_id = weft_json_text(obj, "floatingip_id");
	const struct object *router,
		*floating_ip = weft_model_get(m, RES_FLOATING_IP, floating_ip_id);
	if (floating_ip == NULL)
		return weft_resource_not_found(RES_FLOATING_IP, floating_ip_id, err);
	// The ranges as they were, unless the request says otherwise.
	json_object_set(obj, "external_port_range",
			json_object_get(old->attr, "external_port_range"));
	json_object_set(obj, "internal_port_range",
			json_object_get(old->attr, "internal_port_range"));
	const char *ip = weft_json_text(given, "internal_ip_address");
	bool same_port = json_equal(json_object_get(obj, "internal_port_id"),
				    json_object_get(old->attr, "internal_port_id"));
	if (ip == NULL && same_port)
		ip = weft_json_text(old->attr, "internal_ip_address");
	int ret = weft_port_ranges_complete(given, obj, err);
	if (ret == 0)
		ret = lead_to(m, who, floating_ip, ip, obj, &router, err);
	if (ret == 0)
		ret = weft_port_ranges_check(m, obj, err);
	if (ret == 0 && !json_equal(obj, old->attr)) {
		touch_ends(t, old->attr);
		touch_ends(t, obj);
	}
	return ret;
}

static void leave_router(struct txn *t, const struct object *forwarding)
{
	const struct model *m = weft_txn_model(t);
	const char *id = weft_json_text(forwarding->attr, "floatingip_id");
	const struct object *floating_ip = weft_model_get(m, RES_FLOATING_IP, id);
	if (floating_ip != NULL && weft_index_count(m, REF_FLOATING_IP_FORWARDINGS, id) == 1)
		set_router(t, floating_ip, json_null());
}

void weft_port_forwarding_remove(struct txn *t, const struct object *forwarding)
{
	leave_router(t, forwarding);
	weft_txn_touch(t, RES_FLOATING_IP, weft_json_text(forwarding->attr, "floatingip_id"));
	weft_txn_remove(t, forwarding);
}

static int remove_forwarding(struct txn *t, const struct caller *who, const struct object *o,
			     struct err *err)
{
	(void)who;
	(void)err;
	leave_router(t, o);
	touch_ends(t, o->attr);
	return 0;
}

// Neutron shows less of it than of other objects.
static void render(const struct model *m, const struct object *o, json_t *shown)
{
	static const char *const hidden[] = {"floatingip_id", "project_id", "tenant_id",
					     "created_at",    "updated_at", "revision_number"};
	(void)m;
	(void)o;
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		json_object_del(shown, hidden[i]);
}

const struct resource_ops weft_port_forwarding_ops = {
	.name = "port_forwarding",
	.plural = "port_forwardings",
	.not_found = "PortForwardingNotFound",
	.not_found_text = "Port Forwarding %s could not be found.",
	.attrs = attrs,
	.create = create,
	.update = update,
	.remove = remove_forwarding,
	.render = render,
};
