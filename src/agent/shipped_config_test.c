// SPDX-License-Identifier: Apache-2.0
// etc/weftd.conf is what operators start from: it must not lag behind the table of keys.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/config.h"
#include "agent/config_keys.h"

static char path[4096];
static char text[65536];

static int read_shipped(void **state)
{
	const char *root = getenv("WEFT_SOURCE");
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/etc/weftd.conf", root == NULL ? "." : root);
	f = fopen(path, "re");
	if (f == NULL)
		return -1;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	return 0;
}

static void shipped_configuration_is_accepted(void **state)
{
	struct config c;
	struct err err = {0};

	(void)state;
	if (weft_config_read(path, &c, &err) != 0)
		fail_msg("%s", err.msg);
	weft_config_fini(&c);
}

// Does the section have this line, before the next section begins?
static bool has_line(const char *section, const char *line)
{
	char head[64];
	const char *start, *end, *found;

	snprintf(head, sizeof(head), "\n[%s]\n", section);
	start = strstr(text, head);
	if (start == NULL)
		return false;
	end = strstr(start + 1, "\n[");
	found = strstr(start, line);
	return found != NULL && (end == NULL || found < end);
}

static void shipped_configuration_shows_every_key_with_its_default(void **state)
{
	char line[256];

	(void)state;
	for (size_t i = 0; i < weft_config_n_keys; i++) {
		const struct config_key *k = &weft_config_keys[i];

		// The default is no constant: it stands there as an example.
		if (strcmp(k->name, "host") == 0)
			snprintf(line, sizeof(line), "\n;host = ");
		else
			snprintf(line, sizeof(line), "\n%s =%s%s\n", k->name,
				 k->otherwise[0] == '\0' ? "" : " ", k->otherwise);
		if (!has_line(k->section, line))
			fail_msg("[%s] of etc/weftd.conf lacks the line \"%.*s\"", k->section,
				 (int)strcspn(line + 1, "\n"), line + 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shipped_configuration_is_accepted),
		cmocka_unit_test(shipped_configuration_shows_every_key_with_its_default),
	};

	return cmocka_run_group_tests(tests, read_shipped, NULL);
}
