// SPDX-License-Identifier: Apache-2.0
#include "base/err.h"

#include <stdio.h>
#include <string.h>

// Messages quote what a stranger sent: they stay one line, and a cut never leaves half a UTF-8
// character behind (a JSON encoder would refuse the whole message).
static void tidy(char *msg, size_t wanted)
{
	for (char *c = msg; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
	if (wanted < WEFT_ERR_MAX)
		return;
	size_t end = strlen(msg);
	size_t start = end;
	while (start > 0 && ((unsigned char)msg[start - 1] & 0xc0) == 0x80)
		start--;
	if (start == 0)
		return;
	unsigned char lead = (unsigned char)msg[start - 1];
	size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
	if (end - (start - 1) < need)
		msg[start - 1] = '\0';
}

static void fill(struct err *err, const char *kind, const char *fmt, va_list args)
{
	if (err == NULL)
		return;
	// Formatted aside first: an argument may be the old message of the same err.
	char msg[WEFT_ERR_MAX];
	int wanted = vsnprintf(msg, sizeof(msg), fmt, args);
	if (wanted < 0)
		msg[0] = '\0';
	else
		tidy(msg, (size_t)wanted);
	err->kind = kind;
	memcpy(err->msg, msg, strlen(msg) + 1);
}

int weft_fail(struct err *err, int code, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	fill(err, NULL, fmt, args);
	va_end(args);
	return code;
}

int weft_fail_as(struct err *err, int code, const char *kind, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	fill(err, kind, fmt, args);
	va_end(args);
	return code;
}
