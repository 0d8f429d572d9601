// SPDX-License-Identifier: Apache-2.0
#include "cli/run.h"

#include <stdio.h>

#include "cli/http.h"
#include "cli/table.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

int weft_run_show_metadata(const struct invocation *in, struct err *err)
{
	static const struct column facts[] = {
		{"configured", "configured", 0},
		{"running", "running", 0},
		{"reason", "reason", 0},
		{"server", "url", 0},
		{"signed", "signed", 0},
		{"last failure", "last_failure", 0},
		{"ago ms", "last_failure_ago_ms", 0},
	};
	static const struct column counts[] = {
		{"COUNT", "count", 0}, {"WHAT", "what", 0}, {"", "sentence", 0}};
	struct text t = {0};
	json_t *j = NULL;
	int ret = weft_http(in->api, "/weft/v1/metadata", NULL, &j, err);

	if (ret != 0)
		return ret;
	if (in->json) {
		weft_print_json(j);
	} else {
		weft_facts(&t, j, facts, COUNT(facts));
		if (json_is_true(json_object_get(j, "running")))
			weft_table(&t, json_object_get(j, "counts"), counts, COUNT(counts));
		fputs(t.s, stdout);
		weft_text_fini(&t);
	}
	json_decref(j);
	return 0;
}
