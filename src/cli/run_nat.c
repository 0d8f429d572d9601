// SPDX-License-Identifier: Apache-2.0
#include "cli/run.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/http.h"
#include "cli/table.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *string_at(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s == NULL ? "" : s;
}

// Ask, and print the answer as JSON or by `print`.
static int show(const struct invocation *in, const char *path,
		void (*print)(struct text *t, const json_t *j), struct err *err)
{
	struct text t = {0};
	json_t *j = NULL;
	int ret = weft_http(in->api, path, NULL, &j, err);

	if (ret != 0)
		return ret;
	if (in->json) {
		weft_print_json(j);
	} else {
		print(&t, j);
		fputs(t.s == NULL ? "" : t.s, stdout);
		weft_text_fini(&t);
	}
	json_decref(j);
	return 0;
}

static void print_floatingips(struct text *t, const json_t *j)
{
	static const struct column columns[] = {
		{"FLOATING IP", "address", 0},	 {"FIXED", "fixed", 0},
		{"PORT", "port_name", 24},	 {"ROUTER", "router_name", 24},
		{"NETWORK", "network_name", 24}, {"MAC", "mac", 0},
	};
	static const struct column forwarded[] = {
		{"PROTOCOL", "protocol", 0},
		{"PORTS", "ports", 0},
		{"TO", "to", 0},
		{"PORT", "port_name", 24},
	};
	const json_t *f;
	size_t i;

	weft_table(t, json_object_get(j, "floatingips"), columns, COUNT(columns));
	json_array_foreach(json_object_get(j, "floatingips"), i, f) {
		if (json_array_size(json_object_get(f, "forwardings")) == 0)
			continue;
		weft_text_add(t, "\n%s forwards\n", string_at(f, "address"));
		weft_table(t, json_object_get(f, "forwardings"), forwarded, COUNT(forwarded));
	}
}

int weft_run_show_floatingips(const struct invocation *in, struct err *err)
{
	return show(in, "/weft/v1/floatingips", print_floatingips, err);
}

static long long number_at(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void print_nat(struct text *t, const json_t *j)
{
	static const struct column sessions[] = {
		{"PROTOCOL", "protocol", 0},	     {"ENTERS AS", "original.text", 0},
		{"LEAVES AS", "translated.text", 0}, {"STATE", "state", 0},
		{"PACKETS", "packets", 0},	     {"REPLIES", "replies", 0},
		{"IDLE ms", "idle_ms", 0},
	};
	static const struct column addresses[] = {
		{"ADDRESS", "address", 0},
		{"OF", "of", 0},
		{"ID", "id", 0},
		{"CONNECTIONS", "sessions", 0},
	};

	weft_table(t, json_object_get(j, "sessions"), sessions, COUNT(sessions));
	weft_text_add(t, "\n");
	weft_table(t, json_object_get(j, "addresses"), addresses, COUNT(addresses));
	weft_text_add(t,
		      "%lld connections; since the start %lld, %lld ports were tried that were in "
		      "use, %lld found none free\n",
		      number_at(j, "count"), number_at(j, "translated"),
		      number_at(j, "ports_in_use_tried"), number_at(j, "exhausted"));
}

int weft_run_show_nat(const struct invocation *in, struct err *err)
{
	char *port = weft_http_escape(in->options[0] == NULL ? "" : in->options[0]);
	struct text path = {0};
	int ret;

	weft_text_add(&path, "/weft/v1/nat?limit=%s",
		      in->options[1] == NULL ? "100" : in->options[1]);
	if (in->options[0] != NULL)
		weft_text_add(&path, "&port=%s", port);
	ret = show(in, path.s, print_nat, err);
	weft_text_fini(&path);
	free(port);
	return ret;
}
