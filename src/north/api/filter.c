// SPDX-License-Identifier: Apache-2.0
#include "north/api/filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/json.h"
#include "base/map.h"
#include "model/attr.h"

// Arguments that are no filters.
static bool is_control(const char *key)
{
	static const char *const names[] = {"fields",	    "limit",	"marker",
					    "page_reverse", "sort_key", "sort_dir"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(names[i], key) == 0)
			return true;
	}
	return false;
}

// The attribute that an argument is about: itself but for Neutron's older and composed names.
static const char *attr_of(const char *key)
{
	static const char *const names[][2] = {
		{"tenant_id", "project_id"},
		{"tags-any", "tags"},
		{"not-tags", "tags"},
		{"not-tags-any", "tags"},
		{"changed_since", "updated_at"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(names[i][0], key) == 0)
			return names[i][1];
	}
	return key;
}

// The second time that an attribute is named decides nothing.
static void add_sort(struct list_options *o, const char *attr, size_t place)
{
	for (size_t i = 0; i < o->n_sorts; i++) {
		if (strcmp(o->sorts[i].attr, attr) == 0)
			return;
	}
	o->sorts[o->n_sorts++] = (struct sort_key) {.attr = attr, .place = place};
}

static void set_direction(struct list_options *o, size_t place, bool descending)
{
	for (size_t i = 0; i < o->n_sorts; i++) {
		if (o->sorts[i].place == place)
			o->sorts[i].descending = descending;
	}
}

static int parse_sorts(const struct query *q, has_attr_fn has_attr, const void *arg,
		       struct list_options *out, struct err *err)
{
	size_t dirs = 0, keys = 0;

	for (size_t i = 0; i < q->n; i++) {
		const struct query_arg *a = &q->args[i];
		if (strcmp(a->key, "sort_key") != 0)
			continue;
		if (!has_attr(arg, attr_of(a->value)))
			return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
					    "'%s' is invalid attribute for sort_key", a->value);
		add_sort(out, attr_of(a->value), keys++);
	}
	for (size_t i = 0; i < q->n; i++) {
		const struct query_arg *a = &q->args[i];
		if (strcmp(a->key, "sort_dir") != 0)
			continue;
		bool descending = strcmp(a->value, "desc") == 0;
		if (!descending && strcmp(a->value, "asc") != 0)
			return weft_fail_as(
				err, -EINVAL, "HTTPBadRequest",
				"'%s' is invalid for sort_dir: 'asc' or 'desc' is expected",
				a->value);
		set_direction(out, dirs, descending);
		dirs++;
	}
	if (dirs != 0 && dirs != keys)
		return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
				    "The number of sort_keys and sort_dirs must be same");
	return 0;
}

static int parse_limit(const char *text, size_t *out, struct err *err)
{
	char *end;

	if (text == NULL)
		return 0;
	errno = 0;
	long n = strtol(text, &end, 10);
	if (errno || end == text || *end || n < 0)
		return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
				    "Limit must be an integer 0 or greater and not '%s'", text);
	*out = (size_t)n;
	return 0;
}

// Values of these are texts that are equal or not, so that a set can tell.
static bool is_plain(const char *attr)
{
	size_t len = strlen(attr);

	return strcmp(attr, "id") == 0 || strcmp(attr, "name") == 0 ||
	       (len > 3 && strcmp(attr + len - 3, "_id") == 0);
}

#define SET_FROM 9 // values; with fewer a set is not faster

// Many values: looking at each of them for each object would take seconds.
static int make_sets(struct list_options *o, struct err *err)
{
	for (size_t i = 0; i < o->n_filters; i++) {
		struct filter *f = &o->filters[i];

		if (f->n < SET_FROM)
			continue;
		if (!is_plain(f->attr) && f->n > FILTER_VALUES_MAX)
			return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
					    "'%s' is given %zu times: at most %d are allowed",
					    f->key, f->n, FILTER_VALUES_MAX);
		if (!is_plain(f->attr))
			continue;
		f->set = weft_map_new();
		for (size_t k = 0; k < f->n; k++)
			weft_map_put(f->set, f->values[k], f);
	}
	return 0;
}

static int filter_add(struct list_options *o, const struct query_arg *a, struct err *err)
{
	struct filter *f = NULL;

	for (size_t i = 0; i < o->n_filters; i++) {
		if (strcmp(o->filters[i].key, a->key) == 0)
			f = &o->filters[i];
	}
	if (f == NULL) {
		f = &o->filters[o->n_filters++];
		f->key = a->key;
		f->attr = attr_of(a->key);
	}
	const char **values = reallocarray(f->values, f->n + 1, sizeof(*values));
	if (values == NULL)
		return weft_fail(err, -ENOMEM, "Out of memory.");
	f->values = values;
	f->values[f->n++] = a->value;
	return 0;
}

static int parse_filters(const struct query *q, has_attr_fn has_attr, const void *arg,
			 struct list_options *out, struct err *err)
{
	for (size_t i = 0; i < q->n; i++) {
		const struct query_arg *a = &q->args[i];
		if (is_control(a->key))
			continue;
		if (!has_attr(arg, attr_of(a->key)))
			return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
					    "['%s'] is invalid attribute for filtering", a->key);
		int ret = filter_add(out, a, err);
		if (ret < 0)
			return ret;
	}
	return make_sets(out, err);
}

int weft_list_options_parse(const struct query *q, has_attr_fn has_attr, const void *arg,
			    struct list_options *out, struct err *err)
{
	struct list_options o = {0};
	const char *reverse = weft_query_get(q, "page_reverse");
	int ret;

	o.filters = calloc(q->n + 1, sizeof(*o.filters));
	o.sorts = calloc(q->n + 1, sizeof(*o.sorts));
	if (o.filters == NULL || o.sorts == NULL)
		ret = weft_fail(err, -ENOMEM, "Out of memory.");
	else
		ret = parse_filters(q, has_attr, arg, &o, err);
	if (ret == 0)
		ret = parse_sorts(q, has_attr, arg, &o, err);
	if (ret == 0)
		ret = parse_limit(weft_query_get(q, "limit"), &o.limit, err);
	if (ret == 0 && reverse && !weft_attr_bool_of(reverse, &o.reverse))
		ret = weft_fail_as(err, -EINVAL, "HTTPBadRequest",
				   "page_reverse must be a boolean and not '%s'", reverse);
	if (ret < 0) {
		weft_list_options_fini(&o);
		return ret;
	}
	o.marker = weft_query_get(q, "marker");
	*out = o;
	return 0;
}

void weft_list_options_fini(struct list_options *o)
{
	for (size_t i = 0; i < o->n_filters; i++) {
		free(o->filters[i].values);
		if (o->filters[i].set != NULL)
			weft_map_free(o->filters[i].set);
	}
	free(o->filters);
	free(o->sorts);
	*o = (struct list_options) {0};
}

static bool text_matches(const char *attr, const char *have, const char *want)
{
	if (strcmp(have, want) == 0)
		return true;
	// Addresses have several spellings; "FA:16:..." or "2001:DB8::1" is the same one.
	if (strcmp(attr, "mac_address") == 0)
		return strcasecmp(have, want) == 0;
	struct ip_addr a, b;
	bool is_address = strcmp(attr, "ip_address") == 0 || strcmp(attr, "gateway_ip") == 0;
	return is_address && weft_ip_parse(want, &b) == 0 && weft_ip_parse(have, &a) == 0 &&
	       weft_ip_equal(&a, &b);
}

static bool value_matches(const char *attr, const json_t *have, const char *want);

// "key=value" inside an object.
static bool member_matches(const json_t *have, const char *want)
{
	size_t len = strcspn(want, "=");
	char key[64];

	if (want[len] != '=' || len >= sizeof(key))
		return false;
	memcpy(key, want, len);
	key[len] = '\0';
	const json_t *value = json_object_get(have, key);
	return value && value_matches(key, value, want + len + 1);
}

static bool value_matches(const char *attr, const json_t *have, const char *want)
{
	const json_t *element;
	size_t i;
	bool flag;
	char *end;

	switch (json_typeof(have)) {
	case JSON_STRING:
		return text_matches(attr, json_string_value(have), want);
	case JSON_INTEGER: {
		long long n = strtoll(want, &end, 10);
		return end != want && *end == '\0' && n == json_integer_value(have);
	}
	case JSON_TRUE:
	case JSON_FALSE:
		return weft_attr_bool_of(want, &flag) && flag == json_is_true(have);
	case JSON_ARRAY:
		json_array_foreach(have, i, element) {
			if (value_matches(attr, element, want))
				return true;
		}
		return false;
	case JSON_OBJECT:
		return member_matches(have, want);
	case JSON_NULL:
		return *want == '\0' || strcmp(want, "None") == 0;
	default:
		return false;
	}
}

// Does one of the fixed_ips values about `key` hold for this address? True when there is none.
static bool address_has(const struct filter *f, const json_t *ip, const char *key, const char *attr,
			bool substring)
{
	size_t len = strlen(key);
	bool asked = false;

	for (size_t i = 0; i < f->n; i++) {
		if (strncmp(f->values[i], key, len) != 0 || f->values[i][len] != '=')
			continue;
		const char *want = f->values[i] + len + 1;
		const char *have = weft_json_text(ip, attr);
		if (have &&
		    (substring ? strstr(have, want) != NULL : text_matches(attr, have, want)))
			return true;
		asked = true;
	}
	return !asked;
}

static bool is_fixed_ips_value(const char *value)
{
	static const char *const keys[] = {"ip_address=", "subnet_id=", "ip_address_substr="};

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		if (strncmp(value, keys[i], strlen(keys[i])) == 0)
			return true;
	}
	return false;
}

// As in Neutron, the three kinds must hold for one and the same address.
static bool fixed_ips_match(const struct filter *f, const json_t *ips)
{
	const json_t *ip;
	size_t i;

	for (i = 0; i < f->n; i++) {
		if (!is_fixed_ips_value(f->values[i]))
			return false;
	}
	json_array_foreach(ips, i, ip) {
		if (address_has(f, ip, "ip_address", "ip_address", false) &&
		    address_has(f, ip, "subnet_id", "subnet_id", false) &&
		    address_has(f, ip, "ip_address_substr", "ip_address", true))
			return true;
	}
	return false;
}

// "a,b": does the object have all (or any) of them?
static bool has_tags(const json_t *tags, const char *list, bool all)
{
	char tag[256];

	while (*list) {
		size_t len = strcspn(list, ",");
		bool has = false;
		if (len < sizeof(tag)) {
			memcpy(tag, list, len);
			tag[len] = '\0';
			has = weft_json_has_text(tags, tag);
		}
		if (has != all)
			return has;
		list += len;
		list += *list == ',';
	}
	return all;
}

// Unlike others, every tags argument is a condition of its own.
static bool tags_match(const struct filter *f, const json_t *tags)
{
	bool any = strcmp(f->key, "tags-any") == 0 || strcmp(f->key, "not-tags-any") == 0;
	bool negative = strncmp(f->key, "not-", 4) == 0;

	for (size_t i = 0; i < f->n; i++) {
		if (has_tags(tags, f->values[i], !any) == negative)
			return false;
	}
	return true;
}

static bool filter_matches(const struct filter *f, const json_t *have)
{
	if (f->set != NULL && json_is_string(have))
		return weft_map_get(f->set, json_string_value(have)) != NULL;
	if (f->set != NULL && json_is_null(have))
		return weft_map_get(f->set, "") != NULL || weft_map_get(f->set, "None") != NULL;
	if (strcmp(f->attr, "tags") == 0)
		return tags_match(f, have);
	if (strcmp(f->key, "fixed_ips") == 0)
		return fixed_ips_match(f, have);
	for (size_t i = 0; i < f->n; i++) {
		if (strcmp(f->key, "changed_since") == 0) {
			if (json_is_string(have) &&
			    strcmp(json_string_value(have), f->values[i]) >= 0)
				return true;
		} else if (value_matches(f->attr, have, f->values[i])) {
			return true;
		}
	}
	return false;
}

bool weft_list_matches(const struct list_options *o, const json_t *object)
{
	for (size_t i = 0; i < o->n_filters; i++) {
		const json_t *have = json_object_get(object, o->filters[i].attr);
		if (have == NULL || !filter_matches(&o->filters[i], have))
			return false;
	}
	return true;
}
