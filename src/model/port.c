// SPDX-License-Identifier: Apache-2.0
// Ports: identity, security and what they refer to.
#include "model/port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/addr.h"
#include "base/json.h"
#include "base/text.h"
#include "model/floating_ip.h"
#include "model/index.h"
#include "model/port_attr.h"
#include "model/resource.h"
#include "model/router.h"
#include "model/security_group.h"
#include "model/txn.h"

enum { MAC_KEY = WEFT_ID_LEN + 1 + WEFT_MAC_STRLEN, PREFIX = 11, MAC_TRIES = 64 };

static bool owner_is_one_of(const json_t *port, const char *const *owners)
{
	const char *owner = weft_json_text(port, "device_owner");
	for (size_t i = 0; owner != NULL && owners[i] != NULL; i++)
		if (strcmp(owner, owners[i]) == 0)
			return true;
	return false;
}

static bool is_service_owner(const char *owner)
{
	return owner != NULL && strncmp(owner, "network:", strlen("network:")) == 0;
}

bool weft_port_is_trusted(const json_t *port)
{
	return is_service_owner(weft_json_text(port, "device_owner"));
}

bool weft_port_is_router(const json_t *port)
{
	static const char *const owners[] = {"network:router_interface",
					     "network:router_interface_distributed",
					     "network:ha_router_replicated_interface",
					     "network:router_centralized_snat", NULL};
	return owner_is_one_of(port, owners);
}

bool weft_port_is_interface(const json_t *port)
{
	static const char *const owners[] = {"network:router_interface",
					     "network:router_interface_distributed",
					     "network:ha_router_replicated_interface", NULL};
	const char *router_id = weft_json_text(port, "device_id");
	return router_id != NULL && router_id[0] != '\0' && owner_is_one_of(port, owners);
}

static bool serves_device(const json_t *port, const char *owner)
{
	const char *has = weft_json_text(port, "device_owner");
	const char *device_id = weft_json_text(port, "device_id");
	return has != NULL && strcmp(has, owner) == 0 && device_id != NULL && device_id[0] != '\0';
}

bool weft_port_is_gateway(const json_t *port)
{
	return serves_device(port, WEFT_GATEWAY_OWNER);
}

bool weft_port_is_floating(const json_t *port)
{
	return serves_device(port, WEFT_FLOATING_IP_OWNER);
}

bool weft_port_is_auto_deleted(const json_t *port)
{
	static const char *const owners[] = {"network:dhcp", "network:distributed",
					     "network:floatingip_agent_gateway", NULL};
	return owner_is_one_of(port, owners);
}

// MACs are unique in a network; the same one in two networks is two different ports.
static const char *mac_key(const json_t *port, char key[MAC_KEY])
{
	snprintf(key, MAC_KEY, "%.36s %.17s", weft_json_text(port, "network_id"),
		 weft_json_text(port, "mac_address"));
	return key;
}

static const char *prefix_of(const char *id, char prefix[PREFIX + 1])
{
	memcpy(prefix, id, PREFIX);
	prefix[PREFIX] = '\0';
	return prefix;
}

static void index_port(struct model *m, const struct object *o, bool add)
{
	char key[MAC_KEY], prefix[PREFIX + 1];
	mac_key(o->attr, key);
	prefix_of(o->id, prefix);
	if (add) {
		weft_map_put(m->ports_by_mac, key, (void *)o);
		weft_map_put(m->ports_by_prefix, prefix, (void *)o);
	} else {
		weft_map_del(m->ports_by_mac, key);
		weft_map_del(m->ports_by_prefix, prefix);
	}
	weft_fixed_ips_index(m, o->attr, add);
}

static int load(const struct model *m, json_t *obj, struct err *err)
{
	struct mac_addr mac;
	const char *text = weft_json_text(obj, "mac_address");
	if (weft_json_text(obj, "network_id") == NULL || text == NULL ||
	    weft_mac_parse(text, &mac) < 0)
		return weft_fail(err, -EINVAL,
				 "stored port %s has no valid network_id or mac_address",
				 weft_json_text(obj, "id"));
	weft_port_bind(m, obj);
	return 0;
}

// Tap names and sockets have only the beginning of the id, so that must be unique on its own.
static void ensure_prefix(const struct model *m, json_t *obj)
{
	char id[WEFT_ID_LEN + 1], prefix[PREFIX + 1];
	while (weft_map_get(m->ports_by_prefix, prefix_of(weft_json_text(obj, "id"), prefix)) !=
	       NULL) {
		weft_uuid_new(id);
		json_object_set_new(obj, "id", json_string(id));
	}
}

static int check_mac(const struct model *m, const json_t *obj, struct err *err)
{
	char key[MAC_KEY];
	const struct object *holder = weft_map_get(m->ports_by_mac, mac_key(obj, key));
	if (holder == NULL || strcmp(holder->id, weft_json_text(obj, "id")) == 0)
		return 0;
	return weft_fail_as(err, -EBUSY, "MacAddressInUse",
			    "Unable to complete operation for network %s. The mac address %s is in "
			    "use.",
			    weft_json_text(obj, "network_id"), weft_json_text(obj, "mac_address"));
}

static int generate_mac(const struct model *m, json_t *obj, struct err *err)
{
	struct mac_addr mac = {{0xfa, 0x16, 0x3e}};
	char text[WEFT_MAC_STRLEN], key[MAC_KEY];
	for (int i = 0; i < MAC_TRIES; i++) {
		if (getrandom(mac.b + 3, 3, 0) != 3)
			abort();
		json_object_set_new(obj, "mac_address", json_string(weft_mac_text(&mac, text)));
		if (weft_map_get(m->ports_by_mac, mac_key(obj, key)) == NULL)
			return 0;
	}
	return weft_fail_as(err, -ENOSPC, "MacAddressGenerationFailure",
			    "Unable to generate unique mac on network %s.",
			    weft_json_text(obj, "network_id"));
}

// What only the network's owner may ask for: identity, trust and freedom from the filter.
static int check_rights(const struct caller *who, const struct object *network, const char *verb,
			const json_t *given, struct err *err)
{
	size_t i;
	json_t *v;
	const char *denied = NULL;
	if (weft_caller_owns(who, network))
		return 0;
	for (const struct attr *a = weft_port_attrs; a->name != NULL; a++)
		if ((a->flags & ATTR_NET_OWNER) != 0 && json_object_get(given, a->name) != NULL)
			denied = a->name;
	if (is_service_owner(weft_json_text(given, "device_owner")))
		denied = "device_owner";
	json_array_foreach(weft_json_array(given, "fixed_ips"), i, v) {
		if (json_object_get(v, "ip_address") != NULL)
			denied = "fixed_ips:ip_address";
	}
	if (denied == NULL)
		return 0;
	return weft_fail_as(err, -EPERM, "PolicyNotAuthorized",
			    "rule:%s_port:%s is disallowed by policy", verb, denied);
}

static bool is_list(const json_t *obj, const char *key)
{
	return json_array_size(json_object_get(obj, key)) > 0;
}

// Groups and pairs mean nothing without the filter; a port must not look filtered when it is not.
static int check_security(const json_t *given, const json_t *obj, struct err *err)
{
	bool filtered = weft_json_bool(obj, "port_security_enabled", true);
	bool asks_groups = is_list(given, "security_groups");
	if (!filtered && is_list(obj, "allowed_address_pairs"))
		return weft_fail_as(
			err, -EBUSY, "AddressPairAndPortSecurityRequired",
			"Port Security must be enabled in order to have allowed address "
			"pairs on a port.");
	if (asks_groups && !filtered)
		return weft_fail_as(
			err, -EBUSY, "PortSecurityAndIPRequiredForSecurityGroups",
			"Port security must be enabled and port must have an IP address in "
			"order to use security groups.");
	if (!filtered && is_list(obj, "security_groups"))
		return weft_fail_as(
			err, -EBUSY, "PortSecurityPortHasSecurityGroup",
			"Port has security group associated. Cannot disable port security "
			"or IP address until security group is removed.");
	return 0;
}

// Every group exists for the caller, and all or none of them are stateful.
static int check_groups(const struct model *m, const struct caller *who, const json_t *obj,
			struct err *err)
{
	size_t i, stateful = 0;
	json_t *v;
	json_t *groups = weft_json_array(obj, "security_groups");
	json_array_foreach(groups, i, v) {
		const struct object *group =
			weft_resource_get(m, who, RES_SECURITY_GROUP, json_string_value(v), err);
		if (group == NULL)
			return -ENOENT;
		stateful += weft_json_bool(group->attr, "stateful", true);
	}
	if (stateful != 0 && stateful != json_array_size(groups))
		return weft_fail_as(
			err, -EBUSY, "SecurityGroupConflict",
			"Error Cannot apply both stateful and stateless security groups on "
			"the same port at the same time while attempting the operation.");
	return 0;
}

static int complete_pairs(json_t *obj, struct err *err)
{
	json_t *pairs;
	int ret = weft_address_pairs_complete(json_object_get(obj, "allowed_address_pairs"),
					      weft_json_text(obj, "mac_address"), &pairs, err);
	if (ret == 0)
		json_object_set_new(obj, "allowed_address_pairs", pairs);
	return ret;
}

static int allocate(struct model *m, json_t *obj, const json_t *wanted, const json_t *before,
		    struct err *err)
{
	json_t *fixed;
	int ret = weft_fixed_ips_allocate(m, obj, wanted, before, &fixed, err);
	if (ret == 0)
		json_object_set_new(obj, "fixed_ips", fixed);
	return ret;
}

static int complete_groups(struct txn *t, const struct caller *who, const json_t *given,
			   json_t *obj, struct err *err)
{
	bool filtered = weft_json_bool(obj, "port_security_enabled", true);
	if (json_object_get(given, "security_groups") != NULL || !filtered)
		return check_groups(weft_txn_model(t), who, obj, err);
	const struct object *group =
		weft_security_group_default(t, weft_json_text(obj, "project_id"), err);
	if (group != NULL)
		json_object_set_new(obj, "security_groups", json_pack("[s]", group->id));
	return 0;
}

static int create(struct txn *t, const struct caller *who, const json_t *given, json_t *obj,
		  struct err *err)
{
	struct model *m = weft_txn_model(t);
	const struct object *network =
		weft_resource_get(m, who, RES_NETWORK, weft_json_text(obj, "network_id"), err);
	if (network == NULL)
		return -ENOENT;
	int ret = check_rights(who, network, "create", given, err);
	if (ret < 0)
		return ret;

	ensure_prefix(m, obj);
	if (json_object_get(given, "mac_address") == NULL)
		ret = generate_mac(m, obj, err);
	else
		ret = check_mac(m, obj, err);
	if (ret < 0)
		return ret;

	if (weft_port_is_trusted(obj))
		json_object_set_new(obj, "port_security_enabled", json_false());
	else if (json_object_get(given, "port_security_enabled") == NULL)
		json_object_set(obj, "port_security_enabled",
				json_object_get(network->attr, "port_security_enabled"));

	ret = complete_pairs(obj, err);
	if (ret == 0)
		ret = allocate(m, obj, json_object_get(given, "fixed_ips"), NULL, err);
	if (ret == 0)
		ret = check_security(given, obj, err);
	if (ret == 0)
		ret = weft_router_check_port(m, who, NULL, obj, err);
	if (ret == 0)
		ret = complete_groups(t, who, given, obj, err);
	if (ret < 0)
		return ret;
	json_object_set_new(obj, "extra_dhcp_opts",
			    weft_dhcp_options_merge(NULL, json_object_get(obj, "extra_dhcp_opts")));
	weft_port_bind(m, obj);
	return 0;
}

static int check_mac_change(const struct model *m, const struct object *old, const json_t *obj,
			    struct err *err)
{
	const char *vif = weft_json_text(old->attr, "binding:vif_type");
	if (strcmp(vif, "unbound") != 0 && strcmp(vif, "binding_failed") != 0)
		return weft_fail_as(
			err, -EBUSY, "PortBound",
			"Unable to complete operation on port %s, port is already bound, "
			"port type: %s, old_mac %s, new_mac %s.",
			old->id, vif, weft_json_text(old->attr, "mac_address"),
			weft_json_text(obj, "mac_address"));
	return check_mac(m, obj, err);
}

// A service's port is never filtered, and does not look as if it were: one that becomes such a
// port leaves its groups.
static void make_trusted(const struct object *old, const json_t *given, json_t *obj)
{
	json_object_set_new(obj, "port_security_enabled", json_false());
	if (!weft_port_is_trusted(old->attr) && json_object_get(given, "security_groups") == NULL)
		json_object_set_new(obj, "security_groups", json_array());
}

// What speaks of the port's addresses follows them. (A router that changes its own gateway does
// so itself.)
static void readdressed(struct txn *t, const struct caller *who, const json_t *obj)
{
	weft_floating_ips_leave(t, weft_json_text(obj, "id"), json_object_get(obj, "fixed_ips"));
	if (who != &weft_caller_model)
		weft_router_gateway_follow(t, obj);
}

static int update(struct txn *t, const struct caller *who, const struct object *old,
		  const json_t *given, json_t *obj, struct err *err)
{
	struct model *m = weft_txn_model(t);
	const struct object *network =
		weft_model_get(m, RES_NETWORK, weft_json_text(obj, "network_id"));
	int ret = 0;
	if (network != NULL)
		ret = check_rights(who, network, "update", given, err);
	if (weft_port_is_trusted(obj))
		make_trusted(old, given, obj);
	bool new_mac = !json_equal(json_object_get(obj, "mac_address"),
				   json_object_get(old->attr, "mac_address"));
	if (ret == 0 && new_mac)
		ret = check_mac_change(m, old, obj, err);
	if (ret == 0)
		ret = complete_pairs(obj, err);
	if (ret == 0 && (new_mac || json_object_get(given, "fixed_ips") != NULL))
		ret = allocate(m, obj, json_object_get(obj, "fixed_ips"),
			       json_object_get(old->attr, "fixed_ips"), err);
	if (ret == 0)
		ret = check_security(given, obj, err);
	if (ret == 0 && json_object_get(given, "security_groups") != NULL)
		ret = check_groups(m, who, obj, err);
	if (ret == 0)
		ret = weft_router_check_port(m, who, old->attr, obj, err);
	if (ret < 0)
		return ret;

	const json_t *options = json_object_get(given, "extra_dhcp_opts");
	if (options != NULL)
		json_object_set_new(
			obj, "extra_dhcp_opts",
			weft_dhcp_options_merge(json_object_get(old->attr, "extra_dhcp_opts"),
						options));
	weft_port_bind(m, obj);
	if (!json_equal(json_object_get(obj, "fixed_ips"), json_object_get(old->attr, "fixed_ips")))
		readdressed(t, who, obj);
	return 0;
}

// A router's ports and a floating IP's go with what they are of; what is left of one that is gone
// may go like any port.
static int remove_port(struct txn *t, const struct caller *who, const struct object *o,
		       struct err *err)
{
	(void)who;
	const struct model *m = weft_txn_model(t);
	bool floating = weft_port_is_floating(o->attr) &&
			weft_model_get(m, RES_FLOATING_IP, weft_json_text(o->attr, "device_id"));
	if (!floating && weft_router_of_port(m, o->attr) == NULL) {
		weft_floating_ips_leave(t, o->id, NULL);
		return 0;
	}
	return weft_fail_as(err, -EBUSY, "ServicePortInUse",
			    "Port %s cannot be deleted directly via the port API: has device owner "
			    "%s.",
			    o->id, weft_json_text(o->attr, "device_owner"));
}

void weft_port_remove(struct txn *t, const struct object *port)
{
	weft_floating_ips_leave(t, port->id, NULL);
	weft_txn_remove(t, port);
}

void weft_port_drop_subnet(struct txn *t, const struct object *port, const char *subnet_id)
{
	json_t *kept = json_array();
	size_t i;
	json_t *v;
	json_array_foreach(weft_json_array(port->attr, "fixed_ips"), i, v) {
		if (strcmp(weft_json_text(v, "subnet_id"), subnet_id) != 0)
			json_array_append(kept, v);
	}
	weft_floating_ips_leave(t, port->id, kept);
	if (json_array_size(kept) == 0 && weft_port_is_auto_deleted(port->attr)) {
		json_decref(kept);
		weft_txn_remove(t, port);
		return;
	}
	json_t *obj = json_copy(port->attr);
	json_object_set_new(obj, "fixed_ips", kept);
	port = weft_txn_replace(t, port, obj);
	weft_router_gateway_follow(t, port->attr);
}

int weft_port_join_subnet(struct txn *t, const struct object *port, const char *subnet_id,
			  struct err *err)
{
	const json_t *now = json_object_get(port->attr, "fixed_ips");
	weft_auto(json) wanted = json_copy((json_t *)now);
	json_array_append_new(wanted, json_pack("{s:s}", "subnet_id", subnet_id));
	weft_auto(json) obj = json_copy(port->attr);
	int ret = allocate(weft_txn_model(t), obj, wanted, now, err);
	if (ret < 0)
		return ret;
	port = weft_txn_replace(t, port, weft_take(obj));
	weft_router_gateway_follow(t, port->attr);
	return 0;
}

// The network's owner sees who is on it.
static bool visible(const struct model *m, const struct caller *who, const struct object *o)
{
	const struct object *network =
		weft_model_get(m, RES_NETWORK, weft_json_text(o->attr, "network_id"));
	return network != NULL && weft_caller_owns(who, network);
}

const struct resource_ops weft_port_ops = {
	.name = "port",
	.plural = "ports",
	.url = "ports",
	.not_found = "PortNotFound",
	.not_found_text = "Port %s could not be found.",
	.attrs = weft_port_attrs,
	.create = create,
	.update = update,
	.remove = remove_port,
	.index = index_port,
	.load = load,
	.render = weft_port_render,
	.visible = visible,
};
