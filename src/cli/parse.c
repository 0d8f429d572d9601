// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parse {
	struct invocation in;
	const struct command *command;
	bool help, version;
	const char *words[16]; // what is no option
	size_t n_words;
};

static const char *value_of(const struct option_spec *o, const char *arg, int argc, char **argv,
			    int *i, struct err *err)
{
	const char *equals = strchr(arg, '=');

	if (o->value == NULL) {
		if (equals != NULL) {
			weft_fail(err, -EINVAL, "--%s takes no value", o->name);
			return NULL;
		}
		return "";
	}
	if (equals != NULL)
		return equals + 1;
	if (*i + 1 < argc)
		return argv[++*i];
	weft_fail(err, -EINVAL, "--%s needs a value: %s", o->name, o->value);
	return NULL;
}

static bool is_option(const struct option_spec *o, const char *arg)
{
	size_t len;

	if (o->name == NULL)
		return false;
	len = strlen(o->name);
	return strncmp(arg + 2, o->name, len) == 0 && (arg[2 + len] == '\0' || arg[2 + len] == '=');
}

static int global_option(struct parse *p, size_t which, const char *value)
{
	const char *name = weft_global_options[which].name;

	if (strcmp(name, "api") == 0)
		p->in.api = value;
	else if (strcmp(name, "json") == 0)
		p->in.json = true;
	else if (strcmp(name, "help") == 0)
		p->help = true;
	else
		p->version = true;
	return 0;
}

static int parse_option(struct parse *p, int argc, char **argv, int *i, struct err *err)
{
	const char *arg = argv[*i], *value;

	for (size_t k = 0; k < weft_n_global_options; k++)
		if (is_option(&weft_global_options[k], arg)) {
			value = value_of(&weft_global_options[k], arg, argc, argv, i, err);
			return value == NULL ? -EINVAL : global_option(p, k, value);
		}
	for (size_t k = 0; p->command != NULL && k < COMMAND_MAX_OPTIONS; k++)
		if (is_option(&p->command->options[k], arg)) {
			value = value_of(&p->command->options[k], arg, argc, argv, i, err);
			p->in.options[k] = value;
			return value == NULL ? -EINVAL : 0;
		}
	return weft_fail(err, -EINVAL, "unknown option %s", arg);
}

static size_t count_words(const char *s)
{
	size_t n = *s != '\0';

	for (; *s != '\0'; s++)
		n += *s == ' ';
	return n;
}

static size_t count_optional(const char *args)
{
	size_t n = 0;

	for (; *args != '\0'; args++)
		n += *args == '[';
	return n;
}

// The command whose words the given ones begin with; NULL = none yet.
static const struct command *find(char **argv, int argc)
{
	for (size_t i = 0; i < weft_n_commands; i++) {
		const struct command *c = &weft_commands[i];
		size_t n = count_words(c->words), have = 0;
		char joined[64] = "";

		for (int k = 1; k < argc && have < n; k++) {
			if (strcmp(argv[k], "--api") == 0) {
				k++;
				continue;
			}
			if (argv[k][0] == '-')
				continue;
			snprintf(joined + strlen(joined), sizeof(joined) - strlen(joined), "%s%s",
				 have == 0 ? "" : " ", argv[k]);
			have++;
		}
		if (strcmp(joined, c->words) == 0)
			return c;
	}
	return NULL;
}

static int parse(struct parse *p, int argc, char **argv, struct err *err)
{
	bool only_words = false;
	size_t words, args;

	p->command = find(argv, argc);
	for (int i = 1; i < argc; i++) {
		if (!only_words && strcmp(argv[i], "--") == 0) {
			only_words = true;
		} else if (!only_words && strncmp(argv[i], "--", 2) == 0) {
			int ret = parse_option(p, argc, argv, &i, err);

			if (ret != 0)
				return ret;
		} else if (p->n_words < sizeof(p->words) / sizeof(p->words[0])) {
			p->words[p->n_words++] = argv[i];
		}
	}
	if (p->help || p->version)
		return 0;
	if (p->n_words == 0)
		return weft_fail(err, -EINVAL, "which command? weft --help lists them");
	if (p->command == NULL)
		return weft_fail(err, -EINVAL, "unknown command %s%s%s; weft --help lists them",
				 p->words[0], p->n_words > 1 ? " " : "",
				 p->n_words > 1 ? p->words[1] : "");
	words = count_words(p->command->words);
	args = count_words(p->command->args);
	if (p->n_words > words + args ||
	    p->n_words + count_optional(p->command->args) < words + args)
		return weft_fail(err, -EINVAL, "usage: weft %s%s%s", p->command->words,
				 args == 0 ? "" : " ", p->command->args);
	for (size_t i = 0; words + i < p->n_words; i++)
		p->in.args[i] = p->words[words + i];
	return 0;
}

int weft_cli(int argc, char **argv)
{
	struct parse p = {0};
	struct err err = {0};
	struct text t = {0};
	int ret;

	p.in.api = getenv("WEFT_API");
	if (parse(&p, argc, argv, &err) != 0) {
		fprintf(stderr, "weft: %s\n", err.msg);
		return EXIT_USAGE;
	}
	if (p.version) {
		printf("weft %s\n", WEFT_VERSION);
		return EXIT_DONE;
	}
	if (p.help) {
		weft_cli_help(&t, p.command);
		fputs(t.s, stdout);
		weft_text_fini(&t);
		return EXIT_DONE;
	}
	ret = p.command->run(&p.in, &err);
	if (ret == 0)
		return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
	fprintf(stderr, "weft: %s\n", err.msg);
	return ret == -EDOM ? EXIT_USAGE : EXIT_FAILED;
}
