// SPDX-License-Identifier: Apache-2.0
// A copy of the store while it is in use.
#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "north/store/sqlite_priv.h"

static int copy(sqlite3 *from, sqlite3 *to)
{
	sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
	int ret;

	if (b == NULL)
		return sqlite3_errcode(to);
	ret = sqlite3_backup_step(b, -1);
	sqlite3_backup_finish(b);
	// The copy is one file, without a log beside it; weftd makes one when it opens it.
	if (ret == SQLITE_DONE)
		ret = sqlite3_exec(to, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
	return ret;
}

int weft_store_backup(struct store *s, char *path, struct err *err)
{
	char part[PATH_MAX];
	sqlite3 *to = NULL;
	mode_t mask = umask(077);
	int ret;

	snprintf(path, PATH_MAX, "%.4000s-backup", s->path);
	snprintf(part, sizeof(part), "%.4000s-backup.part", s->path);
	unlink(part);
	ret = sqlite3_open_v2(part, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
	umask(mask);
	if (ret == SQLITE_OK)
		ret = copy(s->db, to);
	if (ret != SQLITE_OK)
		weft_fail(err, -EIO, "the copy %s cannot be written: %s", part,
			  to != NULL ? sqlite3_errmsg(to) : sqlite3_errstr(ret));
	sqlite3_close(to);
	if (ret == SQLITE_OK && rename(part, path) == 0)
		return 0;
	if (ret == SQLITE_OK)
		weft_fail(err, -errno, "the copy %s cannot be put in its place", path);
	unlink(part);
	return -EIO;
}
