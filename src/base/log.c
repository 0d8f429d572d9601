// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Name as in the configuration, and the journal's level (sd-daemon(3)).
static const struct {
	const char *name;
	char priority;
} levels[] = {
	[LOG_LEVEL_ERROR] = {"error", '3'},
	[LOG_LEVEL_WARNING] = {"warning", '4'},
	[LOG_LEVEL_INFO] = {"info", '6'},
	[LOG_LEVEL_DEBUG] = {"debug", '7'},
};

static _Atomic enum log_level shown = LOG_LEVEL_INFO; // read by every thread that logs

void weft_log_set_level(enum log_level level)
{
	shown = level;
}

enum log_level weft_log_level(void)
{
	return shown;
}

const char *weft_log_level_name(enum log_level level)
{
	return levels[level].name;
}

int weft_log_level_parse(const char *text, enum log_level *out)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(text, levels[i].name) == 0) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

// systemd.exec(5): where the journal reads, $JOURNAL_STREAM names the device and inode.
static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void weft_log(enum log_level level, const char *fmt, ...)
{
	if (level > shown)
		return;

	char line[2048];
	va_list args;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);

	// One call a line, so that lines of several processes do not mix.
	if (is_journal())
		fprintf(stderr, "<%c>%s\n", levels[level].priority, line);
	else
		fprintf(stderr, "%s: %s\n", levels[level].name, line);
}
