// SPDX-License-Identifier: Apache-2.0
// What would happen to a packet, stage by stage, and how it leaves.
#include "cli/run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/http.h"
#include "cli/table.h"

static json_t *trace_body(const struct invocation *in)
{
	if (strncmp(in->args[1], "hex:", 4) == 0)
		return json_pack("{s:s,s:s}", "port", in->args[0], "frame", in->args[1] + 4);
	return json_pack("{s:s,s:s}", "port", in->args[0], "packet", in->args[1]);
}

// " to NAME (ID), ..."
static void out_ports(struct text *t, const json_t *trace)
{
	const json_t *names = json_object_get(trace, "out_port_names"), *v;
	size_t i;

	json_array_foreach(json_object_get(trace, "out_ports"), i, v) {
		const char *name = json_string_value(json_array_get(names, i));
		const char *id = json_string_value(v);

		weft_text_add(t, "%s", i == 0 ? " to " : ", ");
		if (name != NULL && name[0] != '\0')
			weft_text_add(t, "%s (%s)", name, id);
		else
			weft_text_add(t, "%s", id);
	}
}

static const char *text_at(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s == NULL ? "" : s;
}

// "by eth1 (physnet1, VLAN 101): SRC > DST tcp ...", a line for each way out.
static void leaves(struct text *t, const json_t *trace)
{
	const json_t *one, *vlan;
	size_t i;

	json_array_foreach(json_object_get(trace, "final"), i, one) {
		weft_text_add(t, "   by %s", text_at(one, "interface"));
		vlan = json_object_get(one, "vlan");
		if (vlan != NULL)
			weft_text_add(t, " (%s, ", text_at(one, "physical_network"));
		if (json_is_integer(vlan))
			weft_text_add(t, "VLAN %lld)", (long long)json_integer_value(vlan));
		else if (vlan != NULL)
			weft_text_add(t, "untagged)");
		weft_text_add(t, ": %s > %s %s%s\n", text_at(one, "src_mac"),
			      text_at(one, "dst_mac"), text_at(one, "packet"),
			      json_is_true(json_object_get(one, "fragments")) ? ", in fragments"
									      : "");
	}
}

static void judged(struct text *t, const json_t *trace)
{
	static const struct column columns[] = {
		{"STAGE", "stage", 0},
		{"VERDICT", "verdict", 0},
		{"DETAIL", "detail", 0},
		{"RULE", "rule_text", 0},
	};
	const json_t *stages = json_object_get(trace, "stages");

	weft_text_add(t, "%s\n", text_at(trace, "packet"));
	if (stages != NULL)
		weft_table(t, stages, columns, sizeof(columns) / sizeof(columns[0]));
	weft_text_add(t, "=> %s", text_at(trace, "verdict"));
	if (json_object_get(trace, "sentence") != NULL)
		weft_text_add(t, ": %s (%s)", text_at(trace, "reason"), text_at(trace, "sentence"));
	out_ports(t, trace);
	weft_text_add(t, "\n");
	leaves(t, trace);
}

static void way_back(struct text *t, const json_t *reply)
{
	const char *name = text_at(reply, "port_name");

	if (!json_is_object(reply)) {
		weft_text_add(t, "\nNo way back: such a packet makes no connection here, or goes "
				 "nowhere.\n");
		return;
	}
	weft_text_add(t, "\nThe answer of %s, %s:\n",
		      name[0] == '\0' ? text_at(reply, "port") : name,
		      json_is_true(json_object_get(reply, "as_if"))
			      ? "as if the packet above had gone (nothing was sent, there is no "
				"session)"
			      : "by the session that is there");
	judged(t, reply);
}

int weft_run_trace(const struct invocation *in, struct err *err)
{
	struct text t = {0};
	json_t *body, *j = NULL;
	int ret;

	if (in->options[1] != NULL)
		return weft_run_trace_live(in, err);
	if (in->options[2] != NULL || in->options[3] != NULL)
		return weft_fail(err, -EDOM, "--count and --seconds are for --live");
	if (in->args[1] == NULL)
		return weft_fail(err, -EDOM,
				 "which packet? usage: weft trace PORT PACKET, or weft "
				 "trace --live PORT [FILTER]");
	body = trace_body(in);
	ret = weft_http(in->api, "/weft/v1/trace", body, &j, err);
	json_decref(body);
	if (ret != 0)
		return ret;
	if (in->json) {
		weft_print_json(j);
		json_decref(j);
		return 0;
	}
	judged(&t, j);
	if (in->options[0] != NULL)
		way_back(&t, json_object_get(j, "reply"));
	fputs(t.s, stdout);
	weft_text_fini(&t);
	json_decref(j);
	return 0;
}
