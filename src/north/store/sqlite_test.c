// SPDX-License-Identifier: Apache-2.0
#include "north/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/text.h"

static char directory[] = "/tmp/weft-store-XXXXXX";
static char path[64];

static int setup_directory(void **state)
{
	(void)state;
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/weft.sqlite", directory);
	return 0;
}

static int remove_file(void **state)
{
	char wal[80];
	(void)state;
	snprintf(wal, sizeof(wal), "%s-wal", path);
	unlink(path);
	unlink(wal);
	snprintf(wal, sizeof(wal), "%s-last", path);
	unlink(wal);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

static struct model *new_model(void)
{
	struct model_config config = {.host = "node-1",
				      .default_vif = "tap",
				      .vhostuser_mode = "client",
				      .run_dir = "/run/weft",
				      .physnet_mtu = 1500};
	return weft_model_new(&config);
}

static struct store *open_store(void)
{
	struct store *s = NULL;
	struct err err;
	if (weft_store_open(path, &s, &err) < 0)
		fail_msg("%s", err.msg);
	return s;
}

static const struct caller admin = {.project_id = "p", .is_admin = true};

// Create one object, store it, commit; its id.
static int create(struct model *m, struct store *s, enum resource type, json_t *body, char id[37])
{
	const struct object *o = NULL;
	struct err err;
	size_t n;
	struct txn *t = weft_txn_begin(m);
	if (weft_txn_create(t, &admin, type, body, &o, &err) < 0)
		fail_msg("%s", err.msg);
	json_decref(body);
	if (id)
		snprintf(id, 37, "%s", o->id);
	const struct model_change *changes = weft_txn_changes(t, &n);
	int ret = weft_store_write(s, changes, n, &err);
	if (ret == 0)
		weft_txn_commit(t);
	weft_txn_free(t);
	return ret;
}

static int remove_object(struct model *m, struct store *s, enum resource type, const char *id)
{
	struct err err;
	size_t n;
	struct txn *t = weft_txn_begin(m);
	assert_int_equal(weft_txn_delete(t, &admin, type, id, &err), 0);
	const struct model_change *changes = weft_txn_changes(t, &n);
	int ret = weft_store_write(s, changes, n, &err);
	weft_txn_commit(t);
	weft_txn_free(t);
	return ret;
}

static size_t load(struct model *m)
{
	struct store *s = open_store();
	struct err err;
	size_t n = 0;
	if (weft_store_load(s, m, &n, &err) < 0)
		fail_msg("%s", err.msg);
	weft_store_close(s);
	return n;
}

static void what_was_written_comes_back_and_what_was_deleted_does_not(void **state)
{
	(void)state;
	struct model *m = new_model();
	struct store *s = open_store();
	char a[37], b[37];
	assert_int_equal(create(m, s, RES_NETWORK, json_pack("{s:s}", "name", "a"), a), 0);
	assert_int_equal(create(m, s, RES_NETWORK, json_pack("{s:s}", "name", "b"), b), 0);
	assert_int_equal(create(m, s, RES_SUBNET,
				json_pack("{s:s,s:i,s:s}", "network_id", b, "ip_version", 4, "cidr",
					  "10.0.0.0/24"),
				NULL),
			 0);
	assert_int_equal(remove_object(m, s, RES_NETWORK, a), 0);
	weft_store_close(s);

	struct model *again = new_model();
	assert_int_equal(load(again), 2);
	assert_null(weft_model_get(again, RES_NETWORK, a));
	const struct object *o = weft_model_get(again, RES_NETWORK, b);
	assert_true(json_equal(o->attr, weft_model_get(m, RES_NETWORK, b)->attr));
	assert_int_equal(weft_model_count(again, RES_SUBNET), 1);
	weft_model_free(again);
	weft_model_free(m);
}

static void refused_write_leaves_nothing_and_the_next_one_works(void **state)
{
	(void)state;
	struct model *m = new_model();
	struct store *s = open_store();
	assert_int_equal(create(m, s, RES_NETWORK, json_pack("{s:s}", "name", "before"), NULL), 0);

	// A disk that is full, as far as this process can tell.
	char wal[80];
	struct rlimit old, none;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	snprintf(wal, sizeof(wal), "%s-wal", path);
	FILE *f = fopen(wal, "r");
	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	none = (struct rlimit) {(rlim_t)ftell(f), old.rlim_max};
	fclose(f);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	int ret = create(m, s, RES_NETWORK, json_pack("{s:s}", "name", "lost"), NULL);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_true(ret < 0);

	assert_int_equal(create(m, s, RES_NETWORK, json_pack("{s:s}", "name", "after"), NULL), 0);
	weft_store_close(s);
	struct model *again = new_model();
	assert_int_equal(load(again), 2);
	weft_model_free(again);
	weft_model_free(m);
}

static void change_that_cannot_be_written_takes_its_transaction_along(void **state)
{
	(void)state;
	struct object good = {.type = RES_NETWORK, .id = "11111111-1111-4111-8111-111111111111"};
	struct object bad = {.type = RES_NETWORK, .id = "22222222-2222-4222-8222-222222222222"};
	struct model_change changes[] = {{NULL, &good}, {NULL, &bad}};
	struct model *m = new_model();
	struct store *s = open_store();
	struct err err;
	good.attr = json_pack("{s:s}", "id", good.id);
	bad.attr = json_string("no object"); // has no form as a text of its own
	assert_true(weft_store_write(s, changes, 2, &err) < 0);
	assert_non_null(strstr(err.msg, bad.id));
	json_decref(good.attr);
	json_decref(bad.attr);

	assert_int_equal(create(m, s, RES_NETWORK, json_object(), NULL), 0);
	size_t n = weft_model_count(m, RES_NETWORK) + weft_model_count(m, RES_SECURITY_GROUP) +
		   weft_model_count(m, RES_SECURITY_GROUP_RULE);
	weft_store_close(s);
	struct model *again = new_model();
	assert_int_equal(load(again), n);
	weft_model_free(again);
	weft_model_free(m);
}

static void killed_process_loses_nothing_it_was_told_is_stored(void **state)
{
	(void)state;
	int told[2];
	assert_int_equal(pipe(told), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct model *m = new_model();
		struct store *s = open_store();
		for (;;) {
			if (create(m, s, RES_NETWORK, json_object(), NULL) < 0 ||
			    write(told[1], "x", 1) != 1)
				_exit(1);
		}
	}
	close(told[1]);
	char c;
	size_t n = 0;
	while (n < 100 && read(told[0], &c, 1) == 1)
		n++;
	kill(pid, SIGKILL);
	while (read(told[0], &c, 1) == 1)
		n++;
	close(told[0]);
	waitpid(pid, NULL, 0);

	struct model *m = new_model();
	size_t loaded = load(m);
	assert_true(n >= 100);
	assert_true(loaded == n || loaded == n + 1);
	weft_model_free(m);
}

static void second_process_is_told_that_the_file_is_taken(void **state)
{
	(void)state;
	struct store *s = open_store();
	struct store *second = NULL;
	struct err err;
	assert_int_equal(weft_store_open(path, &second, &err), -EBUSY);
	assert_non_null(strstr(err.msg, path));
	assert_non_null(strstr(err.msg, "in use"));
	weft_store_close(s);
	s = open_store();
	weft_store_close(s);
}

static void run_sql(const char *sql)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void expect_refusal(int code, const char *word)
{
	struct store *s = NULL;
	struct err err;
	int ret = weft_store_open(path, &s, &err);
	if (ret != code || strstr(err.msg, word) == NULL || strstr(err.msg, path) == NULL)
		fail_msg("%d %s", ret, ret < 0 ? err.msg : "was opened");
	assert_null(s);
}

static void newer_and_foreign_files_are_refused(void **state)
{
	(void)state;
	weft_store_close(open_store());
	run_sql("PRAGMA user_version = 99");
	expect_refusal(-EINVAL, "newer weftd");
	remove_file(NULL);
	run_sql("CREATE TABLE shopping (item TEXT)");
	expect_refusal(-EINVAL, "not Weft's");
}

static void damaged_file_is_refused(void **state)
{
	(void)state;
	FILE *f = fopen(path, "w");
	for (int i = 0; i < 1000; i++)
		fputs("no database at all ", f);
	fclose(f);
	expect_refusal(-EUCLEAN, "damaged");
	remove_file(NULL);

	// A page of the middle overwritten.
	struct model *m = new_model();
	struct store *s = open_store();
	for (int i = 0; i < 50; i++)
		create(m, s, RES_NETWORK, json_object(), NULL);
	weft_store_close(s);
	weft_model_free(m);
	int fd = open(path, O_WRONLY);
	char junk[4096];
	memset(junk, 0x5a, sizeof(junk));
	assert_int_equal(pwrite(fd, junk, sizeof(junk), 4096L * 3), (ssize_t)sizeof(junk));
	close(fd);
	expect_refusal(-EUCLEAN, "damaged");
}

static void a_copy_is_whole_and_can_be_put_in_place(void **state)
{
	(void)state;
	struct model *m = new_model(), *again = new_model();
	struct store *s = open_store();
	char copy[4096], command[9000];
	struct err err;
	for (int i = 0; i < 50; i++)
		create(m, s, RES_NETWORK, json_object(), NULL);
	for (int i = 0; i < 2; i++) // the second in place of the first
		if (weft_store_backup(s, copy, &err) != 0)
			fail_msg("%s", err.msg);
	create(m, s, RES_NETWORK, json_object(), NULL); // it goes on
	assert_int_equal(weft_model_count(m, RES_NETWORK), 51);
	weft_store_close(s);
	snprintf(command, sizeof(command), "rm -f %s-wal && mv %s %s", path, copy, path);
	assert_int_equal(system(command), 0);
	load(again);
	assert_int_equal(weft_model_count(again, RES_NETWORK), 50);
	weft_model_free(again);
	weft_model_free(m);
}

static void a_damaged_row_is_left_out_and_stays_stored(void **state)
{
	(void)state;
	struct model *m = new_model();
	struct store *s = open_store();
	char sql[512], a[37], b[37], c[37];
	const struct left_out *l;
	size_t n, loaded;
	assert_int_equal(create(m, s, RES_NETWORK, json_object(), a), 0);
	assert_int_equal(create(m, s, RES_NETWORK, json_object(), b), 0);
	assert_int_equal(create(m, s, RES_PORT, json_pack("{s:s}", "network_id", b), c), 0);
	weft_store_close(s);
	weft_model_free(m);
	snprintf(sql, sizeof(sql),
		 "UPDATE object SET attr = '{\"id\":' WHERE id = '%s';"
		 "INSERT INTO object VALUES ('teapot', 'x', '{}')",
		 b);
	run_sql(sql);

	for (int i = 0; i < 2; i++) {
		m = new_model();
		loaded = load(m);
		assert_non_null(weft_model_get(m, RES_NETWORK, a));
		assert_null(weft_model_get(m, RES_NETWORK, b));
		assert_null(weft_model_get(m, RES_PORT, c));
		l = weft_model_left_out(m, &n);
		assert_int_equal(n, 2);
		assert_string_equal(l[0].id, b);
		assert_non_null(strstr(l[0].reason, "no JSON"));
		assert_string_equal(l[1].id, c);
		assert_non_null(strstr(l[1].reason, b));
		assert_true(loaded > 2);
		weft_model_free(m);
	}
}

static void missing_directory_is_named(void **state)
{
	struct store *s = NULL;
	struct err err;
	(void)state;
	assert_int_equal(weft_store_open("/nonexistent/weft.sqlite", &s, &err), -EACCES);
	assert_non_null(strstr(err.msg, "/nonexistent/weft.sqlite"));
	assert_non_null(strstr(err.msg, "directory"));
}

// Not a limit that a slow machine could miss: the number is for the reader of the log.
static void ten_thousand_ports_load(void **state)
{
	(void)state;
	struct model *m = new_model();
	struct store *s = open_store();
	struct txn *t = weft_txn_begin(m);
	const struct object *net, *o;
	struct err err;
	size_t n;

	json_t *body = json_object();
	assert_int_equal(weft_txn_create(t, &admin, RES_NETWORK, body, &net, &err), 0);
	json_decref(body);
	body = json_pack("{s:s,s:i,s:s}", "network_id", net->id, "ip_version", 4, "cidr",
			 "10.0.0.0/16");
	assert_int_equal(weft_txn_create(t, &admin, RES_SUBNET, body, &o, &err), 0);
	json_decref(body);
	body = json_pack("{s:s,s:s}", "network_id", net->id, "binding:host_id", "node-1");
	uint64_t begin = weft_now_ms();
	for (int i = 0; i < 10000; i++)
		assert_int_equal(weft_txn_create(t, &admin, RES_PORT, body, &o, &err), 0);
	json_decref(body);
	uint64_t created = weft_now_ms();
	const struct model_change *changes = weft_txn_changes(t, &n);
	assert_int_equal(weft_store_write(s, changes, n, &err), 0);
	uint64_t stored = weft_now_ms();
	weft_txn_commit(t);
	weft_txn_free(t);
	weft_store_close(s);
	weft_model_free(m);

	m = new_model();
	uint64_t opened = weft_now_ms();
	assert_int_equal(load(m), n);
	print_message("10,000 ports: created in %lu ms, stored in %lu ms, loaded in %lu ms\n",
		      (unsigned long)(created - begin), (unsigned long)(stored - created),
		      (unsigned long)(weft_now_ms() - opened));
	assert_int_equal(weft_model_count(m, RES_PORT), 10000);
	weft_model_free(m);
}

#define WITH_FILE(test) cmocka_unit_test_teardown(test, remove_file)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FILE(what_was_written_comes_back_and_what_was_deleted_does_not),
		WITH_FILE(refused_write_leaves_nothing_and_the_next_one_works),
		WITH_FILE(change_that_cannot_be_written_takes_its_transaction_along),
		WITH_FILE(killed_process_loses_nothing_it_was_told_is_stored),
		WITH_FILE(second_process_is_told_that_the_file_is_taken),
		WITH_FILE(newer_and_foreign_files_are_refused),
		WITH_FILE(damaged_file_is_refused),
		WITH_FILE(a_copy_is_whole_and_can_be_put_in_place),
		WITH_FILE(a_damaged_row_is_left_out_and_stays_stored),
		WITH_FILE(missing_directory_is_named),
		WITH_FILE(ten_thousand_ports_load),
	};
	return cmocka_run_group_tests(tests, setup_directory, remove_directory);
}
