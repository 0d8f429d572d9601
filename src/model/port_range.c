// SPDX-License-Identifier: Apache-2.0
// The ports of a forwarding. The API has them in two forms, a number and a range; both are kept,
// so that either can be asked about: a range always, the number (else null) when it is a single
// one.
#include "model/floating_ip.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/index.h"
#include "model/txn.h"

enum { RANGE_TEXT = 16, PORT_MAX = 65535 };

static const struct side {
	const char *port, *range;
} sides[] = {
	{"external_port", "external_port_range"},
	{"internal_port", "internal_port_range"},
};

static bool read_number(const char **text, int64_t *out)
{
	size_t digits = strspn(*text, "0123456789");
	if (digits == 0 || digits > 5)
		return false;
	*out = strtoll(*text, NULL, 10);
	*text += digits;
	return *out >= 1 && *out <= PORT_MAX;
}

bool weft_port_range_of(const char *text, struct port_range *out)
{
	if (text == NULL || !read_number(&text, &out->first))
		return false;
	out->last = out->first;
	if (*text == ':') {
		text++;
		if (!read_number(&text, &out->last))
			return false;
	}
	return *text == '\0' && out->first <= out->last;
}

static json_t *range_json(const struct port_range *range)
{
	char text[RANGE_TEXT];
	snprintf(text, sizeof(text), "%d:%d", (int)range->first, (int)range->last);
	return json_string(text);
}

int weft_port_range_read(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	char buf[128];
	struct port_range range;
	int64_t number;
	if (json_is_integer(in)) {
		number = json_integer_value(in);
		if (number < 1 || number > PORT_MAX)
			return weft_attr_bad(a, err, "%lld is no port from 1 to 65535",
					     (long long)number);
		range = (struct port_range) {number, number};
	} else if (!weft_port_range_of(json_string_value(in), &range)) {
		return weft_attr_bad(a, err, "'%s' is no port or range FIRST:LAST from 1 to 65535",
				     json_is_string(in) ? json_string_value(in)
							: weft_json_quote(in, buf, sizeof(buf)));
	}
	*out = range_json(&range);
	return 0;
}

static int complete(const struct side *side, const json_t *given, json_t *obj, struct err *err)
{
	struct port_range range;
	const json_t *port = json_object_get(given, side->port);
	const char *text = weft_json_text(given, side->range);
	bool has_port = json_is_integer(port);
	if (text == NULL && !has_port)
		text = weft_json_text(obj, side->range);
	if (text == NULL && !has_port)
		return weft_port_forwarding_bad(err, "%s or %s must be given", side->port,
						side->range);
	if (text == NULL)
		range.first = range.last = json_integer_value(port);
	else
		weft_port_range_of(text, &range);
	if (text != NULL && has_port &&
	    (range.first != json_integer_value(port) || range.last != range.first))
		return weft_port_forwarding_bad(err, "%s and %s cannot both be given", side->port,
						side->range);
	json_object_set_new(obj, side->range, range_json(&range));
	json_object_set_new(obj, side->port,
			    range.first == range.last ? json_integer(range.first) : json_null());
	return 0;
}

static struct port_range range_in(const json_t *obj, const struct side *side)
{
	struct port_range range = {0, 0};
	weft_port_range_of(weft_json_text(obj, side->range), &range);
	return range;
}

int weft_port_ranges_complete(const json_t *given, json_t *obj, struct err *err)
{
	for (size_t i = 0; i < 2; i++) {
		// What is kept from before counts only where nothing new is said.
		int ret = complete(&sides[i], given, obj, err);
		if (ret < 0)
			return ret;
	}
	struct port_range outer = range_in(obj, &sides[0]), inner = range_in(obj, &sides[1]);
	if (outer.last - outer.first != inner.last - inner.first)
		return weft_port_forwarding_bad(err,
						"Invalid ranges of internal and/or external ports. "
						"The relation between internal and external ports "
						"must be N-N");
	return 0;
}

static bool same_text(const json_t *a, const json_t *b, const char *key)
{
	const char *x = weft_json_text(a, key), *y = weft_json_text(b, key);
	return x != NULL && y != NULL && strcmp(x, y) == 0;
}

static int check_side(const struct model *m, enum model_ref ref, const char *id,
		      const struct side *side, const json_t *obj, struct err *err)
{
	struct port_range range = range_in(obj, side);
	const char *own = weft_json_text(obj, "id");
	int ret = 0;
	size_t n;
	const struct object **all = weft_index_collect(m, ref, id, &n);
	for (size_t i = 0; i < n && ret == 0; i++) {
		const json_t *other = all[i]->attr;
		struct port_range has = range_in(other, side);
		bool apart = range.last < has.first || has.last < range.first ||
			     strcmp(all[i]->id, own) == 0 || !same_text(obj, other, "protocol");
		if (ref == REF_PORT_FORWARDINGS)
			apart |= !same_text(obj, other, "internal_ip_address");
		if (!apart)
			ret = weft_port_forwarding_bad(err,
						       "There is a port collision with the %s. The "
						       "following ranges collides: %s and %s",
						       side->range,
						       weft_json_text(other, side->range),
						       weft_json_text(obj, side->range));
	}
	free(all);
	return ret;
}

int weft_port_ranges_check(const struct model *m, const json_t *obj, struct err *err)
{
	int ret = check_side(m, REF_PORT_FORWARDINGS, weft_json_text(obj, "internal_port_id"),
			     &sides[1], obj, err);
	if (ret == 0)
		ret = check_side(m, REF_FLOATING_IP_FORWARDINGS,
				 weft_json_text(obj, "floatingip_id"), &sides[0], obj, err);
	return ret;
}
