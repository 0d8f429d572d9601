// SPDX-License-Identifier: Apache-2.0
#include "plan/dhcp_option.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plan/dhcp_option_names.h"

// Decimal, whole text, 0..max.
static bool parse_number(const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return *end == '\0' && errno == 0 && *out <= max;
}

static bool put(struct plan_dhcp_option *o, const void *bytes, size_t n)
{
	if (o->len + n > sizeof(o->value))
		return false;
	memcpy(o->value + o->len, bytes, n);
	o->len += n;
	return true;
}

static bool put_number(struct plan_dhcp_option *o, uint64_t v, unsigned int bytes)
{
	for (unsigned int i = bytes; i-- > 0;) {
		uint8_t b = v >> (8 * i);

		if (!put(o, &b, 1))
			return false;
	}
	return true;
}

// Of the option's family; IPv6 perhaps in brackets, as dnsmasq wants it.
static bool parse_ip(const struct plan_dhcp_option *o, const char *text, struct ip_addr *ip)
{
	char plain[WEFT_IP_STRLEN + 2];
	size_t len = strlen(text);

	if (len >= sizeof(plain))
		return false;
	strcpy(plain, text);
	if (o->family == 6 && len > 2 && text[0] == '[' && text[len - 1] == ']') {
		memcpy(plain, text + 1, len - 2);
		plain[len - 2] = '\0';
	}
	return weft_ip_parse(plain, ip) == 0 && ip->family == o->family;
}

static bool put_ip(struct plan_dhcp_option *o, const char *text)
{
	struct ip_addr ip;

	return parse_ip(o, text, &ip) && put(o, ip.b, ip.family == 4 ? 4 : 16);
}

// RFC 1035 labels without compression, as RFC 3397 asks of every receiver.
static bool put_name(struct plan_dhcp_option *o, const char *name)
{
	while (*name != '\0') {
		size_t n = strcspn(name, ".");
		uint8_t len = n;

		if (n == 0 || n > 63 || !put(o, &len, 1) || !put(o, name, n))
			return false;
		name += n;
		if (*name == '.')
			name++;
	}
	return put(o, "", 1);
}

// RFC 3442: prefix length and the significant bytes of the destination.
static bool put_prefix(struct plan_dhcp_option *o, const char *text)
{
	struct ip_prefix p;

	if (weft_prefix_parse(text, &p) != 0 || p.ip.family != 4)
		return false;
	p = weft_prefix_masked(&p);
	return put(o, &p.len, 1) && put(o, p.ip.b, (p.len + 7) / 8);
}

static bool put_route(struct plan_dhcp_option *o, const char *dst, const char *via)
{
	return via != NULL && put_prefix(o, dst) && put_ip(o, via);
}

// What an option that has no name may list.
static bool put_ip_or_prefix(struct plan_dhcp_option *o, const char *text)
{
	return o->family == 4 && strchr(text, '/') != NULL ? put_prefix(o, text) : put_ip(o, text);
}

enum ntp6 { NTP6_ADDRESS = 1, NTP6_MULTICAST = 2, NTP6_NAME = 3 };

static bool put_ntp6(struct plan_dhcp_option *o, const char *text)
{
	struct plan_dhcp_option name = {.family = 6};
	struct ip_addr ip;

	if (parse_ip(o, text, &ip))
		return put_number(o, ip.b[0] == 0xff ? NTP6_MULTICAST : NTP6_ADDRESS, 2) &&
		       put_number(o, 16, 2) && put(o, ip.b, 16);
	return put_name(&name, text) && put_number(o, NTP6_NAME, 2) && put_number(o, name.len, 2) &&
	       put(o, name.value, name.len);
}

static bool put_param(struct plan_dhcp_option *o, const char *text)
{
	return put_number(o, strlen(text), 2) && put(o, text, strlen(text));
}

static bool put_item(struct plan_dhcp_option *o, enum form form, const char *item, char **rest)
{
	switch (form) {
	case FORM_IPS:
		return put_ip(o, item);
	case FORM_GUESS:
		return put_ip_or_prefix(o, item);
	case FORM_NAMES:
		return put_name(o, item);
	case FORM_NTP6:
		return put_ntp6(o, item);
	case FORM_PARAMS:
		return put_param(o, item);
	default:
		return put_route(o, item, strtok_r(NULL, ", ", rest));
	}
}

static bool put_list(struct plan_dhcp_option *o, enum form form, const char *value)
{
	char buf[512], *save = NULL;

	if (strlen(value) >= sizeof(buf))
		return false;
	strcpy(buf, value);
	for (char *item = strtok_r(buf, ", ", &save); item != NULL;
	     item = strtok_r(NULL, ", ", &save))
		if (!put_item(o, form, item, &save))
			return false;
	return o->len > 0;
}

// 0a:b:0c: one byte between colons, as one or two digits.
static bool put_hex(struct plan_dhcp_option *o, const char *value)
{
	if (strchr(value, ':') == NULL)
		return false;
	for (;;) {
		size_t n = strspn(value, "0123456789abcdefABCDEF");

		if (n < 1 || n > 2 || !put_number(o, strtoul(value, NULL, 16), 1))
			return false;
		value += n;
		if (*value == '\0')
			return true;
		if (*value++ != ':')
			return false;
	}
}

// Names or addresses, after a byte that says which.
static bool put_sip(struct plan_dhcp_option *o, const char *value)
{
	uint8_t addresses = 1, names = 0;

	if (put(o, &addresses, 1) && put_list(o, FORM_IPS, value))
		return true;
	o->len = 0;
	return put(o, &names, 1) && put_list(o, FORM_NAMES, value);
}

static bool put_text(struct plan_dhcp_option *o, const char *value)
{
	return value[0] != '\0' && put(o, value, strlen(value));
}

// A failed attempt may have written some bytes.
static bool attempt(bool ok, struct plan_dhcp_option *o)
{
	if (!ok)
		o->len = 0;
	return ok;
}

// A number, perhaps negative, in so many bytes.
static bool put_decimal(struct plan_dhcp_option *o, const char *value, unsigned int bytes)
{
	bool negative = value[0] == '-';
	uint64_t most = (1ull << (8 * bytes)) - 1, v;

	if (!parse_number(value + negative, negative ? most / 2 + 1 : most, &v))
		return false;
	return put_number(o, negative ? -v : v, bytes);
}

static bool put_time(struct plan_dhcp_option *o, const char *value)
{
	static const struct {
		char unit;
		uint32_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
	size_t len = strlen(value);
	char plain[16];
	uint32_t unit = 1;
	uint64_t v;

	if (strcasecmp(value, "infinite") == 0)
		return put_number(o, UINT32_MAX, 4);
	if (len < 1 || len >= sizeof(plain))
		return false;
	strcpy(plain, value);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (tolower((unsigned char)plain[len - 1]) == units[i].unit) {
			unit = units[i].seconds;
			plain[len - 1] = '\0';
			break;
		}
	return parse_number(plain, UINT32_MAX, &v) && v * unit <= UINT32_MAX &&
	       put_number(o, v * unit, 4);
}

// Is it a number, with its size in bytes behind it, perhaps: 5b, 5s, 5i? A size of 0: none is said.
static bool is_number(const char *value, char plain[32], unsigned int *bytes)
{
	size_t sign = value[0] == '-', digits = strspn(value + sign, "0123456789");
	const char *rest = value + sign + digits;

	*bytes = rest[0] == 'b' ? 1 : rest[0] == 's' ? 2 : rest[0] == 'i' ? 4 : 0;
	if (digits == 0 || sign + digits >= 32 || rest[*bytes != 0] != '\0')
		return false;
	memcpy(plain, value, sign + digits);
	plain[sign + digits] = '\0';
	return true;
}

static bool put_guess(struct plan_dhcp_option *o, const char *value)
{
	unsigned int bytes;
	char plain[32];

	if (is_number(value, plain, &bytes)) {
		if (bytes != 0)
			return put_decimal(o, plain, bytes);
		return (plain[0] != '-' && (attempt(put_decimal(o, plain, 1), o) ||
					    attempt(put_decimal(o, plain, 2), o))) ||
		       put_decimal(o, plain, 4);
	}
	return attempt(put_list(o, FORM_GUESS, value), o) || attempt(put_hex(o, value), o) ||
	       put_text(o, value);
}

static bool put_form(struct plan_dhcp_option *o, enum form form, const char *value)
{
	switch (form) {
	case FORM_GUESS:
		return put_guess(o, value);
	case FORM_TEXT:
		return put_text(o, value);
	case FORM_IPS:
	case FORM_NAMES:
	case FORM_ROUTES:
	case FORM_NTP6:
	case FORM_PARAMS:
		return put_list(o, form, value);
	case FORM_SIP:
		return put_sip(o, value);
	case FORM_TIME:
		return put_time(o, value);
	case FORM_U8:
		return value[0] != '-' && put_decimal(o, value, 1);
	case FORM_U16:
		return value[0] != '-' && put_decimal(o, value, 2);
	case FORM_U32:
		return value[0] != '-' && put_decimal(o, value, 4);
	case FORM_S32:
		return put_decimal(o, value, 4);
	}
	return false;
}

// As dnsmasq reads a line of its options file: without what is around it, without quotes, within
// which a backslash makes the next character plain, and up to a comment. *quoted: it is text,
// whatever it looks like.
static bool unquote(const char *value, char *out, size_t size, bool *quoted)
{
	size_t n = 0, keep = 0;
	bool inside = false;

	*quoted = false;
	value += strspn(value, " \t");
	for (; *value != '\0'; value++) {
		char c = *value;

		if (c == '"') {
			inside = !inside;
			*quoted = true;
			keep = n;
			continue;
		}
		if (!inside && c == '#' && n > 0 && isspace((unsigned char)value[-1]))
			break;
		if (inside && c == '\\' && value[1] != '\0')
			c = *++value == 't' ? '\t' : *value == 'n' ? '\n' : *value;
		if (n + 1 == size)
			return false;
		out[n++] = c;
		if (inside || !isspace((unsigned char)c))
			keep = n;
	}
	out[keep] = '\0';
	return true;
}

static const char *form_text(enum form form, uint8_t family)
{
	switch (form) {
	case FORM_IPS:
		return family == 4 ? "IPv4 addresses separated by commas"
				   : "IPv6 addresses separated by commas";
	case FORM_NTP6:
		return "IPv6 addresses and names separated by commas";
	case FORM_PARAMS:
		return "texts separated by commas";
	case FORM_NAMES:
		return "domain names separated by commas";
	case FORM_ROUTES:
		return "destination,gateway pairs";
	case FORM_U8:
		return "a number up to 255";
	case FORM_U16:
		return "a number up to 65535";
	case FORM_U32:
		return "a number up to 4294967295";
	case FORM_S32:
		return "a number from -2147483648 to 4294967295";
	case FORM_TIME:
		return "seconds, or a time as 90m, 2h, 1d, 1w or infinite";
	case FORM_SIP:
		return "domain names, or IPv4 addresses, separated by commas";
	default:
		return "text of 1 to 255 bytes";
	}
}

int weft_dhcp_option_encode(uint8_t family, const char *name, const char *value,
			    struct plan_dhcp_option *out, struct err *err)
{
	struct plan_dhcp_option o = {.family = family};
	const struct dhcp_option_name *k;
	enum form form;
	char plain[64], plain_value[512];
	uint64_t number;
	bool quoted;

	if (strncmp(name, "option:", 7) == 0)
		name += 7;
	else if (family == 6 && strncmp(name, "option6:", 8) == 0)
		name += 8;
	if (strlen(name) >= sizeof(plain))
		return weft_fail(err, -EINVAL, "DHCP option %.64s…: the name is too long", name);
	strcpy(plain, name);
	for (char *c = plain; *c != '\0'; c++)
		*c = *c == '_' ? '-' : *c;

	if (parse_number(plain, 254, &number) && number > 0) {
		k = weft_dhcp_option_name(family, NULL, number);
		o.code = number;
	} else {
		k = weft_dhcp_option_name(family, plain, 0);
		if (k == NULL)
			return weft_fail(err, -EINVAL,
					 "DHCP option %s: neither a known name nor a number from "
					 "1 to 254; it is left out",
					 name);
		o.code = k->code;
	}
	form = k == NULL ? FORM_GUESS : k->form;
	if (!unquote(value, plain_value, sizeof(plain_value), &quoted) ||
	    !put_form(&o, form == FORM_GUESS && quoted ? FORM_TEXT : form, plain_value))
		return weft_fail(err, -EINVAL,
				 "DHCP option %s: \"%.200s\" is not %s; it is left out", name,
				 value, form_text(form, family));
	*out = o;
	return 0;
}
