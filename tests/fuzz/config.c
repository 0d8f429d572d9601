// SPDX-License-Identifier: Apache-2.0
// The configuration file: any text, NULs included.
#include "agent/config.h"

#include <string.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct config c;
	struct err err = {.msg = ""};
	int ret = weft_config_parse("weftd.conf", (const char *)data, len, &c, &err);
	if (ret < 0) {
		// A message that names file and line, in one line.
		fuzz_assert(strncmp(err.msg, "weftd.conf:", 11) == 0);
		fuzz_assert(strchr(err.msg, '\n') == NULL);
		return 0;
	}
	fuzz_assert(c.host != NULL && c.listen != NULL && c.workers >= 1 && c.sessions > 0);
	weft_config_fini(&c);
	return 0;
}
