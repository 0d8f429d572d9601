// SPDX-License-Identifier: Apache-2.0
// Networks: their segment, and what goes with them.
#include "model/network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/index.h"
#include "model/port.h"
#include "model/resource.h"
#include "model/txn.h"

enum { IPV6_MIN_MTU = 1280, VLAN_MAX = 4094, VNI_MAX = (1 << 24) - 1 };

static const char *const network_types[] = {"flat", "geneve", "gre", "local",
					    "vlan", "vxlan",  NULL};

static int read_network_type(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	const char *type = json_string_value(in);
	(void)a;
	for (size_t i = 0; network_types[i] != NULL; i++) {
		if (type != NULL && strcmp(type, network_types[i]) == 0) {
			*out = json_incref((json_t *)in);
			return 0;
		}
	}
	return weft_input_bad(err, "network_type value '%.64s' not supported",
			      type == NULL ? "" : type);
}

static int read_segments(const struct attr *a, const json_t *in, json_t **out, struct err *err);

// clang-format off
static const struct attr attrs[] = {
	ATTRS_HEAD,
	ATTR("status", NULL, 0, .initial = "\"ACTIVE\""),
	ATTR("admin_state_up", weft_attr_bool, ATTR_RW, .initial = "true"),
	ATTR("subnets", NULL, ATTR_RENDERED),
	ATTR("mtu", weft_attr_int, ATTR_RW, .min = 68, .max = 65535),
	ATTR("shared", weft_attr_bool, ATTR_RW | ATTR_ADMIN, .initial = "false"),
	ATTR("router:external", weft_attr_bool, ATTR_RW | ATTR_ADMIN, .initial = "false"),
	ATTR("port_security_enabled", weft_attr_bool, ATTR_RW, .initial = "true"),
	ATTR("provider:network_type", read_network_type, ATTR_POST | ATTR_ADMIN | ATTR_ADMIN_SEES),
	ATTR("provider:physical_network", weft_attr_text, ATTR_POST | ATTR_NULL | ATTR_ADMIN | ATTR_ADMIN_SEES, .max = 31),
	ATTR("provider:segmentation_id", weft_attr_int, ATTR_RW | ATTR_NULL | ATTR_ADMIN | ATTR_ADMIN_SEES, .min = 0, .max = VNI_MAX),
	ATTR("segments", read_segments, ATTR_POST | ATTR_NULL | ATTR_ADMIN | ATTR_WRITE_ONLY),
	ATTR("dns_domain", weft_attr_text, ATTR_RW | ATTR_NULL_CLEARS, .initial = "\"\"", .max = 255),
	ATTR("tags", weft_attr_tags, ATTR_POST | ATTR_NULL_CLEARS, .initial = "[]"),
	ATTRS_TAIL,
	{0},
};
// clang-format on

// The provider attributes in a list of their own, as some clients send them. One segment is what
// a network has here.
static int read_segments(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	static const char *const keys[] = {"provider:network_type", "provider:physical_network",
					   "provider:segmentation_id", NULL};
	const json_t *segment = json_array_get(in, 0);
	if (json_array_size(in) != 1 || !json_is_object(segment))
		return weft_attr_bad(a, err,
				     "a list of one segment is needed: networks of several "
				     "are not served");
	int ret = weft_attr_known_keys(a, segment, keys, err);
	weft_auto(json) given = json_object();
	for (size_t i = 0; keys[i] != NULL && ret == 0; i++) {
		const struct attr *part = weft_attr_find(attrs, keys[i]);
		const json_t *v = json_object_get(segment, keys[i]);
		json_t *value = NULL;
		if (v == NULL || json_is_null(v))
			continue;
		ret = part->read(part, v, &value, err);
		if (ret == 0)
			json_object_set_new(given, keys[i], value);
	}
	if (ret == 0)
		*out = weft_take(given);
	return ret;
}

static int take_segment(const json_t *given, json_t *obj, struct err *err)
{
	const json_t *segment = json_object_get(given, "segments");
	const char *key;
	json_t *v;
	if (!json_is_object(segment))
		return 0;
	json_object_foreach((json_t *)given, key, v) {
		if (strncmp(key, "provider:", strlen("provider:")) == 0 && !json_is_null(v))
			return weft_fail_as(err, -EINVAL, "SegmentsSetInConjunctionWithProviders",
					    "Segments and provider values cannot both be set.");
	}
	json_object_update(obj, (json_t *)segment);
	return 0;
}

bool weft_network_is_external(const struct object *network)
{
	return weft_json_bool(network->attr, "router:external", false);
}

bool weft_network_is_shared(const struct object *network)
{
	return weft_json_bool(network->attr, "shared", false);
}

static bool is_tunnel(const char *type)
{
	return strcmp(type, "vxlan") == 0 || strcmp(type, "geneve") == 0 ||
	       strcmp(type, "gre") == 0;
}

// What no two networks share: a VLAN of a physical network, a flat physical network, a tunnel's id.
// "" when there is nothing of the kind.
static void segment_key(const json_t *obj, char key[128])
{
	const char *type = weft_json_text(obj, "provider:network_type");
	const char *physical = weft_json_text(obj, "provider:physical_network");
	int64_t id = weft_json_int(obj, "provider:segmentation_id", 0);
	key[0] = '\0';
	if (type != NULL && strcmp(type, "local") != 0)
		snprintf(key, 128, "%.16s %.64s %lld", type, physical == NULL ? "" : physical,
			 (long long)id);
}

static void index_network(struct model *m, const struct object *o, bool add)
{
	char key[128];
	segment_key(o->attr, key);
	if (key[0] == '\0')
		return;
	if (add)
		weft_map_put(m->segments, key, (void *)o);
	else
		weft_map_del(m->segments, key);
}

static int check_segment_free(const struct model *m, const json_t *obj, struct err *err)
{
	char key[128];
	segment_key(obj, key);
	if (key[0] == '\0' || weft_map_get(m->segments, key) == NULL)
		return 0;
	const char *type = weft_json_text(obj, "provider:network_type");
	const char *physical = weft_json_text(obj, "provider:physical_network");
	long long id = (long long)weft_json_int(obj, "provider:segmentation_id", 0);
	if (strcmp(type, "flat") == 0)
		return weft_fail_as(
			err, -EBUSY, "FlatNetworkInUse",
			"Unable to create the flat network. Physical network %s is in use.",
			physical);
	if (strcmp(type, "vlan") == 0)
		return weft_fail_as(
			err, -EBUSY, "VlanIdInUse",
			"Unable to create the network. The VLAN %lld on physical network "
			"%s is in use.",
			id, physical);
	return weft_fail_as(err, -EBUSY, "TunnelIdInUse",
			    "Unable to create the network. The tunnel ID %lld is in use.", id);
}

// A free id for a network that named none: the lowest VLAN, or the next tunnel id.
static int allocate_segment(struct model *m, json_t *obj, int64_t max, struct err *err)
{
	bool tunnel = max == VNI_MAX;
	char key[128];
	for (int64_t tried = 0; tried < max; tried++) {
		int64_t id = tunnel ? (m->next_vni + tried - 1) % max + 1 : tried + 1;
		json_object_set_new(obj, "provider:segmentation_id", json_integer(id));
		segment_key(obj, key);
		if (weft_map_get(m->segments, key) == NULL) {
			if (tunnel)
				m->next_vni = (uint32_t)(id % max + 1);
			return 0;
		}
	}
	return weft_fail_as(err, -ENOSPC, "NoNetworkAvailable",
			    "Unable to create the network. No tenant network is available for "
			    "allocation.");
}

static int check_segmentation_range(const json_t *obj, struct err *err)
{
	const char *type = weft_json_text(obj, "provider:network_type");
	int64_t id = weft_json_int(obj, "provider:segmentation_id", 0);
	int64_t max = is_tunnel(type) ? VNI_MAX : VLAN_MAX;
	if (id < 1 || id > max)
		return weft_input_bad(err, "segmentation_id out of range (1 through %lld)",
				      (long long)max);
	return 0;
}

static int check_physical(const struct model *m, const json_t *obj, struct err *err)
{
	const char *type = weft_json_text(obj, "provider:network_type");
	const char *physical = weft_json_text(obj, "provider:physical_network");
	for (size_t i = 0; i < m->config.n_physical_networks; i++)
		if (strcmp(m->config.physical_networks[i], physical) == 0)
			return 0;
	return weft_input_bad(err, "physical_network '%s' unknown for %s provider network",
			      physical, strcmp(type, "vlan") == 0 ? "VLAN" : type);
}

// Which of the three provider attributes a type needs, and which it cannot have.
static int complete_segment(struct model *m, json_t *obj, struct err *err)
{
	bool has_type = json_is_string(json_object_get(obj, "provider:network_type"));
	bool has_physical = json_is_string(json_object_get(obj, "provider:physical_network"));
	bool has_id = json_is_integer(json_object_get(obj, "provider:segmentation_id"));
	if (!has_type && (has_physical || has_id))
		return weft_input_bad(err, "network_type required");
	if (!has_type)
		json_object_set_new(obj, "provider:network_type", json_string("vxlan"));

	const char *type = weft_json_text(obj, "provider:network_type");
	bool is_vlan = strcmp(type, "vlan") == 0, is_flat = strcmp(type, "flat") == 0;
	if ((is_vlan || is_flat) && !has_physical)
		return weft_input_bad(err, "physical_network required for %s provider network",
				      type);
	if (!is_vlan && !is_flat && has_physical)
		return weft_input_bad(err, "provider:physical_network specified for %s network",
				      type);
	if (!is_vlan && !is_tunnel(type) && has_id)
		return weft_input_bad(err, "segmentation_id specified for %s network", type);
	if (has_physical) {
		int ret = check_physical(m, obj, err);
		if (ret < 0)
			return ret;
	}
	if (is_vlan || is_tunnel(type)) {
		int ret = has_id ? check_segmentation_range(obj, err)
				 : allocate_segment(m, obj, is_vlan ? VLAN_MAX : VNI_MAX, err);
		if (ret < 0)
			return ret;
	}
	return check_segment_free(m, obj, err);
}

// The physical network carries no more. A tunnel's network is on this node only.
static int check_physnet_mtu(const struct model *m, const json_t *obj, struct err *err)
{
	if (weft_json_text(obj, "provider:physical_network") == NULL ||
	    weft_json_int(obj, "mtu", 0) <= m->config.physnet_mtu)
		return 0;
	return weft_input_bad(err, "Requested MTU is too big, maximum is %u",
			      m->config.physnet_mtu);
}

static int create(struct txn *t, const struct caller *who, const json_t *given, json_t *obj,
		  struct err *err)
{
	(void)who;
	struct model *m = weft_txn_model(t);
	if (json_object_get(given, "mtu") == NULL)
		json_object_set_new(obj, "mtu", json_integer(m->config.physnet_mtu));
	int ret = take_segment(given, obj, err);
	if (ret == 0)
		ret = complete_segment(m, obj, err);
	return ret < 0 ? ret : check_physnet_mtu(m, obj, err);
}

int weft_network_check_mtu(const struct model *m, const char *network_id, int64_t mtu,
			   int64_t new_ip_version, struct err *err)
{
	bool has_v6 = new_ip_version == 6;
	size_t n;
	const struct object **subnets = weft_index_collect(m, REF_NETWORK_SUBNETS, network_id, &n);
	for (size_t i = 0; i < n; i++)
		has_v6 |= weft_json_int(subnets[i]->attr, "ip_version", 4) == 6;
	free(subnets);
	if (!has_v6 || mtu >= IPV6_MIN_MTU)
		return 0;
	return weft_fail_as(err, -EBUSY, "NetworkMTUSubnetConflict",
			    "MTU of %s is not valid, subnet requires a minimum of %d.", network_id,
			    IPV6_MIN_MTU);
}

// A network that stops being shared must have no strangers left on it.
static int check_unshare(const struct model *m, const struct object *old, struct err *err)
{
	size_t n;
	bool strangers = false;
	const struct object **ports = weft_index_collect(m, REF_NETWORK_PORTS, old->id, &n);
	for (size_t i = 0; i < n; i++)
		strangers |= strcmp(ports[i]->project_id, old->project_id) != 0 &&
			     !weft_port_is_trusted(ports[i]->attr);
	free(ports);
	if (!strangers)
		return 0;
	return weft_fail_as(
		err, -EBUSY, "InvalidSharedSetting",
		"Unable to reconfigure sharing settings for network %s. Multiple tenants "
		"are using it.",
		old->id);
}

// What leads outside through the network keeps it external.
static int check_not_leading_outside(const struct model *m, const struct object *old,
				     struct err *err)
{
	bool gateways = weft_index_count(m, REF_NETWORK_GATEWAY_PORTS, old->id) > 0;
	bool floating = weft_index_count(m, REF_NETWORK_FLOATING_IPS, old->id) > 0;
	if (!gateways && !floating)
		return 0;
	return weft_fail_as(err, -EBUSY, "ExternalNetworkInUse",
			    "External network %s cannot be updated to be made non-external, since "
			    "it has existing %s.",
			    old->id, gateways ? "gateway ports" : "floating IPs");
}

static int update(struct txn *t, const struct caller *who, const struct object *old,
		  const json_t *given, json_t *obj, struct err *err)
{
	(void)who;
	const struct model *m = weft_txn_model(t);
	int ret = 0;
	if (weft_network_is_external(old) && !weft_json_bool(obj, "router:external", false))
		ret = check_not_leading_outside(m, old, err);
	if (ret < 0)
		return ret;
	if (json_object_get(given, "mtu") != NULL) {
		ret = weft_network_check_mtu(m, old->id, weft_json_int(obj, "mtu", 0), 0, err);
		if (ret == 0)
			ret = check_physnet_mtu(m, obj, err);
	}
	if (ret == 0 && json_is_false(json_object_get(given, "shared")) &&
	    weft_json_bool(old->attr, "shared", false))
		ret = check_unshare(m, old, err);
	if (ret < 0)
		return ret;

	if (json_equal(json_object_get(obj, "provider:segmentation_id"),
		       json_object_get(old->attr, "provider:segmentation_id")))
		return 0;
	const char *type = weft_json_text(obj, "provider:network_type");
	if (strcmp(type, "vlan") != 0 && !is_tunnel(type))
		return weft_input_bad(err, "segmentation_id specified for %s network", type);
	ret = check_segmentation_range(obj, err);
	if (ret < 0)
		return ret;
	return check_segment_free(m, obj, err);
}

// Floating IPs that lead nowhere do not keep their network alive.
static int remove_idle_floating_ips(struct txn *t, const struct object *network, struct err *err)
{
	int ret = 0;
	size_t n;
	const struct object **all =
		weft_index_collect(weft_txn_model(t), REF_NETWORK_FLOATING_IPS, network->id, &n);
	for (size_t i = 0; i < n && ret == 0; i++)
		if (weft_json_text(all[i]->attr, "router_id") == NULL)
			ret = weft_txn_delete(t, &weft_caller_model, RES_FLOATING_IP, all[i]->id,
					      err);
	free(all);
	return ret;
}

// Ports that Neutron's own services made go with the network, and so do its subnets; others keep
// it alive.
static int remove_network(struct txn *t, const struct caller *who, const struct object *o,
			  struct err *err)
{
	(void)who;
	const struct model *m = weft_txn_model(t);
	int ret = remove_idle_floating_ips(t, o, err);
	if (ret < 0)
		return ret;
	size_t n;
	const struct object **all = weft_index_collect(m, REF_NETWORK_PORTS, o->id, &n);
	const struct object *kept = NULL;
	for (size_t i = 0; i < n && kept == NULL; i++)
		if (!weft_port_is_auto_deleted(all[i]->attr))
			kept = all[i];
	for (size_t i = 0; i < n && kept == NULL; i++)
		weft_port_remove(t, all[i]);
	free(all);
	if (kept != NULL)
		return weft_fail_as(
			err, -EBUSY, "NetworkInUse",
			"Unable to complete operation on network %s. There are one or more "
			"ports still in use on the network, id for these ports is %s.",
			o->id, kept->id);

	all = weft_index_collect(m, REF_NETWORK_SUBNETS, o->id, &n);
	for (size_t i = 0; i < n; i++)
		weft_txn_remove(t, all[i]);
	free(all);
	return 0;
}

static void render(const struct model *m, const struct object *o, json_t *shown)
{
	json_t *subnets = json_array();
	size_t n;
	const struct object **all = weft_index_collect(m, REF_NETWORK_SUBNETS, o->id, &n);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(subnets, json_string(all[i]->id));
	free(all);
	json_object_set_new(shown, "subnets", subnets);
}

static bool visible(const struct model *m, const struct caller *who, const struct object *o)
{
	(void)m;
	(void)who;
	return weft_network_is_shared(o) || weft_network_is_external(o);
}

const struct resource_ops weft_network_ops = {
	.name = "network",
	.plural = "networks",
	.url = "networks",
	.not_found = "NetworkNotFound",
	.not_found_text = "Network %s could not be found.",
	.attrs = attrs,
	.create = create,
	.update = update,
	.remove = remove_network,
	.index = index_network,
	.render = render,
	.visible = visible,
};
