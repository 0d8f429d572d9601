// SPDX-License-Identifier: Apache-2.0
#include "model/attr.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/text.h"
#include "model/resource.h"

int weft_attr_bad(const struct attr *a, struct err *err, const char *fmt, ...)
{
	char reason[WEFT_ERR_MAX];
	va_list args;
	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	return weft_fail_as(err, -EINVAL, "HTTPBadRequest", "Invalid input for %s. Reason: %s.",
			    a->name, reason);
}

int weft_input_bad(struct err *err, const char *fmt, ...)
{
	char reason[WEFT_ERR_MAX];
	va_list args;
	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	return weft_fail_as(err, -EINVAL, "InvalidInput", "Invalid input for operation: %s.",
			    reason);
}

// A value as a sentence quotes it: texts bare, the rest as JSON.
static const char *shown(const json_t *in, char buf[128])
{
	if (json_is_string(in)) {
		snprintf(buf, 128, "%s", json_string_value(in));
		return buf;
	}
	return weft_json_quote(in, buf, 128);
}

int weft_attr_text(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	char buf[128];
	if (!json_is_string(in))
		return weft_attr_bad(a, err, "'%s' is not a valid string", shown(in, buf));
	// Characters, not bytes: the limit is that of a database column.
	int64_t chars = 0;
	for (const char *c = json_string_value(in); *c != '\0'; c++)
		chars += ((unsigned char)*c & 0xc0) != 0x80;
	if (strlen(json_string_value(in)) != json_string_length(in))
		return weft_attr_bad(a, err, "it has a NUL character");
	if (a->max != 0 && chars > a->max)
		return weft_attr_bad(a, err, "'%s' exceeds maximum length of %lld", shown(in, buf),
				     (long long)a->max);
	*out = json_incref((json_t *)in);
	return 0;
}

bool weft_attr_bool_of(const char *text, bool *out)
{
	static const char *const words[][2] = {{"true", "false"}, {"1", "0"}, {"t", "f"},
					       {"yes", "no"},	  {"y", "n"}, {"on", "off"}};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		for (size_t j = 0; j < 2; j++)
			if (strcasecmp(text, words[i][j]) == 0) {
				*out = j == 0;
				return true;
			}
	return false;
}

int weft_attr_bool(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	(void)a;
	char buf[128];
	bool value = json_is_true(in);
	if (!json_is_boolean(in) && !json_is_integer(in) && !json_is_string(in))
		return weft_input_bad(err, "'%s' cannot be converted to boolean", shown(in, buf));
	if (!json_is_boolean(in) && !weft_attr_bool_of(shown(in, buf), &value))
		return weft_input_bad(err, "'%s' cannot be converted to boolean", buf);
	*out = json_boolean(value);
	return 0;
}

bool weft_attr_integer_of(const json_t *in, int64_t *out)
{
	if (json_is_integer(in)) {
		*out = json_integer_value(in);
		return true;
	}
	const char *text = json_string_value(in);
	if (text == NULL)
		return false;
	size_t sign = text[0] == '-';
	size_t digits = strspn(text + sign, "0123456789");
	if (digits == 0 || digits > 18 || text[sign + digits] != '\0')
		return false;
	*out = strtoll(text, NULL, 10);
	return true;
}

int weft_attr_int(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	char buf[128];
	int64_t n;
	if (!weft_attr_integer_of(in, &n))
		return weft_input_bad(err, "'%s' is not an integer", shown(in, buf));
	if (n < a->min)
		return weft_attr_bad(a, err, "'%s' is too small - must be at least '%lld'",
				     shown(in, buf), (long long)a->min);
	if (n > a->max)
		return weft_attr_bad(a, err, "'%s' is too large - must be no larger than '%lld'",
				     shown(in, buf), (long long)a->max);
	*out = json_integer(n);
	return 0;
}

int weft_attr_uuid(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	char buf[128];
	if (!json_is_string(in) || weft_uuid_check(json_string_value(in)) < 0)
		return weft_attr_bad(a, err, "'%s' is not a valid UUID", shown(in, buf));
	*out = json_incref((json_t *)in);
	return 0;
}

int weft_attr_ip(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	struct ip_addr ip;
	char buf[128];
	if (!json_is_string(in) || weft_ip_parse(json_string_value(in), &ip) < 0)
		return weft_attr_bad(a, err, "'%s' is not a valid IP address", shown(in, buf));
	*out = json_string(weft_ip_text(&ip, buf));
	return 0;
}

int weft_attr_choice(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	char buf[128];
	struct text list = {0};
	const char *text = json_string_value(in);
	for (size_t i = 0; a->values[i] != NULL; i++) {
		if (text != NULL && strcmp(text, a->values[i]) == 0) {
			weft_text_fini(&list);
			*out = json_incref((json_t *)in);
			return 0;
		}
		weft_text_add(&list, "%s'%s'", i == 0 ? "" : ", ", a->values[i]);
	}
	int ret = weft_attr_bad(a, err, "'%s' is not in [%s]", shown(in, buf), list.s);
	weft_text_fini(&list);
	return ret;
}

// As Neutron: a list of names has each of them once.
static int check_unique(const struct attr *a, const json_t *in, struct err *err)
{
	weft_auto(json) seen = json_object();
	size_t i;
	json_t *v;
	json_array_foreach((json_t *)in, i, v) {
		if (json_object_get(seen, json_string_value(v)) != NULL)
			return weft_attr_bad(a, err, "Duplicate items in the list: '%s'",
					     json_string_value(v));
		json_object_set_new(seen, json_string_value(v), json_true());
	}
	return 0;
}

int weft_attr_uuids(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	char buf[128];
	size_t i;
	json_t *v;
	if (!json_is_array(in))
		return weft_attr_bad(a, err, "'%s' is not a list", shown(in, buf));
	json_array_foreach((json_t *)in, i, v) {
		if (!json_is_string(v) || weft_uuid_check(json_string_value(v)) < 0)
			return weft_input_bad(err, "'%s' is not an integer or uuid", shown(v, buf));
	}
	int ret = check_unique(a, in, err);
	if (ret == 0)
		*out = json_incref((json_t *)in);
	return ret;
}

int weft_attr_tags(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	char buf[128];
	size_t i;
	json_t *v;
	if (!json_is_array(in))
		return weft_attr_bad(a, err, "'%s' is not a list", shown(in, buf));
	json_array_foreach((json_t *)in, i, v) {
		size_t len = json_string_length(v);
		if (!json_is_string(v) || len == 0 || len > 255)
			return weft_attr_bad(a, err, "'%s' is not a tag of 1 to 255 characters",
					     shown(v, buf));
	}
	int ret = check_unique(a, in, err);
	if (ret == 0)
		*out = json_incref((json_t *)in);
	return ret;
}

int weft_attr_list(const struct attr *a, const json_t *in, size_t most, struct err *err)
{
	char buf[128];
	if (!json_is_array(in))
		return weft_attr_bad(a, err, "'%s' is not a list", shown(in, buf));
	if (json_array_size(in) > most)
		return weft_attr_bad(a, err, "a list of more than %zu is too long", most);
	return 0;
}

int weft_attr_known_keys(const struct attr *a, const json_t *in, const char *const *names,
			 struct err *err)
{
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)in, key, v) {
		size_t i = 0;
		while (names[i] != NULL && strcmp(names[i], key) != 0)
			i++;
		if (names[i] == NULL)
			return weft_attr_bad(a, err, "unexpected key '%.64s'", key);
	}
	return 0;
}

const struct attr *weft_attr_find(const struct attr *attrs, const char *name)
{
	for (const struct attr *a = attrs; a->name != NULL; a++)
		if (strcmp(a->name, name) == 0)
			return a;
	return NULL;
}

json_t *weft_attr_defaults(const struct attr *attrs)
{
	json_t *all = json_object();
	for (const struct attr *a = attrs; a->name != NULL; a++) {
		if ((a->flags & (ATTR_RENDERED | ATTR_WRITE_ONLY)) != 0)
			continue;
		json_t *v = a->initial == NULL ? json_null()
					       : json_loads(a->initial, JSON_DECODE_ANY, NULL);
		if (json_object_set_new(all, a->name, v) < 0)
			abort(); // a table with a default that is no JSON
	}
	return all;
}

static int check_unknown(const struct resource_ops *ops, const json_t *body, struct err *err)
{
	struct text unknown = {0};
	size_t n = 0; // a name may be empty, so the text's length does not tell
	const char *key;
	json_t *v;
	if (!json_is_object(body))
		return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
				    "Unable to find '%s' in request body", ops->name);
	json_object_foreach((json_t *)body, key, v) {
		if (weft_attr_find(ops->attrs, key) == NULL)
			weft_text_add(&unknown, "%s%.64s", n++ == 0 ? "" : ", ", key);
	}
	if (n == 0)
		return 0;
	int ret = weft_fail_as(err, -EINVAL, "HTTPBadRequest", "Unrecognized attribute(s) '%s'",
			       unknown.s);
	weft_text_fini(&unknown);
	return ret;
}

static int read_value(const struct attr *a, const json_t *in, json_t *given, struct err *err)
{
	json_t *out = NULL;
	if (json_is_null(in) && (a->flags & ATTR_NULL) != 0)
		out = json_null();
	else if (json_is_null(in) && (a->flags & ATTR_NULL_CLEARS) != 0)
		out = json_loads(a->initial, JSON_DECODE_ANY, NULL);
	else if (json_is_null(in) && a->read == weft_attr_text)
		return weft_attr_bad(a, err, "'None' is not a valid string");
	else {
		int ret = a->read(a, in, &out, err);
		if (ret < 0)
			return ret;
	}
	json_object_set_new(given, a->name, out);
	return 0;
}

static int forbidden(const struct resource_ops *ops, const char *verb, const struct attr *a,
		     struct err *err)
{
	return weft_fail_as(err, -EPERM, "PolicyNotAuthorized",
			    "rule:%s_%s:%s is disallowed by policy", verb, ops->name, a->name);
}

// As Neutron: asking for what would be so anyway needs no right.
static bool is_default(const struct attr *a, const json_t *v)
{
	if (a->initial == NULL)
		return json_is_null(v);
	weft_auto(json) d = json_loads(a->initial, JSON_DECODE_ANY, NULL);
	return json_equal(d, v);
}

// project_id and its old name tenant_id are one attribute; only an admin names another project
// than the own.
static int read_project(const struct caller *who, json_t *given, struct err *err)
{
	const char *project = weft_json_text(given, "project_id");
	const char *tenant = weft_json_text(given, "tenant_id");
	if (project == NULL && tenant == NULL) {
		json_object_set_new(given, "project_id",
				    json_string(who->project_id == NULL ? "" : who->project_id));
		return 0;
	}
	if (project != NULL && tenant != NULL && strcmp(project, tenant) != 0)
		return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
				    "'project_id' and 'tenant_id' do not match");
	const char *named = project != NULL ? project : tenant;
	if (!who->is_admin && (who->project_id == NULL || strcmp(named, who->project_id) != 0))
		return weft_fail_as(
			err, -EINVAL, "HTTPBadRequest",
			"Specifying 'project_id' or 'tenant_id' other than the authenticated "
			"project in request is not allowed for current user.");
	if (project == NULL)
		json_object_set(given, "project_id", json_object_get(given, "tenant_id"));
	json_object_del(given, "tenant_id");
	return 0;
}

int weft_attr_read_create(const struct resource_ops *ops, const struct caller *who,
			  const json_t *body, json_t **given, struct err *err)
{
	int ret = check_unknown(ops, body, err);
	if (ret < 0)
		return ret;

	for (const struct attr *a = ops->attrs; a->name != NULL; a++) {
		bool is_given = json_object_get(body, a->name) != NULL;
		if (is_given && (a->flags & ATTR_POST) == 0)
			return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
					    "Attribute '%s' not allowed in POST", a->name);
		if (!is_given && (a->flags & ATTR_REQUIRED) != 0)
			return weft_fail_as(err, -EINVAL, "HTTPBadRequest",
					    "Failed to parse request. Required attribute '%s' not "
					    "specified",
					    a->name);
	}

	weft_auto(json) read = json_object();
	for (const struct attr *a = ops->attrs; a->name != NULL; a++) {
		const json_t *in = json_object_get(body, a->name);
		if (in == NULL)
			continue;
		ret = read_value(a, in, read, err);
		if (ret < 0)
			return ret;
	}
	ret = read_project(who, read, err);
	if (ret < 0)
		return ret;

	for (const struct attr *a = ops->attrs; a->name != NULL && !who->is_admin; a++) {
		const json_t *v = json_object_get(read, a->name);
		if ((a->flags & ATTR_ADMIN) != 0 && v != NULL && !is_default(a, v))
			return forbidden(ops, "create", a, err);
	}
	*given = weft_take(read);
	return 0;
}

int weft_attr_check_update(const struct resource_ops *ops, const json_t *body, struct err *err)
{
	int ret = check_unknown(ops, body, err);
	for (const struct attr *a = ops->attrs; a->name != NULL && ret == 0; a++)
		if (json_object_get(body, a->name) != NULL && (a->flags & ATTR_PUT) == 0)
			ret = weft_fail_as(err, -EINVAL, "HTTPBadRequest",
					   "Cannot update read-only attribute %s", a->name);
	return ret;
}

int weft_attr_read_update(const struct resource_ops *ops, const struct caller *who,
			  const json_t *body, json_t **given, struct err *err)
{
	int ret = weft_attr_check_update(ops, body, err);
	if (ret < 0)
		return ret;

	weft_auto(json) read = json_object();
	for (const struct attr *a = ops->attrs; a->name != NULL; a++) {
		const json_t *in = json_object_get(body, a->name);
		if (in == NULL)
			continue;
		ret = read_value(a, in, read, err);
		if (ret < 0)
			return ret;
		if (!who->is_admin && (a->flags & (ATTR_ADMIN | ATTR_ADMIN_PUT)) != 0)
			return forbidden(ops, "update", a, err);
	}
	*given = weft_take(read);
	return 0;
}
