// SPDX-License-Identifier: Apache-2.0
#include "cli/run.h"

#include <stdio.h>

#include "cli/http.h"
#include "cli/table.h"
#include "cli/topology.h"

int weft_run_show_topology(const struct invocation *in, struct err *err)
{
	static const char *const lists[] = {"networks", "routers", "ports", "floatingips"};
	json_t *all = json_object(), *j;
	struct text t = {0};
	char path[64];
	int ret = 0;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]) && ret == 0; i++) {
		snprintf(path, sizeof(path), "/weft/v1/%s", lists[i]);
		ret = weft_http(in->api, path, NULL, &j, err);
		if (ret == 0) {
			json_object_update(all, j);
			json_decref(j);
		}
	}
	if (ret == 0 && in->json) {
		weft_print_json(all);
	} else if (ret == 0) {
		weft_topology(&t, all);
		fputs(t.s == NULL ? "" : t.s, stdout);
		weft_text_fini(&t);
	}
	json_decref(all);
	return ret;
}
