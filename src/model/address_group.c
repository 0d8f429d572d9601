// SPDX-License-Identifier: Apache-2.0
// Address groups: named sets of prefixes that rules may refer to.
#include <errno.h>
#include <string.h>

#include "base/addr.h"
#include "base/json.h"
#include "base/text.h"
#include "model/index.h"
#include "model/resource.h"
#include "model/txn.h"

// A list of prefixes without host bits, each once.
static int read_addresses(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	char buf[128], text[WEFT_NET_STRLEN];
	size_t i;
	json_t *v;
	if (!json_is_array(in))
		return weft_attr_bad(a, err, "'%s' is not a list",
				     weft_json_quote(in, buf, sizeof(buf)));
	weft_auto(json) all = json_array();
	weft_auto(json) seen = json_object();
	json_array_foreach((json_t *)in, i, v) {
		struct ip_prefix prefix;
		if (!json_is_string(v) || weft_prefix_parse(json_string_value(v), &prefix) < 0)
			return weft_attr_bad(a, err, "'%s' is not a valid IP subnet",
					     weft_json_quote(v, buf, sizeof(buf)));
		prefix = weft_prefix_masked(&prefix);
		weft_prefix_text(&prefix, text);
		if (json_object_get(seen, text) != NULL)
			continue;
		json_object_set_new(seen, text, json_true());
		json_array_append_new(all, json_string(text));
	}
	*out = weft_take(all);
	return 0;
}

// At creation, as Neutron: prefixes only, none of them written twice. (Its calls that add and
// remove take single addresses, too.)
static int read_new_addresses(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	weft_auto(json) written = json_object();
	size_t i;
	json_t *v;
	int ret = read_addresses(a, in, out, err);
	json_array_foreach((json_t *)in, i, v) {
		const char *text = json_string_value(v);
		if (ret == 0 && strchr(text, '/') == NULL)
			ret = weft_attr_bad(a, err, "'%s' is not a valid IP subnet", text);
		if (ret == 0 && json_object_get(written, text) != NULL)
			ret = weft_attr_bad(a, err, "Duplicate items in the list: '%s'", text);
		if (ret < 0)
			break;
		json_object_set_new(written, text, json_true());
	}
	if (ret < 0 && *out != NULL) {
		json_decref(*out);
		*out = NULL;
	}
	return ret;
}

// clang-format off
static const struct attr attrs[] = {
	ATTRS_HEAD,
	ATTR("addresses", read_new_addresses, ATTR_POST | ATTR_NULL_CLEARS, .initial = "[]"),
	ATTR("shared", NULL, 0, .initial = "false"),
	ATTRS_TAIL,
	{0},
};
// clang-format on

static json_t *set_of(const json_t *list)
{
	json_t *set = json_object();
	size_t i;
	json_t *v;
	json_array_foreach((json_t *)list, i, v) {
		json_object_set_new(set, json_string_value(v), json_true());
	}
	return set;
}

// The members of `list` whose being in `set` is `wanted` (new reference).
static json_t *select_members(const json_t *list, const json_t *set, bool wanted)
{
	json_t *chosen = json_array();
	size_t i;
	json_t *v;
	json_array_foreach((json_t *)list, i, v) {
		if ((json_object_get(set, json_string_value(v)) != NULL) == wanted)
			json_array_append(chosen, v);
	}
	return chosen;
}

static int check_members(const json_t *now, const json_t *named, const char *id, bool add,
			 struct err *err)
{
	char buf[512];
	weft_auto(json) set = set_of(now);
	weft_auto(json) wrong = select_members(named, set, add);
	if (json_array_size(wrong) == 0)
		return 0;
	weft_json_quote(wrong, buf, sizeof(buf));
	if (add)
		return weft_fail_as(err, -EINVAL, "AddressesAlreadyExist",
				    "Addresses %s already exist in the address group %s.", buf, id);
	return weft_fail_as(err, -ENOENT, "AddressesNotFound",
			    "Addresses %s not found in the address group %s.", buf, id);
}

int weft_txn_address_group_change(struct txn *t, const struct caller *who, const char *id,
				  const json_t *addresses, bool add, const struct object **out,
				  struct err *err)
{
	const struct object *old =
		weft_resource_get(weft_txn_model(t), who, RES_ADDRESS_GROUP, id, err);
	if (old == NULL)
		return -ENOENT;
	weft_auto(json) named = NULL;
	int ret = read_addresses(weft_attr_find(attrs, "addresses"), addresses, &named, err);
	if (ret < 0)
		return ret;
	const json_t *now = json_object_get(old->attr, "addresses");
	ret = check_members(now, named, id, add, err);
	if (ret < 0)
		return ret;

	json_t *after;
	if (add) {
		after = json_copy((json_t *)now);
		json_array_extend(after, named);
	} else {
		weft_auto(json) gone = set_of(named);
		after = select_members(now, gone, false);
	}
	json_t *obj = json_copy(old->attr);
	json_object_set_new(obj, "addresses", after);
	const struct object *o = weft_txn_replace(t, old, obj);
	if (out != NULL)
		*out = o;
	return 0;
}

static int create(struct txn *t, const struct caller *who, const json_t *given, json_t *obj,
		  struct err *err)
{
	(void)t;
	(void)who;
	(void)given;
	(void)obj;
	(void)err;
	return 0; // the table says it all
}

static int remove_group(struct txn *t, const struct caller *who, const struct object *o,
			struct err *err)
{
	(void)who;
	if (weft_index_count(weft_txn_model(t), REF_ADDRESS_GROUP_RULES, o->id) == 0)
		return 0;
	return weft_fail_as(err, -EBUSY, "AddressGroupInUse",
			    "Address group %s is in use on one or more security group rules.",
			    o->id);
}

const struct resource_ops weft_address_group_ops = {
	.name = "address_group",
	.plural = "address_groups",
	.url = "address-groups",
	.not_found = "AddressGroupNotFound",
	.not_found_text = "Address group %s could not be found.",
	.attrs = attrs,
	.create = create,
	.remove = remove_group,
};
