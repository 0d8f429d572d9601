// SPDX-License-Identifier: Apache-2.0
#include "cli/run.h"

#include <stdio.h>

#include "cli/http.h"
#include "cli/table.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void networks(struct text *t, const json_t *uplinks)
{
	static const struct column columns[] = {
		{"ON", "physical_network", 0},
		{"VLAN", "vlan", 0},
		{"NETWORK", "network_name", 24},
		{"", "network", 11},
		{"MTU", "mtu", 0},
		{"RECEIVED", "counters.received_packets", 0},
		{"SENT", "counters.sent_packets", 0},
		{"DROPPED", "counters.dropped_received", 0},
		{"NOT SENT", "counters.dropped_sent", 0},
	};
	json_t *all = json_array();
	const json_t *u;
	json_t *n;
	size_t i, k;

	json_array_foreach(uplinks, i, u) {
		json_array_foreach(json_object_get(u, "networks"), k, n) {
			json_object_set(n, "physical_network",
					json_object_get(u, "physical_network"));
			json_array_append(all, n);
		}
	}
	if (json_array_size(all) > 0) {
		weft_text_add(t, "\n");
		weft_table(t, all, columns, COUNT(columns));
	}
	json_decref(all);
}

int weft_run_show_uplinks(const struct invocation *in, struct err *err)
{
	static const struct column columns[] = {
		{"PHYSICAL", "physical_network", 0},
		{"DEVICE", "device", 40},
		{"ATTACHED", "attached", 0},
		{"CARRIER", "carrier", 0},
		{"MTU", "mtu", 0},
		{"LOST", "interface_counters.rx_lost", 0},
		{"REFUSED", "interface_counters.tx_refused", 0},
		{"UNKNOWN VLAN", "unknown_vlan_packets", 0},
		{"LATEST", "last_unknown_vlan", 0},
	};
	struct text t = {0};
	json_t *j = NULL;
	const json_t *uplinks, *u;
	size_t i;
	int ret = weft_http(in->api, "/weft/v1/uplinks", NULL, &j, err);

	if (ret != 0)
		return ret;
	uplinks = json_object_get(j, "uplinks");
	if (in->json) {
		weft_print_json(j);
	} else {
		weft_table(&t, uplinks, columns, COUNT(columns));
		json_array_foreach(uplinks, i, u) {
			const char *name =
				json_string_value(json_object_get(u, "physical_network"));
			const char *why = json_string_value(json_object_get(u, "reason"));

			if (why == NULL)
				why = json_string_value(json_object_get(u, "warning"));
			if (why != NULL)
				weft_text_add(&t, "%s: %s\n", name, why);
		}
		networks(&t, uplinks);
		fputs(t.s, stdout);
		weft_text_fini(&t);
	}
	json_decref(j);
	return 0;
}
