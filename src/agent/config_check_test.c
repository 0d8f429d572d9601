// SPDX-License-Identifier: Apache-2.0
// What weftd --check-config says: all that is wrong, and nothing about what is well.
#include "agent/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/weft-check-XXXXXX";

static const char *file_with(const char *name, const char *text)
{
	static char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return path;
}

static void collect(void *arg, const char *sentence)
{
	strcat(arg, sentence);
	strcat(arg, "\n");
}

// What is said about this text, one sentence a line.
static const char *check(size_t expected, const char *text)
{
	static char said[16384];
	size_t n;

	said[0] = '\0';
	n = weft_config_check(file_with("conf", text), collect, said);
	if (n != expected)
		fail_msg("%zu complaints, not %zu:\n%s", n, expected, said);
	return said;
}

static void has(const char *said, const char *part)
{
	if (strstr(said, part) == NULL)
		fail_msg("\"%s\" is not in:\n%s", part, said);
}

static void every_mistake_of_the_file_is_told_with_its_line(void **state)
{
	const char *said = check(6, "[node]\n"
				    "hots = a\n"
				    "log = loud\n"
				    "[nodes]\n"
				    "a = b\n"
				    "c = d\n"
				    "[datapath]\n"
				    "workers = 0\n"
				    "vhostuser_group = no-such-group\n"
				    "[api]\n"
				    "auth = token\n");

	(void)state;
	has(said, "conf:2: ");
	has(said, "conf:3: log = loud");
	has(said, "conf:4: section [nodes]");
	has(said, "conf:8: workers = 0");
	has(said, "conf:9: vhostuser_group");
	has(said, "conf:11: auth = token needs tokens");
}

static void what_this_machine_has_not_is_told(void **state)
{
	const char *said = check(5, "[node]\n"
				    "state_dir = /dev/null\n"
				    "[datapath]\n"
				    "cores = 1000\n"
				    "sessions = 268435456\n"
				    "[api]\n"
				    "auth = token\n"
				    "tokens = /nonexistent/tokens\n"
				    "[metadata]\n"
				    "shared_secret_file = /nonexistent/secret\n");

	(void)state;
	has(said, "core 1000");
	has(said, "/nonexistent/tokens");
	has(said, "/nonexistent/secret");
	has(said, "sessions = 268435456");
	has(said, "state_dir = /dev/null");
}

static void tokens_file_without_tokens_is_told(void **state)
{
	char text[256];

	(void)state;
	snprintf(text, sizeof(text), "[api]\nauth = token\ntokens = %s\n",
		 file_with("tokens", "# none yet\n"));
	chmod(file_with("tokens", "# none yet\n"), 0600);
	has(check(1, text), "no token in it");
	chmod(file_with("tokens", "secret project admin\n"), 0600);
	check(0, text);
}

static void tls_files_are_looked_into(void **state)
{
	char text[512], cert[64];

	(void)state;
	strcpy(cert, file_with("cert", "no certificate"));
	snprintf(text, sizeof(text), "[api]\ntls_cert = %s\ntls_key = /nonexistent/key\n", cert);
	check(1, text);
}

static void what_is_well_is_not_complained_about(void **state)
{
	char said[4096] = "";

	(void)state;
	check(0, "");
	assert_int_equal(weft_config_check(NULL, collect, said), 0);
	assert_int_equal(weft_config_check("/nonexistent/conf", collect, said), 1);
	has(said, "/nonexistent/conf");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_mistake_of_the_file_is_told_with_its_line),
		cmocka_unit_test(what_this_machine_has_not_is_told),
		cmocka_unit_test(tokens_file_without_tokens_is_told),
		cmocka_unit_test(tls_files_are_looked_into),
		cmocka_unit_test(what_is_well_is_not_complained_about),
	};
	char command[128];
	int failed;

	if (mkdtemp(directory) == NULL)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command) != 0 || failed;
}
