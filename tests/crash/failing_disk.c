// SPDX-License-Identifier: Apache-2.0
// LD_PRELOAD: a disk whose syncs fail as long as the file $FAILING_DISK is there, or, if it has a
// number, that many times.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int fails(void)
{
	const char *path = getenv("FAILING_DISK");
	FILE *f = path == NULL ? NULL : fopen(path, "r+");
	int left, n;

	if (f == NULL)
		return 0;
	n = fscanf(f, "%d", &left);
	if (n == 1 && left > 1) {
		rewind(f);
		fprintf(f, "%d\n", left - 1);
	} else if (n == 1) {
		unlink(path);
	}
	fclose(f);
	errno = EIO;
	return 1;
}

int fdatasync(int fd)
{
	int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");

	return fails() ? -1 : next(fd);
}

int fsync(int fd)
{
	int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");

	return fails() ? -1 : next(fd);
}
