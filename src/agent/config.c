// SPDX-License-Identifier: Apache-2.0
#include "agent/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/config_keys.h"
#include "agent/config_priv.h"
#include "base/addr.h"

// In place of a section's name: its keys have nowhere to go, and that was said.
#define UNKNOWN "?"

int weft_config_fail(const struct place *at, const char *fmt, ...)
{
	char msg[WEFT_ERR_MAX / 2];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	if (at->line == 0)
		weft_fail(at->err, -EINVAL, "%s: %s", at->file, msg);
	else
		weft_fail(at->err, -EINVAL, "%s:%zu: %s", at->file, at->line, msg);
	if (at->complain != NULL)
		at->complain(at->complain_arg, at->err->msg);
	return -EINVAL;
}

static char **text_field(struct config *c, const struct config_key *k)
{
	return (char **)((char *)c + k->offset);
}

static uint32_t *number_field(struct config *c, const struct config_key *k)
{
	return (uint32_t *)((char *)c + k->offset);
}

static bool is_text(const struct config_key *k)
{
	return k->form != FORM_NUMBER && k->form != FORM_CHOICE;
}

static int bad_value(const struct place *at, const struct config_key *k, const char *value)
{
	char allowed[256];

	return weft_config_fail(at, "%s = %.100s: allowed is %s", k->name, value,
				weft_config_allowed(k, allowed, sizeof(allowed)));
}

static bool parse_number(const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return *end == '\0' && errno == 0 && *out <= max;
}

static int set_choice(const struct place *at, const struct config_key *k, const char *value)
{
	bool planned = false;
	uint32_t index = 0;

	for (const char *w = k->choices; *w != '\0'; index++) {
		size_t n = strcspn(w, "|/");

		if (strlen(value) == n && strncmp(w, value, n) == 0) {
			if (planned)
				return weft_config_fail(
					at,
					"%s = %s comes later and is not built in this "
					"version",
					k->name, value);
			*number_field(at->config, k) = index;
			return 0;
		}
		planned = planned || w[n] == '/';
		w += n + (w[n] != '\0');
	}
	return bad_value(at, k, value);
}

// "[::1]:9696" or "127.0.0.1:9696" -> the address alone.
bool weft_config_split_listen(const char *text, struct ip_addr *ip)
{
	const char *colon = strrchr(text, ':');
	char host[64];
	uint64_t port;
	size_t n;

	if (colon == NULL || !parse_number(colon + 1, 65535, &port) || port == 0)
		return false;
	n = colon - text;
	if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	} else if (memchr(text, ':', n) != NULL) {
		return false;
	}
	if (n >= sizeof(host))
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	return weft_ip_parse(host, ip) == 0;
}

static bool is_core_list(const char *text)
{
	do {
		char *end;
		unsigned long first, last;

		if (!isdigit((unsigned char)*text))
			return false;
		first = last = strtoul(text, &end, 10);
		if (*end == '-') {
			if (!isdigit((unsigned char)end[1]))
				return false;
			last = strtoul(end + 1, &end, 10);
		}
		if (last > 1023 || first > last)
			return false;
		text = end;
	} while (*text++ == ',');
	return text[-1] == '\0';
}

static int set_text(const struct place *at, const struct config_key *k, const char *value)
{
	char **field = text_field(at->config, k);
	struct ip_addr ip;

	// Nothing after the '=' is the default.
	if (value[0] == '\0')
		value = k->otherwise;
	if (value[0] != '\0' &&
	    ((k->form == FORM_PATH && value[0] != '/') ||
	     (k->form == FORM_LISTEN && strcmp(value, "none") != 0 &&
	      !weft_config_split_listen(value, &ip)) ||
	     (k->form == FORM_CORES && !is_core_list(value)) || strlen(value) > 200))
		return bad_value(at, k, value);
	free(*field);
	*field = strdup(value);
	if (*field == NULL)
		abort();
	return 0;
}

static int set_value(const struct place *at, const struct config_key *k, const char *value)
{
	uint64_t number;

	if (is_text(k))
		return set_text(at, k, value);
	if (k->form == FORM_CHOICE)
		return set_choice(at, k, value);
	if (!parse_number(value, k->max, &number) || number < k->min)
		return bad_value(at, k, value);
	*number_field(at->config, k) = number;
	return 0;
}

// The names of a section's keys, or of all sections, for a message.
static const char *known_names(const char *section, char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = '\0';
	for (size_t i = 0; section == NULL && i < weft_config_n_sections; i++)
		n += snprintf(buf + n, size - n, "%s[%s]", n > 0 ? ", " : "",
			      weft_config_sections[i].name);
	for (size_t i = 0; section != NULL && i < weft_config_n_keys && n < size; i++) {
		if (strcmp(weft_config_keys[i].section, section) == 0)
			n += snprintf(buf + n, size - n, "%s%s", n > 0 ? ", " : "",
				      weft_config_keys[i].name);
	}
	return buf;
}

static int open_section(struct place *at, char *line)
{
	char names[256], *end = strchr(line, ']');

	if (end == NULL || end[1] != '\0')
		return weft_config_fail(at, "\"%.100s\": a section is written [name]", line);
	*end = '\0';
	for (size_t i = 0; i < weft_config_n_sections; i++) {
		if (strcmp(weft_config_sections[i].name, line + 1) == 0) {
			snprintf(at->section, sizeof(at->section), "%s", line + 1);
			return 0;
		}
	}
	strcpy(at->section, UNKNOWN);
	return weft_config_fail(at, "section [%.60s] is unknown; there are %s", line + 1,
				known_names(NULL, names, sizeof(names)));
}

static char *trim(char *s)
{
	size_t n;

	while (isspace((unsigned char)*s))
		s++;
	n = strlen(s);
	while (n > 0 && isspace((unsigned char)s[n - 1]))
		s[--n] = '\0';
	return s;
}

static char *copy_of(const char *s)
{
	char *copy = strdup(s);

	if (copy == NULL)
		abort();
	return copy;
}

static void add_physical(struct config *c, const char *name, const char *device)
{
	size_t n = c->n_physical + 1;

	c->physical = realloc(c->physical, n * sizeof(*c->physical));
	c->physical_names = realloc(c->physical_names, n * sizeof(*c->physical_names));
	if (c->physical == NULL || c->physical_names == NULL)
		abort();
	c->physical[n - 1] = (struct datapath_physical) {copy_of(name), copy_of(device)};
	c->physical_names[n - 1] = c->physical[n - 1].name;
	c->n_physical = n;
}

// "physnet1:br-ex", as Neutron's agents write it: what is it here?
static int fail_mapping(const struct place *at, const char *mapping)
{
	int n = (int)strcspn(mapping, ":,");

	return weft_config_fail(
		at,
		"\"%.60s\" is how Neutron's agents write it; here a physical network is a line of "
		"its own, its name = the device that leads there: %.*s = eth1 (the interface itself, "
		"not a bridge)",
		mapping, n, mapping);
}

// A physical network's name is a key of its own.
static int take_physical(struct place *at, const char *name, const char *device)
{
	struct config *c = at->config;

	if (strchr(name, ':') != NULL)
		return fail_mapping(at, name);
	if (strcmp(name, "bridge_mappings") == 0 ||
	    strcmp(name, "physical_interface_mappings") == 0)
		return fail_mapping(at, device);
	if (name[0] == '\0' || strlen(name) > 31 || strpbrk(name, " \t") != NULL)
		return weft_config_fail(
			at,
			"physical network \"%.60s\": allowed is a name of 1 to 31 characters "
			"without blanks",
			name);
	if (device[0] == '\0' || strlen(device) > 200)
		return weft_config_fail(
			at,
			"physical network %s = %.60s: allowed is a kernel interface's name, or a "
			"DPDK device and its arguments (at most 200 characters)",
			name, device);
	for (size_t i = 0; i < c->n_physical; i++) {
		if (strcmp(c->physical[i].name, name) == 0)
			return weft_config_fail(at,
						"[physical] %s is given twice: line %zu has it too",
						name, at->physical[i]);
		if (strcmp(c->physical[i].device, device) == 0)
			return weft_config_fail(
				at,
				"[physical] %s: device %.60s is physical network %s's "
				"already (line %zu)",
				name, device, c->physical[i].name, at->physical[i]);
	}
	if (c->n_physical == sizeof(at->physical) / sizeof(*at->physical))
		return weft_config_fail(at, "[physical] %s: there can be %zu physical networks",
					name, c->n_physical);
	at->physical[c->n_physical] = at->line;
	add_physical(c, name, device);
	return 0;
}

static int take_key(struct place *at, const char *name, const char *value)
{
	char names[512];

	if (strcmp(at->section, UNKNOWN) == 0)
		return 0;
	for (size_t i = 0; i < weft_config_n_keys; i++) {
		const struct config_key *k = &weft_config_keys[i];

		if (strcmp(k->section, at->section) != 0 || strcmp(k->name, name) != 0)
			continue;
		if (at->seen[i] != 0)
			return weft_config_fail(at, "[%s] %s is given twice: line %zu has it too",
						k->section, k->name, at->seen[i]);
		at->seen[i] = at->line;
		return set_value(at, k, value);
	}
	if (strcmp(at->section, "physical") == 0)
		return take_physical(at, name, value);
	return weft_config_fail(at, "[%s] has no key \"%.60s\"; there are %s", at->section, name,
				known_names(at->section, names, sizeof(names)));
}

static int take_line(struct place *at, char *line)
{
	char *value;

	// A comment: the whole line, or what follows a blank.
	for (char *c = line; *c != '\0'; c++) {
		if ((*c == ';' || *c == '#') && (c == line || isspace((unsigned char)c[-1])))
			*c = '\0';
		if (*c == '\0')
			break;
	}
	line = trim(line);
	if (line[0] == '\0')
		return 0;
	if (line[0] == '[')
		return open_section(at, line);
	value = strchr(line, '=');
	if (value == NULL && strcmp(at->section, "physical") == 0 && strchr(line, ':') != NULL)
		return fail_mapping(at, line);
	if (value == NULL)
		return weft_config_fail(at, "\"%.100s\": neither [section] nor key = value", line);
	if (at->section[0] == '\0')
		return weft_config_fail(at, "\"%.100s\": a [section] must come first", line);
	*value++ = '\0';
	return take_key(at, trim(line), trim(value));
}

static int set_defaults(struct place *at)
{
	char host[256] = "localhost";

	for (size_t i = 0; i < weft_config_n_keys; i++) {
		int ret = set_value(at, &weft_config_keys[i], weft_config_keys[i].otherwise);

		if (ret != 0)
			return ret;
	}
	gethostname(host, sizeof(host) - 1);
	free(at->config->host);
	at->config->host = strdup(host);
	if (at->config->host == NULL)
		abort();
	return 0;
}

// What is made of another key.
static void derive(struct config *c)
{
	if (c->socket[0] != '\0')
		return;
	free(c->socket);
	if (asprintf(&c->socket, "%s/api.sock", c->run_dir) < 0)
		abort();
}

static int parse_lines(struct place *at, char *text)
{
	int ret = 0;

	for (char *line = text, *next; line != NULL; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		at->line++;
		ret = take_line(at, line) != 0 ? -EINVAL : ret;
		if (ret != 0 && at->complain == NULL)
			break;
	}
	return ret;
}

static int parse(struct place *at, const char *text, size_t len)
{
	struct config *c = at->config;
	char *copy = calloc(1, len + 1);
	int ret;

	at->seen = calloc(weft_config_n_keys, sizeof(*at->seen));
	if (copy == NULL || at->seen == NULL)
		abort();
	*c = (struct config) {0};
	if (len > 0)
		memcpy(copy, text, len);
	ret = set_defaults(at);
	if (ret == 0 && strlen(copy) != len)
		ret = weft_config_fail(at, "it has a NUL byte: this is no configuration file");
	if (ret == 0)
		ret = parse_lines(at, copy);
	if (ret == 0 || at->complain != NULL)
		ret = weft_config_whole(at) != 0 ? -EINVAL : ret;
	if (ret != 0)
		weft_config_fini(c);
	else
		derive(c);
	free(at->seen);
	free(copy);
	return ret;
}

int weft_config_parse(const char *name, const char *text, size_t len, struct config *c,
		      struct err *err)
{
	struct place at = {.file = name, .config = c, .err = err};

	return parse(&at, text, len);
}

int weft_config_read_on(const char *path, struct config *c, config_complain complain, void *arg,
			struct err *err)
{
	struct place at = {path == NULL ? "defaults" : path, .config = c, .err = err,
			   .complain = complain, .complain_arg = arg};
	struct text all = {0};
	char buf[4096];
	size_t n;
	FILE *f;
	int ret;

	if (path == NULL)
		return parse(&at, NULL, 0);
	f = fopen(path, "re");
	if (f == NULL)
		return weft_fail(err, -errno, "%s: the configuration cannot be opened: %s", path,
				 strerror(errno));
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0 && all.len < 1 << 20) {
		all.s = realloc(all.s, all.len + n);
		if (all.s == NULL)
			abort();
		memcpy(all.s + all.len, buf, n);
		all.len += n;
	}
	ret = ferror(f) ? -EIO : 0;
	fclose(f);
	if (ret != 0)
		weft_fail(err, ret, "%s: the configuration cannot be read", path);
	else
		ret = parse(&at, all.s, all.len);
	free(all.s);
	return ret;
}

int weft_config_read(const char *path, struct config *c, struct err *err)
{
	return weft_config_read_on(path, c, NULL, NULL, err);
}

void weft_config_fini(struct config *c)
{
	for (size_t i = 0; i < weft_config_n_keys; i++) {
		if (is_text(&weft_config_keys[i]))
			free(*text_field(c, &weft_config_keys[i]));
	}
	for (size_t i = 0; i < c->n_physical; i++) {
		free((char *)c->physical[i].name);
		free((char *)c->physical[i].device);
	}
	free(c->physical);
	free(c->physical_names);
	*c = (struct config) {0};
}
