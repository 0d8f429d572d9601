// SPDX-License-Identifier: Apache-2.0
#include "cli/run.h"

#include <stdio.h>

#include "cli/http.h"
#include "cli/table.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

int weft_run_show_neighbours(const struct invocation *in, struct err *err)
{
	static const struct column hops[] = {
		{"NETWORK", "network_name", 24},
		{"ADDRESS", "address", 0},
		{"MAC", "mac", 0},
		{"STATE", "state", 0},
		{"SINCE MS", "since_ms", 0},
		{"HEARD MS AGO", "heard_ms", 0},
		{"WAITING", "waiting", 0},
	};
	static const struct column conflicts[] = {
		{"CONFLICT ON", "network_name", 24},
		{"ADDRESS", "address", 0},
		{"CLAIMED BY", "mac", 0},
		{"TIMES", "times", 0},
		{"DEFENDED", "defended", 0},
		{"MS AGO", "ago_ms", 0},
	};
	struct text t = {0};
	json_t *j = NULL;
	int ret = weft_http(in->api, "/weft/v1/neighbours", NULL, &j, err);

	if (ret != 0)
		return ret;
	if (in->json) {
		weft_print_json(j);
	} else {
		weft_table(&t, json_object_get(j, "neighbours"), hops, COUNT(hops));
		if (json_array_size(json_object_get(j, "conflicts")) > 0)
			weft_table(&t, json_object_get(j, "conflicts"), conflicts,
				   COUNT(conflicts));
		fputs(t.s, stdout);
		weft_text_fini(&t);
	}
	json_decref(j);
	return 0;
}
