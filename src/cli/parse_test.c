// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"

// Nothing listens at port 9 of loopback, so a command that is understood fails with 1.
static int run(const char *line)
{
	char *copy = strdup(line), *save = NULL, name[] = "weft", *argv[16] = {name};
	int argc = 1, status, out = dup(1), err = dup(2), null = open("/dev/null", O_WRONLY);

	for (char *w = strtok_r(copy, "|", &save); w != NULL; w = strtok_r(NULL, "|", &save))
		argv[argc++] = w;
	dup2(null, 1);
	dup2(null, 2);
	status = weft_cli(argc, argv);
	dup2(out, 1);
	dup2(err, 2);
	close(out);
	close(err);
	close(null);
	free(copy);
	return status;
}

static void wrong_usage_is_status_2(void **state)
{
	(void)state;
	assert_int_equal(run(""), EXIT_USAGE);
	assert_int_equal(run("shew|ports"), EXIT_USAGE);
	assert_int_equal(run("show|port"), EXIT_USAGE);
	assert_int_equal(run("show|ports|extra"), EXIT_USAGE);
	assert_int_equal(run("show|ports|--frobnicate"), EXIT_USAGE);
	assert_int_equal(run("show|sessions|--limit"), EXIT_USAGE);
	assert_int_equal(run("show|ports|--json=yes"), EXIT_USAGE);
	assert_int_equal(run("wait-ready|--timeout|soon"), EXIT_USAGE);
	assert_int_equal(run("trace"), EXIT_USAGE);
	assert_int_equal(run("trace|p"), EXIT_USAGE);
	assert_int_equal(run("flush|sessions"), EXIT_USAGE);
	assert_int_equal(run("reset|counters|p"), EXIT_USAGE);
	assert_int_equal(run("store|remove|port"), EXIT_USAGE);
	assert_int_equal(run("trace|p|tcp|10.0.0.1:2"), EXIT_USAGE);
	assert_int_equal(run("trace|p|icmp > 10.0.0.1|--count|3"), EXIT_USAGE);
	assert_int_equal(run("trace|--live|p|--count|0"), EXIT_USAGE);
}

static void nobody_there_is_status_1(void **state)
{
	(void)state;
	assert_int_equal(run("--api|http://127.0.0.1:9|show|ports"), EXIT_FAILED);
	assert_int_equal(run("show|sessions|--limit=3|--port|x|--api=http://127.0.0.1:9"),
			 EXIT_FAILED);
	assert_int_equal(run("trace|p|tcp > 10.0.0.1:2|--json|--api|http://127.0.0.1:9"),
			 EXIT_FAILED);
	assert_int_equal(run("trace|--live|p|--api|http://127.0.0.1:9"), EXIT_FAILED);
	assert_int_equal(run("trace|--live|p|icmp|--seconds=2|--api|http://127.0.0.1:9"),
			 EXIT_FAILED);
	assert_int_equal(run("wait-ready|--timeout|0|--api|http://127.0.0.1:9"), EXIT_FAILED);
}

static void help_needs_no_daemon(void **state)
{
	(void)state;
	assert_int_equal(run("--help"), EXIT_DONE);
	assert_int_equal(run("show|sessions|--help"), EXIT_DONE);
	assert_int_equal(run("--version"), EXIT_DONE);
	assert_int_equal(run("man"), EXIT_DONE);
	assert_int_equal(run("completion"), EXIT_DONE);
}

static void every_command_is_in_help_manual_and_completion(void **state)
{
	struct text help = {0}, man = {0}, completion = {0};

	(void)state;
	weft_cli_help(&help, NULL);
	weft_cli_man(&man);
	weft_cli_completion(&completion);
	for (size_t i = 0; i < weft_n_commands; i++) {
		const char *last = strrchr(weft_commands[i].words, ' ');

		assert_non_null(strstr(help.s, weft_commands[i].words));
		assert_non_null(strstr(man.s, weft_commands[i].summary));
		assert_non_null(
			strstr(completion.s, last == NULL ? weft_commands[i].words : last + 1));
	}
	weft_text_fini(&help);
	weft_text_fini(&man);
	weft_text_fini(&completion);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_usage_is_status_2),
		cmocka_unit_test(nobody_there_is_status_1),
		cmocka_unit_test(help_needs_no_daemon),
		cmocka_unit_test(every_command_is_in_help_manual_and_completion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
