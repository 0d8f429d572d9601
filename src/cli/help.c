// SPDX-License-Identifier: Apache-2.0
// Help, completion and the manual page, all from the table.
#include "cli/commands.h"

#include <string.h>

static void option_line(struct text *out, const struct option_spec *o)
{
	struct text name = {0};

	weft_text_add(&name, "--%s%s%s", o->name, o->value == NULL ? "" : " ",
		      o->value == NULL ? "" : o->value);
	weft_text_add(out, "  %-22s %s\n", name.s, o->help);
	weft_text_fini(&name);
}

static void usage_line(struct text *out, const struct command *c)
{
	struct text line = {0};

	weft_text_add(&line, "%s%s%s", c->words, c->args[0] == '\0' ? "" : " ", c->args);
	weft_text_add(out, "  %-22s %s\n", line.s, c->summary);
	weft_text_fini(&line);
}

void weft_cli_help(struct text *out, const struct command *one)
{
	if (one != NULL) {
		weft_text_add(out, "Usage: weft %s%s%s [options]\n\n%s%s\n", one->words,
			      one->args[0] == '\0' ? "" : " ", one->args, one->details,
			      one->details[0] == '\0' ? "" : "\n");
	} else {
		weft_text_add(out, "Usage: weft [options] COMMAND\n\nCommands:\n");
		for (size_t i = 0; i < weft_n_commands; i++)
			usage_line(out, &weft_commands[i]);
		weft_text_add(out, "\n");
	}
	weft_text_add(out, "Options:\n");
	for (size_t i = 0; one != NULL && i < COMMAND_MAX_OPTIONS && one->options[i].name; i++)
		option_line(out, &one->options[i]);
	for (size_t i = 0; i < weft_n_global_options; i++)
		option_line(out, &weft_global_options[i]);
	weft_text_add(out, "\nA PORT is an id, the beginning of one, or a name.\n");
}

// roff treats a leading dot or quote and every backslash and hyphen specially.
static void roff(struct text *out, const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == '\\' || *s == '-')
			weft_text_add(out, "\\%c", *s);
		else
			weft_text_add(out, "%c", *s);
	}
}

static void man_option(struct text *out, const struct option_spec *o)
{
	weft_text_add(out, ".TP\n\\fB\\-\\-");
	roff(out, o->name);
	weft_text_add(out, "\\fR%s%s%s\n", o->value == NULL ? "" : " \\fI",
		      o->value == NULL ? "" : o->value, o->value == NULL ? "" : "\\fR");
	roff(out, o->help);
	weft_text_add(out, "\n");
}

void weft_cli_man(struct text *out)
{
	weft_text_add(
		out,
		".TH WEFT 8 \"\" \"weft " WEFT_VERSION "\" \"System Administration\"\n"
		".SH NAME\nweft \\- look at and question a running weftd\n"
		".SH SYNOPSIS\n\\fBweft\\fR [\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]\n"
		".SH DESCRIPTION\n\\fBweft\\fR asks the daemon of this node what it does with its ports, "
		"connections and packets. Networks, ports and security groups themselves are made with "
		"any client of the Neutron API, such as \\fBopenstack\\fR(1).\n.PP\nA PORT is an id, the "
		"beginning of one, or a name.\n.SH COMMANDS\n");
	for (size_t i = 0; i < weft_n_commands; i++) {
		const struct command *c = &weft_commands[i];

		weft_text_add(out, ".SS \"weft ");
		roff(out, c->words);
		weft_text_add(out, "%s%s\"\n", c->args[0] == '\0' ? "" : " ", c->args);
		roff(out, c->summary);
		weft_text_add(out, ".\n");
		roff(out, c->details);
		weft_text_add(out, "\n");
		for (size_t k = 0; k < COMMAND_MAX_OPTIONS && c->options[k].name != NULL; k++)
			man_option(out, &c->options[k]);
	}
	weft_text_add(out, ".SH OPTIONS\n");
	for (size_t i = 0; i < weft_n_global_options; i++)
		man_option(out, &weft_global_options[i]);
	weft_text_add(
		out,
		".SH ENVIRONMENT\n.TP\n\\fBWEFT_API\\fR\nWhere weftd listens: unix:PATH or a URL.\n.TP\n\\fBOS_TOKEN\\fR\n"
		"Token, where weftd asks for one.\n"
		".SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage.\n"
		".SH SEE ALSO\n\\fBweftd\\fR(8), \\fBopenstack\\fR(1)\n");
}

// Names and ids of what is there. compgen expands its words as the shell does, and names are the
// tenants': only plain ones.
static void completion_words(struct text *out, const char *name, const char *show, const char *keys)
{
	weft_text_add(
		out,
		"_weft_%s()\n{\n\tweft --json show %s 2>/dev/null |\n"
		"\t\tsed -n 's/^ \\{6\\}\"\\(%s\\)\": \"\\([A-Za-z0-9._-]\\+\\)\",*$/\\2 /p' | "
		"tr -d '\\n'\n}\n",
		name, show, keys);
}

static bool same_first_word(const char *a, const char *b)
{
	size_t len = strcspn(a, " ");

	return strncmp(a, b, len) == 0 && (b[len] == ' ' || b[len] == '\0');
}

// What may follow behind a command's words.
static void completion_of(struct text *out, const struct command *c)
{
	weft_text_add(out, "\t*\" %s \"*) words+=\"", c->words);
	for (size_t k = 0; k < COMMAND_MAX_OPTIONS && c->options[k].name != NULL; k++)
		weft_text_add(out, "--%s ", c->options[k].name);
	weft_text_add(out, "\"");
	if (strncmp(c->args, "PORT", 4) == 0)
		weft_text_add(out, "; words+=\"uplink: $(_weft_ports)\"");
	else if (strcmp(c->args, "TYPE ID") == 0)
		weft_text_add(out, "; words+=$(_weft_left_out)");
	weft_text_add(out, " ;;\n");
}

void weft_cli_completion(struct text *out)
{
	weft_text_add(out, "# bash completion for weft\n");
	completion_words(out, "ports", "ports", "id\\|name");
	completion_words(out, "networks", "networks", "id\\|name");
	completion_words(out, "left_out", "left-out", "type\\|id");
	weft_text_add(
		out,
		"_weft()\n{\n"
		"\tlocal cur=${COMP_WORDS[COMP_CWORD]} line=\" ${COMP_WORDS[*]:1:COMP_CWORD-1} \" words=\"");
	for (size_t i = 0; i < weft_n_global_options; i++)
		weft_text_add(out, "--%s ", weft_global_options[i].name);
	// To bash a colon is a word: what is behind "uplink:" is completed by itself.
	weft_text_add(out, "\"\n\tcase \"$line$cur\" in\n"
			   "\t*\" uplink :\") words=$(_weft_networks) cur= ;;\n"
			   "\t*\" uplink : \"*) words=$(_weft_networks) ;;\n"
			   "\t*\" --port \"\"$cur\") words=\"uplink: $(_weft_ports)\" ;;\n"
			   "\t*) case \"$line\" in\n");
	for (size_t i = 0; i < weft_n_commands; i++)
		completion_of(out, &weft_commands[i]);
	for (size_t i = 0; i < weft_n_commands; i++) {
		const char *w = weft_commands[i].words;
		size_t len = strcspn(w, " ");

		if (w[len] == '\0' || (i > 0 && same_first_word(w, weft_commands[i - 1].words)))
			continue;
		weft_text_add(out, "\t*\" %.*s \"*) words+=\"", (int)len, w);
		for (size_t k = 0; k < weft_n_commands; k++)
			if (same_first_word(w, weft_commands[k].words))
				weft_text_add(out, "%s ", weft_commands[k].words + len + 1);
		weft_text_add(out, "\" ;;\n");
	}
	weft_text_add(out, "\t*) words+=\"");
	for (size_t i = 0; i < weft_n_commands; i++) {
		const char *w = weft_commands[i].words;

		if (i == 0 || !same_first_word(w, weft_commands[i - 1].words))
			weft_text_add(out, "%.*s ", (int)strcspn(w, " "), w);
	}
	weft_text_add(
		out,
		"\" ;;\n\tesac ;;\n\tesac\n\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n}\n"
		"complete -F _weft weft\n");
}
