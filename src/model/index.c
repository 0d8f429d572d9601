// SPDX-License-Identifier: Apache-2.0
#include "model/index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/port.h"
#include "model/resource.h"

enum { COUNT_KEY = sizeof(((struct object *)NULL)->project_id) + 12 };

// Where a resource names others: `attr` is an id, a list of ids, or a list of objects whose
// `member` is one. Where `counts` is given, only the objects that it accepts are referrers.
static const struct ref_source {
	enum resource from, to;
	const char *attr;
	const char *member;
	bool (*counts)(const json_t *attr);
} ref_sources[REF_COUNT] = {
	[REF_NETWORK_SUBNETS] = {RES_SUBNET, RES_NETWORK, "network_id", NULL, NULL},
	[REF_NETWORK_PORTS] = {RES_PORT, RES_NETWORK, "network_id", NULL, NULL},
	[REF_SUBNET_PORTS] = {RES_PORT, RES_SUBNET, "fixed_ips", "subnet_id", NULL},
	[REF_GROUP_PORTS] = {RES_PORT, RES_SECURITY_GROUP, "security_groups", NULL, NULL},
	[REF_GROUP_RULES] = {RES_SECURITY_GROUP_RULE, RES_SECURITY_GROUP, "security_group_id", NULL,
			     NULL},
	[REF_REMOTE_GROUP_RULES] = {RES_SECURITY_GROUP_RULE, RES_SECURITY_GROUP, "remote_group_id",
				    NULL, NULL},
	[REF_ADDRESS_GROUP_RULES] = {RES_SECURITY_GROUP_RULE, RES_ADDRESS_GROUP,
				     "remote_address_group_id", NULL, NULL},
	[REF_ROUTER_PORTS] = {RES_PORT, RES_ROUTER, "device_id", NULL, weft_port_is_interface},
	[REF_NETWORK_ROUTER_PORTS] = {RES_PORT, RES_NETWORK, "network_id", NULL,
				      weft_port_is_interface},
	[REF_ROUTER_GATEWAY_PORTS] = {RES_PORT, RES_ROUTER, "device_id", NULL,
				      weft_port_is_gateway},
	[REF_NETWORK_GATEWAY_PORTS] = {RES_PORT, RES_NETWORK, "network_id", NULL,
				       weft_port_is_gateway},
	[REF_FLOATING_IP_PORTS] = {RES_PORT, RES_FLOATING_IP, "device_id", NULL,
				   weft_port_is_floating},
	[REF_NETWORK_FLOATING_IPS] = {RES_FLOATING_IP, RES_NETWORK, "floating_network_id", NULL,
				      NULL},
	[REF_ROUTER_FLOATING_IPS] = {RES_FLOATING_IP, RES_ROUTER, "router_id", NULL, NULL},
	[REF_PORT_FLOATING_IPS] = {RES_FLOATING_IP, RES_PORT, "port_id", NULL, NULL},
	[REF_FLOATING_IP_FORWARDINGS] = {RES_PORT_FORWARDING, RES_FLOATING_IP, "floatingip_id",
					 NULL, NULL},
	[REF_PORT_FORWARDINGS] = {RES_PORT_FORWARDING, RES_PORT, "internal_port_id", NULL, NULL},
	[REF_POOL_SUBNETS] = {RES_SUBNET, RES_SUBNET_POOL, "subnetpool_id", NULL, NULL},
};

struct object *weft_object_new(enum resource type, json_t *attr)
{
	struct object *o = calloc(1, sizeof(*o));
	if (o == NULL)
		abort();
	o->type = type;
	o->attr = attr;
	const char *id = weft_json_text(attr, "id");
	const char *project = weft_json_text(attr, "project_id");
	strncpy(o->id, id == NULL ? "" : id, sizeof(o->id) - 1);
	strncpy(o->project_id, project == NULL ? "" : project, sizeof(o->project_id) - 1);
	return o;
}

void weft_object_free(struct object *o)
{
	if (o == NULL)
		return;
	json_decref(o->attr);
	free(o);
}

static const char *ref_target(const json_t *v, const char *member)
{
	return member == NULL ? json_string_value(v) : weft_json_text(v, member);
}

// What the object names there; NULL when it names nobody, or does not count.
static const json_t *ref_value(const struct object *o, const struct ref_source *s)
{
	if (o == NULL || (s->counts != NULL && !s->counts(o->attr)))
		return NULL;
	return json_object_get(o->attr, s->attr);
}

static bool refers_to(const struct object *o, const struct ref_source *s, const char *id)
{
	const json_t *v = ref_value(o, s);
	if (!json_is_array(v))
		return json_is_string(v) && strcmp(json_string_value(v), id) == 0;
	for (size_t i = 0; i < json_array_size(v); i++) {
		const char *target = ref_target(json_array_get(v, i), s->member);
		if (target != NULL && strcmp(target, id) == 0)
			return true;
	}
	return false;
}

static void ref_put(struct map *refs, const char *target, const struct object *o)
{
	if (target == NULL)
		return;
	struct map *referrers = weft_map_get(refs, target);
	if (referrers == NULL) {
		referrers = weft_map_new();
		weft_map_put(refs, target, referrers);
	}
	weft_map_put(referrers, o->id, (void *)o);
}

static void ref_drop(struct map *refs, const char *target, const struct object *o)
{
	if (target == NULL)
		return;
	struct map *referrers = weft_map_get(refs, target);
	if (referrers == NULL)
		return;
	weft_map_del(referrers, o->id);
	if (weft_map_count(referrers) == 0) {
		weft_map_del(refs, target);
		weft_map_free(referrers);
	}
}

// Drop what only old names, then put everything that new names: a referrer that stays keeps its
// place in the order.
static void replace_refs(struct map *refs, const struct ref_source *s, const struct object *old,
			 const struct object *new)
{
	const json_t *v = ref_value(old, s);
	for (size_t i = 0; i < json_array_size(v); i++) {
		const char *target = ref_target(json_array_get(v, i), s->member);
		if (target != NULL && !refers_to(new, s, target))
			ref_drop(refs, target, old);
	}
	if (json_is_string(v) && !refers_to(new, s, json_string_value(v)))
		ref_drop(refs, json_string_value(v), old);

	v = ref_value(new, s);
	for (size_t i = 0; i < json_array_size(v); i++)
		ref_put(refs, ref_target(json_array_get(v, i), s->member), new);
	if (json_is_string(v))
		ref_put(refs, json_string_value(v), new);
}

static const char *count_key(enum resource type, const char *project_id, char key[COUNT_KEY])
{
	snprintf(key, COUNT_KEY, "%d %s", type, project_id);
	return key;
}

size_t weft_index_count_of(const struct model *m, enum resource type, const char *project_id)
{
	char key[COUNT_KEY];
	return (uintptr_t)weft_map_get(m->counts, count_key(type, project_id, key));
}

static void count(struct model *m, const struct object *o, bool add)
{
	char key[COUNT_KEY];
	size_t n = weft_index_count_of(m, o->type, o->project_id) + (add ? 1 : -1ul);
	count_key(o->type, o->project_id, key);
	if (n == 0)
		weft_map_del(m->counts, key);
	else
		weft_map_put(m->counts, key, (void *)(uintptr_t)n);
}

void weft_index_replace(struct model *m, const struct object *old, const struct object *new)
{
	enum resource type = old != NULL ? old->type : new->type;
	const struct resource_ops *ops = weft_resource_ops(type);

	if (old == NULL || new == NULL)
		count(m, new != NULL ? new : old, new != NULL);
	if (old != NULL && ops->index != NULL)
		ops->index(m, old, false);
	if (new != NULL)
		weft_map_put(m->objects[type], new->id, (void *)new);
	else
		weft_map_del(m->objects[type], old->id);
	for (int ref = 0; ref < REF_COUNT; ref++)
		if (ref_sources[ref].from == type)
			replace_refs(m->refs[ref], &ref_sources[ref], old, new);
	if (new != NULL && ops->index != NULL)
		ops->index(m, new, true);
}

const struct object **weft_index_collect(const struct model *m, enum model_ref ref, const char *id,
					 size_t *n)
{
	*n = 0;
	const struct map *referrers = weft_map_get(m->refs[ref], id);
	if (referrers == NULL)
		return NULL;
	const struct object **all = calloc(weft_map_count(referrers), sizeof(*all));
	if (all == NULL)
		abort();
	for (struct map_entry *e = weft_map_first(referrers); e != NULL; e = weft_map_next(e))
		all[(*n)++] = weft_map_value(e);
	return all;
}

size_t weft_index_count(const struct model *m, enum model_ref ref, const char *id)
{
	const struct map *referrers = weft_map_get(m->refs[ref], id);
	return referrers == NULL ? 0 : weft_map_count(referrers);
}

enum resource weft_index_ref_to(enum model_ref ref)
{
	return ref_sources[ref].to;
}

bool weft_index_ref_is_firm(enum model_ref ref)
{
	// A subnet is as good without the pool that it was cut from.
	return ref_sources[ref].counts == NULL && ref != REF_POOL_SUBNETS;
}
