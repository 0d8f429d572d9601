// SPDX-License-Identifier: Apache-2.0
// From what is stored to the model, and what of it stays out.
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "model/index.h"
#include "model/model.h"
#include "model/resource.h"

// ---- Its form ------------------------------------------------------------------------------

// What code that reads stored objects relies on, be it damaged or not: the kind of value, and of
// a list's members. Whether the values make sense is for those who use them: what an API of
// another version has taken must not be lost here.
enum form { FORM_ANY, FORM_TEXT, FORM_BOOL, FORM_INT, FORM_TEXTS, FORM_OBJECT, FORM_OBJECTS };

// Attributes whose reader does not tell. `members`: of each object in a list, texts that must be
// there.
static const struct {
	const char *attr;
	enum form form;
	const char *members[2];
} forms[] = {
	{"fixed_ips", FORM_OBJECTS, {"subnet_id", "ip_address"}},
	{"allowed_address_pairs", FORM_OBJECTS, {"ip_address"}},
	{"extra_dhcp_opts", FORM_OBJECTS, {"opt_name"}},
	{"routes", FORM_OBJECTS, {"destination", "nexthop"}},
	{"host_routes", FORM_OBJECTS, {"destination", "nexthop"}},
	{"allocation_pools", FORM_OBJECTS, {"start", "end"}},
	{"external_gateway_info", FORM_OBJECT, {NULL}},
	{"binding:profile", FORM_OBJECT, {NULL}},
	{"addresses", FORM_TEXTS, {NULL}},
	{"dns_nameservers", FORM_TEXTS, {NULL}},
	{"prefixes", FORM_TEXTS, {NULL}},
	{"service_types", FORM_TEXTS, {NULL}},
	{"security_group_id", FORM_TEXT, {NULL}},
	{"remote_group_id", FORM_TEXT, {NULL}},
	{"mac_address", FORM_TEXT, {NULL}},
	{"cidr", FORM_TEXT, {NULL}},
	{"protocol", FORM_TEXT, {NULL}},
	{"ethertype", FORM_TEXT, {NULL}},
	{"remote_ip_prefix", FORM_TEXT, {NULL}},
	{"port_range_min", FORM_INT, {NULL}},
	{"port_range_max", FORM_INT, {NULL}},
	{"ip_version", FORM_INT, {NULL}},
};

static enum form form_of(const struct attr *a)
{
	if (a->read == weft_attr_text || a->read == weft_attr_uuid || a->read == weft_attr_choice ||
	    a->read == weft_attr_ip)
		return FORM_TEXT;
	if (a->read == weft_attr_bool)
		return FORM_BOOL;
	if (a->read == weft_attr_int)
		return FORM_INT;
	if (a->read == weft_attr_uuids || a->read == weft_attr_tags)
		return FORM_TEXTS;
	return FORM_ANY;
}

static bool has_form(const json_t *v, enum form form)
{
	const json_t *member;
	size_t i;

	switch (form) {
	case FORM_ANY:
		return true;
	case FORM_TEXT:
		return json_is_string(v);
	case FORM_BOOL:
		return json_is_boolean(v);
	case FORM_INT:
		return json_is_integer(v);
	case FORM_OBJECT:
		return json_is_object(v);
	case FORM_TEXTS:
	case FORM_OBJECTS:
		break;
	}
	if (!json_is_array(v))
		return false;
	json_array_foreach((json_t *)v, i, member) {
		if (form == FORM_TEXTS ? !json_is_string(member) : !json_is_object(member))
			return false;
	}
	return true;
}

static bool have_texts(const json_t *list, const char *const members[2])
{
	const json_t *v;
	size_t i;

	json_array_foreach((json_t *)list, i, v) {
		for (size_t k = 0; k < 2 && members[k] != NULL; k++) {
			if (weft_json_text(v, members[k]) == NULL)
				return false;
		}
	}
	return true;
}

static int check_form(const struct resource_ops *ops, const json_t *obj, const char *id,
		      struct err *err)
{
	for (const struct attr *a = ops->attrs; a->name != NULL; a++) {
		const json_t *v = json_object_get(obj, a->name);
		bool well = v == NULL || json_is_null(v) || has_form(v, form_of(a));

		for (size_t i = 0;
		     well && v != NULL && !json_is_null(v) && i < sizeof(forms) / sizeof(*forms);
		     i++) {
			if (strcmp(forms[i].attr, a->name) == 0)
				well = has_form(v, forms[i].form) &&
				       (forms[i].form != FORM_OBJECTS ||
					have_texts(v, forms[i].members));
		}
		if (!well)
			return weft_fail(
				err, -EINVAL,
				"stored %s %s: its \"%s\" is damaged, no such value is ever "
				"written",
				ops->name, id, a->name);
	}
	return 0;
}

int weft_model_load(struct model *m, enum resource type, json_t *attr, struct err *err)
{
	const struct resource_ops *ops = weft_resource_ops(type);
	const char *id = weft_json_text(attr, "id");
	int ret;

	if (id == NULL || weft_uuid_check(id) < 0)
		return weft_fail(err, -EINVAL, "a stored %s has no valid id", ops->name);
	if (weft_json_text(attr, "project_id") == NULL)
		return weft_fail(err, -EINVAL, "stored %s %s has no project_id", ops->name, id);
	if (weft_model_get(m, type, id) != NULL)
		return weft_fail(err, -EEXIST, "%s %s is stored twice", ops->name, id);

	// An object stored before an attribute existed has its default; what was an attribute
	// then and is none now goes.
	weft_auto(json) obj = json_copy(m->defaults[type]);
	json_object_update_existing(obj, attr);
	ret = check_form(ops, obj, id, err);
	if (ret == 0 && ops->load != NULL)
		ret = ops->load(m, obj, err);
	if (ret < 0)
		return ret;
	weft_index_replace(m, NULL, weft_object_new(type, weft_take(obj)));
	return 0;
}

// ---- What stays out ------------------------------------------------------------------------

static void note(struct model *m, enum resource type, const char *id, const char *reason)
{
	struct left_out *l;

	m->left_out = realloc(m->left_out, (m->n_left_out + 1) * sizeof(*m->left_out));
	if (m->left_out == NULL)
		abort();
	l = &m->left_out[m->n_left_out++];
	*l = (struct left_out) {.type = type};
	snprintf(l->id, sizeof(l->id), "%s", id);
	snprintf(l->reason, sizeof(l->reason), "%s", reason);
}

// All that name the object there: they are as good as it is. One that goes may take others of
// them along.
static void leave_out_referrers(struct model *m, enum model_ref ref, const char *id,
				const char *reason)
{
	const struct map *referrers;

	while ((referrers = weft_map_get(m->refs[ref], id)) != NULL) {
		const struct object *o = weft_map_value(weft_map_first(referrers));

		weft_model_leave_out(m, o->type, o->id, reason);
	}
}

void weft_model_leave_out(struct model *m, enum resource type, const char *id, const char *reason)
{
	struct object *o = (struct object *)weft_model_get(m, type, id);
	char why[sizeof(m->left_out->reason)];

	note(m, type, id, reason);
	if (o == NULL)
		return;
	weft_index_replace(m, o, NULL);
	snprintf(why, sizeof(why), "it refers to %s %s, which is left out",
		 weft_resource_name(type), o->id);
	for (int ref = 0; ref < REF_COUNT; ref++) {
		if (weft_index_ref_is_firm(ref) && weft_index_ref_to(ref) == type)
			leave_out_referrers(m, ref, o->id, why);
	}
	weft_object_free(o);
}

static void check_references(struct model *m, enum model_ref ref)
{
	enum resource to = weft_index_ref_to(ref);
	size_t n = 0, cap = weft_map_count(m->refs[ref]);
	char(*lost)[64] = calloc(cap + 1, sizeof(*lost));

	if (lost == NULL)
		abort();
	for (struct map_entry *e = weft_map_first(m->refs[ref]); e != NULL; e = weft_map_next(e)) {
		if (weft_model_get(m, to, weft_map_key(e)) == NULL)
			snprintf(lost[n++], sizeof(*lost), "%s", weft_map_key(e));
	}
	for (size_t i = 0; i < n; i++) {
		char why[sizeof(m->left_out->reason)];

		snprintf(why, sizeof(why), "it refers to %s %s, which is not there",
			 weft_resource_name(to), lost[i]);
		leave_out_referrers(m, ref, lost[i], why);
	}
	free(lost);
}

void weft_model_check_references(struct model *m)
{
	for (int ref = 0; ref < REF_COUNT; ref++) {
		if (weft_index_ref_is_firm(ref))
			check_references(m, ref);
	}
}

const struct left_out *weft_model_left_out(const struct model *m, size_t *n)
{
	*n = m->n_left_out;
	return m->left_out;
}

void weft_model_left_out_forget(struct model *m, enum resource type, const char *id)
{
	size_t n = 0;
	char copy[sizeof(m->left_out->id)];

	snprintf(copy, sizeof(copy), "%s", id); // it may lie in what moves
	for (size_t i = 0; i < m->n_left_out; i++)
		if (m->left_out[i].type != type || strcmp(m->left_out[i].id, copy) != 0)
			m->left_out[n++] = m->left_out[i];
	m->n_left_out = n;
}
