// SPDX-License-Identifier: Apache-2.0
#include "plan/dhcp_option.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum form {
	FORM_GUESS,
	FORM_TEXT,
	FORM_IPS,
	FORM_U8,
	FORM_U16,
	FORM_U32,
	FORM_NAMES,
	FORM_ROUTES,
	FORM_NTP6,   // addresses, each in a suboption (RFC 5908)
	FORM_PARAMS, // texts, each with its length (RFC 5970)
};

static const struct known {
	const char *name;
	uint8_t code;
	enum form form;
} known_options[] = {
	{"netmask", 1, FORM_IPS},
	{"time-offset", 2, FORM_U32},
	{"router", 3, FORM_IPS},
	{"dns-server", 6, FORM_IPS},
	{"log-server", 7, FORM_IPS},
	{"lpr-server", 9, FORM_IPS},
	{"boot-file-size", 13, FORM_U16},
	{"domain-name", 15, FORM_TEXT},
	{"swap-server", 16, FORM_IPS},
	{"root-path", 17, FORM_TEXT},
	{"extension-path", 18, FORM_TEXT},
	{"ip-forward-enable", 19, FORM_U8},
	{"non-local-source-routing", 20, FORM_U8},
	{"policy-filter", 21, FORM_IPS},
	{"max-datagram-reassembly", 22, FORM_U16},
	{"default-ttl", 23, FORM_U8},
	{"mtu", 26, FORM_U16},
	{"interface-mtu", 26, FORM_U16},
	{"all-subnets-local", 27, FORM_U8},
	{"broadcast", 28, FORM_IPS},
	{"router-discovery", 31, FORM_U8},
	{"router-solicitation", 32, FORM_IPS},
	{"static-route", 33, FORM_IPS},
	{"trailer-encapsulation", 34, FORM_U8},
	{"arp-timeout", 35, FORM_U32},
	{"ethernet-encap", 36, FORM_U8},
	{"tcp-ttl", 37, FORM_U8},
	{"tcp-keepalive", 38, FORM_U32},
	{"nis-domain", 40, FORM_TEXT},
	{"nis-server", 41, FORM_IPS},
	{"ntp-server", 42, FORM_IPS},
	{"netbios-ns", 44, FORM_IPS},
	{"netbios-name-server", 44, FORM_IPS},
	{"netbios-dd", 45, FORM_IPS},
	{"netbios-nodetype", 46, FORM_U8},
	{"netbios-scope", 47, FORM_TEXT},
	{"x-windows-fs", 48, FORM_IPS},
	{"x-windows-dm", 49, FORM_IPS},
	{"lease-time", 51, FORM_U32},
	{"T1", 58, FORM_U32},
	{"T2", 59, FORM_U32},
	{"vendor-class", 60, FORM_TEXT},
	{"nis+-domain", 64, FORM_TEXT},
	{"nis+-server", 65, FORM_IPS},
	{"tftp-server", 66, FORM_TEXT},
	{"bootfile-name", 67, FORM_TEXT},
	{"mobile-ip-home", 68, FORM_IPS},
	{"smtp-server", 69, FORM_IPS},
	{"pop3-server", 70, FORM_IPS},
	{"nntp-server", 71, FORM_IPS},
	{"irc-server", 74, FORM_IPS},
	{"user-class", 77, FORM_TEXT},
	{"posix-timezone", 100, FORM_TEXT},
	{"tzdb-timezone", 101, FORM_TEXT},
	{"ipv6-only", 108, FORM_U32},
	{"domain-search", 119, FORM_NAMES},
	{"classless-static-route", 121, FORM_ROUTES},
	{"tftp-server-address", 150, FORM_IPS},
	// dnsmasq puts it into siaddr; as an option it is what PXE firmware asks for instead.
	{"server-ip-address", 150, FORM_IPS},
	{"path-prefix", 210, FORM_TEXT},
	{"wpad", 252, FORM_TEXT},
};

static const struct known known_options6[] = {
	{"sip-server-domain", 21, FORM_NAMES}, {"sip-server", 22, FORM_IPS},
	{"dns-server", 23, FORM_IPS},	       {"domain-search", 24, FORM_NAMES},
	{"nis-server", 27, FORM_IPS},	       {"nis+-server", 28, FORM_IPS},
	{"nis-domain", 29, FORM_NAMES},	       {"nis+-domain", 30, FORM_NAMES},
	{"sntp-server", 31, FORM_IPS},	       {"information-refresh-time", 32, FORM_U32},
	{"posix-timezone", 41, FORM_TEXT},     {"tzdb-timezone", 42, FORM_TEXT},
	{"ntp-server", 56, FORM_NTP6},	       {"bootfile-url", 59, FORM_TEXT},
	{"bootfile-param", 60, FORM_PARAMS},
};

static const struct known *find_known(uint8_t family, const char *name, uint8_t code)
{
	const struct known *all = family == 4 ? known_options : known_options6;
	size_t n = family == 4 ? sizeof(known_options) / sizeof(*all)
			       : sizeof(known_options6) / sizeof(*all);

	for (size_t i = 0; i < n; i++) {
		const struct known *k = &all[i];

		if (name == NULL ? k->code == code : strcasecmp(k->name, name) == 0)
			return k;
	}
	return NULL;
}

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

static bool put_ip(struct plan_dhcp_option *o, const char *text)
{
	struct ip_addr ip;

	return weft_ip_parse(text, &ip) == 0 && ip.family == o->family &&
	       put(o, ip.b, ip.family == 4 ? 4 : 16);
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

// RFC 3442: prefix length, the significant bytes of the destination, the gateway.
static bool put_route(struct plan_dhcp_option *o, const char *dst, const char *via)
{
	struct ip_prefix p;

	if (via == NULL || weft_prefix_parse(dst, &p) != 0 || p.ip.family != 4)
		return false;
	p = weft_prefix_masked(&p);
	return put(o, &p.len, 1) && put(o, p.ip.b, (p.len + 7) / 8) && put_ip(o, via);
}

static bool put_ntp6(struct plan_dhcp_option *o, const char *text)
{
	static const uint8_t server_address[] = {0, 1, 0, 16};

	return put(o, server_address, sizeof(server_address)) && put_ip(o, text);
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

// 0x0a0b… or 0a:0b:…
static bool put_hex(struct plan_dhcp_option *o, const char *value)
{
	bool colons = strchr(value, ':') != NULL;

	if (strncasecmp(value, "0x", 2) == 0)
		value += 2;
	else if (!colons)
		return false;
	while (*value != '\0') {
		char pair[3] = {0};

		if (!isxdigit((unsigned char)value[0]) || !isxdigit((unsigned char)value[1]))
			return false;
		memcpy(pair, value, 2);
		if (!put_number(o, strtoul(pair, NULL, 16), 1))
			return false;
		value += 2;
		if (*value == ':' && colons && value[1] != '\0')
			value++;
		else if (colons && *value != '\0')
			return false;
	}
	return o->len > 0;
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

static bool put_guess(struct plan_dhcp_option *o, const char *value)
{
	uint64_t v;

	if (parse_number(value, UINT32_MAX, &v))
		return put_number(o, v, v <= UINT8_MAX ? 1 : v <= UINT16_MAX ? 2 : 4);
	return attempt(put_list(o, FORM_IPS, value), o) || attempt(put_hex(o, value), o) ||
	       put_text(o, value);
}

static bool put_form(struct plan_dhcp_option *o, enum form form, const char *value)
{
	uint64_t v;

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
	case FORM_U8:
		return parse_number(value, UINT8_MAX, &v) && put_number(o, v, 1);
	case FORM_U16:
		return parse_number(value, UINT16_MAX, &v) && put_number(o, v, 2);
	case FORM_U32:
		return parse_number(value, UINT32_MAX, &v) && put_number(o, v, 4);
	}
	return false;
}

static const char *form_text(enum form form, uint8_t family)
{
	switch (form) {
	case FORM_IPS:
	case FORM_NTP6:
		return family == 4 ? "IPv4 addresses separated by commas"
				   : "IPv6 addresses separated by commas";
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
	default:
		return "text of 1 to 255 bytes";
	}
}

int weft_dhcp_option_encode(uint8_t family, const char *name, const char *value,
			    struct plan_dhcp_option *out, struct err *err)
{
	struct plan_dhcp_option o = {.family = family};
	const struct known *k;
	enum form form;
	char plain[64];
	uint64_t number;

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
		k = find_known(family, NULL, number);
		o.code = number;
	} else {
		k = find_known(family, plain, 0);
		if (k == NULL)
			return weft_fail(err, -EINVAL,
					 "DHCP option %s: neither a known name nor a number from "
					 "1 to 254; it is left out",
					 name);
		o.code = k->code;
	}
	form = k == NULL ? FORM_GUESS : k->form;
	if (!put_form(&o, form, value))
		return weft_fail(err, -EINVAL,
				 "DHCP option %s: \"%.200s\" is not %s; it is left out", name,
				 value, form_text(form, family));
	*out = o;
	return 0;
}
