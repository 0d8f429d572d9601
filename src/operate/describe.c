// SPDX-License-Identifier: Apache-2.0
#include "operate/describe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

struct search {
	const char *what;
	size_t len, n_named, n_begun;
	const struct object *named, *begun;
	char some[256]; // ids of what could be meant
};

static void add_candidate(struct search *s, const struct object *o)
{
	size_t n = strlen(s->some);

	if (n < sizeof(s->some) - WEFT_ID_LEN - 3)
		snprintf(s->some + n, sizeof(s->some) - n, "%s%s", n > 0 ? ", " : "", o->id);
}

static int look_at(const struct object *o, void *arg)
{
	struct search *s = arg;
	const char *name = weft_json_text(o->attr, "name");

	if (name != NULL && strcmp(name, s->what) == 0) {
		s->named = o;
		s->n_named++;
		add_candidate(s, o);
	} else if (strncmp(o->id, s->what, s->len) == 0) {
		s->begun = o;
		s->n_begun++;
		if (s->n_named == 0)
			add_candidate(s, o);
	}
	return 0;
}

int weft_find_object(const struct model *m, enum resource type, const char *what,
		     const struct object **out, struct err *err)
{
	struct search s = {.what = what, .len = strlen(what)};
	const struct object *o = weft_model_get(m, type, what);

	if (o == NULL && s.len > 0) {
		weft_model_each(m, type, look_at, &s);
		if (s.n_named > 1 || (s.n_named == 0 && s.n_begun > 1))
			return weft_fail(err, -EINVAL, "%s \"%.100s\" may be any of %s%s",
					 weft_resource_name(type), what, s.some,
					 s.n_named + s.n_begun > 6 ? ", ..." : "");
		o = s.named != NULL ? s.named : s.begun;
	}
	if (o == NULL)
		return weft_fail(err, -ENOENT,
				 "%s \"%.100s\": none has this id or name, or an id that begins so",
				 weft_resource_name(type), what);
	*out = o;
	return 0;
}

const char *weft_object_name(const struct model *m, enum resource type, const char *id)
{
	const struct object *o = id == NULL ? NULL : weft_model_get(m, type, id);
	const char *name = o == NULL ? NULL : weft_json_text(o->attr, "name");

	return name != NULL ? name : "";
}

#define UPLINK "uplink:"

json_t *weft_port_name(const struct model *m, const char *id)
{
	const char *name;

	if (weft_model_get(m, RES_NETWORK, id) == NULL)
		return json_string(weft_object_name(m, RES_PORT, id));
	name = weft_object_name(m, RES_NETWORK, id);
	return json_sprintf(UPLINK "%s", name[0] != '\0' ? name : id);
}

int weft_find_uplink(const struct model *m, const char *what, const struct object **out,
		     struct err *err)
{
	if (strncmp(what, UPLINK, strlen(UPLINK)) == 0)
		return weft_find_object(m, RES_NETWORK, what + strlen(UPLINK), out, err);
	*out = weft_model_get(m, RES_NETWORK, what);
	return *out != NULL ? 0 : weft_fail(err, -ENOENT, "%.100s is no network's id", what);
}

// Text or number, as the API may keep a protocol.
static void add_protocol(const json_t *v, struct text *out)
{
	if (json_is_string(v))
		weft_text_add(out, " %s", json_string_value(v));
	else if (json_is_integer(v))
		weft_text_add(out, " protocol %lld", (long long)json_integer_value(v));
	else
		weft_text_add(out, " any protocol");
}

static void add_range(const json_t *attr, struct text *out)
{
	int64_t min = weft_json_int(attr, "port_range_min", -1);
	int64_t max = weft_json_int(attr, "port_range_max", -1);
	const char *protocol = weft_json_text(attr, "protocol");

	if (min < 0)
		return;
	if (protocol != NULL && (strstr(protocol, "icmp") != NULL || strcmp(protocol, "1") == 0 ||
				 strcmp(protocol, "58") == 0)) {
		weft_text_add(out, " type %lld", (long long)min);
		if (max >= 0)
			weft_text_add(out, " code %lld", (long long)max);
	} else if (min == max) {
		weft_text_add(out, " %lld", (long long)min);
	} else {
		weft_text_add(out, " %lld-%lld", (long long)min, (long long)max);
	}
}

void weft_describe_rule(const struct model *m, const char *rule_id, struct text *out)
{
	const struct object *o = weft_model_get(m, RES_SECURITY_GROUP_RULE, rule_id);
	const char *direction, *type, *group, *addresses, *prefix, *remote;

	weft_text_add(out, "%s", "");
	if (o == NULL)
		return;
	direction = weft_json_text(o->attr, "direction");
	type = weft_json_text(o->attr, "ethertype");
	group = weft_json_text(o->attr, "remote_group_id");
	addresses = weft_json_text(o->attr, "remote_address_group_id");
	prefix = weft_json_text(o->attr, "remote_ip_prefix");
	weft_text_add(out, "%s %s", direction != NULL ? direction : "?",
		      type != NULL ? type : "IPv4");
	add_protocol(json_object_get(o->attr, "protocol"), out);
	add_range(o->attr, out);
	if (group == NULL && addresses == NULL && prefix == NULL)
		return;
	remote = weft_object_name(m, group != NULL ? RES_SECURITY_GROUP : RES_ADDRESS_GROUP,
				  group != NULL ? group : addresses);
	if (remote[0] == '\0')
		remote = group != NULL ? group : addresses;
	weft_text_add(out, " %s %s%s", direction != NULL && direction[0] == 'i' ? "from" : "to",
		      group != NULL	  ? "group "
		      : addresses != NULL ? "address group "
					  : "",
		      group != NULL || addresses != NULL ? remote : prefix);
}
