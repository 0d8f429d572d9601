// SPDX-License-Identifier: Apache-2.0
// The store in SQLite: one table, one row an object, one SQLite transaction a request.
//
// WAL with synchronous = FULL: a commit returns after its log has reached the disk, and a crash
// leaves either all of a transaction or nothing. Locking is exclusive from the first access until
// the process ends, however it ends: a second weftd on the same file is told so instead of
// sharing it.
//
// Transactions are numbered (table "last"), and the number of the last one is also beside the
// file (witness.h): a log that went missing or was damaged is noticed, with the number of
// transactions that went with it.
//
// A COMMIT whose fsync failed has its transaction in the log all the same, whole and valid:
// whoever reads the log next takes it for committed. So it is made void, by a transaction that
// does nothing and is written in its place, before anybody is told that it failed. If that cannot
// be written either, what the next start will find is not known: the request gets no answer, and
// nothing else is written until it is.
#include "north/store/store.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/log.h"
#include "north/store/sqlite_priv.h"

#define SCHEMA_VERSION 1
#define APPLICATION_ID 0x57656674 // "Weft": tells our files from other SQLite files

// A predecessor that was just killed may need a moment to give up its lock.
#define BUSY_TIMEOUT_MS 1000

DEFINE_AUTO(store, struct store *, weft_store_close)
DEFINE_AUTO(stmt, sqlite3_stmt *, sqlite3_finalize)

// What SQLite says, as a sentence with what an operator can do about it.
static int store_fail(const struct store *s, struct err *err)
{
	const char *path = s->path;

	switch (sqlite3_errcode(s->db) & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return weft_fail(
			err, -EBUSY,
			"state file %s is in use by another process (is weftd already running?)",
			path);
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return weft_fail(
			err, -EACCES,
			"state file %s cannot be opened (%s): check that its directory exists and is writable",
			path, strerror(sqlite3_system_errno(s->db)));
	case SQLITE_READONLY:
		return weft_fail(
			err, -EROFS,
			"state file %s is not writable: check its owner and mode, and its directory's",
			path);
	case SQLITE_FULL:
		return weft_fail(err, -ENOSPC, "state file %s cannot grow: the disk is full", path);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return weft_fail(
			err, -EUCLEAN,
			"state file %s is damaged (%s): restore a copy or move it away to start empty",
			path, sqlite3_errmsg(s->db));
	case SQLITE_NOMEM:
		return weft_fail(err, -ENOMEM, "state file %s: out of memory", path);
	default:
		return weft_fail(err, -EIO, "state file %s: %s", path, sqlite3_errmsg(s->db));
	}
}

static int exec(struct store *s, const char *sql, struct err *err)
{
	if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return store_fail(s, err);
	return 0;
}

// A statement that answers one number.
static int query_number(struct store *s, const char *sql, int *out, struct err *err)
{
	weft_auto(stmt) q = NULL;

	if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) != SQLITE_OK ||
	    sqlite3_step(q) != SQLITE_ROW)
		return store_fail(s, err);
	*out = sqlite3_column_int(q, 0);
	return 0;
}

// SQLite's own words: how much of a log it found, which file could not be synced.
static void log_sqlite(void *arg, int code, const char *msg)
{
	(void)arg;
	if ((code & 0xff) == SQLITE_NOTICE)
		weft_log_info("SQLite: %s", msg);
	else if ((code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_FULL)
		weft_log_warning("SQLite: %s", msg);
}

static int check_integrity(struct store *s, struct err *err)
{
	weft_auto(stmt) q = NULL;

	if (sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &q, NULL) != SQLITE_OK ||
	    sqlite3_step(q) != SQLITE_ROW)
		return store_fail(s, err);
	const char *verdict = (const char *)sqlite3_column_text(q, 0);
	if (verdict == NULL || strcmp(verdict, "ok") != 0)
		return weft_fail(
			err, -EUCLEAN,
			"state file %s is damaged (%s): restore a copy or move it away to start empty",
			s->path, verdict ? verdict : "no verdict");
	return 0;
}

static int create_schema(struct store *s, struct err *err)
{
	char sql[512];

	// Rows keep their place (rowid) when updated: objects come back in the order of creation.
	sqlite3_snprintf(
		sizeof(sql), sql,
		"BEGIN IMMEDIATE;"
		"CREATE TABLE object (type TEXT NOT NULL, id TEXT NOT NULL, attr TEXT NOT NULL,"
		" UNIQUE (type, id));"
		"PRAGMA application_id = %d;"
		"PRAGMA user_version = %d;"
		"COMMIT",
		APPLICATION_ID, SCHEMA_VERSION);
	return exec(s, sql, err);
}

static int check_schema(struct store *s, struct err *err)
{
	int version, application, tables;
	int ret;

	ret = query_number(s, "PRAGMA user_version", &version, err);
	if (ret == 0)
		ret = query_number(s, "PRAGMA application_id", &application, err);
	if (ret == 0)
		ret = query_number(s, "SELECT count(*) FROM sqlite_master", &tables, err);
	if (ret < 0)
		return ret;

	if (version == 0 && application == 0 && tables == 0)
		return create_schema(s, err);
	if (application != APPLICATION_ID)
		return weft_fail(err, -EINVAL,
				 "state file %s is not Weft's: it is another program's database",
				 s->path);
	if (version > SCHEMA_VERSION)
		return weft_fail(
			err, -EINVAL,
			"state file %s was written by a newer weftd (schema %d, this one knows up to %d): upgrade weftd, or use another state_dir",
			s->path, version, SCHEMA_VERSION);
	return check_integrity(s, err);
}

static int read_last(struct store *s, struct err *err)
{
	weft_auto(stmt) q = NULL;
	int ret = exec(s,
		       "CREATE TABLE IF NOT EXISTS last (n INTEGER NOT NULL);"
		       "INSERT INTO last SELECT 0 WHERE NOT EXISTS (SELECT * FROM last)",
		       err);

	if (ret != 0)
		return ret;
	if (sqlite3_prepare_v2(s->db, "SELECT n FROM last", -1, &q, NULL) != SQLITE_OK ||
	    sqlite3_step(q) != SQLITE_ROW)
		return store_fail(s, err);
	s->last = (uint64_t)sqlite3_column_int64(q, 0);
	return 0;
}

// What was acknowledged and is not there any more.
static void compare_with_witness(struct store *s, long long log_bytes)
{
	uint64_t seen = weft_witness_get(s->witness);
	char log[128];

	if (log_bytes < 0)
		snprintf(log, sizeof(log), "there is no log %s-wal", s->path);
	else
		snprintf(log, sizeof(log), "the log %s-wal (%lld bytes) ends before it", s->path,
			 log_bytes);
	if (seen > s->last)
		weft_log_error(
			"state file %s: changes lost: %llu. Change %llu was acknowledged, the last "
			"one here is %llu, and %s. Going on with what is there (an older copy that "
			"was put in place looks the same)",
			s->path, (unsigned long long)(seen - s->last), (unsigned long long)seen,
			(unsigned long long)s->last, log);
	weft_witness_set(s->witness, s->last);
}

// -1: there is none.
static long long size_of_log(const struct store *s)
{
	char *path = sqlite3_mprintf("%s-wal", s->path);
	struct stat st;
	long long size = path != NULL && stat(path, &st) == 0 ? (long long)st.st_size : -1;

	sqlite3_free(path);
	return size;
}

static int prepare(struct store *s, struct err *err)
{
	static const char put[] = "INSERT INTO object (type, id, attr) VALUES (?1, ?2, ?3)"
				  " ON CONFLICT (type, id) DO UPDATE SET attr = ?3";
	static const char del[] = "DELETE FROM object WHERE type = ?1 AND id = ?2";

	if (sqlite3_prepare_v3(s->db, put, -1, SQLITE_PREPARE_PERSISTENT, &s->put, NULL) !=
		    SQLITE_OK ||
	    sqlite3_prepare_v3(s->db, del, -1, SQLITE_PREPARE_PERSISTENT, &s->del, NULL) !=
		    SQLITE_OK)
		return store_fail(s, err);
	return 0;
}

static int open_file(struct store *s, struct err *err)
{
	int ret = sqlite3_open_v2(s->path, &s->db,
				  SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
				  NULL);

	if (ret != SQLITE_OK)
		return store_fail(s, err);
	sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
	// The order matters: exclusive locking before WAL does without shared memory; the
	// empty write transaction takes the lock now instead of at the first request.
	return exec(s,
		    "PRAGMA locking_mode = EXCLUSIVE;"
		    "PRAGMA journal_mode = WAL;"
		    "PRAGMA synchronous = FULL;"
		    "BEGIN IMMEDIATE; COMMIT",
		    err);
}

int weft_store_open(const char *path, struct store **out, struct err *err)
{
	weft_auto(store) s = calloc(1, sizeof(*s));
	long long log_bytes;
	int ret;

	if (s == NULL || (s->path = strdup(path)) == NULL)
		return weft_fail(err, -ENOMEM, "state file %s: out of memory", path);
	sqlite3_config(SQLITE_CONFIG_LOG, log_sqlite, NULL); // only the first time counts

	// State holds every tenant's addresses and policies: nobody else's business on this host.
	mode_t mask = umask(077);
	log_bytes = size_of_log(s);
	ret = open_file(s, err);
	if (ret == 0)
		s->witness = weft_witness_open(path);
	umask(mask);

	if (ret == 0)
		ret = check_schema(s, err);
	if (ret == 0)
		ret = read_last(s, err);
	if (ret == 0)
		ret = prepare(s, err);
	if (ret < 0)
		return ret;
	compare_with_witness(s, log_bytes);
	*out = weft_take(s);
	return 0;
}

// A transaction that changes nothing, in the place of one that failed after it was written.
static int make_void(struct store *s, struct err *err)
{
	int ret = exec(s, "BEGIN IMMEDIATE; UPDATE last SET n = n + 1; COMMIT", err);

	if (ret < 0 && !sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	if (ret == 0)
		weft_witness_set(s->witness, ++s->last);
	if (ret == 0 && s->in_doubt)
		weft_log_info(
			"state file %s: it can be written again; what was refused is not in it",
			s->path);
	s->in_doubt = ret != 0;
	return ret;
}

void weft_store_close(struct store *s)
{
	if (s == NULL)
		return;
	if (s->in_doubt)
		make_void(s, NULL);
	sqlite3_finalize(s->put);
	sqlite3_finalize(s->del);
	sqlite3_close(s->db);
	weft_witness_close(s->witness);
	free(s->path);
	free(s);
}

// A row that is no object of the model any more is out, with the reason.
static bool load_row(struct model *m, enum resource type, sqlite3_stmt *q)
{
	const char *id = (const char *)sqlite3_column_text(q, 0);
	const char *text = (const char *)sqlite3_column_text(q, 1);
	int len = sqlite3_column_bytes(q, 1);
	struct err err = {0};
	json_error_t where;
	int ret;

	json_t *attr = json_loadb(text ? text : "", (size_t)len, 0, &where);
	if (attr == NULL)
		ret = weft_fail(&err, -EUCLEAN, "it is damaged: it is no JSON (%s)", where.text);
	else if (id == NULL || weft_json_text(attr, "id") == NULL ||
		 strcmp(weft_json_text(attr, "id"), id) != 0)
		ret = weft_fail(&err, -EUCLEAN, "it is damaged: its id is another one inside");
	else
		ret = weft_model_load(m, type, attr, &err);
	json_decref(attr);
	if (ret < 0)
		weft_model_leave_out(m, type, id != NULL ? id : "?", err.msg);
	return ret == 0;
}

// Rows of another version: kinds that this one does not know.
static int count_unknown(struct store *s, size_t known, struct err *err)
{
	int all;
	int ret = query_number(s, "SELECT count(*) FROM object", &all, err);

	if (ret == 0 && (size_t)all > known)
		weft_log_error(
			"state file %s: objects of kinds that this version does not know: %zu; "
			"they are left as they are",
			s->path, (size_t)all - known);
	return ret;
}

int weft_store_load(struct store *s, struct model *m, size_t *n, struct err *err)
{
	static const char sql[] = "SELECT id, attr FROM object WHERE type = ?1 ORDER BY rowid";
	weft_auto(stmt) q = NULL;
	size_t loaded = 0, out = 0;
	int step;

	if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) != SQLITE_OK)
		return store_fail(s, err);

	// In the order of the enum: what is referred to comes before what refers to it.
	for (enum resource type = 0; type < RES_COUNT; type++) {
		sqlite3_bind_text(q, 1, weft_resource_name(type), -1, SQLITE_STATIC);
		while ((step = sqlite3_step(q)) == SQLITE_ROW) {
			bool well = load_row(m, type, q);

			loaded += well;
			out += !well;
		}
		if (step != SQLITE_DONE)
			return store_fail(s, err);
		sqlite3_reset(q);
	}
	weft_model_check_references(m);
	*n = loaded;
	return count_unknown(s, loaded + out, err);
}

static int write_change(struct store *s, const struct model_change *c, struct err *err)
{
	const struct object *o = c->after ? c->after : c->before;
	sqlite3_stmt *q = c->after ? s->put : s->del;
	char *text = NULL;
	int ret = 0;

	sqlite3_bind_text(q, 1, weft_resource_name(o->type), -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 2, o->id, -1, SQLITE_STATIC);
	if (c->after) {
		text = json_dumps(o->attr, JSON_COMPACT);
		if (text == NULL)
			return weft_fail(err, -ENOMEM, "%s %s cannot be written as JSON",
					 weft_resource_name(o->type), o->id);
		sqlite3_bind_text(q, 3, text, -1, SQLITE_STATIC);
	}
	if (sqlite3_step(q) != SQLITE_DONE)
		ret = store_fail(s, err);
	sqlite3_reset(q);
	sqlite3_clear_bindings(q);
	free(text);
	return ret;
}

// The transaction's end. A failure of the disk to write (full, broken) leaves it unfinished in
// the log, which nobody takes for committed; any other failure may leave it there whole.
static int commit(struct store *s, struct err *err)
{
	int ret = exec(s, "UPDATE last SET n = n + 1", err);
	int code;

	if (ret != 0 || (ret = exec(s, "COMMIT", err)) == 0)
		return ret;
	code = sqlite3_extended_errcode(s->db);
	if (!sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	if (make_void(s, NULL) == 0 || code == SQLITE_FULL || code == SQLITE_IOERR_WRITE) {
		s->in_doubt = false;
		return ret;
	}
	weft_log_error(
		"%s; whether the change is stored is not known, so its request gets no answer and no "
		"other change is taken until the file can be written",
		err != NULL ? err->msg : s->path);
	return -EINPROGRESS;
}

// One transaction: `write` all of it.
static int transact(struct store *s,
		    int (*write)(struct store *s, const void *what, struct err *err),
		    const void *what, struct err *err)
{
	int ret;

	if (s->in_doubt) {
		ret = make_void(s, err);
		if (ret != 0)
			return ret;
	}
	ret = exec(s, "BEGIN IMMEDIATE", err);
	if (ret == 0)
		ret = write(s, what, err);
	if (ret == 0)
		ret = commit(s, err);
	if (ret == 0)
		weft_witness_set(s->witness, ++s->last);

	// Some errors (a full disk) have rolled back already; a second rollback would only
	// complain.
	if (ret < 0 && !sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return ret;
}

struct some_changes {
	const struct model_change *changes;
	size_t n;
};

static int write_changes(struct store *s, const void *what, struct err *err)
{
	const struct some_changes *c = what;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < c->n; i++)
		ret = write_change(s, &c->changes[i], err);
	return ret;
}

int weft_store_write(struct store *s, const struct model_change *changes, size_t n, struct err *err)
{
	const struct some_changes all = {changes, n};

	return n == 0 ? 0 : transact(s, write_changes, &all, err);
}

struct stored_name {
	const char *type, *id;
};

static int delete_row(struct store *s, const void *what, struct err *err)
{
	const struct stored_name *name = what;
	int ret = 0;

	sqlite3_bind_text(s->del, 1, name->type, -1, SQLITE_STATIC);
	sqlite3_bind_text(s->del, 2, name->id, -1, SQLITE_STATIC);
	if (sqlite3_step(s->del) != SQLITE_DONE)
		ret = store_fail(s, err);
	else if (sqlite3_changes(s->db) == 0)
		ret = weft_fail(err, -ENOENT, "no %s %s is stored", name->type, name->id);
	sqlite3_reset(s->del);
	sqlite3_clear_bindings(s->del);
	return ret;
}

int weft_store_remove(struct store *s, enum resource type, const char *id, struct err *err)
{
	const struct stored_name name = {weft_resource_name(type), id};

	return transact(s, delete_row, &name, err);
}
