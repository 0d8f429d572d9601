// SPDX-License-Identifier: Apache-2.0
// Commands that change something in the running weftd.
#include "cli/run.h"

#include <stdio.h>

#include "cli/http.h"
#include "cli/table.h"

int weft_run_set_log(const struct invocation *in, struct err *err)
{
	json_t *body = json_pack("{s:s}", "level", in->args[0]);
	json_t *j = NULL;
	int ret = weft_http(in->api, "/weft/v1/log", body, &j, err);

	json_decref(body);
	if (ret != 0)
		return ret;
	if (in->json)
		weft_print_json(j);
	json_decref(j);
	return 0;
}
