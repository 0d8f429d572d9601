// SPDX-License-Identifier: Apache-2.0
#include "north/store/witness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define DIGITS 20 // of the largest number, so that a line always covers the one before

struct witness {
	int fd;
};

struct witness *weft_witness_open(const char *path)
{
	struct witness *w = calloc(1, sizeof(*w));
	char name[4096];

	if (w == NULL)
		abort();
	snprintf(name, sizeof(name), "%s-last", path);
	w->fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (w->fd >= 0)
		return w;
	weft_log_warning("%s cannot be opened (%s): a loss of changes would not be noticed", name,
			 strerror(errno));
	free(w);
	return NULL;
}

void weft_witness_close(struct witness *w)
{
	if (w == NULL)
		return;
	close(w->fd);
	free(w);
}

uint64_t weft_witness_get(const struct witness *w)
{
	char text[DIGITS + 1];
	ssize_t n = w == NULL ? 0 : pread(w->fd, text, DIGITS, 0);

	text[n > 0 ? n : 0] = '\0';
	return strtoull(text, NULL, 10);
}

void weft_witness_set(struct witness *w, uint64_t last)
{
	char text[DIGITS + 2];
	int n = snprintf(text, sizeof(text), "%0*llu\n", DIGITS, (unsigned long long)last);

	// What cannot be written is behind, as after a loss of power.
	if (w != NULL && pwrite(w->fd, text, (size_t)n, 0) != n)
		return;
}
