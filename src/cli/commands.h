// SPDX-License-Identifier: Apache-2.0
// Commands: one table of what `weft` can do. The parser, --help, the bash completion and the
// manual page are all made from it, so they cannot disagree.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/text.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct option_spec {
	const char *name;  // "limit" for --limit
	const char *value; // "N"; NULL: a flag
	const char *help;
};

#define COMMAND_MAX_ARGS    3
#define COMMAND_MAX_OPTIONS 4

struct invocation {	 // what the parser found
	const char *api; // NULL: where weftd usually is (http.h)
	bool json;
	const char *args[COMMAND_MAX_ARGS];
	const char *options
		[COMMAND_MAX_OPTIONS]; // values, by the command's option index; "" for a given flag
};

struct command {
	const char *words;   // "show ports"
	const char *args;    // "PORT [PACKET]": what is in brackets may be left out; "" = none
	const char *summary; // one line, no full stop
	const char *details; // sentences for the manual page
	struct option_spec options[COMMAND_MAX_OPTIONS];
	int (*run)(const struct invocation *in, struct err *err); // 0 or -errno with err set
};

extern const struct command weft_commands[];
extern const size_t weft_n_commands;
extern const struct option_spec weft_global_options[];
extern const size_t weft_n_global_options;

// Parse and run; returns the exit status. Messages go to stderr.
int weft_cli(int argc, char **argv);

void weft_cli_help(struct text *out, const struct command *one); // NULL: all
void weft_cli_man(struct text *out);
void weft_cli_completion(struct text *out);
