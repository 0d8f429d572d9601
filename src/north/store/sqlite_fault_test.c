// SPDX-License-Identifier: Apache-2.0
// Disks that fail: SQLite's own files with faults in them (a VFS between SQLite and the default
// one), and a process that dies then: the files as they are at that moment, copied away and
// opened again.
#include "north/store/store.h"

#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

// ---- The faulty disk -----------------------------------------------------------------------

// How many syncs and writes of the log fail from now on; -1: all.
static struct {
	int syncs, writes;
	bool full; // what writes fail with
	int pass;  // writes that still succeed
} fault;

struct faulty_file {
	sqlite3_file base;
	sqlite3_file *real;
	bool is_log;
};

static sqlite3_vfs *below;
static sqlite3_io_methods faulty_methods;

static sqlite3_file *real_of(sqlite3_file *f)
{
	return ((struct faulty_file *)f)->real;
}

static bool fails(int *count)
{
	if (*count == 0)
		return false;
	if (*count > 0)
		(*count)--;
	return true;
}

static int f_close(sqlite3_file *f)
{
	return real_of(f)->pMethods == NULL ? SQLITE_OK : real_of(f)->pMethods->xClose(real_of(f));
}

static int f_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	return real_of(f)->pMethods->xRead(real_of(f), to, n, at);
}

static int f_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	if (((struct faulty_file *)f)->is_log && fault.writes != 0 && fault.pass-- <= 0 &&
	    fails(&fault.writes))
		return fault.full ? SQLITE_FULL : SQLITE_IOERR_WRITE;
	return real_of(f)->pMethods->xWrite(real_of(f), from, n, at);
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	return real_of(f)->pMethods->xTruncate(real_of(f), size);
}

static int f_sync(sqlite3_file *f, int flags)
{
	if (((struct faulty_file *)f)->is_log && fails(&fault.syncs))
		return SQLITE_IOERR_FSYNC;
	return real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int f_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), size);
}

static int f_lock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int f_unlock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int f_check_lock(sqlite3_file *f, int *out)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int f_control(sqlite3_file *f, int op, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int f_sector(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int f_traits(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int faulty_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags,
		       int *out)
{
	struct faulty_file *file = (struct faulty_file *)f;
	int ret;

	(void)vfs;
	file->real = (sqlite3_file *)(file + 1);
	file->is_log = (flags & SQLITE_OPEN_WAL) != 0;
	ret = below->xOpen(below, name, file->real, flags, out);
	f->pMethods = ret == SQLITE_OK ? &faulty_methods : NULL;
	return ret;
}

static int install_vfs(void)
{
	static sqlite3_vfs vfs;

	below = sqlite3_vfs_find(NULL);
	vfs = *below;
	vfs.zName = "faulty";
	vfs.szOsFile = (int)sizeof(struct faulty_file) + below->szOsFile;
	vfs.xOpen = faulty_open;
	// Version 1: no shared memory, which the store does without.
	faulty_methods = (sqlite3_io_methods) {
		.iVersion = 1,
		.xClose = f_close,
		.xRead = f_read,
		.xWrite = f_write,
		.xTruncate = f_truncate,
		.xSync = f_sync,
		.xFileSize = f_size,
		.xLock = f_lock,
		.xUnlock = f_unlock,
		.xCheckReservedLock = f_check_lock,
		.xFileControl = f_control,
		.xSectorSize = f_sector,
		.xDeviceCharacteristics = f_traits,
	};
	return sqlite3_vfs_register(&vfs, 1);
}

// ---- The bench -----------------------------------------------------------------------------

static char directory[] = "/tmp/weft-faults-XXXXXX";
static char path[64];

static const struct caller admin = {.project_id = "p", .is_admin = true};

static int setup(void **state)
{
	(void)state;
	memset(&fault, 0, sizeof(fault));
	return 0;
}

static void shell(const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	assert_int_equal(system(line), 0);
}

static int clean(void **state)
{
	(void)state;
	shell("rm -rf %s/*", directory);
	return 0;
}

static struct model *new_model(void)
{
	const struct model_config config = {.host = "node-1", .physnet_mtu = 1500};

	return weft_model_new(&config);
}

static struct store *open_store(const char *name)
{
	struct store *s = NULL;
	struct err err;

	if (weft_store_open(name, &s, &err) < 0)
		fail_msg("%s", err.msg);
	return s;
}

// What the API does: commit what is stored, abort what is not.
static int create(struct model *m, struct store *s, const char *name)
{
	struct txn *t = weft_txn_begin(m);
	json_t *body = json_pack("{s:s}", "name", name);
	const struct model_change *changes;
	const struct object *o;
	struct err err;
	size_t n;
	int ret;

	assert_int_equal(weft_txn_create(t, &admin, RES_NETWORK, body, &o, &err), 0);
	json_decref(body);
	changes = weft_txn_changes(t, &n);
	ret = weft_store_write(s, changes, n, &err);
	if (ret == 0)
		weft_txn_commit(t);
	weft_txn_free(t);
	return ret;
}

static int add_name(const struct object *o, void *arg)
{
	strcat(arg, json_string_value(json_object_get(o->attr, "name")));
	strcat(arg, " ");
	return 0;
}

// What was said while the store was opened.
static char said[4096];

static struct store *open_listening(const char *name)
{
	FILE *f = tmpfile();
	int kept = dup(STDERR_FILENO);
	struct store *s;
	size_t n;

	assert_non_null(f);
	assert_int_equal(dup2(fileno(f), STDERR_FILENO), STDERR_FILENO);
	s = open_store(name);
	dup2(kept, STDERR_FILENO);
	close(kept);
	rewind(f);
	n = fread(said, 1, sizeof(said) - 1, f);
	said[n] = '\0';
	fclose(f);
	return s;
}

// The process dies now: the names of the networks that the next one finds. `damage`: a shell
// command for the files, which are called copy, copy-wal and copy-last.
static const char *after_crash_and(const char *damage)
{
	static char names[4096];
	struct model *m = new_model();
	struct store *s;
	struct err err;
	char copy[80];
	size_t n;

	snprintf(copy, sizeof(copy), "%s/copy", directory);
	shell("rm -f %s* && for end in '' -wal -last; do [ ! -e %s$end ] || cp %s$end %s$end; done",
	      copy, path, path, copy);
	shell("cd %s && %s", directory, damage);
	memset(&fault, 0, sizeof(fault));
	s = open_listening(copy);
	assert_int_equal(weft_store_load(s, m, &n, &err), 0);
	names[0] = '\0';
	weft_model_each(m, RES_NETWORK, add_name, names);
	weft_store_close(s);
	weft_model_free(m);
	return names;
}

static const char *after_crash(void)
{
	return after_crash_and(":");
}

// ---- Tests ---------------------------------------------------------------------------------

static void a_change_whose_sync_failed_is_not_in_force_after_a_crash(void **state)
{
	struct model *m = new_model();
	struct store *s = open_store(path);

	(void)state;
	assert_int_equal(create(m, s, "before"), 0);
	fault.syncs = 1;
	assert_int_equal(create(m, s, "refused"), -EIO);
	assert_string_equal(after_crash(), "before ");
	assert_int_equal(create(m, s, "after"), 0);
	assert_string_equal(after_crash(), "before after ");
	weft_store_close(s);
	weft_model_free(m);
}

// The same wherever the log is: begun anew after it was carried over into the file, longer than
// what makes it void.
static void so_it_is_wherever_in_the_log_the_change_lies(void **state)
{
	struct model *m = new_model();
	struct store *s = open_store(path);
	char expected[4096] = "", big[251] = "";

	(void)state;
	memset(big, 'x', 250);
	for (int i = 0; i < 40; i++) {
		// The log is carried over after some 1,000 pages.
		for (int k = 0; k < 37; k++) {
			assert_int_equal(create(m, s, "n"), 0);
			strcat(expected, "n ");
		}
		fault.syncs = 1;
		assert_int_equal(create(m, s, i % 2 == 0 ? "refused" : big), -EIO);
		if (i % 8 == 7)
			assert_string_equal(after_crash(), expected);
	}
	weft_store_close(s);
	weft_model_free(m);
}

static void where_the_log_cannot_be_made_void_nobody_is_told_that_it_failed(void **state)
{
	struct model *m = new_model();
	struct store *s = open_store(path);

	(void)state;
	assert_int_equal(create(m, s, "before"), 0);
	fault.syncs = -1;
	assert_int_equal(create(m, s, "unknown"), -EINPROGRESS);
	// Nothing is written until it is settled; these are refused for sure.
	assert_int_equal(create(m, s, "refused"), -EIO);
	assert_int_equal(create(m, s, "refused too"), -EIO);
	fault.syncs = 0;
	assert_int_equal(create(m, s, "after"), 0);
	assert_string_equal(after_crash(), "before after ");
	weft_store_close(s);
	weft_model_free(m);
}

static void a_full_disk_refuses_and_is_no_doubt(void **state)
{
	struct model *m = new_model();
	struct store *s = open_store(path);

	(void)state;
	assert_int_equal(create(m, s, "before"), 0);
	for (int pass = 0; pass < 6; pass++) {
		fault.writes = -1;
		fault.full = pass % 2 == 0;
		fault.pass = pass;
		int ret = create(m, s, "refused");

		assert_true(ret == (fault.full ? -ENOSPC : -EIO));
		assert_string_equal(after_crash(), "before ");
	}
	assert_int_equal(create(m, s, "after"), 0);
	assert_string_equal(after_crash(), "before after ");
	weft_store_close(s);
	weft_model_free(m);
}

static void changes_that_went_with_the_log_are_counted_aloud(void **state)
{
	struct model *m = new_model();
	struct store *s = open_store(path);
	struct {
		const char *damage, *there, *says;
	} cases[] = {
		{":", "1 2 3 4 5 6 ", ""},
		// A network brings its project's first security group, so the first change is a
		// large one.
		{"truncate -s -100 copy-wal", "1 2 3 4 5 ", ": changes lost: 1. Change 6 was "},
		{"printf x | dd of=copy-wal bs=1 seek=$(($(stat -c %s copy-wal) - 16000)) conv=notrunc",
		 "1 2 3 4 ", ": changes lost: 2. Change 6 was "},
		{"truncate -s 0 copy-wal", "", "bytes) ends before it"},
		{"rm copy-wal", "",
		 ": changes lost: 6. Change 6 was acknowledged, the last one here is 0, "
		 "and there is no log"},
		{"rm copy copy-wal", "", ": changes lost: 6."},
		{"rm copy-last", "1 2 3 4 5 6 ", ""},
		{"echo what > copy-last", "1 2 3 4 5 6 ", ""},
	};

	(void)state;
	for (char name[] = "1"; name[0] <= '6'; name[0]++)
		assert_int_equal(create(m, s, name), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *names = after_crash_and(cases[i].damage);

		if (strcmp(names, cases[i].there) != 0 ||
		    (cases[i].says[0] == '\0' ? strstr(said, "lost") != NULL
					      : strstr(said, cases[i].says) == NULL))
			fail_msg("%s: \"%s\", and it says %s", cases[i].damage, names, said);
	}
	weft_store_close(s);
	// Said once, and not after a clean end.
	weft_store_close(open_listening(path));
	assert_null(strstr(said, "lost"));
	weft_model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_change_whose_sync_failed_is_not_in_force_after_a_crash, setup, clean),
		cmocka_unit_test_setup_teardown(so_it_is_wherever_in_the_log_the_change_lies, setup,
						clean),
		cmocka_unit_test_setup_teardown(
			where_the_log_cannot_be_made_void_nobody_is_told_that_it_failed, setup,
			clean),
		cmocka_unit_test_setup_teardown(a_full_disk_refuses_and_is_no_doubt, setup, clean),
		cmocka_unit_test_setup_teardown(changes_that_went_with_the_log_are_counted_aloud,
						setup, clean),
	};
	int failed;

	if (mkdtemp(directory) == NULL || install_vfs() != SQLITE_OK)
		return 1;
	snprintf(path, sizeof(path), "%s/weft.db", directory);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(directory);
	return failed;
}
